"""Judging while generating: each episode goes to its verifier as soon as it has ended, and the verdict is collected
when it is ready.

    judge.submit(episode, setup)    at once, without waiting
    judge.collect()                 episodes whose verdict has come get it
    judge.wait(episodes)            until each of these has one

A verifier that judges by a model (`VerifierInfo.batched`) is called in `wait` instead, once for all of the episodes:
together they cost little more than one, and the choice of those that share a call, and so the rounding, does not depend
on timing.

A verifier that hangs on every item would take hours: after `HOPELESS` items in a row that timed out or found no worker,
those that wait are given up with the same reason.
"""

import logging
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait

from kgym.envs import rules
from kgym.envs.setup import EnvSetup
from kgym.types import Episode, Verdict
from kgym.verify.call import HOPELESS, HOPELESS_REASONS

log = logging.getLogger(__name__)

REPORT_S = 10.0
"""Seconds of waiting for verdicts after which a warning is logged; later ones follow at doubling intervals."""


class Judge:
    """Gives ended episodes their verdicts. Used from one thread; verifiers work in others, or in processes."""

    def __init__(self) -> None:
        self._open: dict[Future[Verdict], tuple[Episode, EnvSetup]] = {}
        self._held: list[tuple[Episode, EnvSetup]] = []
        """Ended episodes that are judged together."""
        self._hopeless = 0

    def submit(self, episode: Episode, setup: EnvSetup) -> None:
        """Send an ended episode to its verifier; one that needs no verifier has its verdict when this returns."""
        truncated = setup.options.truncated
        if rules.needs_verifier(episode, truncated) and setup.verifier.batched:
            self._held.append((episode, setup))
        elif rules.needs_verifier(episode, truncated):
            self._open[setup.verifier.submit(rules.item_of(episode))] = (episode, setup)
        else:
            rules.award_unjudged(episode, truncated)

    def collect(self) -> None:
        """Give episodes the verdicts that are ready. Raises VerifierError for a verifier that cannot be built."""
        for future in [future for future in self._open if future.done()]:
            self._award(future)

    def wait(self, episodes: Sequence[Episode]) -> float:
        """Return, in seconds, how long it took until each of the ended episodes had its verdict."""
        begin = time.monotonic()
        wanted = {id(episode) for episode in episodes}
        patience = REPORT_S
        self._judge_together(episodes)
        self.collect()
        while futures := [future for future, (episode, _) in self._open.items() if id(episode) in wanted]:
            if not wait(futures, timeout=patience, return_when=FIRST_COMPLETED).done:
                self._report(len(futures), time.monotonic() - begin)
                patience *= 2
            self.collect()
        return time.monotonic() - begin

    def _judge_together(self, episodes: Sequence[Episode]) -> None:
        """Judge those of the episodes that were held back: one call for each environment, in the order in which they
        are given.
        """
        held = {id(episode): setup for episode, setup in self._held}
        wanted = [(episode, held[id(episode)]) for episode in episodes if id(episode) in held]
        for setup in {id(setup): setup for _, setup in wanted}.values():
            own = [episode for episode, other in wanted if other is setup]
            rules.settle(own, setup.options.truncated, setup.verifier)
        done = {id(episode) for episode, _ in wanted}
        self._held = [(episode, setup) for episode, setup in self._held if id(episode) not in done]

    def _award(self, future: "Future[Verdict]") -> None:
        episode, _ = self._open.pop(future)
        verdict = future.result()
        rules.award(episode, verdict)
        hopeless = verdict.status == "unscored" and verdict.reason in HOPELESS_REASONS
        self._hopeless = self._hopeless + 1 if hopeless else 0
        if self._hopeless >= HOPELESS and self._open:
            self._give_up(Verdict("unscored", verdict.reason))

    def _give_up(self, verdict: Verdict) -> None:
        log.warning(
            "%d completions in a row are %s; %d more that wait are given up with the same reason "
            "(the limits are verifier.limits.deadline_s and verifier.limits.workers)",
            self._hopeless,
            verdict.label,
            len(self._open),
        )
        given_up, self._open = self._open, {}
        for future, (episode, _) in given_up.items():
            rules.award(episode, future.result() if future.done() else verdict)
            future.cancel()

    def _report(self, n_waiting: int, seconds: float) -> None:
        _, setup = next(iter(self._open.values()))
        log.warning(
            "verifier %r: %d completions have been waiting for their verdict for %.0f s; each may take %g s before it "
            "is unscored:timeout (the limit is verifier.limits.deadline_s)",
            setup.verifier_name,
            n_waiting,
            seconds,
            setup.options.verifier_limits.deadline_s,
        )
