"""Text, and letters of choices."""

from typing import get_args

from kgym_plugins.verifiers.math.compare.same import same
from kgym_plugins.verifiers.math.compare.table import Rule, compares, rule
from kgym_plugins.verifiers.math.grammar.nodes import Add, Const, Mul, Neg, Node, Num, Sym, canonical
from kgym_plugins.verifiers.math.phrases.named import INFINITELY_MANY
from kgym_plugins.verifiers.math.phrases.properties import property_of
from kgym_plugins.verifiers.math.phrases.quadrants import number_of
from kgym_plugins.verifiers.math.values.realsets import INFINITY
from kgym_plugins.verifiers.math.values.types import Choice, Collection, Opaque, Scalar, Value, Words

CHOICE = rule(
    "choice",
    "the letter, with or without the text of the choice; the text for the letter is enough only if the question lists "
    "the choices, but the letter with the right text is",
    example=("C", r"\textbf{(C)}\ 12"),
    counter=("C", "(D) 12"),
)
TEXT = rule(
    "text",
    "without regard to case, articles, hyphens and punctuation; what the grammar does not know equals only the same "
    "text",
    example=("The Pacific Ocean", "pacific ocean"),
    counter=("The Pacific Ocean", "The Atlantic Ocean"),
)
PROPERTY = rule(
    "property",
    "what kind of thing something is, as an adjective, a noun or a verb; the thing may be left out, but another is "
    "another answer",
    example=("isosceles", "an isosceles triangle"),
    counter=("an isosceles triangle", "an isosceles trapezoid"),
)
QUADRANT = rule(
    "quadrant",
    "a quadrant or octant by its number, in digits, Roman digits or words, also without the word",
    example=("first quadrant", "I"),
    counter=("first quadrant", "II"),
)


_ANY = tuple(kind for kind in get_args(Value) if kind is not Choice)


@compares((Choice, Choice), (Choice, _ANY), (_ANY, Choice))
def same_choice(gold: Value, answer: Value) -> Rule | None:
    """A letter, or the right text beside the letter."""
    if isinstance(gold, Choice) and isinstance(answer, Choice):
        return CHOICE if gold.letter == answer.letter else None
    choice, rest = (gold, answer) if isinstance(gold, Choice) else (answer, gold)
    assert isinstance(choice, Choice)
    if (
        isinstance(rest, Scalar)
        and isinstance(rest.expression, Sym | Const)
        and str(rest.expression.value).upper() == choice.letter
    ):
        return CHOICE
    if choice is gold and isinstance(rest, Scalar) and _begins_with(rest.expression) == choice.letter:
        return CHOICE
    if isinstance(rest, Words) and rest.text in (
        choice.letter.lower(),
        f"option {choice.letter.lower()}",
        f"choice {choice.letter.lower()}",
    ):
        return CHOICE
    if isinstance(rest, Scalar) and isinstance(rest.expression, Sym) and str(rest.expression.value) in "ABCDEFGHIJ":
        return None  # another letter, for any text of the choice
    if choice.content is not None and choice is answer:
        return CHOICE if same(rest, choice.content) else None
    return None


def _begins_with(node: Node) -> str:
    """The letter of a choice with its text after a dash, which looks like a difference: `C - 3`."""
    if isinstance(node, Add) and isinstance(node.args[0], Sym) and isinstance(node.args[1], Neg):
        return node.args[0].value
    return ""


@compares(((Words, Opaque), (Words, Opaque)))
def same_text(gold: Words | Opaque, answer: Words | Opaque) -> Rule | None:
    """Text that differs in spaces and hyphens only, or that says the same of a thing."""
    one, other = (value.text.replace("-", " ") if isinstance(value, Words) else value.text for value in (gold, answer))
    if one == other or one.replace(" ", "") == other.replace(" ", ""):
        return TEXT
    if isinstance(gold, Opaque) or isinstance(answer, Opaque):
        return None
    if (rule := _same_quadrant(gold, answer)) is not None:
        return rule
    left, right = property_of(gold.text), property_of(answer.text)
    return PROPERTY if left and right and left.same(right) else None


@compares((Words, (Scalar, Collection)), ((Scalar, Collection), Words))
def infinitely_many(gold: Value, answer: Value) -> Rule | None:
    """The sign of infinity, where a number of things was asked for; the number of a quadrant."""
    if isinstance(gold, Words) and isinstance(answer, Scalar) and gold.text == INFINITELY_MANY:
        return TEXT if answer.expression == INFINITY else None
    if isinstance(gold, Scalar) or isinstance(answer, Scalar) or _same_quadrant(gold, answer):
        return _same_quadrant(gold, answer)
    left, right = (property_of(_joined(value)) for value in (gold, answer))
    return PROPERTY if left and right and left.same(right) else None


def _joined(value: Value) -> str:
    """Text, or a list of texts: injective and surjective."""
    items = value.items if isinstance(value, Collection) else (value,)
    return " and ".join(item.text if isinstance(item, Words) else "?" for item in items)


def _same_quadrant(gold: Value, answer: Value) -> Rule | None:
    """Two quadrants, of which one is named as such."""
    texts = [value.text for value in (gold, answer) if isinstance(value, Words)]
    named = [text for text in texts if text.startswith(("quadrant ", "octant "))]
    if not named or not (one := _places(gold)) or not (other := _places(answer)):
        return None
    kinds = {text.partition(" ")[0] for text in named}
    return QUADRANT if one == other and len(kinds) == 1 else None


_PRODUCT = str.maketrans("", "", "()*")


def _places(value: Value) -> tuple[int, ...]:
    """The numbers of quadrants that a value is; nothing if it is something else."""
    if isinstance(value, Collection):
        items = [_places(item) for item in value.items]
        return tuple(sorted(place for item in items for place in item)) if all(items) else ()
    if isinstance(value, Words):
        names = value.text.removeprefix("quadrant ").removeprefix("octant ").split(", ")
    elif isinstance(value, Scalar) and not value.unit.dimension and isinstance(value.expression, Num | Sym | Mul):
        names = [canonical(value.expression).translate(_PRODUCT)]  # III is a product of letters
    else:
        return ()
    places = tuple(sorted(number_of(name) for name in names))
    return places if places and places[0] > 0 else ()
