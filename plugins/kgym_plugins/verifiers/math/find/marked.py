"""Answers that a mark at the end shows: `#### 5`, bold text, a display formula."""

import re

from kgym_plugins.verifiers.math.find.candidates import TAIL, Extraction
from kgym_plugins.verifiers.math.find.sentences import after_verb, emphasised, last_sentence
from kgym_plugins.verifiers.math.phrases.cues import VAGUE


def hashed(text: str) -> Extraction | None:
    """Return what is after the last ####."""
    at = text.rfind("####", max(0, len(text) - TAIL))
    if at < 0:
        return None
    line = text[at + 4 :].strip().partition("\n")[0].strip()
    return Extraction((line,), "hash") if line else Extraction(rule="hash", problem="nothing after ####")


_SEVERAL = re.compile(r"\*\*[^*\n]{1,60}\*\*.*\*\*[^*\n]{1,60}\*\*")
_BOLD = re.compile(r"\*\*([^*\n]{1,400})\*\*[\s.!]{0,9}\Z")


def bold(text: str) -> Extraction | None:
    """Return the bold text at the end, or the one bold value of the last sentence."""
    tail = text[-TAIL:].rstrip()[-500:]
    match = _BOLD.search(tail)
    if match is None or (_SEVERAL.search(tail.rpartition("\n")[2]) and VAGUE.pattern.search(tail, 0, match.start())):
        line = tail.rpartition("\n")[2]
        said = emphasised(last_sentence(line)) if line.endswith((".", "!")) else None
        return None if said is None else Extraction((said,), "bold")
    if match.group(1).rstrip().endswith(":"):
        return None
    content = match.group(1).strip()
    return Extraction((after_verb(content),), "bold")


_DISPLAY = re.compile(
    r"(?:\$\$(?P<dollars>(?:[^$]|\\\$){1,2000})\$\$|\\\[(?P<brackets>(?:(?!\\\]).){1,2000})\\\])[\s.]{0,9}\Z", re.DOTALL
)
_ENVIRONMENT = re.compile(
    r"\\begin\{(align|aligned|gather|gathered|equation|split|eqnarray|multline)\*?\}(.*)\\end\{\1\*?\}", re.DOTALL
)


def display(text: str) -> Extraction | None:
    """Return the display formula at the end; of an aligned calculation its last line."""
    tail = text[-TAIL:].rstrip()
    begin = max(
        tail.rfind("$$", 0, max(0, len(tail) - 4)),
        tail.rfind("\\["),
        tail.rfind("\\begin{align"),
        tail.rfind("\\begin{equation"),
    )
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
