"""One environment: Gymnasium's contract, statuses, budgets, and that pieces make the same completion."""

import copy
import gc
import itertools
import os
import pickle
import subprocess
import sys

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

import kgym
from kgym.data.importing import bring
from kgym.data.sources import save_data
from kgym.envs.registration import ENTRY_POINT, register_envs
from kgym.envs.setup import EnvOptions
from kgym.envs.spec import EnvSpec
from kgym.envs.vector import ReasoningVectorEnv
from kgym.errors import ConfigError, EnvError, MissingData, PluginError, UnknownName
from kgym.registry import INHERITED, configure, registry
from kgym.testing.envs import check_environment, findings, piece
from kgym.types import Message, Segment

INFO_TYPES = {
    "status": str,
    "reason": str,
    "answer": str,
    "score": float,
    "problem_id": str,
    "index": int,
    "level": int,
    "subject": str,
    "tokens": int,
    "segments": int,
    "turns": int,
}


@pytest.fixture(autouse=True, scope="module")
def tiny():
    configure(["tiny_env"])
    register_envs()
    yield
    configure()
    register_envs()


def make(name="tests/tiny-v3", **settings):
    return gymnasium.make(name, **settings).unwrapped


def started(index=0, **settings):
    """An environment with an episode; problem 0 is 10+1."""
    env = make(**settings)
    env.reset(options={"index": index})
    return env


# --- the contract


def test_every_registered_environment_passes_the_checks_of_gymnasium_without_a_warning(tmp_path, monkeypatch):
    monkeypatch.setenv("KGYM_DATA_DIR", str(tmp_path / "data"))
    brought = tmp_path / "mine.jsonl"
    brought.write_text("".join(f'{{"problem": "What is {n}+{n}?", "answer": "{2 * n}"}}\n' for n in range(40)))
    save_data("mine", bring("mine", [str(brought)]))
    ids = [info.id for info, record in registry().offers("environment") if record.origin == "kgym"]
    assert {"kgym/aime-v1", "kgym/arithmetic-v0", "kgym/data-v0"} <= set(ids)
    for name in [
        *(name for name in ids if name != "kgym/mcp-v0"),
        "tests/tiny-v3",
    ]:  # that needs a server: see test_mcp.py
        check_env(make(name, **({"dataset": "mine"} if name == "kgym/data-v0" else {})))


@pytest.mark.parametrize("name", ["aime", "arithmetic", "tiny"])
def test_every_environment_keeps_the_contract_of_kgym(name):
    check_environment(name, sample=60)


@pytest.mark.parametrize(
    ("name", "check", "trouble"),
    [
        ("impure", "source", "differs when asked for again"),
        ("shared", "disjoint splits", "share the id tiny/train/0"),
        ("wronggold", "gold answers", "gold answer is not accepted for 5 of 5"),
        ("wrongsolution", "gold answers", "worked solution is not accepted for 5 of 5"),
        ("endless", "source", "index 5 is out of range"),
        ("plainprompt", "gymnasium", "it has to be a tuple of Messages"),
        ("clashing", "construction", "'max_tokens'"),
    ],
)
def test_a_broken_environment_is_told_what_is_wrong(name, check, trouble):
    if name == "clashing":
        with pytest.raises(PluginError, match=trouble):
            check_environment(name)
        return
    found = [said for _, what, said in findings(EnvSpec(name), sample=20) if what == check and said]
    assert found
    assert trouble in found[0]
    with pytest.raises(AssertionError, match=check):
        check_environment(name, sample=20)


def test_registering_twice_is_once_and_what_is_offered_no_more_goes():
    before = dict(gymnasium.registry)
    register_envs()
    assert dict(gymnasium.registry) == before
    try:
        configure(["tiny_env", "no:kgym-envs"])
        register_envs()
        assert "tests/tiny-v3" in gymnasium.registry
        assert not [
            name
            for name, spec in gymnasium.registry.items()
            if spec.entry_point == ENTRY_POINT and name.startswith("kgym/")
        ]
        assert "CartPole-v1" in gymnasium.registry
    finally:
        configure(["tiny_env"])
        register_envs()
    assert gymnasium.registry.keys() == before.keys()


@pytest.mark.parametrize("order", ["import gymnasium, kgym", "import kgym, gymnasium"])
def test_a_fresh_process_makes_it(order):
    code = (
        f"{order}; e = gymnasium.make('kgym/aime-v1', split='validation'); "
        "print(e.reset(options={'index': 3})[1]['problem_id'])"
    )
    clean = {key: value for key, value in os.environ.items() if key != INHERITED}
    out = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True, env=clean
    )
    assert out.stdout.strip() == make("kgym/aime-v1", split="validation").reset(options={"index": 3})[1]["problem_id"]
    assert out.stderr == ""


