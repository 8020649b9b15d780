"""`kgym stages`: cold start, reinforcement learning with a small token budget, and again with larger ones, as one
series of commands.

    kgym stages --model nano --env aime --budgets 64 160 --out runs/long

checks all settings and then runs

    kgym eval   MODEL                      accuracy and length before
    kgym sft    MODEL -> OUT/cold          the cold start: worked solutions (Kimi k1.5, section 2.2)
    kgym train  OUT/cold -> OUT/rl         one run with a stage for each budget (`rollout.max_tokens`),
                                           scored after each of them

The same command again skips finished parts and resumes interrupted ones, with the numbers of an uninterrupted series.
"""

import argparse
import contextlib
import json
import sys
from collections.abc import Sequence
from typing import Any

from kgym.cli.output import folder_name, print_json, print_table
from kgym.cli.settings import add_set
from kgym.cli.steps import Step, hold_request, of_env, run_steps, say_steps, scoring, settings_words, training
from kgym.errors import ConfigError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--model", metavar="NAME|DIR|HUB_ID", default="nano", help="model to start from (default: nano)"
    )
    parser.add_argument("--env", metavar="NAME", default="aime", help="environment (default: aime)")
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=folder_name,
        required=True,
        help="folder for everything the command writes; give it again to resume",
    )
    parser.add_argument(
        "--budgets",
        metavar="N",
        type=int,
        nargs="+",
        required=True,
        help="token budget of a completion in each stage, such as 128 512 1024",
    )
    parser.add_argument("--steps", metavar="N", type=int, default=12, help="training steps of each stage (default: 12)")
    parser.add_argument("--algo", metavar="NAME", default="mirror", help="algorithm (default: mirror)")
    parser.add_argument(
        "--cold-steps",
        metavar="N",
        type=int,
        default=60,
        help="optimizer steps of the cold start; 0 skips it (default: 60)",
    )
    parser.add_argument(
        "--cold-lr", metavar="X", type=float, default=1e-4, help="learning rate of the cold start (default: 1e-4)"
    )
    parser.add_argument(
        "--cold-data",
        metavar="FILE.jsonl",
        help='lines of {"question", "solution"} for the cold start (default: worked solutions of the environment)',
    )
    parser.add_argument(
        "--score", metavar="N", type=int, default=500, help="validation problems to score on (default: 500)"
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="seed of sampling and training (default: 0)")
    add_set(
        parser,
        "further keys: those of env for all commands, those of sft for the cold start, and the others, such as "
        "train.lr=1e-5 or rollout.loop_tokens=64, for reinforcement learning",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="check all settings, print the commands and exit; nothing is written"
    )


def run(args: argparse.Namespace) -> int:
    """Run the commands, and print accuracy and length after each of them."""
    _check(args)
    steps = _steps(args)
    if args.dry_run:
        return say_steps(steps)
    hold_request(args.out, {name: getattr(args, name) for name in _ASKED}, steps)
    with contextlib.redirect_stdout(sys.stderr) if args.json else contextlib.nullcontext():
        if status := run_steps(steps):
            return status
    rows = _figures(args)
    if args.json:
        print_json({"model": str(args.out / "rl"), "stages": rows})
        return 0
    shown = [(row["after"], row["budget"] or "-", f"{row['accuracy']:.1%}", f"{row['tokens']:.1f}") for row in rows]
    print_table(("after", "budget", "accuracy", "tokens"), shown)
    return 0


_ASKED = ("model", "env", "budgets", "steps", "algo", "cold_steps", "cold_lr", "cold_data", "score", "seed", "set")
"""Options that decide the numbers of a series."""


def _check(args: argparse.Namespace) -> None:
    """Make the checks of every command before anything is written. Raises ConfigError, or what a run raises."""
    from kgym.config import RunConfig
    from kgym.keys import load
    from kgym.models.names import resolve_model
    from kgym.runs.folder import RunFolder
    from kgym.supervised_config import SFTConfig
    from kgym.train.start import run_of

    for name, least in (("steps", 1), ("cold_steps", 0), ("score", 1)):
        if (value := getattr(args, name)) < least:
            raise ConfigError(f"--{name.replace('_', '-')} {value}: must be {least} or more")
    if bad := [tokens for tokens in args.budgets if tokens < 1]:
        raise ConfigError(f"--budgets {bad[0]}: must be 1 or more")
    for key in ("env.max_tokens", "rollout.max_tokens"):
        if any(setting.partition("=")[0] == key for setting in args.set):
            raise ConfigError(f"{key} cannot be set here; the budgets of the stages are --budgets")
    resolve_model(args.model)
    if args.cold_steps:
        run_of(
            load(SFTConfig, None, [f"model={args.model}", *_cold_settings(args)]), RunFolder(args.out / "cold")
        ).check()
    apart = RunFolder(args.out / "rl-check")  # never written: the run in rl begins from another model, the cold start
    run_of(load(RunConfig, None, [f"model={args.model}", *_settings(args)]), apart).check()


