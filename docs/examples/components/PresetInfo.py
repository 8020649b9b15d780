"""A preset: `kgym eval --preset acme` evaluates as a report of that name says."""

from collections.abc import Iterator

from kgym.hookspecs import Component, PresetInfo, hookimpl

kgym_api = 1


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield the components of this plugin."""
    yield PresetInfo(
        name="acme",
        source="Acme's report, page 3",
        samples=16,
        temperature=0.7,
        max_tokens=8192,
        summary="as Acme evaluates",
    )
