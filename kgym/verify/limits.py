"""What a verifier's worker may use."""

import os

from pydantic import Field

from kgym.options import Options


class PoolLimits(Options):
    """Limits of a verifier pool."""

    workers: int = Field(default_factory=lambda: max(1, min(8, os.cpu_count() or 1)), ge=1, le=256)
    """Worker processes; by default one for each processor, 8 at most."""
    deadline_s: float = Field(5.0, gt=0)
    """Seconds for one item, from when a worker starts on it."""
    memory_gib: float = Field(1.0, gt=0)
    """How much a worker's address space may grow beyond the verifier's own libraries."""
    recycle_after: int = Field(5000, ge=1)
    """A worker is replaced after so many items, so that what a library leaks does not grow for ever."""
