r"""Finding the answer in a response. Linear in its length: one pass for boxes, and a bounded tail for everything else.

What counts is said after the reasoning (`kgym.answers.conclusion`); reasoning that is never closed has no answer. Then the
rules in the order that the verifier's options give, the first that finds something deciding:

    boxed       the last balanced \boxed{}, \fbox{} or \framebox{}; if the last one is empty or unterminated there is no answer
    answer      "the final answer is ...", "Answer: ...", on the last line that says so
    hash        "#### ..."
    bold        **...** at the end
    display     a display formula at the end
    conclusion  the last sentence, if it begins with "therefore", "so", ... and ends like a sentence
    whole       the whole response, if it is one line, or a last line that is nothing but an answer

Everything found must be the end of what the response says: a number met on the way is not an answer, and what was cut off has none.
"""

import re
from dataclasses import dataclass

from kgym.answers import conclusion
from kgym_plugins.verifiers.math.announced import TAIL, announced
from kgym_plugins.verifiers.math.candidates import HEDGING, JOINING, LETTERS, REVISING, Extraction, key
from kgym_plugins.verifiers.math.limits import ANSWER_CHARS
from kgym_plugins.verifiers.math.ranges import range_in_words
from kgym_plugins.verifiers.math.vocabulary import name_list

RULES = ("boxed", "answer", "hash", "bold", "display", "conclusion", "whole")

_MOST_BOXES = 200
_WINDOW = 200_000
_MANY = 3
"""More different boxes than these are guesses, wherever they stand."""


def extract(response: str, rules: tuple[str, ...] = RULES) -> Extraction:
    """Find the answer by the first of `rules` that applies."""
    text, problem = _spoken(response)
    if problem:
        return Extraction(problem=problem)
    for rule in rules:
        found = _RULES[rule](text)
        if found is not None:
            return found
    return Extraction(problem="no answer found")


def _spoken(response: str) -> tuple[str, str]:
    """What comes after the reasoning, or why nothing does."""
    text, is_open = conclusion(response)
    if is_open:
        return "", "the reasoning is not closed"
    return _without_markup(
        _END_OF_TURN.sub("", text[-TAIL:]) if len(text) <= TAIL else text[:-TAIL] + _END_OF_TURN.sub("", text[-TAIL:])
    ), ""


_END_OF_TURN = re.compile(r"(?:\s{0,9}(?:<\|[A-Za-z_]{1,30}\|>|</s>|<eos>|<end_of_turn>|<｜[^<>\n]{1,40}｜>))+\s*\Z")
_MARKED = 20_000
_MARKUP = re.compile(r"</?(?:b|i|p|u|strong|em|span|div|code|br|h[1-6]|font|center|mark)(?:\s[^<>\n]{0,80})?/?>", re.IGNORECASE)
_SCRIPT = re.compile(r"<(sup|sub)>([^<>]{1,40})</\1>", re.IGNORECASE)


def _without_markup(text: str) -> str:
    """Tags of HTML that change nothing are removed near the end, if one of them is closed; powers become powers."""
    head, text = text[:-_MARKED], text[-_MARKED:]
    if "</" not in text or not re.search(r"</(?:b|i|p|u|strong|em|span|div|code|h[1-6]|font|center|mark|sup|sub)>", text, re.IGNORECASE):
        return head + text
    return head + _SCRIPT.sub(lambda match: f"{'^' if match[1].lower() == 'sup' else '_'}{{{match[2]}}}", _MARKUP.sub("", text))


# --- boxes ------------------------------------------------------------------------------------------------------------

