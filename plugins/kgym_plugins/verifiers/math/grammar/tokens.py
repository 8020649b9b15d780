"""From the text of an answer to tokens: LaTeX, plain mathematics and Unicode in one pass, linear in the text.

A token remembers whether a space came before it and whether it was in text (`\\text{...}`). Runs of letters are told
apart here: a function (`sin`), a constant (`pi`), a word (`Evelyn`, `inches`), or a product of variables (`xy`).
"""

import re
from typing import NamedTuple

from kgym_plugins.verifiers.math.clean.unicode import GREEK
from kgym_plugins.verifiers.math.grammar.latex import (
    CONSTANTS,
    CURRENCIES,
    DELIMITERS,
    DROPPED_WITH_ARGUMENT,
    FUNCTIONS,
    IGNORED,
    LETTERS,
    NOT_EVALUATED,
    NUMBER_SETS,
    OPERATORS,
    PLAIN_FUNCTIONS,
    SPACES,
    TEXT,
    WRAPPERS,
)
from kgym_plugins.verifiers.math.limits import TOKENS, LimitError, SyntaxProblem
from kgym_plugins.verifiers.math.phrases.inside import CONNECTIVES
from kgym_plugins.verifiers.math.phrases.units import OFTEN_LETTERS, SYMBOLS, UNITS, unit_named


class Token(NamedTuple):
    """One token: `kind` says how to read `value`.

    num (digits as text)   name (a variable)   const   fn   word   op   open, close (a delimiter)   lb, rb (LaTeX's own
    braces) cmd (frac, sqrt, binom ...)   begin, end (an environment)   amp, row (its separators)   currency
    """

    kind: str
    value: str
    space: bool = False
    text: bool = False


_NUMBER = re.compile(
    r"""
    (?P<thousands>[1-9]\d{0,2}(?:(?:,|\{,\}|\\,|\\!,|,\\!\ ?|\\;|\\\ |\{\\,\})\d{3})+(?![\d])(?!,\d)
      |[1-9]\d{0,2}(?:\ \d{3})+(?!\d|\s*/|\ \d))
    (?P<thousands_fraction>\.\d+)?
  | (?P<plain>\d+(?:(?:\.|\{,\})\d+)?|\.\d+)
    """,
    re.VERBOSE,
)
_REPEATING = re.compile(
    r"(?:\\(?:overline|bar|overbar|overbracket)\s*\{\s*(\d+)\s*\}|\\(?:overline|bar)\s*(\d)|\((\d+)\)"
    r"|\\combiningbar\s*)"
)
_DOTTED = re.compile(r"\d*\.?\d*(?:\\dot\s*\{?\s*\d\s*\}?\d*)+")
_EXPONENT = re.compile(r"[eE][+-]?\d{1,6}(?![\w.])")
_WORD = re.compile(r"[^\W\d_]+(?:['-](?!\d)[^\W\d_]+)*")
_SCRIPT = re.compile("[\u2e80-\u9fff]+|[^\u2e80-\u9fff]+")
_TEXT_WORD = re.compile(r"[^\W\d_]+(?:['-](?!\d)[^\W\d_]+)*\.?(?=[^\w]|$)|[^\W\d_]+")
_ROW_SPACING = re.compile(r"\s*\[\s*-?\d{0,4}\.?\d{0,4}\s*(?:pt|ex|em|mm|cm|in|bp|pc|sp)\s*\]")
"""`\\\\[2pt]`: more room after a row."""
_COMMAND = re.compile(r"\\(?:[A-Za-z]+\*?|.)", re.DOTALL)
_SIGNS = {
    "<=": "<=", ">=": ">=", "=<": "<=", "=>": ">=", "!=": "!=", "==": "=", "=": "=", "<": "<", ">": ">",
    "+": "+", "-": "-", "**": "^", "*": "*", "/": "/", "^": "^", "_": "_", "!": "!", "%": "%",
    ",": ",", ";": ";", ":": ":", "|": "|", "||": "||", "'": "'", "...": "...", "~=": "~", "+-": "pm", "+/-": "pm",
    "->": "to", "''": "''", "<>": "!=", ":=": "=", "-+": "mp",
}  # fmt: skip
_SIGN = re.compile("|".join(re.escape(sign) for sign in sorted(_SIGNS, key=len, reverse=True)))
_BRACKETS = {"(": "open", "[": "open", ")": "close", "]": "close"}
_KEPT_COMMANDS = {
    "frac": "frac", "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "sfrac": "frac", "nicefrac": "frac",
    "sqrt": "sqrt", "binom": "binom", "dbinom": "binom", "tbinom": "binom", "over": "over", "choose": "choose",
    "surd": "surd", "cuberoot": "cuberoot", "fourthroot": "fourthroot",
    "pmod": "pmod", "bmod": "bmod", "mod": "bmod", "angle": "angle", "triangle": "triangle",
    "substack": "substack", "root": "root", "of": "of",
}  # fmt: skip
_WITHIN = re.compile(r"\\(?:mathbf|boldsymbol|bm|mathrm|vec|hat)\s*\{?\s*(\w)\s*\}?")
_UNIT_LETTERS = {name for name in UNITS if len(name) > 1}


