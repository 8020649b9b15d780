"""Answers of the generated word problems by other routes than the generators': from the text alone, by trying and by
acting it out.
"""

import re
from collections.abc import Callable
from fractions import Fraction
from itertools import count


def numbers(text: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", text)]


def one(pattern: str, text: str) -> tuple[int, ...]:
    """The numbers in the only match of a pattern."""
    (match,) = re.finditer(pattern, text)
    return tuple(int(group) for group in match.groups() if group is not None)


def only(fits: Callable[[int], bool], limit: int) -> int:
    """The only number from 1 to below the limit that fits."""
    (found,) = [n for n in range(1, limit) if fits(n)]
    return found


def shopping(q: str) -> int:
    cents = sum(100 * int(n) * int(price) for n, price in re.findall(r"(\d+) \w+ for (\d+) dollars each", q))
    if "coupon" in q:
        cents -= Fraction(cents * one(r"(\d+)%", q)[0], 100)
    if notes := re.findall(r"(?:from|has|With) (\d+) dollars", q):
        cents = 100 * int(notes[0]) - cents
    return Fraction(cents, 100)


def collection(q: str) -> int:
    """The number at the end is a times the number at the start plus b."""
    start, body = re.match(r"(.*?(?:holds|has|with) \d+.*?\.) (On Monday.*)", q).groups()
    a, b = Fraction(1), Fraction(0)
    for event in body.split(". ")[:-1]:
        n = numbers(event)
        if "finds" in event:
            b += n[0]
        elif "gives" in event:
            b -= n[0]
        elif "bags" in event:
            b += sum([n[1]] * n[0])
        else:
            factor = Fraction(2) if "as many again" in event else Fraction(1, 2) if "half" in event else Fraction(2, 3)
            a, b = a * factor, b * factor
    return a * numbers(start)[0] + b


def wages(q: str) -> int:
    rate, hours, days = one(r"earns (\d+) dollars an hour and works (\d+) hours a day on (\d+) days", q)
    week = sum(rate for _ in range(days) for _ in range(hours))
    if "tips" in q:
        week += one(r"(\d+) dollars in tips", q)[0]
    if "weekend" in q:
        week += one(r"For (\d+) hours", q)[0] * Fraction(3, 2) * rate
    if "rent" in q:
        week -= one(r"(\d+) dollars go on rent", q)[0]
    if "boat" not in q:
        return week
    (price,) = one(r"costs (\d+) dollars|for (\d+) dollars can", q)
    return next(n for n in count(1) if n * week >= price)


def journey(q: str) -> int:
    n = numbers(q)
    if "meet" in q:
        way, (v, w) = one(r"(\d+) km(?: apart| two|\. )", q)[0], one(r"at (\d+) and \w+ at (\d+) km an hour", q)
        ahead = one(r"starts (\d+) hours after", q)[0] if "starts" in q else 0
        return only(lambda t: v * (ahead + t) == way - w * t, 30)
    if "more hours" in q or "that speed" in q or "the others" in q:
        way, t, v, w = n
        return only(lambda u: sum([v] * t + [w] * u) == way, 30)
    (t, v), (u, w) = (n[:2], n[2:]) if not q.startswith("A bus") else (n[1::-1], n[:1:-1])
    hours = [v] * t + [w] * u
    return Fraction(sum(hours), len(hours)) if re.search("average|mean", q) else sum(hours)


def ages(q: str) -> int:
    if "all three" in q:
        times, apart, whole = numbers(q)
        return only(
            lambda age: (age - apart) + Fraction(age - apart, times) + age == whole and (age - apart) % times == 0, 300
        )
    if "together they are" in q:
        times, whole = numbers(q)
        return only(lambda age: age % times == 0 and age + age // times == whole, 300)
    if "will be then" in q:
        apart, later, times = numbers(q)
        return only(lambda age: age + apart + later == times * (age + later), 100)
    if "times as old" in q:
        young, times, later = numbers(q)
        return sum([young] * times) + later
    young, apart = numbers(q)
    return sum((young, young + apart))


def packing(q: str) -> int:
    crates, each = one(r"(\d+) crates with (\d+)", q)
    things = range(crates * each - (one(r"(\d+) of the \w+ are broken", q)[0] if "broken" in q else 0))
    (size,) = one(r"boxes of (\d+)", q)
    boxes = [things[i : i + size] for i in range(0, len(things), size)]
    if "sold" in q:
        cost, income = one(r"costs (\d+) dollars.* for (\d+) dollars each", q)
        return sum(income - cost for box in boxes if len(box) == size)
    if "dollars" in q:
        return len(boxes) * one(r"(?:costs|at|At) (\d+) dollars", q)[0]
    if "need not be full" in q:
        return len(boxes)
    return len(boxes[-1])


def shares(q: str) -> int:
    (percent,) = one(r"(\d+)%", q)
    counted = Fraction(*one(r"(\d+)/(\d+) have been", q)) if "/" in q else Fraction(0)
    if q.startswith("In a"):
        (left,) = one(r"and (\d+) have not", q)
        return only(lambda whole: whole * (100 - percent) * (1 - counted) == 100 * left, 1500)
    old = Fraction(one(r"Of the (\d+)", q)[0] * (100 - percent), 100)
    if re.search(r"days", q):
        return old * (1 - counted) / one(r"(\d+) (?:equal )?days", q)[0]
    if re.search(r"yet to be|not been counted", q):
        return old * (1 - counted)
    return old * counted if counted else old


def ratio(q: str) -> int:
    if ":" not in q:
        few, grams, many = numbers(q)
        return Fraction(grams, few) * many
    parts = [int(n) for n in re.search(r"\d+(?::\d+)+", q)[0].split(":")]
    names = re.search(r"(?:grams|mixture), (.*?) are in the ratio", q)[1].replace(" and ", ", ").split(", ")
    if "more of" in q and len(parts) == 2:
        (apart,) = one(r"with (\d+) grams more", q)
        more, less = re.search(r"more of (\w+) than of (\w+)", q).groups()
        by_name = dict(zip(names, parts, strict=True))
        return only(lambda whole: whole * (by_name[more] - by_name[less]) == sum(parts) * apart, 1000)
    if len(parts) == 2:
        (whole,) = one(r"(\d+) grams of it", q)
        return Fraction(whole * parts[0], sum(parts))
    (whole,) = one(r"mixture of (\d+) grams", q)
    third = Fraction(whole * parts[2], sum(parts))
    if "cents" in q:
        return third * one(r"(?:costs|At|at) (\d+) cents", q)[0]
    share = {"half": Fraction(1, 2), "third": Fraction(1, 3), "quarter": Fraction(1, 4)}[
        re.search("half|third|quarter", q)[0]
    ]
    return only(lambda added: (third + added) == share * (whole + added), 2000)


ANSWERS: dict[str, Callable[[str], int]] = {
    route.__name__: route for route in (shopping, collection, wages, journey, ages, packing, shares, ratio)
}
