"""The thread that looks after one worker: it takes jobs from the queue, sends them to the worker, and replaces a worker
that has ended.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kgym.errors import VerifierError
from kgym.types import Verdict
from kgym.verify.call import HOPELESS, NO_WORKER, Call
from kgym.verify.checked import Trouble
from kgym.verify.server import NoWorker, ServerLost
from kgym.verify.worker import End, Worker

if TYPE_CHECKING:
    from kgym.verify.crew import Crew

_TRIES = 3
_PAUSE_S = 0.1
"""Seconds between the first and the second try to start a worker; the next pause is three times as long."""


@dataclass
class Job:
    """Items of a call that are given to one worker at a time."""

    call: Call
    todo: list[int]
    """Places in the call of the items that have no verdict yet."""
    tried: Counter[int] = field(default_factory=Counter)
    """How often the worker of an item was lost without the item's fault."""


class Keeper:
    """Looks after one worker of a crew."""

    def __init__(self, crew: "Crew") -> None:
        self._crew = crew
        self._worker: Worker | None = None

    def serve(self) -> None:
        """Work until the crew is dismissed, or until this keeper cannot start a worker while others have one."""
        crew = self._crew
        while (job := crew.jobs.get()) is not None:
            try:
                self._work(job)
            except VerifierError as error:
                self._drop()
                job.call.fail(error)
            except NoWorker as error:
                if crew.has_workers:  # of other keepers, which work until the queue is empty
                    crew.jobs.put(job)
                    return
                crew.troubles.once(NO_WORKER, f"has no worker: {error}; such completions are unscored:{NO_WORKER}")
                self._end_all(job, NO_WORKER)
            except Exception as error:  # MemoryError, or our own bug: it costs these items, and not the keeper
                self._drop()
                crew.troubles.once(
                    f"pool:{type(error).__name__}", f"could not be asked: {type(error).__name__}: {error}"
                )
                self._end_all(job, "memory" if isinstance(error, MemoryError) else "crash")
        self._drop()
        if not crew.has_workers:
            crew.close_server()

    def _work(self, job: Job) -> None:
        """Judge a job. Raises VerifierError if the verifier cannot be imported or built, or the pool is closed, and
        NoWorker.
        """
        while job.todo and not job.call.over:
            if job.tried[job.todo[0]]:
                # one at a time in the whole crew, in a fresh worker: an item that killed the fork server for others
                # then does so alone
                with self._crew.suspects:
                    self._drop()
                    self._judge(job, job.todo[:1])
            else:
                self._judge(job, job.todo[:1] if job.tried else job.todo)

    def _judge(self, job: Job, places: list[int]) -> None:
        worker = self._worker or self._hire()
        try:
            end = worker.judge([job.call.items[place] for place in places], lambda *judged: self._put(job, *judged))
        except ServerLost:
            end = End("killed", begun=False)
        if end is not None:
            self._drop()
            if end.reason and job.todo:
                self._blame(job, end)

    def _put(self, job: Job, verdict: Verdict, trouble: Trouble | None = None) -> bool:
        """Take the verdict on the next item of a job; return whether the other items are still needed."""
        place = job.todo.pop(0)
        if trouble is not None:
            self._crew.troubles.note(trouble, job.call.items[place])
        if job.call.put(place, verdict):
            why = (
                f"took longer than {self._crew.limits.deadline_s:g} s"
                if verdict.reason == "timeout"
                else "found no worker"
            )
            self._crew.troubles.say(
                f"the last {HOPELESS} completions {why}; the other {job.call.n_given_up} of {len(job.call.items)} are "
                f"given up as {verdict.label}"
            )
        return not job.call.over

    def _blame(self, job: Job, end: End) -> None:
        """Handle the end of the worker: try the next item once more, alone, if it may not be at fault; otherwise the
        reason is its verdict.
        """
        place = job.todo[0]
        if not end.begun and not job.tried[place]:
            job.tried[place] += 1
            return
        texts = {
            "crash": "crashed: its worker process ended (a segmentation fault, os._exit)",
            "timeout": f"took longer than {self._crew.limits.deadline_s:g} s",
        }
        if text := texts.get(end.reason):
            self._crew.troubles.note(Trouble(end.reason, text), job.call.items[place])
        seconds = self._crew.limits.deadline_s if end.reason == "timeout" else 0.0
        self._put(job, Verdict("unscored", end.reason, seconds=seconds))

    def _end_all(self, job: Job, reason: str) -> None:
        while job.todo:
            self._put(job, Verdict("unscored", reason))

    def _hire(self) -> Worker:
        """Start a worker. Raises NoWorker after some tries, and VerifierError."""
        crew = self._crew
        for attempt in range(_TRIES):
            if attempt:
                crew.closing.wait(_PAUSE_S * 3 ** (attempt - 1))
            try:
                self._worker = Worker(crew.server(), crew.limits, crew.troubles.who)
            except NoWorker as error:
                reason = error
            else:
                crew.count_worker(1)
                return self._worker
        raise reason

    def _drop(self) -> None:
        """End the worker, if there is one."""
        if self._worker is not None:
            self._worker.dismiss()
            self._worker = None
            self._crew.count_worker(-1)
