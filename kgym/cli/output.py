"""The output of commands: JSON for programs, tables and progress for people.

Results go to standard output, everything else to standard error, so that `kgym ... --json | jq` works.
"""

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from kgym.cli.layout import GAP, Layout, layout
from kgym.neutral import for_json, printable

LONGEST_NOTE = 10_000
"""Most characters of a note on a board; CSV readers refuse cells of more than 131,072."""


def say(text: object = "", *, file: IO[str] | None = None, flush: bool = False) -> None:
    """Write a line for people. Commands use only this function, since names and messages may contain control
    characters that act on a terminal.
    """
    print(printable(text), file=file, flush=flush)


def print_json(value: Any) -> None:
    """Write a value as one JSON document. NaN and infinity become null, a path becomes a string.

    Characters that act on a terminal are written as JSON escapes.
    """
    print(for_json(json.dumps(_plain(value), indent=2, ensure_ascii=False)))


def print_json_line(value: Any) -> None:
    """Write a value of plain JSON types as one line, without losing a character."""
    print(for_json(json.dumps(value, ensure_ascii=False)))


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], *, gives_way: Sequence[str] = (), file: IO[str] | None = None
) -> None:
    """Write rows under their headings, with numbers aligned right; `kgym.cli.layout` fits a table that is too wide.

    Text is not read as markup. `gives_way` names the columns of paths that may be shortened or left out.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    out = file or sys.stdout
    terminal = Console(file=out, highlight=False)
    fitted = layout(
        columns,
        [[printable(value) for value in row] for row in rows],
        terminal.width if out.isatty() else None,
        gives_way,
    )
    if fitted.as_lines:
        _print_lines(fitted, out)
        return
    right = {
        column
        for place, column in enumerate(columns)
        if rows and all(isinstance(row[place], int | float) for row in rows)
    }
    width = sum(fitted.widths) + GAP * len(fitted.widths)
    console = Console(file=out, highlight=False, width=max(width, 1))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column, column_width in zip(fitted.columns, fitted.widths, strict=True):
        table.add_column(
            Text(column), justify="right" if column in right else "left", overflow="fold", width=column_width
        )
    for row in fitted.rows:
        table.add_row(*map(Text, row))
    console.print(table)
    if fitted.left_out:
        say(f"left out, as the terminal is too narrow: {', '.join(fitted.left_out)} (--json has everything)", file=out)


def _print_lines(fitted: Layout, out: IO[str]) -> None:
    """Write each row as several lines, which the terminal wraps."""
    name_width = max(map(len, fitted.columns))
    for number, row in enumerate(fitted.rows):
        lines = [f"{name:<{name_width}}  {cell}" for name, cell in zip(fitted.columns, row, strict=True) if cell]
        say("\n" * bool(number) + "\n".join(lines), file=out)


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show the progress of long work on standard error; call the value with the number of items done since the last
    call.

    On a terminal it is a bar, elsewhere a line at each tenth of the way.
    """
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda n: bar.advance(task, n)
        return
    done = 0

    def advance(n: int) -> None:
        nonlocal done
        before, done = done, done + n
        if before * 10 // max(total, 1) < done * 10 // max(total, 1):
            say(f"{what} {done}/{total}", file=sys.stderr, flush=True)

    yield advance


def percent(share: float | None, stderr: float | None = None) -> str:
    """Return a share for people; "-" if it is unknown.

    >>> percent(0.4125, 0.018), percent(None)
    ('41.2% ± 1.8', '-')
    """
    if share is None or math.isnan(share):
        return "-"
    return f"{share:.1%}" + ("" if stderr is None or math.isnan(stderr) else f" ± {100 * stderr:.1f}")


def clock(seconds: float) -> str:
    """Return a time for people, as minutes and seconds or with hours.

    >>> clock(75), clock(3675)
    ('1:15', '1:01:15')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def folder_name(text: str) -> Path:
    """Return the path of a folder as it was typed. Raises for an empty path (`--run "$UNSET"`), which would mean the
    working directory, and for one that cannot be made because a file has its name or that of a parent.
    """
    if not text.strip():
        raise argparse.ArgumentTypeError("the name of the folder is empty")
    path = Path(text)
    if any(os.path.exists(place) and not os.path.isdir(place) for place in (path, *path.parents)):
        raise argparse.ArgumentTypeError(
            f"{text} cannot be a folder: it, or one of its parents, is a file; choose another"
        )
    return path


def free_text(text: str) -> str:
    """Return a text for a cell of a board. Raises for a text that is too long for CSV readers."""
    if len(text) > LONGEST_NOTE:
        raise argparse.ArgumentTypeError(f"{len(text):,} characters; at most {LONGEST_NOTE:,}")
    return text


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
