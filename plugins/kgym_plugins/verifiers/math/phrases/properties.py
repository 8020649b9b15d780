r"""What kind of thing something is: adjectives, nouns and verbs that say the same.

    property    an isosceles triangle | the triangle is isosceles | it converges absolutely | one-to-one and onto
    negation    not convergent, does not converge: divergent, where two words leave nothing between them

Words here are looked at only where two texts differ: `compare/texts.py`. A noun may be left out ("isosceles"), and
another is another thing: an isosceles trapezoid is not an isosceles triangle.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from kgym_plugins.verifiers.math.phrases.table import Phrase, Table
from kgym_plugins.verifiers.math.tables import name_list


@dataclass(frozen=True)
class Property:
    """What is said of a thing, and the thing, if it is named."""

    said: frozenset[str]
    thing: str = ""

    def same(self, other: "Property") -> bool:
        """Whether two properties are the same, of the same thing or of one that only one of them names."""
        if _NEITHER in (self.said, other.said):
            return all(
                all(word.startswith("not ") for word in one.said) or one.said == _NEITHER for one in (self, other)
            )
        if self.said != other.said:
            return False
        return self.thing == other.thing or (bool(self.said) and "" in (self.thing, other.thing))


_NEITHER = frozenset({"neither"})
_ADJECTIVES = frozenset(
    name_list(
        """
        isosceles equilateral scalene right acute obtuse equiangular regular
        oblique reflex straight cyclic convex concave
        even odd increasing decreasing nonincreasing nondecreasing constant monotonic
        periodic aperiodic bounded unbounded convergent divergent
        continuous discontinuous differentiable integrable linear nonlinear quadratic cubic exponential
        injective surjective bijective invertible singular nonsingular symmetric antisymmetric skew-symmetric reflexive
        transitive diagonalizable independent dependent consistent inconsistent commutative associative
        prime composite rational irrational real complex imaginary positive negative nonnegative nonpositive
        finite infinite countable uncountable perfect abundant deficient transcendental algebraic
        harmonic geometric arithmetic
        parallel perpendicular skew coincident collinear coplanar concurrent intersecting congruent similar tangent
        horizontal vertical up down local global saddle inflection stable unstable open closed compact connected
        possible impossible
        """
    )
)
_OF_TRIANGLES = frozenset({"isosceles", "scalene", "equilateral"})
"""Of a triangle, if nothing else is named."""
_SYNONYMS = {
    "right-angled": "right", "rightangled": "right", "right-angle": "right", "one-to-one": "injective",
    "1-1": "injective",
    "onto": "surjective", "obtuse-angled": "obtuse", "acute-angled": "acute", "orthogonal": "perpendicular",
    "non-increasing": "nonincreasing", "non-decreasing": "nondecreasing", "non-negative": "nonnegative",
    "non-positive": "nonpositive", "monotone": "monotonic", "non-singular": "nonsingular",
    "noninvertible": "singular",
    "non-invertible": "singular", "nonsingular": "invertible", "non-periodic": "aperiodic",
    "skewsymmetric": "skew-symmetric",
    "antisymmetric": "skew-symmetric", "skew-symmetrical": "skew-symmetric", "diagonalisable": "diagonalizable",
    "non-linear": "nonlinear", "non-prime": "not prime", "nonprime": "not prime", "undefined": "divergent",
    "increases": "increasing", "decreases": "decreasing", "increase": "increasing", "decrease": "decreasing",
    "converges": "convergent", "converge": "convergent", "diverges": "divergent", "diverge": "divergent",
    "injection": "injective", "surjection": "surjective", "bijection": "bijective", "convergence": "convergent",
    "divergence": "divergent", "independence": "independent", "dependence": "dependent", "intersect": "intersecting",
    "coincide": "coincident", "1-to-1": "injective", "one-one": "injective", "equal-sided": "equilateral",
    "relative": "local",
    "upward": "up", "upwards": "up", "downward": "down", "downwards": "down",
}  # fmt: skip
_FUNCTION_NOUNS = {"injection": "function", "surjection": "function", "bijection": "function"}
_ADVERBS = {
    "absolutely": "absolutely ", "conditionally": "conditionally ", "uniformly": "uniformly ",
    "pointwise": "pointwise ",
    "strictly": "strictly ", "absolute": "absolutely ", "conditional": "conditionally ", "uniform": "uniformly ",
    "linearly": "", "always": "", "monotonically": "", "statistically": "", "mutually": "",
}  # fmt: skip
"""How something converges or increases, and words that add nothing."""
_OPPOSITES = {
    one: other
    for pair in (
        ("convergent", "divergent"), ("rational", "irrational"), ("continuous", "discontinuous"),
        ("independent", "dependent"),
        ("invertible", "singular"), ("finite", "infinite"), ("bounded", "unbounded"), ("countable", "uncountable"),
        ("consistent", "inconsistent"), ("possible", "impossible"), ("periodic", "aperiodic"), ("linear", "nonlinear"),
        ("stable", "unstable"),
    )
    for one, other in (pair, pair[::-1])
}  # fmt: skip
"""Words of which one is the other denied. Odd is not here: a function may be neither even nor odd."""
_SHAPES = frozenset(
    name_list(
        """
        triangle circle ellipse hyperbola parabola line point plane sphere cylinder cone square rectangle rhombus
        parallelogram trapezoid trapezium kite quadrilateral pentagon hexagon heptagon octagon nonagon decagon dodecagon
        cube cuboid prism pyramid tetrahedron octahedron dodecahedron icosahedron torus helix spiral cardioid cycloid
        lemniscate limacon rose hyperboloid paraboloid ellipsoid catenary semicircle segment ray
        """
    )
)
_THINGS = _SHAPES | frozenset(
    name_list(
        """
        function map mapping number integer series sequence integral sum limit product
        angle set matrix relation graph curve conic polygon figure shape
        vector system event variable operation polynomial group space solution value answer
        equation asymptote slope section maximum minimum
        """
    )
)
_PLAIN = frozenset(
    {("straight", "line"), ("circular", "cylinder"), ("circular", "cone"), ("right", "cylinder"), ("right", "cone")}
)
"""Words that a thing has unless something else is said."""
_PLURALS = {
    "matrices": "matrix", "vertices": "vertex", "rhombi": "rhombus", "series": "series", "functions": "function",
    "trapezium": "trapezoid", "trapezia": "trapezoid", "progression": "sequence", "progressions": "sequence",
    "max": "maximum", "min": "minimum",
}  # fmt: skip

_SUBJECT = (
    r"(?:(?!(?:not|no|neither|nor|only|if|one|some|all|every|which|never|none|when|either) )[a-z]+"
    r"(?: (?!(?:not|nor|never|only|is|are|if|when|or) )[a-z]+){0,4}(?:\([a-z]\))?|[a-z]_[a-z])"
)
_HOW = r"(?:absolutely |conditionally |uniformly |pointwise |monotonically |strictly |always )?"
_VERB = r"(?:converges?|diverges?|increases?|decreases?|intersect|coincide)\b"
SUBJECTS = Table(
    "what a property is said of",
    "the thing before the verb, which may be left out",
    "begin",
    Phrase(
        rf"(?:{_SUBJECT} )?(?:is|are|was|must be|has to be|will be|represents|it's|they're)(?: always)?(?= )",
        "a thing with its verb",
        "the triangle is isosceles",
        "the triangle isosceles",
    ),
    Phrase(
        rf"{_SUBJECT}(?= {_HOW}(?:(?:does|do|doesn't|don't)(?: not)? )?{_VERB})",
        "a thing before a verb that is a property",
        "the series converges",
        "the convergent series",
    ),
)
_DENIED = re.compile(r"(?:does not|do not|doesn't|don't|is not|isn't|are not|aren't|not|never|non) (?=[a-z])")
_JOINED = re.compile(r"(?:, and | and |, | & )")
_ONE_TO_ONE = re.compile(r"\b(?:one|1)(?: to |-to-|-)(?:one|1)\b")
_TAIL = re.compile(r" by [a-z' -]{3,40}\Z|(?<=diverges) to (?:(?:positive|negative|plus|minus) )?infinity\Z")
"""Why something converges, and where to it diverges."""
_LONGEST = 90


@lru_cache(maxsize=2048)
def property_of(text: str) -> Property | None:
    """Read a text in the normal form of `normal_words`; None if it says no property that is known.

    >>> property_of("triangle is isosceles").same(property_of("isosceles"))
    True
    >>> property_of("series does not converge").said, property_of("pacific ocean")
    (frozenset({'divergent'}), None)
    """
    if len(text) > _LONGEST:
        return None
    text = _TAIL.sub("", _ONE_TO_ONE.sub("one-to-one", text.replace(" angled", "-angled")))
    thing = ""
    if subject := SUBJECTS.pattern.match(text):
        thing = next((word for word in map(_singular, subject[0].split()) if word in _THINGS), "")
        text = text[subject.end() :].strip()
    if text == "neither":
        return Property(_NEITHER, thing)
    if text.startswith("neither ") and " nor " in text:
        parts = [_words(part) for part in re.split(r", | nor ", text.removeprefix("neither "))]
        denied = frozenset(f"not {word}" for part in parts if part for word in part.said)
        return Property(denied, thing) if all(parts) else None
    parts = [_words(part) for part in _JOINED.split(text.removeprefix("both "))]
    if not all(parts):
        return None
    said = frozenset(word for part in parts if part for word in part.said)
    named = next((part.thing for part in parts if part and part.thing), "")
    if not named and not said.isdisjoint(_OF_TRIANGLES):
        named = thing or "triangle"
    if said >= {"injective", "surjective"}:
        said = said - {"injective", "surjective"} | {"bijective"}
    if named and (said or named in _SHAPES or thing):
        return Property(said, named)
    return Property(said, thing) if said else None


def _words(part: str) -> Property | None:
    """Adjectives and a noun, or a verb, perhaps denied."""
    denied = _DENIED.match(part)
    words = part[denied.end() :].split() if denied else part.split()
    thing, said, how = "", list[str](), ""
    if words and (noun := _singular(words[-1])) in _THINGS:
        thing, words = noun, words[:-1]
    for word in words:
        if word in _ADVERBS:
            how += _ADVERBS[word]
            continue
        adjective = _SYNONYMS.get(word, word)
        if (adjective, thing) not in _PLAIN and adjective not in _ADJECTIVES and not adjective.startswith("not "):
            return None
        thing = thing or _FUNCTION_NOUNS.get(word, "")
        if (adjective, thing) not in _PLAIN:
            said.append(adjective)
    if not said:
        return None if denied or how or not thing else Property(frozenset(), thing)
    said[0] = how + said[0]
    if denied:
        if len(said) > 1:
            return None
        said = [_OPPOSITES.get(said[0], f"not {said[0]}")]
    return Property(frozenset(said), thing)


def is_thing(word: str) -> bool:
    """Whether a word names what a property can be said of, as do `triangle` and `series`."""
    return _singular(word) in _THINGS


def names_property(text: str) -> bool:
    """Whether a text has a word for a property or a shape in it.

    >>> names_property("on the left and decreasing there"), names_property("to each other")
    (True, False)
    """
    words = re.findall(r"[a-z-]+", text.casefold())
    return any(
        _SYNONYMS.get(word, word) in _ADJECTIVES or _singular(word) in _SHAPES or word == "neither" for word in words
    )


def _singular(word: str) -> str:
    if word in _PLURALS:
        return _PLURALS[word]
    return word[:-1] if word.endswith("s") and word[:-1] in _THINGS else word
