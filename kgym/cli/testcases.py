"""`kgym data testcases`: make hidden tests, on which reference solutions agree, for programming problems without
tests.
"""

import argparse
import contextlib
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgym.cli.interrupts import command_line, saying_how_to_go_on
from kgym.cli.output import folder_name, print_json, print_table, progress, say
from kgym.cli.settings import add_set
from kgym.errors import ConfigError

if TYPE_CHECKING:
    from kgym.data.untested import Untested
    from kgym.score.testcases import TestcasesConfig

FLAGS = ("model", "cases", "references", "agree", "passing", "generators", "seed")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("name", metavar="NAME", help="name of the new data set, for --env code --set env.dataset=NAME")
    add(
        "files",
        metavar="FILE",
        nargs="+",
        help="JSONL, JSON, CSV or Parquet files of problems, with their references in `solutions`",
    )
    add(
        "--generator",
        metavar="FILE",
        type=Path,
        help="program in Python that prints an input, for problems without one in `generator`",
    )
    add(
        "--model",
        metavar="NAME|DIR|HUB_ID",
        help="model that writes generators and references for problems that have none",
    )
    add("--cases", metavar="N", type=int, help="inputs to propose for each problem (default: 50)")
    add("--references", metavar="N", type=int, help="references that are run for each problem (default: 10)")
    add(
        "--agree",
        metavar="SHARE",
        type=float,
        help="share of the references that have to agree on a case (default: 0.7)",
    )
    add(
        "--passing",
        metavar="SHARE",
        type=float,
        help="share of the references that have to pass all valid cases (default: 0.9)",
    )
    add("--generators", metavar="N", type=int, help="generators that the model writes for a problem (default: 4)")
    add("--seed", metavar="N", type=int, help="seed of the inputs and of the model's sampling (default: 0)")
    add(
        "--run",
        metavar="DIR",
        type=folder_name,
        help="folder of the results and the report (default: runs/testcases-NAME); give it again to resume",
    )
    add("--replace", action="store_true", help="replace a data set of this name that has other problems")
    add_set(
        parser, "options of the engine, or further keys, such as testcases.min_cases=10 or testcases.max_tokens=2048"
    )


def run(args: argparse.Namespace) -> int:
    """Make the tests, save the data set and write the report."""
    from kgym.board.testcases import testcases_page
    from kgym.cli.data import refuse_other
    from kgym.cli.steps import Step, hold_request
    from kgym.data.columns import Columns
    from kgym.data.sources import ListedSource, data_path, read_rows, save_data
    from kgym.data.untested import untested
    from kgym.files import write_atomic
    from kgym.page.document import render
    from kgym.score.testcases import LINES, engine_of, make_testcases

    path = data_path(args.name)
    config = _config(args)
    files = [Path(file) for file in args.files]
    for file in files:
        if not file.is_file():
            raise ConfigError(f"the file {file} does not exist")
    problems = untested((row for file in files for row in read_rows(file, Columns())), args.name)
    problems = _with_generator(problems, args.generator)
    if config.model:
        engine_of(config)
    folder: Path = args.run or Path("runs") / f"testcases-{args.name}"
    contents = hashlib.sha256(repr(problems).encode()).hexdigest()
    hold_request(folder, {"problems_sha256": contents} | config.model_dump(mode="json"), [Step(folder / LINES, list)])
    with (
        saying_how_to_go_on(lambda: f"resume with the same command: {command_line(args, args.argv)}"),
        contextlib.closing(_Progress()) as show,
    ):
        made = make_testcases(config, problems, folder, show)
    provenance = {
        "made_by": "kgym data testcases",
        "problems_sha256": contents,
        "settings": config.model_dump(mode="json"),
    }
    source = ListedSource(made.taken, provenance)
    refuse_other(path, source, replace=args.replace)
    save_data(args.name, source)
    write_atomic(folder / "report.html", render(testcases_page(args.name, config, made)))
    found: dict[str, Any] = {
        "data_set": args.name,
        "file": str(path),
        "taken": len(made.taken),
        "problems": len(problems),
    }
    found |= {"not_taken": made.reasons, "cases": sum(one.valid for one in made.outcomes if not one.reason)}
    found["report"] = str(folder / "report.html")
    if args.json:
        print_json(found)
        return 0
    if made.reasons:
        print_table(("not taken", "problems"), list(made.reasons.items()))
    say(f"{args.name}: {found['taken']} of {found['problems']} problems, with {found['cases']} cases, in {path}")
    say(f"report      {found['report']}")
    say(f"next        kgym train --env code --set env.dataset={args.name}")
    return 0


def _config(args: argparse.Namespace) -> "TestcasesConfig":
    from kgym.cli.settings import sections
    from kgym.options import validated
    from kgym.score.testcases import TestcasesConfig

    values = sections(args.set, "testcases", "engine", chosen=("engine",))
    given = {name: value for name in FLAGS if (value := getattr(args, name)) is not None}
    return validated(TestcasesConfig, {**values["testcases"], **given, "engine": values["engine"]}, "testcases")


def _with_generator(problems: "list[Untested]", file: Path | None) -> "list[Untested]":
    """Use the program in a file as the generator of problems without one. Raises ConfigError for a file that cannot
    be read.
    """
    if file is None:
        return problems
    try:
        source = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--generator {file} cannot be read: {error}") from None
    return [replace(problem, generator=problem.generator or source) for problem in problems]


class _Progress:
    """Shows how far the work is, with one bar for each kind of work."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._what, self._done = "", 0

    def __call__(self, what: str, done: int, total: int) -> None:
        if what != self._what:
            self.close()
            self._what, self._done = what, 0
            self._advance = self._stack.enter_context(progress(what, total))
        self._advance(done - self._done)
        self._done = done

    def close(self) -> None:
        """End the bar."""
        self._stack.close()
