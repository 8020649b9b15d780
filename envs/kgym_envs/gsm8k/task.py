"""The environment `gsm8k`: generated word problems for the splits train and validation, real problems for the split
`test`.

The user adds the real problems (`kgym data add gsm8k`); generated problems never replace them. Answers are integers,
judged by the `math` verifier, which also reads `$18` and `18 dollars`.
"""

from pydantic import Field

from kgym.envs.generated import SPLITS, GeneratedSource, LevelOptions
from kgym.types import Chat, Message, Problem, ProblemSource
from kgym_envs.gsm8k.stories import FAMILIES

VERSION = 1
TEST = "test"
DATA = "gsm8k"


class Gsm8kOptions(LevelOptions):
    """Which generated problems there are; the split `test` does not depend on it."""

    difficulty: int = Field(5, ge=1, le=5)
    """Hardest level of the generated problems, from two steps at 1 to about six at 5; the levels up to it take
    turns.
    """


class Gsm8k:
    """Grade-school word problems with an integer answer; follows `kgym.envs.task.Task`."""

    Options = Gsm8kOptions
    splits = (*SPLITS, TEST)
    verifier = "math"
    max_tokens = 512  # worked solutions have at most this many characters; long reasoning needs --max-tokens

    def __init__(self, options: Gsm8kOptions) -> None:
        self.options = options

    def source(self, split: str) -> ProblemSource:
        """Return the problems of a split. Raises MissingData for `test` until the user has added it, UnknownName for an
        unknown split.
        """
        if split == TEST:
            from kgym.data.sources import data_source  # noqa: PLC0415  (reads data files; generated splits need none)

            return data_source(DATA)
        return GeneratedSource("gsm8k", VERSION, split, FAMILIES, self.options.levels)

    def prompt(self, problem: Problem) -> Chat:
        """Ask the question and say how to answer."""
        return (Message("user", f"{problem.question}\nAnswer in \\boxed{{}}."),)
