"""Sampled completions, packed for the page: columns instead of rows, repeated words by number, compressed. The script
unpacks them when it starts.

{"problems": [[id, subject, level, year, question, gold], ...], "words": [...],
 "runs": [{"name": "before", "problem": [0, 0, ...], "attempt": [...], "text": [...], "answer": [...],
           "status": [number of a word, ...], "reason": [...], "tokens": [...], "finish": [...], "cut": [0, 1, ...],
           "worth": [1, null, ...],
           "replies": {"3": [[place in the text, role, content], ...]}}]}      only of rows that have replies
"""

import base64
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame

MOST_ANSWERS = 40_000
MOST_CHARACTERS = 100_000
"""Longest text of a completion; of a longer one the beginning and the end are kept."""
MOST_CHARACTERS_IN_ALL = 25_000_000
"""Longest text of all completions together, unless their number was asked for: a browser unpacks it in a second."""
PROBLEM = ("problem_id", "subject", "level", "year", "question", "gold")
COLUMNS = (*PROBLEM, "attempt", "text", "answer", "status", "reason", "tokens", "finish_reason", "truncated", "worth")
"""Required columns: those of `kgym.runs.answers`, and as `worth` the score that counts, NaN if none does. `trace` and
`pieces` are optional.
"""


@dataclass(frozen=True)
class Answers:
    """Completions of one or more runs, ready for a page."""

    packed: str = field(repr=False)
    """JSON, deflated (zlib), in base64."""
    n: int
    n_left_out: int
    left_out: str
    """What is not in the page, in words; "" if everything is."""


def pack_answers(
    runs: Sequence[tuple[str, "DataFrame"]], most: int | None = None, most_characters: int = MOST_CHARACTERS_IN_ALL
) -> Answers:
    """Pack the completions of named runs: at most `most` of them, or, if that is None, `MOST_ANSWERS` with
    `most_characters` in all.

    The first problems are kept, with all their completions in every run; the very first one at any length.
    """
    ids = list(dict.fromkeys(problem for _, frame in runs for problem in frame["problem_id"]))
    n_all = sum(len(frame) for _, frame in runs)
    counts, lengths = dict.fromkeys(ids, 0), dict.fromkeys(ids, 0)
    for _, frame in runs:
        length = frame["text"].str.len().clip(upper=MOST_CHARACTERS)
        for problem, lengths_of_it in length.groupby(frame["problem_id"], sort=False):
            counts[problem] += len(lengths_of_it)
            lengths[problem] += int(lengths_of_it.sum())
    kept: dict[str, int] = {}
    n = characters = 0
    for problem in ids:
        too_long = most is None and characters + lengths[problem] > most_characters
        if kept and (n + counts[problem] > (MOST_ANSWERS if most is None else most) or too_long):
            break
        kept[problem] = len(kept)
        n += counts[problem]
        characters += lengths[problem]
    words = _Words()
    problems: dict[int, list[Any]] = {}
    packed = [_pack(name, frame[frame["problem_id"].isin(kept)], kept, problems, words) for name, frame in runs]
    data = {"problems": [problems[place] for place in range(len(kept))], "words": list(words.numbers), "runs": packed}
    body = zlib.compress(json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode(), 9)
    left_out = (
        f"{n:,} of {n_all:,} completions are in this page: those of the first {len(kept):,} of {len(ids):,} problems"
        if n < n_all
        else ""
    )
    return Answers(base64.b64encode(body).decode(), n, n_all - n, left_out)


class _Words:
    """Numbers texts that are repeated."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def __call__(self, word: object) -> int:
        return self.numbers.setdefault(str(word), len(self.numbers))


def _pack(
    name: str, frame: "DataFrame", kept: dict[str, int], problems: dict[int, list[Any]], words: _Words
) -> dict[str, Any]:
    frame = frame.assign(place=frame["problem_id"].map(kept)).sort_values(["place", "attempt"], kind="stable")
    for row in frame[["place", *PROBLEM]].drop_duplicates("place").to_dict("records"):
        about = [str(row[name]) if name not in ("level", "year") else int(row[name]) for name in PROBLEM]
        problems.setdefault(int(row["place"]), about)
    return {
        "name": name,
        "problem": [int(place) for place in frame["place"]],
        "attempt": [int(value) for value in frame["attempt"]],
        "text": [_bounded(text) for text in frame["text"]],
        "replies": {
            str(row): found
            for row, (text, pieces) in enumerate(
                zip(frame["text"], frame["pieces"], strict=True) if "pieces" in frame else ()
            )
            if (found := _replies(text, pieces))
        },
        "answer": [_bounded(answer) if isinstance(answer, str) else None for answer in frame["answer"]],
        "status": [words(status) for status in frame["status"]],
        "reason": [words(reason) for reason in frame["reason"]],
        "tokens": [int(value) for value in frame["tokens"]],
        "finish": [words(reason) for reason in frame["finish_reason"]],
        "cut": [int(value) for value in frame["truncated"]],
        "trace": [_bounded(trace) for trace in frame["trace"]] if "trace" in frame and frame["trace"].any() else [],
        "worth": [None if math.isnan(value) else value for value in frame["worth"].astype("float64")],
    }


def _replies(text: str, pieces: Sequence[Mapping[str, Any]] | None) -> list[tuple[int, str, str]]:
    """Return the replies of the environment with their places in the completion, in JavaScript's characters; if the
    text is shortened, at its end.
    """
    found, place = [], 0
    for piece in () if pieces is None else pieces:
        if piece["role"] is None:
            place += int(piece["characters"])
        else:
            before = text[:place] if len(text) <= MOST_CHARACTERS else _bounded(text)
            found.append(
                (len(before.encode("utf-16-le", "surrogatepass")) // 2, str(piece["role"]), _bounded(piece["content"]))
            )
    return found


def _bounded(text: str) -> str:
    if len(text) <= MOST_CHARACTERS:
        return text
    half = MOST_CHARACTERS // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half:,} characters are left out here ...]\n{text[-half:]}"
