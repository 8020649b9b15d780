"""A language model in training: a micro-batch goes in, the log-probabilities of its trained tokens come out.

All computation is inside one call of the model, so that a wrapper such as FSDP sees one forward pass: its layers on the
tokens that `layout` chose, then its output head on trained tokens alone.

A model is probed once, when it is wrapped: a few tokens go through the model as in transformers and through each
shortcut, and a shortcut that gives other numbers is not taken.

Dimension key:  T tokens of the pack   M trained tokens   N tokens that are computed   H width of the model
                V vocabulary
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from kgym.algorithms.batch import pack
from kgym.errors import ConfigError
from kgym.train import attention
from kgym.train.layout import Arrangement, arrange
from kgym.train.logprobs import head_logprobs, lookup
from kgym.train.profiling import count
from kgym.train_config import TrainConfig
from kgym.types import PackedBatch

T = TypeVar("T")

Layout = Literal["auto", "packed", "padded"]

TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
"""Largest difference of a probed shortcut, as a share of the spread of the model's output; 0.1 in shorter types."""


class Scorer:
    """A causal language model with the layout of its forward pass."""

    def __init__(self, model: PreTrainedModel, layout: Layout = "auto") -> None:
        """Probe the model. Raises ConfigError if the layout is `packed` and it cannot be."""
        self.model = model
        self.packed = can_pack(model, layout)
        self.chunked = _head_is_known(model, packed=self.packed)

    def __call__(
        self, batch: PackedBatch, *, temperature: float = 1.0, with_entropy: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Return log p(token | tokens before it), (T,) float32, at the sampling temperature, and the entropy of the
        distribution that it was drawn from, in nats and without gradient, if asked for. Both are 0 where the mask is 0.

        At temperature 0, which is greedy, the distribution is the untempered one.
        """
        arrangement = arrange(batch, packed=self.packed)
        count(
            tokens=batch.n_tokens,
            computed=arrangement.inputs["input_ids"].numel(),
            trained=arrangement.targets.numel(),
            squares=arrangement.squares,
            backward=torch.is_grad_enabled(),
        )
        logprobs_M, entropy_M = self._of_trained(arrangement, temperature or 1.0, with_entropy)
        return arrangement.back(logprobs_M), None if entropy_M is None else arrangement.back(entropy_M)

    def distributions(self, batch: PackedBatch, *, temperature: float = 1.0) -> Tensor:
        """Return the log-probabilities of every token at the places of the trained ones, (M, V) float32, in the
        order of the pack.
        """
        model, arrangement = self.model, arrange(batch, packed=self.packed)

        def compute() -> Tensor:
            if not self.chunked:
                return arrangement.pick(model(**arrangement.inputs, use_cache=False).logits)
            hidden = model.base_model(**arrangement.inputs, use_cache=False).last_hidden_state
            return head_of(model)(arrangement.pick(hidden))

        logits_MV = inside(model, compute) if self.chunked else compute()
        return (logits_MV.float() / (temperature or 1.0)).log_softmax(1)

    def _of_trained(
        self, arrangement: Arrangement, temperature: float, with_entropy: bool
    ) -> tuple[Tensor, Tensor | None]:
        model = self.model
        if not self.chunked:
            logits_MV = arrangement.pick(model(**arrangement.inputs, use_cache=False).logits)
            return lookup(logits_MV, arrangement.targets, temperature, with_entropy=with_entropy)

        def compute() -> tuple[Tensor, Tensor | None]:
            return head_logprobs(
                head_of(model),
                arrangement.pick(model.base_model(**arrangement.inputs, use_cache=False).last_hidden_state),
                arrangement.targets,
                vocabulary=model.config.get_text_config().vocab_size,
                temperature=temperature,
                with_entropy=with_entropy,
            )

        return inside(model, compute)


def inside(model: nn.Module, compute: Callable[[], T]) -> T:
    """Return what `compute` returns, computed within a call of the model, so that a wrapper such as FSDP sees one
    forward pass.
    """
    if not isinstance(model.__dict__.get("forward"), partial):
        model.forward = partial(_own_or, model.forward)
    found: T = model(kgym_compute=compute)
    return found


def _own_or(
    forward: Callable[..., Any], *args: Any, kgym_compute: Callable[[], Any] | None = None, **kwargs: Any
) -> Any:
    return forward(*args, **kwargs) if kgym_compute is None else kgym_compute()


# --- the head ---------------------------------------------------------------------------------------------------------


def head_of(model: PreTrainedModel) -> Callable[[Tensor], Tensor]:
    """Return the function that makes logits of the model's last hidden states, as far as the model's attributes show
    it.
    """
    head: Callable[[Tensor], Tensor] = model.get_output_embeddings()
    config = model.config.get_text_config()
    softcap: float | None = getattr(config, "final_logit_softcapping", None)
    scale = float(getattr(config, "logit_scale", None) or 1.0) / float(getattr(config, "logits_scaling", None) or 1.0)

    def logits(hidden_MH: Tensor) -> Tensor:
        found_MV = head(hidden_MH)
        if scale != 1.0:
            found_MV = found_MV * scale
        return found_MV if softcap is None else (found_MV / softcap).tanh() * softcap

    return logits


@torch.no_grad()
def _head_is_known(model: PreTrainedModel, *, packed: bool) -> bool:
    """Whether the head on hidden states gives the logits of the model."""
    inputs = arrange(_probe(model), packed=packed).inputs
    try:
        hidden = model.base_model(**inputs, use_cache=False).last_hidden_state
        return _agree(head_of(model)(hidden), model(**inputs, use_cache=False).logits)
    except (AttributeError, TypeError, RuntimeError):
        return False


# --- what a model can do ----------------------------------------------------------------------------------------------


@torch.no_grad()
def can_pack(model: PreTrainedModel, layout: Layout) -> bool:
    """Let the model attend over packed rows if the results equal those for its own rows, and return whether it does.

    Raises ConfigError if it does not and the layout is `packed`.
    """
    if layout == "padded" or model.config._attn_implementation == attention.NAME:
        return layout != "padded"
    own, why = model.config._attn_implementation, None
    batch = _probe(model)
    config = model.config.get_text_config()
    try:
        padded = arrange(batch, packed=False)
        expected = padded.pick(model.base_model(**padded.inputs, use_cache=False).last_hidden_state)
        model.set_attn_implementation(attention.NAME)
        packed = arrange(batch, packed=True)
        found = packed.pick(model.base_model(**packed.inputs, use_cache=False).last_hidden_state)
        if not _agree(found, expected):
            why = "it gives other numbers for packed rows"
        elif not _windows_are_known(config, packed.inputs["kgym_rows"].windows):
            why = "its attention does not say how far it looks back"
    except Exception as error:  # a model that cannot be packed may raise any error
        why = str(error).strip().split("\n")[0] or type(error).__name__
    if why is None:
        return True
    model.set_attn_implementation(own)
    if layout == "packed":
        raise ConfigError(
            f"train.layout=packed: {type(model).__name__} cannot be packed ({why}); set train.layout=padded"
        )
    return False


def _windows_are_known(config: Any, windows: dict[int, int | None]) -> bool:
    """Whether every layer with a sliding window has passed it to the attention: the probe is too short to show it."""
    if not windows or getattr(config, "attention_chunk_size", None):
        return False
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    if kinds is None:
        used = window is not None and getattr(config, "use_sliding_window", True)
        return set(windows.values()) <= {None, window} and (not used or window in windows.values())
    if len(windows) != len(kinds):
        return False
    return all(
        windows.get(layer) == {"full_attention": None, "sliding_attention": window}.get(kind, -1)
        for layer, kind in enumerate(kinds)
    )


def _probe(model: PreTrainedModel) -> PackedBatch:
    """Return a few episodes that share prompts, of unequal lengths, with tokens in between that are not trained on."""
    n = int(model.get_input_embeddings().weight.shape[0])

    def ids(first: int, length: int) -> list[int]:
        return [(first + 7 * place + place * place) % n for place in range(length)]

    prompts = [ids(3, 6)] * 3 + [ids(11, 4)] * 2
    answers = [ids(5, 5), ids(8, 2), ids(5, 3), ids(1, 1), ids(2, 12)]
    batch = pack(
        prompt_ids=prompts,
        token_ids=answers,
        token_mask=[[place != 1 for place in range(len(answer))] for answer in answers],
        rewards=[0.0] * 5,
        group_ids=[0, 0, 0, 1, 1],
    )
    device = model.get_input_embeddings().weight.device
    tensors = {name: value.to(device) for name, value in vars(batch).items() if isinstance(value, Tensor)}
    return PackedBatch(**{**vars(batch), **tensors})


def _agree(found: Tensor, expected: Tensor) -> bool:
    if found.shape != expected.shape:
        return False
    most = TOLERANCE.get(found.dtype, 0.1) * float(expected.float().std())
    return bool(((found - expected).float().abs() <= max(most, 1e-6)).all())


# --- gradient checkpointing -------------------------------------------------------------------------------------------


def checkpoints(train: TrainConfig, device: str) -> bool:
    """Whether layers are to be computed again in the backward pass: on a GPU, unless the configuration says
    otherwise.
    """
    return device != "cpu" if train.gradient_checkpointing is None else train.gradient_checkpointing


def checkpoint_layers(model: nn.Module, *, asked: bool = False) -> None:
    """Compute the layers of a model again in the backward pass instead of keeping their activations.

    Unlike the switch of transformers this also works in evaluation mode, in which kgym trains. A model without such
    layers stays as it is; raises ConfigError for one if it is `asked` for.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, GradientCheckpointingLayer)]
    if not layers and asked:
        raise ConfigError(
            f"train.gradient_checkpointing=true: {type(model).__name__} has no layers that can be computed again; "
            "leave it out"
        )
    for layer in layers:
        if not isinstance(layer.__dict__.get("forward"), partial):
            layer.forward = partial(_again, layer.forward)


def _again(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    return checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)
