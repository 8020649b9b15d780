"""Sets of real numbers as unions of intervals: order, merging, intersection and complement.

End points are expressions. Where they are numbers, sets are put into order; where they have variables, they stay as
written.
"""

from dataclasses import replace
from functools import cmp_to_key
from math import ceil, floor

from kgym_plugins.verifiers.math.grammar.nodes import Add, Const, Neg, Node, number, symbols
from kgym_plugins.verifiers.math.numbers.exact import Undefined, exact
from kgym_plugins.verifiers.math.numbers.scalars import same_scalar, sign_of
from kgym_plugins.verifiers.math.values.types import Piece, RealSet

INFINITY: Node = Const("oo")
MINUS_INFINITY: Node = Neg((INFINITY,))
EVERYTHING = Piece(MINUS_INFINITY, INFINITY, False, False)


class Unordered(ValueError):
    """End points that cannot be put in order: they contain variables."""


def _infinite(node: Node) -> int:
    """1 and -1 for the infinities, 0 for anything else."""
    if node == INFINITY:
        return 1
    if isinstance(node, Neg) and node.args[0] == INFINITY:
        return -1
    return 0


def order(one: Node, other: Node) -> int:
    """-1, 0 or 1 as for numbers. Raises Unordered if they are none."""
    left, right = _infinite(one), _infinite(other)
    if left or right:
        return (left > right) - (left < right)
    if symbols(one) | symbols(other):
        if one == other or same_scalar(one, other):
            return 0
        raise Unordered
    if same_scalar(one, other) in ("identical", "exact", "numeric"):
        return 0
    try:
        sign = sign_of(Add((one, Neg((other,)))))
    except Undefined:
        sign = None
    if sign is None:
        raise Unordered
    return sign


def _empty(piece: Piece) -> bool:
    try:
        relation = order(piece.low, piece.high)
    except Unordered:
        return False
    return relation > 0 or (relation == 0 and not (piece.low_closed and piece.high_closed))


def union(pieces: list[Piece]) -> tuple[Piece, ...]:
    """Sort and merge; as they are if they cannot be ordered."""
    pieces = [piece for piece in pieces if not _empty(piece)]
    try:
        pieces.sort(key=cmp_to_key(_by_low))
        merged: list[Piece] = []
        for piece in pieces:
            if merged and _touch(merged[-1], piece):
                merged[-1] = _join(merged[-1], piece)
            else:
                merged.append(piece)
    except Unordered:
        return tuple(pieces)
    return tuple(merged)


def _by_low(one: Piece, other: Piece) -> int:
    return order(one.low, other.low) or (not one.low_closed) - (not other.low_closed)


def _touch(left: Piece, right: Piece) -> bool:
    relation = order(left.high, right.low)
    return relation > 0 or (relation == 0 and (left.high_closed or right.low_closed))


def _join(left: Piece, right: Piece) -> Piece:
    relation = order(left.high, right.high)
    if relation > 0:
        return left
    closed = right.high_closed or (relation == 0 and left.high_closed)
    return Piece(left.low, right.high, left.low_closed, closed)


def intersection(one: tuple[Piece, ...], other: tuple[Piece, ...]) -> tuple[Piece, ...]:
    """Return the common part. Raises Unordered."""
    found = []
    for left in one:
        for right in other:
            lows, highs = order(left.low, right.low), order(left.high, right.high)
            low = left.low if lows >= 0 else right.low
            high = left.high if highs <= 0 else right.high
            low_closed = (left.low_closed if lows >= 0 else True) and (right.low_closed if lows <= 0 else True)
            high_closed = (left.high_closed if highs <= 0 else True) and (right.high_closed if highs >= 0 else True)
            found.append(Piece(low, high, low_closed, high_closed))
    return union(found)


def complement(pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
    """Return the rest of the real line. Raises Unordered."""
    rest: list[Piece] = []
    low, closed = MINUS_INFINITY, False
    for piece in sorted(pieces, key=cmp_to_key(_by_low)):
        rest.append(Piece(low, piece.low, closed, not piece.low_closed and not _infinite(piece.low)))
        low, closed = piece.high, not piece.high_closed and not _infinite(piece.high)
    rest.append(Piece(low, INFINITY, closed, False))
    return tuple(
        piece for piece in rest if not _infinite(piece.low) > 0 and not _infinite(piece.high) < 0 and not _empty(piece)
    )


def same_set(gold: RealSet, answer: RealSet) -> bool:
    """Whether two sets have the same pieces, and are sets of the same numbers: the integers from 1 to 3 are 1, 2 and
    3, and no interval.
    """
    if gold.variable and answer.variable and gold.variable != answer.variable:
        return False
    if gold.variable in _INTEGERS and answer.variable in _INTEGERS and not (gold.domain and answer.domain):
        domain = gold.domain or answer.domain
        gold, answer = replace(gold, domain=domain), replace(answer, domain=domain)
    gold, answer = _whole_numbers(gold), _whole_numbers(answer)
    if gold.domain != answer.domain:
        return False
    one, other = union(list(gold.pieces)), union(list(answer.pieces))
    return len(one) == len(other) and all(map(_same_piece, one, other))


_INTEGERS = frozenset("klmn")
"""Letters that stand for integers without saying so."""
_MOST_POINTS = 200


def _whole_numbers(value: RealSet) -> RealSet:
    """A set of integers with its ends on integers, or as points, if they are few."""
    if value.domain not in ("integers", "naturals"):
        return value
    pieces, size = list[Piece](), 0
    for piece in value.pieces:
        low, high = _end(piece.low, piece.low_closed, 1), _end(piece.high, piece.high_closed, -1)
        if (low is None and not _infinite(piece.low)) or (high is None and not _infinite(piece.high)):
            return value
        if value.domain == "naturals" and (low is None or low < 1):
            return value  # whether 0 is one of them is a matter of taste
        size = size + max(0, high - low + 1) if low is not None and high is not None else _MOST_POINTS + 1
        ends = (piece.low if low is None else number(low), piece.high if high is None else number(high))
        pieces.append(Piece(*ends, low is not None, high is not None))
    if size > _MOST_POINTS:
        return RealSet(tuple(pieces), value.variable, "integers")
    spans = [(exact(piece.low), exact(piece.high)) for piece in pieces]
    points = [
        number(at)
        for low, high in spans
        if low is not None and high is not None
        for at in range(int(low), int(high) + 1)
    ]
    return RealSet(tuple(Piece(point, point, True, True) for point in points))


def _end(node: Node, closed: bool, step: int) -> int | None:
    """The first integer of an interval from one of its ends, None if that is infinite or no rational number."""
    value = None if _infinite(node) else exact(node)
    if value is None:
        return None
    nearest = ceil(value) if step > 0 else floor(value)
    return nearest + step if nearest == value and not closed else nearest


def _same_piece(one: Piece, other: Piece) -> bool:
    return (
        one.low_closed == other.low_closed
        and one.high_closed == other.high_closed
        and all(
            _infinite(left) == _infinite(right) and (_infinite(left) != 0 or same_scalar(left, right) is not None)
            for left, right in ((one.low, other.low), (one.high, other.high))
        )
    )
