"""The last sentence of a response, as a statement: what it says, and of what. It does not say what kind of answer is
looked for.
"""

import re
from dataclasses import dataclass, replace

from kgym_plugins.verifiers.math.find.candidates import TAIL
from kgym_plugins.verifiers.math.find.only import named_in
from kgym_plugins.verifiers.math.find.places import without_place
from kgym_plugins.verifiers.math.find.replies import replied
from kgym_plugins.verifiers.math.find.sums import with_money, worked_out
from kgym_plugins.verifiers.math.phrases.after_statement import BEHIND, REJECTED
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
    LABELLED,
    OBJECTIONS,
    PRONOUNS,
    REASONS,
    SUPPOSED,
    UNSAID,
)
from kgym_plugins.verifiers.math.phrases.table import Table
from kgym_plugins.verifiers.math.phrases.units import unit_named

_INLINE = re.compile(
    r"`[^`\n]{1,200}`|\\\$\s?\d[\d,]*(?:\.\d+)?(?:/[a-z]+)?|\$([^$]{1,300})\$|\\\(((?:(?!\\\)).){1,300})\\\)"
)
_BETWEEN_SIGNS = re.compile(r"((?<!\\)\$[^$]{1,300}(?<!\\)\$|\\\((?:(?!\\\)).){1,300}\\\)|`[^`\n]{1,200}`)")
_MOST_FORMULAS = 40
_LONGEST = 400
_LONGEST_LINE = 2000
_SENTENCES = re.compile(
    rf"(?<=[.!?])(?<!i\.e\.)(?<!e\.g\.)(?<!vs\.)\s+(?=[A-ZÀ-ÖØ-ÞĀ-ŽЀ-Я¿¡\\∴]|{FORMULA})|(?<=[。！？])\s*(?=\S)"
)
_STOP_INSIDE = re.compile(r"\.(\$|\\\)|\*\*)\Z")
_ENDED = (".", "!", "。", "！", "$", "\\)", "*", "`")
_STOPS = re.compile(r"(?:(?<![ap]\.m)(?<!sq)[.!。！]|\s)+\Z")
_FORMULA_LINE = re.compile(r"\W{0,4}(?:[A-Za-z]{1,2}(?:_\w)?|[A-Z][A-Za-z ]{1,40})\s*=[^=]{1,200}=[^=]{1,60}")
_MEASURED_LINE = re.compile(r"\W{0,4}[A-Za-z]\s*=\s*-?\d[\d.,]*\s?[A-Za-z°%][A-Za-z/^²³°0-9]{0,9}")
_EQUALS_INSIDE = re.compile(r"(?<=[A-Za-z)])\s+\$\s*=\s*")
"""A sign of equality with which a formula begins, after words: the area $= 6$."""
_CHOICE_LINE = re.compile(r"\W{0,4}(?:option|choice)\s+\(?[A-J1-9]\)?(?:[).:]\s.{1,60})?", re.IGNORECASE)
_LABEL_LINE = re.compile(r"\W{0,4}[A-Za-z$][A-Za-z -]{2,40}\$?\s?:[*_]{0,2}\s+\S.*")
_COMPARED = re.compile(r"\b(?:more|less|fewer|extra)\b", re.IGNORECASE)
_LETTERS_ONLY = re.compile(
    r"\W{0,2}\s*[A-Za-z](?:_\w|_\{\w+\})?(?:\s*,\s*[A-Za-z](?:_\w|_\{\w+\})?)*"
    r"(?:\s*\\in\s*\\mathbb\s*\{?[A-Z]\}?)?\s*\W{0,2}"
)
_APPOSED = re.compile(r"\bnamely,?\s*\Z", re.IGNORECASE)
_OPERATION = re.compile(
    r"(?:re[a-z]+ing|checking|computing|calculating|evaluating|simplifying|both\s+(?:methods|ways|approaches|sides)"
    r"|doubling|tripling|halving|squaring|cubing|adding|subtracting|multiplying|dividing|summing|taking"
    r"|integrating|differentiating|expanding|substituting)\b",
    re.IGNORECASE,
)
_WORKING = re.compile(
    r"(?:by|using|from|with|[a-z]{2,20}ing|multiply|divide|add|subtract"
    r"|simplify|solve|expand|factor|square|evaluate|compute|substitute|combine)\b"
    r"|.*\b(?:rule|theorem|formula|identity|method|law|result|total|finally|simplified|expansion)\Z",
    re.IGNORECASE,
)
"""How a label begins that tells what is done, and not what the value is of."""
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
    reply: str = ""
    """Yes or no, if the question asks for one of them and the clause says so in its words."""
    sentence: str = ""
    clause: str = ""
    """The last thing that the sentence says."""

    def unmasked(self, text: str) -> str:
        """Put the formulas back."""
        return re.sub(FORMULA, lambda match: self.formulas[ord(match[0]) - ord(FIRST_FORMULA)], text)


