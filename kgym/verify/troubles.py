"""What is said about a verifier that misbehaves: each kind of trouble once, with the names that its author needs.

    verifier 'hello' of acme-math 1.2 raised ValueError: no idea (line 12); such answers are unscored:error:ValueError

Tracebacks go to the logger `kgym.tracebacks` at the level DEBUG, every one of them; `--debug` and `-vv` show them.
"""

import logging
import threading

from kgym.types import VerifyItem
from kgym.verify.checked import Trouble

log = logging.getLogger(__name__)
tracebacks = logging.getLogger("kgym.tracebacks")


class Troubles:
    """Speaks for one verifier; `who` names it and the distribution that it is from."""

    def __init__(self, who: str) -> None:
        self.who = who
        self._said: set[str] = set()
        self._lock = threading.Lock()

    def note(self, trouble: Trouble, item: VerifyItem) -> None:
        """Say it, if it is the first of its kind."""
        if self._first(trouble.reason):
            more = (
                "; --debug shows the traceback"
                if trouble.traceback and not tracebacks.isEnabledFor(logging.DEBUG)
                else ""
            )
            log.warning(
                "%s %s (%s); such answers are unscored:%s%s", self.who, trouble.text, _name(item), trouble.reason, more
            )
        if trouble.traceback:
            tracebacks.debug("%s, %s:\n%s", self.who, _name(item), trouble.traceback)

    def once(self, kind: str, text: str) -> None:
        """Say that the verifier `text`, unless something of this kind was said before."""
        if self._first(kind):
            log.warning("%s %s", self.who, text)

    def say(self, text: str) -> None:
        """Say that the verifier `text`."""
        log.warning("%s: %s", self.who, text)

    def note_fast(self, error: BaseException, item: VerifyItem) -> None:
        """Say that its `fast` failed; a worker judges the item instead."""
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
