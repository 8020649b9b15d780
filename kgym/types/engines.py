"""Engines, which sample text, and the weights that they sample from.

What an engine may offer in addition is in `kgym.types.capabilities`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from kgym.types.segments import GenerateRequest, Segment

if TYPE_CHECKING:  # torch is imported only where something is computed with it
    from torch import Tensor


class Weights(Protocol):
    """The weights of a policy, as they are handed to an engine."""

    @property
    def adapter(self) -> Mapping[str, Any] | None:
        """None for a whole model; for a LoRA adapter alone its `adapter_config.json`, as peft writes it.

        The engine adds B @ A times alpha / rank to the matrices of the model that it was made with. Only engines whose
        `EngineInfo` says `adapters` are given an adapter; if they have `AdapterOptions`, only if these say so too.
        """

    def named(self) -> Iterator[tuple[str, "Tensor"]]:
        """Yield the name and the tensor of every entry of the state dict; tied weights under each of their names.

        For an adapter: of every matrix in its `adapter_model.safetensors`.
        """

    def copied(self) -> "Weights":
        """Return a snapshot that later optimizer steps do not change."""


@runtime_checkable
class Engine(Protocol):
    """Samples text from weights. Constructed as `target(options, model_folder)`.

    A request is open from `submit` until `poll` has returned its segment. One thread calls these methods. If `poll`
    raises, no request is open any more.
    """

    @property
    def version(self) -> int:
        """Version of the weights; each segment has it too."""

    def submit(self, requests: Sequence[GenerateRequest]) -> None:
        """Take requests, also while others are open. Raises EngineError if the id of one is open already."""

    def poll(self, timeout_s: float | None = None) -> list[Segment]:
        """Return the segments of requests that have ended: at least one; [] after `timeout_s`, or if no request is
        open.
        """

    def abort(self, ids: Sequence[str] | None = None) -> None:
        """Stop these requests, or all (None); ids that are not open are ignored.

        A later `poll` still returns the segment of each, with the tokens so far and the `finish_reason` `abort`, unless
        it had ended already.
        """

    def load(self, version: int, weights: Weights) -> None:
        """Copy weights, in place, also while asleep; segments sampled from now on have this `version`.

        Raises EngineError if the names or shapes are not those of the engine, or if requests are open.
        """

    def sleep(self) -> None:
        """Release memory until `wake`; what was kept to continue completions may be lost. Raises EngineError if
        requests are open.
        """

    def wake(self) -> None:
        """Be ready to sample again."""


@runtime_checkable
class BlockingEngine(Protocol):
    """A simpler kind of engine: it samples a whole batch in one call. `kgym.rollout.engine.adapted` makes an `Engine`
    of it.
    """

    @property
    def version(self) -> int:
        """As `Engine.version`."""

    def generate(self, requests: Sequence[GenerateRequest]) -> Iterator[Segment]:
        """Yield one segment for each request, in the order in which they finish."""

    def load(self, version: int, weights: Weights) -> None:
        """As `Engine.load`."""

    def sleep(self) -> None:
        """As `Engine.sleep`."""

    def wake(self) -> None:
        """As `Engine.wake`."""
