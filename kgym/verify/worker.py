"""One worker process, as seen by the thread that looks after it.

    starting -> idle -> judging -> idle ... -> ended

`judge` returns None if the worker is idle again, or an `End` if it has ended.
"""

import contextlib
import logging
import signal
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from kgym.errors import VerifierError
from kgym.limits import PoolLimits
from kgym.types import Verdict, VerifyItem
from kgym.verify.checked import Trouble
from kgym.verify.frames import FrameTooLong, encoded, receive_frame
from kgym.verify.server import STARTUP_S, ForkServer, NoWorker, ServerLost, channel_pair, close_quietly
from kgym.verify.zygote import LONGEST_VERDICT

log = logging.getLogger(__name__)

Put = Callable[[Verdict, Trouble | None], bool]
"""Takes the verdict on the next item; False if the others are not needed any more."""
_BYTES_PER_S = 10e6
"""A worker reads a batch faster than this, even on a busy machine."""


class End(NamedTuple):
    """Why a worker has ended."""

    reason: str
    """As in `unscored:<reason>`; "" if no item is to blame: the worker was replaced in time, or the caller has left."""
    begun: bool = True
    """Whether the worker may have begun to judge the next item; if not, that item is not to blame."""


class Worker:
    """A worker that is ready to judge."""

    def __init__(self, server: ForkServer, limits: PoolLimits, who: str) -> None:
        """Fork it, and wait until the verifier is built; `who` is the verifier's name.

        Raises VerifierError if the verifier cannot be built, and NoWorker if no worker can be started now.
        """
        self._server = server
        self._limits = limits
        self._judged = 0
        self._ended = False
        self._channel, theirs = channel_pair()
        try:
            with theirs:
                self._pid = server.fork(theirs)
            hello = self._hello()
        except BaseException:
            close_quietly(self._channel)
            raise
        if hello.get("kind") != "ready":
            self.dismiss()
            raise VerifierError(f"{who} cannot be built: {hello.get('error')}")

    def _hello(self) -> dict[str, Any]:
        try:
            hello: dict[str, Any] = receive_frame(self._channel, STARTUP_S, LONGEST_VERDICT)
        except (EOFError, OSError, ValueError) as error:
            code = self._end()
            raise NoWorker(f"a worker did not start ({type(error).__name__}, exit code {code})") from error
        return hello

    def judge(self, items: Sequence[VerifyItem], put: Put) -> End | None:
        """Judge items, and `put` each verdict. If it returns an End, the worker has ended, and the items without a
        verdict still have to be judged. Raises ServerLost if the fork server has ended, and this worker with it.
        """
        try:
            batch = encoded([(item.gold, item.response, item.question, item.problem_id, item.turns) for item in items])
        except FrameTooLong:
            return self._gone("memory", begun=False)
        try:
            # a worker that does not read was stopped; the limit of this batch does not depend on the last verdict's
            # deadline
            self._channel.settimeout(self._limits.deadline_s + len(batch) / _BYTES_PER_S)
            self._channel.sendall(batch)
        except TimeoutError:
            return self._gone("timeout", begun=False)
        except OSError:
            return self._gone(self._last_words(), begun=False)
        for left in range(len(items) - 1, -1, -1):
            end, wanted = self._receive(put)
            if end is not None:
                return end
            if left and not wanted:
                return self._gone("")
        return self._gone("") if self._judged >= self._limits.recycle_after else None

    def _receive(self, put: Put) -> tuple[End | None, bool]:
        """Take one verdict. Return why the worker has ended, if it has, and whether the next verdict is needed."""
        try:
            reply = receive_frame(self._channel, self._limits.deadline_s, LONGEST_VERDICT)
            if reply["kind"] == "memory":
                return self._gone("memory", begun=False), False
            verdict = Verdict(**reply["verdict"])
            trouble = reply["trouble"] and Trouble(*reply["trouble"])
        except TimeoutError:
            return self._gone("timeout"), False
        except (EOFError, OSError):
            return self._gone(None), False
        except (ValueError, TypeError, KeyError):  # something other than the worker wrote into its channel
            return self._gone("crash"), False
        self._judged += 1
        if verdict.reason == "memory" and not verdict.scored:
            put(verdict, trouble)
            return self._gone(""), False  # the state of its heap is unknown
        return None, put(verdict, trouble)

    def _last_words(self) -> str | None:
        """Return why it ended while a batch was being sent, if it has reported it."""
        try:
            return "memory" if receive_frame(self._channel, 1.0, LONGEST_VERDICT)["kind"] == "memory" else None
        except (EOFError, OSError, ValueError, TypeError, KeyError):
            return None

    def dismiss(self) -> None:
        """End it."""
        with contextlib.suppress(ServerLost):
            self._end()

    def _gone(self, reason: str | None, *, begun: bool = True) -> End:
        """End the worker. Without a reason its exit code is the reason."""
        code = self._end()
        if reason is None:
            log.info("a worker ended with exit code %s", code)
            reason = {-signal.SIGXCPU: "cpu", -signal.SIGKILL: "killed", None: "killed"}.get(code, "crash")
        return End(reason, begun)

    def _end(self) -> int | None:
        close_quietly(self._channel)
        if self._ended:
            return None
        self._ended = True
        return self._server.end(self._pid)
