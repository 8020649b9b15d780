"""Text, and letters of choices."""

from typing import get_args

from kgym_plugins.verifiers.math.compare.same import same
from kgym_plugins.verifiers.math.compare.table import Rule, compares, rule
from kgym_plugins.verifiers.math.grammar.nodes import Add, Const, Neg, Node, Sym
from kgym_plugins.verifiers.math.phrases.named import INFINITELY_MANY
from kgym_plugins.verifiers.math.values.realsets import INFINITY
from kgym_plugins.verifiers.math.values.types import Choice, Opaque, Scalar, Value, Words

CHOICE = rule(
    "choice",
    "the letter, with or without the text of the choice; the text for the letter is not enough, but the letter with the right text is",
    example=("C", r"\textbf{(C)}\ 12"),
    counter=("C", "(D) 12"),
)
TEXT = rule(
    "text",
    "without regard to case, articles, hyphens and punctuation; what the grammar does not know equals only the same text",
    example=("The Pacific Ocean", "pacific ocean"),
    counter=("The Pacific Ocean", "The Atlantic Ocean"),
)


_ANY = tuple(kind for kind in get_args(Value) if kind is not Choice)


@compares((Choice, Choice), (Choice, _ANY), (_ANY, Choice))
def same_choice(gold: Value, answer: Value) -> Rule | None:
    """A letter, or the right text beside the letter."""
    if isinstance(gold, Choice) and isinstance(answer, Choice):
        return CHOICE if gold.letter == answer.letter else None
    choice, rest = (gold, answer) if isinstance(gold, Choice) else (answer, gold)
    assert isinstance(choice, Choice)
    if isinstance(rest, Scalar) and isinstance(rest.expression, Sym | Const) and str(rest.expression.value).upper() == choice.letter:
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
        return None  # another letter, whatever the text of the choice
    if choice.content is not None and choice is answer:
        return CHOICE if same(rest, choice.content) else None
    return None


def _begins_with(node: Node) -> str:
    """The letter of a choice with its text behind a dash, which looks like a difference: `C - 3`."""
    if isinstance(node, Add) and isinstance(node.args[0], Sym) and isinstance(node.args[1], Neg):
        return node.args[0].value
    return ""


@compares(((Words, Opaque), (Words, Opaque)))
def same_text(gold: Words | Opaque, answer: Words | Opaque) -> Rule | None:
    """Text that differs in spaces and hyphens only."""
    one, other = (value.text.replace("-", " ") if isinstance(value, Words) else value.text for value in (gold, answer))
    return TEXT if one == other or one.replace(" ", "") == other.replace(" ", "") else None


@compares((Words, Scalar))
def infinitely_many(gold: Words, answer: Scalar) -> Rule | None:
    """The sign of infinity, where a number of things was asked for."""
    return TEXT if gold.text == INFINITELY_MANY and answer.expression == INFINITY else None
