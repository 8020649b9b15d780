"""Whether an answer is the gold answer, by type. Every rule has a name, which becomes the reason of the verdict.

The gold answer says what is asked for: an interval, a point, an equation of a line, an amount with its unit. The answer may leave out what
the question has named already (the unit, the `x =`), and may not add or change anything.
"""

from itertools import pairwise

from kgym_plugins.verifiers.math.compare import amounts
from kgym_plugins.verifiers.math.grammar.nodes import ONE, ZERO, Node, canonical, symbols, walk
from kgym_plugins.verifiers.math.limits import LimitError
from kgym_plugins.verifiers.math.numbers.exact import Undefined, stated
from kgym_plugins.verifiers.math.numbers.scalars import proportional, same_scalar
from kgym_plugins.verifiers.math.phrases.named import INFINITELY_MANY
from kgym_plugins.verifiers.math.values.interpret import as_set, interval, part
from kgym_plugins.verifiers.math.values.realsets import INFINITY, MINUS_INFINITY, Unordered, same_set, union
from kgym_plugins.verifiers.math.values.types import (
    Assignments,
    BaseNumber,
    Choice,
    Clock,
    Collection,
    Congruence,
    Equation,
    Inequality,
    Matrix,
    Opaque,
    Ordered,
    Piecewise,
    Ratio,
    RealSet,
    Scalar,
    Value,
    Words,
)

_MOST_ITEMS = 200
_FUNCTION_NAMES = frozenset("yfghpq")
_OPPOSITE = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "!=": "!="}


def same(gold: Value, answer: Value) -> str | None:
    """Return the name of the rule by which the answer is right, or None. Raises LimitError if it asks for too much."""
    gold, answer = _plain(gold), _plain(answer)
    gold, answer = _components(gold, answer), _imaginary(_components(answer, gold), gold)
    if isinstance(answer, Collection) and answer.alternatives and answer.items and not isinstance(gold, Collection):
        rules = [same(gold, item) for item in answer.items]  # "1/2 or 0.5" is one answer
        if all(rules):
            return rules[0]
    if isinstance(gold, Choice) or isinstance(answer, Choice):
        return _choice(gold, answer)
    if isinstance(gold, Piecewise) and isinstance(answer, Piecewise):
        return _piecewise(gold, answer)
    if isinstance(gold, Assignments) or isinstance(answer, Assignments):
        return _assignments(gold, answer)
    if isinstance(gold, Equation) or isinstance(answer, Equation):
        return _equation(gold, answer)
    if isinstance(gold, Inequality) or isinstance(answer, Inequality):
        return _inequality(gold, answer)
    if isinstance(gold, RealSet) or isinstance(answer, RealSet):
        return _real_set(gold, answer)
    if isinstance(gold, Collection) or isinstance(answer, Collection):
        return _collection(gold, answer)
    if isinstance(gold, Matrix) or isinstance(answer, Matrix):
        return _matrix(gold, answer)
    if isinstance(gold, Ordered) or isinstance(answer, Ordered):
        return _ordered(gold, answer)
    if isinstance(gold, Ratio) or isinstance(answer, Ratio):
        return amounts.same_ratio(gold, answer)
    if isinstance(gold, Scalar) and isinstance(answer, Scalar):
        return amounts.same_amount(gold, answer)
    if isinstance(gold, Congruence) or isinstance(answer, Congruence):
        return amounts.same_congruence(gold, answer)
    if isinstance(gold, BaseNumber) or isinstance(answer, BaseNumber):
        return amounts.same_based(gold, answer)
    if isinstance(gold, Clock) or isinstance(answer, Clock):
        return amounts.same_clock(gold, answer)
    return _text(gold, answer)


def _plain(value: Value) -> Value:
    """A collection of one thing is that thing."""
    while isinstance(value, Collection) and len(value.items) == 1 and not (value.braces and isinstance(value.items[0], Collection)):
        value = value.items[0]
    return value


_UNIT_VECTORS = ("hat_i", "hat_j", "hat_k")