_BRACES = re.compile(r"\\(?:boxed|fbox|framebox)(?![A-Za-z])|\\.|[{}]", re.DOTALL)
_BARE = re.compile(r"\s?(\d{1,20}|[A-Za-z])(?![A-Za-z])")
_TAKEN_BACK = re.compile(
    r"[\s$.)\]*]{0,12}(?:\?\s{0,3}(?:no|nope)\b|(?:(?:no|wait|hmm+|oh),?\s{1,3})?(?:(?:that|this|it|which)\s{1,3})?"
    r"(?:is|was|can't be|cannot be)\s{1,3}(?:wrong|incorrect|false|a mistake|not right|not correct|not the answer)\b)",
    re.IGNORECASE,
)
"""What stands behind a box that is not meant: "? No", "is wrong", "Wait, that is not right"."""
_BARE_FRACTION = re.compile(r"\s?(\\[dt]?frac\s?(?:\d\d|\{[^{}\n]{1,60}\}\s?\{[^{}\n]{1,60}\}))")
_OPENING = re.compile(r"(?:\s{0,9}\[[^\]\n]{0,20}\]){0,2}\s{0,9}\{")
_NOTHING = re.compile(
    r"(?:[\s$.,;:?_~*-]|\\[,;:! ]|\\[lc]?dots|\\q?quad|\\(?:text|mathrm|textbf)\s*\{\s*\}|…|□|\\square|\\phantom\{[^{}]*\})*"
)
_PLACEHOLDER = re.compile(r"(?:your|the|final|my|insert|put|\s|<|\[|_)*answer(?:\s|here|>|\]|_)*", re.IGNORECASE)


@dataclass(frozen=True)
class _Box:
    begin: int
    end: int
    content: str | None
    """None if the box is never closed."""


def boxes(text: str) -> list[_Box]:
    """The outermost boxes in order, the last two hundred at most. One pass, whatever the nesting."""
    found: list[_Box] = []
    stack: list[tuple[int, int] | None] = []  # for each open brace: where its box begins and where its content does, or None
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
                found.append(_Box(opened[0], match.end(), text[opened[1] : match.start()]))
        elif len(sign) > 2:
            brace = _OPENING.match(text, at)
            if brace:
                stack.append((match.start(), brace.end()))
                at = brace.end()
            elif bare := _BARE.match(text, at) or _BARE_FRACTION.match(text, at):
                found.append(_Box(match.start(), bare.end(), bare.group(1)))
            else:
                found.append(_Box(match.start(), match.end(), None))
    open_boxes = [item for item in stack if item is not None]
    if open_boxes and (not found or open_boxes[-1][0] > found[-1].begin):
        start, content = open_boxes[-1]
        # beyond the window nobody looks: so long a content is no answer, but a limit that the answer broke
        found.append(_Box(start, len(text), text[content:end] if end < len(text) else None))
    return found


def _window(text: str) -> tuple[int, int]:
    """Where the last two hundred boxes begin, and as far behind the last as an answer can reach."""
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


def _boxed(text: str) -> Extraction | None:
    if "\\boxed" not in text and "\\fbox" not in text and "\\framebox" not in text:
        return None
    found = boxes(text)
    if not found:
        return None
    last = found[-1]
    if last.content is None:
        return Extraction(rule="boxed", problem="the last box is not closed")
    if empty(last.content):
        return Extraction(rule="boxed", problem="the last box is empty")
    if _TAKEN_BACK.match(text, last.end):
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
    if len(contents) == 1 and len({key(box.content) for box in found if box.content is not None and not empty(box.content)}) > _MANY:
        return Extraction((last.content,), "boxed", "hedged")
    return Extraction(answers, "boxed")


def empty(content: str) -> bool:
    """Whether a box holds nothing, or the placeholder that the question asked to replace."""
    content = content.strip()
    return len(content) < 200 and (
        _NOTHING.fullmatch(content) is not None or _PLACEHOLDER.fullmatch(key(re.sub(r"\\text|[{}]", "", content))) is not None
    )


# --- the other rules ---------------------------------------------------------------------------------------------------


def _hash(text: str) -> Extraction | None:
    at = text.rfind("####", max(0, len(text) - TAIL))
    if at < 0:
        return None
    line = text[at + 4 :].strip().partition("\n")[0].strip()
    return Extraction((line,), "hash") if line else Extraction(rule="hash", problem="nothing behind ####")


_BOLD = re.compile(r"\*\*([^*\n]{1,400})\*\*[\s.!]{0,9}\Z")


