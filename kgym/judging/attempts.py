"""The probe runs this inside a sandbox: it tries what a program must not be able to do, and prints as JSON what it was
able to do.

The sandbox does not contain kgym, so nothing is imported from it. The arguments are folders that may be in / in
addition to the usual ones.
"""

import ctypes
import json
import os
import signal
import socket
import sys
from collections.abc import Callable

USUAL = {"bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "tmp", "usr"}
ENVIRONMENT = {"PATH", "HOME", "LANG", "LC_CTYPE", "PWD", "PYTHONHASHSEED"}
CLONE_NEWUSER = 0x10000000


def refused(action: Callable[[], object]) -> bool:
    """Whether the system refuses an action."""
    try:
        action()
    except OSError:
        return True
    return False


def written(path: str) -> bool:
    """Whether a file can be created at a path."""
    return not refused(lambda: os.open(path, os.O_WRONLY | os.O_CREAT))


def holes() -> list[str]:
    """Return what the sandbox fails to prevent."""
    with open("/proc/self/status") as file:
        status = dict(line.split(":", 1) for line in file if ":" in line)
    with open("/proc/net/dev") as file:
        interfaces = {line.split(":")[0].strip() for line in file.readlines()[2:]}
    outside = ("/x", "/usr/x", "/dev/x", "/run/x", "/etc/x")
    processes = {name for name in os.listdir("/proc") if name.isdigit()}
    found = {
        "has rights of root": int(status["CapEff"], 16) != 0 or os.getuid() == 0,
        "can gain rights": int(status["NoNewPrivs"]) != 1,
        "makes system calls that are not filtered": int(status["Seccomp"]) != 2,
        "sees processes outside": processes != {"1", str(os.getpid())},
        "can read what its keeper does": not refused(lambda: os.open("/proc/1/mem", os.O_RDONLY))
        or not refused(lambda: os.listdir("/proc/1/fd")),
        "sees other folders": not USUAL | {*sys.argv[1:]} >= {*os.listdir("/")},
        "can write outside of /tmp": any(map(written, outside)),
        "has a network": not refused(socket.socket) or not interfaces <= {"lo"},
        "can make namespaces": ctypes.CDLL(None).unshare(CLONE_NEWUSER) == 0,
        "has an environment": not {*os.environ} <= ENVIRONMENT,
    }
    return [what for what, true in found.items() if true]


def started(most: int) -> int:
    """Return how many processes can be started, up to `most`."""
    for n in range(most):
        try:
            if os.fork() == 0:
                signal.pause()
        except OSError:
            return n
    return most


if __name__ == "__main__":
    print(json.dumps({"holes": holes(), "processes": started(100)}))  # noqa: T201  (the report of a program)