def _components(value: Value, other: Value) -> Value:
    """A sum of multiples of the unit vectors i, j, k (in bold or with hats) as a vector, where the other side is one."""
    if not isinstance(value, Scalar) or not isinstance(other, Ordered | Matrix):
        return value
    if not (names := symbols(value.expression) & frozenset(_UNIT_VECTORS)):
        return value
    size = len(other.items) if isinstance(other, Ordered) else sum(map(len, other.rows))
    if size not in (2, 3) or (size == 2 and "hat_k" in names):
        return value
    nothing = _at(value.expression, {})
    cells = tuple(_at(value.expression, {name: ONE}) for name in _UNIT_VECTORS[:size])
    total = Node("add", tuple(Node("mul", (cell, Node("sym", (), name))) for cell, name in zip(cells, _UNIT_VECTORS, strict=False)))
    if same_scalar(ZERO, nothing) is None or same_scalar(total, value.expression) is None:
        return value  # not linear
    return Ordered(tuple(Scalar(cell) for cell in cells), "<", ">")


def _imaginary(answer: Value, gold: Value) -> Value:
    """`3 + 4*I` and `3 + 4j`, as programs write it, where the gold answer is complex."""
    if not isinstance(gold, Scalar) or not isinstance(answer, Scalar) or not symbols(answer.expression) & {"I", "j"}:
        return answer
    if symbols(gold.expression) & {"I", "j"} or not _has_i(gold.expression) or _has_i(answer.expression):
        return answer
    return Scalar(_with_i(answer.expression), answer.unit, answer.noun, answer.percent)


def _has_i(node: Node) -> bool:
    return any(item.head == "const" and item.value == "i" for item in walk(node))


def _with_i(node: Node) -> Node:
    if node.head == "sym" and node.value in ("I", "j"):
        return Node("const", (), "i")
    return node._replace(args=tuple(map(_with_i, node.args))) if node.args else node


def _at(node: Node, point: dict[str, Node]) -> Node:
    """Put numbers in the place of the unit vectors, zero for those that are not named."""
    if node.head == "sym":
        return point.get(node.value, ZERO) if node.value in _UNIT_VECTORS else node
    return node._replace(args=tuple(_at(arg, point) for arg in node.args))


def _piecewise(gold: Piecewise, answer: Piecewise) -> str | None:
    """Cases in any order; "otherwise" stands for the one condition that is left over."""
    if len(gold.cases) != len(answer.cases):
        return None
    rest, unmatched = list(answer.cases), list[tuple[Value, Value]]()
    for value, condition in gold.cases:
        found = next((case for case in rest if same(condition, case[1]) and same(value, case[0])), None)
        if found is None:
            unmatched.append((value, condition))
        else:
            rest.remove(found)
    if not unmatched:
        return "cases"
    left_over = len(unmatched) == 1 and _OTHERWISE in (unmatched[0][1], rest[0][1])
    return "cases" if left_over and same(unmatched[0][0], rest[0][0]) else None


_OTHERWISE = Words("otherwise")


# --- equations and inequalities ---------------------------------------------------------------------------------------


def _is_name(node: Node) -> bool:
    return node.head in ("sym", "fcall")


def _named_value(equation: Equation) -> bool:
    """Whether the left side only names what the right side says: x, f(x), m + n, |AB|, but not 2x + 1."""
    if _is_name(equation.left):
        return equation.left.head == "fcall" or equation.left.value not in symbols(equation.right)
    if not symbols(equation.left) or symbols(equation.right):
        return False
    return not _has_numbers(equation.left)


def _has_numbers(node: Node) -> bool:
    """Whether a left side computes with numbers, other than as exponents and arguments of functions."""
    if node.head in ("num", "const"):
        return True
    if node.head == "call":
        return node.value == "root" and _has_numbers(node.args[0])
    return any(map(_has_numbers, node.args[:1] if node.head == "pow" else node.args))


def _values(equation: Equation) -> list[Node] | None:
    """What the sides of a chain say the value is, the exact one first; None if they contradict each other."""
    sides = [*equation.middle, equation.right]
    operators = equation.operators[1:]
    if not symbols(equation.left) and not _is_name(equation.left):  # 2 + 3 = 5
        sides = [equation.left, *sides]
        operators = equation.operators
    for (left, right), operator in zip(pairwise(sides), operators, strict=True):
        if left.head in ("seq", "list") or right.head in ("seq", "list"):
            continue
        one, other = part(left), part(right)
        if isinstance(one, BaseNumber) and isinstance(other, BaseNumber):  # 12_7 = 9_10
            if int(one.digits, one.base) != int(other.digits, other.base):
                return None
            continue
        if operator == "=" and same(one, other) is None and not _rounds(left, right):
            return None
        if operator == "~" and not _near(left, right):
            return None
    exact_sides = [side for position, side in enumerate(sides) if position == 0 or (*("=",), *operators)[position] == "="]
    last = exact_sides[-1]
    return [last, *(side for side in sides if side is not last)]


