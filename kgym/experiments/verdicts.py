"""The verdict on a claim, from a figure and its interval: agree, disagree, or cannot tell.

    rule       agree                          disagree
    greater    the interval is above 0        it is below 0, or below a margin: the difference is too small to count
    less       the interval is below 0        it is above 0, or above minus the margin
    equal      it is within the margin        it is wholly outside
    at_least   it is above minus the margin   it is wholly below
    at_most    it is below the margin         it is wholly above

In all other cases the verdict is `cannot tell`. The interval is Student's t over seeds, since a claim is about a method
and not about one run of it: with three seeds it reaches 2.5 standard deviations of a run to either side. One seed has
no interval, so its verdict is `cannot tell`.
"""

import math
from collections.abc import Sequence
from typing import Literal

from kgym.experiments.table import Rule
from kgym.score.paired import ALPHA, t_interval

Verdict = Literal["agree", "disagree", "cannot tell"]
Interval = tuple[float, float]
EQUAL = 1e-9
"""Figures that differ by less than this count as equal: it is rounding."""


def seed_interval(values: Sequence[float]) -> Interval:
    """Return the 95 % interval of the mean over seeds, with infinite ends for fewer than two.

    Equal values have no spread to estimate an error from, and fewer than six of them cannot pass a sign test: their
    interval has infinite ends too.

    >>> [round(end, 2) for end in seed_interval([1.0, 2.0, 3.0])]
    [-0.48, 4.48]
    """
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return -math.inf, math.inf
    if max(values) - min(values) < EQUAL:
        return (-math.inf, math.inf) if 2.0 ** (1 - len(values)) > ALPHA else (min(values), max(values))
    return t_interval(values)


def verdict(rule: Rule, interval: Interval, margin: float = 0.0) -> Verdict:
    """Judge an interval by a rule; see the module.

    >>> verdict("greater", (0.4, 5.8)), verdict("greater", (-0.5, 0.7), margin=1.0)
    ('agree', 'disagree')
    >>> verdict("greater", (-2.0, 7.0), margin=1.0)
    'cannot tell'
    """
    low, high = interval
    if math.isnan(low) or math.isnan(high):
        return "cannot tell"
    if rule in ("less", "at_most"):
        low, high = -high, -low
    if rule in ("greater", "less"):
        agrees, disagrees = low > 0, high < max(margin, 0.0)
    elif rule == "equal":
        agrees, disagrees = -margin < low and high < margin, low > margin or high < -margin
    else:
        agrees, disagrees = low > -margin, high < -margin
    return "agree" if agrees else "disagree" if disagrees else "cannot tell"


def reason(rule: Rule, interval: Interval, margin: float = 0.0) -> str:
    """Return why an interval gets its verdict, in words.

    >>> reason("greater", (-0.5, 0.7), margin=1.0), reason("greater", (-2.0, 7.0), margin=1.0)
    ('a difference of 1 or more is ruled out', 'the interval contains 0')
    """
    low, high = interval
    if not (math.isfinite(low) and math.isfinite(high)):
        return "no interval can be computed"
    found = verdict(rule, interval, margin)
    if rule in ("greater", "less"):
        if found == "cannot tell":
            return "the interval contains 0"
        if low > 0 or high < 0:
            return f"the interval is {'above' if low > 0 else 'below'} 0"
        return f"a difference of {margin:g} or more is ruled out"
    bound = {"equal": f"± {margin:g}", "at_least": f"-{margin:g}", "at_most": f"{margin:g}"}[rule]
    if found == "cannot tell":
        return f"the interval crosses {bound}"
    kept = {"equal": ("within", "outside"), "at_least": ("above", "below"), "at_most": ("below", "above")}[rule]
    return f"the interval is {kept[found == 'disagree']} {bound}"


def together(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the verdict on a claim from those on its figures: `agree` if all agree, `disagree` if one disagrees."""
    if "disagree" in verdicts:
        return "disagree"
    return "agree" if verdicts and set(verdicts) == {"agree"} else "cannot tell"
