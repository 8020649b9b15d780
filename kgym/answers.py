r"""Helpers that find answers in completions, for verifiers: the text after the reasoning, boxes, integers.

Marks of reasoning:

    <think>...</think>  <thinking>...  <seed:think>...  [THINK]...[/THINK]  ◁think▷...◁/think▷
    <|begin_of_thought|>...<|end_of_thought|>
    <|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final<|message|>...

Every function takes time linear in the length of the text, and is safe on hostile text.
"""

import re
from operator import itemgetter
from typing import NamedTuple

MAX_CHARACTERS = 256
"""Most characters of an integer, blanks around it not counted."""
MAX_WRAPPERS = 8
"""Most commands and braces around an integer, nested."""

REASONING_MARKS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
)
"""Marks before and after reasoning, by model family."""
CHANNELS = ("<|channel|>analysis", "<|channel|>commentary")
"""Beginnings of reasoning in gpt-oss; its answer begins with the channel `final`."""

_FINAL = re.compile(r"<\|channel\|>final[^<]{0,40}(?:<\|constrain\|>[^<]{0,40})?<\|message\|>")
_FINAL_END = re.compile(r"<\|(?:end|return|call|start)\|>")
_BARE = re.compile(r"\s{0,9}analysis(?=[A-Z])")
"""The beginning of gpt-oss's reasoning where an engine has left out the control tokens; `assistantfinal` is its end."""

_TOKEN = re.compile(
    r"(?P<box>\\(?:boxed|fbox|framebox)\s*+\{)|\\.|[{}]", re.DOTALL
)  # `\\.` since \{ and \} are not braces
_BLANK = r"(?:\s|\\[,;:! ]|~|\$|\\[()\[\]])+"
_EDGES = re.compile(rf"^{_BLANK}|{_BLANK}$")
_WRAPPER = re.compile(
    r"(?:\\(?:text(?:bf|it|rm|normal)?|math(?:bf|it|rm|sf|tt)|mbox|boxed|fbox|framebox)\s*)?\{(.*)\}", re.DOTALL
)
_SEPARATOR = r"(?:,|\{,\}|\\,)(?:\\!)?"
_INTEGER = re.compile(rf"([+-]?)\s*([0-9]+|[0-9]{{1,3}}(?:{_SEPARATOR}[0-9]{{3}})+)(?:\.0*)?")
_PLAIN = str.maketrans("０１２３４５６７８９＋－，．−", "0123456789+-,.-")


_FENCE = re.compile(r"(\s*(?:(?:[-*+]|[0-9]{1,9}[.)])\s+)?)(`{3,})([^`]*)")
"""A line that opens a block, possibly the first line of an item of a list."""

_STRAY = 500
"""Characters at the end of a text in which closing marks may be left over."""


class Conclusion(NamedTuple):
    """The text after the reasoning."""

    text: str
    """It ends where reasoning begins again, if it does."""
    open: bool
    """Whether reasoning begins and is never closed: the completion was cut short, or its answer is not final yet."""


def conclusion(response: str) -> Conclusion:
    r"""Return the text of a completion after its reasoning, which has the marks of any of the known model families.

    >>> conclusion(r"<think>\boxed{4}?</think>\boxed{5}").text, conclusion("[THINK]4?[/THINK]5").text
    ('\\boxed{5}', '5')
    >>> conclusion("<think>4?</think>5</think>").text
    '5'
    >>> conclusion("<think>perhaps 4").open
    True
    """
    response = _without_stray_tags(response)
    begin = max((at + len(end) for _, end in REASONING_MARKS if (at := response.rfind(end)) >= 0), default=0)
    if bare := _BARE.match(response):
        end = response.rfind("assistantfinal")
        if end < 0:
            return Conclusion("", True)
        begin = max(begin, end + len("assistantfinal"), bare.end())
    channel = response.rfind("<|channel|>final")
    if channel >= begin and (final := _FINAL.match(response, channel)):
        begin = final.end()
        if over := _FINAL_END.search(response, begin):
            response = response[: over.start()]
    opened = min(
        (at for mark in (*(m[0] for m in REASONING_MARKS), *CHANNELS) if (at := response.find(mark, begin)) >= 0),
        default=-1,
    )
    return Conclusion(response[begin:] if opened < 0 else response[begin:opened], opened >= 0)


