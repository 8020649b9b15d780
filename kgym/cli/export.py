"""`kgym envs export`: write an environment as files that another framework reads without changes."""

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kgym.cli.output import print_json, say
from kgym.cli.settings import add_set, sections
from kgym.errors import ConfigError
from kgym.hookspecs import BridgeInfo
from kgym.registry import registry

if TYPE_CHECKING:
    from kgym.envs.spec import EnvSpec
    from kgym.types import Bridge, EnvExport


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("name", metavar="ENV", help="short name (the newest version) or id")
    parser.add_argument(
        "--to",
        metavar="NAME",
        required=True,
        help="framework that the files are for: hf, trl, verl, lm-eval, inspect or a plugin's",
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, required=True, help="folder to write, made if it does not exist"
    )
    parser.add_argument(
        "--split", metavar="NAME", action="append", default=[], help="split to export; may be repeated (default: train)"
    )
    parser.add_argument("--limit", metavar="N", type=int, help="most problems of each split; endless splits need it")
    parser.add_argument("--replace", action="store_true", help="replace files that exist")
    add_set(parser, "options of the environment, its verifier or the bridge, such as env.difficulty=3")


def run(args: argparse.Namespace) -> int:
    """Write the files."""
    from kgym.blame import blaming
    from kgym.bridges import checked_files
    from kgym.config import VerifierConfig
    from kgym.envs.spec import EnvSpec
    from kgym.options import validated

    values = sections(args.set, "env", "verifier", BridgeInfo.kind, chosen=("verifier",))
    if "split" in values["env"]:
        raise ConfigError(f"env.split cannot be set here; use --split {values['env']['split']}")
    verifier = validated(VerifierConfig, values["verifier"], "verifier")
    splits = list(dict.fromkeys(args.split)) or ["train"]
    specs = [EnvSpec.of(args.name, split, values["env"], verifier) for split in splits]
    bridge: Bridge = registry().create(BridgeInfo.kind, args.to, values[BridgeInfo.kind])
    export = exported(specs, args.limit, to=args.to, turns=bridge.turns)
    with blaming(BridgeInfo.kind, bridge):
        files = checked_files(bridge(export))
    _write(args.out, files, replace=args.replace)
    counts = {split: len(rows) for split, rows in export.splits.items()}
    if args.json:
        print_json(
            {"env": export.env_id, "to": args.to, "problems": counts, "files": [args.out / name for name in files]}
        )
        return 0
    said = ", ".join(f"{n} problem{'s' * (n != 1)} of {split}" for split, n in counts.items())
    say(f"{export.env_id}: {said}, in {args.out} ({', '.join(files)})")
    if "README.md" in files:
        say(f"{args.out / 'README.md'} says how to use them with {args.to}")
    return 0


def exported(specs: "list[EnvSpec]", limit: int | None, *, to: str, turns: bool) -> "EnvExport":
    """Return the problems of an environment in each of its splits. Raises ConfigError, unless `turns`, for an
    environment that replies.
    """
    from kgym.bridges import export_rows
    from kgym.types import EnvExport

    if limit is not None and limit < 1:
        raise ConfigError(f"--limit {limit}: export 1 problem or more")
    setup = specs[0].setup()
    if setup.responder is not None and not turns:
        raise ConfigError(
            f"{setup.info.id} replies to turns of the policy, and {to} takes prompts with one completion; "
            "export the problems alone with --to hf"
        )
    return EnvExport(
        name=_word(setup.info.name),
        env_id=setup.info.id,
        summary=setup.info.summary,
        max_tokens=setup.budgets.max_tokens,
        splits={_word(spec.split): export_rows(spec, limit=limit) for spec in specs},
    )


def _write(folder: Path, files: Mapping[str, str | bytes], *, replace: bool) -> None:
    """Write the files. Raises ConfigError if one exists already, unless `replace`."""
    from kgym.files import unwritable, write_atomic

    there = [name for name in files if (folder / name).exists()]
    if there and not replace:
        raise ConfigError(f"{folder / there[0]} exists; choose another folder with --out, or --replace it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_atomic(folder / name, content)
    except OSError as error:
        raise unwritable(folder, error, "--out") from error


def _word(name: str) -> str:
    """Return a name as a word for files and tasks."""
    return re.sub(r"\W+", "_", name, flags=re.ASCII)
