"""Models and batches of any size for measurements: random weights, the alphabet of `nano`, and lengths that are chosen.

The random models are shaped like Qwen2 and keep the chance of the end token under control. Their residual stream has
one place with the same number for every token, which no layer reads or changes; only the final norm passes it on, and
the head gives it a weight for the end token. So its chance is the same after every token, for any text before it:
completions have geometric lengths, or never end.
"""

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kgym.types import PackedBatch

CONSTANT = 20.0
"""Root mean square of a token's residual stream, nearly all of it from the place that is the same for every token;
others are about 1.
"""
NEVER = -1e4
"""Logit of what is never sampled."""


@dataclass(frozen=True)
class Shape:
    """The sizes of a model."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    ff: int
    vocab: int = 102
    tied: bool = False

    @property
    def head_dim(self) -> int:
        """Of the queries."""
        return self.hidden // self.heads

    @property
    def layer_weights(self) -> int:
        """Weights of the matrices of all layers."""
        kv = self.kv_heads * self.head_dim
        return self.layers * (2 * self.hidden**2 + 2 * self.hidden * kv + 3 * self.hidden * self.ff)

    @property
    def weights(self) -> int:
        """All of them, but those of norms and biases."""
        return self.layer_weights + self.vocab * self.hidden * (1 if self.tied else 2)

    def forward_flops(self, prompts: Sequence[int], completions: Sequence[int], group_size: int) -> float:
        """Return the operations of a forward pass over groups, each distinct token once.

        `prompts` and `completions` are lengths, one an episode, group by group; the head is applied to what predicts a
        completion token.

        >>> flops = Shape(4, 1, 1, 1, 8, vocab=10).forward_flops([3, 3], [1, 1], group_size=2)
        >>> flops == 2 * 5 * 160 + 4 * 4 * 14 + 2 * 2 * 40
        True
        """
        once = list(prompts[::group_size])
        tokens = sum(once) + sum(completions)
        pairs = sum(n * (n + 1) / 2 for n in once) + sum(
            n * prompt + n * (n + 1) / 2 for prompt, n in zip(prompts, completions, strict=True)
        )
        return (
            2 * tokens * self.layer_weights
            + 4 * self.hidden * self.layers * pairs
            + 2 * sum(completions) * self.vocab * self.hidden
        )

    def config(self, **more: Any) -> Any:
        """Return the configuration of a Qwen2 of this shape."""
        from transformers import Qwen2Config

        return Qwen2Config(
            vocab_size=self.vocab,
            hidden_size=self.hidden,
            intermediate_size=self.ff,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.kv_heads,
            tie_word_embeddings=self.tied,
            **{"max_position_embeddings": 32_768, "dtype": "float32"} | more,
        )


SHAPES = {
    "1M": Shape(hidden=128, layers=5, heads=4, kv_heads=2, ff=384),
    "5M": Shape(hidden=256, layers=7, heads=4, kv_heads=2, ff=768),
    "25M": Shape(hidden=512, layers=9, heads=8, kv_heads=2, ff=1536),
    "nano": Shape(hidden=128, layers=4, heads=4, kv_heads=2, ff=512, tied=True),
}


def write_model(
    folder: Path,
    shape: Shape,
    *,
    end: float = 0.0,
    seed: int = 0,
    context: int = 4096,
    device: str = "cpu",
    dtype: str = "float32",
) -> Path:
    """Write a random model with the tokenizer of `nano` that ends a completion after each token with the chance `end`.

    `device` is where its weights are drawn, `dtype` what they are written in. Tokens that the tokenizer does not know
    are never sampled.
    """
    import torch
    from transformers import Qwen2ForCausalLM

    from kgym.models.names import resolve_model

    nano = Path(resolve_model("nano"))
    shape = replace(shape, tied=False)  # tied heads could not tell the end token by the constant place
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(seed)
        model = Qwen2ForCausalLM(
            shape.config(eos_token_id=2, pad_token_id=0, bos_token_id=None, max_position_embeddings=context)
        )
    _control_the_end(model, end)
    model.generation_config.eos_token_id = 2
    model.generation_config.pad_token_id = 0
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    for file in (*nano.glob("tokenizer*"), *nano.glob("chat_template*")):
        shutil.copy(file, folder)
    return folder


def _control_the_end(model: Any, end: float) -> None:
    import torch

    hidden = model.config.hidden_size
    special = [*range(6), *range(102, model.config.vocab_size)]  # no text of nano
    with torch.no_grad():
        embedding = model.model.embed_tokens.weight
        embedding /= embedding.std()
        embedding[:, 0] = CONSTANT * hidden**0.5
        for layer in model.model.layers:
            for added in (layer.self_attn.o_proj.weight, layer.mlp.down_proj.weight):
                added.div_(
                    (2 * len(model.model.layers)) ** 0.5
                )  # or a deep model magnifies rounding until its tokens are others
                added[0] = 0.0
            for norm in (layer.input_layernorm, layer.post_attention_layernorm):
                norm.weight.fill_(CONSTANT)
                norm.weight[0] = 0.0
        model.model.norm.weight.fill_(CONSTANT)
        model.model.norm.weight[0] = 1 / hidden**0.5  # the constant place leaves the final norm as 1
        head = model.lm_head.weight
        head[:, 0] = 0.0
        head[special] = 0.0
        head[special, 0] = NEVER
        if end:
            logits = model(torch.arange(6, 102, device=head.device)[None]).logits[0]
            others = logits.logsumexp(-1).mean().item()
            head[2, 0] = others + math.log(end / (1 - end))


def make_batch(
    prompts: Sequence[int], completions: Sequence[int], group_size: int, *, vocab: int = 102, seed: int = 0
) -> "PackedBatch":
    """Return a packed batch of random tokens, of episodes with these lengths, group by group; a group has one
    prompt.
    """
    import random

    from kgym.algorithms.batch import pack

    rng = random.Random(seed)
    draw = lambda n: [rng.randrange(6, vocab) for _ in range(n)]  # noqa: E731
    asked: list[list[int]] = []
    for number, n in enumerate(prompts):
        asked.append(draw(n) if number % group_size == 0 else asked[-1])
    answers = [draw(n) for n in completions]
    return pack(
        prompt_ids=asked,
        token_ids=answers,
        engine_logprobs=[[-math.log(vocab)] * len(ids) for ids in answers],
        versions=[[0] * len(ids) for ids in answers],
        rewards=[float(number % 2) for number in range(len(answers))],
        group_ids=[number // group_size for number in range(len(answers))],
        truncated=[False] * len(answers),
    )
