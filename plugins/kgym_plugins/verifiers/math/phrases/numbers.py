"""Numbers in words: cardinals, dozens, parts, mixed numbers, decimals and ordinals.

cardinal    forty-two | a hundred and one | two dozen | three score and ten
part        half | a third | three twenty-fifths
number      [minus] (cardinal | part | cardinal and part | part of a million | three point five | a million and a half)
"""

from fractions import Fraction

from kgym_plugins.verifiers.math.tables import name_list

_ONES = name_list(
    """
    zero one two three four five six seven eight nine
    ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen
    """
)
_TENS = name_list("twenty thirty forty fifty sixty seventy eighty ninety")
SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
DOZENS = {"dozen": 12, "dozens": 12, "score": 20, "gross": 144}
"""Words for so many things; "three dozen" is 36, also where the things are named."""
_CARDINALS = {word: i for i, word in enumerate(_ONES)} | {word: 20 + 10 * i for i, word in enumerate(_TENS)}
_TENS_WORDS = frozenset(_TENS)
_ORDINALS = {
    word: i
    for i, word in enumerate(
        name_list(
            """
            first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth
            fifteenth sixteenth seventeenth eighteenth nineteenth
            """
        ),
        start=1,
    )
}
_ORDINALS |= {word.removesuffix("y") + "ieth": value for word, value in _CARDINALS.items() if word in _TENS_WORDS}
_ORDINALS |= {word + "th": value for word, value in SCALES.items()}
_CARDINAL_OF = {value: word for word, value in (*SCALES.items(), *_CARDINALS.items())}
ORDINAL_WORDS = "|".join(_ORDINALS)
_PARTS = {"half": 2, "halves": 2, "quarter": 4, "quarters": 4}
_PARTS |= {word: value for word, value in _ORDINALS.items() if value > 2}
_PARTS |= {word + "s": value for word, value in _PARTS.items() if not word.endswith("s") and word != "half"}
_ORDINAL_PARTS = frozenset(word for word in _PARTS if word in _ORDINALS and _ORDINALS[word] < 10)
NUMBER_WORDS = frozenset(_CARDINALS) | frozenset(SCALES) | frozenset(_PARTS)
BASE_WORDS = {**_CARDINALS, "binary": 2, "octal": 8, "decimal": 10, "hexadecimal": 16}
_ARTICLES = frozenset({"a", "an"})
_TWO = frozenset({"pair", "couple"})
_MANY = SCALES | DOZENS
_FIRST = frozenset(_CARDINALS) | _ARTICLES | {"minus", "negative", "half", "dozen", "threescore", "point"}
_LARGE_OR_DOZEN = {word: size for word, size in _MANY.items() if word != "hundred"}


def number_from_words(words: list[str]) -> tuple[int, int] | None:
    """Read "twenty-five" as (25, 1), "three quarters" as (3, 4), "minus two" as (-2, 1); None for anything else.

    >>> [number_from_words(text.split()) for text in ("half a dozen", "a hundred and one", "two three")]
    [(6, 1), (101, 1), None]
    """
    if not words or words[0].partition("-")[0] not in _FIRST:
        return None
    sign = 1
    if len(words) > 1 and words[0] in ("minus", "negative"):
        sign, words = -1, words[1:]
    joined = len(words) > 0 and words[-1].rpartition("-")[0].rpartition("-")[2] in _TENS_WORDS  # "twenty-fifths"
    value = _number([part for word in words for part in word.split("-") if part], joined)
    return None if value is None else (sign * value.numerator, value.denominator)


def counted(words: list[str]) -> tuple[tuple[int, int], list[str]] | None:
    """Split words into the longest number with which they begin and what is counted; None if either is missing.

    >>> counted(["two", "dozen", "eggs"]), counted(["eggs"])
    (((24, 1), ['eggs']), None)
    """
    for end in range(len(words) - 1, 0, -1):
        if words[end] != "to" and (value := number_from_words(words[:end])) is not None:
            return value, words[end:]
    return None


def part_ahead(words: list[str]) -> bool:
    """Whether three words begin with a part of one: a half, one - half, three quarters.

    >>> part_ahead(["a", "half", "hours"]), part_ahead(["one", "-", "third"]), part_ahead(["a", "house", ""])
    (True, True, False)
    """
    return (words[0] in _ARTICLES or words[0] in _CARDINALS) and words[2 if words[1] == "-" else 1] in _PARTS


def ordinal_from_words(words: list[str]) -> int | None:
    """Read "twenty-first" as 21; None for anything else.

    >>> [ordinal_from_words(text.split()) for text in ("twenty-first", "one hundred fifth", "one fifth")]
    [21, 105, None]
    """
    words = [part for word in words for part in word.split("-") if part]
    if not words or words[-1] not in _ORDINALS:
        return None
    last = _ORDINALS[words[-1]]
    if len(words) == 1:
        return last
    if len(words) == 2 and words[0] in _CARDINALS and words[0] not in _TENS_WORDS:
        return None  # one fifth
    cardinal = _CARDINAL_OF[last]
    return _cardinal([*words[:-1], cardinal])


