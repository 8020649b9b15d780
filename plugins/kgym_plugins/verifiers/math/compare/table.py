"""The table of comparison: which function compares a gold answer of one type with an answer of another, and what its
rules are.

A pair of types that is not in the table is different. To change what counts as equal: find the rule by the reason of
the verdict, or by the types in the trace, change the function beside it, and give the rule an example and a
counter-example. They are run as tests, and the table in docs/verifier.md is made of them (`python -m
kgym_plugins.verifiers.math.reference docs/verifier.md`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kgym_plugins.verifiers.math.values.types import Value


@dataclass(frozen=True)
class Rule:
    """A reason for which an answer is right."""

    name: str
    """What the verdict says."""
    says: str
    example: tuple[str, str]
    """A gold answer and an answer that this rule makes right."""
    counter: tuple[str, str]
    """A gold answer and an answer that is near, and wrong."""


Comparison = Callable[[Any, Any], Rule | None]
RULES: dict[str, Rule] = {}
"""All rules by name, in the order of the docs."""
TABLE: dict[tuple[type, type], Comparison] = {}
"""By the types of the gold answer and the answer."""


def rule(name: str, says: str, *, example: tuple[str, str], counter: tuple[str, str]) -> Rule:
    """Declare a rule."""
    made = RULES[name] = Rule(name, says, example, counter)
    return made


def compares(*pairs: tuple[type | tuple[type, ...], type | tuple[type, ...]]) -> Callable[[Comparison], Comparison]:
    """Put a function into the table for pairs of types; either of a pair may be several. A pair has one function."""

    def put(function: Comparison) -> Comparison:
        for gold, answer in pairs:
            for one in gold if isinstance(gold, tuple) else (gold,):
                for other in answer if isinstance(answer, tuple) else (answer,):
                    assert (one, other) not in TABLE, f"two comparisons of {one.__name__} and {other.__name__}"
                    TABLE[one, other] = function
        return function

    return put


def function_for(gold: Value, answer: Value) -> Comparison | None:
    """Return the function that compares two values, None if their types are never equal."""
    return TABLE.get((type(gold), type(answer)))
