"""In a fork of the agent: run a Python program as an interpreter would that has just been started for it.

A fork of the agent is an interpreter that has started already; `prepared` makes it look fresh, and `end` ends it as
Python does. The sandbox does not contain kgym, so nothing is imported from it.
"""

import _signal  # type: ignore[import-not-found]
import atexit
import gc
import io
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import NoReturn

HERE = os.path.dirname(__file__)


def prepared(words: list[str]) -> "tuple[CodeType, dict[str, object]]":
    """Return the code of a script and its namespace, and reset the interpreter to its state after a start with this
    command line.
    """
    del sys.modules[__name__]  # a program may have its own module of this name
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
        _signal.signal(number, _signal.SIG_IGN)
    for fd, name in enumerate(("stdin", "stdout", "stderr")):  # the agent's streams belong to its own file descriptors
        raw = io.FileIO(fd, "w" if fd else "r", closefd=False)
        raw.name = f"<{name}>"
        buffered = io.BufferedWriter(raw) if fd else io.BufferedReader(raw)
        errors = "backslashreplace" if name == "stderr" else "surrogateescape"
        stream = io.TextIOWrapper(
            buffered, "utf-8", errors, newline="\n" if fd else None, line_buffering=name == "stderr"
        )
        stream.__dict__["mode"] = "w" if fd else "r"
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    path = os.path.realpath(words[1])
    sys.argv, sys.orig_argv, sys.path[0] = words[1:], words, os.path.dirname(path)
    main = type(sys)("__main__")
    main.__dict__.update(__file__=path, __builtins__=sys.modules["builtins"], __annotations__={}, __cached__=None)
    sys.modules["__main__"] = main
    with open(path, "rb") as file:
        return compile(file.read(), path, "exec", dont_inherit=True), main.__dict__


def end(status: int, main: "dict[str, object]", folder: str) -> "NoReturn":
    """End a script as its interpreter would, in the same order, but without finalizing the interpreter, which would
    copy the agent's memory. The script's own modules are those in `folder`.
    """
    threading = sys.modules.get("threading")
    if threading is not None:
        threading._shutdown()
    atexit._run_exitfuncs()
    flushed = _flushed()
    own = [
        module.__dict__
        for module in sys.modules.values()
        if (getattr(module, "__file__", None) or "").startswith(folder)
    ]
    for names in (main, *own):
        for name in sorted(names, key=lambda name: not str(name).startswith("_")):
            names[name] = names[name] if name == "__builtins__" else None
    gc.collect()
    os._exit(status or flushed or _flushed())


def _flushed() -> int:
    status = 0
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not getattr(stream, "closed", False):
                stream.flush()
        except Exception as error:
            if stream is sys.stdout:
                text = f"Exception ignored in: {stream!r}\n{type(error).__name__}: {error}"
                print(text, file=sys.stderr)  # noqa: T201  (as Python)
                status = 120
    return status


def status_of(error: BaseException) -> int:
    """Return the exit status for the exception that ended a script, and print what Python would on standard error."""
    if isinstance(error, SystemExit):
        if error.code is None or isinstance(error.code, int):
            return int(error.code or 0) & 0xFF
        print(error.code, file=sys.stderr)  # noqa: T201  (Python does)
        return 1
    frames = error.__traceback__
    while frames is not None and os.path.dirname(frames.tb_frame.f_code.co_filename) == HERE:  # frames of the agent
        frames = frames.tb_next
    sys.excepthook(type(error), error.with_traceback(frames), frames)
    return 1
