"""The environment `math500`: generated problems in the style of MATH for the splits train and validation, real
examinations for the other splits.

`test` is MATH-500; `hmmt_feb25` and `hmmt_nov25` are the Harvard-MIT Mathematics Tournament of February and November
2025, which is harder.

Seven subjects, five levels, answers in LaTeX: fractions, roots, multiples of pi, polynomials, equations, intervals,
tuples, matrices, complex numbers, other bases, lists, degrees, names. The user adds the real problems
(`kgym data add math500`); generated problems never replace them.
"""

from pydantic import Field

from kgym.envs.generated import SPLITS, GeneratedSource, LevelOptions
from kgym.types import Chat, Message, Problem, ProblemSource
from kgym_envs.math500 import algebra, counting, geometry, intermediate, number_theory, prealgebra, precalculus

VERSION = 1
FAMILIES = (
    *prealgebra.FAMILIES,
    *algebra.FAMILIES,
    *counting.FAMILIES,
    *number_theory.FAMILIES,
    *geometry.FAMILIES,
    *intermediate.FAMILIES,
    *precalculus.FAMILIES,
)
EXAMINATIONS = {"test": "math500", "hmmt_feb25": "hmmt_feb25", "hmmt_nov25": "hmmt_nov25"}
"""Splits of real problems, with the names of their data sets."""


class Math500Options(LevelOptions):
    """Which generated problems there are; the real examinations do not depend on it."""

    difficulty: int = Field(5, ge=1, le=5)
    """Hardest level of the generated problems, 1 to 5 as in MATH; the levels up to it take turns."""


class Math500:
    """Free-form answers to school mathematics; follows `kgym.envs.task.Task`."""

    Options = Math500Options
    splits = (*SPLITS, *EXAMINATIONS)
    verifier = "math"
    max_tokens = 1024  # worked solutions have at most this many characters; long reasoning needs --max-tokens

    def __init__(self, options: Math500Options) -> None:
        self.options = options

    def source(self, split: str) -> ProblemSource:
        """Return the problems of a split. Raises MissingData for an examination that the user has to add, UnknownName
        for an unknown split.
        """
        if split in EXAMINATIONS:
            from kgym.data.sources import data_source  # noqa: PLC0415  (reads data files; generated splits need none)

            return data_source(EXAMINATIONS[split])
        return GeneratedSource("math500", VERSION, split, FAMILIES, self.options.levels)

    def prompt(self, problem: Problem) -> Chat:
        """Ask the question and say how to answer."""
        return (Message("user", f"{problem.question}\nAnswer in \\boxed{{}}."),)
