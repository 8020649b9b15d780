"""Run programs of untrusted authors in isolation: without network and without other files, with limits on time, memory,
processes and output.

    >>> finished = run({"main.py": "print(6 * 7)"}, ["python3", "main.py"])
    >>> finished.stdout
    b'42\\n'

A `Box` is one sandbox (bwrap, see `bubblewrap.py`) with an agent in it (`agent.py`) that starts programs and reports
how they ended, over a socket that the programs cannot access. A box serves one author: several programs may run in it
one after the other (the tests of one submission), and then it is thrown away with everything in it. The start takes
most of the time, so `sandbox.py` starts boxes ahead of need.

If programs cannot be isolated, no box starts: SandboxError says why, and what to do.
"""

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from kgym.errors import SandboxError, SandboxLost
from kgym.judging import bubblewrap
from kgym.judging.cgroups import Cgroup
from kgym.judging.syscalls import seccomp_filter
from kgym.limits import ProgramLimits

START_S = 20.0
"""Longest time for the start of a sandbox."""
STORAGE_MIB = ProgramLimits().storage_mib
GRACE_S = 30.0
"""Time in addition to its limit for which a program is waited for; the agent enforces the limit itself."""
LONGEST_REPLY = 1 << 31
_MIB = 1 << 20
_LENGTH = struct.Struct("!I")


@dataclass(frozen=True)
class Finished:
    """How a program ended."""

    exit_code: int
    """As in subprocess: negative for a signal."""
    limit: str
    """The limit that it was stopped for: `time`, `cpu`, `memory`, `processes`, `files` or `output`; "" if it ended
    by itself.
    """
    stdout: bytes
    stderr: bytes
    wall_s: float
    cpu_s: float
    """Processor time of all its processes together."""
    memory_mib: float
    """Largest memory that was measured, every 10 ms."""

    @property
    def ok(self) -> bool:
        """Whether it ended by itself with exit code 0."""
        return self.exit_code == 0 and not self.limit


