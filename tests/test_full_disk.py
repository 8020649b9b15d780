"""A disk without room: one line, exit status 1, and what was written before is whole and can be gone on from.

`RLIMIT_FSIZE` does the same where mounting is not allowed. A separate small file system is the real thing; it is
skipped without the right to mount.
"""

import json
import shutil
import subprocess
import sys

import pytest

from kgym.cli.main import main
from kgym.runs.metrics import CLOCK, read_metrics
from kgym.train.checkpoint import checkpoint_steps

BLOCK = 4096
"""Bytes that a file system of memory gives at once."""


@pytest.fixture
def disk(tmp_path):
    """A folder on a file system of 3 MB, and a function that leaves so many of its blocks free."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")

    def leave(blocks):
        filler = folder / "filler"
        filler.unlink(missing_ok=True)
        if blocks is not None:
            filler.write_bytes(bytes(max(0, shutil.disk_usage(folder).free - blocks * BLOCK)))

    yield folder, leave
    subprocess.run(["umount", "-l", str(folder)], check=True)


def train_arguments(run, model):
    small = {
        "rollout.problems_per_step": 2,
        "rollout.group_size": 2,
        "env.max_tokens": 16,
        "eval.problems": 4,
        "eval.every": 1,
        "train.save_every": 1,
        "train.threads": 1,
    }
    settings = [word for key, value in small.items() for word in ("--set", f"{key}={value}")]
    return ["train", "--env", "arithmetic", "--algo", "grpo", "--model", str(model), "--run", str(run), "-q", *settings]


def figures(run):
    return [
        {key: value for key, value in line.items() if not key.startswith(CLOCK)}
        for line in read_metrics(run / "metrics.jsonl")
    ]


def test_a_training_run_outlives_a_full_disk_wherever_it_strikes(disk, tiny_model, tmp_path, capsys):
    from transformers import AutoModelForCausalLM

    folder, leave = disk
    run, never_full = folder / "run", tmp_path / "straight"
    assert main([*train_arguments(never_full, tiny_model), "--steps", "2"]) == 0
    assert main([*train_arguments(run, tiny_model), "--steps", "1"]) == 0
    before = figures(run)
    where = set()
    for blocks in (0, 3, 5, 16, 60):
        leave(blocks)
        capsys.readouterr()
        assert main(["train", "--run", str(run), "--resume", "--steps", "2", "-q"]) == 1
        error = capsys.readouterr().err
        assert error.startswith("kgym: error: ")
        assert error.count("\n") == 1
        assert "No space left on device" in error
        where.add("cannot write the checkpoint" in error)
        assert figures(run)[:2] == before
        assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-1"]
        AutoModelForCausalLM.from_pretrained(run / "checkpoints" / "step-1")
    assert where == {True, False}  # both before and in the writing of a checkpoint
    leave(None)
    assert main(["train", "--run", str(run), "--resume", "--steps", "2", "-q"]) == 0
    assert figures(run) == figures(never_full)
    assert checkpoint_steps(run / "checkpoints") == [1, 2]


def eval_arguments(run, model, samples):
    asked = ("--problems", "12", "--samples", str(samples), "--slots", "12", "--max-tokens", "16")
    return [
        "eval",
        "--bench",
        "arithmetic:validation",
        "--model",
        str(model),
        "--run",
        str(run),
        "--json",
        "-q",
        *asked,
    ]


def test_an_evaluation_outlives_a_full_disk(disk, tiny_model, tmp_path, capsys):
    folder, leave = disk
    assert main(eval_arguments(tmp_path / "straight", tiny_model, 3)) == 0
    straight = json.loads(capsys.readouterr().out)
    leave(7)  # room for the manifest and two parts or three
    assert main(eval_arguments(folder / "run", tiny_model, 3)) == 1
    error = capsys.readouterr().err
    assert "No space left on device; the completions so far are kept, and the same command resumes from there" in error
    assert error.count("\n") == 1
    parts = {path: path.stat().st_mtime_ns for path in (folder / "run" / "samples").iterdir()}
    assert parts
    assert all(path.suffix == ".parquet" for path in parts)
    leave(None)
    assert main(eval_arguments(folder / "run", tiny_model, 3)) == 0
    assert all(path.stat().st_mtime_ns == written for path, written in parts.items())  # nothing is generated twice
    assert json.loads(capsys.readouterr().out)["accuracy"] == straight["accuracy"]


def test_an_evaluation_that_may_write_no_more_keeps_what_it_has(tiny_model, tmp_path, capsys):
    """Files of more than 3,000 bytes cannot be written, so that the next part of the completions fails as on a full
    disk.
    """
    run = tmp_path / "run"
    assert main(eval_arguments(run, tiny_model, 1)) == 0
    parts = sorted((run / "samples").iterdir())
    limited = (
        "import resource, sys\nfrom kgym.cli.main import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))\nsys.exit(main(sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited, *eval_arguments(run, tiny_model, 2)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"kgym: error: cannot write to {run}: File too large; the completions so far are kept, and the same command "
        "resumes from there\n"
    )
    assert sorted((run / "samples").iterdir()) == parts
    capsys.readouterr()
    assert main(eval_arguments(run, tiny_model, 2)) == 0
    assert json.loads(capsys.readouterr().out)["samples"] == 2
