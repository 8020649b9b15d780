"""The verifier `reasoning_gym`: the scorer of the item's data set judges the answer, in a process that can be killed.

    score 1              correct
    score from 0 to 1    wrong, with the score as `partial`, which is the reward
    no answer found      no_answer

The answer is the text between the last <answer> and </answer> after the reasoning, or else the last box. An answer on
which a scorer raises an error is wrong if the scorer can judge the right answer, and unscored otherwise.
"""

from collections.abc import Sequence

from kgym.answers import conclusion, find_boxes
from kgym.options import Options
from kgym.types import Verdict, VerifyItem
from kgym_envs.reasoning_gym import guard, sets

OPEN, CLOSE = "<answer>", "</answer>"
FULL = 1 - 1e-9
"""A score from here on counts as 1, since some scores are sums with rounding."""


class ReasoningGymVerifier:
    """Follows `kgym.types.Verifier`."""

    def __init__(self, options: Options) -> None:
        self.options = options

    @classmethod
    def preload(cls) -> None:
        """Load the data sets once, before workers are forked, and keep scorers from evaluating code."""
        sets.registered()
        guard.install()

    def verify_many(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """Return one verdict for each item."""
        return [judge(item.gold, item.response) for item in items]


def judge(gold: str, response: str) -> Verdict:
    """Return the verdict on one completion. Raises DataError for a gold answer that belongs to no item."""
    answer = answer_in(response)
    if answer is None:
        return Verdict("no_answer", "no_tag")
    record = sets.Record.read(gold)
    if answer == gold.strip() and record.answer is not None:
        answer = record.answer  # the checks of environments write the whole gold answer
    item = record.item()
    dataset = sets.dataset_of(record.dataset, record.config, seed=record.seed, size=record.size)
    try:
        score = float(dataset.score_answer(answer, item))
    except MemoryError:
        raise
    except Exception as error:  # third-party code on untrusted text
        if record.answer is None or float(dataset.score_answer(record.answer, item)) < FULL:
            raise
        return Verdict("wrong", f"scorer raised {type(error).__name__}", answer, partial=0.0)
    if score >= FULL:
        return Verdict("correct", record.dataset, answer)
    return Verdict("wrong", record.dataset, answer, partial=max(0.0, score))


def answer_in(response: str) -> str | None:
    r"""Return the answer in a completion; None if it has none, or its mark is never closed.

    >>> answer_in("<answer>1</answer> or <answer> 2 </answer>"), answer_in(r"\boxed{3}"), answer_in("<answer>4")
    ('2', '3', None)
    """
    said = conclusion(response)
    if said.open:
        return None
    begin = said.text.rfind(OPEN)
    if begin >= 0:
        end = said.text.find(CLOSE, begin)
        return said.text[begin + len(OPEN) : end].strip() if end >= 0 else None
    boxes = find_boxes(said.text)
    return boxes[-1].content.strip() if boxes and boxes[-1].content is not None else None
