"""Weights and figures of the mismatch between engine and trainer against plain loops, and runs that end by it."""

import json
import math
import random
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import kgym
from kgym.algorithms.batch import split
from kgym.algorithms.mismatch import gap_metrics, mismatch_metrics, mismatch_weights
from kgym.algorithms.old_tokens import corrected
from kgym.cli.main import main
from kgym.errors import ConfigError, RunError
from kgym.keys import load_config
from kgym.registry import configure
from kgym.runs.metrics import read_metrics
from kgym.testing.algorithms import random_batch
from kgym.train.rl.guards import check_engine_gap

LEVELS = ("token", "geometric", "sequence")


def plain_weights(batch, rule, level, bounds, below):
    """The weights one completion and one token at a time, None for tokens that are not trained on."""
    cap, floor = bounds
    gaps = (batch.old_logprobs - batch.engine_logprobs).tolist()
    episodes, mask = batch.episode_ids.tolist(), batch.mask.tolist()
    found = []
    for place, gap in enumerate(gaps):
        if not mask[place]:
            found.append(None)
            continue
        answer = [gaps[other] for other in range(len(gaps)) if mask[other] and episodes[other] == episodes[place]]
        weight = math.exp({"token": gap, "geometric": sum(answer) / len(answer), "sequence": sum(answer)}[level])
        if weight > cap:
            weight = cap if rule == "truncate" else 0.0
        elif weight < floor:
            weight = floor if (below or rule) == "truncate" else 0.0
        found.append(weight)
    return found


@given(
    seed=st.integers(0, 10**6),
    rule=st.sampled_from(["truncate", "mask"]),
    level=st.sampled_from(LEVELS),
    bounds=st.tuples(st.floats(0.8, 3.0), st.sampled_from([0.0, 0.5, 0.7])),
    below=st.sampled_from([None, "truncate", "mask"]),
)
def test_weights_are_those_of_a_plain_loop(seed, rule, level, bounds, below):
    cap, floor = bounds
    batch, _ = random_batch(seed)
    weights_T = mismatch_weights(batch, rule, level, cap, floor=floor, below=below)
    expected = plain_weights(batch, rule, level, bounds, below)
    assert weights_T[batch.mask].tolist() == pytest.approx(
        [weight for weight in expected if weight is not None], rel=1e-12
    )
    parts = [
        mismatch_metrics(part, mismatch_weights(part, rule, level, cap, floor=floor, below=below), cap, floor)
        for part in split(batch, 9)
    ]
    trained = [weight for weight in expected if weight is not None]
    beyond = [weight for weight in trained if weight == 0.0 or weight >= cap or weight <= floor]
    assert {key: sum(part[key] for part in parts) for key in parts[0]} == pytest.approx(
        {
            "mismatch/weight_mean": sum(trained) / len(trained),
            "mismatch/capped_frac": len(beyond) / len(trained),
            "mismatch/masked_frac": trained.count(0.0) / len(trained),
        },
        abs=1e-12,
    )