def _rounds(left: Node, right: Node) -> bool:
    """Whether the right side is a decimal that rounds or cuts off the left one."""
    return stated(right) is not None and _near(left, right, exactly=True)


def _near(left: Node, right: Node, *, exactly: bool = False) -> bool:
    """Whether two sides of an approximate equality agree to the precision of the coarser, or to one in a hundred.

    `exactly`: the right side is a decimal that a sign of equality stands before; it must have all its digits right, but for the last,
    which may be cut off instead of rounded.
    """
    from kgym_plugins.verifiers.math.numbers.numeric import Evaluator  # noqa: PLC0415  (mpmath is not needed for exact answers)

    evaluator = Evaluator(30)
    try:
        one, other = evaluator(_bare(left)), evaluator(_bare(right))
    except (Undefined, LimitError):
        return False
    if exactly:
        decimal = stated(right)
        return decimal is not None and bool(abs(one - other) < evaluator._fraction(2 * decimal[1]) * (1 - evaluator.ctx.mpf(10) ** -9))
    halves = [found[1] for found in (stated(_bare(left)), stated(_bare(right))) if found]
    tolerance = max([abs(one) / 100, *(evaluator._fraction(2 * half) for half in halves)])
    return bool(abs(one - other) <= tolerance)


def _bare(node: Node) -> Node:
    return node.args[0] if node.head in ("quantity", "percent") else node


def _equation(gold: Value, answer: Value) -> str | None:
    if isinstance(gold, Equation) and isinstance(answer, Equation):
        return _two_equations(gold, answer)
    if isinstance(answer, Equation):
        if symbols(answer.left) and not _named_value(answer):
            return None
        values = _values(answer)
        for value in values or []:
            rule = same(gold, part(value))
            if rule:
                return "named value"
        return None
    assert isinstance(gold, Equation)
    if symbols(gold.left) and not _named_value(gold):
        return None
    for value in _values(gold) or []:
        if same(part(value), answer):
            return "value of an equation"
    return None


def _two_equations(gold: Equation, answer: Equation) -> str | None:
    if canonical(gold.left) == canonical(answer.left) and canonical(gold.right) == canonical(answer.right):
        return "identical"
    if _is_name(gold.left) and _is_name(answer.left) and _named_value(gold) and _named_value(answer):
        if canonical(gold.left) != canonical(answer.left) and not (_is_function(gold.left) and _is_function(answer.left)):
            if symbols(gold.right) and symbols(answer.right):
                return _same_curve(gold, answer)
            return None
        return _equal_sides(gold, answer)
    if _is_name(gold.left) and _named_value(gold) and not symbols(gold.right) and not _solved_alike(gold, answer):
        return None  # the answer x = 3 wants more than the equation 2x = 6
    return _same_curve(gold, answer)


def _is_function(node: Node) -> bool:
    return node.head == "fcall" or node.value in _FUNCTION_NAMES


def _solved_alike(gold: Equation, answer: Equation) -> bool:
    return canonical(gold.left) == canonical(answer.left) and not symbols(answer.right)


def _equal_sides(gold: Equation, answer: Equation) -> str | None:
    left, right = _values(gold), _values(answer)
    if not left or not right:
        return None
    if gold.left.head == "fcall" and answer.left.head == "fcall" and gold.left.args and answer.left.args:
        old, new = answer.left.args[0].value, gold.left.args[0].value
        if old != new and new not in symbols(right[0]):
            right = [_renamed(side, old, new) for side in right]
    return "equal sides" if any(same(part(one), part(other)) for one in left for other in right) else None


def _renamed(node: Node, old: str, new: str) -> Node:
    if node.head == "sym":
        return node._replace(value=new) if node.value == old else node
    return node._replace(args=tuple(_renamed(arg, old, new) for arg in node.args))


def _difference(equation: Equation | Inequality) -> Node:
    return Node("add", (equation.left, Node("neg", (equation.right,))))


def _same_curve(gold: Equation, answer: Equation) -> str | None:
    """Equations up to a factor that is not zero."""
    if len(gold.operators) > 1 or len(answer.operators) > 1:
        return None
    one, other = _difference(gold), _difference(answer)
    if symbols(one) != symbols(other):
        return None
    if any(item.head in ("pm", "mp") for tree in (one, other) for item in walk(tree)):
        return None
    return "equation" if proportional(one, other) is not None else None


