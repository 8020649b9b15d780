"""Engines without a model, for tests, and the contract of an engine, as checks.

    engine = ScriptedEngine({"What is 1+1?": "so it is 2"})     # returns given texts
    engine = UniformEngine(alphabet="0123456789")               # draws characters
    check_engine("mine", model="runs/mine/checkpoints/step-12")

The tokens of these engines are characters: the ids are code points, and 0 ends a turn. A reply of an environment is
between two zeros.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kgym.config import RunConfig
from kgym.errors import EngineError
from kgym.hookspecs import EngineInfo
from kgym.models.names import resolve_model
from kgym.registry import registry
from kgym.rollout.engine import adapted, adapter_rank, is_remote, make_engine
from kgym.seeding import derive_seed
from kgym.testing.engine_checks import EngineChecks
from kgym.testing.report import Report, maker, name_of
from kgym.types import BlockingEngine, Engine, GenerateRequest, Reply, Segment, Weights

END = 0


@dataclass
class _Open:
    """An open request, and the number of its tokens so far."""

    request: GenerateRequest
    n_tokens: int = 0
    aborted: bool = False


class _CharacterEngine:
    """Continues completions with the characters that `_answer` returns, all with the same log-probability."""

    tokens_per_poll: int | None = None
    """Tokens by which every open completion grows before `poll` checks which have ended; None: all end in one
    `poll`."""
    segments_per_poll: int | None = None
    """Most segments that a `poll` returns, the oldest first; None: all that have ended."""

    def __init__(self) -> None:
        self.version = 0
        self.requests: list[GenerateRequest] = []
        """All requests so far, in order."""
        self._open: dict[str, _Open] = {}
        self._asleep = False

    def submit(self, requests: Sequence[GenerateRequest]) -> None:
        """Open requests. Raises EngineError for an id that is open already."""
        for request in requests:
            if request.id in self._open:
                raise EngineError(f"two requests have the same id {request.id!r}; segments could not be told apart")
            self._open[request.id] = _Open(request)
            self.requests.append(request)

    def poll(self, timeout_s: float | None = None) -> list[Segment]:
        """Return the segments that have ended, in the order in which they were submitted.

        Raises EngineError while asleep.
        """
        if self._asleep:
            self._open.clear()
            raise EngineError("the engine sleeps; call wake() first")
        ended: list[Segment] = []
        while self._open and not ended:
            for state in self._open.values():
                if not state.aborted:
                    state.n_tokens += self.tokens_per_poll or state.request.max_tokens
            found = (self._segment(state) for state in self._open.values())
            ended = [segment for segment in found if segment is not None][: self.segments_per_poll]
        for segment in ended:
            del self._open[segment.request_id]
        return ended

    def render_replies(self, replies: Sequence[Reply]) -> list[tuple[int, ...]]:
        """Return the characters of each message; a turn that a stop text has cut is ended first."""
        return [(*((END,) if reply.last_id != END else ()), *map(ord, reply.message.content), END) for reply in replies]

    def turns_note(self) -> str:
        """Return "", since it has no template."""
        return ""

    def abort(self, ids: Sequence[str] | None = None) -> None:
        """End these requests, or all, with the tokens so far."""
        for name, state in self._open.items():
            state.aborted |= ids is None or name in ids

    def _segment(self, state: _Open) -> Segment | None:
        request = state.request
        ids, logprob = self._answer(request)
        prompt_ids = [ord(char) for message in request.prompt for char in message.content]
        n = request.max_tokens
        if request.context_tokens is not None:
            n = min(n, max(0, request.context_tokens - len(prompt_ids) - len(request.prefix_ids)))
        whole = ids[len(request.prefix_ids) :][:n]
        new = whole[: state.n_tokens]
        ended = len(new) == len(whole)
        if not ended and not state.aborted:
            return None
        return Segment(
            "".join(chr(i) for i in new if i != END),
            token_ids=new,
            engine_logprobs=[logprob] * len(new),
            prompt_ids=prompt_ids,
            finish_reason="abort" if not ended else "stop" if new and new[-1] == END else "length",
            version=self.version,
            request_id=request.id,
        )

    def _answer(self, request: GenerateRequest) -> tuple[list[int], float]:
        """Return the ids of the whole completion, earlier segments included, and the log-probability of each."""
        raise NotImplementedError

    def load(self, version: int, weights: Weights) -> None:
        """Take the version; it has no weights. Raises EngineError if requests are open."""
        self._refuse_open("new weights")
        self.version = version

    def sleep(self) -> None:
        """Refuse to `poll` until `wake`. Raises EngineError if requests are open."""
        self._refuse_open("sleep")
        self._asleep = True

    def wake(self) -> None:
        """Allow `poll` again."""
        self._asleep = False

    def _refuse_open(self, what: str) -> None:
        if self._open:
            raise EngineError(f"{len(self._open)} requests are open; abort and poll them before {what}")


def _before_turn(request: GenerateRequest) -> list[int]:
    """Return the tokens of the completion before the turn that is being sampled."""
    turns = request.turns
    n_begun = len(turns[-1].content) if turns and turns[-1].role == "assistant" else 0
    return list(request.prefix_ids[: len(request.prefix_ids) - n_begun]) if turns else []


class ScriptedEngine(_CharacterEngine):
    """Returns given texts: from a mapping, by the text of the newest message that is not its own, or from a function of
    the request.

    Raises KeyError for a message that is not in the mapping.
    """

    def __init__(self, script: Mapping[str, str] | Callable[[GenerateRequest], str]) -> None:
        super().__init__()
        self._script = script

    def _answer(self, request: GenerateRequest) -> tuple[list[int], float]:
        asked = next(
            (message for message in reversed(request.turns) if message.role != "assistant"), request.prompt[-1]
        )
        text = self._script(request) if callable(self._script) else self._script[asked.content]
        return [*_before_turn(request), *map(ord, text), END], 0.0


class UniformEngine(_CharacterEngine):
    """Draws every character uniformly from an alphabet and the end of the turn.

    A draw depends only on (seed, position), and at temperature 0 only on the position.
    """

    def __init__(self, alphabet: str = "0123456789") -> None:
        super().__init__()
        self._tokens = [END, *map(ord, alphabet)]

    def _answer(self, request: GenerateRequest) -> tuple[list[int], float]:
        ids = _before_turn(request)
        n_before = len(ids)
        while len(ids) < len(request.prefix_ids) + request.max_tokens and END not in ids[n_before:]:
            seed = request.seed if request.sampling.temperature else 0
            rng = random.Random(derive_seed(seed, len(ids)))  # noqa: S311  (a test double)
            ids.append(rng.choice(self._tokens))
        return ids, -math.log(len(self._tokens))


# --- the contract -----------------------------------------------------------------------------------------------------


def check_engine(
    subject: Engine | BlockingEngine | type | str,
    *,
    options: Mapping[str, Any] | None = None,
    model: str | None = None,
    weights: Weights | None = None,
    exact: bool | None = None,
) -> Report:
    """Check an engine, by name, class or instance. Raises ConformanceError with every failure.

    1. It returns one segment for each request, within its budgets, with a log-probability for each token and the
       version of the weights.
    2. Requests may be submitted while others are open; an aborted request returns its segment and may be continued.
    3. At temperature 0 the seed changes nothing.
    4. If it is `exact`: the completion of a request is the same alone and among others, and after `sleep` and `wake`; a
       completion that is cut and continued at once has the tokens and log-probabilities of the uncut one, to the bit;
       the same requests give the same segments again, also from another engine that has loaded the same weights.
    5. If the model is known: the log-probabilities are the model's own, at the temperature of the request. After
       `load`, also while asleep, they are those of the new weights, also for completions that were begun under the old
       ones. After a `load` of other weights and then of the model's own, the canary agrees with the model
       (`kgym.rollout.handover`), and weights that the engine reads back are the model's, to the bit.
       If it renders replies (`kgym.types.RendersReplies`), completions continue after a reply.
    6. If its record says `adapters`, and so do its options where they decide (`kgym.types.AdapterOptions`): after
       `load` of an adapter alone, the log-probabilities are those of the model with the adapter.
    7. `load` while requests are open is refused, and segments have the version of the newest `load`.
    8. Of a `remote` engine only this is checked: it returns one segment for each request, within its budget, also for
       requests submitted while others are open, for aborted ones, and after `sleep` and `wake`; `load` is refused.

    `model` is the folder that a class or a named engine samples from (default: kgym's own model); for an instance, it
    is the folder that the instance was made from. An engine without a model can be given any `weights` for 7. `exact`
    is by default what the record of a named engine says; other engines are checked for it unless it is False.
    """
    report = Report(EngineInfo.kind, name_of(subject))
    remote = isinstance(subject, str) and is_remote(subject)
    named = RunConfig().model if model is None else model
    folder = named if remote else resolve_model(named)
    make: Callable[[], Engine] | None = None
    adapters = False
    with report.check("construction"):
        if isinstance(subject, str):
            make = lambda: make_engine(subject, options or {}, folder)  # noqa: E731
            info = registry().info(EngineInfo.kind, subject)
            exact = isinstance(info, EngineInfo) and info.exact if exact is None else exact
            adapters = adapter_rank(subject, options or {}) != 0
        elif isinstance(subject, type):
            construct = maker(EngineInfo.kind, subject, options)
            make = lambda: adapted(construct(folder))  # noqa: E731
        else:
            instance = subject
        engine = adapted(instance) if make is None else make()
    if not report.failures:
        known = not (make is None and model is None)
        EngineChecks(
            engine,
            report,
            exact=exact is not False,
            adapters=adapters,
            make=make,
            folder=folder if known else None,
            weights=weights,
            remote=remote,
        ).run()
    return report.finish()
