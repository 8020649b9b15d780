"""The fork server of a verifier pool, and the workers that it forks.

The pool starts this module as a fresh, single-threaded interpreter (`python -m kgym.verify.zygote FD`). It imports the
verifier once and forks a worker whenever the pool asks. So no worker is forked from a process with threads or CUDA, no
worker runs the user's main script again (as multiprocessing's would), and each starts within milliseconds.
`multiprocessing` is not used.

Control channel, from the pool to the fork server: `F` with a file descriptor, the worker's end of its channel; the
reply is the worker's pid or, if no process can be made, the negative errno. `E` and a pid: kill that worker; the reply
is its exit code. Only the end of the control channel ends the fork server, with all of its workers.

A worker's channel: the pool sends batches of items, each a list of (gold, response, question, problem_id, turns). The
worker sends `{"kind": "ready"}` or `{"kind": "failed", "error": ...}` when it is built, then `{"kind": "verdict", ...}`
for each item, or `{"kind": "memory"}` before it ends if a batch did not fit into its memory.
"""

import contextlib
import ctypes
import errno
import importlib
import math
import os
import resource
import signal
import socket
import struct
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields as fields_of
from functools import reduce
from pathlib import Path
from typing import Any

from kgym.loading import import_file
from kgym.types import Message, Verdict, Verifier, VerifyItem
from kgym.verify.checked import Trouble, judge
from kgym.verify.frames import encoded, receive_exactly, receive_frame, send_frame

NUMBER = struct.Struct("!q")
UNKNOWN = 1 << 32
"""Sent instead of an exit code: the worker was killed and has not ended yet."""
LONGEST_VERDICT = 1 << 28
"""Most bytes of a verdict's message."""
_FIELDS = tuple(field.name for field in fields_of(Verdict))
_PR_SET_PDEATHSIG = 1
_REAP_S = 2.0


def main(control_fd: int) -> None:
    """Serve one pool until it hangs up."""
    control = socket.socket(fileno=control_fd)
    _default_signals()
    config = receive_frame(control)
    sys.path[:] = config["path"]
    try:
        module, _, attributes = config["target"].partition(":")
        if config["file"]:
            import_file(module, Path(config["file"]))
        target = reduce(getattr, attributes.split("."), importlib.import_module(module))
        if preload := getattr(target, "preload", None):
            preload()
    except (Exception, SystemExit) as error:
        send_frame(control, {"error": f"{type(error).__name__}: {error}"})
        return
    send_frame(control, {"error": None})
    workers: set[int] = set()
    with contextlib.suppress(EOFError, OSError):  # the pool has hung up
        _serve(control, target, config, workers)
    for pid in workers:
        _end(pid)


def _serve(control: socket.socket, target: Any, config: Mapping[str, Any], workers: set[int]) -> None:
    """Reply to requests. Raises EOFError or OSError when the pool hangs up, and for no other reason."""
    while True:
        command, fds, _, _ = socket.recv_fds(control, 1, 1)
        if command == b"F":
            pid = _fork(control, fds, target, config)
            if pid > 0:
                workers.add(pid)
            control.sendall(NUMBER.pack(pid))
        elif command == b"E":
            (pid,) = NUMBER.unpack(receive_exactly(control, NUMBER.size))
            code = _end(pid) if pid in workers else UNKNOWN  # a pid that is not a worker is not killed
            if code != UNKNOWN:
                workers.discard(pid)
            control.sendall(NUMBER.pack(code))
        else:
            return


def _fork(control: socket.socket, fds: list[int], target: Any, config: Mapping[str, Any]) -> int:
    """Return the pid of a new worker, or a negative errno."""
    if not fds:
        return -errno.EMFILE  # the descriptor was lost in transfer: too many are open
    try:
        pid = os.fork()
    except OSError as error:
        pid = -(error.errno or errno.EAGAIN)
    except MemoryError:
        pid = -errno.ENOMEM
    if pid == 0:
        control.close()
        _work(socket.socket(fileno=fds[0]), target, config)
    os.close(fds[0])
    return pid


def _end(pid: int) -> int:
    """Kill a worker and the processes that it started, if it still runs; return its exit code, negative for a signal. A
    worker that is already ending keeps its own code.
    """
    for kill in (os.killpg, os.kill):  # the group exists once the worker has made it
        with contextlib.suppress(OSError):
            kill(pid, signal.SIGKILL)
    until = time.monotonic() + _REAP_S
    while time.monotonic() < until:
        try:
            ended, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            return UNKNOWN
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return UNKNOWN  # it waits in the kernel (a disk that does not respond) and ends when the kernel returns