def _inequality(gold: Value, answer: Value) -> str | None:
    gold, answer = _as_inequality(gold), _as_inequality(answer)
    if not isinstance(gold, Inequality) or not isinstance(answer, Inequality):
        return None
    one, other = _difference(gold), _difference(answer)
    if symbols(one) != symbols(other):
        return None
    sign = proportional(one, other)
    if sign is None:
        return None
    operator = answer.operator if sign > 0 else _OPPOSITE[answer.operator]
    return "inequality" if operator == gold.operator else None


def _as_inequality(value: Value) -> Value:
    """Half a line of a variable whose end has variables, back to the inequality."""
    if not isinstance(value, RealSet) or not value.variable or len(value.pieces) != 1:
        return value
    (piece,) = value.pieces
    name = Node("sym", (), value.variable)
    if not symbols(piece.low) | symbols(piece.high):
        return value  # a solved inequality is not the unsolved one
    if piece.low == MINUS_INFINITY:
        return Inequality("<=" if piece.high_closed else "<", name, piece.high)
    if piece.high == INFINITY:
        return Inequality(">=" if piece.low_closed else ">", name, piece.low)
    return value


def _real_set(gold: Value, answer: Value) -> str | None:
    if isinstance(answer, Words) or isinstance(gold, Words):
        return None
    if isinstance(gold, Scalar) or isinstance(answer, Scalar):
        return None
    left, right = as_set(_united(gold)), as_set(_united(answer))
    if left is None or right is None:
        return None
    try:
        if same_set(left, right):
            return "interval"
    except Unordered:
        return None
    if left.variable and right.variable and symbols_of_set(left) and symbols_of_set(right):
        return _inequality(gold, answer) if _as_inequality(gold) is not gold and _as_inequality(answer) is not answer else None
    return None


def _united(value: Value) -> Value:
    """Intervals with commas between them, as a union."""
    if isinstance(value, Collection) and not value.braces and value.items:
        pieces = [interval(item) for item in value.items]
        if all(piece is not None for piece in pieces):
            return RealSet(union([piece for piece in pieces if piece is not None]))
    return value


def symbols_of_set(value: RealSet) -> bool:
    """Whether an end point has variables."""
    return any(symbols(piece.low) | symbols(piece.high) for piece in value.pieces)


# --- several things ---------------------------------------------------------------------------------------------------


def _pairs(gold: tuple[Value, ...], answer: tuple[Value, ...]) -> bool:
    return len(gold) == len(answer) and all(same(one, other) for one, other in zip(gold, answer, strict=True))


def _matching(gold: tuple[Value, ...], answer: tuple[Value, ...]) -> bool:
    """Whether two collections have the same items, whatever the order."""
    if len(gold) != len(answer):
        return False
    if len(gold) > _MOST_ITEMS:
        raise LimitError(f"a collection of more than {_MOST_ITEMS} items")
    left = list(answer)
    for item in gold:
        found = next((at for at, other in enumerate(left) if same(item, other)), None)
        if found is None:
            return False
        del left[found]
    return True


def _distinct(items: tuple[Value, ...]) -> tuple[Value, ...]:
    if len(items) > _MOST_ITEMS:
        raise LimitError(f"a collection of more than {_MOST_ITEMS} items")
    found: list[Value] = []
    for item in items:
        if not any(same(other, item) for other in found):
            found.append(item)
    return tuple(found)


def _collection(gold: Value, answer: Value) -> str | None:
    if isinstance(gold, Collection) and isinstance(answer, Collection):
        one, other = gold.items, answer.items
        if gold.braces or answer.braces or gold.alternatives or answer.alternatives:
            one, other = _distinct(one), _distinct(other)
        return "collection" if _matching(one, other) else None
    collection, rest = (gold, answer) if isinstance(gold, Collection) else (answer, gold)
    assert isinstance(collection, Collection)
    if not isinstance(rest, Ordered) or rest.opening == "<" or collection.alternatives:
        return None
    pair = len(rest.items) == 2 and interval(rest) is not None
    if rest.opening == "[" and rest.closing == "]" and not (pair and collection.braces):
        return "collection" if _matching(collection.items, rest.items) else None
    if rest.opening == "(" and rest.closing == ")" and not collection.braces:
        return "tuple" if _pairs(collection.items, rest.items) else None
    return None


