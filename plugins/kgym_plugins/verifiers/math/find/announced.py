"""Answers that a phrase announces: "the final answer is ...", "Answer: ...", also in other languages, and
`<answer>...</answer>`.
"""

import re

from kgym_plugins.verifiers.math.find.blocks import fenced, items, keyed
from kgym_plugins.verifiers.math.find.candidates import LETTERS, TAIL, Extraction, key
from kgym_plugins.verifiers.math.find.sentences import sentence_value
from kgym_plugins.verifiers.math.phrases.contrast import without_contrast
from kgym_plugins.verifiers.math.phrases.cues import (
    AFTERTHOUGHTS,
    ANNOUNCING,
    DOUBTING,
    HEDGING,
    JOINING,
    RETRACTING,
    REVISING,
    SUPPOSING,
)
from kgym_plugins.verifiers.math.phrases.east_asian import is_sentence, said_last
from kgym_plugins.verifiers.math.phrases.languages import ANNOUNCING_ELSEWHERE, NOUNS
from kgym_plugins.verifiers.math.phrases.taking_back import taken_back

_MOST_PHRASES = 10
_STATEMENT = 1200

_FINISHED = re.compile(r"(?:[^\w\s,;:(\[{<=+*/^&-]|\*\*|\\\)|\\\])\s*\Z|(?:\A|\n)\W*\Z")
_TAGS = re.compile(r"<answer>([^<>]{0,1000})</answer>(?!.*<answer>)", re.DOTALL)
_SENTENCE_END = re.compile(r"(?<![ap]\.m)(?<!\bsq)(?<!\bno)(?<!\bvs)[.!?](?=\s|$)(?!\s*\d)|\n|(?<=\$)\.(?=\s|$)|。")
_ELLIPSIS = re.compile(r"\.\d{2,40}\.\.\Z")
"""What is before the last dot of 0.666..., which ends no sentence."""
_FACTORIAL = re.compile(r"(?:(?<![A-Za-z'])[k-z]|\([^()]*(?<![A-Za-z])[k-z](?![A-Za-z])[^()]*\))\Z")
"""What is before the sign of n! and (n - 1)!, which ends no sentence; after a number it does."""
_REMARK = re.compile(
    r"(?<=[\w$})])\s+\((?!or\b|mod\b|and\b|base\b|in\b|not\b|if\b|but\b|unless\b|plus\b|minus\b)[a-z]{2,}\s"
    r"[^()]*(?:\([^()]*\)[^()]*)*\)?\Z"
)
"""A remark in words, in brackets after a value; the afterthought may have taken the end of it."""
_CLOSING = re.compile(r"(?<=\S)\*\*(?=[\s.,;:)]|\Z)")
_DISPLAYS = (("$$", "$$"), ("\\[", "\\]"), ("\\begin{", "\\end{"))


def _from_line(tail: str, at: int) -> str:
    """The text from the beginning of the line on that the phrase has reached: it may have taken the mark of a list."""
    return tail[tail.rfind("\n", 0, at) + 1 : at + _STATEMENT]


def _item(text: str) -> str:
    return without_contrast(_statement(text))


def _said(tail: str, match: re.Match[str]) -> str:
    """What follows a phrase: the content of a fence, an item of a list, or a statement."""
    if "\n" in match.group():
        line = _from_line(tail, match.end())
        if (content := fenced(line)) is not None:
            return content
        if listed := items(line):
            return _item(listed[0])
    said = without_contrast(_statement(tail[match.end() : match.end() + _STATEMENT]))
    if is_sentence(said):
        return said_last(said) or said
    return sentence_value(said, elsewhere=match.re is ANNOUNCING_ELSEWHERE.pattern) or said


def _statement(text: str) -> str:
    """What follows a phrase that announces the answer: a display formula, or the rest of the sentence."""
    text = text.lstrip(" \t*_:\n>") if not text.lstrip().startswith("**") else text.lstrip()
    for opening, closing in _DISPLAYS:
        if text.startswith(opening):
            end = text.find(closing, len(opening))
            if end >= 0:
                stop = text.find("\n", end + len(closing))
                return (
                    text[: stop if stop >= 0 else len(text)]
                    if opening != "\\begin{"
                    else text[: text.find("}", end) + 1]
                )
    at = 0
    while match := _SENTENCE_END.search(text, at):
        inside = text.count("$", 0, match.start()) - text.count("\\$", 0, match.start())
        sign = {".": _ELLIPSIS, "!": _FACTORIAL}.get(match.group())
        goes_on = sign is not None and sign.search(text, max(0, match.start() - 50), match.start())
        if (inside % 2 == 0 and not goes_on) or match.group() == "\n":
            return _without_afterthought(text[: match.start()])
        at = match.end()
    return _without_afterthought(text)


