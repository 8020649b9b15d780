"""Episodes that outlive a step: the pool, its budget, what is left open and continued, and judging while others are
generated.
"""

from concurrent.futures import Future
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgym.envs.rules import unasked
from kgym.envs.setup import EnvSetup
from kgym.envs.vector import ReasoningVectorEnv
from kgym.errors import EngineError, VerifierError
from kgym.registry import configure
from kgym.rollout.episodes import EpisodePool, TokenBudget, play, play_groups
from kgym.rollout.groups import Rollouts, StepRule, Stream, teaches
from kgym.testing.engines import UniformEngine
from kgym.train.rl.statistics import rollout_metrics
from kgym.types import Sampling, UpdatePlan, Verdict
from lockstep import LockstepEngine

SEED = (0, "train")


@pytest.fixture(autouse=True, scope="module")
def _plugins():
    configure(["fixed_verdicts"])
    yield
    configure([])


def setup_of(**settings):
    return EnvSetup("arithmetic", {"max_tokens": 1000} | settings)


def started(setup, indices=(0,), attempts=(0,), pool=None, **more):
    pool = EpisodePool() if pool is None else pool
    for index in indices:
        problem = setup.problem(index)
        pool.start(setup, index, problem, attempts=attempts, seed_parts=SEED, sampling=Sampling(), **more)
    return pool


def of_length(lengths):
    """A script by the number of the attempt: so many characters."""
    return lambda request: "7" * lengths[int(request.id.rpartition("#")[2])]


# --- budgets ----------------------------------------------------------------------------------------------------------


@given(st.integers(0, 500), st.lists(st.lists(st.integers(1, 60), max_size=8), max_size=6))
def test_a_budget_gives_equal_shares_and_never_more_than_it_has(tokens, rounds):
    budget, used = TokenBudget(tokens), 0
    for wanted in rounds:
        given_ = budget.shares(wanted)
        assert all(0 <= share <= want for share, want in zip(given_, wanted, strict=True))
        used += sum(given_)
        assert used + budget.left == tokens >= used
        open_shares = {share for share, want in zip(given_, wanted, strict=True) if share < want}
        assert len(open_shares) <= 1


def test_a_step_samples_no_more_than_its_budget():
    pool = started(setup_of(), attempts=range(4))
    engine = LockstepEngine(of_length([5, 30, 200, 300]))
    budget = TokenBudget(160)
    while pool.advance(engine, budget):
        pass
    assert 150 <= pool.n_tokens <= 160  # equal shares: what is left is less than a token each
    assert pool.n_open == 2
    tokens = [episode.n_tokens for group in pool.groups for episode in group.episodes]
    assert tokens[:2] == [6, 31]
    assert abs(tokens[2] - tokens[3]) <= 1


# --- interrupted and continued ----------------------------------------------------------------------------------------


def test_what_was_interrupted_goes_on_and_is_the_same():
    setup = setup_of()
    (whole,) = play_groups(setup, UniformEngine(), [3], attempts=range(5), sampling=Sampling(), seed_parts=SEED)
    pool, engine = started(setup, [3], range(5)), UniformEngine()
    budget = TokenBudget(7)
    while pool.n_open:
        pool.advance(engine, budget)
        pool.pause(engine)
        budget = TokenBudget(7)
    (group,) = pool.finished()
    for one, other in zip(whole.episodes, group.episodes, strict=True):
        assert other.token_ids == one.token_ids
        assert (other.text, other.verdict, other.reward) == (one.text, one.verdict, one.reward)
    assert max(len(episode.segments) for episode in group.episodes) > 1


def test_versions_follow_the_weights():
    pool, engine = started(setup_of(), attempts=[0]), LockstepEngine(of_length([9]))
    pool.advance(engine, TokenBudget(4))
    pool.pause(engine)
    engine.load(3, None)
    (group,) = play(pool, engine)
    assert engine.requests[1].prefix_ids == tuple(map(ord, "7777"))
    (episode,) = group.episodes
    assert episode.versions == (0,) * 4 + (3,) * 6
    assert episode.text == "7" * 9


