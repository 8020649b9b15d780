"""Models made of other models: an adapter merged into its base, the average of several models, and a model with fewer
layers. All are plain Hugging Face folders.

    merge_into(run, out)             base + scale * B @ A            the whole model of a LoRA run
    average_into(models, out)        w_1 W_1 + w_2 W_2 + ...         long2short by merging
    cut_into(model, out, layers)     the first layers and the last   a smaller model, to be trained again

Sums are computed in float32, for any stored type.

Source of the average: Kimi k1.5, section 2.4 (model merging).
"""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgym.errors import ConfigError, RunError
from kgym.files import sync_folder, sync_names
from kgym.folders import remove
from kgym.models.load import check_same_tokens, load_language_model
from kgym.models.names import adapters_of, resolve_model
from kgym.models.placement import DTYPES

Loaded = tuple[PreTrainedModel, PreTrainedTokenizerBase]

_NOT_COMPUTED = (
    "_name_or_path",
    "architectures",
    "dtype",
    "torch_dtype",
    "transformers_version",
    "use_cache",
    "pad_token_id",
)
"""Keys of a configuration that do not affect what a model computes."""


def merge_into(name: str, out: Path, *, dtype: str = "float32") -> tuple[str, str]:
    """Write the model of a LoRA run, or of an adapter's folder, into the new folder `out`; return its base and the
    adapter's folder.

    Raises ConfigError if there is no adapter, or if `out` exists already, RunError if it cannot be written.
    """
    adapter = resolve_model(name)
    base, adapters = adapters_of(adapter)
    if not adapters:
        raise ConfigError(f"{name} is not a LoRA run: {adapter} is a whole model already, so nothing has to be merged")
    _refuse(out)
    model, tokenizer = load_language_model(adapter, dtype=torch.float32, device="cpu")
    _write(model.to(DTYPES[dtype]), tokenizer, out)
    return base, adapter


@torch.no_grad()
def average_into(
    names: Sequence[str], out: Path, *, weights: Sequence[float] | None = None, dtype: str = "float32"
) -> list[float]:
    """Write the weighted average of models of one shape into the new folder `out`; return the weights, which add up to
    1.

    Without weights each model counts the same. The configuration and the tokenizer are those of the first. Two models
    are in memory at a time, in float32.

    Raises ConfigError for fewer than two models, for weights that are not one for each model, do not add up to 1, or
    are not finite, for models with other shapes or tokenizers than the first, and if `out` exists already; RunError if
    it cannot be written.
    """
    if len(names) < 2:
        raise ConfigError("an average needs at least two models")
    shares = list(weights) if weights is not None else [1 / len(names)] * len(names)
    if len(shares) != len(names):
        raise ConfigError(f"{len(shares)} weights for {len(names)} models; give one for each")
    if not math.isclose(sum(shares), 1, abs_tol=1e-6):  # also of a NaN
        raise ConfigError(
            f"the weights {', '.join(f'{share:g}' for share in shares)} sum to {sum(shares):g}; they must sum to 1"
        )
    _refuse(out)
    folders = [resolve_model(name) for name in names]
    for folder in folders[1:]:
        check_same_tokens(folders[0], folder)
    model, tokenizer = load_language_model(folders[0], dtype=torch.float32, device="cpu")
    totals = _weights(model)
    for weight in totals.values():
        weight.mul_(shares[0])
    for name, folder, share in zip(names[1:], folders[1:], shares[1:], strict=True):
        other, other_tokenizer = load_language_model(folder, dtype=torch.float32, device="cpu")
        _compare(names[0], (model, tokenizer), name, (other, other_tokenizer))
        for key, weight in _weights(other).items():
            totals[key].add_(weight, alpha=share)
    _write(model.to(DTYPES[dtype]), tokenizer, out)
    return shares


def cut_into(name: str, out: Path, *, layers: int, dtype: str = "float32") -> int:
    """Write a model with `layers` of its layers, the first ones and the last, into the new folder `out`; return how
    many it had.

    Its output is of little use until it is trained again.

    Raises ConfigError for a model whose layers are not in one list as in Llama, if it does not have more than `layers`
    of them, and if `out` exists already; RunError if it cannot be written.
    """
    _refuse(out)
    model, tokenizer = load_language_model(resolve_model(name), dtype=torch.float32, device="cpu")
    stack = getattr(model.base_model, "layers", None)
    had = model.config.num_hidden_layers if hasattr(model.config, "num_hidden_layers") else 0
    if not isinstance(stack, torch.nn.ModuleList) or len(stack) != had:
        raise ConfigError(f"{name}: the layers of a {type(model).__name__} are not in one list, so they cannot be cut")
    if not 1 <= layers < had:
        raise ConfigError(f"--layers {layers}: {name} has {had} layers; keep at least 1 and fewer than that")
    kept = [*range(layers - 1), had - 1]
    model.base_model.layers = torch.nn.ModuleList(stack[number] for number in kept)
    model.config.num_hidden_layers = layers
    if kinds := getattr(model.config, "layer_types", None):  # attention of each layer, as in Qwen3
        model.config.layer_types = [kinds[number] for number in kept]
    for number, layer in enumerate(model.base_model.layers):
        layer.self_attn.layer_idx = number
    _write(model.to(DTYPES[dtype]), tokenizer, out)
    return had


def _weights(model: PreTrainedModel) -> dict[str, Tensor]:
    return dict(model.named_parameters())


def _compare(first: str, one: Loaded, name: str, other: Loaded) -> None:
    """Raise ConfigError, naming the first difference, for a model that cannot be averaged with the first one."""
    weights, others = _weights(one[0]), _weights(other[0])
    for key in [*weights, *others]:
        if key not in others or key not in weights:
            raise ConfigError(
                f"{name if key in weights else first} has no weight {key}; only models of one architecture can be "
                "averaged"
            )
        if weights[key].shape != others[key].shape:
            shapes = f"{tuple(others[key].shape)} in {name} and {tuple(weights[key].shape)} in {first}"
            raise ConfigError(f"{key} is {shapes}; only models of one shape can be averaged")
    configs = [
        {key: value for key, value in model.config.to_dict().items() if key not in _NOT_COMPUTED}
        for model, _ in (one, other)
    ]
    if different := sorted(
        key for key in configs[0].keys() | configs[1].keys() if configs[0].get(key) != configs[1].get(key)
    ):
        raise ConfigError(
            f"{name} and {first} differ in {', '.join(different)} of their configurations; their average would compute "
            "neither"
        )
    if one[1].chat_template != other[1].chat_template:
        raise ConfigError(f"{name} and {first} have different chat templates: they read prompts in different forms")


def _refuse(out: Path) -> None:
    if out.exists() or out.is_symlink():
        raise ConfigError(f"{out} exists already; choose another folder with --out")


def _write(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, out: Path) -> None:
    """Write a folder, complete or not at all. Raises RunError."""
    temporary = out.with_name(f".{out.name}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        remove(temporary)
        temporary.mkdir()
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        sync_folder(temporary)
        temporary.rename(out)
        sync_names(out.parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise RunError(f"cannot write {out}: {error.strerror or error}; choose another folder with --out") from error
