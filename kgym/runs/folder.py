"""The folder of a run: its files, and the manifest that says what made them.

runs/NAME/  manifest.json  metrics.jsonl  summary.json
            episodes/step-00001.parquet  checkpoints/step-N/  eval/step-00000.json
"""

import contextlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import kgym
from kgym.errors import ConfigError, RunError
from kgym.files import Lock, locked, write_atomic
from kgym.folders import own_folders, remove_leftovers
from kgym.registry import registry
from kgym.runs.manifest import read_manifest

PACKAGES = ("kgym", "torch", "transformers", "gymnasium", "numpy")


@dataclass(frozen=True)
class RunFolder:
    """A run on disk."""

    path: Path

    @property
    def manifest(self) -> Path:
        """Configuration, versions, seed, machine: written once, when the run begins."""
        return self.path / "manifest.json"

    @property
    def metrics(self) -> Path:
        """One line a step."""
        return self.path / "metrics.jsonl"

    @property
    def episodes(self) -> Path:
        """Every sampled completion, one Parquet file a step."""
        return self.path / "episodes"

    @property
    def checkpoints(self) -> Path:
        """Hugging Face folders."""
        return self.path / "checkpoints"

    @property
    def evals(self) -> Path:
        """Validation results by step."""
        return self.path / "eval"

    @property
    def summary(self) -> Path:
        """The result of the run; it exists once the run has ended well."""
        return self.path / "summary.json"

    @contextlib.contextmanager
    def opened(self) -> Iterator[Lock]:
        """Make the folder and lock it for this process. Raises RunError if another process holds it or it cannot be
        written.
        """
        folders = (self.episodes, self.checkpoints, self.evals)
        try:
            self.path.mkdir(parents=True, exist_ok=True)  # may be a link: the user named it
            own_folders(*folders)
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            raise RunError(
                f"cannot write to the run folder {self.path}: {error.strerror}; choose another with --run"
            ) from error
        with locked(self.path / ".lock", what=f"the run folder {self.path}") as lock:
            remove_leftovers((self.path, *folders))
            yield lock

    def write_manifest(self, config: Mapping[str, Any], **facts: Any) -> None:
        """Store what this run is made of."""
        manifest = {"config": dict(config), "plugins": _plugins(), "machine": machine()} | facts
        write_atomic(self.manifest, json.dumps(manifest, indent=2) + "\n")

    def read_manifest(self) -> dict[str, Any]:
        """Return the manifest. Raises ConfigError if it is missing, DataError if it is damaged or another program's."""
        try:
            return read_manifest(self.path)
        except (FileNotFoundError, NotADirectoryError):
            why = "it has no manifest.json" if self.path.exists() else "it does not exist"
            raise ConfigError(
                f"{self.path} is not a run folder: {why}; kgym runs list prints those below runs/"
            ) from None


def run_folders(root: Path) -> list[Path]:
    """Return the folders below `root` that have a manifest, the newest last."""
    found = {}
    for manifest in root.glob("*/manifest.json"):
        with contextlib.suppress(OSError):  # removed meanwhile, or a link to nowhere
            found[manifest.parent] = manifest.stat().st_mtime
    return sorted(found, key=lambda folder: (found[folder], folder.name))


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def checkout() -> dict[str, Any]:
    """Return the commit of a development checkout, and whether its files differ from it; {} for an installed package.

    One: {"commit": "7a6eb47...", "dirty": False}.
    """
    root = Path(kgym.__file__).parent.parent
    git = shutil.which("git")
    if git is None or not ((root / ".git").exists() and (root / "pyproject.toml").exists()):
        return {}
    said = []
    for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"]):
        words = [git, "-C", str(root), *command]
        done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603  (fixed words)
        if done.returncode:  # another user's checkout, or a damaged one, is not a reason to end a run
            return {}
        said.append(done.stdout.strip())
    return {"commit": said[0], "dirty": bool(said[1])}


def machine() -> dict[str, Any]:
    """Return the hardware that the numbers came from, without host name and user."""
    import torch  # noqa: PLC0415  (the folder is also read by commands that compute nothing)

    gpus = (
        [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    )
    return {
        "system": platform.system(),
        "processor": platform.machine(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": gpus,
    }


def _plugins() -> list[dict[str, str]]:
    return [
        {"name": plugin.name, "distribution": plugin.distribution, "version": plugin.version}
        for plugin in registry().plugins()
        if plugin.status == "ok"
    ]
