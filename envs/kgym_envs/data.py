"""Environments made of data sets, without code: one part of the problems to train on and one to validate on.

    kgym data add mine.jsonl
    kgym train --env data --set env.dataset=mine
    kgym eval --bench data:validation --set env.dataset=mine env.validation_frac=1      the whole of it
    kgym train --env mine.jsonl                 a file that was not added, or a folder: mine/
    kgym train --env hf:openai/gsm8k            a data set of the Hugging Face hub

A hash of the question decides which part a problem belongs to, so adding problems to a file never moves a problem to
the other part. A folder or repository that has splits keeps them: its `train`, and its `validation` or `test`.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from pydantic import Field

from kgym.data.columns import Columns
from kgym.data.repository import Wanted
from kgym.envs.generated import SPLITS
from kgym.envs.task import Task, TaskOptions
from kgym.errors import ConfigError, DataError, MissingData, UnknownName
from kgym.options import Options
from kgym.types import Chat, Message, Problem, ProblemSource

if TYPE_CHECKING:
    from kgym.data.sources import ListedSource

HUB = "hub:"
KEYS = {
    "--question-column": "env.question_column",
    "--answer-column": "env.answer_column",
    "--config": "env.config",
    "--split": "env.data_split",
    "--revision": "env.revision",
    "--max-gib": "env.max_gib",
    "; nothing was added": "",
}
"""The options of `kgym data add` in messages, with the keys that correspond to them here."""
HELD_OUT = ("validation", "valid", "dev", "test")
"""Splits of a folder or repository that are for validation; the first that it has is used."""


class PartOptions(TaskOptions):
    """How much of a data set is for validation."""

    validation_frac: float = Field(0.2, ge=0, le=1)
    """Share of the problems that are for validation and not for training; 1 is all of them."""


class DataOptions(PartOptions):
    """Which data set, and how much of it is for validation."""

    dataset: str = ""
    """Name of the data set, as `kgym data list` prints it."""


class PlaceOptions(PartOptions):
    """How files that were not added are read, and how much of them is for validation."""

    question_column: str | None = None
    """Column of the question, by default the first known one, such as `question` or `problem`. A dot names a nested
    key.
    """
    answer_column: str | None = None
    """Column of the gold answer, by default the first known one, such as `answer`, or the last box of a solution."""
    config: tuple[str, ...] = ()
    """Configurations of a repository or folder; several are joined."""
    data_split: str | None = None
    """Split of a repository or folder from which both parts are taken. By default its own splits are used, if it has
    both.
    """
    revision: str | None = None
    """Commit, branch or tag of a repository on the hub."""
    max_gib: float = Field(1.0, gt=0)
    """Files with more text than this, unpacked, are refused."""


class Data:
    """The user's own problems; follows `kgym.envs.task.Task`."""

    Options = DataOptions
    splits = SPLITS
    verifier = "math"
    max_tokens = 1024

    def __init__(self, options: DataOptions) -> None:
        self.options = options

    def source(self, split: str) -> ProblemSource:
        """Return the part of the data set for a split.

        Raises MissingData if no data set is named or it has not been added, DataError if the part is empty, UnknownName
        for a split other than `train` and `validation`.
        """
        from kgym.data.sources import data_source  # noqa: PLC0415  (reads data files)
        from kgym.data.splitting import part_of  # noqa: PLC0415

        name = self.options.dataset
        if split not in SPLITS:
            raise UnknownName.near("split", split, SPLITS)
        if not name:
            raise MissingData(
                "the environment 'data' needs env.dataset=NAME; kgym data list prints the names, and kgym data add "
                "FILE adds one"
            )
        return part_of(data_source(name), name, held_out=split == "validation", share=self.options.validation_frac)

    def prompt(self, problem: Problem) -> Chat:
        """Ask the question and say how to answer."""
        return _ask(problem)


def _ask(problem: Problem) -> Chat:
    return (Message("user", f"{problem.question}\nAnswer in \\boxed{{}}."),)


