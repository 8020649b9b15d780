"""Several commands as one: each is printed and run, unless its result exists; an interrupted one resumes.

run_steps([Step(out / "sft" / "summary.json", ["sft", "--run", ...]), ...])
"""

import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kgym.cli.output import say
from kgym.errors import ConfigError

INTERRUPTED = 128
"""Exit statuses above this are those of signals."""


class Step(NamedTuple):
    """A command of kgym, and the file that exists once it has ended well."""

    done: Path
    words: Callable[[], Sequence[object]]
    """Returns the command line without `kgym`; it is called at the start, since a run that has begun is resumed."""


def run_steps(steps: Sequence[Step]) -> int:
    """Run commands in order; return the exit status of the first that fails, or 0."""
    from kgym.cli.main import main

    for step in steps:
        if step.done.exists():
            continue
        words = [str(word) for word in step.words()]
        say(f"\n$ kgym {shlex.join(words)}", flush=True)
        if status := main(words):
            if status > INTERRUPTED:
                say("kgym: give the same command again to resume the series", file=sys.stderr)
            return status
    return 0


def say_steps(steps: Sequence[Step]) -> int:
    """Print the commands instead of running them."""
    for step in steps:
        say(f"kgym {shlex.join(str(word) for word in step.words())}" + ("    # done" if step.done.exists() else ""))
    return 0


def hold_request(out: Path, request: Mapping[str, Any], steps: Sequence[Step]) -> None:
    """Store the request of a series in its folder. Raises ConfigError if a series with another request has begun
    there.
    """
    from kgym.files import read_table, write_atomic
    from kgym.score.comparability import changes

    file, asked = out / "request.json", json.loads(json.dumps(request))
    begun = any(step.done.parent.exists() for step in steps)  # a stored request may have been refused at once
    if not file.exists() or not begun:
        out.mkdir(parents=True, exist_ok=True)
        write_atomic(file, json.dumps(asked, indent=2) + "\n")
    elif differing := changes(read_table(file, remedy="choose another folder with --out"), asked):
        raise ConfigError(
            f"{out} contains a series with other settings: {'; '.join(differing.values())}; choose another folder with "
            "--out"
        )


def of_env(settings: Sequence[str]) -> list[str]:
    """Return the settings that every command gets."""
    return [setting for setting in settings if setting.startswith("env.")]


def settings_words(*settings: str) -> list[str]:
    """Return settings as the words of a command line."""
    return ["--set", *settings] if settings else []


def training(command: str, run: Path, *flags: object) -> Step:
    """Return a run of `kgym train`, `sft`, `dpo` or `rm`; a run that has begun is resumed with the settings of its
    manifest.
    """

    def words() -> Sequence[object]:
        begun = (run / "manifest.json").exists()
        return [command, "--run", run, *(["--resume"] if begun else flags)]

    return Step(run / "summary.json", words)


def scoring(run: Path, *flags: object) -> Step:
    """Return a run of `kgym eval`, which finds stored samples by itself."""
    return Step(run / "results.json", lambda: ["eval", *flags, "--run", run])
