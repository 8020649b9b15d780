"""Bring data sets that may not be shipped, such as the real examinations: added once, they are there by name."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgym.cli.output import print_json, print_table
from kgym.errors import ConfigError, DataError

if TYPE_CHECKING:
    from kgym.envs.sources import FileSource

ROWS = {"aime24": 30, "aime25": 30, "aime26": 30, "math500": 500}
"""How many problems well-known sets have."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="add|list")
    add = commands.add_parser("add", help="put a data set away under a name, from JSONL, JSON, CSV or Parquet files")
    add.add_argument("name", metavar="NAME", help="as environments ask for it, such as aime24")
    add.add_argument("files", metavar="FILE", nargs="+", type=Path, help="its files; several are joined, in this order")
    add.add_argument("--replace", action="store_true", help="put it in the place of one with the same name and other problems")
    commands.add_parser("list", help="print the data sets that are there, and where they lie")


def run(args: argparse.Namespace) -> int:
    """Do what the subcommand says."""
    return _add(args) if args.action == "add" else _list(args)


def _add(args: argparse.Namespace) -> int:
    from kgym.envs.sources import FileSource, data_path, save_data

    path = data_path(args.name)
    source = FileSource(*args.files, name=args.name)
    if not source.size:
        raise DataError(f"{', '.join(map(str, args.files))}: no rows")
    for note in source.notes:
        print(f"kgym: {note}", file=sys.stderr)
    wanted = ROWS.get(args.name)
    if wanted is not None and source.size != wanted:
        print(f"kgym: warning: {args.name} has {wanted} problems, and these are {source.size}", file=sys.stderr)
    _refuse_other(path, source, replace=args.replace)
    save_data(args.name, source)
    facts = _facts(args.name, path, source)
    if args.json:
        print_json(facts | {"left_out": source.notes})
    else:
        print(f"{args.name}: {source.size} problems, sha256 {source.fingerprint[:12]}, in {path}")
    return 0


def _refuse_other(path: Path, source: "FileSource", *, replace: bool) -> None:
    """Raise ConfigError if other problems would be lost; a file that is broken is no loss."""
    from kgym.envs.sources import DataSource

    if replace or not path.exists():
        return
    try:
        there = DataSource(path)
    except DataError:
        return
    if there.fingerprint != source.fingerprint:
        raise ConfigError(
            f"{path.stem} is there already with {there.size} other problems (sha256 {there.fingerprint[:12]}); say --replace to have these"
        )


def _list(args: argparse.Namespace) -> int:
    from kgym.envs.sources import DataSource, data_folder

    folder = data_folder()
    found: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*.parquet")):
        try:
            found.append(_facts(path.stem, path, DataSource(path)))
        except DataError as error:
            found.append({"name": path.stem, "problems": 0, "sha256": "", "file": str(path), "error": str(error)})
    if args.json:
        print_json(found)
    elif not found:
        print(f"no data sets in {folder}; add one with: kgym data add NAME FILE")
    else:
        rows = [(fact["name"], fact["problems"], fact["sha256"][:12], fact["error"] or fact["file"]) for fact in found]
        print_table(("name", "problems", "sha256", "file"), rows)
    return 0


def _facts(name: str, path: Path, source: "FileSource") -> dict[str, Any]:
    return {"name": name, "problems": source.size, "sha256": source.fingerprint, "file": str(path), "error": ""}
