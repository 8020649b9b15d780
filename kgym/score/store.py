"""The folder of an evaluation: every completion, stored soon after it is judged, and a manifest of what made them.

runs/eval-NAME/  manifest.json  samples/part-00000.parquet ...  usage.json  results.json

The same command resumes where it stopped. `manifest["request"]` contains what has to be the same then.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from kgym.errors import ConfigError, RunError
from kgym.files import locked, read_table, reading, write_atomic
from kgym.folders import numbered, own_folders, remove_leftovers
from kgym.options import conform
from kgym.runs.answers import read_answers
from kgym.runs.episodes import write_table
from kgym.runs.manifest import KIND, read_manifest
from kgym.score.comparability import changes
from kgym.score.playing import added
from kgym.score.results import COLUMNS, EvalResult, counted_score

if TYPE_CHECKING:
    import pyarrow as pa
    from pandas import DataFrame


USAGE = "usage.json"
"""What engines have counted: {"requests": 5012, "failed_429": 12, ...}."""


class EvalFolder:
    """An evaluation on disk; a `kgym.score.harness.Store` while it is open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.samples = path / "samples"
        self._counted: dict[str, int] = {}
        """What engines had counted before this process."""

    def check(self, request: Mapping[str, Any]) -> None:
        """Raise ConfigError if the folder contains anything except the beginning of this very evaluation."""
        try:
            manifest = self.manifest()
        except NotADirectoryError:
            raise ConfigError(
                f"{self.path} cannot be a run folder: it, or one of its parents, is a file; choose another with --run"
            ) from None
        except FileNotFoundError:
            strange = (
                child for child in self._children() if child.name != "samples" and not child.name.startswith(".")
            )
            if any(strange) or self._parts():  # completions of an unknown evaluation
                raise ConfigError(
                    f"{self.path} is not empty and contains no evaluation; choose another folder with --run"
                ) from None
            return
        if manifest.get("kind") != KIND:
            raise ConfigError(f"{self.path} contains a training run; choose another folder with --run")
        differing = changes(manifest["request"], json.loads(json.dumps(request)))
        if differing:
            raise ConfigError(
                f"{self.path} contains the completions of another evaluation: {'; '.join(differing.values())}; choose "
                "another folder with --run, or use the earlier settings"
            )

    @contextlib.contextmanager
    def opened(self, request: Mapping[str, Any], **facts: Any) -> Iterator[None]:
        """Make the folder, or open an existing one, and lock it for this process.

        Raises ConfigError if it contains something else, RunError if another process holds it or it cannot be written.
        """
        with self._writing():
            own_folders(self.samples)
        with contextlib.ExitStack() as held:
            with self._writing():
                held.enter_context(locked(self.path / ".lock", what=f"the evaluation in {self.path}"))
            self.check(request)
            with self._writing():
                if not (self.path / "manifest.json").exists():
                    manifest = {"kind": KIND, "request": dict(request)} | facts
                    write_atomic(self.path / "manifest.json", json.dumps(manifest, indent=2) + "\n")
                remove_leftovers([self.path, self.samples])
            self._counted = self.usage()
            yield

    def manifest(self) -> dict[str, Any]:
        """Return the manifest. Raises FileNotFoundError if there is none, DataError if it is damaged."""
        return read_manifest(self.path)

    def add(self, answers: "pa.Table") -> None:
        """Keep completions that have ended."""
        with self._writing():
            write_table(self.samples / f"part-{max(self._parts(), default=-1) + 1:05d}.parquet", answers)

    def count(self, usage: Mapping[str, int]) -> None:
        """Keep what the engine of this process has counted, added to what those before it had counted."""
        if usage:
            with self._writing():
                write_atomic(self.path / USAGE, json.dumps(added(self._counted, usage), indent=2) + "\n")

    def usage(self) -> dict[str, int]:
        """Return what engines have counted for these completions, over all processes; {} if they did not count.

        Raises DataError if the file is damaged.
        """
        path = self.path / USAGE
        if not path.exists():
            return {}
        with reading(path, remedy="remove it; only its counts are lost"):
            return {str(name): int(n) for name, n in json.loads(path.read_text(encoding="utf-8")).items()}

    def frame(self) -> "DataFrame | None":
        """Return the completions kept so far, without their texts."""
        parts = list(self._parts().values())
        if not parts:
            return None
        return read_answers(
            parts, COLUMNS, remedy="remove it, and the same command plays its completions again"
        ).to_pandas()

    def write_result(self, result: EvalResult, about: Mapping[str, Any]) -> str:
        """Write `results.json` and return its date: today (UTC), or the first date if the same result is there
        already.
        """
        path = self.path / "results.json"
        old = _read_results(path) if path.exists() else {}
        same = all(old.get(key) == value for key, value in json.loads(json.dumps(result.to_json())).items())
        date = str(old["date"]) if same else datetime.now(UTC).date().isoformat()
        with self._writing():
            write_atomic(path, json.dumps(result.to_json() | {"date": date} | dict(about), indent=2) + "\n")
        return date

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunError(
                f"cannot write to {self.path}: {error.strerror}; the completions so far are kept, and the same command "
                "resumes from there"
            ) from error

    def _children(self) -> list[Path]:
        return list(self.path.iterdir()) if self.path.is_dir() else []

    def _parts(self) -> dict[int, Path]:
        return numbered(self.samples, "part", ".parquet")


