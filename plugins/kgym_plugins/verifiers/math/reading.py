"""From the text of an answer to a typed value: what surrounds it, forms that are told by their shape, and the grammar for the rest."""

import re
from fractions import Fraction

from kgym_plugins.verifiers.math.build import based
from kgym_plugins.verifiers.math.exact import exact
from kgym_plugins.verifiers.math.interpret import as_set, interpret
from kgym_plugins.verifiers.math.limits import ANSWER_CHARS, LimitError, SyntaxProblem
from kgym_plugins.verifiers.math.nodes import Node
from kgym_plugins.verifiers.math.parse import Parser
from kgym_plugins.verifiers.math.phrases import meaning, normal_words
from kgym_plugins.verifiers.math.ranges import range_in_words
from kgym_plugins.verifiers.math.realsets import Unordered, complement, union
from kgym_plugins.verifiers.math.tokens import Token, tokenize
from kgym_plugins.verifiers.math.values import (
    BaseNumber,
    Choice,
    Clock,
    Opaque,
    RealSet,
    Value,
    Words,
)
from kgym_plugins.verifiers.math.vocabulary import BASE_WORDS, number_from_words, to_ascii

_WRAPPED = re.compile(r"\\(?:text|textbf|textrm|textit|mathrm|mathbf|mathsf|texttt|mbox|emph|bf|rm|operatorname)\s*\{([^{}]*)\}")
_CHOICE = re.compile(r"(?:(?:option|choice|answer)\s+)?\(?\s*([A-Ja-j])\s*[).:]\s*(.*)", re.IGNORECASE | re.DOTALL)
_CONTENT = re.compile(r"(?!(?:and|or|nor)\b|[,;/&(=+^*<>-])\S", re.IGNORECASE)
_OPTION = re.compile(r"(?:option|choice)\s+\(?\s*([A-Ja-j])\s*\)?", re.IGNORECASE)
_CLOCK = re.compile(r"(\d{1,2})(?:\s*:\s*|\s*h\s*)(\d{2})(?::(\d{2}))?\s*(?:([ap])\.?\s?m\.?)?(?:\s*o'clock)?", re.IGNORECASE)
_MONTH = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.?"
_YEAR = r"(?:\s*,?\s+(\d{4}))?"
_MONTH_DAY = re.compile(rf"{_MONTH}\s+(?:the\s+)?(\d{{1,2}})(?:st|nd|rd|th)?{_YEAR}\.?", re.IGNORECASE)
_DAY_MONTH = re.compile(rf"(?:the\s+)?(\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}{_YEAR}\.?", re.IGNORECASE)
_HOUR = re.compile(r"(\d{1,2})\s*(?:([ap])\.?\s?m\.?|o'clock)", re.IGNORECASE)
_BASED = re.compile(
    r"\(?\s*([0-9A-Fa-f][0-9A-Fa-f\s]*)\)?\s*(?:_\s*\{?\s*\(?(?:base\s*)?([0-9]{1,2}|[a-z]+)\)?\s*\}?|\(?\s*(?:in\s+)?base[\s-]*\(?([0-9]{1,2}|[a-z]+)\)?)"
)
_EXCEPT = re.compile(
    r"(?:the\s+)?(?:set\s+of\s+)?all\s+real\s+(?:numbers|values)(?:\s+(?:of\s+)?[a-z])?\s*,?\s*(?:except|but|other\s+than|excluding|besides)\s+(?:for\s+)?(.+)",
    re.IGNORECASE,
)
_FRENCH = re.compile(r"([\[\]])([^\[\],;]+)[,;]([^\[\],;]+)([\[\]])")
_PROSE = re.compile(r"(?=.*[A-Za-z]{4})[A-Za-z'-]+(?: [A-Za-z'-]+){2,}")
_JOINED = re.compile(r"\b(?:and|or|union|infinity|per|over|root|squared|times|plus|minus|pi|mod|percent)\b", re.IGNORECASE)
_PREFIXED = re.compile(r"0([xXbBoO])([0-9A-Fa-f]+)")
_PREFIXES = {"x": 16, "b": 2, "o": 8}
_SUCH_THAT = re.compile(
    r"(?:the set of )?(?:all|any|every) (?:(?:real )?(?:numbers?|values?|reals?) (?:of )?)?"
    r"(?:[a-z],? (?:such that|with|where|for which|satisfying) )?([a-z] ?(?:<|>|=|\\[gln]).*)",
    re.IGNORECASE,
)
_SHORT = 300
_ALTERNATIVE = re.compile(r"\(\s*or\s+([^()]*)\)")
_TWICE = re.compile(r"([A-Za-z][A-Za-z -]{1,60}?)\s*\((-?\d{1,12})\)|(-?\d{1,12})\s*\(([A-Za-z][A-Za-z -]{1,60})\)")
_COMBINATIONS = re.compile(r"(?<![\w)}\]])(?:\{\}\s?)?[_^]\{?(\w{1,4})\}?\s?(?:\\(?:mathrm|text|mathbf)\{C\}|\{?C\}?)_\{?(\w{1,4})\}?")
_YES_NO = re.compile(r"(yes|no|true|false)\s*[,.;:]\s+[a-z].*", re.IGNORECASE | re.DOTALL)
_NOUN = re.compile(r"(?:a|an|the) [A-Za-z]{3}[A-Za-z -]*", re.IGNORECASE)
_LEADING = re.compile(r"\A(?:=|\\approx|\\simeq|~)\s*")
_LABEL = re.compile(
    r"\s*(?:\\text(?:bf)?\s*\{\s*)?(?:the\s+)?(?!lambda\b)[A-Za-z][A-Za-z ]{2,40}(?::|\b(?:is|are)\b)\s*:?\s*\}?\s*", re.IGNORECASE
)


