"""From syntax trees to typed values: the tree of an answer read as mathematics."""

import re
from collections.abc import Callable
from dataclasses import replace

from kgym_plugins.verifiers.math.grammar.nodes import (
    ZERO,
    Abs,
    Add,
    Amount,
    Applied,
    Based,
    Brackets,
    Builder,
    Call,
    CaseRows,
    Const,
    Grid,
    Intersection,
    Listing,
    MinusPlus,
    Mul,
    Neg,
    Node,
    Parts,
    PlusMinus,
    Relation,
    Residue,
    Structure,
    Sym,
    Text,
    Union,
    Without,
    canonical,
    has,
    number,
    symbols,
    walk,
)
from kgym_plugins.verifiers.math.limits import SyntaxProblem
from kgym_plugins.verifiers.math.numbers.scalars import sign_of
from kgym_plugins.verifiers.math.phrases.units import of_arc
from kgym_plugins.verifiers.math.values.expand import determinants, signs
from kgym_plugins.verifiers.math.values.expressions import matrix, matrix_product, scalar
from kgym_plugins.verifiers.math.values.realsets import (
    EVERYTHING,
    INFINITY,
    MINUS_INFINITY,
    Unordered,
    complement,
    intersection,
    union,
)
from kgym_plugins.verifiers.math.values.types import (
    Assignments,
    BaseNumber,
    Collection,
    Condition,
    Conditioned,
    Congruence,
    Equation,
    Inequality,
    Matrix,
    Opaque,
    Ordered,
    Piece,
    Piecewise,
    Ratio,
    RealSet,
    Scalar,
    Value,
    Words,
)

_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "!=": "!=", "=": "="}
_DERIVATIVE = re.compile(r"\(\(d\*(\w)\)/\(d\*(\w)\)\)")
_ORDER = ("<", ">", "<=", ">=")


def interpret(node: Node) -> Value:
    """Give a tree its type. Raises Unordered for sets that cannot be put in order."""
    build = _BUILD.get(type(node))
    value = None if build is None else build(node)
    if value is not None:
        return value
    if has(node, PlusMinus, MinusPlus):
        return Collection(tuple(interpret(choice) for choice in signs(node)), alternatives=True)
    if has(node, Grid):
        return matrix_product(determinants(node))
    return scalar(node)


def _cases(node: Node) -> Value:
    items = tuple(map(interpret, node.args))
    return Piecewise(tuple(zip(items[::2], items[1::2], strict=True)))


def _constant(node: Node) -> Value | None:
    if node.value in ("integers", "naturals", "rationals", "complexes"):
        return Words(node.value)
    return _SETS.get(node.value)


def _point(node: Node) -> Value | None:
    """P(2, 3), a named point."""
    if node.value.startswith("$") and node.value[1:].isupper() and len(node.args) > 1:
        return Ordered(tuple(map(interpret, node.args)), "(", ")")
    return None


def _sequence(node: Node) -> Value:
    opening, closing = node.value
    items = [interpret(arg) for arg in node.args]
    if opening == "{":
        flat: list[Value] = []
        for item in items:
            flat += item.items if isinstance(item, Collection) and item.alternatives else [item]
        if len(flat) == 1 and isinstance(flat[0], RealSet):
            return flat[0]
        return Collection(tuple(flat), braces=True)
    if all(isinstance(item, Equation) and isinstance(item.left, Sym) for item in items) and opening in ("(", "["):
        return _equations([item for item in items if isinstance(item, Equation)])
    rows = [item for item in items if isinstance(item, Ordered) and item.opening == "["]
    if opening == "[" and len(rows) == len(items) and len({len(row.items) for row in rows}) == 1:
        cells = [[cell.expression for cell in row.items if isinstance(cell, Scalar)] for row in rows]
        if all(len(row) == len(rows[0].items) for row in cells):
            return Matrix(tuple(map(tuple, cells)))
    return Ordered(tuple(items), opening, closing)


