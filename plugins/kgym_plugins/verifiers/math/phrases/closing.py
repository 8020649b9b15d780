"""What follows the answer of a response and is not part of it: signs of an end, courtesies, a check that comes out
right.
"""

import re

from kgym_plugins.verifiers.math.phrases.table import Phrase, Table

_SENTENCE = r"[^.!?\n]{0,160}[.!?]?"
_AFTER_SENTENCE = r"(?:(?<=[.!?*$)\]])\s|(?<=[.!?])(?<=\*)|\n)"
_WORDS = r"(?:[^.!?\n]|\.(?=\d)|(?<=i)\.(?=e\.)|(?<=i\.e)\.){1,350}"
_CHANGES = (
    r"[^\n]{0,350}\b(?:wrong|incorrect|mistakes?|mistaken|error|so\s+(?:the|i|we|it|this|that)"
    r"|re-?(?:do|compute|calculate|consider|check|think)\w*|contradict\w*|cannot|can't|impossible|fails?|therefore"
    r"|hence|thus|actually|correct(?:ion|ed)?|fix|as\s+here|as\s+in\s+(?:this|our|the)|which\s+is\s+(?:the\s+case|what)"
    r"|we\s+(?:want|need|must|should)|is\s+(?:asked|wanted|required)|final|answer)\b"
)
"""What may change the answer in a later sentence."""
_SAYS_AFTER_ALL = r"[^\n]{0,350}\b(?:but|while|whereas|yet)\b[^\n]{0,200}(?<!base\s)(?<!\d)\d"
"""A later value, which is what the sentence says in the end."""
CLOSING = Table(
    "closing words",
    "what follows the answer is a courtesy, a sign of the end, or a check",
    "end",
    Phrase(
        r"\s{0,4}\$?(?:[∎■□◻✓✔✅☑🎉👍😊🙂💯🎯🚀✨️]|\\(?:blacksquare|square|qed|checkmark|Box|qedhere)(?![A-Za-z])"
        r"|\bQ\.?\s?E\.?\s?D\b\.?)[\s$*.]{0,4}",
        "signs of an end",
        "so it is 5. ∎",
        "so it is 5.",
    ),
    Phrase(
        r"(?:(?<=[.!?*$)\d])\s|\n)\s{0,4}(?:(?:I\s+)?hope\s+(?:this|that|it)"
        r"|let\s+me\s+know\s+(?:if|whether|how)|feel\s+free\s+to|(?:would|do)\s+you\s+(?:like|want|need)"
        r"|(?:is|was)\s+there\s+anything\s+else|if\s+you\s+(?:have|need|want|would\s+like|'d\s+like)|happy\s+to\s+help"
        r"|glad\s+to\s+help|please\s+let\s+me\s+know|thank\s+you|thanks|good\s+luck|great\s+(?:question|job)"
        rf"|you're\s+welcome|have\s+a\s+)\b{_SENTENCE}\s{{0,4}}",
        "courtesies",
        "It is 5. I hope this helps!",
        "I hope it is 5.",
    ),
    Phrase(
        r"(?:(?<=[.!?*$)])\s|\n)\s{0,4}[*_#(\s]{0,6}(?:(?:sanity\s+)?check(?:ing)?|verification"
        r"|verify(?:ing)?|to\s+verify|as\s+a\s+check|proof\s+check)\b[*_]{0,3}\s?[:,.][*_]{0,3}"
        r"(?![^\n]{0,200}\b(?:not|fails?|wrong|incorrect|but|however|mistake|n't)\b)[^\n]{1,200}",
        "a check",
        "It is 5. Check: 5 + 5 = 10.",
        "Check: 5 + 5 = 10.",
    ),
    Phrase(
        rf"{_AFTER_SENTENCE}\s{{0,4}}[(\[]?[*_]{{0,3}}(?:note|remark|n\.?b\.?|comment|aside)\b"
        rf"(?!\s+that\s+the\s+(?:answer|result))(?!{_CHANGES})[^\n]{{1,350}}",
        "a note",
        "It is 5. Note: without the first term it would be 4.",
        "It is 5. Note: so the answer is 4.",
    ),
    Phrase(
        rf"{_AFTER_SENTENCE}\s{{0,4}}"
        rf"(?:\((?=[A-Z])(?!{_CHANGES})[^()\n]{{1,250}}(?:\([^()\n]{{1,60}}\)[^()\n]{{0,120}}){{0,3}}\)"
        rf"|\[(?=[A-Z])(?!{_CHANGES})[^\[\]\n]{{1,300}}\])[.*]{{0,3}}\s{{0,4}}",
        "a sentence in brackets",
        "It is 5. (With zero it would be 6.)",
        "It is 5 (with zero).",
    ),
    Phrase(
        rf"{_AFTER_SENTENCE}\s{{0,4}}(?:if|with|without|under|in|on|some|other|many|most|had)\s"
        rf"(?!{_CHANGES})(?!{_SAYS_AFTER_ALL})(?=[^.!?;\n]{{1,200}}(?:\b(?:would|could|might)|'d)\b){_WORDS}[.!]?",
        "what another convention would give",
        "It is 5. If 0 were counted, there would be 6.",
        "It is 5. If 0 is counted, there are 6.",
    ),
    Phrase(
        r"(?<=\w|[$)])(?:\s\((?:on|in|with|without|under|if|some|other|for)\s"
        rf"(?!{_CHANGES})(?=[^()\n]{{0,250}}(?:\bwould\b|'d\b))[^()\n]{{1,250}}\)"
        rf"|;\s(?!{_CHANGES})(?!{_SAYS_AFTER_ALL})(?=[^.;\n]{{0,150}}\bwould\s+be\b){_WORDS})[.!]?",
        "what another convention would give, in the same sentence",
        "It is 5; with the other divisor it would be 6.",
        "It is 5; with the other divisor it is 6.",
    ),
    Phrase(
        r"(?<=\$\$|\\\])\s{1,4}where\s+(?:\$[A-Za-z](?:_\{?\d\}?)?\$(?:,\s+|,?\s+and\s+)?){1,4}\s+(?:is|are)\s+"
        r"(?:an?\s+)?(?:arbitrary\s+|real\s+){1,2}constants?(?:\s\([^\n]{1,120}\))?\.?\s{0,4}",
        "which letters are arbitrary constants",
        "$$y = Ae^x$$ where $A$ is an arbitrary constant.",
        "$$y = Ae^x$$ where $A$ is 3.",
    ),
)
_LONGEST = 500
_MOST = 3
_MAY_CLOSE = re.compile(
    r"[∎■□◻✓✔✅☑🎉👍😊🙂💯🎯🚀✨]|square|checkmark|Box|[qQ]\.?\s?[eE]\.?\s?[dD]\b"
    r"|hope|let me|Let me|eel free|you|glad|happy|hank|luck|job|nything"
    r"|heck|erif|constant|ote|emark|omment|NOTE|N\.?B|ould|'d|ight|\)\W{0,4}\Z|\]\W{0,4}\Z"
)
"""Cheaper than the table: a text without one of these has no closing words."""


def without_closing(text: str) -> str:
    """Return a response without what follows its answer.

    >>> responses = "So it is 5. ∎", "It is 5. Let me know if you need more!", "It is 5."
    >>> [without_closing(response) for response in responses]
    ['So it is 5.', 'It is 5.', 'It is 5.']
    """
    if _MAY_CLOSE.search(text, max(0, len(text) - _LONGEST)) is None:
        return text
    for _ in range(_MOST):
        text = text.rstrip()
        begin = max(0, len(text) - _LONGEST)
        match = CLOSING.pattern.search(text, begin)
        if match is None or not re.search(r"\w", text[: match.start()]):
            break
        text = text[: match.start()] + ("." if match[0][:2] in (" (", "; ") else "")
    return text.rstrip()
