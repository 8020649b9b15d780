"""A Pratt parser: tokens to a syntax tree. Linear in the tokens, bounded in depth, and it computes nothing.

Binding powers, loosest first: lists; relations; union, intersection and difference; ratios; sums; products, also by juxtaposition; powers
and what stands behind an operand (`!`, `%`, degrees).
"""

from kgym_plugins.verifiers.math.grammar.amounts import sum_of_amounts, text_node, unit_phrase
from kgym_plugins.verifiers.math.grammar.build import STRUCTURES, based, only_expressions, product
from kgym_plugins.verifiers.math.grammar.nodes import Node, depth, number
from kgym_plugins.verifiers.math.grammar.operands import POSTFIX, POWER, PRODUCT, RATIO, SETS, SUM, Operands
from kgym_plugins.verifiers.math.grammar.tokens import Token, tokenize
from kgym_plugins.verifiers.math.limits import DEPTH, TREE_DEPTH, LimitError, SyntaxProblem
from kgym_plugins.verifiers.math.phrases.inside import CONNECTIVES
from kgym_plugins.verifiers.math.phrases.numbers import BASE_WORDS

RELATIONS = frozenset({"=", "<", ">", "<=", ">=", "!=", "~", "===", "in", "notin"})
_SET_OPERATORS = {"cup": "union", "cap": "inter", "setminus": "diff"}
_FUNCTION_NAMES = frozenset("fghFGHP")
_CALLED = frozenset("fghFGHPQRSTpqruvwC") | {"zeta", "phi", "sigma", "tau", "Gamma", "psi", "Phi"}


