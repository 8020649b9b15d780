"""Run a submission, a program of an untrusted author, on the cases of its problem in a sandbox; compare its outputs
outside of the sandbox.

for finding in findings(source, cases): finding.wrong      "" for a case that it passes
"""

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from kgym.errors import SandboxLost
from kgym.judging.box import Box, Finished
from kgym.judging.cases import Cases
from kgym.judging.compare import same_output, same_result
from kgym.judging.harness.asserting import BAD_STATEMENTS
from kgym.judging.harness.call import NO_FUNCTION
from kgym.judging.sandbox import shared_pool
from kgym.limits import ProgramLimits

HARNESS = Path(__file__).with_name("harness")
RIGHT = ""
"""Finding on a case that is passed; otherwise it is a word for what is wrong."""
CHECKER = ProgramLimits(wall_s=60, cpu_s=20, memory_mib=1024)
_FUTURE = re.compile(r"^from __future__ import [\w, ]+$", re.MULTILINE)
SHOWN = 200
"""Characters of an input or an output that are shown."""


class BadTests(Exception):
    """The tests of a problem do not work; the program is not at fault."""


class Finding(NamedTuple):
    """How a program did on one case."""

    wrong: str
    """`RIGHT`, `wrong_output`, `crash`, `no_function`, or the limit that it exceeded: `time`, `memory`, `processes`,
    `files`, `output`.
    """
    shown: tuple[tuple[str, str], ...] = ()
    """Input and outputs by name, shortened, for a case that is not passed."""


def findings(source: str, cases: Cases) -> Iterator[Finding]:
    """Yield a finding for each case, in order. Raises SandboxError and BadTests."""
    if cases.kind == "asserts":
        for statements, _ in cases.cases:
            yield _asserted(source, cases, statements)
        return
    with program_box(source, cases) as box:
        for given, expected in cases.cases:
            finished = run_case(box, cases, given)
            wrong = trouble_of(finished, cases)
            if not wrong and not agrees(cases, given, expected, finished.stdout):
                wrong = "wrong_output"
            shown = (
                ("input", as_text(given)),
                ("expected", "" if cases.checker else as_text(expected)),
                *_said(finished),
            )
            yield Finding(wrong, _shortened(shown)) if wrong else Finding(RIGHT)


@contextmanager
def program_box(source: str, cases: Cases) -> Iterator[Box]:
    """Provide a box with a program and the harness that its cases need."""
    files = {"call": ("call.py",), "asserts": ("served.py", "wire.py"), "stdin": ()}[cases.kind]
    with shared_pool().box() as box:
        box.put({"solution.py": _joined(cases.before, source), **_harness(*files)})
        yield box


def _joined(before: str, source: str) -> str:
    """Return a program after the source that the problem has before it; `from __future__` has to stay at the top."""
    future = "\n".join(_FUTURE.findall(source)) if before else ""
    return "\n".join(filter(None, [future, before, source if not future else _FUTURE.sub("", source)]))


def run_case(box: Box, cases: Cases, given: object) -> Finished:
    """Run the program of a box on an input, or its function with arguments; standard output has the output, or the
    result as JSON.
    """
    if cases.kind == "call":
        return box.run(["python3", "call.py", cases.function], json.dumps(given), limits_of(cases))
    return box.run(["python3", "solution.py"], str(given), limits_of(cases))


def limits_of(cases: Cases) -> ProgramLimits:
    """Return a program's limits. Processor time decides, so that a busy machine does not make a program wrong."""
    return ProgramLimits(wall_s=5 * cases.time_s + 5, cpu_s=cases.time_s, memory_mib=cases.memory_mib)


def trouble_of(finished: Finished, cases: Cases) -> str:
    """Return a word for what is wrong with a run, apart from its output, or `RIGHT`."""
    if finished.limit:
        return "time" if finished.limit == "cpu" else finished.limit
    if finished.exit_code:
        return "no_function" if cases.kind == "call" and finished.exit_code == NO_FUNCTION else "crash"
    return RIGHT


def agrees(cases: Cases, given: object, expected: object, output: bytes) -> bool:
    """Whether an output is right, given the expected one. Raises SandboxError and BadTests."""
    if cases.checker:
        return _checked(cases, given, expected, output)
    if cases.kind == "call":
        return same_result(expected, output, cases.compare)
    return same_output(str(expected), output, cases.compare)


def as_text(value: object) -> str:
    """Return an input or an output as a checker reads it."""
    return value if isinstance(value, str) else json.dumps(value)


def _said(finished: Finished) -> Iterator[tuple[str, str]]:
    yield "output", finished.stdout.decode(errors="replace")
    yield "errors", (finished.stderr.decode(errors="replace").strip().splitlines() or [""])[-1]


def _shortened(shown: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, text if len(text) <= SHOWN else f"{text[:SHOWN]}...")
        for name, text in shown
        if text.strip() or name == "output"
    )


def _harness(*names: str) -> dict[str, str]:
    return {name: (HARNESS / name).read_text(encoding="utf-8") for name in names}


def _checked(cases: Cases, given: object, expected: object, output: bytes) -> bool:
    """Ask the checker of the problem. If it fails on the output but accepts the expected one, the output is wrong."""
    files = {"checker.py": cases.checker, "input": as_text(given), "expected": as_text(expected)}
    finished = _ran_checker({**files, "output": output})
    if _decided(finished):
        return finished.exit_code == 0
    if _decided(usual := _ran_checker({**files, "output": files["expected"]})) and usual.exit_code == 0:
        return False
    raise BadTests(f"the checker ended with exit code {finished.exit_code} {finished.limit}".rstrip())


def _ran_checker(files: dict[str, str | bytes]) -> Finished:
    with shared_pool().box() as box:
        box.put(files)
        return box.run(["python3", "checker.py"], limits=CHECKER)


def _decided(finished: Finished) -> bool:
    return not finished.limit and finished.exit_code in (0, 1) and b"Traceback" not in finished.stderr


def _asserted(source: str, cases: Cases, statements: str) -> Finding:
    """Run the statements in one sandbox and the program in another, with a channel between them."""
    limits = limits_of(cases)
    ours, theirs = socket.socketpair()
    ended: list[Finished | SandboxLost] = []

    def serve(box: Box) -> None:
        try:
            with theirs:
                ended.append(box.run(["python3", "served.py"], limits=limits, channel=theirs))
        except SandboxLost as error:
            ended.append(error)

    with ours, theirs, program_box(source, cases) as box, shared_pool().box() as tests:
        tests.put({"before.py": cases.before, "statements.py": statements, **_harness("asserting.py", "wire.py")})
        server = threading.Thread(target=serve, args=(box,), daemon=True)
        server.start()
        try:
            with ours:
                finished = tests.run(["python3", "asserting.py", cases.function], limits=limits, channel=ours)
        finally:
            server.join()
    (program,) = ended
    if isinstance(program, SandboxLost):
        raise program
    if finished.ok:
        return Finding(RIGHT)
    trouble = trouble_of(program, cases)
    if finished.exit_code == BAD_STATEMENTS and not trouble:
        raise BadTests(
            f"the statements of a test cannot be run: {finished.stderr.decode(errors='replace').strip()[-200:]}"
        )
    shown = (("statements", statements), *_said(program if trouble else finished))
    return Finding(trouble or "wrong_output", _shortened(shown))
