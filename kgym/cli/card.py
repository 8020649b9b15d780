"""`kgym runs card`: write the model card of a training into its newest checkpoint, and upload both to the hub."""

import argparse
from pathlib import Path

from kgym.cli.output import print_json, say


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("run_folder", metavar="RUN", type=Path, help="run folder of kgym train, sft, dpo or rm")
    parser.add_argument("--force", action="store_true", help="overwrite a card that was written or edited by hand")
    parser.add_argument(
        "--push",
        metavar="OWNER/NAME",
        help="upload the checkpoint and its card to the Hugging Face Hub, with the token of HF_TOKEN or hf auth login",
    )
    parser.add_argument("--private", action="store_true", help="if --push makes a new model, make it private")


def run(args: argparse.Namespace) -> int:
    """Write the card, and upload it if asked."""
    from kgym.board.card import card_of
    from kgym.errors import ConfigError

    if args.private and args.push is None:
        raise ConfigError("--private needs --push, which makes the model; add it, or leave --private out")
    hub = None
    if args.push is not None:
        from kgym.board.publishing import hub_of

        hub = hub_of(args.push)  # refuse a wrong name or token before anything is written
    card = card_of(args.run_folder)
    card.write(force=args.force)
    facts = {"card": str(card.path), "scores": len(card.scores)}
    if hub is not None:
        from kgym.board.publishing import push

        facts["commit"] = push(hub, args.push, card.checkpoint, private=args.private)
    if args.json:
        print_json(facts)
    else:
        for name, value in facts.items():
            say(f"{name:<12}{value}")
    return 0