def _work(channel: socket.socket, target: Any, config: Mapping[str, Any]) -> None:
    """Judge until the pool hangs up; never returns into the fork server."""
    code = 1
    try:
        os.setpgid(0, 0)  # processes that the verifier starts are killed with it
        _die_with_parent()
        verifier = _built(channel, target, config)
        if verifier is not None:
            _limit_memory(config["memory_bytes"])
            send_frame(channel, {"kind": "ready"})
            _judge_all(channel, verifier, config["cpu_s"])
    except (EOFError, OSError):
        code = 0
    except Exception as error:
        with contextlib.suppress(OSError):
            send_frame(channel, {"kind": "failed", "error": f"{type(error).__name__}: {error}"})
    finally:
        os._exit(code)


def _built(channel: socket.socket, target: Any, config: Mapping[str, Any]) -> Verifier | None:
    try:
        options_class = getattr(target, "Options", None)
        verifier: Verifier = target(options_class(**config["options"]) if options_class else None)
    except (Exception, SystemExit) as error:
        send_frame(channel, {"kind": "failed", "error": f"{type(error).__name__}: {error}"})
        return None
    return verifier


def _judge_all(channel: socket.socket, verifier: Verifier, cpu_s: float) -> None:
    own = os.getpid()
    while True:
        batch: list[VerifyItem] | None = None
        with contextlib.suppress(MemoryError):
            batch = [_item(*fields) for fields in receive_frame(channel)]
        if batch is None:  # the batch is freed by now, so there is memory to report it
            send_frame(channel, {"kind": "memory"})
            return
        for item in batch:
            _limit_cpu(cpu_s)
            reply = _reply(verifier, item)
            if os.getpid() != own:  # the verifier has forked, and the child returned: its reply would count for another
                os._exit(0)
            channel.sendall(reply)


def _item(gold: str, response: str, question: str, problem_id: str, turns: Sequence[Sequence[str]]) -> VerifyItem:
    return VerifyItem(gold, response, question, problem_id, tuple(Message(*turn) for turn in turns))


def _reply(verifier: Verifier, item: VerifyItem) -> bytes:
    begin = time.perf_counter()
    try:
        ((verdict, trouble),) = judge(verifier, [item])
        seconds = time.perf_counter() - begin
        reply = _message(verdict, trouble, seconds)
        if len(reply) <= LONGEST_VERDICT:
            return reply
        text = f"returned a Verdict of {len(reply):,} bytes; at most {LONGEST_VERDICT:,} are taken"
        return _message(Verdict("unscored", "bad_verdict"), Trouble("bad_verdict", text), seconds)
    except MemoryError:  # while the message was being encoded
        return _message(Verdict("unscored", "memory"), None, time.perf_counter() - begin)


def _message(verdict: Verdict, trouble: Trouble | None, seconds: float) -> bytes:
    fields = {name: getattr(verdict, name) for name in _FIELDS}
    return encoded({"kind": "verdict", "verdict": {**fields, "seconds": seconds}, "trouble": trouble})


def _default_signals() -> None:
    """Reset inherited signal handling: with SIGCHLD ignored, exit codes cannot be read; with SIGXCPU ignored, the limit
    of processor time has no effect.
    """
    for number in (signal.SIGCHLD, signal.SIGXCPU, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _die_with_parent() -> None:
    """Ask Linux to kill this worker when the fork server ends, in any way."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() == 1:
            os._exit(0)


def _limit_memory(extra_bytes: int) -> None:
    """Limit the address space to `extra_bytes` more than the verifier's own libraries have mapped."""
    if sys.platform != "linux":  # macOS accepts the limit and does not enforce it
        return
    with open("/proc/self/statm", "rb") as statm:
        now = int(statm.read().split()[0]) * resource.getpagesize()
    _set_limit(resource.RLIMIT_AS, now + extra_bytes)


def _limit_cpu(seconds: float) -> None:
    """Allow `seconds` more of processor time, in case the pool's deadline fails to end the worker."""
    _set_limit(resource.RLIMIT_CPU, math.ceil(time.process_time() + seconds) + 1)


def _set_limit(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(which, (value, hard))


if __name__ == "__main__":
    main(int(sys.argv[1]))
