"""What stage 1 finds: an answer, or several candidates that stand side by side."""

import re
from dataclasses import dataclass

TAIL = 4000
"""Characters at the end of a response in which an answer is looked for."""
LETTERS = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Extraction:
    """What was found: one answer, or several candidates that stand side by side; or why there is none."""

    answers: tuple[str, ...] = ()
    rule: str = ""
    problem: str = ""
    """`hedged`, or why there is no answer."""


def key(content: str) -> str:
    """Text that is equal for candidates that differ in spaces and dollar signs only."""
    return re.sub(r"\s+|\\[,;:! ]|\$", "", content)
