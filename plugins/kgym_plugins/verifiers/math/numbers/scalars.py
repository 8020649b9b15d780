"""Whether two expressions are the same number or the same function.

Exact arithmetic first. Then values at high precision: of constants once, of expressions with variables at a dozen
points, positive and negative, small and large, whole and broken; of functions with jumps at the points that `jumps.py`
gives. A difference is judged relative to the numbers themselves (1/3^70 is not 1/3^71), and the precision grows with
the digits that the expressions have, so that x + 10^-60 is not x. What stays undecided goes to `algebra.py`.
"""

import hashlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

from kgym_plugins.verifiers.math.grammar.nodes import Call, Const, Node, Num, Pow, canonical, symbols, walk
from kgym_plugins.verifiers.math.limits import LimitError
from kgym_plugins.verifiers.math.numbers.exact import Undefined, exact, stated
from kgym_plugins.verifiers.math.numbers.jumps import critical_points, whole_letters
from kgym_plugins.verifiers.math.numbers.numeric import Evaluator, refuse_if_exact_only
from kgym_plugins.verifiers.math.strictness import enough_digits

_DIGITS = 40
_GUARD = 12
_MOST_DIGITS = 300
_ENOUGH = 3
"""Points at which two expressions must both be defined before their agreement means anything."""
_PLENTY = 10
"""Points after which the agreement of two expressions without jumps is certain."""
MIN_GOLD_SIGNIFICANT = 3
"""A gold decimal is taken as rounded only with so many."""


def same_scalar(gold: Node, answer: Node) -> str | None:
    """Return the name of the rule by which two expressions are equal, or None. Raises LimitError for what is too
    large.
    """
    if gold == answer:
        return "identical"
    left, right = _exact_or_none(gold), _exact_or_none(answer)
    if left is not None and right is not None:
        if left == right:
            return "exact"
        return _rounded(gold, answer, left, right)
    if canonical(gold) == canonical(answer):
        return "identical"
    names = sorted(symbols(gold) | symbols(answer))
    if names:
        return same_function(gold, answer, names)
    decimal = _decimal_rule(gold, answer)
    if decimal is not None:
        return decimal or None
    if _same_constant(gold, answer):
        return "numeric"
    return None


def _exact_or_none(node: Node) -> Fraction | None:
    try:
        return exact(node)
    except Undefined:
        return None


def _rounded(gold: Node, answer: Node, left: Fraction, right: Fraction) -> str | None:
    """Two rational numbers that differ: equal only if one is a decimal that rounds a periodic other."""
    gold_stated, answer_stated = stated(gold), stated(answer)
    if answer_stated and not gold_stated and not _terminates(left):
        return "rounded" if abs(left - right) <= answer_stated[1] and enough_digits(answer_stated[2]) else None
    if gold_stated and not answer_stated and not _terminates(right) and gold_stated[2] >= MIN_GOLD_SIGNIFICANT:
        return "rounded" if abs(left - right) <= gold_stated[1] else None
    return None


def _terminates(value: Fraction) -> bool:
    below = value.denominator
    for prime in (2, 5):
        while below % prime == 0:
            below //= prime
    return below == 1


def _decimal_rule(gold: Node, answer: Node) -> str | None:
    """A decimal against an irrational constant: "rounded", "" if they differ, None if neither is a decimal."""
    for decimal, other, is_answer in ((stated(answer), gold, True), (stated(gold), answer, False)):
        if decimal is None:
            continue
        value, half, significant = decimal
        if not is_answer and significant < MIN_GOLD_SIGNIFICANT:
            return ""
        try:
            evaluator = Evaluator(_digits_for(gold, answer))
            found = evaluator(other)
        except Undefined:
            return ""
        if evaluator.ctx.isinf(found):
            return ""
        difference = abs(found - evaluator.fraction(value))
        close = difference <= evaluator.fraction(half) * (1 + evaluator.ctx.mpf(10) ** -10)
        return "rounded" if close and (not is_answer or enough_digits(significant)) else ""
    return None


