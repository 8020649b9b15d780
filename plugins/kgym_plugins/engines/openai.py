"""The engine `openai`: any server that speaks the chat completions of OpenAI, for scoring.

    OPENAI_API_KEY=... kgym eval --engine openai --model gpt-x --bench aime-style --set engine.base_url=https://api.example.com/v1

Requests are sent by a number of threads. What a server says is temporary (429, 5xx, a cut connection, no answer in time, an answer that
is not JSON) is asked again, later each time and at random within bounds, so that clients do not come back together (full jitter). A 429
that says when to come back stops all threads until then. What is wrong with the request itself ends the run with the server's words; the
answers that are stored by then are not asked for again when the evaluation is resumed.

A server counts tokens and returns text. Where it returns the tokens too (vLLM: `return_token_ids`), segments have them.
The API key is read from the environment and is in no manifest, message or log.
"""

import contextlib
import logging
import os
import queue
import random
import threading
import time
import weakref
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import httpx
from pydantic import Field

from kgym.errors import ConfigError, EngineError
from kgym.options import Options
from kgym.types import FinishReason, GenerateRequest, Segment, Weights

log = logging.getLogger(__name__)

LONGEST_WAIT_S = 60.0
"""Between two attempts at a request, unless the server asks for more."""
TEMPORARY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
"""Status codes after which the same request may succeed."""
ENDS: dict[str | None, FinishReason] = {"length": "length", "max_tokens": "length"}
"""Finish reasons of servers; any other is an answer that ended itself."""


class OpenAIOptions(Options):
    """Sampling from a server."""

    base_url: str = Field("http://localhost:8000/v1", pattern=r"^https?://")
    """Address of the server, up to and including `/v1`."""
    served: str | None = Field(None, min_length=1)
    """Name of the model at the server; without it that of `--model`."""
    key_variable: str = Field("OPENAI_API_KEY", min_length=1)
    """Environment variable that holds the API key. Without a value no key is sent."""
    concurrency: int = Field(32, ge=1, le=1024)
    """Requests that are open at the server at once."""
    timeout_s: float = Field(1800.0, gt=0)
    """Longest time for one answer; long chains of thought take many minutes."""
    retries: int = Field(8, ge=0)
    """Further attempts at a request after a temporary failure."""
    backoff_s: float = Field(1.0, gt=0)
    """Upper bound of the wait before the second attempt; it doubles with each attempt, up to a minute."""
    requests_per_minute: float | None = Field(None, gt=0)
    """Most requests in a minute, evenly spread; without it only the server's limit."""
    budget_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """How the server names the budget of an answer."""
    reasoning: Literal["keep", "drop"] = "keep"
    """What becomes of reasoning that a server returns in a field of its own: it is put before the answer, in <think> marks, or dropped."""
    send_seed: bool = True
    """Send a seed with each request; some servers refuse it."""
    body: dict[str, Any] = Field(default_factory=dict)
    """Further fields of each request, such as `chat_template_kwargs`. They are part of what is asked."""


@dataclass(frozen=True)
class _Failed:
    """A request that will not be answered."""

    request_id: str
    error: EngineError


class _Temporary(Exception):
    """An attempt failed in a way that may pass."""

    def __init__(self, kind: str, said: str, wait_s: float | None = None) -> None:
        super().__init__(said)
        self.kind = kind
        self.wait_s = wait_s