def read(text: str, *, thousands: bool = True) -> Value:
    """Understand an answer. What the grammar does not know becomes Opaque. Raises LimitError for what is too long or too deep."""
    if len(text) > ANSWER_CHARS:
        raise LimitError(f"an answer of more than {ANSWER_CHARS} characters")
    text = _COMBINATIONS.sub(r"\\binom{\1}{\2}", text) if "C" in text else text
    text = _ALTERNATIVE.sub(r" or \1", _LEADING.sub("", _french(tidy(text))))
    special = _special(text)
    if special is None:
        special = _labelled(text, thousands)
    if special is not None:
        return special
    try:
        return interpret(Parser(tokenize(text, thousands=thousands)).whole())
    except (SyntaxProblem, Unordered):
        return _second_try(text, thousands)


def _french(text: str) -> str:
    """]1,2[ is the open interval from 1 to 2."""
    if not text.startswith("]") and not text.endswith("["):
        return text
    return _FRENCH.sub(lambda m: f"{'(' if m[1] == ']' else '['}{m[2]},{m[3]}{')' if m[4] == '[' else ']'}", text)


def tidy(text: str) -> str:
    """Remove what surrounds an answer: dollar signs, bold, quotes, the full stop at the end."""
    text = to_ascii(text).strip()
    previous = None
    while text != previous:
        previous = text
        for opening, closing in (
            (r"\(", r"\)"),
            (r"\[", r"\]"),
            ("**", "**"),
            ("__", "__"),
            ("`", "`"),
            ('"', '"'),
            ("$$", "$$"),
            ("$", "$"),
        ):
            if len(text) > len(opening) + len(closing) and text.startswith(opening) and text.endswith(closing) and not text.endswith("\\$"):
                inner = text[len(opening) : -len(closing)]
                if opening not in inner or opening == "**":
                    text = inner.strip()
        if text.endswith("\\"):
            text = text.rstrip("\\").rstrip()
        if text.endswith((".", ",", ";", "!.")) and not text.endswith("...") and not text.endswith("\\,") and not text.endswith("\\;"):
            text = text[:-1].rstrip()
    if text.count("$") > 1 and (text.count("$") - text.count("\\$")) % 2 == 0:
        text = re.sub(r"(?<!\\)\$", " ", text)
    return re.sub(r"\{([:=])\}", r"\1", re.sub(r"(?<!\\)\\[()\[\]]", " ", text))  # \\[2pt] opens no display


def normal_text(text: str) -> str:
    """Text without what makes no difference to its meaning: spaces, sizes of brackets, ways to write a fraction."""
    text = re.sub(r"\\(?:left|right|displaystyle|[bB]igg?[lr]?|limits)(?![A-Za-z])", "", tidy(text))
    text = re.sub(r"\\[dt]frac(?![A-Za-z])", r"\\frac", text)
    text = re.sub(r"([_^])\{(\w)\}", r"\1\2", text)
    text = re.sub(r"\\[,;:!> ]|[\s~$]+|\\q?quad(?![A-Za-z])", " ", text)
    return re.sub(r"(?<![0-9A-Za-z]) | (?![0-9A-Za-z])", "", text)  # a space between two numbers or words stays


def _unwrapped(text: str) -> str:
    previous = None
    while previous != text:
        previous, text = text, _WRAPPED.sub(r"\1", text)
    return re.sub(r"(?:\\[,;:! ]|\\q?quad|[$~\s])+", " ", text).strip()


def _date(month: str, day: str, year: str | None) -> Words:
    return Words(" ".join(part for part in (month.lower(), str(int(day)), year) if part))


