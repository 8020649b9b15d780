"""What an engine, its class or its options may offer in addition to the protocol, each with its records.

kgym asks `isinstance` and does without where a capability is missing. `TellsMissing` is for components of every kind.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from kgym.types.problems import Chat
from kgym.types.segments import Reply


@runtime_checkable
class ChecksModel(Protocol):
    """The class of an engine may offer this: it tells which models the engine cannot sample from, without loading their
    weights.
    """

    def check(self, options: Any, model_folder: str) -> None:
        """Raise ConfigError for a folder that cannot be loaded, UnsuitedModel for a model that the engine cannot sample
        from.
        """


@dataclass(frozen=True)
class Surroundings:
    """The machine and the purpose for which kgym chooses an engine."""

    gpus: int
    """GPUs that this process sees."""
    trains: bool
    """True for a training, which loads new weights after each update; False for an evaluation."""


@dataclass(frozen=True)
class Suitability:
    """How well an engine suits a model and its surroundings."""

    score: float
    """The engine with the highest score is chosen: 1 for an engine that works, more for one that is faster there, 0 for
    one that must not be chosen.
    """
    reason: str
    """Why, as the end of a sentence: `this machine has 2 GPUs`."""


@runtime_checkable
class JudgesItself(Protocol):
    """The class of an engine may offer this: it tells how well the engine suits a model. `engine=auto` chooses among
    the engines that offer it.

    It is asked after `ChecksModel.check` has passed.
    """

    def suits(self, options: Any, model_folder: str, surroundings: Surroundings) -> Suitability:
        """Return how well an engine with these options suits the model."""


@runtime_checkable
class TellsMissing(Protocol):
    """The class of a component may offer this in addition to `Info.needs`: it tells what is missing on this machine."""

    def missing(self) -> str:
        """Return what is missing and the command that installs it, "" if nothing is; for `kgym plugins doctor`."""


@dataclass(frozen=True)
class SamplingWork:
    """How much an engine will have to sample."""

    rows: int
    """Completions at the same time, at most."""
    prompts: int
    """Different prompts among them."""
    prompt_tokens: int
    """Tokens of the longest prompt."""
    tokens: int
    """Tokens of the longest prompt and completion together."""
    continued: bool = False
    """Whether later requests continue completions; the engine then reads each completion again."""


@dataclass(frozen=True)
class EngineMemory:
    """Bytes of memory that an engine will need."""

    device: str
    """Where, as torch names it: `cpu`, `cuda:1`."""
    held: Mapping[str, int]
    """Bytes needed all the time, by purpose, such as `weights`."""
    sampling: Mapping[str, int]
    """Bytes needed while it samples, by purpose, such as `keys and values`."""
    savings: Mapping[str, int] = field(default_factory=dict)
    """Options with a value that needs less, such as `engine.max_batch=128`, each with the bytes that it saves while the
    engine samples.
    """
    keeps: bool = False
    """Whether it keeps the memory of sampling while it does not sample, unless it sleeps."""


@runtime_checkable
class PlansMemory(Protocol):
    """The class of an engine may offer this: it tells how much memory the engine will need, without loading weights."""

    def memory(self, options: Any, model_folder: str, work: SamplingWork) -> EngineMemory:
        """Return the memory that an engine with these options needs for this work."""


@runtime_checkable
class AdapterOptions(Protocol):
    """Options of an engine that takes a LoRA adapter alone only if it was made for it."""

    adapter_rank: int
    """Highest rank of an adapter that `load` takes; 0: it takes merged weights only."""


@runtime_checkable
class TemplateOptions(Protocol):
    """Options of an engine that renders prompts by the model's chat template."""

    template: Mapping[str, Any]
    """Values of the template's variables; the trainer renders with the same values."""


@runtime_checkable
class MeasuresPrompts(Protocol):
    """An engine may offer this: it tells in advance which prompts are too long."""

    def too_long(self, prompts: Sequence[Chat], context_tokens: int | None = None) -> dict[int, int]:
        """Return the places of the prompts that leave no room for a completion, with their numbers of tokens.

        Raises ConfigError for a prompt that the model's chat template refuses.
        """


@runtime_checkable
class RendersReplies(Protocol):
    """An engine may offer this, and has to for an environment that replies: it renders what is appended to a
    completion.

    Tokens that the completion already has are never rendered again.
    """

    def render_replies(self, replies: Sequence[Reply]) -> list[tuple[int, ...]]:
        """Return the tokens of each reply: the end of the policy's turn as far as the policy has not written it, the
        message, and the beginning of the policy's next turn. () from an engine that sends `GenerateRequest.turns` to a
        server instead.
        """

    def turns_note(self) -> str:
        """Return how a completion of several turns differs from the whole conversation rendered at once; "" if it does
        not.

        Raises ConfigError for a chat template that cannot continue after a turn of the policy.
        """


@runtime_checkable
class CountsUse(Protocol):
    """An engine may offer this: it counts its requests to a server or a cluster, and those that failed."""

    @property
    def usage(self) -> Mapping[str, int]:
        """Counts since it was made: `requests`, `answers` (completions), `prompt_tokens`, `completion_tokens`, and
        `failed_KIND`, such as `failed_429`, for each kind of failure after which a request was sent again.
        """


@dataclass(frozen=True)
class HeldTensor:
    """One tensor of an engine's weights, as the engine reads it back."""

    names: tuple[str, ...]
    """The entries of the state dict that it holds: several if the engine has fused them."""
    dtype: str
    """As torch names it: `bfloat16`."""
    checksum: int
    """`kgym.models.checksums.checksum` of its elements."""


@runtime_checkable
class ShowsWeights(Protocol):
    """An engine may offer this: it reads its weights back, so that the trainer can compare them bit by bit."""

    def held(self) -> Sequence[HeldTensor]:
        """Return the tensors that it samples from now; of an adapter, its matrices. What it cannot read back is left
        out. The replicas of an engine each add theirs.
        """


@runtime_checkable
class Replicated(Protocol):
    """An engine may offer this: it hands its requests out to several engines, evenly where the prompts differ."""

    replicas: int
    """Number of these engines."""
