"""`kgym train`: train a policy on an environment.

    kgym train --env aime --algo grpo --steps 20 --set env.difficulty=2
    kgym train --run runs/NAME --resume

Everything has a default. The run folder contains the configuration, the metrics of each step, every sampled completion
and the checkpoints. `kgym plugins list` prints what can be chosen, `kgym plugins show NAME` the options of one
component, and `--show-config` every key with its value in force. `docs/configuration.md` describes all keys and the
format of `--config`.
"""

import argparse
import re
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from kgym.cli import running
from kgym.cli.following import how_to_score
from kgym.cli.output import clock
from kgym.cli.ranks import launches
from kgym.cli.samples import choose, sample_lines
from kgym.errors import ConfigError
from kgym.neutral import printable

if TYPE_CHECKING:
    from kgym.config import RunConfig
    from kgym.envs.spec import EnvSpec
    from kgym.train.plan import Plan
    from kgym.types import Group

FLAGS = {
    "algo": "algo.name",
    "model": "model",
    "engine": "engine.name",
    "steps": "train.steps",
    "seed": "seed",
    "eval_every": "eval.every",
    "bench": "eval.benches",
}
"""Options of the command line that stand for a key of the configuration; `--env` does too, see `_environments`."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--env",
        metavar="NAME",
        action="append",
        default=[],
        help="environment to train on (default: aime); see kgym envs list; may be given again, and each then has keys "
        "envs.NAME.KEY",
    )
    parser.add_argument("--algo", metavar="NAME", help="algorithm (default: mirror)")
    parser.add_argument(
        "--model", metavar="NAME|DIR|HUB_ID", help="policy to start from (default: nano, which is built in)"
    )
    parser.add_argument(
        "--engine", metavar="NAME", help="rollout engine, or auto for the one that suits best (default: transformers)"
    )
    parser.add_argument(
        "--steps",
        metavar="N",
        type=int,
        help="training steps; each one samples completions and updates the policy (default: 12)",
    )
    parser.add_argument("--seed", metavar="N", type=int, help="seed of the run (default: 0)")
    parser.add_argument("--eval-every", metavar="N", type=int, help="steps between validations (default: 4; 0 is none)")
    parser.add_argument(
        "--bench",
        metavar="NAME|ENV:SPLIT",
        action="append",
        help="also score this at each validation; may be given again",
    )
    parser.add_argument(
        "--show", metavar="N", type=int, default=0, help="print N sampled episodes of each step (default: 0)"
    )
    running.configure(parser, "train", "algo.tau=0.1 or train.lr=1e-4")


def run(args: argparse.Namespace) -> int:
    """Train, and print at the end what improved, where the run is and what to type next."""
    if args.show < 0:
        raise ConfigError(f"--show {args.show}: a step cannot print fewer than 0 episodes")
    given = running.flags_given(args, FLAGS) | _environments(args.env)
    asked, folder = running.asked(args, "train", given)
    config = cast("RunConfig", asked)
    if launches(args) and not args.show_config:
        return running.launch(args, config, folder)
    if args.show_config:
        options = {key: f"--{flag.replace('_', '-')}" for flag, key in FLAGS.items() if key in given}
        options |= dict.fromkeys(_environments(args.env), "--env")
        return running.show(args, config, folder, options, lambda: _recipe(config))
    if args.dry_run:
        return running.dry_run(args, config, folder)
    following = [
        how_to_score(
            str(folder.path),
            spec,
            problems=config.eval.problems,
            template=config.engine.options.get("template"),
            sampling=config.eval.sampling(config.rollout.sampling),
        )
        for spec in _scored(config)
    ]
    reporter = terminal_reporter(following, json_output=args.json, quiet=args.verbose < 0, show=args.show)
    return running.train(args, config, folder, reporter)


def _recipe(config: "RunConfig") -> dict[str, str]:
    """Return the keys that the recipe of the algorithm sets."""
    from kgym.train.rl.recipe import recipe_of

    return dict.fromkeys((key.replace(".options.", ".") for key in recipe_of(config)), f"recipe of {config.algo.name}")


def _environments(names: Sequence[str]) -> dict[str, str]:
    """Return the keys that `--env` stands for: the environment of the run, or several with their names as labels.

    Raises ConfigError if a name is given twice.
    """
    if len(names) == 1:
        return {"env.name": names[0]}
    labels = [re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") for name in names]
    if twice := [name for name, label in zip(names, labels, strict=True) if labels.count(label) > 1]:
        raise ConfigError(f"--env {twice[0]} is given twice; give them labels: --set envs.LABEL.name={twice[0]}")
    return {f"envs.{label}.name": name for label, name in zip(labels, names, strict=True)}


def _scored(config: "RunConfig") -> list["EnvSpec"]:
    """Return what a run is scored on, with the environments' own verifiers: one that the user chose only trains."""
    from kgym.config import VerifierConfig
    from kgym.envs.mixture import members
    from kgym.envs.spec import OF_VERIFIER, EnvSpec

    found = []
    for member in members(config):
        own = {key: value for key, value in member.spec.settings.items() if key not in OF_VERIFIER}
        verifier = VerifierConfig() if member.verifier.name is not None else member.verifier
        own |= {} if config.eval.max_tokens is None else {"max_tokens": config.eval.max_tokens}
        found.append(EnvSpec.of(member.spec.name, member.spec.split, own, verifier).for_score(config.eval.split))
    return found


