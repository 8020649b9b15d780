"""Checkpoints: a Hugging Face folder that `transformers` and vLLM load as it is, plus what the trainer needs to
continue.

    checkpoints/step-40/  config.json  generation_config.json  model.safetensors  tokenizer...  trainer.pt
                          episodes.parquet  (critic/  if there is one)
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from kgym.errors import ConfigError, RunError
from kgym.files import sync_folder, sync_names
from kgym.folders import numbered, remove, set_aside
from kgym.runs.episodes import read_episodes
from kgym.types import Episode

STATE_FILE = "trainer.pt"
OPEN_EPISODES = "episodes.parquet"
"""Episodes that continue in the next step, and those of batches that wait."""
OF_THE_TRAINER = {STATE_FILE, OPEN_EPISODES, "critic"}
"""Parts of a checkpoint that only the trainer needs."""


def checkpoint_steps(root: Path) -> list[int]:
    """Return the steps of the complete checkpoints below `root`, in order."""
    return [step for step, folder in numbered(root, "step", "", width=1).items() if (folder / STATE_FILE).is_file()]


def going_on(root: Path, *, without: int | None = None) -> str:
    """Say from where a run would continue without the checkpoint of the step `without`."""
    steps = [step for step in checkpoint_steps(root) if step != without]
    return f"continue from step {steps[-1]}" if steps else "begin again"


def way_on(root: Path, remedy: str) -> str:
    """Say what to do about damaged weights: start from the newest checkpoint below `root`, if there is one, with
    `remedy`.
    """
    steps = checkpoint_steps(root)
    if not steps:
        return f"the run has no checkpoint yet, so start again with {remedy}"
    folder = root / f"step-{steps[-1]}"
    return f"the last good checkpoint is {folder}: start a new run from it (--model {folder}) with {remedy}"


def check_weights(name: str | None, what: str, root: Path, remedy: str) -> None:
    """Raise RunError if a weight, `name`, is not finite: no one could use such a model, and a checkpoint of it would
    replace a good one.
    """
    if name is not None:
        raise RunError(f"{what} is not finite any more (weights {name}), so it is not saved; {way_on(root, remedy)}")


def save_checkpoint(
    root: Path,
    step: int,
    *,
    write: Callable[[Path], None],
    state: dict[str, Any],
    keep: int,
) -> Path:
    """Write `root/step-N`, whole or not at all, and remove all but the newest `keep` checkpoints (0 keeps all).

    `write` writes the model and what belongs to it into a folder. `state` holds tensors and plain values only, as it is
    read back without unpickling code. Raises RunError if it cannot be written, on a full disk for instance; earlier
    ones are kept.
    """
    folder = root / f"step-{step}"
    temporary = root / f".step-{step}.tmp"
    try:
        remove(temporary)
        temporary.mkdir()
        write(temporary)
        with (temporary / STATE_FILE).open("wb") as file:  # through Python, which keeps the reason of a failure
            torch.save(state, file)
        sync_folder(temporary)
        replaced = set_aside(folder) if folder.is_symlink() or folder.exists() else None
        temporary.rename(folder)
        sync_names(root)
    except (OSError, SafetensorError, RuntimeError) as error:  # what the three writers raise when the disk is full
        shutil.rmtree(temporary, ignore_errors=True)
        reason = str(error.__context__ if isinstance(error.__context__, OSError) else error).strip().split("\n")[0]
        raise RunError(
            f"cannot write the checkpoint {folder}: {reason}; make room, and {going_on(root, without=step)} with "
            "--resume"
        ) from error
    if replaced is not None:
        remove(replaced)
    if keep:
        _remove_before(root, checkpoint_steps(root)[-keep:][0])
    return folder


def export(checkpoint: Path, out: Path) -> None:
    """Write the model of a checkpoint, without what only the trainer needs, as the folder `out`: whole, or not at all.

    Raises RunError if it cannot be written, ConfigError if `out` exists.
    """
    if out.exists():
        raise ConfigError(f"{out} exists already; choose another folder with --out")
    temporary = out.with_name(f".{out.name}.tmp")
    try:
        remove(temporary)
        shutil.copytree(
            checkpoint, temporary, ignore=lambda _, names: {name for name in names if name in OF_THE_TRAINER}
        )
        sync_folder(temporary)
        temporary.rename(out)
        sync_names(out.parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise RunError(f"cannot write {out}: {error.strerror or error}; the model is in {checkpoint}") from error


def _remove_before(root: Path, step: int) -> None:
    """Remove the checkpoints before a step, incomplete ones included. Links are not kgym's and stay."""
    for number, folder in numbered(root, "step", "", width=1).items():
        if number < step and folder.is_dir() and not folder.is_symlink():
            remove(set_aside(folder))  # renamed first: an interruption must not leave a part of it under its name


def open_episodes(folder: Path) -> list[Episode]:
    """Read back the episodes of a checkpoint. Raises DataError, naming the file, if it is damaged."""
    return read_episodes(
        folder / OPEN_EPISODES, remedy=f"remove the folder {folder} to {_before(folder)} with --resume"
    )


def _before(folder: Path) -> str:
    return going_on(folder.parent, without=int(folder.name.removeprefix("step-")))


def refuse_older(root: Path) -> None:
    """Raise ConfigError if the newest checkpoint below `root` has no open episodes: a version that did not store them
    wrote it.
    """
    steps = checkpoint_steps(root)
    folder = root / f"step-{steps[-1]}" if steps else None
    if folder is not None and not (folder / OPEN_EPISODES).is_file():
        raise ConfigError(
            f"{folder} has no {OPEN_EPISODES}: an earlier version of kgym wrote this checkpoint, and its run cannot be "
            f"resumed; start a new run from it with --model {folder}, or resume it with that version"
        )


def load_state(folder: Path) -> dict[str, Any]:
    """Read back the `state` of `save_checkpoint`. Raises RunError if it is damaged."""
    try:
        state: dict[str, Any] = torch.load(folder / STATE_FILE, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many types for a damaged file, and advises to unpickle it
        remedy = f"remove the folder {folder} to {_before(folder)} with --resume"
        raise RunError(f"{folder / STATE_FILE} is damaged ({type(error).__name__}); {remedy}") from error
    return state
