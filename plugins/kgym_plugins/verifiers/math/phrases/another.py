r"""What tells that a value is of something else than what was asked: the fifth term for the sixth, the number of bad
pairs, a determinant.

Words here count only if the question does not have them. Quantities are in groups of which one is never another.
"""

import re

from kgym_plugins.verifiers.math.phrases.numbers import ORDINAL_WORDS, ordinal_from_words
from kgym_plugins.verifiers.math.phrases.table import Phrase, Table

ANOTHER = Table(
    "other things",
    "the value that follows is of something on the way, if the question does not say so",
    "within",
    Phrase(
        rf"\b((?!second\s+(?:later|more)){ORDINAL_WORDS}|\d+(?:st|nd|rd|th))\s+"
        r"(?!sides?\b|angles?\b|powers?\b|decimal\b|root\b|derivative\b)[a-z]+\b",
        "another place in an order",
        "the fifth term is",
        "the third side is",
    ),
    Phrase(
        r"\b(bad|unwanted|forbidden|excluded|invalid|complementary|unfavou?rable|opposite|previous|intermediate|wrong"
        r"|incorrect|smaller|larger|other|next|corresponding)\s+(?!comes\b|is\b|words\b|hand\b)[a-z]+\b",
        "another one",
        "the number of bad pairs is",
        "in other words the number is",
    ),
    Phrase(
        r"\b(half|twice|double|a\s+third|a\s+quarter|three\s+times)\s+(?:of\s+)?(?:it|that|this|them|the\s+number)\b",
        "a part or a multiple of it",
        "half of it is",
        "half of the cake is",
    ),
    Phrase(
        r"\b(left|right)(?:-hand)?\s+side\b",
        "a side of an equation",
        "the right side is",
        "the right answer is",
    ),
    Phrase(
        r"\b(square|cube|reciprocal|inverse|half|double|negative)\s+of\s+"
        r"(?:the|it|its|this|that)\b(?!\s+(?:sum|difference|product)\b)",
        "what is made of it",
        "the square of the radius is",
        "the square is",
    ),
    Phrase(
        r"\b(?:not|n't)\s+([a-z]{3,})(?:\s+[a-z]+){0,3}\s+(?:is|are)\b",
        "what has another property",
        "the number of those that are not even is",
        "the number of even ones is",
    ),
)
_GROUPS: tuple[dict[str, str], ...] = (
    {"det": r"\\?\bdet(?:erminants?)?\b", "trace": r"\\?\btr(?:ace)?\b", "rank": r"\brank\b"},
    {"area": r"\bareas?\b", "perimeter": r"\b(?:perimeters?|circumferences?)\b", "volume": r"\bvolumes?\b"},
    {"radius": r"\bradi(?:us|i)\b", "diameter": r"\bdiameters?\b"},
    {"mean": r"\b(?:mean|average)\b", "median": r"\bmedian\b", "mode": r"\bmode\b", "variance": r"\bvariance\b"},
    {
        "gcd": r"\\?\b(?:gcd|gcf|hcf|greatest\s+common|highest\s+common)\b",
        "lcm": r"\\?\b(?:lcm|least\s+common|lowest\s+common)\b",
    },
    {
        "maximum": r"\\?\b(?:max(?:imum|imal)?|largest|greatest|biggest|highest)\b",
        "minimum": r"\\?\b(?:min(?:imum|imal)?|smallest|least|lowest)\b",
    },
    {"numerator": r"\bnumerator\b", "denominator": r"\bdenominator\b"},
    {"density": r"\b(?:density|pdf)\b", "distribution": r"\b(?:distribution\s+function|cumulative|cdf)\b"},
    {"quotient": r"\bquotient\b", "remainder": r"\bremainder\b"},
    {
        "discount": r"\b(?:discount|tip|tax|interest)\b",
        "price": r"\b(?:total|final\s+price|sale\s+price|price\s+after|pay)\b",
    },
)
_CONTRASTED = (
    "boys girls",
    "men women",
    "adults children",
    "heads tails",
    "red blue green yellow white black",
    "wins losses",
    "odd even",
)
_GROUPS += tuple({word: rf"\b{word}\b" for word in words.split()} for words in _CONTRASTED)
_ASKING = re.compile(
    r"\b(?:how\s+(?:many|much)|what|which|find|determine|compute|calculate)\b[^.?!]{1,200}", re.IGNORECASE
)
"""What is asked for, in a question that may name other things before it."""
_COUNTING = re.compile(r"\bhow\s+many\b|\bnumber\s+of\b", re.IGNORECASE)
_EXTREME = re.compile(r"\b(?:smallest|largest|greatest|biggest|least|most|maximum|minimum)\b", re.IGNORECASE)
"""No number of things that are counted."""
_PLACE_OF_EXTREME = re.compile(
    r"\b(?:attained|reached|achieved|occurs?)\s+(?:at|when|for|if)\s*[$\\(]*\s*\Z", re.IGNORECASE
)
"""Before a place, which is not the value that is reached there."""
_ASKS_PLACE = re.compile(
    r"\b(?:where|when|which|occurs?|points?|coordinates?|location"
    r"|attain\w*|reach\w*|achiev\w*|minimi[sz]\w*|maximi[sz]\w*|at\s+what|for\s+what)\b"
    r"|(?:value|number|integer|largest|smallest|least|greatest)\s+(?:of\s+)?\$[a-z]\$",
    re.IGNORECASE,
)
_WORKED_ON = re.compile(
    r"\b(?:integrat|differentiat|multiply|divid|squar|add|subtract|doubl|halv|solv)ing\s+"
    r"(?:(?:the|both|its|by)\s+)?[a-z]+",
    re.IGNORECASE,
)
"""What a value is worked out from: integrating the density."""
_PATTERNS = tuple({name: re.compile(pattern, re.IGNORECASE) for name, pattern in group.items()} for group in _GROUPS)


