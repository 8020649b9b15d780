r"""How the last sentence of a response states its answer without announcing it: "Two cartons contain two dozen eggs."

    clause      what comes after ", so", ": ", ", which": the last thing that a sentence says
    frame       a subject, a verb and what is said: it is X, they have X, she runs at X, he came in X, we're left with X

Formulas are one sign each here (`FORMULA`), so that no comma in them parts a clause.
"""

from kgym_plugins.verifiers.math.phrases.cues import BECOMES
from kgym_plugins.verifiers.math.phrases.languages import LANGUAGES
from kgym_plugins.verifiers.math.phrases.numbers import NUMBER_WORDS, ORDINAL_WORDS
from kgym_plugins.verifiers.math.phrases.table import Phrase, Table
from kgym_plugins.verifiers.math.tables import name_list

FIRST_FORMULA, LAST_FORMULA = "\ue000", "\ue0ff"
FORMULA = f"[{FIRST_FORMULA}-{LAST_FORMULA}]"

CLAUSES = Table(
    "the last clause",
    "what follows is what the sentence says in the end",
    "within",
    Phrase(
        r"(?:\A|[,;:]\s+)(?:and\s+)?(?:so|hence|thus|therefore|consequently|that\s+is|i\.e\.|namely|meaning"
        r"|in\s+other\s+words|(?:this|that|which)\s+means)(?:\s+that)?,?\s+(?!far\b)",
        "a consequence",
        "two sides are equal, so it is isosceles",
        "so far it is isosceles",
    ),
    Phrase(
        r"\A(?:with|under|by|in|using|for)\s+(?:the|this|our|that)\s+(?:[a-z]+\s+){0,2}?"
        r"(?:convention|indexing|definition|numbering|notation|divisor|problem|setting|case)"
        rf"(?:\s+(?:{FORMULA}|of\s+the\s+[a-z]+|used|given|stated|here|above|we\s+use|asked\s+for)){{0,3}},?\s+"
        r"(?=(?:it|this|the|there|we)\b)",
        "a convention",
        "with the convention given here it is 5",
        "with the convention that others use it is 5",
    ),
    Phrase(
        r"\A(?:with|for|using|from)\s+(?:this|that|these)\s+[a-z]+,?\s+(?=(?:the|it|we)\b)",
        "what was found before",
        "with this radius the area is 5",
        "with this in mind",
    ),
    Phrase(
        r"\Aby\s+the\s+(?:\S+\s+)?\S*(?:test|theorem|criterion|rule|formula)\s+(?=(?:the|this|it|we)\b)",
        "a theorem that is used",
        "by the ratio test the series converges",
        "by the rules of chess it is so",
    ),
    Phrase(
        r"\Ain\s+(?:component|vector|coordinate|decimal|exact|simplified|standard|scientific|polar|rectangular|factored"
        r"|expanded|lowest|simplest)\s+(?:form|notation|terms|coordinates)s?,?\s+",
        "a form",
        "in component form that is 2i",
        "in the form of a vector",
    ),
    Phrase(
        r",\s+and\s+(?=(?:with|at)\b[^,;:]{1,60}?\s(?:this|that|it)\s+(?:makes|gives|is|comes|takes)\b)"
        r"|\A(?:with|at)\s[^,;:]{1,60}?\s+(?=(?:this|that|it)\s+(?:makes|gives|is|comes|takes)\b)",
        "what it is made of",
        "there are 168 hours, and with 60 minutes each this makes 10080",
        "with 60 minutes each",
    ),
    Phrase(
        r",\s+and\s+(?=(?:the|its|their)\s+[a-z]+(?:\s+[a-z]+){0,5}?\s+(?:is|are|equals?|comes?\s+out)\b)",
        "one more thing",
        "we divide by 2, and the number of words comes out as 30",
        "the sum and the product",
    ),
    Phrase(
        r"\A(?:[a-z]{2,20}ing|by|using|from|with)\b(?:[^,;:]|,(?=\d)){0,120}[,:]\s+",
        "what is done before",
        "Summing the squares, x is 2",
        "Summing the squares",
    ),
    Phrase(
        r"\A(?:divide|subtract|add|multiply|simplify|solve|expand|factor|square)\b[^,;:]{0,80}[,:]\s+",
        "what is done before",
        "Divide by 3: x is 2",
        "Divide by 3",
    ),
    Phrase(
        r"\A(?:по\s+(?:теореме|формуле|правилу)"
        r"|nach\s+(?:dem|der)(?:\s+satz\s+(?:von|des))?|d'après(?:\s+(?:le|la)\s+\w+\s+de)?"
        r"|según(?:\s+(?:el|la)\s+\w+\s+de)?|per\s+il\s+teorema\s+di|z\s+twierdzenia)\s+\w+,?\s+",
        "a theorem that is used, in other languages",
        "по теореме Виета сумма равна 5",
        "сумма по теореме",
    ),
    Phrase(
        r"[,;]\s+(?:" + "|".join(one.therefore for one in LANGUAGES if one.spaced) + r")\s+",
        "a consequence in other languages",
        "2x = 6, portanto x = 3",
        "portanto x = 3",
    ),
    Phrase(
        r"[，,；;]\s*(?:所以|因此|故|因而|于是|從而|从而|则|即|よって|したがって|ゆえに|따라서|그러므로|므로)\s*",
        "a consequence in Chinese, Japanese or Korean",
        "2x = 6，所以 x = 3",
        "所以 x = 3",
    ),
    Phrase(
        r"\A(?:definitely|clearly|certainly|obviously|simply|exactly|indeed|of\s+course|surely"
        r"|in\s+short|in\s+summary|in\s+conclusion),?\s+",
        "an emphasis",
        "definitely 32",
        "indefinitely",
    ),
    Phrase(rf"\s(?:→|⇒|⟹|=>|->)\s+(?=[^→⇒⟹]*[=<>≤≥]|{FORMULA})", "an arrow", "x/3 = 5 → x = 15", "x → 2"),
    Phrase(
        r"\s+and\s+(?=there\s+(?:is|are)\s+no\b)",
        "that there is none",
        "it is positive and there are no roots",
        "there are no roots and 2",
    ),
    Phrase(r"[:;]\s+", "an apposition", "7 - 4 = 3: he is on the third floor", "at 7:30 he is there"),
    Phrase(
        r",\s+(?=which\s+(?:is|are|makes?|gives?|leaves?)\b)",
        "a relative clause",
        "we get this, which is an ellipse",
        "the one which is left",
    ),
    Phrase(
        r"\A(?:since|because|as|by|after|using|with|from|counting|taking|doubling|simplifying|dividing|multiplying"
        r"|adding|subtracting|in\s+total|altogether|together|finally|overall)\b[^,;:]{0,160},\s+",
        "what comes before a main clause",
        "As two sides are equal, it is isosceles",
        "As two sides are equal",
    ),
)
OBJECTIONS = Table(
    "objections",
    "what follows is what the sentence says, in spite of earlier thoughts",
    "within",
    Phrase(
        r"(?:\A(?:however|but|yet),?|,\s+but|;\s+(?:however|but),?)\s+"
        r"(?:(?:in\s+(?:fact|reality|truth)|actually|really|the\s+truth\s+is\s+that),?\s+)?(?=(?:the|it|its|this|that"
        rf"|there|they|we|in|for|with|under|by|here|at|[a-z]{{2,20}}ing|{FORMULA})\b|{FORMULA})",
        "an objection",
        "they say 12, but the sum is 13",
        "not 12, but 13",
    ),
    Phrase(
        rf"\Ainstead\s+of\s+(?:the\s+|an?\s+)?(?:{FORMULA}|\d[\d.,]*)(?:\s+[a-z]+)?,\s+"
        r"(?=(?:the|it|this|there|they|we)\b)",
        "a value that is replaced",
        "instead of 10 cents, it costs 5 cents",
        "instead, it costs 5 cents",
    ),
    Phrase(
        r"\A(?:(?:sorry|oops|hmm+|oh),?\s+)?(?:my|the|that|this|it)\b[^;:]{0,60}?\b(?:was|is|were|had)\s+"
        r"(?:an?\s+|in\s+)?(?:[a-z]+\s+)?(?:mistakes?|errors?|slips?|wrong|incorrect|false|mistaken)\b"
        rf"[^;:]{{0,100}}[;:]\s+(?=(?:the|it|its|this|there|they|we|so)\b|{FORMULA})",
        "a mistake that is admitted",
        "my first claim was a mistake; the value is 5",
        "my first claim was a mistake",
    ),
    Phrase(
        r"\Acontrary\s+to\s+[^,;:]{1,60},\s+(?=(?:the|it|its|this|there|they|we|he|she)\b)",
        "what others believe",
        "contrary to the common belief, it is day 8",
        "it is day 8, contrary to the belief",
    ),
    Phrase(
        r"[,;]\s+(?:in\s+(?:fact|reality)|actually),?\s+(?=(?:the|it|there)\b)",
        "a fact",
        "6 is tempting; in fact it is 5",
        "6, in fact",
    ),
)
REASONS = Table(
    "reasons after a clause",
    "what follows is why it holds, and no part of what is said",
    "within",
    Phrase(
        r",?\s+(?:since|because|due\s+to|thanks\s+to)\s|,\s+(?:as|for)\s",
        "English",
        "it diverges since the other does",
        "it diverges",
    ),
)
SUPPOSED = Table(
    "sentences that state nothing",
    "the sentence asks, supposes or doubts",
    "within",
    Phrase(
        r"\b(?:so\s+far|if|whether|unless|suppos\w+|assum\w+|imagine|let|would|could|might|(?-i:may)|should"
        r"|perhaps|maybe|probably|possibly|presumably|guess\w*|thinks?|thought|says?|believe\w*|try|trying|claim\w*"
        r"|wonder|seems?|appears?|looks?|expect\w*|hope\w*|pretend|tempt\w*|naive\w*|hypothe\w+|provided|when|whenever"
        r"|want\w*|need\s+to(?!\s+be\s)|have\s+to(?!\s+be\s)|must\s+show|asks?|asked|shown|proved?"
        r"|ought|unclear|unknown|instead(?!\s+of)|otherwise|next,?\s+(?:we|i|let|consider|step|find|note|try|look)"
        r"|now\s+consider|remains\s+to|one\s+case|first\s+case)\b|\?",
        "questions, suppositions and doubts",
        "it might be 12",
        "it is 12",
    ),
)
UNSAID = Table(
    "clauses that state nothing",
    "the clause denies something or bounds it",
    "within",
    Phrase(
        r"\b(?:either|bad|unwanted|forbidden|hardly|nobody|example|simpler|which\s+(?:is|are)\s+wrong"
        r"|(?<!have\s)(?<!need\s)(?<!found\s)(?<!out\s)to\s+"
        r"(?:be|consider|check|examine|prove|show|verify|add|subtract|divide|rule|exclude)"
        r"|wrong|incorrect\w*|false|mistak\w+|error|contradict\w*|impossible|invalid|extraneous|rejected|excluded"
        r"|nonsense|absurd|cannot|can't|never|neither|nor|without|fails?|ruled\s+out"
        r"|too\s+(?:small|large|big|many|few|low|high))\b",
        "what is denied",
        "it cannot be 12",
        "it is 12",
    ),
    Phrase(
        r"\b(?:at\s+(?:least|most)|(?:more|less|fewer|greater|smaller|larger|rather|other|better|higher|lower)\s+than"
        r"|bounds?|bounded\s+by|estimate\w*|between|than|divisible|multiples?|exceeds?|closer?"
        r"|some\s+of|most\s+of|half\s+as|twice|thrice|times\s+as)\b",
        "a bound, an estimate or a comparison",
        "it is at least 12",
        "it is 12",
    ),
    Phrase(
        r"\b(?:about|approximately|around|roughly|nearly|almost|(?<!add\s)(?<!adds\s)up\s+to|below|above"
        r"|over(?!\s+(?:the\s+)?\w+\s+(?:seconds?|minutes?|hours?|days?|weeks?|months?|years?)\b)|under|near)\s+"
        r"(?:the\s+|an?\s+)?"
        rf"(?=\d|\\?\$|{FORMULA}|half\b|{'|'.join(sorted(NUMBER_WORDS - {'second', 'third'}))})|(?:≈|~)",
        "an estimate or a bound right before a value",
        "it is about 12",
        "they are about the same 12",
    ),
)
NO = Table(
    "negations of a verb",
    "the verb is denied",
    "within",
    Phrase(r"\b(?:not?|none)\b|n't\b", "English", "it isn't 5", "it is 5"),
)

