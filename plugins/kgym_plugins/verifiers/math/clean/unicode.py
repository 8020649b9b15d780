"""Signs of Unicode and entities of HTML as LaTeX."""

import html
import re
import unicodedata

from kgym_plugins.verifiers.math.tables import name_list

_SIGNS = {
    "−": "-", "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "﹣": "-", "➖": "-", "﹢": "+", "➕": "+",
    "×": r"\times ", "⋅": r"\cdot ", "·": r"\cdot ", "∙": r"\cdot ", "•": r"\cdot ", "∗": "*",
    "✕": r"\times ", "✖": r"\times ",
    "÷": r"\div ", "⁄": "/", "∕": "/", "➗": r"\div ",
    "√": r"\surd ", "∛": r"\cuberoot ", "∜": r"\fourthroot ",
    "±": r"\pm ", "∓": r"\mp ",
    "≤": r"\le ", "≥": r"\ge ", "⩽": r"\le ", "⩾": r"\ge ", "≦": r"\le ", "≧": r"\ge ", "≠": r"\ne ",
    "≈": r"\approx ", "≃": r"\approx ", "≅": r"\cong ", "≡": r"\equiv ", "∼": r"\sim ", "∝": r"\propto ",
    "∞": r"\infty ", "∅": r"\emptyset ", "⌀": r"\emptyset ", "∈": r"\in ", "∉": r"\notin ",
    "∪": r"\cup ", "∩": r"\cap ", "∖": r"\setminus ", "⊂": r"\subset ", "⊆": r"\subseteq ",
    "→": r"\to ", "↦": r"\mapsto ", "⇒": r"\Rightarrow ",
    "∧": r"\land ", "∨": r"\lor ", "∀": r"\forall ", "∃": r"\exists ", "¬": r"\neg ",
    "∠": r"\angle ", "△": r"\triangle ", "⊥": r"\perp ", "∥": r"\parallel ",
    "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℚ": r"\mathbb{Q}", "ℕ": r"\mathbb{N}", "ℂ": r"\mathbb{C}",
    "∑": r"\sum ", "∏": r"\prod ", "∫": r"\int ", "∂": r"\partial ", "∇": r"\nabla ",
    "⟨": r"\langle ", "⟩": r"\rangle ", "〈": r"\langle ", "〉": r"\rangle ",
    "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ", "‖": r"\Vert ", "∣": "|",
    "…": r"\ldots ", "⋯": r"\cdots ",
    "°": r"^\circ ", "º": r"^\circ ", "˚": r"^\circ ", "℃": r"^\circ C", "℉": r"^\circ F",
    "′": "'", "″": "''", "‘": "'", "’": "'", "“": '"', "”": '"',
    "，": ",", "、": ",", "；": ";", "：": ":", "。": ".", "．": ".", "∶": ":",
    "％": r"\%", "٪": r"\%", "‰": r"\permille ",
    "€": r"\euro ", "£": r"\pounds ", "¥": r"\yen ", "＄": r"\$", "﹩": r"\$", "¢": r"\cent ",
    "％".lower(): r"\%", "∴": r"\therefore ",
    "＝": "=", "＋": "+", "－": "-", "＊": "*", "／": "/", "＜": "<", "＞": ">", "ı": r"\imath ",
    "\u0305": r"\combiningbar ", "\u0304": r"\combiningbar ", "\u0307": r"\combiningbar ",
    "\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u2002": " ", "\u2003": " ", "\u3000": " ",
    "\u200a": " ", "\u2005": " ", "\u2006": " ",
    "\u200b": "", "\u200c": "", "\u200d": "", "\ufeff": "", "\u2060": "", "\u2061": "", "\u2062": "", "\u2063": "",
    "\u200e": "", "\u200f": "",
    "✓": "", "✔": "", "✅": "", "☑": "", "\ufe0f": "", "🎉": "",
    "ℯ": "e", "ℓ": "l", "ⅈ": "i", "ⅇ": "e",
    "µ": r"\mu ", "Ω": r"\Omega ", "ϕ": r"\phi ", "ϵ": r"\epsilon ", "ϑ": r"\theta ",
    "٬": ",", "٫": ".",
}  # fmt: skip
_GREEK = name_list(
    """
    alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu
    nu xi omicron pi rho sigma tau upsilon phi chi psi omega
    Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega
    varepsilon vartheta varphi varrho varsigma varpi ell hbar
    """
)
GREEK = frozenset(_GREEK)
_VARIANT = {
    "varepsilon": "epsilon",
    "vartheta": "theta",
    "varphi": "phi",
    "varrho": "rho",
    "varsigma": "sigma",
    "varpi": "pi",
}
_GREEK_CHARACTERS = {
    **{chr(0x3B1 + i): name for i, name in enumerate(name_list(
    """
    alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu
    nu xi omicron pi rho varsigma sigma tau upsilon phi chi psi omega
    """
))},
    "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma",
    "Υ": "Upsilon", "Φ": "Phi", "Ψ": "Psi",
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
    r"&(?:lt|gt|le|ge|ne|amp|nbsp|times|divide|minus|plusmn|pi|radic|infin|deg"
    r"|frac12|frac14|frac34|sup2|sup3|middot|cup|isin|#\d{2,5}|#x[0-9a-fA-F]{2,4});"
)


def to_ascii(text: str) -> str:
    """Replace signs of Unicode and entities of HTML by LaTeX. Letters of other scripts stay: a Cyrillic A is not the
    choice A.
    """
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
