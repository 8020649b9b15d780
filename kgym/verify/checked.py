"""Call a verifier and check what it returns: every item gets one valid verdict, for any behaviour of the verifier.

The same function judges in a worker and in the caller's process, so that errors of a verifier have the same
consequences in both.

    unscored:error:NAME     the verifier raised NAME
    unscored:bad_verdict    it returned something other than one Verdict for each item
    unscored:memory         it raised MemoryError
"""

import contextlib
import math
import reprlib
import traceback
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

from kgym.neutral import encodable
from kgym.types import Verdict, Verifier, VerifyItem

_TEXT = 500
_TRACEBACK = 20_000


class Trouble(NamedTuple):
    """An error inside a verifier, for its author."""

    reason: str
    """As in the verdict: `error:ValueError`, `bad_verdict`."""
    text: str
    """What happened, in one line: `raised ValueError: no idea`."""
    traceback: str = ""


Judged = tuple[Verdict, Trouble | None]


class _BadVerdict(Exception):
    pass


def judge(verifier: Verifier, items: Sequence[VerifyItem]) -> list[Judged]:
    """Return a valid verdict for each item, with the error if there was one. If a batch fails as a whole, each item is
    judged alone.

    Of the verifier's exceptions only KeyboardInterrupt passes.
    """
    try:
        returned = _listed(verifier.verify_many(items), len(items))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # third-party code; a verifier that calls sys.exit must not end the run
        if len(items) == 1:
            return [_failed(error)]
    else:
        return [_checked(value) for value in returned]
    return [judged for item in items for judged in judge(verifier, [item])]


def _listed(returned: Any, n: int) -> list[Any]:
    try:
        values = list(islice(iter(returned), n + 1))
    except TypeError:
        if hasattr(returned, "__iter__"):  # a generator that raises TypeError
            raise
        raise _BadVerdict(f"returned {reprlib.repr(returned)} instead of a list of Verdicts") from None
    if len(values) != n:
        count = f"more than {n}" if len(values) > n else len(values)
        raise _BadVerdict(f"returned {count} verdicts for {n} item{'s' * (n != 1)}")
    return values


def _checked(value: Any) -> Judged:
    try:
        return sound(value), None
    except _BadVerdict as error:
        return _failed(error)


def sound(value: Any) -> Verdict:
    """Return a verdict whose fields have the declared types, and whose texts can be stored: half of a surrogate pair
    becomes U+FFFD. Raises an error that says what is wrong.
    """
    if not isinstance(value, Verdict):
        raise _BadVerdict(f"returned a {type(value).__name__} ({reprlib.repr(value)}) instead of a Verdict")
    for name, optional in (("status", False), ("reason", False), ("answer", True), ("normal", True), ("trace", False)):
        field = getattr(value, name)
        if not (isinstance(field, str) or (optional and field is None)):
            raise _BadVerdict(f"returned a Verdict whose {name} is {reprlib.repr(field)}, not a text")
        if field is not None and (stored := encodable(field)) != field:
            value = replace(value, **{name: stored})  # type: ignore[arg-type]  # only fields that are texts
    if value.partial is None or type(value.partial) is float:
        return value
    with contextlib.suppress(TypeError, ValueError):
        if math.isfinite(partial := float(value.partial)):  # such as a NumPy number
            return replace(value, partial=partial)
    raise _BadVerdict(f"returned a Verdict whose partial is {reprlib.repr(value.partial)}, not a number")


def _failed(error: BaseException) -> Judged:
    if isinstance(error, MemoryError):
        return Verdict("unscored", "memory"), None
    if isinstance(error, _BadVerdict):
        trouble = Trouble("bad_verdict", str(error)[:_TEXT])
    else:
        name = type(error).__name__
        trouble = Trouble(f"error:{name}", f"raised {name}: {_message(error)}", _traceback(error))
    return Verdict("unscored", trouble.reason), trouble


def _message(error: BaseException) -> str:
    try:
        return " ".join(str(error).split())[:_TEXT] or "without a message"
    except Exception:  # its __str__ is third-party code too
        return "without a message"


def _traceback(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))[-_TRACEBACK:]
    except Exception:
        return ""
