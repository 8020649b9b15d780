"""The engine `openai`, against a real HTTP server that fails on request."""

import logging
import time

import pytest

from faulty_server import KEY, FaultyServer
from kgym.envs.setup import EnvSetup
from kgym.errors import ConfigError, EngineError
from kgym.models.weights import TensorWeights
from kgym.registry import configure
from kgym.rollout.engine import generate
from kgym.rollout.episodes import play_groups
from kgym.testing.engines import check_engine
from kgym.types import GenerateRequest, Message, Sampling
from kgym_plugins.engines.openai import OpenAIEngine, OpenAIOptions

FAULTS = ["429", "500", "503", "cut", "half", "slow", "malformed", "empty"]


def requests(n=16, **sampling):
    return [
        GenerateRequest(f"r{i}", (Message("user", f"What is {i}+{i * i}?"),), 20, Sampling(**sampling), seed=i)
        for i in range(n)
    ]


@pytest.fixture
def engine():
    made = []

    def make(server, **options):
        given = {"base_url": server.url, "backoff_s": 0.01, "timeout_s": 20.0, "concurrency": 8} | options
        made.append(OpenAIEngine(OpenAIOptions(**given), "served"))
        return made[-1]

    yield make
    for each in made:
        each.close()


def failures(engine):
    return sum(n for name, n in engine.usage.items() if name.startswith("failed_"))


def answers(engine, asked):
    found = {segment.request_id: segment for segment in generate(engine, asked)}
    return [found[request.id] for request in asked]


def test_answers_come_as_the_server_gives_them(engine):
    with FaultyServer() as server:
        one = engine(server, body={"chat_template_kwargs": {"enable_thinking": False}})
        segments = answers(one, requests(top_p=0.9, stop=("END",), temperature=0.7))
        assert str(segments[2]) == "so it is \\boxed{6}" if 6 % 3 else "so it is \\boxed{7}"
        assert {segment.n_tokens for segment in segments} == {7}
        assert {segment.finish_reason for segment in segments} == {"stop"}
        assert all(segment.token_ids == () for segment in segments)
        body = next(body for body in server.bodies if body["seed"] == 3)
        assert body["messages"] == [{"role": "user", "content": "What is 3+9?"}]
        assert (body["model"], body["max_tokens"], body["temperature"]) == ("served", 20, 0.7)
        assert (body["top_p"], body["stop"]) == (0.9, ["END"])
        assert body["chat_template_kwargs"] == {"enable_thinking": False}
        assert "top_k" not in body
        assert server.most_at_once <= 8
        assert one.usage["answers"] == 16
        assert one.usage["completion_tokens"] == 7 * 16


def test_half_of_a_surrogate_pair_is_no_character(engine):
    """A server that cuts a completion within an emoji may send one half; no file or tokenizer takes it."""
    with FaultyServer() as server:
        server.change = lambda answer: answer["choices"][0]["message"].update(content="so \ud83d")
        (segment,) = answers(engine(server), requests(1))
    assert segment == "so \N{REPLACEMENT CHARACTER}"


def test_an_answer_of_several_turns_is_sent_as_messages(engine):
    configure(["echo_env"])
    setup = EnvSetup("echo", {"until": "never", "max_turns": 3})
    with FaultyServer() as server:
        (group,) = play_groups(setup, engine(server), [0], sampling=Sampling(), seed_parts=(0,))
        (episode,) = group.episodes
        assert [message.role for message in episode.turns] == ["assistant", "tool"] * 2 + ["assistant"]
        assert (episode.verdict.reason, episode.token_ids, episode.n_tokens) == ("turns", (), 21)
        sent = [[(message["role"], message["content"]) for message in body["messages"]] for body in server.bodies]
        assert [role for role, _ in sent[2]] == ["user", "assistant", "user", "assistant", "user"]
        assert [content for _, content in sent[2][1:]] == [message.content for message in episode.turns[:-1]]
        assert sent[0] == sent[2][:1]
    configure([])


