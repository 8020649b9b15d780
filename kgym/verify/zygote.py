"""The fork server of a verifier pool, and the workers that it forks.

The pool starts this module as a fresh, single-threaded interpreter (`python -m kgym.verify.zygote FD`). It imports the verifier once
and forks a worker whenever the pool asks, so that no worker descends from a process with threads or CUDA, none runs the user's main
script again (as multiprocessing's would), and each is there in milliseconds. `multiprocessing` is not used.

Control channel, pool to zygote: `F` with a file descriptor, the worker's end of its own channel, answered by the worker's pid;
`E` and a pid: kill that worker, answered by its exit code. The end of the channel ends the zygote and all of its workers.
"""

import contextlib
import ctypes
import importlib
import math
import os
import resource
import signal
import socket
import struct
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import reduce
from pathlib import Path
from typing import Any

from kgym.loading import import_file
from kgym.types import Verdict, Verifier, VerifyItem
from kgym.verify.frames import receive_exactly, receive_frame, send_frame

NUMBER = struct.Struct("!q")
_PR_SET_PDEATHSIG = 1


def main(control_fd: int) -> None:
    """Serve one pool until it hangs up."""
    control = socket.socket(fileno=control_fd)
    if control_fd > 2:
        with contextlib.suppress(OSError):
            os.dup2(2, 1)  # standard output belongs to the results of the caller's command, whatever a verifier prints
    config = receive_frame(control)
    sys.path[:] = config["path"]
    try:
        module, _, attributes = config["target"].partition(":")
        if config["file"]:
            import_file(module, Path(config["file"]))
        target = reduce(getattr, attributes.split("."), importlib.import_module(module))
        if preload := getattr(target, "preload", None):
            preload()
    except Exception as error:
        send_frame(control, {"error": f"{type(error).__name__}: {error}"})
        return
    send_frame(control, {"error": None})
    workers: set[int] = set()
    try:
        while True:
            command, fds, _, _ = socket.recv_fds(control, 1, 1)
            if command == b"F":
                pid = os.fork()
                if pid == 0:
                    control.close()
                    _work(socket.socket(fileno=fds[0]), target, config)
                os.close(fds[0])
                workers.add(pid)
                control.sendall(NUMBER.pack(pid))
            elif command == b"E":
                (pid,) = NUMBER.unpack(receive_exactly(control, NUMBER.size))
                control.sendall(NUMBER.pack(_end(pid)))
                workers.discard(pid)
            else:
                return
    except (EOFError, OSError):
        return
    finally:
        for pid in workers:
            _end(pid)


def _end(pid: int) -> int:
    """Kill a worker if it still runs; return its exit code, negative for a signal. One that is ending already keeps its own code."""
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _work(channel: socket.socket, target: Any, config: Mapping[str, Any]) -> None:
    """Judge until the pool hangs up; never returns into the zygote."""
    code = 0
    try:
        _die_with_parent()
        os.dup2(2, 1)  # a verifier that prints must not write into the output of `kgym verify`
        options_class = getattr(target, "Options", None)
        verifier = target(options_class(**config["options"]) if options_class else None)
        _limit_memory(config["memory_bytes"])
        send_frame(channel, {"ready": True})
        while True:
            for gold, response, question in receive_frame(channel):
                _limit_cpu(config["cpu_s"])
                send_frame(channel, _judge(verifier, VerifyItem(gold, response, question)))
    except (EOFError, OSError):
        pass
    except Exception as error:
        code = 1
        with contextlib.suppress(OSError):
            send_frame(channel, {"ready": False, "error": f"{type(error).__name__}: {error}"})
    finally:
        os._exit(code)


def _judge(verifier: Verifier, item: VerifyItem) -> dict[str, Any]:
    begin = time.perf_counter()
    try:
        (verdict,) = verifier.verify_many([item])
    except MemoryError:
        verdict = Verdict("unscored", "memory")
    except Exception as error:
        verdict = Verdict("unscored", f"error:{type(error).__name__}")
    return {**asdict(verdict), "seconds": time.perf_counter() - begin}


def _die_with_parent() -> None:
    """Ask Linux to kill this worker when the zygote ends, however it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() == 1:
            os._exit(0)


def _limit_memory(extra_bytes: int) -> None:
    """Let the address space grow by `extra_bytes` over what the verifier's own libraries have mapped."""
    if sys.platform != "linux":  # macOS accepts the limit and does not keep it
        return
    with open("/proc/self/statm", encoding="ascii") as statm:
        now = int(statm.read().split()[0]) * resource.getpagesize()
    _set_limit(resource.RLIMIT_AS, now + extra_bytes)


def _limit_cpu(seconds: float) -> None:
    """Allow `seconds` more of processor time; the kernel's second net under the pool's deadline."""
    _set_limit(resource.RLIMIT_CPU, math.ceil(time.process_time() + seconds) + 1)


def _set_limit(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(which, (value, hard))


if __name__ == "__main__":
    main(int(sys.argv[1]))
