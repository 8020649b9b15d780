"""Answers that repeat something of the question beside their value: the formula that it asks for, a choice with its
text, a label.
"""

import re

from kgym.types import VerifyItem
from kgym_plugins.verifiers.math.echo import same_formula
from kgym_plugins.verifiers.math.find.candidates import TAIL, Extraction, key
from kgym_plugins.verifiers.math.find.compared import compared, relation_of
from kgym_plugins.verifiers.math.find.everywhere import of_all
from kgym_plugins.verifiers.math.find.extract import spoken
from kgym_plugins.verifiers.math.find.first import first_value
from kgym_plugins.verifiers.math.find.offered import offered
from kgym_plugins.verifiers.math.find.only import is_known
from kgym_plugins.verifiers.math.find.places import is_another_place
from kgym_plugins.verifiers.math.find.sentences import after_verb, last_sentence
from kgym_plugins.verifiers.math.grammar.nodes import symbols
from kgym_plugins.verifiers.math.kinds import kind_of
from kgym_plugins.verifiers.math.phrases.another import of_another
from kgym_plugins.verifiers.math.phrases.languages import COMMA_THEREFORE, DENIED, NO_ELSEWHERE, UNSURE_ELSEWHERE
from kgym_plugins.verifiers.math.phrases.numbers import number_from_words
from kgym_plugins.verifiers.math.phrases.statements import NO
from kgym_plugins.verifiers.math.phrases.units import unit_named
from kgym_plugins.verifiers.math.reading import gold_answer, gold_readings
from kgym_plugins.verifiers.math.values.types import Collection, Matrix, Ordered, RealSet, Scalar, Words

