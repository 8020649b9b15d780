"""The size of a model, from its configuration alone: its weights, its activations, its keys and values.

    footprint(folder).parameters        no weight is read, and nothing of this size is allocated

The activations are counted: a forward pass over tensors with a shape and no content (`FakeTensorMode`) shows what
autograd keeps, so the figure holds for every architecture. Where such a pass cannot run, because what it computes
depends on the values (a mixture of experts), the formula of a Llama-like layer is used. With T tokens, hidden size h, a
= heads x head size, v = key-value heads x head size and an intermediate size i, such a layer keeps T x (6 h + 4 a + 2 v
+ 4 i) numbers: the input, the normalised input and the output of two norms (6 h), queries, repeated keys, values and
the output of attention (4 a), v for keys and values before they are repeated, and four tensors of the gated
feed-forward network (4 i).
"""

import logging
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import PreTrainedConfig, PreTrainedModel

from kgym.models.load import blank_model, load_config

log = logging.getLogger(__name__)

LENGTHS = (64, 128, 192)
"""Lengths of the rows over which the activations are counted: three lengths give the constant, the linear and the
square part.
"""

EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
"""Names of the number of experts in configurations."""


@dataclass(frozen=True)
class Activations:
    """Bytes that a forward pass keeps for the backward pass, in the types that it computes in."""

    per_token: float
    """Bytes of all layers except attention, for each computed token."""
    per_row_token: float
    """Bytes of attention for each token of its rows: queries, keys, values and outputs."""
    per_row_square: float
    """Attention with a matrix of scores takes, for each row, this many bytes times the square of its length. 0 with
    SDPA.
    """
    widest: float
    """Bytes of the largest of these tensors, for each token."""
    copies: int
    """Copies of the weights in the type of the computation; 0 where that is the type of the weights."""


@dataclass(frozen=True)
class Footprint:
    """Sizes of a causal language model."""

    parameters: int
    largest: int
    """Size of the largest tensor, in numbers."""
    linears: tuple[tuple[str, int, int], ...]
    """Name, inputs and outputs of each linear layer except the head."""
    layers: int
    hidden: int
    vocabulary: int
    embedding: int
    """Size of the input embedding, in numbers; a forward pass multiplies nothing with them unless the head shares them.
    """
    tied: bool
    """Whether the head shares the input embedding."""
    attention: int
    """Heads times the size of a head."""
    keys_and_values: int
    """Numbers that are cached for each token, in all layers."""
    experts: bool
    """Whether each token is multiplied with only a part of the weights."""
    counted: bool
    """Whether the activations were counted; otherwise they are those of the formula."""
    activations: Activations

    @property
    def matmul_parameters(self) -> int:
        """Number of weights that each token is multiplied with: all except an input embedding that
        is only looked up.
        """
        return self.parameters if self.tied else self.parameters - self.embedding


def footprint(folder: str, *, bfloat16: bool = False) -> Footprint:
    """Return the sizes of the model in a folder or on the hub; `bfloat16` if it is computed under autocast to that
    type.

    Raises ConfigError if its configuration cannot be read.
    """
    return _footprint(load_config(folder).to_json_string(use_diff=False), folder, bfloat16)


@lru_cache(maxsize=8)
def _footprint(config_json: str, folder: str, bfloat16: bool) -> Footprint:
    config = load_config(folder)
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode:
        model = blank_model(config, folder)
    text = config.get_text_config()
    heads = text.num_attention_heads
    size = getattr(text, "head_dim", None) or text.hidden_size // heads
    kv_heads = getattr(text, "num_key_value_heads", None) or heads
    counted = _counted_if_possible(model, mode, bfloat16)
    unique = {id(parameter): parameter for parameter in model.parameters()}.values()
    embedding = model.get_input_embeddings().weight
    head = model.get_output_embeddings()
    return Footprint(
        parameters=sum(parameter.numel() for parameter in unique),
        largest=max(parameter.numel() for parameter in unique),
        linears=tuple(
            (name, module.in_features, module.out_features)
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear) and module is not head
        ),
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        vocabulary=embedding.shape[0],
        embedding=embedding.numel(),
        tied=head is not None and head.weight is embedding,
        attention=heads * size,
        keys_and_values=2 * text.num_hidden_layers * kv_heads * size,
        experts=any(getattr(text, name, None) for name in EXPERTS),
        counted=counted is not None,
        activations=counted or _formula(text, heads * size, kv_heads * size, 2 if bfloat16 else 4),
    )


