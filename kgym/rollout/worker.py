"""Any engine in its own process, with the same methods: `ahead` trains while it samples.

    engine = ProcessEngine("transformers", {"max_batch": 64}, model_folder)

Each method is one request and one reply, so the engine gets the same calls as in this process, and samples the same
tokens. Weights go through shared memory. The worker ends with this process, however that ends.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

import torch

from kgym.blame import remember
from kgym.errors import EngineError
from kgym.models.weights import TensorWeights
from kgym.registry import registry
from kgym.rollout.sharing import Layout, allocate, shared
from kgym.types import Chat, GenerateRequest, HeldTensor, Reply, Segment, Weights
from kgym.verify.server import channel_pair, standard_error

ENDING_S = 5.0
"""Time that a worker has to end by itself."""


class ProcessEngine:
    """See `kgym.types.Engine`. The engine is asked for by name, as `make_engine` takes it."""

    def __init__(self, name: str, options: Mapping[str, Any], model: str) -> None:
        """Start the worker and make the engine there. Raises what making it raises."""
        self._label = registry().label("engine", name)
        remember(self, self._label)
        self._lock = threading.Lock()
        self._weights: TensorWeights | None = None
        self._layout: Layout | None = None
        self._process, self._socket, life = _started()
        self._channel = Connection(os.dup(self._socket.fileno()))
        self.close = weakref.finalize(self, _end, self._process, self._channel, self._socket, life)
        """End the worker. Also done when this object or the process ends."""
        try:
            self.version, offers = self._answer(
                (name, dict(options), model, torch.get_num_threads(), [path for path in sys.path if path])
            )
        except BaseException:
            self.close()
            raise
        if offers["measures"]:
            self.too_long = self._too_long
        if offers["shows"]:
            self.held = self._held
        if offers["renders"]:
            self.render_replies, self.turns_note = self._render_replies, self._turns_note
        if offers["replicas"] is not None:
            self.replicas: int = offers["replicas"]

    @property
    def pid(self) -> int:
        """Process id of the worker."""
        return self._process.pid

    def submit(self, requests: Sequence[GenerateRequest]) -> None:
        """As the engine does."""
        self._call("submit", list(requests))

    def poll(self, timeout_s: float | None = None) -> list[Segment]:
        """As the engine does."""
        segments: list[Segment] = self._call("poll", timeout_s)
        return segments

    def abort(self, ids: Sequence[str] | None = None) -> None:
        """As the engine does, before its next `poll`."""
        self._call("abort", None if ids is None else list(ids))

    def load(self, version: int, weights: Weights) -> None:
        """Copy the weights into shared memory, from which the engine takes them."""
        named = [(name, tensor.detach()) for name, tensor in weights.named()]
        layout = Layout.of(named)
        if layout != self._layout:
            self._share(layout)
        assert self._weights is not None
        for name, tensor in named:
            self._weights.tensors[name].copy_(tensor)
        self._call("load", version, weights.adapter)

    def _share(self, layout: Layout) -> None:
        """Allocate a block for weights and let the worker map it."""
        self._layout = self._weights = None
        fd = allocate(layout.n_bytes)
        try:
            self._weights = shared(layout, fd)
            self._call("share", layout, fd=fd)
        finally:
            os.close(fd)
        self._layout = layout

    def sleep(self) -> None:
        """As the engine does."""
        self._call("sleep")

    def wake(self) -> None:
        """As the engine does."""
        self._call("wake")

    def _too_long(self, prompts: Sequence[Chat], context_tokens: int | None = None) -> dict[int, int]:
        found: dict[int, int] = self._call("too_long", list(prompts), context_tokens)
        return found

    def _held(self) -> Sequence[HeldTensor]:
        found: Sequence[HeldTensor] = self._call("held")
        return found

    def _render_replies(self, replies: Sequence[Reply]) -> list[tuple[int, ...]]:
        found: list[tuple[int, ...]] = self._call("render_replies", list(replies))
        return found

    def _turns_note(self) -> str:
        found: str = self._call("turns_note")
        return found

    # --- the channel ----------------------------------------------------------------------------------------------

    def _call(self, method: str, *arguments: Any, fd: int | None = None) -> Any:
        with self._lock:
            if not self.close.alive:
                raise EngineError("its process has ended; make the engine again")
            value, self.version = self._answer((method, arguments, torch.get_num_threads()), fd)
            return value

    def _answer(self, request: Any, fd: int | None = None) -> Any:
        """Send a request and return what came back.

        Raises the error that the engine raised, EngineError if the worker is gone.
        """
        try:
            self._channel.send(request)
            if fd is not None:
                socket.send_fds(self._socket, [b"\0"], [fd])
            kind, *answer = self._channel.recv()
        except (EOFError, OSError) as error:
            raise self._gone() from error
        except BaseException:  # interrupted, such as by Ctrl-C: the content of the channel is unknown
            self.close()
            raise
        if kind == "error":
            raise answer[0]
        return answer[0] if kind == "made" else answer

    def _gone(self) -> EngineError:
        self.close()
        code = self._process.returncode
        how = f"exit code {code}"
        with contextlib.suppress(ValueError):
            how += f", {signal.Signals(-code).name}" if code < 0 else ""
        return EngineError(
            f"its process ended ({how}) while it was needed; its last messages are on standard error. If the system "
            "has killed it, memory ran out: sample fewer completions at once, or use a smaller model; then resume "
            "with --resume"
        )


def _started() -> tuple["subprocess.Popen[bytes]", socket.socket, socket.socket]:
    """Start a worker; return it with this end of its channel and of the socket whose end tells it that this process is
    gone.
    """
    mine, theirs = channel_pair()
    life, their_life = channel_pair()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with theirs, their_life:
        process = subprocess.Popen(  # noqa: S603  (our own interpreter and module)
            [sys.executable, "-m", "kgym.rollout.serving", str(theirs.fileno()), str(their_life.fileno())],
            pass_fds=[theirs.fileno(), their_life.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=standard_error(),  # an engine that prints must not write into the output of a command
            stderr=standard_error(),
            start_new_session=True,  # Ctrl-C must reach this process alone
            env=environment,
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
