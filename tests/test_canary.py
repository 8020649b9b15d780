"""The canary and its guards: an engine that does not have the weights that it was given ends the run, however it
hides it.
"""

from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from faulty_engines import FAULTS, FORMS, LEFT_OUT
from kgym.cli.main import main
from kgym.errors import RunError
from kgym.models.checksums import checksum
from kgym.models.weights import OtherWeights, TensorWeights, WatchedWeights
from kgym.registry import configure
from kgym.rollout.canary import FEW, LENGTH, PLACES, Canary, gap_of
from kgym.rollout.engine import adapted
from kgym.rollout.handover import DRILL, Expected, Handover, bound_for, types_of
from kgym.rollout.worker import ProcessEngine
from kgym.runs.metrics import read_metrics
from kgym.testing.engines import check_engine
from kgym.testing.report import ConformanceError
from kgym.train.policy import TrainedPolicy
from kgym.train_config import TrainConfig
from kgym.types import Message, Replicated, Segment, ShowsWeights
from kgym_plugins.engines.transformers import TransformersEngine, TransformersOptions

PROMPTS = [(Message("user", f"What is {number}+{number + 3}?"),) for number in range(8)]
SMALL = (
    "rollout.problems_per_step=2",
    "rollout.group_size=4",
    "env.max_tokens=8",
    "env.truncated=score",
    "train.threads=1",
)


@pytest.fixture(autouse=True)
def _plugins():
    configure(["faulty_engines", "fixed_verdicts"])
    yield
    configure([])


def train(model, run, *settings, engine="transformers", steps=3):
    plugins = ("-p", "faulty_engines", "-p", "fixed_verdicts")
    words = (
        "--model",
        str(model),
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
    settings = ("verifier=even-length", "train.lr=1e-6", *settings)
    return main(["train", *plugins, "--env", "arithmetic", *words, "--set", *SMALL, *settings])


def gaps(run):
    return [line["engine/canary_gap_nats"] for line in read_metrics(run / "metrics.jsonl")]


# --- checksums --------------------------------------------------------------------------------------------------------

TYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.int64]


@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 40), st.sampled_from(TYPES))
def test_a_checksum_is_that_of_the_parts_in_any_order_and_layout(seed, n, m, dtype):
    generator = torch.Generator().manual_seed(seed)
    a, b = ((100 * torch.randn((rows, 6), generator=generator)).to(dtype) for rows in (n, m))
    both = torch.cat([b, a])
    padded = torch.cat([both, torch.zeros((3, 6), dtype=dtype)])
    assert checksum(both) == (checksum(a) + checksum(b)) % 2**64 == checksum(padded) == checksum(both.T)


@given(st.integers(0, 2**31), st.integers(0, 999), st.integers(0, 31))
def test_one_changed_bit_changes_the_checksum(seed, place, bit):
    tensor = torch.randn(1000, generator=torch.Generator().manual_seed(seed))
    before = checksum(tensor)
    tensor.view(torch.int32)[place] ^= (1 << bit) - (1 << 32) * (bit == 31)
    assert checksum(tensor) != before


def test_a_checksum_is_the_same_over_several_chunks(monkeypatch):
    tensor = torch.randn(1000)
    whole = checksum(tensor)
    monkeypatch.setattr("kgym.models.checksums.CHUNK", 7)
    assert checksum(tensor) == whole


# --- weights ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [0, 2])
def test_the_trainer_computes_with_the_other_weights_that_the_engine_gets_and_has_its_own_again(tiny_model, rank):
    policy = TrainedPolicy.load(str(tiny_model), TrainConfig(device="cpu", lora={"rank": rank}))
    before = {name: tensor.clone() for name, tensor in policy.bare.model.state_dict().items()}
    engine = engine_of(tiny_model)
    canary = Canary.of(engine, PROMPTS, 1.0)
    weights = policy.weights(adapters=False)
    assert all(not torch.equal(tensor, dict(weights.named())[name]) for name, tensor in OtherWeights(weights).named())
    own = expected_of(policy, canary, {})
    with policy.others(adapter=False):
        others = expected_of(policy, canary, types_of(engine))
    assert (own.logprobs - others.logprobs).abs().mean() > 0.1
    assert Handover(DRILL, OtherWeights(weights), others).to(engine) < 1e-5
    after = policy.bare.model.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_another_adapter_differs_though_it_begins_with_zeros(tiny_model):
    policy = TrainedPolicy.load(str(tiny_model), TrainConfig(device="cpu", lora={"rank": 2}))
    alone = policy.weights(adapters=True)
    expected = dict(OtherWeights(alone).named())
    before = dict(policy.bare.model.state_dict())
    with policy.others(adapter=True):
        found = {name: tensor.clone() for name, tensor in alone.named()}
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.items())
    assert all(
        torch.equal(tensor, expected[name] - 0.02) or name.endswith("A.weight") for name, tensor in alone.named()
    )
    assert all(torch.equal(tensor, policy.bare.model.state_dict()[name]) for name, tensor in before.items())


