"""Values of expressions: a number with its unit, percent or degrees, and a number times a matrix."""

from kgym_plugins.verifiers.math.grammar.nodes import (
    Add,
    Amount,
    Degree,
    Div,
    Grid,
    Mul,
    Neg,
    Node,
    Percent,
    Pow,
    has,
    number,
    walk,
)
from kgym_plugins.verifiers.math.phrases.units import UNITS
from kgym_plugins.verifiers.math.values.types import Matrix, Scalar, Value

_MINUS_ONE = Neg((number(1),))


def matrix(node: Node) -> Value:
    """Rows and columns of cells."""
    columns = node.value
    return Matrix(tuple(node.args[at : at + columns] for at in range(0, len(node.args), columns)))


def scalar(node: Node) -> Scalar:
    """A number or a formula, perhaps with a unit, a percent sign or in degrees."""
    if isinstance(node, Amount):
        inner = scalar(node.args[0])
        unit, noun = node.value
        return Scalar(inner.expression, inner.unit.times(unit), noun, inner.percent)
    if isinstance(node, Degree):
        return Scalar(node.args[0], UNITS["degree"])
    if isinstance(node, Percent):
        return Scalar(node.args[0], percent=node.value)
    if isinstance(node, Neg) and isinstance(node.args[0], Degree | Percent | Amount):
        inner = scalar(node.args[0])
        return Scalar(Neg((inner.expression,)), inner.unit, inner.noun, inner.percent)
    if has(node, Degree) and (degrees := _in_degrees(node)) is not None:
        return Scalar(degrees, UNITS["degree"])
    return Scalar(node)


def _in_degrees(node: Node) -> Node | None:
    """A sum of degrees or a part of one without the signs of degrees, as (180° - 40°)/2; None for anything else."""
    match node:
        case Degree():
            return node.args[0]
        case Neg():
            inner = _in_degrees(node.args[0])
            return None if inner is None else Neg((inner,))
        case Add():
            terms = [_in_degrees(arg) for arg in node.args]
            return None if None in terms else Add(tuple(term for term in terms if term is not None))
        case Mul() | Div():
            measured = [has(arg, Degree) for arg in node.args]
            if measured.count(True) != 1 or (isinstance(node, Div) and measured[1]):
                return None
            at = measured.index(True)
            inner = _in_degrees(node.args[at])
            return None if inner is None else node.with_args((*node.args[:at], inner, *node.args[at + 1 :]))
    return None


def matrix_product(node: Node) -> Value:
    """A number times a matrix; other products with matrices stay as they are."""
    factors = _factors(node)
    matrices = [item for item in factors if isinstance(item, Grid)]
    rest = [item for item in factors if not isinstance(item, Grid)]
    if not any(isinstance(item, Grid) for item in walk(node)):
        return scalar(node)
    if len(matrices) != 1 or any(isinstance(item, Grid) for factor in rest for item in walk(factor)):
        return Scalar(node)
    scale = rest[0] if len(rest) == 1 else Mul(tuple(rest))
    cells = tuple(Mul((scale, cell)) for cell in matrices[0].args)
    columns = matrices[0].value
    return Matrix(tuple(cells[at : at + columns] for at in range(0, len(cells), columns)))


def _factors(node: Node) -> list[Node]:
    if isinstance(node, Mul):
        return [factor for arg in node.args for factor in _factors(arg)]
    if isinstance(node, Neg):
        return [_MINUS_ONE, *_factors(node.args[0])]
    if isinstance(node, Div) and any(isinstance(item, Grid) for item in walk(node.args[0])):
        return [*_factors(node.args[0]), Pow((node.args[1], _MINUS_ONE))]
    return [node]
