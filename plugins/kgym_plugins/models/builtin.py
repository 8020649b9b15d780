"""The folders of the models that come with kgym. They are package data, so a wheel also has them."""

from pathlib import Path


def nano() -> Path:
    """Return the folder of `nano`, a million parameters warmed up on worked solutions; see its MODEL_CARD.md and
    `recipes/nano.py`.
    """
    return Path(__file__).with_name("nano")


def nano_long() -> Path:
    """Return the folder of `nano-long`, which searches for 100 to 1,500 tokens; see its MODEL_CARD.md and
    `recipes/nano_long.py`.
    """
    return Path(__file__).with_name("nano_long")
