"""The configurations of trainings, as their run folders store them."""

import logging
import time
from pathlib import Path
from typing import Any

from kgym.config import RunConfig
from kgym.errors import ConfigError, KgymError
from kgym.files import reading
from kgym.options import validated
from kgym.runs.folder import RunFolder, run_folders
from kgym.runs.manifest import KIND, kind_of
from kgym.supervised_config import CONFIGS, DPOConfig, RMConfig, SFTConfig

log = logging.getLogger(__name__)

RUNS = Path("runs")
"""Default folder of runs."""

TrainingConfig = RunConfig | SFTConfig | DPOConfig | RMConfig
"""Configuration of `kgym train`, `sft`, `dpo` or `rm`."""

MODELS: dict[str, type[Any]] = {"train": RunConfig, **CONFIGS}
"""The configuration of each command that trains."""


def command_of(config: TrainingConfig) -> str:
    """Return the command that a configuration belongs to."""
    return "train" if isinstance(config, RunConfig) else config.KIND


def stored_config(folder: RunFolder, command: str) -> TrainingConfig:
    """Return the configuration of a run. Raises ConfigError if the folder has no run of that command, DataError if it
    is damaged.
    """
    manifest = folder.read_manifest()
    kind = kind_of(manifest)
    if kind == KIND:
        raise ConfigError(f"{folder.path} contains an evaluation, not a training; choose another folder with --run")
    if kind != command:
        raise ConfigError(
            f"{folder.path} contains a run of kgym {kind}; resume it with kgym {kind} --resume, or choose another "
            "folder with --run"
        )
    with reading(folder.manifest, remedy="without it kgym cannot know what the run was; start a new one"):
        config: TrainingConfig = validated(MODELS[kind], manifest["config"])
        return config


def newest_run(command: str, root: Path = RUNS) -> Path:
    """Return the newest folder of a run of that command. Raises ConfigError if there is none."""
    for folder in reversed(run_folders(root)):
        try:
            if kind_of(RunFolder(folder).read_manifest()) == command:
                return folder
        except (KgymError, OSError) as error:
            log.warning("%s is skipped: %s", folder, error)
    what = "training run" if command == "train" else f"run of kgym {command}"
    raise ConfigError(f"no {what} to resume below {root}/; name its folder with --run")


def new_folder(config: TrainingConfig, root: Path = RUNS) -> Path:
    """Return a folder for a new run; its name has the environment, the algorithm and the time of the start."""
    if isinstance(config, RunConfig):
        words = ["-".join(config.envs)[:60].strip("-") if config.envs else config.env.name, config.algo.name]
    else:
        source = config.env.name if config.env else Path(config.data or config.episodes or "examples").stem
        words = [source[:60], config.KIND]
    return root / "-".join([*words, time.strftime("%Y%m%d-%H%M%S")]).replace("/", "-")
