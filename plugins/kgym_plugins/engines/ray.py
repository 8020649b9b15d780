"""The engine `ray`: replicas of any other engine, as actors on the machines of a Ray cluster.

    kgym train --engine ray --set engine.of=vllm engine.replicas=8 engine.gpus=1

    submit -> the attempts at a problem go to one replica, which then reads their prompt once -> poll of each ->
    segments

Ray starts the actors, sends them requests and carries the weights: one copy into the object store for each update, from
where every machine takes it once. A replica that is lost (a machine that went down, memory that ran out) is started
again with the newest weights and gets all requests again that it got since it was last idle; segments that it had
already returned are not returned twice. With an inner engine whose completions do not depend on timing, such as
`transformers`, the run continues with the same numbers.
"""

import contextlib
import logging
import math
import os
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field

from kgym.cluster import connected, last_line
from kgym.errors import ComponentError, ConfigError, EngineError, KgymError
from kgym.options import Options
from kgym.rollout.engine import check_engine, engine_memory, is_remote
from kgym.rollout.origin import Origin
from kgym.types import (
    Chat,
    EngineMemory,
    GenerateRequest,
    HeldTensor,
    MeasuresPrompts,
    RendersReplies,
    Reply,
    SamplingWork,
    Segment,
    ShowsWeights,
    Suitability,
    Surroundings,
    Weights,
)
from kgym_plugins.engines.vllm_process import OF_THE_RANK

log = logging.getLogger(__name__)

TURN_S = 1.0
"""Time after which a replica without results looks for new requests."""


class RayOptions(Options):
    """Sampling with several engines at once."""

    operational: ClassVar[frozenset[str]] = frozenset({"replicas", "address", "start_s", "restarts"})

    of: str = Field("transformers", min_length=1)
    """Engine of each replica; see `kgym plugins list --kind engine`."""
    inner: dict[str, Any] = Field(default_factory=dict)
    """Options of that engine: `engine.inner.max_batch=64`."""
    replicas: int = Field(2, ge=1)
    """Number of engines to start."""
    address: str | None = Field(None, min_length=1)
    """Address of a Ray cluster: HOST:PORT, or `auto` for the one that this machine is part of. Without it, the ranks'
    own cluster is used if Ray has started them (`--cluster`), or that of `RAY_ADDRESS`; otherwise Ray is started on
    this machine.
    """
    cpus: float = Field(1.0, ge=0)
    """CPU cores of a replica, and the number of its threads."""
    gpus: float | None = Field(None, ge=0)
    """GPUs of a replica; without it, 1 if the cluster has any, unless `engine.inner.device=cpu`."""
    start_s: float = Field(600.0, gt=0)
    """Longest time for a replica to load its model."""
    restarts: int = Field(3, ge=0)
    """Most lost replicas that are started again in a run; one more ends it."""


class Replica:
    """One engine, in the process of an actor."""

    def __init__(self, origin: Origin, of: str, options: Mapping[str, Any], model: str, threads: int) -> None:
        from kgym.rollout.engine import make_engine  # noqa: PLC0415  (in the actor's process)

        for name in OF_THE_RANK:  # a replica is not a rank of the trainer, though a rank may have started Ray
            os.environ.pop(name, None)
        origin.take_over()
        torch.set_num_threads(threads)
        self._engine = make_engine(of, options, model)

    def ready(self) -> dict[str, bool]:
        """Return the optional features of the engine; the first call waits for the model."""
        return {
            "measures": isinstance(self._engine, MeasuresPrompts),
            "shows": isinstance(self._engine, ShowsWeights),
            "renders": isinstance(self._engine, RendersReplies),
        }

    def submit(self, requests: Sequence[GenerateRequest]) -> None:
        """As the engine does."""
        self._engine.submit(requests)

    def poll(self, timeout_s: float) -> list[Segment]:
        """As the engine does."""
        return self._engine.poll(timeout_s)

    def abort(self, ids: Sequence[str]) -> None:
        """As the engine does."""
        self._engine.abort(ids)

    def load(self, version: int, tensors: Mapping[str, torch.Tensor]) -> None:
        """As the engine does; Ray has replaced the reference by the tensors."""
        from kgym.models.weights import TensorWeights  # noqa: PLC0415

        self._engine.load(version, TensorWeights(tensors))

    def sleep(self) -> None:
        """As the engine does."""
        self._engine.sleep()

    def wake(self) -> None:
        """As the engine does."""
        self._engine.wake()

    def held(self) -> Sequence[HeldTensor]:
        """As the engine does."""
        assert isinstance(self._engine, ShowsWeights)
        return self._engine.held()

    def too_long(self, prompts: Sequence[Chat], context_tokens: int | None) -> dict[int, int]:
        """As the engine does."""
        assert isinstance(self._engine, MeasuresPrompts)
        return self._engine.too_long(prompts, context_tokens)

    def render_replies(self, replies: Sequence[Reply]) -> list[tuple[int, ...]]:
        """As the engine does."""
        assert isinstance(self._engine, RendersReplies)
        return self._engine.render_replies(replies)

    def turns_note(self) -> str:
        """As the engine does."""
        assert isinstance(self._engine, RendersReplies)
        return self._engine.turns_note()


