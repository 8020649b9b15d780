"""A server of OpenEnv and the episodes on it. An episode is played from its beginning each time it is needed.

The state of an episode is on the server and ends with the connection. For a reply, for a verdict and for a run that was
interrupted, the environment is reset with the same seed and takes the same actions again.
"""

import importlib.util
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any
from urllib.parse import urlsplit

from kgym.answers import conclusion
from kgym.envs.goldrecord import GoldRecord
from kgym.envs.task import ERROR
from kgym.errors import ConfigError, DataError
from kgym.neutral import encodable, error_line

JSON = "json"
"""Value of `action` with which the last JSON object of a turn is the action."""
NO_ACTION = f"{ERROR}this turn holds no action that the environment takes"
UNLIKE = (
    "the server does not give the same observations for the same seed and actions; "
    "its reset has to use the seed for everything that it draws"
)
_FULL_WAIT_S = 0.05
_META = ("done", "reward", "metadata")
"""Fields that every observation has, which are not shown to the policy."""


@dataclass(frozen=True)
class Server:
    """The address of an environment, and how turns are converted to actions and observations to texts."""

    url: str
    timeout_s: float
    action: str = ""
    """Field of the action that a turn fills, or `json`; "" for the only text that it needs."""
    observation: str = ""
    """Field of the observation that is shown; "" for its only text, or all of it as JSON."""

    @cached_property
    def http(self) -> str:
        """Address of the pages of the server."""
        return self.url.rstrip("/").replace("ws://", "http://", 1).replace("wss://", "https://", 1)

    @cached_property
    def schema(self) -> Mapping[str, Any]:
        """JSON schemas of its actions and observations. Raises ConfigError if no server of OpenEnv responds."""
        return _schema(self.http, self.timeout_s)

    @cached_property
    def action_field(self) -> str:
        """The field that a turn fills, or `json`. Raises ConfigError if it has to be chosen."""
        properties, needed = self.schema["action"].get("properties", {}), self.schema["action"].get("required", [])
        texts = [name for name in needed if properties[name].get("type") == "string"]
        if not self.action and len(texts) == len(needed) == 1:
            return str(texts[0])
        known = ", ".join(name for name in properties if name != "metadata") or "none"
        if not self.action:
            raise ConfigError(
                f"its actions are not one text (fields: {known}; needed: {', '.join(needed) or 'none'}); "
                "name the field that a completion fills with env.action=FIELD, or set env.action=json"
            )
        if self.action != JSON and self.action not in properties:
            raise ConfigError(f"env.action={self.action}: its actions have no such field (fields: {known})")
        if self.action != JSON and (others := [name for name in needed if name != self.action]):
            raise ConfigError(
                f"env.action={self.action}: its actions need {', '.join(others)} too; set env.action=json"
            )
        return self.action

    @cached_property
    def observation_field(self) -> str:
        """The field that is shown; "" for the whole observation. Raises ConfigError for a field that does not exist."""
        properties = self.schema["observation"].get("properties", {})
        own = {name: kind for name, kind in properties.items() if name not in _META}
        if self.observation and self.observation not in own:
            raise ConfigError(
                f"env.observation={self.observation}: its observations have no such field (fields: {', '.join(own)})"
            )
        texts = [name for name, kind in own.items() if kind.get("type") == "string"]
        return self.observation or (texts[0] if len(texts) == 1 else "")

    def check(self) -> None:
        """Raise ConfigError for a server that does not respond, and for options that do not fit it."""
        _ = self.action_field, self.observation_field

    def shown(self, observation: Mapping[str, Any]) -> str:
        """Return an observation as a text."""
        value = observation.get(self.observation_field) if self.observation_field else observation
        return encodable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True))

    def action_of(self, turn: str) -> dict[str, Any] | None:
        """Return the action of a turn, without its reasoning; None if it has no action."""
        ended = conclusion(turn)
        text = ended.text.strip()
        if ended.open or not text:
            return None
        if self.action_field != JSON:
            return {self.action_field: text}
        found = last_object(text)
        spelled = json.dumps(found, ensure_ascii=False)
        return found if encodable(spelled) == spelled else None  # servers fail on half of a surrogate pair

    def play(self, seed: int, turns: Sequence[str]) -> "Played":
        """Reset and take the action of each turn until the environment is done.

        Raises ConnectionError if the server cannot be reached, RuntimeError for an error of the environment, and
        TimeoutError. An action that the server refuses and a turn without an action change nothing.
        """
        with _session(self.http, seed, self.timeout_s) as (session, first):
            played = Played(self.shown(first.observation))
            for turn in turns:
                if played.done:
                    break
                self._step(session, turn, played)
        return played

    def _step(self, session: Any, turn: str, played: "Played") -> None:
        action = self.action_of(turn)
        if action is None:
            played.replies.append(None)
            return
        try:
            result = session.step(action)
        except RuntimeError as error:
            if "VALIDATION_ERROR" not in str(error):
                raise
            played.replies.append(None)
            return
        played.replies.append(self.shown(result.observation))
        played.rewards.append(_finite(result.reward or 0.0))
        played.done = bool(result.done)


