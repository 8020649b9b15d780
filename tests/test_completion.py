"""Completion in shells: the candidates, and a real bash that completes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kgym.cli.completion import NAMED_BY, POSITIONAL, SCRIPTS, candidates
from kgym.cli.main import main
from kgym.discovery import KINDS


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([""], {"train", "eval", "doctor", "completion"}),
        (["tr"], {"train"}),
        (["plugins", ""], {"list", "show", "doctor", "check", "new"}),
        (["train", "--env", "ai"], {"aime"}),
        (["train", "--algo", "mir"], {"mirror"}),
        (["eval", "--bench", "math500-"], {"math500-style"}),
        (["envs", "show", "arith"], {"arithmetic"}),
        (["plugins", "show", "--kind", "ver"], {"verifier"}),
        (["plugins", "check", "prio"], {"prioritized"}),
        (["plugins", "new", "letters", "--ver"], {"--verifier"}),
        (["train", "--set", "train.lr"], {"train.lr="}),
        (["train", "--set", "train.lr=1", "train.steps"], {"train.steps="}),
    ],
)
def test_candidates(words, wanted):
    found = candidates(words)
    assert wanted <= set(found)
    assert all(name.startswith(words[-1]) for name in found)
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("words", [["nonsense", ""], ["train", "--env", "zzz"], ["train", "--seed", ""], ["train", ""]])
def test_nothing_is_invented(words):
    assert candidates(words) == []


def test_the_tables_name_kinds_that_there_are():
    named = {kind for kinds in (*NAMED_BY.values(), *POSITIONAL.values()) for kind in kinds}
    assert named <= set(KINDS)


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_script_asks_kgym(shell, capsys):
    assert main(["completion", shell]) == 0
    assert "kgym -q completion words -- " in capsys.readouterr().out


def test_an_unknown_shell_is_refused(capsys):
    assert main(["completion", "tcsh"]) == 2
    assert "known: bash, fish, words, zsh" in capsys.readouterr().err


def test_bash_completes(tmp_path):
    bash = shutil.which("bash")
    assert bash is not None
    (tmp_path / "kgym").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m kgym "$@"\n')
    (tmp_path / "kgym").chmod(0o755)
    script = (
        'eval "$(kgym completion bash)"; COMP_WORDS=(kgym train --env arith); COMP_CWORD=3; _kgym; echo '
        '"${COMPREPLY[@]}"; '
        'COMP_WORDS=(kgym train --al); COMP_CWORD=2; _kgym; echo "${COMPREPLY[@]}"'
    )
    environ = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [bash, "-c", script], capture_output=True, text=True, timeout=120, check=False, cwd=Path(tmp_path), env=environ
    )
    assert (done.stdout, done.stderr) == ("arithmetic\n--algo\n", "")
