"""Trackers, each with its real package where that is installed; what they store is read back by the package's own
reader.
"""

import importlib.util
import json
import logging
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from kgym.cli.main import main
from kgym.errors import RunError
from kgym.keys import load_config, parse_override, set_key
from kgym.registry import registry
from kgym.runs.metrics import read_metrics
from kgym.train.trackers import Trackers
from kgym_plugins.trackers.jsonl import JsonlOptions, JsonlTracker
from kgym_plugins.trackers.records import finite, flat, remember, remembered

SMALL = {
    "rollout.problems_per_step": 2,
    "rollout.group_size": 2,
    "env.max_tokens": 32,
    "eval.problems": 8,
    "eval.every": 1,
    "train.save_every": 1,
    "train.threads": 1,
}
CONFIG = {"model": "nano", "train": {"lr": 1e-4, "betas": [0.9, 0.95]}, "trackers": {}}
STEPS = [
    (0, {"eval/accuracy": 0.25}),
    (1, {"reward/mean": 0.5, "optim/lr": float("nan")}),
    (2, {"reward/mean": 0.75, "eval/accuracy": 0.5}),
]


def arguments(run, *more):
    settings = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    return ["train", "--env", "arithmetic", "--algo", "grpo", "--run", str(run), "-q", *settings, *more]


def play(name, options, run, *, first=STEPS[:2], then=STEPS[2:], config=CONFIG):
    """Log some steps, end as if the run had failed, and continue with the rest."""
    run.mkdir(exist_ok=True)
    for steps, failed in ((first, True), (then, False)):
        tracker = registry().create("tracker", name, options, run, config)
        for step, metrics in steps:
            tracker.log(step, metrics)
        tracker.close(failed=failed)


# --- each of them -----------------------------------------------------------------------------------------------------


def test_jsonl_holds_the_lines_of_many_runs(tmp_path):
    path = tmp_path / "all.jsonl"
    for name in ("one", "two"):
        play("jsonl", {"path": str(path)}, tmp_path / name)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["run"], line["step"]) for line in lines] == [
        (run, step) for run in ("one", "two") for step in (0, 1, 2)
    ]
    assert lines[1] == {"run": "one", "step": 1, "reward/mean": 0.5}  # NaN is left out


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_scalars_are_read_back_by_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    play("tensorboard", {}, tmp_path / "run", then=[(1, {"reward/mean": 0.625}), STEPS[2]])  # step 1 is taken again
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("reward/mean")] == [(1, 0.625), (2, 0.75)]
    assert [(event.step, event.value) for event in events.Scalars("eval/accuracy")] == [(0, 0.25), (2, 0.5)]
    assert "config/text_summary" in events.Tags()["tensors"]


@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_mlflow_has_one_run_with_parameters_metrics_and_its_end(tmp_path):
    pytest.importorskip("mlflow")
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    options = {"experiment": "kgym tests", "tracking_uri": uri}
    wide = CONFIG | {"many": {str(n): n for n in range(250)}}  # more parameters than MLflow takes at once
    play("mlflow", options, tmp_path / "run", config=wide)
    client = MlflowClient(uri)
    (run,) = client.search_runs([client.get_experiment_by_name("kgym tests").experiment_id])
    assert (run.info.run_name, run.info.status) == ("run", "FINISHED")
    assert run.data.params["train.lr"] == "0.0001"
    assert run.data.params["many.249"] == "249"
    assert [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "reward/mean")] == [
        (1, 0.5),
        (2, 0.75),
    ]


def log_records(data, block=32768):
    """Yield the records of a .wandb file: LevelDB's log format after a header of 7 bytes."""
    place, record = 7, b""
    while place + 7 <= len(data):
        if block - place % block < 7:  # the end of a block has no room for another head
            place += block - place % block
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        record += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


@pytest.mark.filterwarnings("ignore")  # wandb's own
def test_wandb_keeps_an_offline_run_under_one_id(tmp_path):
    wandb = pytest.importorskip("wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    play("wandb", {"mode": "offline", "project": "tests"}, tmp_path / "run")
    wandb.teardown()  # waits for the process that writes the files, which may go on after `finish`
    files = sorted((tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb"))
    assert {file.stem.removeprefix("run-") for file in files} == {remembered(tmp_path / "run", "wandb")}
    assert len(files) == 2
    found = {}
    for data in (data for file in files for data in log_records(file.read_bytes())):
        items = {
            "/".join(item.nested_key) or item.key: json.loads(item.value_json)
            for item in Record.FromString(data).history.item
        }
        if items:
            found[items["_step"]] = items
    assert found[1]["reward/mean"] == 0.5
    assert found[2]["eval/accuracy"] == 0.5
    assert "optim/lr" not in found[1]


def test_trackio_keeps_a_run_that_goes_on(tmp_path, monkeypatch):
    pytest.importorskip("trackio")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "store"))
    script = (
        "import sys\nfrom pathlib import Path\nfrom kgym.registry import registry\n"
        "run, step, value = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])\nrun.mkdir(exist_ok=True)\n"
        "tracker = registry().create('tracker', 'trackio', {'project': 'tests'}, run, {'model': 'nano'})\n"
        "tracker.log(step, {'reward/mean': value, 'bad': float('nan')})\ntracker.close(failed=False)\n"
    )
    for step, value in ((1, 0.5), (2, 0.75)):  # trackio reads the place of its store when it is imported
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "run"), str(step), str(value)],
            check=True,
            timeout=120,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert done.stdout == ""  # which belongs to the JSON of the command
    read = (
        "from trackio.sqlite_storage import SQLiteStorage as S; "
        "import json; print(json.dumps(S.get_logs('tests', 'run')))"
    )
    out = subprocess.run([sys.executable, "-c", read], check=True, timeout=120, capture_output=True, text=True).stdout
    logs = json.loads(out.strip().splitlines()[-1])
    assert [(log["step"], log["reward/mean"]) for log in logs] == [(1, 0.5), (2, 0.75)]


