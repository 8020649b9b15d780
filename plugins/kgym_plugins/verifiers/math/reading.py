"""Stages 2 to 5: from the text of an answer to a typed value."""

import re
from collections.abc import Sequence
from functools import lru_cache

from kgym_plugins.verifiers.math.clean.wrappers import clean, normal_text, tidy, unwrapped
from kgym_plugins.verifiers.math.find.boxes import boxes
from kgym_plugins.verifiers.math.grammar.build import based
from kgym_plugins.verifiers.math.grammar.nodes import Amount, Node
from kgym_plugins.verifiers.math.grammar.parse import parse, parse_tokens
from kgym_plugins.verifiers.math.grammar.remarks import remark
from kgym_plugins.verifiers.math.grammar.tokens import Token, tokenize
from kgym_plugins.verifiers.math.limits import ANSWER_CHARS, LimitError, SyntaxProblem
from kgym_plugins.verifiers.math.phrases.meanings import meaning_of
from kgym_plugins.verifiers.math.phrases.normal import normal_words
from kgym_plugins.verifiers.math.phrases.objects import CHANGING
from kgym_plugins.verifiers.math.phrases.table import Digits, Formula, Items, Letter, Meaning, Time, Word, table_of
from kgym_plugins.verifiers.math.phrases.tasks import is_derivative, sides_of_task
from kgym_plugins.verifiers.math.phrases.units import unit_named
from kgym_plugins.verifiers.math.trace import is_tracing, note
from kgym_plugins.verifiers.math.values.conditions import conditioned
from kgym_plugins.verifiers.math.values.interpret import interpret
from kgym_plugins.verifiers.math.values.realsets import Unordered
from kgym_plugins.verifiers.math.values.types import (
    Assignments,
    BaseNumber,
    Choice,
    Clock,
    Equation,
    Opaque,
    RealSet,
    Value,
    Words,
)

_LABEL = re.compile(
    r"\s*(?:\\text(?:bf)?\s*\{\s*)?(?:the\s+)?(?!lambda\b)[A-Za-z][A-Za-z ]{2,40}(?::|\b(?:is|are)\b)\s*:?\s*\}?\s*",
    re.IGNORECASE,
)

_UNIT_INSIDE = re.compile(r"\\(?:text|mathrm)|dots")
"""A side of a chain with units inside of it, or with dots, which only tells how the next one came about."""
_MOST_SIDES = 5

_WORD = re.compile(r"(?<![A-Za-z\\])[A-Za-z]{2,}")


def read(text: str, *, thousands: bool = True) -> Value:
    """Understand an answer. What the grammar does not know becomes Opaque. Raises LimitError for what is too long or
    too deep.
    """
    value = _read(text, thousands)
    note("values", type(value).__name__, "=", value.normal())
    return value


def _read(text: str, thousands: bool) -> Value:
    if len(text) > ANSWER_CHARS:
        raise LimitError(f"an answer of more than {ANSWER_CHARS} characters")
    text = clean(text)
    note("clean", text)
    if found := meaning_of(unwrapped(text), text):
        phrase, meaning = found
        if is_tracing():
            table = table_of(phrase)
            where = f"the table {table.name!r} (phrases/{table.file})"
            note("phrases", f"{meaning} by the row like {phrase.example!r} of {where}")
        if (value := _meant(meaning, text)) is not None:
            return value
    elif is_tracing() and _WORD.search(unwrapped(text)):
        note("phrases", "no row of a table is the whole text")
    if (value := _labelled(text, thousands)) is not None:
        return value
    if is_derivative(text) and (value := _first_understood(sides_of_task(text), thousands)) is not None:
        return value
    try:
        return _parsed(text, thousands)
    except (SyntaxProblem, Unordered) as problem:
        note("grammar", "not understood:", problem)
        return _second_try(text, thousands)


def _parsed(text: str, thousands: bool) -> Value:
    node = parse(text, thousands=thousands)
    note("grammar", node)
    return interpret(node)


