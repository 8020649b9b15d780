"""Several things in one answer: collections, tuples, assignments, matrices."""

from kgym_plugins.verifiers.math.compare.same import same
from kgym_plugins.verifiers.math.compare.table import Rule, compares, rule
from kgym_plugins.verifiers.math.grammar.nodes import Node, Sym
from kgym_plugins.verifiers.math.limits import LimitError
from kgym_plugins.verifiers.math.phrases.another import asked_part
from kgym_plugins.verifiers.math.phrases.items import LETTERS, place_of
from kgym_plugins.verifiers.math.strictness import allowed
from kgym_plugins.verifiers.math.values.interpret import interval, part
from kgym_plugins.verifiers.math.values.types import (
    Assignments,
    BaseNumber,
    Clock,
    Collection,
    Congruence,
    Equation,
    Matrix,
    Opaque,
    Ordered,
    Ratio,
    Scalar,
    Value,
    Words,
)

_MOST_ITEMS = 200

COLLECTION = rule(
    "collection",
    "the same items in any order; a list without braces keeps repetitions",
    example=("1, 2", "x = 2 or x = 1"),
    counter=("1, 2, 2", "1, 2"),
)
TUPLE = rule(
    "tuple",
    "the same items in the same order, in any brackets that mean no interval or set",
    example=("(1, 2)", r"\langle 1, 2 \rangle"),
    counter=("(1, 2)", "(2, 1)"),
)
LIST_FOR_TUPLE = rule(
    "list for a tuple",
    "a list without brackets in the order of the tuple; with the option `list_for_tuple`",
    example=("(1, 2)", "1, 2"),
    counter=("(1, 2)", "2, 1"),
)
ANY_ORDER = rule(
    "any order",
    "a tuple with the items of a list or a set; with the option `any_order`, which is off by default",
    example=(r"\{1, 2\}", "(2, 1)"),
    counter=(r"\{1, 2\}", "(2, 3)"),
)
ASSIGNMENTS = rule(
    "assignments", "values of several names", example=("(1, 2)", "x = 1, y = 2"), counter=("(1, 2)", "x = 2, y = 1")
)
MATRIX = rule(
    "matrix",
    "cell by cell; a factor in front is multiplied in, and a point is a column or a row",
    example=(r"\begin{pmatrix} 2 \\ 4 \end{pmatrix}", r"2 \begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
    counter=(r"\begin{pmatrix} 2 \\ 4 \end{pmatrix}", r"\begin{pmatrix} 4 \\ 2 \end{pmatrix}"),
)


def _pairs(gold: tuple[Value, ...], answer: tuple[Value, ...]) -> bool:
    return len(gold) == len(answer) and all(same(one, other) for one, other in zip(gold, answer, strict=True))


def _matching(gold: tuple[Value, ...], answer: tuple[Value, ...]) -> bool:
    """Whether two collections have the same items in any order."""
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


@compares((Collection, Collection))
def two_collections(gold: Collection, answer: Collection) -> Rule | None:
    """Items in any order; braces and "or" forget repetitions."""
    one, other = gold.items, answer.items
    if gold.braces or answer.braces or gold.alternatives or answer.alternatives:
        one, other = _distinct(one), _distinct(other)
    return COLLECTION if _matching(one, other) else None


@compares((Collection, Ordered), (Ordered, Collection))
def collection_and_tuple(gold: Value, answer: Value) -> Rule | None:
    """A list, with or without brackets."""
    collection, ordered = (gold, answer) if isinstance(gold, Collection) else (answer, gold)
    assert isinstance(collection, Collection)
    assert isinstance(ordered, Ordered)
    if ordered.opening == "<" or collection.alternatives:
        return None
    pair = len(ordered.items) == 2 and interval(ordered) is not None
    if ordered.opening == "[" and ordered.closing == "]" and not (pair and collection.braces):
        return COLLECTION if _matching(collection.items, ordered.items) else None
    if ordered.opening == "(" and ordered.closing == ")" and not collection.braces:
        if _pairs(collection.items, ordered.items):
            if isinstance(gold, Collection):
                return TUPLE
            return LIST_FOR_TUPLE if allowed("list_for_tuple") else None
        found = isinstance(gold, Collection) and _matching(collection.items, ordered.items)
        return ANY_ORDER if found and allowed("any_order") else None
    if ordered.opening == "(" and ordered.closing == ")" and isinstance(gold, Collection):
        return (
            ANY_ORDER
            if _matching(_distinct(collection.items), _distinct(ordered.items)) and allowed("any_order")
            else None
        )
    return None


@compares((Ordered, Ordered))
def two_tuples(gold: Ordered, answer: Ordered) -> Rule | None:
    """Points, vectors and intervals."""
    one, other = (gold.opening, gold.closing), (answer.opening, answer.closing)
    if (
        one != other
        and "<" not in (one[0], other[0])
        and (len(gold.items) == 2 or set(one + other) - set("()[]") or one[0] + one[1] in ("(]", "[)"))
    ):
        return None
    return TUPLE if _pairs(gold.items, answer.items) else None


_ONE = (Ratio, Scalar, Congruence, BaseNumber, Clock, Words, Opaque)


@compares((Ordered, _ONE), (_ONE, Ordered))
def one_in_brackets(gold: Value, answer: Value) -> Rule | None:
    """Brackets around one thing are nothing."""
    if isinstance(gold, Ordered):
        return same(gold.items[0], answer) if len(gold.items) == 1 else None
    assert isinstance(answer, Ordered)
    return same(gold, answer.items[0]) if len(answer.items) == 1 else None


@compares((Assignments, Assignments))
def two_assignments(gold: Assignments, answer: Assignments) -> Rule | None:
    """The same names with the same values."""
    one, other = dict(gold.items), _called(dict(answer.items), dict(gold.items))
    return ASSIGNMENTS if one.keys() == other.keys() and all(same(one[name], other[name]) for name in one) else None


def _called(answer: dict[str, Value], gold: dict[str, Value]) -> dict[str, Value]:
    """Call the letters of formulas what the gold answer calls them in words: r is the radius."""
    names = {
        name: [letter for letter in answer if letter in LETTERS.get(name, ()) or _EXTREMES.get(letter[-3:]) == name]
        for name in gold
    }
    if any(len(letters) != 1 for letters in names.values()) or len(answer) != len(gold):
        return answer
    return {name: answer[letter] for name, (letter,) in names.items()}


def _named_otherwise(name: str, value: Value) -> bool:
    """Whether a value has a letter that is not one of those for a name in words: d = 5 does not name a radius."""
    letter = value.left.value if isinstance(value, Equation) and isinstance(value.left, Sym) else ""
    return bool(letter) and name in LETTERS and letter not in LETTERS[name] and _EXTREMES.get(letter[-3:]) != name


_EXTREMES = {"max": "maximum", "min": "minimum"}


def as_asked(value: Value, question: str) -> Value:
    """Named values in the order in which the question asks for them: the quotient 14 and the remainder 2."""
    if not question or not isinstance(value, Assignments):
        return value
    asked = asked_part(question)
    places = {name: place_of(name, asked) for name, _ in value.items}
    if -1 in places.values():
        return value
    return Assignments(tuple(sorted(value.items, key=lambda item: places[item[0]])))


@compares((Assignments, (Ordered, Collection)), ((Ordered, Collection), Assignments))
def assignments_and_values(gold: Value, answer: Value) -> Rule | None:
    """Names that one side leaves out: a tuple has them in alphabetical order, a list as they are written."""
    named, rest = (gold, answer) if isinstance(gold, Assignments) else (answer, gold)
    assert isinstance(named, Assignments)
    if isinstance(rest, Ordered) and rest.opening in "(<[":
        values = tuple(value for _, value in sorted(named.items, key=lambda pair: pair[0]))
    elif isinstance(rest, Collection) and not rest.braces:
        if any(_named_otherwise(name, item) for (name, _), item in zip(named.items, rest.items, strict=False)):
            return None
        values = tuple(value for _, value in named.items)
    else:
        return None
    return ASSIGNMENTS if _pairs(values, rest.items) else None


@compares((Assignments, Equation))
def assignments_and_chain(gold: Assignments, answer: Equation) -> Rule | None:
    """x = y = 0 gives its value to each name."""
    names = (answer.left, *answer.middle)
    if not answer.middle or not all(isinstance(name, Sym) for name in names) or set(answer.operators) != {"="}:
        return None
    values = tuple((str(name.value), part(answer.right)) for name in names)
    return two_assignments(gold, Assignments(values))


@compares((Matrix, Matrix), (Matrix, Ordered), (Ordered, Matrix))
def same_matrix(gold: Value, answer: Value) -> Rule | None:
    """Cell by cell."""
    one, other = _rows(gold), _rows(answer)
    if one is None or other is None:
        return None
    if not isinstance(gold, Matrix) or not isinstance(answer, Matrix):  # a point is a column or a row
        one, other = _flat(one), _flat(other)
    if one is None or other is None or [len(row) for row in one] != [len(row) for row in other]:
        return None
    cells = zip((cell for row in one for cell in row), (cell for row in other for cell in row), strict=True)
    return MATRIX if all(same(part(left), part(right)) for left, right in cells) else None


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
