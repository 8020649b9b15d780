"""`kgym sweep`: the grid, runs that are found again, the table over seeds, and the same table after a kill -9."""

import csv
import json
import math
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgym.cli.main import main
from kgym.errors import ConfigError
from kgym.experiments.sweep import (
    Row,
    as_csv,
    check_measure,
    folder_of,
    grid_of,
    rows_of,
    run_of,
    seeds_of,
    settings_of,
)
from kgym.files import locked
from kgym.runs.metrics import read_metrics

SMALL = [
    "--env",
    "arithmetic",
    "--steps",
    "2",
    "--set",
    "rollout.problems_per_step=2",
    "rollout.group_size=2",
    "env.max_tokens=24",
]
SMALL += ["--set", "eval.every=1", "eval.problems=8"]


# --- the grid ---------------------------------------------------------------------------------------------------------


@given(
    st.lists(
        st.sampled_from(["1e-4", "grpo", "[1, 2]", '"a,b"', "{x = [1,2]}", "aime24"]),
        min_size=1,
        max_size=5,
        unique=True,
    )
)
def test_values_are_split_at_the_commas_between_them(values):
    assert grid_of([f"key={','.join(values)}"]) == {"key": values}


def test_every_combination_the_last_key_changing_fastest():
    settings = settings_of(grid_of(["a=1,2", "b=x,y"]))
    assert [tuple(setting.values()) for setting in settings] == [("1", "x"), ("1", "y"), ("2", "x"), ("2", "y")]
    assert settings_of({}) == [{}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train.lr", "KEY=VALUE,VALUE"),
        ("=1", "KEY=VALUE"),
        ("a=", "KEY=VALUE"),
        ("a=1,,2", "KEY=VALUE"),
        ("seed=1", "--seeds"),
        ("a=1,1", "twice"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(text, said):
    with pytest.raises(ConfigError, match=said):
        grid_of([text])


@pytest.mark.parametrize(("text", "seeds"), [("1", [0]), ("3", [0, 1, 2]), ("0,5", [0, 5]), ("7,", [7])])
def test_seeds(text, seeds):
    assert seeds_of(text) == seeds


@pytest.mark.parametrize("text", ["0", "", ",", "-1", "1.5", "a", "2,2", "1,b"])
def test_seeds_that_cannot_be_are_refused(text):
    with pytest.raises(ConfigError, match="--seeds"):
        seeds_of(text)


# --- runs -------------------------------------------------------------------------------------------------------------


def test_more_seeds_and_values_find_the_runs_that_are_there(tmp_path):
    command = ["train", "--env", "arithmetic"]
    few = {run_of(command, setting, 0, tmp_path).folder for setting in settings_of(grid_of(["a=1,2"]))}
    many = {
        run_of(command, setting, seed, tmp_path).folder
        for setting in settings_of(grid_of(["a=1,2,3"]))
        for seed in range(3)
    }
    assert len(few) == 2
    assert few < many
    assert len(many) == 9
    assert (
        folder_of(command, tmp_path) == folder_of(command, tmp_path) != folder_of([*command, "--steps", "1"], tmp_path)
    )


def test_an_interrupted_run_is_resumed_with_its_ranks(tmp_path):
    run = run_of(["train", "--ranks", "2"], {"train.lr": "1e-4"}, 1, tmp_path, again=["--ranks", "2"])
    assert run.words_now == ("train", "--ranks", "2", "--set", "train.lr=1e-4", "--seed", "1", "--run", str(run.folder))
    run.folder.mkdir(parents=True)
    (run.folder / "manifest.json").write_text("{}")
    assert run.words_now == ("train", "--run", str(run.folder), "--resume", "--ranks", "2")


def ended(run, accuracy, reward=(0.0, 0.5)):
    """Write what an ended training has, with validations at its last step alone."""
    run.folder.mkdir(parents=True)
    lines = [{"step": step, "reward/mean": value} for step, value in enumerate(reward, 1)]
    lines[-1] |= {"eval/accuracy": accuracy}
    (run.folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run.folder / "summary.json").write_text("{}")
    return run


def test_mean_spread_and_interval_over_seeds(tmp_path):
    runs = [
        ended(run_of(["train"], {"a": "1"}, seed, tmp_path), accuracy) for seed, accuracy in enumerate([0.1, 0.2, 0.3])
    ]
    runs.append(run_of(["train"], {"a": "2"}, 0, tmp_path))  # has not ended
    rows = {(row.setting, row.measure): row for row in rows_of(runs, ["sum reward/mean"])}
    score = rows["a=1", "final eval/accuracy"]
    assert score.by_seed == pytest.approx({0: 10.0, 1: 20.0, 2: 30.0})
    assert (score.mean, score.spread, score.unit) == (pytest.approx(20), pytest.approx(10), " points")
    assert score.interval == pytest.approx((20 - 24.84, 20 + 24.84), abs=0.01)  # t(2) = 4.303, times 10 / sqrt(3)
    assert rows["a=1", "last reward/mean"].mean == 0.5  # the second half of two steps
    assert rows["a=1", "sum reward/mean"].mean == 0.5
    assert math.isnan(rows["a=2", "final eval/accuracy"].mean)
    assert ("a=1", "final episode/tokens_mean") not in rows, "no run has it"


@pytest.mark.parametrize(("accuracy", "tokens"), [(None, 0.0), (None, 7.0), (0.0, 0.0)])
def test_an_evaluation_without_a_score_or_tokens_has_no_such_measure(tmp_path, accuracy, tokens):
    """All completions unscored, or no prompt that leaves room for one: the others keep their table."""
    runs = [run_of(["eval"], {}, seed, tmp_path) for seed in range(2)]
    for run, figures in zip(runs, ((accuracy, tokens), (0.5, 10.0)), strict=True):
        run.folder.mkdir(parents=True)
        (run.folder / "results.json").write_text(json.dumps({"accuracy": figures[0], "tokens_mean": figures[1]}))
    rows = {row.measure: row.by_seed for row in rows_of(runs, ["efficiency"])}
    assert rows["efficiency"] == {1: 50.0}
    assert rows["tokens"] == {0: tokens, 1: 10.0}
    assert rows["accuracy"] == ({1: 50.0} if accuracy is None else {0: 0.0, 1: 50.0})


def test_one_seed_has_no_spread_and_no_interval():
    row = Row("a", "accuracy", " points", {0: 3.0})
    assert row.mean == 3.0
    assert math.isnan(row.spread)
    assert row.interval == (-math.inf, math.inf)


def test_no_spreadsheet_runs_a_cell():
    assert as_csv([{"setting": "=1+1", "mean": math.nan, "seeds": 2}]) == "setting,mean,seeds\n'=1+1,,2\n"


@pytest.mark.parametrize(
    ("measure", "command", "said"),
    [
        ("eval/accuracy", "train", "final KEY"),
        ("final", "train", "final KEY"),
        ("final a", "eval", "accuracy, tokens"),
        ("accuracy x", "eval", "an evaluation has"),
    ],
)
def test_a_measure_that_runs_cannot_have_is_refused(measure, command, said):
    with pytest.raises(ConfigError, match=said):
        check_measure(measure, command)


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name the command after the options"),
        (["trian"], "did you mean 'train'"),
        (["--seeds", "0", "train"], "--seeds '0'"),
        (["--jobs", "0", "train"], "--jobs 0"),
        (["train", "--seed", "1"], "give --seeds before the command"),
        (["train", "--run", "x"], "give --out before the command"),
        (["train", "--set", "seed=1"], "give --seeds before the command"),
        (["train", "--json"], "give it before the command"),
        (["train", "--no-such"], "--no-such"),
        (["--grid", "train.lrr=1", "train"], "did you mean 'train.lr'"),
        (["--grid", "algo.tauu=1,2", "train"], "algo.tau"),
        (["--grid", "algo=grpo,no-such", "train"], "no-such"),
        (["eval", "--bench", "a", "--bench", "b"], "--grid benches=a,b"),
        (["eval", "--bench", "no-such"], "no-such"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", *words]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert not [*tmp_path.iterdir()]


def test_a_dry_run_lists_the_runs_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["sweep", "--seeds", "2", "--grid", "train.lr=1e-4,3e-4", "--jobs", "2", "--dry-run"]
    assert main([*words, "train", *SMALL]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [("train.lr=1e-4" in line, "--seed 0" in line) for line in lines[:4]] == [
        (True, True),
        (True, False),
        (False, True),
        (False, False),
    ]
    assert lines[-1] == "4 runs, 4 of them to do, 2 at once"
    assert main([*words, "--json", "train", *SMALL]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert [run["command"][:2] for run in runs] == [["kgym", "train"]] * 4
    assert not [*tmp_path.iterdir()]


def test_plugins_are_named_before_each_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("kgym_api = 1\n")
    assert main(["sweep", "--seeds", "1", "--dry-run", "--json", "train", "-p", "./mine.py", *SMALL]) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert run["command"][:4] == ["kgym", "-p", "./mine.py", "train"]
    assert run["command"].count("-p") == 1


def test_what_has_ended_is_not_run_again_and_has_its_table(tmp_path, capsys):
    command = ["train", *SMALL]
    for lr, base in (("1e-4", 0.2), ("3e-4", 0.6)):
        for seed in range(2):
            ended(run_of(command, {"train.lr": lr}, seed, tmp_path), base + seed / 10)
    words = ["sweep", "--seeds", "2", "--grid", "train.lr=1e-4,3e-4", "--out", str(tmp_path)]
    assert main([*words, *command]) == 0
    said = capsys.readouterr().out
    assert "to do" not in said
    assert [line.split() for line in said.splitlines() if "final eval/accuracy" in line] == [
        ["train.lr=1e-4", "final", "eval/accuracy", "2", "25.0", "points", "7.1", "points", "-38.5", "to", "88.5"],
        ["train.lr=3e-4", "final", "eval/accuracy", "2", "65.0", "points", "7.1", "points", "1.5", "to", "128.5"],
    ]
    assert main([*words, "--json", *command]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["mean"] for row in found["table"] if row["measure"] == "final eval/accuracy"] == pytest.approx([25, 65])
    table = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))
    assert [row["setting"] for row in table if row["measure"] == "last reward/mean"] == [
        "train.lr=1e-4",
        "train.lr=3e-4",
    ]
    runs = list(csv.DictReader((tmp_path / "runs.csv").read_text().splitlines()))
    assert [(row["train.lr"], row["seed"], float(row["final eval/accuracy"])) for row in runs] == [
        ("1e-4", "0", pytest.approx(20)),
        ("1e-4", "1", pytest.approx(30)),
        ("3e-4", "0", pytest.approx(60)),
        ("3e-4", "1", pytest.approx(70)),
    ]


def swept(*more):
    words = ["sweep", "--seeds", "2", "--grid", "train.lr=1e-4,3e-4", "--out", "out", "--jobs", "2", *more]
    return [sys.executable, "-m", "kgym", *words, "train", *SMALL, "--set", "train.save_every=1"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_ends_with_the_sweep_that_is_killed(tmp_path):
    words = [
        "sweep",
        "--seeds",
        "1",
        "--out",
        "out",
        "train",
        *SMALL[2:],
        "--env",
        "arithmetic",
        "--steps",
        "5000",
        "--set",
        "eval.every=0",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "kgym", *words], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not (found := [*tmp_path.glob("out/runs/*/manifest.json")]) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with locked(found[0].parent / ".lock", what="the run", wait=True):  # as soon as the run has gone
        assert not (found[0].parent / "summary.json").exists(), "it was not waited for to its end"
        assert len(read_metrics(found[0].parent / "metrics.jsonl")) < 5000


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_in_the_middle_and_given_again_it_ends_in_the_same_table(tmp_path):
    straight, interrupted = tmp_path / "straight", tmp_path / "interrupted"
    straight.mkdir(), interrupted.mkdir()
    process = subprocess.Popen(swept(), cwd=interrupted, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not [*interrupted.glob("out/runs/*/checkpoints/step-1")] and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len([*interrupted.glob("out/runs/*/summary.json")]) < 4
    tables = []
    for folder in (straight, interrupted):
        done = subprocess.run(swept("--json"), cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        tables.append(json.loads(done.stdout)["table"])
    assert tables[0] == tables[1]
    assert len([*interrupted.glob("out/runs/*/summary.json")]) == 4


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_that_fails_leaves_the_others(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["sweep", "--seeds", "1", "--grid", "benches=arithmetic:validation,broken:validation", "--out", "out"]
    (tmp_path / "broken.py").write_text(
        "from kgym.hookspecs import EnvInfo, hookimpl\nkgym_api = 1\n"
        "@hookimpl\ndef kgym_components():\n    yield EnvInfo(name='broken', target=__name__ + ':Broken')\n"
        "from kgym_envs.arithmetic import Arithmetic\n"
        "class Broken(Arithmetic):\n    def prompt(self, problem):\n"
        "        if problem.id == 'kgym/placeholder':  # of the check before a start\n            return "
        "super().prompt(problem)\n        raise RuntimeError('out of order')\n"
    )
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert main(["-p", "./broken.py", *words, "eval", "--problems", "4", "--max-tokens", "8"]) == 1
    printed = capsys.readouterr()
    assert "benches=broken:validation, seed 0 failed: " in printed.err
    assert "out of order" in printed.err
    assert len([*tmp_path.glob("out/runs/*/results.json")]) == 1
    rows = [line.split() for line in printed.out.splitlines() if line.startswith("benches=")]
    assert [(row[0], row[2]) for row in rows if row[1] == "accuracy"] == [
        ("benches=arithmetic:validation", "1"),
        ("benches=broken:validation", "0"),
    ]
