"""The family `openenv`: environments that a server of OpenEnv runs."""