def _number(words: list[str], joined: bool) -> Fraction | None:
    for read in (_cardinal, _decimal):
        if (whole := read(words)) is not None:
            return Fraction(whole)
    return _and_part(words, joined) or _part_of(words) or _part(words, joined)


def _cardinal(words: list[str]) -> int | None:
    """Read a whole number, perhaps with an article or dozens: a hundred, two dozen, three score and ten."""
    if words and words[0] in _ARTICLES and len(words) > 1:
        if words[1] in _TWO:
            return 2 if len(words) == 2 else None
        words = ["one", *words[1:]] if words[1] in _MANY else words
    elif words == ["threescore"] or words[:2] == ["threescore", "and"]:
        words = ["three", "score", *words[1:]]
    elif words and words[0] in DOZENS and len(words) == 1 and words[0] == "dozen":
        return 12
    for word in words[1:]:
        if word in DOZENS:
            return _dozens(words, words.index(word))
    return _scaled(words)


def _dozens(words: list[str], at: int) -> int | None:
    """`two dozen`, `three score and ten`, `twelve dozen`: a number of dozens, and fewer than a dozen more."""
    size, many, more = DOZENS[words[at]], _scaled(words[:at]), words[at + 1 :]
    if words[:at] == ["dozen"]:
        many = 12
    if words[:at] == ["one"] and more == ["dozen"]:
        return 144
    if many is None or not more:
        return None if many is None else many * size
    rest = _scaled(more[1:] if more[0] == "and" else more)
    return None if rest is None or not 0 < rest < size else many * size + rest


def _scaled(words: list[str]) -> int | None:
    if not words or words[0] not in _CARDINALS:
        return None
    total = group = 0
    previous = 0
    for position, word in enumerate(words):
        if word == "and" and position and previous >= 100:
            continue
        if word in _CARDINALS:
            value = _CARDINALS[word]
            if previous and (previous < 20 or value >= 20 or value == 0) and previous < 100:
                return None  # "two three" is not a number
            group += value
        elif word in SCALES:
            value = SCALES[word]
            if not group:
                return None
            if value == 100:
                group *= 100
            else:
                total, group = total + group * value, 0
        else:
            return None
        previous = value
    return total + group


def _decimal(words: list[str]) -> Fraction | None:
    """`three point one four`: digits after the point."""
    if "point" not in words:
        return None
    at = words.index("point")
    digits = [_CARDINALS.get(word, 10) for word in words[at + 1 :]]
    whole = _scaled(words[:at]) if at else 0
    if whole is None or not digits or max(digits) > 9:
        return None
    return whole + Fraction(int("".join(map(str, digits))), 10 ** len(digits))


def _part(words: list[str], joined: bool) -> Fraction | None:
    """`three quarters`, `a third`, `one twenty-fifth`, `half`."""
    if words == ["half"]:
        return Fraction(1, 2)
    if len(words) < 2 or words[-1] not in _PARTS:
        return None
    below, above = _PARTS[words[-1]], words[:-1]
    if joined and len(above) > 1 and words[-1].removesuffix("s") in _ORDINAL_PARTS:
        below, above = below + _CARDINALS[above[-1]], above[:-1]
    many = 1 if len(above) == 1 and above[0] in _ARTICLES else _cardinal(above)
    if many is None or (many >= 20 and words[-1] in _ORDINALS):
        return None  # twenty-fifth
    return Fraction(many, below)


def _part_of(words: list[str]) -> Fraction | None:
    """`half a dozen`, `a quarter of a million`: a part of so many."""
    if len(words) < 2 or words[-1] not in _MANY:
        return None
    before = words[:-1]
    if len(before) > 1 and before[-1] in _ARTICLES:
        before = before[:-1]
    of = before[-1] == "of"
    before = before[: len(before) - of]
    part = Fraction(1, 2) if before in (["half"], ["a", "half"]) else _part(before, False)
    return None if part is None or (before[-1] not in ("half",) and not of) else part * _MANY[words[-1]]


def _and_part(words: list[str], joined: bool) -> Fraction | None:
    """`three and a half`, `two and three quarters`, `one and a half dozen`, `a million and a half`."""
    size = 1
    if len(words) > 3 and words[-1] in _MANY:
        size, words = _MANY[words[-1]], words[:-1]
    if "and" not in words:
        return None
    at = len(words) - 1 - words[::-1].index("and")
    whole, part = _cardinal(words[:at]), _part(words[at + 1 :], joined)
    if whole is None or part is None or part >= 1 or words[at + 1 :] == ["half"]:
        return None
    if at == 2 and words[0] in (*_ARTICLES, "one") and words[1] in _MANY:
        # of a hundred and a half no one knows whether it is 150
        return whole + part * whole if words[1] in _LARGE_OR_DOZEN and size == 1 else None
    return (whole + part) * size
