"""The options of the verifier `math`."""

from dataclasses import fields, replace
from typing import ClassVar

from pydantic import Field, field_validator

from kgym.options import Options
from kgym_plugins.verifiers.math.find.extract import RULES
from kgym_plugins.verifiers.math.strictness import PRESETS, Preset, Strictness


class MathOptions(Options):
    """Free-form mathematical answers, judged by meaning."""

    operational: ClassVar[frozenset[str]] = frozenset({"explain"})
    extraction: tuple[str, ...] = Field(RULES)
    """Ways to find the answer, in order; the first that finds something decides."""
    preset: Preset = "default"
    """How strict the comparison is where people disagree. The options below override it."""
    decimals: int | None = Field(None, ge=0, le=50)
    """Significant digits that a decimal needs to be accepted for 1/3 or pi; 0 accepts none. strict: 0, default: 4,
    lenient: 3.
    """
    unit_left_out: bool | None = None
    """Take 5 for 5 cm, and 90 for 90 degrees. strict: false, default and lenient: true."""
    percent_left_out: bool | None = None
    """Take 10 for 10 %, in addition to 0.1, and 10 % for 10. strict: false, default and lenient: true."""
    list_for_tuple: bool | None = None
    """Take `1, 2` for the point (1, 2), in this order. strict: false, default and lenient: true."""
    any_order: bool | None = None
    """Take (2, 1) for the list `1, 2` and for the set of 1 and 2. strict and default: false, lenient: true."""
    forgive_missing_base: bool | None = None
    """Take the bare digits 52 for 52_8 even if the question names no base. strict and default: false, lenient: true."""
    explain: bool = False
    """Keep the result of each stage for the gold answer and the completion in the verdict, as `kgym verify --explain`
    shows it.
    """

    @field_validator("extraction")
    @classmethod
    def _known(cls, rules: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := set(rules) - set(RULES):
            raise ValueError(f"{', '.join(sorted(unknown))}: unknown rule; known: {', '.join(RULES)}")
        return rules

    def strictness(self) -> Strictness:
        """Return the preset with the options that override it."""
        given = {field.name: getattr(self, field.name) for field in fields(Strictness)}
        return replace(PRESETS[self.preset], **{name: value for name, value in given.items() if value is not None})
