"""The verifier `integer`: an integer in the last `\\boxed{}` after the reasoning, compared digit by digit.

    ... so there are \\boxed{0204} ways.      gold 204: correct
    \\boxed{204} or \\boxed{402}               wrong, hedged
    the answer is 204                        no_answer

Only the text after the reasoning is judged (`kgym.answers.conclusion`). If the reasoning never ends, the completion has
no answer, even if there is text before the reasoning. `\\boxed`, `\\fbox` and `\\framebox` are treated alike.
The box may contain blanks, `$`, a sign, leading zeros, thousands separators (`1,234`, `1{,}234`, `1\\,234`,
`1,\\!234`), zeros after a decimal point (`204.0`), fullwidth digits, and wrappers such as `\\text{}`. Anything else in
it is `no_answer`, and so is a last box that is empty or never closed; an earlier box is not used instead. Boxes that
differ are a hedge and wrong, anywhere in the text. Boxes that agree, and empty boxes before the last one, which are
echoes of the instruction, do no harm.

The time is linear in the text, and no number is computed: digits are compared as text, at most `MAX_CHARACTERS`.
"""

import time
from collections.abc import Sequence

from kgym.answers import MAX_CHARACTERS, conclusion, find_boxes, integer_form
from kgym.options import Options
from kgym.types import Status, Verdict, VerifyItem

Finding = tuple[Status, str, str | None, str | None]
"""Status, reason, the content of the last box, and its normal form."""


class Integer:
    """Follows `kgym.types.Verifier`; safe in the caller's process. It has no options."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def verify_many(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """Return one verdict for each item; `unscored:gold` if the gold answer itself is not an integer."""
        return [_timed(item) for item in items]


def _timed(item: VerifyItem) -> Verdict:
    begin = time.perf_counter()
    status, reason, answer, normal = judge(item.gold, item.response)
    return Verdict(status, reason, answer, normal, seconds=time.perf_counter() - begin)


def judge(gold: str, response: str) -> Finding:
    r"""Compare the integer in the last box with the gold answer, which may be in a box itself.

    >>> judge("204", r"First \boxed{}, then \boxed{0204}.")
    ('correct', 'integer', '0204', '204')
    """
    wanted = integer_form(gold)
    if wanted is None:
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
