r"""Several values with what each of them is: `center (2, -3), radius 5`, `the minimum is -1 (at x = 1) and the
maximum is 3`.
"""

import re

from kgym_plugins.verifiers.math.phrases.table import Items, Meaning, Phrase, Table

_EXTREME = r"(?:(?:absolute|global) )?\\?(?:{})(?: (?:value|possible value))?"
NAMES = {
    "maximum": _EXTREME.format("max(?:imum)?|largest|greatest"),
    "minimum": _EXTREME.format("min(?:imum)?|smallest|least"),
    "local maximum": r"(?:local|relative) max(?:imum)?(?: value)?",
    "local minimum": r"(?:local|relative) min(?:imum)?(?: value)?",
    "center": r"cent(?:er|re)(?:d|ed)?(?: point)?",
    "y-intercept": r"y ?[- ] ?intercept",
    "x-intercept": r"x ?[- ] ?intercept",
    "slope": r"slope|gradient",
    "mean": r"(?:arithmetic )?mean|average",
    "magnitude": r"magnitude|modulus",
    "remainder": r"remainder|residue",
    "axis of symmetry": r"axis(?: of symmetry)?",
} | {
    name: name
    for name in (
        "radius", "diameter", "circumference", "quotient", "vertex", "focus", "directrix", "eccentricity",
        "amplitude", "period", "phase shift", "vertical shift", "domain", "range",
        "median", "mode", "variance", "standard deviation",
        "length", "width", "height", "base", "hypotenuse", "surface area", "area", "perimeter", "volume",
        "real part", "imaginary part", "first term", "common difference", "common ratio",
        "degree", "leading coefficient", "constant term", "direction", "argument", "numerator", "denominator",
        "sum", "product", "difference", "midpoint", "distance", "trace", "determinant", "rank", "nullity",
    )
}  # fmt: skip
"""What values of one answer are called, with the patterns of all names for each."""
LETTERS = {
    "maximum": ("M", "max"), "minimum": ("m", "min"), "slope": ("m",), "y-intercept": ("b", "c"), "center": ("C", "O"),
    "radius": ("r", "R"), "diameter": ("d", "D"), "quotient": ("q", "Q"), "remainder": ("r", "R"), "length": ("l", "L"),
    "width": ("w", "W"), "height": ("h", "H"), "area": ("A", "S"), "perimeter": ("P", "p"), "volume": ("V",),
    "first term": ("a", "a_1"), "common difference": ("d",), "common ratio": ("r", "q"),
    "vertex": ("V",), "focus": ("F",), "period": ("T",), "amplitude": ("A",),
}  # fmt: skip
"""Letters that formulas use for such values."""
_PLACES = frozenset({"center", "vertex", "focus", "midpoint"})
"""What is at a point, which is its value."""
_GROUPS = "|".join(
    f"(?P<{re.sub(r'[- ]', '_', name)}>{pattern})"
    for name, pattern in sorted(NAMES.items(), key=lambda pair: -len(pair[0]))
)
_ANY = re.sub(r"\?P<\w+>", "?:", _GROUPS)
_BETWEEN = r"\s*(?:[,;.]\s*(?:and\s+|with\s+)?|\\\\\s*|\s(?:and|with|to)\s+)"
_ARTICLE = r"(?:(?:the|its|an?)\s+)?"
_EACH = re.compile(rf"(?:\A|{_BETWEEN}){_ARTICLE}(?:{_GROUPS})(?![A-Za-z])", re.IGNORECASE)
_CONNECTIVE = re.compile(
    r"\s*(?:of [a-z](?:\([a-z]\))? )?(?:(?:is|are|equals|being|=)(?![a-z]))?\s*(?:(?:of|at)(?![a-z]))?\s*:?\s*",
    re.IGNORECASE,
)
_WHERE = re.compile(
    r"\s*(?:,?\s(?:attained |reached |achieved |occurring |taken )?(?:at|when|for)\s+[a-z]\s*=[^=<>]*"
    r"|\(\s*(?:(?:attained |reached |achieved |occurring |taken )?(?:at|when|for)\s+)?[a-z]\s*=[^=<>]*\))\Z",
    re.IGNORECASE,
)


