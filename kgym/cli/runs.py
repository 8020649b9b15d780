"""`kgym runs`: list the runs below runs/, show and compare them, write a page or a model card, and merge a LoRA run."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kgym.cli import card, comparing
from kgym.cli.output import percent, print_json, print_table, say


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="list|show|compare|view|card|merge")
    listing = commands.add_parser("list", help="print the runs, the newest last")
    listing.add_argument(
        "--root", metavar="DIR", type=Path, default=Path("runs"), help="folder of the runs (default: runs)"
    )
    show = commands.add_parser("show", help="print the settings, progress and scores of a run")
    show.add_argument("run_folder", metavar="RUN", type=Path, help="run folder of kgym train or kgym eval")
    show.add_argument(
        "--plot",
        metavar="FILE.png",
        type=Path,
        help="draw the run's curves: reward, validation, chosen problems, stages, audit",
    )
    comparing.configure(
        commands.add_parser(
            "compare", help="print the differences of runs in settings and scores, and draw their curves"
        )
    )
    view = commands.add_parser("view", help="write a page for a browser, with figures, curves and completions")
    view.add_argument(
        "run_folders",
        metavar="RUN",
        type=Path,
        nargs="+",
        help="run folder of kgym train (its evaluations included) or of kgym eval; several are shown side by side",
    )
    view.add_argument(
        "-o",
        "--output",
        metavar="FILE.html",
        type=Path,
        help="file to write (default: view.html in the first run folder)",
    )
    view.add_argument(
        "--answers",
        metavar="N",
        type=int,
        help="largest number of completions in the page, whole problems from the first one on (default: 40000, fewer "
        "if they are long)",
    )
    view.add_argument(
        "--serve", action="store_true", help="serve a page that follows the runs in progress, to this machine alone"
    )
    view.add_argument("--port", metavar="N", type=int, help="port of --serve; 0 is any that is free (default: 8642)")
    card.configure(
        commands.add_parser("card", help="write a model card into the newest checkpoint, and upload both to the hub")
    )
    merge = commands.add_parser("merge", help="write the whole model of a LoRA run, base and adapter merged")
    merge.add_argument(
        "run_folder",
        metavar="RUN",
        type=Path,
        help="run folder, which means its newest checkpoint, or the folder of an adapter",
    )
    merge.add_argument("--out", metavar="DIR", type=Path, help="new folder for the model (default: merged in RUN)")
    merge.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        default="float32",
        help="number type of its weights (default: float32, which is exact)",
    )


def run(args: argparse.Namespace) -> int:
    """Do what the subcommand says."""
    actions = {"list": _list, "show": _show, "compare": comparing.run, "view": _view, "card": card.run, "merge": _merge}
    return actions[args.action](args)


def _list(args: argparse.Namespace) -> int:
    from kgym.runs.folder import run_folders

    facts = [_facts_or_error(folder) for folder in run_folders(args.root)]
    if args.json:
        print_json(facts)
    elif not facts:
        say(f"no runs below {args.root}/")
    else:
        rows = [
            (fact["run"], fact["what"], fact["state"], percent(fact["accuracy"], fact["stderr"]), _loss(fact))
            for fact in facts
        ]
        print_table(("run", "what", "state", "accuracy", "loss"), rows)
    return 0


def _loss(fact: Mapping[str, Any]) -> str:
    """Return the loss of a run on examples, in nats, as text; "-" for another run."""
    loss = fact.get("loss_nats")
    return "-" if loss is None else f"{loss:.4f}"


def _show(args: argparse.Namespace) -> int:
    facts = _facts(args.run_folder) | _hints(args.run_folder)
    if args.plot is not None:
        from kgym.board.plots import plot_run

        plot_run(args.run_folder, args.plot)
        facts["plot"] = str(args.plot)
    if args.json:
        print_json(facts)
        return 0
    lines = list(facts.items())
    for hint in facts.get("hints", ()):
        first, last = hint["first_step"], hint["last_step"]
        lines.append(("hint", f"{f'step {first}' if first == last else f'steps {first} to {last}'}: {hint['hint']}"))
    width = max(18, max(map(len, facts)) + 1)
    for key, value in lines:
        if value is not None and key != "hints":
            say(f"{key:<{width}}{_say(value)}")
    return 0


def _view(args: argparse.Namespace) -> int:
    if args.serve:
        return _serve(args)
    from kgym.board.view import run_page
    from kgym.errors import ConfigError
    from kgym.files import write_named
    from kgym.page.document import render

    if args.answers is not None and args.answers < 1:
        raise ConfigError(f"--answers {args.answers}: must be 1 or more")
    if args.port is not None:
        raise ConfigError(f"--port {args.port} needs --serve; add it, or leave --port out")
    page = run_page(args.run_folders, most_answers=args.answers)
    output = args.output or args.run_folders[0] / "view.html"
    write_named(output, render(page))
    answers = page.answers.n if page.answers else 0
    left_out = page.answers.n_left_out if page.answers else 0
    if args.json:
        print_json(
            {"file": str(output), "answers": answers, "answers_left_out": left_out, "bytes": output.stat().st_size}
        )
    else:
        say(f"page              {output!s}")
        say(
            f"completions       {answers:,}"
            + (f"; {left_out:,} more are left out; --answers N includes more" if left_out else "")
        )
        say("open it in a browser; it needs no network")
    return 0


def _serve(args: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C, which is the normal end."""
    from kgym.cli.interrupts import Interrupted
    from kgym.cli.live import PORT, serve
    from kgym.errors import ConfigError

    for option, value in (("-o", args.output), ("--answers", args.answers)):
        if value is not None:
            raise ConfigError(f"{option} is for a page that is written to a file; leave it out with --serve")

    def started(url: str) -> None:
        if args.json:
            print_json({"url": url})
        else:
            say(f"live page   {url} (Ctrl-C ends it)")
        sys.stdout.flush()

    try:
        serve(args.run_folders, PORT if args.port is None else args.port, started)
    except KeyboardInterrupt as stop:
        if isinstance(stop, Interrupted):
            raise
        if not args.json:
            say("ended")
    return 0


