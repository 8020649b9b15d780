"""The learning rate of each step, and how exactly optimizers move weights."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from kgym.train.optim import SplitAdamW, halves, joined, lr_at, make_optimizer, set_lr

# --- the learning rate ------------------------------------------------------------------------------------------------


def rates(steps, **options):
    options = {"lr": 2.0, "warmup_steps": 0, "schedule": "linear", "decay_frac": 1.0} | options
    return [lr_at(step, steps=steps, **options) for step in range(1, steps + 1)]


RUNS = {"lr": st.floats(1e-7, 1.0), "warmup_steps": st.integers(0, 120), "steps": st.integers(1, 100)}


@given(**RUNS, schedule=st.sampled_from(["constant", "linear"]))
def test_a_fall_over_the_whole_run_is_a_line_from_the_end_of_the_warm_up(lr, warmup_steps, steps, schedule):
    """The schedules that `kgym train` has had from the beginning."""

    def wanted(step):
        if step < warmup_steps:
            return lr * step / warmup_steps
        if schedule == "constant" or steps <= warmup_steps:
            return lr
        return lr * (1.0 - 0.9 * (step - warmup_steps) / (steps - warmup_steps))

    found = rates(steps, lr=lr, warmup_steps=warmup_steps, schedule=schedule)
    assert found == pytest.approx([wanted(step) for step in range(1, steps + 1)], rel=1e-14)


@given(**RUNS, decay_frac=st.integers(0, 100).map(lambda percent: percent / 100))
def test_a_fall_over_the_last_steps_is_that_of_the_runs_on_examples(lr, warmup_steps, steps, decay_frac):
    """The schedule that `kgym sft` has had from the beginning, to the bit, where the warm-up ends before the fall."""
    decay_steps = steps * decay_frac
    if warmup_steps > steps - decay_steps:
        return

    def wanted(step):
        rise = min(1.0, step / warmup_steps) if warmup_steps else 1.0
        fall = min(1.0, (steps - step) / decay_steps) if decay_steps else 1.0
        return lr * rise * (0.1 + 0.9 * fall)

    assert rates(steps, lr=lr, warmup_steps=warmup_steps, decay_frac=decay_frac) == [
        wanted(step) for step in range(1, steps + 1)
    ]


@given(
    **RUNS,
    schedule=st.sampled_from(["constant", "linear", "cosine"]),
    decay_frac=st.integers(0, 100).map(lambda percent: percent / 100),
)
def test_a_learning_rate_rises_then_falls_to_a_tenth_and_is_never_above_the_peak(
    lr, warmup_steps, steps, schedule, decay_frac
):
    found = rates(steps, lr=lr, warmup_steps=warmup_steps, schedule=schedule, decay_frac=decay_frac)
    rising, falling = found[: min(warmup_steps, steps)], found[max(warmup_steps - 1, 0) :]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert max(found) <= lr * (1 + 1e-12)
    if schedule != "constant" and warmup_steps < steps and decay_frac > 0.0:
        assert found[-1] == pytest.approx(lr / 10)
    elif warmup_steps <= steps:
        assert found[-1] == lr


def test_a_cosine_falls_slowly_at_first_and_passes_the_line_in_the_middle():
    line, cosine = rates(100, decay_frac=0.4), rates(100, decay_frac=0.4, schedule="cosine")
    assert cosine[:60] == line[:60] == [2.0] * 60
    assert cosine[79] == pytest.approx(line[79]) == pytest.approx(1.1)
    assert all(above > straight for above, straight in zip(cosine[60:79], line[60:79], strict=True))
    assert all(below < straight for below, straight in zip(cosine[80:99], line[80:99], strict=True))


# --- how far weights move ---------------------------------------------------------------------------------------------


def moved(dtype, *, split=False, lr=1e-6, steps=20, scale=0.02):
    """Return how far weights move along one constant gradient, as a share of what exact sums would give, and how
    many move at all.
    """
    torch.manual_seed(0)
    layer = nn.Linear(128, 128, bias=False, dtype=dtype)
    nn.init.normal_(layer.weight, std=scale)
    before = layer.weight.detach().double().clone()
    optimizer = make_optimizer(layer, lr=lr, weight_decay=0.0, betas=(0.9, 0.95), split=split)
    for _ in range(steps):
        layer.weight.grad = torch.ones_like(layer.weight)
        optimizer.step()
    after = (optimizer.masters(layer.weight) if split else layer.weight).detach().double()
    return ((before - after).mean() / (lr * steps)).item(), (before != after).double().mean().item()


def test_float32_weights_move_as_far_as_they_should_and_bfloat16_weights_hardly():
    """At the learning rate that large models need, after 20 steps."""
    share, n_moved = moved(torch.float32)
    assert share == pytest.approx(1.0, abs=1e-3)
    assert n_moved == 1.0
    share, n_moved = moved(torch.bfloat16)
    assert share == pytest.approx(0.028, abs=0.005)
    assert n_moved < 0.03


def test_bfloat16_weights_with_their_lower_halves_move_as_far_as_they_should():
    assert moved(torch.bfloat16, split=True) == (pytest.approx(1.0, abs=1e-3), 1.0)
    # compensated sums in bfloat16 come to rest here: at a quarter of the way, and at less than half of it
    assert moved(torch.bfloat16, split=True, steps=2000, scale=1.0)[0] == pytest.approx(1.0, abs=0.02)
    assert moved(torch.bfloat16, split=True, steps=2000, lr=1e-7)[0] == pytest.approx(1.0, abs=0.02)


# --- halves of weights ------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-(2.0**127), 2.0**127, width=32), min_size=1, max_size=50))
def test_halves_are_the_nearest_bfloat16_number_and_what_is_missing(values):
    master = torch.tensor(values)
    upper, lower = halves(master)
    assert torch.equal(
        joined(upper, lower).view(torch.int32), master.view(torch.int32)
    )  # to the bit, the sign of 0 included
    distance, least = ((number.double() - master.double()).abs() for number in (upper, master.bfloat16()))
    assert torch.equal(distance, least)


def test_a_number_in_the_middle_of_two_has_halves_too():
    master = torch.tensor([0x3F808000, 0x3F818000, -0x407F8000], dtype=torch.int32).view(torch.float32)
    upper, lower = halves(master)
    assert lower.view(torch.int16).tolist() == [-(1 << 15)] * 3
    assert torch.equal(joined(upper, lower), master)


def twins(**options):
    """Two equal models, of float32 and of bfloat16 weights, with their optimizers."""
    torch.manual_seed(1)
    exact = nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.Linear(16, 4))
    with torch.no_grad():
        for parameter in exact.parameters():
            parameter.copy_(parameter.bfloat16())
    short = nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.Linear(16, 4)).bfloat16()
    short.load_state_dict(exact.state_dict())
    options = {"lr": 1e-4, "weight_decay": 0.1, "betas": (0.9, 0.95)} | options
    return exact, make_optimizer(exact, **options), short, make_optimizer(short, split=True, **options)


def step(exact, exact_optimizer, short, optimizer, seed):
    generator = torch.Generator().manual_seed(seed)
    for one, other in zip(exact.parameters(), short.parameters(), strict=True):
        one.grad = torch.randn(one.shape, generator=generator).bfloat16().float()
        other.grad = one.grad.to(other.dtype)
    set_lr(exact_optimizer, 1e-4 / (seed + 1))
    set_lr(optimizer, 1e-4 / (seed + 1))
    exact_optimizer.step()
    optimizer.step()


def test_split_weights_are_float32_weights_to_the_bit():
    exact, exact_optimizer, short, optimizer = twins()
    for seed in range(30):
        step(exact, exact_optimizer, short, optimizer, seed)
    for one, other in zip(exact.parameters(), short.parameters(), strict=True):
        assert torch.equal(optimizer.masters(other), one)
        assert torch.equal(other, halves(one.detach())[0])


def test_a_split_optimizer_that_was_saved_goes_on_to_the_bit(tmp_path):
    exact, exact_optimizer, short, optimizer = twins()
    for seed in range(5):
        step(exact, exact_optimizer, short, optimizer, seed)
    torch.save({"optimizer": optimizer.state_dict(), "weights": short.state_dict()}, tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    _, _, resumed, fresh = twins()
    resumed.load_state_dict(state["weights"])
    fresh.load_state_dict(state["optimizer"])
    assert {value.dtype for kept in fresh.state.values() for key, value in kept.items() if key != "low"} == {
        torch.float32
    }
    for seed in range(5, 10):
        step(exact, exact_optimizer, resumed, fresh, seed)
    for one, other in zip(exact.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(fresh.masters(other), one)


def test_a_loaded_state_is_not_shared_with_what_it_was_loaded_from():
    _, _, short, optimizer = twins()
    for parameter in short.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    state = optimizer.state_dict()
    _, _, _, fresh = twins()
    fresh.load_state_dict(state)
    kept = {number: values["exp_avg"].clone() for number, values in state["state"].items()}
    for parameter in fresh.param_groups[0]["params"]:
        parameter.grad = torch.ones_like(parameter)
    fresh.step()
    assert all(torch.equal(values["exp_avg"], kept[number]) for number, values in state["state"].items())


def test_a_split_optimizer_updates_float32_weights_as_adamw_does():
    """A critic on the policy's backbone has a layer in float32."""
    one, other = nn.Linear(8, 4), nn.Linear(8, 4)
    other.load_state_dict(one.state_dict())
    options = {"lr": 1e-3, "weight_decay": 0.1, "betas": (0.9, 0.95)}
    exact_optimizer, optimizer = make_optimizer(one, **options), make_optimizer(other, split=True, **options)
    for seed in range(5):
        step(one, exact_optimizer, other, optimizer, seed)
    assert torch.equal(one.weight, other.weight)
    assert torch.equal(one.bias, other.bias)