def _bold(text: str) -> Extraction | None:
    match = _BOLD.search(text[-TAIL:].rstrip()[-500:])
    if match is None or match.group(1).rstrip().endswith(":"):
        return None
    content = match.group(1).strip()
    return Extraction((_after_verb(content),), "bold")


_DISPLAY = re.compile(r"(?:\$\$(?P<dollars>(?:[^$]|\\\$){1,2000})\$\$|\\\[(?P<brackets>(?:(?!\\\]).){1,2000})\\\])[\s.]{0,9}\Z", re.DOTALL)
_ENVIRONMENT = re.compile(r"\\begin\{(align|aligned|gather|gathered|equation|split|eqnarray|multline)\*?\}(.*)\\end\{\1\*?\}", re.DOTALL)


def _display(text: str) -> Extraction | None:
    tail = text[-TAIL:].rstrip()
    begin = max(tail.rfind("$$", 0, max(0, len(tail) - 4)), tail.rfind("\\["), tail.rfind("\\begin{align"), tail.rfind("\\begin{equation"))
    if begin < 0:
        return None
    part = tail[begin:]
    if part.startswith("\\begin"):
        match = _ENVIRONMENT.match(part)
        content = part if match and not part[match.end() :].strip(" .$\n") else None
    else:
        match = _DISPLAY.match(part)
        content = (match.group("dollars") or match.group("brackets")) if match else None
    if content is None:
        return None
    return Extraction((last_row(content),), "display")


def last_row(content: str) -> str:
    """The last line of an aligned calculation."""
    match = _ENVIRONMENT.search(content)
    if match is None:
        return content.strip()
    rows = [row for row in re.split(r"\\\\(?:\[[^\]]*\])?", match.group(2)) if row.strip()]
    row = rows[-1] if rows else ""
    return row.replace("&", " ").strip().lstrip("= ").strip()


_CONCLUDING = re.compile(
    r"\W{0,9}(?:therefore|thus|hence|so(?! far)|finally|in conclusion|consequently|we (?:get|have|find|obtain|conclude)"
    r"|this (?:gives|means|yields)|it follows|\\therefore|∴|in total|altogether|the final)\b",
    re.IGNORECASE,
)
_VERB = re.compile(
    r"\b(?:is|are|equals|equal to|gives|yields|get|obtain|be|was|were|has|have|makes|total of|comes? to|amounts? to|totals)\s*:?\s+",
    re.IGNORECASE,
)
_NEGATION = re.compile(r"\b(?:not|never|cannot|can't|isn't|neither)\s+(?:be|equal|necessarily|simply)\b", re.IGNORECASE)
_DOTS = re.compile(r"\$?-?\d{0,9}\.\d{2,40}(?:\.\.\.|…)\$?")
_ARROW = re.compile(r"\A(?:[∴⇒→✓✔✅☑\s]|=>|->|\\(?:therefore|Rightarrow|implies|to)\b)+")
_ABBREVIATION = re.compile(r"(?<=[.!?])\s+(?=[A-Z$\\∴])")


def _conclusion(text: str) -> Extraction | None:
    tail = text[-TAIL:].rstrip()
    line = tail.rpartition("\n")[2].strip()
    if not line.endswith((".", "!", "$", "*", "\\)", "]")) or line.endswith("..."):
        return None
    sentence = _ABBREVIATION.split(line)[-1]
    match = _CONCLUDING.match(sentence)
    if match is None or len(sentence) > 400:
        return None
    rest = sentence[match.end() :].strip(" ,:")
    return Extraction((_after_verb(rest),), "conclusion")


_INLINE = re.compile(r"(?:\$([^$]{1,300})\$|\\\(((?:(?!\\\)).){1,300})\\\))")


_SUBORDINATE = re.compile(
    r",\s{1,9}(?:(?:which|as|since|because)\s[^\d]*|(?:attained|achieved|reached|occurring) (?:at|when|for|by)\s.*)\Z", re.DOTALL
)
_YES_NO = re.compile(r"(?:yes|no)[,.;]\s", re.IGNORECASE)
_CHOSEN = re.compile(
    r"(?:\W{0,9}(?:so|thus|therefore|hence),? )?(?:the )?(?:option|choice|answer) (\(?[A-J]\)?) is (?:the )?(?:correct|right)(?: \w+)?",
    re.IGNORECASE,
)