def _merge(args: argparse.Namespace) -> int:
    from kgym.models.merging import merge_into

    out = args.out or args.run_folder / "merged"
    base, adapter = merge_into(str(args.run_folder), out, dtype=args.dtype)
    found = {"model": str(out), "base": base, "adapter": adapter, "dtype": args.dtype}
    if args.json:
        print_json(found)
    else:
        for key, value in found.items():
            say(f"{key:<18}{value}")
    return 0


def _hints(run: Path) -> dict[str, Any]:
    """Return from its metrics what was wrong with a training, and when; nothing for an evaluation."""
    from kgym.runs.folder import RunFolder
    from kgym.runs.manifest import kind_of
    from kgym.runs.metrics import read_metrics
    from kgym.train.rl.diagnosis import diagnose

    manifest = RunFolder(run).read_manifest()
    if kind_of(manifest) != "train":
        return {}
    found = diagnose(read_metrics(run / "metrics.jsonl"), max_grad_norm=manifest["config"]["train"]["max_grad_norm"])
    return {"hints": [{"first_step": each.first, "last_step": each.last, "hint": str(each.hint)} for each in found]}


def _facts_or_error(run: Path) -> dict[str, Any]:
    """Return `_facts`; for a folder that cannot be read, the reason: the others are still listed."""
    from kgym.errors import KgymError

    try:
        return _facts(run)
    except (KgymError, OSError) as error:
        unknown = dict.fromkeys(("what", "accuracy", "stderr"))
        return {"run": str(run), "state": f"cannot be read: {error}", **unknown}


def _facts(run: Path) -> dict[str, Any]:
    """Return what a run is and how it went. Raises ConfigError if the folder is not a run folder."""
    from kgym.runs.folder import RunFolder
    from kgym.runs.manifest import KIND, SUPERVISED, kind_of

    manifest = RunFolder(run).read_manifest()
    kind = kind_of(manifest)
    if kind in SUPERVISED:
        return _supervised_facts(run, manifest)
    return _eval_facts(run, manifest) if kind == KIND else _train_facts(run, manifest)


