"""The verifier `same_text`: the boxed answer is the gold answer, as text.

"The capital is \\boxed{new  york}."   gold "New York"   correct
"\\boxed{Paris} or \\boxed{Rome}"      gold "Paris"      wrong, since it does not decide
"Paris"                               gold "Paris"      no_answer
"""

from collections.abc import Sequence

from kgym.answers import conclusion, find_boxes
from kgym.options import Options
from kgym.types import Verdict, VerifyItem

MAX_CHARACTERS = 100_000  # the completion is untrusted: only this much of its end is read


class SameTextOptions(Options):
    """What counts as the same text."""

    ignore_case: bool = True
    """Whether `paris` is `Paris`."""


class SameText:
    """Follows `kgym.types.Verifier`."""

    Options = SameTextOptions

    def __init__(self, options: SameTextOptions) -> None:
        self.options = options

    def verify_many(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """Return one verdict for each item."""
        return [self._verify(item) for item in items]

    def _verify(self, item: VerifyItem) -> Verdict:
        said, is_open = conclusion(item.response[-MAX_CHARACTERS:])
        boxes = [] if is_open else find_boxes(said)
        answers = [box.content for box in boxes if box.content is not None]  # None: the box is never closed
        if not answers or boxes[-1].content is None or not answers[-1].strip():
            return Verdict("no_answer", "no_box")
        answer, normal = answers[-1], self._normal(answers[-1])
        if any(self._normal(other) != normal for other in answers):
            return Verdict("wrong", "several_answers", answer, normal)
        return Verdict("correct" if normal == self._normal(item.gold) else "wrong", "text", answer, normal)

    def _normal(self, text: str) -> str:
        """Return a text with single spaces, and without case if that does not count."""
        words = " ".join(text.split())
        return words.casefold() if self.options.ignore_case else words
