"""The mathematics verifier: extraction, a typed parser, typed comparison. Start with `verifier.py`."""