def _without_remark(text: str) -> str:
    """A value without the remark in brackets after it, if the remark does not doubt it."""
    match = _REMARK.search(text)
    if (
        match is None
        or set(LETTERS.findall(match[0].lower())) & (HEDGING | {"wait", "actually"})
        or DOUBTING.pattern.search(match[0])
    ):
        return text
    return text[: match.start()]


def _without_afterthought(text: str) -> str:
    short = _without_remark(AFTERTHOUGHTS.pattern.sub("", text).strip())
    if "**" in short and short.count("**") % 2 == 0 and not short.startswith("**"):
        return short  # bold within: the value is **5**
    if short.count("**") == 1:
        short = _CLOSING.sub("", short)  # the phrase before has taken what opens it
    return (
        short.strip("*").strip()
        if short.startswith("**") == short.endswith("**")
        else short.rstrip("*").strip() or text.strip()
    )


def announced(text: str) -> Extraction | None:
    """Return what the last such phrase says, None if there is none or it is taken back."""
    tail = text[-TAIL:]
    if (tags := _TAGS.findall(tail)) and tags[-1].strip():
        return Extraction((tags[-1].strip(),), "answer")
    if values := keyed(tail):
        return Extraction(values, "answer")
    anchors = list(ANNOUNCING.pattern.finditer(tail))
    if NOUNS.search(tail):
        anchors = sorted([*anchors, *ANNOUNCING_ELSEWHERE.pattern.finditer(tail)], key=lambda match: match.start())
    anchors = anchors[-_MOST_PHRASES:]
    found = [(match.start(), match.end(), _said(tail, match)) for match in anchors]
    found = [item for item in found if item[2].strip("*_ $\n")]
    if not found or _taken_back(tail, *found[-1]):
        return None
    last = found[-1][2]
    if "\n" in tail[found[-1][0] : found[-1][1]] and len(listed := items(_from_line(tail, found[-1][1]))) > 1:
        return Extraction(tuple(map(_item, listed)), "answer")
    contents = [last]
    for (_, stop, earlier), (after, _, _) in zip(reversed(found[:-1]), reversed(found[1:]), strict=True):
        if (
            stop + len(earlier) > after
        ):  # "Final Answer: The final answer is 5." or "the answer is 6 or the answer is 5"
            between = LETTERS.sub(
                lambda match: "" if match.group().lower() in JOINING else match.group(), tail[stop:after]
            )
            if re.search(r"\w", between) and set(LETTERS.findall(tail[stop:after].lower())) & HEDGING:
                contents.insert(0, tail[stop:after])
            continue
        gap = tail[stop + len(earlier) : after]
        words = {word.lower() for word in LETTERS.findall(gap)}
        said, now = key(earlier).rstrip("."), key(last).rstrip(".")
        if len(gap) > 120 or words & REVISING or said == now or said.endswith(f"={now}"):
            break
        if words - JOINING - HEDGING:
            break
        contents.insert(0, earlier)
    if len(contents) > 1:
        return Extraction(tuple(contents), "answer", "hedged")
    return Extraction((last,), "answer") if len(last) < 1000 else None


def _taken_back(tail: str, begin: int, stop: int, statement: str) -> bool:
    """Whether an announced answer is only supposed, is taken back by what follows, or is in reasoning that was cut
    off.
    """
    if SUPPOSING.pattern.search(tail, max(0, begin - 80), begin):
        return True
    end = tail.find(statement, stop)
    rest = tail[end + len(statement) :] if end >= 0 else ""
    if rest.startswith("?") or taken_back(rest, statement) or RETRACTING.pattern.search(rest[:_STATEMENT]):
        return True
    labelled = re.search(r"final|:", tail[begin:stop], re.IGNORECASE)
    return not labelled and re.search(r"\w", rest) is not None and not _FINISHED.search(rest)
