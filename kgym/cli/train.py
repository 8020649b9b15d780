"""`kgym train`: train a policy on an environment.

    kgym train --env aime --algo grpo --steps 20 --set env.difficulty=2
    kgym train --run runs/NAME --resume

Everything has a default. The run folder has the configuration, the metrics of each step, every sampled answer and the checkpoints.
`kgym plugins list` names what can be chosen, `kgym plugins show NAME` prints the options of one component, and `--show-config` every key
with its value in force. `docs/configuration.md` has them all, and the format of `--config`.
"""

import argparse
import json
import logging
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgym.cli.following import how_to_score
from kgym.cli.interrupts import command_line, saying_how_to_go_on
from kgym.cli.output import clock, folder_name, say
from kgym.cli.planning import print_plan
from kgym.cli.ranks import add_ranks, agreed, first_rank, launched, started_again
from kgym.cli.samples import choose, sample_lines
from kgym.cli.settings import add_set
from kgym.errors import ConfigError, KgymError
from kgym.neutral import printable

if TYPE_CHECKING:
    from kgym.config import RunConfig
    from kgym.envs.spec import EnvSpec
    from kgym.runs.folder import RunFolder
    from kgym.train.plan import Plan
    from kgym.types import Group

log = logging.getLogger(__name__)

RUNS = Path("runs")

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
        help="environment to train on (default: aime); see kgym envs list. Given again, the run has several, with keys envs.NAME.KEY",
    )
    parser.add_argument("--algo", metavar="NAME", help="algorithm (default: mirror)")
    parser.add_argument("--model", metavar="NAME|DIR|HUB_ID", help="policy to start from (default: nano, which is built in)")
    parser.add_argument("--engine", metavar="NAME", help="rollout engine (default: transformers)")
    parser.add_argument(
        "--steps", metavar="N", type=int, help="steps, in each of which answers are sampled and the policy is updated (default: 12)"
    )
    parser.add_argument("--seed", metavar="N", type=int, help="seed of the run (default: 0)")
    parser.add_argument("--eval-every", metavar="N", type=int, help="steps between validations (default: 4; 0 is none)")
    parser.add_argument("--bench", metavar="NAME|ENV:SPLIT", action="append", help="also score this at each validation; may be given again")
    parser.add_argument(
        "--tracker",
        metavar="NAME",
        action="append",
        default=[],
        help="where metrics also go, not only metrics.jsonl: tensorboard, wandb, trackio, mlflow, jsonl or a plugin's; may be given again",
    )
    parser.add_argument("--show", metavar="N", type=int, default=0, help="print N sampled episodes of each step (default: 0)")
    parser.add_argument("--run", metavar="DIR", type=folder_name, help="run folder (default: a new one below runs/)")
    parser.add_argument("--config", metavar="FILE.toml", type=Path, help="configuration file; other options override it")
    add_set(parser, "any key of the configuration, such as algo.tau=0.1 or train.lr=1e-4 (see --show-config)", _keys)
    parser.add_argument(
        "--show-config",
        action="store_true",
        help="check all that a start checks, write nothing, and print every key with its meaning, its value and where that came from: "
        "a file for --config, or a list with --json",
    )
    parser.add_argument(
        "--profile",
        action="store_true",
        help="print where the time went, and write a trace of one step, for Perfetto, into profile/ of the run folder",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check all that a start checks, print what the run will have in memory, and end: nothing is loaded or written",
    )
    parser.add_argument("--resume", action="store_true", help="resume --run DIR, or the newest run below runs/")
    add_ranks(parser)


def _keys() -> list[str]:
    """Return the keys of every run, those of training first."""
    from kgym.config import RunConfig
    from kgym.keys import keys_of

    found = keys_of(RunConfig().model_dump(mode="json"))
    return sorted(found, key=lambda key: not key.startswith(("train.", "rollout.")))


