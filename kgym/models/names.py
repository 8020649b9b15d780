"""From the name of a model, as a user types it, to a folder or hub id that an engine and the trainer load."""

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

from kgym.blame import blaming
from kgym.errors import ConfigError, UnknownName
from kgym.folders import numbered
from kgym.registry import registry

CONFIG = "config.json"
"""The file of a folder that is a Hugging Face model."""
ADAPTER = "adapter_config.json"
"""The file of a folder that is an adapter, as peft writes it; it names the base model."""
ADAPTER_WEIGHTS = "adapter_model.safetensors"
BASE = "base_model.json"
"""A file next to it in the checkpoints of kgym: {"sha256": the fingerprint of that base model}."""
_DECIDING = {".safetensors", ".bin", ".json", ".jinja", ".model"}
_WORD_LISTS = {"vocab.txt", "merges.txt"}
HUB_ID = re.compile(r"(?!runs/)[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
"""`OWNER/NAME` on the hub. Not below `runs/`, where kgym keeps its runs, even if there is none yet."""


def resolve_model(name: str) -> str:
    """Return the folder of a model, or the id of one on the hub.

    A registered name stands for its folder, a folder with a config.json or an adapter for itself, a run folder for its
    newest checkpoint, and what looks like `OWNER/NAME` and is not on the disk for a model on the hub.

    Raises ConfigError for a folder without a model and for an adapter without its base model, UnknownName for anything
    else.
    """
    known = registry().infos("model")
    if name in known:
        target = registry().target("model", name)
        with blaming("model", target):
            return str(target())
    folder = Path(name).expanduser()
    if folder.is_dir():
        found = folder if _holds_model(folder) else _newest_checkpoint(folder / "checkpoints")
        if found is None:
            raise ConfigError(
                f"{name} does not contain a model: neither a {CONFIG} nor a finished checkpoint below checkpoints/; "
                "name another "
                "folder"
            )
        adapters_of(str(found))  # raises what is wrong with the base model of an adapter
        return str(found)
    if folder.exists():
        raise ConfigError(f"{name} is a file; name the folder that holds the model's {CONFIG}")
    if HUB_ID.fullmatch(name) and not folder.parent.is_dir():
        return name
    if "/" in name or name.startswith((".", "~")):
        raise ConfigError(
            f"the model folder {name} does not exist; name an existing one, a model of kgym plugins list, or a model "
            "on the hub as OWNER/NAME (Qwen/Qwen3-0.6B), where no folder OWNER exists here"
        )
    raise UnknownName.near("model", name, known)


def adapters_of(resolved: str) -> tuple[str, list[Path]]:
    """Return the whole model below a resolved one and the adapters on it, the lowest first; none of a whole model.

    Raises ConfigError for an adapter without weights, for one whose base model does not exist, and for one of kgym's
    whose base model has other files than it was trained on.
    """
    whole, adapters = _layers(resolved)
    for below, folder in zip([whole, *map(str, adapters)], adapters, strict=False):
        known = _known_base(folder)
        if known and Path(below).is_dir() and known != model_fingerprint(below):
            raise ConfigError(
                f"{folder} contains an adapter of {below}, whose files have changed since it was trained; restore the "
                "old ones"
            )
    return whole, adapters


def _layers(resolved: str) -> tuple[str, list[Path]]:
    adapters: list[Path] = []
    while (Path(resolved) / ADAPTER).is_file():
        folder = Path(resolved)
        if any(folder.samefile(other) for other in adapters):
            raise ConfigError(
                f"{folder / ADAPTER}: the adapter is its own base model; name the model that it was trained on there"
            )
        adapters.insert(0, folder)
        resolved = _base_of(folder)
    return resolved, adapters


def _base_of(folder: Path) -> str:
    """Return the base model that an adapter names. Raises ConfigError if it names none, or one that does not exist."""
    file = folder / ADAPTER
    try:
        base = json.loads(file.read_text(encoding="utf-8"))["base_model_name_or_path"]
        there = _holds_model(Path(base)) or (HUB_ID.fullmatch(base) and not Path(base).parent.is_dir())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{file} is damaged: it does not name the base model of the adapter ({type(error).__name__})"
        ) from error
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise ConfigError(
            f"{folder} contains the configuration of an adapter of {base}, and no {ADAPTER_WEIGHTS}; name another "
            "folder"
        )
    if not there:
        raise ConfigError(
            f"{folder} contains an adapter of {base}, which does not exist; restore that model, or write its new path "
            f"into {file}, as base_model_name_or_path"
        )
    return str(base)


