"""`kgym eval --engine openai`, end to end through a server that fails: the figures of an undisturbed run, and
nothing asked twice.
"""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from faulty_server import KEY, FaultyServer
from kgym.cli.main import main
from kgym.score.results import EvalResult

FAULTS = ["429", "500", "503", "cut", "half", "slow", "malformed", "empty"]
QUICK = ["engine.backoff_s=0.01", "engine.timeout_s=4"]


@pytest.fixture(autouse=True)
def _place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def command(server, *more, problems=24, samples=3, settings=()):
    model = [] if "--model" in more else ["--model", "served"]
    asked = ["eval", "--engine", "openai", *model, "--bench", "arithmetic:validation", "--problems", str(problems)]
    return [*asked, "--samples", str(samples), *more, "--set", f"engine.base_url={server.url}", *QUICK, *settings]


def played(capsys, *arguments):
    status = main([*arguments, "--json"])
    captured = capsys.readouterr()
    assert status == 0, captured.err
    return json.loads(captured.out), captured.err


def started(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "kgym.cli.main", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for(process, condition):
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.005)


def test_through_a_failing_server_the_figures_are_those_of_an_undisturbed_run(capsys, tmp_path):
    with FaultyServer() as server:
        smooth, said = played(capsys, *command(server, "--run", "smooth", problems=12, samples=2))
    assert 0 < smooth["accuracy"] < 1
    assert smooth["usage"].pop("prompt_tokens") > 0
    assert smooth["usage"] == {"requests": 24, "answers": 24, "completion_tokens": 7 * 24}
    assert " | 0 failures" in said
    with FaultyServer(FAULTS, n_faults=8, slow_s=6.0) as server:  # each request meets every fault
        rough, said = played(capsys, *command(server, "--run", "rough", problems=12, samples=2))
        assert set(server.answered.values()) == {1}  # nothing was generated twice
        assert len(server.answered) == 24
    assert EvalResult.from_json(rough) == EvalResult.from_json(smooth)
    kinds = {"429": 24, "5xx": 48, "connection": 48, "timeout": 24, "malformed": 48}
    assert {
        name.removeprefix("failed_"): n for name, n in rough["usage"].items() if name.startswith("failed_")
    } == kinds
    assert rough["usage"]["requests"] == 9 * 24
    assert re.search(r"24/24 completions \| [\d.]+/s \| [\d,]+ tokens/s \| 0:00 left \| 192 failures", said)
    assert re.search(r"played 24 completions, 168 tokens, in \d+:\d\d", said)
    frames = [
        pd.read_parquet(tmp_path / run / "samples").sort_values(["problem_id", "attempt"])
        for run in ("smooth", "rough")
    ]
    assert list(frames[0]["text"]) == list(frames[1]["text"])
    assert list(frames[0]["tokens"]) == [7] * 24


def test_a_server_that_breaks_down_and_the_same_command_again(capsys, tmp_path):
    with FaultyServer() as server:
        smooth, _ = played(capsys, *command(server, "--run", "smooth"))
    with FaultyServer() as server:
        server.fault_of = lambda number: "503" if number >= 50 else ""
        one = command(server, "--run", "run", settings=["engine.retries=1", "engine.concurrency=4"])
        assert main(one) == 1
        error = capsys.readouterr().err
        assert "status 503" in error
        assert "give the same command again" in error
        assert len(pd.read_parquet(tmp_path / "run" / "samples")) == 50  # all that was answered
        server.fault_of = None
        again, said = played(
            capsys, *command(server, "--run", "run", settings=["engine.retries=3", "engine.concurrency=8"])
        )
        assert set(server.answered.values()) == {1}
        assert len(server.answered) == 72
    assert "72/72 completions" in said
    assert "played 22 completions" in said
    assert EvalResult.from_json(again) == EvalResult.from_json(smooth)
    assert again["usage"]["answers"] == 72
    assert again["usage"]["failed_5xx"] >= 2
    with FaultyServer() as server:  # nothing is missing: no server is asked
        assert played(capsys, *one)[0] == again
        assert not server.bodies


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_stopped_in_the_middle_and_again(capsys, tmp_path, number):
    samples = tmp_path / "run" / "samples"
    with FaultyServer(slow_s=0.02) as server:
        smooth, _ = played(capsys, *command(server, "--run", "smooth", problems=40))
        server.answered.clear()
        server.fault_of = lambda _: "late"
        asked = command(server, "--run", "run", "--slots", "16", problems=40, settings=["engine.concurrency=4"])
        process = started(*asked)
        wait_for(process, (samples / "part-00001.parquet").exists)
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
        kept = pd.read_parquet(samples)
        assert 0 < len(kept) < 120
        n_before = server.settle()
        if number == signal.SIGINT:
            assert "resume with the same command" in out
            assert len(kept) >= n_before - 4  # what was under way is lost, nothing else
        server.fault_of = None
        again, _ = played(capsys, *asked)
        twice = sum(n - 1 for n in server.answered.values())
        assert twice == n_before - len(kept)
        assert sum(server.answered.values()) == 120 + twice
    frame = pd.read_parquet(samples)
    assert not frame.duplicated(["problem_id", "attempt"]).any()
    assert EvalResult.from_json(again) == EvalResult.from_json(smooth)