_BEFORE_FORMULA = frozenset(
    name_list(
        "at the a an point points equal to exactly given by simply just then also of value number interval vector set matrix pair triple"
    )
)


def _after_verb(sentence: str) -> str:
    """What a sentence says that something is: `the area is 12 square units` gives `12 square units`."""
    sentence = _SUBORDINATE.sub("", sentence.strip().rstrip(".!")).strip()
    if _NEGATION.search(sentence):
        return sentence  # "the answer cannot be 7" says nothing that it is
    if range_in_words(sentence.replace("$", "")) is not None:
        return sentence  # x is at least 5
    if match := _CHOSEN.fullmatch(sentence):
        return match.group(1)
    formulas = list(_INLINE.finditer(sentence))
    if formulas and (formulas[-1].end() == len(sentence) or not re.search(r"\d", sentence[formulas[-1].end() :])):
        last = formulas[-1]
        verbs = list(_VERB.finditer(sentence, 0, last.start()))
        start = verbs[-1].end() if verbs else last.start()
        if verbs and all(word.lower() in _BEFORE_FORMULA for word in re.findall(r"[^\s,:]+", sentence[start : last.start()])):
            start = last.start()
        return sentence[start:] if verbs and len(sentence) - start < 200 else sentence[last.start() :]
    verbs = list(_VERB.finditer(sentence))
    return sentence[verbs[-1].end() :].strip() if verbs else sentence


_FENCE = re.compile(r"\n```\w{0,20}\s*\Z")
_RESULT = re.compile(
    r"\A[*_#\s]{0,9}(?:result|output|total|value|solution|ergebnis|résultat|resultado)[*_]{0,2}\s?[:：][*_\s]{0,4}", re.IGNORECASE
)


_SUPPOSITION = re.compile(
    r"\W{0,9}(?:let|suppose|assum(?:e|ing)|consider|try|if|say|given|when|take|recall|note|notice|since|because|first|for example"
    r"|so far|step \d+)\b",
    re.IGNORECASE,
)
"""How a sentence begins that says no result."""


def _whole(text: str) -> Extraction | None:
    tail = text.strip()
    if not tail:
        return None
    if "\n" in tail:
        if tail.startswith(("$$", "\\[", "\\begin")) and len(tail) < 1000:
            return Extraction((tail,), "whole")
        line = _ARROW.sub("", _FENCE.sub("", tail[-TAIL:]).rpartition("\n")[2].strip())
        line = _RESULT.sub("", line)
        if len(line) > 100 or not line:
            return None
        formula = _INLINE.fullmatch(line.rstrip("."))
        lone = re.fullmatch(r"[-+]?[\d.,/^\\{}()\[\]|frac sqrtpi%°$]{1,60}\.?", line) and re.search(r"\d", line)
        named = re.fullmatch(r"\$?\\?\(?\s*[a-zA-Z]\s*=\s*[-+]?[^=a-zA-Z]{1,40}\$?\.?", line)
        return Extraction((line,), "whole") if (formula and "=" not in line) or lone or named else None
    if len(tail) > 300 or len(_ABBREVIATION.split(tail)) > 1 or tail.endswith("?"):
        return None
    if (tail.endswith(("...", "…")) and not _DOTS.fullmatch(tail)) or _SUPPOSITION.match(tail):
        return None
    formulas = list(_INLINE.finditer(tail))
    rest = tail[formulas[-1].end() :] if formulas else ""
    if re.search(r"[A-Za-z]{2}\Z", rest) and (len(rest.split()) > 3 or re.search(r"[A-Za-z]{2}", tail[: formulas[0].start()])):
        return None  # a sentence without its end
    return Extraction((_after_verb(tail) if not _YES_NO.match(tail) and re.search(r"[A-Za-z]{2,}\s", tail) else tail,), "whole")


_RULES = {
    "boxed": _boxed,
    "answer": announced,
    "hash": _hash,
    "bold": _bold,
    "display": _display,
    "conclusion": _conclusion,
    "whole": _whole,
}