def test_an_episode_that_had_not_begun_has_no_piece():
    pool, engine = started(setup_of(), attempts=range(3)), LockstepEngine(of_length([2, 50, 50]), rows=1)
    pool.advance(engine)
    pool.pause(engine)
    assert [len(episode.pieces) for group in pool.groups for episode in group.episodes] == [1, 0, 0]
    (group,) = play(pool, engine)
    assert [episode.n_tokens for episode in group.episodes] == [3, 51, 51]


def test_an_interruption_is_no_segment_of_the_budget_of_segments():
    pool, engine = started(setup_of(max_segments=1), attempts=[0]), LockstepEngine(of_length([20]))
    engine.submit([])
    pool.advance(engine, TokenBudget(5))
    (group,) = pool.groups
    assert group.episodes[0].truncated  # a segment that its length ended counts

    pool, engine = started(setup_of(max_segments=1), attempts=[0, 1]), LockstepEngine(of_length([3, 20]))
    pool.advance(engine)
    pool.pause(engine)
    assert not pool.groups[0].episodes[1].ended
    (group,) = play(pool, engine)
    assert group.episodes[1].terminated
    assert len(group.episodes[1].segments) == 2


def test_episodes_that_are_too_old_are_counted_as_unscored():
    pool, engine = started(setup_of(), attempts=range(2), version=2), LockstepEngine(of_length([3, 90]))
    started(setup_of(), [1], range(2), pool, version=5)
    pool.advance(engine)
    pool.pause(engine)
    assert pool.drop(2) == 0
    assert pool.drop(3) == 1
    (group,) = pool.finished()
    old = group.episodes[1]
    assert (old.verdict.label, old.trainable, old.judged, old.truncated) == ("unscored:too_old", False, False, True)
    assert old.n_tokens > 0
    assert group.episodes[0].judged
    assert pool.n_open == 1


def test_an_episode_that_became_too_old_before_its_turn_has_no_long_prompt():
    pool, engine = started(setup_of(), attempts=range(3)), LockstepEngine(of_length([2, 50, 50]), rows=1)
    pool.advance(engine)
    pool.pause(engine)
    assert pool.drop(1) == 2
    (group,) = pool.finished()
    assert [episode.n_tokens for episode in group.episodes] == [3, 0, 0]
    assert not any(map(unasked, group.episodes))


# --- what an engine may do wrong --------------------------------------------------------------------------------------


class Losing(LockstepEngine):
    def poll(self, timeout_s=None):
        self._open.clear()
        return []


class Inventing(LockstepEngine):
    def _end(self, name, reason):
        super()._end(name, reason)
        (segment,) = self._back[-1:]
        self._back[-1] = type(segment)(str(segment), request_id="other")


class Wordy(LockstepEngine):
    def poll(self, timeout_s=None):
        return list(map(str, super().poll()))


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        (Losing, "no segment for 1 open requests"),
        (Inventing, "'other', which was not asked for"),
        (Wordy, "returned str instead of a Segment"),
    ],
)
def test_an_engine_that_breaks_its_word_is_named(engine, message):
    with pytest.raises(EngineError, match=message):
        play(started(setup_of()), engine(of_length([3])))


# --- checkpoints ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [3, 11, 40])
def test_a_pool_that_is_put_away_and_restored_goes_on_the_same(budget):
    setup = setup_of()
    lengths = [3, 40, 90, 1]

    def half():
        pool, engine = started(setup, [2, 7], range(4), version=4), LockstepEngine(of_length(lengths))
        pool.advance(engine, TokenBudget(8 * budget))
        pool.pause(engine)
        return pool, engine

    pool, engine = half()
    expected = [group.group() for group in play(pool, engine)]
    pool, engine = half()
    episodes, groups = pool.state()
    bare = [replace(episode, problem=replace(episode.problem, solution=""), prompt=()) for episode in episodes]
    again = EpisodePool()
    again.restore(bare, groups, {"": setup}, Sampling())
    assert again.n_open == pool.n_open
    assert [group.group() for group in play(again, engine)] == expected


