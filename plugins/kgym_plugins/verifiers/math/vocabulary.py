"""Words and signs that the tokenizer knows: Unicode, LaTeX commands, functions, number words.

Pure tables. Units of measurement have a file of their own.
"""

import html
import re
import unicodedata


def name_list(text: str) -> list[str]:
    """Split a table that is written as running text."""
    return text.split()


# --- Unicode to LaTeX or ASCII ----------------------------------------------------------------------------------------

_SIGNS = {
    "−": "-", "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "﹣": "-", "➖": "-", "﹢": "+", "➕": "+",
    "×": r"\times ", "⋅": r"\cdot ", "·": r"\cdot ", "∙": r"\cdot ", "•": r"\cdot ", "∗": "*", "✕": r"\times ", "✖": r"\times ",
    "÷": r"\div ", "⁄": "/", "∕": "/", "➗": r"\div ",
    "√": r"\surd ", "∛": r"\cuberoot ", "∜": r"\fourthroot ",
    "±": r"\pm ", "∓": r"\mp ",
    "≤": r"\le ", "≥": r"\ge ", "⩽": r"\le ", "⩾": r"\ge ", "≦": r"\le ", "≧": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "≃": r"\approx ",
    "≅": r"\cong ", "≡": r"\equiv ", "∼": r"\sim ", "∝": r"\propto ",
    "∞": r"\infty ", "∅": r"\emptyset ", "⌀": r"\emptyset ", "∈": r"\in ", "∉": r"\notin ", "∪": r"\cup ", "∩": r"\cap ",
    "∖": r"\setminus ", "⊂": r"\subset ", "⊆": r"\subseteq ", "→": r"\to ", "⇒": r"\Rightarrow ", "∧": r"\land ", "∨": r"\lor ",
    "∀": r"\forall ", "∃": r"\exists ", "¬": r"\neg ", "∠": r"\angle ", "△": r"\triangle ", "⊥": r"\perp ", "∥": r"\parallel ",
    "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℚ": r"\mathbb{Q}", "ℕ": r"\mathbb{N}", "ℂ": r"\mathbb{C}",
    "∑": r"\sum ", "∏": r"\prod ", "∫": r"\int ", "∂": r"\partial ", "∇": r"\nabla ",
    "⟨": r"\langle ", "⟩": r"\rangle ", "〈": r"\langle ", "〉": r"\rangle ", "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ",
    "⌉": r"\rceil ",
    "‖": r"\Vert ", "∣": "|", "…": r"\ldots ", "⋯": r"\cdots ", "°": r"^\circ ", "º": r"^\circ ", "˚": r"^\circ ", "℃": r"^\circ C",
    "℉": r"^\circ F",
    "′": "'", "″": "''", "‘": "'", "’": "'", "“": '"', "”": '"', "，": ",", "、": ",", "；": ";", "：": ":", "。": ".", "．": ".",
    "∶": ":", "％": r"\%", "٪": r"\%", "‰": r"\permille ", "€": r"\euro ", "£": r"\pounds ", "¥": r"\yen ", "＄": r"\$", "﹩": r"\$",
    "¢": r"\cent ",
    "％".lower(): r"\%", "∴": r"\therefore ", "＝": "=", "＋": "+", "－": "-", "＊": "*", "／": "/", "＜": "<", "＞": ">", "ı": r"\imath ",
    "\u0305": r"\combiningbar ", "\u0304": r"\combiningbar ", "\u0307": r"\combiningbar ",
    "\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u2002": " ", "\u2003": " ", "\u3000": " ", "\u200a": " ", "\u2005": " ", "\u2006": " ",
    "\u200b": "", "\u200c": "", "\u200d": "", "\ufeff": "", "\u2060": "", "\u2061": "", "\u2062": "", "\u2063": "", "\u200e": "",
    "\u200f": "",
    "✓": "", "✔": "", "✅": "", "☑": "", "\ufe0f": "", "🎉": "",
    "ℯ": "e", "ℓ": "l", "ⅈ": "i", "ⅇ": "e", "µ": r"\mu ", "Ω": r"\Omega ", "ϕ": r"\phi ", "ϵ": r"\epsilon ", "ϑ": r"\theta ",
    "٬": ",", "٫": ".",
}  # fmt: skip
_GREEK = name_list(
    """
    alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon phi chi psi
    omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega varepsilon vartheta varphi varrho varsigma varpi ell
    hbar
    """
)
GREEK = frozenset(_GREEK)
_VARIANT = {"varepsilon": "epsilon", "vartheta": "theta", "varphi": "phi", "varrho": "rho", "varsigma": "sigma", "varpi": "pi"}
_GREEK_CHARACTERS = {
    **{chr(0x3B1 + i): name for i, name in enumerate(name_list(
    """
    alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho varsigma sigma tau upsilon phi
    chi psi omega
    """
))},
    "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma", "Υ": "Upsilon", "Φ": "Phi", "Ψ": "Psi",
}  # fmt: skip
_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱˣʸᵃᵇᶜᵈᵉᵏᵐᵗ", "0123456789+-=()nixyabcdekmt", strict=True))
_SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₙᵢₓₐₑₖₘ", "0123456789+-=()nixaekm", strict=True))
_FRACTION = re.compile("([⁰¹²³⁴-⁹]{1,20})[⁄∕/]([₀-₉]{1,20})")
_LEVEL = {ord(sign): plain for table in (_SUPERSCRIPTS, _SUBSCRIPTS) for sign, plain in table.items()}
_RUN = re.compile(f"[{''.join(_SUPERSCRIPTS)}]+|[{''.join(_SUBSCRIPTS)}]+")


