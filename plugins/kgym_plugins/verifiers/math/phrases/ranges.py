r"""Sets of real numbers in words: `all real numbers greater than 3`, `x is at most 5`, `x lies in the interval [2,
4]`.
"""

import re

from kgym_plugins.verifiers.math.phrases.table import Formula, Meaning, Phrase, Reader, Table

_SUBJECT = (
    r"(?:(?:the set of )?(?:all|any|every) (?:real )?(?:numbers?|values?|reals?)(?: of)?(?: (?P<name>[a-z]))?(?: such "
    r"that (?P=name))?"
    r"|(?P<letter>[a-z]))(?:,? (?:that|which))?(?: (?:can|must|has to|have to))?(?: (?:is|are|be|lies?|belongs?))?"
)
_MORE, _LESS = "(?:greater|more|larger|bigger)", "(?:less|smaller)"
_INTERVAL = r"(?:(?:the )?(?:(?P<how>open|closed|half-open) )?(?:interval|range|set) )?(?P<set>[(\[].*[)\]])"
_FORMULA = re.compile(r"(?:[^a-z\\]|\\[a-z]+(?![a-z])|(?:pi|sqrt)(?![a-z])|\b[a-z]\b)+")
_ENDS = {"open": ("()",), "closed": ("[]",), "half-open": ("(]", "[)")}


def _name(match: re.Match[str]) -> str:
    return match["name"] or match["letter"] or "x"


def _compared(sign: str) -> Reader:
    def read(match: re.Match[str], text: str) -> Meaning | None:
        return Formula(f"{_name(match)} {sign} {match['bound']}") if _FORMULA.fullmatch(match["bound"]) else None

    return read


def _between(match: re.Match[str], text: str) -> Meaning | None:
    """Without a word on its ends "between" stays text."""
    low, high, closed = match["low"], match["high"], match["how"] == "inclusive"
    if closed == (bool(match["strictly"]) or match["how"] == "exclusive") or not (
        _FORMULA.fullmatch(low) and _FORMULA.fullmatch(high)
    ):
        return None
    sign = r"\le" if closed else "<"
    return Formula(f"{low} {sign} {_name(match)} {sign} {high}")


def _bracketed(match: re.Match[str]) -> str | None:
    """The interval, if its brackets are what the words say."""
    ends = match["set"][0] + match["set"][-1]
    return match["set"] if match["how"] is None or ends in _ENDS[match["how"]] else None


def _member(match: re.Match[str], text: str) -> Meaning | None:
    inside = _bracketed(match)
    return inside and Formula(rf"{_name(match)} \in {inside}")  # type: ignore[return-value]


def _alone(match: re.Match[str], text: str) -> Meaning | None:
    inside = None if match[0].startswith(("(", "[")) else _bracketed(match)
    return inside and Formula(inside)  # type: ignore[return-value]


RANGES = Table(
    "ranges",
    "sets of real numbers in words",
    "whole",
    Phrase(rf"(?:(?:in|within|to) )?{_INTERVAL}", _alone, "in the interval [2, 4]", "the open interval [2, 4]"),
    Phrase(
        rf"{_SUBJECT} (?:in |within |to ){_INTERVAL}",
        _member,
        "x lies in the interval [2, 4]",
        "x lies in two intervals",
    ),
    Phrase(
        rf"{_SUBJECT} (?P<strictly>strictly )?between (?P<low>.+?) and (?P<high>.+?)(?:,? "
        r"\(?(?P<how>inclusive|exclusive)\)?)?",
        _between,
        "x is between 2 and 4, inclusive",
        "x is between 2 and 4",
    ),
    Phrase(
        rf"{_SUBJECT} (?:{_MORE} than or equal to|at least|(?:no|not) {_LESS} than) (?P<bound>.+)",
        _compared(r"\ge"),
        "x is at least 5",
        "x is at least a prime",
    ),
    Phrase(
        rf"{_SUBJECT} (?:{_LESS} than or equal to|at most|(?:no|not) {_MORE} than) (?P<bound>.+)",
        _compared(r"\le"),
        "all numbers at most 5",
        "all numbers at most once",
    ),
    Phrase(
        rf"{_SUBJECT} (?:strictly )?{_MORE} than (?P<bound>.+)",
        _compared(">"),
        "all real numbers greater than 3",
        "greater than 3",
    ),
    Phrase(
        rf"{_SUBJECT} (?:strictly )?{_LESS} than (?P<bound>.+)",
        _compared("<"),
        "x is less than 3",
        "x is 3 less than y",
    ),
    Phrase(rf"{_SUBJECT} not equal to (?P<bound>.+)", _compared(r"\ne"), "x is not equal to 3", "x is equal to 3"),
    flags=0,
)


