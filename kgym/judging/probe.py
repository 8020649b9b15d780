"""Whether the sandbox isolates programs on this machine: before the first other program, one program tries what it must
not be able to do.

bwrap may start and isolate less than it says (an old kernel that counts processes per user, another process's /proc, a
system call filter that was not loaded), so the check is what a program is able to do.
"""

import json
import threading
from pathlib import Path

from kgym.errors import SandboxError
from kgym.judging import bubblewrap
from kgym.judging.box import Box
from kgym.limits import ProgramLimits

PROCESSES = 8
"""Limit on the processes of the probe."""

_lock = threading.Lock()
_finding: str | None = None


def check() -> str:
    """Return why programs cannot be isolated here, with the remedy; "" if they can."""
    try:
        require()
    except SandboxError as error:
        return str(error)
    return ""


def require() -> None:
    """Raise SandboxError unless programs are isolated here; this is tested once in a process."""
    global _finding  # noqa: PLW0603  (one machine, one finding)
    with _lock:
        if _finding is None:
            _finding = _tried()
        if _finding:
            raise SandboxError(_finding)


def _tried() -> str:
    program = Path(__file__).with_name("attempts.py").read_text(encoding="utf-8")
    try:
        with Box() as box:
            box.put({"attempts.py": program})
            home = Path(bubblewrap.python()).parts[1]
            limits = ProgramLimits(wall_s=20, processes=PROCESSES)
            finished = box.run(["python3", "attempts.py", home], limits=limits)
    except SandboxError as error:
        return str(error)
    try:
        report = json.loads(finished.stdout)
        holes, started = report["holes"], report["processes"]
    except (ValueError, TypeError, KeyError):
        words = finished.stderr.decode(errors="replace").strip().splitlines()[-1:] or [
            f"exit code {finished.exit_code}"
        ]
        return f"programs cannot be isolated: the probe did not end well ({words[0]}); {bubblewrap.remedy(words)}"
    holes += ["can start any number of processes"] * (started > PROCESSES) + ["cannot start processes"] * (started < 2)
    if holes:
        text = f"in the sandbox a program {', '.join(holes)}"
        return f"programs cannot be isolated: {text}; Linux 5.14 and bubblewrap 0.8 or later are needed"
    return ""