# --- the groups of a step ---------------------------------------------------------------------------------------------


class InOrder:
    """A sampler: 0, 1, 2, ..."""

    def __init__(self):
        self.asked, self.verdicts = 0, []

    def next(self, n, step):
        self.asked += n
        return range(self.asked - n, self.asked)

    def update(self, index, verdicts):
        self.verdicts.append((index, len(verdicts)))

    def state_dict(self):
        return {"asked": self.asked}

    def load_state_dict(self, state):
        self.asked = state["asked"]


def rollouts_of(lengths, rule=None, n=2, size=2, **settings):
    rollouts = Rollouts(
        [Stream(setup_of(**settings), InOrder())],
        [],
        UpdatePlan(),
        problems_per_step=n,
        group_size=size,
        sampling=Sampling(),
        seed=0,
        rule=rule,
    )
    return rollouts, LockstepEngine(lengths)


def by_problem(table):
    """A script: the length by the problem's place in its source and the attempt."""
    return lambda request: "7" * table(int(request.id.partition("/")[0]), int(request.id.rpartition("#")[2]))


def silent(done, total):
    """Progress that no one watches."""


def test_a_step_ends_when_its_groups_are_complete_and_the_others_go_on():
    rollouts, engine = rollouts_of(by_problem(lambda group, attempt: 10 if group % 2 else 100), StepRule(2.0, None, 8))
    first = rollouts.play(engine, 1, silent)
    assert [[episode.n_tokens for episode in group.episodes] for group in first.sampled] == [[11, 11], [11, 11]]
    assert (first.carried, first.left_open, first.dropped) == (0, 4, 0)
    assert first.n_tokens == 4 * 11 + 4 * 11
    assert first.open_lengths == [11] * 4
    engine.load(1, None)
    second = rollouts.play(engine, 2, silent)
    assert second.carried == 4
    ended = [episode.n_tokens for group in second.sampled for episode in group.episodes]
    lengths = [*ended, *second.open_lengths]  # those of long completions among them, which no step has trained on yet
    assert (
        rollout_metrics(second, 2)["rollout/tokens_sampled_mean"]
        == sum(lengths) / len(lengths)
        > sum(ended) / len(ended)
    )
    engine.load(2, None)
    steps = [second, *(rollouts.play(engine, step, silent) for step in range(3, 14))]
    long = [group for played in steps for group in played.sampled if group.episodes[0].n_tokens == 101]
    assert long
    assert all(len(set(episode.versions)) > 1 for group in long[:1] for episode in group.episodes)


def test_groups_that_are_too_old_end_and_every_group_leaves():
    rollouts, engine = rollouts_of(by_problem(lambda group, attempt: 10 if group % 2 else 900), StepRule(2.0, None, 2))
    seen = []
    for step in range(1, 8):
        played = rollouts.play(engine, step, silent)
        seen += [group.problem.id for group in played.sampled]
        engine.load(step, None)
        if played.dropped:
            reasons = {episode.verdict.reason for group in played.sampled for episode in group.episodes}
            assert "too_old" in reasons
    begun = rollouts.streams[0].sampler.asked
    assert len(seen) == len(set(seen)) == begun - len(rollouts.pool.groups)


