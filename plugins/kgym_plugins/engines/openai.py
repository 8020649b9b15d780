"""The engine `openai`: any server with OpenAI's chat completions API, for scoring.

    OPENAI_API_KEY=... kgym eval --engine openai --model gpt-x --bench aime-style --set
    engine.base_url=https://api.example.com/v1

    submit -> one task for each request, in the event loop of a thread: `openai_server.Server.complete` -> queue -> poll

A request that fails permanently ends the run, but completions that the server is still sampling are awaited and
returned first, because they have been paid for. A server cannot continue a completion, and its weights cannot be
changed.
"""

import asyncio
import contextlib
import logging
import queue
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from kgym.errors import ConfigError, EngineError
from kgym.options import Options
from kgym.types import Chat, GenerateRequest, Reply, Segment, Weights
from kgym_plugins.engines.openai_server import OWN_FIELDS, Server, check_server

log = logging.getLogger(__name__)

ENDING_S = 5.0
"""Time that open connections are given to close."""


class OpenAIOptions(Options):
    """Sampling from a server."""

    operational: ClassVar[frozenset[str]] = frozenset(
        {"key_variable", "concurrency", "timeout_s", "retries", "backoff_s", "requests_per_minute"}
    )

    base_url: str = Field("http://localhost:8000/v1", pattern=r"^https?://")
    """Address of the server, up to and including `/v1`."""
    key_variable: str = Field("OPENAI_API_KEY", min_length=1)
    """Environment variable that holds the API key. Without a value no key is sent."""
    concurrency: int = Field(32, ge=1, le=1024)
    """Requests that are open at the server at once."""
    timeout_s: float = Field(1800.0, gt=0)
    """Longest time for one completion; long chains of thought take many minutes."""
    retries: int = Field(8, ge=0)
    """Further attempts at a request after a temporary failure. A 429 does not count while the server completes other
    requests.
    """
    backoff_s: float = Field(1.0, gt=0)
    """Upper bound of the wait before the second attempt; it doubles with each attempt, up to a minute."""
    requests_per_minute: float | None = Field(None, gt=0)
    """Most requests in a minute, evenly spread; without it, only the server's limit applies."""
    budget_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """How the server names the token budget of a completion."""
    reasoning: Literal["keep", "drop"] = "keep"
    """Reasoning that a server returns in a separate field is kept, before the content in <think> marks, or dropped."""
    tokens: bool = False
    """Ask for token ids and log-probabilities, and store them. vLLM returns them (`return_token_ids`); most services
    do not.
    """
    send_seed: bool = True
    """Send a seed with each request; some servers refuse it."""
    body: dict[str, Any] = Field(default_factory=dict)
    """Further fields of each request, such as `chat_template_kwargs`. They are not part of the comparability hash."""

    @field_validator("body")
    @classmethod
    def _leaves_ours_alone(cls, body: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(OWN_FIELDS & body.keys()):
            raise ValueError(
                f"kgym sets {', '.join(taken)} itself, from --temperature, --max-tokens and the like; leave it out here"
            )
        return body


class OpenAIEngine:
    """See `kgym.types.Engine`; it samples from weights that it cannot change."""

    Options = OpenAIOptions

    def __init__(self, options: OpenAIOptions, model: str) -> None:
        """Raise ConfigError for a server that cannot be reached, that refuses the key, or that does not have the
        model.
        """
        self.check(options, model)
        self.options = options
        self.version = 0
        self._loop = asyncio.new_event_loop()
        self._server = Server(options, model)
        self._thread = threading.Thread(target=_serve, args=(self._loop, self._server), name="kgym-openai", daemon=True)
        self._thread.start()
        self.close = weakref.finalize(self, _end, self._loop, self._thread)
        """Close the connections. Also done when this object or the process ends."""
        self._ended: queue.SimpleQueue[tuple[str, Segment | EngineError | None]] = queue.SimpleQueue()
        """Requests that have ended, each with its segment, its error, or None if it was never sent."""
        self._tasks: dict[str, asyncio.Task[Segment | None]] = {}
        """Requests that have not ended; used only in the thread."""
        self._open: set[str] = set()
        self._found: list[Segment] = []
        """Segments that the next `poll` returns: kept here because Ctrl-C may interrupt a `poll`."""
        self._failure: EngineError | None = None
        """The error of a request that failed permanently. It is raised once no request is open at the server."""
        self._asleep = False

    @classmethod
    def check(cls, options: OpenAIOptions, model: str) -> None:
        """Raise ConfigError for a server that cannot be reached, that refuses the key, or that does not have the
        model.
        """
        check_server(options, model)

    @property
    def usage(self) -> Mapping[str, int]:
        """See `kgym.types.CountsUse`."""
        return dict(self._server.usage)

    def too_long(self, prompts: Sequence[Chat], context_tokens: int | None = None) -> dict[int, int]:
        """Raise ConfigError for a bound on prompt and completion together; the server reports prompts that are too long
        when they are sent.
        """
        if context_tokens is not None:
            raise ConfigError(
                f"env.context_tokens={context_tokens}: a server counts the tokens of a prompt only when it completes "
                "it; leave it out, and bound the completion by --max-tokens"
            )
        return {}

    def render_replies(self, replies: Sequence[Reply]) -> list[tuple[int, ...]]:
        """Return no tokens: the server gets all messages, and renders them."""
        return [() for _ in replies]

    def turns_note(self) -> str:
        """Return "": how a server renders earlier turns is not known here."""
        return ""

    # --- the protocol ---------------------------------------------------------------------------------------------

    def submit(self, requests: Sequence[GenerateRequest]) -> None:
        """See `Engine`. Raises EngineError for a turn that is to be continued, which a server cannot do."""
        names = [request.id for request in requests]
        if twice := next((name for name in names if name in self._open or names.count(name) > 1), None):
            raise EngineError(f"two requests have the same id {twice!r}; segments could not be told apart")
        if any(request.prefix_ids and not request.turns for request in requests):
            raise EngineError("a server cannot continue a completion")
        self._open.update(names)
        self._loop.call_soon_threadsafe(self._start, list(requests))

    def _start(self, requests: Sequence[GenerateRequest]) -> None:
        """In the thread."""
        for request in requests:
            task = self._tasks[request.id] = self._loop.create_task(self._server.complete(request))
            task.add_done_callback(partial(self._done, request.id))

    def _done(self, name: str, task: "asyncio.Task[Segment | None]") -> None:
        """In the thread: put the outcome of a request into the queue."""
        del self._tasks[name]
        found: Segment | EngineError | None
        if task.cancelled():
            found = Segment("", finish_reason="abort", version=self.version, request_id=name)
        elif (error := task.exception()) is not None:
            self._server.stop.set()
            found = error if isinstance(error, EngineError) else EngineError(f"{type(error).__name__}: {error}")
        else:
            found = task.result()
        self._ended.put((name, found))

    def poll(self, timeout_s: float | None = None) -> list[Segment]:
        """See `Engine`. Raises the error of a request that failed permanently, once all open requests have been
        returned.
        """
        if self._asleep:
            self._forget()
            raise EngineError("the engine sleeps; call wake() first")
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with contextlib.suppress(queue.Empty):
            while self._open:
                left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
                self._take(*self._ended.get(block=not self._found, timeout=left_s))
        if self._failure is not None and not self._found and not self._open:
            failure, self._failure = self._failure, None
            self._loop.call_soon_threadsafe(self._server.stop.clear)
            raise failure
        found, self._found = self._found, []
        return found

    def _take(self, name: str, ended: Segment | EngineError | None) -> None:
        if name not in self._open:
            return
        self._open.discard(name)
        if isinstance(ended, Segment):
            self._found.append(ended)
        elif ended is not None and self._failure is None:
            self._failure = ended
            if self._open:
                log.warning("%s; waiting for the requests that are open at the server", ended)

    def _forget(self) -> None:
        """Leave no request open; later results are ignored."""
        self.abort()
        while self._open:
            self._open.discard(self._ended.get()[0])
        self._found.clear()

    def abort(self, ids: Sequence[str] | None = None) -> None:
        """See `Engine`. The connection is closed, so servers stop sampling; what was sampled is lost."""
        self._loop.call_soon_threadsafe(self._cancel, None if ids is None else list(ids))

    def _cancel(self, ids: Sequence[str] | None) -> None:
        """In the thread."""
        for name in list(self._tasks) if ids is None else ids:
            if name in self._tasks:
                self._tasks[name].cancel()

    def load(self, version: int, weights: Weights) -> None:
        """Raise EngineError: the weights of a server cannot be changed."""
        raise EngineError(f"weights cannot be loaded into the server at {self.options.base_url}")

    def sleep(self) -> None:
        """See `Engine`; it holds no memory."""
        if self._open:
            raise EngineError(f"{len(self._open)} requests are open; abort and poll them before sleep")
        self._asleep = True

    def wake(self) -> None:
        """See `Engine`."""
        self._asleep = False


def _serve(loop: asyncio.AbstractEventLoop, server: Server) -> None:
    """The thread: run the loop until it is stopped, then cancel what is open and close the connections."""

    async def closed(tasks: set["asyncio.Task[Any]"]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.client.aclose()
        await asyncio.sleep(0.0)  # transports close in the next pass of the loop

    try:
        loop.run_forever()
        loop.run_until_complete(asyncio.wait_for(closed(asyncio.all_tasks(loop)), ENDING_S))
    except TimeoutError:
        log.warning("the connections to the server were not closed within %g s", ENDING_S)
    finally:
        loop.close()


def _end(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    """End the thread. The garbage collector may call this in any thread, also in that one, which cannot wait for
    itself.
    """
    loop.call_soon_threadsafe(loop.stop)
    if thread is not threading.current_thread():
        thread.join(2 * ENDING_S)
