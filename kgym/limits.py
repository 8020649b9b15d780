"""Limits of a verifier's workers and of programs in the sandbox."""

import os

from pydantic import Field

from kgym.options import Options
from kgym.world import n_local_ranks


class PoolLimits(Options):
    """Limits of the workers in which a verifier judges. They do not hold if it judges in the caller's process."""

    workers: int | None = Field(None, ge=1, le=256)
    """Worker processes of a rank; without it one for each processor that it has to itself, at most 8."""
    deadline_s: float = Field(5.0, gt=0, le=1e6, allow_inf_nan=False)
    """Seconds for one completion, from when a worker starts to judge it; after that it is `unscored:timeout`."""
    memory_gib: float = Field(1.0, gt=0, allow_inf_nan=False)
    """Memory that a worker may use in addition to the verifier's libraries; a completion that needs more is
    `unscored:memory`.
    """
    recycle_after: int = Field(5000, ge=1)
    """A worker is replaced after this many completions, so that memory leaks of libraries do not accumulate."""

    @property
    def n_workers(self) -> int:
        """The number of worker processes on this machine."""
        return self.workers or max(1, min(8, (os.cpu_count() or 1) // n_local_ranks()))


class ProgramLimits(Options):
    """Limits of a program in the sandbox, for all of its processes together unless an option says otherwise."""

    wall_s: float = Field(10.0, gt=0, le=3600, allow_inf_nan=False)
    """Seconds of wall-clock time."""
    cpu_s: float = Field(10.0, gt=0, le=3600, allow_inf_nan=False)
    """Seconds of processor time."""
    memory_mib: int = Field(512, ge=16)
    """Memory, files in /tmp included."""
    processes: int = Field(32, ge=1, le=4096)
    """Processes and threads at the same time."""
    files: int = Field(1000, ge=10)
    """Files and folders in /tmp."""
    storage_mib: int = Field(64, ge=1)
    """Size of all files in /tmp together, and of each one."""
    output_mib: float = Field(4.0, gt=0, le=1024)
    """Size of standard output and standard error together."""
