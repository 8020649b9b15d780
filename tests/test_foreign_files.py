"""Files in and beside run folders that are not kgym's, or were left by a kill: not followed, not removed, and no
reason to stop.
"""

import json
import os
import shutil

import pytest

from kgym.cli.main import main
from kgym.errors import ConfigError, RunError
from kgym.files import locked, open_to_append, read_table, write_atomic
from kgym.folders import numbered, own_folders, remove_leftovers
from kgym.runs.episodes import episode_table
from kgym.runs.folder import RunFolder
from kgym.runs.metrics import CLOCK, read_metrics
from kgym.score.store import EvalFolder
from kgym.train.checkpoint import checkpoint_steps

SMALL = {
    "rollout.problems_per_step": 2,
    "rollout.group_size": 2,
    "env.max_tokens": 16,
    "eval.problems": 4,
    "eval.every": 1,
    "train.save_every": 1,
    "train.keep_checkpoints": 2,
    "train.threads": 1,
}
SETTINGS = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
FOREIGN = [
    "{}",
    "[]",
    '{"config": {}}',
    '{"config": null}',
    '{"kind": "eval"}',
    '{"kind": "eval", "request": []}',
    "3",
    "{",
    "\x00",
]


@pytest.fixture(scope="module")
def runs(tiny_model, tmp_path_factory):
    """A folder with a training run of two steps, `train`, and an evaluation, `eval`."""
    root = tmp_path_factory.mktemp("runs")
    train = ["train", "--env", "arithmetic", "--algo", "grpo", "--steps", "2", "--model", str(tiny_model), *SETTINGS]
    evaluate = [
        "eval",
        "--model",
        str(tiny_model),
        "--bench",
        "arithmetic:validation",
        "--problems",
        "4",
        "--max-tokens",
        "16",
    ]
    assert main([*train, "-q", "--run", str(root / "train")]) == 0
    assert main([*evaluate, "-q", "--slots", "2", "--run", str(root / "eval")]) == 0
    return root, evaluate


@pytest.fixture
def copy(runs, tmp_path):
    shutil.copytree(runs[0], tmp_path / "runs")
    return tmp_path / "runs"


def resume(run, *more):
    return main(["train", "--resume", "-q", "--run", str(run), *more])


def numbers(run):
    return [
        {key: value for key, value in line.items() if not key.startswith(CLOCK)}
        for line in read_metrics(run / "metrics.jsonl")
    ]


def everything_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# --- links ------------------------------------------------------------------------------------------------------------


