"""`kgym rm`: train a reward model on preferences; the verifier `reward_model` judges with it.

    kgym rm --env aime --steps 60
    kgym rm --resume

The run folder contains the configuration, the metrics of each step and the checkpoints; commands accept it as a reward
model.
"""

import argparse
import shlex
from typing import TYPE_CHECKING

from kgym.cli import supervised

if TYPE_CHECKING:
    from kgym.supervised_config import SupervisedConfig


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--model", metavar="NAME|DIR|HUB_ID", help="model whose weights to start from (default: nano)")
    supervised.configure_preferences(parser)
    supervised.configure(parser, "rm", steps=300, batch=16, lr="5e-4")


def run(args: argparse.Namespace) -> int:
    """Train, and print where the reward model is."""
    return supervised.run(args, "rm", _following, unit="a pair")


def _following(config: "SupervisedConfig", model: str) -> str:
    env = config.env.name if config.env else "aime"
    return (
        f"kgym train --env {env} --algo ppo --set verifier=reward_model --set {shlex.quote(f'verifier.model={model}')}"
    )