def terminal_reporter(following: Sequence[str], *, json_output: bool, quiet: bool, show: int = 0) -> Any:
    """Return a `Reporter` that writes lines for people; they go to standard error if standard output carries JSON.

    `following` are the commands that the closing lines propose. With `quiet` it writes no progress, only notes, the
    `show` sampled episodes of each step that were asked for, and the closing lines.
    """
    from kgym.runs.metrics import describe
    from kgym.train.report import Reporter

    out = sys.stderr if json_output else sys.stdout
    live = out.isatty() and not quiet

    class Terminal(Reporter):
        def started(self, facts: Mapping[str, Any]) -> None:
            self.begun, self.first, self.n_tokens = time.monotonic(), facts["step"], 0
            if quiet:
                return
            self._line(f"run         {facts['run']}" + (f" (from step {facts['step']})" if facts["step"] else ""))
            for label, spec in facts["envs"].items():
                self._line(
                    f"environment {f'{label}: ' if label else ''}{spec['env_id']}, split {spec['split']}, "
                    f"verifier {spec['verifier']}, {spec['max_tokens']} tokens a completion"
                )
            for label, name in facts["audits"].items():
                named = f"{label}: {name}" if label else name
                self._line(f"audit       {named} judges the same completions and decides no reward")
            if facts["stages"]:
                self._line(f"stages      {facts['stages']}")
            for label, asked in facts["validation"].items():
                self._line(f"validation  {f'{label}: ' if label else ''}{_asked(asked)}")

            if facts["engine_choice"]:
                self._line(f"engine      {facts['engine_choice']}")

        def planned(self, plan: "Plan") -> None:
            if not quiet:
                for line in plan.lines() if plan.tight else [f"memory      {plan.line()}"]:
                    self._line(line)

        def progress(self, phase: str, done: int, total: int) -> None:
            if live:
                out.write(f"\r\033[K{printable(phase)} {done}/{total}")
                out.flush()

        def note(self, text: str) -> None:
            self._line(text)

        def sampled(self, step: int, groups: "Sequence[Group]") -> None:
            for number, (episode, reward) in enumerate(choose(groups, show, step), 1):
                for line in sample_lines(episode, reward, f"sample {number} of step {step}"):
                    self._line(line)

        def step(self, step: int, steps: int, metrics: Mapping[str, float]) -> None:
            if not quiet:
                self._line(describe(step, steps, metrics) + self._pace(step, steps, metrics))

        def _pace(self, step: int, steps: int, metrics: Mapping[str, float]) -> str:
            """Return the tokens sampled since the start and how long the rest takes at this pace, as text."""
            self.n_tokens += int(metrics.get("rollout/tokens", 0))
            if step <= self.first or step == steps:
                return ""
            left = (time.monotonic() - self.begun) / (step - self.first) * (steps - step)
            return f" | {self.n_tokens:,} tokens so far | {clock(left)} left"

        def finished(self, summary: Mapping[str, Any]) -> None:
            if "gain" in summary:
                if not quiet:
                    self._line("")
                for line in _verdict(summary):
                    self._line(line)
            for line in running.profile_lines(summary):
                self._line(line)
            self._line(f"run         {summary['run']}")
            self._line(f"checkpoint  {summary['checkpoint']}")
            for command in following:
                self._line(f"next        {command} --board leaderboard.csv")

        def _line(self, text: str) -> None:
            out.write(("\r\033[K" if live else "") + printable(text) + "\n")
            out.flush()

    return Terminal()


def _asked(facts: Mapping[str, Any]) -> str:
    """Return what a validation asks and how its completions are drawn, as text."""
    cut = [f"top-p {facts['top_p']:g}"] * (facts["top_p"] < 1) + [f"top-k {facts['top_k']}"] * (facts["top_k"] > 0)
    drawn = ", ".join([f"temperature {facts['temperature']:g}", *cut])
    return f"split {facts['split']}, {facts['n_problems']} problems, {drawn}, {facts['max_tokens']} tokens a completion"


def _verdict(summary: Mapping[str, Any]) -> list[str]:
    """Return the results of the validations as lines: by environment if there are several, then over all problems."""
    by_env = summary.get("environments", {})
    found = [line for label, own in by_env.items() for line in _gain(own, f"{label:<12}")]
    return found + _gain(summary, "all         " if by_env else "validation  ")


def _gain(summary: Mapping[str, Any], title: str) -> list[str]:
    from kgym.board.compare import describe_difference

    finding = describe_difference(
        difference=summary["gain"],
        interval=summary["gain_interval_95"],
        p_value=summary["p_value"],
        name=summary["test"],
        n=summary["n_problems"],
    )
    lines = [f"{title}{summary['before']['accuracy']:.1%} -> {summary['after']['accuracy']:.1%}, {finding}"]
    return lines + ([f"            caution: {summary['caution']}"] if summary["caution"] else [])