_GAP = (
    r"(?:(?:exactly|just|only|precisely|simply|always|also|then|therefore|thus"
    r"|hence|now|still|all|both|clearly|indeed|equal\s+to)\s+)*"
)
_SUBJECT = r"(?P<subject>\S(?:.{0,120}?\S)?)"
_SAID = r"(?P<said>\S.{0,160})"
_BE = r"(?:(?:\s+(?:is|are|was|were|must\s+be|has\s+to\s+be|equals?)|'s|'re)\b)"
_RATE = name_list(
    "run walk drive ride travel move fly swim sail go roll fall rise grow climb shrink flow cost sell burn fill beat"
)
_FORMS = (
    "|".join(f"{verb}e?s?" for verb in _RATE)
    + "|ran|drove|rode|flew|swam|went|fell|rose|grew|sold|moved|travelled|traveled|walked|sailed"
)
_HAVE = (
    r"(?:has|have|had|contains?|contained|holds?|held|includes?|leaves?|gets?|got|makes?|made|gives?"
    r"|yields?|takes?|took|needs?|needed|earns?|earned|pays?|paid|costs?|weighs?|weighed|measures?|covers?"
    r"|covered|averages?|averaged|writes?|wrote|types?|typed|reads?|prints?|printed|pumps?|pumped|produces?|produced"
    r"|bakes?|baked|uses?|used|eats?|ate|drinks?|drank|sells?|sold|buys?|bought|saves?|saved|spends?|spent"
    r"|scores?|scored|loses?|lost|receives?|received|carries|carried|collects?|collected|reaches|reached|obtains?"
    r"|finds?|found|counts?|adds\s+up\s+to|comes?\s+to|leads?\s+to|amounts?\s+to|totals?|consists?\s+of|describes?"
    r"|represents?|forms?|becomes?|determines?|defines?)"
)
_CARDINAL = "|".join(sorted(NUMBER_WORDS, key=len, reverse=True))
_ORDINAL = rf"(?:\d+(?:st|nd|rd|th)|(?:[a-z]{{3,9}}[ -]){{0,3}}(?:{ORDINAL_WORDS}))"

