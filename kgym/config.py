"""The configuration of a run: defaults, then a TOML file, then `--set key=value`.

    seed = 1

    [algo]                       # everything here but `name` belongs to the component and is checked when it is made
    name = "mirror"
    tau = 0.1

    [shapers.length_penalty]     # shapers and trackers by name, in the order in which they work
    weight = 0.1

`--set algo.tau=0.1` and `--set shapers.length_penalty.weight=0.1` say the same. Unknown keys are refused with the nearest one.
"""

import hashlib
import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from kgym.errors import ConfigError, UnknownName
from kgym.limits import PoolLimits
from kgym.options import Options, RunSteps, Temperature, validated
from kgym.repetition import SHORTEST
from kgym.types import Sampling

FLOAT16 = (
    "weights in float16 cannot be trained: the eps of AdamW (1e-8) is 0 in it, and the first step divides by 0; "
    "use bfloat16, or float32 on a CPU"
)
"""Why no command trains in it."""


def check_trained_dtype(dtype: str) -> None:
    """Raise ConfigError for a type of weights that cannot be trained."""
    if dtype == "float16":
        raise ConfigError(f"dtype=float16: {FLOAT16}")


def plain(value: Any) -> Any:
    """Return a value as it is; raise ValueError if JSON, in which a run keeps its configuration, does not have it (infinity, a date)."""
    if isinstance(value, Mapping):
        for item in value.values():
            plain(item)
    elif isinstance(value, list | tuple):
        for item in value:
            plain(item)
    elif not (value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))):
        raise ValueError(f"{value} is no text, finite number, truth value, list or table")
    return value


Plain = Annotated[dict[str, Any], AfterValidator(plain)]
"""Options of a component, before the component has seen them."""


class Component(Options):
    """A component by name, with its options; they may stand beside the name."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    name: str | None = Field(None, min_length=1)
    """As `kgym plugins list` has it."""
    options: Plain = Field(default_factory=dict)
    """What the component is told; checked by its own `Options` when it is made."""

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
    """Which of its problems to train on."""


class EngineConfig(Component):
    """What samples text."""

    name: str = Field("transformers", min_length=1)
    """As `kgym plugins list --kind engine` has it."""


class VerifierConfig(Component):
    """What judges the answers."""

    name: str | None = Field(None, min_length=1)
    """As `kgym plugins list --kind verifier` has it; without it the environment's own verifier."""
    limits: PoolLimits = PoolLimits()
    """Of the worker processes in which it judges; they change no verdict but those that are unscored."""


class AlgoConfig(Component):
    """What turns rewards into a gradient."""

    name: str = Field("mirror", min_length=1)
    """As `kgym plugins list --kind algorithm` has it."""


class SamplerConfig(Component):
    """What chooses the problems."""

    name: str = Field("uniform", min_length=1)
    """As `kgym plugins list --kind sampler` has it."""


class MemberConfig(Component):
    """One of several environments of a run. Its options, `max_tokens` and `truncated` too, are written beside its name."""

    name: str = Field("", min_length=1)
    """Short name (the newest version) or id; without it the label."""
    split: str = Field("train", min_length=1)
    """Which of its problems to train on."""
    weight: float = Field(1.0, gt=0, allow_inf_nan=False)
    """Its share of the groups, relative to the weights of the others; kept over the whole run, not by chance."""
    verifier: VerifierConfig | None = None
    """What judges its completions; without it the verifier of the run."""
    sampler: SamplerConfig | None = None
    """What chooses its problems; without it the sampler of the run. Each environment has its own in any case."""