@pytest.mark.parametrize("fault", FAULTS)
def test_each_temporary_failure_is_overcome_and_counted(engine, fault):
    with FaultyServer() as server:
        expected = [str(segment) for segment in answers(engine(server), requests(4))]
    with FaultyServer([fault], n_faults=2, slow_s=2.0) as server:
        one = engine(server, timeout_s=1.0 if fault == "slow" else 20.0)
        segments = answers(one, requests(4))
        assert [str(segment) for segment in segments] == expected
        kinds = {
            "429": "429",
            "500": "5xx",
            "503": "5xx",
            "slow": "timeout",
            "malformed": "malformed",
            "empty": "malformed",
        }
        assert one.usage[f"failed_{kinds.get(fault, 'connection')}"] == 8
        assert one.usage["answers"] == 4
        assert one.usage["requests"] == 12
        assert set(server.answered.values()) == {1}  # nothing was generated twice


def test_all_failures_together_change_no_answer(engine):
    with FaultyServer() as server:
        expected = [str(segment) for segment in answers(engine(server), requests(48))]
    with FaultyServer(FAULTS, n_faults=8, slow_s=4.0) as server:
        one = engine(server, concurrency=24, timeout_s=2.0)
        assert [str(segment) for segment in answers(one, requests(48))] == expected
        assert sum(server.failed.values()) == 8 * 48 == failures(one)
        assert set(server.answered.values()) == {1}


def test_a_server_that_stays_broken_ends_the_run_with_what_it_said(engine):
    with FaultyServer(["503"], n_faults=100) as server, pytest.raises(EngineError) as caught:
        answers(engine(server, retries=2), requests(3))
    assert "failed 3 times in a row, the last time with: status 503: <html>oops</html>" in str(caught.value)
    assert "give the same command again" in str(caught.value)


def test_what_is_wrong_with_a_request_is_not_tried_again(engine):
    with FaultyServer(["400"], n_faults=100) as server:
        one = engine(server)
        with pytest.raises(EngineError, match="refuses a request with status 400: temperature is not a number"):
            answers(one, requests(1))
        assert sum(server.asked.values()) == 1
        with pytest.raises(EngineError, match="cannot continue a completion"):
            answers(one, [GenerateRequest("x", (Message("user", "1"),), 4, Sampling(), seed=0, prefix_ids=(1,))])
        with pytest.raises(EngineError, match="weights cannot be loaded into the server"):
            one.load(1, TensorWeights({}))


def test_a_prompt_that_fills_the_context_is_an_answer_without_tokens(engine):
    with FaultyServer(["context"], n_faults=100) as server:
        (segment,) = answers(engine(server), requests(1))
    assert (str(segment), segment.n_tokens, segment.finish_reason) == ("", 0, "length")


def test_a_budget_that_is_too_large_for_the_context_is_not_taken_for_a_long_prompt(engine):
    with (
        FaultyServer(["budget"], n_faults=100) as server,
        pytest.raises(EngineError, match=r"20 tokens are more than .* smaller --max-tokens"),
    ):
        answers(engine(server), requests(1))


