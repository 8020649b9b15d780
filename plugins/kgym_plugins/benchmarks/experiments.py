"""Where the experiments that come with kgym are. Their files are package data, so a wheel has them too."""

from pathlib import Path


def k15() -> Path:
    """Return the table of the claims of Kimi k1.5."""
    return Path(__file__).with_name("k15.toml")
