"""Stage 5: a syntax tree to a typed value."""