def _digits_for(*nodes: Node) -> int:
    """Working precision: what the numbers in the expressions have, and forty digits more."""
    extra = 0
    for node in nodes:
        for item in walk(node):
            if isinstance(item, Num):
                value = item.value.value
                extra = max(
                    extra, len(item.value.text), (value.numerator.bit_length() + value.denominator.bit_length()) // 3
                )
            elif isinstance(item, Pow):
                base, exponent = _exact_or_none(item.args[0]), _exact_or_none(item.args[1])
                if base is not None and exponent is not None and base != 0:
                    size = abs(base.numerator.bit_length() - base.denominator.bit_length()) * abs(exponent)
                    extra = max(extra, int(size if size < 10**6 else 10**6) // 3)
    return min(_DIGITS + 2 * extra, _MOST_DIGITS)


def _is_complex(*nodes: Node) -> bool:
    return any(
        (isinstance(item, Const) and item.value == "i")
        or (isinstance(item, Call) and item.value in ("cis", "Im", "Re", "arg"))
        for node in nodes
        for item in walk(node)
    )


def _log_bases(*nodes: Node) -> Sequence[int]:
    """What `log` without a base may mean: natural first, then decimal; it means the same on both sides."""
    unclear = any(
        isinstance(item, Call) and item.value == "log" and len(item.args) == 1 for node in nodes for item in walk(node)
    )
    return (0, 10) if unclear else (0,)


def _same_constant(gold: Node, answer: Node) -> bool:
    digits = _digits_for(gold, answer)
    for base in _log_bases(gold, answer):
        fields = (False,) if _is_complex(gold, answer) else (True, False)
        for real in fields:
            try:
                if _agree(gold, answer, digits, real, base):
                    return True
                break
            except Undefined:
                continue  # undefined over the reals: sqrt(-4) has a meaning over the complex numbers
    return False


def _agree(gold: Node, answer: Node, digits: int, real: bool, base: int) -> bool:
    evaluator = Evaluator(digits, real=real, log_base=base)
    left, right = evaluator(gold), evaluator(answer)
    ctx = evaluator.ctx
    if ctx.isinf(left) or ctx.isinf(right):
        return bool(left == right)
    size, difference = max(abs(left), abs(right)), abs(left - right)
    tiny = ctx.mpf(10) ** -(digits // 2)
    if size > tiny and difference > size * tiny:
        return False
    if size > tiny and difference <= size * ctx.mpf(10) ** (_GUARD - digits):
        return True
    fine = Evaluator(3 * digits, real=real, log_base=base)
    return _agree_finely((left, right), (fine(gold), fine(answer)), digits, fine)


def _agree_finely(coarse: tuple[Any, Any], fine: tuple[Any, Any], digits: int, evaluator: Evaluator) -> bool:
    """Compare two small or nearly equal values, known at two precisions.

    What is truly zero shrinks with the precision; what is merely small (1/2004!) stays as it is, and is compared
    relatively.
    """
    ctx = evaluator.ctx
    steady = ctx.mpf(10) ** -(digits // 4)
    left, right = (
        second
        if abs(second - first) <= abs(second) * steady or abs(second) > ctx.mpf(10) ** -(2 * digits)
        else ctx.mpf(0)
        for first, second in zip(coarse, fine, strict=True)
    )
    return bool(abs(left - right) <= max(abs(left), abs(right)) * ctx.mpf(10) ** (_GUARD - 2 * digits))


# --- with variables ---------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _coordinate(name: str, number: int) -> Fraction:
    """A rational number that depends on the name and on the number of the point; the same on every machine."""
    raw = int.from_bytes(hashlib.blake2b(f"{name}/{number}".encode(), digest_size=4).digest(), "big")
    unit = Fraction(raw % 9973 + 1, 9975)
    match number % 6:
        case 0:
            return 3 * unit + Fraction(1, 4)
        case 1:
            return 8 * unit - 4
        case 2:
            return Fraction(raw % 11 + 1)
        case 3:
            return unit / 2
        case 4:
            return -3 * unit - Fraction(1, 4)
        case _:
            return 40 * unit + 12


def points(names: Sequence[str], count: int = 18) -> Iterator[dict[str, Fraction]]:
    """Yield points at which to compare functions of these variables."""
    for number in range(count):
        yield {name: _coordinate(name, number) for name in names}


def _points_for(gold: Node, answer: Node, names: Sequence[str]) -> tuple[list[dict[str, Fraction]], int]:
    """Return where to compare two expressions, and at how many of these points agreement is enough."""
    whole = whole_letters(gold, answer)
    if whole is None:
        return list(points(names)), _PLENTY
    found = list(critical_points(names, whole, gold, answer))
    if not whole.issuperset(names):
        ordinary = enumerate(points(names), start=1)
        found += [
            {name: Fraction(at) if name in whole else value for name, value in point.items()} for at, point in ordinary
        ]
    return found, len(found)


def same_function(gold: Node, answer: Node, names: Sequence[str]) -> str | None:
    """Return the rule by which two expressions agree wherever both are defined, None if they differ; if that is
    nowhere, ask algebra.
    """
    digits = _digits_for(gold, answer)
    where, plenty = _points_for(gold, answer, names)
    fields = (False,) if _is_complex(gold, answer) else (True, False)
    for base in _log_bases(gold, answer):
        for real in fields:
            agreed = limits = 0
            differ = False
            for point in where:
                try:
                    outcome = _agree_at(gold, answer, point, digits, real=real, base=base)
                except LimitError:  # x^(x^x) is too large at large points only
                    limits += 1
                    continue
                if outcome is False:
                    differ = True
                    break
                agreed += outcome is True
                if agreed >= plenty:
                    break
            if differ:
                break
            if agreed >= _ENOUGH:
                return "numeric"
            if limits:
                raise LimitError("too large at most points")
        else:
            refuse_if_exact_only()
            # here, because sympy is slow to import
            from kgym_plugins.verifiers.math.numbers.algebra import same_symbolically  # noqa: PLC0415

            if same_symbolically(gold, answer):
                return "symbolic"
    return None


def _agree_at(
    gold: Node, answer: Node, point: dict[str, Fraction], digits: int, *, real: bool, base: int
) -> bool | None:
    """Whether two expressions agree at a point; None if one of them is undefined there."""
    try:
        left, right = exact(gold, point), exact(answer, point)
        if left is not None and right is not None:
            return left == right
        evaluator = Evaluator(digits, real=real, log_base=base)
        one, other = evaluator(gold, point), evaluator(answer, point)
    except Undefined:
        return None
    ctx = evaluator.ctx
    if ctx.isinf(one) or ctx.isinf(other):
        return bool(one == other)
    size, difference = max(abs(one), abs(other)), abs(one - other)
    if difference <= size * ctx.mpf(10) ** (_GUARD - digits):
        return True
    if size > ctx.mpf(10) ** -(digits // 2):
        return bool(difference <= size * ctx.mpf(10) ** -(digits // 2))
    fine = Evaluator(3 * digits, real=real, log_base=base)
    try:
        return _agree_finely((one, other), (fine(gold, point), fine(answer, point)), digits, fine)
    except Undefined:
        return None


def proportional(gold: Node, answer: Node) -> int | None:
    """Whether gold = c * answer for one constant c: its sign (1 or -1; 1 for complex c), or None if not."""
    names = sorted(symbols(gold) | symbols(answer))
    digits = _digits_for(gold, answer)
    real = not _is_complex(gold, answer)
    first: tuple[Any, Any] | None = None
    agreed = 0
    sign = 1
    for point in points(names):
        evaluator = Evaluator(digits, real=real)
        try:
            one: Any = exact(gold, point)
            other: Any = exact(answer, point)
            if one is None or other is None or not (first is None or isinstance(first[0], Fraction)):
                one, other = evaluator(gold, point), evaluator(answer, point)
        except (Undefined, LimitError):
            continue
        if (one == 0) != (other == 0):
            return None
        if one == 0:
            continue
        if first is None:
            first = (one, other)
            ratio = one / other
            real_part = ratio if isinstance(ratio, Fraction) else evaluator.ctx.re(ratio)
            sign = -1 if (isinstance(ratio, Fraction) or evaluator.ctx.im(ratio) == 0) and real_part < 0 else 1
            continue
        if isinstance(one, Fraction) != isinstance(first[0], Fraction):
            continue
        left, right = one * first[1], other * first[0]
        if isinstance(one, Fraction):
            if left != right:
                return None
        elif abs(left - right) > max(abs(left), abs(right)) * evaluator.ctx.mpf(10) ** (_GUARD - digits):
            return None
        agreed += 1
        if agreed >= 8:
            break
    return sign if agreed >= _ENOUGH else None


def sign_of(node: Node) -> int | None:
    """Sign of a real constant, None if it is none. Raises LimitError for what is too large."""
    value = _exact_or_none(node)
    if value is not None:
        return (value > 0) - (value < 0)
    evaluator = Evaluator(_digits_for(node))
    try:
        found = evaluator(node)
    except Undefined:
        return None
    if evaluator.ctx.im(found) != 0:
        return None
    real = evaluator.ctx.re(found)
    return int(real > 0) - int(real < 0)
