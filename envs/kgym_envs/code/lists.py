"""Families of problems about lists of whole numbers."""

from kgym_envs.code.drawing import between, numbers, rising
from kgym_envs.code.spec import Spec


def rotated(values: list[int], *, k: int) -> list[int]:
    shift = k % len(values)
    return values[shift:] + values[:shift]


def window_maxima(values: list[int], *, k: int) -> list[int]:
    return [max(values[start : start + k]) for start in range(len(values) - k + 1)]


def best_window(values: list[int], *, k: int) -> int:
    return max(sum(values[start : start + k]) for start in range(max(1, len(values) - k + 1)))


def kth_largest(values: list[int], *, k: int) -> int:
    distinct = sorted(set(values), reverse=True)
    return distinct[k - 1] if len(distinct) >= k else -1000


def pairs_with_sum(values: list[int], *, k: int) -> int:
    count = 0
    seen: dict[int, int] = {}
    for value in values:
        count += seen.get(k - value, 0)
        seen[value] = seen.get(value, 0) + 1
    return count


def calm_stretch(values: list[int], *, k: int) -> int:
    longest = length = 1
    for index in range(1, len(values)):
        length = length + 1 if abs(values[index] - values[index - 1]) <= k else 1
        longest = max(longest, length)
    return longest


def far_inversions(values: list[int], *, k: int) -> int:
    return sum(1 for j in range(len(values)) for i in range(j) if values[i] > values[j] + k)


def chunk_sums(values: list[int], *, k: int) -> list[int]:
    return [sum(values[start : start + k]) for start in range(0, len(values), k)]


def clipped(values: list[int], *, low: int, high: int) -> list[int]:
    return [min(max(value, low), high) for value in values]


def reachable(values: list[int], *, k: int) -> bool:
    sums = {0}
    for value in values:
        sums |= {total + value for total in sums}
    return k in sums


def climbing(values: list[int], *, k: int) -> int:
    best: list[int] = []
    for index, value in enumerate(values):
        best.append(1 + max((best[i] for i in range(index) if value >= values[i] + k), default=0))
    return max(best)


def last_in_circle(values: list[int], *, k: int) -> int:
    place = 0
    left = list(values)
    while len(left) > 1:
        place = (place + k - 1) % len(left)
        left.pop(place)
    return left[0]


def apart(values: list[int], *, k: int) -> int:
    best: list[int] = []
    for index, value in enumerate(values):
        without = best[index - 1] if index else 0
        before = best[index - k] if index >= k else 0
        best.append(max(without, before + value))
    return best[-1]


def differences(values: list[int], *, k: int) -> list[int]:
    return [values[index + k] - values[index] for index in range(len(values) - k)]


def frequent(values: list[int], *, k: int) -> list[int]:
    return sorted({value for value in values if values.count(value) >= k})


def by_remainder(values: list[int], *, k: int) -> list[int]:
    counts = [0] * k
    for value in values:
        counts[value % k] += 1
    return counts


def divisible_pair(values: list[int], *, k: int) -> list[int]:
    for j in range(len(values)):
        for i in range(j):
            if (values[i] + values[j]) % k == 0:
                return [i, j]
    return []


PAIR = """
import json, sys
text = open("input").read()
try:
    values = json.loads(text)[0]
except (ValueError, TypeError):
    values = [int(word) for word in text.split()]
try:
    found = open("output").read().replace("[", " ").replace("]", " ").replace(",", " ")
    pair = [int(word) for word in found.split()]
except ValueError:
    sys.exit(1)
possible = any((values[i] + values[j]) % {k} == 0 for j in range(len(values)) for i in range(j))
if not possible:
    sys.exit(pair != [])
sys.exit(not (len(pair) == 2 and 0 <= pair[0] < pair[1] < len(values) \
and (values[pair[0]] + values[pair[1]]) % {k} == 0))
"""

