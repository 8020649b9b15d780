"""The verifier `code`: see `verifier.py`."""
