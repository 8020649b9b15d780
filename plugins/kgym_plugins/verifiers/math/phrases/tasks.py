"""Formulas that only say what to work out, before a sign of equality: an integral, a limit, a sum, a gradient, a
derivative.

The grammar does not work them out, so such a link of a chain is not checked; all that come after it are.
"""

import re

from kgym_plugins.verifiers.math.phrases.table import Phrase, Table

TASKS = Table(
    "tasks",
    "a formula that says what to work out, before a sign of equality",
    "begin",
    Phrase(r"\\(?:i{0,2}int|oint)(?![A-Za-z])(?=.*=)", "an integral", r"\int x^2 dx = x^3/3", r"\int x^2 dx"),
    Phrase(
        r"\\(?:lim|sum|prod)(?![A-Za-z])(?=.*=)", "a limit, a sum or a product", r"\lim_{x \to 0} x = 0", r"\limits x"
    ),
    Phrase(r"(?:\\vec\s*)?\\nabla(?![A-Za-z])(?=.*=)", "a gradient", r"\nabla f(1, 2) = (4, 1)", r"\nabla f"),
    Phrase(
        r"\\[dt]?frac\s*\{\s*\\partial(?![A-Za-z])(?=.*=)",
        "a partial derivative",
        r"\frac{\partial f}{\partial x} = 2x",
        r"\frac{\pi}{2} = x",
    ),
    flags=re.DOTALL,
)
DERIVATIVES = Table(
    "derivatives",
    "a derivative of a formula that is written out, before a sign of equality",
    "begin",
    Phrase(
        r"\\[dt]?frac\s*\{\s*d(?:\^\{?\d\}?)?\s*\}\s*\{\s*d\s*[a-z](?:\^\{?\d\}?)?\s*\}\s*(?!=)(?=.*=)",
        "a derivative",
        r"\frac{d}{dx} x^2 = 2x",
        r"\frac{d}{2x} = 3",
    ),
    Phrase(r"\((?:[^()=]|\([^()=]*\)){1,60}\)'\s*(?==)", "a derivative", "(x^2)' = 2x", "(x^2) = 2x"),
    flags=re.DOTALL,
)
_LONGEST = 1000


def is_derivative(text: str) -> bool:
    """Whether the left side of a chain is the derivative of a formula, which the grammar takes for a product."""
    return ("=" in text and text[:1] in "\\(") and DERIVATIVES.pattern.match(text) is not None


def sides_of_task(text: str) -> tuple[str, ...]:
    r"""Return what comes after a task and a sign of equality: all of it, and its last side alone; nothing if there is
    no task.

    >>> sides_of_task(r"\sum_{k=1}^3 k = [1 + 2 + 3] = 6")
    (' [1 + 2 + 3] = 6', ' 6')
    """
    if len(text) > _LONGEST or not (TASKS.pattern.match(text) or DERIVATIVES.pattern.match(text)):
        return ()
    depth, signs = 0, list[int]()
    for at, character in enumerate(text):
        depth += (character in "({[") - (character in ")}]")
        if character == "=" and depth == 0 and text[at - 1] not in "<>!:":
            signs.append(at)
    return tuple(dict.fromkeys(text[at + 1 :] for at in (*signs[:1], *signs[-1:])))
