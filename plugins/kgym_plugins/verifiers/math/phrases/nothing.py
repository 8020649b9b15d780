"""Gold answers that say nothing: what is in a data set where there is no answer."""

from kgym_plugins.verifiers.math.phrases.table import Phrase, Table

NOTHING = Table(
    "no gold answer",
    "the data set has no answer here, so that answers to the problem are unscored",
    "whole",
    Phrase(r"None|null|NULL|Null|nil|NIL", "no value", "None", "none"),
    Phrase(r"N/A|n/a|#N/A|<NA>|N\.A\.", "not available", "N/A", "N/4"),
    Phrase(r"[-+]?(?:nan|NaN|NAN)", "a missing number of a table", "nan", "n"),
    Phrase(r"[?!.,;:_\s-]+|\\[cl]?dots", "signs alone", "???", "?5"),
    Phrase(r"\[\s*\]|\(\s*\)|\{\s*\}", "empty brackets", "[]", r"\{\}"),
    Phrase(
        r"(?:[Tt]he )?(?:[Aa]nswer )?(?:[Uu]nknown|[Mm]issing|[Nn]ot "
        r"(?:given|available|provided|applicable))|TBD|TODO|[Nn]o answer"
        r"|[Ss]ee (?:the )?(?:solution|proof|figure|explanation|above|below)|[Pp]roof|[Aa]nswers? (?:may |will "
        r")?var(?:y|ies)",
        "words for a missing answer",
        "not available",
        "not possible",
    ),
    flags=0,
)
