r"""maj@k: the most frequent answer of k completions; equal answers vote together even if they are written differently.

Two answers to a problem are equal if both are correct, if the verifier gives them the same normal form, or, unless that
form is a number, if the verifier accepts one where the other is the gold answer (`same`). A completion without an
answer does not vote, nor does a truncated one if those score 0.
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kgym.score.stats import mean_stderr

if TYPE_CHECKING:
    from pandas import DataFrame

Pair = tuple[str, str]
Same = Callable[[Sequence[Pair]], list[bool]]
"""For each pair, whether the verifier accepts the second answer where the first is the gold answer."""
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

NO_VOTE = -1
COMPARED = 40
"""Number of different answers to one problem that are compared pair by pair; rarer ones keep their own classes."""
_PLAIN = re.compile(r"-?\d{1,40}(?:/\d{1,40})?")
"""Normal forms that are equal only if they are the same text."""


def answer_classes(frame: "DataFrame", same: Same | None = None) -> Ints:
    """Return the class of each completion's answer, shape (N,), `NO_VOTE` without an answer; classes of different
    problems have nothing in common.

    `frame` has the columns problem_id, answer, normal and status.
    """
    import pandas as pd  # noqa: PLC0415  (heavy)

    form = frame["normal"].where(frame["normal"].notna(), frame["answer"]).astype("string").str.strip()
    correct = (frame["status"] == "correct").to_numpy(dtype=bool)
    form = form.mask(pd.Series(correct, index=frame.index), "correct: ")  # not a form: those are stripped
    form = form.mask((form == "").fillna(value=False))
    codes, forms = pd.factorize(form)
    classes = np.where(codes < 0, NO_VOTE, codes).astype(np.int64)
    return classes if same is None else _merged(frame, classes, ~correct, [str(text) for text in forms], same)


def _merged(frame: "DataFrame", classes: Ints, open_N: NDArray[np.bool_], forms: Sequence[str], same: Same) -> Ints:
    """Join the classes of wrong answers that are equal to the verifier; within a problem, the more frequent ones
    first.
    """
    import pandas as pd  # noqa: PLC0415

    votes = pd.DataFrame(
        {"problem": frame["problem_id"].to_numpy(), "code": classes, "answer": frame["answer"].to_numpy()}
    )
    votes = votes[open_N & (classes != NO_VOTE)]
    kinds = votes.groupby(["problem", "code"], sort=True)["answer"].agg(["first", "size"]).reset_index()
    plain = kinds["code"].map(lambda code: _PLAIN.fullmatch(forms[code]) is not None)
    # a problem whose answers are all plain numbers has no pair to compare
    kinds = kinds[~plain | kinds["problem"].isin(kinds.loc[~plain, "problem"])]
    pairs: list[Pair] = []
    asked: list[tuple[object, int, int]] = []
    for problem, group in kinds.groupby("problem", sort=False):
        ranked = group.sort_values(["size", "code"], ascending=[False, True], kind="stable").head(COMPARED)
        rows = list(zip(ranked["code"].tolist(), ranked["first"].tolist(), strict=True))
        for place, (code, answer) in enumerate(rows):
            for other, representative in rows[:place]:
                if not (_PLAIN.fullmatch(forms[code]) and _PLAIN.fullmatch(forms[other])):
                    pairs.append((representative, answer))
                    asked.append((problem, other, code))
    renamed: dict[tuple[object, int], int] = {}
    for (problem, other, code), equal in zip(asked, same(pairs) if pairs else [], strict=True):
        if equal and (problem, code) not in renamed:
            renamed[problem, code] = renamed.get((problem, other), other)
    if not renamed:
        return classes
    keys = zip(frame["problem_id"].tolist(), classes.tolist(), strict=True)
    return np.array([renamed.get(key, key[1]) for key in keys], dtype=np.int64)


def maj_at_k(
    problems: Ints, attempts: Ints, classes: Ints, scores: Floats, *, k: int, samples: int
) -> tuple[float, float]:
    """Return the mean over problems of maj@k, the score of the most frequent of k answers, and its standard error.

    If several answers are equally frequent, the score is the mean over them. All arrays have shape (N,); `scores` is
    NaN for masked completions. The `samples` completions of a problem are cut into blocks of k in the order of their
    attempts: unbiased, and without randomness. Completions left over are in no block. A block without votes scores 0.
    """
    width = samples // k  # blocks of a problem
    counted = (attempts < width * k) & ~np.isnan(scores)
    block = problems[counted] * width + attempts[counted] // k
    blocks, block = np.unique(block, return_inverse=True)
    if len(blocks) == 0:
        return math.nan, math.nan
    voting = classes[counted] != NO_VOTE
    n_classes = int(classes.max()) + 1
    kinds, kind, counts = np.unique(
        block[voting] * n_classes + classes[counted][voting], return_inverse=True, return_counts=True
    )  # what is voted for in a block, and how often
    worth = np.bincount(kind, weights=scores[counted][voting], minlength=len(kinds)) / counts
    place = kinds // max(n_classes, 1)
    most = np.zeros(len(blocks), dtype=np.int64)
    np.maximum.at(most, place, counts)
    first = counts == most[place]
    score_B = np.bincount(place[first], weights=worth[first], minlength=len(blocks)).astype(np.float64)
    score_B /= np.maximum(np.bincount(place[first], minlength=len(blocks)), 1)
    _, problem = np.unique(blocks // width, return_inverse=True)
    return mean_stderr(np.bincount(problem, weights=score_B) / np.bincount(problem))
