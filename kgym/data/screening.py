r"""Find problems that are unfit to learn from by their texts: guessable forms, duplicates, problems of a benchmark.

    unfit_form("Which is prime? (A) 4 (B) 6 (C) 7 (D) 9", "C")       'multiple choice'
    duplicates(problems)                                             {"mine/7": "mine/2"}
    overlaps(problems, {"aime24": [...]})                            {"mine/9": "aime24"}

Source: Kimi k1.5, arXiv:2501.12599, section 2.1, for the forms that are left out: multiple choice, true or false, and
proofs.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from kgym.types import Problem

N_WORDS = 8
"""Number of consecutive common words by which one question counts as taken from another; of a shorter question, all of
its words.
"""

_CHOICES = re.compile(r"(?:^|[\s$({])\(?\\?(?:text(?:bf)?\{)?\(?([A-E])(?:\)|\.|:|\})", re.MULTILINE)
_LETTER = re.compile(r"\(?[A-E]\)?|\\text(?:bf)?\{\(?[A-E]\)?\}")
_TRUTH = re.compile(r"\s*(?:\\text\{)?\s*(?:true|false|yes|no)\s*\}?\.?\s*", re.IGNORECASE)
_PROOF = re.compile(r"\b(?:prove|show)\s+(?:that|the\b|by\b|or\b|if\b)|\bproof\b|\bdisprove\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+")


def unfit_form(question: str, gold: str) -> str:
    r"""Return why an answer could be guessed instead of worked out, or could not be checked; "" if neither is the case.

    >>> unfit_form("Is 91 prime?", "no"), unfit_form("Prove that 2+2=4.", "4"), unfit_form("What is 2+2?", "4")
    ('true or false', 'proof', '')
    """
    letters = {match[1] for match in _CHOICES.finditer(question)}
    if _LETTER.fullmatch(gold.strip()) or {"A", "B", "C"} <= letters:
        return "multiple choice"
    if _TRUTH.fullmatch(gold):
        return "true or false"
    return "proof" if _PROOF.search(question) else ""


def words(text: str) -> list[str]:
    """Return the words and numbers of a text in lower case, without signs and layout."""
    return _WORD.findall(text.lower())


def duplicates(problems: Sequence[Problem]) -> dict[str, str]:
    """Return the ids of problems whose question has the same words as an earlier one, with the id of that one."""
    first: dict[tuple[str, ...], str] = {}
    found = {}
    for problem in problems:
        key = tuple(words(problem.question))
        if (earlier := first.setdefault(key, problem.id)) != problem.id:
            found[problem.id] = earlier
    return found


def overlaps(
    problems: Sequence[Problem], benchmarks: Mapping[str, Sequence[Problem]], n: int = N_WORDS
) -> dict[str, str]:
    """Return the ids of problems that share `n` consecutive words, or all words of a shorter question, with a problem
    of a benchmark, and the name of the benchmark.

    Words that more than one problem of the benchmark has are its usual wording and do not count.
    """
    owners: dict[tuple[str, ...], str] = {}
    for name, held_out in benchmarks.items():
        seen: dict[tuple[str, ...], int] = {}
        for problem in held_out:
            for gram in set(_grams(problem.question, n)):
                seen[gram] = seen.get(gram, 0) + 1
        owners |= {gram: name for gram, count in seen.items() if count == 1}
    found = {}
    for problem in problems:
        shared = next((owners[gram] for gram in _grams(problem.question, n) if gram in owners), None)
        if shared is not None:
            found[problem.id] = shared
    return found


def _grams(text: str, n: int) -> Iterator[tuple[str, ...]]:
    said = words(text)
    if len(said) <= n:
        yield tuple(said)
        return
    for start in range(len(said) - n + 1):
        yield tuple(said[start : start + n])
