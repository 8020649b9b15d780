"""Import a data set, as `kgym data add` does: find its files, read the problems, and record where they are from.

bring("aime24", ["hub:MathArena/aime_2024_I", "hub:MathArena/aime_2024_II"])   two halves of an examination
bring("math500", [])                                                           from its known place on the hub
bring("mine", ["problems.jsonl"])                                              from a file, or from a folder, which
                                                                               is read like a repository of the hub
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kgym.data.columns import Columns
from kgym.data.hub import card_of, fetched
from kgym.data.known import known_sets
from kgym.data.repository import CARD, Wanted, chosen, parts_of
from kgym.data.sources import MAX_GIB, FileSource
from kgym.errors import ConfigError, DataError

HUB = "hub:"


@dataclass
class _Found:
    """The files of a data set, and the places that they are from."""

    paths: list[Path] = field(default_factory=list)
    places: list[dict[str, Any]] = field(default_factory=list)

    def add(self, place: dict[str, Any], paths: Sequence[Path], names: Sequence[str]) -> None:
        files = [{"name": name, "sha256": _sha256(path)} for name, path in zip(names, paths, strict=True)]
        self.paths += paths
        self.places.append(place | {"files": files})


def bring(
    name: str,
    places: Sequence[str],
    *,
    revision: str | None = None,
    wanted: Wanted | None = None,
    columns: Columns | None = None,
    max_gib: float = MAX_GIB,
) -> FileSource:
    """Return the problems of a data set, with their `provenance`.

    A place is a file, a folder or `hub:OWNER/NAME`; several are joined in order. Without a place, the data set has to
    be a known one. Raises ConfigError for a request that cannot be met, DataError for files that do not exist or cannot
    be read.
    """
    known, wanted = known_sets().get(name), wanted or Wanted()
    if not places:
        if known is None or not known.hub:
            raise ConfigError(
                f"{name!r} is not the name of a known data set ({', '.join(known_sets())}); give its FILE or "
                "hub:OWNER/NAME as well"
            )
        places = [f"{HUB}{repo}" for repo in known.hub]
    _check_settings(places, revision, wanted)

    def choose(names: Collection[str], card: Mapping[str, Any]) -> list[str]:
        return [file for part in chosen(parts_of(names, card), wanted, name, known) for file in part.files]

    found = _Found()
    for place in places:
        if place.startswith(HUB):
            repo = place.removeprefix(HUB)
            got = fetched(repo, revision, choose)
            found.add({"source": place, "revision": got.commit}, got.paths, got.names)
        elif (folder := Path(place).expanduser()).is_dir():
            names = _chosen_in(folder, choose)
            found.add({"source": str(folder), "revision": None}, [folder / name for name in names], names)
        else:
            found.add({"source": str(folder), "revision": None}, [folder], [folder.name])
    source = FileSource(*found.paths, name=name, known=known, columns=columns, max_gib=max_gib)
    if not source.size:
        raise DataError(
            f"{', '.join(places)}: no rows" + (f" of {known.year}" if source.notes and known and known.year else "")
        )
    source.provenance = {
        "sources": found.places,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "kgym_version": version("kgym"),
    }
    if columns is not None and (columns.question or columns.answer):
        source.provenance["columns"] = {key: value for key, value in asdict(columns).items() if value}
    return source


def _check_settings(places: Sequence[str], revision: str | None, wanted: Wanted) -> None:
    """Raise ConfigError for a place without a name, and for a setting that would have no effect."""
    if HUB in places:
        raise ConfigError(f"{HUB} names no repository; give {HUB}OWNER/NAME")
    on_hub = [place.startswith(HUB) for place in places]
    if revision is not None and on_hub != [True]:
        raise ConfigError(
            f"--revision {revision} needs one repository on the hub (hub:OWNER/NAME), not {', '.join(places)}"
        )
    if (
        (wanted.configs or wanted.split)
        and not any(on_hub)
        and not any(Path(place).expanduser().is_dir() for place in places)
    ):
        raise ConfigError(
            f"--config and --split choose within a repository or a folder, and {', '.join(places)} is neither"
        )


def _chosen_in(folder: Path, choose: Any) -> list[str]:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    try:
        return list(choose(names, card_of(folder / CARD) if CARD in names else {}))
    except DataError as error:
        raise DataError(f"{folder}: {error}") from None


def _sha256(path: Path) -> str:
    if not path.is_file():
        raise DataError(f"the file {path} does not exist")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