FRAMES = Table(
    "statements",
    "a clause that says what something is, has, makes, or where it is",
    "whole",
    Phrase(
        r"(?P<none>(?:(?:and|but)\s+)?(?:there(?:'s|\s+(?:is|are))"
        rf"|(?:it|this|that|which|we|the\s+(?:given\s+)?(?:equation|system|inequality|problem)(?:\s+{FORMULA})?)\s+"
        r"(?:has|have))\s+(?:no\s+(?:real\s+)?(?:solutions?|roots?|zeros))(?:\s+(?:in|over|among)\s.{1,30})?"
        r"|no\s+(?:real\s+)?(?:number|value|integer|pair|solution)s?\s+(?:satisf(?:y|ies)|solves?|exists?)\b.{0,40})",
        "there is none",
        "there's no solution",
        "there's no doubt",
    ),
    Phrase(
        rf"(?:only\s+)?(?:the\s+(?:value|solution|root|number|case)\s+)?(?P<said>{FORMULA}|-?\d[\d.,/]*)\s+"
        r"(?:is\s+(?:fine|valid|allowed|admissible|acceptable"
        r"|the\s+(?:only|unique)\s+(?:[a-z]+\s+)?(?:solution|root|value|possibility|choice|candidate|option|one)"
        r"|a\s+valid\s+solution|left)|remains|works|survives"
        r"|is\s+left|(?:satisf(?:y|ies)|meets?|fits?)\s+(?:the|all|both|every)\s+(?:[a-z]+\s+)?conditions?)"
        r"(?:\s+and\s+is\s+the\s+(?:smallest|largest|least|greatest|only|first)(?:\s+[a-z]+){0,3})?",
        "a value that is kept",
        "the value 4 is fine",
        "the value 4 is odd",
    ),
    Phrase(
        rf"(?:the|this|that)\s[^,]{{1,60}},\s+(?P<said>{FORMULA}|-?\d[\d.,/]*),\s+(?:is|gives|equals|must\s+be)\s+"
        r"(?P<subject>[^,]{1,60})"
        rf"|(?P<of>the\s[^,]{{1,60}}),\s+(?P<taken>{FORMULA}|-?\d[\d.,/]*),\s+"
        rf"(?:occurs|is\s+(?:reached|attained|achieved|taken))\s+(?:at|when|for)\s+{FORMULA}",
        "a value in apposition",
        "the last remainder, 42, is the gcd",
        "the last remainder is the gcd, 42",
    ),
    Phrase(
        rf"(?P<subject>the)\s+(?P<said>{_ORDINAL}\s+[a-z]+)\s+is\s+the\s+"
        rf"(?:first|last|only)(?:\s+(?!{ORDINAL_WORDS})[a-z]+){{0,8}}",
        "a place that is the first",
        "the fifth term is the first one that is negative",
        "the fifth term is the second one",
    ),
    Phrase(
        r"(?P<said>[a-z0-9/-]+(?:\s+[a-z0-9/-]+){0,5}?(?:\s+of\s+(?:the\s+|a\s+|it\b)?[a-z]*)?)\s+"
        r"(?:is|are|was|were)\s+(?:left|remaining)(?:\s+over)?",
        "what is left",
        "three quarters of the pizza are left",
        "three quarters of the pizza are eaten",
    ),
    Phrase(
        rf"(?P<subject>\S.{{0,80}}?)\s+(?:{BECOMES})\s+{_GAP}{_SAID}",
        "a thing becomes another",
        "nine twelfths simplify to three quarters",
        "nine twelfths are simple",
    ),
    Phrase(
        rf"(?P<said>(?:\d+|{_CARDINAL})(?:\s+[a-z]+){{0,2}}\s+(?:out\s+of|in)\s+(?:every\s+|the\s+)?[a-z0-9-]+)\s+"
        rf"(?!{BECOMES}|is\b|equals?\b)[a-z]+(?:\s+[a-z]+){{0,4}}",
        "a part of a whole",
        "3 students out of 4 play a sport",
        "3 students play a sport",
    ),
    Phrase(
        rf"(?P<said>(?:an?\s+)?(?:\d+|dozen|{_CARDINAL})(?:\s+[a-z]+){{0,3}}?)\s+(?:are|were|have\s+to\s+be"
        r"|need\s+to\s+be|must\s+be)\s+(?:in|on|at|inside|needed|required|used|possible)\b.{0,60}",
        "things in a place",
        "a dozen eggs are in the box",
        "the eggs are in the box",
    ),
    Phrase(
        rf"(?:we|i|he|she|they|it|you|one)(?:\s+(?:is|are|was|were|am)|'re|'s|'m)\s+left\s+with\s+{_GAP}{_SAID}",
        "left with",
        "we're left with 3",
        "we left with 3",
    ),
    Phrase(
        rf"{_SUBJECT}(?:\s+[a-z]+ed|{_BE}|\s+(?:comes?|came|finish(?:es)?|ends?|lies?|falls?|sits?|stands?|happens?"
        r"|occurs?|ranks?|terminates?|belongs?\s+to))(?:(?:\s+(?:up|positive|negative))?\s+(?:in|on)|(?<=to))\s+"
        r"(?P<said>(?:(?:the|quadrant)\s+)?(?:[a-z0-9-]+|[IV]+)(?:\s+[a-z0-9-]+){0,5})",
        "in a place",
        "he finished in third place",
        "he finished the third place",
    ),
    Phrase(
        rf"{_SUBJECT}(?:\s+(?:{_FORMS})|{_BE}\s+[a-z]+ing(?=\s+(?:at|by)\s))\s+"
        rf"(?:(?:at|by|for)\s+)?(?:an?\s+(?:average\s+)?(?:speed|rate|pace)\s+of\s+)?{_GAP}{_SAID}",
        "at a rate",
        "she runs at 8 metres per second",
        "8 metres",
    ),
    Phrase(
        r"(?P<subject>\S.{0,80}?)\s+(?:holds?(?:\s+true)?|is\s+(?:true|satisfied|valid)|works|converges)\s+"
        rf"(?:exactly|precisely|only)?\s*for\s+(?P<said>(?:all\s+(?:values\s+of\s+)?)?{FORMULA}"
        rf"|(?:every|all|any)\s+real\s+(?:numbers?|values?)(?:\s+of)?(?:\s+{FORMULA})?)",
        "true for all of these",
        f"the identity holds for all {FIRST_FORMULA}",
        f"the identity holds at {FIRST_FORMULA}",
    ),
    Phrase(
        rf"there(?:\s+(?:is|are|was|were|remains?)|'s)\s+{_GAP}{_SAID}", "there are", "there are 12 eggs", "they are 12"
    ),
    Phrase(
        rf"{_SUBJECT}{_BE}\s+(?:called\s+|given\s+by\s+|found\s+to\s+be\s+)?{_GAP}{_SAID}",
        "a thing is",
        "it's isosceles",
        "isosceles",
    ),
    Phrase(
        rf"{_SUBJECT}\s+{_HAVE}\s+(?:(?:it|this|that|us|me|you|him|her|them|a\s+total\s+of)\s+)?{_GAP}{_SAID}",
        "a thing has",
        "two cartons contain two dozen eggs",
        "two dozen eggs",
    ),
    Phrase(
        rf"{_SUBJECT}\s+(?P<said>(?:(?:does|do)(?:\s+not|n't)\s+)?"
        r"(?:absolutely\s+|conditionally\s+)?(?:converges?|diverges?|increases?|decreases?|intersect|coincide|exists?)"
        r"(?:\s+(?:absolutely|conditionally|uniformly))?)",
        "a verb that is a property",
        "the series diverges",
        "the divergent series",
    ),
)

