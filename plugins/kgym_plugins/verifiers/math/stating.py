"""Which phrase of a statement is its answer: the one value that has the kind of the gold answer, with any value."""

import re
from collections.abc import Iterator
from dataclasses import replace

from kgym.types import VerifyItem
from kgym_plugins.verifiers.math.find.blocks import labelled
from kgym_plugins.verifiers.math.find.boxes import boxes
from kgym_plugins.verifiers.math.find.candidates import TAIL, Extraction, key
from kgym_plugins.verifiers.math.find.extract import NO_ANSWER, spoken
from kgym_plugins.verifiers.math.find.only import only_new
from kgym_plugins.verifiers.math.find.places import is_another_place
from kgym_plugins.verifiers.math.find.sentences import last_sentence
from kgym_plugins.verifiers.math.find.statements import Statement, stated
from kgym_plugins.verifiers.math.find.told import told
from kgym_plugins.verifiers.math.kinds import ORDINAL, kind_of
from kgym_plugins.verifiers.math.limits import LimitError
from kgym_plugins.verifiers.math.phrases.another import is_another_name, is_another_thing, of_another
from kgym_plugins.verifiers.math.phrases.cues import AROUND_NUMBER
from kgym_plugins.verifiers.math.phrases.items import named_values, names_first
from kgym_plugins.verifiers.math.phrases.languages import COMMA_NOUNS
from kgym_plugins.verifiers.math.phrases.numbers import NUMBER_WORDS, counted
from kgym_plugins.verifiers.math.phrases.properties import names_property
from kgym_plugins.verifiers.math.phrases.statements import FORMULA, NO
from kgym_plugins.verifiers.math.phrases.units import unit_named
from kgym_plugins.verifiers.math.reading import gold_answer, gold_readings, read
from kgym_plugins.verifiers.math.restated import restated
from kgym_plugins.verifiers.math.tables import name_list
from kgym_plugins.verifiers.math.trace import note
from kgym_plugins.verifiers.math.values.interpret import part
from kgym_plugins.verifiers.math.values.types import (
    Assignments,
    Collection,
    Equation,
    Ordered,
    Scalar,
    Value,
)

