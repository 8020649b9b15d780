"""A Pratt parser: tokens to a syntax tree. Linear in the tokens, bounded in depth, and it computes nothing.

Binding powers, loosest first: lists; relations; union, intersection and difference; ratios; sums; products, also by juxtaposition; powers
and what stands behind an operand (`!`, `%`, degrees).
"""

import re
from fractions import Fraction

from kgym_plugins.verifiers.math.limits import DEPTH, DIGITS, TREE_DEPTH, LimitError, SyntaxProblem
from kgym_plugins.verifiers.math.nodes import ONE, Literal, Node, depth, number
from kgym_plugins.verifiers.math.phrases import sum_of_amounts, text_node, unit_phrase
from kgym_plugins.verifiers.math.tokens import Token
from kgym_plugins.verifiers.math.units import UNITS
from kgym_plugins.verifiers.math.vocabulary import BASE_WORDS, CONNECTIVES, NUMBER_WORDS, name_list

RELATION, SETS, RATIO, SUM, PRODUCT, PREFIX, POWER, POSTFIX = 10, 15, 18, 20, 30, 35, 50, 60
RELATIONS = frozenset({"=", "<", ">", "<=", ">=", "!=", "~", "===", "in", "notin"})
_SET_OPERATORS = {"cup": "union", "cap": "inter", "setminus": "diff"}
_END = Token("end of text", "")
_STRUCTURES = frozenset({"seq", "list", "text", "matrix", "rel", "builder", "union", "inter", "diff", "quantity", "base", "ratio"})
_UNARY_FUNCTIONS = frozenset(
    name_list(
        """
    sin cos tan cot sec csc sinh cosh tanh coth sech csch asin acos atan acot asec acsc asinh acosh atanh ln exp log lg sgn
    abs floor ceil erf Re Im arg cis sqrt cbrt det
    """
    )
)
_FUNCTION_NAMES = frozenset("fghFGHP")
_CALLED = frozenset("fghFGHPQRSTpqruvwC")