FAMILIES = (
    Spec(
        rotated,
        "the values moved {k} places to the left, those that leave at the front coming in at the end",
        numbers(),
        between(k=(1, 30)),
        edges=(([7],), ([1, 2],)),
    ),
    Spec(
        window_maxima,
        ("the largest of each {k} neighbouring values, from left to right; nothing if there are fewer values"),
        numbers(),
        between(k=(2, 12)),
        edges=(([7],), ([*range(13)],)),
    ),
    Spec(
        best_window,
        "the largest sum of {k} neighbouring values; the sum of all if there are fewer",
        numbers(),
        between(k=(2, 30)),
        edges=(([-7],), ([-1] * 13,), ([*range(14)],)),
    ),
    Spec(
        kth_largest,
        (
            "the value with the place {k} when the different values are sorted from the largest to the smallest; "
            "-1000 if there are fewer"
        ),
        numbers(-9, 9),
        between(k=(1, 16)),
        edges=(([5, 5],), ([*range(9)],), ([*range(8)],)),
    ),
    Spec(
        pairs_with_sum,
        "how many pairs of places there are whose two values have the sum {k}",
        numbers(-9, 9),
        between(k=(-9, 9)),
        edges=(([0, 0, 0],), ([3],), ([5] * 4,)),
    ),
    Spec(
        calm_stretch,
        ("the length of the longest stretch of the list in which neighbouring values differ by at most {k}"),
        numbers(-15, 15),
        between(k=(1, 15)),
        edges=(([3],), ([1, 1, 1],), ([*range(0, 60, 5)],)),
    ),
    Spec(
        far_inversions,
        ("how many pairs of values there are of which the earlier one is greater than the later one by more than {k}"),
        numbers(),
        between(k=(0, 40)),
        edges=(([3],), ([*range(30, 0, -2)],)),
    ),
    Spec(
        chunk_sums,
        ("the sums of the first {k} values, of the next {k} values and so on; the last sum may be of fewer"),
        numbers(),
        between(k=(2, 45)),
        edges=(([3],), ([*range(1, 25)],)),
    ),
    Spec(
        clipped,
        "the values, with {low} in place of those below it and {high} in place of those above it",
        numbers(),
        rising("low", "high", -20, 10, 20),
        edges=(([0],), ([*range(-30, 31, 4)],)),
    ),
    Spec(
        reachable,
        "whether some of the values, or none of them, have the sum {k}",
        lambda rng, level: ([rng.randint(-9, 15) for _ in range(rng.randint(1, 5))],),
        between(k=(-9, 30)),
        edges=(([1, 2, 4, 8, 16],), ([-1, -8],)),
    ),
    Spec(
        climbing,
        (
            "the length of the longest row of values, not necessarily neighbours but in the order of the list, in"
            " which each is at least {k} greater than the one before"
        ),
        numbers(),
        between(k=(0, 12)),
        edges=(([3],), ([4, 4, 4],), ([*range(0, 60, 6)],)),
    ),
    Spec(
        last_in_circle,
        (
            "the value that is left at the end when the values stand in a circle and every value with the count "
            "{k}, counting from the first, is taken out until one is left"
        ),
        numbers(),
        between(k=(2, 30)),
        edges=(([3],), ([1, 2],)),
    ),
    Spec(
        apart,
        (
            "the largest sum of chosen values, or 0 for none, when the places of any two of them must be "
            "at least {k} apart"
        ),
        numbers(),
        between(k=(2, 20)),
        edges=(([-3],), ([5] * 12,), ([9, 1, 9, 1, 1, 9, 1, 1, 1, 9],)),
    ),
    Spec(
        differences,
        "for each place but the last {k}: the value {k} places later minus the value there",
        numbers(),
        between(k=(1, 10)),
        edges=(([3],), ([*range(12)],)),
    ),
    Spec(
        frequent,
        "the different values that occur at least {k} times, in any order",
        numbers(-3, 3),
        between(k=(2, 9)),
        edges=(([1],), ([value for value in range(1, 11) for _ in range(value)],)),
        compare="unordered",
    ),
    Spec(
        by_remainder,
        (
            "how many values leave the remainder 0, 1, ..., {k} - 1 when they are divided by {k} (the remainder "
            "of a negative value is not negative either)"
        ),
        numbers(),
        between(k=(2, 14)),
        edges=(([-1],), ([*range(14)],)),
    ),
    Spec(
        divisible_pair,
        (
            "two different places, counted from 0, the smaller one first, whose values have a sum divisible by "
            "{k}; any such pair will do, and nothing if there is none"
        ),
        numbers(),
        between(k=(3, 30)),
        edges=(([1],), ([1, 1],)),
        checker=PAIR,
    ),
)
