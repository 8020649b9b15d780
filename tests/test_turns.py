"""Environments that reply: turns in the pool, in Gymnasium, on disk and in a batch."""

import threading
from dataclasses import replace

import gymnasium
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from echo_env import Echo
from kgym.envs import rules
from kgym.envs.rules import Budgets
from kgym.envs.setup import EnvSetup
from kgym.errors import ConfigError, EngineError, SandboxError
from kgym.models.names import resolve_model
from kgym.registry import configure
from kgym.rollout.engine import adapted, make_engine
from kgym.rollout.episodes import EpisodePool, TokenBudget, play
from kgym.rollout.prompts import check_turns
from kgym.runs.episodes import read_episodes, turns_of, write_episodes
from kgym.testing.engines import END, ScriptedEngine
from kgym.testing.envs import findings
from kgym.train.rl.batch import pack_groups
from kgym.types import Episode, Group, Message, Observation, Problem, Sampling, Segment, Verdict, VerifyItem
from lockstep import LockstepEngine


@pytest.fixture(autouse=True, scope="module")
def _plugins():
    configure(["echo_env"])
    yield
    configure([])


def started(setup, attempts=(0,), indices=(0,), **more):
    pool = EpisodePool(**more)
    for index in indices:
        pool.start(setup, index, setup.problem(index), attempts=attempts, seed_parts=(0, "t"), sampling=Sampling())
    return pool


def played(setup, script, attempts=(0,), engine=None, **more):
    engine = engine or ScriptedEngine(script)
    (group,) = play(started(setup, attempts, **more), engine)
    return group.episodes, engine


def after(n_turns, last):
    """A script: `a`, `bb`, `ccc` and so on, and after so many turns `last`."""

    def script(request):
        done = sum(
            message.role == "assistant" for message in request.turns[: len(request.turns) - len(request.turns) % 2]
        )
        return last if done == n_turns else "abcdefgh"[done] * (done + 1)

    return script


def calculator(**settings):
    return EnvSetup("calculator", settings)


# --- the pool ---------------------------------------------------------------------------------------------------------


def test_a_call_is_answered_and_the_last_turn_judged():
    setup = calculator()
    gold = setup.problem(0).gold
    sum_ = setup.problem(0).question.removeprefix("What is ").removesuffix("?")

    def script(request):
        if not request.turns:
            return rf"It may be \boxed{{1}}.{chr(10)}```calculator{chr(10)}{sum_}{chr(10)}```"
        return rf"So \boxed{{{request.turns[-1].content}}}."

    (episode,), engine = played(setup, script)
    assert [message.role for message in episode.turns] == ["assistant", "tool", "assistant"]
    assert episode.turns[1].content == gold
    assert (episode.terminated, episode.truncated, episode.verdict.status, episode.reward) == (
        True,
        False,
        "correct",
        1.0,
    )
    assert engine.requests[1].prefix_ids == (*episode.pieces[0].token_ids, *episode.pieces[1].token_ids)
    assert engine.requests[1].turns == episode.turns[:2]
    assert engine.requests[0].expects_reply


def test_an_answer_without_a_call_ends_the_episode():
    (episode,), engine = played(calculator(), lambda request: r"\boxed{760}")
    assert (episode.terminated, episode.n_turns, len(engine.requests)) == (True, 1, 1)


def test_tokens_masks_versions_and_logprobs_have_the_reply_in_their_middle():
    (episode,), _ = played(EnvSetup("echo", {}), after(1, r"\boxed{1}"))
    first, reply, last = episode.pieces
    assert reply.token_ids == (*map(ord, "you said a"), END)
    n = [len(piece.token_ids) for piece in episode.pieces]
    assert episode.token_ids == (*first.token_ids, *reply.token_ids, *last.token_ids)
    assert episode.token_mask == (True,) * n[0] + (False,) * n[1] + (True,) * n[2]
    assert episode.versions == (0,) * n[0] + (-1,) * n[1] + (0,) * n[2]
    assert episode.n_tokens == n[0] + n[2]


