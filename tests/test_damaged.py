"""Files of a run that came to harm, and folders of another kind: one line that says which and what to do, and exit
status 2 or 1.
"""

import shutil

import pytest

from kgym.cli.main import main
from kgym.files import reading
from kgym.runs.metrics import read_metrics

SMALL = {
    "rollout.problems_per_step": 2,
    "rollout.group_size": 2,
    "env.max_tokens": 16,
    "eval.problems": 4,
    "eval.every": 1,
    "train.save_every": 1,
    "train.threads": 1,
}
NOISE = b"\x8f\x00PAR?{" * 40


@pytest.fixture(scope="module")
def runs(tiny_model, tmp_path_factory):
    """A folder with a training run of two steps, `train`, and an evaluation, `eval`."""
    root = tmp_path_factory.mktemp("runs")
    settings = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    train = ["train", "--env", "arithmetic", "--algo", "grpo", "--steps", "2", "--model", str(tiny_model), *settings]
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
    assert main([*evaluate, "-q", "--run", str(root / "eval")]) == 0
    return root, evaluate


@pytest.fixture
def copy(runs, tmp_path):
    root, evaluate = runs
    shutil.copytree(root, tmp_path / "runs")
    return tmp_path / "runs", evaluate


@pytest.fixture
def refused(capsys):
    """Run a command that has to fail; return its one line."""

    def run(*arguments, status=2):
        capsys.readouterr()
        assert main([str(argument) for argument in arguments]) == status
        err = capsys.readouterr().err
        *before, line = err.strip().split("\n")
        assert line.startswith("kgym: error: ")
        assert not any("Traceback" in other for other in before)
        assert "run with --debug" not in line  # what every exception that no one thought of ends with
        assert len(line) < 500
        return line.removeprefix("kgym: error: ")

    return run


@pytest.mark.parametrize("line", ['{"step": 1, gar', "[1]", '{"reward/mean": 1}', "\x00"])
def test_a_damaged_line_of_metrics_is_named_and_the_run_goes_on_without_it(copy, refused, line):
    run = copy[0] / "train"
    metrics = run / "metrics.jsonl"
    good = metrics.read_text()
    metrics.write_text(good + line + "\n")
    number = good.count("\n") + 1
    for command in (["runs", "show", run], ["runs", "view", run], ["train", "--run", run, "--resume"]):
        message = refused(*command)
        assert message.startswith(f"{metrics} is damaged (")
        assert f"remove line {number} from it" in message
    metrics.write_text(good)
    assert main(["train", "--run", str(run), "--resume", "--steps", "3", "-q"]) == 0
    assert [row["step"] for row in read_metrics(metrics)] == [0, 1, 2, 3]


def test_damaged_weights_and_state_name_the_checkpoint_and_the_one_before_it_is_gone_on_from(copy, refused):
    run = copy[0] / "train"
    last = run / "checkpoints" / "step-2"
    (last / "trainer.pt").write_bytes(NOISE)
    resume = ["train", "--run", run, "--resume"]
    message = refused(*resume, status=1)
    assert (
        message
        == f"{last}/trainer.pt is damaged (UnpicklingError); remove the folder {last} to continue from step 1 with "
        "--resume"
    )
    (last / "model.safetensors").write_bytes(NOISE)
    assert refused(*resume).startswith(f"cannot load a causal language model from {last}: ")
    command, _, _, *rest = copy[1]
    message = refused(command, "--model", run, *rest, "--run", run.parent / "other")
    assert f"cannot load a causal language model from {last}: " in message
    shutil.rmtree(last)
    assert main([*map(str, resume), "-q"]) == 0
    assert last.is_dir()


