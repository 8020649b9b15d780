"""What follows a statement in its sentence and is not a part of it: remarks, and values that are rejected."""

from kgym_plugins.verifiers.math.phrases.statements import FIRST_FORMULA, FORMULA, LAST_FORMULA
from kgym_plugins.verifiers.math.phrases.table import Phrase, Table

_LETTERS = rf"{FORMULA}(?:(?:,|,?\s+and)\s*{FORMULA})*"
_KINDS = (
    r"(?:(?:an?|any|some|all|each|every|the|arbitrary|real|complex|integer"
    r"|free|constants?|integers?|parameters?|numbers?)\s+)*"
)
BEHIND = Table(
    "remarks after what is said",
    "what follows is not part of what is said: what its letters stand for, or that it is all",
    "within",
    Phrase(
        rf",?\s+(?:for\s+(?:all\s+|any\s+|every\s+|each\s+)?(?P<letters>{_LETTERS})"
        rf"|(?:where\s+|with\s+)?(?P<any>{_LETTERS})\s+(?:(?:is|are)\s+)?(?:an?|any)\s+"
        r"(?:arbitrary\s+|real\s+)?(?:integer|constant|number)s?)\Z",
        "letters",
        f"x for {FIRST_FORMULA}",
        f"x for {FIRST_FORMULA} and y",
    ),
    Phrase(
        rf",?\s+(?:(?:with|where)\s+{_KINDS}|for\s+{_KINDS}(?:integers?|constants?|parameters?)\s+)"
        rf"(?P<given>{_LETTERS})(?:\s+(?:is|are|an?|any|arbitrary|real|complex|integers?|constants?|parameters?"
        r"|numbers?)){0,5}\Z",
        "letters",
        f"x, with arbitrary constants {FIRST_FORMULA}",
        "x, with luck",
    ),
    Phrase(
        r",?\s+and\s+(?:it|this|that|they)\s+(?:indeed\s+|does\s+)?"
        r"(?:works?|satisf(?:y|ies)\s+[^.;]{1,60}|checks\s+out)(?:\s*:.{1,80})?\Z",
        "it was checked",
        "x is the only possibility, and it works: 3, 5",
        "x is the only possibility, and it fails",
    ),
    Phrase(
        r"\s*\((?:for|if|when|where|since|as|because|with|valid\s+for|approximately|about|roughly|left|right|one|both"
        r"|from|this|see|to)\b[^()]{1,100}\)\Z|\s*\((?:≈|approx\.?)\s?[^()]{1,40}\)\Z",
        "a condition or a reason in brackets",
        "it is x (for all y)",
        "it is x (or all y)",
    ),
    Phrase(
        r",?\s+in\s+(?:that|this|the\s+same|all\s+this)\s+time\Z",
        "the time that was named",
        "she covers 15 km in that time",
        "she covers 15 km in time",
    ),
    Phrase(
        r",?\s+(?:in\s+all|in\s+total|altogether|all\s+together)\Z",
        "that it is all",
        "it has 5 sides in total",
        "it has a total",
    ),
    Phrase(
        r",\s+(?:including|counting)\s+(?:the|both|all|itself|one)\b[^,;:.\d]{1,60}\Z",
        "what is counted too",
        "64 subsets, including the empty set",
        "64 subsets including the 3",
    ),
    Phrase(
        r",?\s+(?:with|and)\s+(?:(?:the\s+|a\s+)?remainder\s+(?:is\s+|of\s+)?(?:0|zero)|no\s+remainder)\Z",
        "nothing remains",
        "it is x with remainder 0",
        "it is x with remainder 1",
    ),
    Phrase(
        rf",?\s+and\s+(?:for\s+)?(?:no\s+others?|nothing\s+else)(?:\s+(?:{FORMULA}|[a-z]+))?\Z",
        "nothing else",
        "for all x, and for no other x",
        "for all x, and for others",
    ),
    Phrase(
        r",\s+which\s+(?:is|are)\s+(?:indeed\s+)?(?:valid|fine|allowed|admissible|acceptable|positive"
        r"|in\s+the\s+domain|as\s+(?:required|expected))\b.*\Z",
        "it is allowed",
        "x, which is valid because it is positive",
        "x, which is odd",
    ),
    Phrase(
        r"\s*\((?!or\b|and\b|but\b|plus\b|not\b)(?!.*\b(?:wrong|incorrect|false|mistake|error|but|however|guess|perhaps"
        r"|maybe|only|if|unless|estimate|about|roughly|around|twice|half|double|cannot|should|want|asked|instead|rather"
        rf"|actually|no|never)\b)[a-z][^()\d?{FIRST_FORMULA}-{LAST_FORMULA}]{{1,100}}\)\Z",
        "a remark without values in brackets",
        "it is 4 h (the size does not matter)",
        "it is 4 h (perhaps more)",
    ),
)
_REJECTED = (
    rf"(?:(?:on|at|in|by|for|to|the|day|option|\\?[$€£])\s+){{0,3}}\\?[$€£]?(?:{FORMULA}|-?\d[\d.,]*)%?(?:\s+[a-z]+)?"
)
REJECTED = Table(
    "values that are rejected",
    "what follows is what is not meant",
    "end",
    Phrase(
        rf"(?:(?<=[\d{FIRST_FORMULA}-{LAST_FORMULA}]),?\s+(?:and\s+)?not|(?<=\w),\s+(?:and\s+)?(?:certainly\s+)?not"
        rf"|(?<=\w)\s+and\s+not)\s+{_REJECTED}",
        "a value after not",
        "it is 40 mph, not 45",
        "4 is not 5",
    ),
    Phrase(
        rf"(?<=[\w{FIRST_FORMULA}-{LAST_FORMULA}]),?\s+"
        rf"(?:rather\s+than|instead\s+of|as\s+opposed\s+to|far\s+(?:below|above|from))\s+{_REJECTED}"
        r"(?:\s+(?:that\s+)?(?:many|most|some)\s+[a-z]+(?:\s+(?:would|might))?\s+[a-z]+)?",
        "a value after rather than",
        "it costs 5 cents rather than 10",
        "it is rather 5",
    ),
)
