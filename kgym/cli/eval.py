"""`kgym eval`: score models on benchmarks, through the environment and the engine of training."""

import argparse
import logging
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgym.cli import running
from kgym.cli.interrupts import command_line, saying_how_to_go_on
from kgym.cli.output import folder_name, free_text, percent, print_json, print_table, say
from kgym.cli.scoring import Progress, usage_line
from kgym.cli.settings import add_set
from kgym.errors import ConfigError, KgymError
from kgym.neutral import printable

if TYPE_CHECKING:
    from kgym.eval_config import EvalConfig
    from kgym.score.evaluating import Plan, Watch
    from kgym.score.results import EvalResult


SAMPLING = ("max_tokens", "temperature", "top_p", "top_k", "stop", "loop_tokens")
FLAGS = {
    **{key: key for key in ("preset", "samples", "problems", *SAMPLING, "truncated", "seed", "slots")},
    "bench": "benches",
    "verifier": "verifier.name",
    "engine": "engine.name",
}
"""Options of the command line that stand for a key of the configuration."""
MOST_UNSCORED = 0.1
"""Share of completions that could not be judged beyond which the accuracy comes with a warning."""
MOST_REASONS = 3

log = logging.getLogger(__name__)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add(
        "--model",
        metavar="NAME|DIR|HUB_ID",
        action="append",
        help="a model, or a run folder, which means its newest checkpoint; several are scored one after another "
        "(default: nano)",
    )
    add(
        "--bench",
        metavar="NAME|ENV:SPLIT",
        action="append",
        help="a benchmark, or a split of an environment; several are scored one after another (default: aime-style)",
    )
    add(
        "--preset",
        metavar="NAME",
        help="a published protocol: r1, qwen3, dapo or k1.5; list prints them; explicit options override it",
    )
    add("--samples", metavar="K", type=int, help="completions for each problem (default: the benchmark's, or 1)")
    add(
        "--problems",
        metavar="N",
        type=int,
        help="only the first N problems (default: the benchmark's, or all; 0 is all)",
    )
    add("--max-tokens", metavar="N", type=int, help="token budget of a completion (default: the environment's)")
    add(
        "--temperature",
        metavar="T",
        type=float,
        help="sampling temperature; 0 is greedy (default: 1.0, as in training)",
    )
    add("--top-p", metavar="P", type=float, help="nucleus sampling (default: 1.0, off)")
    add("--top-k", metavar="N", type=int, help="sample from the N most likely tokens (default: 0, off)")
    add(
        "--stop",
        metavar="TEXT",
        action="append",
        help="text that ends a completion, in addition to the model's end tokens; may be given again",
    )
    add(
        "--loop-tokens",
        metavar="N",
        type=int,
        help="end a completion whose last N tokens repeat one block at least four times (default: off)",
    )
    add("--truncated", choices=("zero", "score", "mask"), help="how a truncated completion is scored (default: zero)")
    add("--verifier", metavar="NAME", help="verifier that judges (default: the environment's)")
    add("--engine", metavar="NAME", help="rollout engine, or auto for the one that suits best (default: transformers)")
    add("--seed", metavar="N", type=int, help="seed of the sampling (default: 0)")
    add("--slots", metavar="N", type=int, help="completions sampled at the same time (default: 256)")
    running.add_config(parser)
    add_set(
        parser,
        "any key of the configuration, such as env.difficulty=2, engine.max_batch=64 or verifier.limits.workers=4",
        _keys,
    )
    add(
        "--run",
        metavar="DIR",
        type=folder_name,
        help="run folder; several models and benchmarks get DIR-MODEL-BENCH (default: below runs/, where the same "
        "command finds it)",
    )
    add("--board", metavar="FILE", type=Path, help="leaderboard to add a row to")
    add("--label", metavar="NAME", help="name of the model on the board (default: the value of --model)")
    add("--note", metavar="TEXT", default="", type=free_text, help="free text for the board")


def _keys() -> list[str]:
    from kgym.eval_config import EvalConfig
    from kgym.keys import keys_of

    return keys_of(EvalConfig().model_dump(mode="json"), EvalConfig)


def asked(args: argparse.Namespace) -> "list[EvalConfig]":
    """Return the configurations that a command line asks for, one for each model."""
    from kgym.eval_config import EvalConfig
    from kgym.keys import load

    given = running.flags_given(args, FLAGS)
    models = [{"model": model} for model in args.model or ()] or [{}]
    return [load(EvalConfig, args.config, [*running.settings_of(model | given), *args.set]) for model in models]


