"""Models: names, loading, chat templates, encoding and reward models."""