def _train_facts(run: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    from kgym.files import read_table
    from kgym.runs.manifest import adapter_of
    from kgym.runs.metrics import read_metrics

    config = manifest["config"]
    ways = " and ".join(filter(None, (config["algo"]["name"], adapter_of(manifest))))
    lines = read_metrics(run / "metrics.jsonl")
    measured = [line for line in lines if line.get("eval/accuracy") is not None]
    first, last = (measured[0], measured[-1]) if measured else ({}, {})
    step, steps = (int(lines[-1]["step"]) if lines else 0), config["train"]["steps"]
    summary = run / "summary.json"
    finished = summary.exists() and step >= steps
    facts = {
        "run": str(run),
        "what": f"train {' and '.join(manifest['specs'])} with {ways} from {config['model']}",
        "state": "finished" if finished else f"step {step} of {steps}",
        "accuracy_before": first.get("eval/accuracy"),
        "accuracy": last.get("eval/accuracy"),
        "stderr": last.get("eval/stderr"),
        "reward": lines[-1].get("reward/mean") if lines else None,
    }
    if measured and (unlike := _unlike_validations(run)):
        facts |= {"accuracy_before": None, "not_compared": unlike}
    if finished:
        stored = read_table(summary, remedy="remove it, and kgym train --resume writes it again")
        facts |= {
            key: stored.get(key)
            for key in ("gain", "gain_interval_95", "p_value", "test", "distinguishable", "checkpoint")
        }
        facts["caution"] = stored.get("caution") or None
    return facts


def _supervised_facts(run: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    from kgym.runs.manifest import adapter_of
    from kgym.runs.metrics import read_metrics

    config = manifest["config"]
    ways = " and ".join(filter(None, (manifest["kind"], adapter_of(manifest))))
    lines = read_metrics(run / "metrics.jsonl")
    first, last = (lines[0], lines[-1]) if lines else ({}, {})
    step, steps = int(last.get("step", 0)), config["train"]["steps"]
    source = (config.get("env") or {}).get("name") or config.get("data") or config.get("episodes") or "examples"
    return {
        "run": str(run),
        "what": f"{ways} on {source} from {config['model']}",
        "state": "finished" if (run / "summary.json").exists() and step >= steps else f"step {step} of {steps}",
        "accuracy": None,
        "stderr": None,
        "loss_nats_before": first.get("train/loss_nats"),
        "loss_nats": last.get("train/loss_nats"),
        **{
            key: last.get(key)
            for key in ("preference/accuracy_frac", "held_out/loss_nats", "held_out/accuracy_frac")
            if key in last
        },
    }


def _unlike_validations(run: Path) -> str:
    """Return in what the first and the last validation differ, as text; "" if both asked the same. Validations that
    differ are not compared.
    """
    from kgym.files import read_table
    from kgym.folders import numbered
    from kgym.score.comparability import differences

    found = numbered(run / "eval", "step", ".json")
    if len(found) < 2:
        return ""
    files = (found[min(found)], found[max(found)])
    one, other = (
        read_table(file, remedy="remove it to see the run without its figures").get("facts", {}) for file in files
    )
    return "; ".join(differences(one, other))


def _eval_facts(run: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    from kgym.score.store import read_results

    results = read_results(run) if (run / "results.json").exists() else {}
    keys = (
        "accuracy",
        "stderr",
        "n_problems",
        "samples",
        "truncated_frac",
        "unscored_frac",
        "no_answer_frac",
        "tokens_mean",
    )
    return {
        "run": str(run),
        "what": f"eval {manifest['request']['model']} on {manifest['benchmark']}",
        "state": "finished" if results else "unfinished",
        **{key: results.get(key) for key in keys},
        "comparability": results.get("comparability"),
    }


def _say(value: Any) -> str:
    if isinstance(value, list):
        return " to ".join(map(_say, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