def interval(value: Value) -> Piece | None:
    """Read a pair as an interval, if it can be one."""
    if (
        not isinstance(value, Ordered)
        or len(value.items) != 2
        or value.opening not in "(["
        or value.closing not in ")]"
    ):
        return None
    low, high = value.items
    if not isinstance(low, Scalar) or not isinstance(high, Scalar):
        return None
    low_closed = value.opening == "[" and low.expression != MINUS_INFINITY
    return Piece(low.expression, high.expression, low_closed, value.closing == "]" and high.expression != INFINITY)


def as_set(value: Value) -> RealSet | None:
    """Read a value as a set of real numbers, if it can be one."""
    if isinstance(value, RealSet):
        return value
    if isinstance(value, Ordered):
        piece = interval(value)
        return None if piece is None else RealSet((piece,))
    if isinstance(value, Collection):
        if not all(isinstance(item, Scalar) for item in value.items):
            return None
        return RealSet(
            tuple(
                Piece(item.expression, item.expression, True, True) for item in value.items if isinstance(item, Scalar)
            )
        )
    if isinstance(value, Scalar):
        return RealSet((Piece(value.expression, value.expression, True, True),))
    return None


def part(node: Node) -> Value:
    """Give a part of an answer its type. One that makes no sense (the difference of two formulas as sets) is
    compared as it is written.
    """
    try:
        return interpret(node)
    except (SyntaxProblem, Unordered):
        return Opaque(canonical(node))


def _set_operation(node: Node) -> Value:
    left, right = (interpret(arg) for arg in node.args)
    if isinstance(left, Collection) and isinstance(right, Collection) and isinstance(node, Union):
        return Collection((*left.items, *right.items), braces=True)
    one, other = as_set(left), as_set(right)
    if (
        one is None
        or other is None
        or one.domain
        or other.domain
        or "Words" in (type(left).__name__, type(right).__name__)
    ):
        raise SyntaxProblem("a set operation on something else")
    if isinstance(node, Union):
        return RealSet(union([*one.pieces, *other.pieces]), one.variable or other.variable)
    if isinstance(node, Intersection):
        return RealSet(intersection(one.pieces, other.pieces), one.variable or other.variable)
    return RealSet(intersection(one.pieces, complement(union(list(other.pieces)))), one.variable or other.variable)


def _builder(node: Node) -> Value:
    condition = interpret(node.args[1])
    subject = interpret(node.args[0]) if isinstance(node.args[0], Relation) else None
    if isinstance(condition, RealSet):
        if isinstance(subject, RealSet):
            return RealSet(intersection(subject.pieces, condition.pieces), domain=condition.domain)
        if isinstance(subject, Words):
            return RealSet(condition.pieces, domain=condition.domain or subject.text)
        if subject is None:
            return RealSet(condition.pieces, domain=condition.domain)
    raise SyntaxProblem("a set described by a condition")