def test_a_name_that_only_a_plugin_explains():
    check_environment("small:one")
    env = kgym.make("small:one", add=2)
    assert env.reset(options={"index": 0})[0][-1].content == "What is 10+2?"
    assert env.unwrapped.spec_facts()["env_id"] == "small/one-v0"
    assert ReasoningVectorEnv("small:one", num_envs=2).spec_facts() == kgym.make("small:one").unwrapped.spec_facts()


# --- problems


def test_the_prompt_is_the_observation_and_the_problem_is_not():
    env = make()
    chat, info = env.reset(options={"index": 4})
    assert chat == (Message("system", "Be brief."), Message("user", "What is 14+1?"))
    assert (info["problem_id"], info["index"], info["level"], info["subject"]) == ("tiny/train/4", 4, 2, "sums")
    assert "15" not in str((chat, info))
    assert env.problem.gold == "15"


def test_a_seed_decides_the_problems():
    env, other = make("kgym/arithmetic-v0"), make("kgym/arithmetic-v0")
    first = [env.reset(seed=5)[1]["index"], *(env.reset()[1]["index"] for _ in range(5))]
    assert first == [other.reset(seed=5)[1]["index"], *(other.reset()[1]["index"] for _ in range(5))]
    assert len(set(first)) == 6
    assert env.reset(seed=6)[1]["index"] != first[0]


def test_random_problems_come_from_the_whole_split():
    env = make()
    env.reset(seed=0)
    assert {env.reset()[1]["index"] for _ in range(100)} == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("index", [-1, 5, 1.0, "1", True, None])
def test_an_index_that_is_none_is_refused(index):
    with pytest.raises(ConfigError, match="index"):
        make().reset(options={"index": index})


def test_an_unknown_option_of_reset_is_refused():
    with pytest.raises(UnknownName, match="did you mean 'index'"):
        make().reset(options={"idx": 1})


def test_the_attempt_is_recorded():
    env = make()
    env.reset(options={"index": 1, "attempt_offset": 7})
    assert env.episode.attempt == 7


