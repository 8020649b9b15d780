"""Who waits for whom: batches that are generated ahead of the weights, and what a checkpoint keeps of them."""

import threading
import time
from contextlib import ExitStack

import pytest

from kgym.errors import EngineError
from kgym.rollout.groups import Rollouts, StepRule, Stream
from kgym.rollout.handover import Handover
from kgym.rollout.schedule import Ahead, InTurn
from kgym.types import Sampling, UpdatePlan
from lockstep import LockstepEngine
from test_episode_pool import InOrder, by_problem, setup_of, silent


class Number:
    """Weights that are one number, which training changes."""

    def __init__(self, value):
        self.value = value

    def copied(self):
        return Number(self.value)


class Learning(LockstepEngine):
    """Its completions grow with the number that it was given last."""

    weights = 0

    def load(self, version, weights):
        super().load(version, weights)
        self.weights = weights.value


def scheduled(kind, steps=6, rule=None, engine=Learning, **options):
    rollouts = Rollouts(
        [Stream(setup_of(), InOrder())],
        [],
        UpdatePlan(),
        problems_per_step=3,
        group_size=2,
        sampling=Sampling(),
        seed=0,
        rule=rule,
    )
    made = engine(None)
    table = by_problem(lambda group, attempt: 3 + 5 * (group % 4) * (1 + attempt) + made.weights)
    made._script = table
    return (InTurn(rollouts, made) if kind is InTurn else Ahead(rollouts, made, steps=steps, **options)), made


def trained(schedule, first=1, last=6, slow=0.0, weights=None):
    """Take the steps of a run; each changes the weights in place, as an optimizer does."""
    weights = Number(0) if weights is None else weights
    if first == 1:
        schedule.load(Handover(0, weights))
    batches = []
    for step in range(first, last + 1):
        batches.append(schedule.play(step, silent))
        time.sleep(slow)
        weights.value += 7
        schedule.load(Handover(step, weights))
    return batches, weights


def groups(batches):
    return [played.sampled for played in batches]


def test_ahead_without_a_lag_is_in_turn():
    for rule in (None, StepRule(2.0, None, 8), StepRule(1.5, 60, 3)):
        turn, _ = scheduled(InTurn, rule=rule)
        ahead, _ = scheduled(Ahead, rule=rule, max_lag=0)
        assert groups(trained(ahead)[0]) == groups(trained(turn)[0])


class Recording(Learning):
    """Keeps the order of the calls that concern its memory."""

    def __init__(self, script):
        super().__init__(script)
        self.calls = []
        self.asleep = False

    def load(self, version, weights):
        super().load(version, weights)
        self.calls.append(f"load {version}{' asleep' if self.asleep else ''}")

    def sleep(self):
        super().sleep()
        self.asleep = True
        self.calls.append("sleep")

    def wake(self):
        super().wake()
        self.asleep = False
        self.calls.append("wake")


@pytest.mark.parametrize("sleeps", [False, True])
def test_an_engine_that_shares_its_memory_takes_weights_before_it_wakes(sleeps):
    rollouts = Rollouts(
        [Stream(setup_of(), InOrder())],
        [],
        UpdatePlan(),
        problems_per_step=2,
        group_size=2,
        sampling=Sampling(),
        seed=0,
    )
    engine = Recording(by_problem(lambda group, attempt: 3))
    schedule = InTurn(rollouts, engine, sleeps=sleeps)
    schedule.load(Handover(0, Number(0)))
    for step in (1, 2):
        schedule.play(step, silent)
        schedule.rest()
        schedule.load(Handover(step, Number(step)))
    asleep = ["load 0", "sleep", "load 1 asleep", "wake", "sleep", "load 2 asleep", "wake"]
    assert engine.calls == (asleep if sleeps else ["load 0", "load 1", "load 2"])


@pytest.mark.parametrize("slow", [0.0, 0.05])
def test_a_lag_of_one_is_always_one(slow):
    schedule, _ = scheduled(Ahead, max_lag=1)
    batches, _ = trained(schedule, slow=slow)
    versions = [
        {version for group in played.sampled for episode in group.episodes for version in episode.versions}
        for played in batches
    ]
    assert versions == [{max(0, step - 2)} for step in range(1, 7)]
    again, _ = scheduled(Ahead, max_lag=1)
    assert groups(trained(again, slow=0.05 - slow)[0]) == groups(batches)


