"""Engines without a model, for tests, and the contract of an engine, as checks.

    engine = ScriptedEngine({"What is 1+1?": "so it is 2"})     # says what it is told
    engine = UniformEngine(alphabet="0123456789")                        # draws characters
    check_engine("mine", model="runs/mine/checkpoints/step-12")

The tokens of these engines are characters: the ids are code points, and 0 ends an answer. What an environment replies
is between two zeros.
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
    """A request that is open, and how many of its tokens are there."""

    request: GenerateRequest
    n_tokens: int = 0
    aborted: bool = False


class _CharacterEngine:
    """Continues answers with the characters that `_answer` gives, one log-probability for all of them."""

    tokens_per_poll: int | None = None
    """Tokens that every open answer grows by before it is looked whether one has ended; None: all answers end in one
    `poll`."""
    segments_per_poll: int | None = None
    """Segments that a `poll` returns at most, the oldest first; None: all that have ended."""

    def __init__(self) -> None:
        self.version = 0
        self.requests: list[GenerateRequest] = []
        """All that was asked, in order."""
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
        """Return the characters of each message; a turn that was cut by a stop text is ended first."""
        return [(*((END,) if reply.last_id != END else ()), *map(ord, reply.message.content), END) for reply in replies]

    def turns_note(self) -> str:
        """Return "": it has no template."""
        return ""

    def abort(self, ids: Sequence[str] | None = None) -> None:
        """Let these, or all, end with the tokens that are there."""
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
        """Return the ids of the whole answer, earlier segments included, and the log-probability of each."""
        raise NotImplementedError

    def load(self, version: int, weights: Weights) -> None:
        """Take over the number; it has no weights. Raises EngineError if requests are open."""
        self._refuse_open("new weights")
        self.version = version

    def sleep(self) -> None:
        """Refuse to `poll` until `wake`. Raises EngineError if requests are open."""
        self._refuse_open("sleep")
        self._asleep = True

    def wake(self) -> None:
        """Be ready again."""
        self._asleep = False

    def _refuse_open(self, what: str) -> None:
        if self._open:
            raise EngineError(f"{len(self._open)} requests are open; abort and poll them before {what}")


def _before_turn(request: GenerateRequest) -> list[int]:
    """Return the tokens of the answer before the turn that is being sampled."""
    turns = request.turns
    n_begun = len(turns[-1].content) if turns and turns[-1].role == "assistant" else 0
    return list(request.prefix_ids[: len(request.prefix_ids) - n_begun]) if turns else []


class ScriptedEngine(_CharacterEngine):
    """Says in a turn what it is told: by a mapping from the text of the newest message that is not its own, or by a
    function of the request.

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
    """Draws every character uniformly from an alphabet and the end of the answer.

    A draw depends on (seed, position) alone, and at temperature 0 on the position.
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
    """Check an engine, by name, class or instance. Raises ConformanceError with all that does not hold.

    1. It yields one segment for each request, with a log-probability for each token, within its budgets, of the version
       of its weights.
    2. Requests may come while others are open; an aborted one yields its segment and may be continued.
    3. At temperature 0 the seed changes nothing.
    4. If it is `exact`: the answer to a request is the same alone and among others, and after `sleep` and `wake`; one
       that is cut and continued at once has the tokens and log-probabilities of the uncut one, to the bit; the same
       requests give the same segments again, also from another engine that has loaded the same weights.
    5. Where the model is known: the log-probabilities are the model's own, at the temperature of the request. After
       `load`, also while asleep, they are those of the new weights, for answers that were begun under the old ones too.
       After other weights, and the model's own again, a canary is sampled from those (`kgym.rollout.handover`); weights
       that the engine reads back are these, to the bit.
       If it renders replies (`kgym.types.RendersReplies`), answers continue after one.
    6. If its record says `adapters`, and its options too where they decide (`kgym.types.AdapterOptions`): after `load` of
       an adapter alone they are those of the model with the adapter.
    7. `load` while requests are open is refused, and segments carry the version of the newest `load`.
    8. Of a `remote` engine only this is checked: one segment for each request, within its budget, also for those that come
       while others are open, that are aborted, and after `sleep` and `wake`; `load` is refused.

    `model` is the folder that a class or a named engine samples from (default: kgym's own); of an instance, which has
    its own, it says that it was made from this folder. An engine without a model can be given any `weights` for 7.
    `exact` is what the record of a named engine says; others are held to it unless it is False.
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
