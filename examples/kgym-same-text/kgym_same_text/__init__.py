"""kgym_same_text: a verifier for kgym."""

from collections.abc import Iterator

from kgym.hookspecs import Component, VerifierInfo, hookimpl

kgym_api = 1


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield what this plugin offers."""
    yield VerifierInfo(
        name="same_text",
        target="kgym_same_text.verifier:SameText",
        summary="the boxed answer is the gold answer, as text",
        golds=("Paris", "New York", "blue whale"),  # tried by `kgym plugins check`
        numeric=False,
    )
