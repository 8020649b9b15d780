"""Check a data set before it is scored on: whether its questions contain their answers, and how it differs from another
data set.

Mirrors of the real examinations have had both faults: a problem whose statement ends with its answer, and changed
answers or statements.
"""

import re

from kgym.data.columns import last_box, same_gold
from kgym.data.sources import ListedSource
from kgym.types import Problem

_ANNOUNCED = re.compile(r"\banswer\s*(?:is|:|=)[\s$*]*", re.IGNORECASE)
_GOES_ON = re.compile(r"[\w/^]|\.\w")


def gives_away(problem: Problem) -> bool:
    r"""Whether a question has its own gold answer in a box, or after "answer is" or "answer:".

    >>> gives_away(Problem("a", r"Find $1+1$. \boxed{2}", "2"))
    True
    >>> gives_away(Problem("b", "Find $1+1$. The answer is 3.", "2"))
    False
    """
    question, gold = problem.question, problem.gold
    box = last_box(question).strip()
    if box and same_gold(box, gold):
        return True
    ends = [said.end() + len(gold) for said in _ANNOUNCED.finditer(question) if question.startswith(gold, said.end())]
    return any(not _GOES_ON.match(question, end) for end in ends)


def rows_that_give_away(source: ListedSource) -> list[str]:
    """Return the rows of problems whose question contains the answer."""
    return [place for problem, place in zip(source.problems, source.places, strict=True) if gives_away(problem)]


def compared(there: ListedSource, here: ListedSource) -> str:
    """Describe how the problems `here` differ from those `there`, a data set of the same name. Differences in blanks do
    not count.
    """
    known = {_plain(problem.question): problem for problem in there.problems}
    rows = list(zip(here.problems, here.places, strict=True))
    both = [
        (known[_plain(problem.question)], problem, place)
        for problem, place in rows
        if _plain(problem.question) in known
    ]
    changed = [(old, new, place) for old, new, place in both if not same_gold(old.gold, new.gold)]
    said = [f"{len(both)} of {len(rows)} questions are in both"]
    if changed:
        (old, new, place), n = changed[0], len(changed)
        what = f"{new.gold[:60]!r} instead of {old.gold[:60]!r}"
        said.append(f"{n} of them with another answer, such as {place}: {what}")
    if others := [place for problem, place in rows if _plain(problem.question) not in known]:
        said.append(f"{len(others)} are new, such as {others[0]}")
    return "; ".join(said)


def _plain(question: str) -> str:
    return " ".join(question.split())