@pytest.mark.slow
def test_ctrl_c_does_not_wait_for_the_server(tmp_path):
    with FaultyServer(slow_s=60.0) as server:
        server.fault_of = lambda _: "late"
        process = started(*command(server, "--run", "run", settings=["engine.timeout_s=600"]))
        wait_for(process, lambda: len(server.bodies) >= 8)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 130


def test_the_key_is_in_no_file_and_in_no_message(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with FaultyServer(["429", "500"], n_faults=1, key=KEY) as server:
        arguments = command(server, "-vv", "--run", "run", "--board", "board.csv", problems=4)
        assert main(arguments) == 0
        said = "".join(capsys.readouterr())
        assert "attempt 1 failed: status 429: slow down" in said
        assert "HTTP Request" not in said
        server.key = "sk-of-somebody-else"
        assert main([*command(server, "--run", "other", problems=4)]) == 2
        refused = capsys.readouterr().err
        assert "refuses the API key in the environment variable OPENAI_API_KEY" in refused
        assert len(refused.splitlines()) == 1
        assert main([*command(server, "--debug", "--run", "other", problems=4)]) == 2
        refused += "".join(capsys.readouterr())
    assert not (tmp_path / "other").exists()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"manifest.json", "results.json", "usage.json", "board.csv"}
    assert all(KEY.encode() not in path.read_bytes() for path in files)
    assert KEY not in said + refused


def test_what_changes_answers_may_not_change_when_resumed_and_the_rest_may(capsys):
    with FaultyServer() as server:
        played(capsys, *command(server, "--run", "run", problems=4))
        manifest = json.loads(Path("run/manifest.json").read_text())
        assert set(manifest["request"]["engine_options"]) == {
            "base_url",
            "budget_field",
            "reasoning",
            "tokens",
            "send_seed",
            "body",
        }
        assert (manifest["request"]["model"], manifest["request"]["model_sha256"]) == ("served", "")
        assert main([*command(server, "--run", "run", problems=4, settings=["engine.body.min_p=0.1"])]) == 2
        assert "body" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            ["--model", "other"],
            "does not reply for the model 'other' (status 404: no such model); it has served; name it with --model",
        ),
        (
            ["--loop-tokens", "64"],
            "loop_tokens=64: engine=openai does not see tokens while a server samples them; leave it out",
        ),
        (
            ["env.context_tokens=512"],
            "env.context_tokens=512: a server counts the tokens of a prompt only when it completes it",
        ),
        (["engine.body.seed=1"], "kgym sets seed itself"),
        (["engine.base_url=ftp://host/v1"], "engine.base_url"),
    ],
)
def test_bad_input_is_one_clear_line_and_writes_nothing(capsys, tmp_path, more, said):
    with FaultyServer() as server:
        settings = more if "=" in more[0] else []
        assert main(command(server, *([] if settings else more), "--run", "run", settings=settings)) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_training_is_refused_with_the_reason(capsys, tmp_path):
    assert main(["train", "--engine", "openai", "--run", "run"]) == 2
    error = capsys.readouterr().err
    assert "engine=openai samples at a server, into which no weights can be loaded" in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_thousands_of_samples_stopped_and_resumed(capsys, tmp_path):
    samples = tmp_path / "run" / "samples"
    with FaultyServer() as server:
        server.fault_of = lambda number: "500" if number % 50 == 49 else ""
        asked = command(server, "--run", "run", problems=1000, samples=4, settings=["engine.retries=12"])
        for part, number in (("part-00002.parquet", signal.SIGINT), ("part-00006.parquet", signal.SIGKILL)):
            process = started(*asked)
            wait_for(process, lambda part=part: (samples / part).exists())
            process.send_signal(number)
            process.communicate(timeout=60)
        kept = len(pd.read_parquet(samples))
        assert 1000 < kept < 4000
        results, said = played(capsys, *asked)
        assert f"played {4000 - kept} completions" in said
        assert sum(server.answered.values()) <= 4000 + 2 * (256 + 32)
    frame = pd.read_parquet(samples)
    assert len(frame) == 4000
    assert not frame.duplicated(["problem_id", "attempt"]).any()
    assert results["n_samples"] == 4000
    assert results["usage"]["failed_5xx"] > 0
