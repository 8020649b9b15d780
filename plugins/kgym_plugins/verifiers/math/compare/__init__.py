"""Stage 6: whether two values are the same answer. `table.py` says how rules are declared."""