def test_every_group_that_teaches_is_in_the_batch():
    """Of a round more groups may be complete than are missing."""
    setup = setup_of()

    def script(request):
        group, attempt = int(request.id.partition("/")[0]), int(request.id.rpartition("#")[2])
        right = attempt == 0 and (group == 3 or group >= 6)
        return f"\\boxed{{{setup.problem(group).gold if right else '0'}}}".ljust(30)

    rollouts = Rollouts(
        [Stream(setup, InOrder())],
        [],
        UpdatePlan(max_rounds=3),
        problems_per_step=3,
        group_size=2,
        sampling=Sampling(),
        seed=0,
        rule=StepRule(2.0, None, 8),
    )
    played = rollouts.play(LockstepEngine(script), 1, silent)
    assert (played.rounds, len(played.sampled)) == (2, 10)
    teaching = [group.problem.id for group in played.sampled if teaches(group)]
    assert sorted(group.problem.id for group in played.batch) == sorted(teaching)
    assert len(teaching) == 5


def test_a_budget_without_a_complete_group_is_renewed():
    rollouts, engine = rollouts_of(lambda request: "7" * 100, StepRule(1.0, 40, 8))
    played = rollouts.play(engine, 1, silent)
    assert len(played.sampled) == 2
    assert played.n_tokens == 4 * 101


def test_partial_without_a_budget_is_sync():
    table = by_problem(lambda group, attempt: 3 + 7 * group + attempt)
    (sync, one), (partial, other) = rollouts_of(table), rollouts_of(table, StepRule(1.0, None, 8))
    for step in range(1, 4):
        a, b = sync.play(one, step, silent), partial.play(other, step, silent)
        assert a.sampled == b.sampled
        assert a.n_tokens == b.n_tokens
        one.load(step, None), other.load(step, None)
    assert one.requests == other.requests


def test_attempts_are_numbered_within_the_run():
    class Same(InOrder):
        def next(self, n, step):
            return [5] * n

    rollouts, engine = rollouts_of(lambda request: "7")
    rollouts.streams[0].sampler = Same()
    attempts = [
        [episode.attempt for group in rollouts.play(engine, step, silent).sampled for episode in group.episodes]
        for step in (1, 2)
    ]
    assert attempts == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert len({request.seed for request in engine.requests}) == 8


