"""The syntax tree of an answer: one small class for each kind of node, canonical text, and free variables.

Nodes are immutable by custom. `args` are the operands, `value` what else belongs to the node; each class says what that
is. What is done with a node (`numbers/exact.py`, `numbers/numeric.py`, `values/interpret.py`) is in tables by class.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, ClassVar, NamedTuple, Self

from kgym_plugins.verifiers.math.phrases.units import Unit


class Literal(NamedTuple):
    """A number as it was written: its exact value, the decimal places that it states (None if it is not a decimal),
    and its digits.
    """

    value: Fraction
    places: int | None = None
    text: str = ""


class Node:
    """A node with its operands."""

    __slots__ = ("args", "value")
    args: "tuple[Node, ...]"
    value: Any
    sign: ClassVar[str] = ""
    """Between the operands in canonical text."""
    commutative: ClassVar[bool] = False

    def __init__(self, args: "tuple[Node, ...]" = (), value: Any = None) -> None:
        self.args = args
        self.value = value

    def __eq__(self, other: object) -> bool:
        """Whether the trees are the same, as they were written."""
        return self is other or (type(self) is type(other) and self.value == other.value and self.args == other.args)

    def __hash__(self) -> int:
        """Equal trees have the same."""
        return hash((type(self), self.value, self.args))

    def __repr__(self) -> str:
        """The tree on one line, as the trace shows it."""
        said = [] if self.value is None else [str(self.value)]
        return f"{type(self).__name__}({', '.join([*said, *map(repr, self.args)])})"

    def with_args(self, args: "tuple[Node, ...]") -> Self:
        """Return the same node with other operands; itself if it has none."""
        return type(self)(args, self.value) if self.args else self

    def written(self, parts: list[str]) -> str:
        """Return the canonical text, given that of the operands."""
        if self.sign:
            return f"({self.sign.join(parts)})"
        name = type(self).__name__.lower()
        if self.value is not None:
            name = f"{name} {self.value}"
        return f"{name}({','.join(parts)})" if parts else name


class Leaf(Node):
    """A node without operands."""

    __slots__ = ()

    def __init__(self, value: Any) -> None:
        self.args = ()
        self.value = value

    def written(self, parts: list[str]) -> str:
        """Return the value."""
        return str(self.value)


class Structure(Node):
    """What is not a number or expression: a list, a set, a matrix, an amount with its unit."""

    __slots__ = ()


# --- expressions ------------------------------------------------------------------------------------------------------


class Num(Leaf):
    """A number."""

    __slots__ = ()
    value: Literal

    def __repr__(self) -> str:
        """Its digits."""
        return self.value.text or str(self.value.value)

    def written(self, parts: list[str]) -> str:
        """Return the exact value."""
        return str(self.value.value)


class Sym(Leaf):
    """A variable, by its name."""

    __slots__ = ()
    value: str

    def __repr__(self) -> str:
        """Its name."""
        return self.value


class Const(Leaf):
    """A constant or a set of numbers, by its name: pi, e, i, oo, empty, reals, integers."""

    __slots__ = ()
    value: str


class Add(Node):
    """A sum; flat, so that a long one is not a deep one."""

    __slots__ = ()
    sign = " + "
    commutative = True


class Mul(Node):
    """A product; flat."""

    __slots__ = ()
    sign = "*"
    commutative = True


class Div(Node):
    """A quotient."""

    __slots__ = ()
    sign = "/"


class Pow(Node):
    """A power: base and exponent."""

    __slots__ = ()
    sign = "^"


class Neg(Node):
    """A negative."""

    __slots__ = ()

    def written(self, parts: list[str]) -> str:
        """Return it in brackets."""
        return f"(-{parts[0]})"


class PlusMinus(Node):
    """A sign that stands for both, before one operand or between two."""

    __slots__ = ()

    def written(self, parts: list[str]) -> str:
        """Return it with its sign."""
        return f"(±{parts[0]})" if len(parts) == 1 else f"({parts[0]} ± {parts[1]})"


class MinusPlus(Node):
    """The opposite sign, where one of `PlusMinus` is."""

    __slots__ = ()

    def written(self, parts: list[str]) -> str:
        """Return it with its sign."""
        return f"(∓{parts[0]})" if len(parts) == 1 else f"({parts[0]} ∓ {parts[1]})"


class Call(Node):
    """A function by its name, in `value`; one that no one knows begins with a dollar sign: `$f`."""

    __slots__ = ()
    value: str

    def written(self, parts: list[str]) -> str:
        """Return it as it is written."""
        if self.value == "root":
            return f"sqrt({parts[0]})" if parts[1] == "2" else f"root({', '.join(parts)})"
        return f"{self.value.removeprefix('$')}({', '.join(parts)})"


class Factorial(Node):
    """A factorial; `value` is the step, 2 for a double one."""

    __slots__ = ()

    def written(self, parts: list[str]) -> str:
        """Return it with its signs."""
        return parts[0] + "!" * self.value


class Abs(Node):
    """An absolute value."""

    __slots__ = ()


class Mod(Node):
    """A remainder."""

    __slots__ = ()

    def written(self, parts: list[str]) -> str:
        """Return it as it is read."""
        return f"({parts[0]} mod {parts[1]})"


class Percent(Node):
    """A number of hundredths or thousandths, which `value` says."""

    __slots__ = ()

    def written(self, parts: list[str]) -> str:
        """Return it with its sign."""
        return parts[0] + ("%" if self.value == 100 else "‰")


class Degree(Node):
    """An angle in degrees."""

    __slots__ = ()

    def written(self, parts: list[str]) -> str:
        """Return it with its sign."""
        return parts[0] + "°"


class Dots(Node):
    """What a sequence leaves out."""

    __slots__ = ()


class Applied(Node):
    """A function's name with its arguments before a sign of equality: `f(x) =`; `value` is both, `args` the one
    plain argument.
    """

    __slots__ = ()
    value: tuple[str, str]

    def written(self, parts: list[str]) -> str:
        """Return it as it is written."""
        return f"{self.value[0]}({self.value[1]})"


# --- structures -------------------------------------------------------------------------------------------------------


class Listing(Structure):
    """Items without brackets; `value` is the set of their separators."""

    __slots__ = ()
    value: frozenset[str]

    def written(self, parts: list[str]) -> str:
        """Return the items, for any separator."""
        return ",".join(parts)


class Brackets(Structure):
    """Items in brackets, which are in `value`: a tuple, an interval, a set."""

    __slots__ = ()
    value: tuple[str, str]

    def written(self, parts: list[str]) -> str:
        """Return it as it is written."""
        return self.value[0] + ",".join(parts) + self.value[1]


class Relation(Structure):
    """Operands of a chain of relations, whose signs are in `value`."""

    __slots__ = ()
    value: tuple[str, ...]

    def written(self, parts: list[str]) -> str:
        """Return the chain."""
        return "".join(part + operator for part, operator in zip(parts, (*self.value, ""), strict=True))


class SetOperation(Structure):
    """Two sets."""

    __slots__ = ()


class Union(SetOperation):
    """What is in either."""

    __slots__ = ()
    commutative = True


class Intersection(SetOperation):
    """What is in both."""

    __slots__ = ()
    commutative = True


class Without(SetOperation):
    """What is in the first alone."""

    __slots__ = ()


class Builder(Structure):
    """A set described by a condition."""

    __slots__ = ()


class Grid(Structure):
    """A matrix, row by row; `value` is the number of columns."""

    __slots__ = ()
    value: int


class Parts(Structure):
    """A ratio."""

    __slots__ = ()


class Based(Structure):
    """Digits in a base; both are in `value`."""

    __slots__ = ()
    value: tuple[str, int]


class Text(Structure):
    """Words in their normal form."""

    __slots__ = ()
    value: str

    def __init__(self, value: str) -> None:
        self.args = ()
        self.value = value

    def written(self, parts: list[str]) -> str:
        """Return the words."""
        return self.value


class Amount(Structure):
    """A number with its unit and what it counts, which are in `value`."""

    __slots__ = ()
    value: tuple[Unit, str]

    def written(self, parts: list[str]) -> str:
        """Return the number with its unit."""
        unit, noun = self.value
        return " ".join(part for part in (parts[0], str(unit), noun) if part)


class Residue(Node):
    """A residue and its modulus; `value` is the name of the number that has it, or None."""

    __slots__ = ()
    value: str | None


class CaseRows(Structure):
    """Values and conditions of a function by cases, in turn."""

    __slots__ = ()


def number(value: int | Fraction) -> Num:
    """Make an exact number."""
    return Num(Literal(Fraction(value)))


ZERO, ONE = number(0), number(1)


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and everything below it."""
    stack = [node]
    while stack:
        top = stack.pop()
        yield top
        stack.extend(top.args)


