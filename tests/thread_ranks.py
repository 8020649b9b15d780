"""Ranks as threads of one process: what the ranks of a run send each other, without processes and without torch."""

import copy
import threading

from kgym.world import World

WAIT_S = 60


class ThreadRank(World):
    """One of several."""

    def __init__(self, rank, size, meeting, values):
        self.rank, self.size = rank, size
        self._meeting, self._values = meeting, values

    def gather(self, value):
        self._values[self.rank] = copy.deepcopy(value)  # as pickling does
        self._meeting.wait(WAIT_S)
        found = copy.deepcopy(self._values)
        self._meeting.wait(WAIT_S)
        return found

    def broadcast(self, value):
        return self.gather(value)[0]


def on_ranks(size, work):
    """Return `work(world)` of each rank; raise what the first of them raised that did not only miss the others."""
    meeting, values = threading.Barrier(size), [None] * size
    results, errors = [None] * size, []

    def run(rank):
        try:
            results[rank] = work(ThreadRank(rank, size, meeting, values))
        except BaseException as error:
            errors.append(error)
            meeting.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise next((error for error in errors if not isinstance(error, threading.BrokenBarrierError)), errors[0])
    return results
