"""Answers that a sentence says: the last one of a response, or a response of one line."""

import re

from kgym_plugins.verifiers.math.find.candidates import TAIL, Extraction
from kgym_plugins.verifiers.math.phrases.contrast import without_contrast
from kgym_plugins.verifiers.math.phrases.cues import (
    AROUND_NUMBER,
    BEFORE_FORMULA,
    CHOOSING,
    CONCLUDING,
    DOUBTING,
    NEGATING,
    REPLYING,
    RESULT,
    SUBORDINATE,
    SUPPOSITION,
    VAGUE,
    VERBS,
)
from kgym_plugins.verifiers.math.phrases.east_asian import is_bound, is_sentence, is_unsure, said_last
from kgym_plugins.verifiers.math.phrases.languages import COMMA_THEREFORE, DENIED, NO_ELSEWHERE, UNSURE_ELSEWHERE
from kgym_plugins.verifiers.math.phrases.numbers import NUMBER_WORDS
from kgym_plugins.verifiers.math.phrases.ranges import range_of

_DOTS = re.compile(r"\$?-?\d{0,9}\.\d{2,40}(?:\.\.\.|…)\$?")
_ARROW = re.compile(r"\A(?:[∴⇒→✓✔✅☑\s]|=>|->|\\(?:therefore|Rightarrow|implies|to)\b)+")
_ABBREVIATION = re.compile(r"(?<=[.!?])\s+(?=(?:\*\*|__)?[A-Z$\\∴])")
_INLINE = re.compile(r"(?:\$([^$]{1,300})\$|\\\(((?:(?!\\\)).){1,300})\\\))")
_FENCE = re.compile(r"\n```\w{0,20}\s*\Z")


_THEREFORE_ELSEWHERE = re.compile(rf"[,;]\s+(?={COMMA_THEREFORE.pattern})(?![^.]*[,;]\s)", re.IGNORECASE)
"""Before a conclusion at the end of a sentence, in other languages."""
_ENGLISH = re.compile("|".join(f"(?:{phrase.pattern})" for phrase in CONCLUDING.phrases[:3]), re.IGNORECASE)


def concluded(text: str) -> Extraction | None:
    """Return what the last sentence concludes."""
    tail = text[-TAIL:].rstrip()
    line = tail.rpartition("\n")[2].strip()
    if not line.endswith((".", "!", "$", "*", "\\)", "]", "。", "！")) or line.endswith("..."):
        return None
    sentence = last_sentence(line)
    if CONCLUDING.pattern.match(sentence) is None and (later := _THEREFORE_ELSEWHERE.search(sentence)):
        sentence = sentence[later.end() :]
    match = CONCLUDING.pattern.match(sentence)
    if match is None or len(sentence) > 400 or DOUBTING.pattern.search(sentence.rstrip(".")):
        return None
    rest = sentence[match.end() :].strip(" ,:")
    if (bold := emphasised(rest)) is not None:
        return Extraction((bold,), "conclusion")
    if is_sentence(sentence) and (value := said_last(rest)) is not None:
        return Extraction((value,), "conclusion")
    said = after_verb(rest)
    if not _ENGLISH.match(sentence) and (number := _NUMBER.match(said)) and not _INLINE.match(said):
        if is_bound(said[number.end() :]) or NO_ELSEWHERE.search(rest):
            return None
        if re.search(r"\d", said[number.end() :]):
            return None  # which of them is said, the sentence alone does not tell
        said = number.group().strip()  # what is counted has a name in another language
    if said == rest.rstrip(".!。！ ") or not re.match(r"\W{0,4}(?:\d|\\|[a-zA-Z]\b)", said):
        said = _lone_number(rest) or said  # the verb is another one: "the truck carries 126 bottles"
    return Extraction((said,), "conclusion")


def last_sentence(line: str) -> str:
    """Return the last sentence of a line."""
    return _ABBREVIATION.split(line)[-1]


