"""Who and what the stories are about, and how a problem is put together."""

import random
from collections.abc import Sequence

from kgym.envs.generated import Draft

PEOPLE = (
    ("Ada", "she"), ("Ben", "he"), ("Chiara", "she"), ("Dmitri", "he"), ("Elif", "she"), ("Femi", "he"),
    ("Greta", "she"), ("Hugo", "he"), ("Ines", "she"), ("Jonas", "he"), ("Keiko", "she"), ("Luis", "he"),
)  # fmt: skip
"""Names and their pronouns; they are wording and not parameters of a problem."""
GOODS = ("pens", "apples", "notebooks", "candles", "mugs", "lemons", "stickers", "cards")
TREASURES = ("marbles", "shells", "stamps", "coins", "beads", "stones")


def people(rng: random.Random, n: int) -> list[tuple[str, str]]:
    """Return n different people, each a name and a pronoun."""
    return rng.sample(PEOPLE, n)


def story(params: Sequence[str | int], question: str, answer: int, *steps: str) -> Draft | None:
    """Put a problem together; None unless its answer is a positive number below ten thousand."""
    if not 0 < answer < 10_000:
        return None
    return Draft(tuple(params), question, answer, "\n".join([*steps, f"\\boxed{{{answer}}}"]))


def listed(texts: Sequence[str]) -> str:
    """Join with commas and a last `and`."""
    return ", ".join(texts[:-1]) + f" and {texts[-1]}" if len(texts) > 1 else texts[0]


def total(terms: Sequence[int]) -> str:
    """Write a sum with its value: `3+4+5=12`."""
    return "+".join(map(str, terms)) + f"={sum(terms)}"
