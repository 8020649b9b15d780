"""The folders of a run and kgym's files in them. All other files there are left alone, and no link is followed.

episodes/step-00001.parquet             kgym's
episodes/step-00001 (1).parquet         not kgym's: neither read nor removed
episodes/.step-00001.parquet.4711.tmp   of a process that was killed while it wrote; the next holder of the run's
                                        lock removes it
checkpoints/.step-4.tmp/                of a checkpoint that was being written or removed: likewise
"""

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from kgym.errors import ConfigError

LEFTOVER = re.compile(
    r"\.(?:manifest\.json|metrics\.jsonl|summary\.json|results\.json|usage\.json"
    r"|(?:step|part)-\d+\.(?:json|parquet))\.\d+\.tmp|\.step-\d+(?:\.old)?\.tmp",
    re.ASCII,
)
"""Temporary names of the files that only the holder of a run's lock writes. Pages and pictures are not among them,
since other processes write them.
"""


def own_folders(*folders: Path) -> None:
    """Make folders for files of kgym. Raises ConfigError, before any is made, if one of them is a link."""
    refuse_links(*folders)
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)


def refuse_links(*folders: Path) -> None:
    """Raise ConfigError if one of the folders is a link: its author would decide which files are written and
    deleted.
    """
    for folder in folders:
        if folder.is_symlink():
            raise ConfigError(
                f"{folder} is a link, and kgym neither writes nor deletes through links in a run folder; "
                "remove it, or move the whole run folder to the other disk"
            )


def numbered(folder: Path, prefix: str, suffix: str, *, width: int = 5) -> dict[int, Path]:
    """Return the files or folders named PREFIX-NUMBERSUFFIX, by number and in order.

    Only names that kgym writes count: the number is padded with zeros to `width` digits.
    """
    name = re.compile(rf"{prefix}-(\d+){re.escape(suffix)}", re.ASCII)
    found = {}
    for path in folder.glob(f"{prefix}-*{suffix}"):
        if (match := name.fullmatch(path.name)) and match[1] == f"{int(match[1]):0{width}d}":
            found[int(match[1])] = path
    return dict(sorted(found.items()))


def remove_leftovers(folders: Iterable[Path]) -> None:
    """Remove the half-written files of a killed process. Only the holder of the run's lock may call it."""
    for folder in folders:
        for path in folder.iterdir() if folder.is_dir() and not folder.is_symlink() else ():
            if LEFTOVER.fullmatch(path.name):
                remove(path)


def remove(path: Path) -> None:
    """Remove a file, a folder with its contents, or a link (but not its target). A missing path is not an error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def set_aside(folder: Path) -> Path:
    """Rename a folder to a name that `remove_leftovers` knows, so that a kill leaves no half of it under its own name;
    return the new path.
    """
    aside = folder.with_name(f".{folder.name}.old.tmp")
    remove(aside)
    return folder.rename(aside)
