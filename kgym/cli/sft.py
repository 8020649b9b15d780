"""`kgym sft`: supervised fine-tuning of a model on worked solutions, of an environment or from a file, or on stored
completions.

    kgym sft --env aime --steps 200
    kgym sft --resume

The run folder contains the configuration, the metrics of each step and the checkpoints; commands accept it as a model.
"""

import argparse

from kgym.cli import supervised


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--model", metavar="NAME|DIR|HUB_ID", help="model to start from (default: nano)")
    parser.add_argument("--env", metavar="NAME", help="learn the worked solutions of an environment's train split")
    parser.add_argument(
        "--data",
        metavar="FILE.jsonl",
        help='learn lines of {"question", "solution"}; "prompt" may be used instead of "question"',
    )
    parser.add_argument(
        "--episodes",
        metavar="RUN",
        help="learn the correct completions that a run of kgym train or kgym eval has stored",
    )
    supervised.configure(parser, "sft", steps=1000, batch=64, lr="1e-3")


def run(args: argparse.Namespace) -> int:
    """Fine-tune, and print where the model is."""
    return supervised.run(args, "sft", supervised.how_to_score_it, unit="a token")
