"""`kgym models`: the models that have names, and the average of several models.

kgym models list
kgym models merge runs/long runs/short --out runs/between
kgym models merge runs/long runs/short --weights 0.7 0.3 --out runs/between
"""

import argparse
from pathlib import Path
from typing import Any

from kgym.cli.output import folder_name, print_json, print_table, say


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="list|merge")
    commands.add_parser("list", help="the models that have names")
    merge = commands.add_parser("merge", help="write the weighted average of models of one shape")
    merge.add_argument(
        "models", metavar="NAME|DIR|HUB_ID", nargs="+", help="two or more; configuration and tokenizer are those of the first"
    )
    merge.add_argument("--weights", metavar="W", nargs="+", type=float, help="one for each, adding up to 1 (default: all alike)")
    merge.add_argument("--out", metavar="DIR", type=folder_name, required=True, help="new folder for the average")
    merge.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="type of the weights written (default: float32)")


def run(args: argparse.Namespace) -> int:
    """List, or merge."""
    return {"list": _list, "merge": _merge}[args.action](args)


def _list(args: argparse.Namespace) -> int:
    from kgym.registry import registry

    found = [{"name": info.name, "summary": info.summary, "origin": record.origin} for info, record in registry().offers("model")]
    if args.json:
        print_json({"models": found})
    else:
        print_table(("name", "summary", "from"), [[model["name"], model["summary"], model["origin"]] for model in found])
    return 0


def _merge(args: argparse.Namespace) -> int:
    from kgym.models.merging import average_into

    weights = average_into(args.models, Path(args.out), weights=args.weights, dtype=args.dtype)
    found: dict[str, Any] = {"model": str(args.out), "of": args.models, "weights": weights, "dtype": args.dtype}
    if args.json:
        print_json(found)
        return 0
    say(f"model       {args.out}")
    for name, weight in zip(args.models, weights, strict=True):
        say(f"{weight:<12.4g}{name}")
    say(f"next        kgym eval --model {args.out}")
    return 0
