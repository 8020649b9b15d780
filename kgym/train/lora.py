"""LoRA: a low-rank adapter on linear layers is trained, and the base model does not change.

    h = W x + scale * B (A x)        scale = alpha / rank

A starts random and B at 0, so the first step starts from the base model. The layers are those of peft; they are inside
the model, which keeps its class, its attributes and its output head. The reference of an algorithm is the same model
with the adapter off. The engine gets W + scale * B @ A, computed matrix by matrix as it copies them, so that W is never
changed; or the two small matrices, if it can add them itself.

Source: Hu et al. 2021, arXiv:2106.09685. On all linear layers, with alpha 32 for every rank, and about ten times the
learning rate of full training: Schulman et al. 2025, "LoRA Without Regret", thinkingmachines.ai/blog/lora.
"""

import contextlib
import importlib.util
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from kgym.errors import ConfigError, UnknownName
from kgym.models.adapters import PREFIX, merged, read_adapter
from kgym.models.names import ADAPTER, ADAPTER_WEIGHTS, BASE, model_fingerprint
from kgym.models.weights import TensorWeights, whole
from kgym.seeding import derive_seed
from kgym.train_config import LoraConfig
from kgym.world import join

if TYPE_CHECKING:
    from peft.tuners.lora import LoraLayer

NAME = "default"
"""Name of the adapter in peft's layers, which could hold several."""


def check_lora(config: LoraConfig) -> None:
    """Raise ConfigError if an adapter is asked for and peft is not installed."""
    if config.rank and importlib.util.find_spec("peft") is None:
        raise ConfigError(f"train.lora.rank={config.rank} needs peft, which is not installed: pip install 'kgym[lora]'")