def _relation(node: Node) -> Value:
    operands, operators = node.args, node.value
    if set(operators) <= {"=", "~"}:
        left, right = operands[0], operands[-1]
        if isinstance(left, Text):
            return interpret(right) if len(operands) == 2 else _relation(Relation(operands[1:], operators[1:]))
        if (
            isinstance(left, Brackets)
            and isinstance(right, Brackets | Listing)
            and all(isinstance(arg, Sym) for arg in left.args)
        ):
            return interpret(right)
        if (
            len(operands) == 2
            and isinstance(right, Sym)
            and not isinstance(left, Sym | Applied)
            and right.value not in symbols(left)
        ):
            left, right = right, left
        if derivative := _DERIVATIVE.fullmatch(canonical(left)):
            left = Sym(f"d{derivative.group(1)}/d{derivative.group(2)}")
        return Equation(left, right, operands[1:-1], operators)
    if operators == ("in",):
        value = interpret(operands[1])
        if isinstance(value, Ordered) and isinstance(operands[0], Sym) and (piece := interval(value)):
            value = RealSet((piece,))
        return (
            RealSet(value.pieces, operands[0].value)
            if isinstance(value, RealSet) and isinstance(operands[0], Sym)
            else value
        )
    if operators == ("notin",):
        without = as_set(interpret(operands[1]))
        if without is not None and isinstance(operands[0], Sym):
            return RealSet(complement(union(list(without.pieces))), operands[0].value)
        raise SyntaxProblem("not an element")
    operands = tuple(map(_function_value, operands))
    if len(operands) == 2 and operators[0] in _FLIPPED:
        left, right, operator = operands[0], operands[1], operators[0]
        if isinstance(right, Sym) and not isinstance(left, Sym):
            left, right, operator = right, left, _FLIPPED[operator]
        if isinstance(left, Sym) and left.value not in symbols(right):
            solved = _solved(left.value, operator, right)
            if solved is not None:
                return solved
        if (
            isinstance(left, Abs)
            and isinstance(left.args[0], Sym)
            and (solved := _solved_absolute(left.args[0].value, operator, right))
        ):
            return solved
        return Inequality(operator, left, right)
    if len(operands) == 3 and isinstance(operands[1], Sym) and all(operator in ("<", "<=") for operator in operators):
        return RealSet(
            (Piece(operands[0], operands[2], operators[0] == "<=", operators[1] == "<="),), operands[1].value
        )
    if len(operands) == 3 and isinstance(operands[1], Sym) and all(operator in (">", ">=") for operator in operators):
        return RealSet(
            (Piece(operands[2], operands[0], operators[1] == ">=", operators[0] == ">="),), operands[1].value
        )
    if all(operator in _ORDER for operator in operators):
        chain = zip(operators, operands, operands[1:], strict=False)
        return Collection(tuple(Inequality(operator, left, right) for operator, left, right in chain))
    raise SyntaxProblem("a chain of different relations")


def _function_value(node: Node) -> Node:
    """f(x), where only its values are asked for: 1 <= f(x) <= 4 is the range [1, 4]."""
    if isinstance(node, Call) and node.value.startswith("$") and len(node.args) == 1 and isinstance(node.args[0], Sym):
        return Sym(f"{node.value[1:]}({node.args[0].value})")
    return node


def _solved_absolute(name: str, operator: str, bound: Node) -> RealSet | None:
    """|x| < 3 is -3 < x < 3, and |x| > 3 the two rays; nothing for a bound that is negative or has variables."""
    if symbols(bound) or isinstance(bound, Structure) or operator == "!=" or (sign_of(bound) or 0) < 1:
        return None
    closed = operator in ("<=", ">")  # |x| > 3 is what is left without the closed interval
    inside = Piece(Neg((bound,)), bound, closed, closed)
    return RealSet((inside,) if operator in ("<", "<=") else complement((inside,)), name)


def _solved(name: str, operator: str, bound: Node) -> RealSet | None:
    if any(isinstance(item, PlusMinus | MinusPlus) for item in walk(bound)) or isinstance(bound, Listing | Brackets):
        points = as_set(interpret(bound)) if operator == "!=" else None
        return None if points is None else RealSet(complement(union(list(points.pieces))), name)
    if isinstance(bound, Text | Amount | Grid | Brackets | Union):
        return None
    if operator == "!=":
        return RealSet((Piece(MINUS_INFINITY, bound, False, False), Piece(bound, INFINITY, False, False)), name)
    if operator in ("<", "<="):
        return RealSet((Piece(MINUS_INFINITY, bound, False, operator == "<="),), name)
    return RealSet((Piece(bound, INFINITY, operator == ">=", False),), name)


def _congruence(node: Node) -> Value:
    residue, modulus = node.args
    classes = tuple(Congruence(choice, modulus, node.value or "") for choice in signs(residue))
    return classes[0] if len(classes) == 1 else Collection(classes, alternatives=True)


def _classes(node: Node) -> Node:
    """x = 1, 4 (mod 5): a modulus at the end holds for all items that have none."""
    last = node.args[-1]
    if not isinstance(last, Residue):
        return node
    items: list[Node] = []
    name = (
        node.args[0].args[0].value
        if isinstance(node.args[0], Relation) and isinstance(node.args[0].args[0], Sym)
        else last.value
    )
    for item in node.args:
        if isinstance(item, Relation) and item.value in (("===",), ("=",)) and isinstance(item.args[0], Sym):
            items.append(Residue((item.args[1], last.args[1]), item.args[0].value))
        elif isinstance(item, Residue | Structure):
            items.append(item if item is not last or item.value else Residue(item.args, name))
        else:
            items.append(Residue((item, last.args[1]), name))
    return node.with_args(tuple(items))


