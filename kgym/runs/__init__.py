"""A run on disk: its folder, manifest, metrics and stored episodes."""