class RolloutConfig(Options):
    """How episodes are played."""

    model_config = ConfigDict(allow_inf_nan=False)

    problems_per_step: int = Field(24, ge=1)
    """Groups in a step."""
    group_size: int = Field(8, ge=1)
    """Attempts at each problem; they are compared with each other."""
    temperature: Temperature = 1.0
    """Of sampling; 1 samples from the policy itself, 0 is greedy."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Sample from the smallest set of tokens with this much probability; 1 is off, as training on policy needs it."""
    top_k: int = Field(0, ge=0)
    """Sample from so many most likely tokens; 0 is off."""
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Texts that end an answer, in addition to the model's end tokens: a list of them, or one."""
    loop_tokens: int | None = Field(None, ge=SHORTEST)
    """End an answer once its last so many tokens are one block of tokens, repeated at least four times: it is truncated with the
    finish reason `repetition`, its verdict is `wrong` and it stays in the loss, as Kimi k1.5 penalises repetition (section 2.6.2).
    Off by default, since it ends an answer that would have found its way out. It pays where answers may be long and loops run into
    the budget: an eighth of `env.max_tokens`, 64 at least, since a table or a sum of equal terms repeats short blocks for good reason."""
    segment_tokens: int | None = Field(None, ge=1)
    """Tokens of a segment: a longer answer is continued in further segments, within the same step and by the same weights, which
    bounds one request to the engine and changes no answer. Without it an answer is one segment."""
    schedule: Literal["sync", "partial", "ahead"] = "sync"
    """When a step ends. `sync`: when every episode has ended. `partial`: when `problems_per_step` groups are complete or
    `step_tokens` are spent; open episodes continue in the next step under newer weights (partial rollouts of Kimi k1.5). `ahead`:
    as `partial`, and the engine generates the next batch in its own process while this one is trained on."""
    oversample: float = Field(1.0, ge=1)
    """Groups that are open at once in `partial` and `ahead`, as a multiple of `problems_per_step`: a step ends when the first
    `problems_per_step` of them are complete. 1 waits for all."""
    step_tokens: int | None = Field(None, ge=1)
    """Tokens sampled in a step at most, in `partial` and `ahead`; episodes that are open then continue in the next step. Without it
    only complete groups end a step."""
    max_age: int = Field(8, ge=0)
    """Updates of the weights that an open episode may live through, in `partial` and `ahead`. One that is older is ended as
    `unscored:too_old`: counted, and left out of the loss."""
    max_lag: int = Field(1, ge=0)
    """Batches that `ahead` may generate before the weights that they are trained into are there. 0 is `sync` with the engine in
    its own process; with 2 or more, which weights sample a batch depends on timing."""
    old_tokens: Literal["mask", "correct"] | None = None
    """What becomes of tokens that older weights sampled. `mask`, without a choice that of `partial`: no part in the loss, as in Kimi
    k1.5 (section 2.6.2). `correct`, that of `ahead`: trained on with importance weights, from the engine's log-probabilities to those
    of the policy before the update."""

    @model_validator(mode="after")
    def _agrees_with_the_schedule(self) -> Self:
        n_open = math.ceil(self.problems_per_step * self.oversample) * self.group_size
        carries = self.oversample > 1 or self.step_tokens is not None
        if self.schedule == "sync":
            for name, default in (("oversample", 1.0), ("step_tokens", None), ("max_age", 8), ("max_lag", 1), ("old_tokens", None)):
                if (value := getattr(self, name)) != default:
                    raise ValueError(f"rollout.{name}={value} is for open episodes; set rollout.schedule=partial or ahead with it")
        elif self.max_age == 0 and (carries or self.schedule == "partial"):
            raise ValueError(
                f"rollout.max_age=0 ends every episode that a step of rollout.schedule={self.schedule} leaves open; use 1 or more"
            )
        elif self.step_tokens is not None and self.step_tokens < n_open:
            raise ValueError(
                f"rollout.step_tokens={self.step_tokens} is less than one token for each of the {n_open} episodes that are open at once"
            )
        elif self.schedule == "ahead" and self.max_lag and self.old_tokens == "mask":
            raise ValueError(
                f"rollout.old_tokens=mask leaves nothing to train on: with rollout.max_lag={self.max_lag} older weights sample every "
                "token; use rollout.old_tokens=correct"
            )
        return self

    @property
    def corrects_old_tokens(self) -> bool:
        """Whether tokens of older weights are trained on, with importance weights."""
        return self.old_tokens == "correct" or (self.old_tokens is None and self.schedule == "ahead")

    @property
    def sampling(self) -> Sampling:
        """How tokens are drawn."""
        return Sampling(self.temperature, self.top_p, self.top_k, self.stop, self.loop_tokens)

    @field_validator("stop", mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, stop: Any) -> Any:
        return (stop,) if isinstance(stop, str) else stop