def test_the_engine_of_a_validation_has_the_newest_weights():
    schedule, made = scheduled(Ahead, max_lag=1)
    trained(schedule, last=3)
    with schedule.engine() as engine:
        assert (engine, engine.version, engine.weights) == (made, 3, 21)
    schedule.play(4, silent)


@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize("rule", [None, StepRule(2.0, None, 8)])
def test_batches_that_wait_are_in_the_checkpoint(lag, rule):
    whole, _ = scheduled(Ahead, max_lag=lag, rule=rule)
    expected = groups(trained(whole)[0])
    schedule, _ = scheduled(Ahead, max_lag=lag, rule=rule)
    first, weights = trained(schedule, last=3)
    episodes, state = schedule.state()
    schedule.close()
    again, _ = scheduled(Ahead, max_lag=lag, rule=rule)
    again.restore(episodes, state)
    again.load(Handover(3, weights))
    rest, _ = trained(again, first=4, weights=weights)
    assert groups(first) + groups(rest) == expected


@pytest.mark.parametrize("lag", [0, 1])
def test_a_step_without_a_lesson_is_not_waited_for_after_a_resumption(lag):
    """A run that ends since there is nothing to learn from has taken the batch of a step and not finished the step."""
    schedule, _ = scheduled(Ahead, max_lag=lag)
    _, weights = trained(schedule, last=2)
    schedule.play(3, silent)
    episodes, state = schedule.state()
    schedule.close()
    again, _ = scheduled(Ahead, max_lag=lag)
    again.restore(episodes, state)
    again.load(Handover(2, weights))
    taken = []
    reader = threading.Thread(target=lambda: taken.append(again.play(3, silent)), daemon=True)
    reader.start()
    reader.join(10)
    assert [group.problem.id.rpartition("/")[2] for group in taken[0].sampled] == ["9", "10", "11"]


def test_what_the_thread_raises_is_raised_by_whoever_waits():
    class Failing(Learning):
        def poll(self, timeout_s=None):
            if self.version == 2:
                raise EngineError("it has no power")
            return super().poll()

    schedule, _ = scheduled(Ahead, max_lag=1, engine=Failing)
    with pytest.raises(EngineError, match="no power"):
        trained(schedule)


@pytest.mark.parametrize("what", ["state", "engine"])
def test_what_the_thread_raises_is_raised_by_a_checkpoint_and_a_validation(what):
    """The step that it broke off is half played: a checkpoint of it would lose episodes."""

    class Failing(Learning):
        def poll(self, timeout_s=None):
            if self.version == 1:
                raise EngineError("it has no power")
            return super().poll()

    schedule, _ = scheduled(Ahead, max_lag=1, engine=Failing)
    trained(schedule, last=1)
    schedule._thread.join(10)
    with pytest.raises(EngineError, match="no power"), ExitStack() as stack:
        schedule.state() if what == "state" else stack.enter_context(schedule.engine())


def test_it_is_known_in_which_step_an_episode_began():
    for kind, options in ((InTurn, {}), (Ahead, {"max_lag": 1})):
        schedule, _ = scheduled(kind, **options)
        assert [set(played.begun.values()) for played in trained(schedule)[0]] == [{step} for step in range(1, 7)]


def test_a_run_ends_with_its_last_step():
    schedule, engine = scheduled(Ahead, max_lag=1, steps=3)
    trained(schedule, last=3)
    schedule._thread.join(10)
    assert not schedule._thread.is_alive()
    assert engine.version == 1


def test_a_step_that_older_weights_will_sample_is_played_before_the_state_is_kept():
    """However late its thread is, a resumed run would have only the newer weights for it."""
    schedule, _ = scheduled(Ahead, max_lag=1)
    weights = Number(0)
    schedule.load(Handover(0, weights))
    with schedule._using:  # the thread is held up before step 1
        schedule._next, schedule._newest = Handover(0, weights), Handover(1, weights)
        schedule._thread = threading.Thread(target=schedule._work, daemon=True)
        schedule._thread.start()
        kept = []
        reader = threading.Thread(target=lambda: kept.append(schedule.state()))
        reader.start()
        reader.join(0.3)
        assert not kept
    reader.join(10)
    ((_, state),) = kept
    assert [facts["step"] for facts in state["ready"]][:1] == [1]
