"""The words that every part of kgym speaks. Read this first.

The way of the data, with the record that travels along each arrow:

    Sampler --index--> ProblemSource --Problem--> EpisodePool --GenerateRequest--> Engine --Segment--> EpisodePool
            --VerifyItem--> Verifier --Verdict, reward--> Episode --Group--> Shaper --rewards--> PackedBatch
            --advantages--> Algorithm --LossOutput--> optimizer

Dimension key of the tensors:  T tokens of the pack (prompts and answers)   E episodes   V vocabulary

Four log-probabilities, never under one name. Natural logs, of the sampled token, at the sampling temperature:

    logprobs          the trainer's, now
    old_logprobs      the trainer's, at the start of the batch
    engine_logprobs   as the engine reported them while sampling
    ref_logprobs      the frozen reference's
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:  # torch is imported by those who compute with it
    from concurrent.futures import Future

    from torch import Tensor


# --- problems and prompts ---------------------------------------------------------------------------------------------


class Message(NamedTuple):
    """One turn of a conversation; `role` is `system`, `user`, `assistant` or, for what a tool has returned, `tool`."""

    role: str
    content: str


Chat = tuple[Message, ...]


@dataclass(frozen=True)
class Problem:
    """A question with its gold answer.

    One row: Problem(id="aime/train/gcd/2/17", question="Find ...", gold="12", level=2, subject="number theory",
    solution="...").
    """

    id: str
    """Unique within all of kgym and stable for ever: seeds derive from it."""
    question: str
    gold: str
    """The answer as in the data set: a raw string, leading zeros and LaTeX kept."""
    level: int = 0
    """Difficulty, 1 (easiest) to 10; 0 if unknown."""
    subject: str = ""
    solution: str = ""
    """A worked solution that ends in the boxed answer, or "" if there is none."""
    year: int = 0
    """Year of the examination it is from; 0 if unknown, or from none."""


class ProblemSource(Protocol):
    """A pure function from an index to a problem: no state, no clock, no global randomness."""

    @property
    def size(self) -> int | None:
        """How many problems there are; None if endless (generated)."""

    @property
    def fingerprint(self) -> str:
        """sha256 of the data, or of what generates it (name, version, split, options)."""

    def __getitem__(self, index: int) -> Problem:
        """Return the problem at `index`; the same one for ever. Raises IndexError beyond `size`."""


# --- engines ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn."""

    temperature: float = 1.0
    """0 is greedy."""
    top_p: float = 1.0
    top_k: int = 0
    """0 is off."""
    stop: tuple[str, ...] = ()
    """Texts that end the answer, in addition to the model's own end token; the matched text stays in the answer."""
    loop_tokens: int | None = None
    """End an answer, with the finish reason `repetition`, at the first token where its last so many tokens are one
    block, repeated at least four times (`kgym.repetition`). Earlier segments count. None is off.
    """


@dataclass(frozen=True)
class GenerateRequest:
    """Ask an engine to continue with one answer.

    The engine renders `prompt` with its tokenizer's chat template and puts `prefix_ids`, the tokens of this answer's
    earlier segments, after it as they are. The uniform number after the token at position p of the answer depends on
    (seed, p) alone, so an answer cut into segments is the same answer, and so is one that shares its batch with others.
    """

    id: str
    prompt: Chat
    max_tokens: int
    """New tokens at most."""
    sampling: Sampling
    seed: int
    prefix_ids: tuple[int, ...] = ()
    context_tokens: int | None = None
    """Tokens of the prompt and the answer together, at most; without it only `max_tokens` and the model's context
    bound the answer.
    """
    turns: Chat = ()
    """Earlier turns of the policy and what the environment replied, as messages, for engines that take messages instead
    of tokens. Other engines have them in `prefix_ids`. () before the first reply.
    """
    expects_reply: bool = False
    """Whether the environment may reply once the policy has ended its turn, so that another request continues this
    answer.
    """


FinishReason = Literal["stop", "length", "abort", "repetition"]


