"""The configurations of `kgym sft`, `kgym dpo` and `kgym rm`: every key with its type, default and meaning, in addition
to those of `kgym.config`.

`kgym.keys` reads them as it reads a `RunConfig`: from a TOML file and `--set key=value`.
"""

from typing import Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from kgym.config import Component, Plain, VerifierConfig
from kgym.errors import ConfigError
from kgym.options import Options, RunSteps
from kgym.train_config import TrainConfig

OF_TRAIN = (
    "steps",
    "lr",
    "warmup_steps",
    "decay_frac",
    "weight_decay",
    "max_grad_norm",
    "microbatch_tokens",
    "save_every",
)
"""Keys that the sections `sft`, `dpo` and `rm` once had, and that are keys of `train` now."""


def _moved(section: str) -> dict[str, str]:
    """Return the keys that a section once had, by their names now."""
    return {f"{section}.{key}": f"train.{key}" for key in OF_TRAIN} | {f"{section}.seed": "seed"}


class SourceConfig(Component):
    """Environment whose train split has the examples."""

    name: str = Field("aime", min_length=1)
    """Short name (the newest version) or id."""


class ExamplesConfig(Options):
    """The keys of every run on examples: the model, and where its examples come from."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    KIND: ClassVar[str]
    """Name of the command."""
    MOVED: ClassVar[dict[str, str]]
    """Keys that older versions had, by their names now."""

    model: str = Field("nano", min_length=1)
    """Model to start from: a registered name, a Hugging Face model folder, a run folder or an id of the hub."""
    seed: int = Field(0, ge=0)
    """The order of the examples derives from it."""
    data: str | None = Field(None, min_length=1)
    """File of JSON lines with the examples."""
    episodes: str | None = Field(None, min_length=1)
    """Run folder of kgym train or kgym eval, whose stored completions have the examples."""
    env: SourceConfig | None = None
    """Environment whose train split has the examples. One of `env`, `data` and `episodes` is needed."""
    trackers: dict[str, Plain] = Field(default_factory=dict)
    """Trackers with their options; metrics are sent there in addition to metrics.jsonl."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        named = [key for key in ("env", "data", "episodes") if getattr(self, key) is not None]
        if len(named) > 1:
            raise ValueError(
                f"{' and '.join(named)} are both set; the examples come from one of env, data and episodes"
            )
        if self.env is not None and "split" in self.env.options:
            raise ValueError(
                "env.split cannot be set here: kgym learns from the split 'train' and measures on 'validation'"
            )
        return self

    def check_source(self) -> None:
        """Raise ConfigError if nothing says where the examples come from."""
        if self.env is None and self.data is None and self.episodes is None:
            raise ConfigError(
                "no examples to learn from: name an environment (--env), a file (--data) or a run folder (--episodes)"
            )


class PairsConfig(Options):
    """How comparisons are made from problems and stored completions; a file of comparisons is used unchanged."""

    answers: int = Field(4, ge=2)
    """Completions for a prompt, at most; InstructGPT's K."""
    prefer: Literal["right", "short"] = "right"
    """Which of two stored completions is better. `right`: the one with the higher score. `short`, as in Kimi k1.5's
    long2short DPO: the shortest right completion, over wrong ones that are longer and right ones that are half as long
    again.
    """
    held_out: int = Field(64, ge=0)
    """Comparisons to measure on after training: from the validation split; of a file or of a run's problems, at most a
    fifth.
    """


class PreferencesConfig(ExamplesConfig):
    """The keys of every run on preferences."""

    verifier: VerifierConfig = VerifierConfig()
    pairs: PairsConfig = PairsConfig()

    @model_validator(mode="after")
    def _judges_something(self) -> Self:
        if self.env is None and self.verifier != VerifierConfig():
            raise ValueError(
                "verifier.* is set without an environment whose completions it could judge; name one with --env"
            )
        return self


# --- sft --------------------------------------------------------------------------------------------------------------


class SFTTrainConfig(TrainConfig):
    """How the model is updated and kept."""

    steps: int = Field(1000, ge=1)
    """Optimizer steps."""
    lr: float = Field(1e-3, gt=0)
    """Learning rate of AdamW after the warm-up; the default suits a model of a million parameters, a billion needs
    about 1e-5.
    """
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """Shape in which the learning rate falls to a tenth over the last `decay_frac` of the steps; `constant` does not
    fall.
    """
    warmup_steps: RunSteps = 50
    """Steps over which the learning rate rises: a number, or, below 1, a share of the run."""
    decay_frac: float = Field(0.2, ge=0, le=1)
    """Share of the steps, at the end, over which the learning rate falls, but never before the warm-up ends."""
    weight_decay: float = Field(0.01, ge=0)
    """Weight decay of matrices; vectors are not decayed."""
    betas: tuple[float, float] = (0.9, 0.98)
    """AdamW's decay of the gradient's mean and of its square."""
    microbatch_tokens: int = Field(4096, ge=1)
    """Tokens in a forward pass, prompts included. It bounds the memory and changes numbers only by rounding."""
    save_every: int = Field(200, ge=0)
    """Steps between checkpoints; 0: only after the last step."""


