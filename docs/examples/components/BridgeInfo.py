"""A bridge: `kgym envs export arithmetic --to pairs --out DIR --limit 9` writes question and answer."""

from collections.abc import Iterator, Mapping

from kgym.hookspecs import BridgeInfo, Component, hookimpl
from kgym.options import Options
from kgym.types import EnvExport

kgym_api = 1


class Pairs:
    """Follows `kgym.types.Bridge`."""

    Options = Options
    turns = False

    def __init__(self, options: Options) -> None:
        self.options = options

    def __call__(self, export: EnvExport) -> Mapping[str, str]:
        """Return the file of each split."""
        return {
            f"{split}.txt": "".join(f"{row['question']} {row['answer']}\n" for row in rows)
            for split, rows in export.splits.items()
        }


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield the components of this plugin."""
    yield BridgeInfo(
        name="pairs", target=f"{__name__}:Pairs", summary="a question and its answer a line"
    )
