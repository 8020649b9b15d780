"""Stage 1: where the answer is in a response."""
