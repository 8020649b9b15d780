"""A command: `kgym greet NAME`. The target is a module with `configure` and `run`."""

import argparse
from collections.abc import Iterator

from kgym.hookspecs import CommandInfo, Component, hookimpl

kgym_api = 1


class Greet:
    """Stands for the module, since an example is one file."""

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        """Add the arguments."""
        parser.add_argument("name", help="who is greeted")

    @staticmethod
    def run(args: argparse.Namespace) -> int:
        """Run the command and return the exit status."""
        print(f"Hello, {args.name}")
        return 0


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield the components of this plugin."""
    yield CommandInfo(name="greet", target=f"{__name__}:Greet", summary="greet somebody")