def range_of(text: str) -> tuple[Phrase, Meaning] | None:
    """Return the phrase of `RANGES` that a text is, with any spaces, and the formula that it stands for."""
    words = " ".join(text.split())
    return RANGES.meaning(words[:1].lower() + words[1:])


def _condition(match: re.Match[str], text: str) -> Meaning:
    return Formula(match["condition"], only_set=True)


def _except(match: re.Match[str], text: str) -> Meaning:
    holes = re.sub(r"^[a-z]\s*=", "", match["holes"])
    return Formula(
        r"\mathbb{R} \setminus " + (holes if holes.startswith(("(", "[", "\\{")) else rf"\{{{holes}\}}"), only_set=True
    )


SETS = Table(
    "sets",
    "sets of real numbers in words, as a whole answer",
    "whole",
    Phrase(
        r"(?:the set of )?(?:all|any|every) (?:(?:real )?(?:numbers?|values?|reals?) (?:of )?)?"
        r"(?:[a-z],? (?:such that|with|where|for which|satisfying) )?(?P<condition>[a-z] ?(?:<|>|=|\\[gln]).*)",
        _condition,
        "all real numbers x such that x > 3",
        "the number x such that x > 3",
    ),
    Phrase(
        r"(?:the\s+)?(?:set\s+of\s+)?all\s+real\s+(?:numbers|values)(?:\s+(?:of\s+)?[a-z])?\s*,?\s*"
        r"(?:except|but|other\s+than|excluding|besides)\s+(?:for\s+)?(?P<holes>.+)",
        _except,
        "all real numbers except 2",
        "all real numbers",
    ),
)

_HOLDS = (
    r"(?:(?:(?:this|the) (?:(?:given|original) "
    r")?(?:in)?(?:equality|equation|identity|statement|relation|formula|condition)|it|this) )?"
    r"(?:is )?(?:always )?(?:holds?|true|satisfied|valid|works)(?: true)?(?: (?:exactly|precisely|only|if and only))? "
    r"(?:for|when|if) "
)
_EVERY = r"(?:(?:all|any|every|each) (?:(?:real )?(?:numbers?|values?) (?:of )?)?)?"

WHERE = Table(
    "where it holds",
    "a sentence says for which numbers something holds",
    "whole",
    Phrase(
        rf"(?:{_HOLDS}{_EVERY}|for (?:all|any|every|each) (?:(?:real )?(?:numbers?|values?) (?:of )?)?)"
        r"(?P<condition>[a-z] ?(?:<|>|\\(?:ge|le|geq|leq|ne|neq|geqslant|leqslant|gt|lt|in)(?![a-zA-Z])).*)",
        _condition,
        r"the identity holds for all x \ge 0",
        r"the identity does not hold for all x \ge 0",
    ),
    Phrase(
        rf"(?:{_HOLDS}|for )?(?:all|any|every|each) (?:(?:real (?:numbers?|values? of|values?)|reals?) ?[a-z]?|x)",
        r"\\mathbb{R}",
        "the inequality holds for every real number x",
        "the inequality holds for some real number x",
    ),
)
_FIRST = re.compile(
    r"(?:the|this|it|is|always|holds?|true|satisfied|valid|works|for|all|any|every|each) ", re.IGNORECASE
)


def where_of(plain: str, text: str) -> tuple[Phrase, Meaning] | None:
    """Return where something holds, if a text says that and nothing else."""
    return WHERE.meaning(plain, text) if _FIRST.match(plain) else None
