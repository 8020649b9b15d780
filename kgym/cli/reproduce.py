"""`kgym reproduce`: run an experiment and judge the claims of a paper with its results.

    kgym reproduce k15 --out runs/k15
    kgym reproduce k15 --scale quick --claims a,c
    kgym reproduce mine.toml --dry-run

An experiment is a table in a TOML file: claims, the runs that each compares, and the rule that turns a difference and
its interval into agree, disagree or cannot tell (docs/reproduce.md). Each run is a command of kgym, in a folder below
OUT/runs. Finished runs are not run again and interrupted ones are resumed, so the same command ends in the same page,
OUT/NAME.html and OUT/NAME.md, also after a kill -9.

The experiment `k15` names algorithms, models and environments, so it is data of a plugin
(`kgym_plugins/benchmarks/k15.toml`); the runner and the reporter (`kgym.experiments`) name none.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgym.cli.interrupts import command_line
from kgym.cli.many import add_jobs, jobs_of, list_runs, plugin_words, run_missing
from kgym.cli.output import folder_name, print_json, print_table, say
from kgym.errors import ConfigError, UnknownName

if TYPE_CHECKING:
    from kgym.experiments.findings import Figure
    from kgym.experiments.report import Report
    from kgym.experiments.table import Experiment


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "experiment",
        metavar="NAME|FILE.toml",
        help="an experiment of kgym plugins list --kind experiment, or a TOML file",
    )
    parser.add_argument(
        "--out", metavar="DIR", type=folder_name, help="folder for the runs and the page (default: runs/NAME)"
    )
    parser.add_argument(
        "--scale",
        metavar="NAME",
        default="full",
        help="size of the runs: full, or quick for a first look at the page (default: full)",
    )
    parser.add_argument("--seeds", metavar="N", type=int, help="runs of each arm (default: as the scale says)")
    parser.add_argument("--claims", metavar="A,B", help="only these claims (default: all)")
    parser.add_argument(
        "--base",
        metavar="NAME|MODEL",
        help="base from the table, or a model to use as the first of them (default: the first)",
    )
    parser.add_argument("--env", metavar="NAME", help="environment instead of that of the base")
    parser.add_argument("--judge", metavar="MODEL", help="model that judges completions, for the claims about judges")
    parser.add_argument(
        "--judge-template", metavar="TEXT", help="prompt of the judge, with {question}, {gold} and {response} in it"
    )
    add_jobs(parser)


def run(args: argparse.Namespace) -> int:
    """Run what is missing, and write the page."""
    from kgym.experiments.findings import figures
    from kgym.experiments.planning import Planner, wanted
    from kgym.experiments.report import Report

    name, experiment = _experiment(args.experiment)
    claims = _claims(args.claims, experiment)
    if args.scale not in experiment.scales:
        raise UnknownName.near("scale", args.scale, experiment.scales)
    if args.seeds is not None and args.seeds < 1:
        raise ConfigError(f"--seeds {args.seeds}: must be 1 or more")
    jobs = jobs_of(args)
    out = args.out or Path("runs") / name
    planner = Planner(experiment, args.scale, out, *_values(args, experiment))
    seeds = range(args.seeds or experiment.scales[args.scale].seeds)
    asked = [run for claim in claims for seed in seeds for run in planner.runs(seed, wanted(experiment, [claim]))]
    runs = [*{run.key: run for run in asked}.values()]
    before = plugin_words([*args.loaded, *args.plugins])
    if args.dry_run:
        return list_runs(runs, jobs, as_json=args.json, before=before)
    failed = run_missing(args, runs, jobs, out, before=before)
    found = figures(planner, claims, seeds, {run.key for run in failed})
    chosen = [claim for claim in experiment.claims if claim.id in claims]
    report = Report(planner, chosen, seeds, found, command_line(args, _without(args.argv, "--json", "-q", "-v")))
    page = _write(report, out / name)
    _print(found, page, as_json=args.json)
    return 1 if failed else 0


def _experiment(given: str) -> "tuple[str, Experiment]":
    """Return the name and the table of an experiment. Raises UnknownName if it does not exist."""
    from kgym.experiments.table import load
    from kgym.hookspecs import ExperimentInfo
    from kgym.registry import registry

    if given.endswith(".toml"):
        return Path(given).stem, load(Path(given))
    return given, load(Path(registry().target(ExperimentInfo.kind, given)()))


def _claims(given: str | None, experiment: "Experiment") -> list[str]:
    known = [claim.id for claim in experiment.claims]
    if given is None:
        return known
    asked = [name.strip() for name in given.split(",") if name.strip()]
    for name in asked:
        if name not in known:
            raise UnknownName.near("claim", name, known)
    if not asked:
        raise ConfigError(f"--claims names no claim; the claims are {', '.join(known)}")
    return asked


def _values(args: argparse.Namespace, experiment: "Experiment") -> tuple[str, dict[str, str]]:
    """Return the base of the table, and the values that the command line sets. Raises UnknownName for an environment
    or a model that does not exist.
    """
    from kgym.hookspecs import EnvInfo
    from kgym.registry import registry

    first = next(iter(experiment.bases))
    base = args.base if args.base in experiment.bases else first
    given = {"env": args.env, "judge": args.judge, "judge_template": args.judge_template}
    if args.base is not None and args.base != base:
        given["model"] = args.base
    values = {name: value for name, value in given.items() if value is not None}
    for name in ("model", "judge"):
        if name in values or name == "model":
            _check_model(values.get(name, str(experiment.bases[base].get("model", ""))))
    if args.env is not None:
        registry().target(EnvInfo.kind, args.env)  # otherwise every run of the table would say that it does not exist
    return base, values


def _check_model(model: str) -> None:
    from kgym.models.names import resolve_model

    if model:
        resolve_model(model)


def _write(report: "Report", path: Path) -> Path:
    from kgym.experiments.report import markdown, page_of
    from kgym.files import write_atomic
    from kgym.page.document import render

    page = path.with_name(f"{path.name}.html")
    write_atomic(page, render(page_of(report)))
    write_atomic(path.with_name(f"{path.name}.md"), markdown(report))
    return page


def _print(found: "Sequence[Figure]", page: Path, *, as_json: bool) -> None:
    from kgym.experiments.findings import verdicts_of
    from kgym.experiments.report import summary

    if as_json:
        print_json({"page": page, "verdicts": verdicts_of(found), "figures": [_facts(figure) for figure in found]})
        return
    rows = [
        (figure.claim.id, figure.finding.says, summary(figure), figure.missing or figure.verdict) for figure in found
    ]
    print_table(("claim", "figure", "measured", "verdict"), rows)
    say()
    for name, verdict in verdicts_of(found).items():
        say(f"({name}) {verdict}")
    say(f"page        {page}")


def _facts(figure: "Figure") -> dict[str, Any]:
    return {
        "claim": figure.claim.id,
        "figure": figure.finding.says,
        "measure": figure.finding.measure,
        "of": figure.finding.of,
        "than": figure.finding.than,
        "value": figure.value,
        "unit": figure.unit.strip(),
        "interval": list(figure.interval),
        "by_seed": list(figure.by_seed),
        "verdict": figure.verdict,
        "missing": figure.missing,
    }


def _without(words: Sequence[str], *left_out: str) -> list[str]:
    return [word for word in words if word not in left_out]
