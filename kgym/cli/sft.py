"""`kgym sft`: supervised warm-up of a model on worked solutions, of an environment or from a file."""

import argparse
import hashlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgym.cli.output import print_json
from kgym.errors import ConfigError

if TYPE_CHECKING:
    from kgym.train.sft import Examples

FLAGS = {"steps": "steps", "batch": "batch_size", "lr": "lr", "seed": "seed"}
"""Options of the command line that stand for a key of `sft`."""
LINES = 100
"""Progress lines in a run, about."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--model", metavar="NAME|DIR|HUB_ID", default="nano", help="model to start from (default: nano)")
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--env", metavar="NAME", help="learn the worked solutions of an environment's train split")
    data.add_argument(
        "--data", metavar="FILE.jsonl", type=Path, help='learn lines of {"question", "solution"}; "prompt" may stand for "question"'
    )
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder of the new model; must not be there yet")
    parser.add_argument("--steps", metavar="N", type=int, help="optimizer steps (default: 1000)")
    parser.add_argument("--batch", metavar="N", type=int, help="examples a step (default: 64)")
    parser.add_argument("--lr", metavar="X", type=float, help="learning rate (default: 1e-3, for a model of a million parameters)")
    parser.add_argument("--seed", metavar="N", type=int, help="decides the order of the examples (default: 0)")
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        nargs="+",
        action="extend",
        default=[],
        help="options such as env.difficulty=3 or sft.warmup_steps=10",
    )
    parser.add_argument("--device", metavar="NAME", default="auto", help="where to compute (default: auto, a GPU if there is one)")
    parser.add_argument("--dtype", metavar="TYPE", default="float32", help="type of the weights (default: float32)")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was interrupted")


def run(args: argparse.Namespace) -> int:
    """Fine-tune, and say where the model lies."""
    from kgym.options import validated
    from kgym.rollout.models import resolve_model
    from kgym.train.sft import SFTOptions, finetune

    env_options, sft_options = _settings(args)
    options = validated(
        SFTOptions, sft_options | {key: getattr(args, flag) for flag, key in FLAGS.items() if getattr(args, flag) is not None}
    )
    model = resolve_model(args.model)
    examples, data = _examples(args, env_options, options.seed)
    out = sys.stderr if args.json else sys.stdout
    summary = finetune(
        model,
        examples,
        args.out,
        options,
        data=data,
        dtype=args.dtype,
        device=args.device,
        resume=args.resume,
        report=_reporter(out, options.steps),
    )
    if args.json:
        print_json(summary)
    else:
        print(f"model       {summary['model']}")
        print(f"next        kgym eval --model {summary['model']} --bench {f'{args.env}:validation' if args.env else 'aime-style'}")
    return 0


def _settings(args: argparse.Namespace) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """Parse `env.difficulty=3` and `sft.warmup_steps=10` into the options of the two."""
    from kgym.config import parse_override, set_key

    values: dict[str, Any] = {}
    for setting in args.set:
        key, value = parse_override(setting)
        if key.partition(".")[0] not in ("env", "sft") or "." not in key:
            raise ConfigError(f"--set {setting}: keys of this command begin with env. or sft.")
        set_key(values, key, value)
    if args.env is None and "env" in values:
        raise ConfigError("--set env.*: there is no environment to set anything of; name one with --env")
    return values.get("env", {}), dict(values.get("sft", {}))


def _examples(args: argparse.Namespace, env_options: Mapping[str, Any], seed: int) -> tuple["Examples", str]:
    """Return the examples and a text that tells them from others."""
    from kgym.registry import registry
    from kgym.train.sft import read_examples, shuffled, task_examples

    if args.env is None:
        rows = read_examples(args.data)
        return shuffled(rows, seed=seed), f"sha256:{hashlib.sha256(args.data.read_bytes()).hexdigest()}"
    task = registry().create("environment", args.env, env_options)
    return task_examples(task, split="train", seed=seed), f"{args.env} {task.source('train').fingerprint}"


def _reporter(out: Any, steps: int) -> Callable[[Mapping[str, float]], None]:
    every = max(1, steps // LINES)

    def report(metrics: Mapping[str, float]) -> None:
        step = int(metrics["step"])
        if step % every == 0 or step == steps:
            figures = f"loss {metrics['loss_nats']:.4f} nats a token | grad norm {metrics['grad_norm']:.2f} | lr {metrics['lr']:.2e}"
            out.write(f"step {step:>{len(str(steps))}}/{steps} | {figures} | {metrics['tokens_per_s'] / 1000:.1f}k tok/s\n")
            out.flush()

    return report
