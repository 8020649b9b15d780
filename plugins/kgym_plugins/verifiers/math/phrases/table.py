"""How phrases are declared: a pattern, what it means, an example and a counter-example, which
`tests/test_math_phrases.py` runs.

A table is a list of phrases that are looked up in one way. To teach the verifier a phrase, add a row to the table of
its kind.
"""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

_NAME = re.compile(r"\(\?P<\w+>")
How = Literal["whole", "begin", "within", "end"]
"""Where a phrase is in a text: it is the whole text, its beginning, anywhere in it, or its end."""
TABLES: list["Table"] = []
"""All tables, for the tests and for docs/verifier.md."""


@dataclass(frozen=True)
class Formula:
    """A phrase that stands for a formula."""

    text: str
    only_set: bool = False
    """The phrase means this only if the formula is a set of real numbers."""

    def __str__(self) -> str:
        """The formula, for the trace."""
        return f"the formula {self.text}"


@dataclass(frozen=True)
class Word:
    """A phrase that stands for itself, in its normal form."""

    text: str


@dataclass(frozen=True)
class Letter:
    """The letter of a choice, perhaps with the text of the choice."""

    letter: str
    content: str = ""


@dataclass(frozen=True)
class Time:
    """A time of day."""

    hours: int
    minutes: int = 0
    seconds: int = 0
    half: str = ""


@dataclass(frozen=True)
class Digits:
    """Digits in a base."""

    digits: str
    base: int


@dataclass(frozen=True)
class Items:
    """Several values with what each of them is."""

    items: tuple[tuple[str, str], ...]


Meaning = Formula | Word | Letter | Time | Digits | Items
Reader = Callable[[re.Match[str], str], Meaning | None]
"""Takes the match in the plain text and the text with its LaTeX; None if the phrase means nothing here."""


@dataclass(frozen=True)
class Phrase:
    """A row of a table."""

    pattern: str
    """A regular expression; case does not matter."""
    means: str | Reader
    """The formula it stands for, a reader that makes its meaning, or, in tables of cues, what it tells in words."""
    example: str
    """A text that it matches."""
    counter: str
    """A text that is near and that it does not match."""


class Table:
    """Phrases of one kind, in the order in which they are tried."""

    def __init__(self, name: str, says: str, how: How, *phrases: Phrase, flags: int = re.IGNORECASE) -> None:
        self.name = name
        self.says = says
        """What a match tells, for the docs."""
        self.how = how
        self.file = sys._getframe(1).f_globals["__name__"].rpartition(".")[2] + ".py"  # as namedtuple does
        """Where in `phrases/` its rows are, for the docs and the trace."""
        self.phrases = phrases
        self._patterns = [re.compile(_placed(phrase.pattern, how), flags) for phrase in phrases]
        self._flags = flags
        TABLES.append(self)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """All phrases in one, for tables of cues: `match` where they begin a text, `search` elsewhere."""
        return re.compile(_placed("|".join(f"(?:{phrase.pattern})" for phrase in self.phrases), self.how), self._flags)

    @cached_property
    def any_row(self) -> re.Pattern[str] | None:
        """All rows in one, without their groups: most texts are not one of them, and one pattern says so faster."""
        if len(self.phrases) == 1 or any("(?P=" in phrase.pattern for phrase in self.phrases):
            return None
        rows = (f"(?:{_NAME.sub('(?:', phrase.pattern)})" for phrase in self.phrases)
        return re.compile("|".join(rows), self._flags)

    def meaning(self, plain: str, text: str = "") -> tuple[Phrase, Meaning] | None:
        """Return the first phrase that is the whole text and means something, and what it means."""
        if self.any_row is not None and self.any_row.fullmatch(plain) is None:
            return None
        for phrase, pattern in zip(self.phrases, self._patterns, strict=True):
            match = pattern.fullmatch(plain)
            if match is None:
                continue
            found = match.expand(phrase.means) if isinstance(phrase.means, str) else phrase.means(match, text or plain)
            if found is not None:
                return phrase, Formula(found) if isinstance(found, str) else found
        return None

    def whole(self, text: str) -> re.Match[str] | None:
        """Return the match of the first phrase that is the whole text."""
        return next((match for pattern in self._patterns if (match := pattern.fullmatch(text))), None)

    def matches(self, phrase: Phrase, text: str) -> bool:
        """Whether a phrase of this table, alone, is in a text in the way of the table."""
        pattern = self._patterns[self.phrases.index(phrase)]
        if self.how == "whole":
            match = pattern.fullmatch(text)
            return match is not None and (isinstance(phrase.means, str) or phrase.means(match, text) is not None)
        return (pattern.match(text) if self.how == "begin" else pattern.search(text)) is not None


def table_of(phrase: Phrase) -> Table:
    """Return the table that has this row."""
    return next(table for table in TABLES if any(row is phrase for row in table.phrases))


def _placed(pattern: str, how: How) -> str:
    return rf"(?:{pattern})\Z" if how == "end" else pattern