def _meant(meaning: Meaning, text: str) -> Value | None:
    """Give a phrase its value; None if it does not make the sense that it has to make."""
    match meaning:
        case Formula(formula, only_set):
            value = read(formula)
            return value if not only_set or isinstance(value, RealSet) else None
        case Word(word):
            return Words(word)
        case Letter(letter, content):
            return Choice(letter, read(content) if content else None)
        case Time(hours, minutes, seconds, half):
            return Clock(hours, minutes, seconds, half)
        case Digits(digits, base):
            try:
                return BaseNumber(*based(digits, base).value)
            except SyntaxProblem:
                return Opaque(normal_text(text))
        case Items(items):
            values = tuple((name, read(said)) for name, said in items)
            return None if any(isinstance(value, Words | Opaque) for _, value in values) else Assignments(values)


def _second_try(text: str, thousands: bool) -> Value:
    """What is left if the grammar fails: a value before a remark, what is equal to words, or what follows a label."""
    tokens = tokenize_or_none(text, thousands)
    if (amount := _RATE.fullmatch(text)) and unit_named(amount["unit"]) and unit_named(amount["per"]):
        return _parsed(rf"{amount['number']} \text{{ {amount['unit']}/{amount['per']}}}", thousands)
    if named := _NAMED_CASES.fullmatch(text):
        return _parsed(named["cases"], thousands)
    if (sides := sides_of_task(text)) and (value := _first_understood(sides, thousands)) is not None:
        return value
    for read_as in (_with_remark, _behind_words) if tokens else ():
        try:
            if (value := read_as(list(tokens or ()))) is not None:
                return value
        except (SyntaxProblem, Unordered):
            pass
    if (value := _measured_chain(text, thousands)) is not None:
        return value
    plain = unwrapped(text)
    if (
        plain
        and all(character.isalnum() or character in " .,'-:;!?()\"" for character in plain)
        and any(map(str.isalpha, plain))
    ):
        return Words(normal_words(plain))
    return Opaque(_with_usual_index(normal_text(text)))


_INDEX = re.compile(r"\\(?:sum|prod)_\{?([a-z])(?:=|\\ge)")


def _with_usual_index(text: str) -> str:
    """A series with k for the letter that it runs over, if it has no k and one such letter."""
    text = (
        re.sub(r"([_^])\{\\infty\}", r"\1\\infty ", text)
        .replace("\\ge0}", "=0}^\\infty ")
        .replace("\\infty  ", "\\infty ")
    )
    letters = set(_INDEX.findall(text))
    if len(letters) != 1 or re.search(r"(?<![A-Za-z\\])k(?![A-Za-z])", text):
        return text.replace("\\infty ", "\\infty")
    return re.sub(rf"(?<![A-Za-z\\]){letters.pop()}(?![A-Za-z])", "k", text).replace("\\infty ", "\\infty")


_EQUALS = re.compile(r"(=|\\approx(?![a-z])|~)")


def _measured_chain(text: str, thousands: bool) -> Value | None:
    r"""Equal amounts with a unit each: `9\pi \text{ cm}^2 \approx 28.3 \text{ cm}^2`."""
    if not 1 <= len(_EQUALS.findall(text)) <= _MOST_SIDES or re.search(r"[<>]|(?<!\\)[,;]|\\begin", text):
        return None
    sides = _EQUALS.split(text)
    if any(side.count("{") != side.count("}") for side in sides):
        return None
    nodes, signs = list[Node](), list[str]()
    for side, sign in zip(sides[::2], ["", *sides[1::2]], strict=True):
        try:
            node = parse(side, thousands=thousands)
        except (SyntaxProblem, Unordered):
            if side is sides[-1] or not _UNIT_INSIDE.search(side):
                return None
            continue  # (2 kg)(10 m/s^2)
        nodes.append(node)
        signs.append("=" if sign == "=" else "~")
    if len(nodes) == 1 and "dots" in text:
        return interpret(nodes[0])
    if not any(isinstance(node, Amount) for node in nodes):
        return None
    return Equation(nodes[0], nodes[-1], tuple(nodes[1:-1]), tuple(signs[1:])) if len(nodes) > 1 else None