class CriticConfig(Options):
    """The critic of an algorithm that asks for one (`ppo`); the others make none."""

    model_config = ConfigDict(allow_inf_nan=False)

    backbone: Literal["separate", "shared"] = "separate"
    """A model of its own, or a layer on the policy's backbone, which then learns from both losses."""
    model: str | None = Field(None, min_length=1)
    """What a separate one starts from: a model, as `model` is named, such as a trained reward model; without it the policy."""
    lr: float = Field(1e-3, gt=0)
    """Learning rate after the policy's warm-up; the default suits nano, a billion parameters need about 1e-5."""

    @model_validator(mode="after")
    def _has_a_model_only_if_separate(self) -> Self:
        if self.model is not None and self.backbone == "shared":
            raise ValueError(f"critic.model={self.model} is for a backbone of its own; leave it out, or set critic.backbone=separate")
        return self


class PtxConfig(Options):
    """Supervised examples in each optimizer step, so that the policy does not forget (PPO-ptx)."""

    model_config = ConfigDict(allow_inf_nan=False)

    coef: float = Field(0.0, ge=0)
    """Weight of their mean log-likelihood of a token; InstructGPT's gamma, which is 27.8 there. 0 is off."""
    batch_size: int = Field(8, ge=1)
    """Examples in each optimizer step."""
    data: str | None = Field(None, min_length=1)
    """File of JSON lines {"question", "solution"}; without it the worked solutions of the environment."""


class TrainConfig(Options):
    """How the policy is updated, checked and kept."""

    model_config = ConfigDict(allow_inf_nan=False)

    steps: int = Field(12, ge=1)
    """Collect-and-update steps."""
    lr: float = Field(1e-4, gt=0)
    """Learning rate of AdamW after the warm-up; the default suits the million parameters of nano, a billion needs about 1e-6."""
    schedule: Literal["constant", "linear"] = "constant"
    """After the warm-up: stay, or fall linearly to a tenth at the last step."""
    warmup_steps: RunSteps = 2
    """Steps over which the learning rate rises: a number, or, below 1, a share of the run."""
    weight_decay: float = Field(0.0, ge=0)
    """Of matrices; vectors have none."""
    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's decay of the gradient's mean and of its square."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradients longer than this are scaled down to it."""
    microbatch_tokens: int = Field(16384, ge=1)
    """Tokens in a forward pass, prompts included: bounds the memory and changes no number but by rounding."""
    eval_every: int = Field(4, ge=0)
    """Steps between validations; there is one before the first and one after the last step. 0: none at all."""
    eval_split: str = Field("validation", min_length=1)
    """Problems to validate on."""
    eval_problems: int = Field(500, ge=1)
    """The first so many of them; all, if there are fewer."""
    eval_samples: int = Field(1, ge=1)
    """Answers a problem."""
    benches: tuple[str, ...] = ()
    """Benchmarks, or ENV:SPLIT, that each validation also scores, as many problems and answers as they say."""
    save_every: int = Field(4, ge=0)
    """Steps between checkpoints; 0: only after the last step."""
    keep_checkpoints: int = Field(2, ge=1)
    """Older ones are deleted."""
    max_unscored_frac: float = Field(0.1, ge=0, le=1)
    """Stop if more of a step's answers than this could not be judged: the reward would no longer mean what it says."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the policy's weights; `auto` is float32 on the CPU and bfloat16 on a GPU. Losses are computed in float32
    whatever it is. float16 is not offered: the eps of AdamW is 0 in it."""
    device: str = "auto"
    """Where the policy is trained: `auto`, `cpu`, `cuda`, `cuda:1` ..."""
    threads: int | None = Field(None, ge=1)
    """Threads that torch computes with; without it its own choice."""

    @field_validator("dtype", mode="before")
    @classmethod
    def _trainable(cls, dtype: Any) -> Any:
        if dtype == "float16":
            raise ValueError(FLOAT16)
        return dtype

    @field_validator("betas")
    @classmethod
    def _decay(cls, betas: tuple[float, float]) -> tuple[float, float]:
        if not all(0.0 <= beta < 1.0 for beta in betas):
            raise ValueError("must be two numbers, at least 0 and less than 1")
        return betas