# --- in a run ---------------------------------------------------------------------------------------------------------


def test_a_run_shows_every_step_to_its_trackers_and_goes_on_with_them(tmp_path):
    path = tmp_path / "all.jsonl"
    tracked = ("--tracker", "jsonl", "--set", f"trackers.jsonl.path={path}")
    assert main(arguments(tmp_path / "run", *tracked, "--steps", "1")) == 0
    assert main(["train", "--run", str(tmp_path / "run"), "--resume", "--steps", "2", "-q"]) == 0
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    kept = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [line["step"] for line in lines] == [line["step"] for line in kept] == [0, 1, 2]
    for seen, stored in zip(lines, kept, strict=True):
        assert seen == {"run": "run"} | {key: value for key, value in stored.items() if value is not None}


def test_an_unknown_tracker_or_option_is_refused_before_a_folder_is_made(tmp_path, capsys):
    assert main(arguments(tmp_path / "run", "--tracker", "tensorbord")) == 2
    assert "did you mean 'tensorboard'" in capsys.readouterr().err
    assert main(arguments(tmp_path / "run", "--tracker", "wandb", "--set", "trackers.jsonl.pth=x")) == 2
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "trackio", "mlflow"])
def test_a_missing_package_is_one_line_that_says_what_to_install(tmp_path, capsys, monkeypatch, name):
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None if package == name else found(package))
    assert main(arguments(tmp_path / "run", "--tracker", name)) == 2
    assert capsys.readouterr().err == (
        f"kgym: error: tracker '{name}' needs {name}, which is not installed: pip install 'kgym[{name}]'\n"
    )
    assert not (tmp_path / "run").exists()


def test_all_five_are_listed_and_shown_with_or_without_their_packages(capsys):
    assert main(["plugins", "list", "--kind", "tracker", "--json"]) == 0
    listed = {item["name"] for item in json.loads(capsys.readouterr().out)["components"]}
    assert listed >= {"jsonl", "tensorboard", "wandb", "trackio", "mlflow"}
    for name in sorted(listed):
        assert main(["plugins", "show", name]) == 0
    assert "tracking_uri" in capsys.readouterr().out


class Failing(JsonlTracker):
    """Fails when a step is logged, like a server that is away."""

    def log(self, step, metrics):
        raise OSError(f"no network\nat step {step}")


def test_a_tracker_that_fails_is_said_once_counted_and_ends_no_run(tmp_path):
    notes = []
    config = load_config(None, ["trackers.jsonl={}", f"trackers.jsonl.path={tmp_path / 'x.jsonl'}"])
    trackers = Trackers(config, tmp_path, notes.append)
    trackers.trackers["failing"] = Failing(JsonlOptions(path=str(tmp_path / "y.jsonl")), tmp_path, {})
    for step, metrics in STEPS:
        trackers.log(step, metrics)
    trackers.close(failed=False)
    assert notes == [
        "tracker Failing failed; the run continues, if necessary without it: OSError: no network at step 0",
        "tracker Failing failed 3 times; metrics.jsonl has everything",
    ]
    assert len((tmp_path / "x.jsonl").read_text().splitlines()) == 3


def test_a_tracker_that_cannot_begin_ends_the_run_before_it_begins(tmp_path, capsys):
    path = tmp_path / "no" / "folder.jsonl"
    assert main(arguments(tmp_path / "run", "--tracker", "jsonl", "--set", f"trackers.jsonl.path={path}")) == 1
    error = capsys.readouterr().err
    assert "tracker 'jsonl': FileNotFoundError" in error
    assert not (tmp_path / "run" / "manifest.json").exists()
    assert main(arguments(tmp_path / "run", "--steps", "1")) == 0  # the folder is still free
    with pytest.raises(RunError, match="cannot start"):
        Trackers(load_config(None, [f"trackers.jsonl.path={path}"]), tmp_path, logging.info)


# --- small things -----------------------------------------------------------------------------------------------------


def test_an_id_that_a_kill_interrupts_is_still_the_earlier_one(tmp_path, monkeypatch):
    """wandb stores the id at each start; half a file would end the resumed run before it begins."""
    remember(tmp_path, "wandb", "first")

    def killed(path, text):
        path.write_bytes(text[:5].encode())
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        remember(tmp_path, "wandb", "second")
    monkeypatch.undo()
    assert remembered(tmp_path, "wandb") == "first"
    remember(tmp_path, "wandb", "second")
    assert remembered(tmp_path, "wandb") == "second"


def test_figures_and_settings_for_other_programs(tmp_path):
    assert finite({"a": 1, "b": float("nan"), "c": float("inf"), "d": None}) == {"a": 1.0}
    assert flat({"a": {"b": 1, "c": {}}, "d": 2}) == {"a.b": 1, "a.c": {}, "d": 2}
    assert remembered(tmp_path, "wandb") is None
    remember(tmp_path, "wandb", "abc")
    assert remembered(tmp_path, "wandb") == "abc"


def test_naming_a_tracker_keeps_its_options_from_the_file():
    values = {"trackers": {"wandb": {"project": "mine"}}}
    set_key(values, *parse_override("trackers.wandb={}"))
    assert values == {"trackers": {"wandb": {"project": "mine"}}}
    set_key(values, *parse_override("trackers.mlflow={}"))
    assert values["trackers"]["mlflow"] == {}
