"""Files that are whole or not there: written under a temporary name, flushed to the disk and renamed."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from kgym.errors import DataError, KgymError, RunError


def write_atomic(path: Path, data: str | bytes) -> None:
    """Write a file so that a reader, or a crash, finds the old one or the new one whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Flush every file below a folder to the disk, so that a rename of the folder cannot outrun its contents."""
    for file in folder.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


@contextlib.contextmanager
def reading(path: Path, *, remedy: str) -> Iterator[None]:
    """Read a file of a run; raise DataError, with its name and what to do, in the place of what a parser raises about its content.

    An OSError with an errno comes from the file system and goes on as it is: there is no such file, or it may not be read.
    """
    try:
        yield
    except KgymError:
        raise
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:  # of json, the decoder of UTF-8, pyarrow; another shape
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = str(error).strip().split("\n")[0] if isinstance(error, (ValueError, OSError)) else type(error).__name__
        raise DataError(f"{path} is damaged ({reason}); {remedy}") from error


@contextlib.contextmanager
def locked(path: Path, *, what: str, wait: bool = False) -> Iterator[None]:
    """Hold an exclusive lock on `path`, which is made if need be and stays behind, empty.

    The lock belongs to the process and goes with it, also after a kill -9. Raises RunError if another process holds it, unless `wait`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise RunError(f"{what} is in use by another process; wait for it to end, or choose another folder") from None
        yield
