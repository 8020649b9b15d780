"""A policy with a calculator and the same policy without: warmed up on both, then trained on each with three seeds.

    python recipes/calculator.py --out runs/calculator

takes about a quarter of an hour of one busy core. The problems are those of `arithmetic`, with numbers of three digits,
which `nano` does not add in one piece.

    warm          nano learns a few examples: half of them are calls of the calculator and answers after its replies,
                  half of them only answers
    tool-SEED     reinforcement learning from there on, with the calculator
    plain-SEED    the same without it: the same problems, batches, budget and steps

Each is validated on the same problems before and after. The warm-up is ended early, so that both have something to
learn.
"""

import argparse
import random
import statistics
from collections.abc import Sequence
from pathlib import Path

from kgym.cli.steps import Step, run_steps, training
from kgym.envs.spec import EnvSpec
from kgym.runs.folder import RunFolder
from kgym.runs.metrics import read_metrics
from kgym.seeding import derive_seed
from kgym.supervised_config import SFTConfig
from kgym.train.checkpoint import export
from kgym.train.report import Reporter
from kgym.train.supervised.examples import Example, Examples
from kgym.train.supervised.objective import supervised
from kgym.train.supervised.rows import ENDLESS
from kgym.train.supervised.sft import SFT
from kgym.types import Episode, Message, Segment

SIZES = {
    "full": {"warm": 30, "steps": 12, "groups": 8, "group": 8, "scored": 200},
    "tiny": {"warm": 2, "steps": 1, "groups": 2, "group": 2, "scored": 4},
}
"""What `--size` means; `tiny` shows that every step runs, and nothing else."""
SEEDS = (0, 1, 2)
DIFFICULTY = 1
"""Numbers of three digits."""
TOOL = {
    "problems": "arithmetic",
    "problem_options": {"difficulty": DIFFICULTY},
    "max_tokens": 64,
    "max_turns": 3,
    "prompt": "{question} Use the calculator.",
}
PLAIN = {"difficulty": DIFFICULTY, "max_tokens": 64, "prompt": "{question}"}
"""A token is a character for nano, so the prompts are short."""


def examples(seed: int) -> Examples:
    """Draw examples: an answer alone, a call, or the answer after its reply."""
    tool, plain = EnvSpec("calculator", "train", TOOL).setup(), EnvSpec("arithmetic", "train", PLAIN).setup()

    def example(n: int) -> Example:
        rng = random.Random(derive_seed("calculator", seed, n))  # noqa: S311  (not a secret)
        problem = plain.problem(rng.randrange(ENDLESS))
        if rng.random() < 0.5:
            return Example(plain.prompt(problem), problem.solution)
        asked = problem.question.removeprefix("What is ").removesuffix("?")
        call = f"```calculator\n{asked}\n```"
        if rng.random() < 0.5:
            return Example(tool.prompt(problem), call)
        begun = Episode(problem, 0, tool.prompt(problem), [Segment(call)])
        assert tool.responder is not None
        reply = tool.responder.respond(begun)
        assert reply is not None
        said = (Message("assistant", call), Message("user", reply.content))  # nano has no role for tools
        return Example((*begun.prompt, *said), f"\\boxed{{{reply.content}}}")

    return example


class Quiet(Reporter):
    """Prints nothing."""


def warmed(out: Path, model: str, steps: int) -> None:
    """Fine-tune the model a little and write the folder `out`."""
    if out.exists():
        return
    config = SFTConfig(
        model=model,
        train={
            "steps": steps,
            "lr": 1e-3,
            "schedule": "constant",
            "warmup_steps": min(20, steps),
            "save_every": 40,
            "threads": 1,
        },
        sft={"batch_size": 32},
    )
    folder = RunFolder(out.with_name(f"{out.name}.run"))
    summary = supervised(
        config, folder, Quiet(), part=lambda config: SFT(config, examples(config.seed), {"fingerprints": {}})
    ).run()
    export(Path(summary["checkpoint"]), out)


def series(out: Path, size: dict[str, int]) -> list[Step]:
    """Return the trainings, with the tool and without it."""
    common = [
        *(f"rollout.problems_per_step={size['groups']}", f"rollout.group_size={size['group']}"),
        *(f"eval.problems={size['scored']}", f"eval.every={size['steps']}", "train.threads=1"),
    ]
    tool = [
        *(
            "env.problems=arithmetic",
            f"env.problem_options.difficulty={DIFFICULTY}",
            "env.max_tokens=64",
            "env.max_turns=3",
        ),
        f"env.prompt={TOOL['prompt']}",
    ]
    plain = [f"env.difficulty={DIFFICULTY}", "env.max_tokens=64", f"env.prompt={PLAIN['prompt']}"]
    arms = {"tool": ("calculator", tool), "plain": ("arithmetic", plain)}
    return [
        training(
            "train",
            out / f"{arm}-{seed}",
            *(
                "--env",
                env,
                "--model",
                out / "warm",
                "--steps",
                size["steps"],
                "--seed",
                seed,
                "--set",
                *settings,
                *common,
            ),
        )
        for seed in SEEDS
        for arm, (env, settings) in arms.items()
    ]


def report(out: Path) -> str:
    """Return the result: accuracies before and after, by seed and in the mean."""
    lines = ["| | before | after, by seed | mean | turns after |", "|---|---|---|---|---|"]
    for arm in ("tool", "plain"):
        runs = [read_metrics(out / f"{arm}-{seed}" / "metrics.jsonl") for seed in SEEDS]
        before, after = ([line["eval/accuracy"] for run in runs for line in (run[place],)] for place in (0, -1))
        turns = statistics.mean(run[-1].get("episode/turns_mean", 1.0) for run in runs)
        shown = ", ".join(f"{value:.1%}" for value in after)
        lines.append(
            f"| {arm} | {statistics.mean(before):.1%} | {shown} | {statistics.mean(after):.1%} | {turns:.2f} |"
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Warm up, train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/calculator"))
    parser.add_argument("--model", default="nano", help="model to start from (default: nano)")
    parser.add_argument("--size", choices=SIZES, default="full")
    args = parser.parse_args(argv)
    size = SIZES[args.size]
    warmed(args.out / "warm", args.model, size["warm"])
    if status := run_steps(series(args.out, size)):
        return status
    print(f"\n{report(args.out)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