def test_no_file_is_written_or_emptied_through_a_link(copy, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    run = copy / "train"
    for name in (".writable", f".manifest.json.{os.getpid()}.tmp", f".summary.json.{os.getpid()}.tmp", "view.html"):
        (run / name).symlink_to(victim)
    assert resume(run, "--steps", "3") == 0
    assert main(["runs", "view", str(run)]) == 0
    assert victim.read_text() == "precious"
    assert not (run / "view.html").is_symlink()  # replaced


@pytest.mark.parametrize("name", ["metrics.jsonl", ".lock"])
def test_a_link_that_would_be_appended_to_is_refused(copy, tmp_path, capsys, name):
    run, victim = copy / "train", tmp_path / "victim"
    (run / name).unlink()
    (run / name).symlink_to(victim)  # to nothing yet: opening it would make it
    assert resume(run, "--steps", "3") == 1
    assert f"{run / name} is a link, and kgym does not write through links; remove it" in capsys.readouterr().err
    assert not victim.exists()


@pytest.mark.parametrize("name", ["episodes", "checkpoints", "eval"])
def test_a_folder_that_is_a_link_is_refused_before_anything_in_it_is_deleted(copy, tmp_path, capsys, name):
    run, victim = copy / "train", tmp_path / "victim"
    (run / name).rename(victim)
    (victim / ".step-9.tmp").mkdir()
    (victim / "step-00009.parquet").touch()
    (run / name).symlink_to(victim)
    before = everything_below(victim)
    assert resume(run, "--steps", "3") == 2
    assert f"{run / name} is a link" in capsys.readouterr().err
    assert everything_below(victim) == before


def test_the_samples_of_an_evaluation_are_not_a_link_either(copy, runs, tmp_path, capsys):
    run, victim = copy / "eval", tmp_path / "victim"
    (run / "samples").rename(victim)
    (run / "samples").symlink_to(victim)
    assert main([*runs[1], "-q", "--run", str(run)]) == 2
    assert "is a link" in capsys.readouterr().err


def test_a_run_folder_that_is_a_link_itself_is_what_the_user_named(copy, tmp_path):
    (tmp_path / "short").symlink_to(copy / "train")
    assert resume(tmp_path / "short", "--steps", "3") == 0


def test_links_among_the_checkpoints_are_neither_followed_nor_in_the_way(copy, tmp_path):
    run, victim = copy / "train", tmp_path / "victim"
    victim.mkdir()
    (victim / "trainer.pt").touch()
    (run / "checkpoints" / "step-0").symlink_to(victim)
    (run / "checkpoints" / "step-3").symlink_to(victim / "nothing")
    (run / "checkpoints" / ".step-3.tmp").symlink_to(victim)
    assert resume(run, "--steps", "3") == 0
    assert everything_below(victim) == ["trainer.pt"]
    assert (run / "checkpoints" / "step-0").is_symlink()
    assert (run / "checkpoints" / "step-3" / "trainer.pt").is_file()


# --- stray names ------------------------------------------------------------------------------------------------------


def test_stray_names_are_left_alone_and_a_resume_ends_in_the_same_numbers(copy, tmp_path):
    run, straight = copy / "train", tmp_path / "straight"
    shutil.copytree(run, straight)
    assert resume(straight, "--steps", "3") == 0
    strays = [
        "episodes/step-notes.txt",
        "episodes/step-00001 (1).parquet",
        "episodes/step-00009.parquet.bak",
        "episodes/.step-x.tmp",
    ]
    strays += [
        "checkpoints/.step-x",
        "checkpoints/step-x",
        "checkpoints/step-007",
        "checkpoints/step-9.zip",
        "checkpoints/notes.1.tmp",
    ]
    strays += ["eval/step-notes.json", "eval/step-00009 (1).json", "eval/mine/step-00009.json", ".notes.txt.1.tmp"]
    for stray in strays:
        (run / stray).parent.mkdir(exist_ok=True)
        (run / stray).write_text("mine")
    (run / "checkpoints" / "step-٣").mkdir()  # a three in Arabic: a digit to Python
    assert resume(run, "--steps", "3") == 0
    assert numbers(run) == numbers(straight)
    assert [(run / stray).read_text() for stray in strays] == ["mine"] * len(strays)
    for command in (["runs", "view", run], ["runs", "show", run], ["rescore", run, "--verifier", "integer"]):
        assert main([*map(str, command)]) == 0


def test_copies_of_stored_answers_do_not_count_and_new_ones_overwrite_none(copy, runs, capsys):
    run = copy / "eval"
    parts = sorted((run / "samples").iterdir())
    assert len(parts) == 2
    shutil.copy(parts[0], run / "samples" / "part-00000 (1).parquet")
    shutil.copy(parts[0], run / "samples" / "part-00099.parquet")
    assert len(EvalFolder(run).frame()) == 4
    before = (run / "results.json").read_text()
    kept = parts[1].read_bytes()
    parts[0].unlink()
    assert main([*runs[1], "-q", "--run", str(run)]) == 0
    assert parts[1].read_bytes() == kept
    assert len(EvalFolder(run).frame()) == 4
    assert json.loads((run / "results.json").read_text()) | {"run": ""} == json.loads(before) | {"run": ""}


def test_only_names_that_kgym_writes_have_a_number(tmp_path):
    for name in (
        "step-00001.json",
        "step-1.json",
        "step-123456.json",
        "step-000001.json",
        "step-00002.jsonl",
        "step-.json",
    ):
        (tmp_path / name).touch()
    assert list(numbered(tmp_path, "step", ".json")) == [1, 123456]
    assert list(numbered(tmp_path / "nothing", "step", ".json")) == []


# --- what a kill leaves -----------------------------------------------------------------------------------------------


def test_half_written_files_are_removed_at_the_next_start(copy, runs):
    run, scored = copy / "train", copy / "eval"
    left = [".manifest.json.1.tmp", ".metrics.jsonl.1.tmp", ".summary.json.1.tmp", "episodes/.step-00001.parquet.1.tmp"]
    left += ["eval/.step-00001.json.1.tmp"]
    for name in left:
        (run / name).write_text("half")
    for name in (
        ".results.json.1.tmp",
        ".manifest.json.1.tmp",
        ".usage.json.1.tmp",
        "samples/.part-00000.parquet.1.tmp",
    ):
        (scored / name).write_text("half")
    for name in (".step-3.tmp", ".step-1.old.tmp"):
        (run / "checkpoints" / name).mkdir()
        (run / "checkpoints" / name / "model.safetensors").write_text("half")
    assert resume(run) == 0
    assert main([*runs[1], "-q", "--run", str(scored)]) == 0
    assert [path for folder in (run, scored) for path in everything_below(folder) if path.endswith(".tmp")] == []


def test_those_of_supervised_runs_too(tmp_path, tiny_model, capsys):
    out = tmp_path / "out"
    run = tmp_path / "run"
    command = [
        "sft",
        "--model",
        str(tiny_model),
        "--env",
        "arithmetic",
        "--run",
        str(run),
        "--steps",
        "2",
        "--batch",
        "2",
    ]
    command += ["--out", str(out)]
    victim = tmp_path / "victim"
    victim.mkdir()
    run.mkdir()
    (run / "checkpoints").symlink_to(victim)
    assert main(command) == 2
    assert f"{run / 'checkpoints'} is a link" in capsys.readouterr().err
    (run / "checkpoints").unlink()
    (run / ".metrics.jsonl.1.tmp").write_text("half")
    (tmp_path / ".out.tmp").symlink_to(victim)
    with locked(run / ".lock", what="the first"):
        assert main(command) == 1
    assert "is in use by another process" in capsys.readouterr().err
    assert main(command) == 0
    assert everything_below(victim) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run", "victim"]
    assert "model.safetensors" in everything_below(out)
    assert not [name for name in everything_below(run) if name.endswith(".tmp")]


def test_a_checkpoint_whose_removal_was_interrupted_goes_with_the_next_one(copy):
    run = copy / "train"
    (run / "checkpoints" / "step-1" / "trainer.pt").unlink()  # what an earlier version left
    assert resume(run, "--steps", "3") == 0
    assert checkpoint_steps(run / "checkpoints") == [2, 3]
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["step-2", "step-3"]


def test_leftovers_are_not_looked_for_behind_a_link(tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / ".step-1.tmp").touch()
    (tmp_path / "link").symlink_to(victim)
    remove_leftovers([tmp_path / "link"])
    assert (victim / ".step-1.tmp").exists()
    with pytest.raises(ConfigError, match="is a link"):
        own_folders(tmp_path / "new", tmp_path / "link")
    assert not (tmp_path / "new").exists()


def test_names_are_flushed_with_the_files(tmp_path, monkeypatch):
    """A file that was renamed is there after a power cut only if its folder was flushed too, and after the rename."""
    events = []
    fsync, replace = os.fsync, type(tmp_path).replace

    def flushed(descriptor):
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        events.append("folder" if os.path.isdir(path) else "file")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(type(tmp_path), "replace", lambda self, to: (events.append("rename"), replace(self, to))[1])
    write_atomic(tmp_path / "one", "1")
    assert events == ["file", "rename", "folder"]
    events.clear()
    open_to_append(tmp_path / "two").close()
    assert events == ["folder"]


# --- a folder that vanishes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deed", ["deleted", "renamed", "replaced"])
def test_a_run_folder_that_vanishes_is_noticed_at_the_step(tmp_path, tiny_model, capsys, monkeypatch, deed):
    run = tmp_path / "run"
    steps = []

    def vanish(self, step, of, metrics):
        steps.append(step)
        if step == 2:
            run.rename(tmp_path / "elsewhere")
            if deed == "deleted":
                shutil.rmtree(tmp_path / "elsewhere")
            if deed == "replaced":
                shutil.copytree(tmp_path / "elsewhere", run)

    from kgym.train.report import Reporter
    from kgym.train.rl.objective import reinforcement

    monkeypatch.setattr(Reporter, "step", vanish)
    trainer = reinforcement(_config(tiny_model), RunFolder(run))
    with pytest.raises(RunError, match=f"the run folder {run} is gone: it was deleted, moved or replaced"):
        trainer.run()
    assert steps == [1, 2]
    assert run.exists() == (deed == "replaced")


def _config(model):
    from kgym.keys import load_config

    small = SMALL | {
        "eval.every": 0,
        "train.save_every": 0,
        "train.steps": 9,
        "env.name": "arithmetic",
        "algo.name": "grpo",
    }
    return load_config(None, [f"{key}={value}" for key, value in small.items()] + [f"model={model}"])


def test_an_evaluation_whose_folder_vanishes_says_so(tmp_path):
    folder = EvalFolder(tmp_path / "run")

    def vanish():
        with folder.opened({"model": "a", "env_id": "b", "split": "c", "truncated": "zero"}):
            shutil.rmtree(tmp_path / "run")
            folder.add(episode_table([]))

    with pytest.raises(RunError, match="is gone"):
        vanish()


# --- other programs' files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", FOREIGN)
def test_one_odd_manifest_blocks_no_command(copy, capsys, monkeypatch, content):
    odd = copy / "odd"
    odd.mkdir()
    (odd / "manifest.json").write_text(content)
    assert main(["runs", "list", "--root", str(copy), "--json"]) == 0
    listed = {run["run"]: run for run in json.loads(capsys.readouterr().out)}
    assert listed[str(copy / "train")]["state"] == "finished"
    assert listed[str(copy / "eval")]["state"] == "finished"
    assert listed[str(odd)]["state"].startswith(f"cannot be read: {odd}/manifest.json is damaged (")
    assert "Error" not in listed[str(odd)]["state"]  # what is wrong in the file, and not a class of Python
    assert main(["runs", "list", "--root", str(copy)]) == 0
    capsys.readouterr()
    for command in (["runs", "show"], ["runs", "view"], ["train", "--resume", "--run"]):
        assert main([*command, str(odd)]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"kgym: error: {odd}/manifest.json is damaged (")
        assert error.count("\n") == 1
    monkeypatch.chdir(copy.parent)
    assert main(["train", "--resume"]) == 0  # of the newest run that can be read
    assert "runs/odd is skipped" in capsys.readouterr().err


@pytest.mark.parametrize("odd", ["a folder", "a pipe", "a link to nothing", "a closed file"])
def test_a_manifest_that_is_not_a_file_blocks_none_either(copy, capsys, odd):
    folder = copy / "odd"
    folder.mkdir()
    manifest = folder / "manifest.json"
    match odd:
        case "a folder":
            manifest.mkdir()
        case "a pipe":
            os.mkfifo(manifest)
        case "a link to nothing":
            manifest.symlink_to("nowhere")
        case "a closed file":
            manifest.touch(mode=0)
    assert main(["runs", "list", "--root", str(copy), "--json"]) == 0
    assert {"train", "eval"} <= {run["run"].rpartition("/")[2] for run in json.loads(capsys.readouterr().out)}
    assert main(["runs", "show", str(folder)]) in (1, 2)
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda results: results.clear(),
        lambda results: results["facts"].clear(),
        lambda results: results.update(facts=None),
        lambda results: results.update(accuracy="high"),
        lambda results: results.update(scores=[1, 2]),
        lambda results: results.pop("date"),
        lambda results: results.update(interval=[0.1]),
    ],
)
def test_results_of_another_shape(copy, capsys, change):
    good, run = copy / "eval", copy / "odd"
    shutil.copytree(good, run)
    results = json.loads((run / "results.json").read_text())
    change(results)
    (run / "results.json").write_text(json.dumps(results))
    assert main(["runs", "list", "--root", str(copy), "--json"]) == 0
    listed = {found["run"]: found["state"] for found in json.loads(capsys.readouterr().out)}
    assert listed[str(good)] == "finished"
    assert listed[str(run)].startswith(f"cannot be read: {run}/results.json is damaged (")
    board = str(copy / "board.csv")
    for command in (
        ["runs", "show", run],
        ["runs", "view", run],
        ["leaderboard", "add", run, "--board", board],
        ["leaderboard", "compare", good, run],
        ["leaderboard", "precision", run],
    ):
        assert main([str(word) for word in command]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"kgym: error: {run}/results.json is damaged (")
        assert error.count("\n") == 1


