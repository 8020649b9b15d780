r"""Find the answer in a completion. Linear in its length: one pass for boxes, and a bounded tail for everything else.

Only the text after the reasoning counts (`kgym.answers.conclusion`); if the reasoning is never closed, there is no
answer. The rules are tried in the order that the verifier's options give, and the first that finds something decides:

    boxed       the last balanced \boxed{}, \fbox{} or \framebox{}; if the last one is empty or unterminated there is no
                answer
    answer      "the final answer is ...", "Answer: ...", on the last line that says so
    hash        "#### ..."
    bold        **...** at the end
    display     a display formula at the end
    conclusion  the last sentence, if it begins with "therefore", "so", ... and ends like a sentence
    whole       the whole completion, if it is one line, or a last line that consists only of an answer

Everything found must be at the end of the completion: a number in the middle is not an answer, and a completion that
was cut off has none.
"""

import re

from kgym.answers import conclusion
from kgym_plugins.verifiers.math.find.announced import announced
from kgym_plugins.verifiers.math.find.boxes import boxed
from kgym_plugins.verifiers.math.find.candidates import Extraction
from kgym_plugins.verifiers.math.find.marked import bold, display, hashed
from kgym_plugins.verifiers.math.find.sentences import concluded, whole
from kgym_plugins.verifiers.math.phrases.closing import without_closing
from kgym_plugins.verifiers.math.trace import note

NO_ANSWER = "no answer found"
"""Why there is no answer if no rule applies."""


def extract(response: str, rules: tuple[str, ...] | None = None) -> Extraction:
    """Find the answer by the first of `rules` that applies."""
    text, problem = spoken(response)
    if problem:
        note("find", problem)
        return Extraction(problem=problem)
    for rule in RULES if rules is None else rules:
        found = _RULES[rule](text)
        if found is not None:
            note("find", f"by the rule {rule}:", found.problem, *map(repr, found.answers))
            return found
    note("find", "no rule applies")
    return Extraction(problem=NO_ANSWER)


def spoken(response: str) -> tuple[str, str]:
    """What comes after the reasoning, or why nothing does."""
    text, is_open = conclusion(response)
    if is_open:
        return "", "the reasoning is not closed"
    return without_closing(_without_markup(_first_turn(text))), ""


_END_OF_TURN = re.compile(
    r"(?:<\|(?:im_end|eot_id|end_of_text|endoftext|end|eom_id|im_start|start_header_id|user|assistant|eos"
    r"|end_of_turn|return)\|>"
    r"|</s>|<eos>|<end_of_turn>|<start_of_turn>|<｜[^<>\n]{1,40}｜>|\[/?INST\])"
)
_SIGNS = ("<|", "</s>", "<eos>", "_of_turn>", "<｜", "INST]")


def _first_turn(text: str) -> str:
    """The text up to the mark that ends the turn; what comes after it answers something else."""
    if not any(sign in text for sign in _SIGNS):
        return text
    for match in _END_OF_TURN.finditer(text):
        if text[: match.start()].strip():
            return text[: match.start()]
    return text


_MARKED = 20_000
_MARKUP = re.compile(
    r"</?(?:b|i|p|u|strong|em|span|div|code|br|h[1-6]|font|center|mark)(?:\s[^<>\n]{0,80})?/?>", re.IGNORECASE
)
_SCRIPT = re.compile(r"<(sup|sub)>([^<>]{1,40})</\1>", re.IGNORECASE)


_UNIT_VECTOR = r"(?:[-+−]\s?)?(?:\d[\d./]*)?\*\*[ijk]\*\*"
_BOLD_VECTOR = re.compile(
    rf"(?:\*\*[A-Za-z]\*\*\s*=\s*)?(?P<sum>{_UNIT_VECTOR}(?:\s?[-+−]\s?(?:\d[\d./]*)?\*\*[ijk]\*\*){{1,2}})"
)


def _vector(match: re.Match[str]) -> str:
    """A sum of bold basis vectors as a formula."""
    return "$" + re.sub(r"\*\*([ijk])\*\*", r"\\mathbf{\1}", match["sum"]).replace("−", "-") + "$"


def _without_markup(text: str) -> str:
    """Tags of HTML that change nothing are removed near the end, if one of them is closed; powers become powers."""
    head, text = text[:-_MARKED], text[-_MARKED:]
    if "**" in text and _BOLD_VECTOR.search(text):
        text = _BOLD_VECTOR.sub(_vector, text)
    if "</" not in text or not re.search(
        r"</(?:b|i|p|u|strong|em|span|div|code|h[1-6]|font|center|mark|sup|sub)>", text, re.IGNORECASE
    ):
        return head + text
    return head + _SCRIPT.sub(
        lambda match: f"{'^' if match[1].lower() == 'sup' else '_'}{{{match[2]}}}", _MARKUP.sub("", text)
    )


_RULES = {
    "boxed": boxed,
    "answer": announced,
    "hash": hashed,
    "bold": bold,
    "display": display,
    "conclusion": concluded,
    "whole": whole,
}
RULES = tuple(_RULES)
