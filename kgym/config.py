"""The configuration of a run: every key with its type, default and meaning.

`kgym.keys` reads it from a TOML file and `--set key=value`.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from kgym.limits import PoolLimits
from kgym.options import Options, RunSteps, Temperature
from kgym.repetition import SHORTEST
from kgym.spelling import older_spelling, refuse_cut_sampling
from kgym.stages import Stages
from kgym.train_config import TrainConfig
from kgym.types import Sampling


def plain(value: Any) -> Any:
    """Return a value unchanged. Raises ValueError for a value that JSON cannot hold (infinity, a date): a run stores
    its configuration in it.
    """
    if isinstance(value, Mapping):
        for item in value.values():
            plain(item)
    elif isinstance(value, list | tuple):
        for item in value:
            plain(item)
    elif not (
        value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))
    ):
        raise ValueError(f"{value} is not a text, a finite number, true or false, a list or a table")
    return value


Plain = Annotated[dict[str, Any], AfterValidator(plain)]
"""Options of a component, before the component has seen them."""


class Component(Options):
    """A component by name, with its options; they may be written beside the name."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    name: str | None = Field(None, min_length=1)
    """Name of the component, as `kgym plugins list` prints it."""
    options: Plain = Field(default_factory=dict)
    """Options of the component, checked by its own `Options` when it is made."""

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, values: Any) -> Any:
        """Move what is not a field of this model into `options`. A plain string is a name; nothing is the default."""
        if values is None:
            return {}
        if isinstance(values, str):
            return {"name": values}
        if not isinstance(values, Mapping):
            return values
        fields = {key: value for key, value in values.items() if key in cls.model_fields}
        beside = {key: value for key, value in values.items() if key not in cls.model_fields}
        if beside and isinstance(fields.get("options", {}), Mapping):
            fields["options"] = {**fields.get("options", {}), **beside}
        return fields


class EnvConfig(Component):
    """The environment."""

    name: str = Field("aime", min_length=1)
    """Short name (the newest version) or id."""
    split: str = Field("train", min_length=1)
    """Split to train on."""


AUTO = "auto"
"""The name that stands for the engine that suits best."""


class EngineConfig(Component):
    """The engine that samples text."""

    name: str = Field("transformers", min_length=1)
    """Name, as `kgym plugins list --kind engine` prints it, or `auto`: the engine that suits model and machine best."""


class VerifierConfig(Component):
    """The verifier that judges completions."""

    name: str | None = Field(None, min_length=1)
    """Name, as `kgym plugins list --kind verifier` prints it. Default: the environment's own verifier."""
    limits: PoolLimits = PoolLimits()
    """Limits of the worker processes in which it judges. They decide only which verdicts are unscored."""


class AuditConfig(VerifierConfig):
    """A second verifier, which judges the same completions and does not change the reward. It measures how far the
    verifier of the run agrees with it.
    """


class AlgoConfig(Component):
    """The algorithm, which turns rewards into a gradient."""

    name: str = Field("mirror", min_length=1)
    """Name, as `kgym plugins list --kind algorithm` prints it."""


class SamplerConfig(Component):
    """The sampler, which chooses the problems."""

    name: str = Field("uniform", min_length=1)
    """Name, as `kgym plugins list --kind sampler` prints it."""


class MemberConfig(Component):
    """One of several environments of a run. Its options, including `max_tokens` and `truncated`, are written beside its
    name.
    """

    name: str = Field("", min_length=1)
    """Short name (the newest version) or id; without it the label."""
    split: str = Field("train", min_length=1)
    """Split to train on."""
    weight: float = Field(1.0, gt=0, allow_inf_nan=False)
    """Its share of the groups, relative to the weights of the others; exact over the whole run, not by chance."""
    verifier: VerifierConfig | None = None
    """The verifier that judges its completions; without it the verifier of the run."""
    audit: AuditConfig | None = None
    """A second verifier, which only measures the first; without it that of the run, if it has one."""
    sampler: SamplerConfig | None = None
    """The sampler that chooses its problems; without it a sampler as the run's. Environments never share a sampler."""


def _one_is_a_list_of_one(stop: Any) -> Any:
    return (stop,) if isinstance(stop, str) else stop


Stop = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_one_is_a_list_of_one)]
"""Texts that end a completion: a list of them, or one."""


