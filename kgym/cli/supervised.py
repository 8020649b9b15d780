"""Common parts of the commands that learn from examples (`sft`, `dpo`, `rm`): options, progress and closing lines."""

import argparse
import logging
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from kgym.cli import running
from kgym.cli.output import clock, folder_name
from kgym.cli.ranks import first_rank, launches
from kgym.neutral import printable

if TYPE_CHECKING:
    from kgym.supervised_config import SupervisedConfig
    from kgym.train.plan import Plan

log = logging.getLogger(__name__)

FLAGS = {
    "model": "model",
    "env": "env.name",
    "data": "data",
    "episodes": "episodes",
    "steps": "train.steps",
    "lr": "train.lr",
    "seed": "seed",
    "device": "train.device",
    "dtype": "train.dtype",
}
"""Options that stand for a key of the configuration in all of these commands."""
LINES = 100
"""Approximate number of progress lines in a run."""


def configure(parser: argparse.ArgumentParser, command: str, *, steps: int, batch: int, lr: str) -> None:
    """Add the common options."""
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=folder_name,
        help="also write the finished model to this new folder (default: only into the run folder)",
    )
    parser.add_argument("--steps", metavar="N", type=int, help=f"optimizer steps (default: {steps})")
    parser.add_argument("--batch", metavar="N", type=int, help=f"examples in each step (default: {batch})")
    parser.add_argument(
        "--lr", metavar="X", type=float, help=f"learning rate (default: {lr}, for a model of a million parameters)"
    )
    parser.add_argument(
        "--seed", metavar="N", type=int, help="seed of the run, which decides the order of the examples (default: 0)"
    )
    parser.add_argument(
        "--device", metavar="NAME", help="device to train on (default: auto, which takes a GPU if the machine has one)"
    )
    parser.add_argument("--dtype", metavar="TYPE", help="number type of the computation (default: auto)")
    running.configure(parser, command, f"env.difficulty=3 or {command}.batch_size=8")


def configure_preferences(parser: argparse.ArgumentParser) -> None:
    """Add the options for the source of preferences."""
    parser.add_argument(
        "--env", metavar="NAME", help="prefer worked solutions of an environment's train split to wrong completions"
    )
    parser.add_argument(
        "--episodes", metavar="RUN", help="compare completions that a run of kgym train or kgym eval has stored"
    )
    parser.add_argument(
        "--data",
        metavar="FILE.jsonl",
        help='lines of {"prompt", "chosen", "rejected"} or {"prompt", "ranked": [best, ...]}',
    )


def run(
    args: argparse.Namespace,
    command: str,
    following: "Callable[[SupervisedConfig, str], str]",
    *,
    unit: str,
    flags: Mapping[str, str] | None = None,
) -> int:
    """Train; `following` returns the next command to type with the model of the run, "" for none, and `unit` is the
    unit that a loss is per.
    """
    from kgym.train.start import refuse_out

    flags = FLAGS | {"batch": f"{command}.batch_size"} | dict(flags or {})
    given = running.flags_given(args, flags)
    asked, folder = running.asked(args, command, given)
    config = cast("SupervisedConfig", asked)
    refuse_out(args.out)
    if launches(args) and not args.show_config:
        return running.launch(args, config, folder, args.out)
    if args.show_config:
        return running.show(args, config, folder, {key: f"--{flag}" for flag, key in flags.items() if key in given})
    if args.dry_run:
        return running.dry_run(args, config, folder)
    model = str(args.out or folder.path)
    reporter = terminal_reporter(args, following(config, model), model, unit)
    return running.train(args, config, folder, reporter, args.out)


def how_to_score_it(config: "SupervisedConfig", model: str) -> str:
    """Return the `kgym eval` command for a trained policy; warn, and return "", if the default engine cannot sample
    from the model.
    """
    from kgym.cli.following import how_to_score
    from kgym.envs.spec import EnvSpec
    from kgym.train.supervised.sources import spec_of

    if not _can_be_sampled(config.model):
        return ""
    return how_to_score(model, (spec_of(config) or EnvSpec("aime")).with_split("validation"))


def _can_be_sampled(model: str) -> bool:
    from kgym.config import EngineConfig
    from kgym.errors import UnsuitedModel
    from kgym.models.names import resolve_model
    from kgym.rollout.engine import check_engine

    engine = EngineConfig().name
    try:
        check_engine(engine, {}, resolve_model(model))
    except UnsuitedModel as error:
        if first_rank():
            log.warning("engine %r: %s; the model is still trained", engine, error)
        return False
    return True


def terminal_reporter(args: argparse.Namespace, following: str, model: str, unit: str) -> Any:
    """Return a `Reporter` that writes about a hundred lines in a run, to standard error if standard output carries
    JSON.
    """
    from kgym.train.report import Reporter

    out = sys.stderr if args.json else sys.stdout
    quiet = args.verbose < 0

    class Terminal(Reporter):
        def started(self, facts: Mapping[str, Any]) -> None:
            self.begun, self.first = time.monotonic(), facts["step"]
            if not quiet:
                self._line(f"run         {facts['run']}" + (f" (from step {facts['step']})" if facts["step"] else ""))
                self._line(f"learns      {facts['what']}")

        def planned(self, plan: "Plan") -> None:
            if not quiet:
                for line in plan.lines() if plan.tight else [f"memory      {plan.line()}"]:
                    self._line(line)

        def note(self, text: str) -> None:
            self._line(text)

        def step(self, step: int, steps: int, metrics: Mapping[str, float]) -> None:
            if not quiet and (step % max(1, steps // LINES) == 0 or step == steps):
                left = (time.monotonic() - self.begun) / (step - self.first) * (steps - step)
                self._line(_figures(step, steps, metrics, unit) + (f" | {clock(left)} left" if step < steps else ""))

        def finished(self, summary: Mapping[str, Any]) -> None:
            if args.json:
                return
            if "held_out/accuracy_frac" in summary:
                accuracy, loss = summary["held_out/accuracy_frac"], summary["held_out/loss_nats"]
                self._line(f"held out    {accuracy:.1%} of the preferences, loss {loss:.4f} nats {unit}")
            for line in running.profile_lines(summary):
                self._line(line)
            self._line(f"run         {summary['run']}")
            self._line(f"checkpoint  {summary['checkpoint']}")
            if args.out is not None:
                self._line(f"model       {model}")
            if following:
                self._line(f"next        {following}")

        def _line(self, text: str) -> None:
            out.write(printable(text) + "\n")
            out.flush()

    return Terminal()


def _figures(step: int, steps: int, metrics: Mapping[str, float], unit: str) -> str:
    """Return a step as one line."""
    figures = [f"loss {metrics['train/loss_nats']:.4f} nats {unit}"]
    if "preference/accuracy_frac" in metrics:
        figures.append(
            f"accuracy {metrics['preference/accuracy_frac']:.1%} | margin {metrics['preference/margin_mean']:+.3f}"
        )
    figures.append(
        f"grad {metrics['optim/grad_norm']:.2f} | lr {metrics['optim/lr']:.2e} | {metrics['speed/tokens_per_s']:.0f} "
        "tok/s"
    )
    return f"step {step:>{len(str(steps))}}/{steps} | {' | '.join(figures)}"
