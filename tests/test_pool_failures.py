"""What the pool meets on a bad day: cancelled callers, killed and stopped processes, no processes, memory or
descriptors left.

Every call returns one verdict for each item within a bounded time, and the pool judges the next one.
"""

import asyncio
import contextlib
import gc
import json
import logging
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from kgym.errors import VerifierError
from kgym.limits import PoolLimits
from kgym.types import Verdict, VerifyItem
from kgym.verify.frames import receive_frame, send_frame
from kgym.verify.pool import VerifierPool

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class Rogue:
    """Does what the response says."""

    def __init__(self, options):
        pass

    def verify_many(self, items):
        return [self.verify(item) for item in items]

    def verify(self, item):
        deed, _, argument = item.response.partition(":")
        match deed:
            case "sleep":
                time.sleep(float(argument))
            case "exit":
                os._exit(3)
            case "fork":  # the child does not end by itself
                if os.fork() == 0:
                    raise ValueError
                os.wait3(0) if argument else time.sleep(0.3)
            case "kill server":
                os.kill(os.getppid(), signal.SIGKILL)
                time.sleep(60)
            case "forge":  # a message that is not a verdict, on every channel that the worker has
                for name in os.listdir("/proc/self/fd")[:-1]:
                    if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                        body = json.dumps({"ready": True, "error": None}).encode()
                        os.write(int(name), len(body).to_bytes(4, "big") + body)
        return Verdict("correct" if item.gold == item.response[:1] else "wrong", "equal")


class NoFork(Rogue):
    """Its fork server may not fork."""

    @staticmethod
    def preload():
        may_have(1)


class FewForks(Rogue):
    """Its fork server may have three processes, itself included."""

    @staticmethod
    def preload():
        may_have(3)


def may_have(processes):
    if os.geteuid() == 0:
        os.setuid(100_000 + os.getpid())  # no one else's processes are counted, and root has no limit
    resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))


def limits(**changes):
    return PoolLimits(**{"workers": 2, "deadline_s": 5.0, **changes})


def pool_of(verifier, **changes):
    return VerifierPool(f"{__name__}:{verifier.__name__}", limits=limits(**changes))


@pytest.fixture
def pool():
    with pool_of(Rogue) as pool:
        yield pool


def items(*responses):
    return [VerifyItem("x", response) for response in responses]


def judge(pool, *responses):
    return [verdict.label for verdict in pool.verify_many(items(*responses))]


def in_time(action, seconds=60):
    """Return what `action` returns; fail if it takes longer than this, instead of hanging."""
    result = []
    thread = threading.Thread(target=lambda: result.append(action()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), f"still waiting after {seconds} s"
    assert result, "it raised"
    return result[0]


def processes_below(pid):
    """Return the pids of the fork servers of a process, and of their workers."""
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        below = [int(child) for child in children.read().split()]
    servers, workers = [], []
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/children") as children:
            below += [int(child) for child in children.read().split()]
    for child in set(below):
        try:
            with open(f"/proc/{child}/cmdline") as cmdline, open(f"/proc/{child}/task/{child}/children") as children:
                if "kgym.verify.zygote" in cmdline.read():
                    servers.append(child)
                    workers += [int(grandchild) for grandchild in children.read().split()]
        except OSError:
            continue
    return servers, workers


def processes_of(pool):
    """Return the pid of the fork server of a pool, in a list, and those of its workers. Earlier tests of this process
    may have left other pools, whose processes a later test needs.
    """
    server = pool.server_pid
    try:
        with open(f"/proc/{server}/task/{server}/children") as children:
            return [server], [int(child) for child in children.read().split()]
    except OSError:  # it has ended, or is not started
        return [], []


def kill_all(pids, number=signal.SIGKILL):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def wait_for_end(pid):
    """Wait until a process has ended, whether or not its parent has noticed."""
    while True:
        try:
            with open(f"/proc/{pid}/stat") as stat:
                state = stat.read().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state in "ZX":
            return
        time.sleep(0.02)


# --- callers that leave


def test_a_cancelled_call_costs_nobody_anything(pool):
    judge(pool, "x")

    async def leave():
        for _ in range(4):  # more often than there are workers
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(pool.verify_many_async(items(*["sleep:0.5"] * 8)), 0.1)
        return await asyncio.wait_for(pool.verify_many_async(items("x", "y")), 60)

    assert [verdict.status for verdict in in_time(lambda: asyncio.run(leave()))] == ["correct", "wrong"]
    assert in_time(lambda: judge(pool, "x", "y")) == ["correct", "wrong"]


def test_what_a_cancelled_call_has_left_is_not_judged(pool):
    async def leave():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pool.verify_many_async(items(*["sleep:4"] * 100)), 0.2)

    judge(pool, "x")
    asyncio.run(leave())
    assert in_time(lambda: judge(pool, "x"), 30) == ["correct"]  # 100 x 4 s by 2 workers would be 200 s


