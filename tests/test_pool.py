"""The pool: deadlines, crashes and memory end in a named verdict, and no process is left over."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from kgym.errors import VerifierError
from kgym.limits import PoolLimits
from kgym.types import Message, Verdict, VerifyItem
from kgym.verify.pool import VerifierPool


class Rogue:
    """Does what the response says."""

    def __init__(self, options):
        pass

    def verify_many(self, items):
        return [self.verify(item) for item in items]

    def verify(self, item):
        match item.response:
            case "loop":
                while True:
                    pass
            case "sleep":
                time.sleep(60)
            case "memory":
                return Verdict("wrong", str(len(bytearray(4 << 30))))
            case "exit":
                os._exit(3)
            case "segfault":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "raise":
                raise ZeroDivisionError
            case "print":
                print("I write on standard output")
            case "pid":
                return Verdict("wrong", str(os.getpid()))
            case "turns":
                return Verdict("wrong", repr(item.turns))
        return Verdict("correct" if item.gold == item.response else "wrong", "equal")


class Unbuildable:
    def __init__(self, options):
        raise LookupError("no dictionary")


ROGUE = f"{__name__}:Rogue"


def limits(**changes):
    return PoolLimits(**{"workers": 2, "deadline_s": 0.5, "memory_gib": 1.0, **changes})


@pytest.fixture(scope="module")
def pool():
    with VerifierPool(ROGUE, limits=limits()) as pool:
        yield pool


def test_a_worker_is_told_the_earlier_turns(pool):
    turns = (Message("assistant", "\N{BOMB}"), Message("tool", "no"))
    told, none = pool.verify_many([VerifyItem("x", "turns", turns=turns), VerifyItem("x", "turns")])
    assert (told.reason, none.reason) == (repr(turns), "()")


def judge(pool, *responses):
    return [verdict.label for verdict in pool.verify_many([VerifyItem("x", response) for response in responses])]


@pytest.mark.parametrize(
    ("response", "label"),
    [
        ("x", "correct"),
        ("y", "wrong"),
        ("loop", "unscored:timeout"),
        ("sleep", "unscored:timeout"),
        ("memory", "unscored:memory"),
        ("exit", "unscored:crash"),
        ("segfault", "unscored:crash"),
        ("killed", "unscored:killed"),
        ("raise", "unscored:error:ZeroDivisionError"),
        ("print", "wrong"),
        ("\ud800 \x00 \N{BOMB}", "wrong"),
    ],
)
def test_what_becomes_of_a_response(pool, response, label):
    assert judge(pool, response) == [label]


def test_a_bad_item_costs_its_neighbours_nothing(pool):
    responses = ["x", "loop", "y", "memory", "x", "exit", "x"] * 3
    names = {
        "x": "correct",
        "y": "wrong",
        "loop": "unscored:timeout",
        "memory": "unscored:memory",
        "exit": "unscored:crash",
    }
    assert judge(pool, *responses) == [names[response] for response in responses]


def test_waiting_in_the_queue_is_not_counted():
    # twelve items of 0.2 s for one worker take 2.4 s in all; each is within its deadline of 0.5 s
    with VerifierPool(f"{__name__}:Slow", limits=limits(workers=1)) as pool:
        assert judge(pool, *["x"] * 12) == ["correct"] * 12


class Slow(Rogue):
    def verify(self, item):
        time.sleep(0.2)
        return super().verify(item)


def test_the_deadline_is_kept_within_a_tenth_of_a_second(pool):
    judge(pool, "x", "x", "x", "x")
    begin = time.monotonic()
    assert judge(pool, "loop") == ["unscored:timeout"]
    assert time.monotonic() - begin < 0.6


def test_from_many_threads_and_from_asyncio(pool):
    results = {}

    def run(name):
        results[name] = judge(pool, "x", "y", "raise", "x")

    threads = [threading.Thread(target=run, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert all(
        labels == ["correct", "wrong", "unscored:error:ZeroDivisionError", "correct"] for labels in results.values()
    )

    async def both():
        items = [VerifyItem("x", response) for response in ("x", "y")]
        return await asyncio.gather(pool.verify_many_async(items), pool.verify_many_async(items))

    assert [[verdict.status for verdict in verdicts] for verdicts in asyncio.run(both())] == [["correct", "wrong"]] * 2


def test_workers_are_recycled():
    with VerifierPool(ROGUE, limits=limits(workers=1, recycle_after=3)) as pool:
        pids = [pool.verify_many([VerifyItem("x", "pid")])[0].reason for _ in range(7)]
    assert [len(set(pids[i : i + 3])) for i in (0, 3)] == [1, 1]
    assert len(set(pids)) == 3


def test_the_fast_ladder_answers_in_the_caller():
    def fast(item):
        return Verdict("correct", "fast") if item.response == "easy" else None

    with VerifierPool(ROGUE, limits=limits(), fast=fast) as pool:
        assert pool.verify_many([VerifyItem("x", "easy")])[0].reason == "fast"
        assert pool.server_pid is None, "nothing needed a worker yet"
        assert [verdict.reason for verdict in pool.verify_many([VerifyItem("x", "x"), VerifyItem("x", "easy")])] == [
            "equal",
            "fast",
        ]


def test_a_fast_ladder_that_fails_leaves_it_to_a_worker(caplog, capfd):
    def fast(item):
        print("a print")
        return {"raise": lambda: 1 / 0, "leave": sys.exit, "number": lambda: 0.5}[item.response]()

    with VerifierPool(ROGUE, limits=limits(), fast=fast, who="verifier 'x'") as pool:
        assert judge(pool, "raise", "leave", "number", "number") == [
            "unscored:error:ZeroDivisionError",
            "wrong",
            "wrong",
            "wrong",
        ]
    said = [record.getMessage() for record in caplog.records if "fast()" in record.getMessage()]
    assert len(said) == 3, "each kind once"
    assert (
        said[0]
        == "verifier 'x': fast() failed with ZeroDivisionError: division by zero (gold answer 'x'); a worker judges "
        "instead"
    )
    assert capfd.readouterr().out == ""


def test_what_cannot_start_says_so():
    with (
        VerifierPool("no_such_module:Verifier", limits=limits()) as pool,
        pytest.raises(VerifierError, match="no_such_module"),
    ):
        judge(pool, "x")
    with (
        VerifierPool(f"{__name__}:Unbuildable", limits=limits()) as pool,
        pytest.raises(VerifierError, match="no dictionary"),
    ):
        judge(pool, "x")


def children_of(pid):
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], check=False, capture_output=True, text=True
    ).stdout.split()
    return [int(child) for child in found]


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().split()[2] != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_close_leaves_no_process():
    pool = VerifierPool(ROGUE, limits=limits())
    judge(pool, "x", "y")
    zygote = pool.server_pid
    processes = [zygote, *children_of(zygote)]
    assert len(processes) >= 2
    pool.close()
    assert not any(alive(pid) for pid in processes)
    assert judge(pool, "x") == ["correct"], "a closed pool starts anew"
    pool.close()


SCRIPT = """
import sys, time
sys.path.insert(0, {tests!r})
from kgym.verify.pool import VerifierPool
from kgym.limits import PoolLimits
from kgym.types import VerifyItem
pool = VerifierPool("test_pool:Rogue", limits=PoolLimits(workers=2, deadline_s=30))
pool.verify_many([VerifyItem("x", "x")] * 8)
print(pool.server_pid, flush=True)
{ending}
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("ending", ["", "time.sleep(60)", 'pool.verify_many([VerifyItem("x", "loop")])'])
def test_no_process_outlives_the_caller(ending):
    # a plain script without `if __name__ == "__main__"`, which ends by itself or is killed with SIGKILL
    script = SCRIPT.format(tests=os.path.dirname(__file__), ending=ending)
    caller = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    zygote = int(caller.stdout.readline())
    workers = children_of(zygote)
    if ending:
        time.sleep(0.3)
        caller.kill()
    caller.wait()
    caller.stdout.close()
    until = time.monotonic() + 5
    while any(alive(pid) for pid in [zygote, *workers]) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(alive(pid) for pid in [zygote, *workers])