def _special(text: str) -> Value | None:
    """Forms that are told by their shape: choices, times, numbers in other bases, phrases."""
    plain = _unwrapped(text)
    if len(plain) > _SHORT:
        return None
    if match := _OPTION.fullmatch(plain):
        return Choice(match.group(1).upper())
    if match := re.fullmatch(r"\(\s*([A-Ja-j])\s*\)|([A-J])\s*[).:]", plain):
        return Choice((match.group(1) or match.group(2)).upper())
    if (match := _CHOICE.fullmatch(plain)) and (match.group(1).isupper() or plain.startswith("(")) and _CONTENT.match(match.group(2)):
        start = re.search(r"[A-Ja-j]\s*[).:]\s*\}?\s*", text)
        content = text[start.end() :] if start else match.group(2)
        return Choice(match.group(1).upper(), read(content.removeprefix("}").strip() or match.group(2)))
    if (match := _CLOCK.fullmatch(plain)) and int(match.group(1)) <= 24 and int(match.group(2)) < 60:
        return Clock(int(match.group(1)), int(match.group(2)), int(match.group(3) or 0), (match.group(4) or "").lower())
    if (match := _HOUR.fullmatch(plain)) and int(match.group(1)) <= 24:
        return Clock(int(match.group(1)), 0, 0, (match.group(2) or "").lower())
    if match := _MONTH_DAY.fullmatch(plain):
        return _date(match.group(1), match.group(2), match.group(3))
    if match := _DAY_MONTH.fullmatch(plain):
        return _date(match.group(2), match.group(1), match.group(3))
    if (match := _BASED.fullmatch(plain)) and (word := match.group(2) or match.group(3)):
        base = int(word) if word.isdigit() else BASE_WORDS.get(word.lower())
        if base:
            return _number_in_base(match.group(1), base, text)
    if match := _YES_NO.fullmatch(plain):
        return interpret(meaning(match.group(1)) or Node("text", (), match.group(1)))
    if _NOUN.fullmatch(plain) and not _JOINED.search(plain) and meaning(plain) is None:
        return Words(normal_words(plain))
    if (match := _TWICE.fullmatch(plain)) and number_from_words((match[1] or match[4]).casefold().split()):
        words, digits = (match[1], match[2]) if match[1] else (match[4], match[3])
        return _said_twice(words, digits, text)
    if match := _PREFIXED.fullmatch(plain):
        return _number_in_base(match.group(2), _PREFIXES[match.group(1).lower()], text)
    if (formula := range_in_words(plain)) is not None:
        return read(formula)
    if match := _SUCH_THAT.fullmatch(plain):
        value = read(match.group(1))
        return value if isinstance(value, RealSet) else None
    if match := _EXCEPT.fullmatch(plain):
        holes = as_set(read(re.sub(r"^[a-z]\s*=", "", match.group(1))))
        if holes is not None:
            return RealSet(complement(union(list(holes.pieces))))
    found = meaning(plain) if (len(plain) < 80 and " " in plain) or (plain.isalpha() and len(plain) > 2) else None
    if found is not None:
        return interpret(found)
    return Words(normal_words(plain)) if _PROSE.fullmatch(plain) and not _JOINED.search(plain) else None


def _said_twice(words: str, digits: str, text: str) -> Value:
    """`seven (7)`: one number, if both say the same."""
    value = meaning(words)
    same = value is not None and exact(value) == Fraction(digits)
    return interpret(value) if value is not None and same else Opaque(normal_text(text))


def _number_in_base(digits: str, base: int, text: str) -> Value:
    try:
        return BaseNumber(*based(re.sub(r"\s", "", digits), base).value)
    except SyntaxProblem:
        return Opaque(normal_text(text))


def _second_try(text: str, thousands: bool) -> Value:
    """What is left if the grammar fails: the last side of an equation whose left side is words, or what follows a label."""
    tokens = tokenize_or_none(text, thousands)
    if tokens is not None:
        depth, last = 0, -1
        for at, token in enumerate(tokens):
            depth += (token.kind in ("open", "lb", "begin")) - (token.kind in ("close", "rb", "end"))
            if token.kind == "op" and token.value in ("=", "~") and depth == 0:
                last = at
        label = [token for token in tokens[:last] if token.kind != "op"]
        kinds = ("word", "name", "open", "close", "lb", "rb", "cmd")
        if last >= 0 and label and all(token.kind in kinds and token.value != "int" for token in label):
            try:
                return interpret(Parser(tokens[last + 1 :]).whole())
            except (SyntaxProblem, Unordered):
                pass
    plain = _unwrapped(text)
    if plain and all(character.isalnum() or character in " .,'-:;!?()\"" for character in plain) and any(map(str.isalpha, plain)):
        return Words(normal_words(plain))
    return Opaque(normal_text(text))


def _labelled(text: str, thousands: bool) -> Value | None:
    """`Total: 7`, `the answer is 3`: what follows a label in words, if that is no text itself."""
    match = _LABEL.match(text)
    if match is None or match.end() == len(text):
        return None
    rest = tidy(text[match.end() :])
    if rest.count("}") > rest.count("{"):
        rest = rest.removesuffix("}")
    try:
        value = interpret(Parser(tokenize(rest, thousands=thousands)).whole())
    except (SyntaxProblem, Unordered):
        return None
    return None if isinstance(value, Words) else value


def tokenize_or_none(text: str, thousands: bool = True) -> list[Token] | None:
    """Tokens, or None where there is a sign without meaning."""
    try:
        return tokenize(text, thousands=thousands)
    except SyntaxProblem:
        return None
