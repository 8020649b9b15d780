"""`kgym runs card`: what the card says and what it does not, whose card is kept, the upload to a stand-in of the
hub.
"""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file

from kgym.board.card import card_of, is_ours, public
from kgym.board.publishing import push
from kgym.cli.main import main
from kgym.config import RunConfig
from kgym.errors import RunError
from kgym.keys import load
from kgym.models.names import model_fingerprint
from stand_in_hub import COMMIT, stand_in
from test_compare_runs import FACTS, result

TOKEN = "hf_TheSecretOfTheUser"


@pytest.fixture
def run(tmp_path, tiny_model):
    """A finished training with a validation at both ends and a checkpoint at its third step."""
    folder = tmp_path / "work" / "run"
    checkpoint = folder / "checkpoints" / "step-3"
    shutil.copytree(tiny_model, checkpoint)
    (checkpoint / "trainer.pt").write_bytes(b"state")
    (checkpoint / "episodes.parquet").write_bytes(b"episodes")
    (checkpoint / "critic").mkdir()
    (checkpoint / "critic" / "model.safetensors").write_bytes(b"critic")
    settings = {
        "model": "nano",
        "seed": 5,
        "env": "arithmetic",
        "algo": {"name": "grpo"},
        "train": {"steps": 3, "lr": 2e-4},
    }
    write_manifest(folder, settings)
    (folder / "eval").mkdir()
    for step, scores in ((0, [0, 0, 1, 0]), (3, [1, 0, 1, 1])):
        found = result(scores).to_json() | {"interval": [0.3, 0.9]}
        (folder / "eval" / f"step-{step:05d}.json").write_text(json.dumps(found))
    return folder


def write_manifest(folder, settings):
    facts = {
        "env": FACTS,
        "versions": {"kgym": "0.1", "torch": "2"},
        "checkout": {"commit": "c0ffee" * 6, "dirty": True},
    }
    facts |= {"machine": {"gpus": []}, "components": {"algorithm grpo": "kgym 0.1", "verifier x": "acme-verify 3.0"}}
    facts |= {
        "fingerprints": {"model": "ab" * 32},
        "specs": {"arithmetic": {"name": "arithmetic", "split": "train", "settings": {}}},
    }
    config = RunConfig(**settings).model_dump(mode="json")
    (folder / "manifest.json").write_text(json.dumps({"config": config} | facts))


def scored(folder, model_sha256, benchmark="sums", seed=0):
    """The folder of a finished evaluation."""
    folder.mkdir(parents=True)
    request = {
        "model": "x",
        "model_sha256": model_sha256,
        "env_id": "x",
        "split": "s",
        "truncated": "zero",
        "seed": seed,
    }
    spec = {"name": "x", "split": "s", "settings": {}}
    (folder / "manifest.json").write_text(
        json.dumps({"kind": "eval", "benchmark": benchmark, "request": request, "spec": spec})
    )
    about = {
        "date": "2026-01-01",
        "model": "x",
        "benchmark": benchmark,
        "engine": "e",
        "kgym_version": "0",
        "seed": seed,
        "run": "r",
        "note": "",
    }
    (folder / "results.json").write_text(
        json.dumps(result([1, 0, 1, 1]).to_json() | {"interval": [0.25, 0.95]} | about)
    )


def front_matter(card):
    return yaml.safe_load(card.text.split("---\n")[1])


def test_it_says_what_the_model_is(run):
    card = card_of(run)
    assert card.path == run / "checkpoints" / "step-3" / "README.md"
    assert front_matter(card) == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["kgym", "reinforcement-learning", "grpo"],
    }
    for line in (
        "# nano, grpo on arithmetic",
        "| base model | nano, sha256 abababababab |",
        "| data | kgym/arithmetic-v0, split validation, verifier integer, 24 tokens, data sha256 0 |",
        "| steps | 3 |",
        "| seed | 5 |",
        "This model has not been scored by `kgym eval`.",
        "| validation (kgym/arithmetic-v0) | 25.0 % | 75.0 % | 30.0 to 90.0 % | 4 |",
        "kgym 0.1 (commit c0ffeec0ffee, with changes); torch 2; acme-verify 3.0; CPU",
    ):
        assert line in card.text, line


