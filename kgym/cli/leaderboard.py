"""`kgym leaderboard`: show and export boards, compare two evaluations."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgym.cli.output import percent, print_json, print_table, printable

if TYPE_CHECKING:
    from kgym.board.table import Board

DEFAULT_BOARD = "leaderboard.csv"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="show|export|compare")
    show = commands.add_parser("show", help="print a board, comparable rows together, the best first")
    export = commands.add_parser("export", help="write a board in another format")
    for command in (show, export):
        command.add_argument(
            "--board",
            metavar="FILE|PACKAGE:NAME",
            default=DEFAULT_BOARD,
            help=f"a CSV file, or one that a package brings: kgym_boards:results, kgym_boards:published (default: {DEFAULT_BOARD})",
        )
        command.add_argument("--bench", metavar="NAME", help="only rows of this benchmark")
    export.add_argument("--format", metavar="NAME", default="csv", help="an exporter: csv, json, md or a plugin's (default: csv)")
    export.add_argument("-o", "--output", metavar="FILE", type=Path, help="where to write it (default: standard output)")
    compare = commands.add_parser("compare", help="paired test between two evaluations of the same problems")
    compare.add_argument("before", metavar="A", type=Path, help="run folder of kgym eval")
    compare.add_argument("after", metavar="B", type=Path, help="another one")


def run(args: argparse.Namespace) -> int:
    """Do what the subcommand says."""
    return {"show": _show, "export": _export, "compare": _compare}[args.action](args)


def _show(args: argparse.Namespace) -> int:
    board = _board(args)
    if args.json:
        print_json(board.rows)
    elif board.schema.name == "published":
        _show_published(board.rows)
    else:
        _show_results(board.rows)
    return 0


def _export(args: argparse.Namespace) -> int:
    from kgym.errors import RunError
    from kgym.files import write_atomic
    from kgym.registry import registry

    exporter = registry().create("exporter", args.format, {})
    board = _board(args)
    text = exporter(board.rows)
    if args.output is None:
        sys.stdout.write(text)
        return 0
    try:
        write_atomic(args.output, text)
    except OSError as error:
        raise RunError(f"cannot write {args.output}: {error.strerror}; choose another with -o") from error
    if args.json:
        print_json({"rows": len(board.rows), "file": args.output})
    else:
        print(f"{len(board.rows)} rows in {args.output}")
    return 0


def _compare(args: argparse.Namespace) -> int:
    from kgym.board.compare import compare_runs, describe_comparison

    comparison = compare_runs(args.before, args.after)
    if args.json:
        print_json(comparison)
        return 0
    for name in ("before", "after"):
        side = comparison[name]
        print(f"{name:<10}{percent(side['accuracy'], side['stderr']):<16}{side['model']}  ({side['run']})")
    print(f"{'':<10}{describe_comparison(comparison)}")
    return 0


def _board(args: argparse.Namespace) -> "Board":
    from kgym.board.table import Board, read_board
    from kgym.errors import UnknownName

    board = read_board(args.board)
    if args.bench is None:
        return board
    rows = [row for row in board.rows if row["benchmark"] == args.bench]
    if not rows:
        raise UnknownName.near(f"benchmark on {args.board}", args.bench, {row["benchmark"] for row in board.rows})
    return Board(board.schema, rows)


def _show_results(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a table for each set of comparable rows."""
    if not rows:
        print("no rows yet; kgym eval --board FILE adds one")
        return
    tables = sorted({(row["benchmark"], row["comparability"]) for row in rows})
    for benchmark, comparability in tables:
        block = [row for row in rows if (row["benchmark"], row["comparability"]) == (benchmark, comparability)]
        block.sort(key=lambda row: (-(row["accuracy"] if row["accuracy"] is not None else -1.0), row["model"]))
        first = block[0]
        title = (
            f"{benchmark} ({first['env_id']}, {first['split']}), {first['n_problems']} problems, {first['max_tokens']} tokens, "
            f"temperature {first['temperature']:g}, top-p {first['top_p']:g}, comparability {comparability[:12]}"
        )
        print(printable(title))
        print_table(RESULT_HEADER, [_result_cells(row) for row in block])
        print()
    if len(tables) > 1:
        print("Tables with different hashes asked different things: compare rows within a table only.")


RESULT_HEADER = ("model", "accuracy", "samples", "truncated", "unscored", "no answer", "tokens", "seed", "date", "run")


def _result_cells(row: Mapping[str, Any]) -> list[Any]:
    return [
        row["model"],
        percent(row["accuracy"], row["stderr"]),
        row["samples_per_problem"],
        *(percent(row[name]) for name in ("truncated_frac", "unscored_frac", "no_answer_frac")),
        None if row["tokens_mean"] is None else round(row["tokens_mean"]),
        row["seed"],
        row["date"],
        row["run"],
    ]


def _show_published(rows: Sequence[Mapping[str, Any]]) -> None:
    cells = [
        [
            row["model"],
            row["benchmark"],
            f"{row['figure']:g}" + (f" ± {row['spread']:g}" if row["spread"] is not None else ""),
            row["metric"],
            row["protocol"],
            row["source"],
        ]
        for row in sorted(rows, key=lambda row: (row["benchmark"], -row["figure"]))
    ]
    print_table(("model", "benchmark", "points", "metric", "protocol", "source"), cells)