def _translate(character: str) -> str:
    if character in _SIGNS:
        return _SIGNS[character]
    if character in _GREEK_CHARACTERS:
        return f"\\{_GREEK_CHARACTERS[character]} "
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    code = ord(character)
    if 0xFF01 <= code <= 0xFF5E or 0x1D400 <= code <= 0x1D7FF:  # full width; mathematical letters and digits
        plain = unicodedata.normalize("NFKC", character)
        return f"\\{_GREEK_CHARACTERS[plain]} " if plain in _GREEK_CHARACTERS else plain
    if "VULGAR FRACTION" in unicodedata.name(character, ""):
        above, _, below = unicodedata.normalize("NFKC", character).partition("⁄")
        return rf"\frac{{{above}}}{{{below}}}"
    return character


_ENTITY = re.compile(
    r"&(?:lt|gt|le|ge|ne|amp|nbsp|times|divide|minus|plusmn|pi|radic|infin|deg|frac12|frac14|frac34|sup2|sup3|middot|cup|isin|#\d{2,5}|#x[0-9a-fA-F]{2,4});"
)


def to_ascii(text: str) -> str:
    """Replace signs of Unicode and entities of HTML by LaTeX. Letters of other scripts stay: a Cyrillic A is not the choice A."""
    if "&" in text and ";" in text:
        text = _ENTITY.sub(lambda match: html.unescape(match.group()), text)
    if text.isascii():
        return text

    def script(match: re.Match[str]) -> str:
        run = match.group()
        above = run[0] in _SUPERSCRIPTS
        table = _SUPERSCRIPTS if above else _SUBSCRIPTS
        return ("^{" if above else "_{") + "".join(table[character] for character in run) + "}"

    text = _FRACTION.sub(lambda match: f"({match[1]})/({match[2]})".translate(_LEVEL), text)
    return "".join(map(_translate, _RUN.sub(script, text)))


# --- LaTeX ------------------------------------------------------------------------------------------------------------

