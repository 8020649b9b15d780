"""Several commands as one: each is printed and run, one whose result is there is skipped, and one that was interrupted resumes.

run_steps([Step(out / "sft" / "summary.json", ["sft", "--run", ...]), ...])
"""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from kgym.cli.output import say


class Step(NamedTuple):
    """A command of kgym, and the file that is there once it has ended well."""

    done: Path
    words: Callable[[], Sequence[object]]
    """The command line without `kgym`; asked for when its turn comes, since a run that has begun is resumed."""


def run_steps(steps: Sequence[Step]) -> int:
    """Run commands in order; return the exit status of the first that fails, or 0."""
    from kgym.cli.main import main

    for step in steps:
        if step.done.exists():
            continue
        words = [str(word) for word in step.words()]
        say(f"\n$ kgym {shlex.join(words)}", flush=True)
        if status := main(words):
            return status
    return 0


def training(command: str, run: Path, *flags: object) -> Step:
    """Return a run of `kgym train`, `sft`, `dpo` or `rm`; one that has begun is resumed with the settings of its manifest."""

    def words() -> Sequence[object]:
        begun = (run / "manifest.json").exists()
        return [command, "--run", run, *(["--resume"] if begun else flags)]

    return Step(run / "summary.json", words)


def scoring(run: Path, *flags: object) -> Step:
    """Return a run of `kgym eval`, which finds by itself what it has of the samples."""
    return Step(run / "results.json", lambda: ["eval", *flags, "--run", run])
