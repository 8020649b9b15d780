"""What the commands that learn from examples share (`sft`, `dpo`, `rm`): options, settings, progress, and the lines at the end."""

import argparse
import logging
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgym.cli.interrupts import command_line, saying_how_to_go_on
from kgym.cli.output import folder_name, print_json, say
from kgym.cli.settings import add_set, sections
from kgym.errors import ConfigError, UnsuitedModel

if TYPE_CHECKING:
    from kgym.envs.spec import EnvSpec
    from kgym.train.supervised.comparisons import PreferenceData
    from kgym.train.supervised.fit import SupervisedOptions

log = logging.getLogger(__name__)

FLAGS = {"steps": "steps", "batch": "batch_size", "lr": "lr", "seed": "seed"}
"""Options of the command line that stand for a key of the command's own."""
LINES = 100
"""Progress lines in a run, about."""


def configure(parser: argparse.ArgumentParser, *, key: str, steps: int, batch: int, lr: str) -> None:
    """Add the options that all of them have; `key` is what the command's own settings begin with."""
    parser.add_argument("--out", metavar="DIR", type=folder_name, required=True, help="folder of the new model; must not be there yet")
    parser.add_argument("--steps", metavar="N", type=int, help=f"optimizer steps (default: {steps})")
    parser.add_argument("--batch", metavar="N", type=int, help=f"examples a step (default: {batch})")
    parser.add_argument("--lr", metavar="X", type=float, help=f"learning rate (default: {lr}, for a model of a million parameters)")
    parser.add_argument("--seed", metavar="N", type=int, help="decides the order of the examples (default: 0)")
    add_set(parser, f"options such as env.difficulty=3 or {key}.warmup_steps=10")
    parser.add_argument("--device", metavar="NAME", default="auto", help="where to compute (default: auto, a GPU if there is one)")
    parser.add_argument("--dtype", metavar="TYPE", default="float32", help="type of the weights (default: float32)")
    parser.add_argument("--resume", action="store_true", help="resume a run that was interrupted")


def configure_preferences(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where preferences come from."""
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--env", metavar="NAME", help="worked solutions of an environment's train split against wrong answers")
    data.add_argument("--episodes", metavar="RUN", type=Path, help="answers that a run of kgym train or kgym eval has stored")
    data.add_argument(
        "--data", metavar="FILE.jsonl", type=Path, help='lines of {"prompt", "chosen", "rejected"} or {"prompt", "ranked": [best, ...]}'
    )


def settings(args: argparse.Namespace, *names: str) -> dict[str, dict[str, Any]]:
    """Parse `env.difficulty=3` and `sft.warmup_steps=10` into the options of each section; the last one also has the flags."""
    from kgym.config import check_trained_dtype

    check_trained_dtype(args.dtype)
    values = sections(args.set, *names, chosen=[name for name in names if name == "verifier"])
    for section in ("env", "verifier"):
        if args.env is None and values.get(section):
            raise ConfigError(f"--set {section}.*: there is no environment to set anything of; name one with --env")
    values[names[-1]] |= {key: getattr(args, flag) for flag, key in FLAGS.items() if getattr(args, flag) is not None}
    return values


def asked_spec(args: argparse.Namespace, values: Mapping[str, Any]) -> "EnvSpec | None":
    """Return the train split of the environment that `--env` names, with what `--set` says of it; None without `--env`."""
    from kgym.config import VerifierConfig
    from kgym.envs.spec import EnvSpec
    from kgym.options import validated

    if args.env is None:
        return None
    if "split" in values["env"]:
        raise ConfigError("env.split cannot be set here: kgym learns from the split 'train' and measures on 'validation'")
    return EnvSpec.of(args.env, "train", values["env"], validated(VerifierConfig, values.get("verifier", {}), "verifier"))


def can_be_sampled(model: str) -> bool:
    """Whether `kgym eval` and `kgym train` can sample from a model with the default engine; warn at once if they cannot."""
    from kgym.config import EngineConfig
    from kgym.rollout.engine import check_engine

    engine = EngineConfig().name
    try:
        check_engine(engine, {}, model)
    except UnsuitedModel as error:
        log.warning("engine %r: %s; it is trained all the same", engine, error)
        return False
    return True


def preferences(args: argparse.Namespace, spec: "EnvSpec | None", pairs: Mapping[str, Any], seed: int) -> "PreferenceData":
    """Return what the options of `configure_preferences` name."""
    import hashlib

    from kgym.options import validated
    from kgym.train.supervised.comparisons import PairOptions, from_env, from_list, read_comparisons, stored_comparisons

    options = validated(PairOptions, pairs, "pairs")
    if spec is not None:
        return from_env(spec, options, seed=seed)
    found = read_comparisons(args.data) if args.episodes is None else stored_comparisons(args.episodes, options, seed=seed)
    digest = hashlib.sha256("\n".join(map(repr, found)).encode()).hexdigest()
    return from_list(found, options, seed=seed, fingerprint=f"sha256:{digest} held_out={options.held_out}")


def reporter(args: argparse.Namespace, options: "SupervisedOptions", key: str, unit: str) -> Callable[[Mapping[str, float]], None]:
    """Return what prints about a hundred lines in a run; to standard error if standard output carries JSON.

    A warm-up that the run does not reach the end of is pointed out first, by its key.
    """
    from kgym.train.warmups import lasting

    out = sys.stderr if args.json else sys.stdout
    steps = options.steps
    for note in lasting(options, key, steps + 1, steps):
        say(note, file=out)
    every = max(1, steps // LINES)

    def report(metrics: Mapping[str, float]) -> None:
        step = int(metrics["step"])
        if step % every == 0 or step == steps:
            figures = [f"loss {metrics['loss_nats']:.4f} nats {unit}"]
            if "preference/accuracy_frac" in metrics:
                figures.append(f"accuracy {metrics['preference/accuracy_frac']:.1%} | margin {metrics['preference/margin_mean']:+.3f}")
            figures.append(f"grad norm {metrics['grad_norm']:.2f} | lr {metrics['lr']:.2e}")
            out.write(f"step {step:>{len(str(steps))}}/{steps} | {' | '.join(figures)} | {metrics['tokens_per_s'] / 1000:.1f}k tok/s\n")
            out.flush()

    return report


def interruptible(args: argparse.Namespace) -> AbstractContextManager[None]:
    """Say at an interruption how to continue the run that `--out` names."""

    def how() -> str:
        from kgym.train.checkpoint import checkpoint_steps, going_on
        from kgym.train.supervised.fit import partial_folder

        partial = partial_folder(args.out)
        resume = ["--resume"] if checkpoint_steps(partial) and not args.resume else []
        return f"{going_on(partial)} with: {command_line(args, [*args.argv, *resume])}"

    return saying_how_to_go_on(how)


def conclude(args: argparse.Namespace, summary: Mapping[str, Any], following: str) -> int:
    """Print what came of it and what to type next, "" for nothing."""
    if args.json:
        print_json(summary)
        return 0
    if "held_out/accuracy_frac" in summary:
        say(f"held out    {summary['held_out/accuracy_frac']:.1%} of the preferences, loss {summary['held_out/loss_nats']:.4f} nats a pair")
    say(f"model       {summary['model']}")
    if following:
        say(f"next        {following}")
    return 0
