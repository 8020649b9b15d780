"""Many environments: groups, masks, one batch of verdicts a step, and that each slot is as it would be alone."""

import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st

import kgym  # noqa: F401  (registers)
import tiny_env
from kgym.envs.env import ReasoningEnv
from kgym.envs.registration import register_envs
from kgym.envs.spec import EnvSpec
from kgym.envs.vector import ReasoningVectorEnv
from kgym.errors import ConfigError, EnvError, UnknownName
from kgym.registry import configure
from kgym.testing.envs import piece

RIGHT = r"\boxed{11}"  # of problem 0


@pytest.fixture(autouse=True, scope="module")
def tiny():
    configure(["tiny_env"])
    register_envs()
    yield
    configure()
    register_envs()


def started(num_envs=4, group_size=2, indices=(0, 1), **settings):
    env = ReasoningVectorEnv("tiny", num_envs=num_envs, group_size=group_size, **settings)
    env.reset(options={"indices": indices})
    return env


@pytest.mark.parametrize("name", ["kgym/aime-v1", "kgym/arithmetic-v0"])
def test_make_vec_with_256_slots_in_groups_of_16(name):
    env = gymnasium.make_vec(name, num_envs=256, group_size=16)
    assert env.metadata["autoreset_mode"] is AutoresetMode.DISABLED
    chats, infos = env.reset(seed=1)
    assert chats in env.observation_space
    assert env.action_space.sample() in env.action_space
    assert len(chats) == 256
    ids = infos["problem_id"].reshape(16, 16)
    assert (ids == ids[:, :1]).all()
    assert len(set(ids[:, 0])) == 16
    right = [f"\\boxed{{{episode.problem.gold}}}" for episode in env.episodes]
    assert tuple(right) in env.action_space
    _, rewards, terminations, truncations, infos = env.step(right)
    assert rewards.tolist() == [1.0] * 256
    assert terminations.all()
    assert not truncations.any()
    assert set(infos["status"]) == {"correct"}
    env.close()


def test_group_members_share_the_problem_and_are_told_apart_by_their_attempt():
    env = started(num_envs=6, group_size=3, indices=[4, 2])
    assert [episode.problem.id for episode in env.episodes] == ["tiny/train/4"] * 3 + ["tiny/train/2"] * 3
    assert [episode.attempt for episode in env.episodes] == [0, 1, 2, 0, 1, 2]
    env.reset(options={"indices": [1, 1], "attempt_offset": 5})
    assert [episode.attempt for episode in env.episodes] == [5, 6, 7, 5, 6, 7]
    assert env.indices == [1, 1]


@pytest.mark.parametrize(("num_envs", "group_size"), [(5, 2), (0, 1), (4, 0), (2, 4)])
def test_groups_have_to_fill_the_slots(num_envs, group_size):
    with pytest.raises(ConfigError, match="num_envs"):
        ReasoningVectorEnv("tiny", num_envs=num_envs, group_size=group_size)


def test_a_seed_decides_the_problems():
    one, other = (ReasoningVectorEnv("arithmetic", num_envs=8, group_size=2) for _ in range(2))
    one.reset(seed=9)
    other.reset(seed=9)
    assert one.indices == other.indices
    one.reset()
    assert one.indices != other.indices
    other.reset()
    assert one.indices == other.indices


# --- one batch of verdicts a step


def test_all_that_ends_in_a_step_is_judged_at_once():
    tiny_env.Moody.batches.clear()
    env = started(verifier="moody")
    env.step(["11", "wrong", piece("12", "length"), None])
    assert tiny_env.Moody.batches == [2]
    env.step([None, None, piece(""), "slow"])
    assert tiny_env.Moody.batches == [2, 2]
    assert [episode.reward for episode in env.episodes] == [1.0, 0.0, 1.0, 0.0]
    assert [episode.trainable for episode in env.episodes] == [True, True, True, False]


