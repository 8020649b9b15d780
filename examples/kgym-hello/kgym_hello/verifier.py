"""The verifier `hello`: the text greets the right person, and no one else first."""

import re
from collections.abc import Sequence

from kgym.options import Options
from kgym.types import Verdict, VerifyItem

MAX_CHARACTERS = 10_000  # the text is a third party's: look at so much of it and no more
GREETING = re.compile(r"\bhello,? {0,3}(\w{1,40})", re.IGNORECASE)


class HelloOptions(Options):
    """What counts as the same name."""

    ignore_case: bool = True
    """`ada` is `Ada`."""


class Hello:
    """Follows `kgym.types.Verifier`."""

    Options = HelloOptions

    def __init__(self, options: HelloOptions) -> None:
        self.options = options

    def verify_many(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        return [self._verify(item) for item in items]

    def _verify(self, item: VerifyItem) -> Verdict:
        found = GREETING.search(item.response[:MAX_CHARACTERS])
        if found is None:
            return Verdict("no_answer", reason="no_greeting")
        answer = found[1]
        name, gold = answer, item.gold.strip()
        if self.options.ignore_case:
            name, gold = name.casefold(), gold.casefold()
        return Verdict("correct" if name == gold else "wrong", reason="greeting", answer=answer, normal=name)
