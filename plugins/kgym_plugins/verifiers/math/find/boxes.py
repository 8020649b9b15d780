r"""Answers in a box: the last balanced \boxed{}, and the boxes beside it. One pass for any nesting."""

import re
from dataclasses import dataclass

from kgym_plugins.verifiers.math.find.candidates import LETTERS, Extraction, key
from kgym_plugins.verifiers.math.limits import ANSWER_CHARS
from kgym_plugins.verifiers.math.phrases.contrast import REJECTING
from kgym_plugins.verifiers.math.phrases.cues import HEDGING, JOINING, PLACEHOLDER, REVISING, TAKING_BACK
from kgym_plugins.verifiers.math.phrases.languages import DENYING
from kgym_plugins.verifiers.math.phrases.taking_back import taken_back

_MOST_BOXES = 200
_WINDOW = 200_000
_MANY = 3
"""More different boxes than these are guesses, wherever they stand."""
_BRACES = re.compile(r"\\(?:boxed|fbox|framebox)(?![A-Za-z])|\\.|[{}]", re.DOTALL)
_BARE = re.compile(r"\s?(\d{1,20}|[A-Za-z])(?![A-Za-z])")
_BARE_FRACTION = re.compile(r"\s?(\\[dt]?frac\s?(?:\d\d|\{[^{}\n]{1,60}\}\s?\{[^{}\n]{1,60}\}))")
_OPENING = re.compile(r"(?:\s{0,9}\[[^\]\n]{0,20}\]){0,2}\s{0,9}\{")
_NOTHING = re.compile(
    r"(?:[\s$.,;:?_~*-]|\\[,;:! ]|\\[lc]?dots|\\q?quad|\\(?:text|mathrm|textbf)\s*\{\s*\}|…|□|\\square"
    r"|\\phantom\{[^{}]*\})*"
)


@dataclass(frozen=True)
class Box:
    """Where a box is, and what is in it."""

    begin: int
    end: int
    content: str | None
    """None if the box is never closed."""


def boxes(text: str) -> list[Box]:
    """The outermost boxes in order, the last two hundred at most. One pass for any nesting."""
    found: list[Box] = []
    stack: list[
        tuple[int, int] | None
    ] = []  # for each open brace: where its box begins and where its content does, or None
    begin, end = _window(text)
    at = begin
    while match := _BRACES.search(text, at, end):
        sign, at = match.group(), match.end()
        if sign == "{":
            stack.append(None)
        elif sign == "}":
            if stack and (opened := stack.pop()) is not None:
                while found and found[-1].begin > opened[0]:
                    found.pop()  # a box inside this one
                found.append(Box(opened[0], match.end(), text[opened[1] : match.start()]))
        elif len(sign) > 2:
            brace = _OPENING.match(text, at)
            if brace:
                stack.append((match.start(), brace.end()))
                at = brace.end()
            elif bare := _BARE.match(text, at) or _BARE_FRACTION.match(text, at):
                found.append(Box(match.start(), bare.end(), bare.group(1)))
            else:
                found.append(Box(match.start(), match.end(), None))
    open_boxes = [item for item in stack if item is not None]
    if open_boxes and (not found or open_boxes[-1][0] > found[-1].begin):
        start, content = open_boxes[-1]
        # beyond the window no one looks: so long a content is not an answer, but a limit that the answer broke
        found.append(Box(start, len(text), text[content:end] if end < len(text) else None))
    return found


def _window(text: str) -> tuple[int, int]:
    """Where the last two hundred boxes begin, and as far after the last as an answer can reach."""
    begin = end = len(text)
    commands = [command for command in ("\\boxed", "\\fbox", "\\framebox") if command in text]
    for count in range(_MOST_BOXES):
        before = max((text.rfind(command, 0, begin) for command in commands), default=-1)
        if before < 0:
            break
        begin = before
        if count == 0:
            end = min(len(text), before + 2 * ANSWER_CHARS)
    return max(begin, end - _WINDOW), end


def boxed(text: str) -> Extraction | None:
    """Return what the last box says, with the boxes that are beside it."""
    if "\\boxed" not in text and "\\fbox" not in text and "\\framebox" not in text:
        return None
    found = boxes(text)
    if not found:
        return None
    found = _meant(text, found)
    last = found[-1]
    if last.content is None:
        return Extraction(rule="boxed", problem="the last box is not closed")
    if empty(last.content):
        return Extraction(rule="boxed", problem="the last box is empty")
    rest = text[last.end : last.end + 800]
    if DENYING.pattern.search(text, max(0, last.begin - 40), last.begin):
        return Extraction(rule="boxed", problem="the last box is denied")
    if TAKING_BACK.pattern.match(rest) or taken_back(rest, last.content):
        return Extraction(rule="boxed", problem="the last box is taken back")
    cluster, contents, hedging = [last], {key(last.content)}, False
    for before, after in zip(reversed(found[:-1]), reversed(found[1:]), strict=True):
        if before.content is None or empty(before.content):
            continue
        gap = text[before.end : after.begin]
        words = {word.lower() for word in LETTERS.findall(gap[:400])}
        close = len(gap) <= 120 and all(word in JOINING or len(word) == 1 for word in words)
        hedged = len(gap) <= 400 and bool(words & HEDGING) and not words & REVISING
        if not (close or hedged):
            break
        hedging |= not close
        cluster.append(before)
        contents.add(key(before.content))
    answers = tuple(dict.fromkeys(box.content for box in reversed(cluster) if box.content is not None))
    if hedging and len(contents) > 1:
        return Extraction(answers, "boxed", "hedged")
    if (
        len(contents) == 1
        and len({key(box.content) for box in found if box.content is not None and not empty(box.content)}) > _MANY
    ):
        return Extraction((last.content,), "boxed", "hedged")
    return Extraction(answers, "boxed")


def _meant(text: str, found: list[Box]) -> list[Box]:
    """The boxes without those that are rejected at the end: `5 (and not 7)`, `not 5 but 7`."""
    while len(found) > 1 and REJECTING.search(text, max(0, found[-1].begin - 40), found[-1].begin):
        found = found[:-1]
    if len(found) > 1 and REJECTING.search(text, max(0, found[-2].begin - 40), found[-2].begin):
        found = [*found[:-2], found[-1]]
    return found


def empty(content: str) -> bool:
    """Whether a box holds nothing, or the placeholder that the question asked to replace."""
    content = content.strip()
    return len(content) < 200 and (
        _NOTHING.fullmatch(content) is not None
        or PLACEHOLDER.pattern.fullmatch(key(re.sub(r"\\text|[{}]", "", content))) is not None
    )