def test_the_key_is_sent_and_never_shown(engine, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("MY_KEY", KEY)
    with FaultyServer(["500", "429"], key=KEY) as server:
        OpenAIEngine.check(OpenAIOptions(base_url=server.url, key_variable="MY_KEY"), "served")
        assert len(answers(engine(server, key_variable="MY_KEY"), requests(3))) == 3
    monkeypatch.setenv("MY_KEY", "sk-another")
    with FaultyServer(key=KEY) as server:
        options = OpenAIOptions(base_url=server.url, key_variable="MY_KEY")
        with pytest.raises(ConfigError, match="refuses the API key in the environment variable MY_KEY"):
            OpenAIEngine.check(options, "served")
        server.key = "sk-another"
        one = engine(server, key_variable="MY_KEY")
        server.key = KEY  # withdrawn in mid-run
        with pytest.raises(EngineError, match=r"status 401: wrong key Bearer \*\*\*"):
            answers(one, requests(1))
    monkeypatch.setenv("MY_KEY", f"{KEY} and\nmore")
    with pytest.raises(ConfigError, match="MY_KEY holds no API key") as caught:
        OpenAIEngine.check(OpenAIOptions(key_variable="MY_KEY"), "served")
    assert KEY not in str(caught.value)
    assert KEY not in caplog.text
    assert "sk-another" not in caplog.text


def test_a_server_that_is_not_there_is_said_at_once():
    with FaultyServer() as server:
        url = server.url
    with pytest.raises(ConfigError, match="no server replies"):
        OpenAIEngine.check(OpenAIOptions(base_url=url), "served")


@pytest.mark.parametrize("url", ["http://user:sk-1@host/v1", "http://host/v1?api-key=sk-1"])
def test_an_address_with_a_secret_is_refused_without_showing_it(url):
    with pytest.raises(ConfigError, match="contains a password or a query") as caught:
        OpenAIEngine.check(OpenAIOptions(base_url=url), "served")
    assert "sk-1" not in str(caught.value)


def test_a_model_that_the_server_does_not_have_is_refused_with_those_it_has():
    with FaultyServer() as server:
        options = OpenAIOptions(base_url=server.url)
        OpenAIEngine.check(options, "served")
        assert not server.bodies  # its list of models is believed
        with pytest.raises(
            ConfigError,
            match=r"does not reply for the model 'nano' \(status 404: no such model\); it has served; name it",
        ):
            OpenAIEngine.check(options, "nano")
        server.models = None
        OpenAIEngine.check(options, "served")  # without a list it is asked for one token
        assert server.bodies[-1]["max_tokens"] == 1


def test_what_is_under_way_is_returned_before_a_failure_ends_the_run(engine):
    with FaultyServer(slow_s=0.4) as server:
        one = engine(server, concurrency=4, timeout_s=5.0)
        server.fault_of = {0: "late", 1: "late", 2: "400", 3: "late"}.get
        asked = requests(8)
        one.submit(asked)
        found = []
        while len(found) < 3:
            found += one.poll()
        with pytest.raises(EngineError, match="status 400"):
            one.poll()
        assert sum(server.asked.values()) == 4  # the others were not sent, and nothing was sent again
        assert one.poll(0.0) == []
        server.fault_of = None
        assert len(answers(one, asked)) == 8


def test_a_429_counts_as_a_failure_only_if_nothing_is_answered(engine):
    with FaultyServer() as server:
        server.headers_429 = []
        server.fault_of = lambda number: "429" if number % 8 else ""  # one in eight is answered
        one = engine(server, retries=7)
        assert len(answers(one, requests(16))) == 16
        assert one.usage["failed_429"] == 7 * 15
    with FaultyServer(["429"], n_faults=100) as server, pytest.raises(EngineError, match="failed 4 times in a row"):
        answers(engine(server, retries=3), requests(1))


@pytest.mark.parametrize("headers", [[("retry-after", "7200")], [("retry-after", "Fri, 31 Dec 2100 23:59:59 GMT")]])
def test_a_server_that_wants_hours_is_left_to_the_user(engine, headers):
    with FaultyServer(["429"], n_faults=100) as server:
        server.headers_429 = headers
        with pytest.raises(EngineError, match=r"asks for a pause of \d{4,} s \(status 429: slow down\)"):
            answers(engine(server), requests(2))


def test_fields_that_kgym_sets_are_refused_in_the_body():
    with pytest.raises(ValueError, match="kgym sets seed, temperature itself"):
        OpenAIOptions(body={"temperature": 0.5, "seed": 1, "min_p": 0.1})


def test_reasoning_that_was_cut_short_has_no_end_mark(engine):
    with FaultyServer(reasoning=True) as server:
        server.change = lambda answer: answer["choices"][0].update(
            message={"role": "assistant", "content": None, "reasoning": "I add"}, finish_reason="length"
        )
        (segment,) = answers(engine(server), requests(1))
    assert (str(segment), segment.finish_reason) == ("<think>I add", "length")


def test_token_ids_and_log_probabilities_are_stored_where_the_server_returns_them(engine):
    def with_tokens(answer):
        answer["prompt_token_ids"] = [5, 6]
        answer["choices"][0] |= {"token_ids": list(range(7)), "logprobs": {"content": [{"logprob": -0.5}] * 7}}

    with FaultyServer() as server:
        server.change = with_tokens
        (segment,) = answers(engine(server, tokens=True), requests(1))
        assert (segment.token_ids, segment.engine_logprobs, segment.prompt_ids) == (
            tuple(range(7)),
            (-0.5,) * 7,
            (5, 6),
        )
        assert (server.bodies[-1]["logprobs"], server.bodies[-1]["return_token_ids"]) == (True, True)
        server.change = None
        with pytest.raises(EngineError, match="does not return token ids and log-probabilities"):
            answers(engine(server, tokens=True), requests(1))


def test_a_server_that_does_not_count_tokens_is_refused(engine):
    with FaultyServer() as server:
        server.change = lambda answer: answer.pop("usage")
        with pytest.raises(EngineError, match="does not count tokens"):
            answers(engine(server), requests(1))


def test_reasoning_in_a_field_of_its_own_is_kept_or_dropped(engine):
    with FaultyServer(reasoning=True) as server:
        (kept,) = answers(engine(server), requests(1))
        (dropped,) = answers(engine(server, reasoning="drop"), requests(1))
    assert str(kept) == f"<think>I add them</think>{dropped}"


def test_aborted_requests_are_answered_once_and_the_rest_goes_on(engine):
    with FaultyServer(["slow"], n_faults=1, slow_s=0.5) as server:
        one = engine(server, timeout_s=5.0)
        asked = requests(6)
        one.submit(asked)
        one.abort(["r1", "r4", "none"])
        found = []
        while one._open:
            found += one.poll()
        reasons = {segment.request_id: segment.finish_reason for segment in found}
        assert len(found) == 6
        assert reasons == {f"r{i}": "abort" if i in (1, 4) else "stop" for i in range(6)}
        assert one.poll(0.0) == []
        one.submit(asked[:3])
        one.abort()  # before they are sent
        assert {segment.finish_reason for _ in range(3) for segment in one.poll(5.0)} <= {"abort", "stop"}


def test_the_part_of_the_contract_holds_that_a_server_can_promise():
    with FaultyServer(FAULTS, n_faults=1, slow_s=1.0) as server:
        report = check_engine(
            "openai", options={"base_url": server.url, "backoff_s": 0.01, "timeout_s": 0.5}, model="served"
        )
    assert report.failures == []
    assert report.passed == [
        "construction",
        "segments",
        "submit while others are open",
        "abort",
        "sleep and wake",
        "what a server cannot do",
    ]


def test_requests_are_spread_over_a_minute(engine):
    with FaultyServer() as server:
        one = engine(server, requests_per_minute=1200.0)  # one in 50 ms
        begin = time.monotonic()
        answers(one, requests(6))
        assert time.monotonic() - begin >= 5 * 0.05  # a lower bound: a busy machine cannot break it


def test_an_engine_that_is_collected_in_its_own_thread_ends_without_a_word():
    """The collector runs wherever memory is asked for. pytest takes what it cannot raise for a failure."""
    with FaultyServer(["slow"], n_faults=1, slow_s=5.0) as server:
        one = OpenAIEngine(OpenAIOptions(base_url=server.url), "served")
        one.submit(requests(3))
        loop, thread = one._loop, one._thread
        held = [one]
        del one
        loop.call_soon_threadsafe(held.clear)  # the last reference goes in the thread
        thread.join(20.0)
        assert not thread.is_alive()
        assert loop.is_closed()