def test_turns_have_an_end_which_is_told_apart_from_that_of_tokens():
    (long,), _ = played(EnvSetup("echo", {}), after(9, ""))
    assert (long.n_turns, long.truncated, long.verdict.reason, long.trainable) == (6, True, "turns", True)
    assert isinstance(long.pieces[-1], Segment), "a reply that the policy does not read is not kept"
    (short,), _ = played(EnvSetup("echo", {"max_turns": 2}), after(9, ""))
    assert (short.n_turns, short.verdict.reason, rules.out_of_turns(short)) == (2, "turns", True)
    (cut,), _ = played(EnvSetup("echo", {"max_tokens": 4}), after(9, ""))
    assert (cut.n_tokens, cut.verdict.reason, rules.out_of_turns(cut)) == (4, "truncated", False)
    (masked,), _ = played(EnvSetup("echo", {"max_turns": 2, "truncated": "mask"}), after(9, ""))
    assert (masked.trainable, masked.verdict.reason) == (False, "turns")


def test_the_budget_of_tokens_is_the_policys_and_that_of_the_context_everybodys():
    # turns of 2, 3, 4 ... tokens; replies of 11, 12, 13
    (free,), _ = played(EnvSetup("echo", {"max_tokens": 9}), after(3, ""))
    assert (free.n_tokens, free.n_turns, free.truncated) == (9, 4, True), (
        "the third turn ends within the budget, a fourth has no token"
    )
    prompt = len("".join(message.content for message in free.prompt))
    room = prompt + 2 + 11 + 3 + 12
    (full,), _ = played(EnvSetup("echo", {"context_tokens": room}), after(9, ""))
    assert (len(full.prompt_ids) + len(full.token_ids), full.truncated, full.verdict.reason) == (
        room,
        True,
        "truncated",
    )
    (one_more,), _ = played(EnvSetup("echo", {"context_tokens": room + 1}), after(9, ""))
    assert len(one_more.prompt_ids) + len(one_more.token_ids) == room + 1
    assert one_more.pieces[-1].token_ids == (ord("c"),)


def test_segments_are_counted_over_turns():
    (episode,), _ = played(EnvSetup("echo", {"max_segments": 3}), after(9, ""))
    assert (len(episode.segments), episode.truncated) == (3, True)


@pytest.mark.parametrize("tokens", [1, 2, 3, 5])
def test_an_answer_that_is_cut_into_segments_is_the_same_answer(tokens):
    (whole,), _ = played(EnvSetup("echo", {}), after(4, r"\boxed{1}"))
    (cut,), _ = played(EnvSetup("echo", {}), after(4, r"\boxed{1}"), segment_tokens=tokens)
    assert (cut.token_ids, cut.token_mask, cut.turns, cut.verdict) == (
        whole.token_ids,
        whole.token_mask,
        whole.turns,
        whole.verdict,
    )
    assert len(cut.segments) > len(whole.segments)


def test_a_cut_turn_gets_no_reply():
    setup = EnvSetup("echo", {})
    pool, engine = started(setup), LockstepEngine(lambda request: "aaaa")
    budget = TokenBudget(2)
    while pool.advance(engine, budget) and budget.left:
        pass
    pool.pause(engine)
    (episode,) = pool.groups[0].episodes
    assert (len(episode.pieces), episode.ended) == (1, False)


def test_a_step_budget_is_of_sampled_tokens_alone():
    pool = started(EnvSetup("echo", {}))
    budget = TokenBudget(20)
    engine = ScriptedEngine(after(3, r"\boxed{1}"))
    while pool.advance(engine, budget) and budget.left:
        pass
    assert pool.n_tokens + budget.left == 20
    assert pool.n_tokens == sum(episode.n_tokens for group in pool.groups for episode in group.episodes)


