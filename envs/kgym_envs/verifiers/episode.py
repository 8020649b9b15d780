"""Episodes of verifiers. An episode is played from its beginning each time it is needed.

The state of an episode is in the memory of verifiers, which asks a client for each turn of the policy. For a prompt, a
reply, a verdict and a run that was interrupted, the environment starts the episode of the same row again and is given
the same turns.
"""

import asyncio
import os
import threading
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from kgym.envs.toolcalls import Tool
from kgym.errors import DataError, KgymError
from kgym.neutral import error_line
from kgym.types import Chat, Message
from kgym_envs.verifiers.loaded import Record, environment

UNLIKE = (
    "the environment does not give the same replies for the same turns; "
    "it has to draw from a generator that is seeded by the row"
)
T = TypeVar("T")


@dataclass(frozen=True)
class Played:
    """The course of an episode."""

    state: Mapping[str, Any]
    """The state of verifiers at the end, which its rubric scores."""
    prompt: Chat
    replies: Sequence[Message]
    """The environment's reply to each turn, if it asked for another turn."""
    tools: Sequence[Tool]
    asks: bool
    """Whether the environment asks for a turn after the last one."""

    def follows(self, replies: Sequence[str]) -> bool:
        """Whether the environment replied as it did when the turns were sampled."""
        return [reply.content for reply in self.replies[: len(replies)]] == list(replies)


def play(record: Record, turns: Sequence[str], timeout_s: float | None = None) -> Played:
    """Play an episode until the environment ends it or needs a turn that is not among `turns`.

    May be called from several threads. Raises DataError for a conversation that kgym cannot follow, RuntimeError for
    an error of verifiers that ended the episode, TimeoutError, and the environment's own exceptions.
    """
    return wait(_play(record, turns), timeout_s)


def wait(what: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
    """Return the result of a coroutine of verifiers. Raises TimeoutError, and its exceptions."""
    future = asyncio.run_coroutine_threadsafe(what, _loop(os.getpid()))
    try:
        return future.result(timeout_s)
    except TimeoutError:
        future.cancel()
        raise


async def _play(record: Record, turns: Sequence[str]) -> Played:
    from kgym_envs.verifiers.client import Turns  # noqa: PLC0415  (heavy, and optional)

    client = Turns(turns, record.format)
    state = await environment(record.environment, record.args).rollout(record.row(), client, "policy", {})
    if error := state.get("error"):
        if isinstance(error.__cause__, KgymError):
            raise error.__cause__
        raise RuntimeError(f"the episode ended with {error_line(error.__cause__ or error)}") from error
    if client.prompt is None:
        raise DataError("the environment ended the episode before the first turn")
    return Played(state, client.prompt, client.replies, client.tools, client.asks)


@cache
def _loop(process: int) -> asyncio.AbstractEventLoop:
    """Return the only event loop of this process, in a thread: environments keep locks and connections of one loop."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="kgym-verifiers", daemon=True).start()
    return loop
