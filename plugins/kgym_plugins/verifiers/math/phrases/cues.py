r"""Words around an answer, which stage 1 uses to find it: what announces it, takes it back, supposes it, or goes on
after it.
"""

import re

from kgym_plugins.verifiers.math.phrases.languages import concluding_elsewhere, verbs_elsewhere
from kgym_plugins.verifiers.math.phrases.table import Phrase, Table
from kgym_plugins.verifiers.math.tables import name_list

# --- an answer is announced -------------------------------------------------------------------------------------------

_GAP = r"[*_]{0,3}[ \t]{0,4}"
_OPEN = r"[ \t:]{0,4}[*_]{0,3}\s{0,9}"

ANNOUNCING = Table(
    "announcements",
    "what follows is the answer",
    "within",
    Phrase(
        r"(?:\b(?:correct|right|best)[ \t](?:choice|option|selection)s?|\bfinal[ \t]{1,4}answers?|\banswers?|\bans\b\.?"
        r"|\bfinal[ \t]{1,4}result)(?!\w)"
        r"[*_]{0,3}(?:[ \t]{1,4}(?:to|for|of)[ \t][^.:\n]{1,80}?)?[ \t]{0,4}[*_]{0,3}"
        r"(?:[ \t]{0,4}(?:is|are|should[ ]be|must[ ]be|would[ ]be|=|:)[ \t:]{0,4}[*_]{0,3}"
        r"|[*_:]{0,3}[ \t]{0,4}\n|(?<=ans\.))"
        r"(?:[ \t]{0,4}(?:therefore|thus|then|simply|indeed|given[ ]by|equal[ ]to|just|now|hence|clearly"
        r"|:))?[\s:]{0,9}",
        "English",
        "The final answer to the problem is 5",
        "The answer lies near 5",
    ),
)
CHOOSING = Table(
    "chosen letters",
    "the letter is the answer",
    "whole",
    Phrase(
        r"(?:\W{0,9}(?:so|thus|therefore|hence),? )?(?:the )?(?:option|choice"
        r"|answer) (\(?[A-J]\)?) is (?:the )?(?:correct|right)(?: \w+)?",
        "English",
        "So option (B) is correct",
        "So option (B) is wrong",
    ),
)
CONCLUDING = Table(
    "conclusions",
    "the sentence says the result",
    "begin",
    Phrase(
        r"\W{0,9}(?:therefore|thus|hence|so(?! far)|finally|in conclusion|consequently|we (?:get|have|find"
        r"|obtain|conclude)"
        r"|this (?:gives|means|yields)|it follows|\\therefore|∴|in total|altogether|all in all|overall"
        r"|in sum(?:mary)?|as a result"
        r"|accordingly|the final)\b",
        "English",
        "Therefore, 5 of them remain.",
        "So far 5 of them remain.",
    ),
    Phrase(
        r"[^.!?\n]{1,120},\s+(?:we|it|one)\s+(?:can\s+)?(?:see|sees|find|finds|conclude|get|obtain"
        r"|follows)(?:\s+that)?\b",
        "English",
        "Dividing by 7, we see that 4 remain.",
        "Dividing by 7, we lose 4.",
    ),
    Phrase(
        r"[^.!?\n]{1,120}\b(?:is|are|equals|jest|est|ist|es|é|è|je)\s+(?:therefore|thus|hence|then|więc|donc"
        r"|also|somit|tedy|dunque|quindi"
        r"|portanto|entonces)\b",
        "in mid-sentence",
        "The solution is therefore 5.",
        "The solution is 5.",
    ),
    *concluding_elsewhere(),
)
RESULT = Table(
    "labels of a result",
    "what follows on the line is the result",
    "begin",
    Phrase(
        r"[*_#\s]{0,9}(?:result|output|total|value|solution|conclusion|ergebnis|résultat|resultado)"
        r"(?:[*_]{0,2}\s?[:：]|\.[*_]{2})[*_\s]{0,4}",
        "English, German, French, Spanish",
        "Result: 5",
        "The results: 5",
    ),
)
BECOMES = (
    r"(?:simplif(?:y|ies|ied)|reduces?|reduced|works?\s+out"
    r"|evaluates?|cancels?\s+down|boils?\s+down|comes?\s+out|converts?|rounds?)\s+(?:to|as|at)\b"
    r"|(?:equals|corresponds\s+to|matches|turns\s+into|is\s+the\s+same\s+as|is\s+equivalent\s+to)\b"
)
"""Verbs between a value on the way and the one that is said in the end."""
VERBS = Table(
    "verbs",
    "what follows is what the sentence says that something is",
    "within",
    Phrase(
        r"\b(?:is|are|equals|equal to|with probability|gives|yields|get|obtain|be|was|were|has|have"
        r"|makes|total of|comes? to|amounts? to|totals|(?:we|i)(?: would| will|'d|'ll)? "
        r"(?:pick|choose|select|chose|go with|answer)|picks|chooses|selects)\s*:?\s+",
        "English",
        "the area is 5",
        "the area of 5",
    ),
    Phrase(rf"(?<!not )(?<!n't )\b(?:{BECOMES})\s+", "what a value becomes", "6/8 simplifies to 3/4", "6/8 simplified"),
    *verbs_elsewhere(),
)
BEFORE_FORMULA = frozenset(
    name_list(
        "functions function linear form all only unique solution solutions polynomial "
        "functions at the a an point points equal to exactly given by simply just then also of "
        "value number interval vector set matrix pair triple"
    )
)
"""Words between a verb and a formula that are not part of what is said."""
AFTERTHOUGHTS = Table(
    "afterthoughts",
    "what follows is not part of the answer",
    "within",
    Phrase(
        r"\s*(?:,\s*)?\b(?:because|since|as required|as desired|as requested|I hope|which|attained at"
        r"|achieved at)\b(?s:.*)",
        "English",
        "5, because it is odd",
        "5 and 7",
    ),
    Phrase(
        r"\s*(?:です|でした|である|となる|になる|となります|になります|입니다|이다|이에요)(?s:.*)",
        "Japanese, Korean",
        "300円です",
        "300円",
    ),
)
SUBORDINATE = Table(
    "clauses after a sentence",
    "what follows is not part of what the sentence says",
    "end",
    Phrase(
        r",\s{1,9}(?:(?:which(?!\s+(?:makes|gives|leaves)\s)|as|since|because)\s[^\d]*"
        r"|(?:attained|achieved|reached|occurring) (?:at|when|for"
        r"|by)\s(?s:.*))",
        "English",
        "5, attained at x = 2",
        "5, 7",
    ),
    Phrase(
        r",?\s+or\s+(?:roughly|about|approximately|around)\s+[\d.,]+(?:\s[a-z]+){0,2}(?:\s+\([^()]{1,60}\))?",
        "the value as a decimal",
        "$12\\pi$, or about 37.7",
        "12 or 37.7",
    ),
    Phrase(
        r"\s+(?:in\s+all|in\s+total|all\s+together|altogether)", "that it is all", "200 minutes in all", "all of them"
    ),
    Phrase(
        r"\s+\((?:and\s+(?:the|it|its|that)|which|since|where|note|so|because|here)\b[^()]{1,100}\)",
        "a remark in brackets",
        "$3$ (and the other root is $-5$)",
        "$3$ (and $-5$)",
    ),
    Phrase(
        r",?\s+and\s+(?:all\s+|any\s+|each\s+of\s+)?(?:such|these|this|it|they)\b[^,$\d]{0,40}\b"
        r"(?:works?|satisf(?:y|ies)|(?:is|are)\s+(?:indeed\s+)?(?:valid|solutions?))\b[^$\d]{0,40}",
        "it was checked",
        "$f(x) = cx$, and all such functions work",
        "$f(x) = cx$, and no such functions fail",
    ),
    Phrase(
        r",?\s{1,9}(?:where|with)\s+\$[^$=<>]{1,24}\$\s+"
        r"(?:is\s+|are\s+)?(?:an\s+)?arbitrary(?:\s+real)?(?:\s+(?:constants?|numbers?))?",
        "what a letter stands for",
        "$ax$, where $a$ is arbitrary",
        "$ax$, where $a$ is 3",
    ),
    Phrase(
        r",?\s{1,9}(?:for|where|with)\s+(?:(?:an?|any|some|all|each|every|the|arbitrary)\s+){0,2}"
        r"(?:(?:real|complex|positive|nonnegative|non-negative)\s+)?"
        r"(?:(?:integers?|constants?|parameters?|values?\s+of)\s+\$[^$=<>]{1,12}\$"
        r"|\$[^$=<>]{1,12}\$\s+(?:(?:is|being|are)\s+)?(?:(?:an?|any)\s+)?"
        r"(?:arbitrary\s+|real\s+)?(?:integer|constant|number)s?)",
        "what a letter stands for",
        "$n\\pi$ for every integer $n$",
        "$n\\pi$ for $n = 2$",
    ),
)
REPLYING = Table(
    "replies in sentences",
    "the sentence says yes or no",
    "begin",
    Phrase(r"(?:yes|no|true|false)[,.;:]\s", "English", "Yes, it is", "Yesterday"),
)
PLACEHOLDER = Table(
    "placeholders",
    "the box still has what the question asked to replace",
    "whole",
    Phrase(
        r"(?:your|the|final|my|insert|put|\s|<|\[|_)*answer(?:\s|here|>|\]|_)*",
        "English",
        "[your answer here]",
        "answers",
    ),
)

