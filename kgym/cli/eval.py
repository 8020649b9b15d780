"""`kgym eval`: score a model on a benchmark, through the environment and the engine of training."""

import argparse
import hashlib
import json
import math
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from kgym.cli.interrupts import command_line, saying_how_to_go_on
from kgym.cli.output import clock, folder_name, free_text, percent, print_json, print_table, say
from kgym.cli.settings import add_set, sections
from kgym.neutral import printable

if TYPE_CHECKING:
    from pandas import Series

    from kgym.score.bench import EvalSettings
    from kgym.score.results import EvalResult

RUNS = Path("runs")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("--model", metavar="NAME|DIR|HUB_ID", default="nano", help="a model, or a run folder for its newest checkpoint (default: nano)")
    add("--bench", metavar="NAME|ENV:SPLIT", default="aime-style", help="a benchmark, or a split of an environment (default: aime-style)")
    add("--preset", metavar="NAME", help="a published protocol: r1, qwen3, dapo, k1.5, or list to see them; explicit options win over it")
    add("--samples", metavar="K", type=int, help="answers for each problem (default: the benchmark's, or 1)")
    add("--problems", metavar="N", type=int, help="only the first N problems (default: the benchmark's, or all; 0 is all)")
    add("--max-tokens", metavar="N", type=int, help="token budget of an answer (default: the environment's)")
    add("--temperature", metavar="T", type=float, help="sampling temperature; 0 is greedy (default: 1.0, as in training)")
    add("--top-p", metavar="P", type=float, help="nucleus sampling (default: 1.0, off)")
    add("--top-k", metavar="N", type=int, help="draw from the N likeliest tokens (default: 0, off)")
    add(
        "--stop",
        metavar="TEXT",
        action="append",
        help="text that ends an answer, in addition to the model's end tokens; may be given again",
    )
    add("--loop-tokens", metavar="N", type=int, help="end an answer whose last N tokens are one block, four times or more (default: off)")
    add("--truncated", choices=("zero", "score", "mask"), default="zero", help="what an answer that is cut short is worth (default: zero)")
    add("--verifier", metavar="NAME", help="verifier (default: the environment's)")
    add("--engine", metavar="NAME", help="rollout engine (default: transformers)")
    add("--seed", metavar="N", type=int, default=0, help="seed of the sampling (default: 0)")
    add("--slots", metavar="N", type=int, default=256, help="answers played at once; each batch is stored when it ends (default: 256)")
    add_set(parser, "options such as env.difficulty=2, engine.max_batch=64 or verifier.partial=0.5")
    add("--run", metavar="DIR", type=folder_name, help="run folder (default: one below runs/ that the same command finds again)")
    add("--board", metavar="FILE", type=Path, help="leaderboard to add a row to")
    add("--label", metavar="NAME", help="name of the model on the board (default: as given)")
    add("--note", metavar="TEXT", default="", type=free_text, help="free text for the board")


