"""Stage 4: plain LaTeX to tokens, and tokens to a syntax tree."""
