"""The benchmarks of training: what they construct is what they say, and they run."""

import doctest
import importlib
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))
import metering
import scaling
import synthetic
import train_step
import train_step_kgym
import train_step_trl

FOLDER = Path(__file__).parent.parent / "benchmarks"


def random_model(folder, end):
    from transformers import AutoModelForCausalLM

    shape = synthetic.Shape(hidden=64, layers=2, heads=2, kv_heads=1, ff=96)
    return AutoModelForCausalLM.from_pretrained(synthetic.write_model(folder / "model", shape, end=end))


def chance_of_the_end(model):
    torch.manual_seed(0)
    with torch.no_grad():
        return model(torch.randint(0, 102, (8, 200))).logits.softmax(-1)[..., 2]


@pytest.mark.parametrize("end", [1 / 200, 1 / 16])
def test_the_end_token_has_the_same_chance_after_every_token(tmp_path, end):
    found = chance_of_the_end(random_model(tmp_path, end))
    assert found.mean().item() == pytest.approx(end, rel=0.03)
    assert found.std().item() < 0.1 * end


def test_no_completion_ends_where_the_chance_is_0(tmp_path):
    assert chance_of_the_end(random_model(tmp_path, 0.0)).max() == 0.0


def test_operations_are_counted_once_for_each_distinct_token():
    shape = synthetic.Shape(hidden=4, layers=1, heads=1, kv_heads=1, ff=8, vocab=10)
    alone = shape.forward_flops([3], [2], group_size=1)
    linear, head = 2 * 5 * (4 * 4 * 4 + 3 * 4 * 8), 2 * 2 * 10 * 4
    assert alone == linear + head + 4 * 4 * (3 * 4 / 2 + 2 * 3 + 2 * 3 / 2)
    twice = shape.forward_flops([3, 3], [2, 2], group_size=2)
    prompt = shape.forward_flops([3], [0], group_size=1)
    assert twice == 2 * alone - prompt


def test_a_batch_has_one_prompt_for_a_group():
    batch = synthetic.make_batch([4, 4, 2, 2], [1, 2, 3, 1], 2)
    first, second, third, fourth = (batch.input_ids[batch.episode_ids == number].tolist() for number in range(4))
    assert first[:4] == second[:4]
    assert third[:2] == fourth[:2]
    assert third[:2] != first[:2]
    assert batch.mask.sum() == 7
    assert batch.group_ids.tolist() == [0, 0, 1, 1]


def test_weights_are_counted_as_the_models_have_them():
    for name, shape in synthetic.SHAPES.items():
        wanted = {"nano": 1.0, "1M": 1.0, "5M": 5.5, "25M": 27.2}[name]
        assert shape.weights / 1e6 == pytest.approx(wanted, rel=0.02)


def test_the_rewards_of_the_two_sides_agree():
    assert train_step_trl.boxed(r"so \boxed{12}", "12") == 1.0
    assert train_step_trl.boxed(r"so \boxed{12} or \boxed{13}", "12") == 0.0
    assert train_step_trl.boxed(r"so \boxed{012}", "12") == 1.0
    assert train_step_trl.boxed("so 12", "12") == 0.0
    assert metering.odd("b") == 0.0
    assert metering.odd("a") == 1.0


def test_an_inner_phase_gets_its_time():
    meter = metering.Meter()
    with meter.phase("outer"):
        with meter.phase("inner"):
            sum(range(3_000_000))
        sum(range(3_000))
    phases = meter.take()["phases"]
    assert phases["inner"] > 3 * phases["outer"]
    assert meter.take()["phases"] == {}


def test_memory_of_a_peak_is_seen():
    meter = metering.Meter()
    torch.ones(50_000_000).sum()
    assert meter.take()["peak_gib"] == pytest.approx(50e6 * 4 / 2**30, rel=0.2)


@pytest.mark.parametrize("module", [synthetic, scaling, train_step_kgym])
def test_examples_are_true(module):
    assert doctest.testmod(module).failed == 0


@pytest.mark.slow
def test_a_step_is_measured(tmp_path):
    arguments = ["--quick", "--only", "c", "--threads", "1", "--steps", "4", "--minutes", "0", "--out", str(tmp_path)]
    assert train_step.main(arguments) == 0
    (case,) = json.loads((tmp_path / "train_step.json").read_text())["cases"]
    assert case["case"]["steps"] == 2  # no time for more
    kgym = case["kgym"]
    assert 0 < kgym["tokens"] <= 4 * 32
    assert kgym["cpu_s"] >= kgym["phases"]["generate"] > 0
    assert kgym["phases"]["forward and backward"] > 0
    assert kgym["phases"]["optimizer"] > 0
    assert all(math.isfinite(share) and share > 0 for share in kgym["shares"].values() if share is not None)
    assert "| c 1M | 2 x 2 | 1 |" in (tmp_path / "train_step.md").read_text()


