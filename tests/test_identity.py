"""A resumed run is the same run: what it depends on is compared with what it depended on when it began."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

from kgym.cli.main import main
from kgym.errors import NotComparable
from kgym.models.names import model_fingerprint
from kgym.score.comparability import changes
from kgym.score.harness import EvalResult
from kgym.train.rl.statistics import improvement

SMALL = (
    "rollout.problems_per_step=1",
    "rollout.group_size=2",
    "env.max_tokens=4",
    "eval.problems=3",
    "train.threads=1",
)


def rows(golds):
    return "".join(
        json.dumps({"question": f"What is {i}+{i}?", "answer": str(gold)}) + "\n" for i, gold in enumerate(golds)
    )


def touch_middle(folder):
    """Change one weight of a layer in the middle."""
    weights = load_file(folder / "model.safetensors")
    name = sorted(weights)[len(weights) // 2]
    weights[name].view(-1)[0] += 1.0
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.fixture
def place(tmp_path, monkeypatch, tiny_model):
    """Return a folder with a model, a data set and examples for ptx, and a run of one step that depends on all of
    them.
    """
    monkeypatch.setenv("KGYM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_model, "model")
    (tmp_path / "a.jsonl").write_text(rows(2 * i for i in range(40)))
    (tmp_path / "ptx.jsonl").write_text('{"question": "What is 1+1?", "solution": "2"}\n')
    assert main(["data", "add", "mine", "a.jsonl"]) == 0
    settings = (*SMALL, "env.dataset=mine", "ptx.coef=0.1", "ptx.data=ptx.jsonl", "ptx.batch_size=1")
    assert main(["train", "--env", "data", "--model", "model", "--steps", "1", "--run", "run", "--set", *settings]) == 0
    return tmp_path


def resumed(capsys, status=2):
    capsys.readouterr()
    assert main(["train", "--run", "run", "--resume", "--steps", "2"]) == status
    return capsys.readouterr().err


def new_golds(place):
    (place / "b.jsonl").write_text(rows(7 for _ in range(40)))
    assert main(["data", "add", "mine", "b.jsonl", "--replace"]) == 0


def new_weights(place):
    touch_middle(place / "model")


def new_ptx(place):
    (place / "ptx.jsonl").write_text('{"question": "What is 1+1?", "solution": "3"}\n')


@pytest.mark.parametrize(
    ("change", "fact", "remedy"),
    [
        (new_golds, "env.data_sha256 was ", "kgym data add NAME FILE --replace"),
        (new_weights, "fingerprints.model was ", "put the old files of the model back"),
        (new_ptx, "fingerprints.ptx.data was ", "put the old file back"),
    ],
)
def test_a_changed_fact_is_refused_with_both_values_and_the_remedy(place, capsys, change, fact, remedy):
    change(place)
    before = {path: path.read_bytes() for path in (place / "run").rglob("*") if path.is_file()}
    err = resumed(capsys)
    assert fact in err
    assert remedy in err
    assert "or begin another run with --run" in err
    assert err.count("\n") == 1
    assert before == {path: path.read_bytes() for path in (place / "run").rglob("*") if path.is_file()}


def test_an_older_manifest_that_lacks_facts_is_resumed(place, capsys):
    manifest = json.loads((place / "run" / "manifest.json").read_text())
    old = {key: value for key, value in manifest.items() if key in ("config", "seed", "env", "versions")}
    old["config"] |= {"verifier": None}
    old["config"]["algo"]["options"] = {}
    old["versions"]["torch"] = "1.0"
    del old["env"]["prompt_sha256"]
    (place / "run" / "manifest.json").write_text(json.dumps(old))
    new_weights(place)  # of which the old manifest knows nothing
    assert resumed(capsys, status=0) == ""
    assert json.loads((place / "run" / "summary.json").read_text())["steps"] == 2


def test_another_version_is_said_and_no_reason_to_end(place, capsys):
    manifest = json.loads((place / "run" / "manifest.json").read_text())
    manifest["versions"]["torch"] = "1.0"
    (place / "run" / "manifest.json").write_text(json.dumps(manifest))
    capsys.readouterr()
    assert main(["train", "--run", "run", "--resume", "--steps", "2"]) == 0
    assert "since the run began, versions.torch was 1.0 and is " in capsys.readouterr().out


def test_defaults_in_force_and_the_checkout_are_in_the_manifest(place):
    manifest = json.loads((place / "run" / "manifest.json").read_text())
    assert manifest["config"]["algo"]["options"]["tau"] == 0.1
    assert manifest["config"]["verifier"]["options"] == manifest["env"]["verifier_options"]
    assert manifest["checkout"] == {} or len(manifest["checkout"]["commit"]) == 40
    assert manifest["components"]["algorithm mirror"].startswith("kgym ")


def test_a_run_keeps_the_defaults_that_it_began_with(place, capsys, monkeypatch):
    from kgym_plugins.algorithms.mirror import MirrorOptions

    class Later(MirrorOptions):
        tau: float = 0.7

    monkeypatch.setattr("kgym_plugins.algorithms.mirror.Mirror.Options", Later)
    assert resumed(capsys, status=0) == ""
    assert main(["train", "--run", "run", "--resume", "--set", "algo.tau=0.7"]) == 2
    assert "algo.tau" in capsys.readouterr().err


def test_the_model_of_a_verifier_is_a_fact(tmp_path, capsys, monkeypatch, tiny_model):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_model, "judge")
    verifier = ("verifier=judge", "verifier.model=judge", "verifier.max_tokens=2")
    few = ("eval.every=0", "rollout.max_unscored_frac=1")
    assert (
        main(
            [
                "train",
                "--env",
                "arithmetic",
                "--model",
                str(tiny_model),
                "--steps",
                "1",
                "--run",
                "run",
                "--set",
                *SMALL,
                *few,
                *verifier,
            ]
        )
        == 0
    )
    touch_middle(tmp_path / "judge")
    assert "env.verifier_fingerprints.model was " in resumed(capsys)
    asked = [
        "eval",
        "--model",
        str(tiny_model),
        "--bench",
        "arithmetic:validation",
        "--problems",
        "2",
        "--max-tokens",
        "2",
        "--run",
        "eval",
    ]
    assert main([*asked, "--set", *verifier]) == 0
    touch_middle(tmp_path / "judge")
    capsys.readouterr()
    assert main([*asked, "--set", *verifier]) == 2
    assert "verifier_fingerprints.model was " in capsys.readouterr().err


def test_an_evaluation_is_not_continued_with_other_data(place, capsys):
    asked = [
        "eval",
        "--model",
        "model",
        "--bench",
        "data:validation",
        "--max-tokens",
        "2",
        "--run",
        "eval",
        "--set",
        "env.dataset=mine",
    ]
    assert main(asked) == 0
    new_golds(place)
    capsys.readouterr()
    assert main(asked) == 2
    err = capsys.readouterr().err
    assert "data_sha256 was " in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["sft", "dpo", "rm"])
def test_runs_on_examples_compare_the_model_and_the_data(tmp_path, monkeypatch, capsys, tiny_model, command):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_model, "model")
    line = (
        {"question": "What is 1+1?", "solution": "2"}
        if command == "sft"
        else {"prompt": "1+1?", "chosen": "2", "rejected": "3"}
    )
    (tmp_path / "a.jsonl").write_text(json.dumps(line) + "\n")
    assert main([command, "--model", "model", "--data", "a.jsonl", "--run", "run", "--steps", "1", "--batch", "1"]) == 0
    asked = [command, "--run", "run", "--resume", "--steps", "2"]
    weights = (tmp_path / "model" / "model.safetensors").read_bytes()
    touch_middle(tmp_path / "model")
    assert main(asked) == 2
    err = capsys.readouterr().err
    assert "fingerprints.model was " in err
    assert "put the old files of the model back" in err
    (tmp_path / "model" / "model.safetensors").write_bytes(weights)
    (tmp_path / "a.jsonl").write_text(json.dumps(line).replace('"2"', '"4"') + "\n")
    assert main(asked) == 2
    err = capsys.readouterr().err
    assert "fingerprints.data was " in err
    assert "put the old file back, or begin another run with --run" in err
    (tmp_path / "a.jsonl").write_text(json.dumps(line) + "\n")
    assert main(asked) == 0


def test_validations_that_asked_other_things_are_not_paired(place, capsys):
    first, last = (place / "run" / "eval" / f"step-0000{step}.json" for step in (0, 1))
    stored = json.loads(last.read_text())
    stored["facts"]["data_sha256"], stored["comparability"] = "other", "other"
    last.write_text(json.dumps(stored))
    with pytest.raises(NotComparable, match=r"data_sha256 is .* in one and other in the other"):
        improvement(*(EvalResult.from_json(json.loads(file.read_text())) for file in (first, last)), seed=0)
    assert main(["train", "--run", "run", "--resume"]) == 0
    assert (
        "step-00000 and step-00001 in run/eval are not compared: the two validations did not ask the same: data_sha256"
        in capsys.readouterr().out
    )
    assert "gain" not in json.loads((place / "run" / "summary.json").read_text())
    assert main(["runs", "show", "run"]) == 0
    out = capsys.readouterr().out
    assert "not_compared" in out
    assert "accuracy_before" not in out


def test_only_what_both_sides_know_is_compared():
    assert changes({"a": 1, "b": {"c": ""}}, {"b": {"c": "x", "d": 2}}) == {}
    assert list(changes({"b": {"c": None}}, {"b": {"c": 512}}).values()) == ["b.c was null and is 512"]


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ({}, {"enable_thinking": False}),
        ({"enable_thinking": False}, {}),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": 1}, {"a": 2}),
    ],
)
def test_the_keys_of_an_options_value_are_all_compared(then, now):
    request = {"engine": "transformers", "engine_options": {"max_batch": 4}}
    found = changes(*(request | {"engine_options": {"max_batch": 4, "template": template}} for template in (then, now)))
    assert list(found) == ["engine_options.template"]
    assert changes(request, request | {"engine_options": {"max_batch": 4, "template": now}}) == {}, (
        "an older version had no such option"
    )


def test_a_model_of_the_hub_is_known_by_the_commit_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert model_fingerprint("acme/model") == ""
    repo = tmp_path / "models--acme--model"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("c0ffee")
    (repo / "snapshots" / "c0ffee").mkdir(parents=True)
    (repo / "snapshots" / "c0ffee" / "config.json").write_text("{}")
    assert model_fingerprint("acme/model") == "c0ffee"
