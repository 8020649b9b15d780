"""The policy that is trained, and everything that depends on its scale: precision, layout, adapters, shards.

An objective asks for log-probabilities, lets gradients be added up, and takes a step; it does not know the number of
devices, the precision or the frozen weights.

Dimension key:  T tokens of the pack
"""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from kgym.algorithms.batch import deal, pack, select, token_order
from kgym.algorithms.episodes import scored
from kgym.models.encoding import ChatEncoder
from kgym.models.policy import Learner, load_policy
from kgym.models.save import save_model
from kgym.models.weights import ModelWeights, identity, local, other, whole
from kgym.train.layout import Micro, microbatches
from kgym.train.lora import Adapter, of_adapter
from kgym.train.optim import SplitAdamW, make_optimizer, set_lr
from kgym.train.precision import Precision
from kgym.train.scorer import Scorer, checkpoint_layers, checkpoints
from kgym.train.sharding import (
    anyones_broken_weight,
    device_of_start,
    load_whole_state,
    load_whole_weights,
    shard,
    whole_state,
    whole_weights,
)
from kgym.train_config import TrainConfig
from kgym.types import PackedBatch, Weights
from kgym.world import join


class TrainedPolicy:
    """A language model with its optimizer."""

    def __init__(self, policy: Learner, config: TrainConfig, adapter: Adapter | None = None) -> None:
        """`adapter` is already on the model of `policy`. On several ranks the model is cut over them."""
        self.world = join()
        self._policy = policy
        self._config = config
        self._precision = Precision.of(config)
        self._adapter = adapter
        self.checkpointing = checkpoints(config, torch.device(self._precision.device).type)
        """Whether layers are computed again in the backward pass."""
        if self.checkpointing:
            checkpoint_layers(policy.model, asked=bool(config.gradient_checkpointing))
        self._scorer = Scorer(policy.model, config.layout)
        self._reference: Scorer | None = None
        self.has_reference = False
        """Whether `keep_reference` was called."""
        self.cut(policy.model)
        self.optimizer = self._fresh_optimizer()

    @classmethod
    def load(
        cls, folder: str, config: TrainConfig, *, checkpoint: Path | None = None, seed: int = 0
    ) -> "TrainedPolicy":
        """Load a Hugging Face folder, or, of a run that continues, its checkpoint.

        An adapter is added to the model of `folder` in both cases; `seed` decides the start of a new one. Raises
        ConfigError as `load_policy` does, and for an adapter that does not fit the model.
        """
        start = folder if checkpoint is None or config.lora.rank else str(checkpoint)
        policy = load_policy(start, dtype=Precision.of(config).weights, device=device_of_start(config.device))
        if not config.lora.rank:
            return cls(policy, config)
        adapter = Adapter(policy.model, config.lora, seed=seed)
        if checkpoint is not None:
            adapter.load(checkpoint)
        return cls(policy, config, adapter)

    @property
    def bare(self) -> Learner:
        """Model and tokenizer as they were loaded."""
        return self._policy

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer of the model."""
        return self._policy.tokenizer

    @property
    def encoder(self) -> ChatEncoder:
        """The tokenizer with its chat template."""
        return self._policy.encoder

    @property
    def device(self) -> torch.device:
        """The device of the computation."""
        return self._policy.device

    # --- log-probabilities ---

    def logprobs(
        self, batch: PackedBatch, *, temperature: float = 1.0, with_entropy: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Return log p(token | tokens before it) of a micro-batch, (T,) float32 with gradient, and the entropies if
        asked for.

        Both are 0 where the mask is 0.
        """
        with self.autocast():
            logprobs_T, entropy_T = self._scorer(batch, temperature=temperature, with_entropy=with_entropy)
        return logprobs_T, entropy_T

    @property
    def dtype(self) -> torch.dtype:
        """The type that forward passes are computed in."""
        return self._precision.compute

    def autocast(self) -> torch.autocast:
        """Return the context in which every forward pass of the policy, and of a critic, is computed; see
        `Precision`.
        """
        return self._precision.autocast()

    @torch.no_grad()
    def frozen_logprobs(self, batch: PackedBatch, *, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
        """Return log-probabilities and entropies of a whole batch without gradient, each (T,), 0 where the mask is
        0.
        """
        return self._frozen(self._scorer, batch, temperature)

    @contextlib.contextmanager
    def others(self, *, adapter: bool) -> Iterator[None]:
        """Inside the block, compute with the weights that `kgym.models.weights.OtherWeights` makes of these; with
        `adapter`, only the adapter's weights are others.

        The weights are afterwards what they were before, to the bit.
        """
        found = {
            identity(tensor): (name, local(tensor))
            for name, tensor in self._policy.model.state_dict(keep_vars=True).items()
        }
        floats = [(name, part.detach()) for name, part in found.values() if part.is_floating_point()]
        if adapter:
            chosen = [part for name, part in floats if of_adapter(name)]
        else:  # the product of both matrices of an adapter is negated by one of them
            chosen = [part for name, part in floats if ".lora_A." not in name or not of_adapter(name)]
        kept = [part.clone() for part in chosen] if adapter else None
        with torch.no_grad():
            for part in chosen:
                part.copy_(other(part, adapter=adapter))
        try:
            yield
        finally:
            with torch.no_grad():
                for number, part in enumerate(chosen):
                    part.copy_(other(part, adapter=False) if kept is None else kept[number])

    @torch.no_grad()
    def distributions(
        self, texts: Sequence[Sequence[int]], places: Sequence[Sequence[int]], *, temperature: float = 1.0
    ) -> Tensor:
        """Return the log-probabilities of every token at places of texts, (M, V) float32 on the CPU, text by text.

        A place is the number of tokens that are read before, always less than all of them. Places ascend. Every rank
        computes all of them.
        """
        batch = pack(
            prompt_ids=[text[:1] for text in texts],
            token_ids=[text[1:] for text in texts],
            token_mask=[
                [place in wanted for place in range(1, len(text))] for text, wanted in zip(texts, places, strict=True)
            ],
            rewards=[0.0] * len(texts),
            group_ids=[0] * len(texts),
        )
        tensors = {name: value.to(self.device) for name, value in vars(batch).items() if isinstance(value, Tensor)}
        with self.autocast():
            return self._scorer.distributions(PackedBatch(**{**vars(batch), **tensors}), temperature=temperature).cpu()

    def keep_reference(self, folder: str, *, start: bool = True) -> None:
        """Load the frozen reference, for `ref_logprobs`. If it is the model that training started from, the base of an
        adapter serves as the reference.

        Its weights have the type of the policy's, so that equal weights have equal log-probabilities. Raises
        ConfigError if it cannot be loaded.
        """
        self.has_reference = True
        if start and self._adapter is not None:
            return
        model = load_policy(folder, dtype=self._precision.weights, device=device_of_start(self._config.device)).model
        self._reference = Scorer(model.requires_grad_(False), self._config.layout)
        self.cut(model)

    @torch.no_grad()
    def ref_logprobs(self, batch: PackedBatch, *, temperature: float = 1.0) -> Tensor:
        """Return the log-probabilities of the reference, (T,), 0 where the mask is 0; `keep_reference` was called
        before.
        """
        if self._reference is not None:
            return self._frozen(self._reference, batch, temperature)[0]
        assert self._adapter is not None
        with self._adapter.off():
            return self._frozen(self._scorer, batch, temperature)[0]

    @property
    def layout(self) -> Literal["packed", "padded"]:
        """How tokens are laid out: what `auto` has become."""
        return "packed" if self._scorer.packed else "padded"

    def microbatches(self, batch: PackedBatch, *, whole_groups: bool = False) -> list[Micro]:
        """Cut this rank's part of a batch into micro-batches that carry the totals of the batch, so that their losses,
        and those of the other ranks, add up to its loss.

        With `whole_groups` no group is cut, for losses that compare the episodes of a group.
        """
        part, places_T = batch, torch.arange(batch.n_tokens, device=batch.input_ids.device)
        if self.world.size > 1:
            mine = deal(batch, self.world.size)[self.world.rank]
            part, places_T = select(batch, mine, own_totals=False), token_order(batch, mine)
        found = microbatches(
            part, self._config.microbatch_tokens, packed=self._scorer.packed, whole_groups=whole_groups
        )
        found = [micro._replace(places=places_T[micro.places]) for micro in found]
        return found + self._spares(found, batch)

    def _spares(self, own: Sequence[Micro], batch: PackedBatch) -> list[Micro]:
        """Return micro-batches of weight 0, so that this rank makes as many passes as the one with the most."""
        n_passes = max(self.world.gather(len(own)))
        if len(own) == n_passes:
            return []
        spare = min(own, key=lambda micro: micro.batch.n_tokens, default=None) or _shortest_group(batch)
        return [spare._replace(weight=0.0)] * (n_passes - len(own))

    def _frozen(self, scorer: Scorer, batch: PackedBatch, temperature: float) -> tuple[Tensor, Tensor]:
        logprobs_T = torch.zeros_like(batch.old_logprobs)
        entropy_T = torch.zeros_like(batch.old_logprobs)
        for micro, places, weight in self.microbatches(batch):
            with self.autocast():
                micro_logprobs, micro_entropy = scorer(micro, temperature=temperature, with_entropy=True)
            assert micro_entropy is not None
            if weight:
                logprobs_T[places], entropy_T[places] = micro_logprobs, micro_entropy
        self.world.add_up(logprobs_T)
        self.world.add_up(entropy_T)
        return logprobs_T, entropy_T

    # --- a step ---

    def parameters(self) -> Sequence[nn.Parameter]:
        """Return the trained parameters."""
        return [parameter for parameter in self._policy.model.parameters() if parameter.requires_grad]

    def reset_optimizer(self) -> None:
        """Forget the state of the optimizer."""
        if isinstance(self.optimizer, SplitAdamW):
            self.optimizer.reset()
        else:
            self.optimizer = self._fresh_optimizer()

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of the next step."""
        set_lr(self.optimizer, lr)

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.optimizer.zero_grad(set_to_none=True)

    def clip(self, max_norm: float) -> float:
        """Scale the gradient down to `max_norm` and return its norm before. Raises FloatingPointError if that is not
        finite.
        """
        return clip(self._policy.model, max_norm)

    def take_step(self) -> None:
        """Let the optimizer change the weights."""
        self.optimizer.step()

    def _fresh_optimizer(self) -> torch.optim.Optimizer:
        return self.optimizer_of(self._policy.model, self._config.lr)

    def optimizer_of(self, model: nn.Module, lr: float) -> torch.optim.Optimizer:
        """Return a new optimizer of the run's kind, for the policy or a critic."""
        config = self._config
        return make_optimizer(
            model, lr=lr, weight_decay=config.weight_decay, betas=config.betas, split=self._precision.split
        )

    # --- weights ---

    def weights(self, *, adapters: bool = False) -> Weights:
        """Return the weights for an engine, as they are when they are read.

        An adapter is merged, or alone if the engine takes `adapters`.
        """
        model = self._policy.model
        return ModelWeights(model) if self._adapter is None else self._adapter.weights(alone=adapters)

    def broken_weight(self) -> str | None:
        """Return the name of a weight that is not finite, or would not be in a checkpoint; None if there is none."""
        return anyones_broken_weight(self._policy.model, self._precision.saved)

    def cut(self, model: nn.Module) -> None:
        """Cut a model over the ranks and move it to where the policy is computed."""
        shard(model, torch.device(self._precision.device), self._precision.compute)

    def state_dict(self) -> dict[str, Any]:
        """Return what the next step needs in addition to the folder that `save` writes: tensors and plain values.

        Every rank calls it, and rank 0 has it whole: it is the same for any number of ranks.
        """
        masters = {} if self._precision.exact else {"masters": whole_weights(self._policy.model)}
        return {"optimizer": whole_state(self.optimizer), **masters}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned; the weights were loaded from the folder."""
        load_whole_state(self.optimizer, state["optimizer"])
        if "masters" in state:
            load_whole_weights(self._policy.model, state["masters"])

    def save(self, folder: Path) -> None:
        """Write model and tokenizer as a Hugging Face folder; with an adapter, write the adapter alone, as peft does.

        Every rank calls it, rank 0 writes.
        """
        if self._adapter is None:
            masters = self.optimizer.masters if isinstance(self.optimizer, SplitAdamW) else None
            save_model(self._policy.model, folder, dtype=self._precision.saved, weight=masters)
        else:
            self._adapter.save(folder, self._policy.folder)
        if self.world.first:
            self._policy.tokenizer.save_pretrained(folder)


def clip(model: nn.Module, max_norm: float) -> float:
    """Scale the gradient of a model down to `max_norm` and return its norm before. Raises FloatingPointError if that
    is not finite.
    """
    norm = whole(torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)).item()
    if not math.isfinite(norm):
        raise FloatingPointError(f"the gradient norm is {norm}")
    return norm


def _shortest_group(batch: PackedBatch) -> Micro:
    """Return the group of a batch that has the fewest tokens, as its own micro-batch."""
    sizes_E = torch.bincount(batch.episode_ids, minlength=batch.n_episodes)
    live = scored(batch)
    tokens = {
        group: int(sizes_E[(batch.group_ids == group) & live].sum()) for group in set(batch.group_ids[live].tolist())
    }
    chosen = ((batch.group_ids == min(tokens, key=tokens.__getitem__)) & live).nonzero().flatten().tolist()
    places_T = torch.isin(batch.episode_ids, torch.tensor(chosen, device=batch.episode_ids.device)).nonzero().flatten()
    return Micro(select(batch, chosen, own_totals=False), places_T)
