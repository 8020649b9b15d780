r"""Whether an answer is taken back by what follows it: a small grammar of negation instead of a list of sentences.

    reference   that, this, it, the above, my answer, this result, the boxed value
    wrongness   wrong, incorrect, a mistake, off by one; not right, not the answer, not valid
    clause      reference is wrongness | reference fails, contradicts ... | ignore reference | I made a mistake | I need
                to redo reference
    confirmed   reference is right, the answer holds

What is said last decides. A condition ("if this is wrong") says nothing, and a clause about another value takes
nothing back. What would follow from the answer may take it back ("a side would be negative, so my answer is wrong"),
what would follow from something else may not.
"""

import re

from kgym_plugins.verifiers.math.phrases.languages import BACK_ELSEWHERE
from kgym_plugins.verifiers.math.phrases.table import Phrase, Table

_ADVERB = (
    r"(?:(?:actually|really|quite|simply|just|also|clearly|obviously|now|still|probably|likely|most likely"
    r"|certainly|definitely|indeed|in fact"
    r"|however|therefore|thus|hence|not|n't|completely|totally|entirely|definitely|unfortunately|possibly|all"
    r"|after all)\s+)*"
)
_NOUN = (
    r"(?:answers?|results?|values?|numbers?|counts?|solutions?|conclusions?|claims?|box|total|calculations?"
    r"|computations?|arithmetic|algebra"
    r"|arguments?|reasoning|approach|work|derivations?|steps?|sums?|formulas?|figures?|estimates?|proof"
    r"|analysis|counting|guess)"
)
_WHICH = (
    r"(?:(?:final|boxed|previous|last|first|above|earlier|stated|given|initial|original|own|obtained"
    r"|proposed|resulting)\s+)*"
)
NAMED = (
    rf"(?:(?:that|this|my|our|the|these|those)\s+{_WHICH}{_NOUN}(?:\s+(?:above|here|i\s+(?:gave|wrote|boxed"
    rf"|found|got|obtained)))?|the above|what i (?:wrote|said|boxed))"
)
"""A reference with a noun, which may come later than the next sentence."""
_PRONOUN = r"(?:that|this|it|which|these|those)"
_RIGHT = (
    r"(?:(?:the|a|my|our)\s+)?(?:right|correct|valid|true|accurate|acceptable|admissible|possible|allowed"
    rf"|permissible|sensible|plausible|feasible)(?:\s+{_WHICH}(?:one|{_NOUN}))?"
    rf"|the\s+{_WHICH}(?:final\s+)?answer|an?\s+(?:actual\s+)?solution|it|so"
    r"|what\s+(?:(?:we|i|you)\s+(?:want|need|seek|look(?:ed)?\s+for|(?:are|were|am)\s+(?:after|looking\s+for))(?:ed)?"
    r"|(?:is|was)\s+(?:wanted|asked|needed|required|sought)"
    r"|the\s+(?:question|problem|task)\s+(?:wants|asks|asked|needs))"
)
_WRONG = (
    r"(?:wrong|incorrect|false|mistaken|invalid|erroneous|flawed|faulty|inaccurate|nonsense|nonsensical|absurd"
    r"|impossible|unacceptable|inadmissible"
    r"|unreasonable|too\s+(?:large|big|small|high|low|many|few)|off(?:\s+by\s+[\w ]{1,20})?|extraneous|spurious"
    r"|inconsistent|untrue|bogus|unfounded"
    r"|a\s+(?:\w+\s+)?(?:mistake|slip|contradiction|blunder|miscalculation|typo)|an\s+(?:\w+\s+)?(?:error"
    r"|oversight|overcount|undercount)"
    r"|(?:in|by)\s+(?:error|mistake)|out\s+of\s+range|not\s+even\s+an?\s+\w+)"
)
_NO_MORE = r"(?!\s+(?:to|for|that|unless|only|if|because\s+of)\b)(?!-)"
"""What follows a word of wrongness that is about something else: it is impossible to do better."""
_IS = (
    r"(?:\s*,?\s+(?:is|was|are|were|must be|has to be|have to be|had to be|seems?|seemed|looks?|looked|appears?"
    r"|sounds?|feels?|turns? out"
    r"|turned out|proves?)(?:\s+to\s+be)?|'s|'re)"
)
_IS_NOT = (
    r"(?:\s*,?\s+(?:is not|isn't|is never|was not|wasn't|are not|aren't|were not|weren't|cannot be|can't be"
    r"|can not be|couldn't be|could not be|(?:cannot|can't|can not|couldn't|could "
    r"not)\s+(?:possibly|really|actually|ever)\s+be"
    r"|can\s+(?:hardly|never)\s+be|is\s+no\s+longer"
    r"|doesn't seem|does not seem|doesn't look|does not look|doesn't appear|does not appear|doesn't sound"
    r"|does not sound|don't look|won't be"
    r"|mustn't be|must not be|shouldn't be|should not be)(?:\s+to\s+be)?|'s not|'re not)"
)
_FAILS = (
    r"(?:(?:do(?:es)?|did|can|could|wo)(?:n't|\s*not)|cannot|fails?\s+to|failed\s+to)\s+(?:\w+\s+)?(?:satisfy"
    r"|hold|work|fit|check|add\s+up|match"
    r"|agree|make\s+sense|meet|fulfil|fulfill|stand|seem\s+right|look\s+right|solve|lie|belong|obey|respect)\b"
    r"|(?:fails|failed|contradicts?|contradicted|violates?|violated|conflicts?|breaks|disagrees?)\b"
)
_DISMISSED = (
    r"(?:discarded|rejected|disregarded|ignored|corrected|revised|recomputed|redone|withdrawn"
    r"|retracted|dropped|thrown\s+out|excluded|ruled\s+out)"
)
_SLIP = r"(?:mistakes?|errors?|slips?|blunders?|oversights?|miscalculations?|typos?|miscounts?)"
_I = (
    r"(?:i|we)(?:'ve|'d|'m|'ll)?(?:\s+(?:have|had|think|thought|believe|see|realise|realize|notice|noticed"
    r"|just|now|also|must|may|might|did|that|i|we|actually|probably|clearly|apparently|only|then|seem|to))*"
)
_AGAIN = (
    r"(?:redo|start\s+over|start\s+again|recompute|recalculate|reconsider|rethink|try\s+again|correct|fix"
    r"|revise|revisit|repeat|go\s+back)"
)

