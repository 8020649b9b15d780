"""Two reward models from the same stored completions, in the loop of reinforcement learning and audited by the rule
(Kimi k1.5, section 2.3.5).

    python recipes/judges.py --out runs/judges

prints each command of kgym that it runs. A finished step is not repeated, and an interrupted one is resumed.

    samples                   the policy attempts problems of the train split, several times each; the environment's
                              verifier judges the completions
    rm                        the classic reward model: a scalar of question, right answer and completion, from
                              preferences among the samples
    judge                     the chain-of-thought judge: the model writes down the answer that it has read, the right
                              one, and the verdict
    rule, by-rm, by-judge     training with each of them as the reward; the last two with the rule as audit
    before, after-...         all policies, judged by the rule

Unlike in the paper, the model has a million parameters, and a thousand completions replace 800,000 data points.
"""

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from kgym.cli.steps import Step, run_steps, scoring, training
from kgym.files import write_atomic
from kgym.runs.metrics import read_metrics

SIZES = {
    "full": {"problems": 384, "samples": 4, "rm": 60, "judge": 150, "steps": 8, "groups": 12, "scored": 300},
    "tiny": {"problems": 24, "samples": 4, "rm": 2, "judge": 2, "steps": 1, "groups": 2, "scored": 8},
}
"""What `--size` means; `tiny` shows that every step runs, and nothing else."""

TEMPLATE = "{gold}|{response}"
"""What the judge reads; a large model is asked in words."""
VERDICTS = {"correct": '{"verdict": "correct"}', "wrong": '{"verdict": "wrong"}'}
REWARDS = ("rule", "by-rm", "by-judge")


def lessons(samples: Path, out: Path, seed: int) -> None:
    """Write what the judge learns: stored completions, as many right as wrong, each with a short thought and its
    verdict.
    """
    table = pd.concat([pd.read_parquet(path) for path in sorted((samples / "samples").glob("*.parquet"))])
    table = table[~table["truncated"]].fillna({"answer": "none"})
    parts = {status: table[(table["status"] == "correct") == (status == "correct")] for status in VERDICTS}
    n = min(len(part) for part in parts.values())
    rows = []
    for status, part in parts.items():
        for row in part.sample(n, random_state=seed).itertuples():
            question = TEMPLATE.replace("{gold}", row.gold).replace("{response}", row.text)
            rows.append({"question": question, "solution": f"{row.answer} {row.gold} {VERDICTS[status]}"})
    random.Random(seed).shuffle(rows)  # noqa: S311  (an order, not a secret)
    write_atomic(out, "".join(json.dumps(row) + "\n" for row in rows))


def prepared(out: Path, env: str, model: str, seed: int, size: dict[str, int]) -> list[Step]:
    """Return the commands up to the two reward models."""
    samples, rm, judge, data = out / "samples", out / "rm", out / "judge", out / "lessons.jsonl"

    def learning() -> Sequence[object]:
        if not data.exists():
            lessons(samples, data, seed)
        return training("sft", judge, *judged).words()

    judged = (
        "--model",
        model,
        "--data",
        data,
        "--steps",
        size["judge"],
        "--batch",
        32,
        "--lr",
        1e-3,
        "--seed",
        seed,
        "--set",
        "train.save_every=20",
    )
    rm_flags = (
        "--model",
        model,
        "--episodes",
        samples,
        "--steps",
        size["rm"],
        "--batch",
        8,
        "--lr",
        1e-3,
        "--seed",
        seed,
    )
    return [
        scoring(
            samples,
            "--model",
            model,
            "--bench",
            f"{env}:train",
            "--problems",
            size["problems"],
            "--samples",
            size["samples"],
            "--seed",
            seed,
        ),
        training("rm", rm, *rm_flags, "--set", "rm.prompt={question}|{gold}|", "train.save_every=20"),
        Step(judge / "summary.json", learning),
    ]


def trained(out: Path, env: str, model: str, seed: int, size: dict[str, int]) -> list[Step]:
    """Return the commands that train and score the policies."""
    rewards = {
        "rule": (),
        "by-rm": ("verifier=reward_model", f"verifier.model={out / 'rm'}", "audit={}"),
        "by-judge": (
            "verifier=judge", f"verifier.model={out / 'judge'}", f"verifier.template={TEMPLATE}",
            "verifier.max_tokens=48", "rollout.max_unscored_frac=1", "audit={}",
        ),
    }  # fmt: skip
    common = ("eval.every=0", f"rollout.problems_per_step={size['groups']}", "train.save_every=2")
    scored = ("--bench", f"{env}:validation", "--problems", size["scored"], "--seed", seed)
    steps = [scoring(out / "before", "--model", model, *scored)]
    for name in REWARDS:
        flags = (
            "--env",
            env,
            "--model",
            model,
            "--steps",
            size["steps"],
            "--seed",
            seed,
            "--set",
            *rewards[name],
            *common,
        )
        steps += [training("train", out / name, *flags), scoring(out / f"after-{name}", "--model", out / name, *scored)]
    return steps


def report(out: Path) -> str:
    """Return the result."""

    def accuracy(name: str) -> str:
        results: dict[str, Any] = json.loads((out / name / "results.json").read_text())
        return f"{results['accuracy']:.1%} ± {100 * results['stderr']:.1f}"

    def whole(lines: Sequence[dict[str, float]], key: str) -> str:
        known = [line[key] for line in lines if line.get(key) is not None]
        return f"{sum(known) / len(known):.1%}" if known else "-"

    lines = [f"before      {accuracy('before')}"]
    for name in REWARDS:
        metrics = read_metrics(out / name / "metrics.jsonl")
        figures = [
            f"{part} {whole(metrics, f'audit/{part}_frac')}" for part in ("agreement", "false_accept", "false_reject")
        ]
        lines.append(
            f"{name:<12}{accuracy(f'after-{name}')}, {', '.join(figures)}, unscored "
            f"{whole(metrics, 'verdict/unscored_frac')}"
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the commands one after the other; the first that fails ends the recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/judges"))
    parser.add_argument("--env", default="aime", help="environment (default: aime)")
    parser.add_argument(
        "--model", default="nano", help="model to start from, the policy and both reward models (default: nano)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", choices=SIZES, default="full")
    args = parser.parse_args(argv)
    what = (args.out, args.env, args.model, args.seed, SIZES[args.size])
    if status := run_steps([*prepared(*what), *trained(*what)]):
        return status
    print(f"\n{report(args.out)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