SPACES = frozenset(
    [
        ",",
        "!",
        ";",
        ":",
        ">",
        "quad",
        "qquad",
        "enspace",
        "thinspace",
        "medspace",
        "thickspace",
        "negthinspace",
        "enskip",
        "space",
        "nobreakspace",
    ]
) | {
    " ",
    "\n",
    "\t",
}
IGNORED = frozenset(
    name_list(
        """
    left right middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr displaystyle textstyle scriptstyle
    limits nolimits rm it bf sf tt cal boldmath mathstrut strut phantomsection noindent small large Large footnotesize
    normalsize centering hfill therefore because implies Rightarrow nonumber hline
    """
    )
)
"""Commands without an argument that change nothing."""
DROPPED_WITH_ARGUMENT = frozenset(name_list("hspace vspace phantom hphantom vphantom label tag color textcolor mspace kern"))
WRAPPERS = frozenset(
    name_list(
        """
    boxed fbox framebox ensuremath mathstrut displaylines cancel underline mathord mathop mathrel smash
    """
    )
)
"""Commands whose argument counts as if it stood there alone."""
TEXT = frozenset(
    name_list(
        """
    text textrm textbf textit textsf texttt textnormal textup textsc mbox hbox emph mathrm mathit mathsf mathtt operatorname
    mathup mathnormal textmd
    """
    )
)
LETTERS = frozenset(
    name_list(
        """
    mathbf boldsymbol bm mathcal mathscr mathfrak pmb vec hat widehat bar overline tilde widetilde dot ddot overrightarrow
    mathds
    """
    )
)
"""Commands that decorate a letter."""

OPERATORS = {
    "times": "*", "cdot": "*", "ast": "*", "bullet": "*", "div": "/", "le": "<=", "leq": "<=", "leqslant": "<=", "leqq": "<=",
    "ge": ">=", "geq": ">=", "geqslant": ">=", "geqq": ">=", "ne": "!=", "neq": "!=", "lt": "<", "gt": ">",
    "approx": "~", "simeq": "~", "thickapprox": "~", "doteq": "~", "approxeq": "~", "equiv": "===", "cong": "cong", "sim": "sim",
    "propto": "propto",
    "in": "in", "notin": "notin", "cup": "cup", "bigcup": "cup", "cap": "cap", "bigcap": "cap", "setminus": "setminus",
    "backslash": "setminus",
    "smallsetminus": "setminus", "pm": "pm", "mp": "mp", "colon": ":", "mid": "|", "vert": "|", "lvert": "|", "rvert": "|", "Vert": "||",
    "lVert": "||", "rVert": "||", "|": "||", "ldots": "...", "cdots": "...", "dots": "...", "dotsc": "...", "dotsb": "...", "vdots": "...",
    "ddots": "...", "to": "to", "rightarrow": "to", "longrightarrow": "to", "land": "and", "wedge": "and", "lor": "or", "vee": "or",
    "%": "%", "permille": "permille", "prime": "'", "circ": "circ", "degree": "degree", "degrees": "degree", "subset": "subset",
    "subseteq": "subset",
    "colonequals": "=", "coloneqq": "=", "triangleq": "=", "&": "and",
}  # fmt: skip
DELIMITERS = {
    "{": ("open", "{"), "}": ("close", "}"), "lbrace": ("open", "{"), "rbrace": ("close", "}"),
    "langle": ("open", "<"), "rangle": ("close", ">"), "lparen": ("open", "("), "rparen": ("close", ")"),
    "lbrack": ("open", "["), "rbrack": ("close", "]"),
    "lfloor": ("open", "floor"), "rfloor": ("close", "floor"), "lceil": ("open", "ceil"), "rceil": ("close", "ceil"),
}  # fmt: skip
FUNCTIONS = {
    **{name: name for name in name_list(
    """
    sin cos tan cot sec csc sinh cosh tanh coth ln exp log lg max min gcd lcm det arg Re Im cis sgn abs floor ceil erf
    """
)},
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "asin": "asin", "acos": "acos", "atan": "atan", "arccot": "acot", "acot": "acot",
    "arcsec": "asec", "arccsc": "acsc", "arctg": "atan", "tg": "tan", "ctg": "cot", "cosec": "csc", "sign": "sgn", "ceiling": "ceil",
    "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh", "asinh": "asinh", "acosh": "acosh", "atanh": "atanh", "sech": "sech",
    "csch": "csch",
}  # fmt: skip
PLAIN_FUNCTIONS = {
    **FUNCTIONS,
    "sqrt": "sqrt",
    "cbrt": "cbrt",
    "root": "sqrt",
    "binom": "binom",
    "choose": "choose",
    "mod": "mod",
    "comb": "binom",
}
"""Functions by the names that plain text uses."""
NOT_EVALUATED = frozenset(
    name_list(
        """
    sum prod int iint iiint oint lim limsup liminf bigoplus nabla partial forall exists coprod inf sup
    """
    )
)
"""Operators whose value is not computed: an answer that still has one is not an answer, unless the gold has it too."""
CONSTANTS = {
    "pi": "pi",
    "infty": "oo",
    "emptyset": "empty",
    "varnothing": "empty",
    "infinity": "oo",
    "oo": "oo",
    "inf": "oo",
    "imath": "i",
    "euler": "e",
}
NUMBER_SETS = {"R": "reals", "Z": "integers", "N": "naturals", "Q": "rationals", "C": "complexes"}
CURRENCIES = {
    "$": "dollar",
    "euro": "euro",
    "pounds": "sterling",
    "yen": "yen",
    "cent": "cent",
    "textdollar": "dollar",
    "texteuro": "euro",
    "rupee": "rupee",
}

