"""Engines without a model, for tests, and the contract of an engine, as checks.

    engine = ScriptedEngine({"What is 1+1?": "so it is 2"})     # says what it is told
    engine = UniformEngine(alphabet="0123456789")                        # draws characters
    check_engine("mine", model="runs/mine/checkpoints/step-12")

The tokens of these engines are characters: the ids are code points, and 0 ends an answer.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from kgym.config import RunConfig
from kgym.errors import EngineError
from kgym.hookspecs import EngineInfo
from kgym.models.names import resolve_model
from kgym.rollout.engine import adapted, generate, make_engine
from kgym.seeding import derive_seed
from kgym.testing.report import Report, maker, name_of, shown
from kgym.types import BlockingEngine, Engine, FinishReason, GenerateRequest, Message, Sampling, Segment, Weights

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
    """Tokens that every open answer grows by before it is looked whether one has ended; None: all answers end in one `poll`."""
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
        """Return the segments that have ended, in the order in which they were submitted. Raises EngineError while asleep."""
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
        """Take over the number; there are no weights. Raises EngineError if requests are open."""
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


class ScriptedEngine(_CharacterEngine):
    """Answers as told: by a mapping from the text of the last message, or by a function of the request.

    Raises KeyError for a message that is not in the mapping.
    """

    def __init__(self, script: Mapping[str, str] | Callable[[GenerateRequest], str]) -> None:
        super().__init__()
        self._script = script

    def _answer(self, request: GenerateRequest) -> tuple[list[int], float]:
        text = self._script(request) if callable(self._script) else self._script[request.prompt[-1].content]
        return [*map(ord, text), END], 0.0


class UniformEngine(_CharacterEngine):
    """Draws every character uniformly from an alphabet and the end of the answer.

    A draw depends on (seed, position) alone, and at temperature 0 on the position.
    """

    def __init__(self, alphabet: str = "0123456789") -> None:
        super().__init__()
        self._tokens = [END, *map(ord, alphabet)]

    def _answer(self, request: GenerateRequest) -> tuple[list[int], float]:
        ids: list[int] = []
        while len(ids) < len(request.prefix_ids) + request.max_tokens and END not in ids:
            seed = request.seed if request.sampling.temperature else 0
            rng = random.Random(derive_seed(seed, len(ids)))  # noqa: S311  (a test double)
            ids.append(rng.choice(self._tokens))
        return ids, -math.log(len(self._tokens))


# --- the contract -----------------------------------------------------------------------------------------------------

TOKENS = 12
"""Of an answer in the checks."""


def check_engine(
    subject: Engine | BlockingEngine | type | str,
    *,
    options: Mapping[str, Any] | None = None,
    model: str | None = None,
    weights: Weights | None = None,
) -> Report:
    """Check an engine, by name, class or instance. Raises ConformanceError with all that does not hold.

    1. It yields one segment for each request, with a log-probability for each token, within its budgets, of the version of its weights.
    2. The answer to a request is the same alone and among others, asked once more, and after `sleep` and `wake`.
    3. An answer that is cut and continued is the same answer.
    4. At temperature 0 the seed changes nothing.
    5. After `load` segments carry the new version. This is tried with `weights`, or with those of the model if
       an engine is named.

    `model` is what a class or a named engine samples from (default: kgym's own); an instance has its own.
    """
    report = Report(EngineInfo.kind, name_of(subject))
    folder = resolve_model(RunConfig().model if model is None else model)
    with report.check("construction"):
        if isinstance(subject, str):
            engine = make_engine(subject, options or {}, folder)
        else:
            engine = adapted(subject if not isinstance(subject, type) else maker(EngineInfo.kind, subject, options)(folder))
    if report.failures:
        return report.finish()
    with report.check("segments"):
        alone = {request.id: _generated(engine, [request])[request.id] for request in _requests()}
    if report.failures:
        return report.finish()
    with report.check("among other requests"):
        _same(alone, _generated(engine, _requests()))
        _same(alone, _generated(engine, _requests()[::-1]))
    with report.check("cut and continued"):
        _check_cut(engine, alone)
    with report.check("greedy"):
        first, *others = [_greedy(engine, seed) for seed in (1, 2, 3)]
        assert all(other == first for other in others), f"two seeds give {shown(first)} and {shown(others[0])} at temperature 0"
    with report.check("the context"):
        prompt_tokens = len(next(iter(alone.values())).prompt_ids)
        short = replace(_requests()[0], context_tokens=prompt_tokens + 3)
        segment = _generated(engine, [short])[short.id]
        assert len(segment.token_ids) <= 3, f"{len(segment.token_ids)} tokens where the context has room for 3"
    with report.check("abort, sleep, wake"):
        engine.abort(["nobody"])
        engine.sleep()
        engine.wake()
        _same(alone, _generated(engine, _requests()))
    if isinstance(subject, str) or weights is not None:
        with report.check("new weights"):
            engine.load(engine.version + 7, _weights(folder) if weights is None else weights)
            _generated(engine, _requests())
    return report.finish()


def _requests() -> list[GenerateRequest]:
    return [
        GenerateRequest(f"{name}", (Message("user", f"What is {name}+{name}?"),), TOKENS, Sampling(temperature=temperature), seed=name)
        for name, temperature in ((1, 1.0), (2, 1.0), (3, 0.7), (4, 0.0))
    ]


def _generated(engine: Engine, requests: Sequence[GenerateRequest]) -> dict[str, Segment]:
    """Return the segments by the id of their request; each is held to what it was asked for."""
    asked = {request.id: request for request in requests}
    found: dict[str, Segment] = {}
    for segment in generate(engine, requests):
        assert segment.request_id in asked, f"a segment is of request {segment.request_id!r}, which was not asked for"
        assert segment.request_id not in found, f"request {segment.request_id!r} has two segments"
        found[segment.request_id] = segment
        request, n = asked[segment.request_id], len(segment.token_ids)
        assert n <= request.max_tokens, f"{n} tokens, and max_tokens is {request.max_tokens}"
        assert segment.finish_reason in get_args(FinishReason), f"the finish_reason is {segment.finish_reason!r}"
        assert segment.finish_reason == "stop" or n == request.max_tokens or request.context_tokens is not None, (
            f"an answer of {n} tokens out of {request.max_tokens} ended by {segment.finish_reason}"
        )
        assert segment.prompt_ids, "prompt_ids are empty; they are the tokens of the rendered prompt"
        assert all(logprob <= 1e-6 for logprob in segment.engine_logprobs), (
            f"the log-probabilities are {shown(segment.engine_logprobs)}; they have to be numbers up to 0"
        )
        assert segment.version == engine.version, f"a segment is of version {segment.version}, the engine of version {engine.version}"
    assert found.keys() == asked.keys(), f"{len(asked) - len(found)} of {len(asked)} requests have no segment"
    return found


def _same(first: Mapping[str, Segment], second: Mapping[str, Segment]) -> None:
    for name, segment in first.items():
        assert segment.token_ids == second[name].token_ids, f"request {name} was answered {shown(segment)}, and then {shown(second[name])}"


def _check_cut(engine: Engine, whole: Mapping[str, Segment]) -> None:
    for request in _requests():
        first = _generated(engine, [replace(request, max_tokens=TOKENS // 3)])[request.id]
        ids = first.token_ids
        if first.finish_reason == "length":
            rest = replace(request, max_tokens=TOKENS - len(ids), prefix_ids=ids)
            second = _generated(engine, [rest])[request.id]
            assert second.prompt_ids == first.prompt_ids, (
                "prompt_ids are others when an answer goes on; the earlier segments are not in them"
            )
            ids += second.token_ids
        assert ids == whole[request.id].token_ids, f"request {request.id}, cut after {len(first.token_ids)} tokens, has another answer"


def _greedy(engine: Engine, seed: int) -> Segment:
    request = replace(_requests()[0], sampling=Sampling(temperature=0.0), seed=seed)
    return _generated(engine, [request])[request.id]


def _weights(folder: str) -> Weights:
    from kgym.models.policy import load_policy  # noqa: PLC0415  (loads transformers, which the doubles do without)
    from kgym.models.weights import ModelWeights  # noqa: PLC0415

    return ModelWeights(load_policy(folder).model)
