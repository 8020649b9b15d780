"""Warnings about a verifier that fails: each kind of error is logged once, with the names that its author needs.

    verifier 'hello' of acme-math 1.2 raised ValueError: no idea (line 12); such completions are
    unscored:error:ValueError

Every traceback goes to the logger `kgym.tracebacks` at the level DEBUG; `--debug` and `-vv` show them.
"""

import logging
import threading

from kgym.types import VerifyItem
from kgym.verify.checked import Trouble

log = logging.getLogger(__name__)
tracebacks = logging.getLogger("kgym.tracebacks")


class Troubles:
    """The warnings of one verifier; `who` names it and its distribution."""

    def __init__(self, who: str) -> None:
        self.who = who
        self._said: set[str] = set()
        self._lock = threading.Lock()

    def note(self, trouble: Trouble, item: VerifyItem) -> None:
        """Log an error, if it is the first of its kind."""
        if self._first(trouble.reason):
            more = (
                "; --debug shows the traceback"
                if trouble.traceback and not tracebacks.isEnabledFor(logging.DEBUG)
                else ""
            )
            what = f"{self.who} {trouble.text} ({_name(item)})"
            log.warning("%s; such completions are unscored:%s%s", what, trouble.reason, more)
        if trouble.traceback:
            tracebacks.debug("%s, %s:\n%s", self.who, _name(item), trouble.traceback)

    def once(self, kind: str, text: str) -> None:
        """Log a sentence about the verifier, if it is the first of its kind."""
        if self._first(kind):
            log.warning("%s %s", self.who, text)

    def say(self, text: str) -> None:
        """Log a message about the verifier."""
        log.warning("%s: %s", self.who, text)

    def note_fast(self, error: BaseException, item: VerifyItem) -> None:
        """Log that its `fast` failed; a worker judges the item instead."""
        if self._first(f"fast:{type(error).__name__}"):
            log.warning(
                "%s: fast() failed with %s: %s (%s); a worker judges instead",
                self.who,
                type(error).__name__,
                error,
                _name(item),
            )
        tracebacks.debug("%s, fast(), %s", self.who, _name(item), exc_info=error)

    def _first(self, kind: str) -> bool:
        with self._lock:
            first = kind not in self._said
            self._said.add(kind)
        return first


def _name(item: VerifyItem) -> str:
    return f"problem {item.problem_id}" if item.problem_id else f"gold answer {item.gold[:40]!r}"
