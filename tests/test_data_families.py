"""Environments without code: files and folders by their names, and data sets of the hub, from its cache."""

import json

import pytest

from kgym.cli.main import main
from kgym.envs.spec import EnvSpec
from kgym.errors import ConfigError, DataError, MissingData, UnknownName
from kgym.testing.envs import check_environment


def write(path, n, start=0, question="problem", answer="answer"):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{question: f"What is {k}+{k}?", answer: str(2 * k)} for k in range(start, start + n)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def questions(name, split, **settings):
    source = EnvSpec(name, split, settings).setup().source
    return [source[index].question for index in range(source.size)]


def test_a_file_is_an_environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "mine.jsonl", 60)
    check_environment("mine.jsonl", sample=10)
    train, validation = questions("mine.jsonl", "train"), questions("file:mine.jsonl", "validation")
    assert len(train) + len(validation) == 60
    assert not set(train) & set(validation)
    assert len(questions("mine.jsonl", "validation", validation_frac=1)) == 60


def test_a_file_gives_what_it_gives_when_it_is_added(tmp_path, monkeypatch):
    monkeypatch.setenv("KGYM_DATA_DIR", str(tmp_path / "added"))
    path = str(write(tmp_path / "mine.jsonl", 60))
    assert main(["data", "add", path]) == 0
    for split in ("train", "validation"):
        own, added = EnvSpec(path, split).facts(), EnvSpec("data", split, {"dataset": "mine"}).facts()
        same = ("data_sha256", "prompt_sha256", "verifier", "max_tokens")
        assert [own[key] for key in same] == [added[key] for key in same]


def test_a_file_that_changes_is_read_again(tmp_path):
    path = write(tmp_path / "mine.jsonl", 20)
    before = EnvSpec(str(path)).facts()["data_sha256"]
    write(path, 21)
    assert EnvSpec(str(path)).facts()["data_sha256"] != before


def test_columns_and_verifier_are_chosen(tmp_path):
    path = str(write(tmp_path / "mine.jsonl", 40, question="ask", answer="said"))
    columns = {"question_column": "ask", "answer_column": "said"}
    with pytest.raises(DataError, match=r"name one with env\.question_column"):
        EnvSpec(path).setup()
    setup = EnvSpec(path, "train", {**columns, "verifier": "integer"}).setup()
    assert (setup.verifier_name, setup.problem(0).question[:7]) == ("integer", "What is")


def test_a_folder_keeps_its_own_splits(tmp_path):
    write(tmp_path / "mine" / "train.jsonl", 30)
    write(tmp_path / "mine" / "test.jsonl", 10, start=100)
    name = f"{tmp_path}/mine/"
    assert (len(questions(name, "train")), len(questions(name, "validation"))) == (30, 10)
    halves = [len(questions(name, split, data_split="train", validation_frac=0.5)) for split in ("train", "validation")]
    assert sum(halves) == 30
    assert min(halves) > 0


def test_a_folder_with_one_split_is_divided(tmp_path):
    write(tmp_path / "mine" / "a.jsonl", 40)
    assert len(questions(f"file:{tmp_path}/mine", "train")) + len(questions(f"{tmp_path}/mine/", "validation")) == 40


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "settings", "error", "message"),
    [
        ("none.jsonl", {}, MissingData, "the file or folder none.jsonl does not exist; kgym data add"),
        ("file:none", {}, MissingData, "the file or folder none does not exist"),
        ("hf:gsm8k", {}, ConfigError, "name a data set of the hub as hf:OWNER/NAME"),
        ("mine.jsonl", {"split": "test"}, UnknownName, "split"),
        ("mine.jsonl", {"config": ["main"]}, ConfigError, r"env\.config"),
    ],
)
def test_what_cannot_be(in_folder, name, settings, error, message):
    write(in_folder / "mine.jsonl", 20)
    settings = dict(settings)
    split = settings.pop("split", "train")
    with pytest.raises(error, match=message):
        EnvSpec(name, split, settings).setup()


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """A cache as huggingface_hub leaves it, and no network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "datasets--acme--sums"
    commit = "0123456789abcdef0123456789abcdef01234567"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    return repository / "snapshots" / commit


def test_a_data_set_of_the_hub_comes_from_its_cache(hub_cache):
    write(hub_cache / "main" / "train-00000-of-00001.jsonl", 30)
    write(hub_cache / "main" / "test-00000-of-00001.jsonl", 10, start=100)
    assert (len(questions("hf:acme/sums", "train")), len(questions("hf:acme/sums", "validation"))) == (30, 10)
    with pytest.raises(
        DataError,
        match="acme/other is not in the cache of the hub, and HF_HUB_OFFLINE is set; unset HF_HUB_OFFLINE, or",
    ):
        EnvSpec("hf:acme/other").setup()


@pytest.mark.slow
def test_train_and_eval_on_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "mine.jsonl", 40)
    small = ["rollout.problems_per_step=2", "rollout.group_size=2", "eval.problems=2", "env.max_tokens=24"]
    assert main(["train", "--env", "mine.jsonl", "--run", "run", "--steps", "1", "--set", *small]) == 0
    assert main(["train", "--resume", "--run", "run", "--steps", "2"]) == 0
    assert main(["eval", "--bench", "mine.jsonl:validation", "--problems", "2", "--run", "scored"]) == 0