class RunConfig(Options):
    """Everything that decides the numbers of a training run."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    model: str = Field("nano", min_length=1)
    """Policy to start from: a registered name, a Hugging Face model folder, a run folder or an id of the hub."""
    seed: int = Field(0, ge=0)
    """Problems, samples and the order of minibatches derive from it."""
    env: EnvConfig = EnvConfig()
    envs: dict[str, MemberConfig] = Field(default_factory=dict)
    """Several environments instead of `env`, by labels of letters, digits, `-` and `_`; each has the keys of `envs.LABEL`."""
    verifier: VerifierConfig = VerifierConfig()
    engine: EngineConfig = EngineConfig()
    algo: AlgoConfig = AlgoConfig()
    sampler: SamplerConfig = SamplerConfig()
    shapers: dict[str, Plain] = Field(default_factory=dict)
    """Reward shapers with their options, in the order in which they work."""
    trackers: dict[str, Plain] = Field(default_factory=dict)
    """Where metrics are also sent, in addition to metrics.jsonl, with options."""
    rollout: RolloutConfig = RolloutConfig()
    critic: CriticConfig = CriticConfig()
    ptx: PtxConfig = PtxConfig()
    train: TrainConfig = TrainConfig()

    @model_validator(mode="before")
    @classmethod
    def _older(cls, values: Any) -> Any:
        values = older_spelling(values)
        if isinstance(values, Mapping) and values.get("envs") and values.get("env") is not None:
            raise ValueError("env and envs are both set; a run with several environments has envs.LABEL.KEY instead of env.KEY")
        return values

    @field_validator("envs", mode="before")
    @classmethod
    def _named_by_label(cls, envs: Any) -> Any:
        if not isinstance(envs, Mapping):
            return envs
        for label in envs:
            if not re.fullmatch(r"[A-Za-z0-9_-]+", str(label)):
                raise ValueError(f"{label!r} is not a label of letters, digits, - and _; set envs.LABEL.name={label}")
        full = {label: {"name": value} if isinstance(value, str) else value or {} for label, value in envs.items()}
        return {label: {"name": label, **value} if isinstance(value, Mapping) else value for label, value in full.items()}

    @model_serializer(mode="wrap")
    def _one_of_env_and_envs(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        values.pop("env" if self.envs else "envs", None)
        return values


def older_spelling(values: Any) -> Any:
    """Return a configuration as manifests have it now: what older ones kept under other keys is moved, and the rest is left alone."""
    return _older_budgets(_older_verifier(values))


def _older_verifier(values: Any) -> Any:
    """Move `env.verifier_options` to `verifier`."""
    env = values.get("env") if isinstance(values, Mapping) else None
    if not isinstance(env, Mapping):
        return values
    env = dict(env)
    found = env.pop("verifier_options", None)
    if isinstance(env.get("options"), Mapping):
        env["options"] = dict(env["options"])
        found = env["options"].pop("verifier_options", found)
    verifier = values.get("verifier") or {}
    verifier = {"name": verifier} if isinstance(verifier, str) else verifier
    if not isinstance(found, Mapping) or not isinstance(verifier, Mapping):
        return values
    return {**values, "env": env, "verifier": {**verifier, "options": {**found, **verifier.get("options", {})}}}


def _older_budgets(values: Any) -> Any:
    """Move `rollout.max_tokens`, `rollout.truncated` and the option `mask_truncated` of algorithms to `env`."""
    if not isinstance(values, Mapping) or not isinstance(values.get("rollout"), Mapping):
        return values
    rollout, env, algo = dict(values["rollout"]), values.get("env") or {}, values.get("algo")
    if not rollout.keys() & {"max_tokens", "truncated"}:
        return values
    moved = {key: rollout.pop(key) for key in ("max_tokens", "truncated") if key in rollout}
    if isinstance(algo, Mapping) and isinstance(algo.get("options"), Mapping) and "mask_truncated" in algo["options"]:
        options = dict(algo["options"])
        moved |= {"truncated": "mask"} if options.pop("mask_truncated") else {}
        algo = {**algo, "options": options}
    env = {"name": env} if isinstance(env, str) else dict(env)
    given = {key: value for key, value in moved.items() if value is not None}  # `zero` too, or a recipe would fill it in
    env["options"] = {**(env.get("options") or {}), **given}
    return {**values, "env": env, "rollout": rollout} | ({} if algo is None else {"algo": algo})


def load_config(path: Path | None = None, overrides: Sequence[str] = ()) -> RunConfig:
    """Return the configuration of a TOML file (none: the defaults) with `key=value` overrides over it, later ones over earlier ones.

    Raises ConfigError, naming file or key, for what cannot be read, and UnknownName for a key that does not exist.
    """
    values = {} if path is None else read_toml(path)
    for override in overrides:
        key, value = parse_override(override)
        set_key(values, key, value)
    for key in keys_of(values):
        if key in MOVED:
            raise UnknownName(f"no key named {key!r}; that is {MOVED[key]!r} here")
    try:
        return validated(RunConfig, values)
    except UnknownName as error:
        for key in keys_of(values):
            if str(error).startswith(f"no key named {key!r};") and (hint := named_elsewhere(key.rpartition(".")[2])):
                raise UnknownName(f"no key named {key!r}; {hint}") from None
        raise


MOVED = {"rollout.max_tokens": "env.max_tokens", "rollout.truncated": "env.truncated", "algo.mask_truncated": "env.truncated=mask"}
"""Keys that older versions had, by their names now."""

NAMED_ELSEWHERE = {
    "batch": "rollout.problems_per_step", "batch_size": "rollout.problems_per_step", "train_batch_size": "rollout.problems_per_step",
    "per_device_train_batch_size": "rollout.problems_per_step", "num_generations": "rollout.group_size", "n": "rollout.group_size",
    "learning_rate": "train.lr", "max_steps": "train.steps", "epochs": "train.steps", "num_train_epochs": "train.steps",
    "gradient_accumulation_steps": "train.microbatch_tokens", "micro_batch_size": "train.microbatch_tokens",
    "max_completion_length": "env.max_tokens", "max_response_length": "env.max_tokens", "max_new_tokens": "env.max_tokens",
    "warmup": "train.warmup_steps", "save_steps": "train.save_every", "eval_steps": "train.eval_every", "bf16": "train.dtype",
    "lr_scheduler_type": "train.schedule",
}  # fmt: skip
"""Names that other trainers have for keys of ours."""


def named_elsewhere(name: str) -> str:
    """Return what to say to a name that other trainers know; "" if it is not one of them.

    >>> named_elsewhere("learning_rate"), named_elsewhere("tau")
    ("that is 'train.lr' here", '')
    """
    name = name.replace("-", "_")
    if "lora" in name or name == "peft":
        return "kgym trains all weights; it has no adapters"
    return f"that is {NAMED_ELSEWHERE[name]!r} here" if name in NAMED_ELSEWHERE else ""


def keys_of(values: Mapping[str, Any]) -> list[str]:
    """Return the dotted keys that nested tables set, options beside the names of their components.

    >>> keys_of({"algo": "grpo", "env": {"options": {"difficulty": 2}}, "trackers": {"wandb": {}}})
    ['algo.name', 'env.difficulty', 'trackers.wandb']
    """
    return [leaf for key, value in _older_verifier(values).items() for leaf in _leaves(key, value)]


def _leaves(key: str, value: Any) -> list[str]:
    if _is_component(key):
        value = {"name": value} if isinstance(value, str) else value
        options = value.get("options") if isinstance(value, Mapping) else None
        if isinstance(options, Mapping):
            value = {**{name: item for name, item in value.items() if name != "options"}, **options}
    if not isinstance(value, Mapping) or not value:
        return [key]
    return [leaf for name, item in value.items() for leaf in _leaves(f"{key}.{name}", item)]


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a file. Raises ConfigError if it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read configuration {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"configuration {path} is not TOML: {error}") from None


# --- overrides


def parse_override(text: str) -> tuple[str, Any]:
    """Split `key=value`. The value is TOML if it is that, and otherwise the text as it stands; where text is wanted, it stays text.

    Raises ConfigError if there is no key.

    >>> parse_override("algo.tau=0.1"), parse_override("env.split=2024"), parse_override("shapers.brevity={}")
    (('algo.tau', 0.1), ('env.split', '2024'), ('shapers.brevity', {}))
    """
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")):
        raise ConfigError(f"--set {text!r}: write it as key=value, for example train.lr=1e-5")
    parsed = _toml_value(value)
    as_text = _wants_text(key) or (_is_component(key) and not isinstance(parsed, dict))
    return key, value if as_text and not isinstance(parsed, str) else parsed


def set_key(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key in nested tables, which are made as needed.

    An empty table over one that is there changes nothing. The name of a component (`algo=grpo`) leaves the options that are there.
    """
    *tables, last = key.split(".")
    for depth, name in enumerate(tables, 1):
        inner = values.setdefault(name, {})
        if isinstance(inner, str) and _is_component(".".join(tables[:depth])):  # algo = "mirror" is short for its name
            inner = values[name] = {"name": inner}
        if not isinstance(inner, dict):
            raise ConfigError(f"{key}: {'.'.join(tables[:depth])} is {inner!r} and has no keys")
        values = inner
    if isinstance(value, str) and isinstance(values.get(last), dict) and _is_component(key):
        values[last]["name"] = value
    elif value != {} or not isinstance(values.get(last), dict):
        values[last] = value