_EMPHASIS = re.compile(r"\*\*([^*\n]{1,60})\*\*|(?<!\w)__([^_\n]{1,60})__(?!\w)")
_VALUE = re.compile(r"\W{0,3}(?:\d|\\[a-z]|[$€£]|\.\d|[a-zA-Z]\s*=).*|\(?[A-J]\)?", re.DOTALL)
_COUNTED = re.compile("|".join(sorted(NUMBER_WORDS - {"second", "third"})), re.IGNORECASE)
_REPLY = re.compile(r"yes|no|true|false", re.IGNORECASE)
_REPLIED = re.compile(r"\W{0,4}(?:\Z|[,;:.!–—]|-\s)")
_NUMBER = re.compile(
    r"(?<![A-Za-z0-9.,^_{])[-+−]?(?:[$€£]\s?)?(?:\d{1,3}(?:,\d{3})+|\d+)"
    r"(?:\.\d+)?(?:\s*/\s*\d+)?(?:\s?%)?(?![\d^_{=<>*])"
)
_NO = re.compile(r"\b(?:not?|never|cannot|neither)\b|n't\b", re.IGNORECASE)
_DENIED_BEFORE = re.compile(
    r"(?:\bnot|\bnever|\bcannot|n't)(?:\s+(?:be|equal|exactly|simply|just))?\s+\Z", re.IGNORECASE
)
_OTHER = re.compile(
    r"(?:n't|\bnot|\bnever)(?:\s+[a-z]+){0,3}\s+\Z"
    r"|\b(?:outside|except|excluding|besides|other\s+than)(?:\s+(?:of|for|the|interval)){0,3}\s+\Z"
    r"|\b(?:parallel|perpendicular|orthogonal)\s+to(?:\s+the)?(?:\s+[a-z]+)?\s+\Z",
    re.IGNORECASE,
)
"""What is before a formula that is not what is said."""
_REASON = re.compile(r",\s+(?:as(?!\s+well)|since|because)\s")
_WORD_AFTER = re.compile(r"\s+([A-Za-z][A-Za-z'-]*)(?![^\W\d_])")


def emphasised(sentence: str) -> str | None:
    """Return the one value that is bold in a sentence, with the unit after it; None if there is none or several.

    >>> emphasised("So there were **18** children on the bus."), emphasised("**Note** that 5 is odd.")
    ('18 children', None)
    """
    found = list(_EMPHASIS.finditer(sentence))
    if len(found) > 1:
        found = [match for match in found if _VALUE.fullmatch((match[1] or match[2]).strip())]
    if len(found) > 1:
        found = [match for match in found if not VAGUE.pattern.search(sentence[: match.start()])]
    if len(found) != 1:
        return None
    (match,) = found
    if DOUBTING.pattern.search(sentence):
        return None
    content = (match[1] or match[2]).strip().rstrip(".,:")
    if _REPLY.fullmatch(content):
        return content if match.start() == 0 and _REPLIED.match(sentence, match.end()) else None
    if not (_VALUE.fullmatch(content) or _COUNTED.fullmatch(content)) or match[0].rstrip("*_").endswith(":"):
        return None
    before, after = sentence[: match.start()], sentence[match.end() :]
    if (
        VAGUE.pattern.search(before)
        or _DENIED_BEFORE.search(before)
        or _ON_THE_WAY.fullmatch(before)
        or _GOES_ON.search(after)
    ):
        return None
    if _COUNTED.fullmatch(content) and _UNSTATED.search(sentence):
        return None
    return content + (_things(sentence, match.end()) if _NUMBER.fullmatch(content) else "")


_ON_THE_WAY = re.compile(r"\W*(?:after|of|if|since|because|when|with|from|using|given|as)\s[^,;:]*", re.IGNORECASE)
"""What begins a clause before the main one, which has no result."""
_GOES_ON = re.compile(r"[,;]\s+(?:and\s+)?(?:so|hence|thus|therefore|but)\b[^.]*\d")
"""A later clause with a number, which is what the sentence says in the end."""
_UNSTATED = re.compile(r"\b(?:never|would|if|could|might|may|unless|nobody)\b", re.IGNORECASE)
_SENTENCE = re.compile(r"\W{0,4}[^\W\d_]+(?:['’][^\W\d_]+)?\s+\S+\s")