def test_a_side_that_dies_says_why(monkeypatch, tmp_path):
    monkeypatch.setattr(train_step, "HERE", tmp_path)
    (tmp_path / "train_step_kgym.py").write_text("raise SystemExit('no such thing')")
    side = train_step.Side("kgym", sys.executable, 1)
    with pytest.raises(SystemExit, match="no such thing"):
        side.hello()


def test_slopes_are_exponents():
    points = {size: {"cpu_s": 3.0 * size**2, "peak_gib": 5.0 * size} for size in (1, 2, 4, 8)}
    assert scaling.slopes(points) == {"cpu_s": {"last": 2.0, "all": 2.0}, "peak_gib": {"last": 1.0, "all": 1.0}}


@pytest.mark.slow
def test_costs_are_measured_as_they_grow(tmp_path):
    assert scaling.main(["--quick", "--threads", "1", "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "scaling.json").read_text())
    assert {kind: list(found[kind]) for kind in ("training", "step")} == {
        kind: ["sequence length", "group size", "prompts"] for kind in ("training", "step")
    }
    assert all(len(points) == 2 for kind in ("training", "step") for points in found[kind].values())
    assert (tmp_path / "scaling.png").stat().st_size > 10_000


@pytest.mark.slow
def test_the_training_part_is_measured_as_it_grows(tmp_path):
    args = scaling.parse(["--quick", "--threads", "1"])
    model = str(synthetic.write_model(tmp_path / "model", scaling.SHAPE))
    points = list(scaling.training_points([scaling.Line("prompts", (2, 64), ())], model, args))
    assert [(name, size, figures["tokens"]) for name, size, figures in points] == [
        ("prompts", 2, 768),
        ("prompts", 64, 24_576),
    ]
    assert points[1][2]["cpu_s"] > points[0][2]["cpu_s"] > 0
    assert points[1][2]["peak_gib"] > points[0][2]["peak_gib"]


def run_gpu(out, *arguments):
    script = FOLDER / "gpu" / "run.py"
    return subprocess.run(
        [sys.executable, str(script), "--out", str(out), *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_nothing_is_measured(tmp_path):
    done = run_gpu(tmp_path)
    assert done.returncode == 2
    assert "--cpu-smoke" in done.stderr
    assert not (tmp_path / "gpu.json").exists()


@pytest.mark.slow
def test_what_there_is_no_time_for_is_left_out(tmp_path):
    done = run_gpu(tmp_path, "--cpu-smoke", "--only", "passes", "--minutes", "0.01")
    assert done.returncode == 0
    assert {entry["left_out"] for entry in json.loads((tmp_path / "gpu.json").read_text())["passes"]} == {
        "no time left"
    }


@pytest.mark.slow
def test_all_that_a_gpu_would_be_asked_runs_on_a_cpu(tmp_path):
    done = run_gpu(tmp_path, "--cpu-smoke", "--minutes", "60")
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert done.returncode == 0, done.stdout + done.stderr
    assert found["train"]["status"] == found["tests"]["status"] == found["recipe"]["status"] == 0
    assert len(found["recipe"]["steps"]) == 2
    assert all("time/forward_backward_s" in line for part in ("train", "recipe") for line in found[part]["steps"])
    sides = [(entry["kind"], entry["side"]) for entry in found["generate"] if entry["tokens_per_s"] > 0]
    assert len(sides) == len(set(sides)) == 6
    assert [line["step"] for line in found["train"]["steps"]] == [1, 2]
    assert "passed" in found["tests"]["last_line"]
    assert [entry.get("left_out") for entry in found["passes"]] == [None] * 15
    assert all(entry["tokens_per_s"] > 0 for entry in found["passes"])


def test_the_sampler_of_the_benchmark_goes_on():
    importlib.reload(train_step_kgym)
    sampler = train_step_kgym.InOrder(train_step_kgym.Nothing(), None, 0)
    assert sampler.next(2, 1) == [0, 1]
    other = train_step_kgym.InOrder(train_step_kgym.Nothing(), None, 0)
    other.load_state_dict(sampler.state_dict())
    assert other.next(2, 2) == [2, 3]
