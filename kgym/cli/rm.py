"""`kgym rm`: train a reward model on preferences; the verifier `reward_model` judges with it."""

import argparse

from kgym.cli import supervised


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--model", metavar="NAME|DIR|HUB_ID", default="nano", help="model whose weights to start from (default: nano)")
    supervised.configure_preferences(parser)
    supervised.configure(parser, key="rm", steps=300, batch=16, lr="5e-4")


def run(args: argparse.Namespace) -> int:
    """Train, and say where the reward model lies."""
    from kgym.models.names import resolve_model
    from kgym.options import validated

    values = supervised.settings(args, "env", "verifier", "pairs", "rm")
    from kgym.train.supervised.reward_model import RMOptions, train_reward_model

    options = validated(RMOptions, values["rm"], "rm")
    spec = supervised.asked_spec(args, values)
    model = resolve_model(args.model)
    with supervised.interruptible(args):
        summary = train_reward_model(
            model,
            supervised.preferences(args, spec, values["pairs"], options.seed),
            args.out,
            options,
            dtype=args.dtype,
            device=args.device,
            resume=args.resume,
            report=supervised.reporter(args, options, "rm", "a pair"),
        )
    env = args.env or "aime"
    following = f"kgym train --env {env} --algo ppo --set verifier=reward_model --set verifier.model={summary['model']}"
    return supervised.conclude(args, summary, following)