def test_a_base_on_the_hub_is_named_to_the_hub(run):
    write_manifest(run, {"model": "acme/base-1B", "train": {"steps": 3}})
    assert front_matter(card_of(run))["base_model"] == "acme/base-1B"


def test_scores_are_those_of_the_very_files(run, tmp_path):
    own = model_fingerprint(str(run / "checkpoints" / "step-3"))
    scored(run / "eval" / "after", own)
    scored(run.parent / "eval-beside", own, benchmark="texts")
    scored(run.parent / "eval-again", own, benchmark="texts")  # the same question: once
    scored(run.parent / "eval-of-another", "00" * 32, benchmark="others")
    (run.parent / "eval-damaged").mkdir()
    (run.parent / "eval-damaged" / "manifest.json").write_text("{")
    card = card_of(run)
    assert [score.benchmark for score in card.scores] == ["sums", "texts"]
    comparability = result([1]).comparability[:12]
    assert f"| sums | 75.0 % (avg@1) | 25.0 to 95.0 % | 4 | 0.0 % | 0.0 % | `{comparability}` |" in card.text
    assert "others" not in card.text
    card.write()
    (first, _) = ModelCard.load(card.path).data.eval_results  # as the hub reads it
    assert (first.dataset_name, first.metric_type, first.metric_value, first.dataset_split) == (
        "sums",
        "accuracy",
        75.0,
        "validation",
    )


def test_the_configuration_in_it_is_that_of_the_run(run, tmp_path):
    text = card_of(run).text.partition("```toml\n")[2].partition("```")[0]
    (tmp_path / "kgym.toml").write_text(text)
    stored = json.loads((run / "manifest.json").read_text())["config"]
    assert load(RunConfig, tmp_path / "kgym.toml").model_dump(mode="json") == stored


def test_a_public_card_names_no_folder_no_server_and_no_tracker(run, tiny_model):
    settings = {"model": str(tiny_model), "trackers": {"wandb": {"entity": "our-team"}}, "train": {"steps": 3}}
    settings |= {
        "verifier": {"name": "judge", "options": {"model": "judge", "base_url": "https://inside.example:8000/v1"}}
    }
    write_manifest(run, settings)
    text = card_of(run).text
    assert "our-team" not in text
    assert "inside.example" not in text
    assert 'base_url = "https://HOST"' in text
    assert str(tiny_model.parent) not in text
    assert f'model = "{tiny_model.name}"' in text


@pytest.mark.parametrize(("value", "said"), [("", ""), (".", "."), ("1/2", "1/2"), ("~/models/a", "a"), ("/", "/")])
def test_what_is_made_public(value, said):
    assert public(value) == said


# --- whose card -------------------------------------------------------------------------------------------------------


def test_a_card_of_kgym_is_written_again_and_one_by_hand_is_kept(run, capsys):
    path = run / "checkpoints" / "step-3" / "README.md"
    before = model_fingerprint(str(path.parent))
    assert main(["runs", "card", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"card": str(path), "scores": 0}
    assert is_ours(path)
    assert model_fingerprint(str(path.parent)) == before, "a card changes no model"
    assert main(["runs", "card", str(run)]) == 0
    path.write_text(edited := path.read_text().replace("grpo", "GRPO"))
    capsys.readouterr()
    assert main(["runs", "card", str(run)]) == 2
    err = capsys.readouterr().err
    assert "was written or edited by hand; move it away, or overwrite it with --force" in err
    assert err.count("\n") == 1
    assert path.read_text() == edited
    assert main(["runs", "card", str(run), "--force"]) == 0
    assert is_ours(path)


def not_finite(checkpoint):
    weights = load_file(checkpoint / "model.safetensors")
    name = min(weights)
    weights[name].view(-1)[-1] = torch.inf
    save_file(weights, checkpoint / "model.safetensors", metadata={"format": "pt"})
    return f"the weights {name} are not finite"


def missing(checkpoint):
    (checkpoint / "model.safetensors").unlink()
    return "lacks the weights model.safetensors"


def one_of_two_missing(checkpoint):
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (checkpoint / "model.safetensors").rename(checkpoint / "model-00001-of-00002.safetensors")
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index))
    return "lacks the weights model-00002-of-00002.safetensors"