AROUND_NUMBER = frozenset(
    name_list(
        """
    to for that which who whom with on from left remaining in at of and or when if because since
    more fewer less than as by are is was were
    will can need needs have has had do does so then but while after before during until altogether together
    """
    )
)
"""Words that end what is said with a number: 18 children on the bus."""
VAGUE = Table(
    "vague numbers",
    "the number after it is a bound or an estimate, and not what the sentence says",
    "end",
    Phrase(
        r"\b(?:at least|at most|more than|less than|fewer than|about|approximately|around|roughly|nearly|almost"
        r"|over|under|up to"
        r"|divisible by"
        r"|multiples? of|modulo|mod|step|case|equation|part|figure|than|not|first|last|another|other)\s*[$(*]{0,3}",
        "English",
        "there are at least ",
        "there are ",
    ),
)

# --- an answer is not meant -------------------------------------------------------------------------------------------

TAKING_BACK = Table(
    "a box is taken back",
    "the box before it is not meant",
    "begin",
    Phrase(
        r"[\s$.)\]*]{0,12}(?:\?\s{0,3}(?:no|nope)\b|(?:(?:no|wait|hmm+|oh),?\s{1,3})?(?:(?:that|this|it|which)\s{1,3})?"
        r"(?:is|was|can't be|cannot be)\s{1,3}(?:wrong|incorrect|false|a mistake|not right|not correct"
        r"|not the answer)\b)",
        "English",
        "$. Wait, that is not right",
        "$. That is right",
    ),
)
RETRACTING = Table(
    "an announced answer is taken back",
    "the answer before it is not the last word",
    "within",
    Phrase(
        r"\b(?:wait|hold\s+on|on\s+second\s+thoughts?|actually|hmm+|no|wrong"
        r"|incorrect|mistake|mistaken|not right|not correct)\b",
        "English",
        "Wait, let me check",
        "Let me check",
    ),
)
SUPPOSING = Table(
    "suppositions",
    "the answer announced next is only supposed",
    "end",
    Phrase(
        r"\b(?:suppose|assum(?:e|ing)|if|whether|could|might|thought|imagine|claim(?:s|ed)?"
        r"|expected)\b[^.!?;:,\n]{0,40}"
        r"|\b(?:people|students|persons?|many|most|some|others|they|one|you|often)\b"
        r"[^.!?;:,\n]{0,20}\b(?:believes?|thinks?|says?|claim|argue|guess|answer)\b[^.!?;:,\n]{0,20}"
        r"|\b(?:common|popular|widespread|frequent|tempting|naive|intuitive|first|quick|usual)\s+"
        r"(?:(?:belief|misconception|mistake|error|idea|guess|view)\b[^.!?;:,\n]{0,20})?",
        "English",
        "Suppose that the ",
        "Suppose that. So the ",
    ),
)
SUPPOSITION = Table(
    "sentences without a result",
    "the sentence says no result",
    "begin",
    Phrase(
        r"\W{0,9}(?:let|suppose|assum(?:e|ing)|consider|try|if|say|given|when|take|recall|note|notice|since"
        r"|because|first|for example"
        r"|so far|step \d+)\b",
        "English",
        "Let x be 5",
        "The letter is 5",
    ),
)
DOUBTING = Table(
    "sentences in doubt",
    "the sentence states nothing",
    "within",
    Phrase(
        r"\b(?:(?:might|could)\s+be|whether|not\s+(?:true|the\s+case)\s+that|(?:wrong|false)\s+that"
        r"|might|perhaps|maybe|possibly|(?:i|my|first|wild) guess(?:es)?)\b",
        "doubts",
        "it might be 12",
        "it has to be 12",
    ),
    Phrase(
        r"\b(?:not sure|unsure|neither [^.]{1,60} nor|hardly|nobody|thinks?|(?:be|to) (?:shown?|proved?) that"
        r"|prove that|\Awithout the|so far\Z|half of which|to (?:consider|check|rule out|add up|examine)"
        r"|still (?:has|have|needs?) to|(?:only|just|merely|but|rough) an? (?:[a-z]+ )?(?:estimate|guess|approximation)"
        r"|counted twice|which is wrong|(?:in|for) the (?:simpler|smaller|easier|example)|according to)\b",
        "something else than the result",
        "My friend thinks it is 12",
        "My friend has 12",
    ),
    Phrase(
        r"\b(?:someone|somebody|everyone|everybody|anyone|anybody)\b"
        r"|(?<!table )(?<!theorem )(?<!formula )(?<!rule )(?<!lemma )(?<!definition )\b(?:says?|(?<!as\s)said|claims?"
        r"|(?<!as\s)claimed|believe[sd]?|insists?|insisted|suspects?|suspected|assumed|supposes|reckons?|argued)\b",
        "what others say",
        "My friend says it is 12",
        "My friend has 12",
    ),
    Phrase(
        r"\b(?:is|are|was|were|would\s+be)\s+(?:an?\s+|the\s+)?(?:wrong|incorrect|false|mistaken)\b"
        r"|\b(?:wrong|incorrect)\s+(?:answer|result|value)\b",
        "what is wrong",
        "12 is the wrong answer",
        "12 is the right answer",
    ),
    Phrase(
        r"\A\W{0,3}no\s(?!real|solutions?\b)[a-z]+(?:\s[^.]{1,80})?\s(?:is|are|has|have)\s",
        "nothing is so",
        "No triangle is right",
        "No, it is right",
    ),
)
NEGATING = Table(
    "negations",
    "the sentence says what something is not",
    "within",
    Phrase(
        r"\b(?:not|never|cannot|can't|isn't|neither)\s+(?:be|equal|necessarily|simply|give|yield|lead|have|make)\b",
        "English",
        "it cannot be 7",
        "it is not 7",
    ),
)

