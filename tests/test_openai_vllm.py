"""The engine `openai` against vLLM's own server, where `KGYM_VLLM_PYTHON` names a Python that has it: see
docs/engines.md.
"""

import contextlib
import json
import os
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pandas as pd
import pytest

from kgym.cli.main import main
from kgym.models.policy import load_policy
from kgym.rollout.engine import generate, make_engine
from kgym.testing.engine_checks import _gap
from kgym.testing.engines import check_engine
from kgym.types import GenerateRequest, Message, Sampling
from kgym_plugins.models.builtin import nano

PYTHON = os.environ.get("KGYM_VLLM_PYTHON", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="KGYM_VLLM_PYTHON names no interpreter that has vLLM"),
]


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """Start vLLM's server with kgym's own model; return its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    asked = [
        "--model",
        str(nano()),
        "--served-model-name",
        "nano-served",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--dtype",
        "float32",
    ]
    asked += ["--enforce-eager", "--logprobs-mode", "processed_logprobs"]
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    log = tmp_path_factory.mktemp("vllm") / "log.txt"
    with log.open("w") as out:
        process = subprocess.Popen(
            [PYTHON, "-m", "vllm.entrypoints.openai.api_server", *asked], stdout=out, stderr=out, env=environment
        )
        try:
            while not _answers(port):
                assert process.poll() is None, log.read_text()[-2000:]
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            process.wait(60)


def _answers(port):
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=1.0).status_code == 200
    return False


def engine(url, **options):
    return make_engine("openai", {"base_url": url, "tokens": True} | options, "nano-served")


def answers(one, asked):
    found = {segment.request_id: segment for segment in generate(one, asked)}
    return [found[request.id] for request in asked]


def requests(n=6, max_tokens=48, **sampling):
    questions = ("What is 12+30?", "What is 7*8?", "What is 91-17?")
    return [
        GenerateRequest(
            f"r{i}",
            (Message("user", questions[i % 3]),),
            max_tokens,
            Sampling(**{"temperature": 0.0} | sampling),
            seed=i,
        )
        for i in range(n)
    ]


def test_the_part_of_the_contract_holds_that_a_server_can_promise(url):
    assert not check_engine("openai", options={"base_url": url}, model="nano-served").failures
    assert not check_engine("openai", options={"base_url": url, "tokens": True}, model="nano-served").failures


def test_greedy_completions_are_those_of_the_built_in_engine_token_by_token(url):
    ours = answers(make_engine("transformers", {"dtype": "float32"}, str(nano())), requests())
    theirs = answers(engine(url), requests())
    for own, served in zip(ours, theirs, strict=True):
        assert served.token_ids == own.token_ids
        assert served.prompt_ids == own.prompt_ids
        assert str(served) == str(own)
        assert (served.finish_reason, served.n_tokens) == (own.finish_reason, own.n_tokens)


@pytest.mark.parametrize("sampling", [{"temperature": 1.0}, {"temperature": 2.0}, {"temperature": 0.7}])
def test_log_probabilities_are_the_models_own_at_the_temperature(url, sampling):
    model = load_policy(str(nano())).model
    asked = requests(**sampling)
    for request, segment in zip(asked, answers(engine(url), asked), strict=True):
        assert len(segment.token_ids) == segment.n_tokens > 0
        assert _gap(model, request, segment, sampling["temperature"]) < 1e-4


def test_a_seed_gives_the_same_completion_again(url):
    asked = requests(temperature=1.0)
    assert [str(s) for s in answers(engine(url), asked)] == [str(s) for s in answers(engine(url), asked)]


def test_a_stop_text_stays_and_a_prompt_that_is_too_long_has_no_answer(url):
    ours = answers(make_engine("transformers", {"dtype": "float32"}, str(nano())), requests(stop=("=",)))
    assert [str(segment) for segment in answers(engine(url), requests(stop=("=",)))] == [
        str(segment) for segment in ours
    ]
    (segment,) = answers(
        engine(url), [GenerateRequest("long", (Message("user", "1+" * 20000),), 8, Sampling(), seed=0)]
    )
    assert (str(segment), segment.n_tokens, segment.finish_reason) == ("", 0, "length")


def test_eval_has_the_figures_of_the_built_in_engine(url, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = ["eval", "--bench", "arithmetic:validation", "--problems", "40", "--temperature", "0", "--json"]
    served = ["--engine", "openai", "--model", "nano-served", "--set", f"engine.base_url={url}", "engine.tokens=true"]
    found = []
    for name, more in (("ours", ["--model", "nano", "--set", "engine.dtype=float32"]), ("served", served)):
        assert main([*asked, *more, "--run", name]) == 0
        found.append(
            (json.loads(capsys.readouterr().out), pd.read_parquet(Path(name) / "samples").sort_values("problem_id"))
        )
    (ours, our_rows), (theirs, their_rows) = found
    assert theirs["accuracy"] == ours["accuracy"]
    assert theirs["scores"] == ours["scores"]
    assert [list(ids) for ids in their_rows["token_ids"]] == [list(ids) for ids in our_rows["token_ids"]]
    assert theirs["usage"]["answers"] == 40
    assert theirs["usage"]["completion_tokens"] == int(our_rows["tokens"].sum())
