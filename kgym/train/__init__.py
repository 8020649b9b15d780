"""Training: the loop, packing, log-probabilities, checkpoints."""