def test_weights_by_hand():
    # old - engine = (1, 0) and (-0.5): token e, 1 and e^-0.5; geometric e^0.5 for both tokens of the first; sequence e
    rows = {"rewards": [1.0, 0.0], "group_ids": [0, 0], "engine_logprobs": [[-2.2, -0.6], [0.1]]}

    def first_gradient(**options):
        logprobs = [torch.tensor(row, dtype=torch.float64, requires_grad=True) for row in ([-1.2, -0.6], [-0.4])]
        algorithm = kgym.make_algorithm("reinforce", aggregation="seq_mean_token_sum", **options)
        algorithm.loss_on(logprobs, [[-1.2, -0.6], [-0.4]], **rows).loss.backward()
        return [value / 0.25 for row in logprobs for value in row.grad.abs().tolist()]  # |advantage| 0.5, 2 completions

    low = math.exp(-0.5)
    assert first_gradient() == pytest.approx([2, 1, low])
    assert first_gradient(mismatch_level="geometric") == pytest.approx([math.exp(0.5), math.exp(0.5), low])
    assert first_gradient(mismatch_floor=0.7) == pytest.approx([2, 1, 0.7])
    assert first_gradient(mismatch_floor=0.7, mismatch_below="mask") == pytest.approx([2, 1, 0])
    assert first_gradient(mismatch="mask", mismatch_cap=5, mismatch_floor=0.5) == pytest.approx(
        [math.e, 1, low]
    )  # IcePop
    assert first_gradient(mismatch="mask", mismatch_level="geometric", mismatch_cap=1.01, mismatch_floor=0.99) == [
        0,
        0,
        0,
    ]
    assert first_gradient(mismatch="mask", mismatch_floor=0.7, mismatch_below="truncate") == pytest.approx([0, 1, 0.7])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mismatch_floor": 2.0}, r"mismatch_floor=2.0 is not less than mismatch_cap=2.0; lower it"),
        ({"mismatch_below": "mask"}, r"mismatch_below=mask needs a bound; set mismatch_floor above 0, or leave it out"),
        ({"mismatch_level": "episode"}, r"mismatch_level=.*'token', 'geometric' or 'sequence'"),
        ({"mismatch_cap": math.inf}, r"mismatch_cap=inf"),
    ],
)
def test_bounds_that_cannot_be_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        kgym.make_algorithm("grpo", **options)


# --- figures
# ------------------------------------------------------------------------------------------------------------


def plain_figures(gaps):
    weights = [math.exp(gap) for gap in gaps]
    sizes = sorted(map(abs, gaps))
    return {
        "kl_nats": sum(weight - gap - 1 for weight, gap in zip(weights, gaps, strict=True)) / len(gaps),
        "gap_nats": sum(sizes) / len(sizes),
        "gap_max_nats": sizes[-1],
        "gap_p999_nats": sizes[math.ceil(0.999 * len(sizes)) - 1],
        "ess_frac": sum(weights) ** 2 / sum(weight**2 for weight in weights) / len(weights),
    }


@given(seed=st.integers(0, 10**6))
def test_figures_are_those_of_a_plain_loop_and_by_age(seed):
    batch, _ = random_batch(seed)
    gaps = [
        (2 - version, gap)
        for gap, version, trained in zip(
            (batch.old_logprobs - batch.engine_logprobs).tolist(),
            batch.versions.tolist(),
            batch.mask.tolist(),
            strict=True,
        )
        if trained
    ]
    expected = {f"mismatch/{key}": value for key, value in plain_figures([gap for _, gap in gaps]).items()}
    ages = {age for age, _ in gaps}
    for age in ages if ages != {0} else ():
        own = [gap for of, gap in gaps if of == age]
        expected |= {f"mismatch/age_{age}/{key}": value for key, value in plain_figures(own).items()}
        expected[f"mismatch/age_{age}/capped_frac"] = sum(math.exp(gap) >= 2 for gap in own) / len(own)
    for key, own in (
        ("policy/engine_gap_nats", [abs(gap) for age, gap in gaps if age == 0]),
        ("old_tokens/gap_nats", [abs(gap) for age, gap in gaps if age]),
    ):
        expected |= {key: sum(own) / len(own)} if own else {}
    assert gap_metrics(batch, 2) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_the_999th_of_a_thousand_gaps_is_the_last_but_one():
    batch, _ = random_batch(0)
    n = 1000
    gaps = list(range(1, n + 1))
    random.Random(0).shuffle(gaps)
    engine_T = torch.tensor(gaps, dtype=torch.float64) / n
    ones = torch.ones(n, dtype=torch.int64)
    long = replace(
        batch,
        **dict.fromkeys(("ref_logprobs", "old_values", "versions")),
        input_ids=ones,
        episode_ids=torch.zeros_like(ones),
        mask=ones.bool(),
        old_logprobs=torch.zeros_like(engine_T),
        engine_logprobs=engine_T,
    )
    figures = gap_metrics(long, 0)
    assert (figures["mismatch/gap_p999_nats"], figures["mismatch/gap_max_nats"]) == (0.999, 1.0)