def run(args: argparse.Namespace) -> int:
    """Score, or resume scoring; print the figures of each benchmark, then those of all benchmarks."""
    if args.preset == "list":
        return _list_presets(as_json=args.json)
    from kgym.board.table import board_to_append
    from kgym.score.evaluating import evaluate_many

    configs = asked(args)
    if args.label is not None and len(configs) > 1:
        raise ConfigError(
            f"--label {args.label} would name {len(configs)} models alike; leave it out, or score one at a time"
        )
    if args.board is not None:
        board_to_append(args.board)  # refuse what is not a board before hours of scoring
    several = sum(len(config.benches) for config in configs) > 1
    listener = terminal_listener(args, n_models=len(configs), several=several)
    with saying_how_to_go_on(lambda: f"resume with the same command: {command_line(args, args.argv)}"):
        evaluate_many(configs, run=args.run, label=args.label, note=args.note, listener=listener)
    _say_all(listener, as_json=args.json, several=several)
    return 1 if listener.failures else 0


def terminal_listener(args: argparse.Namespace, *, n_models: int = 1, several: bool = False) -> Any:
    """Return a `Listener` that shows progress, prints each result and adds it to the board.

    With `several` benchmarks or models, one that fails does not end the others. The listener's `played` has all
    results, and its `failures` what failed, as (model, benchmark, one line).
    """
    from kgym.score.evaluating import Listener

    class Terminal(Listener):
        def __init__(self) -> None:
            self.played: list[tuple[EvalResult, Mapping[str, Any]]] = []
            self.failures: list[tuple[str, str, str]] = []
            self.n_plans, self.n_models = 1, n_models

        def chosen(self, engine: str) -> None:
            if args.verbose >= 0:
                say(f"engine {engine}", file=sys.stderr)

        def started(self, plan: "Plan", number: int, n_plans: int, too_long: str) -> "Watch":
            self.n_plans = n_plans
            what = f"{plan.request['model']} on {plan.bench.name}" if n_models > 1 else plan.bench.name
            prefix = f"{what} ({number} of {n_plans}): " if n_plans > 1 else ""
            lines = [f"scoring {args.label or plan.request['model']} on {plan.describe()}"]
            lines += [f"kgym: {too_long}"] if too_long else []
            self.progress = Progress(sys.stderr, quiet=args.verbose < 0, prefix=prefix).begun(lines)
            return self.progress

        def finished(self, result: "EvalResult", about: Mapping[str, Any]) -> None:
            self.progress.ended()
            self.played.append((result, about))
            if result.unscored_frac > MOST_UNSCORED:
                log.warning(
                    "%s of the completions could not be judged, so the accuracy is over the others; the "
                    "texts are in %s. After a timeout, raise verifier.limits.deadline_s",
                    _unscored(result),
                    about["run"],
                )
            added = _to_board(args.board, result, about)
            if not args.json:
                say(_table(result, about) + added + ("\n" if self.n_plans > 1 else ""), flush=True)

        def failed(self, plan: "Plan", error: "KgymError | OSError") -> None:
            if not several:
                raise error
            from kgym.cli.main import describe

            line = describe(error).removeprefix("error: ")
            logging.getLogger("kgym.tracebacks").debug(
                "%s on %s", plan.request["model"], plan.bench.name, exc_info=error
            )
            say(f"kgym: error: {plan.request['model']} on {plan.bench.name}: {line}", file=sys.stderr, flush=True)
            self.failures.append((plan.request["model"], plan.bench.name, line))

    return Terminal()


def _say_all(listener: Any, *, as_json: bool, several: bool) -> None:
    """Print one JSON document, or a table if there are several benchmarks or models."""
    if as_json:
        documents = [result.to_json() | dict(about) for result, about in listener.played]
        failed = [dict(zip(("model", "benchmark", "error"), failure, strict=True)) for failure in listener.failures]
        print_json({"results": documents, "failed": failed} if several else documents[0])
    elif several:
        models = ("model",) if listener.n_models > 1 else ()
        counts = ("problems", "k", "pass@k", "truncated", "unscored")
        rows = [_row(result, about) for result, about in listener.played]
        rows += [(model, bench, "failed", *[""] * 7) for model, bench, _ in listener.failures]
        heads = (*models, "benchmark", "accuracy", "95% interval", *counts, "run")
        print_table(heads, [row[1 - len(models) :] for row in rows], gives_way=("run",))


def _row(result: "EvalResult", about: Mapping[str, Any]) -> tuple[Any, ...]:
    low, high = (percent(bound) for bound in result.interval)
    return (
        about["model"],
        about["benchmark"],
        percent(result.accuracy, result.stderr),
        f"{low} to {high}",
        result.n_problems,
        result.samples,
        percent(result.pass_at_k[str(result.samples)]),
        percent(result.truncated_frac),
        percent(result.unscored_frac),
        about["run"],
    )


def _list_presets(*, as_json: bool) -> int:
    from dataclasses import asdict

    from kgym.score.presets import presets

    if as_json:
        print_json({name: asdict(preset) for name, preset in presets().items()})
    else:
        print_table(
            ("preset", "what it sets", "source"),
            [(name, preset.summary, preset.source) for name, preset in presets().items()],
        )
    return 0


