"""kgym_hello: greetings as an environment, a verifier for them, and a small algorithm."""

from collections.abc import Iterator

from kgym.hookspecs import AlgorithmInfo, Component, EnvInfo, VerifierInfo, hookimpl

kgym_api = 1


@hookimpl
def kgym_components() -> Iterator[Component]:
    yield EnvInfo(
        name="greeting", namespace="hello", target="kgym_hello.env:Greeting", summary="greet a person by name"
    )
    # It does no more than search a text of bounded length, so it needs no worker process.
    # What it takes for an answer is said for `kgym plugins check hello`.
    yield VerifierInfo(
        name="hello",
        target="kgym_hello.verifier:Hello",
        summary="the text greets the right person",
        isolation="none",
        golds=("Ada", "Dora", "Leonhard"),
        answer="Hello, {gold}",
        numeric=False,
    )
    yield AlgorithmInfo(
        name="hello", target="kgym_hello.algorithm:Hello", summary="REINFORCE with the group mean as its baseline"
    )