def test_open_episodes_are_continued_from_a_file_as_if_nothing_had_happened(tmp_path):
    setup, script = EnvSetup("echo", {}), after(4, r"\boxed{1}")
    straight, _ = played(setup, script, attempts=range(3))
    for tokens in range(1, 60, 7):
        pool, engine, budget = started(setup, range(3)), ScriptedEngine(script), TokenBudget(tokens)
        engine.tokens_per_poll = 1
        while pool.advance(engine, budget):
            pass
        pool.pause(engine)
        episodes, state = pool.state()
        write_episodes(tmp_path / "open.parquet", episodes)
        restored = EpisodePool()
        restored.restore(read_episodes(tmp_path / "open.parquet"), state, {"": setup}, Sampling())
        (group,) = play(restored, ScriptedEngine(script))
        for one, other in zip(group.episodes, straight, strict=True):
            assert (one.token_ids, one.token_mask, one.turns, one.verdict) == (
                other.token_ids,
                other.token_mask,
                other.turns,
                other.verdict,
            )


def test_an_environment_that_fails_makes_the_answer_unscored(caplog):
    (episode,), _ = played(EnvSetup("echo", {"fails": "other"}), after(1, ""))
    assert (episode.verdict, episode.trainable, episode.ended) == (
        Verdict("unscored", "reply:ZeroDivisionError"),
        False,
        True,
    )
    assert (
        "problem arithmetic/train/sum/d1/0: no reply, so the completion is unscored: ZeroDivisionError: oh"
        in caplog.text
    )
    (slow,), _ = played(EnvSetup("echo", {"fails": "other", "slow_s": 0}), after(1, ""))
    assert slow.verdict == episode.verdict
    with pytest.raises(SandboxError, match="no bwrap"):
        played(EnvSetup("echo", {"fails": "sandbox"}), after(1, ""))


def test_a_reply_with_half_of_a_surrogate_pair_can_be_read_and_stored(nano, tmp_path):
    """A policy that has a server repeat `"\\ud83d"` must not end the run."""

    class Halves(Echo):
        def respond(self, episode):
            return Message("tool", "you said \ud83d") if not episode.observations else None

    setup = EnvSetup("echo", {"max_tokens": 40})
    setup.task = Halves(setup.task.options)
    (group,) = play(started(setup), nano)
    (episode,) = group.episodes
    assert episode.observations[0].message.content == "you said \N{REPLACEMENT CHARACTER}"
    assert episode.observations[0].token_ids
    write_episodes(tmp_path / "episodes.parquet", [episode])
    assert read_episodes(tmp_path / "episodes.parquet") == [episode]


def test_what_an_environment_prints_stays_out_of_the_results(capsys):
    class Prints(Echo):
        def respond(self, episode):
            print("looking it up")
            return super().respond(episode)

    setup = EnvSetup("echo", {"slow_s": 0})
    setup.task = Prints(setup.task.options)
    played(setup, after(1, r"\boxed{1}"))
    out, err = capsys.readouterr()
    assert (out, err) == ("", "looking it up\n" * 2)


def test_slow_replies_come_in_an_order_that_does_not_depend_on_how_long_they_take():
    def asked(slow_s):
        engine = ScriptedEngine(after(3, r"\boxed{1}"))
        engine.tokens_per_poll = 2
        episodes, _ = played(EnvSetup("echo", {"slow_s": slow_s}), None, range(7), engine=engine)
        return [(request.id, request.prefix_ids) for request in engine.requests], [
            episode.token_ids for episode in episodes
        ]

    assert asked(0.0) == asked(0.02)
    quick = [episode.token_ids for episode in played(EnvSetup("echo", {}), after(3, r"\boxed{1}"), range(7))[0]]
    assert asked(0.0)[1] == quick