def run(args: argparse.Namespace) -> int:
    """Train, and say at the end what improved, where the run lies and what to type next."""
    from kgym.keys import keys_of, load_config
    from kgym.runs.folder import RunFolder

    if args.show < 0:
        raise ConfigError(f"--show {args.show}: a step cannot print fewer than 0 episodes")
    given = {key: getattr(args, flag) for flag, key in FLAGS.items() if getattr(args, flag) is not None}
    given |= _environments(args.env)
    overrides = [f"{key}={json.dumps(value) if isinstance(value, list) else value}" for key, value in given.items()]
    overrides += [f"trackers.{name}={{}}" for name in args.tracker] + args.set
    if args.resume:
        folder = RunFolder(agreed(lambda: args.run or _newest_run()))
        stored = _stored_config(folder)
        config = _resumed(stored, load_config(args.config, overrides), overrides, args.config)
    else:
        config = load_config(args.config, overrides)
        folder = RunFolder(agreed(lambda: args.run or RUNS / _folder_name(config)))
        if folder.manifest.exists():
            _stored_config(folder)  # raises if it could not be gone on with
            raise ConfigError(f"{folder.path} holds a run already; resume it with --resume, or choose another folder with --run")
    if args.ranks is not None and not args.show_config:
        return launched(args, folder.path, lambda: _how_to_go_on(args, folder, config.train.steps))
    from kgym.train.rl.objective import reinforcement  # behind the configuration: torch takes seconds to load, a wrong key none to refuse

    if args.show_config:
        stored_keys = keys_of(config.model_dump(mode="json", exclude_unset=True)) if args.resume else ()
        in_force = reinforcement(config, folder).check()
        if first_rank():
            _show(args, in_force, given, stored_keys)
        return 0
    if args.dry_run:
        plan = reinforcement(config, folder).dry_run()
        if first_rank():
            print_plan(plan, json_output=args.json)
        return 0
    train = config.train
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
    with saying_how_to_go_on(lambda: _how_to_go_on(args, folder, train.steps)):
        reporter = terminal_reporter(following, json_output=args.json, quiet=args.verbose < 0, show=args.show)
        summary = reinforcement(config, folder, reporter, profile=args.profile).run()
    if args.json and first_rank():
        say(json.dumps(summary))
    return 0


def _environments(names: Sequence[str]) -> dict[str, str]:
    """Return the keys that `--env` stands for: the environment of the run, or several with their names as labels.

    Raises ConfigError for a name that comes twice.
    """
    if len(names) == 1:
        return {"env.name": names[0]}
    labels = [re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") for name in names]
    if twice := [name for name, label in zip(names, labels, strict=True) if labels.count(label) > 1]:
        raise ConfigError(f"--env {twice[0]} is there twice; give them labels: --set envs.LABEL.name={twice[0]}")
    return {f"envs.{label}.name": name for label, name in zip(labels, names, strict=True)}


def _folder_name(config: "RunConfig") -> str:
    """Return a name for a new run: what it trains on, how, and when it began."""
    on = "-".join(config.envs)[:60].strip("-") if config.envs else config.env.name
    return f"{on}-{config.algo.name}-{time.strftime('%Y%m%d-%H%M%S')}".replace("/", "-")


def _scored(config: "RunConfig") -> list["EnvSpec"]:
    """Return what a run is scored on, by the environments' own verifiers: another one trains and does not score."""
    from kgym.config import VerifierConfig
    from kgym.envs.mixture import members
    from kgym.envs.spec import OF_VERIFIER, EnvSpec

    found = []
    for member in members(config):
        own = {key: value for key, value in member.spec.settings.items() if key not in OF_VERIFIER}
        verifier = VerifierConfig() if member.verifier.name is not None else member.verifier
        own |= {} if config.eval.max_tokens is None else {"max_tokens": config.eval.max_tokens}
        found.append(EnvSpec.of(member.spec.name, "train", own, verifier).for_score(config.eval.split))
    return found


def _how_to_go_on(args: argparse.Namespace, folder: "RunFolder", steps: int) -> str:
    """Return what to type after an interruption, and from where the run goes on then."""
    from kgym.train.checkpoint import going_on

    if not folder.manifest.is_file():
        return f"nothing was done yet; the same command begins again: {started_again(command_line(args, args.argv))}"
    plugins = [word for name in args.plugins for word in ("-p", name)]
    more = [] if folder.read_manifest()["config"]["train"]["steps"] == steps else ["--steps", str(steps)]
    more += ["--ranks", str(args.ranks)] if args.ranks else []
    command = command_line(args, ["train", *plugins, "--resume", "--run", str(folder.path), *more])
    return f"{going_on(folder.checkpoints)} with: {started_again(command)}"


def _show(args: argparse.Namespace, config: "RunConfig", given: Mapping[str, Any], stored_keys: Iterable[str]) -> None:
    """Print every key of the configuration in force; `stored_keys` are those that a run which is resumed has in its manifest."""
    from kgym.cli.explain import as_facts, as_toml, entries, layers
    from kgym.cli.output import print_json
    from kgym.train.rl.recipe import recipe_of

    sources = dict.fromkeys((key.replace(".options.", ".") for key in recipe_of(config)), f"recipe of {config.algo.name}") | dict.fromkeys(
        stored_keys, "the run"
    )
    options = {key: f"--{flag.replace('_', '-')}" for flag, key in FLAGS.items() if key in given}
    options |= dict.fromkeys(_environments(args.env), "--env")
    sources |= layers(options, args.tracker, args.set, args.config)
    found = entries(config, sources)
    if args.json:
        print_json({"config": config.model_dump(mode="json"), "keys": as_facts(found)})
    else:
        say("# kgym train can start with this; nothing was written. As a file it can be given back by --config.\n")
        say(as_toml(found).rstrip())


def _stored_config(folder: "RunFolder") -> "RunConfig":
    """Return the configuration of a run. Raises ConfigError if the folder is none of kgym train, DataError if it is damaged."""
    from kgym.config import RunConfig
    from kgym.files import reading
    from kgym.options import validated
    from kgym.runs.manifest import KIND

    manifest = folder.read_manifest()
    if manifest.get("kind") == KIND:
        raise ConfigError(f"{folder.path} holds an evaluation and no training; choose another folder with --run")
    with reading(folder.manifest, remedy="without it nobody knows what the run was; begin another"):
        return validated(RunConfig, manifest["config"])


def _newest_run() -> Path:
    from kgym.runs.folder import RunFolder, run_folders
    from kgym.runs.manifest import KIND

    for folder in reversed(run_folders(RUNS)):
        try:
            if RunFolder(folder).read_manifest().get("kind") != KIND:
                return folder
        except (KgymError, OSError) as error:
            log.warning("%s is passed over: %s", folder, error)
    raise ConfigError(f"there is no training run below {RUNS}/ to resume; name its folder with --run")


def _resumed(stored: "RunConfig", asked: "RunConfig", overrides: list[str], file: Path | None) -> "RunConfig":
    """Return the stored configuration, with the number of steps that was asked for; anything else may not change on the way."""
    if not overrides and file is None:
        return stored
    steps = asked.train.steps if any(item.startswith("train.steps=") for item in overrides) else stored.train.steps
    config = stored.model_copy(update={"train": stored.train.model_copy(update={"steps": steps})})
    from kgym.train.rl.components import with_defaults
    from kgym.train.rl.recipe import with_recipe

    stored = with_defaults(config)  # an older version kept only those options that were set
    if file is None:  # only what is named has to agree
        named = _flat(asked.model_dump(mode="json", exclude_unset=True))
        differing = sorted(named.keys() & set(_differences(stored, asked)))
    else:
        differing = _differences(stored, with_defaults(with_recipe(asked)))
    if differing:
        raise ConfigError(
            f"--resume goes on with the run as it began, but {', '.join(differing)} differ(s) from its manifest; leave it out"
        )
    return config


def _differences(one: "RunConfig", other: "RunConfig") -> list[str]:
    first, second = (_flat(config.model_dump(mode="json")) for config in (one, other))
    return sorted(key for key in first.keys() | second.keys() if first.get(key) != second.get(key))


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) and value else {f"{prefix}{key}": value}
    return {key.replace(".options.", "."): value for key, value in flat.items()}


