"""An exporter: `kgym leaderboard export --format lines` writes a line for each row."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kgym.hookspecs import Component, ExporterInfo, hookimpl
from kgym.options import Options

kgym_api = 1


class Lines:
    """Follows `kgym.types.Exporter`."""

    Options = Options

    def __init__(self, options: Options) -> None:
        self.options = options

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """Return the text of the file."""
        return "".join(
            f"{row.get('model')} on {row.get('benchmark')}: {row.get('accuracy')}\n" for row in rows
        )


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield the components of this plugin."""
    yield ExporterInfo(name="lines", target=f"{__name__}:Lines", summary="a line of text for each row")
