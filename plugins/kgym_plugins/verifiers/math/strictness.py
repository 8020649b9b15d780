"""What people disagree on: options that say how strict the comparison is, with presets, and which of them made a
difference.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal

Preset = Literal["strict", "default", "lenient"]


@dataclass(frozen=True)
class Strictness:
    """Every choice with its value; the defaults are those of the preset `default`."""

    decimals: int = 4
    unit_left_out: bool = True
    percent_left_out: bool = True
    list_for_tuple: bool = True
    any_order: bool = False
    forgive_missing_base: bool = False


PRESETS: dict[Preset, Strictness] = {
    "strict": Strictness(decimals=0, unit_left_out=False, percent_left_out=False, list_for_tuple=False),
    "default": Strictness(),
    "lenient": Strictness(decimals=3, any_order=True, forgive_missing_base=True),
}


@dataclass
class _Judgement:
    strictness: Strictness = field(default_factory=Strictness)
    refused: set[str] = field(default_factory=set)
    """Choices that were asked for and do not hold."""


# the default may be mutable, because no one reads its set
_current: ContextVar[_Judgement] = ContextVar("kgym_math_strictness", default=_Judgement())  # noqa: B039


@contextmanager
def strictness(value: Strictness) -> Iterator[set[str]]:
    """Compare like this; yields the choices that were asked for and do not hold."""
    judgement = _Judgement(value)
    token = _current.set(judgement)
    try:
        yield judgement.refused
    finally:
        _current.reset(token)


def allowed(choice: str) -> bool:
    """Whether a choice holds, for a rule that would decide by it now."""
    judgement = _current.get()
    if getattr(judgement.strictness, choice):
        return True
    judgement.refused.add(choice)
    return False


def enough_digits(significant: int) -> bool:
    """Whether a decimal of so many significant digits may stand for a value that no decimal ends."""
    judgement = _current.get()
    least = judgement.strictness.decimals
    if least and significant >= least:
        return True
    judgement.refused.add("decimals")
    return False
