"""`engine=auto`: which engine is taken, what is said about it, and that a resumed run takes the same."""

import json
import os
import stat
import sys

import pytest

from kgym.cli.main import main
from kgym.config import EngineConfig
from kgym.errors import ConfigError
from kgym.models.names import resolve_model
from kgym.registry import configure
from kgym.rollout.choosing import chosen_engine
from kgym.runs.metrics import CLOCK, read_metrics
from kgym.types import Surroundings
from kgym_plugins.engines.vllm import VLLMEngine, VLLMOptions

VLLM = os.environ.get("KGYM_VLLM_PYTHON", "")
WORDS = [
    "--env",
    "arithmetic",
    "--eval-every",
    "0",
    "--set",
    "rollout.problems_per_step=3",
    "rollout.group_size=2",
    "env.max_tokens=12",
]


@pytest.fixture
def third_party():
    configure(["keen_engine"])
    yield
    configure()


def train(run, *words):
    return main(["train", "--run", str(run), *words])


def metrics(run):
    lines = read_metrics(run / "metrics.jsonl")
    return [{key: value for key, value in line.items() if not key.startswith(CLOCK)} for line in lines]


def stored_engine(run):
    return json.loads((run / "manifest.json").read_text())["config"]["engine"]


def test_a_machine_without_vllm_takes_transformers_and_says_why(tmp_path, capsys):
    assert train(tmp_path / "auto", "--engine", "auto", "--steps", "2", *WORDS) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("engine ")]
    assert (
        line
        == "engine      transformers, chosen by engine=auto: it samples from this model on cpu, and nothing faster "
        "suits"
    )
    assert train(tmp_path / "named", "--steps", "2", *WORDS, "-q") == 0
    assert stored_engine(tmp_path / "auto") == stored_engine(tmp_path / "named")
    assert stored_engine(tmp_path / "auto")["name"] == "transformers"
    assert metrics(tmp_path / "auto") == metrics(tmp_path / "named")


def test_a_resumed_run_keeps_the_engine_that_was_chosen(tmp_path, capsys):
    configure(["keen_engine"])
    run = tmp_path / "run"
    assert (
        main(["-p", "keen_engine", "train", "--run", str(run), "--engine", "auto", "--steps", "1", *WORDS, "-q"]) == 0
    )
    assert stored_engine(run)["name"] == "keen"
    assert main(["-p", "keen_engine", "train", "--run", str(run), "--resume", "--steps", "2", "-q"]) == 0
    assert (
        main(["-p", "keen_engine", "train", "--run", str(run), "--resume", "--engine", "auto", "--steps", "3", "-q"])
        == 0
    )
    assert (stored_engine(run)["name"], len(metrics(run))) == ("keen", 3)
    assert (
        main(
            [
                "-p",
                "keen_engine",
                "train",
                "--run",
                str(run),
                "--resume",
                "--engine",
                "transformers",
                "--steps",
                "4",
                "-q",
            ]
        )
        == 2
    )
    assert "engine.name differs from it" in capsys.readouterr().err
    configure()


def test_an_evaluation_says_which_engine_was_chosen_and_is_found_again(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["eval", "--bench", "arithmetic:validation", "--problems", "3", "--max-tokens", "8"]
    assert main([*words, "--engine", "auto", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err.startswith("engine transformers, chosen by engine=auto: it samples from this model on cpu")
    run = json.loads(out)["run"]
    assert main([*words, "--engine", "transformers", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"] == run


def test_third_party_engines_take_part(third_party):
    auto = EngineConfig(name="auto", options={"max_batch": 16})
    engine, why = chosen_engine(auto, "nano", trains=True)
    assert (engine.name, engine.options) == ("keen", {"max_batch": 16})
    assert why == "keen, chosen by engine=auto: it is keen to train"
    assert chosen_engine(auto, "nano", trains=False)[0].name == "transformers"
    assert chosen_engine(auto, "nano", trains=True, own_process=True)[0].name == "transformers"
    assert chosen_engine(EngineConfig(name="silent"), "nano", trains=True) == (EngineConfig(name="silent"), "")


def test_without_an_engine_that_suits_each_says_why(third_party):
    with pytest.raises(ConfigError) as error:
        chosen_engine(EngineConfig(name="auto", options={"no_such": 1}), "nano", trains=True)
    text = str(error.value)
    assert text.startswith("engine=auto: no engine suits nano: as_good: no key named 'engine.no_such'")
    assert (
        "incomplete: engine 'incomplete' needs no_such_package, which is not installed: pip install no_such_package"
        in text
    )
    assert "server" not in text
    assert "silent: " in text


def test_doctor_lists_every_engine_with_what_it_lacks(third_party, capsys):
    assert main(["-p", "keen_engine", "plugins", "doctor", "--json"]) == 0
    found = {
        entry["name"]: entry["lacks"]
        for entry in json.loads(capsys.readouterr().out)["lacking"]
        if entry["kind"] == "engine"
    }
    assert found["transformers"] == found["silent"] == ""
    assert found["keen"] == "a second opinion: pip install second-opinion"
    assert found["incomplete"] == "no_such_package, which is not installed: pip install no_such_package"
    assert "vllm" in found
    assert main(["-p", "keen_engine", "plugins", "doctor"]) == 0
    assert "pip install no_such_package" in capsys.readouterr().out


# --- when vllm suits


@pytest.fixture
def interpreter(tmp_path):
    """Return a function that makes an interpreter which answers what it was told: what one with vLLM says."""

    def make(answer, status=0):
        path = tmp_path / "python"
        path.write_text(f"#!{sys.executable}\nimport sys\nprint({answer!r})\nsys.exit({status})\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return VLLMOptions(python=str(path))

    return make


@pytest.mark.parametrize(
    ("answer", "gpus", "expected"),
    [
        ('["0.32.0", true]', 1, (2.0, "vLLM 0.32.0 is installed, and this machine has 1 GPU")),
        ('["0.32.0", true]', 8, (2.0, "vLLM 0.32.0 is installed, and this machine has 8 GPUs")),
        ('["0.32.0", false]', 1, (0.0, "vLLM 0.32.0 does not know the architecture LlamaForCausalLM")),
        ('["0.32.0", true]', 0, (0.5, "the machine has no GPU, and on a CPU the completions of vLLM depend on timing")),
    ],
)
def test_vllm_suits_a_gpu_and_an_architecture_that_it_knows(answer, gpus, expected, interpreter, tiny_model):
    found = VLLMEngine.suits(interpreter(answer), str(tiny_model), Surroundings(gpus=gpus, trains=True))
    assert (found.score, found.reason) == expected


def test_a_vllm_that_cannot_be_imported_does_not_suit(interpreter, tiny_model):
    options = interpreter("", status=1)
    found = VLLMEngine.suits(options, str(tiny_model), Surroundings(gpus=1, trains=True))
    assert found.score == 0
    assert found.reason.startswith(f"vLLM cannot be imported by {options.python}: ")


@pytest.mark.slow
@pytest.mark.skipif(not VLLM, reason="KGYM_VLLM_PYTHON names no interpreter that has vLLM")
def test_the_real_vllm_names_its_version_and_knows_the_model():
    found = VLLMEngine.suits(VLLMOptions(python=VLLM), resolve_model("nano"), Surroundings(gpus=1, trains=True))
    assert found.score == 2.0, found.reason
    assert found.reason.endswith("is installed, and this machine has 1 GPU")
    assert chosen_engine(EngineConfig(name="auto", options={"python": VLLM}), "nano", trains=True)[0].name == "vllm"