_TEXT_DEPTH = 8


class Tokenizer:
    """One pass over one text."""

    def __init__(self, text: str, *, thousands: bool = True, text_mode: bool = False) -> None:
        self.text = text
        self.tokens: list[Token] = []
        self._position = 0
        self._space = False
        self._text_mode = text_mode
        self._thousands = thousands
        self._brackets = 0
        self._depth = 0
        self._environments: list[str] = []

    def run(self) -> list[Token]:
        """Raises SyntaxProblem for a sign that has no meaning here, LimitError for too many tokens."""
        text, end = self.text, len(self.text)
        while self._position < end:
            if len(self.tokens) > TOKENS:
                raise LimitError(f"an answer of more than {TOKENS} tokens")
            character = text[self._position]
            if character.isspace() or character == "~":
                self._space = True
                self._position += 1
            elif character.isdigit() or (character == "." and text[self._position + 1 : self._position + 2].isdigit()):
                self._number()
            elif character == "\\":
                self._command()
            elif character.isalpha():
                self._letters()
            elif character == "{":
                self._add("lb", "{", 1)
            elif character == "}":
                self._add("rb", "}", 1)
            elif character in _BRACKETS:
                self._brackets += 1 if _BRACKETS[character] == "open" else -1
                self._add(_BRACKETS[character], character, 1)
            elif character == "$":
                if (
                    text[self._position + 1 : self._position + 2].isdigit()
                    or text[self._position + 1 : self._position + 2] == "."
                ):
                    self._add("currency", "dollar", 1)
                else:
                    self._position += 1
                    self._space = True
            elif character == "&" and self._environments:
                self._add("amp", "&", 1)
            elif match := _SIGN.match(text, self._position):
                self._add("op", _SIGNS[match.group()], len(match.group()))
            elif character == '"' and self._after_degrees():
                self._add("op", "''", 1)
            elif character in '."`#?':
                self._position += 1
                self._space = True
            else:
                raise SyntaxProblem(f"the sign {character!r} has no meaning in an answer")
        return self.tokens

    def _add(self, kind: str, value: str, length: int) -> None:
        self.tokens.append(Token(kind, value, self._space, self._text_mode))
        self._space = False
        self._position += length

    def _after_degrees(self) -> bool:
        """Whether an angle in degrees has begun: then a quotation mark after a number is the sign of seconds."""
        return (
            bool(self.tokens)
            and self.tokens[-1].kind == "num"
            and any(token.value in ("circ", "degree") for token in self.tokens[-8:])
        )

    # --- numbers ---

    def _number(self) -> None:
        text, begin = self.text, self._position
        match = _NUMBER.match(text, begin)
        if match is None:
            self._position += 1
            return
        if (
            match.lastgroup != "plain"
            and (not self._thousands or self._brackets > 0)
            and "," in match.group().replace("{,}", "")
        ):
            match = re.compile(r"\d+(?:\.\d+)?").match(
                text, begin
            )  # inside brackets a comma separates: (1,234) is a point
            assert match is not None
        digits = re.sub(
            r"[^\d.]", "", match.group().replace("{,}", ".") if match.lastgroup == "plain" else match.group()
        )
        end = match.end()
        if "." in digits or text.startswith(".", end):
            stem = digits if "." in digits else digits + "."
            after = end if "." in digits else end + 1
            if (repeat := _REPEATING.match(text, after)) and (
                block := repeat.group(1) or repeat.group(2) or repeat.group(3)
            ):
                self._add("num", f"{stem}({block})", repeat.end() - begin)
                return
            if repeat and stem[-1].isdigit():
                self._add("num", f"{stem[:-1]}({stem[-1]})", repeat.end() - begin)
                return
            if (dotted := _DOTTED.match(text, begin)) and "\\" in dotted.group():
                self._add("num", _dotted(dotted.group()), len(dotted.group()))
                return
            if "." in digits and (dots := re.compile(r"\s*(?:\.\.\.|\\[lcd]?dots\b)").match(text, end)):
                if periodic := _repeated(digits.partition(".")[2]):
                    self._add("num", f"{digits.partition('.')[0]}.{periodic}", dots.end() - begin)
                    return
                self._add("num", digits, dots.end() - begin)  # 3.14159... states the digits that it shows
                return
        if exponent := _EXPONENT.match(text, end):
            self._add("num", digits + exponent.group(), exponent.end() - begin)
            return
        self._add("num", digits, end - begin)

    # --- commands ---

    def _command(self) -> None:
        match = _COMMAND.match(self.text, self._position)
        if match is None:
            raise SyntaxProblem("a backslash at the end")
        name, length = match.group()[1:].rstrip("*"), len(match.group())
        if name == "\\":
            spacing = _ROW_SPACING.match(self.text, self._position + length)
            self._add("row", "\\\\", length + (len(spacing.group()) if spacing else 0))
        elif name in SPACES:
            self._space = True
            self._position += length
        elif name in DELIMITERS:
            kind, value = DELIMITERS[name]
            self._brackets += 1 if kind == "open" else -1
            self._add(kind, value, length)
        elif name in _KEPT_COMMANDS:
            self._add("cmd", _KEPT_COMMANDS[name], length)
        elif name in OPERATORS:
            self._add("op", OPERATORS[name], length)
        elif name in CONSTANTS:
            self._add("const", CONSTANTS[name], length)
        elif name in FUNCTIONS:
            unit = (
                name in ("min", "sec") and self.tokens[-1:] and self.tokens[-1].value == "/" and self._beside_unit()
            )  # L / \\min
            self._add("word" if unit else "fn", FUNCTIONS[name], length)
        elif name in GREEK:
            self._add("name", name.removeprefix("var"), length)
        elif name in CURRENCIES:
            self._add("currency", CURRENCIES[name], length)
        elif name in NOT_EVALUATED:
            self._add("cmd", name, length)
        elif name in WRAPPERS:
            self._position += length
        elif name in TEXT:
            self._position += length
            self._text_argument(name)
        elif name == "textdegree":
            self._add("op", "degree", length)
        elif name in {"mathbb", "mathds", "Bbb"} or name in LETTERS:
            self._position += length
            self._letter_argument(name)
        elif name in DROPPED_WITH_ARGUMENT:
            self._position += length
            self._argument()
            self._space = True
        elif name in ("begin", "end"):
            self._position += length
            environment = self._argument().rstrip("*")
            self._environment(name, environment)
        elif name in ("left.", "right."):
            self._position += length
        elif name in IGNORED:
            self._position += length
            if name in ("left", "right") and self.text.startswith(".", self._position):
                self._position += 1
            self._space = True
        else:
            raise SyntaxProblem(f"the command \\{name} has no meaning in an answer")

    def _environment(self, which: str, name: str) -> None:
        if which == "begin":
            self._environments.append(name)
            if name in ("array", "tabular") and re.compile(r"\s*\{").match(self.text, self._position):
                self._argument()
        elif self._environments:
            self._environments.pop()
        self._add(which, name, 0)

    def _argument(self) -> str:
        """Take the text of a braced argument, or the next character."""
        text = self.text
        while self._position < len(text) and text[self._position].isspace():
            self._position += 1
        if not text.startswith("{", self._position):
            self._position += 1
            return text[self._position - 1 : self._position]
        depth = 0
        for position in range(self._position, len(text)):
            if text[position] == "{":
                depth += 1
            elif text[position] == "}":
                depth -= 1
                if depth == 0:
                    content = text[self._position + 1 : position]
                    self._position = position + 1
                    return content
        raise SyntaxProblem("an argument without its closing brace")

    def _text_argument(self, command: str) -> None:
        content = self._argument()
        if (
            content.strip() in ("min", "sec")
            and self._beside_unit()
            and self.text[self._position : self._position + 1] not in ("(", "_", "{")
        ):
            self._add("word", content.strip(), 0)
            self.tokens[-1] = self.tokens[-1]._replace(text=True)
            return
        if content.strip() in FUNCTIONS and (command != "text" or content.strip() not in ("max", "min", "arg", "det")):
            self._add("fn", FUNCTIONS[content.strip()], 0)
            return
        if self._depth >= _TEXT_DEPTH:
            raise LimitError("text within text within text")
        inner = Tokenizer(content, thousands=self._thousands, text_mode=True)
        inner._depth = self._depth + 1
        inner._space = self._space
        if command in ("mathrm", "operatorname", "mathit") and content.strip() in ("e", "i", "d", "x", "y", "z", "n"):
            inner._text_mode = False
        spaced = self._space or content[:1] in (" ", "~", "\\")
        for token in inner.run():
            if (
                token.kind == "name"
                and token.text
                and token.value in SYMBOLS
                and self._is_unit(token.value, spaced or token.space)
            ):
                self.tokens.append(token._replace(kind="word"))
            else:
                self.tokens.append(token)
        self._space = inner._space or content[-1:].isspace()

    def _beside_unit(self) -> bool:
        """Whether a unit may come: after a number, another unit, or the stroke or dot after a unit."""
        before = [token for token in self.tokens[-3:] if token.kind not in ("open", "lb", "rb")] or [Token("", "")]
        joined = before[-1].kind == "op" and before[-1].value in ("/", "*") and len(before) > 1
        last = before[-2] if joined else before[-1]
        if joined:
            return last.kind == "word" and last.text
        return last.kind == "num" or (last.kind == "word" and last.text and unit_named(last.value) is not None)

    def _is_unit(self, letter: str, spaced: bool) -> bool:
        """Whether a capital in text is the sign of a unit and not the name of something."""
        if self.text[self._position : self._position + 1] in ("_", "(") or not self.tokens:
            return False
        last = self.tokens[-1]
        if self._beside_unit():
            return spaced or last.kind != "num" or letter not in OFTEN_LETTERS
        if last.kind == "lb" and self.tokens[-2:-1] and self.tokens[-2] == Token("cmd", "frac", self.tokens[-2].space):
            return len(self.tokens) > 2 and self.tokens[-3].kind in ("num", "rb", "close", "const")
        value = (
            last.kind in ("rb", "close", "const")
            and self.tokens[-2:-1]
            and self.tokens[-2].value not in ("circ", "degree")
        )
        return bool(value) and spaced

    def _letter_argument(self, command: str) -> None:
        content = self._argument().strip()
        if (
            command in ("mathbb", "mathds", "Bbb", "mathbf", "mathcal")
            and content in NUMBER_SETS
            and command not in {"mathcal", "mathbf"}
        ):
            self._add("const", NUMBER_SETS[content], 0)
        elif command in ("mathbf", "boldsymbol", "bm", "pmb") and (len(content) != 1 or not content.isalpha()):
            inner = Tokenizer(content, thousands=self._thousands, text_mode=len(content) > 1 and content.isalpha())
            self.tokens += inner.run()
        elif (
            command in ("overline", "bar", "overrightarrow", "vec", "widehat")
            and content.isalpha()
            and len(content) > 1
        ):
            self._add("name", f"{'overline' if command == 'bar' else command}_{content}", 0)
        else:
            letter = _WITHIN.sub(r"\1", content).lstrip("\\")
            letter = {"imath": "i", "jmath": "j"}.get(letter, letter)
            if not letter.isalpha() or (len(letter) > 1 and letter not in GREEK):
                raise SyntaxProblem(f"\\{command} around {content!r}")
            plain = command in ("mathbf", "boldsymbol", "bm", "pmb", "mathcal", "mathscr", "vec") and letter not in (
                "i",
                "j",
                "k",
                "e",
            )
            command = "overline" if command == "bar" else command
            self._add("name", letter if plain else f"{command}_{letter}" if command != "mathbf" else f"hat_{letter}", 0)

    # --- letters ---

    def _letters(self) -> None:
        pattern = _TEXT_WORD if self._text_mode else _WORD
        match = pattern.match(self.text, self._position)
        assert match is not None
        word = match.group()
        if not word.isascii() and (part := _SCRIPT.match(word)):
            word = part.group()  # Chinese runs into letters without a space
        if self._text_mode:
            bare = word.rstrip(".")
            if len(bare) == 1 and bare.isascii() and bare not in UNITS:
                self._add("name", bare, len(word))
            else:
                self._add("word", bare, len(word))
            return
        if not word.isalpha():  # a hyphen or apostrophe: part of a word only if the parts are words
            parts = re.split("['-]", word)
            if any(len(part) < 2 for part in parts) or word.lower() in PLAIN_FUNCTIONS:
                word = parts[0]
        lower = word.lower()
        if lower in PLAIN_FUNCTIONS and (word.islower() or len(word) > 3):
            self._add("fn", PLAIN_FUNCTIONS[lower], len(word))
        elif word in GREEK or word in CONSTANTS or lower in ("infinity", "pi"):
            if word in GREEK and word not in CONSTANTS:
                self._add("name", word.removeprefix("var"), len(word))
            else:
                self._add("const", CONSTANTS.get(word) or CONSTANTS[lower], len(word))
        elif lower == "union" or (word == "U" and self._space and self.tokens and self.tokens[-1].kind == "close"):
            self._add("op", "cup", len(word))
        elif len(word) == 1 and word < "\u2e80":  # a letter of Chinese or Japanese is a word
            self._add("name", word, 1)
        elif (
            lower in CONNECTIVES or lower in _UNIT_LETTERS or len(word) >= 4 or not word.isascii() or not word.isalpha()
        ):
            self._glued(word)
        else:
            split = _prefix_function(word)
            if split:
                self._add(*split, len(split[1]) if split[1] != "pi" else 2)
            else:
                self._add("word", word, len(word))

    def _glued(self, word: str) -> None:
        """`sinx`, `pir`: a function or constant that runs into its argument; anything else is a word."""
        split = _prefix_function(word)
        if split:
            self._add(*split, len(split[1]))
        else:
            self._add("word", word, len(word))