class Segment(str):
    """What an engine returned for one request: the text of the new tokens, as a `str`, with where it came from.
    Immutable.

    `stop`: the policy ended its answer. `length`: the token budget of the request or the model's context ended it; a
    prompt that leaves no room for an answer gets such a segment without tokens. `abort`: someone interrupted it; it may
    go on. `repetition`: it had begun to repeat itself, and the request asked to end such answers. The text is for
    people and verifiers; training uses the ids.
    """

    __slots__ = ("engine_logprobs", "finish_reason", "n_tokens", "prompt_ids", "request_id", "token_ids", "version")

    token_ids: tuple[int, ...]
    """New tokens, the end token included. () from a server that does not return them: such a segment can be scored,
    not trained on.
    """
    n_tokens: int
    """Their number, also where only the server knows them."""
    engine_logprobs: tuple[float, ...]
    """One for each of `token_ids`."""
    prompt_ids: tuple[int, ...]
    """The rendered prompt, without the earlier segments."""
    finish_reason: FinishReason
    version: int
    """Version of the weights that sampled it."""
    request_id: str

    def __new__(
        cls,
        text: str,
        *,
        token_ids: Sequence[int] = (),
        engine_logprobs: Sequence[float] = (),
        prompt_ids: Sequence[int] = (),
        finish_reason: FinishReason = "stop",
        version: int = 0,
        request_id: str = "",
        n_tokens: int | None = None,
    ) -> "Segment":
        """Raises ValueError if there is not one log-probability for each token."""
        if len(token_ids) != len(engine_logprobs):
            raise ValueError(f"Segment has {len(token_ids)} token_ids and {len(engine_logprobs)} engine_logprobs")
        if token_ids and n_tokens not in (None, len(token_ids)):
            raise ValueError(f"Segment has {len(token_ids)} token_ids and n_tokens={n_tokens}")
        self = super().__new__(cls, text)
        for name, value in (
            ("token_ids", tuple(token_ids)),
            ("engine_logprobs", tuple(engine_logprobs)),
            ("prompt_ids", tuple(prompt_ids)),
            ("finish_reason", finish_reason),
            ("version", version),
            ("request_id", request_id),
            ("n_tokens", len(token_ids) if n_tokens is None else n_tokens),
        ):
            object.__setattr__(self, name, value)
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        """Raise AttributeError: what was sampled is what is trained on."""
        raise AttributeError(f"a Segment is immutable; make another one to give it another {name}")

    def __delattr__(self, name: str) -> None:
        """Raise AttributeError."""
        raise AttributeError(f"a Segment is immutable; {name} cannot be deleted")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle whole: segments travel between processes."""
        return _segment, (str(self), {name: getattr(self, name) for name in self.__slots__})


def _segment(text: str, fields: Mapping[str, Any]) -> Segment:
    return Segment(text, **fields)


@dataclass(frozen=True)
class Observation:
    """Text of the environment inside a completion, such as a tool's reply: the policy reads it, and is not trained
    on it.
    """

    message: Message
    token_ids: tuple[int, ...] = ()
    """As the engine rendered what was appended."""


Piece = Segment | Observation


class Reply(NamedTuple):
    """What an environment says after a turn of the policy, with what its rendering depends on."""

    message: Message
    last_id: int | None
    """The policy's newest token: the end of its turn, unless a stop text ended it."""


class Weights(Protocol):
    """The weights of a policy on their way to an engine."""

    @property
    def adapter(self) -> Mapping[str, Any] | None:
        """None of a whole model; of a LoRA adapter alone its `adapter_config.json`, as peft writes it.

        B @ A times alpha / rank is to be added to the matrices of the model that the engine was made with. Only engines
        whose `EngineInfo` says `adapters` are given one; if they have `AdapterOptions`, only if these say so too.
        """

    def named(self) -> Iterator[tuple[str, "Tensor"]]:
        """Yield the name and the tensor of every entry of the state dict; tied weights come under each of their names.

        Of an adapter: of every matrix in its `adapter_model.safetensors`.
        """

    def copied(self) -> "Weights":
        """Return a snapshot, which later optimizer steps do not change."""


@runtime_checkable
class Engine(Protocol):
    """Samples text from weights. Constructed as `target(options, model_folder)`.

    A request is open from `submit` until `poll` has returned its segment. One thread calls these methods. If `poll`
    raises, no request is open any more.
    """

    @property
    def version(self) -> int:
        """Of the weights; segments carry it."""

    def submit(self, requests: Sequence[GenerateRequest]) -> None:
        """Take requests, also while others are open. Raises EngineError if the id of one is open already."""

    def poll(self, timeout_s: float | None = None) -> list[Segment]:
        """Return the segments of requests that have ended: at least one, or [] after `timeout_s` or if no request is
        open.
        """

    def abort(self, ids: Sequence[str] | None = None) -> None:
        """Stop these requests, or all (None); ids that are not open are ignored.

        Each still yields its segment at a later `poll`, with the tokens that it has so far and `finish_reason` `abort`,
        unless it had ended already.
        """

    def load(self, version: int, weights: Weights) -> None:
        """Copy weights, in place, also while asleep; segments sampled from now on carry `version`.

        Raises EngineError if the names or shapes are not those of the engine, or if requests are open.
        """

    def sleep(self) -> None:
        """Release memory until `wake`; what was kept to continue answers may be lost. Raises EngineError if requests
        are open.
        """

    def wake(self) -> None:
        """Be ready to sample again."""


