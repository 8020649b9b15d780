"""The guards of `kgym.rollout.handover` against faults of the engine `vllm`, with the real vLLM."""

import os

import pytest

from kgym.cli.main import main
from kgym.runs.metrics import read_metrics
from kgym_plugins.engines.vllm import VLLMEngine

PYTHON = os.environ.get("KGYM_VLLM_PYTHON", "")
LEFT_OUT = "model.layers.0.mlp.down_proj.weight"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="KGYM_VLLM_PYTHON names no interpreter that has vLLM"),
]


def train(run):
    settings = [
        "rollout.problems_per_step=4",
        "rollout.group_size=4",
        "env.max_tokens=32",
        "train.lr=1e-6",
        f"engine.python={PYTHON}",
    ]
    words = [word for setting in settings for word in ("--set", setting)]
    return main(["train", "--engine", "vllm", "--eval-every", "0", "--steps", "2", "--run", str(run), *words, "-q"])


def test_an_honest_run_has_a_gap_near_zero(tmp_path):
    assert train(tmp_path / "run") == 0
    assert max(line["engine/canary_gap_nats"] for line in read_metrics(tmp_path / "run" / "metrics.jsonl")) < 1e-5


def loading(monkeypatch, *arguments):
    call = VLLMEngine._call

    def with_a_fault(self, method, *rest, **more):
        return call(self, method, *(arguments if method == "load" else rest), **more)

    monkeypatch.setattr(VLLMEngine, "_call", with_a_fault)


def leaves_out(monkeypatch):
    loading(monkeypatch, [LEFT_OUT])


def stale_cache(monkeypatch):
    loading(monkeypatch, [], True)


def one_behind(monkeypatch):
    load, kept = VLLMEngine._load_whole, []

    def load_the_one_before(self, weights):
        kept.append(weights.copied())
        load(self, kept[-2] if len(kept) > 1 else weights)

    monkeypatch.setattr(VLLMEngine, "_load_whole", load_the_one_before)


CASES = [(leaves_out, "canary tokens"), (one_behind, "not those of the trainer"), (stale_cache, "canary tokens")]


@pytest.mark.parametrize(("fault", "said"), CASES)
def test_every_fault_ends_a_run(tmp_path, monkeypatch, capfd, fault, said):
    fault(monkeypatch)
    assert train(tmp_path / "run") == 1
    error = capfd.readouterr().err
    assert "fix the engine, then continue the run" in error
    assert said in error