def _toml_value(text: str) -> Any:
    """Return `text` read as a TOML value; the text itself if it is none, or a date, which no setting of ours is."""
    try:
        document = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    value = document.get("value")
    return value if len(document) == 1 and isinstance(value, bool | int | float | str | list | dict) else text


def _wants_text(key: str) -> bool:
    """Whether a key of the configuration is a text, so that `--env 007` is no number."""
    model = _annotation(key)
    return model is str or (str in get_args(model) and type(None) in get_args(model))


def _is_component(key: str) -> bool:
    """Whether a key of the configuration is a component with a name and options: `algo`, `envs.words`, `envs.words.sampler`."""
    return bool(_models(_annotation(key), Component))


def _annotation(key: str) -> Any:
    """Return the type of a key of the configuration; None if it has no such key."""
    found: Any = RunConfig
    for part in key.split("."):
        if get_origin(found) is dict:
            found = get_args(found)[1]
            continue
        models = _models(found, BaseModel)
        field = models[0].model_fields.get(part) if models else None
        if field is None:
            return None
        found = field.annotation
    return found


def _models(annotation: Any, base: type[BaseModel]) -> list[type[BaseModel]]:
    """Return what of a type, or of a choice such as `SamplerConfig | None`, is a model of that kind."""
    choice = (annotation,) if get_origin(annotation) is dict else (annotation, *get_args(annotation))
    return [item for item in choice if isinstance(item, type) and issubclass(item, base)]


