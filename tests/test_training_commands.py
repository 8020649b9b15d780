"""`kgym sft`, `dpo` and `rm` are runs as `kgym train` is: killed and resumed, seen by trackers, compared, listed and
shown.
"""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

import kgym
from kgym.cli.main import main
from kgym.errors import ConfigError
from kgym.models.names import resolve_model
from kgym.runs.folder import RunFolder
from kgym.runs.metrics import CLOCK, read_metrics

COMMANDS = ["sft", "dpo", "rm"]


def examples(path, command):
    """A file of examples of that command."""
    rows = [
        {"question": f"{n}+1", "solution": f"\\boxed{{{n + 1}}}"}
        if command == "sft"
        else {"prompt": f"{n}?", "ranked": ["yes", "no", "x"]}
        for n in range(12)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def words(command, model, run, data, *more):
    asked = (
        "--model",
        model,
        "--run",
        run,
        "--data",
        data,
        "--batch",
        4,
        "--steps",
        40,
        "--set",
        "train.save_every=5",
        *more,
    )
    return [command, *map(str, asked)]


def figures(run):
    """The metrics of a run, without those of the clock."""
    lines = read_metrics(run / "metrics.jsonl")
    return [{key: value for key, value in line.items() if not key.startswith(CLOCK)} for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_killed_command_resumes_to_the_same_metrics(tmp_path, tiny_model, command):
    data = examples(tmp_path / "rows.jsonl", command)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    python = [sys.executable, "-m", "kgym"]
    cut, straight = tmp_path / "cut", tmp_path / "straight"
    process = subprocess.Popen(
        [*python, *words(command, tiny_model, cut, data)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not list(cut.glob("checkpoints/step-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (cut / "summary.json").exists()
    subprocess.run([*python, command, "--resume", "--run", cut], env=environment, check=True, capture_output=True)
    subprocess.run(
        [*python, *words(command, tiny_model, straight, data)], env=environment, check=True, capture_output=True
    )
    assert len(figures(straight)) == 40
    assert figures(cut) == figures(straight)


@pytest.mark.parametrize("command", COMMANDS)
def test_trackers_see_every_step_and_the_runs_are_listed_and_shown(tmp_path, monkeypatch, tiny_model, capsys, command):
    monkeypatch.chdir(tmp_path)
    data = examples(tmp_path / "rows.jsonl", command)
    asked = [word for word in words(command, tiny_model, "runs/mine", data) if word not in ("--run", "runs/mine")]
    assert main([*asked, "--steps", "3", "--tracker", "jsonl", "--set", "trackers.jsonl.path=seen.jsonl", "-q"]) == 0
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.startswith(f"rows-{command}-")
    seen = [json.loads(line) for line in (tmp_path / "seen.jsonl").read_text().splitlines()]
    assert [line["step"] for line in seen] == [1, 2, 3]
    assert [line["train/loss_nats"] for line in seen] == [line["train/loss_nats"] for line in figures(run)]
    assert {"optim/lr", "optim/grad_norm", "data/tokens", "time/train_s", "speed/tokens_per_s"} <= seen[-1].keys()
    capsys.readouterr()
    assert main(["runs", "list", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed["what"].startswith(f"{command} on {data}")
    assert listed["state"] == "finished"
    assert listed["loss_nats"] == figures(run)[-1]["train/loss_nats"]
    assert main(["runs", "show", str(run), "--plot", str(tmp_path / "run.png")]) == 0
    assert "loss_nats" in capsys.readouterr().out
    assert (tmp_path / "run.png").stat().st_size > 0
    assert main(["runs", "view", str(run)]) == 0
    (run / "summary.json").unlink()
    capsys.readouterr()
    assert main([command, "--resume", "--steps", "4", "-q"]) == 0  # the newest run of that command
    assert [line["step"] for line in figures(run)] == [1, 2, 3, 4]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_whose_data_has_changed_is_not_resumed(tmp_path, tiny_model, capsys, command):
    data = examples(tmp_path / "rows.jsonl", command)
    run = tmp_path / "run"
    assert main(words(command, tiny_model, run, data, "--steps", 1)) == 0
    before = data.read_text()
    data.write_text(before.replace("3", "4"))
    capsys.readouterr()
    assert main([command, "--resume", "--run", str(run), "--steps", "2"]) == 2
    error = capsys.readouterr().err
    assert "fingerprints.data was " in error
    assert "put the old file back" in error
    data.write_text(before)
    assert main([command, "--resume", "--run", str(run), "--steps", "2"]) == 0
    capsys.readouterr()
    other = "rm" if command == "sft" else "sft"
    assert main([other, "--resume", "--run", str(run)]) == 2
    assert f"contains a run of kgym {command}" in capsys.readouterr().err
    assert main(words(command, tiny_model, run, data)) == 2
    assert "holds a run already; resume it with --resume" in capsys.readouterr().err


def test_an_adapter_is_trained_on_examples_and_written_merged(tmp_path, tiny_model):
    pytest.importorskip("peft")
    data = examples(tmp_path / "rows.jsonl", "dpo")
    out = tmp_path / "out"
    adapter = ("--set", "train.lora.rank=2", "train.threads=1", "--steps", 4, "--out", out)
    assert main(words("dpo", tiny_model, tmp_path / "run", data, *adapter)) == 0
    assert (tmp_path / "run/checkpoints/step-4/adapter_config.json").is_file()
    assert (out / "config.json").is_file()
    assert not (out / "adapter_config.json").exists()
    assert read_metrics(tmp_path / "run/metrics.jsonl")[0]["train/loss_nats"] == pytest.approx(
        0.6931, abs=1e-3
    )  # the reference is the start


# --- from Python ------------------------------------------------------------------------------------------------------


def test_train_takes_a_config_and_a_mapping(tmp_path, tiny_model):
    small = {"problems_per_step": 1, "group_size": 2}
    train = {"steps": 1, "eval_every": 0, "threads": 1}
    asked = {"model": str(tiny_model), "env": {"name": "arithmetic", "max_tokens": 4}, "rollout": small, "train": train}
    summary = kgym.train(asked, run=tmp_path / "one")
    kgym.train(kgym.RunConfig(**asked), run=str(tmp_path / "two"))
    assert summary["steps"] == 1
    assert figures(tmp_path / "one") == figures(tmp_path / "two")
    with pytest.raises(ConfigError, match="holds a run already"):
        kgym.train(asked, run=tmp_path / "one")
    with pytest.raises(ConfigError, match="seed differ"):
        kgym.train({**asked, "seed": 3}, run=tmp_path / "one", resume=True)
    assert kgym.train({**asked, "train": {**train, "steps": 2}}, run=tmp_path / "one", resume=True)["steps"] == 2
    with pytest.raises(kgym.UnknownName, match="trian"):
        kgym.train({"trian": {}}, run=tmp_path / "three")
    assert not (tmp_path / "three").exists()


def test_train_learns_from_examples_resumes_and_writes_the_model(tmp_path, tiny_model):
    data = examples(tmp_path / "rows.jsonl", "rm")
    config = kgym.RMConfig(
        model=str(tiny_model), data=str(data), train={"steps": 2, "warmup_steps": 0}, rm={"batch_size": 2}
    )
    summary = kgym.train(config, run=tmp_path / "run", out=tmp_path / "out")
    assert summary["model"] == str(tmp_path / "out")
    assert (tmp_path / "out/reward_model.json").read_text() == (
        tmp_path / "run/checkpoints/step-2/reward_model.json"
    ).read_text()
    assert RunFolder(tmp_path / "run").read_manifest()["kind"] == "rm"
    assert kgym.train(run=tmp_path / "run", resume=True)["bias"] == summary["bias"]
    with pytest.raises(ConfigError, match="--out"):
        kgym.train(run=tmp_path / "run", resume=True, out=tmp_path / "out")
    assert resolve_model(str(tmp_path / "run")) == summary["checkpoint"]


def test_evaluate_is_kgym_eval(tmp_path, tiny_model, capsys):
    asked = {
        "model": str(tiny_model),
        "benches": "arithmetic:validation",
        "problems": 3,
        "max_tokens": 4,
        "env": {"difficulty": 2},
    }
    results = kgym.evaluate(asked, run=tmp_path / "one", label="mine")
    (tmp_path / "eval.toml").write_text(
        f'model = "{tiny_model}"\nbenches = ["arithmetic:validation"]\nproblems = 7\nmax_tokens = 4\n[env]\ndifficulty '
        "= 2\n"
    )
    words = [
        "eval",
        "--config",
        str(tmp_path / "eval.toml"),
        "--problems",
        "3",
        "--run",
        str(tmp_path / "two"),
        "--json",
    ]
    assert main(words) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["comparability"] == results["arithmetic:validation"].comparability
    assert said["n_problems"] == 3
    assert json.loads((tmp_path / "one/results.json").read_text())["model"] == "mine"
    with pytest.raises(kgym.UnknownName, match="'samples'"):
        kgym.evaluate({"sample": 2})
