"""Environments: the Gymnasium contract around a task."""
