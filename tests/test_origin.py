"""What a process on another machine takes over from the one that asks for it."""

import os
import sys
from pathlib import Path

import pytest

from kgym.errors import ConfigError
from kgym.registry import DISABLED, INHERITED, NO_AUTOLOAD, configure
from kgym.rollout.origin import Origin


@pytest.fixture(autouse=True)
def _as_before(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in (INHERITED, DISABLED, NO_AUTOLOAD):
        monkeypatch.delenv(name, raising=False)
    yield
    configure([])


def test_folder_module_path_and_plugins_are_those_of_the_process_that_asks(monkeypatch, tmp_path):
    configure(["faulty_engines"])
    monkeypatch.setenv(DISABLED, "acme")
    monkeypatch.syspath_prepend("modules")
    origin = Origin.here()
    for name in (INHERITED, DISABLED):
        monkeypatch.delenv(name)
    monkeypatch.chdir("/")
    before = sys.path[1:]
    monkeypatch.setattr(sys, "path", list(before))
    origin.take_over()
    assert Path.cwd() == tmp_path
    assert sys.path == [*before, str(tmp_path / "modules")]
    assert (os.environ[INHERITED], os.environ[DISABLED]) == ('["faulty_engines"]', "acme")
    assert NO_AUTOLOAD not in os.environ


def test_a_machine_without_the_folder_is_named_with_the_remedy(tmp_path):
    with pytest.raises(
        ConfigError,
        match=f"{tmp_path}/gone is not on every machine of the cluster; start the command in a folder that all",
    ):
        Origin(f"{tmp_path}/gone", (), {}).take_over()
