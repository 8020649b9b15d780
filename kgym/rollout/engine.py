"""Engines by name: check one against a model, load a model into it, and ask it for segments.

    for segment in generate(engine, requests): ...      # all of them, as they end

What an engine raises or returns is checked here, and its name is added to the message. `adapted` gives `submit` and
`poll` to an engine that only has a blocking `generate`.
"""

import math
from collections import deque
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from typing import Any

from kgym.blame import blaming, label_of, remember
from kgym.errors import EngineError
from kgym.hookspecs import EngineInfo
from kgym.models.names import model_fingerprint, resolve_model, two_readings
from kgym.registry import registry
from kgym.types import (
    AdapterOptions,
    BlockingEngine,
    ChecksModel,
    Engine,
    EngineMemory,
    GenerateRequest,
    MeasuresPrompts,
    PlansMemory,
    RendersReplies,
    Replicated,
    SamplingWork,
    Segment,
    ShowsWeights,
    Weights,
)


def is_remote(name: str) -> bool:
    """Whether an engine asks a server, which knows its models by name; see `EngineInfo.remote`."""
    info = registry().info(EngineInfo.kind, name)
    return isinstance(info, EngineInfo) and info.remote


def engine_model(name: str, model: str) -> str:
    """Return what an engine is given for a model that the user named: its folder, see `resolve_model`, or for a
    server the name.
    """
    return model if is_remote(name) else resolve_model(model)


def engine_fingerprint(name: str, model: str) -> str:
    """Return the fingerprint of the model that an engine is given; "" if only a server has it."""
    return "" if is_remote(name) else model_fingerprint(model)


def check_engine(name: str, options: Mapping[str, Any], model: str) -> None:
    """Raise ConfigError for a resolved model that an engine cannot load, UnsuitedModel for one that it cannot sample
    from; weights are not loaded.
    """
    checked = registry().options("engine", name, options)
    target = registry().target("engine", name)
    if isinstance(target, ChecksModel):
        target.check(checked, model)


def make_engine(name: str, options: Mapping[str, Any], model: str) -> Engine:
    """Load a resolved model into an engine.

    Raises EngineError if it cannot be loaded, naming both readings of a name that is not a folder.
    """
    try:
        return adapted(registry().create("engine", name, options, model))
    except EngineError as error:
        if isinstance(error.__cause__, OSError) and (hint := two_readings(model)):  # neither found nor downloaded
            raise EngineError(f"{error}{hint}") from error.__cause__
        raise


def engine_memory(name: str, options: Mapping[str, Any], model: str, work: SamplingWork) -> EngineMemory | None:
    """Return the memory that an engine takes to sample from a resolved model; None if it does not say."""
    target = registry().target("engine", name)
    if not isinstance(target, PlansMemory):
        return None
    checked = registry().options("engine", name, options)
    with blaming("engine", target):
        return target.memory(checked, model, work)


def adapter_rank(name: str, options: Mapping[str, Any]) -> int | None:
    """Return the highest rank of a separate adapter that an engine takes: 0 if it takes none, None if there is no
    bound.
    """
    info = registry().info(EngineInfo.kind, name)
    if not isinstance(info, EngineInfo) or not info.adapters:
        return 0
    checked = registry().options("engine", name, options)
    return checked.adapter_rank if isinstance(checked, AdapterOptions) else None


# --- asking an engine -------------------------------------------------------------------------------------------------


def generate(engine: Engine, requests: Sequence[GenerateRequest]) -> Iterator[Segment]:
    """Submit requests and yield one segment for each, in the order in which they end.

    No other request may be open. Raises what `submit` and `poll` raise. Those that are open when the iterator is closed
    are aborted.
    """
    submit(engine, requests)
    waiting = {request.id: None for request in requests}
    try:
        while waiting:
            for segment in poll(engine, waiting):
                del waiting[segment.request_id]
                yield segment
    except GeneratorExit:
        with blaming("engine", engine):
            engine.abort(list(waiting))
        while waiting:
            for segment in poll(engine, waiting):
                del waiting[segment.request_id]
        raise


def submit(engine: Engine, requests: Sequence[GenerateRequest]) -> None:
    """Give an engine requests; errors name the engine."""
    with blaming("engine", engine):
        engine.submit(requests)


def poll(engine: Engine, open_ids: Collection[str], timeout_s: float | None = None) -> list[Segment]:
    """Return what an engine has ready; `open_ids` are the requests that are open, in the order in which they were
    submitted.

    Raises EngineError if it returns anything other than segments of these, a log-probability that is not finite, or,
    without a timeout, nothing at all.
    """
    with blaming("engine", engine):
        segments: list[Any] = engine.poll(timeout_s)
        seen: set[str] = set()
        for segment in segments:
            if not isinstance(segment, Segment):
                raise EngineError(f"it returned {type(segment).__name__} instead of a Segment")
            if segment.request_id not in open_ids:
                raise EngineError(f"it returned a segment for request {segment.request_id!r}, which was not asked for")
            if segment.request_id in seen:
                raise EngineError(f"it returned two segments for request {segment.request_id!r}")
            if not math.isfinite(sum(segment.engine_logprobs)):
                raise EngineError(
                    f"it returned a log-probability that is not finite (weights of version {segment.version}); the "
                    "weights are damaged, or too large for their type: sample in float32, or from another checkpoint"
                )
            seen.add(segment.request_id)
        if not segments and open_ids and timeout_s is None:
            raise EngineError(
                f"it returned no segment for {len(open_ids)} open requests, the first is {next(iter(open_ids))}"
            )
        return segments