ALONE = Table(
    "a value after a consequence",
    "the clause is nothing but the value",
    "whole",
    Phrase(
        rf"(?:{FORMULA}|\d[\d,.]*)(?:\s+(?!(?:is|are|was|were|has|have|works?|remains?)\b)[a-z]+){{0,4}}",
        "a formula or a number",
        "2 real solutions",
        "real solutions",
    ),
    Phrase(r"(?:the\s+)?(?:option|choice)\s+\(?[A-J1-9]\)?(?:[).:]\s.{1,60})?", "a choice", "option B", "an option"),
    Phrase(
        r"(?:the|an?)\s+(?:(?:open|closed|half-open|ordered|single|unique|integer"
        r"|real|positive|solution|finite|whole)\s+)*(?:interval|set|pair|triple|point|number|value|fraction|function"
        rf"|polynomial|vector|matrix)\s+(?P<said>{FORMULA})",
        "a formula and what it is",
        f"the open interval {FIRST_FORMULA}",
        "the open interval",
    ),
    Phrase(
        rf"(?P<said>{FORMULA}(?:(?:,|,?\s+(?:and|or))\s*{FORMULA})+)",
        "several formulas",
        f"{FIRST_FORMULA} and {FIRST_FORMULA}",
        "x and y",
    ),
)
LABELLED = Table(
    "labels",
    "what follows on the line is the value of what the label names",
    "whole",
    Phrase(
        rf"(?P<subject>(?:[A-Za-z-]+\s+){{0,5}}[A-Za-z-]+|{FORMULA})\s*:\s+"
        rf"(?P<said>(?:{FORMULA}(?:(?:,|,?\s+(?:and|or))\s*{FORMULA})*|-?\d[\d,.]*)(?:\s+[a-z]+){{0,3}})",
        "a label and a value",
        f"Interval of convergence: {FIRST_FORMULA}",
        f"the interval is {FIRST_FORMULA}",
    ),
)
PRONOUNS = frozenset(name_list("it this that which these those they them he she we i you there both one"))
"""Subjects that stand for what was asked."""
GENERIC = frozenset(
    name_list(
        """
    the a an of in on at over during within after to for and from with its his her their our my by per each every all
    given original whole total final full middle overall resulting required desired asked wanted average above only such
    now still then together altogether
    sum itself identity statement general coordinates interval set option choice
    answer result value number amount case cases solution correct
    product quotient difference ratio part fraction probability chance share rest
    problem task question exercise
    person man woman boy girl child pupil runner maximum minimum equation system inequality expression power
    """
    )
)
"""Words that a subject may have for any question."""
