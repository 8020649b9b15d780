"""Common parts of the commands that train (`train`, `sft`, `dpo`, `rm`): options, the configuration, `--show-config`
and `--resume`.
"""

import argparse
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgym.cli.interrupts import command_line, saying_how_to_go_on
from kgym.cli.output import folder_name, print_json, say
from kgym.cli.ranks import add_ranks, agreed, first_rank, launched, started_again
from kgym.cli.settings import add_set

if TYPE_CHECKING:
    from kgym.runs.folder import RunFolder
    from kgym.runs.stored import TrainingConfig
    from kgym.train.report import Reporter


def configure(parser: argparse.ArgumentParser, command: str, examples: str) -> None:
    """Add the options; `examples` are keys for the help of `--set`."""
    parser.add_argument(
        "--tracker",
        metavar="NAME",
        action="append",
        default=[],
        help="also write metrics to tensorboard, wandb, trackio, mlflow, jsonl or a tracker of a plugin; may be given "
        "again",
    )
    parser.add_argument("--run", metavar="DIR", type=folder_name, help="run folder (default: a new folder below runs/)")
    add_config(parser)
    add_set(
        parser,
        f"any key of the configuration, such as {examples} (see --show-config)",
        lambda: keys_of_command(command),
    )
    parser.add_argument(
        "--show-config",
        action="store_true",
        help="make all checks of a start, and print every key with its meaning, its value and its origin, as a file "
        "for --config or, with --json, as JSON; nothing is written",
    )
    parser.add_argument(
        "--profile",
        action="store_true",
        help="print where the time went, and write a trace of one step, for Perfetto, into profile/ of the run folder",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="make all checks of a start, print what the run will have in memory, and end; nothing is loaded or "
        "written",
    )
    parser.add_argument("--resume", action="store_true", help="resume --run DIR, or the newest run below runs/")
    add_ranks(parser)


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add `--config`."""
    parser.add_argument(
        "--config", metavar="FILE.toml", type=Path, help="configuration file; other options override it"
    )


def keys_of_command(command: str) -> list[str]:
    """Return the keys of every run, those of training first."""
    from kgym.keys import keys_of
    from kgym.runs.stored import MODELS

    model = MODELS[command]
    found = keys_of(model().model_dump(mode="json"), model)
    return sorted(found, key=lambda key: not key.startswith(("train.", "rollout.", f"{command}.")))


def flags_given(args: argparse.Namespace, flags: Mapping[str, str]) -> dict[str, Any]:
    """Return by key the values of the given options that stand for keys."""
    return {key: getattr(args, flag) for flag, key in flags.items() if getattr(args, flag) is not None}


def settings_of(given: Mapping[str, Any]) -> list[str]:
    """Return values by key as `--set` takes them."""
    from kgym.keys import value_literal

    return [f"{key}={value_literal(value) if isinstance(value, list) else value}" for key, value in given.items()]


def asked(args: argparse.Namespace, command: str, given: Mapping[str, Any]) -> "tuple[TrainingConfig, RunFolder]":
    """Return the configuration that a command line asks for, and the folder of its run.

    Raises ConfigError if a new run would be in the folder of another run, or if a resumed run is given other settings.
    """
    from kgym.keys import load
    from kgym.runs.folder import RunFolder
    from kgym.runs.stored import MODELS, new_folder, newest_run, stored_config
    from kgym.train.start import refuse_existing, resumed

    overrides = [*settings_of(given), *(f"trackers.{name}={{}}" for name in args.tracker), *args.set]
    config = load(MODELS[command], args.config, overrides, moved=moved_keys(command))
    if args.resume:
        folder = RunFolder(agreed(lambda: args.run or newest_run(command)))
        return resumed(stored_config(folder, command), config, whole=args.config is not None), folder
    folder = RunFolder(agreed(lambda: args.run or new_folder(config)))
    refuse_existing(folder, command)
    return config, folder


def moved_keys(command: str) -> Mapping[str, str]:
    """Return the keys of older versions of a command with their present names."""
    from kgym.keys import MOVED
    from kgym.runs.stored import MODELS

    own: Mapping[str, str] = MOVED if command == "train" else MODELS[command].MOVED
    return own


def show(
    args: argparse.Namespace,
    config: "TrainingConfig",
    folder: "RunFolder",
    options: Mapping[str, str],
    recipe: Callable[[], Mapping[str, str]] = dict,
) -> int:
    """Print every key of the configuration in force.

    `options` are the options of the command line by the key that they stand for; `recipe` returns keys with the origin
    of their default values.
    """
    from kgym.cli.explain import as_facts, as_toml, entries, layers
    from kgym.keys import keys_of
    from kgym.train.start import run_of

    stored: Iterable[str] = ()
    if args.resume:
        stored = keys_of(config.model_dump(mode="json", exclude_unset=True), type(config))
    config = run_of(config, folder).check()
    if not first_rank():
        return 0
    sources = {**recipe(), **dict.fromkeys(stored, "the run")}
    sources |= layers(options, args.tracker, args.set, args.config, type(config))
    found = entries(config, sources)
    if args.json:
        print_json({"config": config.model_dump(mode="json"), "keys": as_facts(found)})
    else:
        say(
            f"# kgym {args.argv[0]} can start with this configuration; nothing was written. Store it in a file for "
            "--config.\n"
        )
        say(as_toml(found).rstrip())
    return 0


def dry_run(args: argparse.Namespace, config: "TrainingConfig", folder: "RunFolder") -> int:
    """Check all that a start checks, and print what the run will have in memory."""
    from kgym.cli.planning import print_plan
    from kgym.train.start import run_of

    plan = run_of(config, folder).dry_run()
    if first_rank():
        print_plan(plan, json_output=args.json)
    return 0


def launch(args: argparse.Namespace, config: "TrainingConfig", folder: "RunFolder", out: Path | None = None) -> int:
    """Start the command on the number of ranks that `--ranks` gives."""
    return launched(
        args,
        folder.path,
        lambda: _how_to_go_on(args, folder, config.train.steps, _out(out)),
        device=config.train.device,
    )


def train(
    args: argparse.Namespace,
    config: "TrainingConfig",
    folder: "RunFolder",
    reporter: "Reporter",
    out: Path | None = None,
) -> int:
    """Train, and print the summary if JSON is wanted."""
    from kgym.train.start import train as start

    with saying_how_to_go_on(lambda: _how_to_go_on(args, folder, config.train.steps, _out(out))):
        summary = start(config, run=folder.path, resume=args.resume, out=out, reporter=reporter, profile=args.profile)
    if args.json and first_rank():
        say(json.dumps(summary))
    return 0


def profile_lines(summary: Mapping[str, Any]) -> list[str]:
    """Return the findings of `--profile` as lines; [] without it."""
    if "profile" not in summary:
        return []
    from kgym.train.profiling import table

    found = summary["profile"]
    return ["", *table(found["seconds"]), "", f"trace       {found['trace']} (open it at https://ui.perfetto.dev)"]


def _out(out: Path | None) -> list[str]:
    return [] if out is None else ["--out", str(out)]


def _how_to_go_on(args: argparse.Namespace, folder: "RunFolder", steps: int, options: Sequence[str]) -> str:
    """Return the command to type after an interruption, and from where the run resumes then."""
    from kgym.train.checkpoint import going_on

    if not folder.manifest.is_file():
        return (
            f"no work was done yet; start again with the same command: {started_again(command_line(args, args.argv))}"
        )
    plugins = [word for name in args.plugins for word in ("-p", name)]
    more = [] if folder.read_manifest()["config"]["train"]["steps"] == steps else ["--steps", str(steps)]
    more += ["--ranks", str(args.ranks)] if args.ranks else []
    more += ["--cluster", args.cluster] if args.cluster else []
    command = command_line(args, [args.argv[0], *plugins, "--resume", "--run", str(folder.path), *more, *options])
    return f"{going_on(folder.checkpoints)} with: {started_again(command)}"
