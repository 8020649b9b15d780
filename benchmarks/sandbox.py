"""How many programs a second the sandbox runs: each in its own box, cold and warm, and many in one box.

    python benchmarks/sandbox.py [--programs 100] [--threads 2]

`cold` starts a box when a program needs it, one after the other; `start` is the time of such a start alone. `warm`
takes boxes from a pool that keeps some ready and goes on starting others meanwhile: what it sustains. `taken` is the
time from a program to its result where a box is ready, and no other works. `same box` is what the tests of one
submission cost. Every program is a Python that adds two numbers.
"""

import argparse
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

from kgym.judging import probe
from kgym.judging.box import Box
from kgym.judging.sandbox import Pool

FILES = {"main.py": "print(sum(map(int, input().split())))"}
COMMAND = ["python3", "main.py"]


def timed(action, *args):
    """Return the seconds that an action takes."""
    begin = time.perf_counter()
    action(*args)
    return time.perf_counter() - begin


def in_new_box(n):
    """Run a program in a box that is started for it."""
    with Box() as box:
        box.put(FILES)
        assert box.run(COMMAND, f"{n} 1").stdout == b"%d\n" % (n + 1)


def from_pool(pool, n):
    """Run a program in a box of a pool."""
    assert pool.run(FILES, COMMAND, stdin=f"{n} 1").stdout == b"%d\n" % (n + 1)


def main():
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--programs", type=int, default=100, help="programs of each kind")
    parser.add_argument("--threads", type=int, default=2, help="threads that run programs of the pool at the same time")
    args = parser.parse_args()
    probe.require()
    n = args.programs
    starts = [timed(lambda: Box().close()) for _ in range(min(n, 30))]
    print(f"start       {statistics.median(starts) * 1000:6.1f} ms (median)")
    print(
        f"cold        {n / sum(timed(in_new_box, i) for i in range(n)):6.1f} programs per second, one after the other"
    )
    pool = Pool(4)
    with ThreadPoolExecutor(args.threads) as executor:
        warm = timed(lambda: list(executor.map(lambda i: from_pool(pool, i), range(n))))
    print(f"warm        {n / warm:6.1f} programs per second, {args.threads} threads")
    taken = []
    for i in range(min(n, 20)):
        time.sleep(0.3)  # until boxes are ready again
        taken.append(timed(from_pool, pool, i))
    print(f"taken       {statistics.median(taken) * 1000:6.1f} ms (median)")
    pool.close()
    with Box() as box:
        box.put(FILES)
        same = timed(lambda: [box.run(COMMAND, f"{i} 1") for i in range(n)])
    print(f"same box    {n / same:6.1f} programs per second")


if __name__ == "__main__":
    main()