@runtime_checkable
class BlockingEngine(Protocol):
    """What an engine may be instead: it answers a whole batch in one call. `kgym.rollout.engine.adapted` makes an
    `Engine` of it.
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


# --- verifiers --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class VerifyItem:
    """One answer to judge. `response` is the untrusted text of a model."""

    gold: str
    response: str
    question: str = ""
    """For verifiers that want to recognise an echo of it."""
    problem_id: str = ""
    """Names the problem in messages; a verdict does not depend on it."""
    turns: Chat = ()
    """Turns before `response`, as messages: those of the policy and what the environment replied. () where the
    environment has not.
    """


Status = Literal["correct", "wrong", "no_answer", "unscored"]


@dataclass(frozen=True)
class Verdict:
    """A verifier's finding. It has no truth value, since there are more than two: compare `status`, or ask `scored`."""

    status: Status
    reason: str = ""
    """The rule that decided (`integer`, `hedged`), or why there is no score (`timeout`)."""
    answer: str | None = None
    """What was taken from the response, as it was there."""
    normal: str | None = None
    """The answer in the verifier's normal form; equal forms are the same answer."""
    seconds: float = field(default=0.0, compare=False)
    partial: float | None = None
    """A score in [0, 1] from verifiers that give partial credit, which counts for every status; None otherwise."""
    trace: str = field(default="", compare=False)
    """How the verifier came to its finding, one step a line, if it was asked to explain; of a program, the case that
    it failed.
    """

    def __post_init__(self) -> None:
        """Raises ValueError for an unknown status, or an unscored verdict without its reason."""
        if self.status not in ("correct", "wrong", "no_answer", "unscored"):
            raise ValueError(f"verdict status {self.status!r} must be one of correct, wrong, no_answer, unscored")
        if self.status == "unscored" and not self.reason:
            raise ValueError("an unscored verdict needs its reason")
        if self.partial is not None and not 0.0 <= self.partial <= 1.0:
            raise ValueError(f"partial={self.partial} is not in [0, 1]")

    def __bool__(self) -> bool:
        """Raise: `if verdict:` would take a timeout for a wrong answer, or the reverse."""
        raise TypeError("a Verdict has no truth value; compare verdict.status or ask verdict.scored")

    @property
    def scored(self) -> bool:
        """Whether the answer was judged at all."""
        return self.status != "unscored"

    @property
    def correct(self) -> bool | None:
        """True, False, or None if unscored."""
        return self.status == "correct" if self.scored else None

    @property
    def score(self) -> float:
        """What the board counts, in [0, 1]. Raises ValueError if unscored: mask it, do not count it as 0."""
        if not self.scored:
            raise ValueError(f"no score: the answer is unscored ({self.reason})")
        if self.partial is not None:
            return self.partial
        return 1.0 if self.status == "correct" else 0.0

    @property
    def label(self) -> str:
        """`correct`, `wrong`, `no_answer` or `unscored:<why>`: one word for tables and `info["status"]`."""
        return f"unscored:{self.reason}" if self.status == "unscored" else self.status