BY_NAME = Table(
    "an answer is taken back",
    "the answer before it is not meant; a few sentences may be between",
    "within",
    Phrase(
        rf"\b{NAMED}(?:{_IS}\s+{_ADVERB}(?:{_WRONG}|{_DISMISSED}){_NO_MORE}"
        rf"|{_IS_NOT}\s+{_ADVERB}(?:{_RIGHT})\b{_NO_MORE}"
        rf"|\s+{_ADVERB}(?:{_FAILS})|\s+(?:has|have|needs?|is|ought)\s+to\s+be\s+{_DISMISSED}|\s+(?:must"
        rf"|should)\s+be\s+{_DISMISSED})",
        "English",
        "So my answer is wrong.",
        "So the other root is wrong.",
    ),
    Phrase(
        rf"\b(?:(?:please|kindly|so|let'?s|let us|i|we|i'll)\s+){{0,2}}(?:ignore|disregard|scrap|forget|scratch"
        rf"|discard|strike|retract|withdraw|dismiss)"
        rf"\s+(?:about\s+)?(?:{NAMED}|that|this|it|everything|all\s+of)\b(?!\s+(?!above\b|answer\b|result\b"
        rf"|one\b|value\b|please\b)[a-z]{{3}})",
        "English",
        "Sorry, ignore that.",
        "We ignore the sign of x.",
    ),
    Phrase(
        rf"\b(?:rul(?:es?|ing)\s+out\s+(?:{NAMED}|that|this|it)\b(?!\s+[a-z])"
        rf"|rul(?:es?|ing)\s+(?:{NAMED}|that|this|it)\s+out\b"
        rf"|(?:makes?|making|leaves|leaving)\s+(?:{NAMED}|that|this|it)\s+(?:{_WRONG}){_NO_MORE}"
        r"|(?:must|should|have\s+to|had\s+to|need\s+to)\s+(?:reject|discard|exclude|dismiss|rule\s+out)\s+"
        rf"(?:{NAMED}|that|this|it)\b(?!\s+(?!above\b|answer\b|result\b|one\b|value\b|too\b)[a-z]{{3}}))",
        "English",
        "The sum is odd, which rules out this value.",
        "The sum is odd, which rules out that root.",
    ),
    Phrase(
        rf"\b{_I}\s+(?:made|make|have|had|spot|spotted|found|find)\s+(?:an?|some|another|the"
        rf"|several)\s+(?:\w+\s+)?{_SLIP}\b"
        rf"|\bthere\s+(?:is|was|must\s+be|seems\s+to\s+be)\s+(?:an?|some)\s+(?:\w+\s+)?{_SLIP}\b"
        rf"|\bmy\s+(?:mistake|bad|error)\b",
        "English",
        "I made an error above.",
        "I made no error above.",
    ),
    Phrase(
        rf"\b{_I}\s+(?:miscounted|misread|miscalculated|misapplied|misinterpreted|double[- ]counted|overcounted"
        rf"|undercounted|overlooked|forgot|missed"
        r"|messed\s+up|miscomputed|mixed\s+up|(?:got|had)\s+(?:that|this|it)\s+wrong|(?:was|am)\s+(?:wrong"
        r"|mistaken))\b",
        "English",
        "I double-counted the rotations.",
        "I counted the rotations.",
    ),
    Phrase(
        rf"\bi\s+(?:(?:no\s+longer|do\s+not|don't|cannot|can't)\s+(?:\w+\s+)?(?:trust|believe|stand\s+by)\b"
        rf"|(?:have|need|ought)\s+to\s+{_AGAIN}\b|(?:must|should|will|'ll\s+have\s+to|'ll\s+need\s+to)\s+{_AGAIN}\b)"
        rf"|\bi'll\s+(?:have\s+to\s+|need\s+to\s+)?{_AGAIN}\b|\blet\s+me\s+{_AGAIN}\b",
        "English",
        "I need to redo it.",
        "I need to find x.",
    ),
)
_OTHER = re.compile(
    r"\b(?:(?:the|an?)\s+)?(?:other|another|second|negative|remaining)\s+(?:\w+\s+)?"
    r"(?:root|solution|value|candidate|case|choice|option|number|answer|possibility)\b(?!\s+of\b)",
    re.IGNORECASE,
)
"""Another value, of which a later `it`, `which` or `that value` in the sentence speaks."""
_NEAREST = re.compile(rf"(?:{_PRONOUN}|(?:that|this)\s+{_NOUN})\b(?!\s+(?:above|i)\b)", re.IGNORECASE)
"""A reference to what was named last."""
BY_PRONOUN = Table(
    "an answer is taken back by a pronoun",
    "the answer right before it is not meant",
    "within",
    Phrase(
        rf"\b{_PRONOUN}(?:{_IS}\s+{_ADVERB}(?:{_WRONG}|{_DISMISSED}){_NO_MORE}"
        rf"|{_IS_NOT}\s+{_ADVERB}(?:{_RIGHT})\b{_NO_MORE}"
        rf"|\s+{_ADVERB}(?:{_FAILS})|\s+(?:has|have|needs?|is|ought)\s+to\s+be\s+{_DISMISSED}|\s+(?:must"
        rf"|should)\s+be\s+{_DISMISSED})",
        "English",
        "Hmm, that can't be right.",
        "This is not a prime.",
    ),
    Phrase(
        rf"\b{_PRONOUN}\s+(?:cannot|can't|can\s+not|can\s+never)\s+be(?=\s*(?:[.,;:!)]|\Z))",
        "English",
        "Then it would be even, which cannot be.",
        "Then it would be even, which cannot be odd.",
    ),
    Phrase(
        r"\A[\s$.,;:!?)\]*]{0,12}(?:(?:hmm+|oh|ah|but)\W{1,3}){0,2}(?:oops|wait\W{1,3}no|actually\W{1,3}no"
        r"|no\W{1,3}wait|scratch\s+that|nope?(?=\W)(?!\W{1,3}\d))\b",
        "English",
        ". Oops, the sign.",
        ". No doubt.",
    ),
)
CONFIRMING = Table(
    "an answer is confirmed",
    "the answer is meant, in spite of earlier statements",
    "within",
    Phrase(
        rf"\b(?:{NAMED}|{_PRONOUN}|everything)(?:{_IS}\s+(?:(?:indeed|in\s+fact|actually|really|still|therefore"
        rf"|thus|also|perfectly|absolutely|all)\s+)*"
        r"(?:right|correct|fine|valid|confirmed|consistent|true)\b(?!\s+(?:if|unless|only)\b)"
        r"|\s+(?:(?:indeed|in\s+fact|actually|really|still|therefore|thus|also|does|do)\s+)*(?:stands?|holds?"
        r"|checks?\s+out|works?|is\s+confirmed)\b)",
        "English",
        "so the answer stands",
        "so the answer is wrong",
    ),
    Phrase(
        r"\b(?:i|we)\s+(?:was|were)\s+(?:\w+\s+)?right\b|\bno\s+(?:mistake|error)s?\b",
        "English",
        "I was right after all",
        "I was left alone",
    ),
)
_HYPOTHESIS = re.compile(
    r"\b(?:if(?!\s+(?:(?:that|this|it)\s+(?:is|was|were)\s+(?:so|true|right|correct|the\s+case)"
    r"|(?:i|we)\s+(?:plug|substitute|put|insert|check|test|use)(?:ged|d)?\s+(?:it|this|that)))"
    r"|unless|whether|suppose|otherwise|one\s+(?:might|may|could|would|can)|some(?:one|body)?"
    r"|(?:people|students)\s+(?:\w+\s+)?(?:think|say|believe|claim|assume|forget|write|get|make|would|might|may)"
    r"|had)\b(?!\s+(?:have|objection))",
    re.IGNORECASE,
)
"""In a sentence that supposes something else than the answer, or what others say."""
_MISTAKES = re.compile(r"\b(?:common|frequent|typical|tempting|naive)\b", re.IGNORECASE)
"""In a sentence about mistakes that others make, of which the next one may speak."""
_MODAL = re.compile(r"\b(?:would|might|could|may)\b", re.IGNORECASE)
"""In a sentence about what follows from something: from the answer, or from another value."""
_CONSEQUENCE = re.compile(
    r"\b(?:so|therefore|hence|thus|consequently|which|meaning|making|implying|showing"
    r"|(?:means?|implies|imply|shows?|tells?\s+(?:me|us)|proves?)\s+that)\b",
    re.IGNORECASE,
)
"""Before what the answer's own consequence says about it: a side would be negative, so my answer is wrong."""
_FROM_IT = re.compile(
    r"\W*(?:(?:but|however|hmm+|wait|yet|and|with|for|using|taking|plugging\s+(?:it\s+)?(?:back\s+)?in)\b\W*)*"
    r"(?:then|this|that|it|these|there)\b(?!\s+(?:would|could|might|may)\s+be\s+(?:another|a\s+second|other)\b)",
    re.IGNORECASE,
)
"""The beginning of a sentence about what follows from the answer itself."""
_LETTERS = re.compile(r"[^\W\d_]{2}")
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n+|(?<=[。！？；])")
_REACH = 600
_NEAR = 2
"""Sentences after an answer in which a pronoun is the answer."""


