"""`kgym dpo`: direct preference optimization of a policy, on generated preferences, stored completions or a file.

    kgym dpo --env aime --steps 60
    kgym dpo --resume

The run folder contains the configuration, the metrics of each step and the checkpoints; commands accept it as a model.
"""

import argparse

from kgym.cli import supervised


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--model", metavar="NAME|DIR|HUB_ID", help="policy to start from; also the reference (default: nano)"
    )
    supervised.configure_preferences(parser)
    supervised.configure(parser, "dpo", steps=200, batch=16, lr="1e-4")
    parser.add_argument(
        "--beta", metavar="X", type=float, help="strength of the pull towards the reference (default: 0.1)"
    )


def run(args: argparse.Namespace) -> int:
    """Train, and print where the policy is."""
    return supervised.run(args, "dpo", supervised.how_to_score_it, unit="a pair", flags={"beta": "dpo.beta"})
