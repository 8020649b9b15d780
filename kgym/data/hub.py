"""Data sets from the hub: only the card and the chosen files are fetched, at one revision.

    fetched("HuggingFaceH4/MATH-500", revision=None, choose=...).paths

Files are kept in the cache of huggingface_hub, whose settings also name tokens and mirrors (`HF_TOKEN`, `HF_ENDPOINT`).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kgym.data.repository import CARD
from kgym.errors import ConfigError, DataError

Choose = Callable[[Collection[str], Mapping[str, Any]], Sequence[str]]
"""Takes the names of all files and the metadata of the card, and returns the names to fetch."""


@dataclass(frozen=True)
class Fetched:
    """Files of a repository at one commit."""

    paths: list[Path]
    names: list[str]
    commit: str


def fetched(repo: str, revision: str | None, choose: Choose) -> Fetched:
    """Fetch the files that `choose` names; offline (`HF_HUB_OFFLINE`), take them from the cache.

    Raises DataError, with what to do instead, for any failure.
    """
    from huggingface_hub import HfApi, constants  # noqa: PLC0415  (heavy)
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError  # noqa: PLC0415

    if constants.HF_HUB_OFFLINE:
        return _cached(repo, revision, choose)
    api = HfApi(library_name="kgym")
    where = f"{repo} on the hub" + (f" at {revision}" if revision else "")
    try:
        info = api.dataset_info(repo, revision=revision)
        commit = str(info.sha)
        listed = [sibling.rfilename for sibling in info.siblings or ()]
        card = (
            card_of(Path(api.hf_hub_download(repo, CARD, repo_type="dataset", revision=commit)))
            if CARD in listed
            else {}
        )
        names = choose(listed, card)
        paths = [Path(api.hf_hub_download(repo, name, repo_type="dataset", revision=commit)) for name in names]
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
    except ConfigError:  # a configuration or split that does not exist
        raise
    except GatedRepoError:
        raise DataError(
            f"{where} is gated: accept its terms on its hub page, then run hf auth login or set HF_TOKEN"
        ) from None
    except RevisionNotFoundError:
        raise DataError(f"{where}: the revision does not exist") from None
    except RepositoryNotFoundError:
        raise DataError(
            f"{where}: the data set does not exist, or it is private and needs a token (HF_TOKEN)"
        ) from None
    except Exception as error:  # each version of the client raises other exceptions without a network
        raise DataError(
            f"cannot get {where}: {_first_line(error)}; get it elsewhere and name its file or folder instead"
        ) from None
    return Fetched(paths, list(names), commit)


def _cached(repo: str, revision: str | None, choose: Choose) -> Fetched:
    """Return the files from the cache. Raises DataError if the repository or some of the files are not there."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415  (heavy)
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError  # noqa: PLC0415

    remedy = f"unset HF_HUB_OFFLINE, or fetch it where there is a network: hf download --repo-type dataset {repo}"
    try:
        folder = Path(snapshot_download(repo, repo_type="dataset", revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, FileNotFoundError):
        at = f" at {revision}" if revision else ""
        raise DataError(f"{repo}{at} is not in the cache of the hub, and HF_HUB_OFFLINE is set; {remedy}") from None
    listed = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    try:
        names = choose(listed, card_of(folder / CARD) if CARD in listed else {})
    except DataError as error:
        raise DataError(f"{repo} in the cache of the hub: {error}; the cache may be incomplete: {remedy}") from None
    return Fetched([folder / name for name in names], list(names), folder.name)


def card_of(readme: Path) -> dict[str, Any]:
    """Return the metadata at the top of a card, {} if it has none. Raises DataError if it is not YAML."""
    from huggingface_hub import metadata_load  # noqa: PLC0415  (heavy)
    from yaml import YAMLError  # noqa: PLC0415

    try:
        card = metadata_load(readme)
    except (YAMLError, ValueError, RecursionError) as error:
        raise DataError(f"{readme.name}: its metadata cannot be read: {_first_line(error)}") from None
    return card if isinstance(card, dict) else {}


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip()}".splitlines()[0].rstrip(": ")