def _list(node: Node) -> Value:
    node = _classes(node)
    declared, rest = _declarations(node.args)
    if declared and rest:
        return _restricted(interpret(rest[0] if len(rest) == 1 else node.with_args(rest)), declared)
    if (value := _with_conditions(node)) is not None:
        return value
    items = [interpret(arg) for arg in node.args]
    separators = node.value
    sets = [item for item in items if isinstance(item, RealSet)]
    if len(sets) == len(items) and len({item.variable for item in sets}) == 1 and sets[0].variable:
        return _combined(sets, separators)
    if (
        len(sets) == len(items) - 1
        and isinstance(items[0], RealSet)
        and items[0].variable
        and isinstance(items[-1], (Scalar, Collection))
        and node.args[0].value == ("!=",)
    ):
        holes = as_set(items[-1])  # x != 1, 2
        if holes is not None:
            return RealSet(intersection(items[0].pieces, complement(union(list(holes.pieces)))), items[0].variable)
    if "or" in separators and len(sets) < len(items) and (sets or any(map(_surely_interval, items))):
        converted = [as_set(item) if not isinstance(item, (Collection, Scalar)) else None for item in items]
        if all(item is not None and not item.domain for item in converted):
            return RealSet(union([piece for item in converted if item is not None for piece in item.pieces]))
    equations = [item for item in items if isinstance(item, Equation)]
    if len(equations) == len(items) and all(_name(item.left) for item in equations):
        return _equations(equations)
    if isinstance(items[0], Equation) and _name(items[0].left) and len(equations) == 1:  # x = 1, 2
        items[0] = interpret(items[0].right)
    flat: list[Value] = []
    for item in items:
        flat += item.items if isinstance(item, Collection) and item.alternatives else [item]
    scalars = [item for item in items if isinstance(item, Scalar)]
    if separators == {"and"} and len(scalars) == len(items) == 2 and (amount := added(scalars[0], scalars[1])):
        return amount
    return Collection(tuple(flat), alternatives="or" in separators)


def _declarations(items: tuple[Node, ...]) -> tuple[dict[str, str], tuple[Node, ...]]:
    r"""Take what letters stand for out of a list: `A e^x + B, A, B \\in \\mathbb{R}` says it of A and of B."""
    declared: dict[str, str] = {}
    rest: list[Node] = []
    for item in items:
        if not (domain := declared_domain(item)):
            rest.append(item)
            continue
        letters = item.args[0].args if isinstance(item.args[0], Listing) else (item.args[0],)
        declared |= {str(letter.value): domain for letter in letters}
        while len(rest) > 1 and isinstance(rest[-1], Sym) and rest[-1].value in symbols(rest[0]):
            declared[rest.pop().value] = domain
    return declared, tuple(rest)


def _surely_interval(value: Value) -> bool:
    """Whether brackets can only mean an interval: half open, or with an infinite end."""
    piece = interval(value)
    if piece is None or not isinstance(value, Ordered):
        return False
    return (
        (value.opening, value.closing) in (("(", "]"), ("[", ")"))
        or piece.low == MINUS_INFINITY
        or piece.high == INFINITY
    )


def added(large: Scalar, small: Scalar) -> Scalar | None:
    """`1 hour and 30 minutes`: two amounts of one kind, the larger unit first, are one."""
    unit = of_arc(large.unit, small.unit)
    if not large.unit.dimension or large.unit.dimension != unit.dimension or large.unit.size <= unit.size:
        return None
    factor = number(large.unit.size / unit.size)
    return Scalar(Add((Mul((large.expression, factor)), small.expression)), unit)


