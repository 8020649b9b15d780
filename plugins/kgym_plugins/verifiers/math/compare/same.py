"""Whether an answer is the gold answer: both are put into one form, and the table says what compares them.

The gold answer says what is asked for: an interval, a point, an equation of a line, an amount with its unit. The answer
may leave out what the question has named already (the unit, the `x =`), and may not add or change anything.
"""

from kgym_plugins.verifiers.math.compare.table import Rule, function_for
from kgym_plugins.verifiers.math.grammar.nodes import ONE, ZERO, Add, Const, Mul, Node, Sym, symbols, walk
from kgym_plugins.verifiers.math.numbers.scalars import same_scalar
from kgym_plugins.verifiers.math.trace import is_tracing, note
from kgym_plugins.verifiers.math.values.types import Choice, Collection, Matrix, Ordered, Scalar, Value


def same(gold: Value, answer: Value) -> Rule | None:
    """Return the rule by which the answer is right, or None. Raises LimitError if it asks for too much."""
    if not is_tracing():
        return _same(gold, answer)
    rule = _same(gold, answer)
    decided = f"the rule {rule.name}" if rule else "different"
    note("compare", f"{type(gold).__name__} {gold.normal()} and {type(answer).__name__} {answer.normal()}: {decided}")
    return rule


def _same(gold: Value, answer: Value) -> Rule | None:
    gold, answer = _plain(gold), _plain(answer)
    gold, answer = _components(gold, answer), _imaginary(_components(answer, gold), gold)
    if isinstance(answer, Collection) and answer.alternatives and answer.items and not isinstance(gold, Collection):
        rules = [same(gold, item) for item in answer.items]  # "1/2 or 0.5" is one answer
        if all(rules):
            return rules[0]
    if _lone_letter(gold) and isinstance(answer, Scalar) and isinstance(answer.expression, Add):
        gold = Choice(gold.expression.value)  # type: ignore[union-attr]
    function = function_for(gold, answer)
    return None if function is None else function(gold, answer)


def _lone_letter(value: Value) -> bool:
    """Whether a gold answer is one of the letters that choices have, and nothing else."""
    return isinstance(value, Scalar) and isinstance(value.expression, Sym) and value.expression.value in "ABCDEFGHIJ"


def _plain(value: Value) -> Value:
    """A collection of one thing is that thing."""
    while (
        isinstance(value, Collection)
        and len(value.items) == 1
        and not (value.braces and isinstance(value.items[0], Collection))
    ):
        value = value.items[0]
    return value


_UNIT_VECTORS = ("hat_i", "hat_j", "hat_k")


def _components(value: Value, other: Value) -> Value:
    """A sum of multiples of the unit vectors i, j, k (in bold or with hats) as a vector, where the other side is
    one.
    """
    if not isinstance(value, Scalar) or not isinstance(other, Ordered | Matrix):
        return value
    if not (names := symbols(value.expression) & frozenset(_UNIT_VECTORS)):
        return value
    size = len(other.items) if isinstance(other, Ordered) else sum(map(len, other.rows))
    if size not in (2, 3) or (size == 2 and "hat_k" in names):
        return value
    nothing = _at(value.expression, {})
    cells = tuple(_at(value.expression, {name: ONE}) for name in _UNIT_VECTORS[:size])
    total = Add(tuple(Mul((cell, Sym(name))) for cell, name in zip(cells, _UNIT_VECTORS, strict=False)))
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
    return any(isinstance(item, Const) and item.value == "i" for item in walk(node))


def _with_i(node: Node) -> Node:
    if isinstance(node, Sym) and node.value in ("I", "j"):
        return Const("i")
    return node.with_args(tuple(map(_with_i, node.args))) if node.args else node


def _at(node: Node, point: dict[str, Node]) -> Node:
    """Replace the unit vectors by numbers, by zero for those that are not named."""
    if isinstance(node, Sym):
        return point.get(node.value, ZERO) if node.value in _UNIT_VECTORS else node
    return node.with_args(tuple(_at(arg, point) for arg in node.args))