class SamplingConfig(Options):
    """How an evaluation draws tokens; training has neither `top_p` nor `top_k`."""

    temperature: Temperature = 1.0
    """Sampling temperature; 0 is greedy."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Sample from the smallest set of tokens with this much probability; 1 is off."""
    top_k: int = Field(0, ge=0)
    """Sample from this many most likely tokens; 0 is off."""
    stop: Stop = ()
    """Texts that end a completion, in addition to the model's end tokens."""
    loop_tokens: int | None = Field(None, ge=SHORTEST)
    """As `rollout.loop_tokens`."""

    @property
    def sampling(self) -> Sampling:
        """How tokens are drawn."""
        return Sampling(self.temperature, self.top_p, self.top_k, self.stop, self.loop_tokens)


Stage = tuple[RunSteps, Annotated[int, Field(ge=1)]]
"""The step after which a stage begins, and its token budget."""


class RolloutConfig(Options):
    """How episodes are played."""

    model_config = ConfigDict(allow_inf_nan=False)

    problems_per_step: int = Field(24, ge=1)
    """Groups in a step."""
    group_size: int = Field(8, ge=1)
    """Attempts at each problem; they are compared with each other."""
    temperature: Temperature = Field(1.0, gt=0)
    """Sampling temperature; 1 samples from the policy itself. With 0, all attempts at a problem would be equal."""
    stop: Stop = ()
    """Texts that end a completion, in addition to the model's end tokens: a list of them, or one."""
    loop_tokens: int | None = Field(None, ge=SHORTEST)
    """End a completion once its last `loop_tokens` tokens are one block of tokens, repeated at least four times: it is
    truncated with the finish reason `repetition`, its verdict is `wrong` and it stays in the loss, as Kimi k1.5
    penalises repetition (section 2.6.2). Off by default, since it also ends completions that would have left the loop.
    It pays where completions may be long and loops run into the budget. A good value is an eighth of `env.max_tokens`,
    at least 64, since a table or a sum of equal terms repeats short blocks for good reason.
    """
    max_tokens: tuple[Stage, ...] = ()
    """Token budget of a completion by stages, a list of [steps, tokens]: `[[0, 128], [0.5, 256]]` is 128 tokens at
    first, and 256 after half of the run. Steps are a number, or, below 1, a share of the run; the first are 0. An
    episode keeps the budget of the step in which it began. No stage may exceed `env.max_tokens`, the budget of a run
    without stages and of validations.
    """
    segment_tokens: int | None = Field(None, ge=1)
    """Tokens of a segment. A longer completion is continued in further segments, within the same step and by the same
    weights; this bounds one request to the engine and changes no completion. Without it a completion is one segment.
    """
    schedule: Literal["sync", "partial", "ahead"] = "sync"
    """When a step ends. `sync`: when every episode has ended. `partial`: when `problems_per_step` groups are complete
    or `step_tokens` are spent; open episodes continue in the next step under newer weights (partial rollouts of Kimi
    k1.5). `ahead`: as `partial`, and the engine generates the next batch in its own process while this one is trained
    on.
    """
    oversample: float = Field(1.0, ge=1)
    """Groups that are open at once in `partial` and `ahead`, as a multiple of `problems_per_step`: a step ends when the
    first `problems_per_step` of them are complete. 1 waits for all.
    """
    step_tokens: int | None = Field(None, ge=1)
    """Tokens sampled in a step, at most, in `partial` and `ahead`; episodes that are open then continue in the next
    step. Without it only complete groups end a step.
    """
    max_age: int = Field(8, ge=0)
    """Updates of the weights during which an episode may stay open, in `partial` and `ahead`. An older episode is ended
    as `unscored:too_old`: counted, and left out of the loss.
    """
    max_lag: int = Field(1, ge=0)
    """Updates of the weights that may still be missing when the engine begins a batch, in `ahead`. 0 is `sync` with the
    engine in its own process; with 2 or more, it depends on timing which weights sample a batch.
    """
    sleep: bool = False
    """Let the engine release its memory while the policy is updated (`Engine.sleep`): for a GPU that both share and
    that is too small for both at a time. Weights and cache are made again before the next step, which costs time. Not
    with `ahead`.
    """
    old_tokens: Literal["mask", "correct"] | None = None
    """How tokens that older weights sampled are trained on. `mask` (the default of `partial`): not at all, as in Kimi
    k1.5 (section 2.6.2). `correct` (the default of `ahead`): with importance weights, from the engine's
    log-probabilities to those of the policy before the update.
    """
    max_unscored_frac: float = Field(0.1, ge=0, le=1)
    """Stop if a larger share of a step's completions than this could not be judged: the mean reward would mislead."""
    max_engine_gap_nats: float = Field(0.5, gt=0)
    """Stop if the log-probabilities of engine and trainer differ by more than this on average, over the tokens that
    the newest weights sampled: the engine then samples from another policy than the one that is trained. `nano` has
    4e-7 in float32 and 0.002 in bfloat16."""
    max_canary_gap_nats: float | None = Field(None, gt=0)
    """Stop if, after the engine has loaded weights, its log-probabilities and the trainer's differ by more than this on
    average, over the tokens of the canary, a text that both read: the engine then does not have the weights. Without it
    1e-4 if both compute in float32 on a CPU, 0.01 on a GPU, and 0.3 (0.1 when the run begins) if one of them computes
    in another type, or the engine does not tell its type.
    """

    @field_validator("max_tokens", mode="before")
    @classmethod
    def _is_a_list_of_stages(cls, stages: Any) -> Any:
        if not isinstance(stages, list | tuple) or not all(
            isinstance(stage, list | tuple) and len(stage) == 2 for stage in stages
        ):
            raise ValueError("must be a list of [steps, tokens], such as [[0, 128], [0.5, 256]]")
        return stages

    @model_validator(mode="after")
    def _agrees_with_the_schedule(self) -> Self:
        n_open = math.ceil(self.problems_per_step * self.oversample) * self.group_size
        carries = self.oversample > 1 or self.step_tokens is not None
        if self.schedule != "ahead" and self.max_lag != 1:
            raise ValueError(
                f"rollout.max_lag={self.max_lag} is for rollout.schedule=ahead; set that, or leave rollout.max_lag out"
            )
        if self.schedule == "ahead" and self.sleep:
            raise ValueError(
                "rollout.sleep=true: with rollout.schedule=ahead the engine samples while the policy is updated; leave "
                "it out"
            )
        if self.schedule == "sync":
            for name, default in (("oversample", 1.0), ("step_tokens", None), ("max_age", 8), ("old_tokens", None)):
                if (value := getattr(self, name)) != default:
                    raise ValueError(
                        f"rollout.{name}={value} is for open episodes; set rollout.schedule=partial or ahead with it"
                    )
        elif self.max_age == 0 and (carries or self.schedule == "partial"):
            raise ValueError(
                f"rollout.max_age=0 ends every episode that a step of rollout.schedule={self.schedule} leaves open; "
                "use 1 or more"
            )
        elif self.step_tokens is not None and self.step_tokens < n_open:
            raise ValueError(
                f"rollout.step_tokens={self.step_tokens} is less than one token for each of the {n_open} episodes that "
                "are open at once"
            )
        elif self.schedule == "ahead" and self.max_lag and self.old_tokens == "mask":
            raise ValueError(
                f"rollout.old_tokens=mask leaves nothing to train on: with rollout.max_lag={self.max_lag} older "
                "weights sample every token; use rollout.old_tokens=correct"
            )
        return self

    @property
    def corrects_old_tokens(self) -> bool:
        """Whether tokens of older weights are trained on, with importance weights."""
        return self.old_tokens == "correct" or (self.old_tokens is None and self.schedule == "ahead")

    @property
    def sampling(self) -> Sampling:
        """How tokens are drawn."""
        return Sampling(self.temperature, stop=self.stop, loop_tokens=self.loop_tokens)