# --- several answers --------------------------------------------------------------------------------------------------

JOINING = frozenset(
    name_list(
        """
    and or maybe perhaps possibly alternatively also either text quad qquad
    the answer answers is are it could be might else otherwise as well
    et ou und oder y e o i lub a nebo и или và hoặc и 和 与 或 或者 及 と または 또는 和
    """
    )
)
"""Words between candidates that stand side by side."""
HEDGING = frozenset(
    name_list(
        """
    or maybe perhaps possibly alternatively either could might guess another else otherwise unsure alternative option
    ou oder lub nebo или hoặc 或 或者 または 또는
    """
    )
)
"""Words that say that one candidate is as good as another."""
REVISING = frozenset(
    name_list(
        """
    wait actually correction corrected correcting mistake instead recheck rechecking sorry final finally therefore thus
    hence so total
    """
    )
)
"""Words after which the last candidate counts alone."""

# --- the question -----------------------------------------------------------------------------------------------------

_BASES = {
    2: "two",
    3: "three",
    4: "four",
    5: "five",
    6: "six",
    7: "seven",
    8: "eight",
    9: "nine",
    12: "twelve",
    16: "sixteen",
}
_ADJECTIVES = {2: "binary", 8: "octal", 16: "hexadecimal"}


def names_base(question: str, base: int) -> bool:
    """Whether a question names a base of digits.

    >>> names_base("Write 5 in base two.", 2), names_base("Write 5 in base two.", 3)
    (True, False)
    """
    pattern = rf"base[- ${{\\]*{base}\b|base[- ]{_BASES.get(base, '-')}|{_ADJECTIVES.get(base, '-')}"
    return re.search(pattern, question) is not None
