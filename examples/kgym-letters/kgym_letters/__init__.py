"""kgym_letters: an environment for kgym."""

from collections.abc import Iterator

from kgym.hookspecs import Component, EnvInfo, hookimpl

kgym_api = 1


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield what this plugin offers."""
    yield EnvInfo(
        name="letters",
        namespace="kgym_letters",
        target="kgym_letters.env:Letters",
        summary="count how often a letter occurs in a text",
    )
