"""Values with a remark after them: what the remark says, as a condition."""

from kgym_plugins.verifiers.math.grammar.nodes import Listing, Node, Relation, Sym
from kgym_plugins.verifiers.math.grammar.parse import parse_tokens
from kgym_plugins.verifiers.math.grammar.remarks import Remark
from kgym_plugins.verifiers.math.grammar.tokens import Token
from kgym_plugins.verifiers.math.limits import SyntaxProblem
from kgym_plugins.verifiers.math.phrases.conditions import EVERYWHERE, domain_of
from kgym_plugins.verifiers.math.phrases.normal import normal_words
from kgym_plugins.verifiers.math.values.interpret import declared_domain, interpret
from kgym_plugins.verifiers.math.values.realsets import Unordered
from kgym_plugins.verifiers.math.values.types import Condition, Conditioned, Opaque, Value, Words

_WITH_FORMULA = frozenset({"for", "if", "with", "given", "provided"})
"""Words that begin a mere remark only before a formula or the domain of a letter."""
_NEXT = frozenset({"where", "with", "for", "and", "some", "any", "all"})
"""Words that begin another condition after a comma or an "and"."""


def conditioned(found: Remark) -> Value:
    """Give a value with its remark. Raises SyntaxProblem or Unordered if the value makes no sense alone."""
    value = interpret(parse_tokens(found.value))
    if isinstance(value, Words | Opaque):
        raise SyntaxProblem("words with a remark")
    if found.reason:
        return Conditioned(value, Condition())
    condition = _together([condition_of(part) for part in _parts(found.condition)])
    if condition.remark and (
        condition.remark.split()[0] in _WITH_FORMULA or any(token.kind == "num" for token in found.condition)
    ):
        raise SyntaxProblem("more than a remark: 3 for 5 dollars, 2 with multiplicity 3, 7 if all are different")
    return Conditioned(value, condition)


def _parts(tokens: list[Token]) -> list[list[Token]]:
    """Several conditions: for all x in R, where c is a real constant."""
    parts: list[list[Token]] = [[]]
    for at, token in enumerate(tokens):
        following = tokens[at + 1].value.lower() if at + 1 < len(tokens) and tokens[at + 1].kind == "word" else ""
        joins = (token.kind == "op" and token.value == ",") or (
            token.kind in ("word", "op") and token.value.lower() == "and"
        )
        if joins and following in _NEXT and parts[-1]:
            parts.append([])
        elif not (joins and not parts[-1]):
            parts[-1].append(token)
    return [part for part in parts if part]


def _together(conditions: list[Condition]) -> Condition:
    """One condition that says all; raises SyntaxProblem for two formulas, which may contradict each other."""
    formulas = [condition.formula for condition in conditions if condition.formula is not None]
    if len(formulas) > 1:
        raise SyntaxProblem("two conditions in one answer")
    domains = tuple(domain for condition in conditions for domain in condition.domains)
    remarks = " ".join(condition.remark for condition in conditions if condition.remark)
    return Condition(domains, formulas[0] if formulas else None, remarks)


def condition_of(tokens: list[Token]) -> Condition:
    """Read a condition: a relation, a domain in words, or any other remark."""
    begin = next((at for at, token in enumerate(tokens) if token.kind not in ("word", "cmd")), len(tokens))
    try:
        node = parse_tokens(list(tokens[begin:]))
    except SyntaxProblem:
        node = None
    if node is not None and (formula := _formula(node)):
        return formula
    words = " ".join(token.value for token in tokens)
    if {token.value.lower() for token in tokens if token.kind == "word"} <= EVERYWHERE and tokens[-1].kind == "name":
        return Condition()
    names = [token.value for token in tokens if token.kind == "name" and not (token.text and token.value in ("a", "A"))]
    if (
        names
        and (domain := domain_of(words))
        and not any(token.kind in ("num", "op") and token.value != "," for token in tokens)
    ):
        return Condition(tuple((name, domain) for name in names))
    return Condition(remark=normal_words(words))


def _formula(node: Node) -> Condition | None:
    """Read relations: domains of letters, and what else has to hold."""
    relations = node.args if isinstance(node, Listing) else (node,)
    if not all(isinstance(item, (Relation, Sym)) for item in relations) or not isinstance(relations[-1], Relation):
        return None
    domains: list[tuple[str, str]] = []
    rest: list[Node] = []
    letters: list[str] = []
    for item in relations:
        if isinstance(item, Sym):  # m, n \in Z
            letters.append(item.value)
        elif domain := declared_domain(item):
            domains += [(name, domain) for name in (*letters, *(arg.value for arg in _letters(item.args[0])))]
            letters = []
        else:
            rest.append(item)
    if letters:
        return None
    try:
        formula = interpret(rest[0] if len(rest) == 1 else Listing(tuple(rest), frozenset({"and"}))) if rest else None
    except (SyntaxProblem, Unordered):
        return None
    return Condition(tuple(domains), formula)


def _letters(node: Node) -> tuple[Node, ...]:
    return node.args if isinstance(node, Listing) else (node,)