_ASKED_FORMULA = re.compile(
    r"\b(?:find|compute|evaluate|calculate|determine|simplify|what\s+is)\s+"
    r"(?:the\s+(?:exact\s+|numerical\s+)?value\s+of\s+)?"
    r"(?:\$\$?(?P<dollars>[^$]{3,200})\$|\\\((?P<round>(?:(?!\\\)).){3,200})\\\))[.?]*\s*\Z",
    re.IGNORECASE,
)
_EQUATION = re.compile(r"\W{0,2}(?P<left>[^=<>$]{3,200}?)=(?P<right>[^=<>$]{1,100}?)[$.\s]{0,4}")
_OPERATION = re.compile(r"[-+*/^(]|\\[a-z]")
_SUCH_THAT = re.compile(
    r"(?P<said>\$[^$]{1,60}\$)\s+is\s+the\s+(?:[a-z]+\s+){0,3}(?:integer|number|value|solution|root)\s+"
    r"(?:such\s+that|for\s+which|satisfying)\s+\$(?P<condition>[^$]{3,200})\$"
)
_LETTERS = re.compile(r"\(?[A-J]\)?(?:,\s?\(?[A-J]\)?){0,9}")
_CHOICE = re.compile(
    r"(?:the\s+)?(?:option\s+|choice\s+)?\(?(?P<letter>[A-J])\)?\s?[:.]?\s*(?P<content>\S.{0,200}?)?[.\s]*",
    re.IGNORECASE,
)
_SMALL = re.compile(r"(?:the\s+)?(?:(?:option|choice)\s+)?\(?[a-j]\)")
"""A small letter with a bracket, which names a choice."""
_SMALL_AT_LAST = re.compile(
    r"(?:\A|.*(?:[:,]|\b(?:is|get|choose|pick|gives|select)))\s*(?P<choice>\(?[a-j]\)\s+[^()\s][^()]{0,80})\Z"
)
_PICKING = re.compile(
    r"(?:\A|,\s+(?:so|hence|thus|therefore)\s+)(?:(?:so|hence|thus|therefore),?\s+)?(?:we\s+(?:pick|choose|select|take)"
    r"|I\s+(?:pick|choose|select)|(?:that|this)\s+leaves(?:\s+(?:only|us\s+with))?)\s+"
    r"(?P<choice>(?:option\s+|choice\s+)?(?-i:\([A-J]\)|[A-J](?![A-Za-z])).{0,200})\Z"
    r"|\bis\s[^,]{1,60},\s+(?P<named>(?:option|choice)\s+(?-i:\([A-J]\)|[A-J])\.?)\Z",
    re.IGNORECASE,
)
_UNCERTAIN = re.compile(
    r"\b(?:if|unless|might|would|could|may|maybe|perhaps|suppose|assum\w+|guess\w*|not|never|cannot|wrong\w*"
    r"|tempt\w*|or)\b(?!\s+sign)(?!\s+function)|n't\b|\?",
    re.IGNORECASE,
)
_ROW = re.compile(r"\|\s*\*\*(?P<label>[^|*\n]{2,40})\*\*\s*\|\s*\*\*(?P<value>[^|*\n]{1,60})\*\*\s*\|")
_POINT = re.compile(
    r"[*_]{0,3}(?P<label>[A-Za-z][A-Za-z "
    r"-]{2,40}):[*_]{0,3}\s+(?P<value>\(\s?-?\d[\d./]*(?:,\s?-?\d[\d./]*){1,3}\s?\))\.?"
)
_FACTOR_ASKED = re.compile(r"\bby\s+what\s+factor\b|\bhow\s+many\s+times\b", re.IGNORECASE)
_FACTOR = re.compile(
    r"(?:\A|,\s+)(?:so\s+)?(?:it|the\s+(?P<thing>\w+))\s+(?:becomes|is)\s+(?P<number>\d+|[a-z]{3,9})\s+"
    r"times\s+as\s+(?:large|big|great|much|many|high)[.!]*\Z",
    re.IGNORECASE,
)
_THING_ASKED = re.compile(r"\bby\s+what\s+factor\s+(?:does|do|is|will|has)\s+(?:the\s+|its\s+)?(\w+)", re.IGNORECASE)
_PLURAL = re.compile(r"\b(?:sont|sind|son|são|sono|равны|są|jsou|zijn|sunt)\b", re.IGNORECASE)
_DECIMAL = re.compile(r"(?P<whole>-?\d{1,9}),(?P<digits>\d{1,2}|\d{4,9})(?P<unit>\s?(?:[^\W\d_]{1,4}[²³]?|%|°))?")


def restated(item: VerifyItem, found: Extraction) -> str | None:
    """Return the value of an answer beside what it repeats of the question; None if it repeats nothing."""
    if (found.problem and found.rule) or len(found.answers) > 9:
        return None
    for value_of in _OF_ANSWERS if found.answers else ():
        if (value := value_of(item, found)) is not None:
            return value
    if found.rule not in _SENTENCES:
        return None
    text, problem = spoken(item.response)
    line = text[-TAIL:].rstrip().rpartition("\n")[2].strip()
    if problem or not line or len(line) > _LONGEST:
        return None
    if not found.answers and (first := first_value(text, item.question)) is not None:
        return first
    return next((value for value_of in _OF_LINES if (value := value_of(item, line)) is not None), None)


_LONGEST = 500
_SENTENCES = ("", "bold", "conclusion", "whole")


def _of_asked_formula(item: VerifyItem, found: Extraction) -> str | None:
    r"""The right side of an equation, of which the left side is the formula that the question asks for: x^3 + 1/x^3
    = 52.
    """
    asked, match = _ASKED_FORMULA.search(item.question), _EQUATION.fullmatch(found.answers[0])
    if (
        len(found.answers) > 1
        or found.answers[0].count("$") % 2
        or asked is None
        or match is None
        or not isinstance(gold_readings(item.gold)[0], Scalar)
    ):
        return None
    formula = asked["dollars"] or asked["round"]
    if not _OPERATION.search(formula) or not same_formula(match["left"], formula):
        return None
    return match["right"].strip()


