"""The files of the experiments that come with kgym. They are package data, so a wheel also has them."""

from pathlib import Path


def k15() -> Path:
    """Return the table of the claims of Kimi k1.5."""
    return Path(__file__).with_name("k15.toml")
