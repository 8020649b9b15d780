"""The environment `aime`: generated problems for the splits train and validation, real examinations for the years.

The user adds the data of the years (`kgym data add aime24 FILE`). A year that is missing is an error; generated
problems never replace it.
"""

from pydantic import Field

from kgym.envs.generated import SPLITS, GeneratedSource, LevelOptions
from kgym.types import Chat, Message, Problem, ProblemSource
from kgym_envs.aime import algebra, counting, geometry, number_theory, probability, sequences

VERSION = 1
FAMILIES = (
    *number_theory.FAMILIES,
    *counting.FAMILIES,
    *probability.FAMILIES,
    *algebra.FAMILIES,
    *sequences.FAMILIES,
    *geometry.FAMILIES,
)
YEARS = {"2024": "aime24", "2025": "aime25", "2026": "aime26"}


class AimeOptions(LevelOptions):
    """Which generated problems there are; the years do not depend on it."""

    difficulty: int = Field(1, ge=1, le=10)
    """Hardest level of the generated problems, 1 to 10; the levels up to it take turns."""


class Aime:
    """Competition problems with an integer answer from 0 to 999; follows `kgym.envs.task.Task`."""

    Options = AimeOptions
    splits = (*SPLITS, *YEARS)
    # Training may require one bare integer in one box. An examination is scored by the answer and not by its style, so
    # there the verifier also reads named values, units, intermediate boxes and revisions.
    verifier = {**dict.fromkeys(SPLITS, "integer"), **dict.fromkeys(YEARS, "math")}  # noqa: RUF012  (read only)

    def __init__(self, options: AimeOptions) -> None:
        self.options = options
        # Every worked solution has at most this many characters, so it fits also if each token is a character.
        self.max_tokens = 64 + 96 * options.difficulty

    def source(self, split: str) -> ProblemSource:
        """Return the problems of a split. Raises MissingData for a year that the user has to add, UnknownName for an
        unknown split.
        """
        if split in YEARS:
            from kgym.data.sources import data_source  # noqa: PLC0415  (reads data files; generated splits need none)

            return data_source(YEARS[split])
        return GeneratedSource("aime", VERSION, split, FAMILIES, self.options.levels)

    def prompt(self, problem: Problem) -> Chat:
        """Ask the question and say how to answer."""
        return (Message("user", f"{problem.question}\nAnswer in \\boxed{{}}."),)