def _first_understood(texts: Sequence[str], thousands: bool) -> Value | None:
    for text in texts:
        try:
            return _parsed(text, thousands)
        except (SyntaxProblem, Unordered):
            continue
    return None


def _with_remark(tokens: list[Token]) -> Value | None:
    found = remark(tokens)
    return None if found is None else conditioned(found)


_RATE = re.compile(r"(?P<number>\d[\d.,]*)\s?(?P<unit>[A-Za-z]{1,4})/(?P<per>[A-Za-z]{1,4})")
"""A quotient of units that looks like a function: 5 L/min."""
_NAMED_CASES = re.compile(
    r"[^=&]{1,200}=\s*(?P<cases>\\begin\{d?cases\}(?:(?!\\begin|\\end).)*\\end\{d?cases\})", re.DOTALL
)
"""Cases after a name that the grammar does not know, such as a limit."""
_WORDS = ("word", "name", "open", "close", "lb", "rb", "cmd")


def _behind_words(tokens: list[Token]) -> Value | None:
    r"""The chain after words and a sign of equality: `\text{Perimeter} = 2(10 + 15) = 50`; or its last side, if more
    words are in it.
    """
    depth, signs = 0, list[int]()
    for at, token in enumerate(tokens):
        depth += (token.kind in ("open", "lb", "begin")) - (token.kind in ("close", "rb", "end"))
        if token.kind == "op" and token.value in ("=", "~") and depth == 0:
            signs.append(at)
    for at in dict.fromkeys((*signs[:1], *signs[-1:])):
        label = [token for token in tokens[:at] if token.kind != "op"]
        letter = len(label) > 1 and label[-1].kind == "name" and not label[-1].text and label[-2].kind == "word"
        if letter and label[-2].value.lower() in CHANGING and label[-1].value.islower():
            return None  # a line parallel to y = 2x
        if label and all(token.kind in _WORDS and token.value != "int" for token in label):
            try:
                return interpret(parse_tokens(tokens[at - 1 if letter else at + 1 :]))
            except (SyntaxProblem, Unordered):
                continue
    return None


def _labelled(text: str, thousands: bool) -> Value | None:
    """`Total: 7`, `the answer is 3`: what follows a label in words, if that is not a text itself."""
    match = _LABEL.match(text)
    if match is None or match.end() == len(text):
        return None
    rest = tidy(text[match.end() :])
    if rest.count("}") > rest.count("{"):
        rest = rest.removesuffix("}")
    try:
        value = interpret(parse(rest, thousands=thousands))
    except (SyntaxProblem, Unordered):
        return None
    return None if isinstance(value, Words) else value


def tokenize_or_none(text: str, thousands: bool = True) -> list[Token] | None:
    """Tokens, or None where there is a sign without meaning."""
    try:
        return tokenize(text, thousands=thousands)
    except SyntaxProblem:
        return None


def readings(text: str) -> list[Value]:
    """Return the value of a text, and a second one where its commas may be read in another way."""
    first = read(text)
    return [first, read(text, thousands=False)] if re.search(r"\d,\d{3}", text) else [first]


def gold_answer(gold: str) -> str:
    """Return the answer part of a gold text: what is after ####, or in its last box, or all of it."""
    if "####" in gold:
        gold = gold.rpartition("####")[2]
    if "\\boxed" in gold or "\\framebox" in gold or "\\fbox" in gold:
        found = [box.content for box in boxes(gold) if box.content]
        if found:
            return found[-1]
    return gold


@lru_cache(maxsize=8192)
def gold_readings(gold: str) -> list[Value]:
    """`readings` of a gold answer, kept: a problem is judged again and again."""
    return readings(gold_answer(gold))
