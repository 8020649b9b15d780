"""The rule that continuous integration skips nothing, run as pytest runs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from skips import ALLOWED

HERE = Path(__file__).parent
TESTS = """
import pytest

def test_runs(): pass

@pytest.mark.skip(reason="no such package")
@pytest.mark.parametrize("n", [1, 2])
def test_left_out(n): pass

@pytest.mark.xfail(reason="known")
def test_known(): raise ValueError
"""


def session(folder, *options):
    (folder / "test_some.py").write_text(TESTS)
    environment = {**os.environ, "PYTHONPATH": str(HERE), "PYTEST_ADDOPTS": ""}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "skips",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(folder),
        *options,
        str(folder),
    ]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
def test_a_skipped_test_fails_the_session_when_that_is_asked_for(tmp_path, workers):
    assert session(tmp_path, *workers).returncode == 0
    done = session(tmp_path, *workers, "--fail-on-skip")
    assert done.returncode == 1
    assert "test_some.py::test_left_out[1]: Skipped: no such package" in done.stdout
    assert "test_some.py::test_left_out[2]" in done.stdout
    assert "test_known" not in done.stdout


def test_what_may_be_skipped_exists():
    for nodeid, reason in ALLOWED.items():
        file, _, name = nodeid.partition("::")
        assert re.search(rf"^def {name}\(", (HERE.parent / file).read_text(), re.MULTILINE), nodeid
        assert reason
