"""A model with a short name: here the built-in one under another name."""

from collections.abc import Iterator
from pathlib import Path

from kgym.hookspecs import Component, ModelInfo, hookimpl
from kgym.models.names import resolve_model

kgym_api = 1


def tiny() -> Path:
    """Return a Hugging Face model folder."""
    return Path(resolve_model("nano"))


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield the components of this plugin."""
    yield ModelInfo(
        name="tiny", target=f"{__name__}:tiny", summary="the built-in model by another name"
    )
