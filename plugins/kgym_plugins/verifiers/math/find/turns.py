r"""Where a response ends that continues with another problem, as base models do: "#### 17", "Question: A bus has 30
seats ...".
"""

import re
from itertools import islice

_NEXT = re.compile(
    r"\n[ \t#*]{0,6}"
    r"(?:(?:Human|User|Instruction|Question|Q|Problem|Exercise|Example|Task)(?:[ \t]\d{1,3})?[*]{0,2}[ \t]?[:.][*]{0,2}"
    r"|(?:Question|Problem|Exercise|Example|Task)[ \t]\d{1,3}[*]{0,2}(?=\n))\s{1,3}(?P<asked>\S[^\n]{8,1500})"
)
_SOLVED = re.compile(
    r"\s{0,9}\n[ \t#*]{0,6}(?:Answer|A|Solution|Assistant|Response|Explanation)[*]{0,2}[ \t]?[:.]", re.IGNORECASE
)
"""What follows a problem that is posed, and not a question to oneself."""
_ANSWERED = re.compile(r"\\f?boxed\s?\{|####\s*\S|\banswers?\b[^.\n]{0,40}(?:\bis\b|\bare\b|[:=])\s*\S", re.IGNORECASE)
"""What says an answer plainly."""
_REPLIED = re.compile(r"\?\s+(?:no|yes|so|let)\b", re.IGNORECASE)
"""A question to oneself, with its reply."""
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_WORD = re.compile(r"[^\W\d_]{3,}")
_MOST = 40
"""Headings of problems that are looked at."""
_WINDOW = 4000
"""Characters before a heading in which an answer and its numbers are looked for."""


def first_problem(response: str, question: str) -> str:
    """Return a response without the problems that it poses after its own: text that another problem begins, with
    numbers that are neither of the question nor of the text before, or after an answer was given plainly.

    >>> first_problem("It is 5.\\n#### 5\\n\\nQuestion: A bus has 30 seats. How many are free?\\nAnswer: 3", "")
    'It is 5.\\n#### 5\\n'
    >>> first_problem("So:\\n\\nQuestion: what is left?\\nAnswer: 3", "")
    'So:\\n\\nQuestion: what is left?\\nAnswer: 3'
    """
    begin = max(response.rfind("</think>"), 0)
    for match in islice(_NEXT.finditer(response, begin), _MOST):
        before = response[max(begin, match.start() - _WINDOW) : match.start()]
        if before.strip() and _is_another(match, before, question):
            return response[: match.start()]
    return response


def _is_another(match: re.Match[str], before: str, question: str) -> bool:
    """Whether a problem is another one than the question, and no step of its solution."""
    asked = match["asked"]
    known, words = set(_NUMBER.findall(question)), {word.casefold() for word in _WORD.findall(asked)}
    own = [word for word in words if word in question.casefold()]
    if question and 4 * len(own) > 3 * len(words) and set(_NUMBER.findall(asked)) <= known:
        return False  # the question, once more
    new = any(number not in known and number not in before for number in _NUMBER.findall(asked))
    solved = _SOLVED.match(match.string, match.end()) is not None
    if _ANSWERED.search(before):
        return solved or (new and _REPLIED.search(asked) is None)
    return bool(question) and new and (solved or "?" in asked)