def _such_that(item: VerifyItem, found: Extraction) -> str | None:
    """The value before a condition of the question: n = 15 is the positive integer such that this holds."""
    match = _SUCH_THAT.fullmatch(found.answers[0].rstrip(". ")) if len(found.answers) == 1 else None
    return match["said"] if match and key(match["condition"]) in key(item.question) else None


def _letters(item: VerifyItem, found: Extraction) -> str | None:
    """The letters of choices that stand each with its own text."""
    if not _LETTERS.fullmatch(gold_answer(item.gold).strip().upper()) or not (choices := offered(item.question)):
        return None
    letters = [_letter(answer, choices) for answer in found.answers]
    said = ", ".join(filter(None, letters)) if all(letters) and len(set(letters)) == len(letters) else None
    return said.lower() if said and gold_answer(item.gold).strip("() .").islower() else said


def _letter(text: str, choices: dict[str, str]) -> str | None:
    """The letter with which a text begins, if nothing follows but the text of this choice.

    >>> choices = {"A": "6", "B": "$x^2$"}
    >>> [_letter(text, choices) for text in ("option **(B)**", "B ($x^2$)", "(A) 6", "(A) 8", "(C) 9")]
    ['B', 'B', 'A', None, None]
    """
    match = _CHOICE.fullmatch(text.replace("**", "").strip())
    if match is None:
        return None
    letter = match["letter"].upper() if _SMALL.match(text) else match["letter"]
    if letter not in choices:
        return None
    content, own = match["content"] or "", choices[letter]
    bare = content[1:-1] if content.startswith("(") and content.endswith(")") else content
    return letter if not content or key(own).rstrip(".") in (key(content).rstrip("."), key(bare)) else None


def _picked(item: VerifyItem, line: str) -> str | None:
    """The letter that the last sentence picks: so we pick (C) 8; that leaves B."""
    if not _LETTERS.fullmatch(gold_answer(item.gold).strip().upper()) or not (choices := offered(item.question)):
        return None
    sentence = last_sentence(line)
    match = (
        (_PICKING.search(sentence) or _SMALL_AT_LAST.fullmatch(sentence)) if not _UNCERTAIN.search(sentence) else None
    )
    groups = match.groupdict() if match else {}
    letter = _letter(groups.get("choice") or groups.get("named") or "", choices) if match else None
    return letter.lower() if letter and gold_answer(item.gold).strip("() .").islower() else letter


def _of_label(item: VerifyItem, line: str) -> str | None:
    """The value of a last bold row of a table, or the point after a label, if the label is what the question asks
    for.
    """
    match = _ROW.fullmatch(line) or _POINT.fullmatch(line)
    if match is None or not item.question or of_another(match["label"], item.question):
        return None
    asked = item.question.casefold()
    words = re.findall(r"[a-z]+", match["label"].casefold())
    named = any(re.search(rf"\b{word}", asked) for word in words if len(word) > 3)
    return match["value"] if named and all(is_known(word, asked) for word in words) else None


def _factor(item: VerifyItem, line: str) -> str | None:
    """The number in "nine times as large", where the question asks for a factor."""
    if not _FACTOR_ASKED.search(item.question) or _UNCERTAIN.search(sentence := last_sentence(line)):
        return None
    match = _FACTOR.search(sentence)
    asked = _THING_ASKED.search(item.question)
    if match and match["thing"] and (asked is None or match["thing"].casefold() != asked[1].casefold()):
        return None  # the side becomes 3 times as large, and not the area
    if match is None or match["number"].isdecimal():
        return match["number"] if match else None
    words = number_from_words([match["number"].casefold()])
    return str(words[0]) if words else None


