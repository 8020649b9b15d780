"""The normal form of text that stands for itself."""

import re

_ARTICLES = re.compile(r"\b(?:the|a|an)\b")
IT_IS = re.compile(r"\A(?:it|this|that|they|these|he|she) (?:is|are|was|were) (?=\w)")
PUNCTUATION = " .,;:!?\"'*"


def normal_words(text: str) -> str:
    """Lower case, single spaces, no articles and no punctuation around.

    >>> normal_words("The  Empty set.")
    'empty set'
    """
    words = re.sub(r"[\s_]+", " ", text.casefold()).strip(PUNCTUATION)
    return re.sub(r"\s+", " ", _ARTICLES.sub(" ", IT_IS.sub("", words))).strip() or words
