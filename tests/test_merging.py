"""The average of models: weighted, of models that fit each other only, and written whole or not at all; and models
of fewer layers.
"""

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen3Config

from kgym.cli.main import main
from kgym.errors import ConfigError
from kgym.models.merging import average_into, cut_into
from kgym.models.names import resolve_model

NANO = resolve_model("nano")


def near(path, seed, **changes):
    """Write a model beside nano: its weights and a little noise, with a changed configuration."""
    model = AutoModelForCausalLM.from_pretrained(NANO, dtype=torch.float32)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.01 * torch.randn(weight.shape, generator=generator))
    for key, value in changes.items():
        setattr(model.config, key, value)
    model.save_pretrained(path)
    AutoTokenizer.from_pretrained(NANO).save_pretrained(path)
    return str(path)


def weights(folder):
    return load_file(f"{folder}/model.safetensors")


@pytest.mark.parametrize(
    ("given", "shares"), [(None, (0.5, 0.5)), ([0.7, 0.3], (0.7, 0.3)), ([1.5, -0.5], (1.5, -0.5))]
)
def test_every_weight_is_the_weighted_sum(given, shares, tmp_path):
    other = near(tmp_path / "other", 1)
    assert average_into([NANO, other], tmp_path / "out", weights=given) == pytest.approx(list(shares))
    ours, theirs, found = weights(NANO), weights(other), weights(tmp_path / "out")
    assert found.keys() == ours.keys()
    for name in ours:
        torch.testing.assert_close(found[name], shares[0] * ours[name] + shares[1] * theirs[name], rtol=1e-6, atol=1e-6)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight, "tied weights stay tied"
    assert (
        AutoTokenizer.from_pretrained(tmp_path / "out").chat_template
        == AutoTokenizer.from_pretrained(NANO).chat_template
    )


def test_three_models_count_the_same_and_the_type_is_chosen(tmp_path):
    folders = [near(tmp_path / str(seed), seed) for seed in range(3)]
    average_into(folders, tmp_path / "out", dtype="bfloat16")
    for name, found in weights(tmp_path / "out").items():
        mean = torch.stack([weights(folder)[name] for folder in folders]).mean(0)
        assert found.dtype == torch.bfloat16
        torch.testing.assert_close(found.float(), mean, rtol=5e-3, atol=1e-3)


def test_the_command_writes_a_model_that_can_be_named(tmp_path, capsys):
    other = near(tmp_path / "other", 1)
    assert (
        main(["models", "merge", "nano", other, "--weights", "0.25", "0.75", "--out", str(tmp_path / "out"), "--json"])
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found == {"model": str(tmp_path / "out"), "of": ["nano", other], "weights": [0.25, 0.75], "dtype": "float32"}
    assert resolve_model(str(tmp_path / "out"))
    assert main(["models", "list", "--json"]) == 0
    assert "nano" in [model["name"] for model in json.loads(capsys.readouterr().out)["models"]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nano"], "at least two models"),
        (["nano", "nano", "--weights", "1"], "1 weights for 2 models"),
        (["nano", "nano", "--weights", "0.7", "0.7"], "sum to 1.4; they must sum to 1"),
        (["nano", "nano", "--weights", "nan", "1"], "must sum to 1"),
        (["nano", "no-such-model"], "no-such-model"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_written(arguments, said, tmp_path, capsys):
    assert main(["models", "merge", *arguments, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_models_that_do_not_fit_each_other_are_refused(tmp_path, tiny_model):
    with pytest.raises(ConfigError, match="only models of one"):
        average_into([NANO, str(tiny_model)], tmp_path / "out")
    turned = near(tmp_path / "turned", 1, rms_norm_eps=1e-3)
    with pytest.raises(ConfigError, match="differ in rms_norm_eps of their configurations"):
        average_into([NANO, turned], tmp_path / "out")
    spoken = near(tmp_path / "spoken", 1)
    tokenizer = AutoTokenizer.from_pretrained(spoken)
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    tokenizer.save_pretrained(spoken)
    with pytest.raises(ConfigError, match="different chat templates"):
        average_into([NANO, spoken], tmp_path / "out")
    renamed = near(tmp_path / "renamed", 1)
    text = (tmp_path / "renamed" / "tokenizer.json").read_text()
    vocabulary = json.loads(text)
    ids = vocabulary["model"]["vocab"]
    ids["a"], ids["b"] = ids["b"], ids["a"]
    (tmp_path / "renamed" / "tokenizer.json").write_text(json.dumps(vocabulary))
    with pytest.raises(ConfigError, match="different tokenizers"):
        average_into([NANO, renamed], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(ConfigError, match="exists already"):
        average_into([NANO, NANO], tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


# --- fewer layers -----------------------------------------------------------------------------------------------------


def test_the_first_layers_and_the_last_are_kept(tmp_path, capsys):
    assert main(["models", "cut", "nano", "--layers", "3", "--out", str(tmp_path / "small"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["had"] == 4
    ours, found = weights(NANO), weights(tmp_path / "small")
    for new, old in enumerate((0, 1, 3)):
        layer = f"model.layers.{old}."
        for name in (name for name in ours if name.startswith(layer)):
            assert torch.equal(found[name.replace(layer, f"model.layers.{new}.")], ours[name])
    assert not [name for name in found if name.startswith("model.layers.3.")]
    model, tokenizer = (kind.from_pretrained(tmp_path / "small") for kind in (AutoModelForCausalLM, AutoTokenizer))
    prompt = tokenizer("1 + 1", return_tensors="pt")
    text = model.generate(**prompt, max_new_tokens=4, do_sample=False)  # with its cache of keys and values by layer
    assert text.shape[1] == prompt["input_ids"].shape[1] + 4


def test_the_kind_of_each_layer_stays_with_it(tmp_path):
    kinds = ["full_attention", "full_attention", "sliding_attention", "full_attention"]
    shape = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
    }
    config = Qwen3Config(
        vocab_size=102, num_hidden_layers=4, layer_types=kinds, sliding_window=8, use_sliding_window=True, **shape
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "model")
    AutoTokenizer.from_pretrained(NANO).save_pretrained(tmp_path / "model")
    cut_into(str(tmp_path / "model"), tmp_path / "small", layers=2)
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "small").config.layer_types == [
        "full_attention",
        "full_attention",
    ]


@pytest.mark.parametrize("layers", [0, 4, 9])
def test_as_many_layers_as_there_are_cannot_be_kept(layers, tmp_path, capsys):
    assert main(["models", "cut", "nano", "--layers", str(layers), "--out", str(tmp_path / "small")]) == 2
    assert "nano has 4 layers" in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]


def test_a_folder_that_is_there_is_not_written_to(tmp_path, capsys):
    assert main(["models", "cut", "nano", "--layers", "2", "--out", str(tmp_path)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_the_command_after_a_cut_can_be_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["models", "cut", "nano", "--layers", "3", "--out", "small"]) == 0
    command = capsys.readouterr().out.split("next        kgym ")[1]
    assert main([*command.split(), "--dry-run"]) == 0
