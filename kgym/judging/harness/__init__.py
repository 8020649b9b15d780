"""Programs of kgym that run in a sandbox beside the program of an author: how its functions are called."""