def test_a_batch_without_reported_logprobs_has_no_figures():
    batch, _ = random_batch(0)
    batch = replace(batch, engine_logprobs=None)
    assert gap_metrics(batch, 2) == {}
    assert mismatch_metrics(batch, torch.ones_like(batch.old_logprobs), 2.0) == {}


def test_a_gap_beyond_float32_gives_finite_figures():
    batch, _ = random_batch(1)
    figures = gap_metrics(replace(batch, engine_logprobs=batch.old_logprobs - 1e4), 5)
    assert all(math.isfinite(value) for value in figures.values())
    assert figures["mismatch/gap_max_nats"] == pytest.approx(1e4)


def test_the_share_that_is_cut_by_age_is_that_of_the_correction():
    batch, _ = random_batch(3)
    batch = replace(batch, versions=torch.where(batch.versions >= 0, 1, -1), engine_logprobs=3 * batch.engine_logprobs)
    assert batch.mask.any()
    cut = (corrected(batch, 2).correction[batch.mask] >= 2).double().mean().item()
    assert 0 < cut < 1
    assert gap_metrics(batch, 2)["mismatch/age_1/capped_frac"] == pytest.approx(cut)


# --- runs
# ---------------------------------------------------------------------------------------------------------------

SMALL = (
    "rollout.problems_per_step=2",
    "rollout.group_size=4",
    "env.max_tokens=8",
    "env.truncated=score",
    "train.threads=1",
)


@pytest.fixture(autouse=True)
def _plugins():
    configure(["mismatched", "fixed_verdicts"])
    yield
    configure([])


def train(tiny_model, run, *settings, engine="transformers", steps=3):
    plugins = ("-p", "mismatched", "-p", "fixed_verdicts")
    words = (
        "--model",
        str(tiny_model),
        "--engine",
        engine,
        "--run",
        str(run),
        "--steps",
        str(steps),
        "--eval-every",
        "0",
        "-q",
    )
    return main(["train", *plugins, "--env", "arithmetic", *words, "--set", *SMALL, "verifier=even-length", *settings])


def test_a_run_gives_the_figures_and_those_by_age_only_with_older_tokens(tiny_model, tmp_path):
    assert train(tiny_model, tmp_path / "sync") == 0
    for line in read_metrics(tmp_path / "sync" / "metrics.jsonl"):
        assert line["mismatch/gap_nats"] == pytest.approx(line["policy/engine_gap_nats"], rel=1e-5)
        assert 0 <= line["mismatch/kl_nats"] < 1e-6
        assert line["mismatch/gap_nats"] <= line["mismatch/gap_p999_nats"] <= line["mismatch/gap_max_nats"] < 1e-3
        assert line["mismatch/ess_frac"] == pytest.approx(1.0, abs=1e-5)
        assert line["mismatch/masked_frac"] == 0.0
        assert not [key for key in line if "/age_1" in key or "age_0" in key]
    carried = [
        "rollout.problems_per_step=3",
        "rollout.group_size=4",
        "rollout.schedule=partial",
        "rollout.oversample=2.4",
    ]
    carried += ["rollout.step_tokens=500", "rollout.old_tokens=correct", "train.threads=1", "train.lr=1e-3"]
    partial = tmp_path / "partial"
    assert main(["train", "--run", str(partial), "--steps", "5", "--eval-every", "0", "-q", "--set", *carried]) == 0
    older = [line for line in read_metrics(partial / "metrics.jsonl") if "old_tokens/gap_nats" in line]
    assert older
    for line in older:
        ages = {key.split("/")[1] for key in line if key.startswith("mismatch/age_")}
        assert ages - {"age_0"}
        for age in ages:
            assert 0 < line[f"mismatch/{age}/ess_frac"] <= 1 + 1e-9
        if "age_0" in ages:
            assert line["mismatch/age_0/gap_nats"] < 1e-3 < max(line[f"mismatch/{age}/gap_nats"] for age in ages)