def sentence_value(said: str, *, elsewhere: bool = False) -> str | None:
    """Return the value of a sentence that an announcement is followed by; None if it is not a sentence, or says more
    than one value.

    >>> sentences = "There are **24** zeros.", "Der Umfang ist 12 cm.", "12 is the sum of 5 and 7"
    >>> [sentence_value(sentence) for sentence in sentences]
    ['24 zeros', '12 cm', None]
    """
    if "\n" in said or (not _SENTENCE.match(said) and not (elsewhere and re.match(r"[^\W\d_]", said))):
        return None
    if (bold := emphasised(said)) is not None:
        return bold
    numbers, formulas = list(_PLAIN_NUMBER.finditer(_INLINE.sub("", said))), list(_INLINE.finditer(said))
    if (
        len(numbers) + len(formulas) != 1
        or NO_ELSEWHERE.search(said)
        or _NO.search(said)
        or VAGUE.pattern.search(said, 0, _first(said))
    ):
        return None
    if UNSURE_ELSEWHERE.search(said) or _CHOICE.match(said):
        return None
    value = after_verb(said)
    if value == said.strip().rstrip(".!。！ ") and elsewhere and not formulas:
        if is_bound(said[numbers[0].end() :]):
            return None
        return numbers[0].group()  # its verb is another one, or is after
    return value if value != said.strip().rstrip(".!。！ ") and re.match(r"\W{0,3}[\d$\\]", value) else None


_CHOICE = re.compile(r"\W{0,3}[A-J]\s?[).:,]")
_PLAIN_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def _first(sentence: str) -> int:
    """Where the first number or formula of a sentence begins."""
    match = re.search(r"\d|\$|\\\(", sentence)
    return match.start() if match else len(sentence)


def _things(sentence: str, at: int) -> str:
    """What is counted or measured after a number."""
    words: list[str] = []
    while len(words) < 4 and (match := _WORD_AFTER.match(sentence, at)) and match[1].lower() not in AROUND_NUMBER:
        words.append(match[1])
        at = match.end()
    return "".join(f" {word}" for word in words)


def _lone_number(sentence: str) -> str | None:
    """The only number of a sentence, with the unit after it, if the sentence says it plainly."""
    found = list(_NUMBER.finditer(sentence))
    if (
        len(found) != 1
        or "=" in sentence
        or re.search(r"\b(?:not?|never|cannot|neither)\b|n't\b", sentence)
        or "$" in sentence.replace(found[0].group(), "")
        or "\\" in sentence
    ):
        return None
    (match,) = found
    if is_bound(sentence[match.end() :]) or NO_ELSEWHERE.search(sentence) or is_unsure(sentence[: match.start()]):
        return None
    if len(re.findall(r"\d+", sentence)) > len(re.findall(r"\d+", match.group())) or VAGUE.pattern.search(
        sentence, 0, match.start()
    ):
        return None
    return match.group().strip() + _things(sentence, match.end())


def after_verb(sentence: str) -> str:
    """What a sentence says that something is: `the area is 12 square units` gives `12 square units`."""
    if consequences := list(_CONSEQUENCE.finditer(sentence)):
        sentence = sentence[consequences[-1].end() :]
    sentence = sentence.strip().rstrip(".!。！").strip()
    while (shorter := SUBORDINATE.pattern.sub("", sentence).strip()) != sentence:
        sentence = shorter
    if (reason := _REASON.search(sentence)) and VERBS.pattern.search(sentence, 0, reason.start()):
        sentence = sentence[: reason.start()]
    if NEGATING.pattern.search(sentence) or DENIED.pattern.search(sentence):
        return sentence  # "the answer cannot be 7" says nothing that it is
    if (said := without_contrast(sentence)) != sentence:
        return after_verb(said)
    if range_of(sentence.replace("$", "")) is not None:
        return sentence  # x is at least 5
    if match := CHOOSING.pattern.fullmatch(sentence):
        return match.group(1)
    formulas = list(_INLINE.finditer(sentence))
    if formulas and (formulas[-1].end() == len(sentence) or not re.search(r"\d", sentence[formulas[-1].end() :])):
        last = formulas[-1]
        verbs = list(VERBS.pattern.finditer(sentence, 0, last.start()))
        start = verbs[-1].end() if verbs else last.start()
        if not verbs and (together := _joined(sentence, formulas)) < last.start():
            return sentence[together:]  # x = 1 or x = 2
        if verbs and all(
            word.lower() in BEFORE_FORMULA for word in re.findall(r"[^\s,:]+", sentence[start : last.start()])
        ):
            start = last.start()
        if verbs and _APPOSED.fullmatch(sentence, start, last.start()):
            start = last.start()
        return sentence[start:] if verbs and len(sentence) - start < 200 else sentence[last.start() :]
    verbs = list(VERBS.pattern.finditer(sentence))
    return sentence[verbs[-1].end() :].strip() if verbs else sentence


