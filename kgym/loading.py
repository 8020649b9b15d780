"""Run code that others wrote: import it from a module or a file, and send what it prints to standard error.

Standard output belongs to the results of a command, so that `kgym ... --json | jq` works.
"""

import hashlib
import importlib
import importlib.util
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

FILES: dict[str, Path] = {}
"""The file of each module that was imported from a path. Another process cannot find these by name."""


# --- modules and files


def import_module(name: str) -> ModuleType:
    """Import a module by its name."""
    module = importlib.import_module(name)
    if getattr(module.__spec__, "_initializing", False):
        # Its own `import kgym` led here before the module was complete, so its hooks are not there yet: run a copy.
        module = _execute(importlib.util.find_spec(name))
    return module


def import_file(name: str, path: Path) -> ModuleType:
    """Import a file as the module `name`, so that the targets of its records can be imported like any other."""
    FILES[name] = path
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    spec = importlib.util.spec_from_file_location(name, path)
    try:
        return _execute(spec, register=True)
    except BaseException:
        sys.modules.pop(name, None)
        raise


def module_name(path: Path) -> str:
    """Return the module name of a file that `-p` names. It differs from the names of installed modules and of files in
    other folders.

    >>> module_name(Path("/home/ada/obs.py"))
    'obs_36d18a1b'
    """
    return f"{re.sub(r'[^0-9a-zA-Z_]', '_', path.stem)}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"


def _execute(spec: ModuleSpec | None, *, register: bool = False) -> ModuleType:
    assert spec is not None  # the source was found before
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    if register:
        sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


# --- what they print

_lock = threading.Lock()
_listeners: list[tuple[int, list[str]]] = []
_stdout: Any = None


class _Detour:
    """Replaces `sys.stdout`: the output of threads inside `prints_to_stderr` goes to standard error, all other output
    where it went before.
    """

    def write(self, text: str) -> int:
        """Write, and keep a copy for the innermost `prints_to_stderr` of this thread."""
        heard = next((heard for thread, heard in reversed(_listeners) if thread == threading.get_ident()), None)
        if heard is None:
            return int(_stdout.write(text))
        heard.append(text)
        return sys.stderr.write(text)

    def writelines(self, lines: Any) -> None:
        """Write each of them."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        inside = any(thread == threading.get_ident() for thread, _ in _listeners)
        return getattr(sys.stderr if inside else _stdout, name)


@contextmanager
def prints_to_stderr() -> Iterator[list[str]]:
    """Send what this thread prints to standard error; the yielded list collects the texts."""
    global _stdout
    heard: list[str] = []
    entry = (threading.get_ident(), heard)
    with _lock:
        if not _listeners:
            _stdout, sys.stdout = sys.stdout, _Detour()
        _listeners.append(entry)
    try:
        yield heard
    finally:
        with _lock:
            _listeners[:] = [other for other in _listeners if other is not entry]
            if not _listeners:
                sys.stdout = _stdout


@contextmanager
def descriptor_to_stderr() -> Iterator[None]:
    """Send what the whole process, C libraries and child processes included, writes to file descriptor 1 to descriptor
    2.
    """
    try:
        kept = os.dup(1)
    except OSError:  # closed
        yield
        return
    try:
        sys.stdout.flush()
        os.dup2(2, 1)
    except (OSError, ValueError):  # standard error is closed, and no better place exists
        pass
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
