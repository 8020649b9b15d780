"""Learning from examples: the objectives of `kgym sft`, `kgym dpo` and `kgym rm`."""
