"""`kgym leaderboard`: add to boards, show and export them, and compare evaluations."""

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgym.cli.output import free_text, percent, print_json, print_table, say
from kgym.cli.settings import add_set, component

if TYPE_CHECKING:
    from kgym.board.table import Board, Row

DEFAULT_BOARD = "leaderboard.csv"
SHOWN_LEFT_OUT = 10
"""How many figures of a third-party file are printed with the reason why they make no row."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="add|show|export|compare|precision")
    add = commands.add_parser("add", help="add the results of an evaluation to a board")
    add.add_argument(
        "source",
        metavar="RUN|FILE.json",
        type=Path,
        help="run folder of kgym eval, or a results file of lm-evaluation-harness",
    )
    add.add_argument(
        "--board",
        metavar="FILE",
        type=Path,
        default=Path(DEFAULT_BOARD),
        help=f"board to add it to (default: {DEFAULT_BOARD})",
    )
    add.add_argument(
        "--label", metavar="NAME", help="name of the model on the board (default: the one it was scored under)"
    )
    add.add_argument("--note", metavar="TEXT", default="", type=free_text, help="free text for the board")
    show = commands.add_parser("show", help="print a board: comparable rows together, the best first")
    export = commands.add_parser("export", help="write a board in another format")
    for command in (show, export):
        command.add_argument(
            "--board",
            metavar="FILE|PACKAGE:NAME",
            default=DEFAULT_BOARD,
            help="a CSV file, or a board of an installed package: kgym_boards:results, kgym_boards:published "
            f"(default: {DEFAULT_BOARD})",
        )
        command.add_argument("--bench", metavar="NAME", help="only rows of this benchmark")
        command.add_argument("--model", metavar="NAME", help="only rows of this model")
    export.add_argument(
        "--format",
        metavar="NAME",
        default="csv",
        help="csv, html, json, latex, lm-eval, md, plot or a plugin's (default: csv)",
    )
    add_set(export, "options of the exporter, such as exporter.suffix=svg")
    export.add_argument(
        "-o", "--output", metavar="FILE", type=Path, help="where to write it (default: standard output)"
    )
    compare = commands.add_parser("compare", help="compare evaluations of the same problems with paired tests")
    compare.add_argument("before", metavar="A", type=Path, help="run folder of kgym eval")
    compare.add_argument(
        "after",
        metavar="B",
        type=Path,
        nargs="+",
        help="another run folder; with three or more, every pair is compared",
    )
    precision = commands.add_parser(
        "precision", help="show where the uncertainty of a score comes from, and what it costs to lower it"
    )
    precision.add_argument(
        "run_folder", metavar="RUN", type=Path, help="run folder of kgym eval with two or more samples a problem"
    )
    precision.add_argument(
        "--points",
        metavar="X",
        type=float,
        default=1.0,
        help="half width of the 95 %% interval that you need, in points (default: 1.0)",
    )


def run(args: argparse.Namespace) -> int:
    """Do what the subcommand says."""
    return {"add": _add, "show": _show, "export": _export, "compare": _compare, "precision": _precision}[args.action](
        args
    )


def _show(args: argparse.Namespace) -> int:
    board = _board(args)
    if args.json:
        from kgym.board.standings import published_rows, ranked_rows

        rows = ranked_rows(board.rows, _folders(args)) if board.schema.name == "results" else published_rows(board.rows)
        print_json(rows)
    elif board.schema.name == "published":
        _show_published(board.rows)
    else:
        _show_results(board.rows, _folders(args))
    return 0


def _add(args: argparse.Namespace) -> int:
    from kgym.board.rows import rows_of
    from kgym.board.table import append_row, board_to_append

    board_to_append(args.board)  # refuse what is not a board before anything else
    rows, left_out = rows_of(args.source, label=args.label, note=args.note)
    added = sum(append_row(args.board, row) for row in rows)
    if args.json:
        print_json({"board": str(args.board), "added": added, "rows": rows, "left_out": left_out})
    else:
        for row in rows:
            say(f"{row['model']} on {row['benchmark']}: {percent(row['accuracy'], row['stderr'])}")
        say(
            f"{added} of {len(rows)} rows added to {args.board}"
            + ("" if added == len(rows) else "; the others are there already")
        )
        for reason in left_out[:SHOWN_LEFT_OUT]:
            say(f"left out: {reason}")
        if (more := len(left_out) - SHOWN_LEFT_OUT) > 0:
            say(f"left out: {more} more figures; --json has them all")
    return 0


def _export(args: argparse.Namespace) -> int:
    from kgym.blame import blaming
    from kgym.board.standings import published_rows, ranked_rows
    from kgym.errors import ComponentError, ConfigError
    from kgym.files import write_named
    from kgym.registry import registry

    options = component(args.set, "exporter")
    if args.output is not None and "suffix" in registry().options_model("exporter", args.format).model_fields:
        options.setdefault(
            "suffix", args.output.suffix.lstrip(".").lower()
        )  # an exporter that writes several kinds of files chooses by the suffix
    exporter = registry().create("exporter", args.format, options)
    board = _board(args)
    rows = board.rows
    if getattr(exporter, "ranked", False):
        rows = ranked_rows(rows, _folders(args)) if board.schema.name == "results" else published_rows(rows)
    with blaming("exporter", exporter):
        text = exporter(rows)
        if not isinstance(text, str | bytes):
            raise ComponentError(
                f"it returned {type(text).__name__}; it has to return the text or the bytes of the file"
            )
    if args.output is None:
        if isinstance(text, bytes):
            raise ConfigError(f"format {args.format!r} cannot be printed as text; name a file with -o")
        sys.stdout.write(text)
        return 0
    write_named(args.output, text)
    if args.json:
        print_json({"rows": len(board.rows), "file": args.output})
    else:
        say(f"{len(board.rows)} {'row' if len(board.rows) == 1 else 'rows'} in {args.output}")
    return 0


def _compare(args: argparse.Namespace) -> int:
    from kgym.board.compare import compare_many, compare_runs, describe_comparison, remarks_on

    if len(args.after) > 1:
        many = compare_many([args.before, *args.after])
        if args.json:
            print_json(many)
        else:
            _show_pairs(many)
        return 0
    comparison = compare_runs(args.before, args.after[0])
    if args.json:
        print_json(comparison)
        return 0
    for name in ("before", "after"):
        side = comparison[name]
        say(f"{name:<10}{percent(side['accuracy'], side['stderr']):<16}{side['model']}  ({side['run']})")
    for line in (describe_comparison(comparison), *remarks_on(comparison)):
        say(f"{'':<10}{line}")
    return 0


def _show_pairs(many: Mapping[str, Any]) -> None:
    """Print every pair: its own interval and p, and whether it differs after the correction for the number of pairs."""
    from kgym.board.compare import remarks_on, say_p

    sides = [(s["run"], s["model"], s["samples"], percent(s["accuracy"], s["stderr"])) for s in many["runs"]]
    print_table(("run", "model", "samples", "accuracy"), sides, gives_way=("run",))
    say()
    names = [f"{pair['before']} -> {pair['after']}" for pair in many["pairs"]]
    cells = [
        (
            name,
            f"{100 * pair['difference']:+.1f}",
            " to ".join(f"{100 * bound:+.1f}" for bound in pair["interval"]),
            pair["n"],
            say_p(pair["p_value"]),
            say_p(pair["p_holm"]),
            "differ" if pair["distinguishable"] else "not distinguishable",
        )
        for name, pair in zip(names, many["pairs"], strict=True)
    ]
    print_table(
        ("pair", "points", "95% interval, alone", "problems", "p, alone", "p, Holm", f"Holm, {len(cells)} comparisons"),
        cells,
    )
    for name, pair in zip(names, many["pairs"], strict=True):
        for remark in remarks_on(pair):
            say(f"{name}: {remark}")


def _precision(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from kgym.errors import ConfigError
    from kgym.score.intervals import near_end, near_end_caution
    from kgym.score.results import EvalResult, variance_of
    from kgym.score.store import read_results
    from kgym.score.variance import plan_precision

    result = EvalResult.from_json(read_results(args.run_folder))
    try:
        variance = variance_of(result)
        plan = plan_precision(variance, args.points / 100)
    except ValueError as error:
        raise ConfigError(f"{args.run_folder}: {error}") from error
    if args.json:
        print_json({"variance": variance.to_json(), "plan": asdict(plan)})
        return 0
    low, high = (100 * bound for bound in result.interval)
    lines = {
        "accuracy": f"{percent(result.accuracy, result.stderr)}, 95% interval {low:.1f} to {high:.1f} "
        f"({result.n_scored_problems} problems, {_completions(result.samples)} each)",
        "problems": f"± {100 * variance.stderr_problems:.1f} points would remain with infinitely many completions of "
        "these problems (standard error)",
        "sampling": f"± {100 * variance.stderr_sampling:.1f} points is the standard error of a run over these very "
        f"problems; two runs differ by ± {100 * math.sqrt(2) * variance.stderr_sampling:.1f}",
    }
    if near_end(result.accuracy, n_problems=result.n_scored_problems, samples=result.samples):
        lines["caution"] = near_end_caution(result.n_scored_problems)
    say("\n".join(f"{key:<14}{value}" for key, value in lines.items()))
    say(f"\nFor a 95% interval of ± {args.points:g} points:")
    say(f"  on these very problems       {_completions(plan.samples_same_problems)} each")
    more = (
        f"{_completions(plan.samples)} each"
        if plan.samples is not None
        else "no number of completions is enough: the problems differ too much"
    )
    say(f"  on problems like these       {more}; or {plan.problems} problems with {_completions(result.samples)} each")
    return 0


def _completions(number: int) -> str:
    return f"{number} completion{'s' * (number != 1)}"


def _folders(args: argparse.Namespace) -> tuple[Path, ...]:
    """Return where the run folders of a board may be: below the working directory or below the folder of the board."""
    return tuple(dict.fromkeys((Path(), Path(args.board).parent)))


def _board(args: argparse.Namespace) -> "Board":
    from kgym.board.table import Board, read_board
    from kgym.errors import UnknownName

    board = read_board(args.board)
    for column, wanted in (("benchmark", args.bench), ("model", args.model)):
        if wanted is not None:
            rows = [row for row in board.rows if row[column] == wanted]
            if not rows:
                raise UnknownName.near(f"{column} on {args.board}", wanted, {row[column] for row in board.rows})
            board = Board(board.schema, rows)
    return board


def _show_results(rows: Sequence["Row"], folders: Sequence[Path]) -> None:
    """Print a table for each set of comparable rows, and why the sets are not comparable."""
    from kgym.board.standings import NO_RANKS, blocks_of, caution_of

    if not rows:
        say("no rows yet; kgym eval --board FILE adds one")
        return
    blocks = blocks_of(rows, folders)
    for block in blocks:
        first = block.rows[0]
        asked = [
            f"{block.benchmark} ({first['env_id']}, {first['split']})",
            None if first["n_problems"] is None else f"{first['n_problems']} problems",
            None if first["max_tokens"] is None else f"{first['max_tokens']} tokens",
            None if first["temperature"] is None else f"temperature {first['temperature']:g}",
            None if first["top_p"] is None else f"top-p {first['top_p']:g}",
            f"comparability {block.comparability[:12]}",
        ]
        say(", ".join(part for part in asked if part))
        for reason in block.apart:
            say(f"  differs from the first table: {reason}")
        ranks: Sequence[tuple[int, int] | None] = block.ranks or [None] * len(block.rows)
        cells = [_result_cells(row, rank) for row, rank in zip(block.rows, ranks, strict=True)]
        print_table(RESULT_HEADER, cells, gives_way=("run",))
        for caution in dict.fromkeys(caution for row in block.rows if (caution := caution_of(row))):
            say(f"caution: {caution}")
        if block.ranks is None:
            say(NO_RANKS)
        elif 1 < len(block.rows) != block.n_paired:
            say(
                f"run folders found for {block.n_paired} of {len(block.rows)} rows: ranks of the others use accuracies "
                "and intervals alone and are wider"
            )
        say()
    if any(len(block.rows) > 1 and block.ranks for block in blocks):
        say("Ranks are 95% intervals over all pairs of a table (Holm): overlapping ranks are not distinguishable.")
    if len(blocks) > 1:
        say("Tables with different hashes measure different things: compare rows within a table only.")


PUBLISHED_INTERVALS = (
    "Intervals are for the choice of problems, as if each were solved always or never: with 30 problems a figure "
    "has an interval of ± 10 to 17 points (less above 90), for any number of completions. ± after a figure is over "
    "seeds, if the source gives it."
)
RESULT_HEADER = (
    "rank",
    "model",
    "accuracy",
    "95% interval",
    "samples",
    "maj@k",
    "truncated",
    "unscored",
    "no answer",
    "tokens",
    "seed",
    "date",
    "run",
)


def _result_cells(row: Mapping[str, Any], rank: tuple[int, int] | None) -> list[Any]:
    interval = (row["interval_low"], row["interval_high"])
    return [
        "-" if rank is None else f"{rank[0]}" if rank[0] == rank[1] else f"{rank[0]}-{rank[1]}",
        row["model"],
        percent(row["accuracy"], row["stderr"]),
        "-" if None in interval else " to ".join(f"{100 * bound:.1f}" for bound in interval),
        row["samples_per_problem"],
        percent(row["maj_at_k"], row["maj_at_k_stderr"]),
        *(percent(row[name]) for name in ("truncated_frac", "unscored_frac", "no_answer_frac")),
        None if row["tokens_mean"] is None else round(row["tokens_mean"]),
        row["seed"],
        row["date"],
        row["run"],
    ]


def _show_published(rows: Sequence["Row"]) -> None:
    from kgym.board.standings import published_rows

    cells = [
        [
            row["model"],
            row["benchmark"],
            f"{row['figure']:g}" + (f" ± {row['spread']:g}" if row["spread"] is not None else ""),
            ""
            if row["interval_low"] is None
            else f"{100 * row['interval_low']:.0f} to {100 * row['interval_high']:.0f}",
            row["metric"],
            row["protocol"],
            row["source"],
            row["date"],
            row["url"],
        ]
        for row in published_rows(sorted(rows, key=lambda row: (row["benchmark"], -row["figure"])))
    ]
    print_table(
        ("model", "benchmark", "points", "95% interval", "metric", "protocol", "source", "date", "address"), cells
    )
    say(f"\n{PUBLISHED_INTERVALS}")
