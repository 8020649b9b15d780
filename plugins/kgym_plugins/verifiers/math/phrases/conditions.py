"""Remarks after a value: conditions, reasons, what its letters stand for.

The grammar finds them by tokens (`grammar/remarks.py`); these tables say which words begin one and what a domain is
called.
"""

from kgym_plugins.verifiers.math.phrases.table import Phrase, Table
from kgym_plugins.verifiers.math.tables import name_list

CONDITIONS = Table(
    "conditions",
    "what follows says where the value before it holds",
    "begin",
    Phrase(
        r"(?:valid |true |defined |taken |considered )?(?:for|when|whenever|where|if|at|with)\b",
        "a condition",
        r"when x = 2",
        "whence x = 2",
    ),
    Phrase(
        r"(?:provided|given|assuming|supposing)(?: that)?\b|as long as\b|subject to\b|under the "
        r"(?:condition|assumption)\b"
        r"|on the (?:interval|domain)\b",
        "a condition",
        "provided that |r| < 1",
        "improved to 3",
    ),
    Phrase(
        r"(?:for )?(?:all|any|some|arbitrary|(?:every|each) (?:positive|natural|integer|whole|real|[a-z]\b))\b",
        "a quantifier",
        r"any integer k",
        "anyone",
    ),
    Phrase(
        r"(?:which is |this is |is )?(?:attained|achieved|reached|obtained|occurring|occurs|happens|equality)\b",
        "where a largest or smallest value is taken",
        "attained at t = 3",
        "contained in t",
    ),
)
REASONS = Table(
    "reasons",
    "what follows is the reason for the value before it",
    "begin",
    Phrase(
        r"(?:since|because|due to|recall|note(?: that)?|as "
        r"(?:required|desired|needed|claimed|expected)|(?:by|using|from) the)\b",
        "a reason",
        "since x > 0",
        "sincerely",
    ),
)
DOMAINS = Table(
    "domains",
    "what letters stand for",
    "within",
    Phrase(
        r"\b(?:(?:positive|non-?negative|natural) (?:integers?|numbers?)|naturals?|whole numbers?)\b",
        "naturals",
        "k is a positive integer",
        "k is positive",
    ),
    Phrase(r"\bintegers?\b", "integers", "k is any integer", "k is integral"),
    Phrase(r"\brationals?\b", "rationals", "r is rational", "r is irrational"),
    Phrase(
        r"\b(?:reals?(?: numbers?| constants?)?|(?:arbitrary |any |some |integration )?constants?(?: of "
        r"integration)?|arbitrary)\b",
        "reals",
        "c is an arbitrary constant",
        "c is constantly 3",
    ),
)
NO_REMARKS = frozenset(
    name_list(
        """
    or otherwise else not isn't isnt no nor never wrong incorrect false instead rather
    maybe perhaps possibly probably guess unless except but versus vs odd even
    approximately roughly about without only most least best worst bound bounds down up more less
    """
    )
)
"""Words that change, limit or doubt the value before them: what has one is not a mere remark."""


EVERYWHERE = frozenset({"for", "all", "any", "every", "each", "values", "of"})
"""Words that say nothing but that something always holds: for all x."""


def domain_of(words: str) -> str:
    """Return what letters stand for according to words; empty if they do not say.

    >>> domain_of("k is any positive integer"), domain_of("n is odd")
    ('naturals', '')
    """
    return next((str(phrase.means) for phrase in DOMAINS.phrases if DOMAINS.matches(phrase, words)), "")