def _steps(args: argparse.Namespace) -> list[Step]:
    cold, trained = args.out / "cold", args.out / "rl"
    start = cold if args.cold_steps else args.model
    steps = [scoring(args.out / "before", "--model", args.model, *_bench(args))]
    if args.cold_steps:
        steps.append(training("sft", cold, "--model", args.model, *settings_words(*_cold_settings(args))))
    return [*steps, training("train", trained, "--model", start, *settings_words(*_settings(args)))]


def _bench(args: argparse.Namespace) -> Sequence[object]:
    """Return the options of `kgym eval` that ask what a validation of reinforcement learning asks."""
    from kgym.cli.following import sampling_words
    from kgym.config import RunConfig
    from kgym.envs.spec import EnvSpec
    from kgym.keys import load

    config = load(RunConfig, None, _settings(args))
    scored = config.eval
    size = EnvSpec.of(args.env, scored.split, config.env.options).setup().source.size
    return (
        *(
            "--bench",
            f"{args.env}:{scored.split}",
            "--problems",
            scored.problems if size is None else min(scored.problems, size),
        ),
        *("--samples", scored.samples, "--max-tokens", scored.max_tokens or max(args.budgets), "--seed", args.seed),
        *sampling_words(scored.sampling(config.rollout.sampling)),
        *settings_words(
            *(
                setting
                for setting in args.set
                if setting.partition("=")[0].partition(".")[0] in ("env", "verifier", "engine")
            )
        ),
    )


def _cold_settings(args: argparse.Namespace) -> list[str]:
    """Return the keys of the cold start."""
    own = [setting for setting in args.set if setting.startswith("sft.")]
    source = [f"data={args.cold_data}"] if args.cold_data else [f"env.name={args.env}", *of_env(args.set)]
    return [
        *source,
        f"seed={args.seed}",
        f"train.steps={args.cold_steps}",
        f"train.lr={args.cold_lr}",
        "train.warmup_steps=0.1",
        "sft.batch_size=16",
        *own,
    ]


def _settings(args: argparse.Namespace) -> list[str]:
    """Return the keys of reinforcement learning: a stage for each budget, and a validation after each of them."""
    stages = [[place * args.steps, tokens] for place, tokens in enumerate(args.budgets)]
    return [
        f"env.name={args.env}",
        f"env.max_tokens={max(args.budgets)}",
        f"rollout.max_tokens={stages}",
        f"algo.name={args.algo}",
        f"seed={args.seed}",
        f"train.steps={args.steps * len(args.budgets)}",
        f"eval.every={args.steps}",
        f"eval.problems={args.score}",
        *(setting for setting in args.set if not setting.startswith("sft.")),
    ]


def _figures(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the accuracy and the mean length of completions before, after the cold start and after each stage, all at
    the largest budget.
    """
    from kgym.runs.metrics import read_metrics

    before = json.loads((args.out / "before" / "results.json").read_text(encoding="utf-8"))
    rows = [{"after": "nothing", "budget": None, "accuracy": before["accuracy"], "tokens": before["tokens_mean"]}]
    scored = {
        int(line["step"]): line
        for line in read_metrics(args.out / "rl" / "metrics.jsonl")
        if line.get("eval/accuracy") is not None
    }
    ends = [(0, "cold start", None)] if args.cold_steps else []
    ends += [((place + 1) * args.steps, f"stage {place + 1}", tokens) for place, tokens in enumerate(args.budgets)]
    for step, name, budget in ends:
        line = scored[step]
        rows.append(
            {"after": name, "budget": budget, "accuracy": line["eval/accuracy"], "tokens": line["eval/tokens_mean"]}
        )
    return rows
