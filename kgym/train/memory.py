"""Memory: how much a device has, how much a process took, and which errors mean that it ran out.

On a CPU, the available memory is the least of what the system has available, what the cgroups of the process leave, and
what its limits (`ulimit -v`, `ulimit -d`) leave. On a GPU it is what the driver reports as free.
"""

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

import torch

from kgym.world import n_local_ranks

GIB = 1 << 30
PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
OF_ALLOCATORS = ("memory: you tried to allocate", "std::bad_alloc")
"""Messages of torch's CPU allocator and of C++."""


def available_bytes(device: torch.device) -> int | None:
    """Return how much more memory this process can have on a device; None if it is unknown. Ranks share the memory of
    their machine.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type != "cpu":
        return None
    shared = [n // n_local_ranks() for n in (_system_bytes(), *_cgroup_bytes()) if n is not None]
    return min((n for n in (*shared, *_limit_bytes()) if n is not None), default=None)


def peak_bytes(device: torch.device) -> int | None:
    """Return the most memory that the process had at once: torch's own on a GPU, all of the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = _table(PROC / "self" / "status").get("VmHWM")
    return peak if device.type == "cpu" else None


def used_bytes(device: torch.device) -> int | None:
    """Return the memory that the process has now."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return _table(PROC / "self" / "status").get("VmRSS") if device.type == "cpu" else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or what it was raised from, says that memory ran out: Python's, torch's own or that of its
    CPU allocator.
    """
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if isinstance(current, MemoryError | torch.OutOfMemoryError):
            return True
        if isinstance(current, RuntimeError) and any(words in str(current) for words in OF_ALLOCATORS):
            return True
        current = current.__cause__ or current.__context__
    return False


def _system_bytes() -> int | None:
    return _table(PROC / "meminfo").get("MemAvailable")


def _table(file: Path) -> dict[str, int]:
    """Return the lines `Name:  123 kB` of a file of the kernel, in bytes; {} if there is no such file."""
    found = {}
    with contextlib.suppress(OSError):
        for line in file.read_text().splitlines():
            name, _, value = line.partition(":")
            if value.endswith(" kB"):
                found[name] = int(value.split()[0]) * 1024
    return found


def _cgroup_bytes() -> Iterator[int]:
    """Yield the bytes that each cgroup above the process leaves, of version 2 and of version 1. The page cache counts
    as free.
    """
    with contextlib.suppress(OSError):
        for line in (PROC / "self" / "cgroup").read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            if number == "0":
                yield from _left(CGROUPS, path, "memory.max", "memory.current", "inactive_file")
            elif "memory" in controllers.split(","):
                yield from _left(
                    CGROUPS / "memory", path, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
                )


def _left(root: Path, path: str, limit: str, usage: str, cache: str) -> Iterator[int]:
    """Yield limit minus usage of a cgroup and of those above it; in a container, where the path does not exist, of the
    root.
    """
    folder = root / path.strip("/")
    for group in (folder, *folder.parents):
        with contextlib.suppress(OSError, ValueError):  # "max" is not a limit
            most, used = int((group / limit).read_text()), int((group / usage).read_text())
            yield max(0, most - used + _statistic(group / "memory.stat", cache))
        if group == root:
            break


def _statistic(file: Path, name: str) -> int:
    with contextlib.suppress(OSError):
        for line in file.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    return 0


def _limit_bytes() -> Iterator[int]:
    """Yield the bytes that the limits of the process leave."""
    status = _table(PROC / "self" / "status")
    for kind, name in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        soft, _ = resource.getrlimit(kind)
        if soft != resource.RLIM_INFINITY and name in status:
            yield max(0, soft - status[name])