class SFTSection(Options):
    """Supervised fine-tuning."""

    batch_size: int = Field(64, ge=1)
    """Examples in each step."""
    select: Literal["all", "shortest"] = "all"
    """Which of the right completions that a run has stored to learn from: all of them, or the shortest of each problem
    (shortest rejection sampling, Kimi k1.5, section 2.4).
    """


class SFTConfig(ExamplesConfig):
    """Everything that decides the numbers of a run of `kgym sft`."""

    KIND: ClassVar[str] = "sft"
    MOVED: ClassVar[dict[str, str]] = _moved("sft")

    train: SFTTrainConfig = SFTTrainConfig()
    sft: SFTSection = SFTSection()

    @model_validator(mode="after")
    def _selects_something(self) -> Self:
        if self.sft.select != "all" and self.episodes is None and (self.env is not None or self.data is not None):
            raise ValueError(
                f"sft.select={self.sft.select} chooses among stored completions; name a run that has them with "
                "--episodes"
            )
        return self


# --- dpo --------------------------------------------------------------------------------------------------------------


class DPOTrainConfig(SFTTrainConfig):
    """How the policy is updated and kept."""

    steps: int = Field(200, ge=1)
    """Optimizer steps."""
    lr: float = Field(1e-4, gt=0)
    """Learning rate of AdamW after the warm-up; the default suits a model of a million parameters, a billion needs
    about 5e-7.
    """
    warmup_steps: RunSteps = 10
    """Steps over which the learning rate rises: a number, or, below 1, a share of the run."""


class DPOSection(Options):
    """Direct preference optimization."""

    model_config = ConfigDict(allow_inf_nan=False)

    batch_size: int = Field(16, ge=1)
    """Prompts in each step, each with all of its pairs."""
    beta: float = Field(0.1, gt=0)
    """Weight of the distance from the reference; the paper's beta. Smaller moves further."""
    label_smoothing: float = Field(0.0, ge=0, lt=0.5)
    """Chance that a preference is the wrong way round (conservative DPO)."""
    length_normalize: bool = False
    """Use means over the tokens of a completion instead of sums, so that long completions count no more than short
    ones.
    """


class DPOConfig(PreferencesConfig):
    """Everything that decides the numbers of a run of `kgym dpo`."""

    KIND: ClassVar[str] = "dpo"
    MOVED: ClassVar[dict[str, str]] = _moved("dpo")

    train: DPOTrainConfig = DPOTrainConfig()
    dpo: DPOSection = DPOSection()


# --- rm ---------------------------------------------------------------------------------------------------------------


class RMTrainConfig(SFTTrainConfig):
    """How the reward model is updated and kept."""

    steps: int = Field(300, ge=1)
    """Optimizer steps."""
    lr: float = Field(5e-4, gt=0)
    """Learning rate of AdamW after the warm-up; the default suits a model of a million parameters, a billion needs
    about 1e-5.
    """
    warmup_steps: RunSteps = 20
    """Steps over which the learning rate rises: a number, or, below 1, a share of the run."""


class RMSection(Options):
    """Training of a reward model."""

    batch_size: int = Field(16, ge=1)
    """Prompts in each step, each with all of its pairs."""
    prompt: str = Field("{question}", min_length=1)
    """The user's message that the reward model reads, with `{question}`, and with `{gold}` to show the right answer."""
    demonstrations: int = Field(64, ge=1)
    """Number of best completions whose mean score is shifted to 0."""


class RMConfig(PreferencesConfig):
    """Everything that decides the numbers of a run of `kgym rm`."""

    KIND: ClassVar[str] = "rm"
    MOVED: ClassVar[dict[str, str]] = _moved("rm")

    train: RMTrainConfig = RMTrainConfig()
    rm: RMSection = RMSection()

    @model_validator(mode="after")
    def _trains_all_weights(self) -> Self:
        if self.train.lora.rank:
            raise ValueError(
                f"train.lora.rank={self.train.lora.rank} is not offered for a reward model, whose head is trained too; "
                "leave it out"
            )
        return self


SupervisedConfig = SFTConfig | DPOConfig | RMConfig
"""Any of them."""

CONFIGS: dict[str, type[Any]] = {config.KIND: config for config in (SFTConfig, DPOConfig, RMConfig)}
"""By command."""
