"""The keys `train.*` of every training: how weights are updated, computed with and kept."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from kgym.errors import ConfigError
from kgym.options import Options, RunSteps

FLOAT16 = (
    "float16 cannot be trained: the eps of AdamW (1e-8) is 0 in it, so that the first step divides by 0, and small "
    "gradients are 0 too; use bfloat16, or float32 on a CPU"
)
"""Why no command trains in float16."""

LEAST_ROUNDED_LR = 1e-5
"""Learning rate below which AdamW changes hardly any bfloat16 weight."""


def check_trained_dtype(dtype: str) -> None:
    """Raise ConfigError for a type of weights that cannot be trained."""
    if dtype == "float16":
        raise ConfigError(f"dtype=float16: {FLOAT16}")


class LoraConfig(Options):
    """A low-rank adapter that is trained instead of all weights; needs `pip install 'kgym[lora]'`."""

    model_config = ConfigDict(allow_inf_nan=False)

    rank: int = Field(0, ge=0)
    """Rank of the two matrices of each layer; 0: all weights are trained. An adapter needs about ten times the learning
    rate (`train.lr`) of all weights."""
    alpha: float = Field(32.0, gt=0)
    """The product of the two matrices is scaled by alpha / rank, so that the learning rate need not follow the rank."""
    targets: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Linear layers by the ends of their names, such as `q_proj`; by default all except the output head."""

    @model_validator(mode="after")
    def _has_a_rank(self) -> Self:
        if not self.rank and (self.alpha, self.targets) != (32.0, ()):
            raise ValueError(
                "train.lora.alpha and train.lora.targets are for an adapter; set train.lora.rank too, such as 16"
            )
        return self

    @field_validator("targets", mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, targets: Any) -> Any:
        return (targets,) if isinstance(targets, str) else targets


class TrainConfig(Options):
    """How the policy is updated, checked and kept."""

    model_config = ConfigDict(allow_inf_nan=False)

    steps: int = Field(12, ge=1)
    """Collect-and-update steps."""
    lr: float = Field(1e-4, gt=0)
    """Learning rate of AdamW after the warm-up; the default suits the million parameters of nano, a billion needs
    about 1e-6.
    """
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Shape in which the learning rate falls to a tenth over the last `decay_frac` of the steps; `constant` does not
    fall.
    """
    warmup_steps: RunSteps = 2
    """Steps over which the learning rate rises: a number, or, below 1, a share of the run."""
    decay_frac: float = Field(1.0, ge=0, le=1)
    """Share of the steps, at the end, over which the learning rate falls, but never before the warm-up ends."""
    optimizer: Literal["adamw", "adamw-split", "adamw-rounded"] = "adamw"
    """The optimizer. `adamw`: AdamW. `adamw-split`, for `master_dtype=bfloat16`: the same in float32; the lower halves
    of the float32 weights are part of its state. `adamw-rounded`: `adamw` on bfloat16 weights also at learning rates
    below 1e-5, where most changes are lost, since a bfloat16 weight does not change by less than 1/512 of itself.
    """
    weight_decay: float = Field(0.0, ge=0)
    """Weight decay of matrices; vectors are not decayed."""
    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's decay of the gradient's mean and of its square."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradients longer than this are scaled down to it."""
    microbatch_tokens: int = Field(16384, ge=1)
    """Tokens that a forward pass computes, prompts included. It bounds the memory and changes numbers only by
    rounding.
    """
    layout: Literal["auto", "packed", "padded"] = "auto"
    """How the tokens of a forward pass are laid out. `packed`: tokens that the completions of a group share are
    computed once, and nothing is padded. `padded`: rows padded to the longest. `auto`: packed if a probe at the start
    finds that the model can be packed. The numbers are the same.
    """
    gradient_checkpointing: bool | None = None
    """Compute each layer again in the backward pass instead of keeping its activations: much less memory, about a third
    more time. By default on a GPU, and not on the CPU.
    """
    save_every: int = Field(4, ge=0)
    """Steps between checkpoints; 0: only after the last step."""
    keep_checkpoints: int = Field(2, ge=1)
    """Number of checkpoints to keep; older ones are deleted."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Type of the computation, forward and backward (`torch.autocast`); `auto` is float32 on the CPU and bfloat16 on a
    GPU. Log-probabilities and losses are always float32. float16 is not offered, since it needs scaled losses.
    """
    master_dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the weights that the optimizer updates. bfloat16 saves memory, needs the optimizer `adamw-split` to keep
    small changes of the weights, and is always computed in bfloat16.
    """
    save_dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the weights in the folder of a checkpoint. A resumed run is exact with every type."""
    device: str = "auto"
    """Where the policy is trained: `auto`, `cpu`, `cuda`, `cuda:1` ..."""
    threads: int | None = Field(None, ge=1)
    """Threads that torch computes with; by default torch decides."""
    lora: LoraConfig = LoraConfig()

    @field_validator("dtype", "master_dtype", mode="before")
    @classmethod
    def _trainable(cls, dtype: Any) -> Any:
        if dtype == "float16":
            raise ValueError(FLOAT16)
        return dtype

    @model_validator(mode="after")
    def _decays_in_a_shape(self) -> Self:
        if self.schedule == "constant" and self.decay_frac not in (0.0, type(self).model_fields["decay_frac"].default):
            raise ValueError(
                f"train.decay_frac={self.decay_frac} is for a learning rate that falls; set train.schedule=linear or "
                "cosine with it"
            )
        return self

    @model_validator(mode="after")
    def _leaves_an_adapter_in_float32(self) -> Self:
        for key in ("master_dtype", "save_dtype"):
            if self.lora.rank and getattr(self, key) == "bfloat16":
                raise ValueError(
                    f"train.{key}=bfloat16 is for whole models, and an adapter is float32; leave it out, or "
                    "train.lora.rank"
                )
        return self

    @model_validator(mode="after")
    def _keeps_changes_of_the_weights(self) -> Self:
        if self.master_dtype == "float32":
            if self.optimizer != "adamw":
                raise ValueError(
                    f"train.optimizer={self.optimizer} is for bfloat16 weights; set train.master_dtype=bfloat16 with "
                    "it, or use train.optimizer=adamw"
                )
            return self
        if self.dtype == "float32":
            raise ValueError(
                "train.dtype=float32 is not possible with train.master_dtype=bfloat16, which is computed in bfloat16; "
                "leave one of them out"
            )
        self.check_rounding("train.lr", self.lr)
        return self

    def check_rounding(self, key: str, lr: float) -> None:
        """Raise ValueError for a learning rate at which the optimizer would lose most changes of the weights."""
        if self.master_dtype == "bfloat16" and self.optimizer == "adamw" and lr < LEAST_ROUNDED_LR:
            raise ValueError(
                f"{key}={lr:g} with train.master_dtype=bfloat16: AdamW loses most changes of bfloat16 weights below "
                f"{LEAST_ROUNDED_LR:g}; "
                "set train.optimizer=adamw-split, which keeps them, or train.optimizer=adamw-rounded to lose them on "
                "purpose"
            )

    @field_validator("betas")
    @classmethod
    def _decay(cls, betas: tuple[float, float]) -> tuple[float, float]:
        if not all(0.0 <= beta < 1.0 for beta in betas):
            raise ValueError("must be two numbers, at least 0 and less than 1")
        return betas
