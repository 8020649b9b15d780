"""The pipeline of InstructGPT on generated problems: demonstrations, preferences, a reward model, PPO with a per-token
KL and PPO-ptx.

    python recipes/instructgpt.py --out runs/instructgpt

takes about five minutes of one core and prints each command of kgym that it runs, so that you can run any of them by
hand. A finished step is not repeated, and an interrupted one is resumed.

    sft            the policy learns a few demonstrations (worked solutions)
    samples        it attempts problems of the train split, several times each
    rm             right completions are preferred to wrong ones: the environment's verifier replaces human rankers
    ppo            the reward model alone rewards the policy, the KL holds it near its start, and ptx mixes in
                   demonstrations
    before, after  both policies, judged by the environment's verifier, which is not used in training

Source: Ouyang et al. 2022, arXiv:2203.02155, sections 3.1 and 3.5. Two things differ: the reward is the probability
sigmoid(score) in [0, 1], and the critic starts from the policy and not from the reward model, whose scores are on
another scale.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from kgym.cli.steps import Step, run_steps, scoring, training

SIZES = {
    "full": {"sft": 10, "problems": 192, "samples": 4, "rm": 60, "ppo": 10, "batch": 16, "scored": 500},
    "tiny": {"sft": 1, "problems": 48, "samples": 4, "rm": 2, "ppo": 1, "batch": 2, "scored": 8},
}
"""What `--size` means; `tiny` shows that every step runs, and nothing else."""

PPO = (
    "algo.kl_coef=0.02",
    "algo.inner_steps=2",
    "ptx.coef=0.02",
    "ptx.batch_size=4",
    "train.lr=2e-4",
    "eval.every=0",
    "train.save_every=2",
    "train.threads=1",
)
"""Settings of the last phase; InstructGPT's KL."""


def series(out: Path, env: str, model: str, seed: int, size: dict[str, int]) -> list[Step]:
    """Return the commands in order."""
    sft, samples, rm, ppo, before, after = (out / name for name in ("sft", "samples", "rm", "ppo", "before", "after"))
    sft_flags = (
        "--model",
        model,
        "--env",
        env,
        "--steps",
        size["sft"],
        "--batch",
        16,
        "--lr",
        3e-5,
        "--set",
        "train.warmup_steps=2",
    )
    rm_flags = (
        "--model",
        sft,
        "--episodes",
        samples,
        "--steps",
        size["rm"],
        "--batch",
        8,
        "--lr",
        1e-3,
        "--set",
        "train.save_every=20",
    )
    rewarded = ("verifier=reward_model", f"verifier.model={rm}", f"rollout.problems_per_step={size['batch']}")
    ppo_flags = (
        "--env",
        env,
        "--algo",
        "ppo",
        "--model",
        sft,
        "--steps",
        size["ppo"],
        "--seed",
        seed,
        "--set",
        *rewarded,
        *PPO,
    )
    sampled = ("--problems", size["problems"], "--samples", size["samples"], "--seed", seed)
    scored = ("--bench", f"{env}:validation", "--problems", size["scored"], "--seed", seed)
    return [
        training("sft", sft, *sft_flags, "--seed", seed),
        scoring(samples, "--model", sft, "--bench", f"{env}:train", *sampled),
        training("rm", rm, *rm_flags, "--seed", seed),
        training("train", ppo, *ppo_flags),
        scoring(before, "--model", sft, *scored),
        scoring(after, "--model", ppo, *scored),
    ]


def report(out: Path) -> str:
    """Return the result."""
    before, after = (json.loads((out / name / "results.json").read_text()) for name in ("before", "after"))
    rewards = [json.loads(line)["reward/mean"] for line in (out / "ppo/metrics.jsonl").read_text().splitlines()]
    return (
        f"reward      {rewards[0]:.3f} -> {rewards[-1]:.3f} in {len(rewards)} steps, by the reward model\n"
        f"accuracy    {before['accuracy']:.1%} -> {after['accuracy']:.1%}, by the environment's verifier"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the commands one after the other; the first that fails ends the recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/instructgpt"))
    parser.add_argument("--env", default="aime", help="environment with worked solutions (default: aime)")
    parser.add_argument("--model", default="nano", help="model to start from (default: nano)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", choices=SIZES, default="full")
    args = parser.parse_args(argv)
    if status := run_steps(series(args.out, args.env, args.model, args.seed, SIZES[args.size])):
        return status
    print(f"\n{report(args.out)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