def test_a_pool_that_is_closed_while_it_judges_says_so_and_starts_anew(pool):
    judge(pool, "x")
    threading.Timer(0.3, pool.close).start()
    with pytest.raises(VerifierError, match="closed while it was judging"):
        judge(pool, *["sleep:4"] * 10)
    assert in_time(lambda: judge(pool, "x")) == ["correct"]


def test_a_pool_that_is_dropped_leaves_no_process_and_no_thread():
    def threads():
        return sum(thread.name.startswith("kgym-verifier") for thread in threading.enumerate())

    before, servers = threads(), set(processes_below(os.getpid())[0])
    for _ in range(3):
        judge(pool_of(Rogue), "x", "y")
    gc.collect()
    until = time.monotonic() + 30
    while (threads() > before or set(processes_below(os.getpid())[0]) - servers) and time.monotonic() < until:
        time.sleep(0.05)
    assert threads() <= before
    assert not set(processes_below(os.getpid())[0]) - servers


# --- processes that are killed or stopped


def test_a_killed_fork_server_is_replaced(pool):
    judge(pool, "x", "y")
    kill_all([pool.server_pid])
    assert in_time(lambda: judge(pool, "x", "y")) == ["correct", "wrong"]


def test_what_was_being_judged_when_the_fork_server_died_is_judged_again(pool):
    judge(pool, "x", "y")
    threading.Timer(0.4, lambda: kill_all([pool.server_pid])).start()
    labels = in_time(lambda: judge(pool, *["sleep:0.2", "x"] * 8))
    assert labels == ["wrong", "correct"] * 8


def test_an_item_that_kills_the_fork_server_is_named_and_its_neighbours_are_judged(pool):
    labels = in_time(lambda: judge(pool, *["x"] * 5, "kill server", *["y"] * 5))
    assert labels == ["correct"] * 5 + ["unscored:killed"] + ["wrong"] * 5


def test_a_child_of_a_verifier_does_not_reply():
    with pool_of(Rogue, workers=1) as pool:
        labels = in_time(lambda: judge(pool, "x", *["fork", "x", "x", "y", "y"] * 2, "fork:and wait", "x"))
    assert labels == ["correct", *["wrong", "correct", "correct", "wrong", "wrong"] * 2, "wrong", "correct"]


def test_a_stopped_fork_server_is_replaced(pool, monkeypatch):
    monkeypatch.setattr("kgym.verify.server._ANSWER_S", 0.5)
    judge(pool, "x", "y")
    kill_all([pool.server_pid], signal.SIGSTOP)
    assert in_time(lambda: judge(pool, "exit", *["x"] * 20))[1:] == ["correct"] * 20


