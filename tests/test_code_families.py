"""The environment `code`: its reference solutions pass their hidden tests, and mutated ones do not."""

import ast
import copy
import inspect
import random
import signal
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest

from kgym.judging.cases import Cases
from kgym.types import VerifyItem
from kgym.verify.service import load_verifier
from kgym_envs.code.formulas import FAMILIES as FORMULAS
from kgym_envs.code.task import FAMILIES, SPECS, CodeOptions, CodeTask

ALL = [spec for specs in SPECS.values() for spec in specs]
MUTANTS = 3
"""Of each family."""


def test_there_are_families_enough():
    assert len(FAMILIES) >= 40
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_every_family_has_problems_for_both_splits_as_functions_and_as_programs(split):
    source = CodeTask(CodeOptions()).source(split)
    for place in range(len(FAMILIES)):
        kinds = {Cases.of(source[place + turn * len(FAMILIES)].gold).kind for turn in range(12)}
        expected = {"stdin"} if FAMILIES[place].subject == "formulas" else {"call", "stdin"}
        assert kinds == expected, FAMILIES[place].name


def test_the_statement_has_everything_but_the_hidden_tests():
    problem = CodeTask(CodeOptions()).source("train")[0]
    cases = Cases.of(problem.gold)
    assert "{" not in problem.question.replace("{}", "")
    assert len(cases.cases) > 16
    assert sum(str(expected) in problem.question for _, expected in cases.cases) < len(cases.cases)


def judged(pairs):
    items = [VerifyItem(gold, answer) for gold, answer in pairs]
    return load_verifier("code").verify_many(items)


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "validation"])
def test_reference_solutions_pass(split):
    source = CodeTask(CodeOptions(difficulty=10)).source(split)
    problems = [source[index] for index in range(2 * len(FAMILIES))]
    verdicts = judged([(problem.gold, problem.solution) for problem in problems])
    assert [(p.id, v.label, v.reason) for p, v in zip(problems, verdicts, strict=True) if v.label != "correct"] == []


class Mutation(ast.NodeTransformer):
    """Changes one thing of a function: the one with a number."""

    def __init__(self, which):
        self.left = which
        self.done = False

    def visit(self, node):
        super().generic_visit(node)
        changed = self._changed(node)
        if changed is not None and not self.done:
            if self.left == 0:
                self.done = True
                return ast.copy_location(changed, node)
            self.left -= 1
        return node

    def _changed(self, node):
        other = copy.deepcopy(node)
        if isinstance(node, ast.Constant) and type(node.value) is int:
            other.value += 1
        elif isinstance(node, ast.BinOp) and type(node.op) in (ast.Add, ast.Sub, ast.Mult, ast.Mod):
            other.op = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Mod: ast.FloorDiv}[type(node.op)]()
        elif isinstance(node, ast.Name) and node.id in ("min", "max", "low", "high") and isinstance(node.ctx, ast.Load):
            other.id = {"min": "max", "max": "min", "low": "high", "high": "low"}[node.id]
        elif isinstance(node, ast.Compare) and type(node.ops[0]) in (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq):
            turned = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq}
            other.ops = [turned[type(node.ops[0])]()]
        else:
            return None
        return other


def mutated(spec):
    """Yield changed sources of a reference solution, each with one change."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(spec.function)))
    for which in range(100):
        mutation = Mutation(which)
        changed = mutation.visit(copy.deepcopy(tree))
        if not mutation.done:
            return
        yield ast.unparse(ast.fix_missing_locations(changed))


def outcome(function, given, params):
    """Return what a changed function returns, or that it fails; one that runs for ever fails."""

    def late(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        return function(*given, **params)
    except Exception as error:
        return type(error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def is_wrong(function, spec, params, expected):
    """Whether a changed function differs from the reference so often that the hidden tests cannot miss it: on an edge,
    or on 16 of the 40 other inputs. The rest is not called: one that runs for ever takes half a second for each.
    """
    n_differ = 0
    for place, (given, value) in enumerate(expected):
        if outcome(function, given, params) != value:
            n_differ += 1
            if place < len(spec.edges) or n_differ >= 16:
                return True
    return False


def wrong_mutants(spec, params, rng):
    """Return changed sources that are wrong: some differ from the reference only in how they are written."""
    inputs = [*spec.edges, *(spec.inputs(rng, 5) for _ in range(40))]
    expected = [(given, spec.function(*given, **params)) for given in inputs]
    found = []
    for source in mutated(spec):
        names = {}
        exec(source, names)  # our own source
        if is_wrong(names[spec.name], spec, params, expected):
            found.append(source)
        if len(found) == MUTANTS:
            break
    return found


@pytest.mark.slow
def test_mutated_solutions_fail():
    pairs, names = [], []
    for spec in ALL:
        rng = random.Random(spec.name)
        draft = spec.draft(rng, 5)
        params = {name: int(value) for name, _, value in (param.partition("=") for param in draft.params)}
        right = inspect.getsource(spec.function).rstrip()
        assert right in draft.solution
        if spec.checker or spec.compare == "unordered":  # a changed order may be right
            mutants = [right.replace("[i, j]", "[j, i]").replace(">= k", "> k")]
        else:
            mutants = wrong_mutants(spec, params, rng) or [right.replace("return ", "return 2 * ")]
        pairs += [(draft.answer, draft.solution.replace(right, mutant)) for mutant in mutants]
        names += [f"{spec.name}: {mutant}" for mutant in mutants]
    verdicts = judged(pairs)
    assert len(pairs) > 100
    assert [name for name, verdict in zip(names, verdicts, strict=True) if verdict.label != "wrong"] == []


def test_problems_are_judged_side_by_side():
    source = CodeTask(CodeOptions()).source("train")
    with ThreadPoolExecutor(2) as executor:
        found = list(executor.map(lambda n: judged([(source[n].gold, source[n].solution)])[0].label, range(2)))
    assert found == ["correct", "correct"]


@pytest.mark.parametrize("level", [1, 6])
def test_formulas_are_computed_and_not_known(level):
    pairs = []
    for family in FORMULAS:
        drafts = (family.make(random.Random(seed), level) for seed in range(100))
        draft = next(draft for draft in drafts if draft is not None)
        *lines, last, show, end = draft.solution.splitlines()
        known = draft.question.rpartition(" gives ")[2].rstrip(".")
        for program in (
            [*lines, last, show, end],
            [*lines, last, "n = n + 1", show, end],
            [*lines, show, end],
            ["```python", f"print({known})", end],
        ):
            pairs.append((draft.answer, "\n".join(program)))
    labels = [verdict.label for verdict in judged(pairs)]
    assert labels == ["correct", "wrong", "wrong", "wrong"] * len(FORMULAS)
