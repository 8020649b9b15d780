"""A server of chat completions: each request is repeated until the server completes it.

After a temporary failure (429, 5xx, a cut connection, no reply in time, a reply that is not JSON) a request is sent
again, later each time and at random within bounds, so that clients do not come back together (full jitter). A 429 with
a time of return holds back all requests until then. A request that is itself wrong raises EngineError with the server's
words.

The API key is read from the environment and never appears in a message, log or file: it is removed from what a server
says.
"""

import asyncio
import contextlib
import logging
import os
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import httpx

from kgym.errors import ConfigError, EngineError
from kgym.neutral import encodable
from kgym.types import FinishReason, GenerateRequest, Message, Sampling, Segment

if TYPE_CHECKING:
    from kgym_plugins.engines.openai import OpenAIOptions

log = logging.getLogger(__name__)

LONGEST_WAIT_S = 60.0
"""Longest wait between two attempts at a request, unless the server asks for more."""
LONGEST_PAUSE_S = 3600.0
"""Longest pause that a server may ask for. After a longer one the run ends, and the user decides when to try again."""
CONNECT_S = 30.0
TEMPORARY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
"""Status codes after which the same request may succeed."""
REFUSED = frozenset({401, 403})
"""Status codes of a key that is missing or wrong."""
ENDS: dict[str | None, FinishReason] = {"length": "length", "max_tokens": "length"}
"""Finish reasons of servers; with any other, the completion ended by itself."""
FULL = (
    "context length",
    "context_length",
    "maximum model length",
    "max_model_len",
    "prompt is too long",
    "context window",
)
"""Words by which servers refuse a prompt that leaves no room for a completion; the protocol has no code for it."""
OWN_FIELDS = frozenset(
    {"model", "messages", "temperature", "max_tokens", "max_completion_tokens", "top_p", "top_k", "stop", "seed"}
) | {
    "n",
    "stream",
    "logprobs",
    "return_token_ids",
}
"""Fields of a request that this module sets."""
SHOWN = 8
"""Most models of a server that a message names."""


class Temporary(Exception):
    """A temporary failure of an attempt."""

    def __init__(self, kind: str, said: str, wait_s: float | None = None) -> None:
        super().__init__(said)
        self.kind = kind
        self.wait_s = wait_s


