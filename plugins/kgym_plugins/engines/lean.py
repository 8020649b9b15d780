"""One decoding step directly over the weights of a model, for the architectures of most models.

With a small model or batch, transformers' modules spend more time in Python and small operations than in matrix
products; here a layer is about twenty operations. Prompts are still read by the model itself. A model of another
architecture, or one for which this step gives other logits than its own, is decoded by `PaddedDecoder` of
`decoding.py`.

Dimension key:  B rows of the batch   E hidden size   H key-value heads   G query heads for each of them   D size of a
head
                P positions   V vocabulary
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, rms_norm
from transformers import PreTrainedModel

from kgym_plugins.engines.kvcache import ROUNDING, arbitrary_ids, empty_cache, last_logits
from kgym_plugins.engines.linear import Linear
from kgym_plugins.engines.slots import Slots

ARCHITECTURES = {"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"}
"""Classes of transformers with norm, attention with rotated queries and keys, norm, gated perceptron."""
STATIC_ROPE = {"default", "linear", "llama3", "yarn"}
"""Rotations that depend only on the position, not on the length of the text."""
POSITIONS = 1024
"""Number of positions whose rotations are computed at once."""

Rotations = tuple[Tensor, Tensor]
"""Cosines and sines of each position, (P, D); the sines of the first half of a head are negated."""
Attend = Callable[[int, Tensor, Tensor, Tensor, float], Tensor]
"""Stores the newest keys and values of a layer, (B, H, D), and returns the attention of the queries, (B, H, G, D), over
all tokens of a row; the last argument is the scale of the scores.
"""


class Norm(NamedTuple):
    """Division by the root mean square."""

    weight: Tensor
    epsilon: float

    @classmethod
    def of(cls, module: Any) -> "Norm":
        """Return the norm of a module of transformers."""
        return cls(module.weight, module.variance_epsilon)

    def __call__(self, x: Tensor) -> Tensor:
        """Apply it to the last dimension."""
        return rms_norm(x, self.weight.shape, self.weight, self.epsilon)


class Layer(NamedTuple):
    """Attention and perceptron."""

    before_attention: Norm
    query: Linear
    key: Linear
    value: Linear
    query_norm: Norm | None
    key_norm: Norm | None
    output: Linear
    scale: float
    before_perceptron: Norm
    gate: Linear
    up: Linear
    down: Linear
    activation: Callable[[Tensor], Tensor]

    @classmethod
    def of(cls, layer: Any) -> "Layer":
        """Return the parts of a layer of transformers."""
        attention, perceptron = layer.self_attn, layer.mlp
        normed = getattr(attention, "q_norm", None) is not None
        return cls(
            before_attention=Norm.of(layer.input_layernorm),
            query=Linear(attention.q_proj),
            key=Linear(attention.k_proj),
            value=Linear(attention.v_proj),
            query_norm=Norm.of(attention.q_norm) if normed else None,
            key_norm=Norm.of(attention.k_norm) if normed else None,
            output=Linear(attention.o_proj),
            scale=attention.scaling,
            before_perceptron=Norm.of(layer.post_attention_layernorm),
            gate=Linear(perceptron.gate_proj),
            up=Linear(perceptron.up_proj),
            down=Linear(perceptron.down_proj),
            activation=perceptron.act_fn,
        )


class LeanModel:
    """Reads one token of each row."""

    def __init__(self, model: PreTrainedModel) -> None:
        """Take the weights of a model of these `ARCHITECTURES`."""
        inner: Any = model.model
        self._embedding = inner.embed_tokens.weight
        self._layers = [Layer.of(layer) for layer in inner.layers]
        self._norm = Norm.of(inner.norm)
        self._head = Linear(model.lm_head)
        self._rotary = inner.rotary_emb
        self._n_groups = inner.layers[0].self_attn.num_key_value_groups
        self._head_dim = inner.layers[0].self_attn.head_dim
        each = [part for layer in self._layers for part in layer if isinstance(part, Linear)]
        self._linears = [*each, self._head]
        self._packed = False
        nothing = self._embedding.new_empty((0, self._head_dim))
        self._rotations: Rotations = nothing, nothing

    @classmethod
    def of(cls, model: PreTrainedModel) -> "LeanModel | None":
        """Return the lean model of a model, or None for another architecture or other logits than the model's own."""
        if not _known(model):
            return None
        lean = cls(model)
        lean.pack()
        return lean if lean._agrees_with(model) else None

    def pack(self) -> None:
        """Lay out the weights for decoding, unless that was done: on some processors, a copy of the large ones, until
        `unpack`.
        """
        if not self._packed:
            for part in self._linears:
                part.pack()
            self._packed = True

    def unpack(self) -> None:
        """Drop that copy: the weights change, or the memory is needed."""
        for part in self._linears:
            part.unpack()
        self._packed = False

    @torch.inference_mode()
    def _agrees_with(self, model: PreTrainedModel) -> bool:
        """Compare the logits after a third token with the model's own, because the meaning of attributes is not
        declared reliably.
        """
        cache, slots = empty_cache(model), Slots()
        ids_L = arbitrary_ids(model, 3)
        last_logits(model, ids_L[:2], cache)
        slots.add(cache, [0], [2])
        found_V = self(ids_L[2:], slots)[0].float()
        expected_V = last_logits(model, ids_L, empty_cache(model))
        if not expected_V.isfinite().all():
            return bool(torch.equal(found_V.isfinite(), expected_V.isfinite()))
        rounding = 1e-4 if model.dtype == torch.float32 else ROUNDING
        return bool((found_V - expected_V).abs().max() <= rounding * (expected_V.max() - expected_V.min()))

    @torch.inference_mode()
    def __call__(self, ids_B: Tensor, slots: Slots) -> Tensor:
        """Read a token of each row and return the logits of the next, (B, V)."""
        positions_B = slots.open_column()
        return self.read(ids_B, positions_B, self.rotations(slots.longest), slots.attend)

    def read(self, ids_B: Tensor, positions_B: Tensor, rotations: Rotations, attend: Attend) -> Tensor:
        """Read a token of each row at its position and return the logits of the next, (B, V)."""
        cos_B1D, sin_B1D = (of_PD[positions_B, None] for of_PD in rotations)
        x_BE = embedding(ids_B, self._embedding)
        B, G, D = len(ids_B), self._n_groups, self._head_dim
        for number, layer in enumerate(self._layers):
            normed_BE = layer.before_attention(x_BE)
            query_BND, key_BHD, value_BHD = (
                part(normed_BE).view(B, -1, D) for part in (layer.query, layer.key, layer.value)
            )
            if layer.query_norm is not None and layer.key_norm is not None:
                query_BND, key_BHD = layer.query_norm(query_BND), layer.key_norm(key_BHD)
            query_BND, key_BHD = _rotated(query_BND, cos_B1D, sin_B1D), _rotated(key_BHD, cos_B1D, sin_B1D)
            found_BHGD = attend(number, query_BND.view(B, -1, G, D), key_BHD, value_BHD, layer.scale)
            x_BE = layer.output.add_to(x_BE, found_BHGD.reshape(B, -1))
            normed_BE = layer.before_perceptron(x_BE)
            x_BE = layer.down.add_to(x_BE, layer.activation(layer.gate(normed_BE)).mul_(layer.up(normed_BE)))
        return self._head(self._norm(x_BE))

    def rotations(self, n_positions: int) -> Rotations:
        """Return the rotations of at least `n_positions`."""
        if n_positions > len(self._rotations[0]):
            positions_1P = torch.arange(-(-n_positions // POSITIONS) * POSITIONS, device=self._embedding.device)[None]
            cos_1PD, sin_1PD = self._rotary(self._embedding[:1], positions_1P)
            sin_PD = sin_1PD[0].clone()
            sin_PD[:, : self._head_dim // 2].neg_()
            self._rotations = cos_1PD[0].clone(), sin_PD
        return self._rotations


def _rotated(x_BND: Tensor, cos_B1D: Tensor, sin_B1D: Tensor) -> Tensor:
    """Rotate each pair of an element in the first half of a head and its counterpart in the second."""
    return torch.addcmul(x_BND * cos_B1D, x_BND.roll(x_BND.shape[-1] // 2, -1), sin_B1D)


def _known(model: PreTrainedModel) -> bool:
    """Whether the architecture and the configuration of a model are supported here."""
    kind = type(model)
    if kind.__name__ not in ARCHITECTURES or not kind.__module__.startswith("transformers.models."):
        return False
    windowed = set(getattr(model.config, "layer_types", None) or ()) - {"full_attention"}
    if windowed or getattr(model.config, "sliding_window", None) is not None:
        return False  # a token does not see all tokens before it
    inner: Any = model.model
    matrices = [module for name, module in model.named_modules() if name.endswith(("_proj", "lm_head"))]
    return inner.rotary_emb.rope_type in STATIC_ROPE and all(type(module) is nn.Linear for module in matrices)