def test_watched_weights_are_summed_in_the_type_of_the_engine():
    tensor = torch.randn(50)
    watched = WatchedWeights(TensorWeights({"a": tensor, "b": tensor}), {"a": "bfloat16"})
    assert [name for name, _ in watched.named()] == ["a", "b"]
    assert watched.checksums == {"a": checksum(tensor.bfloat16())}


# --- the canary -------------------------------------------------------------------------------------------------------


def engine_of(model, **options):
    return TransformersEngine(TransformersOptions(**options), model)


def expected_of(policy, canary, types, bound=1e-4):
    logprobs = policy.distributions(
        [text.ids for text in canary.texts], [text.places for text in canary.texts], temperature=canary.temperature
    )
    return Expected(canary, logprobs, types, bound)


@pytest.fixture(scope="module")
def policy(tiny_model):
    return TrainedPolicy.load(str(tiny_model), TrainConfig(device="cpu"))


def test_a_text_begins_with_a_prompt_and_is_longer_than_a_block_of_a_cache(tiny_model):
    engine = engine_of(tiny_model)
    canary = Canary.of(engine, PROMPTS, 1.0)
    (text,) = canary.texts
    assert text.ids[: len(text.prompt_ids)] == tuple(engine.encoder.prompt(text.prompt))
    assert len(text.ids) >= LENGTH > 128 < text.places[-1] < len(text.ids)
    assert (len(set(text.places)), text.places[0]) == (PLACES, len(text.prompt_ids))
    assert [len(set(text.places)) for text in canary.brief().texts] == [FEW]
    assert [segment.token_ids for segment in canary.ask(engine)] == [
        segment.token_ids for segment in canary.ask(engine)
    ]


def test_a_text_for_each_replica(tiny_model):
    engine = engine_of(tiny_model)
    engine.replicas = 3
    assert isinstance(engine, Replicated)
    assert len({text.prompt for text in Canary.of(engine, PROMPTS, 1.0).texts}) == 3


def test_a_context_without_room_leaves_out_places_and_then_all(tiny_model, policy):
    engine = engine_of(tiny_model)
    canary = Canary.of(engine, PROMPTS, 1.0)
    engine.context_length = canary.texts[0].places[5] + 1
    expected = expected_of(policy, canary, {})
    assert gap_of(canary.ask(engine), expected.logprobs).n_tokens == 6
    engine.context_length = 3
    assert gap_of(canary.ask(engine), expected.logprobs) is None
    assert Canary.of(engine, PROMPTS, 1.0).texts == ()


def test_the_gap_by_hand():
    segments = [
        Segment("a", token_ids=[1], engine_logprobs=[-1.5]),
        Segment("", finish_reason="length"),
        Segment("b", token_ids=[0], engine_logprobs=[-0.5]),
    ]
    gap = gap_of(segments, torch.tensor([[-9.0, -1.0], [0.0, 0.0], [-0.7, -9.0]]))
    assert (gap.n_tokens, gap.engine) == (2, -1.0)
    assert gap.trainer == pytest.approx(-0.85)
    assert gap.nats == pytest.approx((0.5 + 0.2) / 2)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_the_trainer_computes_what_the_engine_does(tiny_model, temperature, layout):
    policy = TrainedPolicy.load(str(tiny_model), TrainConfig(device="cpu", layout=layout))
    engine = engine_of(tiny_model)
    canary = Canary.of(engine, PROMPTS, temperature)
    assert Handover(0, policy.weights(adapters=False), expected_of(policy, canary, {}, 1e-5)).to(engine) < 1e-5


def test_bounds_follow_the_types():
    cpu, gpu, f32 = torch.device("cpu"), torch.device("cuda"), torch.float32
    exact = {"a": "float32", "mask": "int64"}
    assert bound_for(exact, f32, cpu, long=False) == bound_for(exact, f32, cpu, long=True) == 1e-4
    assert bound_for(exact, f32, gpu, long=False) == 0.01
    for types, trainer in (
        ({"a": "bfloat16"}, f32),
        (exact, torch.bfloat16),
        ({}, f32),
        (exact | {"b": "float16"}, f32),
    ):
        assert (bound_for(types, trainer, cpu, long=False), bound_for(types, trainer, cpu, long=True)) == (0.3, 0.1)


# --- handing over -----------------------------------------------------------------------------------------------------


def test_one_bit_is_named_where_an_engine_reads_its_weights_back(tiny_model, policy):
    engine = engine_of(tiny_model)
    canary = Canary.of(engine, PROMPTS, 1.0)
    weights = policy.weights(adapters=False)
    types = types_of(engine)
    load = engine.load

    def off_by_a_bit(version, weights):
        load(version, weights)
        engine.model.state_dict()[LEFT_OUT].view(torch.int32)[0, 0] ^= 1

    handover = Handover(3, weights, expected_of(policy, canary, types))
    assert handover.to(engine) < 1e-5
    engine.load = off_by_a_bit
    with pytest.raises(
        RunError,
        match=rf"after the load of version 3, 1 of \d+ tensors are not those of the trainer: {LEFT_OUT} \(the first",
    ):
        handover.to(engine)