class Parser:
    """One pass over the tokens of one answer."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._bars = 0
        self._in_set = False

    # --- tokens ---

    def _peek(self, ahead: int = 0) -> Token:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else _END

    def _next(self) -> Token:
        token = self._peek()
        self._at += 1
        return token

    def _is_op(self, *values: str) -> bool:
        token = self._peek()
        return token.kind == "op" and token.value in values

    def _expect(self, kind: str) -> None:
        token = self._next()
        if token.kind != kind:
            raise SyntaxProblem(f"{token.value or token.kind!r} where {kind} was expected")

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
        if self._peek().kind != "name" or len(self._peek().value) != 1 or self._peek().value not in _CALLED:
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
                _only_expressions(left, right)
                if value in ("pm", "mp"):
                    return Node(value, (left, right))
                right = Node("neg", (right,)) if value == "-" else right
                # sums are flat, so that a long one is not a deep one; one in parentheses stays a term
                return Node("add", (*left.args, right) if left.head == "add" else (left, right))
            if value in ("*", "/") and power <= PRODUCT:
                self._at += 1
                right = self._expression(PRODUCT + 1)
                if value == "/":
                    _only_expressions(left, right)
                    return Node("div", (left, right))
                return _product(left, right)
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
            if called and right.head not in _STRUCTURES:
                return Node("call", (right,), f"${left.value}")
            return _product(left, right)
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

    def _starts_expression(self) -> bool:
        """Whether the word that comes next is a product of variables (`xy`, `ABC`) rather than a word."""
        token = self._peek()
        word = token.value
        if token.text or len(word) > 3 or not word.isascii() or not word.isalpha():
            return False
        lower = word.lower()
        if lower in _ORDINALS and self._at and self._peek(-1).kind == "num":
            return False
        if lower in UNITS or lower in CONNECTIVES or lower in NUMBER_WORDS or lower in _SHORT_WORDS:
            return False
        before, after = self._peek(-1) if self._at else _END, self._peek(1)
        alone = (before.kind in ("end of text",) or (before.kind == "op" and before.value == ",")) and (
            after.kind in {"end of text", "word"} or after.value in (",", ".")
        )
        return not (alone and (not word.islower()))

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

    def _power(self, base: Node) -> Node:
        if self._is_op("circ", "degree"):
            self._at += 1
            return Node("degree", (base,))
        if (
            self._peek().kind == "lb"
            and self._peek(1).kind == "op"
            and self._peek(1).value in ("circ", "degree")
            and self._peek(2).kind == "rb"
        ):
            self._at += 3
            return Node("degree", (base,))
        if base.value == "reals" and self._is_op("+", "-"):
            return Node("const", (), "positives" if self._next().value == "+" else "negatives")
        word = self._peek(1) if self._peek().kind == "lb" else self._peek()
        if word.kind == "name" and word.text and word.value in ("o", "O"):
            self._at += 3 if self._peek().kind == "lb" else 1
            return Node("degree", (base,))
        if word.kind == "word" and word.value.lower() in _ORDINALS:
            self._at += 3 if self._peek().kind == "lb" else 1
            return base
        if self._is_op("'"):
            self._at += 1
            return Node("sym", (), f"{base.value}'") if base.head == "sym" else base
        if self._is_op("-", "+"):
            sign = self._next().value
            exponent = self._expression(POWER)
            exponent = Node("neg", (exponent,)) if sign == "-" else exponent
        elif self._is_op("*"):
            self._at += 1
            return Node("sym", (), f"{base.value}*")
        else:
            exponent = self._group() if self._peek().kind == "lb" else self._expression(POWER)
        _only_expressions(base, exponent)
        return Node("pow", (base, exponent))

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

    # --- operands ---

    def _prefix(self) -> Node:
        token = self._next()
        kind, value = token.kind, token.value
        match kind:
            case "num":
                return Node("num", (), literal(value))
            case "name":
                return Node("const", (), value) if value in ("e", "i") else Node("sym", (), value)
            case "const":
                return Node("const", (), value)
            case "fn":
                return self._function(value)
            case "lb":
                self._at -= 1
                return self._group()
            case "open":
                return self._bracket(value)
            case "begin":
                return self._environment(value)
            case "cmd":
                return self._command(value)
            case "currency":
                amount = self._expression(PRODUCT)
                return Node("quantity", (amount,), (UNITS[value], ""))
            case "word":
                self._at -= 1
                if self._starts_expression():
                    self._at += 1
                    letters = [Node("const", (), c) if c in "ei" else Node("sym", (), c) for c in value]
                    product = letters[0]
                    if self._is_op("^"):  # xy^2 is x * y^2
                        self._at += 1
                        letters[-1] = self._power(letters[-1])
                    for letter in letters[1:]:
                        product = Node("mul", (product, letter))
                    return product
                raise SyntaxProblem(f"the word {value!r} inside an expression")
            case "op" if value == "-":
                operand = self._expression(PRODUCT)
                if operand.head == "quantity":
                    return Node("quantity", (Node("neg", operand.args),), operand.value)
                if operand.head != "matrix":
                    _only_expressions(operand)
                return Node("neg", (operand,))
            case "op" if value == "+":
                return self._expression(PRODUCT)
            case "op" if value in ("pm", "mp"):
                return Node(value, (self._expression(PRODUCT),))
            case "op" if value in ("|", "||"):
                self._bars += 1
                inner = self._expression(SUM)
                self._bars -= 1
                if not self._is_op(value):
                    raise SyntaxProblem("a bar without its partner")
                self._at += 1
                return Node("abs", (inner,))
            case "op" if value == "...":
                return Node("dots")
            case "op" if value == "degree":
                return Node("degree", (ONE,))
        raise SyntaxProblem(f"{value or kind!r} where an operand was expected")

    def _group(self) -> Node:
        self._expect("lb")
        if self._peek().kind == "rb":
            raise SyntaxProblem("an empty group")
        bars, self._bars = self._bars, 0
        self._depth += 1
        if self._depth > DEPTH:
            raise LimitError(f"an answer nested deeper than {DEPTH}")
        node = self._list()
        self._depth -= 1
        self._bars = bars
        self._expect("rb")
        return node

    def _argument(self) -> Node:
        r"""One argument of a LaTeX command: a group, or the next digit, letter or command (`\frac12`)."""
        token = self._peek()
        if token.kind == "lb":
            return self._group()
        if token.kind == "num" and len(token.value) > 1 and token.value.isdigit():
            self._tokens[self._at] = token._replace(value=token.value[1:], space=False)
            return Node("num", (), literal(token.value[0]))
        if token.kind == "word" and len(token.value) > 1:
            self._tokens[self._at] = token._replace(kind="word" if len(token.value) > 2 else "name", value=token.value[1:], space=False)
            return Node("sym", (), token.value[0])
        return self._prefix()

    def _command(self, name: str) -> Node:
        match name:
            case "frac":
                above = self._argument()
                below = self._argument()
                _only_expressions(above, below)
                return Node("div", (above, below))
            case "sqrt":
                index = None
                if self._peek().kind == "open" and self._peek().value == "[":
                    self._at += 1
                    index = self._expression(SUM)
                    self._expect("close")
                return _root(self._argument(), index)
            case "surd":
                return _root(self._root_operand(), None)
            case "cuberoot" | "fourthroot":
                return _root(self._root_operand(), number(3 if name == "cuberoot" else 4))
            case "binom":
                above = self._argument()
                return Node("call", (above, self._argument()), "binom")
            case "angle" | "triangle":
                token = self._next()
                if token.kind not in ("name", "word"):
                    raise SyntaxProblem(f"\\{name} without letters")
                return Node("sym", (), f"{name}_{token.value}")
        raise SyntaxProblem(f"\\{name} is not evaluated")

    def _root_operand(self) -> Node:
        """Behind a root sign of Unicode: the next operand, with its power but not with what it is multiplied by."""
        return self._group() if self._peek().kind == "lb" else self._expression(POWER)

    def _bracket(self, opening: str) -> Node:
        if opening in ("floor", "ceil"):
            inner = self._expression(SUM)
            self._expect("close")
            return Node("call", (inner,), opening)
        self._depth += 1
        if self._depth > DEPTH:
            raise LimitError(f"an answer nested deeper than {DEPTH}")
        bars, self._bars = self._bars, 0
        in_set, self._in_set = self._in_set, opening == "{"
        if self._peek().kind == "close" and opening in ("{", "["):
            self._at += 1
            node = Node("const", (), "empty")
        else:
            node = self._inside(opening)
        self._bars, self._in_set = bars, in_set
        self._depth -= 1
        return node

    def _inside(self, opening: str) -> Node:
        node = self._list()
        if opening == "{" and self._is_op("|", ":"):
            self._at += 1
            condition = self._list()
            self._expect("close")
            return Node("builder", (node, condition))
        closing = self._next()
        if closing.kind != "close":
            raise SyntaxProblem(f"{opening} without its partner")
        if node.head == "list":
            return Node("seq", node.args, (opening, closing.value))
        if opening in ("{", "<") or node.head in ("text", "quantity"):
            return Node("seq", (node,), (opening, closing.value))
        return node

    def _function(self, name: str) -> Node:
        exponent = base = None
        while self._is_op("^", "_"):
            if self._next().value == "^":
                exponent = self._exponent_of_function()
            else:
                base = self._argument()
        if name == "sqrt":
            return _root(self._bracketed_or_operand(), None)
        if name == "cbrt":
            return _root(self._bracketed_or_operand(), number(3))
        if name in ("mod", "choose"):
            raise SyntaxProblem(f"{name} without a left operand")
        if (self._peek().kind == "open" and self._peek().value in ("(", "[")) or self._peek().kind == "lb":
            inner = self._group() if self._peek().kind == "lb" else self._prefix()
            arguments: tuple[Node, ...] = inner.args if inner.head in ("seq", "list") else (inner,)
        else:
            arguments = (self._function_operand(),)
        if not arguments:
            raise SyntaxProblem(f"{name} of nothing")
        if name in _UNARY_FUNCTIONS and len(arguments) != 1 and not (name == "log" and len(arguments) == 2):
            raise SyntaxProblem(f"{name} of {len(arguments)} arguments")
        if name == "log" and len(arguments) == 2:
            base, arguments = arguments[-1], arguments[:1]
        if name == "exp":
            call = Node("pow", (Node("const", (), "e"), arguments[0]))
        elif name == "abs":
            call = Node("abs", arguments)
        elif name == "binom":
            if len(arguments) != 2:
                raise SyntaxProblem("binom needs two arguments")
            call = Node("call", arguments, name)
        else:
            inverse = exponent is not None and exponent.head == "neg" and exponent.args[0] == ONE_LITERAL
            if inverse and name in ("sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh"):
                name, exponent = f"a{name}", None
            call = Node("call", (*arguments, base) if base is not None else arguments, name)
        return call if exponent is None else Node("pow", (call, exponent))

    def _exponent_of_function(self) -> Node:
        if self._peek().kind == "lb":
            return self._group()
        if self._is_op("-"):
            self._at += 1
            return Node("neg", (self._argument(),))
        return self._argument()

    def _bracketed_or_operand(self) -> Node:
        if self._peek().kind == "open":
            return self._prefix()
        return self._root_operand()

    def _function_operand(self) -> Node:
        r"""`\sin 2x`: the factors that follow, up to the next function, sum or sign."""
        operand = self._expression(PREFIX)
        while True:
            token = self._peek()
            if token.kind in ("name", "const", "lb") or (token.kind == "cmd" and token.value in ("frac", "sqrt", "surd")):
                operand = _product(operand, self._expression(PREFIX + 1))
            elif self._is_op("/") and self._peek(1).kind == "num" and operand.head in ("const", "mul", "num"):
                self._at += 1
                operand = Node("div", (operand, self._expression(PREFIX + 1)))
            else:
                return operand

    def _environment(self, name: str) -> Node:
        rows: list[list[Node]] = [[]]
        while True:
            token = self._peek()
            if token.kind == "end":
                self._at += 1
                break
            if token.kind == "row":
                self._at += 1
                rows.append([])
            elif token.kind == "amp":
                self._at += 1
            elif token.kind == "end of text":
                raise SyntaxProblem("an environment without its end")
            else:
                rows[-1].append(self._list(top=name in ("cases", "aligned", "align")))
        rows = [row for row in rows if row]
        if not rows or len({len(row) for row in rows}) != 1:
            raise SyntaxProblem("rows of a matrix have different lengths")
        cells = tuple(cell for row in rows for cell in row)
        if name in ("cases", "aligned", "align", "gathered", "split"):
            if len(rows[0]) != 1:
                raise SyntaxProblem("a function defined by cases")
            return Node("list", cells, frozenset({"and"})) if len(cells) > 1 else cells[0]
        matrix = Node("matrix", cells, len(rows[0]))
        return Node("call", (matrix,), "det") if name == "vmatrix" else matrix

    # --- words ---

    def _words(self) -> Node:
        """An item that begins with a word: a number in words, a name, a sentence."""
        begin = self._at
        while not self._closing() and not (self._separator() and not self._separator_inside_words(begin)):
            self._at += 1
        node = text_node(self._tokens[begin : self._at])
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


_ORDINALS = frozenset({"th", "st", "nd", "rd"})
_SHORT_WORDS = frozenset(
    name_list(
        """
    no yes all any the not odd red dne one two six ten a an is are if for max min day new box way low top bad men sum set
    """
    )
)
ONE_LITERAL = Node("num", (), Literal(Fraction(1), None, "1"))
_NUMBER = re.compile(r"(\d*)(?:\.(\d*)(?:\((\d+)\))?)?(?:[eE]([+-]?\d+))?\Z")


def literal(text: str) -> Literal:
    """Read digits: `12`, `0.50`, `.5`, `0.1(6)` (repeating), `1e-3`. Raises LimitError for too many digits."""
    if len(text) > DIGITS:
        raise LimitError(f"a number of more than {DIGITS} digits")
    match = _NUMBER.match(text)
    if match is None:
        raise SyntaxProblem(f"{text!r} is no number")
    whole, places, block, exponent = match.groups()
    shift = int(exponent or 0)
    if abs(shift) > DIGITS:
        raise LimitError(f"an exponent of more than {DIGITS}")
    value = Fraction(int((whole or "0") + (places or "")), 10 ** len(places or ""))
    if block:
        value += Fraction(int(block), (10 ** len(block) - 1) * 10 ** len(places or ""))
        return Literal(value, None, text)
    value *= Fraction(10) ** shift
    return Literal(value, len(places) - shift if places else None, text)


def based(digits: str, base: int) -> Node:
    """Make a number in another base. Raises SyntaxProblem if a digit does not belong to it."""
    digits = digits.upper().lstrip("0") or "0"
    if not 2 <= base <= 36 or any(int(digit, 36) >= base for digit in digits):
        raise SyntaxProblem(f"{digits} is no number in base {base}")
    return Node("base", (), (digits, base))


def _root(inner: Node, index: Node | None) -> Node:
    _only_expressions(inner)
    return Node("call", (inner, index if index is not None else number(2)), "root")


def _product(left: Node, right: Node) -> Node:
    if "matrix" in (left.head, right.head):
        return Node("mul", (left, right))
    if left.head == "quantity" or right.head == "quantity":
        raise SyntaxProblem("a product with an amount of money")
    if right.head == "seq" and left.head == "sym":
        if left.value == "C" and len(right.args) == 2:
            return Node("call", right.args, "binom")
        return Node("call", right.args, f"${left.value}")
    _only_expressions(left, right)
    return Node("mul", (*left.args, right) if left.head == "mul" else (left, right))


def _only_expressions(*nodes: Node) -> None:
    for node in nodes:
        if node.head in _STRUCTURES:
            raise SyntaxProblem(f"a {node.head} where a number was expected")
