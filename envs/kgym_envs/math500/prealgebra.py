"""Prealgebra: fractions, percentages, order of operations, angles, averages, decimals, rates."""

import random
from fractions import Fraction
from math import gcd, lcm

from kgym.envs.generated import Draft, Family
from kgym_envs.math500.latex import draft, frac, plain, plain_sum, quotient

NAMES = ("Ada", "Boris", "Chen", "Dalia", "Emeka", "Farah", "Goran", "Hana", "Ivan", "Jun", "Kofi", "Lena")
POLYGONS = {3: "triangle", 4: "quadrilateral"}


def fraction_sum(rng: random.Random, level: int) -> Draft | None:
    """Sums of two fractions, of three from level 4; differences from level 2."""
    high = (9, 12, 15, 12, 20)[level - 1]
    terms: list[Fraction] = []
    for _ in range(2 if level < 4 else 3):
        below = rng.randint(2, high)
        above = rng.randint(1, below - 1)
        if gcd(above, below) > 1:
            return None
        terms.append(Fraction(above, below) * (rng.choice((1, -1)) if level > 1 and terms else 1))
    if len({abs(term) for term in terms}) < len(terms):
        return None
    below = lcm(*(term.denominator for term in terms))
    over = "".join(f"{int(term * below):+d}/{below}" for term in terms).removeprefix("+")
    total = sum(terms)
    text = "".join(f"{'-' if term < 0 else '+'}{frac(abs(term))}" for term in terms).removeprefix("+")
    question = rng.choice(
        (
            f"Compute ${text}$. Express your answer as a common fraction.",
            f"What is ${text}$ in lowest terms?",
            f"Simplify ${text}$ to a single fraction.",
        )
    )
    return draft(
        [plain(term) for term in sorted(terms)], question, frac(total), f"{plain_sum(terms)}={over}={plain(total)}"
    )


def discount(rng: random.Random, level: int) -> Draft | None:
    """A price after one percentage off, two from level 3, and a tax on top from level 5."""
    price = rng.randint(2, 60) * (5 if level < 4 else 1)
    rates = [-5 * rng.randint(1, 12) for _ in range(1 if level < 3 else 2)] + (
        [rng.choice((4, 5, 6, 8, 10, 12))] if level == 5 else []
    )
    now, steps = Fraction(price), []
    for rate in rates:
        change = now * rate / 100
        steps.append(
            f"{plain(now)}*{abs(rate)}/100={plain(abs(change))}, "
            f"{plain(now)}{plain_sum([1, change])[1:]}={plain(now + change)}"
        )
        now += change
    if (now * 100).denominator > 1 or (level == 1 and now.denominator > 1):
        return None
    answer = str(now) if now.denominator == 1 else f"{float(now):.2f}"
    thing = rng.choice(("coat", "lamp", "bicycle", "chair"))
    said = f"{-rates[0]}\\%"
    more = f", and then another ${-rates[1]}\\%$ off the lower price" if level >= 3 else ""
    tax = f" A tax of ${rates[2]}\\%$ is added at the end." if level == 5 else ""
    question = rng.choice(
        (
            f"A {thing} costs ${price}$ dollars. It is sold at ${said}$ off{more}.{tax} How many dollars does a buyer "
            "pay?",
            f"The price of a {thing}, ${price}$ dollars, is cut by ${said}${more}.{tax} What is to be paid, in "
            "dollars?",
            f"In a sale a {thing} of ${price}$ dollars is marked down by ${said}${more}.{tax} Find the final price in "
            "dollars.",
        )
    )
    return draft([price, *rates], question, answer, *steps)


def expression(rng: random.Random, level: int) -> Draft | None:
    """Order of operations: products before sums, brackets from level 2, squares from level 3."""
    key: list[str | int]
    a, b, c, d, e = (rng.randint(2, 7 + 2 * level) for _ in range(5))
    if level == 1:
        text, value, steps = f"{a}+{b}*{c}", a + b * c, [f"{b}*{c}={b * c}", f"{a}+{b * c}={a + b * c}"]
    elif level == 2:
        inner = a * (b + c)
        text, value, steps = (
            f"{a}*({b}+{c})-{d}",
            inner - d,
            [f"{b}+{c}={b + c}", f"{a}*{b + c}={inner}", f"{inner}-{d}={inner - d}"],
        )
    elif level == 3:
        square = (a - b) ** 2
        text, value = f"({a}-{b})^2+{c}*{d}", square + c * d
        steps = [f"({a}-{b})^2=({a - b})^2={square}", f"{c}*{d}={c * d}", f"{square}+{c * d}={value}"]
    elif level == 4:
        square = (b + c) ** 2
        text, value = f"{a}*({b}+{c})^2-{d}*{e}", a * square - d * e
        steps = [
            f"({b}+{c})^2={square}",
            f"{a}*{square}={a * square}",
            f"{d}*{e}={d * e}",
            f"{a * square}-{d * e}={value}",
        ]
    else:
        one, two = (a - b * c) ** 2, (d - e) ** 2
        text, value = f"({a}-{b}*{c})^2-{b}*({d}-{e})^2", one - b * two
        steps = [
            f"({a}-{b}*{c})^2=({a - b * c})^2={one}",
            f"({d}-{e})^2={two}",
            f"{b}*{two}={b * two}",
            f"{one}-{b * two}={value}",
        ]
    shown = text.replace("*(", "(").replace("*", " \\cdot ")
    question = rng.choice((f"Evaluate ${shown}$.", f"What is the value of ${shown}$?", f"Compute ${shown}$."))
    swapped = ((a, *sorted((b, c))), (a, d, *sorted((b, c))), (a, b, *sorted((c, d))))  # the same sum in another order
    key = [text] if level > 3 else ["expression", level, *swapped[level - 1]]
    return draft(key, question, value, *steps)


