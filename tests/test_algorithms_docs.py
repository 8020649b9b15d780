"""`docs/algorithms.md` is what the code says, and its examples run."""

import doctest
import re
from pathlib import Path

import pytest

from kgym.algorithms.table import fill
from kgym.registry import registry
from kgym.testing.algorithms import check_algorithm

PAGE = Path(__file__).parent.parent / "docs" / "algorithms.md"


def test_tables_are_those_of_the_code():
    assert PAGE.read_text() == fill(PAGE.read_text()), "run: python -m kgym.algorithms.table docs/algorithms.md"


@pytest.mark.parametrize(
    "name", [name for name in registry().infos("algorithm") if registry().provider("algorithm", name).origin == "kgym"]
)
def test_facts_name_the_defaults(name):
    target = registry().target("algorithm", name)
    options = target.Options()
    if hasattr(options, "clip_low"):
        assert f"{options.clip_low:g} / {options.clip_high:g}" in target.facts.clip
    kl_coef = getattr(options, "kl_coef", None)
    if kl_coef is not None:
        assert target.facts.kl.endswith(f", {kl_coef:g}" if kl_coef else ", off")


def test_examples_run():
    assert doctest.testfile(str(PAGE), module_relative=False).attempted == 12
    assert doctest.testfile(str(PAGE), module_relative=False).failed == 0


def test_the_algorithm_of_the_page_keeps_the_contract():
    (source,) = [
        block
        for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
        if "class Plain" in block
    ]
    names = {}
    exec(source, names)  # our own documentation
    for seed in range(5):
        check_algorithm(names["Plain"](names["Plain"].Options()), seed=seed)


@pytest.mark.parametrize("module", ["clipping", "kl"])
def test_docstring_examples_run(module):
    import importlib

    result = doctest.testmod(
        importlib.import_module(f"kgym.algorithms.{module}"), extraglobs={"torch": __import__("torch")}
    )
    assert result.attempted
    assert not result.failed
