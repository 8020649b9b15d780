"""Stage 2: a candidate as plain LaTeX, without what surrounds it."""