def taken_back(rest: str, value: str = "") -> bool:
    """Whether the text after an answer takes it back; `value` is the answer, which may be named again.

    >>> taken_back(". Oops, this answer is incorrect."), taken_back(". This is not a prime.")
    (True, False)
    >>> taken_back(". But 8 is not valid.", "8")
    True
    """
    if not _LETTERS.search(rest):
        return False
    verdict = False
    value = value.strip().strip("$")
    named = 0 < len(value) <= 40
    supposed = False
    for place, sentence in enumerate(_SENTENCE.split(rest[:_REACH].lstrip("$*.,)] \n。，"))):
        plain = sentence.replace("’", "'")
        if not _LETTERS.search(plain):
            continue
        if CONFIRMING.pattern.search(plain) and not BY_NAME.pattern.search(plain):
            verdict = False
            continue
        if place < _NEAR and BACK_ELSEWHERE.pattern.search(plain):
            verdict = True
            continue
        found = (
            BY_NAME.pattern.search(plain)
            or (place < _NEAR and BY_PRONOUN.pattern.search(plain))
            or (named and _of_value(value, plain))
        )
        clause = max(plain.rfind(":", 0, found.start()), plain.rfind(" and ", 0, found.start()), 0) if found else 0
        if found and not _of_another(plain, found) and _asserted(plain, clause, found, supposed):
            verdict = True
        supposed = _HYPOTHESIS.search(plain) is not None or _MISTAKES.search(plain) is not None
    return verdict