# --- settings


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ad": 1}, r"'env\.ad'; did you mean 'env\.add'"),
        ({"max_token": 1}, r"did you mean 'env\.max_tokens'"),
        ({"max_tokens": 0}, r"env\.max_tokens=0: must be greater than or equal to 1"),
        ({"truncated": "drop"}, r"env\.truncated"),
        ({"add": "x"}, r"env\.add"),
        ({"split": "test"}, r"'test'.*train, validation|did you mean"),
        ({"verifier": "intger"}, r"did you mean 'integer'"),
        ({"verifier": "moody", "verifier_options": {"partail": 1}}, r"did you mean 'verifier\.partial'"),
        ({"render_mode": "human"}, r"render mode"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*render_mode:UserWarning")
def test_wrong_settings_are_refused_with_what_is_near(given, message):
    with pytest.raises(ConfigError, match=message):
        make(**given)


def test_a_task_may_not_take_the_name_of_a_setting():
    with pytest.raises(PluginError, match="max_tokens"):
        make("tests/clashing-v0")


def test_real_problems_are_never_replaced_by_generated_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("KGYM_DATA_DIR", str(tmp_path))
    for split in ("2024", 2024):
        with pytest.raises(MissingData, match="kgym data add aime24 FILE"):
            make("kgym/aime-v1", split=split)


def test_every_setting_is_explained():
    assert all(field.description for field in EnvOptions.model_fields.values())


# --- what a completion is worth


@pytest.mark.parametrize(
    ("answer", "status", "reward"),
    [
        (r"\boxed{11}", "correct", 1.0),
        (r"\boxed{12}", "wrong", 0.0),
        ("11", "no_answer", 0.0),
        ("", "no_answer", 0.0),
    ],
)
def test_a_text_is_a_finished_answer(answer, status, reward):
    env = started()
    chat, got, terminated, truncated, info = env.step(answer)
    assert (got, terminated, truncated, info["status"], info["score"]) == (reward, True, False, status, reward)
    assert type(terminated) is type(truncated) is bool
    assert chat[-1] == Message("assistant", answer)
    assert (env.episode.verdict.label, env.episode.reward, env.episode.trainable) == (status, reward, True)


def test_unscored_is_not_wrong():
    env = started(verifier="moody")
    _, reward, terminated, _, info = env.step("slow")
    assert (reward, terminated, info["status"], info["reason"], info["score"]) == (
        0.0,
        True,
        "unscored:timeout",
        "timeout",
        0.0,
    )
    assert not env.episode.trainable
    assert not env.episode.verdict.scored


def test_partial_credit_is_the_reward():
    env = started(verifier="moody", verifier_options={"partial": 0.5})
    assert env.step("half")[1] == 0.5
    assert env.episode.trainable


def test_a_verifier_that_loses_an_answer_is_found_out(caplog):
    env = started(verifier="short")
    env.step("x")
    assert env.episode.verdict.label == "unscored:bad_verdict"
    assert not env.episode.trainable
    (said,) = [record.getMessage() for record in caplog.records]
    assert "verifier 'short'" in said
    assert "returned 0 verdicts for 1 item (problem tiny/train/" in said


# --- budgets: max_tokens is 10, the prompt of a piece has 1 token


@pytest.mark.parametrize(
    ("limits", "segments", "ends"),
    [
        ({}, [(10, "stop")], "terminated"),
        ({}, [(11, "stop")], "truncated"),  # it stopped, but after its budget
        ({}, [(9, "length")], "open"),
        ({}, [(10, "length")], "truncated"),
        ({}, [(4, "repetition")], "truncated"),
        ({}, [(4, "length"), (4, "repetition")], "truncated"),
        ({}, [(4, "length"), (6, "stop")], "terminated"),
        ({}, [(4, "length"), (5, "length")], "open"),
        ({}, [(4, "abort"), (6, "length")], "truncated"),
        ({}, [(0, "abort"), (0, "abort")], "open"),
        ({"max_tokens": 3}, [(3, "length")], "truncated"),
        ({"max_segments": 2}, [(1, "length"), (1, "length")], "truncated"),
        ({"max_segments": 2}, [(1, "length"), (1, "stop")], "terminated"),
        ({"max_segments": 2}, [(1, "length")], "open"),
        ({"context_tokens": 5}, [(4, "stop")], "terminated"),
        ({"context_tokens": 5}, [(5, "stop")], "truncated"),
        ({"context_tokens": 5}, [(4, "length")], "truncated"),
        ({"context_tokens": 5}, [(3, "length")], "open"),
    ],
)
def test_who_ends_an_episode(limits, segments, ends):
    env = started(**limits)
    for n_tokens, finish_reason in segments:
        chat, reward, terminated, truncated, info = env.step(piece("x", finish_reason, n_tokens=n_tokens))
    assert (terminated, truncated) == (ends == "terminated", ends == "truncated")
    assert (info["status"] == "open") is (ends == "open")
    assert (info["tokens"], info["segments"]) == (sum(n for n, _ in segments), len(segments))
    assert chat[-1] == Message("assistant", "x" * len(segments))
    assert reward == 0.0


def test_an_engine_that_has_no_room_left_ends_an_episode():
    env = started()
    assert env.step(piece("x", "length", n_tokens=4))[2:4] == (False, False)
    assert env.step(Segment("", finish_reason="length"))[2:4] == (False, True)


@pytest.mark.parametrize(
    ("rule", "reward", "status", "reason", "trainable"),
    [
        ("zero", 0.0, "wrong", "truncated", True),
        ("score", 1.0, "correct", "integer", True),
        ("mask", 0.0, "wrong", "truncated", False),
    ],
)
def test_what_a_truncated_answer_gets(rule, reward, status, reason, trainable):
    env = started(truncated=rule)
    _, got, terminated, truncated, info = env.step(piece(r"\boxed{11} and", "length", n_tokens=10))
    assert (got, terminated, truncated) == (reward, False, True)
    assert (info["status"], info["reason"], env.episode.trainable) == (status, reason, trainable)


@pytest.mark.parametrize(
    ("rule", "reward", "status", "reason"),
    [("zero", 0.0, "wrong", "repetition"), ("score", 1.0, "correct", "integer"), ("mask", 0.0, "wrong", "repetition")],
)
def test_what_an_answer_gets_that_repeats_itself(rule, reward, status, reason):
    env = started(truncated=rule)
    _, got, terminated, truncated, info = env.step(piece(r"\boxed{11} and and", "repetition", n_tokens=5))
    assert (got, terminated, truncated) == (reward, False, True)
    assert (info["status"], info["reason"], env.episode.trainable) == (status, reason, True)


@settings(max_examples=40, deadline=None)
@given(
    text=st.sampled_from([r"so \boxed{11}", r"\boxed{1", "no", r"汉 \boxed{12}"]),
    cuts=st.lists(st.integers(0, 12), max_size=4),
)
def test_pieces_make_the_same_answer(text, cuts):
    ends = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    parts = [text[a:b] for a, b in itertools.pairwise(ends)]
    whole, pieces = started(), started()
    expected = whole.step(piece(text, n_tokens=len(parts)))
    for part in parts[:-1]:
        chat, reward, terminated, truncated, info = pieces.step(piece(part, "length"))
        assert (reward, terminated, truncated, info["status"]) == (0.0, False, False, "open")
    chat, reward, terminated, truncated, info = pieces.step(piece(parts[-1]))
    assert (chat, reward, terminated, truncated) == expected[:4]
    assert info | {"segments": 1} == expected[4]
    assert pieces.episode.text == text
    assert pieces.episode.verdict == whole.episode.verdict
    assert pieces.episode.token_ids == whole.episode.token_ids


# --- order of calls, records


def test_steps_out_of_order_are_refused():
    env = make()
    for call in (lambda: env.step("x"), lambda: env.episode, lambda: env.problem):
        with pytest.raises(EnvError, match="reset"):
            call()
    env.reset(options={"index": 0})
    env.step("x")
    with pytest.raises(EnvError, match="has ended"):
        env.step("y")
    env.reset()
    env.step("y")


@pytest.mark.parametrize("action", [None, 3, b"x", ["x"]])
def test_an_action_is_a_text(action):
    with pytest.raises(EnvError, match="str or Segment"):
        started().step(action)


def test_info_has_the_same_types_at_every_step_and_is_not_shared():
    env = make()
    infos = [env.reset(options={"index": 0})[1], env.step(piece("a", "length"))[-1], env.step(piece("b"))[-1]]
    for info in infos:
        assert {key: type(value) for key, value in info.items()} == INFO_TYPES
    infos[0]["status"] = "changed"
    assert infos[1]["status"] == "open"
    assert env.reset(options={"index": 0})[1]["status"] == "open"


def test_the_record_keeps_what_the_engine_returned():
    env = started()
    first = Segment(
        "a", token_ids=[5, 6], engine_logprobs=[-0.5, -1.5], prompt_ids=[1, 2, 3], finish_reason="length", version=4
    )
    second = Segment("b", token_ids=[7], engine_logprobs=[-2.5], prompt_ids=[1, 2, 3], version=5)
    env.step(first)
    env.step(second)
    episode = env.episode
    assert episode.segments == [first, second]
    assert episode.segments[0] is first
    assert (episode.token_ids, episode.engine_logprobs, episode.prompt_ids) == (
        (5, 6, 7),
        (-0.5, -1.5, -2.5),
        (1, 2, 3),
    )
    env.reset()
    assert episode.text == "ab"  # a record outlives its environment's reset


def test_a_copy_has_the_same_problems_and_an_episode_of_its_own():
    env = started(verifier="moody", add=3)
    env.step(piece("a", "length"))
    for twin in (copy.deepcopy(env), pickle.loads(pickle.dumps(env))):
        assert twin.episode == env.episode
        assert twin.spec_facts() == env.spec_facts()
        twin.step("13")
        assert twin.episode.reward == 1.0
    assert not env.episode.terminated
    assert env.source is not copy.deepcopy(env).source


def test_rendering():
    env = started(render_mode="ansi")
    env.step(r"\boxed{11}")
    assert env.render() == "[system] Be brief.\n[user] What is 10+1?\n[assistant] \\boxed{11}\n(correct, reward 1)"
    assert started().render() is None


# --- what a score depends on


def test_facts_name_all_that_a_score_depends_on():
    facts = make("kgym/aime-v1", split="validation").spec_facts()
    assert facts["env_id"] == "kgym/aime-v1"
    assert (facts["verifier"], facts["verifier_options"], facts["truncated"]) == ("integer", {}, "zero")
    assert len(facts["data_sha256"]) == len(facts["prompt_sha256"]) == 64
    assert facts == make("kgym/aime-v1", split="validation").spec_facts()


@pytest.mark.parametrize(
    ("changed", "keys"),
    [
        ({"split": "validation"}, {"split", "data_sha256"}),
        ({"add": 2}, {"data_sha256"}),
        ({"max_tokens": 9}, {"max_tokens"}),
        ({"max_tokens": 10}, set()),
        ({"truncated": "mask"}, {"truncated"}),
        ({"context_tokens": 9}, {"context_tokens"}),
        ({"verifier": "moody"}, {"verifier", "verifier_options"}),
    ],
)
def test_facts_change_with_what_they_name(changed, keys):
    before, after = make().spec_facts(), make(**changed).spec_facts()
    assert {key for key in before if before[key] != after[key]} == keys


def test_the_prompt_hash_is_that_of_the_template_alone():
    assert make().spec_facts()["prompt_sha256"] == make(split="validation", add=9).spec_facts()["prompt_sha256"]
    assert make().spec_facts()["prompt_sha256"] != make("kgym/aime-v1").spec_facts()["prompt_sha256"]


def test_environments_leave_nothing_open():
    for _ in range(3):
        make("kgym/aime-v1").close()
    gc.collect()  # an unclosed file or process would warn, and warnings are errors
