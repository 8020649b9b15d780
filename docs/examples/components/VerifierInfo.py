"""A verifier: the last box has to hold the word of the gold answer, in any case of letters."""

from collections.abc import Iterator, Sequence

from kgym.answers import conclusion, find_boxes
from kgym.hookspecs import Component, VerifierInfo, hookimpl
from kgym.options import Options
from kgym.types import Verdict, VerifyItem

kgym_api = 1


class WordOptions(Options):
    """How words are compared."""

    ignore_case: bool = True
    """Accept `Paris` for `paris`."""


class Word:
    """Follows `kgym.types.Verifier`."""

    Options = WordOptions

    def __init__(self, options: WordOptions) -> None:
        self.options = options

    def verify_many(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """Return one verdict for each item."""
        return [self._judge(item) for item in items]

    def _judge(self, item: VerifyItem) -> Verdict:
        said, is_open = conclusion(item.response)  # what comes after the reasoning
        boxes = [] if is_open else find_boxes(said)
        if not boxes or not boxes[-1].content:
            return Verdict("no_answer", "no_box")
        if len({box.content for box in boxes}) > 1:
            return Verdict("wrong", "hedged", boxes[-1].content)  # two different boxes are a guess
        answer = boxes[-1].content.strip()
        normal = answer.casefold() if self.options.ignore_case else answer
        gold = item.gold.strip()
        gold = gold.casefold() if self.options.ignore_case else gold
        return Verdict("correct" if normal == gold else "wrong", "word", answer, normal)


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield the components of this plugin."""
    yield VerifierInfo(
        name="word",
        target=f"{__name__}:Word",
        summary="a word in the last box",
        isolation="none",  # linear in the text, and no library is called
        golds=("paris", "london", "rome"),  # for kgym plugins check
        numeric=False,
    )
