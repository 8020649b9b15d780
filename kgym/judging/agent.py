"""The first process of a sandbox: starts programs there, enforces their limits, and reports how they ended.

It runs as `python agent.py FD UID`. FD is its channel, and UID the user that it becomes, or - to keep its user. It is
process 1 of its namespace: the kernel does not deliver signals of the programs to it, and ends all of them when it
ends. The programs cannot read its memory or its files either (PR_SET_DUMPABLE is 0). It ends when the other end of its
channel is closed.

A program in Python (`python3 FILE ...`) runs in a fork of the agent, an interpreter that has started already, which
takes a quarter of the time of a start (`interpreter.py`). The fork knows what the judge has sent for this author, and
closes the agent's files first. Other programs are executed.

The sandbox does not contain kgym, so nothing is imported from it. `_socket` and `_signal` are used instead of `socket`
and `signal`, which would double the time of a start. A message is a number of parts, and each part its length and its
bytes, with lengths as four bytes:

    -> put, path, bytes, path, bytes, ...            <- done
    -> run, limits, input, number of arguments, arguments ..., NAME=value ...
       with at most one file descriptor, which is the program's 3
    <- ended, limit, exit code, wall seconds, cpu seconds, bytes of memory, output, errors
    <- failed, text                                  instead of either, and at the start instead of `ready`
"""

import _signal  # type: ignore[import-not-found]
import _socket
import contextlib
import ctypes
import gc
import os
import resource
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from kgym.judging import interpreter
else:
    import interpreter  # next to this file in the sandbox

CHANNEL = int(sys.argv[1]) if len(sys.argv) > 1 else -1
STORE, WORK = "/tmp", "/tmp/work"  # noqa: S108  (its own file system)
CHUNK = 1 << 16
SIGINT, SIGKILL, SIGXCPU, SIGXFSZ = 2, 9, 24, 25
PR_SET_DUMPABLE = 4
PAGE = resource.getpagesize()
TICKS = os.sysconf("SC_CLK_TCK")
prctl = ctypes.CDLL(None).prctl
LOOK_S = 0.01
"""Time between two counts of the processes."""
STARVED_S = 20.0
"""Most time without a processor that is added to a program's limit: less than the judge waits in addition."""


class Script(BaseException):
    """Raised in a fork to leave the agent's own code: the fork is to run a program in Python. Its argument is the
    command line.
    """


class Channel:
    """The connection to the judge."""

    def __init__(self) -> None:
        self._socket = _socket.socket(fileno=CHANNEL)
        self._fds: list[int] = []

    def receive(self) -> tuple[list[bytes], list[int]] | None:
        """Return the parts of a message and the file descriptors that came with it; None if the judge has closed it."""
        count = self._number()
        if count is None:
            return None
        parts = []
        for _ in range(count):
            size = self._number()
            part = None if size is None else self._exactly(size)
            if part is None:
                return None
            parts.append(part)
        fds, self._fds = self._fds, []
        return parts, fds

    def send(self, *parts: bytes) -> None:
        """Send a message."""
        data = b"".join([len(parts).to_bytes(4, "big"), *(len(part).to_bytes(4, "big") + part for part in parts)])
        self._socket.sendall(data)

    def forget(self) -> None:
        """In a fork: give up the file descriptor, which may be another file of the program."""
        self._socket.detach()

    def _number(self) -> int | None:
        data = self._exactly(4)
        return int.from_bytes(data, "big") if data is not None else None

    def _exactly(self, size: int) -> bytes | None:
        parts = bytearray()
        while len(parts) < size:
            data, ancillary, _, _ = self._socket.recvmsg(min(size - len(parts), CHUNK), 64)
            for _, _, numbers in ancillary:
                self._fds += [int.from_bytes(numbers[i : i + 4], sys.byteorder) for i in range(0, len(numbers), 4)]
            if not data:
                return None
            parts += data
        return bytes(parts)


