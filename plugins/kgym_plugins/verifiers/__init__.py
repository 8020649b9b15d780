"""The verifiers that come with kgym."""

from collections.abc import Iterator

from kgym.hookspecs import Component, VerifierInfo, hookimpl

kgym_api = 1

REPLAY = """```python
import json, sys
tests = json.loads(r'''{gold}''')
if tests["kind"] == "stdin":
    given = sys.stdin.read()
    print(next(output for text, output in tests["cases"] if text == given))
else:
    globals()[tests["function"]] = lambda *given: \
next(result for arguments, result in tests["cases"] if arguments == [*given])
```"""
"""A completion with a program that contains its hidden tests, for the conformance checks."""


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield the verifiers that come with kgym."""
    yield VerifierInfo(
        name="integer",
        target="kgym_plugins.verifiers.integer:Integer",
        summary="an integer in the last box, compared digit by digit",
        isolation="none",
    )
    yield VerifierInfo(
        name="countdown",
        target="kgym_plugins.verifiers.countdown:Countdown",
        summary="an expression in the last box that uses given numbers and has a given value",
        isolation="none",
        numeric=False,
    )
    yield VerifierInfo(
        name="math",
        target="kgym_plugins.verifiers.math.verifier:MathVerifier",
        summary="free-form mathematical answers, compared by type and meaning",
    )
    yield VerifierInfo(
        name="code",
        target="kgym_plugins.verifiers.code:Code",
        summary="a program that passes hidden tests, run in a sandbox",
        isolation="none",
        threads=True,
        golds=('{"kind":"stdin","cases":[["","7"]]}', '{"kind":"stdin","cases":[["","8"]]}'),
        answer=REPLAY,
        numeric=False,
    )
    yield VerifierInfo(
        name="reward_model",
        target="kgym_plugins.verifiers.reward_model:RewardModelVerifier",
        summary="the score of a trained reward model (kgym rm), as a threshold or a probability",
        isolation="none",
        batched=True,
    )
    yield VerifierInfo(
        name="judge",
        target="kgym_plugins.verifiers.judge:Judge",
        summary="a language model that reasons about the completion and gives a verdict, which is parsed",
        isolation="none",
        batched=True,
    )
