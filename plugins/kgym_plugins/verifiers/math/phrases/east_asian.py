"""Sentences of Chinese, Japanese and Korean around a value: what comes before it, measure words and copulas after
it, and bounds.
"""

import re

from kgym_plugins.verifiers.math.phrases.languages import DENIED, NO_ELSEWHERE
from kgym_plugins.verifiers.math.phrases.normal import normal_words
from kgym_plugins.verifiers.math.phrases.table import Formula, Meaning, Phrase, Table, Word

LETTER = r"[぀-ヿ㐀-鿿가-힯]"
_MEASURES = (
    r"(?:个|個|只|隻|本|张|張|枚|条|條|人|名|位|头|頭|匹|次|回|种|種|通り|通|组|組|颗|顆|粒|根|支"
    r"|件|台|辆|輛|棵|块钱|块|座|道|题|页|份|套|间"
    r"|개|명|마리|가지|번|권|장|대)"
)
_BOUND = r"(?P<{0}>以上|이상)|(?P<{1}>以下|以内|이하)|(?P<{2}>未満|未满|미만)|(?P<{3}>を超え\w*|より大きい|초과)"
_SIGNS = {"ge": r"\ge", "le": r"\le", "lt": "<", "gt": ">"}


def _bound(match: re.Match[str], text: str) -> Meaning:
    sign = next(_SIGNS[name] for name in _SIGNS if match[name])
    bound = match["bound"].strip()
    if re.fullmatch(r"[-+]?[\d.,/]+|\\[a-z]+[\d{}]+", bound):
        return Formula(f"{match['letter'] or 'x'} {sign} {bound}", only_set=True)
    return Word(normal_words(text))


def _as_text(match: re.Match[str], text: str) -> Meaning:
    return Word(normal_words(text))


UNSAID = Table(
    "bounds and negations after a value",
    "a bound, what is not the answer, or where something else is reached: not the value itself",
    "whole",
    Phrase(
        r"[、，,:：]?\s*(?:(?P<letter>[a-z])\s*[はがは은는이가]?\s*)?"
        rf"(?P<bound>[^぀-ヿ㐀-鿿가-힯]{{1,60}}?)\s*{_MEASURES}?\s*"
        rf"(?:{_BOUND.format('ge', 'le', 'lt', 'gt')})\s*(?:です|である|となる|だ|입니다|이다)?",
        _bound,
        "5 以上",
        "5 個",
    ),
    Phrase(
        r"(?s:.{1,80}?)(?:では(?:ない|なく|ありません)|でない|じゃない|[가이]\s?(?:아니|아닙니다))[^\d$]*",
        _as_text,
        "12 ではありません",
        "12 です",
    ),
    Phrase(r"[^()]{1,80}?(?:のとき|の時|일\s?때)[^\d()$]+", _as_text, "x = 12 のとき最大となる", "x = 12 です"),
)
COPULAS = Table(
    "copulas after a value",
    "the value before it is what the sentence says",
    "whole",
    Phrase(
        r"\s*(?:です|でした|である|であった|となる|となります|になる|になります"
        r"|とわかる|とわかります|と求まる|だ|だった)?[。.！!]?",
        "Japanese",
        " です。",
        " のとき最大となる。",
    ),
    Phrase(
        r"\s*(?:입니다|이다|이에요|예요|(?:이|가)\s?(?:된다|됩니다)|임을\s?알\s?수\s?있다)?[。.！!]?",
        "Korean",
        "이다.",
        "일 때 최대이다.",
    ),
)
_UNSURE = re.compile(
    r"(?:至少|至多|最多|最少|大约|大約|约为|约|大概|超过|超過|不到|少于|多于|小于|大于|第|近"
    r"|少なくとも|多くとも|せいぜい|およそ|約|最低|最高でも|적어도|많아야|약|대략)"
    r"[^\d$]{0,12}\Z"
)
"""Before a number: a bound, an estimate, or an ordinal."""
_SAID = re.compile(
    r"\$([^$]{1,200})\$|(?<![\w.,])[-+−]?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\w^])"
    r"|(?<![A-Za-z0-9.,])[-+−]?\d+(?:\.\d+)?(?:/\d+)?%?"
)


