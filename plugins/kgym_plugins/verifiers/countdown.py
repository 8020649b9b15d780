r"""The verifier `countdown`: an expression in the last box that uses the numbers of the gold answer, each equally
often, and has its value.

    gold (14-4)+8, which says that 4, 8 and 14 make 18
    \boxed{8+14-4}           correct
    \boxed{14 - 4 + 8 = 18}  correct: the value may follow after =
    \boxed{18}               wrong, numbers
    \boxed{14+4-8}           wrong, value

An expression has whole numbers, + - * / (also `\times`, `\cdot`, `\div`, `\frac{}{}` and their characters) and
brackets; a bracket after a number or a bracket is a product. The last box after the reasoning is the answer. If another
box is not right too, it is a hedge and wrong. A last box that is empty, unterminated or contains anything else is
`no_answer`.

Nothing is computed before the numbers agree, and the computation is exact. The time is linear in the text, except for
at most `MAX_FRACTIONS` rewritings.
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction

from kgym.answers import MAX_CHARACTERS, conclusion, find_boxes
from kgym.options import Options
from kgym.types import Status, Verdict, VerifyItem

MAX_FRACTIONS = 16
"""Most `\\frac` in an answer."""

_SPELLINGS = str.maketrans(
    {"×": "*", "·": "*", "⋅": "*", "∗": "*", "÷": "/", "∕": "/", "−": "-", "–": "-", "＋": "+", "＝": "="}
)
_COMMANDS = (
    (r"\times", "*"),
    (r"\cdot", "*"),
    (r"\ast", "*"),
    (r"\div", "/"),
    (r"\left", ""),
    (r"\right", ""),
    ("[", "("),
    ("]", ")"),
)
_APART = re.compile(r"(?<=[0-9])[\s~]+(?=[0-9])")
_BLANKS = re.compile(r"\\[,;:! ]|\\quad|[\s$~]|\\[()]")
_FRACTION = re.compile(r"\\[dt]?frac\{([^{}]*)\}\{([^{}]*)\}")
_TOKENS = re.compile(r"[0-9]+|[-+*/()]")

_BINARY: dict[str, tuple[int, Callable[[Fraction, Fraction], Fraction]]] = {
    "+": (1, lambda a, b: a + b),
    "-": (1, lambda a, b: a - b),
    "*": (2, lambda a, b: a * b),
    "/": (2, lambda a, b: a / b),
}
_NEGATIVE = "negative"  # the minus of -3, which binds tighter than a product


class Countdown:
    """Follows `kgym.types.Verifier`; safe in the caller's process. It has no options."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def verify_many(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """Return one verdict for each item; `unscored:gold` if the gold answer itself is not an expression."""
        return [_timed(item) for item in items]


def _timed(item: VerifyItem) -> Verdict:
    begin = time.perf_counter()
    status, reason, answer, normal = judge(item.gold, item.response)
    return Verdict(status, reason, answer, normal, seconds=time.perf_counter() - begin)


def judge(gold: str, response: str) -> tuple[Status, str, str | None, str | None]:
    r"""Return status, reason, the content of the last box and the expression in it.

    >>> judge("(14-4)+8", r"So \boxed{8 + 14 - 4 = 18}.")
    ('correct', 'value', '8 + 14 - 4 = 18', '8+14-4')
    """
    wanted = _tokens(_plain(gold))
    target = None if wanted is None else _value(wanted)
    if wanted is None or target is None:
        return "unscored", "gold", None, None
    said, is_open = conclusion(response)
    boxes = [] if is_open else find_boxes(said)
    if not boxes:
        return "no_answer", "no_box", None, None
    if boxes[-1].content is None:
        return "no_answer", "unterminated", None, None
    final = boxes[-1].content.strip()
    if not final:
        return "no_answer", "empty", final, None
    status, reason, normal = _compare(final, wanted, target)
    others = {(box.content or "").strip() for box in boxes[:-1]} - {"", final}
    if status == "correct" and any(_compare(other, wanted, target)[0] != "correct" for other in others):
        return "wrong", "hedged", final, None
    return status, reason, final, normal


def _compare(answer: str, wanted: Sequence[str], target: Fraction) -> tuple[Status, str, str | None]:
    if len(answer) > MAX_CHARACTERS:
        return "no_answer", "limit", None
    sides = _plain(answer).split("=")
    rest = [side for side in sides if side != str(target)] or sides[:1]
    tokens = _tokens(rest[0]) if len(rest) == 1 else None
    if tokens is None:
        return "no_answer", "not_expression", None
    normal = "".join(tokens)
    if _numbers(tokens) != _numbers(wanted):
        return "wrong", "numbers", normal
    value = _value(tokens)
    if value is None:
        return "no_answer", "not_expression", normal
    return ("correct" if value == target else "wrong"), "value", normal


def _plain(text: str) -> str:
    """Return an expression rewritten in the characters of `_TOKENS`, as far as possible."""
    text = _APART.sub("_", text.translate(_SPELLINGS))  # `1 4` is not 14, nor anything else
    text = _BLANKS.sub("", text)
    for command, character in _COMMANDS:
        text = text.replace(command, character)
    for _ in range(MAX_FRACTIONS):
        text, n = _FRACTION.subn(r"((\1)/(\2))", text, count=1)
        if not n:
            break
    return text


def _tokens(text: str) -> list[str] | None:
    """Return the tokens of an expression with every product written out; None if it contains anything else."""
    found = _TOKENS.findall(text)
    if not found or "".join(found) != text:
        return None
    tokens: list[str] = []
    for symbol in found:
        if tokens and (tokens[-1] == ")" or tokens[-1].isdigit()) and (symbol == "(" or symbol.isdigit()):
            tokens.append("*")
        tokens.append(symbol)
    return tokens


def _numbers(tokens: Sequence[str]) -> Counter[str]:
    return Counter(token.lstrip("0") or "0" for token in tokens if token.isdigit())


def _value(tokens: Sequence[str]) -> Fraction | None:
    """Return the value of an expression; None if it is malformed, or divides by 0. It uses two stacks instead of
    recursion, since nesting may be deep.
    """
    values: list[Fraction] = []
    waiting: list[str] = []
    operand = True  # whether an operand has to come next
    try:
        for symbol in tokens:
            if symbol.isdigit() and operand:
                values.append(Fraction(int(symbol)))
                operand = False
            elif symbol == "(" and operand:
                waiting.append(symbol)
            elif symbol == "-" and operand:
                waiting.append(_NEGATIVE)
            elif symbol == ")" and not operand:
                while waiting[-1] != "(":
                    _apply(waiting.pop(), values)
                waiting.pop()
            elif symbol in _BINARY and not operand:
                while waiting and _rank(waiting[-1]) >= _rank(symbol):
                    _apply(waiting.pop(), values)
                waiting.append(symbol)
                operand = True
            else:
                return None
        while waiting:
            _apply(waiting.pop(), values)
    except (IndexError, KeyError, ZeroDivisionError):
        return None
    return values[0] if len(values) == 1 and not operand else None


def _rank(operator: str) -> int:
    if operator == "(":
        return 0
    return 3 if operator == _NEGATIVE else _BINARY[operator][0]


def _apply(operator: str, values: list[Fraction]) -> None:
    """Replace the last values by the result. Raises KeyError for a bracket that is never closed, ZeroDivisionError."""
    if operator == _NEGATIVE:
        values.append(-values.pop())
        return
    b, a = values.pop(), values.pop()
    values.append(_BINARY[operator][1](a, b))
