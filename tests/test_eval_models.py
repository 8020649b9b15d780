"""Names of models and benchmarks, as people type them."""

import doctest
import json

import pytest

from kgym.errors import ConfigError, KgymError, UnknownName
from kgym.hookspecs import BenchmarkInfo
from kgym.models import names
from kgym.models.names import model_fingerprint, resolve_model
from kgym.score.bench import resolve_bench


def model_folder(path, weights=b"weights"):
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (path / "model.safetensors").write_bytes(weights)
    return path


def test_a_model_folder_stands_for_itself(tmp_path):
    folder = model_folder(tmp_path / "model")
    assert resolve_model(str(folder)) == str(folder)


def test_a_run_folder_stands_for_its_newest_checkpoint(tmp_path):
    for step in (9, 10):  # by number and not by name
        model_folder(tmp_path / "checkpoints" / f"step-{step}")
    model_folder(tmp_path / "checkpoints" / ".step-11.tmp")  # was being written when the run was killed
    (tmp_path / "checkpoints" / "step-12").mkdir()
    assert resolve_model(str(tmp_path)) == str(tmp_path / "checkpoints" / "step-10")


def test_owner_and_name_are_a_model_on_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve_model("Qwen/Qwen3-0.6B") == "Qwen/Qwen3-0.6B"


@pytest.mark.parametrize("name", ["runs/gone", "./gone", "a/b/c", "/gone", "~/gone", "runs/"])
def test_a_missing_folder_is_not_looked_for_on_the_hub(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    with pytest.raises(ConfigError, match=r"does not exist|does not contain a model"):
        resolve_model(name)


@pytest.mark.parametrize("name", ["runs/typo", "runs/typo/checkpoints", "a owner/name", "owner/.name", "owner/ä"])
def test_what_is_no_folder_and_no_hub_id_says_how_both_are_written(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)  # without a folder runs/
    with pytest.raises(ConfigError, match=rf"the model folder {name} does not exist; .* on the hub as OWNER/NAME"):
        resolve_model(name)


@pytest.mark.parametrize("load", ["engine", "policy"])
def test_what_cannot_be_downloaded_names_both_readings(tmp_path, monkeypatch, load):
    from kgym.models.policy import load_policy
    from kgym.rollout.engine import make_engine

    monkeypatch.chdir(tmp_path)
    model = resolve_model("acme/typo")
    with pytest.raises(
        KgymError, match=r"no folder acme/typo exists here, so kgym took the name for a model on the hub"
    ):
        make_engine("transformers", {}, model) if load == "engine" else load_policy(model)


def test_a_folder_that_cannot_be_loaded_is_not_called_a_model_on_the_hub(tmp_path):
    from kgym.rollout.engine import make_engine

    with pytest.raises(ConfigError) as error:
        make_engine("transformers", {"device": "cpu"}, str(model_folder(tmp_path / "model")))
    assert "on the hub:" not in str(error.value)


def test_examples():
    assert doctest.testmod(names).failed == 0


def test_a_file_is_no_model(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ConfigError, match="is a file"):
        resolve_model(str(tmp_path / "model.safetensors"))


def test_an_unknown_name_is_refused():
    with pytest.raises(UnknownName, match="no model named 'nanoo'"):
        resolve_model("nanoo")


def test_other_weights_have_another_fingerprint(tmp_path):
    one = model_folder(tmp_path / "one", b"\0" * 3_000_000)
    same = model_folder(tmp_path / "same", b"\0" * 3_000_000)
    other = model_folder(
        tmp_path / "other", b"\0" * 1_500_000 + b"\1" + b"\0" * 1_499_999
    )  # in one of the middle layers
    (same / "README.md").write_text("notes change no number")
    assert model_fingerprint(str(one)) == model_fingerprint(str(same)) != model_fingerprint(str(other))
    assert model_fingerprint("Qwen/Qwen3-0.6B") == ""


def test_benchmarks_by_name_and_by_split():
    assert resolve_bench("aime-style").problems == 500
    assert resolve_bench("aime:2024") == BenchmarkInfo(name="aime:2024", env="aime", split="2024")
    assert resolve_bench("rg:countdown:test").env == "rg:countdown"


@pytest.mark.parametrize(
    ("name", "message"), [("aime-stile", "did you mean 'aime-style'"), ("aime:", "ENV:SPLIT"), (":train", "ENV:SPLIT")]
)
def test_unknown_benchmarks_are_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        resolve_bench(name)