# --- engines that block -----------------------------------------------------------------------------------------------


def adapted(engine: Engine | BlockingEngine) -> Engine:
    """Return an engine as it is, or an adapter with the methods of `Engine` around one that has `generate` and no
    `submit`.
    """
    if isinstance(engine, Engine) or not isinstance(engine, BlockingEngine):
        return engine
    adapter = BlockingAdapter(engine)
    remember(adapter, label_of("engine", engine))
    return adapter


class BlockingAdapter:
    """See `kgym.types.Engine`. What is submitted while a batch is generated waits for the next one.

    An aborted request yields a segment without tokens: what the engine may have sampled for it is lost. A batch whose
    requests are all aborted is closed; if only some are, their results are thrown away.
    """

    def __init__(self, engine: BlockingEngine) -> None:
        self.engine = engine
        self._queue: deque[GenerateRequest] = deque()
        self._batch: dict[str, None] = {}
        """Ids that are being generated."""
        self._dropped: set[str] = set()
        """Ids of the batch that were aborted."""
        self._segments: Iterator[Segment] | None = None
        self._ready: list[Segment] = []
        if isinstance(engine, MeasuresPrompts):
            self.too_long = engine.too_long
        if isinstance(engine, ShowsWeights):
            self.held = engine.held
        if isinstance(engine, Replicated):
            self.replicas = engine.replicas
        if isinstance(engine, RendersReplies):
            self.render_replies, self.turns_note = engine.render_replies, engine.turns_note

    @property
    def version(self) -> int:
        """Version of the engine's weights."""
        return self.engine.version

    def submit(self, requests: Sequence[GenerateRequest]) -> None:
        """Keep them for the next batch."""
        known = {
            *self._batch,
            *(request.id for request in self._queue),
            *(segment.request_id for segment in self._ready),
        }
        for request in requests:
            if request.id in known:
                raise EngineError(f"two requests have the same id {request.id!r}; segments could not be told apart")
            known.add(request.id)
        self._queue.extend(requests)

    def poll(self, timeout_s: float | None = None) -> list[Segment]:
        """Return the next segment; `timeout_s` cannot interrupt the engine."""
        try:
            while not self._ready and (self._segments or self._queue):
                self._advance()
        except BaseException:
            self._queue.clear()
            self._close()
            raise
        ready, self._ready = self._ready, []
        return ready

    def _advance(self) -> None:
        if self._segments is None:
            requests = list(self._queue)
            self._queue.clear()
            self._batch = dict.fromkeys(request.id for request in requests)
            self._segments = iter(self.engine.generate(requests))
        segment: Any = next(self._segments, None)
        if segment is None:
            self._close()  # poll says what it has lost
        elif not isinstance(segment, Segment):
            self._ready.append(segment)
        elif segment.request_id in self._batch:
            del self._batch[segment.request_id]
            self._ready.append(segment)
        elif segment.request_id not in self._dropped:
            self._ready.append(segment)  # it was not asked for, which `poll` below says

    def _close(self) -> None:
        segments, self._segments, self._batch, self._dropped = self._segments, None, {}, set()
        if isinstance(segments, Generator):
            segments.close()

    def abort(self, ids: Sequence[str] | None = None) -> None:
        """Return empty segments for these requests at the next `poll`."""
        queued = [request.id for request in self._queue if ids is None or request.id in ids]
        running = [name for name in self._batch if ids is None or name in ids]
        self._queue = deque(request for request in self._queue if request.id not in queued)
        for name in running:
            del self._batch[name]
            self._dropped.add(name)
        self._ready += [
            Segment("", finish_reason="abort", version=self.version, request_id=name) for name in (*running, *queued)
        ]
        if running and not self._batch:
            self._close()

    def load(self, version: int, weights: Weights) -> None:
        """Pass them on. Raises EngineError if requests are open."""
        self._refuse_open("new weights")
        self.engine.load(version, weights)

    def sleep(self) -> None:
        """Pass it on. Raises EngineError if requests are open."""
        self._refuse_open("sleep")
        self.engine.sleep()

    def wake(self) -> None:
        """Pass it on."""
        self.engine.wake()

    def _refuse_open(self, what: str) -> None:
        if n := len(self._queue) + len(self._batch) + len(self._ready):
            raise EngineError(f"{n} requests are open; abort and poll them before {what}")