# --- words ------------------------------------------------------------------------------------------------------------

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


EMPTY_WORDS = frozenset({
    "empty", "empty set", "the empty set", "no solution", "no solutions", "no real solution", "no real solutions", "none",
    "no answer exists",
    "there is no solution", "there are no solutions", "there are no real solutions", "there is no real solution", "no such number",
    "no such number exists", "no such x exists", "no such numbers exist", "null set", "nothing", "no values", "no value", "no real values",
    "no real value", "no real roots", "no real root", "no roots", "no root", "no integer solutions", "no integer solution",
    "has no solution",
    "has no solutions", "no such integer", "no such integers", "no such integer exists", "no such integers exist", "no possible values",
    "no solution exists", "no solutions exist", "no real solution exists", "no real solutions exist", "no such value", "no such values",
    "solution does not exist", "the solution set is empty", "equation has no solution", "equation has no solutions", "unsolvable",
    "not solvable",
    "no possible value", "no valid solution", "no valid solutions", "inconsistent", "impossible", "not possible", "no x", "no such x",
    "no triangle",
})  # fmt: skip
UNDEFINED_WORDS = frozenset({
    "undefined", "not defined", "does not exist", "dne", "doesn't exist", "do not exist", "is undefined", "is not defined",
    "limit does not exist",
    "diverges", "divergent", "nonexistent", "no limit", "indeterminate", "limit dne", "doesnt exist", "it does not exist",
})  # fmt: skip
REAL_WORDS = frozenset({
    "all real numbers", "all reals", "real numbers", "reals", "any real number", "all real", "every real number", "set of all real numbers",
    "all real values", "all real x", "all x", "set of real numbers", "any real", "all numbers", "all real values of x",
    "all values of x", "any real value",
})  # fmt: skip
INFINITELY_MANY = "infinitely many"
INFINITE_WORDS = frozenset({
    "infinitely many", "infinitely many solutions", "infinite", "infinite solutions", "infinite number of solutions", "infinite number",
    "there are infinitely many", "an infinite number", "infinitely many values", "there are infinitely many solutions",
})  # fmt: skip
INFINITY_WORDS = frozenset({"infinity", "positive infinity", "plus infinity", "+infinity"})
YES_WORDS = {
    "yes": "yes",
    "y": "yes",
    "no": "no",
    "true": "true",
    "false": "false",
    "t": "true",
    "f": "false",
    "correct": "true",
    "incorrect": "false",
}
CONNECTIVES = frozenset({"and", "or"})
