"""From an adapter to a whole model: a plain Hugging Face folder, which every library and server loads.

The sums W + scale * B @ A are computed in float32, whatever type they are stored in.
"""

import shutil
from pathlib import Path

import torch

from kgym.errors import ConfigError, RunError
from kgym.files import sync_folder, sync_names
from kgym.folders import remove
from kgym.models.load import load_language_model
from kgym.models.names import adapters_of, resolve_model
from kgym.models.placement import DTYPES


def merge_into(name: str, out: Path, *, dtype: str = "float32") -> tuple[str, str]:
    """Write the model of a LoRA run, or of an adapter's folder, into the new folder `out`; return its base and the adapter's folder.

    Raises ConfigError if there is no adapter, or if `out` exists already, RunError if it cannot be written.
    """
    adapter = resolve_model(name)
    base, adapters = adapters_of(adapter)
    if not adapters:
        raise ConfigError(f"{name} is not a LoRA run: {adapter} is a whole model already, and there is nothing to merge")
    if out.exists() or out.is_symlink():
        raise ConfigError(f"{out} exists already; choose another folder with --out")
    model, tokenizer = load_language_model(adapter, dtype=torch.float32, device="cpu")
    temporary = out.with_name(f".{out.name}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        remove(temporary)
        temporary.mkdir()
        model.to(DTYPES[dtype]).save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        sync_folder(temporary)
        temporary.rename(out)
        sync_names(out.parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise RunError(f"cannot write {out}: {error.strerror or error}; choose another folder with --out") from error
    return base, adapter
