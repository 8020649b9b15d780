"""The worker's side of `worker.py`: one engine, and one reply for each request, until the other side hangs up.

It is started as a new interpreter (`python -m kgym.rollout.serving CHANNEL LIFE`), so the main script does not run
again. The pickles on the channel are written and read by these two modules alone.
"""

import contextlib
import os
import select
import socket
import sys
import threading
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

import torch

from kgym import errors
from kgym.errors import ComponentError, KgymError
from kgym.models.weights import TensorWeights
from kgym.neutral import error_line
from kgym.rollout.engine import make_engine
from kgym.rollout.sharing import Layout, shared
from kgym.types import Engine, MeasuresPrompts, RendersReplies, Replicated, ShowsWeights


class Server:
    """Serves the requests of one channel."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._channel = Connection(os.dup(sock.fileno()))
        self._engine: Engine
        self._weights: TensorWeights | None = None

    def run(self) -> None:
        """Make the engine as the first message says, and serve it. Returns when the channel is closed."""
        name, options, model, threads, path = self._channel.recv()
        sys.path[:] = path
        torch.set_num_threads(threads)
        try:
            self._engine = make_engine(name, options, model)
        except (Exception, SystemExit) as error:  # third-party code may raise anything
            self._channel.send(("error", _portable(error)))
            return
        self._channel.send(("made", (self._engine.version, self._offers())))
        while True:
            method, arguments, threads = self._channel.recv()
            if threads != torch.get_num_threads():
                torch.set_num_threads(threads)
            self._channel.send(self._reply(method, arguments))

    def _offers(self) -> dict[str, Any]:
        """Return what the engine offers in addition to the methods of every engine."""
        engine = self._engine
        return {
            "measures": isinstance(engine, MeasuresPrompts),
            "shows": isinstance(engine, ShowsWeights),
            "renders": isinstance(engine, RendersReplies),
            "replicas": engine.replicas if isinstance(engine, Replicated) else None,
        }

    def _reply(self, method: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        try:
            return ("value", self._call(method, arguments), self._engine.version)
        except (Exception, SystemExit) as error:
            return ("error", _portable(error))

    def _call(self, method: str, arguments: tuple[Any, ...]) -> Any:
        if method == "share":
            self._share(*arguments)
            return None
        if method == "load":
            assert self._weights is not None
            version, adapter = arguments
            arguments = (version, replace(self._weights, adapter=adapter))
        return getattr(self._engine, method)(*arguments)

    def _share(self, layout: Layout) -> None:
        """Map the block whose descriptor comes after the message."""
        _, (fd,), _, _ = socket.recv_fds(self._socket, 1, 1)
        self._weights = None
        self._weights = shared(layout, fd)
        os.close(fd)


def _portable(error: BaseException) -> KgymError:
    """Return one of kgym's own errors with the same message: the other side may not have the package that defines the
    original.
    """
    kind = next((kind for kind in type(error).__mro__ if kind.__module__ == errors.__name__), None)
    return ComponentError(error_line(error)) if kind is None else kind(str(error))


def _end_with(life: socket.socket) -> None:
    """End this process, also in the middle of a call, once the other end of `life` is closed: the parent is gone."""
    waiting = select.poll()
    waiting.register(life, select.POLLIN)
    waiting.poll()
    os._exit(0)


def main(channel_fd: int, life_fd: int) -> None:
    """Serve one parent."""
    threading.Thread(target=_end_with, args=(socket.socket(fileno=life_fd),), daemon=True).start()
    with contextlib.suppress(EOFError, ConnectionError):  # it hung up
        Server(socket.socket(fileno=channel_fd)).run()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
