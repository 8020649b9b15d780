"""What has a name in words: the empty set, all real numbers, infinity, numbers, yes and no.

They are understood as a whole answer and as an item of a list ("0 or infinity").
"""

import re

from kgym_plugins.verifiers.math.phrases.normal import IT_IS, PUNCTUATION, normal_words
from kgym_plugins.verifiers.math.phrases.numbers import ORDINAL_WORDS, number_from_words, ordinal_from_words
from kgym_plugins.verifiers.math.phrases.table import Formula, Meaning, Phrase, Reader, Table, Word

INFINITELY_MANY = "infinitely many"


def _word(text: str) -> Reader:
    return lambda match, whole: Word(text)


def _itself(match: re.Match[str], text: str) -> Meaning:
    return Word(match[0].casefold())


def _number(match: re.Match[str], text: str) -> Meaning | None:
    value = number_from_words(match[0].casefold().split())
    if value is None:
        return None
    return Formula(str(value[0]) if value[1] == 1 else rf"\frac{{{value[0]}}}{{{value[1]}}}")


def _ordinal(match: re.Match[str], text: str) -> Meaning | None:
    place = ordinal_from_words(match["place"].casefold().split())
    return None if place is None else Formula(str(place))


def _whole_numbers(match: re.Match[str], text: str) -> Meaning | None:
    """All integers, or those of a kind."""
    kind, noun = (match["kind"] or "").replace("-", "").strip(), match["noun"] or "integers"
    if not noun.startswith("integer") and not re.search(r"even|odd|natural", kind):
        return None  # all positive numbers
    return Word(f"{kind} integers".strip() if "natural" not in kind else "naturals")


_SET = r"(?:(?:set of )?(?:all|any|every) )?(?:real )?"
_NUMBERS = r"(?: real numbers?| reals?| numbers?)"

NAMED = Table(
    "names",
    "words that stand for a value",
    "whole",
    Phrase(
        r"(?:the )?(?:empty|null) set|empty|none|nothing|inconsistent|impossible|unsolvable|not "
        r"(?:solvable|possible)|no answer exists",
        r"\\emptyset",
        "the empty set",
        "the set",
    ),
    Phrase(
        r"(?:there (?:is|are) |(?:equation )?has )?no (?:(?:real|integer|possible|valid) "
        r")?(?:solutions?|roots?|values?)(?: exists?)?",
        r"\\emptyset",
        "there are no real solutions",
        "there are two real solutions",
    ),
    Phrase(
        r"(?:there (?:is|are|exists?) )?no such \w{1,20}(?: exists?)?",
        r"\\emptyset",
        "no such number exists",
        "such a number exists",
    ),
    Phrase(
        r"(?:the )?solution (?:set is empty|does not exist)|no (?:x|triangle)",
        r"\\emptyset",
        "the solution set is empty",
        "no",
    ),
    Phrase(
        r"(?:set of )?(?:all|any|every) real(?:s| numbers?| values?(?: of [a-z])?| x)?|(?:set of )?real numbers"
        r"|reals|all (?:numbers|x|values of x)",
        r"\\mathbb{R}",
        "all real numbers",
        "two real numbers",
    ),
    Phrase(_SET + r"positive" + _NUMBERS, r"\\{x : x > 0\\}", "all positive reals", "positive"),
    Phrase(_SET + r"negative" + _NUMBERS, r"\\{x : x < 0\\}", "negative real numbers", "negative"),
    Phrase(
        _SET + r"non[- ]?negative(?: real numbers?| reals?| numbers?)",
        r"\\{x : x \\ge 0\\}",
        "all non-negative reals",
        "non-negative",
    ),
    Phrase(
        _SET + r"non[- ]?positive(?: real numbers?| reals?| numbers?)",
        r"\\{x : x \\le 0\\}",
        "nonpositive numbers",
        "nonpositive",
    ),
    Phrase(
        _SET + r"non-?zero (?:numbers?|reals?|real numbers?)|(?:all|any|every) real numbers? except (?:0|zero)",
        r"\\mathbb{R} \\setminus \\{0\\}",
        "all nonzero real numbers",
        "nonzero",
    ),
    Phrase(
        r"(?:set of |the )*(?:all|any|every|each) (?:(?:the|of) )*"
        r"(?P<kind>(?:(?:positive|negative|non-?negative|non-?zero|even|odd|natural) )*)"
        r"(?P<noun>integers?|numbers?|n|k|m)(?: (?:values? )?(?:of )?[a-z])?|set of (?P<bare>integers)",
        _whole_numbers,
        "every positive integer n",
        "every prime",
    ),
    Phrase(
        r"(?:(?:limit|it) )?(?:does(?: not|n'?t) exist|dne)|do not exist|(?:is )?(?:undefined|not "
        r"defined)|diverges|divergent|nonexistent"
        r"|no limit|indeterminate",
        _word("undefined"),
        "does not exist",
        "exists",
    ),
    Phrase(
        r"(?:there are )?infinitely many(?: (?:solutions|values))?"
        r"|(?:there are )?(?:an )?infinite(?: number(?: of solutions)?| solutions)?",
        _word(INFINITELY_MANY),
        "there are infinitely many solutions",
        "there are many solutions",
    ),
    Phrase(r"(?:positive |plus |\+)?infinity", r"\\infty", "positive infinity", "positive"),
    Phrase(r"(?:negative |minus |-)infinity", r"-\\infty", "negative infinity", "negative"),
    Phrase(r"yes|no|true|false", _itself, "Yes", "perhaps"),
    Phrase(r"correct", _word("true"), "correct", "right"),
    Phrase(r"incorrect", _word("false"), "incorrect", "left"),
    Phrase(r"[a-z]+(?:[ -]+[a-z]+)*", _number, "three quarters", "three wishes"),
    Phrase(
        rf"(?:the )?(?P<place>(?:[a-z]{{3,9}}[ -]){{0,4}}(?:{ORDINAL_WORDS}))(?: one)?",
        _ordinal,
        "the twenty-first",
        "the twenty-one",
    ),
)


def named(words: str) -> tuple[Phrase, Meaning] | None:
    """Return what words stand for, with the phrase that says so, or None if they are just text."""
    plain = IT_IS.sub("", words.casefold().strip(PUNCTUATION))
    found = NAMED.meaning(plain)
    if found is None and (without := normal_words(words)) != plain:
        found = NAMED.meaning(without)
        if found is not None and found[0].means in (_number, _ordinal):
            return None  # "the one" is not a number, nor is "a second"
    return found