def test_no_answer_no_call():
    tiny_env.Moody.batches.clear()
    env = started(verifier="moody")
    env.step([None] * 4)
    env.step([piece("1", "length")] * 4)
    env.step([piece("1", "length", n_tokens=10)] * 4)  # cut by the budget, and not looked at under the rule `zero`
    assert tiny_env.Moody.batches == []
    assert all(episode.truncated for episode in env.episodes)


# --- steps


def test_rewards_are_of_the_step_and_ends_stay():
    env = started()
    _, rewards, terminations, truncations, infos = env.step(
        [RIGHT, piece("x", "length", n_tokens=10), piece("y", "length"), None]
    )
    assert rewards.tolist() == [1.0, 0.0, 0.0, 0.0]
    assert terminations.tolist() == [True, False, False, False]
    assert truncations.tolist() == [False, True, False, False]
    assert infos["_status"].tolist() == [True, True, True, False]
    chats, rewards, terminations, truncations, infos = env.step([None, None, piece(r"\boxed{12}"), None])
    assert rewards.tolist() == [0.0, 0.0, 1.0, 0.0]
    assert terminations.tolist() == [True, False, True, False]
    assert infos["status"].tolist() == ["correct", "wrong", "correct", "open"]
    assert infos["_status"].tolist() == [False, False, True, False]
    assert chats[2][-1].content == r"y\boxed{12}"


def test_infos_have_one_type_for_each_key():
    env = ReasoningVectorEnv("tiny", num_envs=2)
    for infos in (env.reset()[1], env.step(["x", None])[-1]):
        types = {key: array.dtype for key, array in infos.items()}
        assert {key for key, dtype in types.items() if dtype == np.bool_} == {
            key for key in infos if key.startswith("_")
        }
        assert {key for key, dtype in types.items() if dtype == np.int64} == {
            "index",
            "level",
            "tokens",
            "segments",
            "turns",
        }
        assert types["score"] == np.float64
        assert {type(text) for text in infos["status"]} == {str}


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (["x"] * 3, "3 actions for 4 slots"),
        (["x", "x", 3, "x"], "str or Segment"),
        (["x", None, None, "again"], "slot 3 has an action, but its episode has ended"),
    ],
)
def test_a_refused_step_changes_nothing(actions, message):
    env = started()
    env.step([None, None, None, "done"])
    with pytest.raises(EnvError, match=message):
        env.step(actions)
    assert [len(episode.segments) for episode in env.episodes] == [0, 0, 0, 1]


def test_calls_out_of_order_are_refused():
    env = ReasoningVectorEnv("tiny", num_envs=2)
    for call in (lambda: env.step(["x", "x"]), lambda: env.episodes, env.groups):
        with pytest.raises(EnvError, match="reset"):
            call()
    with pytest.raises(EnvError, match="first reset"):
        env.reset(options={"reset_mask": np.array([True, False])})


# --- resets


def test_a_mask_resets_whole_groups_and_leaves_the_others():
    env = started(num_envs=6, group_size=2, indices=[0, 1, 2])
    env.step(["x"] * 6)
    kept = env.episodes[2:4]
    mask = np.array([True, True, False, False, True, True])
    chats, infos = env.reset(options={"reset_mask": mask, "indices": [3, 4], "attempt_offset": 2})
    assert env.indices == [3, 1, 4]
    assert all(a is b for a, b in zip(env.episodes[2:4], kept, strict=True))
    assert [episode.attempt for episode in env.episodes] == [2, 3, 0, 1, 2, 3]
    assert infos["status"].tolist() == ["open", "open", "no_answer", "no_answer", "open", "open"]
    assert infos["_status"].tolist() == mask.tolist()
    assert [len(chat) for chat in chats] == [2, 2, 3, 3, 2, 2]
    env.step([*["y"] * 2, None, None, *["y"] * 2])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"indices": [0]}, ConfigError, "1 indices for 2 groups"),
        ({"indices": [0, 9]}, ConfigError, "index=9"),
        ({"indices": [0, -1]}, ConfigError, "index=-1"),
        ({"indices": [0, 2**63]}, ConfigError, "the largest number of an array"),
        ({"indices": 0}, ConfigError, "indices=0 has to be a list"),
        ({"index": 0}, UnknownName, "did you mean 'indices'"),
        ({"attempt_offset": -1}, ConfigError, "attempt_offset"),
        ({"reset_mask": np.array([True, False, False, False])}, ConfigError, "cuts through a group"),
        ({"reset_mask": [True, True, False, False]}, ConfigError, "bool array"),
        ({"reset_mask": np.zeros(4, dtype=bool)}, ConfigError, "True in it"),
        (
            {"reset_mask": np.array([True, True, False, False]), "indices": [0, 1]},
            ConfigError,
            "2 indices for 1 groups",
        ),
    ],
)
def test_a_refused_reset_changes_nothing(options, error, message):
    env = started()
    before = env.episodes
    with pytest.raises(error, match=message):
        env.reset(options=options)
    assert all(a is b for a, b in zip(env.episodes, before, strict=True))
    assert env.indices == [0, 1]