def test_slow_replies_are_worked_on_while_the_engine_samples():
    """The reply to the first completion comes when the second has been sampled: if the engine waited for it, both would
    wait for ever.
    """
    sampled = threading.Event()

    class Watched(ScriptedEngine):
        def poll(self, timeout_s=None):
            segments = super().poll(timeout_s)
            if any("#1" in segment.request_id for segment in segments):
                sampled.set()
            return segments

    class Waits(Echo):
        def respond(self, episode):
            if episode.attempt == 0:
                assert sampled.wait(20)
            return super().respond(episode)

    setup = EnvSetup("echo", {"slow_s": 0})
    setup.task = Waits(setup.task.options)
    engine = Watched(lambda request: r"\boxed{1}" if request.turns else "ab" * (1 + 9 * int(request.id[-1])))
    engine.tokens_per_poll = 1
    episodes, _ = played(setup, None, range(4), engine=engine)
    assert [episode.n_turns for episode in episodes] == [2, 2, 2, 2]


def test_an_engine_that_cannot_append_is_refused():
    class Plain(LockstepEngine):
        pass

    with pytest.raises(ConfigError, match="cannot append the replies of kgym/echo-v0; use another engine"):
        check_turns(Plain(lambda request: "a"), EnvSetup("echo", {}))
    with pytest.raises(EngineError, match="cannot append"):
        played(EnvSetup("echo", {}), None, engine=Plain(lambda request: "a"))
    check_turns(Plain(lambda request: "a"), EnvSetup("arithmetic", {}))


def test_an_environment_without_replies_has_no_turns_to_set():
    with pytest.raises(
        ConfigError,
        match=r"env.max_turns=3: kgym/arithmetic-v0 does not reply, so a completion has one turn; leave it out",
    ):
        EnvSetup("arithmetic", {"max_turns": 3})
    assert "max_turns" not in EnvSetup("arithmetic", {}).facts()
    assert EnvSetup("echo", {}).facts()["max_turns"] == 6


# --- the built-in engine ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nano():
    return make_engine("transformers", {}, resolve_model("nano"))


def nano_episodes(engine, **more):
    setup = EnvSetup("echo", {"max_tokens": 240, "until": "never"})
    pool = EpisodePool(**more)
    for index in range(2):
        pool.start(
            setup, index, setup.problem(index), attempts=range(3), seed_parts=(1,), sampling=Sampling(temperature=1.2)
        )
    return pool


def test_six_turns_of_the_built_in_engine_are_the_conversation_rendered_once(nano):
    groups = play(nano_episodes(nano), nano)
    episodes = [episode for group in groups for episode in group.episodes]
    assert max(episode.n_turns for episode in episodes) == 6
    for episode in episodes:
        chat = [*episode.prompt, *(Message("user" if role == "tool" else role, text) for role, text in episode.turns)]
        text = nano.encoder.template.text(tuple(chat), answered=True)
        whole = tuple(nano.tokenizer.encode(text, add_special_tokens=False))
        ids = (*episode.prompt_ids, *episode.token_ids)
        assert whole[: len(ids)] == ids, nano.tokenizer.decode(ids)


def test_answers_of_several_turns_are_the_same_in_pieces_and_alone(nano):
    whole = [episode for group in play(nano_episodes(nano), nano) for episode in group.episodes]
    cut = [episode for group in play(nano_episodes(nano, segment_tokens=7), nano) for episode in group.episodes]
    for one, other in zip(whole, cut, strict=True):
        assert one.token_ids == other.token_ids
        assert one.token_mask == other.token_mask
        assert np.allclose(one.engine_logprobs, other.engine_logprobs, atol=1e-5)


def test_what_the_engine_reports_is_what_the_model_gives_the_policys_tokens(nano):
    groups = [group.group() for group in play(nano_episodes(nano), nano)]
    batch = pack_groups(groups, device=torch.device("cpu"))
    for number, episode in enumerate(episode for group in groups for episode in group.episodes):
        ids = torch.tensor([*episode.prompt_ids, *episode.token_ids])
        with torch.no_grad():
            logits = nano.model(ids[None]).logits[0]
        logprobs = (logits / 1.2).log_softmax(-1)[:-1].gather(1, ids[1:, None])[:, 0][len(episode.prompt_ids) - 1 :]
        mask = torch.tensor(episode.token_mask)
        assert torch.allclose(logprobs[mask], torch.tensor(episode.engine_logprobs)[mask], atol=1e-4)
        own = batch.episode_ids == number
        assert batch.mask[own].tolist() == [False] * len(episode.prompt_ids) + list(episode.token_mask)
        assert batch.versions[own].tolist() == [-1] * len(episode.prompt_ids) + list(episode.versions)
        assert (batch.engine_logprobs[own][~batch.mask[own]] == 0).all()