@dataclass(eq=False)
class _Slot:
    """A replica, and its requests."""

    number: int
    actor: Any
    asked: list[list[GenerateRequest]] = field(default_factory=list)
    """Requests that were submitted since it was last idle, in order."""
    open: dict[str, None] = field(default_factory=dict)
    polling: Any = None
    """The pending result of the last `poll`."""


class RayEngine:
    """See `kgym.types.Engine`."""

    Options = RayOptions

    def __init__(self, options: RayOptions, model_folder: str | Path) -> None:
        """Start the replicas. Raises ConfigError for resources that the cluster does not have, EngineError for a
        replica that cannot start.
        """
        self.options = options
        self.model = str(model_folder)
        self.check(options, self.model)
        import ray  # noqa: PLC0415  (an extra)

        mine = not ray.is_initialized()
        if mine:
            connected(options.address, f"engine.address={options.address}" if options.address else "engine ray")
        self._ray = ray
        self.version = 0
        self._weights: Any = None
        """The newest weights, in the object store."""
        self._n_lost = 0
        self._asleep = False
        self.close = weakref.finalize(self, _end, ray, mine)
        """Leave Ray, if this engine has started it. Also done when this object or the process ends."""
        self._check_room()
        self._slots = [_Slot(number, self._start()) for number in range(options.replicas)]
        offers = [self._wait(slot.actor.ready.remote(), options.start_s) for slot in self._slots]
        self.replicas = options.replicas
        if all(offer["measures"] for offer in offers):
            self.too_long = self._too_long
        if all(offer["shows"] for offer in offers):
            self.held = self._held
        if all(offer["renders"] for offer in offers):
            self.render_replies, self.turns_note = self._render_replies, self._turns_note

    @classmethod
    def check(cls, options: RayOptions, model_folder: str) -> None:
        """Raise ConfigError for an inner engine that cannot sample from the model."""
        if options.of == "ray":
            raise ConfigError("engine.of=ray: each replica needs another engine, such as vllm or transformers")
        if is_remote(options.of):
            raise ConfigError(f"engine.of={options.of}: a server needs no replicas here; use --engine {options.of}")
        check_engine(options.of, options.inner, model_folder)

    @classmethod
    def suits(cls, options: RayOptions, model_folder: str, surroundings: Surroundings) -> Suitability:
        """See `kgym.types.JudgesItself`: Ray does not manage the trainer's GPU, so the user has to say how many
        replicas fit.
        """
        return Suitability(0, "choose a cluster and the number of replicas yourself: --engine ray")

    @classmethod
    def memory(cls, options: RayOptions, model_folder: str, work: SamplingWork) -> EngineMemory:
        """See `kgym.types.PlansMemory`. Replicas on GPUs, and those of an existing cluster, do not share the policy's
        memory.
        """
        n = options.replicas
        part = replace(work, rows=-(-work.rows // n), prompts=-(-work.prompts // n))
        one = engine_memory(options.of, options.inner, model_folder, part)
        if (
            one is None
            or options.gpus
            or options.address is not None
            or os.environ.get("RAY_ADDRESS")
            or torch.cuda.is_available()
        ):
            return EngineMemory("elsewhere", {}, {})
        held, sampling = (
            {f"{name} of {n} replicas": n * each for name, each in of.items()} for of in (one.held, one.sampling)
        )
        return EngineMemory(one.device, held, sampling, keeps=one.keeps)

    def _check_room(self) -> None:
        """Raise ConfigError if the replicas do not fit into the cluster: Ray would wait forever."""
        options, have = self.options, self._ray.cluster_resources()
        gpu = float(have.get("GPU", 0.0) > 0 and options.inner.get("device") != "cpu")
        self._gpus = gpu if options.gpus is None else options.gpus
        for name, key, each in (("CPU", "cpus", options.cpus), ("GPU", "gpus", self._gpus)):
            wanted = each * options.replicas
            if wanted > have.get(name, 0.0) + 1e-9:
                raise ConfigError(
                    f"engine.replicas={options.replicas} with engine.{key}={each:g} need {wanted:g} {name}s and the "
                    f"cluster has {have.get(name, 0.0):g}; set fewer replicas, or a smaller engine.{key}"
                )

    def _start(self) -> Any:
        options = self.options
        kind = self._ray.remote(Replica).options(
            num_cpus=options.cpus, num_gpus=self._gpus, max_restarts=0, scheduling_strategy="SPREAD"
        )
        return kind.remote(Origin.here(), options.of, dict(options.inner), self.model, max(1, math.floor(options.cpus)))

    @property
    def usage(self) -> Mapping[str, int]:
        """See `kgym.types.CountsUse`."""
        return {"failed_replica": self._n_lost} if self._n_lost else {}

    # --- the protocol ---------------------------------------------------------------------------------------------

    def submit(self, requests: Sequence[GenerateRequest]) -> None:
        """See `Engine`. Attempts at the same problem go to one replica, the one with the fewest requests so far."""
        taken = {name for slot in self._slots for name in slot.open}
        for request in requests:
            if request.id in taken:
                raise EngineError(f"two requests have the same id {request.id!r}; segments could not be told apart")
            taken.add(request.id)
        by_prompt: dict[Chat, list[GenerateRequest]] = {}
        for request in requests:
            by_prompt.setdefault(request.prompt, []).append(request)
        batches: dict[int, list[GenerateRequest]] = {}
        for group in by_prompt.values():
            slot = min(
                self._slots, key=lambda slot: (self._n_asked(slot) + len(batches.get(slot.number, ())), slot.number)
            )
            batches.setdefault(slot.number, []).extend(group)
        for number, batch in batches.items():
            slot = self._slots[number]
            slot.asked.append(batch)
            slot.open |= dict.fromkeys(request.id for request in batch)
            self._call(slot, "submit", batch)

    @staticmethod
    def _n_asked(slot: _Slot) -> int:
        return sum(map(len, slot.asked))

    def poll(self, timeout_s: float | None = None) -> list[Segment]:
        """See `Engine`. Raises EngineError while asleep, and for what an engine raises."""
        if self._asleep:
            self._forget()
            raise EngineError("the engine sleeps; call wake() first")
        deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
        found: list[Segment] = []
        while not found and any(slot.open for slot in self._slots):
            busy = [slot for slot in self._slots if slot.open]
            for slot in busy:
                if slot.polling is None:
                    slot.polling = slot.actor.poll.remote(TURN_S)
            left_s = None if deadline == math.inf else max(0.0, deadline - time.monotonic())
            ready, _ = self._ray.wait([slot.polling for slot in busy], num_returns=1, timeout=left_s)
            for slot in busy:
                if slot.polling in ready:
                    found += self._polled(slot)
            if time.monotonic() >= deadline:
                break
        return found

    def _polled(self, slot: _Slot) -> list[Segment]:
        """Return the new segments of a replica; one that is lost is started again."""
        answer, slot.polling = slot.polling, None
        try:
            segments: list[Segment] = self._ray.get(answer)
        except self._ray.exceptions.RayActorError as error:
            self._replace(slot, error)
            return []
        except self._ray.exceptions.RayTaskError as error:
            self._forget()
            raise _of_engine(error) from error
        fresh = [segment for segment in segments if segment.request_id in slot.open]
        for segment in fresh:
            del slot.open[segment.request_id]
        if not slot.open:
            slot.asked.clear()
        return fresh

    def _forget(self) -> None:
        for slot in self._slots:
            slot.open.clear()
            slot.asked.clear()

    def abort(self, ids: Sequence[str] | None = None) -> None:
        """See `Engine`."""
        for slot in self._slots:
            names = [name for name in slot.open if ids is None or name in ids]
            if names:
                self._call(slot, "abort", names)

    def load(self, version: int, weights: Weights) -> None:
        """See `Engine`. One copy goes to the object store; each machine takes it from there."""
        self._refuse_open("new weights")
        self._weights = self._ray.put({name: tensor.detach().cpu().clone() for name, tensor in weights.named()})
        self.version = version
        self._all("load", version, self._weights)

    def sleep(self) -> None:
        """See `Engine`."""
        self._refuse_open("sleep")
        self._all("sleep")
        self._asleep = True

    def wake(self) -> None:
        """See `Engine`."""
        self._all("wake")
        self._asleep = False

    def _too_long(self, prompts: Sequence[Chat], context_tokens: int | None = None) -> dict[int, int]:
        found: dict[int, int] = self._wait(self._slots[0].actor.too_long.remote(list(prompts), context_tokens))
        return found

    def _render_replies(self, replies: Sequence[Reply]) -> list[tuple[int, ...]]:
        found: list[tuple[int, ...]] = self._wait(self._slots[0].actor.render_replies.remote(list(replies)))
        return found

    def _turns_note(self) -> str:
        found: str = self._wait(self._slots[0].actor.turns_note.remote())
        return found

    def _held(self) -> list[HeldTensor]:
        return [tensor for found in self._all("held") for tensor in found]

    def _refuse_open(self, what: str) -> None:
        if n := sum(len(slot.open) for slot in self._slots):
            raise EngineError(f"{n} requests are open; abort and poll them before {what}")

    # --- actors ---------------------------------------------------------------------------------------------------

    def _all(self, method: str, *arguments: Any) -> list[Any]:
        """Call a method of every replica at once and return what they return; a lost one is started again."""
        answers = [(slot, getattr(slot.actor, method).remote(*arguments)) for slot in self._slots]
        found = []
        for slot, answer in answers:
            try:
                found.append(self._ray.get(answer))
            except self._ray.exceptions.RayActorError as error:
                self._replace(slot, error)  # the new replica has loaded the weights, and is awake
                if method in ("sleep", "held"):
                    found.append(self._wait(getattr(slot.actor, method).remote()))
            except self._ray.exceptions.RayTaskError as error:
                raise _of_engine(error) from error
        return found

    def _call(self, slot: _Slot, method: str, *arguments: Any) -> None:
        try:
            self._ray.get(getattr(slot.actor, method).remote(*arguments))
        except self._ray.exceptions.RayActorError as error:
            self._replace(slot, error)
            if method == "abort":
                self._call(slot, method, *arguments)
        except self._ray.exceptions.RayTaskError as error:
            raise _of_engine(error) from error

    def _wait(self, answer: Any, timeout_s: float | None = None) -> Any:
        try:
            return self._ray.get(answer, timeout=timeout_s)
        except self._ray.exceptions.GetTimeoutError as error:
            raise EngineError(
                f"a replica did not start within engine.start_s={timeout_s:g} s: other programs use the processors or "
                "GPUs of the cluster (see ray status), or its model takes longer to load (see the logs of Ray)"
            ) from error
        except self._ray.exceptions.RayActorError as error:
            raise EngineError(f"a replica ended while it started: {last_line(error)}") from error
        except self._ray.exceptions.RayTaskError as error:
            raise _of_engine(error) from error

    def _replace(self, slot: _Slot, error: Exception) -> None:
        """Start a lost replica again, with the newest weights, and send it all requests again since
        it was last idle.
        """
        self._n_lost += 1
        if self._n_lost > self.options.restarts:
            raise EngineError(
                f"replicas were lost {self._n_lost} times, more than engine.restarts={self.options.restarts}: "
                f"{last_line(error)}; "
                "resume with --resume, with fewer replicas or engine.options that need less memory if memory ran out"
            ) from error
        log.warning("replica %d was lost (%s) and is started again", slot.number, last_line(error))
        slot.actor, slot.polling = self._start(), None
        self._wait(slot.actor.ready.remote(), self.options.start_s)
        if self._weights is not None:
            self._wait(slot.actor.load.remote(self.version, self._weights))
        for batch in slot.asked:
            self._wait(slot.actor.submit.remote(batch))


def _end(ray: Any, mine: bool) -> None:
    if mine:
        with contextlib.suppress(Exception):  # at the end of the process Ray may have ended already
            ray.shutdown()


def _of_engine(error: Any) -> KgymError:
    """Return the error that an engine raised in its actor."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, KgymError) else ComponentError(last_line(error if cause is None else cause))