class Limits:
    """Limits of a program, from the text of the message."""

    def __init__(self, text: bytes) -> None:
        self.wall_s, self.cpu_s, *counts = map(float, text.split())
        self.memory, self.processes, self.files, self.output, self.file_size = map(int, counts)

    def apply(self) -> None:
        """Set the kernel's limits, in the child. They hold for each process; `Tree` checks all processes together."""
        cpu = int(self.cpu_s) + 1
        for which, soft, hard in (
            (resource.RLIMIT_CPU, cpu, cpu + 1),
            (resource.RLIMIT_AS, *(2 * [self.memory + (256 << 20)])),
            (resource.RLIMIT_FSIZE, self.file_size, self.file_size),
            (resource.RLIMIT_NPROC, *(2 * [self.processes + 1])),  # the agent counts
            (resource.RLIMIT_STACK, *(2 * [min(self.memory, 64 << 20)])),
            (resource.RLIMIT_NOFILE, 64, 64),
            (resource.RLIMIT_CORE, 0, 0),
            (resource.RLIMIT_MEMLOCK, 0, 0),
            (resource.RLIMIT_SIGPENDING, 64, 64),
        ):
            _, most = resource.getrlimit(which)
            most = most if most != resource.RLIM_INFINITY else hard
            resource.setrlimit(which, (min(soft, most), min(hard, most)))


class Tree:
    """All processes of the sandbox except the agent."""

    def __init__(self) -> None:
        self.waited_s = _children_s()
        self.peak = 0
        self.starved_s = 0.0
        """Longest time that one of them, together with the agent, has waited for a processor while ready to run."""
        self._starved_before_s = _starved_s("self")
        self.cpu_s = 0.0

    def excess(self, limits: Limits) -> str:
        """Return the limit that they have exceeded together, or ""."""
        ticks, pages, tasks, starved_s = 0, 0, 0, 0.0
        for pid in _others():
            fields = _stat(pid)
            if fields:
                ticks += sum(map(int, fields[11:15]))
                tasks += int(fields[17])
                starved_s = max(starved_s, _starved_s(pid))
                pages += int(fields[21])
        self.starved_s = max(self.starved_s, starved_s + _starved_s("self") - self._starved_before_s)
        self.cpu_s = max(self.cpu_s, ticks / TICKS + _children_s() - self.waited_s)
        memory = pages * PAGE
        if memory + _stored() > limits.memory:
            memory = _proportional()  # pages that several processes share are counted once
        memory += _stored()
        self.peak = max(self.peak, memory)
        if memory > limits.memory:
            return "memory"
        if self.cpu_s > limits.cpu_s:
            return "cpu"
        if tasks > limits.processes:
            return "processes"
        return "files" if _inodes() > limits.files else ""

    def end(self) -> dict[int, int]:
        """Kill all processes and wait for each. Return the status of each by pid."""
        ended: dict[int, int] = {}
        while True:
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, SIGKILL)  # all except this process; a fork cannot escape it
            try:
                pid, status, _ = os.wait4(-1, 0)
            except ChildProcessError:
                return ended
            ended[pid] = status


def _others() -> list[str]:
    return [name for name in os.listdir("/proc") if name.isdigit() and name != "1"]


def _stat(pid: str) -> list[bytes]:
    """Return the fields of /proc/PID/stat from the state on; [] if the process is gone."""
    return _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()