def run(args: argparse.Namespace) -> int:
    """Score, or go on with scoring, and print the figures."""
    if args.preset == "list":
        return _list_presets(as_json=args.json)
    import contextlib

    from kgym.board.table import board_to_append
    from kgym.config import RolloutConfig
    from kgym.envs.spec import EnvSpec
    from kgym.models.names import model_fingerprint, resolve_model
    from kgym.options import validated
    from kgym.registry import registry
    from kgym.rollout.engine import make_engine
    from kgym.rollout.prompts import describe_long
    from kgym.runs.folder import checkout, machine, versions
    from kgym.score.bench import resolve_bench
    from kgym.score.harness import Evaluation
    from kgym.score.presets import preset_of, samples_of, stated_env, stated_options
    from kgym.score.store import EvalFolder

    if args.board is not None:
        board_to_append(args.board)  # refuse what is no board before hours of scoring
    bench = resolve_bench(args.bench)
    model = resolve_model(args.model)
    settings = _settings(args)
    engine, engine_options = settings.engine.name, registry().options("engine", settings.engine.name, settings.engine.options)
    preset = preset_of(args.preset) if args.preset is not None else None
    given = {name: getattr(args, name) for name in ("temperature", "top_p", "top_k", "max_tokens", "stop", "loop_tokens")}
    given["verifier"] = settings.verifier.name
    asked = (stated_options(preset) if preset else {}) | {name: value for name, value in given.items() if value is not None}
    verifier = asked.pop("verifier", None)
    budget = {"max_tokens": asked.pop("max_tokens", None), "truncated": args.truncated}
    options = (stated_env(preset) if preset else {}) | {key: value for key, value in budget.items() if value is not None} | settings.env
    spec = EnvSpec.of(bench.env, bench.split, options, settings.verifier.model_copy(update={"name": verifier}))
    rollout = validated(RolloutConfig, asked)
    evaluation = Evaluation(
        spec,
        problems=bench.problems if args.problems is None else args.problems,
        samples=(preset.samples if preset else bench.samples) if args.samples is None else args.samples,
        sampling=rollout.sampling,
        seed=args.seed,
        slots=args.slots,
        template=getattr(engine_options, "template", None),
    )
    if preset is not None and args.samples is None:
        evaluation.samples = samples_of(preset, len(evaluation.indices))
    request = {
        "model": _shown(args.model, model),
        "model_sha256": model_fingerprint(model),
        "engine": engine,
        "engine_options": engine_options.model_dump(mode="json"),
        "seed": args.seed,
    } | evaluation.facts
    folder = EvalFolder(args.run or RUNS / _folder_name(args, request))
    about = {
        "model": args.label or request["model"],
        "benchmark": bench.name,
        "engine": engine,
        "kgym_version": versions()["kgym"],
        "seed": args.seed,
        "run": str(folder.path),
        "note": args.note,
    }
    with contextlib.ExitStack() as stack:
        stack.enter_context(saying_how_to_go_on(lambda: f"the same command goes on: {command_line(args, args.argv)}"))
        folder.check(request)  # before a model is loaded for nothing
        sampler = make_engine(engine, settings.engine.options, model) if evaluation.n_missing(folder) else None
        too_long = evaluation.long_prompts(sampler) if sampler is not None else {}
        stack.enter_context(
            folder.opened(
                request,
                benchmark=bench.name,
                preset=args.preset,
                spec=spec.to_json(),
                versions=versions(),
                checkout=checkout(),
                machine=machine(),
            )
        )
        progress = _Progress(sys.stderr, quiet=args.verbose < 0)
        progress.say(
            f"scoring {about['model']} on {bench.name}: {len(evaluation.indices)} problems x {evaluation.samples}, in {folder.path}"
        )
        if too_long:
            progress.say(f"kgym: {describe_long(too_long, bench.name)}")
        result = evaluation.run(sampler, store=folder, progress=progress, chunk_finished=progress.scored)
        about["date"] = folder.write_result(result, about)
    registry().observe("kgym_eval_finished", run=folder.path, step=0, results=result.to_json())
    added = _to_board(args.board, result, about)
    if args.json:
        print_json(result.to_json() | about)
    else:
        say(_table(result, about) + added)
    return 0


def _list_presets(*, as_json: bool) -> int:
    from dataclasses import asdict

    from kgym.score.presets import presets

    if as_json:
        print_json({name: asdict(preset) for name, preset in presets().items()})
    else:
        print_table(("preset", "what it sets", "source"), [(name, preset.summary, preset.source) for name, preset in presets().items()])
    return 0


def _settings(args: argparse.Namespace) -> "EvalSettings":
    """Parse `env.difficulty=2` and `engine.max_batch=64`, and the options of the command line that name a component."""
    from kgym.options import validated
    from kgym.score.bench import EvalSettings

    named = [f"{kind}.name={name}" for kind in ("engine", "verifier") if (name := getattr(args, kind)) is not None]
    return validated(EvalSettings, sections([*named, *args.set], "env", "engine", "verifier", chosen=("engine", "verifier")))


def _shown(name: str, resolved: str) -> str:
    """Return how a model is called in results: as it was named, with the checkpoint if a run folder was."""
    return resolved if Path(name).is_dir() else name


def _folder_name(args: argparse.Namespace, request: Mapping[str, Any]) -> str:
    """The same request gives the same folder, so that the same command goes on with it."""
    words = "-".join(_short(re.sub(r"[^A-Za-z0-9.]+", "-", word).strip("-.")) for word in ("eval", request["model"], args.bench))
    return f"{words}-{hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:8]}"


def _short(name: str, longest: int = 40) -> str:
    """Cut a long name at a hyphen; its end says more than its beginning."""
    if len(name) <= longest:
        return name
    end = name[-longest:]
    return end.partition("-")[2] or end


def _to_board(board: Path | None, result: "EvalResult", about: Mapping[str, Any]) -> str:
    """Add the row, and say so."""
    if board is None:
        return ""
    from kgym.board.rows import result_row
    from kgym.board.table import append_row

    return f"\nrow added to {board}" if append_row(board, result_row(result, about)) else f"\n{board} has this row already"


