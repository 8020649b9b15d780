r"""Answers that have the right value in a form that the question does not ask for: 2^2 * 3 * 10 as a product of primes,
a sum where the question says factor, a product where it says expand.

Elsewhere a value may be written in any way: \frac{7!}{2!5!} is 21, if the question does not have it (`echo.py`).
"""

import re

from kgym_plugins.verifiers.math.echo import tree_of
from kgym_plugins.verifiers.math.grammar.nodes import Add, Mul, Neg, Node, Num, Pow, Relation

_PRIMES = re.compile(
    r"\bprime\s+factori[sz]ation\b|\bproduct\s+of\s+(?:powers\s+of\s+)?(?:its\s+)?prime", re.IGNORECASE
)
_FACTOR = re.compile(
    r"\bfactor(?:i[sz]e)?\s+(?:completely\s+|out\s+|fully\s+)?"
    r"(?:(?:the\s+)?(?:expression|polynomial|quadratic)\s+)?(?:\$|\\\()",
    re.IGNORECASE,
)
_EXPAND = re.compile(r"\bexpand\b|\bmultiply\s+out\b", re.IGNORECASE)
_LARGEST = 10**9


def is_another_form(shown: str, gold: str, question: str) -> bool:
    """Whether an answer, which has the value of the gold answer, is not in the form that the question asks for.

    >>> asked = "Write 120 as a product of primes."
    >>> gold = r"2^3 \\cdot 3 \\cdot 5"
    >>> is_another_form(r"2^2 \\cdot 3 \\cdot 10", gold, asked), is_another_form("2*2*2*3*5", gold, asked)
    (True, False)
    >>> is_another_form("x(x-5)+6", "(x-2)(x-3)", "Factor $x^2-5x+6$.")
    True
    >>> is_another_form("4!", "24", "How many are there?")
    False
    """
    if _PRIMES.search(question):
        has_form = _is_of_primes
    elif _FACTOR.search(question):
        has_form = _is_product
    elif _EXPAND.search(question):
        has_form = _is_expanded
    else:
        return False
    said, asked = _sides(shown), _sides(gold)
    return bool(said and asked) and any(map(has_form, asked)) and not any(map(has_form, said))


def _sides(text: str) -> list[Node]:
    tree = tree_of(text.strip("$ ."))
    if tree is None:
        return []
    return list(tree.args) if isinstance(tree, Relation) else [tree]


def _is_of_primes(node: Node) -> bool:
    if not isinstance(node, Mul | Pow):
        return False
    return all(_is_prime(base) for base in (_base(part) for part in (node.args if isinstance(node, Mul) else (node,))))


def _base(node: Node) -> Node:
    return node.args[0] if isinstance(node, Pow) else node


def _is_prime(node: Node) -> bool:
    if not isinstance(node, Num) or not node.value.text.isdecimal() or int(node.value.text) > _LARGEST:
        return False
    number = int(node.value.text)
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def _is_product(node: Node) -> bool:
    return isinstance(node.args[0] if isinstance(node, Neg) else node, Mul | Pow)


def _is_expanded(node: Node) -> bool:
    return isinstance(node, Add) and not any(
        isinstance(part, Pow) and isinstance(part.args[0], Add) for part in node.args
    )
