"""Programs of kgym that run in a sandbox next to the program of an author, and call its functions."""