def test_damaged_answers_are_named_by_every_command_that_reads_them(copy, refused, tmp_path):
    root, evaluate = copy
    part = root / "eval" / "samples" / "part-00000.parquet"
    whole = part.read_bytes()
    part.write_bytes(whole[: len(whole) // 2])
    for command in (
        ["runs", "view", root / "eval"],
        ["rescore", root / "eval", "--verifier", "integer"],
        ["rm", "--episodes", root / "eval", "--run", tmp_path / "rm"],
        [*evaluate, "--run", root / "eval"],
    ):
        message = refused(*command)
        assert message.startswith(f"{part} is damaged (")
        assert "remove it" in message
    part.unlink()
    assert main([*evaluate, "-q", "--run", str(root / "eval")]) == 0  # as the message says
    assert part.exists()


@pytest.mark.parametrize("content", [b"{", NOISE, b"3"])
def test_damaged_results_manifest_and_summary(copy, refused, content):
    root, evaluate = copy
    for file, commands in {
        root / "eval/results.json": (
            ["runs", "show", root / "eval"],
            ["leaderboard", "compare", root / "eval", root / "eval"],
        ),
        root / "eval/manifest.json": (["runs", "show", root / "eval"], [*evaluate, "--run", root / "eval"]),
        root / "train/summary.json": (["runs", "show", root / "train"], ["runs", "view", root / "train"]),
        root / "train/eval/step-00000.json": (["train", "--run", root / "train", "--resume"],),
        root / "train/manifest.json": (
            ["runs", "show", root / "train"],
            ["train", "--run", root / "train", "--resume"],
        ),
    }.items():
        whole = file.read_bytes()
        file.write_bytes(content)
        for command in commands:
            assert refused(*command).startswith(f"{file} is damaged (")
        file.write_bytes(whole)


def test_an_evaluation_is_no_training_and_a_file_no_folder(copy, refused, tmp_path, monkeypatch):
    root, evaluate = copy
    other = f"{root / 'eval'} contains an evaluation, not a training; choose another folder with --run"
    assert refused("train", "--run", root / "eval", "--resume") == other
    assert refused("train", "--run", root / "eval") == other
    assert "contains a training run" in refused(*evaluate, "--run", root / "train")
    file = tmp_path / "file"
    file.touch()
    a_file = "cannot be a folder: it, or one of its parents, is a file; choose another"
    assert refused(*evaluate, "--run", file) == f"argument --run: {file} {a_file} (see kgym eval --help)"
    known = "kgym runs list prints those below runs/"
    assert refused("runs", "show", file) == f"{file} is not a run folder: it has no manifest.json; {known}"
    assert refused("runs", "show", root / "no") == f"{root / 'no'} is not a run folder: it does not exist; {known}"
    monkeypatch.chdir(root.parent)
    assert main([*evaluate, "-q", "--run", "runs/newer"]) == 0
    assert main(["train", "--resume", "-q"]) == 0  # of the training run, although an evaluation is newer
    shutil.rmtree(root / "train")
    assert refused("train", "--resume") == "no training run to resume below runs/; name its folder with --run"


@pytest.mark.parametrize("command", [["train", "--run"], ["eval", "--run"], ["sft", "--env", "aime", "--run"]])
@pytest.mark.parametrize("name", ["", " "])
def test_a_folder_without_a_name_is_not_the_working_directory(refused, tmp_path, monkeypatch, command, name):
    monkeypatch.chdir(tmp_path)
    assert "the name of the folder is empty" in refused(*command, name)
    assert list(tmp_path.iterdir()) == []


def test_an_environment_where_a_benchmark_is_wanted_and_the_reverse(refused):
    message = refused("eval", "--bench", "aime")
    assert message == "no benchmark named 'aime', which is an environment; say which split of it, as in aime:validation"
    assert (
        refused("train", "--env", "aime:train")
        == "no environment named 'aime:train'; did you mean 'aime'? Name its split separately"
    )


def test_what_the_file_system_says_goes_on_as_it_is(tmp_path):
    with pytest.raises(FileNotFoundError), reading(tmp_path / "none", remedy="-"):
        (tmp_path / "none").read_text()