def stated(text: str, question: str) -> Statement | None:
    """Return what the last sentence states of what was asked; None if it states nothing.

    >>> stated("Two full cartons contain two dozen eggs.", "").said, stated("Perhaps it is 5.", "")
    ('two dozen eggs', None)
    """
    tail = text[-TAIL:].strip()
    if len(tail) - tail.rfind("\n") > _LONGEST_LINE:
        return None
    line = with_money(_STOP_INSIDE.sub(r"\1.", tail.rpartition("\n")[2].strip()))
    ended = line.endswith(_ENDED) or line.rstrip("*").endswith((".", "!"))
    ended = ended or any(
        pattern.fullmatch(line) for pattern in (_LABEL_LINE, _FORMULA_LINE, _MEASURED_LINE, _CHOICE_LINE)
    )
    if not ended or line.endswith("...") or (line.count("$") - line.count("\\$")) % 2:
        return None
    formulas: list[str] = []

    def mask(match: re.Match[str]) -> str:
        formulas.append(match[0])
        return chr(ord(FIRST_FORMULA) + len(formulas) - 1) if len(formulas) <= _MOST_FORMULAS else match[0]

    line = _EQUALS_INSIDE.sub(" is $", line)
    line = "".join(
        part if at % 2 else worked_out(part.replace("**", "")) for at, part in enumerate(_BETWEEN_SIGNS.split(line))
    )
    sentences = _SENTENCES.split(_INLINE.sub(mask, line).replace("**", ""))
    sentence = _STOPS.sub("", sentences[-1])
    if (
        len(sentence) > _LONGEST
        or len(formulas) > _MOST_FORMULAS
        or "\\" in sentence
        or "$" in sentence.replace("\\$", "")
    ):
        return None
    if cases := cases_of(sentence, Statement("", formulas=tuple(formulas)).unmasked):
        return Statement(cases, kind="pieces")
    if objection := OBJECTIONS.pattern.search(sentence):
        sentence = sentence[objection.end() :]
    sentence = _REDUCED.sub(r"\1", sentence)
    if rejected := REJECTED.pattern.search(sentence):
        sentence = sentence[: rejected.start()]
    sentence = without_place(_THEN.sub("", sentence), tuple(formulas), question)
    if matched(SUPPOSED, sentence, question) or matched(DOUBTING, sentence, question):
        return None
    sentence = _without_remarks(sentence, formulas)
    alone = len(sentences) == 1 and "\n" not in tail
    if (match := LABELLED.whole(sentence)) and not _WORKING.match(match["subject"]):
        named = Statement(match["said"], match["subject"], formulas=tuple(formulas))
        return replace(named, asked=_asked_of(named, question, False))
    if (last := _AND_CALCULATED.search(sentence)) and formulas[ord(last[1]) - ord(FIRST_FORMULA)].count("=") > 1:
        sentence = "so " + last[1]
    clause, concludes = _last_clause(sentence)
    reply = replied(clause, question)
    clause = _last_step(clause, formulas)
    if matched(UNSAID, clause, question):
        return Statement("", reply=reply) if reply else None
    bare = Statement("", formulas=tuple(formulas), sentence=sentence, clause=clause, reply=reply)
    if (concludes or alone) and (match := ALONE.whole(clause)):
        said = match.groupdict().get("said") or clause
        asked = _apposed_to_asked(sentence, clause, formulas, question)
        return replace(bare, said=said, asked=asked, clause=clause if asked else "")
    if (match := FRAMES.whole(clause)) is None:
        return bare
    groups = match.groupdict()
    if re.search(r"\b(?:contain|includ|cover)", clause) and not re.search(r"\d|\bdozen", groups.get("said", "0")):
        return None  # it contains this, and perhaps more
    if "none" in groups:
        return Statement("no solution", kind="none")
    said, subject = groups.get("said") or groups.get("taken"), groups.get("subject") or groups.get("of")
    statement = replace(bare, said=said or "", subject=subject or "", alone=alone)
    statement = replace(statement, asked=_asked_of(statement, question, concludes))
    if (more := _COMPARED.search(clause)) and more[0].casefold() not in question.casefold():
        return None  # 5 more, where it was not asked how many more
    if _words(statement.unmasked(clause)) in _words(question):
        return None  # what the question has said already
    return statement


def matched(table: Table, text: str, question: str) -> bool:
    """Whether a text has a phrase of a table that the question does not have, or one right before a value.

    >>> texts = "at least one 6 has 11 of 36", "it is at least 5"
    >>> [matched(UNSAID, text, "How likely is at least one 6?") for text in texts]
    [False, True]
    """
    asked = question.casefold()
    return any(not _is_of_question(match, text, asked) for match in table.pattern.finditer(text))