_AMOUNT = re.compile(
    r"(?P<number>\d[\d.,]*)\s?(?P<unit>(?P<first>[A-Za-z]{1,4})(?:\^?[23])?(?:/[A-Za-z]{1,4}(?:\^?[23])?)?)"
)
_DENIED_OR_SEVERAL = re.compile(rf"{NO.pattern.pattern}|\b(?:or|either)\b", re.IGNORECASE)
_CHAIN = re.compile(r"\$(?P<sides>[^$]{1,400}=[^$=<>]{1,80})\$(?P<rest>[^$]*)")
_CHAIN_SIGN = re.compile(r"=|\\approx|≈")
_IN_SO_MUCH = re.compile(rf"\bin\s+(?:\d+|{'|'.join(sorted(NUMBER_WORDS))})\s+([a-z]+)", re.IGNORECASE)
_NUMBERED = re.compile(r"(?:the\s+)?(?:option|choice)\s+\(?([1-9])\)?(?:[).:]\s.{1,60})?", re.IGNORECASE)
_EVERY = re.compile(
    r"(?:every|all|any|each)\s+(?P<kind>(?:[a-z-]+\s+){0,2}(?:numbers?|integers?)|real(?=\s+(?:values?|\$)))"
    r"(?:\s+values?)?(?:\s+of)?(?:\s+\$[a-zA-Z]\$)?",
    re.IGNORECASE,
)
_COMMA_DECIMAL = re.compile(r"(?P<whole>-?\d{1,9}),(?P<digits>\d{1,9})(?P<rest>(?:\s?[^\d\s,;]\S{0,12}){0,3})")
_TAIL = 500
_NUMERAL = re.compile(
    rf"\d|{FORMULA}|\b(?:{'|'.join(sorted(NUMBER_WORDS - {'second', 'third'}))}|dozen)\b", re.IGNORECASE
)
_CUTS = re.compile(r",?\s+(?=[a-z])")
_FORMULA_AHEAD = re.compile(rf"(?:(?!(?:to|from|than|of|not|with|at)\s)[a-z]+\s+){{0,3}}(?P<formula>{FORMULA})")
_FORMULAS_AHEAD = re.compile(
    r"(?:(?!(?:to|from|than|of|not|with|at)\s)[a-z-]+\s+){0,4}"
    rf"(?P<formulas>{FORMULA}(?:(?:,|,?\s+(?:and|or))\s*{FORMULA})*)"
)
_NAMED_SIDE = re.compile(r"\s*(?P<left>[^=<>]{1,80}?)\s*=(?:[^=<>]{1,200}=)*\s*(?P<right>[^=<>]{1,200})\s*")
_COMMAND = re.compile(r"\\(?:operatorname\{)?(det|gcd|lcm|deg|dim|rank|tr|min|max)(?![A-Za-z])")
_CALLED = {
    "det": "determinant",
    "gcd": "greatest common",
    "lcm": "least common",
    "deg": "degree",
    "dim": "dimension",
    "tr": "trace",
} | {
    "rank": "rank",
    "min": "min",
    "max": "max",
}
_HOW_MANY = re.compile(
    r"how\s+many\b[^.?!]{0,40}\b(?:solutions?|roots?|zeros)\b"
    r"|number\s+of\s+(?:\w+\s+){0,2}(?:solutions?|roots?|zeros)\b",
    re.IGNORECASE,
)
_AROUND_WORDS = frozenset(name_list("with to on in at by from of that which everywhere here whose there along through"))
_DANGLING = frozenset(name_list("of the a an and or in on per each every to"))
_NAME_BEFORE = re.compile(r"(?<![A-Za-z\\])([A-Za-z](?:_\w|_\{\w+\})?)\s*=\s*\Z")
_BEFORE_CLAUSE = re.compile(r"\A.*(?:[.:;,!?]|\b(?:so|that|and))\s", re.DOTALL)
_ASKED_UNIT = re.compile(
    r"\b(?:in|how\s+many)\s+(?:\\(?:text|mathrm)\{\s*)?"
    r"(?P<unit>(?!a\b|an\b|the\b|terms\b)[A-Za-z]{1,12})\b(?!\s*(?:per|/|\^|²|³|squared))",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_RELATIVE = re.compile(
    r"(?:,\s+which\s+(?:is|equals)\s+[-\d$(\\][^,!?\n]{0,80}?|(?<=[a-z]):\s+\d[^:.!?\n]{0,120})[.!]?\s*\Z"
)
"""What a value is made of, after it: 9, which is 3 times 3; 9 edges: 3 on each base and 3 between them."""
_COMPUTED = re.compile(
    r"\\(?:int|sum|prod|lim|binom|iint|oint)(?![a-z])|(?:\]|\||\\right[\])|.]|\\[Bb]igg?[lr]?[\])|])_"
)
"""A side of an equation that is a number, with any letters: an integral, a sum, a limit, a value between limits."""
_SUM_OF_AMOUNTS = re.compile(
    r"\W{0,4}(?:\d[\d.,]*\s?[A-Za-z]{1,9}\s*[-+−]\s*){1,5}\d[\d.,]*\s?(?P<other>[A-Za-z]{1,9})\s*=\s*"
    r"(?P<number>\d[\d.,]*)\s?(?P<unit>[A-Za-z]{1,9})[.!*\s]{0,4}"
)
_LAST_PART = re.compile(r",\s+(?=(?:[^\W\d_]{2,}\s+){2})([^,]{8,80})\Z")
_COUNTED = re.compile(r"\W{0,3}\d[\d.,]*\s+([a-z]{3,})\b")
_PER = re.compile(r"(?P<amount>\W{0,3}\d.{0,40}?)\s+(?:an?|per|each|every)\s+(?P<unit>[a-z]{3,9})\W{0,3}")
_CONVERSION = re.compile(
    r"\W{0,4}\d[\d.,]*\s?(?P<other>[A-Za-z]{1,9})[²³]?\s*[=≈]\s*"
    r"(?P<number>\d[\d.,]*)\s?(?P<unit>[A-Za-z]{1,9})[²³]?[.!*\s]{0,4}"
)
_SHORT_NAME = 8
_MOST_WORDS = 14
_NUMBER_OF_THINGS = re.compile(rf"{FORMULA}(?:\s+[a-z]+){{0,5}}", re.IGNORECASE)


SENTENCE_RULES = frozenset({"", "bold", "conclusion", "whole"})


def said_at_last(item: VerifyItem, found: Extraction) -> str | None:
    """Return the answer that the last sentence of a response states, where no rule has found a value of the kind of
    the gold answer.
    """
    for shorter in (_with_comma, _without_asked_rate, restated):
        if (answer := shorter(item, found)) is not None:
            return answer
    if found.rule == "boxed" and not found.problem:
        return _named_boxes(item)
    if found.rule not in SENTENCE_RULES or (not found.rule and found.problem != NO_ANSWER) or len(found.answers) > 1:
        return None
    if found.rule == "bold" and len(found.answers[0].split()) < 4 and f"**{found.answers[0]}" in item.response:
        return None
    text, problem = spoken(item.response)
    if (
        not problem
        and (values := labelled(text))
        and kind_of(item.gold, gold_readings(item.gold)[0]) == "values"
        and _assigned(values)
    ):
        return values
    if problem:
        return None
    last = text[-TAIL:].rpartition("\n")[2]
    conversion = (
        (_CONVERSION.fullmatch(last) or _SUM_OF_AMOUNTS.fullmatch(last)) if len(last) < _MOST_WORDS * 10 else None
    )
    if conversion and unit_named(conversion["unit"]) and unit_named(conversion["other"]):
        return rf"{conversion['number']} \text{{ {conversion['unit']}}}"
    said = _stated_of_kind(text, item, found)
    if said is None and (relative := _RELATIVE.search(text, max(0, len(text) - TAIL))):
        said = _stated_of_kind(text[: relative.start()] + ".", item, found)  # 9, which is 3 times 3
    return said


def _stated_of_kind(text: str, item: VerifyItem, found: Extraction) -> str | None:
    """What the last sentence of a text states that has the kind of the gold answer, if nothing of this kind was
    found.
    """
    if (statement := stated(text, item.question)) is None:
        return None
    try:
        gold = gold_answer(item.gold)
        value = gold_readings(item.gold)[0]
        answer = found.answers[0] if found.answers else ""
        if (
            answer
            and kind_of(answer, read(answer)) == kind_of(gold, value)
            and not _is_of_question(answer, item.question)
        ):
            return None
        if statement.kind == "none" and kind_of(gold, value) == "number" and _HOW_MANY.search(item.question):
            return "0" if "complex" not in item.question.casefold() else None
        if (chosen := _NUMBERED.fullmatch(statement.said)) and statement.asked:
            numbered = re.search(rf"(?<![\d.]){chosen[1]}[).]\s", item.question) and gold.strip("() ").isdecimal()
            return chosen[1] if numbered else None
        said = answer_of(statement, gold, value, item.question)
        if said is None and kind_of(gold, value) == "number" and statement.sentence:
            told_value = told(statement.sentence, statement.formulas, text[-TAIL:], item.question)
            said = told_value if told_value and kind_of(told_value, read(told_value)) == "number" else None
    except (LimitError, RecursionError):
        return None
    if said is not None:
        note("find", "by the last sentence, as a statement:", repr(said))
    return said


def _without_asked_rate(item: VerifyItem, found: Extraction) -> str | None:
    """An answer without "a week", where the question has it and the gold answer leaves it out."""
    match = _PER.fullmatch(found.answers[0]) if len(found.answers) == 1 and not found.problem else None
    if match is None or re.search(r"/|\bper\b|\ba\b", item.gold):
        return None
    asked = re.search(
        rf"\b(?:an?|per|each|every|(?:in|of)\s+(?:an?|one))\s+{match['unit']}\b", item.question, re.IGNORECASE
    )
    return match["amount"] if asked else None


def _named_boxes(item: VerifyItem) -> str | None:
    """Boxes with a name before or after each, where the gold answer has several values: the center is (1, 2) and the
    radius is 4.
    """
    if item.response.count("box") < 2 or not isinstance(
        gold_readings(item.gold)[0], Assignments | Ordered | Collection
    ):
        return None
    text, _ = spoken(item.response)
    found = boxes(text[-TAIL:])
    line = text[-TAIL:].rstrip()
    if len(found) < 2 or any(box.content is None for box in found):
        return None
    begin = max(line.rfind("\n\n", 0, found[0].begin), line.rfind("\n\n", 0, found[-1].begin - 200)) + 1
    inside = [box for box in found if box.begin >= begin]
    sides = [_NAME_BEFORE.search(line, max(0, box.begin - 20), box.begin) for box in inside]
    if len(inside) > 1 and all(sides):
        return ", ".join(f"{side[1]} = {box.content}" for side, box in zip(sides, inside, strict=True) if side)
    unboxed, at = "", begin
    for box in inside:
        unboxed, at = f"{unboxed}{line[at : box.begin]}{box.content}", box.end
    unboxed = re.sub(r"\s+", " ", unboxed + line[at:])
    return _assigned(named_values(unboxed)) or _assigned(named_values(names_first(unboxed)))


def _with_comma(item: VerifyItem, found: Extraction) -> str | None:
    """An answer of a language that writes 2,5 for two and a half, where the gold answer is one number."""
    match = (
        _COMMA_DECIMAL.fullmatch(found.answers[0].strip("*$ ."))
        if len(found.answers) == 1 and not found.problem
        else None
    )
    if match is None or re.fullmatch(r"\d{3}", match["digits"]) or not COMMA_NOUNS.search(item.response[-_TAIL:]):
        return None
    return (
        f"{match['whole']}.{match['digits']}{match['rest']}"
        if isinstance(gold_readings(item.gold)[0], Scalar)
        else None
    )


def _is_of_question(answer: str, question: str) -> bool:
    """Whether an answer is a number that the question has, so that the sentence may say another one."""
    numbers = _NUMBER.findall(answer)
    return bool(numbers) and set(numbers) <= set(_NUMBER.findall(question))


def answer_of(statement: Statement, gold: str, value: Value, question: str = "") -> str | None:
    """Return the phrase of a statement that has the kind of the gold answer; None if there is none, or more than
    one.
    """
    kind = kind_of(gold, value)
    if statement.kind:
        return statement.said if kind == statement.kind else None
    if kind == "reply":
        return statement.reply or None
    if kind == "values" and (values := _assigned(named_values(statement.unmasked(statement.sentence)))):
        return values
    said = _said(statement, kind, question)
    return said if said and not _is_of_question(said, question) else _only_new(statement, kind, question) or said


def _in_digits(text: str) -> str:
    """Counted things with digits: of "four triangular faces" only the number is what is asked for."""
    found = counted(text.casefold().split())
    return text if found is None or found[0][1] != 1 else f"{found[0][0]} {' '.join(found[1])}"


def _assigned(text: str) -> str | None:
    """A text that gives values to names; None for any other."""
    return text if text and isinstance(read(text), Assignments) else None


def _only_new(statement: Statement, kind: str, question: str) -> str | None:
    """The one value that the last clause adds to what the question says."""
    if kind not in ("number", "formula", "values", "time") or not statement.clause:
        return None
    said = only_new(statement.clause, statement.formulas, question)
    if said is None and (part := _LAST_PART.search(statement.clause)):
        said = only_new(part[1], statement.formulas, question)  # the roots are 2 and 3, their sum is 5
    return None if said is None else _said(replace(statement, said=said, subject="", asked=True), kind, question)


def _said(statement: Statement, kind: str, question: str) -> str | None:
    """The phrase with which it begins what it says that has this kind, if what follows adds nothing."""
    if not statement.said or not kind or _DENIED_OR_SEVERAL.search(statement.subject):
        return None
    if kind != "property" and NO.pattern.search(statement.said) and not NO.pattern.search(question):
        return None
    if not statement.asked and not (statement.alone and kind == "number"):
        return None  # about something on the way
    for phrase, rest in _beginnings(statement, kind):
        if phrase.rpartition(" ")[2] in _DANGLING:
            continue
        text = _with_unit(
            _side_of_asked(
                _last_side(statement.unmasked(phrase)) if kind == "number" else statement.unmasked(phrase),
                kind,
                question,
            )
        )
        if any(unit_named(word) for word in _IN_SO_MUCH.findall(text)):
            continue  # 65 km in three hours
        if kind == "number" and kind_of(text, read(text)) != kind:
            text = _in_digits(text)
        if kind_of(text, read(text)) == kind and _adds_nothing(_without_asked(rest, question), kind):
            return text
    return None


def _has_another_unit(answer: str, item: VerifyItem) -> bool:
    """Whether an answer has a unit, the gold answer has none, and the question asks for another unit of the same or
    of another kind.
    """
    asked = [
        unit
        for match in _ASKED_UNIT.finditer(item.question)
        if (unit := unit_named(match["unit"])) is not None and unit.dimension
    ]
    if len(asked) != 1 or not isinstance(gold := gold_readings(item.gold)[0], Scalar) or gold.unit.dimension:
        return False
    value = read(answer)
    if isinstance(value, Equation):
        value = part(value.right)
    if not isinstance(value, Scalar) or not value.unit.dimension:
        return False
    return (value.unit.dimension, value.unit.size) != (asked[0].dimension, asked[0].size)


def is_of_another(item: VerifyItem, found: Extraction) -> bool:
    """Whether the sentence that an answer was taken from, or the answer itself, says that it is of something else
    than what was asked.
    """
    if not item.question or len(found.answers) != 1:
        return False
    side = found.answers[0].partition("=")
    if side[1] and (of_another(side[0], item.question) or is_another_name(side[0], item.question)):
        return True
    if _has_another_unit(found.answers[0], item):
        return True
    if found.rule not in SENTENCE_RULES and found.rule != "statement":
        return False
    line = spoken(item.response)[0][-TAIL:].rstrip().rpartition("\n")[2]
    said = found.answers[0].strip("*$ ")
    is_stated = found.rule == "statement"
    if (counted_thing := _COUNTED.match(said)) and is_another_thing(counted_thing[1], item.question, stated=is_stated):
        return True
    if (label := said.partition(": "))[1] and of_another(label[0], item.question):
        return True
    if is_another_place(last_sentence(line), item.question):
        return True
    before = line[: line.rfind(said)]
    return of_another(_BEFORE_CLAUSE.sub("", before), item.question) or of_another(
        re.sub(r"\$[^$]*\$", "", said), item.question, places=False
    )


def _without_asked(rest: str, question: str) -> str:
    """What follows a phrase, with "it" for numbers of the question: of 7 multiples of 3 up to 21 only the 7 is new."""
    asked = set(_NUMBER.findall(question))
    return _NUMBER.sub(lambda match: "it" if match[0] in asked else match[0], rest)


def _adds_nothing(rest: str, kind: str) -> bool:
    """Whether what follows the phrase says no second value, and does not belong to it."""
    words = rest.split()
    if not words:
        return True
    if kind == "property" and words[:2] == ["but", "not"]:
        return True  # injective but not surjective
    if words[0] in ("and", "or", "but", "nor") or _NUMERAL.search(rest):
        return kind == "property" and words[0] in ("with", "whose") and not names_property(rest)
    if kind in ("number", "formula"):
        return words[0] in AROUND_NUMBER and not ORDINAL.search(rest)
    return words[0] in _AROUND_WORDS and not names_property(rest) and not ORDINAL.search(rest)


def _last_side(text: str) -> str:
    """A calculation without the sides that have letters; its last side only, if something follows: `$32 + 16 = 48$
    clips` is 48 clips.
    """
    match = _CHAIN.fullmatch(text)
    if match is None or re.search(r"[<>]|\\(?:leq?|geq?|lt|gt|equiv|ne)(?![a-z])", match["sides"]):
        return text
    sides = [side.strip() for side in _CHAIN_SIGN.split(match["sides"])]
    numeric = [kind_of(side, read(side)) == "number" for side in sides]
    if _COMPUTED.search(sides[0]) and numeric[-1] and not match["rest"].strip():
        return f"${sides[-1]}$"
    if not all(numeric[1:]) and not (len(sides) > 2 and numeric[-2] and numeric[-1]):
        return text
    if match["rest"].strip():
        rest = match["rest"].strip(" .")
        rest = rf"\text{{ {rest}}}" if unit_named(rest.split()[0]) else rest
        return f"{sides[-1]} {rest}" if all(numeric) or len(sides[0]) < _SHORT_NAME or len(sides) > 2 else text
    begin = len(sides) - next((at for at, known in enumerate(reversed(numeric)) if not known), len(sides))
    return (
        "$" + " = ".join(sides[begin:]) + "$"
        if len(sides) - begin > 1 and begin and "approx" not in match["sides"]
        else text
    )


def _side_of_asked(text: str, kind: str, question: str) -> str:
    """The last side of an equation for what the question has on the first side: `$\\det A = 5$` says 5."""
    match = (
        _NAMED_SIDE.fullmatch(text[1:-1])
        if kind in ("number", "formula") and text.startswith("$") and text.endswith("$")
        else None
    )
    if match is None:
        return text
    command = _COMMAND.match(match["left"])
    called = command is not None and (command[0] in question or _CALLED[command[1]] in question.casefold())
    alone = rf"(?<![+*/^-]){re.escape(key(match['left']))}(?![+*/^\d-])"  # not a part of another formula
    named = len(match["left"]) > 1 and re.search(alone, key(question)) is not None
    return f"${match['right']}$" if called or named else text


def _with_unit(text: str) -> str:
    """A number with signs of units, which the grammar would take for letters outside of a sentence: 12 m/s."""
    match = _AMOUNT.fullmatch(text)
    return rf"{match['number']} \text{{ {match['unit']}}}" if match and unit_named(match["first"]) else text


def _beginnings(statement: Statement, kind: str) -> Iterator[tuple[str, str]]:
    """What is said, from the longest beginning to the shortest, each with what it leaves out."""
    said = statement.said
    if kind == "values":
        if every := _EVERY.fullmatch(statement.unmasked(said)):
            yield f"all {every['kind']}", ""
            return
        if match := _FORMULAS_AHEAD.match(said):
            yield match["formulas"], said[match.end() :]
        return
    if kind == "formula" or (kind == "number" and not _NUMBER_OF_THINGS.match(said)):
        if match := _FORMULA_AHEAD.match(said):
            yield match["formula"], said[match.end() :]
            return
        if kind == "formula":
            return
    cuts = [len(said), *(match.start() for match in reversed(list(_CUTS.finditer(said))))]
    for cut in cuts[:_MOST_WORDS]:
        yield said[:cut], said[cut:]