def _items(match: re.Match[str], text: str) -> Meaning | None:
    """Each name with what comes between it and the next one."""
    said = match[0].strip().rstrip(".")
    found = list(_EACH.finditer(said))
    if len(found) < 2 or found[0].start():
        return None
    items: list[tuple[str, str]] = []
    for begin, after in zip(found, [*found[1:], None], strict=True):
        name = next(name for name in NAMES if begin[re.sub(r"[- ]", "_", name)])
        rest = said[begin.end() : after.start() if after else len(said)]
        connective = _CONNECTIVE.match(rest)
        value = _WHERE.sub("", rest[connective.end() if connective else 0 :]).strip(" ,;")
        if not value or (connective and "at" in connective[0].split() and name not in _PLACES):
            return None  # the minimum at x = 1 is not a value of x
        items.append((name, value))
    return Items(tuple(items)) if len(dict(items)) == len(items) else None


def _division(match: re.Match[str], text: str) -> Meaning:
    return Items((("quotient", match["quotient"]), ("remainder", match["remainder"])))


ITEMS = Table(
    "named items",
    "several values with what each of them is",
    "whole",
    Phrase(
        rf"{_ARTICLE}(?:{_ANY})(?![A-Za-z]).{{1,200}}?{_BETWEEN}{_ARTICLE}(?:{_ANY})(?![A-Za-z]).{{1,200}}",
        _items,
        "center (2, -3), radius 5",
        "minimum at x = 1, maximum at x = 3",
    ),
    Phrase(
        r"(?:the )?(?P<quotient>-?\d{1,12}),? (?:with )?(?:an? |the )?(?:R|rem\.?|remainder)(?: of| is|:)? "
        r"?(?P<remainder>\d{1,12})",
        _division,
        "14 remainder 2",
        "14 remainders",
    ),
)
_FIRST = re.compile(rf"{_ARTICLE}(?:{_ANY})(?![A-Za-z])", re.IGNORECASE)
_NAME = re.compile(rf"(?<![A-Za-z])(?:{_ANY})(?![A-Za-z])", re.IGNORECASE)
_SHORTEST = 12


def items_of(plain: str, text: str) -> tuple[Phrase, Meaning] | None:
    """Return several named values that a text is, None for all other texts."""
    if plain[:1].isdigit():
        return ITEMS.meaning(plain, text) if " r" in plain.lower() else None
    return (
        ITEMS.meaning(plain, text)
        if len(plain) > _SHORTEST and plain[:1] not in "$([{-" and _FIRST.match(plain)
        else None
    )


def named_values(text: str) -> str:
    """Return a sentence from the first name on that it gives to a value; "" if there is none.

    >>> named_values("So the circle has center $(1, 2)$ and radius $3$."), named_values("It is 3.")
    ('center (1, 2) and radius 3', '')
    """
    plain = re.sub(r"(?<!\\)\$|\\[()]|\*\*", "", text).strip().rstrip(".")
    found = _NAME.search(plain)
    return plain[found.start() :] if found else ""


_BEHIND = re.compile(
    rf"(?P<value>\([^()]*\)|[^\s,]+)\s+is\s+(?P<name>(?:the\s+)?(?:{_ANY}))(?![A-Za-z])", re.IGNORECASE
)


def names_first(text: str) -> str:
    """A sentence with each name before its value.

    >>> names_first("(2, -3) is the centre and 5 is the radius.")
    'the centre is (2, -3) and the radius is 5.'
    """
    return _BEHIND.sub(lambda match: f"{match['name']} is {match['value']}", re.sub(r"(?<!\\)\$", "", text))


def place_of(name: str, question: str) -> int:
    """Where a question first asks for what has this name, or for the one thing that this letter is used for; -1 if
    it does not.
    """
    if len(name) == 1:
        places = [
            place for word, letters in LETTERS.items() if name in letters and (place := place_of(word, question)) >= 0
        ]
        return places[0] if len(places) == 1 else -1
    found = re.search(rf"\b(?:{NAMES[name]})\b", question.replace("$", ""), re.IGNORECASE) if name in NAMES else None
    return found.start() if found else -1