def _asserted(sentence: str, begin: int, found: "re.Match[str]", supposed: bool) -> bool:
    """Whether a clause is said of the answer, and not of what something else would lead to.

    `supposed`: the sentence before supposes something, so that "then" continues with that.
    """
    if _HYPOTHESIS.search(sentence, begin, found.start()):
        return False
    if supposed and found.start() == 0 and _NEAREST.match(sentence):
        return False
    modals = list(_MODAL.finditer(sentence, begin, found.start()))
    if not modals:
        return True
    if not _CONSEQUENCE.search(sentence, modals[-1].end(), found.end()):
        return False
    return _NEAREST.match(sentence, found.start()) is None or (not supposed and _FROM_IT.match(sentence) is not None)


def _of_another(sentence: str, found: "re.Match[str]") -> bool:
    """Whether a clause is about another value, which the sentence has named just before it."""
    return _NEAREST.match(sentence, found.start()) is not None and _OTHER.search(sentence, 0, found.start()) is not None


_OF_VALUE = re.compile(
    rf"\$?\)?(?:{_IS}\s+{_ADVERB}(?:{_WRONG}){_NO_MORE}|{_IS_NOT}\s+{_ADVERB}(?:{_RIGHT})\b{_NO_MORE}"
    rf"|\s+{_ADVERB}(?:{_FAILS}))",
    re.IGNORECASE,
)


_NOT_VALUE = re.compile(rf"\b(?:{NAMED}|{_PRONOUN}){_IS_NOT}\s+{_ADVERB}(?:equal(?:\s+to)?\s+)?\$?\Z", re.IGNORECASE)


def _of_value(value: str, sentence: str) -> "re.Match[str] | None":
    """A clause about the value itself: `8 is not valid`, `$-5$ doesn't satisfy`."""
    at = sentence.find(value)
    while at >= 0:
        alone = not re.match(r"[\w.]", sentence[at - 1 : at])
        if alone and (match := _OF_VALUE.match(sentence, at + len(value))):
            return match
        ended = alone and not re.match(r"\w|[.,]\d", sentence[at + len(value) :])
        if ended and (match := _NOT_VALUE.search(sentence, 0, at)):
            return match
        at = sentence.find(value, at + 1)
    return None
