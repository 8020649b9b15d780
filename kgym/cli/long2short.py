"""`kgym long2short`: from long completions to shorter ones, by the four methods of Kimi k1.5, section 2.4, and one
more.

    kgym long2short merge --model LONG --short SHORT --out DIR       average of the weights of both models
    kgym long2short shortest --model LONG --out DIR                  fine-tuning on the shortest correct completions
    kgym long2short dpo --model LONG --out DIR                       shortest correct completions against longer ones
    kgym long2short rl --model LONG --out DIR                        RL with a length penalty and a smaller budget
    kgym long2short distill --model LONG --short SHORT --out DIR     the short model learns from the long one, on its
                                                                     own completions

Each method is a series of other commands, which are printed. It ends with the accuracy and the length of completions
before and after. A command whose result is in DIR is skipped, so an interrupted series resumes.
"""

import argparse
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from kgym.cli.output import folder_name, print_json, print_table
from kgym.cli.settings import add_set
from kgym.cli.steps import Step, hold_request, of_env, run_steps, scoring, settings_words, training
from kgym.errors import ConfigError

SHORTER = 0.5
"""The budget of `rl` and `distill`, as a share of the environment's own."""
STUDENTS = 192
"""Problems in a step of `distill`, with one completion each: the teacher judges tokens and compares no completions."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    methods = parser.add_subparsers(dest="method", required=True, metavar="merge|shortest|dpo|rl|distill")
    for name, text in (
        ("merge", "average the weights with those of a short model"),
        ("shortest", "learn the shortest correct completion of each problem"),
        ("dpo", "prefer the shortest correct completion to longer ones"),
        ("rl", "train with a length penalty and a smaller budget"),
        ("distill", "distil the long model into a short one, with a smaller budget"),
    ):
        method = methods.add_parser(name, help=text)
        method.add_argument("--model", metavar="NAME|DIR|HUB_ID", required=True, help="the model with long completions")
        method.add_argument(
            "--out",
            metavar="DIR",
            type=folder_name,
            required=True,
            help="folder for everything the command writes; give it again to resume",
        )
        method.add_argument("--env", metavar="NAME", default="aime", help="environment (default: aime)")
        method.add_argument(
            "--score", metavar="N", type=int, default=500, help="validation problems to score on (default: 500)"
        )
        add_set(
            method,
            "further keys, such as env.difficulty=2, which all commands get, or train.lr=1e-5 for training alone",
        )
        method.add_argument(
            "--seed", metavar="N", type=int, default=0, help="seed of sampling and training (default: 0)"
        )
        if name in ("merge", "distill"):
            same = "shape" if name == "merge" else "tokenizer"
            method.add_argument(
                "--short", metavar="NAME|DIR|HUB_ID", required=True, help=f"model of the same {same}, short completions"
            )
        if name == "merge":
            method.add_argument(
                "--weight",
                metavar="W",
                type=float,
                default=0.5,
                help="weight of the long model in the average, below 1 (default: 0.5)",
            )
            continue
        steps = 12 if name in ("rl", "distill") else 60
        method.add_argument("--steps", metavar="N", type=int, default=steps, help=f"training steps (default: {steps})")
        if name in ("rl", "distill"):
            method.add_argument(
                "--max-tokens", metavar="N", type=int, help="budget (default: half of the environment's)"
            )
        else:
            method.add_argument(
                "--problems", metavar="N", type=int, default=192, help="train problems to sample (default: 192)"
            )
            method.add_argument(
                "--samples",
                metavar="N",
                type=int,
                default=8,
                help="completions for each problem (default: 8, as in the paper)",
            )


def run(args: argparse.Namespace) -> int:
    """Run the commands of a method, and compare."""
    from kgym.models.names import resolve_model

    for name in ("steps", "problems", "samples", "max_tokens", "score"):
        if (n := getattr(args, name, None)) is not None and n < 1:
            raise ConfigError(f"--{name.replace('_', '-')} {n}: must be 1 or more")
    resolve_model(args.model)
    if args.method == "merge" and not 0 < args.weight < 1:
        raise ConfigError(f"--weight {args.weight:g} is outside the range; set a number between 0 and 1, such as 0.5")
    made, steps = {"merge": _merge, "shortest": _shortest, "dpo": _dpo, "rl": _rl, "distill": _distill}[args.method](
        args
    )
    bench = (
        "--bench",
        f"{args.env}:validation",
        "--problems",
        args.score,
        "--seed",
        args.seed,
        *settings_words(*of_env(args.set)),
    )
    before, after = args.out / "before", args.out / "after"
    steps += [scoring(before, "--model", args.model, *bench), scoring(after, "--model", made, *bench)]
    hold_request(args.out, {name: getattr(args, name, None) for name in _ASKED}, steps)
    with contextlib.redirect_stdout(sys.stderr) if args.json else contextlib.nullcontext():
        if status := run_steps(steps):
            return status
    rows = [(name, *_figures(folder)) for name, folder in (("before", before), ("after", after))]
    if args.json:
        print_json(
            {"model": str(made)} | {name: {"accuracy": accuracy, "tokens": tokens} for name, accuracy, tokens in rows}
        )
    else:
        print_table(
            ("", "accuracy", "tokens"), [(name, f"{accuracy:.1%}", f"{tokens:.1f}") for name, accuracy, tokens in rows]
        )
    return 0


_ASKED = (
    "method",
    "model",
    "short",
    "env",
    "score",
    "seed",
    "set",
    "weight",
    "steps",
    "max_tokens",
    "problems",
    "samples",
)
"""Options that decide the numbers of a series; a method without one of them stores None for it."""


def _merge(args: argparse.Namespace) -> tuple[Path, list[Step]]:
    made = args.out / "merged"
    words = ["models", "merge", args.model, args.short, "--weights", args.weight, 1 - args.weight, "--out", made]
    return made, [Step(made / "config.json", lambda: words)]


def _shortest(args: argparse.Namespace) -> tuple[Path, list[Step]]:
    made = args.out / "sft"
    flags = (
        "--steps",
        args.steps,
        "--batch",
        16,
        "--lr",
        1e-4,
        *settings_words("sft.select=shortest", *_of_training(args)),
    )
    return made, [_sampled(args), training("sft", made, *_from(args), *flags)]


def _dpo(args: argparse.Namespace) -> tuple[Path, list[Step]]:
    made = args.out / "dpo"
    flags = ("--steps", args.steps, "--batch", 8, *settings_words("pairs.prefer=short", *_of_training(args)))
    return made, [_sampled(args), training("dpo", made, *_from(args), *flags)]


def _rl(args: argparse.Namespace) -> tuple[Path, list[Step]]:
    made = args.out / "rl"
    keys = ("shapers.length_penalty.warmup_steps=0", *_budget(args), *args.set)
    flags = ("--model", args.model, "--env", args.env, "--steps", args.steps, "--seed", args.seed)
    return made, [training("train", made, *flags, *settings_words(*keys))]


def _distill(args: argparse.Namespace) -> tuple[Path, list[Step]]:
    made = args.out / "opd"
    keys = (
        f"algo.teacher={args.model}",
        "rollout.group_size=1",
        f"rollout.problems_per_step={STUDENTS}",
        *_budget(args),
        *args.set,
    )
    flags = ("--model", args.short, "--env", args.env, "--algo", "opd", "--steps", args.steps, "--seed", args.seed)
    return made, [training("train", made, *flags, *settings_words(*keys))]


def _from(args: argparse.Namespace) -> tuple[Any, ...]:
    return ("--model", args.model, "--episodes", args.out / "samples", "--seed", args.seed)


def _sampled(args: argparse.Namespace) -> Step:
    """Sample the problems of the train split; the completions are stored with their tokens."""
    what = (
        "--bench",
        f"{args.env}:train",
        "--problems",
        args.problems,
        "--samples",
        args.samples,
        "--seed",
        args.seed,
        *settings_words(*of_env(args.set)),
    )
    return scoring(args.out / "samples", "--model", args.model, *what)


def _of_training(args: argparse.Namespace) -> list[str]:
    return [setting for setting in args.set if not setting.startswith("env.")]


def _budget(args: argparse.Namespace) -> tuple[str, ...]:
    """Return the settings of a training with a smaller budget, by default `SHORTER` times the environment's."""
    from kgym.cli.settings import component
    from kgym.envs.spec import EnvSpec

    setup = EnvSpec.of(args.env, "train", component(of_env(args.set), "env")).setup()
    tokens = args.max_tokens or max(1, int(SHORTER * setup.budgets.max_tokens))
    return f"env.max_tokens={tokens}", "eval.every=0"


def _figures(run: Path) -> tuple[float, float]:
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    return results["accuracy"], results["tokens_mean"]
