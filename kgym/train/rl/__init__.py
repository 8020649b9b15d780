"""Reinforcement learning: the objective of `kgym train`."""