def angle(rng: random.Random, level: int) -> Draft | None:
    """The last angle of a triangle or quadrilateral; angles in a ratio from level 3, in an unknown at level 5."""
    n = 3 if level % 2 else 4
    whole, name = 180 * (n - 2), POLYGONS[n]
    if level < 3:
        given = sorted(rng.randint(20, 80 if n == 3 else 120) for _ in range(n - 1))
        last = whole - sum(given)
        if not 5 <= last < 180:
            return None
        said = ", ".join(f"${a}^\\circ$" for a in given[:-1]) + f" and ${given[-1]}^\\circ$"
        question = rng.choice(
            (
                f"All but one of the angles of a {name} measure {said}. What is the measure of the last angle?",
                f"A {name} has angles of {said}. How large is its remaining angle, in degrees?",
                f"Find the missing angle of a {name} whose other angles are {said}.",
            )
        )
        return draft(
            [n, *given], question, f"{last}^\\circ", f"{plain_sum(given)}={sum(given)}", f"{whole}-{sum(given)}={last}"
        )
    if level < 5:
        parts = sorted(rng.randint(1, 16) for _ in range(n))
        if whole % sum(parts) or gcd(*parts) > 1 or parts[0] == parts[-1] or whole // sum(parts) * parts[-1] >= 180:
            return None
        unit = whole // sum(parts)
        said = ":".join(map(str, parts))
        question = rng.choice(
            (
                f"The angles of a {name} are in the ratio ${said}$. What is the measure of the largest angle?",
                f"In a {name} the angles have the ratio ${said}$. Find the largest of them, in degrees.",
                f"A {name} has angles in proportion ${said}$. How many degrees is its greatest angle?",
            )
        )
        steps = [
            f"{plain_sum(parts)}={sum(parts)}",
            f"{whole}/{sum(parts)}={unit}",
            f"{unit}*{parts[-1]}={unit * parts[-1]}",
        ]
        return draft([n, *parts], question, f"{unit * parts[-1]}^\\circ", *steps)
    x, factors = rng.randint(8, 30), sorted(rng.sample(range(1, 7), 3))
    shifts = [rng.randint(-20, 30), rng.randint(-20, 30)]
    shifts.append(180 - x * sum(factors) - sum(shifts))
    angles = [f * x + s for f, s in zip(factors, shifts, strict=True)]
    if 0 in shifts or min(angles) < 5 or abs(shifts[2]) > 60:
        return None
    texts = [f"{'' if f == 1 else f}x{s:+d}" for f, s in zip(factors, shifts, strict=True)]
    question = rng.choice(
        (
            f"The angles of a triangle are $({texts[0]})^\\circ$, $({texts[1]})^\\circ$ and $({texts[2]})^\\circ$. "
            "Find the largest.",
            f"In degrees, the angles of a triangle are ${texts[0]}$, ${texts[1]}$ and ${texts[2]}$. How large is the "
            "greatest of them?",
            f"A triangle has angles of ${texts[0]}$, ${texts[1]}$ and ${texts[2]}$ degrees. What is the measure of its "
            "largest angle?",
        )
    )
    many, total = sum(factors), sum(shifts)
    steps = [f"{many}x{total:+d}=180", f"{many}x=180{-total:+d}={180 - total}", f"x={180 - total}/{many}={x}"]
    steps += [f"{f}*{x}{s:+d}={a}" for f, s, a in zip(factors, shifts, angles, strict=True)]
    return draft([*factors, *shifts], question, f"{max(angles)}^\\circ", *steps)


