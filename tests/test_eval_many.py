"""`kgym eval --bench A --bench B`: one model load; each benchmark has its own problems, verifier, folder and row."""

import json
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from kgym.cli.main import main
from kgym.eval_config import EvalConfig
from kgym.registry import configure
from kgym.score.evaluating import plan_all
from kgym.score.results import EvalResult
from test_eval import PLUGIN, place, run_json

__all__ = ["place"]  # a fixture

ONE = ["eval", "--model", "model", "--engine", "mostly-right", "--slots", "9"]
TWO = [*ONE, "--bench", "sums", "--bench", "texts"]


def results(folder):
    return json.loads((folder / "results.json").read_text())


def asked(place):
    path = place / "asked.txt"
    return path.read_text().splitlines() if path.exists() else []


def test_each_benchmark_is_scored_as_by_a_command_of_its_own(place, capsys):
    assert main([*TWO, "--board", "board.csv"]) == 0
    out, err = capsys.readouterr()
    assert (place / "loaded.txt").read_text().count("\n") == 1
    found = {results(path)["benchmark"]: path.relative_to(place) for path in (place / "runs").iterdir()}
    assert set(found) == {"sums", "texts"}
    for name, budget, verifier in (("sums", 64, "integer"), ("texts", 1024, "math")):
        facts = results(place / found[name])["facts"]
        assert (facts["max_tokens"], facts["verifier"]) == (budget, verifier)
        assert len(pd.read_parquet(place / found[name] / "samples")) == {"sums": 12 * 3, "texts": 10 * 2}[name]
        assert f"run           {found[name]}" in out
    assert "sums (1 of 2): 36/36 completions" in err
    assert "texts (2 of 2): 20/20 completions" in err
    last = [line.split()[0] for line in out.splitlines()[-2:]]
    assert last == ["sums", "texts"]  # the table of both

    n_asked = len(asked(place))
    both = run_json(capsys, *TWO, "--board", "board.csv")["results"]
    alone = [run_json(capsys, *ONE, "--bench", name) for name in ("sums", "texts")]
    assert both == alone
    assert [result["run"] for result in alone] == [str(found["sums"]), str(found["texts"])]
    assert len(asked(place)) == n_asked == 56
    assert (place / "loaded.txt").read_text().count("\n") == 1  # no model is loaded when no completion is missing
    rows = pd.read_csv("board.csv")
    assert list(rows["benchmark"]) == ["sums", "texts"]
    assert list(rows["run"]) == [str(found["sums"]), str(found["texts"])]
    assert len(run_json(capsys, "leaderboard", "show", "--board", "board.csv")) == 2


def test_a_name_for_the_run_starts_the_names_of_all_folders(place, capsys):
    both = run_json(capsys, *TWO, "--run", "runs/mine")["results"]
    assert [result["run"] for result in both] == ["runs/mine-sums", "runs/mine-texts"]
    assert {run["run"] for run in run_json(capsys, "runs", "list")} == {"runs/mine-sums", "runs/mine-texts"}
    apart = run_json(capsys, *ONE, "--bench", "sums", "--run", "runs/mine-sums")
    assert apart == both[0]
    split = run_json(capsys, *ONE, "--bench", "sums", "--bench", "math500:train", "--problems", "3", "--run", "few")
    split = split["results"]
    assert [result["run"] for result in split] == ["few-sums", "few-math500-train"]
    assert [result["n_problems"] for result in split] == [3, 3]


def test_only_what_is_missing_is_played(place, capsys):
    alone = run_json(capsys, *ONE, "--bench", "sums")
    before = len(asked(place))
    both = run_json(capsys, *TWO)["results"]
    assert both[0] == alone
    assert len(asked(place)) - before == 20
    grown = run_json(capsys, *TWO, "--samples", "3")["results"]  # three completions of each problem, which `sums` has
    assert [result["n_samples"] for result in grown] == [36, 30]
    assert len(asked(place)) - before == 30


