"""Numbers in words."""

from kgym_plugins.verifiers.math.tables import name_list

_ONES = name_list(
    """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
    nineteen
    """
)
_TENS = name_list("twenty thirty forty fifty sixty seventy eighty ninety")
SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_CARDINALS = {word: i for i, word in enumerate(_ONES)} | {word: 20 + 10 * i for i, word in enumerate(_TENS)}
_PARTS = {"half": 2, "halves": 2, "quarter": 4, "quarters": 4}
_PARTS |= {word: i for i, word in enumerate(name_list("third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"), start=3)}
_PARTS |= {word + "s": value for word, value in _PARTS.items() if not word.endswith("s") and word != "half"}
NUMBER_WORDS = frozenset(_CARDINALS) | frozenset(SCALES) | frozenset(_PARTS)
BASE_WORDS = {**_CARDINALS, "binary": 2, "octal": 8, "decimal": 10, "hexadecimal": 16}


def number_from_words(words: list[str]) -> tuple[int, int] | None:
    """Read "twenty-five" as (25, 1), "three quarters" as (3, 4), "minus two" as (-2, 1); None for anything else."""
    words = [part for word in words for part in word.split("-") if part]
    if len(words) > 3 and words[-2] == "a" and words[-3] == "and" and words[-1] in _PARTS:  # two and a half
        whole = number_from_words(words[:-3])
        if whole is None or whole[1] != 1:
            return None
        return (abs(whole[0]) * _PARTS[words[-1]] + 1) * (1 if whole[0] >= 0 else -1), _PARTS[words[-1]]
    sign = 1
    if words and words[0] in ("minus", "negative"):
        sign, words = -1, words[1:]
    below = 1
    if len(words) > 1 and words[-1] in _PARTS:
        below, words = _PARTS[words[-1]], words[:-1]
        words = ["one"] if words in (["a"], ["an"]) else words
    if not words or words[0] not in _CARDINALS:
        return None
    total = group = 0
    previous = 0
    for position, word in enumerate(words):
        if word == "and" and position and previous >= 100:
            continue
        if word in _CARDINALS:
            value = _CARDINALS[word]
            if previous and (previous < 20 or value >= 20 or value == 0) and previous < 100:
                return None  # "two three" is no number
            group += value
        elif word in SCALES:
            value = SCALES[word]
            if not group:
                return None
            if value == 100:
                group *= 100
            else:
                total, group = total + group * value, 0
        else:
            return None
        previous = value
    return sign * (total + group), below
