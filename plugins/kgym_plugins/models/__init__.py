"""The models that come with kgym."""

from collections.abc import Iterator

from kgym.hookspecs import Component, ModelInfo, hookimpl

kgym_api = 1


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield the models that come with kgym."""
    yield ModelInfo(
        "nano",
        "kgym_plugins.models.builtin:nano",
        "a million parameters, one token for each character, warmed up on `aime`",
    )
    long = "nano's size, warmed up on searches of 100 to 1,500 tokens: `countdown` and `sudoku`"
    yield ModelInfo("nano-long", "kgym_plugins.models.builtin:nano_long", long)
