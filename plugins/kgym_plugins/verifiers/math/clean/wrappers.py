"""What surrounds an answer and what makes no difference to its meaning."""

import re

from kgym_plugins.verifiers.math.clean.unicode import to_ascii

_WRAPPED = re.compile(
    r"\\(?:text|textbf|textrm|textit|mathrm|mathbf|mathsf|texttt|mbox|emph|bf|rm|operatorname)\s*\{([^{}]*)\}"
)
_LEADING = re.compile(r"\A(?:=|\\approx|\\simeq|~)\s*")
_ALTERNATIVE = re.compile(r"\(\s*or\s+([^()]*)\)")
_COMBINATIONS = re.compile(
    r"(?<![\w)}\]])(?:\{\}\s?)?[_^]\{?(\w{1,4})\}?\s?"
    r"(?:\\(?:mathrm|text|mathbf)\{([CP])\}|\{?([CP])\}?)_\{?(\w{1,4})\}?"
)
_CHOSEN_OF = re.compile(r"(?<![\w.\\^_{])(\d{1,3})\s?([CP])\s?(\d{1,3})(?![\w.])")
"""Combinations as 5C2."""
_COMPOSED = re.compile(r"(?<=\A)\s*(?:\$|\\\()?\s*\(\s*[a-zA-Z]\s*\\circ\s*[a-zA-Z]\s*\)(?=\s*\(\w\)\s*=)")
"""A composed function that names a value, as any function does: (g o f)(x) = x + 1."""
_IMPLIED = re.compile(r"\\(?:implies|Rightarrow|Longrightarrow)(?![A-Za-z])|⇒|⟹")
_SIZED = re.compile(r"\\(?:left|right)\s*(?=[\[\]])")
_FRENCH = re.compile(r"([\[\]])([^\[\],;]+)[,;]([^\[\],;]+)([\[\]])")


def clean(text: str) -> str:
    """Return an answer as plain LaTeX: one line of ASCII without dollar signs, bold and a full stop."""
    text = _PERPENDICULAR.sub("", _implied(text))
    text = _COMBINATIONS.sub(_chosen, text) if "C" in text or "P" in text else text
    text = _CHOSEN_OF.sub(r"\2_{\1}^{\3}", text) if "C" in text or "P" in text else text
    text = _COMPOSED.sub("h", text) if "circ" in text else text
    return _apart(_ALTERNATIVE.sub(r" or \1", _LEADING.sub("", _french(tidy(text)))))


_APART = re.compile(
    r"(?<=[\w})!])\s*(?:\\,|\\;|~|\s)*(?:\\q?quad(?![a-zA-Z])\s*)+"
    r"(?=[-+]?\s*(?:\d|\\[dt]?frac|\\sqrt|\\pi(?![a-z])|[a-zA-Z](?:_\w|_\{\w+\})?\s*=))"
    r"|(?<=[\w})!])\s+(?=\\(?:boxed|fbox)\s*\{)"
)
"""A wide space, or a box in the box, between two values."""


def _apart(text: str) -> str:
    """Values with room between them are several values and no product."""
    if ("quad" in text or "box" in text) and "\\begin" not in text:
        return _APART.sub(", ", text)
    return text


def _implied(text: str) -> str:
    """The last of several statements of which each follows from the one before it: `x + 1 = 4 \\implies x = 3`."""
    if "\\implies" not in text and "ightarrow" not in text and "⇒" not in text:
        return text
    sides = _IMPLIED.split(text)
    return sides[-1] if all(_RELATES.search(side) for side in sides) else text


_PERPENDICULAR = re.compile(r"_(?:\\(?:perp|parallel|bot)(?![A-Za-z])|\{\\(?:perp|parallel|bot)\})")
"""An index that only says which line a slope is of."""
_RELATES = re.compile(r"[=<>]|\\(?:leq?|geq?|in|lt|gt)(?![a-z])")


def _chosen(match: re.Match[str]) -> str:
    """`{}_{10}C_3` with the index after the letter, as the grammar reads it."""
    return f"{match[2] or match[3]}_{{{match[1]}}}^{{{match[4]}}}"


def _french(text: str) -> str:
    """]1,2[ is the open interval from 1 to 2."""
    if text.startswith("\\left]") or text.endswith("\\right["):
        text = _SIZED.sub("", text)
    if not text.startswith("]") and not text.endswith("["):
        return text
    text = text.replace("\\,", " ").replace("\\;", " ")
    return _FRENCH.sub(lambda m: f"{'(' if m[1] == ']' else '['}{m[2]},{m[3]}{')' if m[4] == '[' else ']'}", text)


def tidy(text: str) -> str:
    """Remove what surrounds an answer: dollar signs, bold, quotes, the full stop at the end."""
    text = to_ascii(text).strip()
    previous = None
    while text != previous:
        previous = text
        for opening, closing in (
            (r"\(", r"\)"),
            (r"\[", r"\]"),
            ("**", "**"),
            ("__", "__"),
            ("`", "`"),
            ('"', '"'),
            ("$$", "$$"),
            ("$", "$"),
        ):
            if (
                len(text) > len(opening) + len(closing)
                and text.startswith(opening)
                and text.endswith(closing)
                and not text.endswith("\\$")
            ):
                inner = text[len(opening) : -len(closing)]
                if opening not in inner or opening == "**":
                    text = inner.strip()
        if text.endswith("\\"):
            text = text.rstrip("\\").rstrip()
        if (
            text.endswith((".", ",", ";", "!."))
            and not text.endswith("...")
            and not text.endswith("\\,")
            and not text.endswith("\\;")
        ):
            text = text[:-1].rstrip()
    if text.count("$") > 1 and (text.count("$") - text.count("\\$")) % 2 == 0:
        text = re.sub(r"(?<!\\)\$", " ", text)
    return re.sub(r"\{([:=])\}", r"\1", re.sub(r"(?<!\\)\\[()\[\]]", " ", text))  # \\[2pt] opens no display


_SIZES = re.compile(r"\\(?:left|right|displaystyle|[bB]igg?[lr]?|limits)(?![A-Za-z])")
_FRACTIONS = re.compile(r"\\[dt]frac(?![A-Za-z])")
_BARE_FRACTION = re.compile(r"\\frac\s?(\d)\s?(\d)")
_SCRIPT = re.compile(r"([_^])\{(\w)\}")
_BLANK = re.compile(r"(?:\\[,;:!> ]|[\s~$]|\\q?quad(?![A-Za-z]))+")
_NEEDLESS = re.compile(r"(?<![0-9A-Za-z]) | (?![0-9A-Za-z])")


def normal_text(text: str) -> str:
    """Text without what makes no difference to its meaning: spaces, sizes of brackets, ways to write a fraction."""
    text = tidy(text)
    if "\\" in text:
        text = _BARE_FRACTION.sub(r"\\frac{\1}{\2}", _FRACTIONS.sub(r"\\frac", _SIZES.sub("", text)))
    return _NEEDLESS.sub("", _BLANK.sub(" ", _SCRIPT.sub(r"\1\2", text)))  # a space between two numbers or words stays


def unwrapped(text: str) -> str:
    r"""Return a text without LaTeX's commands for text and spaces.

    >>> unwrapped(r"\text{all real}\ \mathrm{numbers}")
    'all real numbers'
    """
    previous = None
    while previous != text:
        previous, text = text, _WRAPPED.sub(r"\1", text)
    return re.sub(r"(?:\\[,;:! ]|\\q?quad|[$~\s])+", " ", text).strip()
