"""Checkpoints: a Hugging Face folder that `transformers` and vLLM load as it is, plus what the trainer needs to go on.

checkpoints/step-40/  config.json  generation_config.json  model.safetensors  tokenizer...  trainer.pt  (critic/  if there is one)
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import PreTrainedTokenizerBase

from kgym.errors import RunError
from kgym.files import sync_folder

STATE_FILE = "trainer.pt"


def checkpoint_steps(root: Path) -> list[int]:
    """Return the steps of the complete checkpoints below `root`, in order."""
    found = (path.name.removeprefix("step-") for path in root.glob("step-*") if (path / STATE_FILE).is_file())
    return sorted(int(name) for name in found if name.isdecimal())


def save_checkpoint(
    root: Path,
    step: int,
    *,
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    state: dict[str, Any],
    keep: int,
    save_more: Callable[[Path], None] | None = None,
) -> Path:
    """Write `root/step-N`, whole or not at all, and remove all but the newest `keep` checkpoints (0 keeps all).

    `state` holds tensors and plain values only, as it is read back without unpickling code. `save_more` may write into the folder while it
    is being made. Raises RunError if it cannot be written, on a full disk for instance; the earlier ones are there still.
    """
    folder = root / f"step-{step}"
    temporary = root / f".step-{step}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        model.save_pretrained(temporary)  # type: ignore[operator]  # a PreTrainedModel
        tokenizer.save_pretrained(temporary)
        if save_more is not None:
            save_more(temporary)
        with (temporary / STATE_FILE).open("wb") as file:  # through Python, which keeps the reason of a failure
            torch.save(state, file)
        sync_folder(temporary)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    except (OSError, SafetensorError, RuntimeError) as error:  # what the three writers raise when the disk is full
        shutil.rmtree(temporary, ignore_errors=True)
        reason = str(error.__context__ if isinstance(error.__context__, OSError) else error).strip().split("\n")[0]
        raise RunError(
            f"cannot write the checkpoint {folder}: {reason}; make room, and go on from the checkpoint before it with --resume"
        ) from error
    if keep:
        for old in checkpoint_steps(root)[:-keep]:
            shutil.rmtree(root / f"step-{old}")
    return folder


def load_state(folder: Path) -> dict[str, Any]:
    """Read back the `state` of `save_checkpoint`. Raises RunError if it is damaged."""
    try:
        state: dict[str, Any] = torch.load(folder / STATE_FILE, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises half a dozen types for a damaged file, and its advice is to unpickle whatever it holds
        raise RunError(
            f"{folder / STATE_FILE} is damaged ({type(error).__name__}); remove the folder {folder} to go on from the checkpoint before it"
        ) from error
    return state
