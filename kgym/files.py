"""Files that are either complete or missing: written under a temporary name, flushed to the disk and renamed. kgym
never writes through links.
"""

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from kgym.errors import ConfigError, DataError, KgymError, RunError

WRONG_NAMES = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError)


def write_atomic(path: Path, data: str | bytes) -> None:
    """Write a file so that a reader, also after a crash, finds either the complete old file or the complete new one. A
    link of that name is replaced.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)  # of a process that had the same number
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666), "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_names(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_named(path: Path, data: str | bytes) -> None:
    """Write a file that the user named with -o. Raises an error of `unwritable` if it cannot be written."""
    try:
        write_atomic(path, data)
    except OSError as error:
        raise unwritable(path, error, "-o") from error


def unwritable(path: Path, error: OSError, option: str) -> KgymError:
    """Return the error of a file or folder that the user named with `option`: ConfigError if the name is wrong,
    RunError if the disk is.
    """
    kind = ConfigError if isinstance(error, WRONG_NAMES) else RunError
    return kind(f"cannot write {path}: {error.strerror or error}; choose another with {option}")


def open_to_append(path: Path) -> IO[str]:
    """Open a text file to append to it; make it if it does not exist. Raises RunError if it is a link."""
    new = not path.exists()
    file = os.fdopen(_open_own(path, os.O_WRONLY | os.O_APPEND), "a", encoding="utf-8")
    if new:
        sync_names(path.parent)
    return file


def sync_names(folder: Path) -> None:
    """Flush the names in a folder to the disk, so that files made or renamed in it are still there after a power
    cut.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that cannot flush folders
            raise
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Flush every file and name below a folder to the disk, so that its contents are there before the folder is
    renamed.
    """
    for file in folder.rglob("*"):
        if file.is_dir():
            sync_names(file)
        elif file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    sync_names(folder)


@contextlib.contextmanager
def reading(path: Path, *, remedy: str) -> Iterator[None]:
    """Read a file of a run. Errors of a parser about its content become a DataError that names the file and says what
    to do.

    An OSError with an errno comes from the file system and passes unchanged: the file does not exist, or it cannot be
    read.
    """
    try:
        yield
    except KgymError:
        raise
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        OSError,
        RecursionError,
    ) as error:  # json and pyarrow raise these, and code that expects another shape
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = str(error).strip().split("\n")[0] if isinstance(error, (ValueError, OSError)) else type(error).__name__
        if isinstance(error, KeyError) and error.args:
            reason = f"no key {error.args[0]!r}"
        raise DataError(f"{path} is damaged ({reason}); {remedy}") from error


def read_table(path: Path, *, remedy: str) -> dict[str, Any]:
    """Return the table (`{...}`) in a file of JSON. Raises DataError if it is damaged or not a file, OSError if it
    cannot be read.
    """
    if path.exists() and not path.is_file():  # opening a pipe would wait for its writer
        raise DataError(f"{path} is not a file; {remedy}")
    with reading(path, remedy=remedy):
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("not a table of keys")
        return found


class Lock:
    """A lock that this process holds on a file."""

    def __init__(self, path: Path, descriptor: int, what: str) -> None:
        self._path, self._descriptor, self._what = path, descriptor, what

    def check(self) -> None:
        """Raise RunError if the file at the path is no longer the locked one, or does not exist."""
        if self.lost:
            raise RunError(
                f"{self._what} is gone: it was deleted, moved or replaced while it was in use; "
                "if it was moved, name its new place with --run"
            )

    @property
    def lost(self) -> bool:
        """Whether another process could take the same lock, since it would find another file at the path."""
        try:
            there = self._path.lstat()
        except OSError as error:
            return error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)
        held = os.fstat(self._descriptor)
        return (there.st_dev, there.st_ino) != (held.st_dev, held.st_ino)


@contextlib.contextmanager
def locked(path: Path, *, what: str, wait: bool = False) -> Iterator[Lock]:
    """Hold an exclusive lock on `path`. The file is made if it does not exist, and stays, empty.

    The lock belongs to the process and ends with it, also after a kill -9. Raises RunError if another process holds it
    (unless `wait`), and instead of an error about files if the locked file is gone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _open_own(path, os.O_RDWR)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise RunError(
                f"{what} is in use by another process; wait for it to end, or choose another folder"
            ) from None
        lock = Lock(path, descriptor, what)
        try:
            yield lock
        except (OSError, RunError):
            lock.check()
            raise
    finally:
        os.close(descriptor)


def _open_own(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise RunError(f"{path} is a link, and kgym does not write through links; remove it") from error
        raise