_CONSEQUENCE = re.compile(
    r"[,;]\s+(?:and\s+)?(?:so|hence|thus|therefore|i\.e\.|that\s+is|or\s+equivalently)(?:\s+that)?,?\s+(?=\S)"
    r"|\s(?:→|⇒|⟹|=>|->)\s+(?=[^→⇒⟹]*[=<>≤≥])",
    re.IGNORECASE,
)
_APPOSED = re.compile(r"(?:the|an?|its)\s[a-zA-Z' -]{3,40},\s+|[A-Z][a-z]+'s\s[a-z]+,\s+")
"""A name before the formula that it stands for: the slope is the negative reciprocal, $-2$."""
_JOINT = re.compile(r"\s*(?:,|,?\s*\b(?:or|and)\b)\s*")


def _joined(sentence: str, formulas: list[re.Match[str]]) -> int:
    """Where the formulas begin that are joined to the last one by "or", "and" or a comma."""
    at = len(formulas) - 1
    while at and _JOINT.fullmatch(sentence, formulas[at - 1].end(), formulas[at].start()):
        at -= 1
    return formulas[at].start()


def whole(text: str) -> Extraction | None:
    """Return what a response of one line says, or a last line that is nothing but an answer."""
    tail = text.strip()
    if not tail:
        return None
    if "\n" in tail:
        if tail.startswith(("$$", "\\[", "\\begin")) and len(tail) < 1000:
            return Extraction((tail,), "whole")
        line = _ARROW.sub("", _FENCE.sub("", tail[-TAIL:]).rpartition("\n")[2].strip())
        if label := RESULT.pattern.match(line):
            line = line[label.end() :]
        line = line.strip("`") if line.count("`") == 2 else line
        if len(line) > 100 or not line:
            return None
        formula = _INLINE.fullmatch(line.rstrip("."))
        lone = re.fullmatch(r"[-+]?[\d.,/^\\{}()\[\]|frac sqrtpi%°$]{1,60}\.?", line) and re.search(r"\d", line)
        named = re.fullmatch(r"\$?\\?\(?\s*[a-zA-Z]\s*=\s*[-+]?[^=a-zA-Z]{1,40}\$?\.?", line)
        solutions = label and formula and re.fullmatch(r"\$?\\?\(?\s*[A-Z]\s*=[^=<>]{1,60}", line)
        return Extraction((line,), "whole") if (formula and "=" not in line) or lone or named or solutions else None
    if len(tail) > 300 or len(_ABBREVIATION.split(tail)) > 1 or tail.endswith("?"):
        return None
    if (
        (tail.endswith(("...", "…")) and not _DOTS.fullmatch(tail))
        or SUPPOSITION.pattern.match(tail)
        or DOUBTING.pattern.search(tail.rstrip("."))
    ):
        return None
    formulas = list(_INLINE.finditer(tail))
    if formulas and _OTHER.search(tail[: formulas[-1].start()]):
        return None  # it isn't the line y = 2x
    rest = tail[formulas[-1].end() :] if formulas else ""
    if re.search(r"[A-Za-z]{2}\Z", rest) and (
        len(rest.split()) > 3 or re.search(r"[A-Za-z]{2}", tail[: formulas[0].start()])
    ):
        return None  # a sentence without its end
    is_sentence_here = re.search(r"[A-Za-z]{2,}\s", tail) or _CONSEQUENCE.search(tail)
    return Extraction((after_verb(tail) if is_sentence_here and not REPLYING.pattern.match(tail) else tail,), "whole")