def has(node: Node, *kinds: type[Node]) -> bool:
    """Whether a node of these kinds is in a tree."""
    return any(isinstance(item, kinds) for item in walk(node))


def depth(node: Node) -> int:
    """Height of a tree, without recursion."""
    deepest, level = 0, [node]
    while level:
        deepest += 1
        level = [arg for item in level for arg in item.args]
    return deepest


def symbols(node: Node) -> frozenset[str]:
    """Names of the variables in a tree, and of the functions that no one knows (`$f`)."""
    return frozenset(
        item.value
        for item in walk(node)
        if isinstance(item, Sym) or (isinstance(item, Call) and item.value.startswith("$"))
    )


def canonical(node: Node) -> str:
    """Text that is equal for trees that differ only in writing: order of sums and products, decimals against
    fractions.
    """
    if not node.args:
        return node.written([])
    parts = [canonical(arg) for arg in _flat(node)]
    if node.commutative:
        parts.sort()
    return node.written(parts)


def _flat(node: Node) -> Iterator[Node]:
    """Operands, with sums inside sums and products inside products opened."""
    if not node.commutative:
        yield from node.args
        return
    kind = type(node)
    stack = list(reversed(node.args))
    while stack:
        top = stack.pop()
        if type(top) is kind:
            stack.extend(reversed(top.args))
        else:
            yield top
