"""The family `openenv` against servers of the real package, which the tests start.

They run in a separate Python, which `KGYM_OPENENV_PYTHON` names; `tests/openenv/requirements.txt` says what it has.
"""

import json
import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from kgym.envs.setup import EnvSetup
from kgym.errors import ConfigError, DataError
from kgym.runs.episodes import read_episodes
from kgym_envs.openenv import server as server_module
from kgym_envs.openenv.server import UNLIKE, Played, Record, Server, last_object

HERE = Path(__file__).parent / "openenv"
PYTHON = os.environ.get("KGYM_OPENENV_PYTHON", "")
needs_openenv = pytest.mark.skipif(not PYTHON, reason="KGYM_OPENENV_PYTHON names no interpreter that has openenv-core")
LOCAL = "http://127.0.0.1:8000"


@contextmanager
def servers(*kinds):
    """Yield the URLs of servers, which end afterwards."""
    with subprocess.Popen(
        [PYTHON, str(HERE / "served.py"), *kinds], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield [f"http://127.0.0.1:{port}" for port in process.stdout.readline().split()]
        finally:
            process.kill()


def run(folder, *command):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [PYTHON, *command], cwd=folder, capture_output=True, text=True, env=environment, timeout=600, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done


@pytest.mark.slow
@needs_openenv
def test_problems_replies_verdicts_and_refusals(tmp_path):
    with servers("sums", "unseeded", "hidden", "single") as urls:
        found = json.loads(run(tmp_path, str(HERE / "checks.py"), *urls).stdout)
    assert found["id"].startswith("openenv/http-127.0.0.1-")
    train, validation = map(set, found["questions"])
    assert not train & validation
    assert min(len(train), len(validation)) > 190
    assert found["again"]
    assert found["hints"][0][1].startswith("It is 1 more. What is ")
    assert found["hints"][1:] == [None, ["user", "Error: this turn holds no action that the environment takes"]]
    assert found["verdicts"] == {
        "right": ["correct", None],
        "second": ["correct", None],  # 0.25 and 1
        "sum": ["wrong", 0.5],
        "last": ["wrong", 0.0],
        "scaled": ["wrong", 0.5],
        "reasoned": ["correct", None],
        "skipped": ["correct", None],
        "silent": ["no_answer", None],
        "json": ["correct", None],
        "no_json": ["no_answer", None],
        "refused": ["no_answer", None],
    }
    assert found["crash"] == ["unscored:reply:RuntimeError", "unscored:error:RuntimeError"]
    assert found["altered"] == "unscored:error:DataError"
    assert found["json_shown"] == "2"
    assert found["single"]  # one session at a time, and four threads that want one
    assert found["unseeded"].endswith(UNLIKE)
    assert found["hidden"].endswith(UNLIKE)
    assert found["no_field"].endswith("env.action=nope: its actions have no such field (fields: text)")
    assert found["no_shown"].endswith("env.observation=nope: its observations have no such field (fields: text, left)")
    assert found["exits"] == "unscored:reply:ConnectionError"
    assert found["gone"] == "unscored:error:ConnectionError"
    assert "the server gave no observation for seed 300: ConnectionError: Failed to connect" in found["gone_problem"]


@pytest.mark.slow
@needs_openenv
def test_the_commands_take_it(tmp_path):
    limits = ["verifier.limits.deadline_s=60", "verifier.limits.workers=1"]
    small = ["rollout.problems_per_step=2", "rollout.group_size=2", "eval.problems=2", "env.max_tokens=48", *limits]
    with servers("sums", "dying") as (url, dying):
        run(tmp_path, "-m", "kgym", "train", "--env", f"openenv:{url}", "--run", "run", "--steps", "2", "--set", *small)
        asked = ("--bench", f"openenv:{dying}:validation", "--problems", "20", "--run", "eval")
        said = run(tmp_path, "-m", "kgym", "eval", *asked, "--set", "env.max_tokens=48", *limits).stderr
    trained, asked = stored(tmp_path / "run" / "episodes"), stored(tmp_path / "eval" / "samples")
    assert (len(trained), len(asked)) == (8, 20)
    assert {2} <= {episode.n_turns for episode in trained} <= {1, 2}
    assert all(episode.verdict.scored for episode in trained)
    lost = [episode.verdict.reason for episode in asked if not episode.verdict.scored]
    assert 0 < len(lost) < 20  # 40 steps for replies and 40 for verdicts, in any order: it ends after 60
    assert set(lost) <= {"reply:ConnectionError", "error:ConnectionError"}
    assert "Traceback" not in said
    with servers("early") as (early,):  # 20 first replies take 20 steps, so some are lost
        asked = ("--bench", f"openenv:{early}:validation", "--problems", "20", "--run", "early")
        said = run(tmp_path, "-m", "kgym", "eval", *asked, "--set", "env.max_tokens=48", *limits).stderr
    assert "no reply, so the completion is unscored: ConnectionError: " in said
    assert "Traceback" not in said


def stored(folder):
    return [episode for path in sorted(folder.glob("*.parquet")) for episode in read_episodes(path)]


def test_without_the_package_the_hint_names_it(monkeypatch):
    monkeypatch.setattr("kgym.registry.importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs openenv, which is not installed: pip install 'kgym\[openenv\]'"):
        EnvSetup(f"openenv:{LOCAL}", {})


def served(monkeypatch, fields=None, needed=("text",), told=None, **settings):
    """A server that is asked nothing but its schemas."""
    fields = fields or {"text": {"type": "string"}}
    schemas = {
        "action": {"properties": {"metadata": {"type": "object"}, **fields}, "required": list(needed)},
        "observation": {"properties": {"done": {}, "reward": {}, "metadata": {}, **(told or {})}},
    }
    monkeypatch.setattr(server_module, "_schema", lambda http, timeout_s: schemas)
    return Server(LOCAL, 1.0, **settings)


TWO = {"code": {"type": "string"}, "lines": {"type": "integer"}}


def test_the_field_of_an_action_is_found_or_asked_for(monkeypatch):
    assert served(monkeypatch).action_field == "text"
    assert served(monkeypatch, TWO, ("code",)).action_field == "code"
    assert served(monkeypatch, TWO, (), action="code").action_field == "code"
    assert served(monkeypatch, TWO, ("code", "lines"), action="json").action_field == "json"
    with pytest.raises(
        ConfigError, match=r"not one text \(fields: code, lines; needed: code, lines\).*env.action=json"
    ):
        _ = served(monkeypatch, TWO, ("code", "lines")).action_field
    with pytest.raises(ConfigError, match=r"need lines too; set env\.action=json"):
        _ = served(monkeypatch, TWO, ("code", "lines"), action="code").action_field


def test_turns_become_actions_without_their_reasoning(monkeypatch):
    plain, by_json = served(monkeypatch), served(monkeypatch, action="json")
    assert plain.action_of("<think>a</think> b\n") == {"text": "b"}
    assert plain.action_of("<think>a") is None
    assert plain.action_of(" ") is None
    assert by_json.action_of('{"text": "a"} no, {"text": {"deep": []}}!') == {"text": {"deep": []}}
    assert by_json.action_of("a [1]") is None
    assert by_json.action_of(r'{"text": "\ud83d"}') is None, "servers fail on half of a surrogate pair"
    assert by_json.action_of(r'{"text": "\ud83d\ude00"}') == {"text": "😀"}
    assert last_object("{" * 100_000) is None


def test_observations_are_shown_by_their_only_text_or_as_json(monkeypatch):
    text = {"told": {"type": "string"}}
    assert served(monkeypatch, told=text).shown({"told": "a"}) == "a"
    two = served(monkeypatch, told=text | {"more": {"type": "string"}})
    assert two.shown({"told": "a", "more": "b"}) == '{"more": "b", "told": "a"}'


def test_an_episode_follows_one_with_the_same_observations():
    played = Played("q", ["a", None])
    assert played.follows("instructions\n\nq", ["a"])
    assert played.follows("q", played.said())
    assert not played.follows("another", [])
    assert not played.follows("q", ["b"])
    assert not played.follows("q", [*played.said(), "c"])


def test_a_gold_answer_is_read_back():
    record = Record(Server(LOCAL, 1.0, "json", "text"), 7, "last", 2.0)
    assert Record.read(str(record)) == record
    with pytest.raises(DataError, match="not a gold answer of an environment openenv:URL: '42'"):
        Record.read("42")


@pytest.mark.parametrize("member", ["localhost:8000", "http://", "echo"])
def test_what_is_no_address_is_refused(monkeypatch, member):
    monkeypatch.setattr("kgym.registry.importlib.util.find_spec", lambda name: object())
    with pytest.raises(ConfigError, match=r"needs the address of a server, such as openenv:http://127\.0\.0\.1:8000"):
        EnvSetup(f"openenv:{member}", {})