def asked_part(question: str) -> str:
    """The part of a question that says what is asked for; the whole of it, if no such part is found.

    >>> asked_part("The width is 3 less than the length. Find its dimensions.")
    'Find its dimensions'
    """
    found = list(_ASKING.finditer(question))
    return found[-1][0] if found else question


def of_another(before: str, question: str, *, places: bool = True) -> bool:
    """Whether what comes before a value says that it is of something else than what the question asks.

    >>> of_another("The perimeter is", "Find the area."), of_another("The area is", "Find the area.")
    (True, False)
    >>> of_another("So it is", "Find it.")
    False

    `places`: also look for the words of the table, and not only for quantities.
    """
    if not question:
        return False
    asked = question.casefold()
    asking = list(_ASKING.finditer(question))
    for match in ANOTHER.pattern.finditer(before) if places else ():
        words = [word for word in match.groups() if word]
        if words and not any(_in_question(word.casefold(), asked) for word in words):
            return True
    if places and _COUNTING.search(question) and _EXTREME.search(before) and not _EXTREME.search(question):
        return True
    if _PLACE_OF_EXTREME.search(before) and not _ASKS_PLACE.search(question):
        return True
    before = _WORKED_ON.sub("", before)
    for group in _PATTERNS:
        said = {name for name, pattern in group.items() if pattern.search(before)}
        wanted = {name for name, pattern in group.items() if asking and pattern.search(asking[-1][0])}
        in_question = wanted or {name for name, pattern in group.items() if pattern.search(question)}
        if said and in_question and said.isdisjoint(in_question):
            return True
    return False


_INDEXED = re.compile(r"\W{0,3}([A-Za-z])(?:_\{?(\d{1,4})\}?|\((-?\d{1,4})\))\s*")
_AT_POINT = re.compile(r"[^=<>]{0,30}[A-Za-z]\((?P<point>-?\d{1,4}(?:,\s?-?\d{1,4}){1,2})\)\s*")
_POINT = re.compile(r"\(\s?(-?\d{1,4}(?:,\s?-?\d{1,4}){1,2})\s?\)")


_POWER = re.compile(r"\W{0,3}([A-Za-z])\s?\^\s?\{?(\d)\}?\s*")
"""A power, which is not another name of a letter: x^2 = 9 does not say what x is."""


def is_another_name(side: str, question: str) -> bool:
    """Whether a name with an index or an argument is in the question only with others: a_4 for a_5, f(1) for f(2).

    >>> [is_another_name(name, "Find $a_5$.") for name in ("a_4", "a_5", "S_5")]
    [True, False, False]
    """
    if (power := _POWER.fullmatch(side)) and re.search(rf"(?<![A-Za-z\\]){power[1]}(?![A-Za-z])", question):
        return re.search(rf"(?<![A-Za-z\\]){power[1]}\s?\^\s?\{{?{power[2]}\}}?(?!\d|\s?[-+*/^])", question) is None
    if point := _AT_POINT.fullmatch(side):
        points = {re.sub(r"\s", "", one) for one in _POINT.findall(question)}
        return bool(points) and re.sub(r"\s", "", point["point"]) not in points
    match = _INDEXED.fullmatch(side)
    if match is None:
        return False
    if re.search(rf"(?<![A-Za-z]){match[1]}\(\s*[A-Za-z]+\(", question):
        return False  # f(f(1)), which is f(5)
    opening = "_" if match[2] else r"\("
    asked = set(re.findall(rf"(?<![A-Za-z]){match[1]}{opening}\{{?(-?\d+)", question))
    index = match[2] or match[3]
    return bool(asked) and index not in asked and re.search(rf"(?<!\d){index}(?!\d)", question) is None


_HOW_MANY = re.compile(r"\bhow\s+many\s+((?:[a-z'-]+\s*){1,6})", re.IGNORECASE)
_NO_THINGS = re.compile(r"\b(?:ways?|possibilities|outcomes?|arrangements?|choices)\b", re.IGNORECASE)


_NO_NOUN = re.compile(r"(?:do|does|did|has|have|had|is|are|was|were|can|will|would|play|more|less)\b", re.IGNORECASE)


def is_another_thing(thing: str, question: str, *, stated: bool = False) -> bool:
    """Whether a counted thing is one that the question names, but not the one of which it asks how many there are.

    >>> question = "Of 9 cows, 3 sheep: how many animals are there?"
    >>> [is_another_thing(thing, question) for thing in ("sheep", "animals", "heads")]
    [True, False, False]

    `stated`: a statement is known to be about what the question names, so only a thing counts that it names first.
    """
    asked = _HOW_MANY.findall(question)
    stem = thing.removesuffix("s").casefold()
    if not asked or _NO_THINGS.search(asked[-1]) or stem in asked[-1].casefold():
        return False
    if _NO_NOUN.match(asked[-1]):
        return False  # how many does she have
    before = question[: list(_HOW_MANY.finditer(question))[-1].start()]
    return re.search(rf"\b{re.escape(stem)}(?:s|es)?\b", before if stated else question, re.IGNORECASE) is not None


def _in_question(word: str, asked: str) -> bool:
    number = re.match(r"\d+", word)
    place = int(number[0]) if number else ordinal_from_words([word])
    return word in asked or (place is not None and place > 2 and re.search(rf"(?<!\d){place}(?!\d)", asked) is not None)
