"""What a candidate means in words: the tables for whole answers, in the order in which they are asked."""

from kgym_plugins.verifiers.math.phrases.east_asian import UNSAID
from kgym_plugins.verifiers.math.phrases.forms import BASES, CHOICES, PROSE, REPLIES, TIMES
from kgym_plugins.verifiers.math.phrases.items import items_of
from kgym_plugins.verifiers.math.phrases.named import named
from kgym_plugins.verifiers.math.phrases.objects import OBJECTS
from kgym_plugins.verifiers.math.phrases.quadrants import QUADRANTS
from kgym_plugins.verifiers.math.phrases.quantities import CHANCES, MIXED, QUANTITIES
from kgym_plugins.verifiers.math.phrases.ranges import SETS, range_of, where_of
from kgym_plugins.verifiers.math.phrases.table import Meaning, Phrase

_LONGEST = 300
_LONGEST_NAME = 80
_DIGIT_FIRST = (TIMES, BASES, CHANCES, MIXED, REPLIES)
_LETTER_FIRST = (CHOICES, TIMES, BASES, CHANCES, QUANTITIES, REPLIES)


def meaning_of(plain: str, text: str) -> tuple[Phrase, Meaning] | None:
    """Return what an answer in words means, and the phrase that says so; None for what is left to the grammar.

    `plain` is the text without LaTeX's commands for text and spaces.
    """
    if len(plain) > _LONGEST or plain.isdecimal():
        return None
    if not plain.isascii() and (found := UNSAID.meaning(plain, text)):
        return found
    if ("adrant" in plain or "ctant" in plain or plain[:1] in "Qq") and (found := QUADRANTS.meaning(plain, text)):
        return found
    if found := items_of(plain, text) or where_of(plain, text):
        return found
    first = plain[:1]
    if first == "\\":
        return None  # a formula
    for table in _DIGIT_FIRST if first.isdigit() else _LETTER_FIRST:
        if found := table.meaning(plain, text):
            return found
    if first.isdigit():
        return None
    if found := range_of(plain) or SETS.meaning(plain, text):
        return found
    if (len(plain) < _LONGEST_NAME and " " in plain) or (plain.isalpha() and len(plain) > 2):
        found = named(plain)
        if found:
            return found
    return OBJECTS.meaning(plain, text) or PROSE.meaning(plain, text)
