"""Make `nano-code`, a model of nano's size that writes straight-line programs, to start reinforcement learning from.

    python recipes/nano_code.py --out runs/nano-code

continues from the weights of `nano` and takes about a quarter of an hour of one busy core. It learns from worked
programs of the environment `code` (subject `formulas`), and, in part of the examples, from programs that only print the
result of the example in the question. Such a program passes no hidden tests, so reinforcement learning has a habit to
remove. The warm-up is short, so the model also has to learn to be careful.
"""

import argparse
import random
from pathlib import Path

from nano import finetune

from kgym.envs.spec import EnvSpec
from kgym.models.names import resolve_model
from kgym.seeding import derive_seed
from kgym.supervised_config import SFTConfig
from kgym.train.supervised.examples import Example, Examples, solved_examples

ENV = {"subject": "formulas", "difficulty": 6, "prompt": "{question}"}
"""Programs of up to three operations. The prompt is the question alone: at one character a token, every word of a
prompt is paid for.
"""
HARD_CODED = 0.4
"""Share of the examples that print the result of the example."""


def with_hard_coding(worked: Examples, *, seed: int) -> Examples:
    """Replace some of the programs by one that prints the result of the example in the question."""

    def example(n: int) -> Example:
        prompt, completion = worked(n)
        # not a secret
        if random.Random(derive_seed("nano-code", "hard-coded", seed, n)).random() < HARD_CODED:  # noqa: S311
            result = prompt[-1].content.rpartition(" gives ")[2].rstrip(".")
            completion = f"```python\nprint({result})\n```"
        return Example(prompt, completion)

    return example


def main() -> None:
    """Make the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/nano-code"))
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="resume a warm-up that was interrupted")
    args = parser.parse_args()
    config = SFTConfig(
        seed=args.seed,
        train={"steps": args.steps, "lr": 1e-3, "warmup_steps": 20, "decay_frac": 0.4, "save_every": 25, "threads": 1},
        sft={"batch_size": 32},
    )
    worked = solved_examples(EnvSpec("code", "train", ENV).setup(), seed=derive_seed("nano-code", args.seed))
    examples = with_hard_coding(worked, seed=args.seed)
    finetune(config, Path(resolve_model("nano")), examples, args.out, f"{ENV} {HARD_CODED}", resume=args.resume)


if __name__ == "__main__":
    main()