class Box:
    """One sandbox, for one thread at a time."""

    def __init__(self, storage_mib: int = STORAGE_MIB) -> None:
        """Start the sandbox and wait until it is ready. Raises SandboxError if programs cannot be isolated."""
        self.storage_mib = storage_mib
        self._said = os.memfd_create("said")
        self._used = False
        self._channel, theirs = socket.socketpair()
        self._cgroup: Cgroup | None = None
        self._pidfd = -1
        self._process: subprocess.Popen[bytes] | None = None
        try:
            with theirs:
                child = self._start(theirs)
            reply = self._receive(time.monotonic() + START_S)
            if reply[0] != b"ready":
                raise SandboxError(reply[1].decode(errors="replace"))
            self._pidfd = os.pidfd_open(child)
            self._cgroup = Cgroup.around(child)
        except (OSError, EOFError, SandboxError) as error:
            text = self._words() or str(error)
            self.close()
            raise SandboxError(f"programs cannot be isolated: {text}; {bubblewrap.remedy([text])}") from error
        except BaseException:
            self.close()
            raise

    def _start(self, theirs: socket.socket) -> int:
        """Return the process id of the agent."""
        rules = os.memfd_create("seccomp")
        info_read, info_write = os.pipe()
        with os.fdopen(info_read, "rb") as info, os.fdopen(rules, "wb", buffering=0) as file:
            file.write(seccomp_filter())
            file.seek(0)
            with os.fdopen(info_write, "wb") as written:
                self._process = subprocess.Popen(  # noqa: S603  (bwrap, with what bubblewrap.py says)
                    bubblewrap.command(
                        channel_fd=theirs.fileno(),
                        info_fd=written.fileno(),
                        seccomp_fd=rules,
                        storage_bytes=self.storage_mib * _MIB,
                    ),
                    stdin=subprocess.DEVNULL,
                    stdout=self._said,
                    stderr=self._said,
                    pass_fds=(theirs.fileno(), written.fileno(), rules),
                    env={},
                )
            text = info.read()
        if not text:
            raise SandboxError("bwrap did not start")
        return int(json.loads(text)["child-pid"])

    def put(self, files: Mapping[str, bytes | str]) -> None:
        """Write files into the working folder, before the first program runs. Raises ValueError for a path that
        leaves it.
        """
        if self._used:
            raise ValueError("put files before the first program runs: a program could have left links there")
        parts = []
        for path, data in files.items():
            if not path or path.startswith("/") or "\0" in path or ".." in path.split("/"):
                raise ValueError(f"{path!r} is not a path within the working folder")
            parts += [path.encode(), data.encode(errors="surrogatepass") if isinstance(data, str) else data]
        if parts:
            self._ask([b"put", *parts], START_S)

    def run(
        self,
        command: Sequence[str],
        stdin: bytes | str = b"",
        limits: ProgramLimits | None = None,
        *,
        channel: socket.socket | None = None,
    ) -> Finished:
        """Run a program, end all processes that it has started, and return how it ended.

        A `channel` is the program's file descriptor 3. Raises SandboxLost if the sandbox ends meanwhile.
        """
        limits = limits or ProgramLimits()
        self._used = True
        if self._cgroup is not None:
            self._cgroup.limit(limits.memory_mib * _MIB, limits.processes)
        numbers = (limits.wall_s, limits.cpu_s, limits.memory_mib * _MIB, limits.processes, limits.files)
        sizes = (int(limits.output_mib * _MIB), min(limits.storage_mib, self.storage_mib) * _MIB)
        environment = [f"{name}={value}" for name, value in bubblewrap.environment().items()]
        reply = self._ask(
            [
                *(
                    b"run",
                    " ".join(map(str, (*numbers, *sizes))).encode(),
                    stdin.encode(errors="surrogatepass") if isinstance(stdin, str) else stdin,
                ),
                *(
                    str(len(command)).encode(),
                    *(word.encode() for word in command),
                    *(name.encode() for name in environment),
                ),
            ],
            limits.wall_s + GRACE_S,
            () if channel is None else (channel.fileno(),),
        )
        return self._finished(reply)

    def _finished(self, reply: list[bytes]) -> Finished:
        try:
            _, limit, code, wall_s, cpu_s, memory, stdout, stderr = reply
            finished = Finished(
                int(code), limit.decode(), stdout, stderr, float(wall_s), float(cpu_s), int(memory) / _MIB
            )
        except ValueError as error:
            raise SandboxLost(f"a sandbox sent a damaged report: {error}") from error
        if (
            finished.exit_code == -signal.SIGKILL
            and not finished.limit
            and self._cgroup is not None
            and self._cgroup.ran_out_of_memory()
        ):
            return replace(finished, limit="memory")
        return finished

    def close(self) -> None:
        """End the sandbox with everything in it."""
        self._channel.close()
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            os.close(self._pidfd)
            self._pidfd = -1
        if self._process is not None:
            try:
                self._process.wait(START_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._cgroup is not None:
            self._cgroup.remove()
            self._cgroup = None
        if self._said >= 0:
            os.close(self._said)
            self._said = -1

    @property
    def alive(self) -> bool:
        """Whether the sandbox can still be used."""
        return self._process is not None and self._process.poll() is None

    def forget(self) -> None:
        """In a forked child: close what belongs to the parent, without ending anything."""
        self._channel.close()
        self._process = self._cgroup = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- messages ---

    def _ask(self, parts: Sequence[bytes], patience_s: float, fds: Sequence[int] = ()) -> list[bytes]:
        """Send a message and return the reply. Raises SandboxLost without a reply."""
        until = time.monotonic() + patience_s
        data = b"".join([_LENGTH.pack(len(parts)), *(_LENGTH.pack(len(part)) + part for part in parts)])
        try:
            self._channel.settimeout(patience_s)
            sent = socket.send_fds(self._channel, [data], list(fds)) if fds else 0
            self._channel.sendall(memoryview(data)[sent:])
            reply = self._receive(until)
        except (OSError, EOFError) as error:
            raise SandboxLost(
                f"a sandbox ended while it worked ({type(error).__name__}) {self._words()}".rstrip()
            ) from error
        if reply[0] == b"failed":
            raise SandboxLost(f"a sandbox failed: {reply[1].decode(errors='replace')}")
        return reply

    def _receive(self, until: float) -> list[bytes]:
        (count,) = _LENGTH.unpack(_receive_exactly(self._channel, _LENGTH.size, until))
        if not 0 < count <= 16:
            raise SandboxLost(f"a sandbox sent a message of {count} parts")
        parts, left = [], LONGEST_REPLY
        for _ in range(count):
            (size,) = _LENGTH.unpack(_receive_exactly(self._channel, _LENGTH.size, until))
            left -= size
            if left < 0:
                raise SandboxLost("a sandbox sent a message that is too long")
            parts.append(_receive_exactly(self._channel, size, until))
        return parts

    def _words(self) -> str:
        """Return the last line that bwrap or the agent has printed."""
        if self._said < 0:
            return ""
        lines = (
            os.pread(self._said, 4000, max(0, os.fstat(self._said).st_size - 4000))
            .decode(errors="replace")
            .splitlines()
        )
        return lines[-1].strip() if lines else ""


def _receive_exactly(sock: socket.socket, size: int, until: float) -> bytes:
    """Receive `size` bytes before the monotonic time `until`. Raises TimeoutError and EOFError."""
    parts = bytearray()
    while len(parts) < size:
        sock.settimeout(max(0.001, until - time.monotonic()))
        part = sock.recv(min(size - len(parts), _MIB))
        if not part:
            raise EOFError("the other side has closed the connection")
        parts += part
    return bytes(parts)