class EvalConfig(Options):
    """How the policy is scored while it is trained; `rollout.stop` and `rollout.loop_tokens` hold here too."""

    model_config = ConfigDict(allow_inf_nan=False)

    every: int = Field(4, ge=0)
    """Steps between validations. A run also validates before the first and after the last step. 0: no validation."""
    split: str = Field("validation", min_length=1)
    """Problems to validate on."""
    problems: int = Field(500, ge=1)
    """Number of problems, the first ones of the split; all of them if the split has fewer."""
    samples: int = Field(1, ge=1)
    """Completions for each problem."""
    benches: tuple[str, ...] = ()
    """Benchmarks, or ENV:SPLIT, that each validation also scores, with their numbers of problems and completions."""
    temperature: Temperature | None = None
    """Sampling temperature; 0 is greedy. Without it that of training, `rollout.temperature`."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Sample from the smallest set of tokens with this much probability; 1 is off."""
    top_k: int = Field(0, ge=0)
    """Sample from this many most likely tokens; 0 is off."""
    max_tokens: int | None = Field(None, ge=1)
    """Token budget of a completion, in benchmarks too. Without it that of training, `env.max_tokens`."""

    def sampling(self, training: Sampling) -> Sampling:
        """Return how tokens are drawn in a run that trains with `training`."""
        temperature = training.temperature if self.temperature is None else self.temperature
        return replace(training, temperature=temperature, top_p=self.top_p, top_k=self.top_k)


