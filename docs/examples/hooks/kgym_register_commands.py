"""A command: `kgym greet NAME`. The target is a module with `configure` and `run`; here it is this file."""

import argparse

from kgym.hookspecs import CommandInfo, hookimpl

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
def kgym_register_commands():
    """Yield the commands of this plugin."""
    yield CommandInfo(name="greet", target=f"{__name__}:Greet", summary="greet somebody")