class Verifier(Protocol):
    """Judges answers. Constructed as `target(options)`."""

    def verify_many(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """Return one verdict for each item, in order. A hostile answer gets a verdict; it never raises.

        An item for which it raises is `unscored:error:NAME`, one for which it returns something else is
        `unscored:bad_verdict`.
        """


class LoadedVerifier(Verifier, Protocol):
    """A verifier as `kgym.verify.service.load_verifier` returns it."""

    batched: bool
    """Whether it is better asked once about many answers than about each as it comes; see `VerifierInfo.batched`."""

    def submit(self, item: VerifyItem) -> "Future[Verdict]":
        """Judge one answer in the background. The future may be cancelled; it raises VerifierError if the verifier
        cannot be built.
        """


# --- episodes ---------------------------------------------------------------------------------------------------------


@dataclass
class Episode:
    """One attempt at a problem: the prompt, the pieces of the completion in order, and what came of them.

    It may live through several training steps. `token_ids`, `token_mask`, `engine_logprobs` and `versions` have one
    entry for each token after the prompt, observations included.
    """

    problem: Problem
    attempt: int
    """Number of this attempt at this problem within the run: part of its seed."""
    prompt: Chat
    pieces: list[Piece] = field(default_factory=list)
    verdict: Verdict | None = None
    """None while the episode is open, and until it is judged."""
    reward: float = 0.0
    """As the environment gave it; shapers add to it in the group."""
    terminated: bool = False
    truncated: bool = False
    trainable: bool = True
    """False if its verdict is unscored, or truncated completions are masked: kept, counted, left out of the loss."""
    seed: int = 0
    """Of the uniform numbers that choose its tokens; fixed when the episode begins, for any step or slot."""

    @property
    def id(self) -> str:
        """Unique within a run."""
        return f"{self.problem.id}#{self.attempt}"

    @property
    def ended(self) -> bool:
        """Whether it takes no more pieces."""
        return self.terminated or self.truncated

    @property
    def judged(self) -> bool:
        """Whether there is a score to compare others with. A truncated answer that is masked is judged, and only
        left out of the loss.
        """
        return self.verdict is not None and self.verdict.scored

    @property
    def segments(self) -> list[Segment]:
        """What the policy sampled, in order."""
        return [piece for piece in self.pieces if isinstance(piece, Segment)]

    @property
    def observations(self) -> list[Observation]:
        """What the environment replied, in order."""
        return [piece for piece in self.pieces if isinstance(piece, Observation)]

    @property
    def n_turns(self) -> int:
        """Turns of the policy that have begun: one more than replies of the environment."""
        return 1 + len(self.observations)

    @property
    def text(self) -> str:
        """The whole completion, without observations."""
        return "".join(self.segments)

    @property
    def last_turn(self) -> str:
        """What the policy has said since the newest observation: the whole completion where there is none."""
        return self.turns[-1].content if self.pieces and isinstance(self.pieces[-1], Segment) else ""

    @property
    def turns(self) -> Chat:
        """The completion as messages: turns of the policy, and between them what the environment replied."""
        found: list[Message] = []
        for own, pieces in itertools.groupby(self.pieces, lambda piece: isinstance(piece, Segment)):
            if own:
                found.append(Message("assistant", "".join(piece for piece in pieces if isinstance(piece, Segment))))
            else:
                found += [piece.message for piece in pieces if isinstance(piece, Observation)]
        return tuple(found)

    @property
    def finish_reason(self) -> FinishReason | None:
        """Of the newest segment; None before the first."""
        segments = self.segments
        return segments[-1].finish_reason if segments else None

    @property
    def prompt_ids(self) -> tuple[int, ...]:
        """The rendered prompt, as the engine saw it."""
        return next((segment.prompt_ids for segment in self.segments if segment.prompt_ids), ())

    @property
    def token_ids(self) -> tuple[int, ...]:
        """The tokens after the prompt."""
        return tuple(token for piece in self.pieces for token in piece.token_ids)

    @property
    def token_mask(self) -> tuple[bool, ...]:
        """Whether the policy sampled the token."""
        return tuple(isinstance(piece, Segment) for piece in self.pieces for _ in piece.token_ids)

    @property
    def engine_logprobs(self) -> tuple[float, ...]:
        """As the engine reported them; 0 for an observation."""
        return tuple(
            logprob
            for piece in self.pieces
            for logprob in (piece.engine_logprobs if isinstance(piece, Segment) else [0.0] * len(piece.token_ids))
        )

    @property
    def versions(self) -> tuple[int, ...]:
        """Version of the weights that sampled the token; -1 for an observation."""
        return tuple(
            version
            for piece in self.pieces
            for version in [piece.version if isinstance(piece, Segment) else -1] * len(piece.token_ids)
        )

    @property
    def n_tokens(self) -> int:
        """Tokens that the policy sampled, end token included."""
        return sum(segment.n_tokens for segment in self.segments)


@dataclass
class Group:
    """All attempts at the same problem in one step, with their rewards after shaping."""

    problem: Problem
    episodes: list[Episode]
    rewards: list[float]


# --- training ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Totals:
    """What a whole batch holds. Micro-batches carry the totals of the batch they were cut from, so that their losses
    add up to its loss.
    """

    tokens: int
    """Masked-in tokens."""
    episodes: int
    """Episodes with at least one masked-in token."""
    groups: int
    """Groups with at least one such episode."""


@dataclass(frozen=True)
class PackedBatch:
    """E episodes laid end to end as T tokens: prompt, then answer, then the next episode.

    Raises ValueError, naming the field, if the shapes do not agree.
    """

    input_ids: "Tensor"
    """(T,) int64"""
    episode_ids: "Tensor"
    """(T,) int64, 0 .. E-1, never decreasing: which episode a token belongs to."""
    mask: "Tensor"
    """(T,) bool: tokens that the policy sampled and that are trained on. Never the first token of an episode."""
    old_logprobs: "Tensor"
    """(T,) float32; [t] is the log-probability of token t given those before it; 0 where the mask is 0."""
    rewards: "Tensor"
    """(E,) float32, after shaping"""
    group_ids: "Tensor"
    """(E,) int64, equal for attempts at the same problem"""
    totals: Totals
    truncated: "Tensor | None" = None
    """(E,) bool"""
    greedy_rewards: "Tensor | None" = None
    """(E,) float32, reward of the greedy answer to the same problem"""
    counted: "Tensor | None" = None
    """(E,) bool: episodes whose reward the others are compared with; without it those with a masked-in token. Truncated
    answers that are masked count here, and have no masked-in token.
    """
    engine_logprobs: "Tensor | None" = None
    """(T,) float32"""
    versions: "Tensor | None" = None
    """(T,) int64, version of the weights that sampled the token; -1 for prompts and observations"""
    ref_logprobs: "Tensor | None" = None
    """(T,) float32"""
    old_values: "Tensor | None" = None
    """(T,) float32, the critic's at the start of the batch; [t] is the value of the state in which token t was
    chosen
    """
    advantages: "Tensor | None" = None
    """(T,) float32; filled in by the trainer from `Algorithm.advantages`"""
    correction: "Tensor | None" = None
    """(T,) float32, by which the trainer scales the gradient of each token's log-probability: 1 for a token of the
    policy that is updated. Only in a batch with tokens of older weights; an algorithm leaves it alone.
    """

    def __post_init__(self) -> None:
        """Compare every array with `input_ids` or `rewards`; a shape note that nothing checks will one day be wrong."""
        for shape_of, names in (
            (
                "input_ids",
                (
                    *("episode_ids", "mask", "old_logprobs", "engine_logprobs", "versions", "ref_logprobs"),
                    *("old_values", "advantages", "correction"),
                ),
            ),
            ("rewards", ("group_ids", "truncated", "greedy_rewards", "counted")),
        ):
            want = getattr(self, shape_of).shape[0]
            unit = "tokens" if shape_of == "input_ids" else "episodes"
            for name in names:
                tensor = getattr(self, name)
                if tensor is not None and tuple(tensor.shape) != (want,):
                    raise ValueError(
                        f"PackedBatch.{name} has shape {tuple(tensor.shape)}, {shape_of} has {want} {unit}"
                    )

    @property
    def n_episodes(self) -> int:
        """E."""
        return int(self.rewards.shape[0])

    @property
    def n_tokens(self) -> int:
        """T, prompts included."""
        return int(self.input_ids.shape[0])


@dataclass(frozen=True)
class LossOutput:
    """A loss to differentiate and the figures that explain it."""

    loss: "Tensor"
    """() scalar; the losses of the micro-batches of a batch sum to the loss of the batch."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Already divided by the totals of the batch, so that they too sum over micro-batches (`policy/clip_frac`)."""


@dataclass(frozen=True)
class UpdatePlan:
    """What an algorithm asks of the trainer for one batch."""

    inner_steps: int = 1
    """Passes over the batch, one or more optimizer steps each."""
    minibatches: int = 1
    """Optimizer steps in a pass; groups are kept whole."""
    reset_optimizer: bool = False
    """Start each batch with a fresh optimizer state."""
    needs_reference: bool = False
    """Fill in `ref_logprobs`."""
    reference: str | None = None
    """Model that they are of, with the tokenizer of the policy: what `--model` takes. None is the model that the run
    starts from.
    """
    needs_values: bool = False
    """Keep a critic: fill in `old_values`, and train it with `CriticAlgorithm.value_loss`."""
    needs_greedy: bool = False
    """Play a greedy answer to each problem also, and fill in `greedy_rewards`."""
    min_group_size: int = 2
    """Attempts at a problem without which there is no gradient: 1 for algorithms that do not compare attempts with
    each other.
    """
    max_rounds: int = 1
    """Rounds of rollouts for a batch. With more than one, groups that teach nothing, whose scores are all equal, are
    replaced by attempts at other problems until the batch is full or the rounds are spent.
    """


class Algorithm(Protocol):
    """Turns rewards into a gradient. Constructed as `target(options)`.

    It works on the packed batch and not on groups, since advantages may need what only the pack has (values, reference
    log-probabilities).
    """

    @property
    def plan(self) -> UpdatePlan:
        """What the trainer has to do for it."""

    def advantages(self, batch: PackedBatch) -> "Tensor":
        """Return the advantage of each token, (T,), 0 where the mask is 0; called once a batch, on the whole batch,
        without gradient.
        """

    def loss(self, batch: PackedBatch, logprobs: "Tensor") -> LossOutput:
        """Return the loss of a micro-batch; `logprobs` is (T,) with gradient, `batch.advantages` is filled in."""


class CriticAlgorithm(Algorithm, Protocol):
    """An algorithm whose plan has `needs_values`."""

    def value_loss(self, batch: PackedBatch, values: "Tensor") -> LossOutput:
        """Return the loss of the critic on a micro-batch; `values` is (T,) with gradient, `batch.old_values` is
        filled in.
        """


class Sampler(Protocol):
    """Chooses problems. Constructed as `target(options, source, seed)`."""

    def next(self, n: int, step: int) -> Sequence[int]:
        """Return the indices of the next n problems; `step` counts from 1.

        An algorithm that replaces groups (`UpdatePlan.max_rounds`) asks again within a step, with the same `step`.
        """

    def update(self, index: int, verdicts: Sequence[Verdict]) -> None:
        """Learn how the attempts at one problem went."""

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs to go on, as plain JSON values."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""


@runtime_checkable
class ReportsChoice(Protocol):
    """What a sampler may offer in addition: figures of how it chooses, for the metrics of a step."""

    def figures(self) -> Mapping[str, float]:
        """Return the figures by name, such as {"retired_frac": 0.2}; metrics have them as `sampler/NAME`."""


class Shaper(Protocol):
    """Changes the rewards of a group. Constructed as `target(options)`."""

    def __call__(self, group: Group, rewards: Sequence[float], step: int) -> Sequence[float]:
        """Return the new rewards, one for each episode; `step` counts from 1, for warm-ups."""


# --- the outside world ------------------------------------------------------------------------------------------------


class Tracker(Protocol):
    """Takes metrics somewhere else. Constructed as `target(options, run_folder, config)`, with the resolved
    configuration as plain values, when a run begins and again when it is resumed; `run_folder` is there and stays, so
    what is needed to go on can be kept in it.

    What it raises when it is constructed ends the run; what it raises later is said once and counted.
    """

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record the metrics of one step. After a kill the steps after the last checkpoint come again."""

    def close(self, *, failed: bool) -> None:
        """Flush; `failed` if the run did not end well."""


class Exporter(Protocol):
    """Writes a leaderboard table in some format. Constructed as `target(options)`.

    With a class attribute `ranked = True` it gets the rows of a board of results table by table, the best first, each
    with `rank_low`, `rank_high` and `apart` (why its table is not comparable with the first of its benchmark) next to
    its columns. An option `suffix` is filled in from the name of the file that is to be written.
    """

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> str | bytes:
        """Return the text of the file, or its bytes where it is not a text."""


@dataclass(frozen=True)
class EnvExport:
    """The problems of an environment on their way to another framework."""

    name: str
    """Short name of the environment for names of files and tasks: letters, digits and `_`."""
    env_id: str
    """`kgym/aime-v1`."""
    summary: str
    """What it is, in one line."""
    max_tokens: int
    """Token budget of a completion."""
    splits: Mapping[str, Sequence[Mapping[str, Any]]]
    """The rows of each split, as `kgym.bridges.export_rows` returns them; names have letters, digits and `_`."""


class Bridge(Protocol):
    """Writes an environment as files that another framework takes as they are. Constructed as `target(options)`."""

    turns: bool
    """Whether it takes environments that reply, such as those with tools; others are refused."""

    def __call__(self, export: EnvExport) -> Mapping[str, str | bytes]:
        """Return the content of each file by its name. Raises ConfigError, before anything is written, for what the
        framework cannot hold.

        Rows are judged by `kgym.bridges.judge_rows`, which the files call.
        """
