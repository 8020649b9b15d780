"""The caller's side of a fork server: start it, let it fork and end workers, and notice when it is lost.

    not started -> starting -> serving -> lost

It is lost as soon as its control channel fails or it does not reply to a request for `_ANSWER_S`; it is then killed,
with its workers. A lost server is not repaired: the pool starts another.
"""

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from kgym.errors import VerifierError
from kgym.verify.frames import receive_exactly, receive_frame, send_frame
from kgym.verify.zygote import NUMBER, UNKNOWN

STARTUP_S = 120.0
"""Time for importing the verifier's libraries on a busy machine."""
_ANSWER_S = 15.0


class NoWorker(Exception):
    """No worker can be started now, for a reason outside of the verifier: no more processes or memory, or the fork
    server is lost.
    """


class ServerLost(NoWorker):
    """The fork server has ended, with all of its workers."""


class ForkServer:
    """One fork server. `config` is what `zygote.main` reads."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Start the process. Raises NoWorker if that is not possible."""
        self.lost = False
        self._config = config
        self._lock = threading.Lock()
        self._control, theirs = channel_pair()
        try:
            self._process = _started(theirs)
        except (OSError, MemoryError) as error:
            self._control.close()
            raise NoWorker(f"no process can be started: {_reason(error)}") from error
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def greet(self) -> None:
        """Wait until it serves. Raises VerifierError if the verifier cannot be imported, and ServerLost."""
        try:
            send_frame(self._control, self._config)
            error = receive_frame(self._control, STARTUP_S)["error"]
        except (EOFError, OSError, ValueError) as problem:
            self.close()
            raise ServerLost(
                f"the fork server did not start ({_reason(problem)}, exit code {self._process.returncode})"
            ) from problem
        if error:
            self.close()
            raise VerifierError(f"verifier {self._config['target']} cannot be imported by its workers: {error}")

    def fork(self, channel: socket.socket) -> int:
        """Return the pid of a new worker at the other end of `channel`. Raises NoWorker if it cannot be forked, and
        ServerLost.
        """
        pid = self._ask(b"F", channel)
        if pid <= 0:
            raise NoWorker(f"no worker process can be forked: {os.strerror(-pid)}")
        return pid

    def end(self, pid: int) -> int | None:
        """Kill a worker; return its exit code, negative for a signal, or None if it is unknown. Raises ServerLost."""
        code = self._ask(b"E" + NUMBER.pack(pid))
        return None if code == UNKNOWN else code

    def _ask(self, request: bytes, channel: socket.socket | None = None) -> int:
        with self._lock:
            if self.lost:
                raise ServerLost("the fork server is gone")
            try:
                self._control.settimeout(_ANSWER_S)
                if channel is None:
                    self._control.sendall(request)
                else:
                    socket.send_fds(self._control, [request], [channel.fileno()])
                answer = _receive_number(self._control)
            except (EOFError, OSError) as error:
                self._lose()
                raise ServerLost(f"the fork server is gone ({_reason(error)})") from error
        return answer

    def close(self) -> None:
        """End it and its workers. May be called from any thread at any time."""
        self.lost = True
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)  # makes it kill its workers, and wakes up a running `_ask`
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._lose()
        close_quietly(self._control)

    def _lose(self) -> None:
        self.lost = True
        close_quietly(self._control)
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)

    def forget(self) -> None:
        """In a forked child, to which it does not belong: close the child's copies of the descriptors and leave the
        process alone.
        """
        self.lost = True
        close_quietly(self._control)
        self._process.returncode = 0  # or Popen would wait for a process that is not this one's child, and warn


def close_quietly(sock: socket.socket) -> None:
    """Close a socket, even if its descriptor is closed already, as after a process has become a daemon."""
    with contextlib.suppress(OSError):
        sock.close()


def channel_pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected sockets whose descriptors are above those of the standard streams, which may be closed.

    Raises NoWorker if too many files are open.
    """
    try:
        one, other = socket.socketpair()
        return _above_standard_streams(one), _above_standard_streams(other)
    except OSError as error:
        raise NoWorker(f"no channel to a worker can be opened: {_reason(error)}") from error


def _above_standard_streams(sock: socket.socket) -> socket.socket:
    if sock.fileno() > 2:
        return sock
    with sock:
        return socket.socket(fileno=fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD_CLOEXEC, 3))


def _started(control: socket.socket) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen(  # noqa: S603  (our own interpreter and module)
        [sys.executable, "-m", "kgym.verify.zygote", str(control.fileno())],
        pass_fds=[control.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=standard_error(),  # a verifier that prints must not write into the output of `kgym verify`
        stderr=standard_error(),
        start_new_session=True,  # Ctrl-C is for the caller; the pool ends the workers
        env=environment,
    )


def standard_error() -> int:
    """Return the descriptor of standard error, or DEVNULL if it is closed."""
    try:
        os.fstat(2)
    except OSError:
        return subprocess.DEVNULL
    return subprocess.DEVNULL if sys.__stderr__ is None else 2


def _receive_number(control: socket.socket) -> int:
    return int(NUMBER.unpack(receive_exactly(control, NUMBER.size, time.monotonic() + _ANSWER_S))[0])


def _reason(error: BaseException) -> str:
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__
