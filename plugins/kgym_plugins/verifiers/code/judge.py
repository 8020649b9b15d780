"""Run a program on the cases of its problem, in a sandbox, and compare what it says outside of it."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kgym.errors import SandboxLost
from kgym.judging.box import Box, Finished
from kgym.judging.cases import Cases
from kgym.judging.sandbox import shared_pool
from kgym.limits import ProgramLimits
from kgym_plugins.verifiers.code.call_harness import NO_FUNCTION
from kgym_plugins.verifiers.code.compare import same_output, same_result

HERE = Path(__file__).parent
RIGHT = ""
"""Of a case; otherwise a word for what is wrong."""
CHECKER = ProgramLimits(wall_s=60, cpu_s=20, memory_mib=1024)


class BadTests(Exception):
    """The tests of a problem do not work: the program is not to blame."""


def limits_of(cases: Cases) -> ProgramLimits:
    """Return what a program may use: processor time decides, so that a busy machine makes no program wrong."""
    return ProgramLimits(wall_s=5 * cases.time_s + 5, cpu_s=cases.time_s, memory_mib=cases.memory_mib)


def findings(source: str, cases: Cases) -> Iterator[str]:
    """Yield what is wrong with each case, in order; `RIGHT` for nothing. Raises SandboxError and BadTests."""
    source = f"{cases.before}\n{source}" if cases.before else source
    if cases.kind == "asserts":
        for statements, _ in cases.cases:
            yield _asserted(source, cases, statements)
        return
    with program_box(source, cases) as box:
        for given, expected in cases.cases:
            if cases.kind == "call":
                finished = box.run(["python3", "call_harness.py", cases.function], json.dumps(given), limits_of(cases))
            else:
                finished = box.run(["python3", "solution.py"], given, limits_of(cases))
            yield _trouble(finished) or _compared(cases, given, expected, finished)


@contextmanager
def program_box(source: str, cases: Cases) -> Iterator[Box]:
    """Have a box with a program, and the harness that its cases need."""
    files = {"call": ("call_harness.py",), "asserts": ("served_harness.py", "wire.py"), "stdin": ()}[cases.kind]
    with shared_pool().box() as box:
        box.put({"solution.py": source, **_harness(*files)})
        yield box


def _harness(*names: str) -> dict[str, str]:
    return {name: (HERE / name).read_text(encoding="utf-8") for name in names}


def _trouble(finished: Finished) -> str:
    if finished.limit:
        return "time" if finished.limit == "cpu" else finished.limit
    if finished.exit_code:
        return "no_function" if finished.exit_code == NO_FUNCTION else "crash"
    return RIGHT


def _compared(cases: Cases, given: object, expected: object, finished: Finished) -> str:
    if cases.checker:
        same = _checked(cases, given, expected, finished.stdout)
    elif cases.kind == "call":
        same = same_result(expected, finished.stdout, cases.compare)
    else:
        same = same_output(str(expected), finished.stdout, cases.compare)
    return RIGHT if same else "wrong_output"


def _checked(cases: Cases, given: object, expected: object, output: bytes) -> bool:
    """Ask the checker of the problem."""
    as_text = [value if isinstance(value, str) else json.dumps(value) for value in (given, expected)]
    with shared_pool().box() as box:
        box.put({"checker.py": cases.checker, "input": as_text[0], "expected": as_text[1], "output": output})
        finished = box.run(["python3", "checker.py"], limits=CHECKER)
    if finished.limit or finished.exit_code not in (0, 1) or b"Traceback" in finished.stderr:
        raise BadTests(f"the checker ended with exit code {finished.exit_code} {finished.limit}".rstrip())
    return finished.exit_code == 0


def _asserted(source: str, cases: Cases, statements: str) -> str:
    """Run the statements in one sandbox and the program in another, with a channel between them."""
    limits = limits_of(cases)
    ours, theirs = socket.socketpair()
    ended: list[Finished | SandboxLost] = []

    def serve(box: Box) -> None:
        try:
            with theirs:
                ended.append(box.run(["python3", "served_harness.py"], limits=limits, channel=theirs))
        except SandboxLost as error:
            ended.append(error)

    with ours, theirs, program_box(source, cases) as box, shared_pool().box() as tests:
        tests.put({"statements.py": statements, **_harness("asserting_harness.py", "wire.py")})
        server = threading.Thread(target=serve, args=(box,), daemon=True)
        server.start()
        try:
            with ours:
                finished = tests.run(["python3", "asserting_harness.py", cases.function], limits=limits, channel=ours)
        finally:
            server.join()
    (program,) = ended
    if isinstance(program, SandboxLost):
        raise program
    if finished.ok:
        return RIGHT
    return _trouble(program) or "wrong_output"