class StoredScores:
    """Mean score of each problem of a finished evaluation, over all of its completions or over the first ones."""

    def __init__(self, path: Path, result: EvalResult) -> None:
        self.path, self.result = path, result
        self._known: dict[int, dict[str, float] | None] = {result.samples: result.scores}

    def __call__(self, samples: int) -> dict[str, float] | None:
        """Return the scores over the first `samples` completions of each problem; None if the completions are no longer
        stored.

        Raises DataError if they are damaged.
        """
        if samples not in self._known:
            self._known[samples] = self._of_first(samples)
        return self._known[samples]

    def _of_first(self, samples: int) -> dict[str, float] | None:
        frame = EvalFolder(self.path).frame()
        if frame is None or samples > self.result.samples:
            return None
        frame = frame[frame["attempt"] < samples]
        counted = counted_score(frame, str(self.result.facts["truncated"]))
        means = counted.groupby(frame["problem_id"], sort=False).mean().dropna()
        return {str(name): float(value) for name, value in means.items()}


def read_results(path: Path) -> dict[str, Any]:
    """Return the `results.json` of an evaluation.

    Raises ConfigError if `path` is not the folder of a finished one, DataError if the file is damaged or another
    program's.
    """
    try:
        return _read_results(path / "results.json")
    except (FileNotFoundError, NotADirectoryError):
        option = "--model" if (path / "checkpoints").exists() else "--run"  # of a training, or of nothing yet
        raise ConfigError(
            f"{path} contains no finished evaluation: results.json is missing; make one with kgym eval {option} {path}"
        ) from None


class _Facts(BaseModel):
    """What a board shows of the facts."""

    env_id: str
    split: str
    temperature: float
    top_p: float
    top_k: int
    max_tokens: int
    truncated: str
    verifier: str
    data_sha256: str


class _Results(BaseModel):
    """What a `results.json` has in addition to the figures of `EvalResult`."""

    date: str
    model: str
    benchmark: str
    engine: str
    kgym_version: str
    seed: int
    run: str
    note: str
    facts: _Facts


def _read_results(path: Path) -> dict[str, Any]:
    remedy = (
        f"remove it, and the command of kgym eval that made {path.parent} writes it again from the stored completions"
    )
    results = read_table(path, remedy=remedy)
    with reading(path, remedy=remedy):
        conform(results, _Results)
        EvalResult.from_json(results)
    return results