def _is_of_question(match: re.Match[str], text: str, asked: str) -> bool:
    """Whether a phrase is of the question, or bounds a number of the question after the value: 7 of them are below
    50.
    """
    number = _VALUE_NEXT.match(text, match.end())
    if number is None:
        return match[0].casefold() in asked
    known = number[1] is not None and re.search(rf"(?<!\d){re.escape(number[1])}(?!\d)", asked) is not None
    return (
        known
        and _BOUND.fullmatch(match[0].strip()) is not None
        and re.search(rf"\d|{FORMULA}", text[: match.start()]) is not None
    )


_BOUND = re.compile(
    r"up\s+to|below|above|under|over|between|than|(?:less|greater|more|fewer)\s+than|at\s+most", re.IGNORECASE
)


_VALUE_NEXT = re.compile(rf"\s*(?:{FORMULA}|[-\\$€£]?(\d+))")


def _last_clause(sentence: str) -> tuple[str, bool]:
    """The last thing that a sentence says, and whether it follows from the rest."""
    clause, concludes = sentence, False
    while match := CLAUSES.pattern.search(clause):
        if not clause[match.end() :].strip():
            break
        clause, concludes = clause[match.end() :], match[0].strip(" ,:;") != ""
    return REASONS.pattern.split(clause)[0].strip(" ,"), concludes


def _last_step(clause: str, formulas: list[str]) -> str:
    """The last of several equations for one letter, of which only the last one is solved: 3n = 21, n = 7."""
    if not _STEPS.fullmatch(clause):
        return clause
    signs = re.findall(FORMULA, clause)
    sides = [formulas[ord(sign) - ord(FIRST_FORMULA)].strip("$\\() ").split("=") for sign in signs]
    if all(len(side) > 1 and _CALLED.fullmatch(side[0].strip()) for side in sides):
        return signs[-1]  # g(2) = 3 and f(3) = 9
    letter = sides[-1][0].strip()
    if not re.fullmatch(r"[a-zA-Z]", letter) or any(len(side) < 2 or side[0].strip() == letter for side in sides[:-1]):
        return clause
    return (
        signs[-1]
        if all(re.search(rf"(?<![A-Za-z\\]){letter}(?![A-Za-z])", "=".join(side)) for side in sides)
        else clause
    )


_REDUCED = re.compile(
    rf"{FORMULA},?\s+(?:or|i\.e\.|that\s+is|which\s+is)\s+({FORMULA})\s+in\s+"
    r"(?:lowest|simplest|reduced|simplified)\s+(?:terms|form)"
)
"""A fraction, and the same in lowest terms."""
_THEN = re.compile(r"\A(?:so|hence|thus|therefore|then),?\s+(?=(?:for|on|at|when|if)\s)", re.IGNORECASE)
_CALLED = re.compile(r"[A-Za-z](?:'+|\^\{?(?:\\prime)+\}?)?\([^()]*\)")
_AND_CALCULATED = re.compile(rf",\s+and\s+({FORMULA})\Z")
"""A calculation at the end of a sentence: the slope is zero at x = 2, and f(2) = -4 + 8 + 1 = 5."""
_STEPS = re.compile(rf"{FORMULA}(?:(?:,|;|,?\s+(?:so|then|and|hence|thus|giving|gives|which\s+gives)),?\s*{FORMULA})+")


def _without_remarks(sentence: str, formulas: list[str]) -> str:
    """A sentence without what its letters stand for, and without the value that it rejects."""
    while match := BEHIND.pattern.search(sentence):
        letters = re.findall(FORMULA, "".join(filter(None, match.groupdict().values())))
        if not all(_LETTERS_ONLY.fullmatch(formulas[ord(sign) - ord(FIRST_FORMULA)]) for sign in letters):
            break
        sentence = sentence[: match.start()]
    return sentence


def _apposed_to_asked(sentence: str, clause: str, formulas: list[str], question: str) -> bool:
    """Whether a value after "namely" stands for what was asked; any other consequence does."""
    head = sentence[: sentence.rfind(clause)]
    if not (apposed := _APPOSED.search(head)):
        return True
    main, _ = _last_clause(head[: apposed.start()].strip(" ,;:"))
    match = FRAMES.whole(main)
    groups = match.groupdict() if match else {}
    return "said" in groups and _asked_of(
        Statement(groups["said"], groups.get("subject") or "", formulas=tuple(formulas)), question, False
    )


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
    if _OPERATION.match(subject):
        return True  # tripling 54, which the question names
    words = _WORDS.findall(subject)
    return all(
        word in GENERIC or word in PRONOUNS or named_in(word, asked) or is_thing(word) or unit_named(word)
        for word in words
    )
