"""Ranks share out groups and completions, and continue with the same ones: as threads here, as processes in
test_several_ranks.py.
"""

import random
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kgym.algorithms.batch import deal, pack
from kgym.envs.mixture import members
from kgym.envs.spec import EnvSpec
from kgym.errors import ComponentError, ConfigError
from kgym.keys import load_config
from kgym.models.placement import placement
from kgym.registry import configure
from kgym.score.harness import Evaluation
from kgym.testing.engines import UniformEngine
from kgym.train.rl.streams import check_schedule, make_rollouts
from kgym.types import UpdatePlan
from kgym.world import ALONE, RankLost, is_loss
from thread_ranks import on_ranks


@pytest.fixture(autouse=True, scope="module")
def _plugins():
    configure(["fixed_verdicts"])
    yield
    configure([])


# --- a world ----------------------------------------------------------------------------------------------------------


def test_a_process_without_a_launcher_is_a_world_of_one(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    assert (ALONE.first, ALONE.size, ALONE.gather("a"), ALONE.broadcast(3), list(ALONE.share("abc"))) == (
        True,
        1,
        ["a"],
        3,
        list("abc"),
    )
    assert not is_loss(RuntimeError("Connection closed by peer"))  # there is no other rank
    assert is_loss(RankLost("gone"))


@settings(max_examples=30, deadline=None)
@given(items=st.lists(st.integers(), max_size=9), size=st.integers(1, 4))
def test_shares_are_merged_in_the_order_they_had(items, size):
    def work(world):
        return list(world.share(items)), world.merge(world.share(items)), world.quota(len(items))

    found = on_ranks(size, work)
    assert sorted(item for share, _, _ in found for item in share) == sorted(items)
    assert [merged for _, merged, _ in found] == [items] * size
    assert [len(share) for share, _, _ in found] == [quota for _, _, quota in found]


def test_sums_count_what_a_rank_lacks_as_nothing():
    found = on_ranks(3, lambda world: world.sums({"a": 1.0 + world.rank} | ({"b": 5.0} if world.rank == 1 else {})))
    assert found == [{"a": 6.0, "b": 5.0}] * 3


# --- rollouts ---------------------------------------------------------------------------------------------------------


def configuration(**more):
    values = {"env.name": "arithmetic", "rollout.problems_per_step": 5, "rollout.group_size": 4, "env.max_tokens": 6}
    values |= {"env.truncated": "score", "verifier": "even-length", "sampler": "curriculum"} | more
    return load_config(None, [f"{key}={value}" for key, value in values.items()])


def subject(plan, world=ALONE, **more):
    config = configuration(**more)
    return make_rollouts(config, members(config), plan, world)


def steps(rollouts, numbers, engine=None):
    engine = engine or UniformEngine("0123")
    return [plain(rollouts.play(engine, step, lambda done, total: None)) for step in numbers]


def plain(played):
    """What a step played, without times."""
    groups = [
        (group.problem.id, group.rewards, [(e.attempt, e.text, e.verdict) for e in group.episodes])
        for group in played.sampled
    ]
    greedy = [(group.problem.id, group.rewards, group.episodes[0].text) for group in played.greedy]
    batch = [group.problem.id for group in played.batch]
    return (
        groups,
        greedy,
        batch,
        played.rounds,
        played.n_tokens,
        played.begun,
        played.left_open,
        sorted(played.open_lengths),
    )


@pytest.mark.parametrize("size", [2, 3, 7])
@pytest.mark.parametrize(
    "plan", [UpdatePlan(), UpdatePlan(max_rounds=20), UpdatePlan(needs_greedy=True)], ids=["once", "rounds", "greedy"]
)
def test_ranks_play_what_one_rank_plays(size, plan):
    alone = subject(plan)
    expected = steps(alone, [1, 2, 3]), alone.state()[1]["samplers"]

    def work(world):
        rollouts = subject(plan, world)
        return steps(rollouts, [1, 2, 3]), rollouts.state()[1]["samplers"]

    assert on_ranks(size, work) == [expected] * size


def test_each_rank_asks_its_own_engine_for_its_own_part():
    def work(world):
        engine = UniformEngine("0123")
        submitted = []
        submit = engine.submit
        engine.submit = lambda requests: (submitted.extend(request.id for request in requests), submit(requests))[1]
        steps(subject(UpdatePlan(), world), [1], engine)
        return submitted

    one, other = on_ranks(2, work)
    assert (len(one), len(other)) == (3 * 4, 2 * 4)
    assert not set(one) & set(other)


PARTIAL = {"rollout.schedule": "partial", "rollout.oversample": 2, "rollout.segment_tokens": 2, "rollout.max_age": 3}


@pytest.mark.parametrize("more", [{}, {"rollout.step_tokens": 60}], ids=["groups", "tokens"])
def test_ranks_keep_episodes_open_and_agree_on_all_of_them(more):
    def work(world):
        rollouts = subject(UpdatePlan(), world, **PARTIAL | more)
        return steps(rollouts, range(1, 6)), [episode.id for episode in rollouts.state()[0]]

    one, other = on_ranks(2, work)
    assert one == other
    played, open_ids = one
    assert any(left_open for *_, left_open, _ in played)
    assert len(set(open_ids)) == len(open_ids)
    finished = [
        f"{problem}#{attempt}" for groups, *_ in played for problem, _, episodes in groups for attempt, _, _ in episodes
    ]
    assert len(set(finished)) == len(finished)
    assert not set(finished) & set(open_ids)


def test_no_group_is_left_waiting_on_a_rank_when_ranks_are_more_than_groups_of_a_step():
    more = PARTIAL | {"rollout.problems_per_step": 1, "rollout.oversample": 3}

    def work(world):
        rollouts = subject(UpdatePlan(), world, **more)
        engine, dropped = UniformEngine("0123"), 0
        for step in range(1, 9):
            engine.version = step - 1
            dropped += rollouts.play(engine, step, lambda done, total: None).dropped
        return dropped

    assert on_ranks(3, work) == [0] * 3


@pytest.mark.parametrize("resumed", [1, 2, 3])
def test_open_episodes_are_dealt_out_again_on_any_number_of_ranks(resumed):
    more = PARTIAL | {"rollout.step_tokens": 60}
    before = on_ranks(2, lambda world: keep(subject(UpdatePlan(), world, **more)))
    assert before[0] == before[1]
    _, episodes, state = before[0]
    assert episodes

    def work(world):
        rollouts = subject(UpdatePlan(), world, **more)
        rollouts.restore([replace(episode, pieces=list(episode.pieces)) for episode in episodes], state)
        own = len(rollouts.pool.groups)
        again = rollouts.state()
        return own, [episode.id for episode in again[0]], steps(rollouts, [4, 5])

    found = on_ranks(resumed, work)
    assert sum(own for own, _, _ in found) == len(state["pool"]["groups"])
    assert max(own for own, _, _ in found) - min(own for own, _, _ in found) <= (1 if resumed != 2 else 9)
    assert [ids for _, ids, _ in found] == [[episode.id for episode in episodes]] * resumed
    assert len({repr(later) for _, _, later in found}) == 1
    if resumed == 2:  # the same ranks have the same groups as before: the run goes on exactly
        straight = on_ranks(2, lambda world: steps(subject(UpdatePlan(), world, **more), range(1, 6)))
        assert [later for _, _, later in found] == [whole[3:] for whole in straight]


def keep(rollouts):
    steps(rollouts, [1, 2, 3])
    episodes, state = rollouts.state()
    return [episode.id for episode in episodes], episodes, state


def test_a_sampler_that_differs_between_ranks_is_named():
    def work(world):
        rollouts = subject(UpdatePlan(), world, sampler="uniform")
        sampler = rollouts.streams[0].sampler
        sampler.next = lambda n, step: random.Random(world.rank).sample(range(1000), n)
        return steps(rollouts, [1])

    with pytest.raises(
        ComponentError, match=r"uniform.*chose other problems on rank 1 than on rank 0 \(\[.*\] and \[.*\]\)"
    ):
        on_ranks(2, work)


def test_batches_ahead_whose_weights_depend_on_timing_are_for_one_rank():
    config = configuration(**{"rollout.schedule": "ahead", "rollout.max_lag": 2, "engine.name": "transformers"})
    check_schedule(config, 1)
    with pytest.raises(ConfigError, match=r"rollout\.max_lag=2 .* 2 ranks .* use 0 or 1"):
        check_schedule(config, 2)


# --- validations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2, 3])
def test_ranks_score_what_one_rank_scores(size):
    evaluation = Evaluation(EnvSpec.of("arithmetic", "validation", {"max_tokens": 8}), problems=11, samples=3, slots=8)
    expected = evaluation.run(UniformEngine("0123")).to_json()

    def work(world):
        engine = UniformEngine("0123")
        progress = []
        found = evaluation_of().run(engine, world=world, progress=lambda at: progress.append((at.done, at.total)))
        assert progress[-1][1] == 33
        return found.to_json()

    def evaluation_of():
        return Evaluation(EnvSpec.of("arithmetic", "validation", {"max_tokens": 8}), problems=11, samples=3, slots=8)

    assert on_ranks(size, work) == [expected] * size


def test_ranks_of_a_machine_share_its_processors_and_its_memory(monkeypatch):
    from kgym.limits import PoolLimits
    from kgym.train import memory

    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.setattr(memory, "_system_bytes", lambda: 1000)
    monkeypatch.setattr(memory, "_cgroup_bytes", list)
    monkeypatch.setattr(memory, "_limit_bytes", list)
    for ranks, workers, available in ((1, 8, 1000), (3, 2, 333), (16, 1, 62)):
        for name, value in (("RANK", 0), ("WORLD_SIZE", ranks), ("LOCAL_WORLD_SIZE", ranks)):
            monkeypatch.setenv(name, str(value))
        assert PoolLimits().n_workers == workers
        assert PoolLimits(workers=5).n_workers == 5
        assert memory.available_bytes(torch.device("cpu")) == available


def test_a_rank_has_its_own_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, "1")
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "2")
    assert placement("auto", "float32")[0] == placement("cuda", "float32")[0] == "cuda:1"
    assert placement("cpu", "auto")[0] == "cpu"
    with pytest.raises(ConfigError, match="cuda:0: each of the 2 ranks of this machine needs its own GPU"):
        placement("cuda:0", "auto")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match="this machine has 2 ranks and 1 GPUs"):
        placement("auto", "auto")


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    groups=st.lists(st.integers(0, 3), min_size=12, max_size=12),
    n=st.integers(1, 5),
)
def test_groups_are_dealt_out_whole_and_once(lengths, groups, n):
    group_ids = groups[: len(lengths)]
    batch = pack(
        prompt_ids=[[1]] * len(lengths),
        token_ids=[[2] * length for length in lengths],
        rewards=[0.0] * len(lengths),
        group_ids=group_ids,
    )
    dealt = deal(batch, n)
    assert len(dealt) == n
    assert sorted(episode for part in dealt for episode in part) == list(range(len(lengths)))
    owners = [{group_ids[episode] for episode in part} for part in dealt]
    assert sum(map(len, owners)) == len(set(group_ids))
    tokens = [sum(lengths[episode] + 1 for episode in part) for part in dealt]
    largest = max(
        sum(length + 1 for length, group in zip(lengths, group_ids, strict=False) if group == one) for one in group_ids
    )
    assert max(tokens) - min(tokens) <= largest
