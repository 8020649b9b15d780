"""Add data sets that kgym may not ship, such as the real examinations; they are then available by name."""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from kgym.cli import curate, testcases
from kgym.cli.output import print_json, print_table, say
from kgym.errors import ConfigError, DataError

if TYPE_CHECKING:
    from kgym.data.sources import FileSource, ListedSource

VERIFIER = "math"
"""Judges the gold answers of data that are added; it is the verifier of the environment `data`."""
CHECKED_GOLDS = 20_000
"""Largest number of different gold answers that are judged."""
SHOWN_GOLDS = 10
"""Printed rows whose gold answers are not accepted; --json has all of them."""
SHOWN_NOTES = 3
"""Printed notes; --json has all of them."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="add|curate|testcases|show|list")
    add = commands.add_parser(
        "add", help="add a data set under a name: a known one from the hub, any from files or the hub"
    )
    add.add_argument(
        "what",
        metavar="NAME|FILE|hub:ID",
        help="a known name (aime24 to aime26, hmmt_feb25, hmmt_nov25, math500, gsm8k) or your own; a FILE or "
        "hub:OWNER/NAME alone is named after itself",
    )
    add.add_argument(
        "places",
        metavar="FILE",
        nargs="*",
        help="JSONL, JSON, CSV or Parquet files, folders or hub:OWNER/NAME; several are joined in order",
    )
    add.add_argument(
        "--config",
        metavar="NAME",
        action="append",
        default=[],
        help="configuration of a repository; several are joined",
    )
    add.add_argument(
        "--split", metavar="NAME", help="split of a repository (default: the one named like the data set, else test)"
    )
    add.add_argument("--revision", metavar="REV", help="commit, branch or tag of a repository on the hub")
    add.add_argument(
        "--question-column",
        metavar="NAME",
        help="column of the question (default: the first known one); dots reach into nested values",
    )
    add.add_argument(
        "--answer-column",
        metavar="NAME",
        help="column of the gold answer (default: the first known one, or the last box)",
    )
    add.add_argument(
        "--max-gib", metavar="N", type=float, help="refuse files with more unpacked text than this, in GiB (default: 1)"
    )
    add.add_argument(
        "--replace", action="store_true", help="replace the data set of the same name if it has other problems"
    )
    curate.configure(
        commands.add_parser("curate", help="choose problems worth training on, with their difficulty for a model")
    )
    testcases.configure(
        commands.add_parser("testcases", help="make hidden tests for programming problems that have none")
    )
    show = commands.add_parser(
        "show", help="print where a data set comes from: its files with sha256, revision and date"
    )
    show.add_argument("name", metavar="NAME", help="name of a data set, as kgym data list prints it")
    commands.add_parser("list", help="print the data sets that were added, and their files")


def run(args: argparse.Namespace) -> int:
    """Do what the subcommand says."""
    return {"add": _add, "curate": curate.run, "testcases": testcases.run, "show": _show, "list": _list}[args.action](
        args
    )


def _add(args: argparse.Namespace) -> int:
    from kgym.data.columns import Columns
    from kgym.data.importing import bring
    from kgym.data.known import known_sets
    from kgym.data.repository import Wanted
    from kgym.data.review import rows_that_give_away
    from kgym.data.sources import MAX_GIB, data_path, save_data

    name, places = _name_and_places(args.what, args.places)
    path = data_path(name)
    source = bring(
        name,
        places,
        revision=args.revision,
        wanted=Wanted(tuple(args.config), args.split),
        columns=Columns(args.question_column, args.answer_column),
        max_gib=MAX_GIB if args.max_gib is None else args.max_gib,
    )
    for note in source.notes[:SHOWN_NOTES]:
        say(f"kgym: {note}", file=sys.stderr)
    if (more := len(source.notes) - SHOWN_NOTES) > 0:
        say(f"kgym: and {more} more such rows", file=sys.stderr)
    known = known_sets().get(name)
    if known is not None and known.problems and source.size != known.problems:
        say(f"kgym: warning: {name} has {known.problems} problems, and these are {source.size}", file=sys.stderr)
    refuse_other(path, source, replace=args.replace)
    refused = _refused_golds(source)
    _warn_of_golds(refused, source.size)
    if told := rows_that_give_away(source):
        others = f" and {len(told) - SHOWN_GOLDS} more" if len(told) > SHOWN_GOLDS else ""
        say(
            f"kgym: warning: questions that contain their own answer: {', '.join(told[:SHOWN_GOLDS])}{others}",
            file=sys.stderr,
        )
    save_data(name, source)
    facts = _facts(name, path, source)
    if args.json:
        print_json(facts | {"left_out": source.notes, "refused_golds": refused, "give_away": told})
    else:
        say(f"{name}: {source.size} problems, sha256 {source.fingerprint[:12]}, in {path}")
    return 0


def _refused_golds(source: "FileSource") -> list[dict[str, str]]:
    """Return the problems whose gold answer the verifier does not accept as an answer, with their rows and its
    verdicts.

    Raises DataError if it accepts none.
    """
    from kgym.types import VerifyItem
    from kgym.verify.service import load_verifier

    every = dict.fromkeys(problem.gold for problem in source.problems)
    golds = [gold for gold in every if not _are_tests(gold)][:CHECKED_GOLDS]
    if not golds:
        return []
    verdicts = load_verifier(VERIFIER).verify_many([VerifyItem(gold, f"\\boxed{{{gold}}}") for gold in golds])
    bad = {gold: verdict.label for gold, verdict in zip(golds, verdicts, strict=True) if verdict.status != "correct"}
    rows = [
        {"row": place, "gold": problem.gold, "verdict": bad[problem.gold]}
        for problem, place in zip(source.problems, source.places, strict=True)
        if problem.gold in bad
    ]
    if len(bad) == len(golds):
        raise DataError(
            f"the verifier {VERIFIER} accepts none of the gold answers, such as that of {_said(rows[0])}; if the "
            "answer is in another column, name it with --answer-column"
        )
    return rows


def _are_tests(gold: str) -> bool:
    """Whether a gold answer contains the tests of a programming problem, which another verifier uses."""
    from kgym.judging.cases import Cases

    if not gold.startswith("{"):
        return False
    try:
        Cases.of(gold)
    except ValueError:
        return False
    return True


def _warn_of_golds(refused: Sequence[Mapping[str, str]], n_problems: int) -> None:
    """Print the rows of gold answers that the verifier does not accept, those that it cannot read first."""
    unread = [row for row in refused if row["verdict"].startswith("unscored:gold")]
    others = [row for row in refused if not row["verdict"].startswith("unscored:gold")]
    for rows, what in (
        (unread, "cannot be read, so every completion of these problems is unscored"),
        (others, "are not accepted as answers to their own problems, so every completion of these problems is wrong"),
    ):
        if rows:
            say(
                f"kgym: warning: {len(rows)} of {n_problems} gold answers {what} (verifier {VERIFIER}):",
                file=sys.stderr,
            )
            for row in rows[:SHOWN_GOLDS]:
                say(f"kgym:   {_said(row)}", file=sys.stderr)
            if (more := len(rows) - SHOWN_GOLDS) > 0:
                say(f"kgym:   and {more} more; --json lists all", file=sys.stderr)


def _said(row: Mapping[str, str]) -> str:
    gold = row["gold"] if len(row["gold"]) <= 60 else f"{row['gold'][:57]}..."
    return f"{row['row']}: {gold!r} ({row['verdict']})"


def _name_and_places(what: str, places: list[str]) -> tuple[str, list[str]]:
    """Read `NAME FILE ...`, `NAME`, or only a file or repository, which is named after itself."""
    from kgym.data.importing import HUB
    from kgym.data.repository import SUFFIXES

    alone = what.startswith(HUB) or what.endswith(SUFFIXES) or "/" in what
    if places or not alone:
        return what, places
    place = what.rstrip("/")
    stem = place.rpartition("/")[2] if place.startswith(HUB) or Path(place).is_dir() else Path(place).stem
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_"), [what]


def refuse_other(path: Path, source: "ListedSource", *, replace: bool) -> None:
    """Raise ConfigError if a data set with other problems would be lost; with `replace`, print the differences. A
    broken file is replaced.
    """
    from kgym.data.review import compared
    from kgym.data.sources import DataSource

    if not path.exists():
        return
    try:
        there = DataSource(path)
    except DataError:
        return
    if there.fingerprint == source.fingerprint:
        return
    differences = compared(there, source)
    if not replace:
        raise ConfigError(
            f"the data set {path.stem} exists already, with {there.size} other problems (sha256 "
            f"{there.fingerprint[:12]}): {differences}; --replace replaces it"
        )
    say(f"kgym: instead of {there.size} other problems: {differences}", file=sys.stderr)


def _show(args: argparse.Namespace) -> int:
    from kgym.data.sources import data_path, data_source

    source = cast("FileSource", data_source(args.name))
    facts = _facts(args.name, data_path(args.name), source) | {"provenance": source.provenance}
    if args.json:
        print_json(facts)
        return 0
    lines = {"data set": args.name, "problems": source.size, "sha256": source.fingerprint, "file": facts["file"]}
    lines |= {key.replace("_", " "): value for key, value in source.provenance.items() if key != "sources"}
    for place in source.provenance.get("sources", ()):
        lines[place["source"]] = f"revision {place['revision']}" if place["revision"] else ""
        lines |= {f"  {file['name']}": f"sha256 {file['sha256']}" for file in place["files"]}
    width = max(map(len, lines))
    say("\n".join(f"{key:<{width}}  {value}".rstrip() for key, value in lines.items()))
    return 0


def _list(args: argparse.Namespace) -> int:
    from kgym.data.sources import DataSource, data_folder

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
        say(f"no data sets in {folder}; add one with: kgym data add NAME FILE")
    else:
        rows = [(fact["name"], fact["problems"], fact["sha256"][:12], fact["error"] or fact["file"]) for fact in found]
        print_table(("name", "problems", "sha256", "file"), rows, gives_way=("file",))
    return 0


def _facts(name: str, path: Path, source: "FileSource") -> dict[str, Any]:
    return {"name": name, "problems": source.size, "sha256": source.fingerprint, "file": str(path), "error": ""}
