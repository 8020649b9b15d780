"""Choose the files of a data set repository: its configurations and splits, from its card or else from the names of its
files.

    README.md: configs: [{config_name: AIME2025-I, data_files: [{split: test, path: aime2025-I.jsonl}]}, ...]
    main/test-00000-of-00001.parquet      data/train.jsonl      default/train/0000.parquet (the hub's own conversion)

A repository is a folder of the user, or one that `hub.py` fetches. Only names are needed here, so that only the chosen
files are fetched.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

from kgym.errors import DataError, UnknownName
from kgym.hookspecs import DatasetInfo

CARD = "README.md"
SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".parquet")
"""Files that can be read."""

_NOT_DATA = {"dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json", "package.json"}
_SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_WORD = {word: split for split, words in _SPLITS.items() for word in words}
_SHARD = re.compile(r"(.+)-[0-9]{4,6}-of-[0-9]{4,6}")


@dataclass(frozen=True)
class Part:
    """Files that make up one split of one configuration."""

    config: str
    split: str
    files: tuple[str, ...]
    default: bool = False
    """Whether the card makes this configuration the default."""


@dataclass(frozen=True)
class Wanted:
    """The requested parts of a repository. What is not set is decided by the repository and the record of the data
    set.
    """

    configs: tuple[str, ...] = ()
    split: str | None = None


def parts_of(files: Collection[str], card: Mapping[str, Any]) -> list[Part]:
    """Return the parts of a repository, given the names of its files and the metadata of its card. Raises DataError if
    it has no data.
    """
    names = sorted(name for name in files if _is_data(name))
    parts = _by_card(names, card) or _by_name(names)
    if not parts:
        raise DataError(f"it has no data file that can be read; known kinds are {', '.join(SUFFIXES)}")
    return parts


def chosen(parts: Sequence[Part], wanted: Wanted, name: str, known: DatasetInfo | None) -> list[Part]:
    """Return the chosen parts, to be joined in order.

    By default these are the configuration that the card or the set's record prefers, else all of them (an examination
    in two halves), and the split called like the data set, else `test`, else the only one. Raises UnknownName for one
    that does not exist, DataError for a split that has to be named.
    """
    configs = dict.fromkeys(part.config for part in parts)
    if wanted.configs:
        for config in wanted.configs:
            if config not in configs:
                raise UnknownName.near("configuration", config, configs)
        use: Collection[str] = wanted.configs
    else:
        prefer = [*(known.configs if known else ()), *(part.config for part in parts if part.default), "default"]
        use = next(([config] for config in prefer if config in configs), list(configs))
    return [_one_split([part for part in parts if part.config == config], wanted, name, known) for config in use]


def _one_split(parts: Sequence[Part], wanted: Wanted, name: str, known: DatasetInfo | None) -> Part:
    by_split = {part.split: part for part in parts}
    if wanted.split is not None:
        if wanted.split not in by_split:
            raise UnknownName.near("split", wanted.split, by_split)
        return by_split[wanted.split]
    for split in (*(known.splits if known else ()), name, "test"):
        if split in by_split:
            return by_split[split]
    if len(by_split) > 1:
        raise DataError(f"it has the splits {', '.join(by_split)}; choose one with --split")
    return parts[0]


# --- by the card ------------------------------------------------------------------------------------------------------


def _by_card(names: Sequence[str], card: Mapping[str, Any]) -> list[Part]:
    """Read `configs`; [] if the card has none. Entries that are not in the hub's form are ignored."""
    parts = []
    configs = card.get("configs")
    for config in configs if isinstance(configs, list) else ():
        if not isinstance(config, Mapping):
            continue
        within = str(config.get("data_dir") or "").strip("/")
        here = [name for name in names if not within or name.startswith(f"{within}/")]
        for split, patterns in _patterns(config.get("data_files")).items():
            relative = {name: name.removeprefix(f"{within}/") if within else name for name in here}
            files = tuple(name for name in here if any(_matches(relative[name], pattern) for pattern in patterns))
            if files:
                parts.append(
                    Part(str(config.get("config_name") or "default"), split, files, config.get("default") is True)
                )
        if config.get("data_files") is None:
            label = str(config.get("config_name") or "default")
            parts += [
                Part(label, part.split, part.files, config.get("default") is True)
                for part in _by_name(here, one_config=True)
            ]
    return parts


def _patterns(data_files: Any) -> dict[str, list[str]]:
    """Return the patterns of each split; a bare pattern belongs to `train`, as on the hub."""
    if isinstance(data_files, str):
        data_files = [data_files]
    if isinstance(data_files, Mapping):
        data_files = [{"split": split, "path": path} for split, path in data_files.items()]
    found: dict[str, list[str]] = {}
    for entry in data_files if isinstance(data_files, list) else ():
        split, path = (entry.get("split"), entry.get("path")) if isinstance(entry, Mapping) else ("train", entry)
        paths = path if isinstance(path, list) else [path]
        found.setdefault(str(split or "train"), []).extend(pattern for pattern in paths if isinstance(pattern, str))
    return found


def _matches(name: str, pattern: str) -> bool:
    """Whether a name matches a pattern. `*` also matches `/` here, which does no harm in repositories of data."""
    return fnmatchcase(name, pattern.removeprefix("./").replace("**/", "*"))


# --- by the names of the files ----------------------------------------------------------------------------------------


def _is_data(name: str) -> bool:
    path = PurePosixPath(name)
    return (
        path.suffix.lower() in SUFFIXES
        and path.name not in _NOT_DATA
        and not any(part.startswith(".") for part in path.parts)
    )


def _by_name(names: Sequence[str], *, one_config: bool = False) -> list[Part]:
    grouped: dict[tuple[str, str], list[str]] = {}
    labels = {name: _label(name) for name in names}
    several = not one_config and all(config for config, _ in labels.values())  # otherwise folders mean something else
    for name, (config, split) in labels.items():
        grouped.setdefault((config if several else "default", split), []).append(name)
    return [Part(config, split, tuple(files)) for (config, split), files in grouped.items()]


def _label(name: str) -> tuple[str, str]:
    """Return the configuration, "" if the name does not say, and the split of a file."""
    path = PurePosixPath(name)
    folders = [part for part in path.parts[:-1] if part != "data"]
    if path.stem.isdigit() and folders:  # CONFIG/SPLIT/0000.parquet
        return "/".join(folders[:-1]), folders[-1].removeprefix("partial-")
    if shard := _SHARD.fullmatch(path.stem):  # CONFIG/SPLIT-00000-of-00001.parquet
        return "/".join(folders), _WORD.get(shard[1], shard[1])
    for text in (path.stem, *reversed(folders)):
        for word in re.split(r"[^a-z0-9]+", text.lower()):
            if word in _WORD:
                return "", _WORD[word]
    return "", "train"