# --- Gymnasium --------------------------------------------------------------------------------------------------------


def test_a_step_is_a_turn_and_the_observation_ends_with_the_reply():
    env = gymnasium.make("kgym/calculator-v0", split="validation")
    env.reset(options={"index": 0})
    chat, reward, terminated, truncated, info = env.step("```calculator\n1/4\n```")
    assert chat[-1] == Message("tool", "1/4 = 0.25")
    assert (reward, terminated, truncated, info["turns"], info["status"]) == (0.0, False, False, 2, "open")
    assert chat in env.observation_space
    chat, reward, terminated, truncated, info = env.step(rf"\boxed{{{env.unwrapped.problem.gold}}}")
    assert (reward, terminated, truncated, info["turns"], info["status"]) == (1.0, True, False, 2, "correct")


def test_a_segment_that_was_cut_waits_for_its_rest():
    env = gymnasium.make("kgym/calculator-v0", split="validation")
    env.reset(options={"index": 0})
    part = Segment("```calculator\n1+", finish_reason="length", token_ids=[1], engine_logprobs=[0.0])
    chat, *_, info = env.step(part)
    assert (chat[-1].role, info["turns"]) == ("assistant", 1)
    chat, *_ = env.step("1\n```")
    assert [message.content for message in chat[-2:]] == ["```calculator\n1+1\n```", "2"]


@pytest.mark.parametrize("slow_s", [-1.0, 0.0])
def test_slots_of_a_vector_environment_have_turns_of_their_own(slow_s):
    from kgym.envs.spec import EnvSpec

    env = EnvSpec("echo", "train", {"slow_s": slow_s, "max_turns": 2}).vector(1, 4)
    env.reset(options={"indices": [0]})
    gold = env.episodes[0].problem.gold
    chats, *_, infos = env.step(["a", None, rf"\boxed{{{gold}}}", "c"])
    assert [chat[-1].content for chat in chats[::3]] == ["you said a", "you said c"]
    assert infos["turns"].tolist() == [2, 1, 1, 2]
    chats, rewards, terminations, truncations, infos = env.step(["b", "b", None, rf"\boxed{{{gold}}}"])
    assert truncations.tolist() == [True, False, False, False]
    assert terminations.tolist() == [False, False, True, True]
    assert rewards.tolist() == [0.0, 0.0, 0.0, 1.0]
    assert infos["reason"].tolist()[0] == "turns"


def test_an_environment_that_fails_is_unscored_in_gymnasium_too():
    env = gymnasium.make("kgym/echo-v0", fails="other") if "kgym/echo-v0" in gymnasium.registry else None
    from kgym.envs.env import ReasoningEnv

    env = env or ReasoningEnv("echo", fails="other")
    env.reset(options={"index": 0})
    *_, terminated, truncated, info = env.step("a")
    assert (terminated, truncated, info["status"]) == (False, True, "unscored:reply:ZeroDivisionError")


@pytest.mark.parametrize("name", ["calculator", "echo"])
def test_environments_that_reply_keep_the_contract(name):
    from kgym.envs.spec import EnvSpec

    assert [found for found in findings(EnvSpec(name), sample=20) if found[2]] == []


# --- the rules --------------------------------------------------------------------------------------------------------