_UNIT = re.compile(
    r"\s*(?:平方|立方)?(?:厘米|千米|公里|毫米|分米|米|千克|公斤|克|吨|升|毫升|元|角|分钟|秒|小时|天|周|年|岁"
    r"|円|日|分|時間|秒間|歳|度|원|일|시간|분|초|살)"
    r"(?:\s?/\s?(?:小时|时|秒|分钟|分|天|時間|時))?"
)
_IN_ALL = re.compile(r"(?:共有?|总共有?|合计|合計|合わせて|全部で|모두|총)\s*\Z")
"""Right before a number that is the result, for any numbers before it."""


_PARTICLES = frozenset(
    "的是有共为為一总總计計需要可以得出答等于於元个個这這那此该該其故所以因此则則就了到在和与與上中来來"
    "说說值和数數解案结結果者也即再最后後本题題"
    "はがのをにでとからまでよりもこそれあるいるなるですますてしたすると答求値数全部合計"
    "은는이가의를을에서로부터까지와과도그것값답총모두합계수"
)
"""Letters that any sentence may have before its value for any question."""


def strange(before: str, question: str) -> bool:
    """Whether what comes before a value has words that the question does not have.

    >>> strange("这个长方形的面积是", "长方形的面积是多少?"), strange("这个长方形的周长是", "长方形的面积是多少?")
    (False, True)
    """
    return any(letter not in question and letter not in _PARTICLES for letter in re.findall(LETTER, before))


def is_sentence(text: str) -> bool:
    """Whether a text begins as prose of one of these languages does."""
    return re.match(rf"[^A-Za-z\\]{{0,12}}?{LETTER}{{2}}", text) is not None


def said_last(sentence: str) -> str | None:
    """Return the one value that ends a sentence, without its measure word and copula; None if there is another, a bound
    or a negation.

    >>> sentences = "这堆苹果共有 60 个。", "最大値は $2x$ です。", "一共至少有 5 个。", "3 个人有 60 个"
    >>> [said_last(sentence) for sentence in sentences]
    ['60', '$2x$', None, None]
    """
    found = list(_SAID.finditer(sentence))
    if len(found) > 1 and _IN_ALL.search(sentence, 0, found[-1].start()):
        found = found[-1:]
    elif len(found) == 1 and re.search(r"\d", sentence[: found[0].start()]):
        return None
    if len(found) != 1 or NO_ELSEWHERE.search(sentence) or DENIED.pattern.search(sentence):
        return None
    (value,) = found
    if is_unsure(sentence[: value.start()]):
        return None
    rest = sentence[value.end() :]
    if ends_with_copula(rest):
        return value.group()
    unit = _UNIT.match(rest)
    return value.group() + unit.group() if unit and ends_with_copula(rest[unit.end() :]) else None


def is_unsure(before: str) -> bool:
    """Whether a value is a bound, an estimate, an ordinal or a part of a formula by what comes before it.

    >>> is_unsure("一共至少有 "), is_unsure("x > "), is_unsure("一共有 ")
    (True, True, False)
    """
    return _UNSURE.search(before) is not None or re.search(r"[<>≤≥≠=+*/^\\_]", before) is not None


def ends_with_copula(rest: str) -> bool:
    """Whether nothing but a measure word and a copula comes after a value.

    >>> ends_with_copula("個です。"), ends_with_copula(" 以上です。")
    (True, False)
    """
    measured = re.match(rf"\s*{_MEASURES}(?:(?!以上|以下|以内|未満|未满|左右|程度)[㐀-鿿]{{0,3}})", rest)
    return any(COPULAS.pattern.fullmatch(rest, at) is not None for at in {0, measured.end() if measured else 0})


def is_bound(rest: str) -> bool:
    """Whether a word after a value makes a bound of it."""
    return (
        re.match(
            rf"\$?\s*{_MEASURES}?\s*(?:以上|以下|以内|未満|未满|を超え|より[大小多少]"
            r"|이상|이하|미만|초과|보다|左右|程度|정도)",
            rest,
        )
        is not None
    )
