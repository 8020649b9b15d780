"""Several letters of choices: `A, B, D` and `ABD` are the same set, as long as the letters are choices and no
segment, product or word.
"""

import re

from kgym_plugins.verifiers.math.clean.wrappers import tidy, unwrapped
from kgym_plugins.verifiers.math.compare.table import Rule, rule
from kgym_plugins.verifiers.math.trace import note

CHOICES = rule(
    "choices",
    "the same letters of several choices, as a list or written together; two letters together, or letters out of "
    "order, only where the question offers such choices: AB may be a segment",
    example=("ABD", "A, B, D"),
    counter=("ABD", "A, C, D"),
)
_TOGETHER = re.compile(r"[A-J]{2,10}")
_JOIN = r"\s*(?:,\s*(?:and\s+|&\s*)?|;|、|\\&|&|\band\b|和|与)\s*"
_ITEM = r"(?:\([A-J]\)|[A-J])"
_LISTED = re.compile(rf"{_ITEM}(?:{_JOIN}{_ITEM}){{1,9}}")
_PLAIN = 3
"""Letters together, in order, that are choices for any question."""


def same_letters(gold: str, answer: str, question: str) -> Rule | None:
    """Return the rule if one text lists letters and the other has the same together."""
    one, other = (unwrapped(tidy(text)).strip() for text in (gold, answer))
    together, listed = (one, other) if _TOGETHER.fullmatch(one) else (other, one)
    if not _TOGETHER.fullmatch(together) or not _LISTED.fullmatch(listed):
        return None
    letters = re.findall(r"[A-J]", listed)
    if sorted(together) != sorted(letters) or len(set(letters)) < len(letters):
        return None
    if question:
        means_choices = all(
            re.search(rf"(?<![A-Za-z])[(（]?{letter}\}}?\s?[)）.．、:：]", question) for letter in letters
        )
    else:
        means_choices = len(letters) >= _PLAIN and together == "".join(sorted(together))
    if not means_choices:
        return None
    note("compare", f"the letters {', '.join(sorted(letters))}: the rule {CHOICES.name}")
    return CHOICES
