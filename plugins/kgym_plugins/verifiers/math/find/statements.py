"""The last sentence of a response, as a statement: what it says, and of what. It does not say what kind of answer is looked for."""

import re
from dataclasses import dataclass, replace

from kgym_plugins.verifiers.math.find.announced import TAIL
from kgym_plugins.verifiers.math.phrases.cues import DOUBTING
from kgym_plugins.verifiers.math.phrases.numbers import number_from_words
from kgym_plugins.verifiers.math.phrases.pieces import cases_of
from kgym_plugins.verifiers.math.phrases.properties import is_thing
from kgym_plugins.verifiers.math.phrases.statements import (
    ALONE,
    CLAUSES,
    FIRST_FORMULA,
    FORMULA,
    FRAMES,
    GENERIC,
    PRONOUNS,
    REASONS,
    SUPPOSED,
    UNSAID,
)

_INLINE = re.compile(r"\\\$\s?\d[\d,]*(?:\.\d+)?(?:/[a-z]+)?|\$([^$]{1,300})\$|\\\(((?:(?!\\\)).){1,300})\\\)")
_MOST_FORMULAS = 40
_LONGEST = 400
_SENTENCES = re.compile(rf"(?<=[.!?])(?<!i\.e\.)(?<!e\.g\.)(?<!vs\.)\s+(?=[A-Z\\∴]|{FORMULA})")
_STOP_INSIDE = re.compile(r"\.(\$|\\\)|\*\*)\Z")
_COMPARED = re.compile(r"\b(?:more|less|fewer|extra)\b", re.IGNORECASE)
_WORDS = re.compile(r"[a-z]+(?:'s)?")


@dataclass(frozen=True)
class Statement:
    """What the last sentence says, with its formulas as signs."""

    said: str
    subject: str = ""
    kind: str = ""
    """What it can only be: `none` (there is no solution) or `pieces`."""
    formulas: tuple[str, ...] = ()
    asked: bool = True
    """It is about what the question names."""
    alone: bool = False
    """It is the whole response."""

    def unmasked(self, text: str) -> str:
        """Put the formulas back."""
        return re.sub(FORMULA, lambda match: self.formulas[ord(match[0]) - ord(FIRST_FORMULA)], text)


def stated(text: str, question: str) -> Statement | None:
    """Return what the last sentence states of what was asked; None if it states nothing.

    >>> stated("Two full cartons contain two dozen eggs.", "").said, stated("Perhaps it is 5.", "")
    ('two dozen eggs', None)
    """
    tail = text[-TAIL:].strip()
    line = _STOP_INSIDE.sub(r"\1.", tail.rpartition("\n")[2].strip())
    if not line.rstrip("*").endswith((".", "!")) or line.endswith("...") or (line.count("$") - line.count("\\$")) % 2:
        return None
    formulas: list[str] = []

    def mask(match: re.Match[str]) -> str:
        formulas.append(match[0])
        return chr(ord(FIRST_FORMULA) + len(formulas) - 1) if len(formulas) <= _MOST_FORMULAS else match[0]

    sentences = _SENTENCES.split(_INLINE.sub(mask, line.replace("**", "")))
    sentence = sentences[-1].rstrip(".! ")
    if len(sentence) > _LONGEST or len(formulas) > _MOST_FORMULAS or "\\" in sentence or "$" in sentence.replace("\\$", ""):
        return None
    if cases := cases_of(sentence, Statement("", formulas=tuple(formulas)).unmasked):
        return Statement(cases, kind="pieces")
    if SUPPOSED.pattern.search(sentence) or DOUBTING.pattern.search(sentence):
        return None
    clause, concludes = _last_clause(sentence)
    if UNSAID.pattern.search(clause):
        return None
    if concludes and ALONE.whole(clause):
        return Statement(clause, formulas=tuple(formulas))
    if (match := FRAMES.whole(clause)) is None:
        return None
    groups = match.groupdict()
    if "none" in groups:
        return Statement("no solution", kind="none")
    alone = len(sentences) == 1 and "\n" not in tail
    statement = Statement(groups["said"], groups.get("subject") or "", formulas=tuple(formulas), alone=alone)
    statement = replace(statement, asked=_asked_of(statement, question, concludes))
    if (more := _COMPARED.search(clause)) and more[0].casefold() not in question.casefold():
        return None  # 5 more, where it was not asked how many more
    if _words(statement.unmasked(clause)) in _words(question):
        return None  # what the question has said already
    return statement


def _last_clause(sentence: str) -> tuple[str, bool]:
    """The last thing that a sentence says, and whether it follows from the rest."""
    clause, concludes = sentence, False
    while match := CLAUSES.pattern.search(clause):
        if not clause[match.end() :].strip():
            break
        clause, concludes = clause[match.end() :], match[0].strip(" ,:;") != ""
    return REASONS.pattern.split(clause)[0].strip(" ,"), concludes


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _asked_of(statement: Statement, question: str, concludes: bool) -> bool:
    """Whether a statement is about what the question names, and not about something on the way."""
    subject = statement.subject.casefold()
    if not subject or subject in PRONOUNS:
        return True
    if not question:
        return concludes
    asked = question.casefold()
    if any(statement.unmasked(sign).strip("$ ") not in question for sign in re.findall(FORMULA, subject)):
        return False
    if any(number not in asked for number in re.findall(r"\d+", subject)):
        return False
    if (number := number_from_words(subject.split())) and str(number[0]) in re.findall(r"\d+", asked):
        return True
    words = _WORDS.findall(subject)
    return all(word in GENERIC or word in PRONOUNS or word.rstrip("s") in asked or is_thing(word) for word in words)
