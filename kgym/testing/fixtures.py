"""Fixtures of pytest for plugin authors. PYTEST_DONT_REWRITE

In the outermost conftest.py:

    pytest_plugins = ["kgym.testing.fixtures"]

and in a test:

    def test_sampler(check_sampler):
        check_sampler("mine", options={"pool": 100})

Each kit has a fixture, named after its function, in addition to those below. They are not an entry point of pytest, so
that installing kgym does not change the tests of other packages.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kgym.registry import Registry, configure, registry
from kgym.testing.engines import ScriptedEngine, UniformEngine
from kgym.testing.kits import KITS, kit
from kgym.testing.report import Report


@pytest.fixture
def kgym_plugins() -> Iterator[Callable[..., Registry]]:
    """A function that loads plugins as `-p` does (a module, a file, `no:NAME`), until the end of the test."""
    registry()
    yield lambda *names: configure(list(names))
    configure([])


@pytest.fixture
def scripted_engine() -> type[ScriptedEngine]:
    """An engine that returns given texts: `scripted_engine({"What is 1+1?": "2"})`, or with a function of the
    request.
    """
    return ScriptedEngine


@pytest.fixture
def uniform_engine() -> type[UniformEngine]:
    """An engine that draws characters: `uniform_engine("0123456789")`."""
    return UniformEngine


def _kit_fixture(kind: str) -> Any:
    def fixture() -> Callable[..., Report]:
        return kit(kind)

    fixture.__doc__ = f"The kit for the kind {kind}: call it with a name, a class or an instance."
    return pytest.fixture(fixture, name=KITS[kind].partition(":")[2])


globals().update({f"_{kind}_kit": _kit_fixture(kind) for kind in KITS})