def _ordered(gold: Value, answer: Value) -> str | None:
    if isinstance(gold, Ordered) and isinstance(answer, Ordered):
        one, other = (gold.opening, gold.closing), (answer.opening, answer.closing)
        if (
            one != other
            and "<" not in (one[0], other[0])
            and (len(gold.items) == 2 or set(one + other) - set("()[]") or one[0] + one[1] in ("(]", "[)"))
        ):
            return None
        return "tuple" if _pairs(gold.items, answer.items) else None
    ordered, rest = (gold, answer) if isinstance(gold, Ordered) else (answer, gold)
    assert isinstance(ordered, Ordered)
    if len(ordered.items) == 1:
        inner = ordered.items[0]
        return same(inner, rest) if ordered is gold else same(rest, inner)
    return None


def _assignments(gold: Value, answer: Value) -> str | None:
    if isinstance(gold, Assignments) and isinstance(answer, Assignments):
        one, other = dict(gold.items), dict(answer.items)
        return "assignments" if one.keys() == other.keys() and all(same(one[name], other[name]) for name in one) else None
    named, rest = (gold, answer) if isinstance(gold, Assignments) else (answer, gold)
    assert isinstance(named, Assignments)
    if isinstance(rest, Ordered) and rest.opening in "(<[" and rest.opening != "{":
        values = tuple(value for _, value in sorted(named.items, key=lambda pair: pair[0]))
    elif isinstance(rest, Collection) and not rest.braces:
        values = tuple(value for _, value in named.items)
    else:
        return None
    return "assignments" if _pairs(values, rest.items) else None


def _matrix(gold: Value, answer: Value) -> str | None:
    one, other = _rows(gold), _rows(answer)
    if one is None or other is None:
        return None
    if not isinstance(gold, Matrix) or not isinstance(answer, Matrix):  # a point is a column or a row
        one, other = _flat(one), _flat(other)
    if one is None or other is None or [len(row) for row in one] != [len(row) for row in other]:
        return None
    cells = zip((cell for row in one for cell in row), (cell for row in other for cell in row), strict=True)
    return "matrix" if all(same(part(left), part(right)) for left, right in cells) else None


def _rows(value: Value) -> tuple[tuple[Node, ...], ...] | None:
    if isinstance(value, Matrix):
        return value.rows
    if isinstance(value, Ordered) and all(isinstance(item, Scalar) and not item.unit.dimension for item in value.items):
        return tuple((item.expression,) for item in value.items if isinstance(item, Scalar))
    return None


def _flat(rows: tuple[tuple[Node, ...], ...]) -> tuple[tuple[Node, ...], ...] | None:
    if all(len(row) == 1 for row in rows):
        return rows
    return tuple((cell,) for cell in rows[0]) if len(rows) == 1 else None


# --- other kinds of number and text -----------------------------------------------------------------------------------


def _choice(gold: Value, answer: Value) -> str | None:
    if isinstance(gold, Choice) and isinstance(answer, Choice):
        return "choice" if gold.letter == answer.letter else None
    choice, rest = (gold, answer) if isinstance(gold, Choice) else (answer, gold)
    assert isinstance(choice, Choice)
    if isinstance(rest, Scalar) and rest.expression.head in ("sym", "const") and str(rest.expression.value).upper() == choice.letter:
        return "choice"
    if isinstance(rest, Words) and rest.text in (
        choice.letter.lower(),
        f"option {choice.letter.lower()}",
        f"choice {choice.letter.lower()}",
    ):
        return "choice"
    if isinstance(rest, Scalar) and rest.expression.head == "sym" and str(rest.expression.value) in "ABCDEFGHIJ":
        return None  # another letter, whatever the text of the choice
    if choice.content is not None and choice is answer:
        return "choice" if same(rest, choice.content) else None
    return None


def _text(gold: Value, answer: Value) -> str | None:
    if isinstance(gold, Words | Opaque) and isinstance(answer, Words | Opaque):
        one, other = (value.text.replace("-", " ") if isinstance(value, Words) else value.text for value in (gold, answer))
        return "text" if one == other or one.replace(" ", "") == other.replace(" ", "") else None
    if isinstance(gold, Words) and gold.text == INFINITELY_MANY and isinstance(answer, Scalar) and answer.expression == INFINITY:
        return "text"  # the sign, where a number of things was asked for
    return None