def _to_board(board: Path | None, result: "EvalResult", about: Mapping[str, Any]) -> str:
    """Add the row, and return a line that says so."""
    if board is None:
        return ""
    from kgym.board.rows import result_row
    from kgym.board.table import append_row

    return (
        f"\nrow added to {board}" if append_row(board, result_row(result, about)) else f"\n{board} has this row already"
    )


def _table(result: "EvalResult", about: Mapping[str, Any]) -> str:
    from kgym.score.intervals import near_end, near_end_caution

    facts, k = result.facts, str(result.samples)
    low, high = (percent(bound) for bound in result.interval)
    cells = {
        "model": about["model"],
        "benchmark": f"{about['benchmark']} ({facts['env_id']}, {facts['split']}, verifier {facts['verifier']})",
        "accuracy": f"{percent(result.accuracy, result.stderr)} (avg@{k}, {result.n_problems} problems), 95% interval "
        f"{low} to {high}",
    }
    if result.samples > 1:  # with one sample they equal the accuracy
        at_least = result.g_pass_at_k.get(k, {})
        cells[f"pass@{k}"] = percent(result.pass_at_k[k], result.pass_at_k_stderr.get(k))
        cells[f"maj@{k}"] = percent(result.maj_at_k[k], result.maj_at_k_stderr.get(k))
        error = result.g_pass_at_k_stderr.get(k, {}).get("mean")
        cells[f"mG-Pass@{k}"] = f"{percent(at_least.get('mean'), error)} ({percent(at_least.get('1.0'))} all {k} right)"
        cells["uncertainty"] = _uncertainty(result)
        if near_end(result.accuracy, n_problems=result.n_scored_problems, samples=result.samples):
            cells["caution"] = near_end_caution(result.n_scored_problems)
    cut = f"{percent(result.truncated_frac)} (at {facts['max_tokens']} tokens)"
    if result.truncated_frac > 0:
        worst, best = (percent(bound) for bound in result.truncated_bounds)
        cut += f"; accuracy of the finished {percent(result.finished_accuracy)}; "
        cut += f"accuracy {worst} to {best} if all cut were wrong or right"
    cells |= {
        "truncated": cut,
        **({"too long": "prompts of " + percent(result.prompt_too_long_frac)} if result.prompt_too_long_frac else {}),
        **(
            {"repetition": percent(result.repetition_frac) + " were ended early, counted as truncated"}
            if result.repetition_frac
            else {}
        ),
        "unscored": _unscored(result),
        "no answer": percent(result.no_answer_frac),
        "tokens": f"{result.tokens_mean:.0f} a completion, median {result.tokens_median:.0f}, 95% up to "
        f"{result.tokens_p95:.0f}"
        + ("" if math.isnan(result.tokens_per_solved) else f"; {result.tokens_per_solved:.0f} for each correct one"),
    }
    for name, by in (("level", result.by_level), ("subject", result.by_subject), ("year", result.by_year)):
        if len(by) > 1:
            cells[f"by {name}"] = ", ".join(
                f"{printable(label)} {percent(figures['accuracy'])}" for label, figures in by.items()
            )
    cells |= {
        "sampling": f"temperature {facts['temperature']:g}, top-p {facts['top_p']:g}, top-k {facts['top_k']}, seed "
        f"{about['seed']}" + _also_asked(facts),
        **({"usage": usage_line(about["usage"])} if "usage" in about else {}),
        "comparability": result.comparability[:12],
        "run": about["run"],
    }
    return "\n".join(f"{key:<14}{value}" for key, value in cells.items())


def _unscored(result: "EvalResult") -> str:
    """Return the share and the most frequent reasons.

    >>> from types import SimpleNamespace
    >>> _unscored(SimpleNamespace(unscored_frac=0.25, unscored_by={"timeout": 0.2, "crash": 0.05}))
    '25.0% (timeout 20.0%, crash 5.0%)'
    """
    reasons = [f"{printable(reason)} {percent(share)}" for reason, share in result.unscored_by.items()][:MOST_REASONS]
    return percent(result.unscored_frac) + (f" ({', '.join(reasons)})" if reasons else "")


def _also_asked(facts: Mapping[str, Any]) -> str:
    stop = "".join(f", stop {text!r}" for text in facts["stop"])
    loops = f", loop tokens {facts['loop_tokens']}" if "loop_tokens" in facts else ""
    return stop + loops + "".join(f", template {name}={value!r}" for name, value in facts.get("template", {}).items())


def _uncertainty(result: "EvalResult") -> str:
    problems, sampling = (result.variance.get(name, math.nan) for name in ("stderr_problems", "stderr_sampling"))
    if math.isnan(problems) or math.isnan(sampling):
        return "-"
    return (
        f"± {100 * problems:.1f} from the choice of problems, ± {100 * sampling:.1f} from sampling; "
        "see kgym leaderboard precision"
    )