# --- what was resolved


def to_json(config: RunConfig) -> str:
    """Return the whole configuration as JSON; `RunConfig.model_validate_json` reads it."""
    return json.dumps(config.model_dump(mode="json"), indent=2)


def to_toml(config: RunConfig) -> str:
    """Return the whole configuration as TOML, options beside the names of their components; `load_config` reads it."""
    return "\n".join(_table_lines(_beside(config.model_dump(mode="json"), ""), ())).strip() + "\n"


def _beside(values: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return nested tables with the options of components beside their names, where they do not hide a key."""
    found = {key: _beside(value, f"{path}{key}.") if isinstance(value, Mapping) else value for key, value in values.items()}
    if path and _is_component(path[:-1]) and not found["options"].keys() & found.keys():
        return {**{key: item for key, item in found.items() if key != "options"}, **found["options"]}
    return found


def config_hash(config: RunConfig) -> str:
    """Return 12 hexadecimal digits of the sha256 of the configuration; equal configurations have equal ones, however they were written."""
    canonical = json.dumps(config.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _table_lines(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    """Write a table and those below it; None, which TOML does not have, is left out."""
    tables = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    plain = {key: value for key, value in table.items() if key not in tables and value is not None}
    lines = [f"{key_literal(key)} = {_literal(value)}" for key, value in plain.items()]
    if path and (lines or not tables):
        lines = ["", f"[{'.'.join(map(key_literal, path))}]", *lines]
    for key, value in tables.items():
        lines += _table_lines(value, (*path, key))
    return lines


def value_literal(value: Any) -> str | None:
    """Return a value as TOML writes it; None for None, which TOML does not have."""
    return None if value is None else _literal(value)


def key_literal(key: str) -> str:
    """Return a key as TOML writes it."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _literal(key)


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return f"[{', '.join(_literal(item) for item in value if item is not None)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key_literal(key)} = {_literal(item)}' for key, item in value.items() if item is not None)}}}"
    return str(value).lower() if isinstance(value, bool) else repr(value)