class Placed:
    """Problems of files that were not added; follows `kgym.envs.task.Task`. A subclass for each place has its name."""

    Options = PlaceOptions
    place: ClassVar[str]
    """A file, a folder or `hub:OWNER/NAME`."""
    label: ClassVar[str]
    """Beginning of the ids of problems."""
    splits = SPLITS
    verifier = Data.verifier
    max_tokens = Data.max_tokens

    def __init__(self, options: PlaceOptions) -> None:
        self.options = options

    def source(self, split: str) -> ProblemSource:
        """Return the part of the files for a split.

        Raises DataError for files that do not exist or cannot be read, or if the part is empty, UnknownName for a split
        other than `train` and `validation`.
        """
        from kgym.data.splitting import Part, part_of  # noqa: PLC0415  (reads data files)

        if split not in SPLITS:
            raise UnknownName.near("split", split, SPLITS)
        held_out = split == "validation"
        if self.options.data_split is None and (own := self._own_splits()) is not None:
            whole = own[held_out]
            return Part(whole.problems, whole.fingerprint)
        return part_of(
            self._read(self.options.data_split), self.place, held_out=held_out, share=self.options.validation_frac
        )

    def _own_splits(self) -> "tuple[ListedSource, ListedSource] | None":
        """Return the training and the held-out split of a folder or repository; None if it does not have both."""
        if not self.place.startswith(HUB) and not Path(self.place).is_dir():
            return None
        found: list[ListedSource] = []
        for names in (("train",), HELD_OUT):
            for name in names:
                try:
                    found.append(self._read(name))
                    break
                except UnknownName as error:
                    if not str(error).startswith("no split named"):
                        raise
            else:
                return None
        return found[0], found[1]

    def _read(self, split: str | None) -> "ListedSource":
        options, path = self.options, Path(self.place)
        columns = Columns(options.question_column, options.answer_column)
        on_disk = [path, *(path.rglob("*") if path.is_dir() else ())]
        stamp = tuple((str(file), file.stat().st_mtime_ns) for file in sorted(on_disk) if file.is_file())
        try:
            return _read(
                _Asked(
                    self.label,
                    self.place,
                    columns,
                    Wanted(options.config, split),
                    options.revision,
                    options.max_gib,
                    stamp,
                )
            )
        except (ConfigError, DataError) as error:
            text = re.sub("|".join(map(re.escape, KEYS)), lambda found: KEYS[found[0]], str(error))
            raise type(error)(text) from None

    def prompt(self, problem: Problem) -> Chat:
        """Ask the question and say how to answer."""
        return _ask(problem)


class _Asked(NamedTuple):
    """Files to read, with the options for reading them."""

    label: str
    place: str
    columns: Columns
    wanted: Wanted
    revision: str | None
    max_gib: float
    stamp: tuple[tuple[str, int], ...]
    """The files and when they were changed; after a change they are read again."""


@lru_cache(maxsize=8)
def _read(asked: _Asked) -> "ListedSource":
    from kgym.data.importing import bring  # noqa: PLC0415  (reads data files)

    return bring(
        asked.label,
        [asked.place],
        revision=asked.revision,
        wanted=asked.wanted,
        columns=asked.columns,
        max_gib=asked.max_gib,
    )


class Files:
    """The family of files and folders; follows `kgym.envs.task.EnvFamily`."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def members(self) -> Sequence[str]:
        """Return (): files cannot be listed."""
        return ()

    def task(self, member: str) -> type[Task]:
        """Return the environment of a file or a folder. Raises MissingData if it does not exist."""
        path = Path(member).expanduser()
        if not path.exists():
            raise MissingData(
                f"the file or folder {member} does not exist; kgym data add --help says how to add a data set under a "
                "name"
            )
        return type(
            "File", (Placed,), {"place": str(path), "label": f"file/{path.stem}", "__doc__": f"Problems of {path}."}
        )


class HubSets:
    """The family of data sets on the Hugging Face hub; follows `kgym.envs.task.EnvFamily`."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def members(self) -> Sequence[str]:
        """Return (): the hub cannot be listed."""
        return ()

    def task(self, member: str) -> type[Task]:
        """Return the environment of a repository. Raises ConfigError for a name that is not OWNER/NAME."""
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", member, flags=re.ASCII):
            raise ConfigError(f"environment 'hf:{member}': name a data set of the hub as hf:OWNER/NAME")
        return type(
            "HubSet",
            (Placed,),
            {"place": f"{HUB}{member}", "label": f"hf/{member}", "__doc__": f"Problems of {member}."},
        )
