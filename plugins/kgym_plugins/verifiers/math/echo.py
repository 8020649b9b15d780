"""Formulas that are copied from the question instead of being worked out, however they are spelled."""

import re
from functools import lru_cache
from math import gcd

from kgym_plugins.verifiers.math.clean.wrappers import clean, normal_text
from kgym_plugins.verifiers.math.grammar.nodes import Node, walk
from kgym_plugins.verifiers.math.grammar.parse import parse
from kgym_plugins.verifiers.math.limits import LimitError, SyntaxProblem
from kgym_plugins.verifiers.math.plain import FRACTION

_WORK = re.compile(
    r"[-+*^=<>(]|\\(?:cdot|times|sqrt|binom|int|sum|log|ln|sin|cos|tan)|!|\\(?:b|p)?mod|\\gcd|\\operatorname|\|"
)


def _works(text: str) -> bool:
    """Whether there is something left to work out, other than a fraction or a sign."""
    if match := FRACTION.fullmatch(text):
        above, below = (int(part) for part in match.groups()[1:] if part is not None)
        return gcd(above, below) > 1
    return _WORK.search(text, 0 if text.startswith("\\") else 1) is not None


_REMAINDER = re.compile(r"(.{3,200}?)\\[bp]?mod(\d+)")
_OPERATOR = re.compile(
    r"\\(?:operatorname\*?|text(?:rm|it|bf)?|math(?:rm|it|bf|sf|op))"
    r"\s*\{\s*(?:\\(?:rm|text|mathrm)\s*\{?)?\s*([A-Za-z]{2,8})\s*\}{1,2}"
    r"|\\(gcd|lcm|max|min|det|log|ln|sin|cos|tan|cot|sec|csc|exp)(?![A-Za-z])"
)
_FORMULA = re.compile(r"\$\$(.{1,400}?)\$\$|\$([^$]{1,400})\$|\\\((.{1,400}?)\\\)|\\\[(.{1,400}?)\\\]", re.DOTALL)
_MOST_FORMULAS = 40


def _unbraced(text: str) -> str:
    """Text without what differs between a formula and its copy."""
    named = _OPERATOR.sub(lambda match: match[1] or match[2], text)
    return re.sub(r"[{}]| (?=\d)", "", normal_text(named))


def is_echo(shown: str, gold: str, question: str) -> bool:
    """Whether a formula was copied from the question instead of being worked out."""
    if not question or not re.search(r"[-+*/^=<>(\\!]", shown):
        return False
    answer, asked = _unbraced(shown), _unbraced(question)
    if (
        (match := _REMAINDER.fullmatch(answer))
        and match[1] in asked
        and re.search(rf"(?:divided by|modulo){match[2]}(?!\d)", asked)
    ):
        return True
    if answer == _unbraced(gold) or not _works(normal_text(shown)):
        return False
    return ((len(answer) >= 3 or answer.endswith("!")) and answer in asked) or _reads_as_asked(shown, gold, question)


def _reads_as_asked(shown: str, gold: str, question: str) -> bool:
    """Whether the grammar reads the answer as it reads a formula of the question, or a part of one."""
    tree = tree_of(shown)
    return tree is not None and bool(tree.args) and tree != tree_of(gold) and tree in _asked(question)


def same_formula(one: str, other: str) -> bool:
    r"""Whether the grammar reads two formulas as the same, before anything is worked out.

    >>> same_formula(r"x^3 + \frac1{x^3}", r"x^3+\frac{1}{x^3}"), same_formula("2 + 3", "5")
    (True, False)
    """
    tree = tree_of(one)
    return tree is not None and tree == tree_of(other)


@lru_cache(maxsize=1024)
def _asked(question: str) -> frozenset[Node]:
    """The trees of the formulas in a question, with all their parts."""
    formulas = (
        "".join(part or "" for part in match.groups()) for match in list(_FORMULA.finditer(question))[:_MOST_FORMULAS]
    )
    return frozenset(part for formula in formulas if (tree := tree_of(formula)) is not None for part in walk(tree))


def tree_of(text: str) -> Node | None:
    """How the grammar reads a formula, before anything is worked out; None if it does not know it."""
    try:
        return parse(
            clean(_OPERATOR.sub(lambda match: rf"\operatorname{{{match[1]}}}" if match[1] else match[0], text))
        )
    except (SyntaxProblem, LimitError, RecursionError):
        return None
