"""Programs that try to get out of the sandbox, to stay in it, or to take the machine with them.

    python tests/sandbox_attacks.py         runs all of them from four threads, as the user that runs it,
                                            and prints what was not contained

Each is run as a fork of the interpreter that is in the sandbox, as programs in Python are, and in its own interpreter.
After each the next program has to be judged rightly.
"""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from kgym.errors import SandboxError
from kgym.judging.sandbox import Pool, close_all
from kgym.limits import ProgramLimits

LIMITS = ProgramLimits(wall_s=5, cpu_s=1, memory_mib=256, processes=16, files=200, storage_mib=16, output_mib=1)
SECRET = "the gold answer is 7f3a9c"

PRELUDE = r"""
import ctypes, errno, glob, os, signal, socket, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
JUDGE, SECRET_FILE, PORT, ABSTRACT, CHECKOUT = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), *sys.argv[4:6]
breaches = []

def attempt(what, function, *args):
    # a breach, unless the system refuses
    try:
        result = function(*args)
    except (OSError, ImportError, AttributeError):
        return
    breaches.append(f"{what}: {result!r}"[:200])

def call(name, number, *args):
    # a breach, if the system call works or even comes as far as looking at its arguments
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    if result != -1 or ctypes.get_errno() not in (errno.ENOSYS, errno.EPERM, errno.EACCES):
        breaches.append(f"{name}: {result}, errno {ctypes.get_errno()}")

def done():
    print("BREACH " + "; ".join(breaches) if breaches else "contained", flush=True)
"""


class Attack(NamedTuple):
    """A program and how it may end; see tests/data/attacks.txt."""

    name: str
    source: str
    ends: tuple[str, ...]


def _attacks():
    text = Path(__file__).with_name("data").joinpath("attacks.txt").read_text()
    for part in text.split("\n=== ")[1:]:
        title, _, source = part.partition("\n")
        name, _, ends = title.partition(": ")
        yield Attack(name, source, tuple(ends.split()))


ATTACKS = list(_attacks())


class Target:
    """What the attacks aim at outside of the sandbox."""

    def __init__(self, folder):
        self.secret = Path(folder, "gold.txt")
        self.secret.write_text(SECRET)
        self.secret.chmod(0o644)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.abstract = f"kgym-{os.getpid()}"
        self.local = socket.socket(socket.AF_UNIX)
        self.local.bind("\0" + self.abstract)
        self.local.listen()
        self.visited = []
        for server in (self.listener, self.local):
            threading.Thread(target=self._serve, args=(server,), daemon=True).start()

    def _serve(self, server):
        with contextlib.suppress(OSError):
            while True:
                server.accept()
                self.visited.append(server.getsockname())

    @property
    def arguments(self):
        return [
            str(os.getpid()),
            str(self.secret),
            str(self.listener.getsockname()[1]),
            self.abstract,
            str(Path(__file__).parents[1]),
        ]

    def close(self):
        self.listener.close()
        self.local.close()


COMMANDS = {"forked": ("python3", "main.py"), "executed": ("env", "python3", "main.py")}


def faults(pool, attack, target, how_started):
    """Run an attack and a program after it; return what was not as it should be."""
    found = []
    try:
        finished = pool.run({"main.py": PRELUDE + attack.source}, [*COMMANDS[how_started], *target.arguments], LIMITS)
    except SandboxError as error:
        return [f"{attack.name}, {how_started}: {error}"]
    said = finished.stdout + finished.stderr
    if b"BREACH" in said or SECRET.encode() in said:
        found.append(f"BREACH: {said[-500:]!r}")
    contained = finished.ok and finished.stdout.rstrip().endswith(b"contained")
    how = finished.limit or ("contained" if contained else "ends" if finished.ok else "dies")
    if how not in attack.ends:
        found.append(f"ended as {how!r} (exit code {finished.exit_code}): {said[-300:]!r}")
    if finished.wall_s > LIMITS.wall_s + 20 + 3:  # it may have waited so long for a processor
        found.append(f"took {finished.wall_s:.1f} s")
    after = pool.run(
        {"main.py": "print(sum(map(int, input().split())))"}, ["python3", "main.py"], LIMITS, stdin="19 23\n"
    )
    if not after.ok or after.stdout != b"42\n":
        found.append(f"the next program: {after}")
    return [f"{attack.name}, {how_started}: {fault}" for fault in found]


def run_all(threads=4):
    """Return the faults of all attacks, run from several threads at once."""
    os.environ["KGYM_TEST_SECRET"] = SECRET
    pool = Pool(2)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        target = Target(folder)
        try:
            with ThreadPoolExecutor(threads) as executor:
                runs = [(attack, how) for attack in ATTACKS for how in COMMANDS]
                found = [
                    fault
                    for faulty in executor.map(lambda run: faults(pool, run[0], target, run[1]), runs)
                    for fault in faulty
                ]
            found += [f"connections from inside: {target.visited}"] if target.visited else []
        finally:
            pool.close()
            close_all()
            target.close()
            del os.environ["KGYM_TEST_SECRET"]
    left = subprocess.run(
        ["ps", "-o", "pid,ppid,args", "--ppid", str(os.getpid())], capture_output=True, text=True, check=False
    ).stdout
    return found + [f"left over: {line}" for line in left.splitlines() if "bwrap" in line]


if __name__ == "__main__":
    every = run_all()
    print("\n".join(every))
    print(f"{len(ATTACKS)} attacks, {len(every)} faults, user {os.getuid()}")
    sys.exit(bool(every))