class Server:
    """Asks one server for completions of one model. Used in one event loop."""

    def __init__(self, options: "OpenAIOptions", model: str) -> None:
        self.options = options
        self.model = model
        self.usage: Counter[str] = Counter()
        """See `kgym.types.CountsUse`."""
        self.stop = asyncio.Event()
        """Set when no more requests are to be sent."""
        self._key = _key(options)
        self.client = httpx.AsyncClient(
            headers=_headers(self._key),
            timeout=httpx.Timeout(options.timeout_s, connect=CONNECT_S, pool=None),
            limits=httpx.Limits(max_connections=options.concurrency, max_keepalive_connections=options.concurrency),
        )
        self._gate = asyncio.Semaphore(options.concurrency)
        self._next_turn = self._paused_until = 0.0

    async def complete(self, request: GenerateRequest) -> Segment | None:
        """Send a request until the server completes it; return None if no more requests are to be sent.

        Raises EngineError for a request that the server refuses, or for a server that keeps failing.
        """
        failed = counted = 0
        n_answers = self.usage["answers"]
        while True:
            async with self._gate:
                await self._turn()
                if self.stop.is_set():
                    return None
                try:
                    return await self._ask(request)
                except Temporary as error:
                    last = error
                except EngineError:
                    self.stop.set()  # before another request takes its place
                    raise
            failed += 1
            counted = 0 if last.kind == "429" and self.usage["answers"] > n_answers else counted + 1
            n_answers = self.usage["answers"]
            self._note(last, failed)
            if counted > self.options.retries:
                raise EngineError(
                    f"{self.options.base_url} failed {failed} times in a row, the last time with: {last}; the "
                    "completions so far are stored: give the same command again when the server works, or raise "
                    "engine.retries"
                )
            # full jitter: Brooker 2015, "Exponential backoff and jitter"
            longest_s = min(LONGEST_WAIT_S, self.options.backoff_s * 2.0 ** min(max(counted - 1, 0), 16))
            await self._sleep(random.uniform(0.0, longest_s))  # noqa: S311

    async def _turn(self) -> None:
        """Wait until a request may be sent."""
        clock = asyncio.get_running_loop().time
        if self.options.requests_per_minute:
            turn = max(clock(), self._next_turn)
            self._next_turn = turn + 60.0 / self.options.requests_per_minute
            await self._sleep(turn - clock())
        while (pause := self._paused_until - clock()) > 0 and not self.stop.is_set():
            await self._sleep(pause + random.uniform(0.0, min(1.0, pause)))  # noqa: S311  (not all at once)

    async def _sleep(self, seconds: float) -> None:
        """Sleep, unless no more requests are to be sent."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self.stop.wait()

    def _note(self, error: Temporary, failed: int) -> None:
        """Count a failure, and hold back all requests if the server asks for it."""
        self.usage[f"failed_{error.kind}"] += 1
        log.info("%s: attempt %d failed: %s", self.options.base_url, failed, error)
        if error.wait_s is None:
            return
        if error.wait_s > LONGEST_PAUSE_S:
            raise EngineError(
                f"{self.options.base_url} asks for a pause of {error.wait_s:.0f} s ({error}); give the command "
                "again then"
            )
        self._paused_until = max(self._paused_until, asyncio.get_running_loop().time() + error.wait_s)

    async def _ask(self, request: GenerateRequest) -> Segment:
        """Send a request once. Raises `Temporary`, or EngineError for a permanent failure."""
        self.usage["requests"] += 1
        try:
            async with asyncio.timeout(self.options.timeout_s):
                answer = await self.client.post(
                    _url(self.options, "chat/completions"), json=body_of(self.options, self.model, request)
                )
        except (httpx.TimeoutException, TimeoutError):
            raise Temporary("timeout", f"no reply within engine.timeout_s={self.options.timeout_s:g} s") from None
        except httpx.HTTPError as error:
            raise Temporary("connection", self._clean(_reason(error))) from None
        said = self._clean(_words(answer)) if answer.status_code != 200 else ""
        if answer.status_code in TEMPORARY:
            kind = (
                "429" if answer.status_code == 429 else "5xx" if answer.status_code >= 500 else str(answer.status_code)
            )
            raise Temporary(kind, f"status {answer.status_code}: {said}", _retry_after(answer))
        if answer.status_code in (400, 413) and any(words in said.lower() for words in FULL):
            return await self._without_room(request, said)
        if answer.status_code != 200:
            raise EngineError(f"{self.options.base_url} refuses a request with status {answer.status_code}: {said}")
        try:
            return self._segment(request, answer.json())
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise Temporary(
                "malformed", self._clean(f"its reply is not a chat completion ({type(error).__name__}: {error})")
            ) from None

    async def _without_room(self, request: GenerateRequest, said: str) -> Segment:
        """Return a segment without tokens for a prompt that fills the context.

        Many servers give the same error for a budget that is larger than the rest of the context; such a prompt can be
        completed with one token.
        """
        if request.max_tokens > 1 and (await self._ask(replace(request, max_tokens=1))).n_tokens:
            raise EngineError(
                f"a prompt and a budget of {request.max_tokens} tokens are more than the context of the model at "
                f"{self.options.base_url} ({said}); set a smaller --max-tokens"
            )
        return Segment("", finish_reason="length", version=0, request_id=request.id)

    def _segment(self, request: GenerateRequest, answer: Mapping[str, Any]) -> Segment:
        """Read a chat completion. Raises EngineError if a server does not return what was asked for, and other errors
        for a malformed reply.
        """
        choice = answer["choices"][0]
        reason = ENDS.get(choice.get("finish_reason"), "stop")
        text = _text(choice["message"], cut=reason == "length", keep=self.options.reasoning == "keep")
        if isinstance(stop := choice.get("stop_reason"), str) and stop in request.sampling.stop:
            text += stop  # vLLM returns the text that ended it; other servers do not
        n_tokens, n_prompt = (
            (answer.get("usage") or {}).get("completion_tokens"),
            (answer.get("usage") or {}).get("prompt_tokens"),
        )
        if n_tokens is None:
            raise EngineError(
                f"{self.options.base_url} does not count tokens (usage.completion_tokens), which lengths and budgets "
                "need"
            )
        tokens = self._tokens(answer, choice) if self.options.tokens else {"n_tokens": int(n_tokens)}
        self.usage["answers"] += 1
        self.usage["prompt_tokens"] += int(n_prompt or 0)
        self.usage["completion_tokens"] += int(n_tokens)
        return Segment(encodable(text), finish_reason=reason, version=0, request_id=request.id, **tokens)

    def _tokens(self, answer: Mapping[str, Any], choice: Mapping[str, Any]) -> dict[str, Any]:
        ids, prompt_ids = choice.get("token_ids"), answer.get("prompt_token_ids") or ()
        content = (choice.get("logprobs") or {}).get("content")
        if ids is None or content is None:
            raise EngineError(
                f"{self.options.base_url} does not return token ids and log-probabilities; leave engine.tokens out"
            )
        return {"token_ids": ids, "engine_logprobs": [token["logprob"] for token in content], "prompt_ids": prompt_ids}

    def _clean(self, text: str) -> str:
        return without_key(text, self._key)


# --- before a run -----------------------------------------------------------------------------------------------------


def check_server(options: "OpenAIOptions", model: str) -> None:
    """Raise ConfigError for a server that cannot be reached, that refuses the key, or that does not have the model.

    A server that lists the model is trusted; others are asked for one token.
    """
    parts = httpx.URL(options.base_url)
    if parts.userinfo or parts.query:
        raise ConfigError(
            "engine.base_url contains a password or a query, which would be written into the manifest; "
            f"put the key into the environment variable {options.key_variable}"
        )
    key = _key(options)
    probe = GenerateRequest("probe", (Message("user", "1"),), 1, Sampling(), seed=0)
    with httpx.Client(headers=_headers(key), timeout=CONNECT_S) as client:
        try:
            listed = client.get(_url(options, "models"))
            models = _listed(listed)
            if listed.status_code not in REFUSED and model in models:
                return
            with contextlib.suppress(httpx.TimeoutException):  # it may be busy
                listed = client.post(_url(options, "chat/completions"), json=body_of(options, model, probe))
        except httpx.HTTPError as error:
            said = without_key(_reason(error), key)
            raise ConfigError(
                f"engine.base_url={options.base_url}: no server replies ({said}); start it, or correct the address"
            ) from None
    if listed.status_code in REFUSED:
        sent = "refuses the API key in" if key else "asks for an API key; set"
        raise ConfigError(f"{options.base_url} {sent} the environment variable {options.key_variable}")
    if 400 <= listed.status_code < 500 and listed.status_code not in TEMPORARY:
        known = f"; it has {', '.join(models[:SHOWN])}{', ...' if len(models) > SHOWN else ''}" if models else ""
        raise ConfigError(
            f"{options.base_url} does not reply for the model {model!r} (status {listed.status_code}: "
            f"{without_key(_words(listed), key)}){known}; name it with --model"
        )


def _listed(answer: httpx.Response) -> list[str]:
    with contextlib.suppress(ValueError, LookupError, TypeError, AttributeError):
        return [str(each["id"]) for each in answer.json()["data"]]
    return []


# --- a request and a reply --------------------------------------------------------------------------------------------


def body_of(options: "OpenAIOptions", model: str, request: GenerateRequest) -> dict[str, Any]:
    """Return the body of a request. Its fields are among `OWN_FIELDS`, or the user's."""
    sampling = request.sampling
    found: dict[str, Any] = {
        "model": model,
        # a message of the role `tool` must name a call that the server has parsed, and there is none
        "messages": [
            {"role": "user" if message.role == "tool" else message.role, "content": message.content}
            for message in (*request.prompt, *request.turns)
        ],
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
    if options.tokens:
        found |= {"logprobs": True, "return_token_ids": True}
    return found | options.body


def _text(message: Mapping[str, Any], *, cut: bool, keep: bool) -> str:
    """Return the content after the reasoning of a separate field; reasoning that was cut short has no end mark."""
    content = message.get("content") or ""
    reasoning = message.get("reasoning_content") or message.get("reasoning") or ""
    if not isinstance(content, str) or not isinstance(reasoning, str):
        raise TypeError("its content is not text")
    if not reasoning or not keep:
        return content
    return f"<think>{reasoning}" if cut and not content else f"<think>{reasoning}</think>{content}"


def _url(options: "OpenAIOptions", path: str) -> str:
    return f"{options.base_url.rstrip('/')}/{path}"


def _key(options: "OpenAIOptions") -> str:
    key = os.environ.get(options.key_variable, "").strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError(
            f"the environment variable {options.key_variable} holds no API key: it has spaces or characters that are "
            "not ASCII"
        )
    return key


def _headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def without_key(text: str, key: str) -> str:
    """Return a text of a server in one line and without the key."""
    return (text.replace(key, "***") if key else text)[:300]


def _words(answer: httpx.Response) -> str:
    """Return a server's description of an error, in one line."""
    text = answer.text
    with contextlib.suppress(ValueError, LookupError, TypeError, AttributeError):
        error = answer.json()["error"]
        text = error["message"] if isinstance(error, dict) else str(error)
    return " ".join(str(text).split())


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _retry_after(answer: httpx.Response) -> float | None:
    """Return the seconds of the pause that a server asks for, as a number or a date; None if it asks for none."""
    value = answer.headers.get("retry-after", "")
    with contextlib.suppress(ValueError):
        return max(0.0, float(value))
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    return None
