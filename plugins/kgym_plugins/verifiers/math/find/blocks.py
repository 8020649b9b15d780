"""Answers in blocks of Markdown and JSON: items of a list, a code fence, the value of a key."""

import json
import re

_ITEM = re.compile(
    r"[ \t]{0,6}(?:[-*+•–][ \t]+|(?P<number>\d{1,2})[.)][ \t]+|\(?(?P<letter>[a-h])\)[ \t]+)"
    r"(?P<content>\S[^\n]{0,300})(?:\n|\Z)"
)
_FENCED = re.compile(r"\s*```[a-zA-Z]{0,12}[ \t]*\n(?P<content>[^`]{1,600}?)\n?[ \t]*```")
_KEY = re.compile(
    r"[\"'](?:final[ _]?answer|answer|final[ _]?result|result|solution|ans)[\"']\s*:\s*"
    r"(?P<value>\"(?:[^\"\\\n]|\\.){0,500}\"|'[^'\n]{0,500}'|\[[^\[\]{}\n]{0,300}\]|-?\d[\d.eE+-]{0,40}|true"
    r"|false)\s*(?=[,}\n])",
    re.IGNORECASE,
)
_REST_OF_JSON = re.compile(r"[^{}]{0,2000}\}\s*(?:```)?\s*\Z")


def items(text: str) -> tuple[str, ...]:
    """Return the items of the Markdown list with which a text begins, without their marks; none if it begins otherwise.

    >>> items("- $x = 6$\\n- $x = 9$\\nDone."), items("1. $6$\\n2. $9$"), items("12. Then"), items("-7")
    (('$x = 6$', '$x = 9$'), ('$6$', '$9$'), (), ())
    """
    text = text.lstrip("\n")
    found: list[str] = []
    at = 0
    while match := _ITEM.match(text, at):
        place = len(found)
        if (match["number"] and int(match["number"]) != place + 1) or (
            match["letter"] and match["letter"] != "abcdefgh"[place % 8]
        ):
            break
        found.append(match["content"].strip())
        at = match.end()
        while text.startswith("\n", at):
            at += 1
    return tuple(found)


_LABELLED = re.compile(
    r"[ \t]{0,4}(?:[-*+•][ \t]+|\d[.)][ \t]+)?[*_]{0,3}(?P<label>[A-Za-z$][A-Za-z $-]{2,40}?)[*_]{0,3}[ \t]?"
    r"(?::|(?<=[A-Za-z]{3})[ \t]?=)[*_]{0,3}[ \t]{0,4}(?P<value>[^\n:]{1,120}?)[*_ \t.,;]{0,6}"
)
_MOST_LABELS = 5


def labelled(text: str) -> str:
    """Return the values with labels in the last lines of a text, as one text; "" if there are not two such lines.

    >>> labelled("So:\\n\\n**Slope:** $-2$\\n**$y$-intercept:** $4$"), labelled("Mean: 5")
    ('Slope: -2, y-intercept: 4', '')
    """
    found: list[str] = []
    for line in reversed([line for line in text[-800:].split("\n") if line.strip()][-_MOST_LABELS:]):
        if (match := _LABELLED.fullmatch(line)) is None or not re.search(r"[\d\\$]", match["value"]):
            break
        found.insert(0, f"{match['label']}: {match['value']}".replace("$", "").replace("*", ""))
    return ", ".join(found) if len(found) > 1 else ""


def fenced(text: str) -> str | None:
    """Return the content of the code fence with which a text begins.

    >>> fenced("```latex\\nx = 4\\n```")
    'x = 4'
    """
    match = _FENCED.match(text)
    return None if match is None else match["content"].strip()


def keyed(text: str) -> tuple[str, ...]:
    r"""Return the value of the key "answer" in JSON at the end of a text; a list has several.

    >>> keyed('{"steps": ["x = 2"], "answer": [2, 3]}'), keyed('{"answer": "\\\\frac{1}{2}"}')
    (('2', '3'), ('\\frac{1}{2}',))
    """
    if "}" not in text[-40:]:
        return ()
    found = None
    for match in _KEY.finditer(text):
        if _REST_OF_JSON.match(text, match.end()):
            found = match
    if found is None:
        return ()
    value = found["value"]
    if value.startswith("["):
        try:
            parts = json.loads(value)
        except ValueError:
            return (value,)
        return (
            tuple(str(part) for part in parts)
            if all(isinstance(part, str | int | float) for part in parts)
            else (value,)
        )
    if value[0] in "\"'":
        value = value[1:-1].replace("\\\\", "\\")
    return (value,) if value.strip() else ()