def _counted_if_possible(model: PreTrainedModel, mode: FakeTensorMode, bfloat16: bool) -> Activations | None:
    """Count the activations; return None for a model that cannot run without values, which torch would log with its
    whole traceback.
    """
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    disabled, logger.disabled = logger.disabled, True
    try:
        return _counted(model, mode, bfloat16)
    except Exception as error:  # the type depends on the architecture
        log.debug("the activations of %s cannot be counted: %s", type(model).__name__, error)
        return None
    finally:
        logger.disabled = disabled


def _counted(model: PreTrainedModel, mode: FakeTensorMode, bfloat16: bool) -> Activations:
    """Count what autograd keeps in forward passes of one row over three lengths, and fit a + b L + c L^2 to it."""
    plain, rows, widest = [], [], 0.0
    for length in LENGTHS:
        kept = _kept(model, mode, length, bfloat16)
        in_attention = [x for x in kept if x.ndim == 4 and length in x.shape]
        rows.append(
            sum(_bytes(x) for x in in_attention if x.shape[:2] != (1, 1))
        )  # a mask over all heads is not part of the gradient
        others = [x for x in kept if not (x.ndim == 4 and length in x.shape)]
        plain.append(sum(_bytes(x) for x in others))
        widest = max((_bytes(x) / length for x in others if length in x.shape), default=0.0)
    constant, linear, _ = _polynomial(LENGTHS, plain)
    _, row_linear, row_square = _polynomial(LENGTHS, rows)
    return Activations(linear, row_linear, max(0.0, row_square), widest, round(constant) if bfloat16 else 0)


def _kept(model: PreTrainedModel, mode: FakeTensorMode, length: int, bfloat16: bool) -> list[Tensor]:
    """Return what the backbone's forward pass over a row keeps for the backward pass: one tensor a storage, no
    weights.
    """
    own = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    kept: dict[int, Tensor] = {}

    def see(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()._cdata
        if storage not in own:
            kept.setdefault(storage, tensor)
        return tensor

    with mode, torch.autograd.graph.saved_tensors_hooks(see, lambda tensor: tensor), _autocast(bfloat16):
        model.base_model(input_ids=torch.zeros((1, length), dtype=torch.long), use_cache=False)
    return list(kept.values())


def _autocast(bfloat16: bool) -> AbstractContextManager[Any]:
    return torch.autocast("cpu", torch.bfloat16) if bfloat16 else nullcontext()


def _bytes(tensor: Tensor) -> int:
    return tensor.untyped_storage().nbytes()


def _polynomial(lengths: tuple[int, int, int], values: list[int]) -> tuple[float, float, float]:
    """Return a, b and c of the parabola a + b L + c L^2 through three points at equal distances."""
    step = lengths[1] - lengths[0]
    square = (values[2] - 2 * values[1] + values[0]) / (2 * step**2)
    linear = (values[1] - values[0]) / step - square * (lengths[0] + lengths[1])
    return values[0] - linear * lengths[0] - square * lengths[0] ** 2, linear, square


def _formula(text: PreTrainedConfig, attention: int, keys: int, size: int) -> Activations:
    """Return the activations of Llama-like layers; see the module. In float32 and bfloat16 the norms are computed in
    float32.
    """
    wide = getattr(text, "moe_intermediate_size", None) or getattr(text, "intermediate_size", 4 * text.hidden_size)
    wide *= getattr(text, "num_experts_per_tok", None) or 1
    layer = text.hidden_size * (4 * 4 + 2 * size) + size * (attention + 4 * wide)
    rows = size * (3 * attention + 2 * keys)
    return Activations(text.num_hidden_layers * layer, text.num_hidden_layers * rows, 0.0, size * wide, 0)