def test_replies_by_the_rules():
    def episode(*pieces):
        return Episode(Problem("p", "q", "1"), 0, (Message("user", "q"),), list(pieces))

    def segment(text, reason="stop", n=1):
        return Segment(text, finish_reason=reason, token_ids=[1] * n, engine_logprobs=[0.0] * n)

    budgets = Budgets(max_tokens=10, max_turns=3)
    assert rules.awaits_reply(episode(segment("a")))
    for waits_not in (
        episode(),
        episode(segment("a", "length")),
        episode(segment("a", "abort")),
        episode(segment("a"), Observation(Message("tool", "b"))),
    ):
        assert not rules.awaits_reply(waits_not)
    over = episode()
    rules.extend(over, segment("a", n=11), budgets)
    assert (over.truncated, rules.awaits_reply(over)) == (True, False)
    spent = episode()
    rules.extend(spent, segment("a", n=10), budgets)
    rules.reply(spent, Message("tool", "b"), budgets)
    assert (spent.truncated, rules.out_of_turns(spent)) == (True, False)
    plain = episode()
    rules.extend(plain, segment("a"), replace(budgets, max_turns=None))
    assert plain.terminated


def test_the_last_turn_is_what_the_policy_said_after_the_last_reply():
    pieces = [Segment("a"), Segment("b"), Observation(Message("tool", "r")), Segment("c"), Segment("d")]
    episode = Episode(Problem("p", "q", "1"), 0, (Message("user", "q"),), pieces)
    assert episode.turns == (Message("assistant", "ab"), Message("tool", "r"), Message("assistant", "cd"))
    assert (episode.last_turn, episode.text, episode.n_turns) == ("cd", "abcd", 2)
    assert replace(episode, pieces=pieces[:3]).last_turn == ""
    assert replace(episode, pieces=pieces[:2]).last_turn == "ab"


def test_the_verifier_is_told_the_turns_before_the_one_that_it_judges():
    pieces = [Segment("a"), Segment("b"), Observation(Message("tool", "r")), Segment("c")]
    episode = Episode(Problem("p", "q", "1"), 0, (Message("user", "q"),), pieces)
    earlier = (Message("assistant", "ab"), Message("tool", "r"))
    assert rules.item_of(episode) == VerifyItem("1", "c", "q", "p", earlier)
    assert rules.item_of(replace(episode, pieces=pieces[:3])) == VerifyItem("1", "", "q", "p", earlier)
    assert rules.item_of(replace(episode, pieces=pieces[:2])) == VerifyItem("1", "ab", "q", "p")
    assert rules.item_of(replace(episode, pieces=[])) == VerifyItem("1", "", "q", "p")


def test_stored_turns_are_those_that_were_judged(tmp_path):
    episodes, _ = played(EnvSetup("echo", {}), after(3, r"\boxed{1}"), attempts=range(2))
    cut = replace(episodes[0], pieces=episodes[0].pieces[:-1])
    write_episodes(tmp_path / "e.parquet", [Group(cut.problem, [*episodes, cut], [0.0] * 3)])
    rows = pq.read_table(tmp_path / "e.parquet").to_pylist()
    for row, episode in zip(rows, [*episodes, cut], strict=True):
        item = rules.item_of(episode)
        assert turns_of(row["text"], row["pieces"]) == (item.turns, item.response)


def test_episodes_with_replies_are_stored_and_read_back(tmp_path):
    episodes, _ = played(EnvSetup("echo", {}), after(3, r"\boxed{1}"), attempts=range(2))
    write_episodes(tmp_path / "e.parquet", [Group(episodes[0].problem, episodes, [0.0, 1.0])])
    for read, episode in zip(read_episodes(tmp_path / "e.parquet"), episodes, strict=True):
        assert read == episode
        assert [type(piece) for piece in read.pieces] == [type(piece) for piece in episode.pieces]


def test_a_blocking_engine_is_asked_through_its_adapter():
    inner = ScriptedEngine(after(2, r"\boxed{1}"))

    class Blocking:
        version = 0

        def generate(self, requests):
            inner.submit(requests)
            while segments := inner.poll():
                yield from segments

        load, sleep, wake = inner.load, inner.sleep, inner.wake
        render_replies, turns_note = inner.render_replies, inner.turns_note

    (episode,), _ = played(EnvSetup("echo", {}), None, engine=adapted(Blocking()))
    assert episode.n_turns == 3