def declared_domain(node: Node) -> str:
    """Return what a letter is said to stand for beside an answer, as in `k \\in \\mathbb{Z}`; empty if that is said
    of no letter.
    """
    if (
        isinstance(node, Relation)
        and node.value == ("in",)
        and isinstance(node.args[0], Sym | Listing)
        and isinstance(node.args[1], Const)
        and node.args[1].value in ("integers", "naturals", "rationals", "reals")
    ):
        return str(node.args[1].value)
    return ""


def _with_conditions(node: Node) -> Value | None:
    """A formula before inequalities for letters that it has: `n(n-1)/2, n \\ge 2`; None for anything else."""
    first, *rest = node.args
    if "or" in node.value or (isinstance(first, Structure) and not isinstance(first, Relation)):
        return None
    if isinstance(first, Relation) and (
        first.value != ("=",) or first.args[0].value in {it for item in rest for it in symbols(item)}
    ):
        return None  # x = 1, x > 3 are values of x
    for item in rest:
        if (
            not isinstance(item, Relation)
            or not set(item.value) <= {*_ORDER, "!="}
            or not symbols(item)
            or not symbols(item) <= symbols(first)
        ):
            return None
    return Conditioned(
        interpret(first), Condition(formula=interpret(rest[0] if len(rest) == 1 else node.with_args(tuple(rest))))
    )


def _restricted(value: Value, declared: dict[str, str]) -> Value:
    """An inequality or interval for a variable that is declared to be an integer; of a letter within an answer it is
    a remark.
    """
    if (
        (piece := interval(value))
        and len(declared) == 1
        and not (symbols(piece.low) | symbols(piece.high)) & declared.keys()
    ):
        value = RealSet((piece,), next(iter(declared)))
    if not isinstance(value, RealSet) or any(symbols(end) for piece in value.pieces for end in (piece.low, piece.high)):
        return Conditioned(value, Condition(tuple(declared.items())))
    domain = declared.get(value.variable, "reals")
    return replace(value, domain=domain) if domain != "reals" else value


def _combined(sets: list[RealSet], separators: frozenset[str]) -> RealSet:
    """Several inequalities for one variable: "and" intersects, "or" unites, a comma does what leaves something."""
    together = sets[0].pieces
    for item in sets[1:]:
        together = intersection(together, item.pieces)
    if "or" in separators or (not together and "and" not in separators):
        return RealSet(union([piece for item in sets for piece in item.pieces]), sets[0].variable)
    return RealSet(together, sets[0].variable)


def _name(node: Node) -> str | None:
    return node.value if isinstance(node, Sym) else None


def _equations(equations: list[Equation]) -> Value:
    """x = 1, x = 2 are two values of x; x = 1, y = 2 is one solution."""
    names = [str(_name(item.left)) for item in equations]
    stems = {re.sub(r"_.*", "", name) for name in names}
    values = [interpret(item.right) for item in equations]
    if len(stems) == 1 and (len(set(names)) == 1 or all("_" in name for name in names)):
        flat: list[Value] = []
        for value in values:
            flat += value.items if isinstance(value, Collection) and value.alternatives else [value]
        return Collection(tuple(flat), alternatives=True)
    if len(set(names)) == len(names):
        return Assignments(tuple(zip(names, values, strict=True)))
    return Collection(tuple(equations))


_SETS: dict[str, Value] = {
    "empty": Collection((), braces=True),
    "reals": RealSet((EVERYTHING,)),
    "positives": RealSet((Piece(ZERO, INFINITY, False, False),)),
    "negatives": RealSet((Piece(MINUS_INFINITY, ZERO, False, False),)),
}
_BUILD: dict[type[Node], Callable[[Node], Value | None]] = {
    Listing: _list,
    Relation: _relation,
    Brackets: _sequence,
    Union: _set_operation,
    Intersection: _set_operation,
    Without: _set_operation,
    Builder: _builder,
    Grid: matrix,
    CaseRows: _cases,
    Text: lambda node: Words(node.value),
    Based: lambda node: BaseNumber(*node.value),
    Parts: lambda node: Ratio(node.args),
    Residue: _congruence,
    Const: _constant,
    Call: _point,
}
"""The value of each structure; of what is not here, or has none, the value is a number or an expression."""