def terminal_reporter(following: Sequence[str], *, json_output: bool, quiet: bool, show: int = 0) -> Any:
    """Return a `Reporter` that writes lines for people; they go to standard error if standard output carries JSON.

    `following` are the commands that the closing lines propose. With `quiet` there are no lines on the way, only notes, the
    `show` sampled episodes of each step that were asked for, and the end.
    """
    from kgym.runs.metrics import describe
    from kgym.train.profiling import table
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
                    f"verifier {spec['verifier']}, {spec['max_tokens']} tokens an answer"
                )
            for label, asked in facts["validation"].items():
                self._line(f"validation  {f'{label}: ' if label else ''}{_asked(asked)}")

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
            """Say how many tokens were sampled in this session and how long the rest of the run takes at its pace."""
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
            if "profile" in summary:
                for line in ["", *table(summary["profile"]["seconds"]), ""]:
                    self._line(line)
                self._line(f"trace       {summary['profile']['trace']} (open it at https://ui.perfetto.dev)")
            self._line(f"run         {summary['run']}")
            self._line(f"checkpoint  {summary['checkpoint']}")
            for command in following:
                self._line(f"next        {command} --board leaderboard.csv")

        def _line(self, text: str) -> None:
            out.write(("\r\033[K" if live else "") + printable(text) + "\n")
            out.flush()

    return Terminal()


def _asked(facts: Mapping[str, Any]) -> str:
    """Say what a validation asks, and how its answers are drawn."""
    cut = [f"top-p {facts['top_p']:g}"] * (facts["top_p"] < 1) + [f"top-k {facts['top_k']}"] * (facts["top_k"] > 0)
    drawn = ", ".join([f"temperature {facts['temperature']:g}", *cut])
    return f"split {facts['split']}, {facts['n_problems']} problems, {drawn}, {facts['max_tokens']} tokens an answer"


def _verdict(summary: Mapping[str, Any]) -> list[str]:
    """Say what the validations came to: by environment, where there are several, and over all problems."""
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