def _comma_concluded(item: VerifyItem, line: str) -> str | None:
    """The number of a conclusion in a language that writes 2,5 for two and a half, where the gold answer is one
    number.
    """
    sentence = last_sentence(line)
    if not COMMA_THEREFORE.match(sentence) or not isinstance(gold_readings(item.gold)[0], Scalar):
        return None
    if NO_ELSEWHERE.search(sentence) or UNSURE_ELSEWHERE.search(sentence) or DENIED.pattern.search(sentence):
        return None
    if _PLURAL.search(sentence):
        return None  # the solutions are 2 and 5
    said = after_verb(sentence)
    match = _DECIMAL.fullmatch(said)
    if match is None or re.search(r"[\d$\\]", sentence[: sentence.rfind(said)]):
        return None
    return f"{match['whole']}.{match['digits']}{match['unit'] or ''}"


_POWER_OF_TEN = re.compile(
    r"(?P<number>-?\d(?:\.\d+)?(?:[eE][+-]?\d{1,3}|\s?\\(?:times|cdot)\s?10\^(?:\d|\{-?\d{1,3}\})))\s"
    r"(?P<unit>[A-Za-z]{1,4}(?:/[A-Za-z]{1,3})?)\.?"
)


def _scientific(item: VerifyItem, found: Extraction) -> str | None:
    """A power of ten with the sign of a unit after it: 1.8e10 m."""
    match = _POWER_OF_TEN.fullmatch(found.answers[0].strip("$ ")) if len(found.answers) == 1 else None
    if match is None or not isinstance(gold := gold_readings(item.gold)[0], Scalar) or symbols(gold.expression):
        return None
    if unit_named(match["unit"].partition("/")[0]) is None:
        return None
    return rf"{match['number']} \text{{ {match['unit']}}}"


_CONSTANT = re.compile(
    r"(?:,|\\q?quad|\\[,; "
    r"]|\s)*\\text\s?\{\s*(?:where|with)\s*\}\s*[A-Za-z](?:_\{?\d\}?)?(?:\s*\\in\s*\\mathbb\s*\{?R\}?)?\s*"
    r"\\text\s?\{\s*is\s+an?\s+(?:arbitrary\s+|real\s+){1,2}constant\s*\}[.$\s]*\Z"
)


def _without_constant(item: VerifyItem, found: Extraction) -> str | None:
    """A formula without the remark that its letter is an arbitrary constant."""
    match = _CONSTANT.search(found.answers[0]) if len(found.answers) == 1 else None
    return found.answers[0][: match.start()] if match else None


_VECTOR = r"(?:\\(?:vec|mathbf|boldsymbol|overrightarrow|hat)\s*\{?\s*[A-Za-z]{1,2}\s*\}?|[a-zA-Z])"
_VECTOR_PRODUCT = re.compile(rf"[\s$]*{_VECTOR}\s*\\times\s*{_VECTOR}\s*=(?P<right>[^=<>]{{1,120}})")
_BASIS_SIGN = re.compile(r"\\(?:mathbf|hat|vec|boldsymbol)\s*\{?\s*\\?[ijk]")


def _vector_product(item: VerifyItem, found: Extraction) -> str | None:
    """The right side of an equation for a product of vectors, in basis vectors."""
    match = _VECTOR_PRODUCT.fullmatch(found.answers[0].rstrip("$. ")) if len(found.answers) == 1 else None
    return (
        match["right"]
        if match and _BASIS_SIGN.search(match["right"]) and isinstance(gold_readings(item.gold)[0], Ordered | Matrix)
        else None
    )


def _compared(item: VerifyItem, line: str) -> str | None:
    """The relation that the last sentence states between the two things of the question."""
    gold = gold_answer(item.gold)
    asked, said = relation_of(gold), compared(line, item.question)
    return (gold if asked == said else said) if asked and said else None


def _everywhere(item: VerifyItem, line: str) -> str | None:
    """All numbers of a kind, or none, where the gold answer is one of these."""
    gold = gold_readings(item.gold)[0]
    is_all = isinstance(gold, RealSet | Ordered | Words)
    if not is_all and not (isinstance(gold, Collection) and not gold.items):
        return None
    return of_all(line, item.question) or None


