"""`kgym models`: list the models that have names, average several models, and cut layers.

    kgym models list
    kgym models merge runs/long runs/short --out runs/between
    kgym models merge runs/long runs/short --weights 0.7 0.3 --out runs/between
    kgym models cut nano --layers 3 --out runs/small

A merged or cut model is a plain Hugging Face folder.
"""

import argparse
from pathlib import Path
from typing import Any

from kgym.cli.output import folder_name, print_json, print_table, say


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="list|merge|cut")
    commands.add_parser("list", help="list the models that have names")
    merge = commands.add_parser("merge", help="write the weighted average of models of the same shape")
    merge.add_argument(
        "models",
        metavar="NAME|DIR|HUB_ID",
        nargs="+",
        help="two models or more; configuration and tokenizer come from the first",
    )
    merge.add_argument(
        "--weights",
        metavar="W",
        nargs="+",
        type=float,
        help="one weight for each model, with a sum of 1 (default: equal weights)",
    )
    merge.add_argument("--out", metavar="DIR", type=folder_name, required=True, help="new folder for the average")
    merge.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        default="float32",
        help="number type of the weights that are written (default: float32)",
    )
    cut = commands.add_parser("cut", help="write a model with fewer layers, which needs training again")
    cut.add_argument("model", metavar="NAME|DIR|HUB_ID", help="model to take the layers from")
    cut.add_argument(
        "--layers", metavar="N", type=int, required=True, help="number of layers to keep: the first ones and the last"
    )
    cut.add_argument("--out", metavar="DIR", type=folder_name, required=True, help="new folder for the model")


def run(args: argparse.Namespace) -> int:
    """List, merge, or cut."""
    return {"list": _list, "merge": _merge, "cut": _cut}[args.action](args)


def _list(args: argparse.Namespace) -> int:
    from kgym.registry import registry

    found = [
        {"name": info.name, "summary": info.summary, "origin": record.origin}
        for info, record in registry().offers("model")
    ]
    if args.json:
        print_json({"models": found})
    else:
        print_table(
            ("name", "summary", "from"), [[model["name"], model["summary"], model["origin"]] for model in found]
        )
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


def _cut(args: argparse.Namespace) -> int:
    from kgym.models.merging import cut_into

    had = cut_into(args.model, Path(args.out), layers=args.layers)
    if args.json:
        print_json({"model": str(args.out), "of": args.model, "layers": args.layers, "had": had})
        return 0
    say(f"model       {args.out}, {args.layers} of the {had} layers of {args.model}")
    say(f"next        kgym sft --model {args.out} --env aime")
    return 0