def test_masters_of_weights_that_were_never_updated_are_the_weights():
    layer = nn.Linear(4, 4).bfloat16()
    assert torch.equal(SplitAdamW(layer.parameters(), lr=1.0).masters(layer.weight), layer.weight.float())


def test_many_changes_that_a_bfloat16_weight_cannot_show_add_up_to_one_that_it_can():
    layer = nn.Linear(1, 1, bias=False).bfloat16()
    nn.init.ones_(layer.weight)
    optimizer = make_optimizer(layer, lr=math.ldexp(1.0, -16), weight_decay=0.0, betas=(0.0, 0.0), split=True)
    seen = set()
    for _ in range(1 << 9):
        layer.weight.grad = -torch.ones_like(layer.weight)
        optimizer.step()
        seen.add(layer.weight.item())
    assert seen == {1.0, 1.0 + math.ldexp(1.0, -7)}  # the next bfloat16 number after 1


def test_sharded_weights_are_split_and_gathered_as_whole_ones_are(tmp_path):
    """Two processes with half of the weights each, as on several ranks, against one with all."""
    script = Path(__file__).parent / "sharded_split.py"
    command = [sys.executable, str(script), str(tmp_path / "store")]
    processes = [
        subprocess.Popen([*command, str(rank)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for rank in (0, 1)
    ]
    for process in processes:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
        assert output.strip().endswith("equal")
