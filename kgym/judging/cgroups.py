"""Limits for all processes of a sandbox together, enforced by the kernel, on machines where this user may make cgroups.

A sandbox does not depend on them: its agent counts memory and processes itself, every 10 ms. A cgroup is exact, and
also counts what the kernel stores for the programs: pipes, sockets, directory entries. Both versions are supported: 2
where systemd has delegated it, 1 for root.
"""

import contextlib
import functools
import itertools
import os
import time
from pathlib import Path
from typing import NamedTuple, Self

MOUNTED = Path("/sys/fs/cgroup")
CONTROLLERS = ("memory", "pids")
OVERHEAD = 64 << 20
"""Bytes for the agent and for what the kernel stores for a small program, in addition to the program's memory."""
REMOVE_S = 0.5
_serial = itertools.count()


class Place(NamedTuple):
    """Where cgroups can be made: a folder for each controller; in version 2 it is the same folder."""

    folders: tuple[Path, ...]
    memory_file: str
    events_file: str


V1 = ("memory.limit_in_bytes", "memory.oom_control")
V2 = ("memory.max", "memory.events")


class Cgroup:
    """A cgroup around the processes of one sandbox."""

    def __init__(self, place: Place) -> None:
        name = f"kgym-{os.getpid()}-{next(_serial)}"
        self._place = place
        self._folders = tuple(dict.fromkeys(folder / name for folder in place.folders))
        for folder in self._folders:
            folder.mkdir()
        self._kills = 0

    @classmethod
    def around(cls, pid: int) -> Self | None:
        """Put a process, with all that it will start, into a new cgroup; return None if that is not possible."""
        place = usable_place()
        if place is None:
            return None
        try:
            made = cls(place)
        except OSError:
            return None
        try:
            for folder in made._folders:
                (folder / "cgroup.procs").write_text(str(pid))
        except OSError:
            made.remove()
            return None
        return made

    def limit(self, memory_bytes: int, processes: int) -> None:
        """Set what the next program may use."""
        with contextlib.suppress(OSError):  # the agent enforces the same limits
            (self._folders[0] / self._place.memory_file).write_text(str(memory_bytes + OVERHEAD))
            (self._folders[-1] / "pids.max").write_text(str(processes + 2))
        self._kills = self._oom_kills()

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel has killed a process for its memory since the last call of `limit`."""
        return self._oom_kills() > self._kills

    def remove(self) -> None:
        """Remove the cgroup; its processes have been killed and may take a moment to end."""
        until = time.monotonic() + REMOVE_S
        for folder in self._folders:
            while folder.exists():
                try:
                    folder.rmdir()
                except OSError:
                    if time.monotonic() > until:
                        break
                    time.sleep(0.002)

    def _oom_kills(self) -> int:
        with contextlib.suppress(OSError, ValueError):
            for line in (self._folders[0] / self._place.events_file).read_text().splitlines():
                key, _, value = line.partition(" ")
                if key == "oom_kill":
                    return int(value)
        return 0


@functools.cache
def usable_place() -> Place | None:
    """Return where this process can make cgroups with limits of memory and processes, or None."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    for place in candidates(lines, MOUNTED):
        try:
            Cgroup(place).remove()
        except OSError:
            continue
        for folder in place.folders:
            sweep(folder)
        return place
    return None


def sweep(folder: Path) -> None:
    """Remove the cgroups of processes that were killed before they could remove them."""
    for left in folder.glob("kgym-*-*"):
        if not Path("/proc", left.name.split("-")[1]).exists():
            with contextlib.suppress(OSError):
                left.rmdir()


def candidates(lines: list[str], mounted: Path) -> list[Place]:
    """Return the places to try, given the lines of /proc/self/cgroup and the folder where cgroups are mounted.

    Version 2 allows processes only in leaves, so a sibling of this process's cgroup is tried before a child of it.
    """
    own = {
        controller: path
        for line in lines
        for _, controllers, path in [line.split(":", 2)]
        for controller in controllers.split(",")
    }
    found = []
    if "" in own and (mounted / "cgroup.controllers").exists():
        here = mounted / own[""].strip("/")
        for folder in (here.parent, here):
            control = folder / "cgroup.subtree_control"
            if folder.is_relative_to(mounted) and control.exists() and {*CONTROLLERS} <= {*control.read_text().split()}:
                found.append(Place((folder,), *V2))
    if all(controller in own for controller in CONTROLLERS):
        folders = [mounted / controller / own[controller].strip("/") for controller in CONTROLLERS]
        found.append(Place(tuple(folders), *V1))
        # in a container the path above may not exist
        found.append(Place(tuple(mounted / controller for controller in CONTROLLERS), *V1))
    return found
