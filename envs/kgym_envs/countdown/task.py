"""The environment `countdown`: make a target from given numbers, each used exactly once, with + - * / and brackets."""

import random
from typing import NamedTuple

from pydantic import Field

from kgym.envs.generated import SPLITS, Draft, Family, GeneratedSource, LevelOptions
from kgym.types import Chat, Message, Problem, ProblemSource
from kgym_envs.countdown.moves import State, after, moves
from kgym_envs.countdown.search import trace

VERSION = 1


class Level(NamedTuple):
    """The size of the problems of a level."""

    numbers: int
    """How many numbers a problem has."""
    largest: int
    """Largest number."""
    target: int
    """Largest target."""
    tokens: int
    """Token budget; no worked solution has more characters."""


LEVELS = (
    Level(3, 9, 50, 512),
    Level(3, 12, 60, 512),
    Level(3, 20, 100, 512),
    Level(4, 9, 50, 1536),
    Level(4, 12, 60, 1536),
    Level(4, 20, 100, 1536),
    Level(4, 50, 200, 1536),
    Level(5, 20, 200, 1536),
    Level(5, 50, 500, 2048),
    Level(6, 100, 999, 2048),
)
SMALLEST_TARGET = 10
WORDINGS = (
    "Make {target} from {numbers}: use each once, with + - * / and brackets.",
    "Use {numbers} once each, with + - * / and brackets, to get {target}.",
    "Which expression in {numbers}, each used once, has the value {target}?",
)


def game(rng: random.Random, level: int) -> Draft | None:
    """Draw numbers, a target that random moves reach from them, and a search that finds it."""
    size = LEVELS[level - 1]
    state: State = tuple(sorted(rng.randint(1, size.largest) for _ in range(size.numbers)))
    target = _play(state, rng)
    if not SMALLEST_TARGET <= target <= size.target or target in state:
        return None
    dead_ends = 1.0
    while (lines := trace(state, target, rng, dead_ends=dead_ends)) and len("\n".join(lines)) > size.tokens:
        dead_ends = dead_ends / 2 if dead_ends > 0.1 else 0.0
    if lines is None:
        return None
    gold = lines[-1].removeprefix("\\boxed{").removesuffix("}")
    shown = list(state)
    rng.shuffle(shown)
    named = f"{', '.join(map(str, shown[:-1]))} and {shown[-1]}"
    question = rng.choice(WORDINGS).format(target=target, numbers=named)
    return Draft((*state, target), question, gold, "\n".join(lines))


def _play(state: State, rng: random.Random) -> int:
    """Return the last number after random moves; 0 if they reach a state without moves."""
    while len(state) > 1:
        options = moves(state)
        if not options:
            return 0
        state = after(state, rng.choice(options))
    return state[0]


FAMILY = Family("game", "countdown", game)


class CountdownOptions(LevelOptions):
    """Which levels there are."""

    difficulty: int = Field(3, ge=1, le=10)
    """Hardest level: 1 to 3 have three numbers, 4 to 7 four, 8 and 9 five, 10 six; the levels up to it take turns."""


class Countdown:
    """Follows `kgym.envs.task.Task`. Every right expression is accepted; the gold answer is one of them."""

    Options = CountdownOptions
    splits = SPLITS
    verifier = "countdown"

    def __init__(self, options: CountdownOptions) -> None:
        self.options = options
        self.max_tokens = max(level.tokens for level in LEVELS[options.min_difficulty - 1 : options.difficulty])

    def source(self, split: str) -> ProblemSource:
        """Return endless problems; none of `validation` is in `train`. Raises UnknownName for another split."""
        return GeneratedSource("countdown", VERSION, split, (FAMILY,), self.options.levels)

    def prompt(self, problem: Problem) -> Chat:
        """Ask the question and say how to answer."""
        return (Message("user", f"{problem.question}\nAnswer in \\boxed{{}}."),)