@dataclass
class Played:
    """The course of an episode."""

    first: str
    """The observation after the reset."""
    replies: list[str | None] = field(default_factory=list)
    """The observation after each turn; None if the turn had no action, or the server refused it."""
    rewards: list[float] = field(default_factory=list)
    """Rewards of the actions that the server took."""
    done: bool = False

    def said(self) -> list[str]:
        """Return the reply to each turn."""
        return [NO_ACTION if reply is None else reply for reply in self.replies]

    def follows(self, question: str, replies: Sequence[str]) -> bool:
        """Whether it took the same course as an episode with this question and these replies so far."""
        return question.endswith(self.first) and self.said()[: len(replies)] == list(replies)


def _finite(reward: float) -> float:
    if not math.isfinite(reward):
        raise DataError(f"the environment gave the reward {reward}")
    return float(reward)


def last_object(text: str) -> dict[str, Any] | None:
    """Return the last JSON object of a text; None if it has none.

    >>> last_object('{"a": 1} or rather {"b": {"c": 2}}.'), last_object("none")
    ({'b': {'c': 2}}, None)
    """
    decoder, place, found = json.JSONDecoder(), text.find("{"), None
    while place >= 0:
        try:
            found, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            place += 1
        place = text.find("{", place)
    return found


@lru_cache(maxsize=8)
def _schema(http: str, timeout_s: float) -> Mapping[str, Any]:
    import httpx  # noqa: PLC0415  (of the extra)

    if importlib.util.find_spec("openenv") is None:  # a run that is resumed on another machine
        raise ConfigError("openenv is not installed: pip install 'kgym[openenv]'")
    try:
        answer = httpx.get(
            f"{http}/schema", timeout=timeout_s, trust_env=urlsplit(http).hostname not in ("localhost", "127.0.0.1")
        )
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return {name: found[name] for name in ("action", "observation")}
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"no server of OpenEnv responds at {http} ({error_line(error, 120)}); start it, or correct the URL"
        ) from error


@contextmanager
def _session(http: str, seed: int, timeout_s: float) -> Iterator[tuple[Any, Any]]:
    """Yield a connection and the result of the reset; try again while the server has no free session."""
    from websockets.exceptions import ConnectionClosed  # noqa: PLC0415  (of the extra)

    until = time.monotonic() + timeout_s
    while True:
        session = _client(http, timeout_s)
        try:
            try:
                first = session.reset(seed=seed)
            except (RuntimeError, ConnectionClosed) as error:
                full = isinstance(error, ConnectionClosed) or "CAPACITY_REACHED" in str(error)
                if not full:
                    raise
                if time.monotonic() > until:
                    raise ConnectionError(
                        f"{http} had no free session for {timeout_s:g} s; raise its max_concurrent_envs"
                    ) from error
                time.sleep(_FULL_WAIT_S)
                continue
            try:
                yield session, first
            except ConnectionClosed as error:
                raise ConnectionError(f"{http} closed the connection: {error}") from error
            return
        finally:
            session.close()


def _client(http: str, timeout_s: float) -> Any:
    from openenv.core.generic_client import GenericEnvClient  # noqa: PLC0415  (of the extra)

    return GenericEnvClient(http, connect_timeout_s=timeout_s, message_timeout_s=timeout_s, mode="simulation").sync()


@dataclass(frozen=True)
class Record(GoldRecord, env="openenv:URL"):
    """The gold answer of a problem: the server and seed of its episode, and how its rewards are scored."""

    server: Server
    seed: int
    reward: str
    full: float