def _known_base(folder: Path) -> str:
    """Return the fingerprint of the model that an adapter of kgym was trained on; "" for an adapter of other origin."""
    try:
        return str(json.loads((folder / BASE).read_text(encoding="utf-8"))["sha256"])
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{folder / BASE} is damaged ({type(error).__name__}); remove it to use the adapter unchecked"
        ) from error


def two_readings(resolved: str) -> str:
    """Return an addition to the message when a resolved model cannot be loaded: no folder of its name exists here, so
    it was taken for one on the hub.

    >>> print(two_readings("acme/typo"))
    ; no folder acme/typo exists here, so kgym took the name for a model on the hub: check the spelling, and the network
    """
    if Path(resolved).is_dir():
        return ""
    return (
        f"; no folder {resolved} exists here, so kgym took the name for a model on the hub: check the spelling, and "
        "the network"
    )


def model_fingerprint(resolved: str) -> str:
    """Return a sha256 over all files in a model's folder that affect what it computes: weights, configuration,
    tokenizer, chat template.

    Every byte is read, as any layer of a model may change; unchanged files are read once a process. For a model on the
    hub it is the commit in the cache, "" if it is not cached. The fingerprint of an adapter includes that of its base.
    """
    folder = Path(resolved)
    if not folder.is_dir():
        return _commit_in_cache(resolved)
    whole, adapters = _layers(resolved)
    if not adapters:
        return _files_fingerprint(folder)
    digest = model_fingerprint(whole)
    for adapter in adapters:
        digest = hashlib.sha256(f"{_files_fingerprint(adapter)}\0{digest}".encode()).hexdigest()
    return digest


def _files_fingerprint(folder: Path) -> str:
    files = sorted(
        path for path in folder.iterdir() if (path.suffix in _DECIDING or path.name in _WORD_LISTS) and path.is_file()
    )
    stats = [file.stat() for file in files]
    return _digest(tuple((str(file), stat.st_size, stat.st_mtime_ns) for file, stat in zip(files, stats, strict=True)))


@lru_cache(maxsize=64)
def _digest(files: tuple[tuple[str, int, int], ...]) -> str:
    """Return the sha256 over names, sizes and contents; the time of the last change is only for the cache."""
    paths = [Path(name) for name, _, _ in files]
    with ThreadPoolExecutor(max_workers=4) as pool:  # hashlib releases the lock: shards are hashed side by side
        contents = list(pool.map(file_sha256, paths))
    digest = hashlib.sha256()
    for path, (_, size, _), content in zip(paths, files, contents, strict=True):
        digest.update(f"{path.name}\0{size}\0{content}\0".encode())
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _commit_in_cache(name: str) -> str:
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415  (takes a while to load)

    found = try_to_load_from_cache(name, CONFIG)
    return Path(found).parent.name if isinstance(found, str) else ""


def _newest_checkpoint(root: Path) -> Path | None:
    """Return the `step-N` with the largest N that holds a model; unfinished ones have another name."""
    steps = [path for path in numbered(root, "step", "", width=1).values() if _holds_model(path)]
    return steps[-1] if steps else None


def _holds_model(folder: Path) -> bool:
    """Whether a folder contains a model, or an adapter of one."""
    return any((folder / name).is_file() for name in (CONFIG, ADAPTER))