def _table(result: "EvalResult", about: Mapping[str, Any]) -> str:
    from kgym.score.intervals import near_end, near_end_caution

    facts, k = result.facts, str(result.samples)
    low, high = (percent(bound) for bound in result.interval)
    cells = {
        "model": about["model"],
        "benchmark": f"{about['benchmark']} ({facts['env_id']}, {facts['split']}, verifier {facts['verifier']})",
        "accuracy": f"{percent(result.accuracy, result.stderr)} (avg@{k}, {result.n_problems} problems), 95% interval {low} to {high}",
    }
    if result.samples > 1:  # of one answer they are the accuracy
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
        cut += f"; accuracy of the finished {percent(result.finished_accuracy)}; accuracy {worst} to {best} if all cut were wrong or right"
    cells |= {
        "truncated": cut,
        **({"too long": "prompts of " + percent(result.prompt_too_long_frac)} if result.prompt_too_long_frac else {}),
        **({"repetition": percent(result.repetition_frac) + " were ended early, counted as truncated"} if result.repetition_frac else {}),
        "unscored": percent(result.unscored_frac),
        "no answer": percent(result.no_answer_frac),
        "tokens": f"{result.tokens_mean:.0f} an answer, median {result.tokens_median:.0f}, 95% up to {result.tokens_p95:.0f}"
        + ("" if math.isnan(result.tokens_per_solved) else f"; {result.tokens_per_solved:.0f} for each point of score"),
    }
    for name, by in (("level", result.by_level), ("subject", result.by_subject), ("year", result.by_year)):
        if len(by) > 1:
            cells[f"by {name}"] = ", ".join(f"{printable(label)} {percent(figures['accuracy'])}" for label, figures in by.items())
    cells |= {
        "sampling": f"temperature {facts['temperature']:g}, top-p {facts['top_p']:g}, top-k {facts['top_k']}, seed {about['seed']}"
        + _also_asked(facts),
        "comparability": result.comparability[:12],
        "run": about["run"],
    }
    return "\n".join(f"{key:<14}{value}" for key, value in cells.items())


def _also_asked(facts: Mapping[str, Any]) -> str:
    stop = "".join(f", stop {text!r}" for text in facts["stop"])
    loops = f", loop tokens {facts['loop_tokens']}" if "loop_tokens" in facts else ""
    return stop + loops + "".join(f", template {name}={value!r}" for name, value in facts.get("template", {}).items())


def _uncertainty(result: "EvalResult") -> str:
    problems, sampling = (result.variance.get(name, math.nan) for name in ("stderr_problems", "stderr_sampling"))
    if math.isnan(problems) or math.isnan(sampling):
        return "-"
    return f"± {100 * problems:.1f} by which problems they are, ± {100 * sampling:.1f} by sampling; see kgym leaderboard precision"


class _Progress:
    """Rate, remaining time and running score: in one line that changes on a terminal, a line each tenth elsewhere."""

    def __init__(self, out: TextIO, *, quiet: bool) -> None:
        self.out = out
        self.quiet = quiet
        self.live = out.isatty()
        self.start = time.monotonic()
        self.first: int | None = None  # answers that were there before
        self.tenth = 0
        self.score_sum, self.n_scored = 0.0, 0

    def scored(self, scores: "Series[float]") -> None:
        """See the scores of a chunk."""
        self.score_sum += float(scores.sum())
        self.n_scored += int(scores.count())

    def __call__(self, done: int, total: int) -> None:
        """See how far it is."""
        if self.first is None:
            self.first = done - 1
        seconds = time.monotonic() - self.start
        rate = (done - self.first) / seconds if seconds > 0 else 0.0
        tenth = 10 * done // total
        if not self.live and tenth == self.tenth:
            return
        self.tenth = tenth
        parts = [f"{done}/{total} answers"]
        if rate > 0:
            parts += [f"{rate:.1f}/s", f"{clock((total - done) / rate)} left"]
        if self.n_scored:
            parts.append(f"score {percent(self.score_sum / self.n_scored)} of {self.n_scored}")
        self._write(" | ".join(parts), end="" if self.live else "\n")

    def say(self, text: str) -> None:
        """Write a line that stays."""
        self._write(text, end="\n")

    def _write(self, text: str, end: str) -> None:
        if self.quiet:
            return
        self.out.write(("\r\033[K" if self.live else "") + printable(text) + end)
        self.out.flush()