def _without_stray_tags(response: str) -> str:
    """Leave out closing marks at the very end, if reasoning was closed earlier and text follows it."""
    tail = response[-_STRAY:]  # bounded, since copies of a long text would make it quadratic
    rest = tail.rstrip()
    while mark := next((mark for _, mark in REASONING_MARKS if rest.endswith(mark)), None):
        rest = rest.removesuffix(mark).rstrip()
    end = len(response) - len(tail) + len(rest)
    closed = any(response.rfind(mark, 0, end) >= 0 for _, mark in REASONING_MARKS)
    return response[:end] if closed and len(rest) < len(tail) else response


class Box(NamedTuple):
    """The place where a box begins, and its content; None if it is never closed."""

    start: int
    content: str | None


def find_boxes(text: str) -> list[Box]:
    r"""Return the outermost boxes in the order in which they begin. A box that is never closed does not hide the boxes
    inside it.

    >>> [box.content for box in find_boxes(r"\boxed{\{1\}}, \fbox{{2}}, \framebox{\boxed{3}} and \boxed{4")]
    ['\\{1\\}', '{2}', '\\boxed{3}', None]
    """
    open_braces: list[tuple[int, int] | None] = []  # of a box: where it begins, and where its content does
    spans: list[
        tuple[int, int, int | None]
    ] = []  # and where that ends; cut out last, since nested contents would be quadratic
    for token in _TOKEN.finditer(text):
        mark = token.group()
        if mark == "{":
            open_braces.append(None)
        elif mark == "}":
            box = open_braces.pop() if open_braces else None
            if box is not None:
                while spans and spans[-1][0] > box[0]:  # belongs to its content
                    spans.pop()
                spans.append((*box, token.start()))
        elif token["box"]:
            open_braces.append(token.span())
    spans += [(*box, None) for box in open_braces if box is not None]
    return [
        Box(start, None if end is None else text[inside:end]) for start, inside, end in sorted(spans, key=itemgetter(0))
    ]


class Fence(NamedTuple):
    """A fenced block of Markdown."""

    info: str
    """What follows the backquotes that open it: `python`."""
    content: str | None
    """Its lines, without the indentation of the backquotes that open it; None if it is never closed."""


def find_fences(text: str) -> list[Fence]:
    r"""Return the blocks between lines of three or more backquotes, as in Markdown.

    >>> find_fences("1.  ```py\n    if x:\n        y\n    ```\n```x``` is inline\n````\n```\n````")
    [Fence(info='py', content='if x:\n    y'), Fence(info='', content='```')]
    """
    found = []
    lines: list[str] | None = None
    indent = ticks = info = ""
    for line in text.replace("\r\n", "\n").split("\n"):  # other ends of lines, such as U+2028, are the block's
        mark = line.strip()
        if lines is None and (opened := _FENCE.fullmatch(line)):
            lines, (before, ticks, info) = [], opened.groups()
            indent = re.sub(r"\S", " ", before)
        elif lines is not None and mark.startswith(ticks) and not mark.strip("`"):
            found.append(Fence(info.strip(), "\n".join(lines)))
            lines = None
        elif lines is not None:
            lines.append(line.removeprefix(indent))
    return found if lines is None else [*found, Fence(info.strip(), None)]


def integer_form(content: str) -> str | None:
    r"""Return an integer without leading zeros, plus sign and separators; None if it is not an integer or too long.

    >>> integer_form(r" $\text{0204}$ "), integer_form("-007."), integer_form("1{,}234"), integer_form("12,34")
    ('204', '-7', '1234', None)
    """
    text = content.strip()
    if len(text) > MAX_CHARACTERS:
        return None
    for _ in range(MAX_WRAPPERS):
        text = _EDGES.sub("", text)
        wrapped = _WRAPPER.fullmatch(text)
        if wrapped is None:
            break
        text = wrapped[1]
    number = _INTEGER.fullmatch(text.translate(_PLAIN))
    if number is None:
        return None
    digits = re.sub(r"[^0-9]", "", number[2]).lstrip("0") or "0"
    return f"-{digits}" if number[1] == "-" and digits != "0" else digits
