"""Gold answers that cannot be judged by: those that say nothing and those that are cut off. Answers to them are
unscored.
"""

import re
from functools import lru_cache

from kgym_plugins.verifiers.math.clean.wrappers import tidy, unwrapped
from kgym_plugins.verifiers.math.phrases.nothing import NOTHING
from kgym_plugins.verifiers.math.reading import gold_answer

_EMPTY = re.compile(
    r"\\(?:[dtc]?frac|[dt]?binom|sqrt|boxed|fbox|framebox|text[a-z]{0,6}|math[a-z]{2,4}|operatorname\*?|mbox|hbox"
    r"|overline|underline|bar|vec|hat|tilde|overrightarrow|widehat|bm|boldsymbol)\s*(?:\[\s*\]\s*)?(?:\{\s*\}\s*)+"
    r"|[\^_]\s*(?:\{\s*\})|(?<!\\)\{\s*\}|\\begin\{(\w+\*?)\}(?:\{[lcr|]*\})?[\s&\\]*\\end\{\1\}|\\(?:left|right)\s*\."
)
"""A command or a group without anything in it. The empty set has escaped braces."""
_MISSING = re.compile(
    r"\\(?:[dtc]?frac|[dt]?binom)\s*(?:\{\s*\}|\{[^{}]*\}\s*\{\s*\})|\\sqrt\s*(?:\[[^\]]*\])?\s*\{\s*\}"
)
_ESCAPED = re.compile(r"\\[\\{}]")
_UNFINISHED = re.compile(
    r"(?:[\^_=/<]|\\(?:[dt]?frac(?:\s*\{[^{}]*\})?|sqrt|cdot|times|left|le|leq|ge|geq|text|pm))\s*\Z"
)
_LONGEST = 4000


@lru_cache(maxsize=8192)
def gold_problem(gold: str) -> str:
    r"""Return why answers cannot be judged by this gold answer, "" if they can.

    >>> gold_problem(r"\text{ }"), gold_problem(r"\frac{3}{"), gold_problem("(0, 1]")
    ('says nothing', 'cut off', '')
    """
    answer = gold_answer(gold)[:_LONGEST]
    plain = unwrapped(tidy(_filled(answer))).strip("$ ")
    if plain == "None" and "\\text" in answer:
        return ""  # written for people: none of them
    if not plain or NOTHING.pattern.fullmatch(plain):
        return "says nothing" if gold.strip() else "empty"
    return "cut off" if _cut_off(answer) else ""


def _filled(text: str) -> str:
    """A text without its empty groups, from the innermost on; as it is if more than empty groups is in it."""
    bare, previous = text, ""
    while bare != previous:
        previous, bare = bare, _EMPTY.sub(" ", bare)
    return bare if not re.search(r"[^\s$]", bare) else text


def _cut_off(text: str) -> bool:
    """Whether brackets or arguments are open at the end. An interval may have one bracket of each kind: (0, 1], [0,
    1[.
    """
    bare = _ESCAPED.sub("", text)
    if bare.count("{") != bare.count("}") or text.count(r"\begin") != text.count(r"\end{"):
        return True
    opened, closed = (sum(map(bare.count, signs)) for signs in ("([", ")]"))
    if opened > closed and (opened + closed) % 2:
        return True
    return _MISSING.search(text) is not None or _UNFINISHED.search(bare.rstrip("$. ")) is not None
