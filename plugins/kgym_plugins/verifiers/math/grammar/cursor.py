"""The tokens of an answer and the place where the parser is: what the functions of the grammar share."""

from kgym_plugins.verifiers.math.grammar.tokens import Token
from kgym_plugins.verifiers.math.limits import DEPTH, LimitError, SyntaxProblem
from kgym_plugins.verifiers.math.phrases.inside import CONNECTIVES, SHORT_WORDS
from kgym_plugins.verifiers.math.phrases.numbers import NUMBER_WORDS
from kgym_plugins.verifiers.math.phrases.units import ORDINALS, UNITS, unit_named

END = Token("end of text", "")


class Cursor:
    """A place in the tokens of one answer, and what is open there."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.bars = 0
        """Bars of absolute values that are open."""
        self.groups = 0
        """Groups in LaTeX's braces that are open: in them letters are not units, so that `\\frac{mg}{k}` is a force
        by a stiffness.
        """
        self.in_set = False
        """Whether a colon is "such that"."""
        self._depth = 0
        self._derived: frozenset[str] | None = None

    def peek(self, ahead: int = 0) -> Token:
        """Return a token that comes, or one that was before."""
        at = self.at + ahead
        return self.tokens[at] if 0 <= at < len(self.tokens) else END

    def next(self) -> Token:
        """Take a token."""
        token = self.peek()
        self.at += 1
        return token

    def is_op(self, *values: str) -> bool:
        """Whether one of these signs comes."""
        token = self.peek()
        return token.kind == "op" and token.value in values

    def expect(self, kind: str) -> None:
        """Take a token of a kind. Raises SyntaxProblem for another."""
        token = self.next()
        if token.kind != kind:
            raise SyntaxProblem(f"{token.value or token.kind!r} where {kind} was expected")

    def enter(self) -> None:
        """Go one level deeper. Raises LimitError for too deep an answer."""
        self._depth += 1
        if self._depth > DEPTH:
            raise LimitError(f"an answer nested deeper than {DEPTH}")

    def leave(self) -> None:
        """Come back from `enter`."""
        self._depth -= 1

    def unit_fraction_ahead(self) -> bool:
        r"""Whether a fraction of units comes: `\\frac{\\mathrm{N}}{\\mathrm{m}^2}`."""
        return (
            self.peek().kind == "cmd"
            and self.peek().value == "frac"
            and self.peek(1).kind == "lb"
            and self.peek(2).kind == "word"
            and self.peek(2).text
        )

    def unit_ahead(self, ahead: int = 0) -> bool:
        r"""Whether the name of a unit comes, as text: `\text{lb}`."""
        token = self.peek(ahead)
        return token.kind == "word" and token.text and unit_named(token.value) is not None

    def unit_quotient_ahead(self) -> bool:
        r"""Whether `/\\text{lb}` comes, or a fraction of units."""
        return (self.is_op("/") and self.unit_ahead(1)) or self.unit_fraction_ahead()

    def pass_argument(self) -> None:
        """Pass over the letter in brackets after the name of a function: `(t)` in y'(t)."""
        opening, letter, closing = (self.peek(ahead) for ahead in range(3))
        if opening.kind == "open" and opening.value == "(" and letter.kind == "name" and closing.kind == "close":
            self.at += 3

    def is_derived(self, name: str) -> bool:
        """Whether a derivative of this name is somewhere in the answer: then the name is that of a function."""
        if self._derived is None:
            primed = set[str]()
            for at, token in enumerate(self.tokens):
                behind = [after.value for after in self.tokens[at + 1 : at + 4] if after.value not in ("^", "{")]
                if token.kind == "name" and behind and behind[0] in ("'", "''"):
                    primed.add(token.value)
            dotted = {
                token.value.rpartition("dot_")[2]
                for token in self.tokens
                if token.kind == "name" and "dot_" in token.value
            }
            self._derived = frozenset(primed | dotted)
        return name in self._derived

    def starts_product(self) -> bool:
        """Whether the word that comes next is a product of variables (`xy`, `ABC`) rather than a word."""
        token = self.peek()
        word = token.value
        if token.text or len(word) > 3 or not word.isascii() or not word.isalpha():
            return False
        lower = word.lower()
        if lower in ORDINALS and self.at and self.peek(-1).kind == "num":
            return False
        if (
            (lower in UNITS and not self.groups)
            or lower in CONNECTIVES
            or lower in NUMBER_WORDS
            or lower in SHORT_WORDS
        ):
            return False
        before, after = self.peek(-1) if self.at else END, self.peek(1)
        alone = (before.kind in ("end of text",) or (before.kind == "op" and before.value == ",")) and (
            after.kind in {"end of text", "word"} or after.value in (",", ".")
        )
        return not (alone and (not word.islower()))