def average(rng: random.Random, level: int) -> Draft | None:
    """Mean of a list; median at level 2, a missing entry at level 3, mean minus median above."""
    numbers = [rng.randint(1, 15 * level) for _ in range((4, 6, 4, 5, 8)[level - 1])]
    n, total, ordered = len(numbers), sum(numbers), sorted(numbers)
    listed = ", ".join(map(str, numbers[:-1])) + f" and {numbers[-1]}"
    mean, median = Fraction(total, n), Fraction(ordered[(n - 1) // 2] + ordered[n // 2], 2)
    adding = f"{plain_sum(numbers)}={total}"
    middle = f"({ordered[(n - 1) // 2]}+{ordered[n // 2]})/2={plain(median)}"
    if level == 1:
        asked, answer, steps = "mean", mean, [adding, quotient(total, n)]
    elif level == 2:
        asked, answer, steps = "median", median, ["in order: " + ", ".join(map(str, ordered)), middle]
    elif level == 3:
        target = rng.randint(10, 45)
        missing = target * (n + 1) - total
        question = rng.choice(
            (
                f"The mean of the numbers $x$, {listed} is {target}. What is $x$?",
                f"When $x$ is added to the list {listed}, the mean becomes {target}. Find $x$.",
                f"Find the number $x$ for which the average of $x$, {listed} is {target}.",
            )
        )
        return draft(
            [target, *ordered],
            question,
            missing,
            adding,
            f"{target}*{n + 1}={target * (n + 1)}",
            f"{target * (n + 1)}-{total}={missing}",
        )
    else:
        asked, answer = "positive difference between the mean and the median", abs(mean - median)
        if answer == 0:
            return None
        larger, smaller = max(mean, median), min(mean, median)
        steps = [adding, quotient(total, n), "in order: " + ", ".join(map(str, ordered)), middle]
        steps.append(f"{plain(larger)}-{plain(smaller)}={plain(answer)}")
    question = rng.choice(
        (
            f"What is the {asked} of the numbers {listed}?",
            f"Find the {asked} of {listed}.",
            f"Given the list {listed}, compute the {asked}.",
        )
    )
    return draft(ordered, question, frac(answer), *steps)


def decimal(rng: random.Random, level: int) -> Draft | None:
    """Decimals as fractions: terminating, repeating from level 3, with digits before the period from level 4."""
    before = "".join(str(rng.randint(0, 9)) for _ in range((2, 3, 0, 1, 2)[level - 1]))
    period = "".join(str(rng.randint(0, 9)) for _ in range((0, 0, 2, rng.choice((1, 2)), 2)[level - 1]))
    if before.endswith("0") or len(set(period)) == 1 < len(period) or set(period) == {"9"} or period == "0":
        return None
    whole, start = int(before + period), int(before or "0")
    if not period:
        value = Fraction(whole, 10 ** len(before))
        steps = [quotient(whole, 10 ** len(before))]
    else:
        below = 10 ** len(before) * (10 ** len(period) - 1)
        value = Fraction(whole - start, below)
        steps = [f"{whole}-{start}={whole - start}", f"{10 ** (len(before) + len(period))}-{10 ** len(before)}={below}"]
        steps.append(quotient(whole - start, below))
    if value == 0:
        return None
    text = f"0.{before}" + (f"\\overline{{{period}}}" if period else "")
    question = rng.choice(
        (
            f"Write ${text}$ as a common fraction in lowest terms.",
            f"Express ${text}$ as a fraction.",
            f"Which fraction, in lowest terms, equals ${text}$?",
        )
    )
    return draft([text], question, frac(value), *steps)


def fastest(rng: random.Random, level: int) -> Draft | None:
    """Who has the greatest average speed; the answer is a name."""
    people = []
    for name in rng.sample(NAMES, (3, 3, 4, 4, 5)[level - 1]):
        hours = rng.randint(2, 3 + 2 * level)
        way = hours * rng.randint(4, 20) if level == 1 else rng.randint(4 * hours, 20 * hours)
        people.append((name, way, hours))
    speeds = {name: Fraction(way, hours) for name, way, hours in people}
    best = max(speeds.values())
    if list(speeds.values()).count(best) > 1:
        return None
    winner = next(name for name, speed in speeds.items() if speed == best)
    told = ", ".join(f"{name} rode {way} km in {hours} hours" for name, way, hours in people)
    question = rng.choice(
        (
            f"{told}. Whose average speed was the greatest?",
            f"On a tour, {told}. Which of them had the highest average speed?",
            f"Compare: {told}. Who was the fastest on average?",
        )
    )
    steps = [f"{name}: {quotient(way, hours)}" for name, way, hours in people]
    params = [part for person in sorted(people) for part in person]
    return draft(params, question, f"\\text{{{winner}}}", *steps)


FAMILIES = tuple(
    Family(make.__name__, "Prealgebra", make)
    for make in (fraction_sum, discount, expression, angle, average, decimal, fastest)
)
