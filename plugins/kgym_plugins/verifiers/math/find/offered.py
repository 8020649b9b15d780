"""The choices that a question lists."""

import re

_MARK = re.compile(r"(?<![A-Za-z\\$])(?:\(([A-J])\)|([A-J])[.):])\s+(?=\S)")

_SMALL_MARK = re.compile(r"(?<![A-Za-z\\$])(?:\(([a-j])\)|([a-j])\))\s+(?=\S)")


def offered(question: str) -> dict[str, str]:
    r"""Return the choices that a question lists, by letter; none if the letters do not follow each other.

    >>> offered("What is 3 + 6? (A) 6 (B) 9 (C) 12"), offered("Find B. A line is straight.")
    ({'A': '6', 'B': '9', 'C': '12'}, {})
    """
    marks = list(_MARK.finditer(question)) or list(_SMALL_MARK.finditer(question))
    letters = "".join(mark[1] or mark[2] for mark in marks).upper()
    if letters not in ("AB", "ABC", "ABCD", "ABCDE", "ABCDEF", "ABCDEFG"):
        return {}
    ends = [*(mark.start() for mark in marks[1:]), len(question)]
    return {
        letter: question[mark.end() : end].strip(" \n\t,;.")
        for letter, mark, end in zip(letters, marks, ends, strict=True)
    }