class Parser(Operands):
    """One pass over the tokens of one answer."""

    # --- lists and relations ---

    def whole(self) -> Node:
        """Parse everything. Raises SyntaxProblem for what the grammar does not know, LimitError beyond the limits."""
        node = self._list(top=True)
        if self._at < len(self._tokens):
            raise SyntaxProblem(f"{self._peek().value!r} is left over")
        if depth(node) > TREE_DEPTH:
            raise LimitError(f"an answer nested deeper than {TREE_DEPTH}")
        return node

    def _separator(self) -> str | None:
        token = self._peek()
        if token.kind == "op" and token.value in (",", ";", "and", "or"):
            return token.value
        if token.kind == "word" and token.value.lower() in CONNECTIVES:
            return token.value.lower()
        return None

    def _list(self, top: bool = False) -> Node:
        """Items between separators; one item alone is itself."""
        items: list[Node] = []
        separators: set[str] = set()
        while True:
            while separator := self._separator():
                separators.add(separator)
                self._at += 1
            if self._closing():
                if items and not top:
                    raise SyntaxProblem("a separator with nothing behind it")
                break
            items.append(self._item(top))
            if not self._separator():
                break
        if not items:
            raise SyntaxProblem("nothing between the brackets")
        return items[0] if len(items) == 1 else Node("list", tuple(items), frozenset(separators))

    def _closing(self) -> bool:
        token = self._peek()
        return token.kind in ("close", "rb", "end of text", "end", "amp", "row") or (self._bars > 0 and self._is_op("|"))

    def _item(self, top: bool) -> Node:
        if self._peek().kind == "word" and not self._starts_expression():
            return self._words()
        left = called if (called := self._called()) is not None else self._expression(SETS)
        operands, operators = [left], []
        while self._peek().kind == "op" and self._peek().value in RELATIONS:
            operators.append(self._next().value)
            if self._peek().kind == "word" and not self._starts_expression():
                operands.append(self._words())
            else:
                operands.append(self._expression(SETS))
        if top and self._peek().kind in ("word", "currency"):
            operands[-1] = self._quantity(operands[-1])
        if self._peek().kind == "cmd" and self._peek().value == "pmod":
            self._at += 1
            modulus = self._argument()
            return Node("congruence", (operands[-1], modulus))
        if self._peek().kind == "open" and self._peek(1).kind in ("word", "fn") and self._peek(1).value.lower() == "mod":
            self._at += 2
            modulus = self._expression(SETS)
            self._expect("close")
            return Node("congruence", (operands[-1], modulus))
        return Node("rel", tuple(operands), tuple(operators)) if operators else operands[0]

    def _called(self) -> Node | None:
        """`f(x) =`, `f^{-1}(x) =`, `P(A) =`: a function's name with its arguments, before a sign of equality."""
        if self._peek().kind != "name" or self._peek().value not in _CALLED:
            return None
        at = self._at + 1
        tokens = self._tokens
        while at < len(tokens) and tokens[at].value in ("^", "{", "-", "1", "}", "'", "_", "2", "n", "''"):
            at += 1
        if at >= len(tokens) or tokens[at].kind != "open":
            return None
        end = at
        while end < len(tokens) and tokens[end].kind != "close":
            end += 1
        if end + 1 >= len(tokens) or tokens[end + 1].kind != "op" or tokens[end + 1].value not in ("=", "~"):
            return None
        name = "".join(token.value for token in tokens[self._at : at])
        arguments = "".join(token.value for token in tokens[at + 1 : end])
        plain = tokens[at + 1].kind == "name" and end == at + 2
        self._at = end + 1
        return Node("fcall", (Node("sym", (), arguments),) if plain else (), (name, arguments))

    # --- expressions ---

    def _expression(self, power: int) -> Node:
        self._depth += 1
        if self._depth > DEPTH:
            raise LimitError(f"an answer nested deeper than {DEPTH}")
        left = self._prefix()
        while True:
            left_or_none = self._infix(left, power)
            if left_or_none is None:
                break
            left = left_or_none
        self._depth -= 1
        return left

    def _infix(self, left: Node, power: int) -> Node | None:
        token = self._peek()
        kind, value = token.kind, token.value
        if kind == "op":
            if value in ("+", "-", "pm", "mp") and power <= SUM:
                self._at += 1
                right = self._expression(SUM + 1)
                if value == "-" and right.head == "seq" and (left.head in ("seq", "union") or left.value == "reals"):
                    return Node("diff", (left, right))
                only_expressions(left, right)
                if value in ("pm", "mp"):
                    return Node(value, (left, right))
                right = Node("neg", (right,)) if value == "-" else right
                # sums are flat, so that a long one is not a deep one; one in parentheses stays a term
                return Node("add", (*left.args, right) if left.head == "add" else (left, right))
            if value in ("*", "/") and power <= PRODUCT:
                self._at += 1
                right = self._expression(PRODUCT + 1)
                if value == "/":
                    only_expressions(left, right)
                    return Node("div", (left, right))
                return product(left, right)
            if value == "^" and power <= POWER:
                self._at += 1
                return self._power(left)
            if value == "_" and power <= POSTFIX:
                self._at += 1
                return self._subscript(left)
            if value == "!" and power <= POSTFIX:
                self._at += 1
                double = self._is_op("!") and not self._peek().space
                self._at += double
                return Node("fact", (left,), 2 if double else 1)
            if value in ("%", "permille") and power <= POSTFIX:
                self._at += 1
                return Node("percent", (left,), 100 if value == "%" else 1000)
            if value in ("degree", "circ") and power <= POSTFIX:
                self._at += 1
                return Node("degree", (left,))
            if value == "'" and left.head == "sym" and power <= POSTFIX:
                self._at += 1
                return Node("sym", (), left.value + "'")
            if value == ":" and power <= RATIO and not self._in_set:
                parts = [left]
                while self._is_op(":"):
                    self._at += 1
                    parts.append(self._expression(RATIO + 1))
                return Node("ratio", tuple(parts))
            if value in _SET_OPERATORS and power <= SETS:
                self._at += 1
                right = self._expression(SETS + 1)
                return Node(_SET_OPERATORS[value], (left, right))
            return None
        if kind == "word" and value.lower() == "out" and self._peek(1).value.lower() == "of" and power <= RATIO:  # 3 out of 4
            self._at += 2
            return Node("div", (left, self._expression(RATIO + 1)))
        if kind == "word" and value.lower() == "to" and power <= RATIO:
            self._at += 1
            return Node("ratio", (left, self._expression(RATIO + 1)))
        if kind == "cmd" and value in ("bmod", "over", "choose"):
            if power > (PRODUCT if value == "bmod" else SUM):
                return None
            self._at += 1
            right = self._expression(PRODUCT + 1 if value == "bmod" else SUM)
            if value == "choose":
                return Node("call", (left, right), "binom")
            return Node("mod" if value == "bmod" else "div", (left, right))
        if kind == "fn" and value in ("mod", "choose") and power <= PRODUCT:
            self._at += 1
            right = self._expression(PRODUCT + 1)
            return Node("call", (left, right), "binom") if value == "choose" else Node("mod", (left, right))
        if power <= PRODUCT and self._juxtaposed(left):
            mixed = self._mixed(left)
            if mixed is not None:
                return mixed
            called = left.head == "sym" and left.value in _FUNCTION_NAMES and self._peek().kind == "open" and not self._peek().space
            right = self._expression(POSTFIX + 1 if called else PRODUCT + 1)
            if called and right.head not in STRUCTURES:
                return Node("call", (right,), f"${left.value}")
            return product(left, right)
        return None

    def _juxtaposed(self, left: Node) -> bool:
        token = self._peek()
        if left.head == "degree" and token.kind == "name" and token.value in ("C", "F"):
            self._tokens[self._at] = Token("word", "celsius" if token.value == "C" else "fahrenheit", False, True)
            return False
        if token.kind in ("num", "name", "const", "fn", "lb", "begin"):
            if token.kind == "num" and left.head == "num":
                return token.space and self._mixed_ahead()  # "3 4" is no product
            return True
        if token.kind == "cmd":
            return token.value not in ("pmod", "over", "choose", "bmod", "substack")
        if token.kind == "open":
            return not (self._peek(1).kind in ("word", "fn") and self._peek(1).value.lower() == "mod")
        if token.kind == "word":
            return self._starts_expression()
        return False

    def _mixed_ahead(self) -> bool:
        return self._peek(1).kind == "op" and self._peek(1).value == "/" and self._peek(2).kind == "num"

    def _mixed(self, left: Node) -> Node | None:
        r"""`2\frac{1}{3}` and `2 1/3`: an integer and a proper fraction beside it are their sum."""
        if left.head != "num" or left.value.places is not None or left.value.value.denominator != 1:
            return None
        begin = self._at
        token = self._peek()
        if token.kind == "cmd" and token.value == "frac":
            fraction = self._prefix()
            above, below = fraction.args
        elif token.kind == "num" and self._mixed_ahead():
            above = self._prefix()
            self._at += 1
            below = self._prefix()
        else:
            return None
        whole = all(part.head == "num" and part.value.places is None and part.value.value.denominator == 1 for part in (above, below))
        if not whole or not 0 < above.value.value < below.value.value:
            self._at = begin
            return None
        return number(left.value.value + above.value.value / below.value.value)

    def _subscript(self, left: Node) -> Node:
        begin = self._at
        if self._peek().kind == "lb":
            depth = 0
            while True:
                token = self._next()
                depth += (token.kind == "lb") - (token.kind == "rb")
                if token.kind == "end of text":
                    raise SyntaxProblem("a subscript without its closing brace")
                if depth == 0:
                    break
            inner = self._tokens[begin + 1 : self._at - 1]
        else:
            self._at += 1
            inner = self._tokens[begin : self._at]
        words = [token.value.lower() for token in inner if token.value not in ("(", ")", "base")]
        if left.head == "num" and left.value.places is None and len(words) == 1:
            base = int(words[0]) if words[0].isdigit() and len(words[0]) < 3 else BASE_WORDS.get(words[0])
            if base is not None:
                return based(left.value.text, base)
        if left.head == "sym":
            return Node("sym", (), f"{left.value}_{''.join(token.value for token in inner)}")
        raise SyntaxProblem("a subscript where none belongs")

    # --- words ---

    def _words(self) -> Node:
        """An item that begins with a word: a number in words, a name, a sentence."""
        begin = self._at
        while not self._closing() and not (self._separator() and not self._separator_inside_words(begin)):
            self._at += 1
        node = text_node(self._tokens[begin : self._at], parse)
        if node is None:
            raise SyntaxProblem("words and formulas in one item")
        return node

    def _separator_inside_words(self, begin: int) -> bool:
        """`one hundred and five`: an "and" inside a number."""
        before = self._tokens[self._at - 1].value.lower() if self._at > begin else ""
        return self._peek().value == "and" and before in ("hundred", "thousand", "million")

    def _quantity(self, node: Node) -> Node:
        begin, braces = self._at, 0
        while not (braces == 0 and (self._closing() or self._separator())) and self._peek().kind != "end of text":
            if braces == 0 and self._peek().kind == "num" and self._peek(-1).value != "^":
                break
            token = self._next()
            braces += (token.kind in ("lb", "open")) - (token.kind in ("rb", "close"))
        amount = unit_phrase(node, self._tokens[begin : self._at]) if self._at > begin else node
        if amount.head == "quantity" and self._peek().kind == "num":  # 1 hour 30 minutes
            return sum_of_amounts(amount, self._quantity(self._expression(SETS)))
        return amount


def parse(text: str, *, thousands: bool = True) -> Node:
    """Return the tree of an answer. Raises SyntaxProblem for what the grammar does not know, LimitError beyond the limits."""
    return Parser(tokenize(text, thousands=thousands)).whole()
