"""`kgym runs view --serve`: what it says of runs that go on, to this machine alone, and how the page looks in a
browser.
"""

import http.client
import json
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from chromium import dom_of, in_browser
from kgym.board.live import LOCKS, seen, state_of
from kgym.cli import live
from kgym.cli.live import LiveServer
from kgym.cli.main import main
from kgym.files import locked
from kgym.runs.metrics import read_metrics
from test_compare_runs import training
from test_eval import place
from test_eval_many import ONE

__all__ = ["place"]  # a fixture


@contextmanager
def served(*folders):
    server = LiveServer(folders, 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def got(server, path, method="GET", host=None):
    """The status and the body of a request."""
    connection = http.client.HTTPConnection(*server.server_address, timeout=60)
    connection.request(method, path, headers={"Host": host or f"127.0.0.1:{server.server_port}"})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


def test_the_state_has_what_was_measured_and_changes_with_it(tmp_path):
    run = training(tmp_path / "mine", lr=0.1, seed=3)
    with served(run) as server:
        status, body = got(server, "/state.json")
        assert status == 200
        state = json.loads(body)
        (shown,) = state["runs"]
        assert (shown["name"], shown["done"], shown["total"], shown["unit"]) == ("mine", 3, 3, "steps")
        assert shown["curves"]["reward/mean"] == [[1, 0.0], [2, 0.5], [3, 1.0]]
        assert [chart["key"] for chart in state["charts"]] == ["reward/mean", "eval/accuracy"]
        assert ["seed", "3"] in shown["facts"]
        assert got(server, f"/state.json?seen={state['seen']}") == (204, "")
        with (run / "metrics.jsonl").open("a") as file:
            file.write('{"step": 4, "reward/mean": 0.25, "time/train_s": 2.0}\n')
        status, body = got(server, f"/state.json?seen={state['seen']}")
        assert status == 200
        assert json.loads(body)["runs"][0]["curves"]["reward/mean"][-1] == [4, 0.25]


def test_what_is_written_while_the_files_are_read_is_not_missed(tmp_path, monkeypatch):
    run = training(tmp_path / "mine", lr=0.1, seed=3)
    metrics = run / "metrics.jsonl"

    def read_then_written(path):
        lines = read_metrics(path)
        with path.open("a") as file:
            file.write('{"step": 4, "reward/mean": 0.25, "time/train_s": 2.0}\n')
        return lines

    monkeypatch.setattr("kgym.board.live.read_metrics", read_then_written)
    state = state_of([run])
    assert state["runs"][0]["done"] == 3
    assert read_metrics(metrics)[-1]["step"] == 4
    assert state["seen"] != seen([run])


def test_nobody_else_is_answered_and_nothing_else(tmp_path):
    with served(training(tmp_path / "mine", lr=0.1, seed=0)) as server:
        assert server.server_address[0] == "127.0.0.1"
        port = server.server_port
        for host in ("example.org", f"example.org:{port}", "127.0.0.1", f"127.0.0.2:{port}", ""):
            assert got(server, "/state.json", host=host or " ")[0] == 403
        assert got(server, "/", host=f"localhost:{port}")[0] == 200
        assert got(server, "/../../etc/passwd")[0] == 404
        assert got(server, "/manifest.json")[0] == 404
        assert got(server, "/", method="POST")[0] == 501


def test_the_page_loads_from_where_it_came_from_alone(tmp_path):
    with served(training(tmp_path / "mine", lr=0.1, seed=0)) as server:
        _, page = got(server, "/")
        assert re.search(
            r"default-src 'none'; img-src data:; connect-src 'self'; style-src 'sha256-[^']+'; script-src 'sha256-",
            page.replace("&#39;", "'"),
        )
        assert not re.findall(r'(?:src|href)="(?!data:|page")[^"]*', page)
        status, whole = got(server, "/page")
        assert status == 200
        assert "Reward in training" in whole


@pytest.mark.skipif(not LOCKS.exists(), reason="the system does not list locks")
def test_a_run_goes_on_while_its_lock_is_held(tmp_path):
    run = training(tmp_path / "mine", lr=0.1, seed=0, rewards=(0.5,))
    assert state_of([run])["runs"][0]["state"] == "not running"
    before = seen([run])
    with locked(run / ".lock", what="the run"):
        assert state_of([run])["runs"][0]["state"] == "running"
        assert seen([run]) != before
    assert state_of([run])["runs"][0]["state"] == "not running"
    training(tmp_path / "done", lr=0.1, seed=0)
    (tmp_path / "done" / "summary.json").write_text("{}")
    assert state_of([tmp_path / "done"])["runs"][0]["state"] == "finished"


def test_a_damaged_run_does_not_take_the_others_along(tmp_path):
    run, broken = training(tmp_path / "mine", lr=0.1, seed=0), training(tmp_path / "broken", lr=0.1, seed=0)
    (broken / "metrics.jsonl").write_text("[]\n")
    whole, damaged = state_of([run, broken])["runs"]
    assert whole["done"] == 3
    assert "is damaged" in damaged["error"]


def test_the_time_that_is_left_is_at_the_pace_of_the_last_steps(tmp_path):
    run = training(tmp_path / "mine", lr=0.1, seed=0)
    (run / "metrics.jsonl").write_text('{"step": 1, "reward/mean": 1, "time/rollout_s": 50.0, "time/train_s": 40.0}\n')
    facts = dict(state_of([run])["runs"][0]["facts"])
    assert facts["left, at the pace of the last steps"] == "3 min"  # two steps of 90 seconds


def test_an_evaluation_says_how_far_it_is_and_shows_completions(place, capsys):
    assert main([*ONE, "--bench", "sums", "--run", "run", "--set", "engine.fails_after=20"]) == 1
    (shown,) = state_of([place / "run"])["runs"]
    assert (shown["unit"], shown["total"]) == ("completions", 36)
    assert 0 < shown["done"] < 36
    assert dict(shown["facts"])["accuracy so far"].endswith("completions")
    assert all("What is" in row["question"] for row in shown["completions"])
    assert 0 < len(shown["completions"]) <= 4


# --- the command ------------------------------------------------------------------------------------------------------


def begun(*words, cwd):
    """Start the server as a process; return it and the port that it says."""
    command = [sys.executable, "-m", "kgym", "runs", "view", "--serve", "--port", "0", "--json", *words]
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said = "".join(process.stdout.readline() for _ in range(3))
    return process, int(re.search(r":(\d+)/", said)[1])


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_it_ends_cleanly(tmp_path, number, status):
    training(tmp_path / "mine", lr=0.1, seed=0)
    process, port = begun("mine", cwd=tmp_path)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/")
    assert connection.getresponse().status == 200
    connection.close()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (status, "")
    assert err == ("" if status == 0 else "kgym: ended by SIGTERM\n")


def test_a_port_that_is_in_use_gets_one_line(tmp_path, capsys):
    run = training(tmp_path / "mine", lr=0.1, seed=0)
    with served(run) as server:
        assert main(["runs", "view", "--serve", "--port", str(server.server_port), str(run)]) == 2
        err = capsys.readouterr().err
    assert err == f"kgym: error: --port {server.server_port} is in use; choose another, or 0 for any that is free\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--serve", "gone"], "gone is not a run folder"),
        (["--serve", "mine", "--port", "70000"], "--port 70000 cannot be used"),
        (["--serve", "mine", "-o", "x.html"], "-o is for a page that is written to a file"),
        (["--serve", "mine", "--answers", "3"], "--answers is for a page that is written to a file"),
        (["mine", "--port", "1"], "--port 1 needs --serve"),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_line(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    training(tmp_path / "mine", lr=0.1, seed=0)
    assert main(["runs", "view", *words]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not LOCKS.exists(), reason="the system does not list locks")
def test_it_follows_a_training_to_its_end(tmp_path):
    small = ("rollout.problems_per_step=2", "rollout.group_size=2", "env.max_tokens=24", "eval.every=0")
    words = ["train", "--env", "arithmetic", "--steps", "3", "--run", "mine", "-q", "--set", *small]
    trained = subprocess.Popen([sys.executable, "-m", "kgym", *words], cwd=tmp_path)
    while not (tmp_path / "mine" / "manifest.json").exists():
        time.sleep(0.05)
    process, port = begun("mine", cwd=tmp_path)
    found, known = [], ""
    while not found or found[-1]["state"] != "finished":
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", f"/state.json?seen={known}")
        answer = connection.getresponse()
        if answer.status == 200:
            state = json.loads(answer.read())
            known = state["seen"]
            found += state["runs"]
        connection.close()
        if trained.poll() is not None and (not found or found[-1]["state"] != "finished"):
            assert trained.returncode == 0
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert trained.wait() == 0
    assert process.returncode == 0
    assert [run["done"] for run in found] == sorted(run["done"] for run in found)
    assert found[-1]["done"] == 3
    assert len(found[-1]["curves"]["reward/mean"]) == 3
    assert len(found[-1]["completions"]) == 4


# --- a browser --------------------------------------------------------------------------------------------------------


@in_browser
def test_in_a_browser_the_page_draws_what_is_new_and_no_text_acts(tmp_path, monkeypatch):
    run = training(tmp_path / "<img src=x onerror=alert(1)>", lr=0.1, seed=0)
    state = state_of([run])
    hostile = "<script>document.documentElement.dataset.owned = 1</script>\u202e"
    row = dict.fromkeys(("problem_id", "question", "gold", "text", "answer", "status", "tokens", "when"), hostile)
    later = {**state["runs"][0], "done": 2, "completions": [row], "hints": [hostile]}
    states = iter([state, {**state, "seen": "second", "runs": [later]}])
    monkeypatch.setattr(live, "state_of", lambda _: next(states))
    monkeypatch.setattr(live, "seen", lambda _: "second")
    with served(run) as server:
        dom = dom_of(server.url, tmp_path, wait_s=6)
    assert "2 of 3 steps" in dom, "of the second state"
    assert dom.count("<polyline") == 2
    assert 'aria-label="Validation, newest value in %.' in dom
    assert "data-owned" not in dom
    assert "&lt;script&gt;" in dom
    assert "⟨U+202E⟩" in dom
    assert "<img" not in dom


@in_browser
def test_in_a_browser_a_server_that_has_ended_is_said(tmp_path, monkeypatch):
    run = training(tmp_path / "mine", lr=0.1, seed=0)
    first = state_of([run])
    answers = iter([first])

    def gone(_):
        for state in answers:
            return state
        raise ConnectionError

    monkeypatch.setattr(live, "state_of", gone)
    monkeypatch.setattr(live, "seen", lambda _: "another")
    with served(run) as server:
        dom = dom_of(server.url, tmp_path, wait_s=6)
    assert "kgym runs view has ended" in dom
    assert "3 of 3 steps" in dom, "the last state is still there"