def test_a_stopped_worker_is_replaced():
    with pool_of(Rogue, deadline_s=0.5) as pool:
        judge(pool, "x", "y")
        kill_all(processes_of(pool)[1], signal.SIGSTOP)
        labels = in_time(lambda: judge(pool, *["x"] * 40))
    assert set(labels) <= {"correct", "unscored:timeout"}
    assert labels.count("correct") >= 36


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
def test_a_storm_of_kills(pool, seed):
    rng = random.Random(seed)
    storm = threading.Event()

    hit = set()

    def rage():
        while not storm.wait(rng.uniform(0.02, 0.3)):
            servers, workers = processes_of(pool)
            pids = rng.sample(workers, len(workers) // 2) if rng.random() < 0.8 else servers
            hit.update(pids)
            kill_all(pids, rng.choice([signal.SIGKILL, signal.SIGSEGV]))

    judge(pool, "x")
    killer = threading.Thread(target=rage)
    killer.start()
    try:
        labels = in_time(lambda: judge(pool, *["x", "y", "sleep:0.05"] * 60), 120)
    finally:
        storm.set()
        killer.join()
    in_time(lambda: [wait_for_end(pid) for pid in hit])  # a process that was hit dies when it is next scheduled
    assert len(labels) == 180
    good = {"x": "correct", "y": "wrong", "sleep": "wrong"}
    bad = {"unscored:killed", "unscored:crash", "unscored:no_worker", "unscored:timeout"}
    assert all(label in (good[deed], *bad) for label, deed in zip(labels, ["x", "y", "sleep"] * 60, strict=True))
    assert in_time(lambda: judge(pool, *["x", "y"] * 20)) == ["correct", "wrong"] * 20, "afterwards all is well"


def test_a_message_that_is_no_verdict_is_never_taken_for_one(pool):
    assert in_time(lambda: judge(pool, "x", "forge", "x")) == ["correct", "unscored:crash", "correct"]


def test_what_has_come_in_is_read_before_the_clock_is_asked():
    # the caller was stopped for longer than the deadline, and the verdict arrived meanwhile
    ours, theirs = socket.socketpair()
    with ours, theirs:
        send_frame(theirs, {"kind": "verdict"})
        assert receive_frame(ours, 0.0) == {"kind": "verdict"}
        with pytest.raises(TimeoutError):
            receive_frame(ours, 0.0)


# --- nothing left: processes, threads, memory, descriptors


def test_no_process_can_be_forked(caplog):
    with pool_of(NoFork) as pool:
        assert in_time(lambda: judge(pool, *["x"] * 200)) == ["unscored:no_worker"] * 200
        assert in_time(lambda: judge(pool, "x")) == ["unscored:no_worker"]
    said = [record.getMessage() for record in caplog.records if "has no worker" in record.getMessage()]
    assert len(said) == 1
    assert "Resource temporarily unavailable" in said[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a user of its own, whose processes are counted alone")
def test_fewer_processes_than_workers_do_the_work():
    with pool_of(FewForks, workers=6) as pool:
        for _ in range(2):
            assert in_time(lambda: judge(pool, *["x", "y"] * 100)) == ["correct", "wrong"] * 100


def test_answers_that_do_not_fit_into_a_worker_at_once_are_sent_one_at_a_time():
    large = (
        "x" + 2_000_000 * "\N{CJK UNIFIED IDEOGRAPH-7B54}"
    )  # 12 MB on the way; 16 of them are more than the worker may have
    with pool_of(Rogue, memory_gib=0.1, workers=1) as pool:
        assert in_time(lambda: judge(pool, "x", *[large] * 20, "y")) == [*["correct"] * 21, "wrong"]


def test_an_answer_that_does_not_fit_costs_its_neighbours_nothing():
    with pool_of(Rogue, memory_gib=0.03, workers=1) as pool:
        labels = in_time(lambda: judge(pool, "x", "y" * 60_000_000, "y", "x"))
    assert labels == ["correct", "unscored:memory", "wrong", "correct"]


def test_the_time_left_of_one_verdict_does_not_limit_the_sending_of_the_next_batch():
    large = "y" * 8_000_000
    with pool_of(Rogue, deadline_s=1.0, workers=1) as pool:
        judge(pool, "x")
        for _ in range(2):
            assert in_time(lambda: judge(pool, "sleep:0.8", *[large] * 4)) == ["wrong"] * 5


SCRIPT = """
import os, signal, sys
sys.path.insert(0, {tests!r})
file = os.fdopen(os.dup(9), "w")  # above the standard streams, whichever are closed
{before}
from kgym.types import VerifyItem
from kgym.limits import PoolLimits
from kgym.verify.pool import VerifierPool
pool = VerifierPool("test_pool_failures:Rogue", limits=PoolLimits(workers=2, deadline_s=20))
labels = [v.label for v in pool.verify_many([VerifyItem("x", r) for r in ("x", "y", "exit", "x") * 3])]
pool.close()
file.write(" ".join(labels))
file.close()
"""
RIGHT = " ".join(["correct", "wrong", "unscored:crash", "correct"] * 3)
NO_THREAD = (
    "import resource; os.geteuid() or os.setuid(100_000 + os.getpid()); "
    "resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))"
)


def run_script(tmp_path, before="", redirections=""):
    result = tmp_path / "labels"
    script = SCRIPT.format(tests=os.path.dirname(__file__), before=before)
    command = ["sh", "-c", f'exec "$0" -c "$1" 9>"$2" {redirections}', sys.executable, script, str(result)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return result.read_text(), done


@pytest.mark.parametrize("redirections", [">&-", "<&-", "2>&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams(tmp_path, redirections):
    labels, done = run_script(tmp_path, redirections=redirections)
    assert labels == RIGHT, done.stderr


def test_a_working_directory_that_was_removed(tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    labels, done = run_script(tmp_path, before=f"os.chdir({str(folder)!r}); os.rmdir({str(folder)!r})")
    assert labels == RIGHT, done.stderr


def test_ignored_and_blocked_signals(tmp_path):
    ignore = (
        "[signal.signal(s, signal.SIG_IGN) for s in (signal.SIGCHLD, signal.SIGXCPU, signal.SIGTERM, signal.SIGPIPE)]"
    )
    labels, done = run_script(
        tmp_path, before=f"{ignore}; signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())"
    )
    assert labels == RIGHT, done.stderr


def test_no_thread_can_be_started(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs a user of its own, whose processes are counted alone")
    labels, done = run_script(tmp_path, before=f"import kgym.verify.pool, pydantic; {NO_THREAD}")
    assert labels == " ".join(["unscored:no_worker"] * 12), done.stderr
    assert done.returncode == 0


def test_no_descriptor_is_left(tmp_path):
    before = "import kgym.verify.pool, resource; os.close(9); resource.setrlimit(resource.RLIMIT_NOFILE, (5, 5))"
    labels, done = run_script(tmp_path, before=before)
    assert labels == " ".join(["unscored:no_worker"] * 12), done.stderr


def test_a_forked_child_has_a_pool_of_its_own(pool):
    judge(pool, "x")
    pid = os.fork()
    if pid == 0:
        try:
            right = judge(pool, "x", "y") == ["correct", "wrong"]
            pool.close()
            os._exit(0 if right else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(in_time(lambda: os.waitpid(pid, 0))[1]) == 0
    assert in_time(lambda: judge(pool, "x", "y")) == ["correct", "wrong"]


# --- verifiers that hang


def test_a_verifier_that_hangs_is_given_up_after_a_while(caplog):
    with pool_of(Rogue, deadline_s=0.1) as pool:
        labels = in_time(lambda: judge(pool, *["sleep:60"] * 2000))
        assert labels == ["unscored:timeout"] * 2000
        assert in_time(lambda: judge(pool, "x")) == ["correct"], "the next call is judged"
    (said,) = [record.getMessage() for record in caplog.records if "given up" in record.getMessage()]
    assert "the last 20 completions took longer than 0.1 s" in said


def test_timeouts_among_others_are_not_given_up():
    with pool_of(Rogue, deadline_s=0.1) as pool:
        labels = in_time(lambda: judge(pool, *(["sleep:60"] * 10 + ["x"]) * 4))
    assert labels == (["unscored:timeout"] * 10 + ["correct"]) * 4


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_verifier_that_hangs_is_reported_while_it_hangs(pool, caplog, monkeypatch, asynchronous):
    monkeypatch.setattr("kgym.verify.pool.REPORT_S", 0.2)
    judge(pool, "x")
    caplog.set_level(logging.WARNING)
    wanted = items("x", *["sleep:1.5"] * 2)
    verdicts = asyncio.run(pool.verify_many_async(wanted)) if asynchronous else pool.verify_many(wanted)
    assert [verdict.status for verdict in verdicts] == ["correct", "wrong", "wrong"]
    said = [record.getMessage() for record in caplog.records]
    assert any("of 3 completions judged after" in text and "deadline_s" in text for text in said), said


def test_calls_that_hang_together_are_reported_once_an_interval(monkeypatch, caplog):
    monkeypatch.setattr("kgym.verify.pool.REPORT_S", 1.0)
    with pool_of(Rogue, deadline_s=1.5, workers=2) as pool:

        async def many():
            await asyncio.gather(
                *(pool.verify_many_async(items("sleep:30")) for _ in range(40)), return_exceptions=True
            )

        async def some():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(many(), 2.5)

        asyncio.run(some())
    said = [record.getMessage() for record in caplog.records if "completions judged after" in record.getMessage()]
    assert 1 <= len(said) <= 6, said


def test_closed_descriptors_do_not_hang_the_pool():
    # in its own process: the channels of the pool are closed under it, as a process does that becomes a daemon
    code = """
import os
from kgym.limits import PoolLimits
from kgym.types import VerifyItem
from kgym.verify.pool import VerifierPool

pool = VerifierPool("kgym_plugins.verifiers.math.verifier:MathVerifier", {}, limits=PoolLimits(workers=2))
items = [VerifyItem("1", r"\\boxed{1}")] * 20
pool.verify_many(items)
for name in os.listdir("/proc/self/fd"):
    if int(name) > 2:
        try:
            os.close(int(name))
        except OSError:
            pass
assert len(pool.verify_many(items)) == 20
assert {verdict.label for verdict in pool.verify_many(items)} == {"correct"}
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=120, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
