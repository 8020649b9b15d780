"""The environment `code`: see `task.py`."""
