"""The engine `openai`, against a real HTTP server that fails on request."""

import logging
import time

import pytest

from faulty_server import KEY, FaultyServer
from kgym.errors import ConfigError, EngineError
from kgym.models.weights import TensorWeights
from kgym.rollout.engine import generate
from kgym.types import GenerateRequest, Message, Sampling
from kgym_plugins.engines.openai import OpenAIEngine, OpenAIOptions

FAULTS = ["429", "500", "503", "cut", "half", "slow", "malformed", "empty"]


def requests(n=16, **sampling):
    return [GenerateRequest(f"r{i}", (Message("user", f"What is {i}+{i * i}?"),), 20, Sampling(**sampling), seed=i) for i in range(n)]


@pytest.fixture
def engine():
    made = []

    def make(server, **options):
        given = {"base_url": server.url, "backoff_s": 0.01, "timeout_s": 1.0, "concurrency": 8} | options
        made.append(OpenAIEngine(OpenAIOptions(**given), "served"))
        return made[-1]

    yield make
    for each in made:
        each.close()


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


@pytest.mark.parametrize("fault", FAULTS)
def test_each_temporary_failure_is_overcome_and_counted(engine, fault):
    with FaultyServer() as server:
        expected = [str(segment) for segment in answers(engine(server), requests(4))]
    with FaultyServer([fault], n_faults=2, slow_s=2.0) as server:
        one = engine(server)
        segments = answers(one, requests(4))
        assert [str(segment) for segment in segments] == expected
        assert one.usage["retries"] == 8
        kinds = {"429": "429", "500": "5xx", "503": "5xx", "slow": "timeout", "malformed": "malformed", "empty": "malformed"}
        assert one.usage[f"failed_{kinds.get(fault, 'connection')}"] == 8
        assert one.usage["answers"] == 4
        assert set(server.answered.values()) == {1}  # nothing was generated twice


def test_all_failures_together_change_no_answer(engine):
    with FaultyServer() as server:
        expected = [str(segment) for segment in answers(engine(server), requests(48))]
    with FaultyServer(FAULTS, n_faults=5, slow_s=2.0) as server:
        one = engine(server, concurrency=24)
        assert [str(segment) for segment in answers(one, requests(48))] == expected
        assert sum(server.failed.values()) == 5 * 48 == one.usage["retries"]
        assert set(server.answered.values()) == {1}


def test_a_server_that_stays_broken_ends_the_run_with_what_it_said(engine):
    with FaultyServer(["503"], n_faults=100) as server, pytest.raises(EngineError) as caught:
        answers(engine(server, retries=2), requests(3))
    assert "failed 3 times in a row (status 503: <html>oops</html>)" in str(caught.value)
    assert "give the same command again" in str(caught.value)


def test_what_is_wrong_with_a_request_is_not_tried_again(engine):
    with FaultyServer(["400"], n_faults=100) as server:
        one = engine(server)
        with pytest.raises(EngineError, match="refuses a request with status 400: temperature is not a number"):
            answers(one, requests(1))
        assert sum(server.asked.values()) == 1
        with pytest.raises(EngineError, match="cannot continue one"):
            answers(one, [GenerateRequest("x", (Message("user", "1"),), 4, Sampling(), seed=0, prefix_ids=(1,))])
        with pytest.raises(EngineError, match="cannot be changed, so it cannot be trained with"):
            one.load(1, TensorWeights({}))


def test_a_prompt_that_fills_the_context_is_an_answer_without_tokens(engine):
    with FaultyServer(["context"], n_faults=100) as server:
        (segment,) = answers(engine(server), requests(1))
    assert (str(segment), segment.n_tokens, segment.finish_reason) == ("", 0, "length")


def test_the_key_is_sent_and_never_shown(engine, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("MY_KEY", KEY)
    with FaultyServer(["500", "429"], key=KEY) as server:
        OpenAIEngine.check(OpenAIOptions(base_url=server.url, key_variable="MY_KEY"), "served")
        assert len(answers(engine(server, key_variable="MY_KEY"), requests(3))) == 3
    monkeypatch.setenv("MY_KEY", "sk-another")
    with FaultyServer(key=KEY) as server:
        options = OpenAIOptions(base_url=server.url, key_variable="MY_KEY")
        with pytest.raises(ConfigError, match="refuses the API key; set the environment variable MY_KEY"):
            OpenAIEngine.check(options, "served")
        with pytest.raises(EngineError, match=r"status 401: wrong key Bearer \*\*\*"):
            answers(engine(server, key_variable="MY_KEY"), requests(1))
    assert KEY not in caplog.text
    assert "sk-another" not in caplog.text


def test_a_server_that_is_not_there_is_said_at_once():
    with FaultyServer() as server:
        url = server.url
    with pytest.raises(ConfigError, match="no server answers"):
        OpenAIEngine.check(OpenAIOptions(base_url=url), "served")


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


def test_requests_are_spread_over_a_minute(engine):
    with FaultyServer() as server:
        one = engine(server, requests_per_minute=1200.0)  # one in 50 ms
        begin = time.monotonic()
        answers(one, requests(6))
        assert time.monotonic() - begin >= 5 * 0.05