def test_an_odd_evaluation_below_a_training_or_on_a_board_is_passed_over(copy, capsys):
    training = copy / "train"
    for name in ("odd", "good"):
        shutil.copytree(copy / "eval", training / "eval" / name)
    board = ["--board", str(copy / "board.csv")]
    assert main(["leaderboard", "add", str(training / "eval" / "odd"), *board]) == 0
    (training / "eval" / "odd" / "results.json").write_text('{"kind": "of another program"}')
    assert main(["leaderboard", "show", *board]) == 0
    assert main(["runs", "view", str(training)]) == 0
    page = (training / "view.html").read_text()
    assert "eval/odd is left out: " in page


def test_answers_and_summaries_of_another_shape(copy, capsys, runs):
    import pyarrow as pa
    import pyarrow.parquet as pq

    run, scored = copy / "train", copy / "eval"
    (run / "summary.json").write_text('{"gain": "much", "gain_interval_95": 3}')
    assert main(["runs", "view", str(run)]) == 2
    assert f"{run}/summary.json is damaged (" in capsys.readouterr().err
    part = scored / "samples" / "part-00000.parquet"
    pq.write_table(pa.table({"text": ["a"]}), part)
    for command in (
        ["runs", "view", scored],
        ["rescore", scored, "--verifier", "integer"],
        [*runs[1], "--run", scored],
    ):
        assert main([str(word) for word in command]) == 2
        assert f"{part} is damaged (no column problem_id)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line", ['{"step": "one"}', '{"step": -1}', '{"step": 3, "reward/mean": "high"}', '{"step": true}', '{"step": 1.5}']
)
def test_a_line_of_metrics_of_another_shape(copy, capsys, line):
    run = copy / "train"
    with (run / "metrics.jsonl").open("a") as file:
        file.write(line + "\n")
    for command in (["runs", "show", run], ["runs", "view", run]):
        assert main([str(word) for word in command]) == 2
        assert f"{run}/metrics.jsonl is damaged (" in capsys.readouterr().err


def test_a_table_is_read_from_a_file_only(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / "nothing", remedy="-")
