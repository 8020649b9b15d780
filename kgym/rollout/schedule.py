"""Whether the trainer waits for the rollouts of a step, or the rollouts for weights that the trainer has yet to make.

schedule.load(Handover(step, weights)) after every update, and before the first step
played = schedule.play(step, progress)
schedule.rest()                        before the update
with schedule.engine() as engine: ...  for validations: it has the newest weights, and nothing else uses it meanwhile
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

from kgym.blame import blaming
from kgym.rollout.groups import Played, Rollouts
from kgym.rollout.handover import Handover
from kgym.types import Engine, Episode

Progress = Callable[[int, int], None]


class Schedule(Protocol):
    """Plays the steps of a run, in order."""

    def load(self, handover: Handover) -> None:
        """Hand over the weights of a version; later changes to the tensors have no effect.

        What handing them over raises is raised here, or in the thread that waits for the engine.
        """

    def play(self, step: int, progress: Progress) -> Played:
        """Return what was played for a step. `progress` is called as (episodes that have ended, episodes in the
        pool).
        """

    def rest(self) -> None:
        """Let the engine sleep until the next `load`, if it may: nothing is sampled while the policy is updated."""

    def engine(self) -> Any:
        """Return a context manager whose value is the engine with the newest weights, for the caller alone."""

    def state(self) -> tuple[list[Episode], dict[str, Any]]:
        """Return open episodes and those of batches that wait, and what else `restore` needs, as plain JSON values."""

    def restore(self, episodes: Sequence[Episode], state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""

    def close(self) -> None:
        """End what runs in the background."""


class InTurn:
    """Generate, then train: `sync` and `partial`."""

    def __init__(self, rollouts: Rollouts, engine: Engine, *, sleeps: bool = False) -> None:
        """`sleeps`: the engine gives back its memory during updates."""
        self._rollouts = rollouts
        self._engine = engine
        self._sleeps = sleeps
        self._asleep = False
        self._gap_nats: float | None = None
        """Gap of the canary at the newest load."""

    def load(self, handover: Handover) -> None:
        """See `Schedule`."""
        asleep, self._asleep = self._asleep, False
        self._gap_nats = handover.to(self._engine, wake=asleep)

    def rest(self) -> None:
        """See `Schedule`."""
        if self._sleeps:
            with blaming("engine", self._engine):
                self._engine.sleep()
            self._asleep = True

    def play(self, step: int, progress: Progress) -> Played:
        """See `Schedule`."""
        return _with_gap(self._rollouts, self._rollouts.play(self._engine, step, progress), self._gap_nats)

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        """See `Schedule`."""
        yield self._engine

    def state(self) -> tuple[list[Episode], dict[str, Any]]:
        """See `Schedule`."""
        episodes, state = self._rollouts.state()
        return episodes, {"rollouts": state}

    def restore(self, episodes: Sequence[Episode], state: Mapping[str, Any]) -> None:
        """See `Schedule`."""
        self._rollouts.restore(episodes, state["rollouts"])

    def close(self) -> None:
        """See `Schedule`."""


class Ahead:
    """Generate the batches of later steps while one is trained on.

    A thread plays step after step. It begins step k as soon as step k-1 has been played and the weights of version
    k-1-max_lag are there, and takes the newest weights that exist then. With `max_lag` of 0 or 1 that is always the
    same version, so a run can be reproduced; the batches that wait are part of the checkpoint.
    """

    def __init__(self, rollouts: Rollouts, engine: Engine, *, max_lag: int, steps: int) -> None:
        """`engine` has to run in its own process; `steps` is the last step of the run."""
        self._rollouts = rollouts
        self._engine = engine
        self._max_lag = max_lag
        self._steps = steps
        self._changed = threading.Condition()
        self._using = threading.Lock()
        """Held while the engine and the rollouts are used."""
        self._gap_nats: float | None = None
        """Gap of the canary at the newest load."""
        self._given: int | None = None
        """The version that the engine got last."""
        self._newest: Handover | None = None
        self._next: Handover | None = None
        """The weights of the step that is played next, once it may begin."""
        self._step = 0
        """The last step that was played."""
        self._taken = 0
        """The last step that `play` has returned."""
        self._ready: dict[int, Played] = {}
        self._progress: Progress = lambda done, total: None
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._closed = False

    def rest(self) -> None:
        """See `Schedule`. The engine continues with the next batch."""

    def load(self, handover: Handover) -> None:
        """See `Schedule`."""
        with self._changed:
            self._newest = handover.copied()
            self._choose()
            self._changed.notify_all()

    def play(self, step: int, progress: Progress) -> Played:
        """See `Schedule`. Raises what the thread raised."""
        self._progress = progress
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="kgym-rollouts", daemon=True)
                self._thread.start()
            while step not in self._ready:
                self._raise()
                self._changed.wait()
            self._progress = lambda done, total: None
            self._taken = step
            return self._ready.pop(step)

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        """See `Schedule`. Waits for the step that is being played, and raises what the thread raised."""
        self._settle()
        with self._using:
            self._raise()
            if self._newest is not None:
                self._give(self._newest)
            yield self._engine

    def state(self) -> tuple[list[Episode], dict[str, Any]]:
        """See `Schedule`. Waits for the step that is being played, and raises what the thread raised: it left that step
        half played.

        This also waits for a step whose weights are older than the newest and that has yet to begin, because a resumed
        run has only the newest weights. A step that was taken and made no weights, since there was nothing to learn
        from, is left out: a resumed run takes the next one instead.
        """
        self._settle()
        with self._changed:
            while (
                self._thread is not None
                and self._error is None
                and self._next is not None
                and self._next is not self._newest
            ):
                self._changed.wait()
        with self._using:
            self._raise()
            episodes, state = self._rollouts.state()
            lost = 0 if self._newest is None else max(0, self._taken - self._newest.version)
            ready = []
            for step, played in sorted(self._ready.items()):
                groups = [*played.sampled, *played.greedy]
                episodes += [episode for group in groups for episode in group.episodes]
                ready.append({"step": step - lost} | played.facts())
            return episodes, {"rollouts": state, "step": self._step - lost, "ready": ready}

    def restore(self, episodes: Sequence[Episode], state: Mapping[str, Any]) -> None:
        """See `Schedule`."""
        n_ready = sum(sum(facts["sizes"]) for facts in state["ready"])
        n_open = len(episodes) - n_ready
        self._rollouts.restore(episodes[:n_open], state["rollouts"])
        rest = list(episodes[n_open:])
        for facts in state["ready"]:
            n = sum(facts["sizes"])
            self._ready[facts["step"]] = Played.of_facts(facts, rest[:n])
            rest = rest[n:]
        self._step = state["step"]

    def close(self) -> None:
        """See `Schedule`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _settle(self) -> None:
        """On several ranks, wait until every step that may be played has been: otherwise one rank's thread would start
        the next step, in which the ranks wait for each other, and another's would wait for the caller.
        """
        with self._changed:
            while (
                self._rollouts.world.size > 1
                and self._thread is not None
                and self._error is None
                and self._next is not None
            ):
                self._changed.wait()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    # --- the thread ---

    def _work(self) -> None:
        while (handover := self._begin()) is not None:
            with self._using:
                try:
                    self._give(handover)
                    played = self._rollouts.play(self._engine, self._step + 1, self._report)
                    played = _with_gap(self._rollouts, played, self._gap_nats)
                except BaseException as error:  # raised again in `play`, `engine` and `state`
                    with self._changed:
                        self._error = error
                        self._changed.notify_all()
                    return
                with self._changed:
                    self._step += 1
                    self._ready[self._step] = played
                    self._next = None
                    self._choose()
                    self._changed.notify_all()

    def _report(self, done: int, total: int) -> None:
        self._progress(done, total)

    def _begin(self) -> Handover | None:
        """Wait until the next step may begin and return its weights; None at the end of the run."""
        with self._changed:
            while self._next is None:
                if self._closed or self._step == self._steps:
                    return None
                self._changed.wait()
            return None if self._closed else self._next

    def _choose(self) -> None:
        """Fix the weights of the next step at the moment at which it may begin, so that they do not depend on when
        the thread wakes up.
        """
        if (
            self._next is None
            and self._newest is not None
            and self._step < self._steps
            and self._newest.version >= self._step - self._max_lag
        ):
            self._next = self._newest

    def _give(self, handover: Handover) -> None:
        if self._given != handover.version:
            self._gap_nats = handover.to(self._engine)
            self._given = handover.version


def _with_gap(rollouts: Rollouts, played: Played, gap_nats: float | None) -> Played:
    """Return what was played with the largest of the gaps of the engines of all ranks."""
    gaps = [gap for gap in rollouts.world.gather(gap_nats) if gap is not None]
    return replace(played, canary_gap_nats=max(gaps, default=None))