def test_a_run_ends_when_the_engine_samples_at_another_temperature(tiny_model, tmp_path, capsys):
    run = tmp_path / "run"
    assert (
        train(tiny_model, run, "rollout.max_engine_gap_nats=0.01", "rollout.max_canary_gap_nats=100", engine="hot") == 1
    )
    error = capsys.readouterr().err
    assert "step 1: the log-probabilities of engine=hot and of the trainer differ by" in error
    assert "more than rollout.max_engine_gap_nats=0.01" in error
    assert "another temperature" in error
    assert str(run / "episodes") in error
    assert len(list((run / "episodes").iterdir())) == 1
    assert not list((run / "checkpoints").glob("step-*"))


def test_a_run_ends_when_the_engine_keeps_stale_weights_and_resumes_with_another(tiny_model, tmp_path, capsys):
    run = tmp_path / "run"
    settings = (
        "rollout.max_engine_gap_nats=0.003",
        "rollout.max_canary_gap_nats=100",
        "train.lr=0.05",
        "train.save_every=1",
    )
    assert train(tiny_model, run, *settings, engine="stale", steps=6) == 1
    error = capsys.readouterr().err
    assert "stale weights" in error
    stopped = int(error.split("step ")[1].split(":")[0])
    assert stopped > 1  # its first weights are those of the policy
    assert [line["step"] for line in read_metrics(run / "metrics.jsonl")][-1] == stopped - 1
    assert train(tiny_model, tmp_path / "other", *settings, steps=3) == 0  # an engine that takes its weights


def test_tokens_of_older_weights_do_not_end_a_run(tmp_path):
    config = load_config(None, ["rollout.max_engine_gap_nats=0.1"])
    figures = {"old_tokens/gap_nats": 3.0, "mismatch/gap_nats": 3.0, "mismatch/gap_max_nats": 9.0}
    check_engine_gap(config, figures | {"policy/engine_gap_nats": 0.1}, step=1, episodes=tmp_path)
    check_engine_gap(config, figures, step=1, episodes=tmp_path)
    with pytest.raises(
        RunError,
        match=r"differ by 0\.11 nats a token on average \(at most 9\), more than rollout.max_engine_gap_nats=0.1",
    ):
        check_engine_gap(config, figures | {"policy/engine_gap_nats": 0.11}, step=1, episodes=tmp_path)


@pytest.mark.parametrize("setting", ["rollout.top_p=0.9", "rollout.top_k=20"])
def test_training_from_a_part_of_the_distribution_is_refused(tiny_model, tmp_path, capsys, setting):
    assert train(tiny_model, tmp_path / "run", setting) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith(f"kgym: error: {setting}: the engine would sample from a part of the distribution")
    assert error.count("\n") == 0
    assert not (tmp_path / "run").exists()


def test_a_manifest_with_both_off_resumes_and_one_that_cut_is_refused(tiny_model, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(tiny_model, run, steps=1) == 0
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["config"]["rollout"] |= {"top_p": 1.0, "top_k": 0}
    del manifest["config"]["rollout"]["max_engine_gap_nats"]
    (run / "manifest.json").write_text(json.dumps(manifest))
    again = ["train", "-p", "mismatched", "-p", "fixed_verdicts", "--run", str(run), "--resume", "--steps", "2", "-q"]
    assert main(again) == 0
    manifest["config"]["rollout"]["top_p"] = 0.5
    (run / "manifest.json").write_text(json.dumps(manifest))
    assert main(again) == 2
    assert "rollout.top_p=0.5" in capsys.readouterr().err