class Adapter:
    """A trainable adapter on a model, which is frozen. Constructing one changes the layers of `model` in place."""

    def __init__(self, model: PreTrainedModel, config: LoraConfig, *, seed: int) -> None:
        """Add a new adapter. Raises ConfigError if peft is missing, or the model has no layer for it."""
        check_lora(config)
        import peft  # noqa: PLC0415  (an extra)

        names = _targets(model, config.targets)
        self.model = model
        self.settings = peft.LoraConfig(
            r=config.rank,
            lora_alpha=config.alpha,
            target_modules=_shortest(model, names),
            task_type="CAUSAL_LM",
            inference_mode=False,
        )
        model.requires_grad_(False)
        exact = peft.LoraConfig(**{**self.settings.to_dict(), "target_modules": names})
        peft.inject_adapter_in_model(exact, model, adapter_name=NAME)
        self._layers: dict[str, LoraLayer] = {name: model.get_submodule(name) for name in names}
        self._fresh(seed)

    @torch.no_grad()
    def _fresh(self, seed: int) -> None:
        """Draw A from a separate generator and in float32, so that the start depends only on the seed."""
        generator = torch.Generator().manual_seed(derive_seed(seed, "lora"))
        for name in self._layers:
            a, b = self._pair(name)
            bound = 1 / math.sqrt(a.shape[1])  # as in peft and nn.Linear
            a.data = torch.empty(a.shape).uniform_(-bound, bound, generator=generator).to(a.device)
            b.data = torch.zeros(b.shape, device=b.device)

    def _pair(self, name: str) -> tuple[nn.Parameter, nn.Parameter]:
        """Return A and B of a layer."""
        layer = self._layers[name]
        return layer.lora_A[NAME].weight, layer.lora_B[NAME].weight

    @property
    def n_parameters(self) -> int:
        """Number of trained parameters."""
        return sum(matrix.numel() for name in self._layers for matrix in self._pair(name))

    @contextlib.contextmanager
    def off(self) -> Iterator[None]:
        """Compute with the base model alone inside the block."""
        for layer in self._layers.values():
            layer.enable_adapters(False)
        try:
            yield
        finally:
            for layer in self._layers.values():
                layer.enable_adapters(True)

    def tensors(self) -> dict[str, Tensor]:
        """Return the matrices by the names that they have in `adapter_model.safetensors`, gathered if they are cut over
        ranks.
        """
        return {
            f"{PREFIX}{name}.lora_{letter}.weight": whole(matrix.detach())
            for name in self._layers
            for letter, matrix in zip("AB", self._pair(name), strict=True)
        }

    def weights(self, *, alone: bool) -> "MergedWeights | AdapterWeights":
        """Return what an engine loads: the adapter `alone`, or the whole model with the adapter merged."""
        return AdapterWeights(self) if alone else MergedWeights(self)

    def merged_state(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the state dict of the model without adapter layers, each matrix merged when it is asked for."""
        pairs = {f"{name}.base_layer.weight": name for name in self._layers}
        for key, tensor in self.model.state_dict().items():
            if key in pairs:
                name = pairs[key]
                a_RI, b_OR = (whole(matrix.detach()) for matrix in self._pair(name))
                yield f"{name}.weight", merged(whole(tensor), a_RI, b_OR, self._layers[name].scaling[NAME])
            elif not of_adapter(key):
                yield key.replace(".base_layer.", "."), whole(tensor)

    def config(self, base: str) -> dict[str, Any]:
        """Return what `adapter_config.json` says, with the base model named."""
        settings = self.settings.to_dict()
        settings |= {
            "target_modules": sorted(settings["target_modules"]),
            "inference_mode": True,
            "base_model_name_or_path": base,
        }
        return {key: getattr(value, "value", value) for key, value in settings.items()}

    def save(self, folder: Path, base: str) -> None:
        """Write the adapter into a folder, as peft does; `base` is the resolved base model.

        Every rank calls it, rank 0 writes.
        """
        tensors = {name: tensor.float().cpu().contiguous() for name, tensor in self.tensors().items()}
        if not join().first:
            return
        there = Path(base).is_dir()
        config = self.config(str(Path(base).resolve()) if there else base)
        (folder / ADAPTER).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        (folder / BASE).write_text(json.dumps({"sha256": model_fingerprint(base)}) + "\n", encoding="utf-8")
        save_file(tensors, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})

    @torch.no_grad()
    def load(self, folder: Path) -> None:
        """Load the matrices of a folder. Raises ConfigError if they belong to other layers or have another rank."""
        found = read_adapter(folder)
        if found.keys() != self._layers.keys():
            other = sorted(found.keys() ^ self._layers.keys())[0]
            raise ConfigError(
                f"{folder} contains an adapter of other layers than train.lora.targets names, such as {other}"
            )
        for name, pair in found.items():
            for letter, matrix in zip("AB", self._pair(name), strict=True):
                if matrix.shape != pair[letter].shape:
                    raise ConfigError(
                        f"{folder} contains an adapter of another rank than train.lora.rank={self.settings.r}"
                    )
                matrix.copy_(pair[letter])


# --- to an engine -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MergedWeights:
    """See `kgym.types.Weights`: the model with its adapter merged, matrix by matrix as they are read."""

    of: Adapter
    adapter: ClassVar[None] = None

    def named(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the name and the tensor of every entry of the state dict of a model without an adapter."""
        yield from self.of.merged_state()

    @torch.no_grad()
    def copied(self) -> TensorWeights:
        """Return a snapshot. The base's tensors, which training does not change, are not copied."""
        return TensorWeights(dict(self.named()))


@dataclass(frozen=True)
class AdapterWeights:
    """See `kgym.types.Weights`: the adapter alone."""

    of: Adapter

    @property
    def adapter(self) -> Mapping[str, Any]:
        """Its `adapter_config.json`."""
        return self.of.config("")

    def named(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the matrices by the names that peft gives them."""
        yield from self.of.tensors().items()

    @torch.no_grad()
    def copied(self) -> TensorWeights:
        """Return a snapshot."""
        return TensorWeights({name: tensor.clone() for name, tensor in self.named()}, self.adapter)


# --- which layers -----------------------------------------------------------------------------------------------------


def of_adapter(key: str) -> bool:
    """Whether an entry of the state dict is a matrix of the adapter."""
    return f".lora_A.{NAME}." in key or f".lora_B.{NAME}." in key


def _targets(model: PreTrainedModel, wanted: Sequence[str]) -> list[str]:
    """Return the names of the linear layers that get an adapter: those whose names end as `wanted` says, or all except
    the output head.

    Raises UnknownName for a name without such a layer, ConfigError for the head.
    """
    head = model.get_output_embeddings()
    linear = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    names = [name for name, module in linear.items() if module is not head]
    if not names:
        raise ConfigError(
            f"train.lora.rank: {type(model).__name__} has no linear layers (nn.Linear); train all weights, with "
            "train.lora.rank=0"
        )
    if not wanted:
        return names
    for ending in wanted:
        if not any(_ends(name, ending) for name in names):
            if any(_ends(name, ending) for name in linear):
                raise ConfigError(
                    f"train.lora.targets: {ending} is the output head, which is not adapted; leave it out"
                )
            raise UnknownName.near(
                "linear layer of the model (train.lora.targets)",
                ending,
                sorted({name.rpartition(".")[2] for name in names}),
            )
    return [name for name in names if any(_ends(name, ending) for ending in wanted)]


def _ends(name: str, ending: str) -> bool:
    return name == ending or name.endswith(f".{ending}")


def _shortest(model: nn.Module, names: Sequence[str]) -> list[str]:
    """Return the last parts of the names if these mean the same layers, as adapters are usually written, otherwise the
    whole names.
    """
    endings = sorted({name.rpartition(".")[2] for name in names})
    meant = [name for name, _ in model.named_modules() if any(_ends(name, ending) for ending in endings)]
    return endings if sorted(meant) == sorted(names) else sorted(names)