def _prefix_function(word: str) -> tuple[str, str] | None:
    for name in ("arcsin", "arccos", "arctan", "sqrt", "sin", "cos", "tan", "cot", "log", "ln", "pi"):
        if word.startswith(name) and len(word) == len(name) + 1 and word.isascii() and word.lower() not in UNITS:
            return (
                ("const", "pi")
                if name == "pi"
                else ("fn", PLAIN_FUNCTIONS[name])
                if len(PLAIN_FUNCTIONS[name]) == len(name)
                else None
            )
    return None


def _dotted(text: str) -> str:
    r"""`0.\dot{3}`, `0.\dot{1}4\dot{2}`: the dots are over the first and last digit of the block."""
    whole, _, places = text.partition(".")
    first = places.index("\\dot")
    return f"{whole}.{places[:first]}({re.sub(r'[^0-9]', '', places[first:])})"


def _repeated(places: str) -> str | None:
    """Before dots, `333` means (3), `1212` (12) and `1666` 1(6): a block that ends the digits twice, with three
    digits at least.
    """
    places = places[-60:] if len(places) > 60 else places
    for start in range(len(places) - 2):
        rest = places[start:]
        for length in range(1, len(rest) // 2 + 1):
            if len(rest) >= max(3, 2 * length) and rest == (rest[:length] * len(rest))[: len(rest)]:
                return f"{places[:start]}({rest[:length]})"
    return None


_FACTORIAL = re.compile(
    r"((?:\A|=)(?:[\d\s+\-*/().{}^!]|\\(?:cdot|times|[dt]?frac|div|left|right)(?![A-Za-z]))*\d\}?)!(?==)"
)
"""A factorial before a sign of equality, where nothing but numbers is before it: 3!=6, but x!=6."""


def tokenize(text: str, *, thousands: bool = True) -> list[Token]:
    """Split an answer into tokens; `thousands=False` reads every comma as a separator."""
    if "!=" in text:
        text = _FACTORIAL.sub(r"\1! =", text)
    return Tokenizer(text, thousands=thousands).run()