def test_an_engine_that_says_another_version_is_refused(tiny_model, policy):
    engine = engine_of(tiny_model)
    engine.load = lambda version, weights: None
    expected = expected_of(policy, Canary.of(engine, PROMPTS, 1.0), {})
    with pytest.raises(RunError, match="after the load of version 4 it reports version 0"):
        Handover(4, policy.weights(adapters=False), expected).to(engine)


@pytest.mark.slow
def test_a_worker_and_an_adapter_read_back_what_their_engine_does(tiny_model):
    shown, bare = ("leaves_out_shown", "leaves_out_bare")
    plain = engine_of(tiny_model).held()
    worker = ProcessEngine(shown, {}, str(tiny_model))
    assert isinstance(worker, ShowsWeights)
    assert worker.held() == plain
    worker.close()
    other = ProcessEngine(bare, {}, str(tiny_model))
    assert not isinstance(other, ShowsWeights)
    assert not isinstance(other, Replicated)
    other.close()

    class Blocking:
        version, replicas = 0, 2
        generate = load = sleep = wake = held = lambda self, *arguments: plain

    adapter = adapted(Blocking())
    assert adapter.held() == plain
    assert adapter.replicas == 2


# --- runs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["sync", "partial", pytest.param("ahead", marks=pytest.mark.slow)])
def test_an_honest_run_has_a_gap_near_zero(tiny_model, tmp_path, schedule):
    assert train(tiny_model, tmp_path / "run", f"rollout.schedule={schedule}") == 0
    found = gaps(tmp_path / "run")
    assert len(found) == 3
    assert 0 <= max(found) < 1e-5


@pytest.mark.parametrize("settings", [["engine.dtype=bfloat16"], ["train.dtype=bfloat16", "engine.dtype=bfloat16"]])
def test_an_honest_run_in_bfloat16_is_not_ended(tiny_model, tmp_path, settings):
    assert train(tiny_model, tmp_path / "run", *settings, "train.lr=1e-3", steps=5) == 0
    assert 1e-6 < max(gaps(tmp_path / "run")) < 0.1


def test_a_lower_bound_ends_it(tiny_model, tmp_path, capsys):
    assert train(tiny_model, tmp_path / "run", "rollout.max_canary_gap_nats=1e-12") == 1
    error = capsys.readouterr().err
    assert "more than rollout.max_canary_gap_nats=1e-12" in error
    assert len(error.strip().splitlines()) == 1


def check_fault(model, run, error_of, fault, form, *settings):
    assert train(model, run, *settings, engine=f"{fault}_{form}") == 1
    error = error_of().err
    assert len(error.strip().splitlines()) == 1
    assert f"engine '{fault}_{form}'" in error
    assert "other weights, with which a run begins" in error or "after the load of version 0" in error
    if form == "shown" and fault != "stale_cache":
        assert "not those of the trainer" in error
        assert LEFT_OUT in error or fault == "one_behind"
    else:
        assert "canary tokens is" in error
    assert "leaves a tensor out" in error
    assert not (run / "manifest.json").exists()  # the run has not begun


@pytest.mark.parametrize(("fault", "form"), list(product(FAULTS, FORMS)))
def test_every_fault_ends_a_run_at_a_small_learning_rate(tmp_path, capsys, fault, form):
    check_fault("nano", tmp_path / "run", capsys.readouterr, fault, form)


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "form"), list(product(FAULTS, FORMS)))
def test_every_fault_in_the_worker_ends_a_run(tmp_path, capsys, fault, form):
    check_fault("nano", tmp_path / "run", capsys.readouterr, fault, form, "rollout.schedule=ahead")


@pytest.mark.parametrize("fault", ["leaves_out", "one_behind"])
def test_a_fault_that_begins_later_ends_the_run_and_loses_nothing(tiny_model, tmp_path, capsys, fault):
    """Of one update at a learning rate of 1e-6."""
    run = tmp_path / "run"
    assert train(tiny_model, run, "train.save_every=1", engine=f"later_{fault}", steps=6) == 1
    error = capsys.readouterr().err
    assert "tensors are not those of the trainer" in error
    version = int(error.split("after the load of version ")[1].split(",")[0])
    assert version >= 2
    assert [line["step"] for line in read_metrics(run / "metrics.jsonl")] == list(range(1, version))
    assert (run / "checkpoints" / f"step-{version - 1}").is_dir()
    assert len(list((run / "episodes").iterdir())) == version


@pytest.mark.parametrize("fault", FAULTS)
def test_the_contract_check_names_every_fault(fault):
    with pytest.raises(ConformanceError, match=r"the canary: engine .* after the load of version"):
        check_engine(f"{fault}_bare")
