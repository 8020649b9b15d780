"""Models by name, one place that loads them, chat templates and encoding, reward models."""
