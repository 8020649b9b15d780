"""What extraction finds: an answer or several candidates, and the words between them that tell which of the two it is."""

import re
from dataclasses import dataclass

from kgym_plugins.verifiers.math.vocabulary import name_list

LETTERS = re.compile(r"[A-Za-z]+")
JOINING = frozenset(
    name_list(
        """
    and or maybe perhaps possibly alternatively also either text quad qquad the answer answers is are it could be might else
    otherwise as well
    """
    )
)
HEDGING = frozenset(
    name_list(
        """
    or maybe perhaps possibly alternatively either could might guess another else otherwise unsure alternative option
    """
    )
)
REVISING = frozenset(
    name_list(
        """
    wait actually correction corrected correcting mistake instead recheck rechecking sorry final finally therefore thus
    hence so total
    """
    )
)


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
