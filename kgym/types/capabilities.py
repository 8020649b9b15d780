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
    """What the class of an engine may offer in addition: it tells which models it cannot sample from, without
    loading their weights.
    """

    def check(self, options: Any, model_folder: str) -> None:
        """Raise ConfigError for a folder that cannot be loaded, UnsuitedModel for a model that it cannot sample
        from.
        """


@dataclass(frozen=True)
class Surroundings:
    """What an engine is asked to suit, when kgym chooses one."""

    gpus: int
    """GPUs that this process sees."""
    trains: bool
    """Whether it samples for a training, which loads new weights after each update; otherwise for an evaluation."""


@dataclass(frozen=True)
class Suitability:
    """How well an engine suits a model and its surroundings."""

    score: float
    """The engine with the highest score is chosen: 1 for one that works, more for one that is faster there, 0 for one
    that is not to be chosen.
    """
    reason: str
    """Why, as the end of a sentence: `this machine has 2 GPUs`."""


@runtime_checkable
class JudgesItself(Protocol):
    """What the class of an engine may offer in addition, and has to for `engine=auto` to choose it: it tells how well
    it suits.

    It is asked after `ChecksModel.check` has passed.
    """

    def suits(self, options: Any, model_folder: str, surroundings: Surroundings) -> Suitability:
        """Return how well an engine with these options suits the model."""


@runtime_checkable
class TellsMissing(Protocol):
    """What the class of a component may offer in addition to `Info.needs`: it tells what this machine lacks for it."""

    def missing(self) -> str:
        """Return what is missing and the command that installs it, "" if nothing is; for `kgym plugins doctor`."""


@dataclass(frozen=True)
class SamplingWork:
    """What an engine is to be asked for."""

    rows: int
    """Completions at the same time, at most."""
    prompts: int
    """Different prompts that they answer."""
    prompt_tokens: int
    """Of the longest prompt."""
    tokens: int
    """Of the longest prompt and completion together."""
    continued: bool = False
    """Whether completions are continued in later requests, where each is read again."""


@dataclass(frozen=True)
class EngineMemory:
    """Bytes that an engine will take."""

    device: str
    """Where, as torch names it: `cpu`, `cuda:1`."""
    held: Mapping[str, int]
    """All the time, by what it is: `weights`."""
    sampling: Mapping[str, int]
    """While it samples: `keys and values`."""
    savings: Mapping[str, int] = field(default_factory=dict)
    """Options with a value that needs less, such as `engine.max_batch=128`, and what each saves while the engine
    samples.
    """
    keeps: bool = False
    """Whether it keeps the memory of sampling while it does not sample, unless it sleeps."""


@runtime_checkable
class PlansMemory(Protocol):
    """What the class of an engine may offer in addition: it tells what it will need, without loading weights."""

    def memory(self, options: Any, model_folder: str, work: SamplingWork) -> EngineMemory:
        """Return what it takes to sample them."""


@runtime_checkable
class AdapterOptions(Protocol):
    """Options of an engine that takes a LoRA adapter alone only if it was made for it."""

    adapter_rank: int
    """Highest rank of an adapter that `load` takes; 0: weights come merged."""


@runtime_checkable
class TemplateOptions(Protocol):
    """Options of an engine that renders prompts by the model's chat template."""

    template: Mapping[str, Any]
    """Values of the template's variables; the trainer renders with the same."""


@runtime_checkable
class MeasuresPrompts(Protocol):
    """What an engine may offer in addition: it tells beforehand which prompts it cannot answer."""

    def too_long(self, prompts: Sequence[Chat], context_tokens: int | None = None) -> dict[int, int]:
        """Return the places of the prompts that leave no room for an answer, with their numbers of tokens.

        Raises ConfigError for a prompt that the model's chat template refuses.
        """


@runtime_checkable
class RendersReplies(Protocol):
    """What an engine may offer in addition, and has to where an environment replies: it renders what is appended to an
    answer.

    Tokens that are there already are never rendered again.
    """

    def render_replies(self, replies: Sequence[Reply]) -> list[tuple[int, ...]]:
        """Return the tokens of each reply: the end of the policy's turn as far as the policy has not written it, the
        message, and the beginning of the policy's next turn. () from an engine that sends `GenerateRequest.turns` to a
        server instead.
        """

    def turns_note(self) -> str:
        """Return in which way an answer of several turns differs from the whole conversation rendered at once; "" if it
        does not.

        Raises ConfigError for a chat template that cannot continue after an answer.
        """


@runtime_checkable
class CountsUse(Protocol):
    """What an engine may offer in addition: it counts what it has asked of a server or a cluster, and what failed
    there.
    """

    @property
    def usage(self) -> Mapping[str, int]:
        """Since it was made: `requests`, `answers`, `prompt_tokens`, `completion_tokens`, and `failed_KIND`, such as
        `failed_429`, for each kind of failure after which a request was sent again.
        """


@dataclass(frozen=True)
class HeldTensor:
    """What an engine tells of one of its tensors."""

    names: tuple[str, ...]
    """The entries of the state dict that it holds: several if the engine has fused them."""
    dtype: str
    """As torch names it: `bfloat16`."""
    checksum: int
    """`kgym.models.checksums.checksum` of its elements."""


@runtime_checkable
class ShowsWeights(Protocol):
    """What an engine may offer in addition: it reads its weights back, so that the trainer can compare them bit by
    bit.
    """

    def held(self) -> Sequence[HeldTensor]:
        """Return what it samples from at present, of an adapter its matrices; what it cannot read back is left out.

        The replicas of an engine each add their own.
        """


@runtime_checkable
class Replicated(Protocol):
    """What an engine may offer in addition: it hands its requests out to several engines, evenly where the prompts
    differ.
    """

    replicas: int
    """How many there are."""
