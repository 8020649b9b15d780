"""`kgym data curate`: choose problems that are worth training on, with their difficulty for a model."""

import argparse
from pathlib import Path
from typing import Any

from kgym.cli.interrupts import command_line, saying_how_to_go_on
from kgym.cli.output import folder_name, print_json, print_table, say
from kgym.cli.settings import add_set

FLAGS = (
    "model",
    "env",
    "split",
    "problems",
    "samples",
    "temperature",
    "guesses",
    "min_rate",
    "max_rate",
    "per_group",
    "seed",
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("name", metavar="NAME", help="name of the new data set, for --env data --set env.dataset=NAME")
    add(
        "--env",
        metavar="NAME",
        help="environment to take problems from (default: aime); data for a data set that was added",
    )
    add("--split", metavar="NAME", help="split of the environment (default: train)")
    add("--model", metavar="NAME|DIR|HUB_ID", help="model whose pass rates decide (default: nano)")
    add("--problems", metavar="N", type=int, help="problems to try (default: 256)")
    add("--samples", metavar="N", type=int, help="completions for each problem, for its pass rate (default: 10)")
    add("--temperature", metavar="T", type=float, help="sampling temperature of these completions (default: 1)")
    add(
        "--guesses",
        metavar="N",
        type=int,
        help="attempts to guess each answer without reasoning; one right guess excludes the problem (default: 8; 0 is "
        "none)",
    )
    add("--min-rate", metavar="R", type=float, help="lowest pass rate of a problem that is kept (default: 0)")
    add("--max-rate", metavar="R", type=float, help="highest pass rate of a problem that is kept (default: 1)")
    add(
        "--per-group",
        metavar="N",
        type=int,
        help="largest number of problems kept for each subject and level (default: all)",
    )
    add(
        "--against",
        metavar="NAME",
        nargs="+",
        default=[],
        help="data sets, such as aime24, whose problems are left out",
    )
    add("--seed", metavar="N", type=int, help="seed of the sampling (default: 0)")
    add(
        "--run",
        metavar="DIR",
        type=folder_name,
        help="folder of the completions and the report (default: runs/curate-NAME); give it again to resume",
    )
    add("--replace", action="store_true", help="replace a data set of this name that has other problems")
    add_set(
        parser,
        "options of the environment, the engine or the verifier, such as env.difficulty=3 or engine.max_batch=64",
    )


def run(args: argparse.Namespace) -> int:
    """Curate, save the data set and write the report."""
    from kgym.board.curation import curation_page, draw_curation, facts_of
    from kgym.cli.data import refuse_other
    from kgym.cli.eval import terminal_listener
    from kgym.cli.settings import sections
    from kgym.config import EnvConfig
    from kgym.data.sources import ListedSource, data_path, save_data
    from kgym.eval_config import EvalConfig
    from kgym.files import write_atomic
    from kgym.options import validated
    from kgym.page.document import render
    from kgym.score.curation import CurationConfig, curate

    data_path(args.name)
    values = sections(args.set, "env", "engine", "verifier", chosen=("engine", "verifier"))
    given: dict[str, Any] = {"model": EvalConfig().model, "env": EnvConfig().name}
    given |= {name: value for name in FLAGS if (value := getattr(args, name)) is not None}
    given |= {
        "env_options": values["env"],
        "engine": values["engine"],
        "verifier": values["verifier"],
        "against": tuple(args.against),
    }
    config = validated(CurationConfig, given, "curate")
    quiet = argparse.Namespace(**vars(args) | {"label": None, "board": None, "json": True})  # only progress, no tables
    folder: Path = args.run or Path("runs") / f"curate-{args.name}"
    with saying_how_to_go_on(lambda: f"resume with the same command: {command_line(args, args.argv)}"):
        curated = curate(config, folder, terminal_listener(quiet))
    source = ListedSource(curated.kept, facts_of(config, curated))
    path = data_path(args.name)
    refuse_other(path, source, replace=args.replace)
    save_data(args.name, source)
    write_atomic(folder / "report.html", render(curation_page(args.name, config, curated)))
    draw_curation(curated, folder / "report.png")
    found: dict[str, Any] = {
        "data_set": args.name,
        "file": str(path),
        "kept": len(curated.kept),
        "looked_at": len(curated.looked_at),
    }
    found |= {"left_out": curated.reasons, "report": str(folder / "report.html")}
    if args.json:
        print_json(found)
        return 0
    if curated.reasons:
        print_table(("left out", "problems"), [(reason, str(count)) for reason, count in curated.reasons.items()])
    say(f"{args.name}: {found['kept']} of {found['looked_at']} problems, in {path}")
    say(f"report      {found['report']}")
    say(f"next        kgym train --env data --set env.dataset={args.name} sampler=curriculum")
    return 0