def test_kill_9_in_the_second_and_again(place, capsys):
    slow = ["--set", "engine.sleep_s=0.03"]
    straight = run_json(capsys, *TWO, "--run", "straight", *slow)["results"]
    (place / "asked.txt").unlink()
    command = [*TWO, "--run", "killed", "--board", "board.csv", *slow]
    process = subprocess.Popen([sys.executable, "-m", "kgym.cli.main", *command], cwd=place, stdout=subprocess.DEVNULL)
    while not (place / "killed-texts" / "samples" / "part-00000.parquet").exists():
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(pd.read_csv("board.csv")["benchmark"]) == ["sums"]  # the first is finished, and has its row
    first = (place / "killed-sums" / "results.json").read_bytes()
    kept = len(pd.read_parquet(place / "killed-texts" / "samples"))
    assert 0 < kept < 20
    (place / "asked.txt").unlink()
    again = run_json(capsys, *command)["results"]
    assert len(asked(place)) == 20 - kept
    assert (place / "killed-sums" / "results.json").read_bytes() == first
    assert list(map(EvalResult.from_json, again)) == list(map(EvalResult.from_json, straight))
    assert list(pd.read_csv("board.csv")["benchmark"]) == ["sums", "texts"]


def test_a_failure_in_the_second_keeps_the_first(place, capsys):
    command = [*TWO, "--run", "run", "--board", "board.csv", "--set"]
    assert main([*command, "engine.fails_after=40"]) == 1
    out, err = capsys.readouterr()
    assert "out of memory" in err.splitlines()[-1]
    assert "benchmark     sums" in out
    assert results(place / "run-sums")["n_samples"] == 36
    assert list(pd.read_csv("board.csv")["benchmark"]) == ["sums"]
    assert not (place / "run-texts" / "results.json").exists()
    assert main([*command, "engine.fails_after=41"]) == 2
    assert "engine_options.fails_after was 40 and is 41" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bench", "summs"], "no benchmark named 'summs'; did you mean 'sums'"),
        (["--bench", "aime24"], "kgym data add aime24"),
        (["--bench", "arithmetic:validation"], "--problems"),
        (["--bench", "arithmetic:tests"], "tests"),
        (["--bench", "sums"], "--bench sums is given twice"),
        (["--bench", "texts", "--problems", "-1"], "problems=-1"),
        (["--bench", "texts", "--set", "env.dificulty=2"], "difficulty"),
        (["--bench", "texts", "--run", "."], "--run .:"),
        (["--bench", "texts", "--run", "runs/.."], "--run runs/..:"),
        (
            ["--bench", "texts", "--run", "kgymfile.py/run"],
            "kgymfile.py/run cannot be a folder: it, or one of its parents, is a file",
        ),
        (["--bench", "texts", "--run", "taken"], "taken-texts is not empty and contains no evaluation"),
    ],
)
def test_whatever_is_wrong_with_one_is_said_before_any_is_played(place, capsys, monkeypatch, arguments, message):
    monkeypatch.setenv("KGYM_DATA_DIR", str(place / "data"))
    (place / "taken-texts").mkdir()
    (place / "taken-texts" / "mine.txt").touch()
    before = sorted(place.rglob("*"))
    assert main([*ONE, "--bench", "sums", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert [path for path in sorted(place.rglob("*")) if "__pycache__" not in str(path)] == before


def test_a_folder_with_other_answers_is_named_before_any_is_played(place, capsys):
    run_json(capsys, *ONE, "--bench", "texts", "--run", "run-texts", "--seed", "1")
    (place / "loaded.txt").unlink()
    assert main([*TWO, "--run", "run"]) == 2
    err = capsys.readouterr().err
    assert "run-texts contains the completions of another evaluation: seed was 1 and is 0" in err
    assert err.count("\n") == 1
    assert not (place / "run-sums").exists()
    assert not (place / "loaded.txt").exists()


def test_two_names_that_make_one_folder_are_refused(place, capsys):
    more = 'yield BenchmarkInfo(name="math500-train", env="math500", split="train", problems=10)\n'
    (place / "kgymfile.py").write_text(PLUGIN.replace("    yield Bench", f"    {more}    yield Bench", 1))
    two = [*ONE, "--bench", "math500:train", "--bench", "math500-train"]
    assert main([*two, "--problems", "2", "--run", "run"]) == 2
    err = capsys.readouterr().err
    assert "model on math500:train and model on math500-train would both be stored in run-math500-train;" in err
    assert err.count("\n") == 1
    assert not (place / "run-math500-train").exists()


def test_a_preset_gives_each_benchmark_its_samples(place):
    configure(["kgymfile.py"])
    (plans,) = plan_all([EvalConfig(preset="r1", benches=("sums", "math500-style"))])
    found = {plan.bench.name: (len(plan.evaluation.indices), plan.evaluation.samples) for plan in plans}
    assert found == {"sums": (12, 64), "math500-style": (510, 4)}
    assert {plan.request["temperature"] for plan in plans} == {0.6}
    assert not (place / "runs").exists()  # planning writes nothing


# --- several models ---------------------------------------------------------------------------------------------------

REFUSING = PLUGIN.replace(
    "        super().__init__(answer)\n",
    "        if os.path.exists(os.path.join(model, 'broken')):\n            raise EngineError('weights are missing')\n"
    "        super().__init__(answer)\n",
)
"""The same engine, which cannot load a folder with a file `broken` in it."""


@pytest.fixture
def other(place):
    """A second model, which is not the first."""
    shutil.copytree(place / "model", place / "other")
    config = json.loads((place / "other" / "config.json").read_text())
    (place / "other" / "config.json").write_text(json.dumps(config | {"changed": True}))
    return place / "other"


def test_each_model_is_scored_on_each_benchmark(place, other, capsys):
    command = ["eval", "--model", "model", "--model", "other", *TWO[3:], "--run", "runs/mine"]
    assert main([*command, "--board", "board.csv"]) == 0
    out, err = capsys.readouterr()
    assert (place / "loaded.txt").read_text().split() == ["model", "other"]
    assert "other on sums (3 of 4): 36/36 completions" in err
    rows = [line.split()[:2] for line in out.splitlines()[-4:]]
    assert rows == [["model", "sums"], ["model", "texts"], ["other", "sums"], ["other", "texts"]]
    assert list(pd.read_csv("board.csv")["model"]) == ["model", "model", "other", "other"]
    n_asked = len(asked(place))
    found = run_json(capsys, *command)
    assert [result["run"] for result in found["results"]] == [
        f"runs/mine-{name}" for name in ("model-sums", "model-texts", "other-sums", "other-texts")
    ]
    assert found["failed"] == []
    assert len(asked(place)) == n_asked, "nothing was played again"
    assert run_json(capsys, *ONE, "--bench", "texts", "--run", "runs/mine-model-texts") == found["results"][1]


def test_a_model_that_cannot_be_loaded_does_not_lose_the_others(place, other, capsys):
    (place / "kgymfile.py").write_text(REFUSING)
    (other / "broken").touch()
    command = ["eval", "--model", "other", "--model", "model", *TWO[3:]]
    assert main(command) == 1
    out, err = capsys.readouterr()
    complaints = [line for line in err.splitlines() if line.startswith("kgym: error")]
    assert [line.partition(": engine")[0] for line in complaints] == [
        f"kgym: error: other on {name}" for name in ("sums", "texts")
    ]
    assert all("weights are missing" in line for line in complaints)
    rows = [line.split()[:3] for line in out.splitlines()[-4:]]
    assert [row[:2] for row in rows] == [["model", "sums"], ["model", "texts"], ["other", "sums"], ["other", "texts"]]
    assert [row[2] == "failed" for row in rows] == [False, False, True, True]
    (place / "asked.txt").unlink()
    (other / "broken").unlink()
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(result["model"], result["benchmark"]) for result in found["results"]] == [
        ("other", "sums"),
        ("other", "texts"),
        ("model", "sums"),
        ("model", "texts"),
    ]
    assert len(asked(place)) == 56, "the other model alone was played"


def test_an_engine_that_fails_is_loaded_again_for_the_next_benchmark(place, capsys):
    assert main([*TWO, "--json", "--set", "engine.fails_after=25"]) == 1  # 36 completions of the first, 20 of the other
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert [result["benchmark"] for result in found["results"]] == ["texts"]
    (failed,) = found["failed"]
    assert (failed["model"], failed["benchmark"]) == ("model", "sums")
    assert "out of memory" in failed["error"]
    assert (place / "loaded.txt").read_text().count("\n") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "model"], "--model model is given twice"),
        (["--model", "modle"], "no model named 'modle'"),
        (["--model", "other", "--label", "mine"], "--label mine would name 2 models alike"),
        (["--model", "other", "--bench", "summs"], "did you mean 'sums'"),
        (["--model", "./other", "--run", "x"], None),
    ],
)
def test_whatever_is_wrong_with_one_model_is_said_before_any_is_played(place, other, capsys, arguments, message):
    if message is None:  # two spellings of one folder
        assert main([*ONE, "--bench", "sums", "--model", "other", *arguments]) == 2
        assert "would both be stored in x-other-sums" in capsys.readouterr().err
        return
    assert main([*ONE, "--bench", "sums", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not (place / "loaded.txt").exists()
