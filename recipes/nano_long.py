"""Make the built-in model `nano-long` from nothing: nano's tokenizer and size, warmed up on searches of 100 to 1,500
tokens.

    python recipes/nano_long.py --out runs/nano-long

takes about an hour of one busy core and writes a Hugging Face folder; `plugins/kgym_plugins/models/nano_long` is such a
folder.

Two phases. The first teaches worked solutions of `countdown`, which are searches with dead ends, and of `sudoku`. The
second mixes in searches that are given up after some lines, with a guess in the box. So nano-long has a habit that
lowers its accuracy, giving up, and continuing the search pays: completions and accuracy can grow together, as Kimi k1.5
and DeepSeek-R1 describe.
"""

import argparse
import random
from pathlib import Path

from nano import Mixture, phases, warm_up

from kgym.envs.spec import EnvSpec
from kgym.files import write_atomic
from kgym.rollout.engine import make_engine
from kgym.score.harness import evaluate
from kgym.seeding import derive_seed
from kgym.train.supervised.examples import Example, Examples
from kgym.types import Sampling

MIXTURE: Mixture = (
    (0.30, "countdown", {"difficulty": 3}),
    (0.50, "countdown", {"min_difficulty": 4, "difficulty": 6}),
    (0.20, "sudoku", {"difficulty": 7}),
)
GIVEN_UP = 0.30
"""Share of the searches of the second phase that end early."""
SCORED = {
    "countdown, three numbers": EnvSpec("countdown", "validation", {"difficulty": 3}),
    "countdown, four numbers": EnvSpec("countdown", "validation", {"min_difficulty": 4, "difficulty": 6}),
    "sudoku, 3 to 7 empty cells": EnvSpec("sudoku", "validation", {"difficulty": 5}),
}


def with_surrender(worked: Examples, *, seed: int) -> Examples:
    """End some of the searches after one of their lines, with a sum of all numbers in the box: an expression, but
    not the one that is asked for.
    """

    def example(n: int) -> Example:
        prompt, completion = worked(n)
        rng = random.Random(derive_seed("nano-long", "surrender", seed, n))  # noqa: S311  (not a secret)
        *search, chain, box = completion.split("\n")
        if len(search) > 1 and chain.partition("=")[0].isdigit() and rng.random() < GIVEN_UP:
            numbers = search[0].partition(" for ")[0].split(" ")
            box = f"\\boxed{{{'+'.join(numbers)}}}"
            completion = "\n".join([*search[: rng.randint(1, len(search) - 1)], box])
        return Example(prompt, completion)

    return example


def measure(folder: Path) -> str:
    """Score 200 validation problems of each kind at temperature 1, as training samples, and greedily; return rows of
    a table.
    """
    engine = make_engine("transformers", {}, str(folder))
    rows = []
    for title, spec in SCORED.items():
        for sampling in (Sampling(temperature=1.0), Sampling(temperature=0.0)):
            result = evaluate(engine, spec, problems=200, sampling=sampling, samples=1)
            rows.append(
                f"| {title} | {sampling.temperature:g} | {result.accuracy:.1%} ± {result.stderr:.1%} | "
                f"{result.no_answer_frac:.1%} | {result.truncated_frac:.1%} | {result.tokens_mean:.0f} |"
            )
            print(rows[-1], flush=True)
    return "\n".join(rows)


CARD = """# nano-long

A language model of a million parameters that comes with kgym, for completions of 100 to 1,500 tokens. \
It searches: for an expression that
makes a target of given numbers (`countdown`), and for the digits of a sudoku of four by four (`sudoku`). \
It has never seen anything else.

- Architecture and tokens: those of `nano`.
- Made by `python recipes/nano_long.py` from random weights, on generated problems: {first.train.steps} steps of
  {first.sft.batch_size} worked solutions (seed {first.seed}, AdamW, learning rate {first.train.lr:g}), \
then {second.train.steps} steps
  (seed {second.seed}, learning rate {second.train.lr:g}) \
in which {given_up:.0%} of the searches are given up early, with a
  guess in the box.
- No text of others went into it. Licence: Apache-2.0, as all of kgym.

| share | environment, train split | options |
|---|---|---|
{parts}

Accuracy on the first 200 problems of the validation split, one completion each:

| problems | temperature | accuracy | no answer | truncated | tokens |
|---|---|---|---|---|---|
{rows}
"""


def main() -> None:
    """Make the model, measure it and write its card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/nano-long"))
    parser.add_argument("--steps", type=int, default=1300, help="steps of the first phase")
    parser.add_argument("--surrender-steps", type=int, default=150, help="steps of the second phase")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="resume the phase that was interrupted")
    args = parser.parse_args()

    first, second = phases(args.steps, args.surrender_steps, seed=args.seed)
    warm_up(args.out, MIXTURE, first, second, changed=with_surrender, changed_share=GIVEN_UP, resume=args.resume)
    parts = "\n".join(f"| {share:.0%} | `{name}` | {options} |" for share, name, options in MIXTURE)
    text = CARD.format(rows=measure(args.out), parts=parts, first=first, second=second, given_up=GIVEN_UP)
    write_atomic(args.out / "MODEL_CARD.md", text)
    print(text)


if __name__ == "__main__":
    main()
