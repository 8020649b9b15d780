"""Operands of the grammar: numbers, names, groups, brackets, LaTeX commands, functions, environments."""

from kgym_plugins.verifiers.math.grammar.build import ONE_LITERAL, literal, only_expressions, product, root, transposed
from kgym_plugins.verifiers.math.grammar.cursor import END, Reader
from kgym_plugins.verifiers.math.grammar.nodes import ONE, Node, number
from kgym_plugins.verifiers.math.limits import DEPTH, LimitError, SyntaxProblem
from kgym_plugins.verifiers.math.phrases.inside import BEFORE_CONDITION, CONNECTIVES, OTHERWISE, SHORT_WORDS
from kgym_plugins.verifiers.math.phrases.numbers import NUMBER_WORDS
from kgym_plugins.verifiers.math.phrases.units import ORDINALS, UNITS
from kgym_plugins.verifiers.math.tables import name_list

RELATION, SETS, RATIO, SUM, PRODUCT, PREFIX, POWER, POSTFIX = 10, 15, 18, 20, 30, 35, 50, 60
_UNARY_FUNCTIONS = frozenset(
    name_list(
        """
    sin cos tan cot sec csc sinh cosh tanh coth sech csch asin acos atan acot asec acsc asinh acosh atanh ln exp log lg sgn
    abs floor ceil erf Re Im arg cis sqrt cbrt det
    """
    )
)


class Operands(Reader):
    """The part of the parser that reads one operand."""

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
                    only_expressions(operand)
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
        if self._is_op("|", ":"):  # {x | x > 2} in plain text
            self._at += 1
            node = Node("builder", (node, self._list()))
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
                only_expressions(above, below)
                return Node("div", (above, below))
            case "sqrt":
                index = None
                if self._peek().kind == "open" and self._peek().value == "[":
                    self._at += 1
                    index = self._expression(SUM)
                    self._expect("close")
                return root(self._argument(), index)
            case "surd":
                return root(self._root_operand(), None)
            case "cuberoot" | "fourthroot":
                return root(self._root_operand(), number(3 if name == "cuberoot" else 4))
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
            return root(self._bracketed_or_operand(), None)
        if name == "cbrt":
            return root(self._bracketed_or_operand(), number(3))
        if name in ("mod", "choose"):
            raise SyntaxProblem(f"{name} without a left operand")
        if (self._peek().kind == "open" and self._peek().value in _ARGUMENT_BRACKETS.get(name, "([")) or self._peek().kind == "lb":
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
                operand = product(operand, self._expression(PREFIX + 1))
            elif self._is_op("/") and self._peek(1).kind == "num" and operand.head in ("const", "mul", "num"):
                self._at += 1
                operand = Node("div", (operand, self._expression(PREFIX + 1)))
            else:
                return operand

    def _environment(self, name: str) -> Node:
        rows: list[list[Node]] = [[]]
        piecewise = name in ("cases", "dcases", "rcases")
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
                if piecewise and rows[-1] and (condition := self._condition()) is not None:
                    rows[-1].append(condition)
                    continue
                rows[-1].append(self._list(top=piecewise or name in ("aligned", "align")))
        rows = [row for row in rows if row]
        if not rows or len({len(row) for row in rows}) != 1:
            raise SyntaxProblem("rows of a matrix have different lengths")
        cells = tuple(cell for row in rows for cell in row)
        if piecewise and len(rows[0]) == 2:
            return Node("cases", cells)
        if piecewise or name in ("aligned", "align", "gathered", "split"):
            if len(rows[0]) != 1:
                raise SyntaxProblem("columns of formulas")
            return Node("list", cells, frozenset({"and"})) if len(cells) > 1 else cells[0]
        matrix = Node("matrix", cells, len(rows[0]))
        return Node("call", (matrix,), "det") if name == "vmatrix" else matrix

    def _condition(self) -> Node | None:
        """`otherwise`; or nothing, and the word before a condition (`if x > 0`) is passed over."""
        while self._peek().kind == "word" and self._peek().value.lower() in BEFORE_CONDITION:
            self._at += 1
        if self._peek().kind == "word" and self._peek().value.lower() in OTHERWISE:
            self._at += 1
            while self._is_op(",", ";"):
                self._at += 1
            return Node("text", (), "otherwise")
        return None

    def _starts_expression(self) -> bool:
        """Whether the word that comes next is a product of variables (`xy`, `ABC`) rather than a word."""
        token = self._peek()
        word = token.value
        if token.text or len(word) > 3 or not word.isascii() or not word.isalpha():
            return False
        lower = word.lower()
        if lower in ORDINALS and self._at and self._peek(-1).kind == "num":
            return False
        if lower in UNITS or lower in CONNECTIVES or lower in NUMBER_WORDS or lower in SHORT_WORDS:
            return False
        before, after = self._peek(-1) if self._at else END, self._peek(1)
        alone = (before.kind in ("end of text",) or (before.kind == "op" and before.value == ",")) and (
            after.kind in {"end of text", "word"} or after.value in (",", ".")
        )
        return not (alone and (not word.islower()))

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
        if base.head in ("seq", "matrix") and self._peek().kind == "name" and self._peek().value == "T":
            self._at += 1
            return transposed(base)
        if base.value == "reals" and self._is_op("+", "-"):
            return Node("const", (), "positives" if self._next().value == "+" else "negatives")
        word = self._peek(1) if self._peek().kind == "lb" else self._peek()
        if word.kind == "name" and word.text and word.value in ("o", "O"):
            self._at += 3 if self._peek().kind == "lb" else 1
            return Node("degree", (base,))
        if word.kind == "word" and word.value.lower() in ORDINALS:
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
        only_expressions(base, exponent)
        return Node("pow", (base, exponent))


_ARGUMENT_BRACKETS = dict.fromkeys(("max", "min", "gcd", "lcm"), "([{")
