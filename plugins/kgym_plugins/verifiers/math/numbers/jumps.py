"""Where to compare functions with jumps: floor and ceiling, remainders, factorials, powers of negative numbers.

Points taken at random miss the jumps. So letters that stand for whole numbers get whole numbers, all small ones and
those that the constants of the formulas make critical; other letters get points at which an inner argument is whole, in
addition to ordinary ones.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice, product

from kgym_plugins.verifiers.math.grammar.nodes import Call, Factorial, Mod, Neg, Node, Num, Pow, symbols, walk

WHOLE_LETTERS = frozenset("ijklmnpqrKMN")
"""Letters that stand for whole numbers where a function with jumps is near."""
_ROUNDING = frozenset({"floor", "ceil"})
_OF_WHOLE_NUMBERS = frozenset({"gcd", "lcm", "binom"})
_LARGEST_CONSTANT = 10_000
_MOST_CONSTANTS = 6
_PER_LETTER = {1: 40, 2: 9, 3: 5}
"""Small values for each letter, by the number of letters."""
_MOST_NEAR, _MOST_FAR = 125, 80


def _alternates(node: Node) -> bool:
    """Whether a node is (-1)^n or the like, which has real values at whole exponents only."""
    return (
        isinstance(node, Pow)
        and isinstance(node.args[0], Neg)
        and not symbols(node.args[0])
        and bool(symbols(node.args[1]))
    )


def whole_letters(*trees: Node) -> frozenset[str] | None:
    """Return the letters that stand for whole numbers; None if nothing in these trees jumps."""
    jumps = False
    whole: set[str] = set()
    for tree in trees:
        for node in walk(tree):
            if isinstance(node, Mod | Factorial) or (isinstance(node, Call) and node.value in _OF_WHOLE_NUMBERS):
                whole |= symbols(node)
                jumps = True
            elif _alternates(node):
                whole |= symbols(node.args[1])
                jumps = True
            elif isinstance(node, Call) and node.value in _ROUNDING:
                jumps = True
    if not jumps:
        return None
    return frozenset(whole | frozenset().union(*map(symbols, trees)) & WHOLE_LETTERS)


def _constants(*trees: Node) -> list[Fraction]:
    """Constants other than 0 and 1 that are short enough to tell where a jump is."""
    found: dict[Fraction, None] = {}
    for tree in trees:
        for node in walk(tree):
            if isinstance(node, Num):
                for part in (node.value.value, Fraction(node.value.value.denominator)):
                    if 1 < abs(part) <= _LARGEST_CONSTANT:
                        found[abs(part)] = None
    return list(found)[:_MOST_CONSTANTS]


def _values(whole: bool, constants: list[Fraction], count: int) -> list[Fraction]:
    """What one letter is to be: critical values after the small ones."""
    if whole:
        critical = [value + step for size in constants for value in (size, 2 * size, size**2) for step in (0, -1, 1)]
        small = [Fraction(value) for value in range(1, count + 1)]
        return [*small, *(value for value in critical if value.denominator == 1 and value > count)]
    critical = [step * value for size in constants for value in (size, 1 / size) for step in (-1, 1, 2, 3)]
    return [*(Fraction(value, 2) for value in range(-8, 2 * min(count, 10))), *critical]


def critical_points(names: Sequence[str], whole: frozenset[str], *trees: Node) -> Iterator[dict[str, Fraction]]:
    """Yield points at which functions with jumps are compared: of one letter all its values, of several letters all
    small ones and more.
    """
    constants = _constants(*trees)
    count = _PER_LETTER.get(len(names), 3)
    choices = [_values(name in whole, constants, count) for name in names]
    if len(names) > 1:
        near = product(*(values[:count] for values in choices))
        yield from (dict(zip(names, point, strict=True)) for point in islice(near, _MOST_NEAR))
    for at in range(min(max(map(len, choices)), _MOST_FAR)):  # each letter goes through its values at a pace of its own
        yield {
            name: values[at * (place + 1) % len(values)]
            for place, (name, values) in enumerate(zip(names, choices, strict=True))
        }