_ON_DOMAIN = re.compile(
    r"(?:.*\s)?\$(?P<formula>[^$]{3,200})\$,?\s+(?:valid\s+|defined\s+)?"
    r"(?:for|with|where|when|on\s+the\s+interval|on)\s+(?:all\s+(?P<real>real\s+)?)?\$(?P<domain>[^$]{1,60})\$"
    r"(?:,?\s+and\s+(?:zero|0|\$0\$)\s+(?:elsewhere|otherwise))?[.!]?",
    re.IGNORECASE,
)
_CALLED = re.compile(r"\s*[A-Za-z](?:_\{?\w{1,3}\}?)?'?\([a-z]\)\s*=(?=[^=]+\Z)")
_INTERVAL = re.compile(r"\s*[\[(][^\[\]()]+,[^\[\]()]+[\])]\s*")
_ORDER = re.compile(r"[<>]|\\(?:leq?|geq?|neq?|in)(?![a-z])")


def _on_domain(item: VerifyItem, line: str) -> str | None:
    """A formula with the domain after it, where the gold answer is a formula: $F(x) = x/2$ for $0 < x < 2$."""
    gold = gold_readings(item.gold)[0]
    sentence = last_sentence(line)
    if kind_of(item.gold, gold) != "formula" or _UNCERTAIN.search(sentence) or NO.pattern.search(sentence):
        return None
    match = _ON_DOMAIN.fullmatch(sentence)
    if match is None or is_another_place(sentence, item.question):
        return None
    domain, formula = match["domain"], match["formula"]
    if isinstance(gold, Scalar) and (called := _CALLED.match(formula)):
        formula = formula[called.end() :]
    if re.fullmatch(r"\s*[A-Za-z]\s*", domain):
        return formula
    if _INTERVAL.fullmatch(domain):
        letter = re.search(r"\((?P<letter>[a-z])\)\s*=", match["formula"])
        domain = rf"{letter['letter'] if letter else 'x'} \in {domain}"
    return rf"{formula} \text{{ for }} {domain}" if _ORDER.search(domain) else None


_TIMES = re.compile(r"\$?(?P<number>\d[\d,]*)\$?\s+times")


def _asked_times(item: VerifyItem, found: Extraction) -> str | None:
    """The number of "11 times", where the question asks how many times."""
    match = _TIMES.fullmatch(found.answers[0]) if len(found.answers) == 1 else None
    return (
        match["number"]
        if match and re.search(r"\bhow\s+(?:many\s+times|often)\b", item.question, re.IGNORECASE)
        else None
    )


_SIGNED = re.compile(r"(?P<number>-?\d[\d.,]*)\s?(?P<unit>[A-Za-z]{1,4}(?:/[A-Za-z]{1,3})?)")


def _with_unit_sign(item: VerifyItem, found: Extraction) -> str | None:
    """A number with the sign of a unit that the question has: 17 m, where sides are given as 8 m."""
    match = _SIGNED.fullmatch(found.answers[0]) if len(found.answers) == 1 and found.rule in _SENTENCES else None
    if match is None or not isinstance(gold := gold_readings(item.gold)[0], Scalar) or symbols(gold.expression):
        return None
    used = re.search(rf"\d\s?{re.escape(match['unit'])}(?![A-Za-z^/])", item.question)
    return (
        rf"{match['number']} \text{{ {match['unit']}}}"
        if used and unit_named(match["unit"].partition("/")[0])
        else None
    )


_OF_ANSWERS = (
    _asked_times,
    _with_unit_sign,
    _vector_product,
    _without_constant,
    _scientific,
    _of_asked_formula,
    _such_that,
    _letters,
)
_OF_LINES = (_picked, _of_label, _factor, _comma_concluded, _compared, _everywhere, _on_domain)
