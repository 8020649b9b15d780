"""The verifier `integer`: an integer in the last `\\boxed{}` behind the reasoning, compared digit by digit.

    ... so there are \\boxed{0204} ways.      gold 204: correct
    \\boxed{204} or \\boxed{402}               wrong, hedged
    the answer is 204                        no_answer

What is judged stands behind the last `</think>`; reasoning that never ends holds no answer. `\\boxed`, `\\fbox` and `\\framebox` are alike.
The box may hold blanks, `$`, a sign, leading zeros, thousands separators (`1,234`, `1{,}234`, `1\\,234`, `1,\\!234`), zeros behind a
decimal point (`204.0`), fullwidth digits, and wrappers such as `\\text{}`. Anything else in it is `no_answer`, and so is a last box that is
empty or never closed: an earlier one does not stand in for it. Boxes that differ are a hedge and wrong, wherever they stand; boxes that
agree, and empty ones before the last, which are echoes of the instruction, do no harm.

Linear in the text, and no number is ever computed: digits are compared as text, at most `MAX_CHARACTERS` of them.
"""

import re
import time
from collections.abc import Sequence
from operator import itemgetter
from typing import NamedTuple

from kgym.options import Options
from kgym.types import Status, Verdict, VerifyItem

MAX_CHARACTERS = 256
"""In a box, blanks around its content not counted; a longer one is `no_answer` with the reason `limit`."""

MAX_WRAPPERS = 8
"""Commands and braces around the number, one in another."""

_TOKEN = re.compile(r"(?P<box>\\(?:boxed|fbox|framebox)\s*+\{)|\\.|[{}]", re.DOTALL)  # `\\.` since \{ and \} are no braces
_BLANK = r"(?:\s|\\[,;:! ]|~|\$|\\[()\[\]])+"
_EDGES = re.compile(rf"^{_BLANK}|{_BLANK}$")
_WRAPPER = re.compile(r"(?:\\(?:text(?:bf|it|rm|normal)?|math(?:bf|it|rm|sf|tt)|mbox|boxed|fbox|framebox)\s*)?\{(.*)\}", re.DOTALL)
_SEPARATOR = r"(?:,|\{,\}|\\,)(?:\\!)?"
_INTEGER = re.compile(rf"([+-]?)\s*([0-9]+|[0-9]{{1,3}}(?:{_SEPARATOR}[0-9]{{3}})+)(?:\.0*)?")
_PLAIN = str.maketrans("０１２３４５６７８９＋－，．−", "0123456789+-,.-")

Finding = tuple[Status, str, str | None, str | None]
"""Status, reason, the content of the last box, and its normal form."""


class Box(NamedTuple):
    """Where a box begins, and what is in it: None if it is never closed."""

    start: int
    content: str | None


class Integer:
    """Follows `kgym.types.Verifier`; safe in the caller's process. It has no options."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def verify_many(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """Return one verdict for each item; `unscored:gold` where the gold answer itself is no integer."""
        return [_timed(item) for item in items]


def _timed(item: VerifyItem) -> Verdict:
    begin = time.perf_counter()
    status, reason, answer, normal = judge(item.gold, item.response)
    return Verdict(status, reason, answer, normal, seconds=time.perf_counter() - begin)


def judge(gold: str, response: str) -> Finding:
    r"""Compare the integer in the last box with the gold answer, which may stand in a box itself.

    >>> judge("204", r"First \boxed{}, then \boxed{0204}.")
    ('correct', 'integer', '0204', '204')
    """
    wanted = integer_form(gold)
    if wanted is None:
        return "unscored", "gold", None, None
    boxes = find_boxes(conclusion(response))
    if not boxes:
        return "no_answer", "no_box", None, None
    if boxes[-1].content is None:
        return "no_answer", "unterminated", None, None
    final = boxes[-1].content.strip()
    if not final:
        return "no_answer", "empty", final, None
    if len(final) > MAX_CHARACTERS:
        return "no_answer", "limit", None, None
    normal = integer_form(final)
    for box in boxes[:-1]:
        other = (box.content or "").strip()
        if other and other != final and (normal is None or integer_form(other) != normal):
            return "wrong", "hedged", final, None
    if normal is None:
        return "no_answer", "not_integer", final, None
    return ("correct" if normal == wanted else "wrong"), "integer", final, normal


def conclusion(response: str) -> str:
    """Return what stands behind the reasoning: behind the last `</think>`, and before a `<think>` that is never closed."""
    return response.rpartition("</think>")[2].partition("<think>")[0]


def find_boxes(text: str) -> list[Box]:
    r"""Return the outermost boxes in the order in which they begin. One that is never closed does not hide those inside it.

    >>> [box.content for box in find_boxes(r"\boxed{\{1\}}, \fbox{{2}}, \framebox{\boxed{3}} and \boxed{4")]
    ['\\{1\\}', '{2}', '\\boxed{3}', None]
    """
    open_braces: list[tuple[int, int] | None] = []  # of a box: where it begins, and where its content does
    spans: list[tuple[int, int, int | None]] = []  # and where that ends; cut out last, since nested contents would be quadratic
    for token in _TOKEN.finditer(text):
        mark = token.group()
        if mark == "{":
            open_braces.append(None)
        elif mark == "}":
            box = open_braces.pop() if open_braces else None
            if box is not None:
                while spans and spans[-1][0] > box[0]:  # belongs to its content
                    spans.pop()
                spans.append((*box, token.start()))
        elif token["box"]:
            open_braces.append(token.span())
    spans += [(*box, None) for box in open_braces if box is not None]
    return [Box(start, None if end is None else text[inside:end]) for start, inside, end in sorted(spans, key=itemgetter(0))]


def integer_form(content: str) -> str | None:
    r"""Return an integer without leading zeros, plus sign and separators; None if it is none, or too long.

    >>> integer_form(r" $\text{0204}$ "), integer_form("-007."), integer_form("1{,}234"), integer_form("12,34")
    ('204', '-7', '1234', None)
    """
    text = content.strip()
    if len(text) > MAX_CHARACTERS:
        return None
    for _ in range(MAX_WRAPPERS):
        text = _EDGES.sub("", text)
        wrapped = _WRAPPER.fullmatch(text)
        if wrapped is None:
            break
        text = wrapped[1]
    number = _INTEGER.fullmatch(text.translate(_PLAIN))
    if number is None:
        return None
    digits = re.sub(r"[^0-9]", "", number[2]).lstrip("0") or "0"
    return f"-{digits}" if number[1] == "-" and digits != "0" else digits