def cut(checkpoint):
    data = (checkpoint / "model.safetensors").read_bytes()
    (checkpoint / "model.safetensors").write_bytes(data[:-10])
    return "model.safetensors is damaged"


@pytest.mark.parametrize("harm", [not_finite, missing, one_of_two_missing, cut])
def test_weights_that_nobody_can_use_are_refused(run, harm, capsys):
    said = harm(run / "checkpoints" / "step-3")
    assert main(["runs", "card", str(run)]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert not (run / "checkpoints" / "step-3" / "README.md").exists()


def test_an_evaluation_has_no_card(run, tmp_path, capsys):
    scored(tmp_path / "eval", "00")
    assert main(["runs", "card", str(tmp_path / "eval")]) == 2
    assert "is an evaluation" in capsys.readouterr().err
    shutil.rmtree(run / "checkpoints")
    assert main(["runs", "card", str(run)]) == 2
    assert "does not contain a model" in capsys.readouterr().err


# --- the hub ----------------------------------------------------------------------------------------------------------


def pushed(server, run, *words, **environment):
    """What the command says and prints, with the stand-in for the hub."""
    env = {**os.environ, "HF_ENDPOINT": server.url, "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    env |= {"HF_HOME": str(run.parent / "home"), **environment}
    command = [sys.executable, "-m", "kgym", "runs", "card", str(run), *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert TOKEN not in done.stdout + done.stderr
    return done


def test_the_model_and_its_card_are_uploaded_and_nothing_else(run):
    with stand_in(TOKEN) as server:
        done = pushed(server, run, "--push", "me/mine", "--private", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["commit"] == f"{server.url}/me/mine/commit/{COMMIT}"
        (found,) = server.repositories.values()
        assert found["private"] is True
        checkpoint = run / "checkpoints" / "step-3"
        kept = {path.name for path in checkpoint.iterdir()} - {"trainer.pt", "episodes.parquet", "critic"}
        assert found["files"] == {name: (checkpoint / name).read_bytes() for name in kept}
        assert {"README.md", "model.safetensors", "tokenizer.json"} <= kept
        assert pushed(server, run, "--push", "me/mine").returncode == 0, "into a model that is there"


@pytest.mark.parametrize(
    ("words", "environment", "status", "said"),
    [
        (
            ["--push", "me/mine"],
            {"HF_TOKEN": ""},
            2,
            "--push needs a token of the hub: run `hf auth login`, or set HF_TOKEN",
        ),
        (["--push", "me/mine"], {"HF_HUB_OFFLINE": "1"}, 2, "HF_HUB_OFFLINE=1 forbids it"),
        (["--push", "mine"], {}, 2, "--push mine: write it as OWNER/NAME"),
        (["--private"], {}, 2, "--private needs --push, which makes the model"),
        (["--push", "me/mine"], {"HF_TOKEN": "hf_another"}, 1, "it refuses the token (401)"),
        (["--push", "forbidden/mine"], {}, 1, "it refuses the token (403)"),
        (["--push", "me/mine"], {"HF_ENDPOINT": "http://127.0.0.1:9"}, 1, "the hub did not take me/mine: "),
    ],
)
def test_what_the_hub_refuses_is_said_in_one_line(run, words, environment, status, said):
    with stand_in(TOKEN) as server:
        done = pushed(server, run, *words, **environment)
        assert (done.returncode, done.stderr.count("\n")) == (status, 1), done.stderr
        assert said in done.stderr
        assert "hf_another" not in done.stderr
        assert not any(found["files"] for found in server.repositories.values())
    assert (run / "checkpoints" / "step-3" / "README.md").exists() == (status == 1), (
        "nothing is written for a wrong request"
    )


def test_an_error_that_repeats_the_token_is_shown_without_it(run):
    class Careless:
        token = TOKEN

        def create_repo(self, *args, **options):
            raise ValueError(f"bad header: Bearer {TOKEN}\nmore")

    with pytest.raises(RunError) as refused:
        push(Careless(), "me/mine", run, private=False)
    assert str(refused.value) == "the hub did not take me/mine: ValueError: bad header: Bearer [token]"
