"""`kgym dpo`: direct preference optimization of a policy, on generated preferences, stored answers or a file."""

import argparse

from kgym.cli import supervised
from kgym.cli.following import how_to_score


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--model", metavar="NAME|DIR|HUB_ID", default="nano", help="policy to start from; also the reference (default: nano)"
    )
    supervised.configure_preferences(parser)
    supervised.configure(parser, key="dpo", steps=200, batch=16, lr="1e-4")
    parser.add_argument("--beta", metavar="X", type=float, help="how much distance from the reference is worth (default: 0.1)")


def run(args: argparse.Namespace) -> int:
    """Train, and say where the policy lies."""
    from kgym.envs.spec import EnvSpec
    from kgym.models.names import resolve_model
    from kgym.options import validated

    values = supervised.settings(args, "env", "verifier", "pairs", "dpo")
    if args.beta is not None:
        values["dpo"]["beta"] = args.beta
    from kgym.train.supervised.dpo import DPOOptions, train_dpo

    options = validated(DPOOptions, values["dpo"], "dpo")
    spec = supervised.asked_spec(args, values)
    model = resolve_model(args.model)
    sampled = supervised.can_be_sampled(model)
    with supervised.interruptible(args):
        summary = train_dpo(
            model,
            supervised.preferences(args, spec, values["pairs"], options.seed),
            args.out,
            options,
            dtype=args.dtype,
            device=args.device,
            resume=args.resume,
            report=supervised.reporter(args, options, "dpo", "a pair"),
        )
    following = how_to_score(str(summary["model"]), (spec or EnvSpec("aime")).with_split("validation")) if sampled else ""
    return supervised.conclude(args, summary, following)