def _read(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(4096)
    except OSError:
        return b""


def _starved_s(pid: str) -> float:
    """Return the seconds that a process has waited for a processor; 0 if the kernel does not count them."""
    fields = _read(f"/proc/{pid}/schedstat").split()
    return int(fields[1]) / 1e9 if len(fields) > 1 else 0.0


def _proportional() -> int:
    total = 0
    for pid in _others():
        for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
            if line.startswith(b"Pss:"):
                total += int(line.split()[1]) << 10
    return total


def _children_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _stored() -> int:
    """Return the bytes used in /tmp."""
    found = os.statvfs(STORE)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def _inodes() -> int:
    found = os.statvfs(STORE)
    return found.f_files - found.f_ffree


class Run:
    """One program."""

    def __init__(
        self, limits: Limits, argv: list[bytes], env: dict[bytes, bytes], given: bytes, fds: list[int]
    ) -> None:
        self.limits, self.given = limits, memoryview(given)
        self.output, self.errors = bytearray(), bytearray()
        self.limit = ""
        self.tree = Tree()
        self.begin = time.monotonic()
        self._start(argv, env, fds)

    def _start(self, argv: list[bytes], env: dict[bytes, bytes], fds: list[int]) -> None:
        in_read, self.stdin = os.pipe()
        self.stdout, out_write = os.pipe()
        self.stderr, err_write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _become(argv, env, (in_read, out_write, err_write, *fds), self.limits)
        for fd in (in_read, out_write, err_write, *fds):
            os.close(fd)
        for fd in (self.stdin, self.stdout, self.stderr):
            os.set_blocking(fd, False)
        self.watched = os.pidfd_open(self.pid)

    def finish(self) -> list[bytes] | None:
        """Wait until the program ends or exceeds a limit; end all that it has started. Return the parts of the report,
        or None if the judge has closed the channel.
        """
        poll = select.poll()
        for fd in (self.stdout, self.stderr, self.watched, CHANNEL):
            poll.register(fd, select.POLLIN)
        if self.given:
            poll.register(self.stdin, select.POLLOUT)
        else:
            self._close_input(None)
        heard = self._watch(poll)
        statuses = self.tree.end()
        wall_s = time.monotonic() - self.begin
        for fd in (self.stdout, self.stderr):  # what is left in the pipes; all writers have ended
            while not self.limit and self._take(fd):
                pass
        for fd in (self.stdout, self.stderr, self.watched):
            os.close(fd)
        self._close_input(None)
        if not heard:
            return None
        code = os.waitstatus_to_exitcode(statuses[self.pid])
        if not self.limit:
            self.limit = {-SIGXCPU: "cpu", -SIGXFSZ: "files"}.get(code, "")
        cpu_s = max(self.tree.cpu_s, _children_s() - self.tree.waited_s)
        facts = (self.limit, code, f"{wall_s:.6f}", f"{cpu_s:.6f}", self.tree.peak)
        return [b"ended", *(str(fact).encode() for fact in facts), bytes(self.output), bytes(self.errors)]

    def _watch(self, poll: "select.poll") -> bool:
        """Return False if the judge has closed the channel."""
        look_at = self.begin
        while True:
            now = time.monotonic()
            late = now >= self.begin + self.limits.wall_s  # time in which a program had no processor does not count
            if late and now >= self.begin + self.limits.wall_s + min(self.tree.starved_s, STARVED_S):
                self.limit = "time"
            elif now >= look_at:
                self.limit = self.limit or self.tree.excess(self.limits)
                took = time.monotonic() - now
                look_at = now + max(LOOK_S, 5 * took)
            if self.limit:
                return True
            until = look_at if late else min(look_at, self.begin + self.limits.wall_s)
            ready = poll.poll(max(0.0, until - time.monotonic()) * 1000 + 1)
            fds = [fd for fd, _ in ready]
            if CHANNEL in fds:
                return False
            if self.watched in fds:
                return True
            for fd in fds:
                if fd == self.stdin:
                    self._give(poll)
                elif not self._take(fd):
                    poll.unregister(fd)

    def _give(self, poll: "select.poll") -> None:
        try:
            self.given = self.given[os.write(self.stdin, self.given[:CHUNK]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:  # the program does not read its input
            self.given = memoryview(b"")
        if not self.given:
            self._close_input(poll)

    def _close_input(self, poll: "select.poll | None") -> None:
        if self.stdin >= 0:
            if poll:
                poll.unregister(self.stdin)
            os.close(self.stdin)
            self.stdin = -1

    def _take(self, fd: int) -> bool:
        """Return False at the end of a stream, or if nothing can be read from it now."""
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return False
        (self.output if fd == self.stdout else self.errors).extend(data)
        if len(self.output) + len(self.errors) > self.limits.output:
            self.limit = "output"
        return bool(data)


def _become(argv: list[bytes], env: dict[bytes, bytes], fds: tuple[int, ...], limits: Limits) -> "NoReturn":
    """In the child: become the program. Raises Script for a program in Python."""
    try:
        os.setsid()
        for number, fd in enumerate(fds):  # first to free numbers, then to their places
            os.dup2(fd, 20 + number)
        for number in range(len(fds)):
            os.dup2(20 + number, number)
        os.closerange(len(fds), 4096)
        for number in range(1, _signal.NSIG):  # Python ignores some, and the judge may have inherited others as ignored
            with contextlib.suppress(OSError, ValueError):
                _signal.signal(number, _signal.SIG_DFL)
        os.chdir(WORK)
        limits.apply()
        if argv[0] == b"python3" and len(argv) > 1 and os.path.isfile(argv[1]):
            _set_dumpable(1)
            os.environb.clear()
            os.environb.update(env)
            raise Script([os.fsdecode(word) for word in argv])
        os.execvpe(argv[0], argv, env)  # noqa: S606  (this is what the sandbox is for)
    except Script:
        raise
    except BaseException as error:
        os.write(2, argv[0] + f": {error}\n".encode())
        os._exit(127)


def _set_dumpable(value: int) -> None:
    if prctl(PR_SET_DUMPABLE, value, 0, 0, 0):
        raise OSError("prctl(PR_SET_DUMPABLE) failed")


def _settle(user: str) -> None:
    """Give up the rights that programs must not have."""
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("500")  # if memory runs out, the judge must not be killed first
    if user == "-":
        _set_dumpable(0)
    else:  # the kernel clears the flag when the user changes
        os.setgroups([])
        os.setresgid(int(user), int(user), int(user))
        os.setresuid(int(user), int(user), int(user))
    os.umask(0o077)
    os.mkdir(WORK, 0o700)


def _put(parts: list[bytes]) -> None:
    """Write files below the working folder. Only the agent has written there: the judge sends them before the first
    program.
    """
    for path, data in zip(parts[::2], parts[1::2], strict=True):
        full = os.path.join(os.fsencode(WORK), path)
        os.makedirs(os.path.dirname(full), mode=0o700, exist_ok=True)
        with open(full, "wb") as file:
            file.write(data)
        os.chmod(full, 0o700)


def main() -> None:
    """Serve the judge until it closes the channel."""
    _signal.signal(SIGINT, _signal.SIG_DFL)  # without a handler, process 1 gets no signals from inside the sandbox
    channel = Channel()
    begun = False
    try:
        _settle(sys.argv[2])
        gc.freeze()  # collections in a fork would copy the objects that they visit
        channel.send(b"ready")
        while (message := channel.receive()) is not None:
            (kind, *parts), fds = message
            if kind == b"put":
                if begun:
                    raise OSError("files have to be put before the first program runs")
                _put(parts)
                channel.send(b"done")
                continue
            begun = True
            limits, given, count, *rest = parts
            argv, names = rest[: int(count)], rest[int(count) :]
            env = dict(name.split(b"=", 1) for name in names)
            report = Run(Limits(limits), argv, env, given, fds).finish()
            if report is None:
                return
            channel.send(*report)
    except Script:
        channel.forget()
        raise
    except OSError as error:
        channel.send(b"failed", str(error).encode())


if __name__ == "__main__":
    script: list[str] = []
    try:
        main()
    except Script as found:
        (script,) = found.args
    if script:  # outside of all functions, so that the program has the whole depth of the stack
        status, names = 0, dict[str, object]()
        try:
            code, names = interpreter.prepared(script)
            exec(code, names)  # noqa: S102  (this is what the sandbox is for)
        except BaseException as error:
            status = interpreter.status_of(error)
        interpreter.end(status, names, WORK)