def test_environments_get_their_shares_over_the_run():
    streams = [Stream(setup_of(), InOrder(), "a", 3.0), Stream(setup_of(), InOrder(), "b", 1.0)]
    rollouts = Rollouts(streams, [], UpdatePlan(), problems_per_step=3, group_size=1, sampling=Sampling(), seed=0)
    engine = LockstepEngine(lambda request: "7")
    labels = [label for step in range(1, 9) for label in rollouts.play(engine, step, silent).labels]
    assert (labels.count("a"), labels.count("b")) == (18, 6)
    assert all(labels[:n].count("b") in (n // 4, n // 4 + 1) for n in range(3, 24, 3))


# --- judging while generating -----------------------------------------------------------------------------------------


class Noting:
    """A verifier that notes when it is called, and takes its own time."""

    batched = False

    def __init__(self, engine):
        self.asked, self.futures, self._engine = [], [], engine

    def submit(self, item):
        self.asked.append(self._engine.steps)
        self.futures.append(Future())
        return self.futures[-1]


def test_each_episode_is_judged_as_soon_as_it_has_ended():
    setup, engine = setup_of(), LockstepEngine(of_length([2, 50, 90]))
    setup.verifier = verifier = Noting(engine)
    pool = started(setup, attempts=range(3))
    while pool.n_open:
        pool.advance(engine)
    assert verifier.asked == [3, 51, 91]  # and generation waited for none of them
    episodes = pool.groups[0].episodes
    assert [episode.verdict for episode in episodes] == [None, None, None]
    for future in verifier.futures[::-1]:
        future.set_result(Verdict("correct"))
    (group,) = pool.finished()
    assert [episode.reward for episode in group.episodes] == [1.0, 1.0, 1.0]


class Together:
    """A verifier that judges by a model, as the registry would describe it."""

    batched = True

    def __init__(self):
        self.calls = []

    def verify_many(self, items):
        self.calls.append(len(items))
        return [Verdict("correct") for _ in items]


def test_a_verifier_that_judges_by_a_model_is_asked_once_about_a_step():
    setup, engine = setup_of(), LockstepEngine(of_length([2, 50, 90]))
    setup.verifier = verifier = Together()
    groups = play_groups(setup, engine, [0, 1], attempts=range(3), sampling=Sampling(), seed_parts=SEED)
    assert verifier.calls == [6]
    assert [group.rewards for group in groups] == [[1.0] * 3] * 2

    pool = started(setup, [0, 1], range(3))
    while pool.n_ended_groups < 1:
        pool.advance(engine)
    pool.pause(engine)
    pool.state()
    assert verifier.calls == [6, 6]  # what is kept has its verdicts
    pool.finished()
    assert verifier.calls == [6, 6]


def test_a_verifier_that_hangs_on_everything_is_given_up(caplog):
    setup, engine = setup_of(), LockstepEngine(lambda request: "7")
    setup.verifier = verifier = Noting(engine)
    pool = started(setup, attempts=range(50))
    pool.advance(engine)
    for future in verifier.futures[:20]:
        future.set_result(Verdict("unscored", "timeout"))
    (group,) = pool.finished()
    assert {episode.verdict.label for episode in group.episodes} == {"unscored:timeout"}
    assert "30 more that wait are given up" in caplog.text
    assert all(future.done() for future in verifier.futures)


def test_a_verifier_that_cannot_be_built_is_an_error():
    setup, engine = setup_of(), LockstepEngine(lambda request: "7")
    setup.verifier = verifier = Noting(engine)
    pool = started(setup)
    pool.advance(engine)
    verifier.futures[0].set_exception(VerifierError("cannot be built"))
    with pytest.raises(VerifierError, match="cannot be built"):
        pool.finished()


@pytest.mark.parametrize("name", ["even-length", "integer"])
def test_judging_in_the_background_gives_the_verdicts_of_the_gymnasium_environment(name):
    settings = {"max_tokens": 6, "verifier": name} if name == "integer" else {"max_tokens": 6}
    env = ReasoningVectorEnv("arithmetic", num_envs=4, group_size=4, **settings)
    env.reset(options={"indices": [2]})
    engine = LockstepEngine(lambda request: ["\\boxed{7}", "7", "", "12345678"][int(request.id[-1])])
    (group,) = play_groups(env.setup, engine, [2], attempts=range(4), sampling=Sampling(), seed_parts=SEED)
    _, rewards, terminated, truncated, _ = env.step([episode.segments[0] for episode in group.episodes])
    assert [episode.reward for episode in group.episodes] == rewards.tolist()
    assert [episode.verdict for episode in group.episodes] == [episode.verdict for episode in env.episodes]
    assert [episode.terminated for episode in group.episodes] == terminated.tolist()
    assert [episode.truncated for episode in group.episodes] == truncated.tolist()


# --- cut into segments ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_answer_cut_into_ten_segments_is_the_uncut_one_to_the_last_bit(temperature):
    """Of the built-in engine, under constant weights: tokens, log-probabilities, verdict and reward."""
    from kgym.models.names import resolve_model
    from kgym.rollout.engine import make_engine

    setup = EnvSetup("aime", {"difficulty": 1})
    engine = make_engine("transformers", {}, resolve_model("nano"))
    asked = {"attempts": range(4), "sampling": Sampling(temperature=temperature), "seed_parts": SEED}
    whole = play_groups(setup, engine, range(6), **asked)
    longest = max(episode.n_tokens for group in whole for episode in group.episodes)
    cut = play_groups(setup, engine, range(6), **asked, segment_tokens=-(-longest // 10))
    assert max(len(episode.segments) for group in cut for episode in group.episodes) == 10
    for one, other in zip(whole, cut, strict=True):
        for a, b in zip(one.episodes, other.episodes, strict=True):
            assert (a.token_ids, a.engine_logprobs, a.text) == (b.token_ids, b.engine_logprobs, b.text)
            assert (a.verdict, a.reward, a.terminated) == (b.verdict, b.reward, b.terminated)