class OpenAIEngine:
    """See `kgym.types.Engine`; it samples from weights that it cannot change."""

    Options = OpenAIOptions

    def __init__(self, options: OpenAIOptions, model: str) -> None:
        self.options = options
        self.version = 0
        self.served = options.served or model
        self.usage: Counter[str] = Counter()
        """What was asked and used: `requests`, `prompt_tokens`, `completion_tokens`, `retries`, and failures by kind."""
        self._key = os.environ.get(options.key_variable, "")
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            timeout=httpx.Timeout(options.timeout_s, connect=30.0),
            limits=httpx.Limits(max_connections=options.concurrency, max_keepalive_connections=options.concurrency),
        )
        self._threads = ThreadPoolExecutor(options.concurrency, thread_name_prefix="kgym-openai")
        self.close = weakref.finalize(self, _end, self._threads, self._client)
        """Close the connections. Also done when this object or the process ends."""
        self._ready: queue.SimpleQueue[Segment | _Failed] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._open: set[str] = set()
        self._aborted: set[str] = set()
        self._not_before = 0.0
        """Time at which the next request may be sent."""
        self._asleep = False

    @classmethod
    def check(cls, options: OpenAIOptions, model: str) -> None:
        """Raise ConfigError for a server that cannot be reached, or that refuses the key."""
        headers = {"Authorization": f"Bearer {key}"} if (key := os.environ.get(options.key_variable, "")) else {}
        try:
            answer = httpx.get(f"{options.base_url.rstrip('/')}/models", headers=headers, timeout=30.0)
        except httpx.HTTPError as error:
            raise ConfigError(
                f"engine.base_url={options.base_url}: no server answers ({_reason(error)}); start it, or correct the address"
            ) from None
        if answer.status_code in (401, 403):
            raise ConfigError(f"{options.base_url} refuses the API key; set the environment variable {options.key_variable}")

    # --- the protocol ---------------------------------------------------------------------------------------------

    def submit(self, requests: Sequence[GenerateRequest]) -> None:
        """See `Engine`. Raises EngineError for an answer that is to be continued: a server begins each one anew."""
        with self._lock:
            names = [request.id for request in requests]
            if twice := next((name for name in names if name in self._open or names.count(name) > 1), None):
                raise EngineError(f"two requests have the same id {twice!r}; segments could not be told apart")
            self._open.update(names)
        for request in requests:
            self._threads.submit(self._work, request)

    def poll(self, timeout_s: float | None = None) -> list[Segment]:
        """See `Engine`. Raises EngineError for a request that failed for good."""
        if self._asleep:
            self.abort()
            self._forget()
            raise EngineError("the engine sleeps; call wake() first")
        found: list[Segment] = []
        while self._open:
            try:
                item = self._ready.get(block=not found, timeout=timeout_s)
            except queue.Empty:
                break
            if isinstance(item, _Failed):
                if item.request_id not in self._open:
                    continue
                self.abort()
                self._forget()
                raise item.error
            if item.request_id in self._open:  # otherwise it was aborted, and has been returned
                self._open.discard(item.request_id)
                found.append(item)
        return found

    def _forget(self) -> None:
        self._open.clear()

    def abort(self, ids: Sequence[str] | None = None) -> None:
        """See `Engine`. What the server has sampled for it is lost; it is not told."""
        for name in list(self._open) if ids is None else [name for name in ids if name in self._open]:
            with self._lock:
                if name in self._aborted:
                    continue
                self._aborted.add(name)
            self._ready.put(Segment("", finish_reason="abort", version=self.version, request_id=name))

    def load(self, version: int, weights: Weights) -> None:
        """Raises EngineError: a server has the weights that it has."""
        raise EngineError(
            f"the weights at {self.options.base_url} cannot be changed, so it cannot be trained with; "
            "use kgym eval, or the engine vllm or transformers"
        )

    def sleep(self) -> None:
        """See `Engine`; there is no memory to release."""
        if self._open:
            raise EngineError(f"{len(self._open)} requests are open; abort and poll them before sleep")
        self._asleep = True

    def wake(self) -> None:
        """See `Engine`."""
        self._asleep = False

    # --- a request, in a thread -----------------------------------------------------------------------------------

    def _work(self, request: GenerateRequest) -> None:
        try:
            segment = self._answer(request)
        except EngineError as error:
            self._ready.put(_Failed(request.id, error))
        except Exception as error:  # our own bug must not leave a request open for ever
            self._ready.put(_Failed(request.id, EngineError(f"{type(error).__name__}: {error}")))
        else:
            if segment is not None:
                self._ready.put(segment)

    def _answer(self, request: GenerateRequest) -> Segment | None:
        """Ask until there is an answer; None if the request was aborted meanwhile."""
        if request.prefix_ids:
            raise EngineError("a server begins each answer anew and cannot continue one; leave segment_tokens out")
        for attempt in range(self.options.retries + 1):
            if request.id in self._aborted:
                return None
            self._wait_for_turn()
            try:
                return self._ask(request)
            except _Temporary as error:
                self._note(error, attempt)
                last = error
        raise EngineError(
            f"{self.options.base_url} failed {self.options.retries + 1} times in a row ({last}); "
            "what was answered is stored: give the same command again when the server works, or raise engine.retries"
        )

    def _wait_for_turn(self) -> None:
        """Wait until the server may be asked."""
        gap_s = 60.0 / self.options.requests_per_minute if self.options.requests_per_minute else 0.0
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._not_before)
            if gap_s:
                self._not_before = turn + gap_s
        if turn > now:
            time.sleep(turn - now)

    def _note(self, error: _Temporary, attempt: int) -> None:
        """Count a failure, and wait before the next attempt."""
        with self._lock:
            self.usage["retries"] += 1
            self.usage[f"failed_{error.kind}"] += 1
            if error.wait_s is not None:
                self._not_before = max(self._not_before, time.monotonic() + error.wait_s)
        log.debug("%s: attempt %d failed: %s", self.options.base_url, attempt + 1, error)
        if attempt < self.options.retries:
            # full jitter: Brooker 2015, "Exponential backoff and jitter"
            time.sleep(random.uniform(0.0, min(LONGEST_WAIT_S, self.options.backoff_s * 2.0**attempt)))  # noqa: S311  (not a secret)

    def _ask(self, request: GenerateRequest) -> Segment:
        """Send a request once. Raises `_Temporary`, or EngineError for what will not pass."""
        with self._lock:
            self.usage["requests"] += 1
        try:
            answer = self._client.post(f"{self.options.base_url.rstrip('/')}/chat/completions", json=self._body(request))
        except httpx.TimeoutException as error:
            raise _Temporary("timeout", f"no answer in engine.timeout_s={self.options.timeout_s:g} s ({_reason(error)})") from None
        except httpx.HTTPError as error:
            raise _Temporary("connection", _reason(error)) from None
        if answer.status_code in TEMPORARY:
            kind = "429" if answer.status_code == 429 else "5xx" if answer.status_code >= 500 else str(answer.status_code)
            raise _Temporary(kind, f"status {answer.status_code}: {self._said(answer)}", _retry_after(answer))
        if answer.status_code == 400 and _context_is_full(self._said(answer)):
            return Segment("", finish_reason="length", version=self.version, request_id=request.id)
        if answer.status_code != 200:
            raise EngineError(f"{self.options.base_url} refuses a request with status {answer.status_code}: {self._said(answer)}")
        try:
            return self._segment(request, answer.json())
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise _Temporary("malformed", f"an answer that is not one of chat completions ({type(error).__name__}: {error})") from None

    def _body(self, request: GenerateRequest) -> dict[str, Any]:
        sampling, options = request.sampling, self.options
        found: dict[str, Any] = {
            "model": self.served,
            "messages": [{"role": message.role, "content": message.content} for message in request.prompt],
            "temperature": sampling.temperature,
            options.budget_field: request.max_tokens,
            "stream": False,
        }
        if sampling.top_p < 1.0:
            found["top_p"] = sampling.top_p
        if sampling.top_k:
            found["top_k"] = sampling.top_k
        if sampling.stop:
            found["stop"] = list(sampling.stop)
        if options.send_seed:
            found["seed"] = request.seed % (1 << 31)
        return found | options.body

    def _segment(self, request: GenerateRequest, answer: Mapping[str, Any]) -> Segment:
        choice = answer["choices"][0]
        message = choice["message"]
        text = message.get("content") or ""
        reasoning = message.get("reasoning_content") or message.get("reasoning") or ""
        if reasoning and self.options.reasoning == "keep":
            text = f"<think>{reasoning}</think>{text}"
        if not isinstance(text, str):
            raise TypeError("its content is not text")
        usage = answer.get("usage") or {}
        n_tokens = int(usage.get("completion_tokens", 0))
        with self._lock:
            self.usage["prompt_tokens"] += int(usage.get("prompt_tokens", 0))
            self.usage["completion_tokens"] += n_tokens
            self.usage["answers"] += 1
        return Segment(
            text,
            finish_reason=ENDS.get(choice.get("finish_reason"), "stop"),
            version=self.version,
            request_id=request.id,
            n_tokens=n_tokens,
        )

    def _said(self, answer: httpx.Response) -> str:
        """Return what a server says of an error, in one line and without the key."""
        text = answer.text
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
            error = answer.json()["error"]
            text = error["message"] if isinstance(error, dict) else str(error)
        text = " ".join(text.split())[:300]
        return text.replace(self._key, "***") if self._key else text


def _end(threads: ThreadPoolExecutor, client: httpx.Client) -> None:
    threads.shutdown(wait=False, cancel_futures=True)
    client.close()


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _retry_after(answer: httpx.Response) -> float | None:
    """Return the seconds that a server wants to be left alone for; None if it does not say."""
    with contextlib.suppress(ValueError):
        return max(0.0, float(answer.headers.get("retry-after", "")))
    return None


def _context_is_full(said: str) -> bool:
    """Whether a server refuses a prompt because it leaves no room for an answer; servers have no code for it, only words."""
    return any(words in said.lower() for words in ("context length", "context_length", "maximum model length", "max_model_len", "too long"))
