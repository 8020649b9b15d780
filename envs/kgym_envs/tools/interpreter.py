"""The environment `python`: problems of another environment, and a tool that runs a program in a sandbox.

Every call runs a separate program: results and files of earlier calls are gone. See `kgym.judging.sandbox` for what a
program cannot do.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from kgym.envs.task import ERROR
from kgym.envs.toolcalls import Tool
from kgym.envs.tooltask import ToolOptions, ToolTask, text_argument
from kgym.errors import SandboxLost
from kgym.judging import bubblewrap, probe
from kgym.judging.box import Finished
from kgym.judging.sandbox import shared_pool
from kgym.limits import ProgramLimits

TRIES = 2
PARAMETERS = {
    "type": "object",
    "properties": {
        "code": {"type": "string", "description": "a whole program in Python 3, which prints what it finds"}
    },
    "required": ["code"],
}
LIMITS = {
    "time": "it took longer than {limits.wall_s:g} s",
    "cpu": "it took more than {limits.cpu_s:g} s of processor time",
    "memory": "it needed more than {limits.memory_mib} MiB of memory",
    "processes": "it started more than {limits.processes} processes",
    "files": "it wrote more files than it may",
    "output": "it printed more than {limits.output_mib:g} MiB",
}


class PythonOptions(ToolOptions):
    """Options for the problems, for how programs are written, and for their limits."""

    problems: str = Field("arithmetic", min_length=1)
    """Name of the environment with the problems; its verifier judges the last turn."""
    limits: ProgramLimits = ProgramLimits(wall_s=20, cpu_s=5, output_mib=1)
    """Limits of one program: `env.limits.cpu_s=2`."""


class Python(ToolTask):
    """See `kgym.envs.tooltask.ToolTask`."""

    Options = PythonOptions
    slow = True
    options: PythonOptions

    @staticmethod
    def missing() -> str:
        """Return what is missing on this machine to isolate programs, with the remedy; "" if nothing is."""
        return bubblewrap.missing() or probe.check()

    def tools(self) -> Sequence[Tool]:
        """Return the interpreter."""
        about = "runs a program in Python 3 and returns what it prints; nothing is kept from one program to the next."
        return (Tool("python", about, self._run, PARAMETERS, main="code"),)

    def _run(self, arguments: Mapping[str, Any]) -> str:
        """Run a program. Raises SandboxError if programs cannot be isolated, SandboxLost if the sandbox was lost
        twice.
        """
        files, limits = {"main.py": text_argument(arguments, "code")}, self.options.limits
        for left in reversed(range(TRIES)):
            try:
                return said(shared_pool().run(files, ["python3", "main.py"], limits), limits)
            except SandboxLost:
                if not left:
                    raise
        raise AssertionError("unreachable")


def said(finished: Finished, limits: ProgramLimits) -> str:
    """Return the reply to the policy: the output of the program and, if it failed, the reason."""
    printed = finished.stdout.decode(errors="replace").rstrip()
    if finished.ok:
        return printed or "(it printed nothing)"
    if finished.limit:
        why = LIMITS.get(finished.limit, f"it reached the limit {finished.limit}").format(limits=limits)
    else:
        why = finished.stderr.decode(errors="replace").strip() or f"it ended with exit code {finished.exit_code}"
    return "\n".join(filter(None, [f"{ERROR}the program failed: {why}", printed and f"It printed:\n{printed}"]))
