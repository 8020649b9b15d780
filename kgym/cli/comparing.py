"""`kgym runs compare`: which keys of the configuration differ between runs, their scores with paired differences,
their curves.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgym.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from kgym.page.document import Table


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "run_folders",
        metavar="RUN",
        type=Path,
        nargs="+",
        help="run folders of any kind, finished or not, or the folder of a sweep; all others are compared with the "
        "first",
    )
    parser.add_argument("--plot", metavar="FILE.png", type=Path, help="draw their curves, with bands over seeds")
    parser.add_argument(
        "-o", "--output", metavar="FILE.html", type=Path, help="write a page with the tables and curves"
    )


def run(args: argparse.Namespace) -> int:
    """Print the tables, and write the picture and the page if they are asked for."""
    from kgym.experiments.comparison import compare, facts_of
    from kgym.experiments.comparison_page import page_of, plot, tables_of
    from kgym.files import write_named

    found = compare(args.run_folders)
    written: dict[str, Any] = {}
    if args.plot is not None:
        plot(found, args.plot)
        written["plot"] = args.plot
    if args.output is not None:
        from kgym.page.document import render

        write_named(args.output, render(page_of(found)))
        written["page"] = args.output
    if args.json:
        print_json(facts_of(found) | written)
        return 0
    for table in tables_of(found):
        _print(table)
    for name, path in written.items():
        say(f"{name:<12}{path}")
    return 0


def _print(table: "Table") -> None:
    say(table.title)
    if table.rows:
        print_table([column.label for column in table.columns], [_row(row) for row in table.rows])
    for note in table.notes:
        say(note)
    say()


def _row(cells: Sequence[Any]) -> list[str]:
    return [cell.text for cell in cells]
