"""Hidden tests for a problem without tests: inputs from a generator, with the outputs on which reference submissions
agree.

    inputs = generated(generator, n=50, seed=7, kind="stdin")
    found = agreed(template, references, share=0.7)       found.cases, found.passed

Source: Kimi k1.5, arXiv:2501.12599, section 2.3.5. There an input is valid if at least 7 of 10 submissions give the
same output.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kgym.errors import SandboxLost
from kgym.judging.box import Finished
from kgym.judging.cases import Cases, Kind
from kgym.judging.sandbox import shared_pool
from kgym.judging.submissions import HARNESS, agrees, program_box, run_case, trouble_of
from kgym.limits import ProgramLimits
from kgym.seeding import derive_seed

GENERATOR = ProgramLimits(wall_s=30, cpu_s=5)
LARGEST = 1 << 20
"""Most bytes of an input; larger ones are left out."""
LATE = 3
"""A reference that ran out of time on this many inputs in a row is not run on the others."""
TRIES = 2


@dataclass(frozen=True)
class Agreed:
    """The result of running the references of a problem."""

    cases: tuple[tuple[Any, Any], ...]
    """The valid inputs, each with the output on which most references agree."""
    passed: tuple[bool, ...]
    """Whether each reference passes all of them."""


def generated(generator: str, n: int, seed: int, kind: Kind) -> list[Any]:
    """Return up to n different inputs that a program prints, each in a separate run with its own random numbers; twice
    as many are tried.

    Left out are empty outputs, outputs of a run that failed, texts that are too long, and for `call` texts that are not
    a list of arguments as JSON. Raises SandboxError.
    """
    found: dict[str, Any] = {}
    with shared_pool().box() as box:
        box.put({"generator.py": generator, "generate.py": (HARNESS / "generate.py").read_text(encoding="utf-8")})
        for number in range(2 * n):
            if len(found) == n:
                break
            finished = box.run(
                ["python3", "generate.py", f"{number}", f"{derive_seed('input', seed, number)}"], limits=GENERATOR
            )
            if finished.limit in ("time", "cpu"):
                break
            text = _text(finished)
            if text is None or not text.strip() or len(finished.stdout) > LARGEST:
                continue
            if kind != "call":
                found.setdefault(text, text)
            elif isinstance(arguments := _json(text), list):
                found.setdefault(json.dumps(arguments), arguments)
    return list(found.values())


def agreed(template: Cases, references: Sequence[str], share: float) -> Agreed:
    """Run references on the inputs of a template, whose outputs are ignored, and return the inputs on which at least
    `share` of them agree.

    Outputs agree if they are equal in the way that the template compares, or if its checker accepts one where the other
    is expected. A reference that fails on an input does not agree. Raises SandboxError, and BadTests if the checker
    fails.
    """
    needed = at_least(share, len(references))
    outputs = [_outputs(template, source) for source in references]
    cases = []
    right = [True] * len(references)
    for place, (given, _) in enumerate(template.cases):
        said = [each[place] for each in outputs]
        best: tuple[bytes, list[bool]] = b"", [False] * len(references)
        for candidate in dict.fromkeys(output for output in said if output is not None):
            agreeing = _agreeing(template, given, candidate, said)
            if sum(agreeing) > sum(best[1]):
                best = candidate, agreeing
        if sum(best[1]) >= needed:
            cases.append((given, _value(template, best[0])))
            right = [one and other for one, other in zip(right, best[1], strict=True)]
    return Agreed(tuple(cases), tuple(right))


def at_least(share: float, n: int) -> int:
    """Return the smallest whole number that is at least the share of n, and at least 1.

    >>> at_least(0.7, 10), at_least(0.7, 3), at_least(0.9, 10)
    (7, 3, 9)
    """
    return max(1, math.ceil(round(share * n, 9)))


def is_python(source: str) -> bool:
    """Whether a source can be compiled, which happens in a sandbox. Raises SandboxError."""
    with shared_pool().box() as box:
        box.put({"main.py": "compile(open('solution.py', 'rb').read(), 'solution.py', 'exec')", "solution.py": source})
        return box.run(["python3", "main.py"]).ok


def _outputs(template: Cases, source: str) -> list[bytes | None]:
    """Return what a reference prints or returns for each input; None if it fails."""
    for left in reversed(range(TRIES)):
        try:
            return _ran(template, source)
        except SandboxLost:
            if not left:
                raise
    raise AssertionError


def _ran(template: Cases, source: str) -> list[bytes | None]:
    found: list[bytes | None] = []
    late = 0
    with program_box(source, template) as box:
        for given, _ in template.cases:
            if late == LATE:
                break
            finished = run_case(box, template, given)
            trouble = trouble_of(finished, template)
            late = late + 1 if trouble == "time" else 0
            sound = not trouble and _value(template, finished.stdout) is not None
            found.append(finished.stdout if sound else None)
    return found + [None] * (len(template.cases) - len(found))


def _agreeing(template: Cases, given: Any, candidate: bytes, said: Sequence[bytes | None]) -> list[bool]:
    expected = _value(template, candidate)
    asked: dict[bytes, bool] = {}
    for output in said:
        if output is not None and output not in asked:
            asked[output] = agrees(template, given, expected, output)
    return [output is not None and asked[output] for output in said]


def _value(template: Cases, output: bytes) -> Any:
    """Return an output as the expected value for others; None if it is not a valid output."""
    try:
        text = output.decode()
    except UnicodeDecodeError:
        return None
    return _json(text) if template.kind == "call" else text


def _text(finished: Finished) -> str | None:
    try:
        return finished.stdout.decode() if finished.ok else None
    except UnicodeDecodeError:
        return None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
