r"""What a formula is, said before it: `the circle x^2 + y^2 = 4`, `the point (1, 2)`, `the polynomial x^2 - 1`.

The words are left out where the formula is such a thing. What is made of it is another answer: a factor of x^2 - 1, a
line parallel to y = 2x, the interior of the circle.
"""

import re

from kgym_plugins.verifiers.math.phrases.table import Formula, Meaning, Phrase, Table
from kgym_plugins.verifiers.math.phrases.units import unit_named
from kgym_plugins.verifiers.math.tables import name_list

_WHICH = (
    r"(?:(?:straight|vertical|horizontal|unique|unit|required|desired|new|real|complex|rational|irrational|positive"
    r"|negative|whole|natural|prime|composite|odd|even|perfect|monic|quadratic|cubic|linear|constant|exact"
    r"|final|only|single|column|row|ordered|general"
    r"|particular|minimal|minimum|maximum|simplified|reduced|open|closed|half-open|standard) )*"
)
_AT = r"(?:(?:at|in) )?(?:the |an? )?"
_WITH = (
    r"(?: (?:at|is|with coordinates|with (?:the )?equation|given by|with|of equation|whose equation is|defined by"
    r"|described by))?"
)
_OF = r"(?: of (?=[\d$\\.-]))?"
_FORMULA = r"(?P<formula>(?:[-+(\[|{\d.$√π]|\\[^a-zA-Z]|\\[a-zA-Z]+|[a-zA-Z](?![a-zA-Z]))(?s:.*))"


def _equation(match: re.Match[str], text: str) -> Meaning | None:
    return Formula(match["formula"]) if "=" in match["formula"] and not _more(match["formula"]) else None


def _expression(match: re.Match[str], text: str) -> Meaning | None:
    return None if _more(match["formula"]) else Formula(match["formula"])


def _bracketed(match: re.Match[str], text: str) -> Meaning | None:
    formula = match["formula"].removeprefix("\\left").lstrip()
    opens = (
        ("\\{", "{")
        if match["noun"].casefold() in ("set", "solution set")
        else ("(", "[", "\\langle", "\\begin", "<", "]")
    )
    if not (formula.startswith(opens) or re.match(r"[A-Z]\s?\(", formula)) or _more(formula):
        return None
    return Formula(match["formula"])


_ANOTHER_WORD = re.compile(r"(?<![\\A-Za-z{])(?!(?:when|where|with|sqrt|units?)\b)[A-Za-z]{4,}|\b(?:is|are|not|be)\b")


def _more(formula: str) -> bool:
    """Whether words go on after the formula: the number 7 times two."""
    return any(unit_named(word) is None for word in _ANOTHER_WORD.findall(formula))


OBJECTS = Table(
    "names before formulas",
    "the words say what kind of thing the formula is",
    "whole",
    Phrase(
        rf"{_AT}{_WHICH}(?:circle|ellipse|hyperbola|parabola|line|curve|graph of|plane|sphere|equation|conic|asymptote"
        rf"|locus|relation|identity|tangent line|tangent|directrix|axis){_WITH}:? ?{_FORMULA}",
        _equation,
        "the circle x^2 + y^2 = 4",
        "the circle x^2 + y^2",
    ),
    Phrase(
        rf"{_AT}{_WHICH}(?P<noun>point|vertex|pair|triple|vector|interval|solution "
        r"set|set|center|centre|focus|coordinates"
        rf"|matrix|origin|range|domain|tuple|midpoint|centroid){_WITH}:? ?{_FORMULA}",
        _bracketed,
        "the ordered pair (1, 2)",
        "the point 3",
    ),
    Phrase(
        rf"{_AT}{_WHICH}(?:number|integer|prime|answer|remainder|quotient|coefficient|polynomial|expression"
        r"|quadratic|fraction|decimal|value|length|function|quantity|constant|ratio|solution|term|distance"
        r"|probability|formula|sum|product|area|volume|difference|angle|slope"
        r"|monomial|binomial|trinomial|series|sequence|vertical line|horizontal line|radius|height|width"
        rf"|perimeter|total){_WITH}{_OF}:? ?{_FORMULA}",
        _expression,
        "the polynomial x^2 - 1",
        "the polynomial divides x^2 - 1",
    ),
)
CHANGING = frozenset(
    name_list(
        """
        to above below under over beyond outside inside not than from
        parallel perpendicular except before after between near
        """
    )
)
"""Words before `y = 2x + 1` of which the equation is only a part: a line parallel to it, the region above it."""