def test_indices_may_come_as_an_array():
    assert started(indices=np.array([3, 1])).indices == [3, 1]


# --- groups


def test_groups_have_the_rewards_of_their_episodes():
    env = started()
    with pytest.raises(EnvError, match="4 of 4 episodes are still open"):
        env.groups()
    env.step([RIGHT, "x", "x", r"\boxed{12}"])
    groups = env.groups()
    assert [group.rewards for group in groups] == [[1.0, 0.0], [0.0, 1.0]]
    assert [group.problem.id for group in groups] == ["tiny/train/0", "tiny/train/1"]
    assert [episode for group in groups for episode in group.episodes] == env.episodes
    groups[0].rewards[0] = 7.0  # shaping changes the group and not the record
    assert env.groups()[0].rewards == [1.0, 0.0]


# --- as alone

ACTIONS = st.lists(
    st.sampled_from(
        [
            r"\boxed{11}",
            r"\boxed{12}",
            "no",
            piece("a", "length"),
            piece("b", "abort", n_tokens=6),
            piece(r"\boxed{13}"),
            None,
        ]
    ),
    min_size=4,
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(ACTIONS, max_size=5), rule=st.sampled_from(["zero", "score", "mask"]))
def test_each_slot_is_as_it_would_be_alone(steps, rule):
    env = started(truncated=rule)
    alone = [ReasoningEnv("tiny", truncated=rule) for _ in range(4)]
    for slot, single in enumerate(alone):
        single.reset(options={"index": slot // 2, "attempt_offset": slot % 2})
    for actions in steps:
        ends = [episode.terminated or episode.truncated for episode in env.episodes]
        allowed = [None if end else action for end, action in zip(ends, actions, strict=True)]
        chats, rewards, terminations, truncations, infos = env.step(allowed)
        for slot, action in enumerate(allowed):
            if action is not None:
                many = (
                    chats[slot],
                    rewards[slot],
                    terminations[slot],
                    truncations[slot],
                    {key: infos[key][slot] for key in infos if key[0] != "_"},
                )
                assert many == alone[slot].step(action)
    assert env.episodes == [single.episode for single in alone]


def test_an_episode_does_not_depend_on_its_slot():
    one, other = started(indices=[0, 1]), started(indices=[1, 0])
    answers = [RIGHT, "x", piece("y", "length"), r"\boxed{12}"]
    one.step(answers)
    other.step(answers[2:] + answers[:2])
    assert one.episodes == other.episodes[2:] + other.episodes[:2]


def test_copies_and_pickles():
    env = started(verifier="moody", add=2)
    env.step(["12", None, None, piece("q", "length")])
    twin = pickle.loads(pickle.dumps(env))
    assert twin.episodes == env.episodes
    assert twin.spec_facts() == env.spec_facts() == ReasoningEnv("tiny", verifier="moody", add=2).spec_facts()
    twin.step([None, "12", "13", "13"])
    assert [group.rewards for group in twin.groups()] == [[1.0, 1.0], [1.0, 1.0]]


def test_gymnasiums_own_vectorisation_works_too():
    env = gymnasium.make_vec("tests/tiny-v3", num_envs=3, vectorization_mode="sync")
    chats, infos = env.reset(seed=2, options={"index": 0})
    assert chats in env.observation_space
    assert set(infos["status"]) == {"open"}
    _, rewards, terminations, _, infos = env.step((RIGHT, "no", r"\boxed{1}"))
    assert rewards.tolist() == [1.0, 0.0, 0.0]
    assert terminations.all()
    assert infos["status"].tolist() == ["correct", "no_answer", "wrong"]
    env.close()


@pytest.mark.parametrize("context", ["spawn", "forkserver"])
def test_each_slot_may_be_a_process(context):
    kwargs = {"shared_memory": False, "context": context}
    env = gymnasium.make_vec(
        "kgym/math500-v0", num_envs=2, vectorization_mode="async", vector_kwargs=kwargs, split="validation"
    )
    chats, infos = env.reset(seed=[5, 6])
    assert chats in env.observation_space
    alone = [gymnasium.make("kgym/math500-v0", split="validation") for _ in range(2)]
    for slot, seed in enumerate((5, 6)):
        assert (chats[slot], infos["problem_id"][slot]) == (
            alone[slot].reset(seed=seed)[0],
            alone[slot].unwrapped.problem.id,
        )
    golds = [one.unwrapped.problem.gold for one in alone]
    _, rewards, terminations, _, infos = env.step(
        (rf"\boxed{{{golds[0]}}}", rf"\boxed{{{golds[1]}+1}}")
    )  # hard ones are judged by workers
    assert (rewards.tolist(), infos["status"].tolist()) == ([1.0, 0.0], ["correct", "wrong"])
    assert terminations.all()
    chats, _, terminations, _, infos = env.step(("", ""))  # Gymnasium resets in the next step
    assert not terminations.any()
    assert infos["status"].tolist() == ["open", "open"]
    env.close()


def test_shared_memory_is_refused_with_the_remedy():
    with pytest.raises(ConfigError, match=r'conversations of any length.*vector_kwargs=\{"shared_memory": False\}'):
        gymnasium.make_vec("kgym/math500-v0", num_envs=2, vectorization_mode="async")


@pytest.mark.parametrize(
    ("actions", "what"),
    [
        ("wxyz", "a single str"),
        (piece("wxyz", "stop"), "a single Segment"),
        ({"a": 1, "b": 2, "c": 3, "d": 4}, "a dict"),
        (None, "a NoneType"),
    ],
)
def test_what_is_no_list_of_actions_is_refused(actions, what):
    env, gymnasium_own = started(), gymnasium.make_vec("tests/tiny-v3", num_envs=4, vectorization_mode="sync")
    gymnasium_own.reset()
    with pytest.raises(EnvError, match=f"the actions are {what}; give a list with an action for each of 4 slots"):
        env.step(actions)
    assert not any(episode.pieces for episode in env.episodes)
    with pytest.raises(EnvError, match=f"the actions are {what}"):
        gymnasium_own.step(actions)
    env.step(np.array([RIGHT, RIGHT, RIGHT, RIGHT]))
    assert [episode.reward for episode in env.episodes] == [1.0, 1.0, 0.0, 0.0]


def test_rendering():
    env = started(render_mode="ansi")
    env.step([RIGHT, None, None, None])
    assert env.render()[0].endswith("(correct, reward 1)")
    assert env.render()[1].endswith("What is 10+1?")
    assert started().render() is None


def test_short_names_ids_and_their_tasks():
    assert ReasoningVectorEnv("tests/tiny-v3").spec_facts() == ReasoningVectorEnv("tiny").spec_facts()
    assert EnvSpec("tiny", settings={"add": 4}).task().source("train")[0].gold == "14"
    with pytest.raises(UnknownName, match="did you mean 'tiny'"):
        ReasoningVectorEnv("tinny")
