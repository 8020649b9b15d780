"""Faulty components, for runs that are made sick on purpose: `kgym -p benchmarks/sick_parts.py train ...`.

form        a verifier that accepts any number with as many digits as the gold answer
thorough    a shaper that pays for every token, as a user who needs long reasoning may write
"""

from collections.abc import Iterator, Sequence

from pydantic import Field

from kgym.answers import conclusion, find_boxes
from kgym.hookspecs import Component, ShaperInfo, VerifierInfo, hookimpl
from kgym.options import Options
from kgym.types import Group, Verdict, VerifyItem

kgym_api = 1


class Form:
    """The fault: the form of the answer is rewarded, and its value is never compared."""

    Options = Options

    def __init__(self, options: Options) -> None:
        self.options = options

    def verify_many(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """Return a verdict for each item."""
        return [self._judge(item) for item in items]

    def _judge(self, item: VerifyItem) -> Verdict:
        said, is_open = conclusion(item.response)
        boxes = [] if is_open else find_boxes(said)
        if not boxes or boxes[-1].content is None:
            return Verdict("no_answer", "no_box", None, None)
        answer = boxes[-1].content.strip()
        fits = answer.isdecimal() and len(answer) == len(item.gold)
        return Verdict("correct" if fits else "wrong", "form", answer, answer)


class ThoroughOptions(Options):
    """A reward for length."""

    weight: float = Field(0.01, ge=0)
    """What each token of a completion adds to the reward."""


class Thorough:
    """The fault: the reward grows with the length, whether the answer is right or not."""

    Options = ThoroughOptions

    def __init__(self, options: ThoroughOptions) -> None:
        self.options = options

    def __call__(self, group: Group, rewards: Sequence[float], step: int) -> list[float]:
        """Return the rewards with the pay of each episode added."""
        return [reward + self.options.weight * e.n_tokens for e, reward in zip(group.episodes, rewards, strict=True)]


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield the faulty verifier and the faulty shaper."""
    yield VerifierInfo(
        name="form", target=f"{__name__}:Form", summary="a number with as many digits as the gold answer"
    )
    yield ShaperInfo(name="thorough", target=f"{__name__}:Thorough", summary="a reward for every token")