class CriticConfig(Options):
    """The critic of an algorithm that needs one (`ppo`); other algorithms have none."""

    model_config = ConfigDict(allow_inf_nan=False)

    backbone: Literal["separate", "shared"] = "separate"
    """`separate`: a separate model. `shared`: a layer on the policy's backbone, which then learns from both losses."""
    model: str | None = Field(None, min_length=1)
    """Model that a separate critic starts from, named as `model` is, such as a trained reward model; without it the
    policy.
    """
    lr: float = Field(1e-3, gt=0)
    """Learning rate after the policy's warm-up; the default suits nano, a billion parameters need about 1e-5."""

    @model_validator(mode="after")
    def _has_a_model_only_if_separate(self) -> Self:
        if self.model is not None and self.backbone == "shared":
            raise ValueError(
                f"critic.model={self.model} is for a separate backbone; leave it out, or set critic.backbone=separate"
            )
        return self


class PtxConfig(Options):
    """Supervised examples in each optimizer step, so that the policy does not forget (PPO-ptx)."""

    model_config = ConfigDict(allow_inf_nan=False)

    coef: float = Field(0.0, ge=0)
    """Weight of their mean log-likelihood per token; the gamma of InstructGPT, which uses 27.8. 0 is off."""
    batch_size: int = Field(8, ge=1)
    """Examples in each optimizer step."""
    data: str | None = Field(None, min_length=1)
    """File of JSON lines {"question", "solution"}; without it the worked solutions of the environment."""


class RunConfig(Options):
    """Everything that decides the numbers of a training run."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    model: str = Field("nano", min_length=1)
    """Policy to start from: a registered name, a Hugging Face model folder, a run folder or an id of the hub."""
    seed: int = Field(0, ge=0)
    """Problems, samples and the order of minibatches derive from it."""
    env: EnvConfig = EnvConfig()
    envs: dict[str, MemberConfig] = Field(default_factory=dict)
    """Several environments instead of `env`, by labels of letters, digits, `-` and `_`; each has the keys of
    `envs.LABEL`.
    """
    verifier: VerifierConfig = VerifierConfig()
    audit: AuditConfig | None = None
    """A second verifier, such as a rule beside a judge. It judges the same completions and does not change the reward;
    its agreement with `verifier` is measured (`audit/agreement_frac`). `audit={}` is the environment's own verifier.
    """
    engine: EngineConfig = EngineConfig()
    algo: AlgoConfig = AlgoConfig()
    sampler: SamplerConfig = SamplerConfig()
    shapers: dict[str, Plain] = Field(default_factory=dict)
    """Reward shapers with their options, in the order in which they are applied."""
    trackers: dict[str, Plain] = Field(default_factory=dict)
    """Trackers with their options; metrics are sent there in addition to metrics.jsonl."""
    rollout: RolloutConfig = RolloutConfig()
    eval: EvalConfig = EvalConfig()
    critic: CriticConfig = CriticConfig()
    ptx: PtxConfig = PtxConfig()
    train: TrainConfig = TrainConfig()

    @model_validator(mode="before")
    @classmethod
    def _older(cls, values: Any) -> Any:
        values = older_spelling(values)
        refuse_cut_sampling(values)
        if isinstance(values, Mapping) and values.get("envs") and values.get("env") is not None:
            raise ValueError(
                "env and envs are both set; a run with several environments has envs.LABEL.KEY instead of env.KEY"
            )
        return values

    @model_validator(mode="after")
    def _has_rising_stages(self) -> Self:
        Stages.of(self.rollout.max_tokens, self.train.steps)
        return self

    @property
    def stages(self) -> Stages:
        """The token budgets of the run over its steps."""
        return Stages.of(self.rollout.max_tokens, self.train.steps)

    @model_validator(mode="after")
    def _keeps_changes_of_the_critic(self) -> Self:
        self.train.check_rounding("critic.lr", self.critic.lr)
        return self

    @field_validator("envs", mode="before")
    @classmethod
    def _named_by_label(cls, envs: Any) -> Any:
        if not isinstance(envs, Mapping):
            return envs
        for label in envs:
            if not re.fullmatch(r"[A-Za-z0-9_-]+", str(label)):
                raise ValueError(
                    f"{label!r} is not a label of letters, digits, - and _; choose one, as in envs.LABEL.name=NAME, "
                    "where NAME is the environment"
                )
        full = {label: {"name": value} if isinstance(value, str) else value or {} for label, value in envs.items()}
        return {
            label: {"name": label, **value} if isinstance(value, Mapping) else value for label, value in full.items()
        }

    @model_serializer(mode="wrap")
    def _one_of_env_and_envs(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        values.pop("env" if self.envs else "envs", None)
        return values
