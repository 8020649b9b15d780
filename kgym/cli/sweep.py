"""`kgym sweep`: run a command for several seeds and values, and print mean, spread and interval over seeds.

    kgym sweep --seeds 3 --grid train.lr=1e-4,3e-4 train --env arithmetic --steps 8
    kgym sweep --seeds 5 --grid temperature=0.6,1.0 eval --bench aime-style
    kgym sweep --seeds 3 --grid algo=grpo,mirror --jobs 4 --dry-run train

The options of the sweep come before the command, which is train, sft, dpo, rm or eval with its own options. Each --grid
names a key of the configuration, as for --set, and its values; several --grid give every combination. Finished runs are
not run again and interrupted ones are resumed, so the same command finishes the sweep, and more seeds or values add
runs. Every run has one thread, so its numbers do not depend on --jobs; --set train.threads=N after the command gives
more threads.
"""

import argparse
import contextlib
import importlib
import io
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgym.cli.many import add_jobs, jobs_of, list_runs, plugin_words, run_missing
from kgym.cli.output import folder_name, print_json, print_table, say
from kgym.errors import ConfigError, UnknownName

if TYPE_CHECKING:
    from kgym.experiments.planning import Run
    from kgym.experiments.sweep import Row, Setting

OURS = {
    "--seed": "give --seeds before the command",
    "--run": "give --out before the command",
    "--out": "runs of a sweep are below --out of the sweep",
    "--resume": "the same command resumes the sweep",
    "--dry-run": "give it before the command",
    "--show-config": "ask the command itself, without a sweep",
    "--json": "give it before the command",
    "--board": "add the runs with kgym leaderboard add when they have ended",
}
"""Options of a command that the sweep sets itself, and what to do instead."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--seeds", metavar="N|A,B", default="3", help="how many seeds, from 0 on, or a list of them (default: 3)"
    )
    parser.add_argument(
        "--grid",
        metavar="KEY=V,V",
        action="append",
        default=[],
        help="values of a key of the configuration; may be given again",
    )
    parser.add_argument(
        "--measure",
        metavar="'final KEY'",
        action="append",
        default=[],
        help="another figure for the table: final, mean, last, first or sum of a metric over the steps; may be given "
        "again",
    )
    parser.add_argument(
        "--out", metavar="DIR", type=folder_name, help="folder of the runs and tables (default: one below runs/)"
    )
    add_jobs(parser)
    parser.add_argument(
        "swept", metavar="COMMAND ...", nargs=argparse.REMAINDER, help="train, sft, dpo, rm or eval, with its options"
    )


def run(args: argparse.Namespace) -> int:
    """Run what is missing, and print the table."""
    from kgym.experiments.sweep import check_measure, folder_of, grid_of, named, run_of, seeds_of, settings_of

    command, inner, plugins = _command(args.swept)
    for measure in args.measure:
        check_measure(measure, command[0])
    settings = {named(setting): setting for setting in settings_of(grid_of(args.grid))}
    jobs, seeds = jobs_of(args), seeds_of(args.seeds)
    out = args.out or folder_of(command, Path("runs"))
    again = _again(inner)
    runs = [run_of(command, setting, seed, out, again) for setting in settings.values() for seed in seeds]
    loaded = [*args.loaded, *args.plugins, *plugins]
    if plugins:
        _load(loaded)
    for setting in settings:
        _check([run for run in runs if run.arm == setting])
    before = plugin_words(loaded)
    if args.dry_run:
        return list_runs(runs, jobs, as_json=args.json, before=before)
    failed = run_missing(args, runs, jobs, out, before=before)
    _report(args, runs, settings, out)
    return 1 if failed else 0


def _command(words: Sequence[str]) -> tuple[list[str], argparse.Namespace, list[str]]:
    """Return the command without its plugins, its parsed options, and its plugins. Raises for other commands."""
    from kgym.experiments.sweep import COMMANDS

    words = [word for place, word in enumerate(words) if (place, word) != (0, "--")]
    if not words:
        raise ConfigError(
            f"name the command after the options: {', '.join(COMMANDS)}, as in kgym sweep --seeds 3 train"
        )
    if words[0] not in COMMANDS:
        raise UnknownName.near("command to sweep", words[0], COMMANDS)
    for word in words[1:]:
        if remedy := OURS.get(word.partition("=")[0]):
            raise ConfigError(f"{word.partition('=')[0]} cannot be given to each run of a sweep: {remedy}")
    inner = _parsed(words)
    if any(setting.partition("=")[0].strip() == "seed" for setting in inner.set):
        raise ConfigError("--set seed=... would give all runs the same seed; give --seeds before the command")
    for flag in ("bench", "model") if words[0] == "eval" else ():
        if isinstance(given := getattr(inner, flag), list) and len(given) > 1:
            key = {"bench": "benches"}.get(flag, flag)
            raise ConfigError(f"--{flag} is given twice; sweep over the values with --grid {key}={','.join(given)}")
    return _without_plugins(words), inner, list(inner.plugins)


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    from kgym.cli.main import COMMANDS, parse

    return parse(words[0], importlib.import_module(COMMANDS[words[0]][0]), list(words[1:]))


def _without_plugins(words: Sequence[str]) -> list[str]:
    """Leave out `-p NAME`: plugins are named before the command, even when a run is resumed."""
    kept: list[str] = []
    skip = False
    for word in words:
        if not skip and not word.startswith("-p"):
            kept.append(word)
        skip = word == "-p" and not skip
    return kept


def _again(inner: argparse.Namespace) -> list[str]:
    """Return the options that a run also gets when it is resumed: its processes are not part of its settings."""
    given = {name: getattr(inner, name, None) for name in ("ranks", "cluster")}
    return [word for name, value in given.items() if value is not None for word in (f"--{name}", str(value))]


def _load(plugins: Sequence[str]) -> None:
    """Load the plugins of the command, as its runs will."""
    from kgym.loading import descriptor_to_stderr
    from kgym.registry import configure as load_plugins

    with descriptor_to_stderr():
        load_plugins(plugins)


def _check(runs: "Sequence[Run]") -> None:
    """Make the checks of a start without writing anything, unless a run of the setting has begun."""
    if any(run.folder.exists() for run in runs):
        return
    args = _parsed(runs[0].words)
    if runs[0].command == "eval":
        from kgym.cli.eval import asked
        from kgym.score.evaluating import plan_all

        plan_all(asked(args), args.run)
        return
    args.show_config = True
    with contextlib.redirect_stdout(io.StringIO()):
        importlib.import_module(f"kgym.cli.{runs[0].command}").run(args)


def _report(args: argparse.Namespace, runs: "Sequence[Run]", settings: "Mapping[str, Setting]", out: Path) -> None:
    """Write both tables, and print the table of the settings."""
    from kgym.experiments.sweep import as_csv, facts_of, rows_of, run_facts
    from kgym.files import write_atomic

    rows = rows_of(runs, args.measure)
    facts, each = [facts_of(row) for row in rows], run_facts(runs, rows, settings)
    tables = {"table.csv": facts, "runs.csv": each}
    for name, found in tables.items():
        write_atomic(out / name, as_csv(found))
    if args.json:
        print_json({"out": out, "table": facts, "runs": each})
        return
    say()
    if rows:
        print_table(("setting", "measure", "seeds", "mean", "spread", "95 % interval"), [_shown(row) for row in rows])
    else:
        say("no run has finished, so the sweep has nothing to show", file=sys.stderr)
    say(f"\ntables      {out / 'table.csv'}, {out / 'runs.csv'}")
    say(f"next        kgym runs compare {out}")


def _shown(row: "Row") -> tuple[Any, ...]:
    from kgym.experiments.report import said

    known = [said(value, row.unit, signed=False) if math.isfinite(value) else "-" for value in (row.mean, row.spread)]
    low, high = (said(end, row.unit, signed=False).removesuffix(row.unit) for end in row.interval)
    interval = f"{low} to {high}" if math.isfinite(row.interval[0]) else "-"
    return row.setting, row.measure, len(row.by_seed), *known, interval
