"""Whether an output or a result is the expected one."""

import json
import math
from collections import Counter
from typing import Any

from kgym.judging.cases import Compare

TOLERANCE = 1e-6


def same_output(expected: str, output: bytes, how: Compare) -> bool:
    """Compare what a program printed."""
    text = output.decode(errors="replace")
    if how == "lines":
        return _lines(expected) == _lines(text)
    if how == "unordered":
        return Counter(" ".join(line.split()) for line in _lines(expected)) == Counter(
            " ".join(line.split()) for line in _lines(text)
        )
    one, other = expected.split(), text.split()
    if one == other:
        return True
    return how == "close" and len(one) == len(other) and all(map(_close_words, one, other))


def same_result(expected: Any, result: bytes, how: Compare) -> bool:
    """Compare what a function returned, as JSON."""
    try:
        value = json.loads(result)
        if how == "unordered" and isinstance(value, list) and isinstance(expected, list):
            return Counter(map(_canonical, value)) == Counter(map(_canonical, expected))
        return _same(expected, value, how == "close")
    except (ValueError, RecursionError):  # not JSON, or nested too deep
        return False


def _canonical(value: Any) -> str:
    return json.dumps(_without_points(value), sort_keys=True)


def _without_points(value: Any) -> Any:
    """Return a value with whole numbers instead of floats such as 2.0, which are equal."""
    if isinstance(value, list):
        return [_without_points(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_points(item) for key, item in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()]


def _close_words(one: str, other: str) -> bool:
    if one == other:
        return True
    try:
        return _close(float(one), float(other))
    except ValueError:
        return False


def _close(one: float, other: float) -> bool:
    try:
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    except OverflowError:  # a whole number that is too large for a float
        return False


def _same(one: Any, other: Any, close: bool) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other or (one != one and other != other) or (close and _close(one, other))  # noqa: PLR0124  (NaN)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_same(a, b, close) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key], close) for key in one)
    return bool(one == other)
