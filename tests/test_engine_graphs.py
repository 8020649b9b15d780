"""The decoder of CUDA graphs, whose steps run on a CPU too: the same completions as from slots, while rows come, go
and grow.
"""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from kgym.models.weights import ModelWeights
from kgym.rollout.engine import generate
from kgym.testing.engines import check_engine
from kgym.types import GenerateRequest, Message, Sampling
from kgym_plugins.engines import graphs
from kgym_plugins.engines.decoders import GRAPHS_ON, decoder_of
from kgym_plugins.engines.graphs import GraphDecoder, Recorder
from test_engine_contract import OF_AN_EXACT_ONE, OF_THE_MODEL
from test_engine_cut import CUTS, agrees_with, config, cut_and_counted, engine_of, in_pieces, requests, saved, whole
from test_engine_slots import LEAN, model_of


@pytest.fixture(autouse=True, scope="module")
def _on_a_cpu():
    GRAPHS_ON.add("cpu")
    yield
    GRAPHS_ON.discard("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("llama"), LlamaForCausalLM(config(LlamaConfig, tie_word_embeddings=True)))


@pytest.fixture
def small_arenas(monkeypatch):
    """Rows move at 16, 64 and 256 tokens."""
    monkeypatch.setattr(graphs, "SMALLEST", 16)


@pytest.fixture
def steps(monkeypatch):
    """Every step: size of the arena, slots, columns, whether a row has a top-k or top-p."""
    found = []
    run = Recorder.run

    def noted(self, key, step):
        arena, *rest = key
        found.append((arena.size, *rest))
        run(self, key, step)

    monkeypatch.setattr(Recorder, "run", noted)
    return found


def agree(found, expected, tolerance=1e-4):
    assert found.keys() == expected.keys()
    for name, segment in expected.items():
        assert found[name].token_ids == segment.token_ids, name
        assert found[name].finish_reason == segment.finish_reason
        assert found[name].engine_logprobs == pytest.approx(segment.engine_logprobs, abs=tolerance)


# --- the same as from slots -------------------------------------------------------------------------------------------

SAMPLINGS = [
    Sampling(),
    Sampling(temperature=0.0),
    Sampling(temperature=0.7, top_k=5),
    Sampling(temperature=1.3, top_p=0.8),
    Sampling(temperature=0.3, loop_tokens=32),
    Sampling(stop=("7",)),
]


def played(engine, arrivals):
    """Submit each batch of requests after a few polls of the one before."""
    found = {}
    for asked, polls in arrivals:
        engine.submit(asked)
        for _ in range(polls):
            found |= {segment.request_id: segment for segment in engine.poll(0.0)}
    while segments := engine.poll():
        found |= {segment.request_id: segment for segment in segments}
    return found


@given(data=st.data())
@settings(max_examples=12, deadline=None, derandomize=True)
def test_completions_are_those_from_slots_whatever_comes_when(folder, data):
    arrivals, n = [], 0
    for _ in range(data.draw(st.integers(1, 4), label="arrivals")):
        asked = []
        for _ in range(data.draw(st.integers(1, 9), label="requests")):
            prompt = (Message("user", "Find " + "x+" * data.draw(st.sampled_from([0, 1, 9, 40])) + "1."),)
            length = data.draw(st.sampled_from([1, 3, 20, 90]))
            asked.append(GenerateRequest(f"r{n}", prompt, length, data.draw(st.sampled_from(SAMPLINGS)), seed=n // 2))
            n += 1
        arrivals.append((asked, data.draw(st.sampled_from([0, 1, 7, 40]), label="polls")))
    max_batch = data.draw(st.sampled_from([3, 8, 64]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graphs, "SMALLEST", data.draw(st.sampled_from([16, 64, 512])))
        engine = engine_of(folder, max_batch=max_batch)
        assert isinstance(engine._decoder, GraphDecoder)
        found = played(engine, arrivals)
    agree(found, played(engine_of(folder, max_batch=max_batch, cuda_graphs=False), arrivals))


@pytest.mark.parametrize("name", LEAN)
def test_greedy_tokens_are_those_of_generate(tmp_path, name):
    model = model_of(*LEAN[name])
    with torch.no_grad():  # norms of 1 and biases of 0 would hide that they are left out
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
    engine = engine_of(saved(tmp_path, model))
    assert isinstance(engine._decoder, GraphDecoder)
    for segment in whole(engine, requests(6, temperature=0.0)).values():
        ids = torch.tensor([segment.prompt_ids])
        generated = engine.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=len(segment.token_ids), do_sample=False
        )
        assert segment.token_ids == tuple(generated[0, ids.shape[1] :].tolist())
        assert agrees_with(engine, segment, ())


def test_it_keeps_the_contract_of_engines():
    report = check_engine("transformers", options={"device": "cpu"})
    assert set(report.passed) >= OF_THE_MODEL | OF_AN_EXACT_ONE | {"resumed"}
    assert report.figures["gap_nats"] < 1e-4


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("max_batch", [64, 5])
def test_an_answer_in_pieces_is_the_uncut_one_to_the_bit(folder, small_arenas, max_batch, cut):
    engine = engine_of(folder, max_batch=max_batch)
    asked = requests(temperature=0.8)
    uncut = whole(engine, asked)
    for name, (ids, logprobs, reasons) in in_pieces(engine, asked, cut).items():
        assert (tuple(ids), tuple(logprobs)) == (uncut[name].token_ids, uncut[name].engine_logprobs)
        assert reasons[-1] == uncut[name].finish_reason


def test_an_answer_that_is_continued_later_is_not_read_again(folder, small_arenas):
    engine = engine_of(folder)
    asked = requests()
    uncut = whole(engine, asked)
    first, rest, widest = cut_and_counted(engine, asked)
    assert len(rest) > 10
    assert widest == 1
    for name, segment in rest.items():
        assert first[name].token_ids + segment.token_ids == uncut[name].token_ids
        assert agrees_with(engine, segment, first[name].token_ids)


# --- shapes -----------------------------------------------------------------------------------------------------------


def long_tailed(n, longest=150):
    prompt = (Message("user", "Find x."),)
    return [GenerateRequest(f"r{i}", prompt, max(2, longest // (i + 1)), Sampling(), seed=i) for i in range(n)]


def test_short_rows_do_not_pay_for_the_longest_and_shapes_are_few(folder, small_arenas, steps):
    engine = engine_of(folder)
    engine.end_ids = frozenset()
    assert len(whole(engine, long_tailed(40))) == 40
    assert {columns for size, _, columns, _ in steps if size == 64} == {64}
    assert max(columns for _, _, columns, _ in steps) == 192
    assert len(set(steps)) <= 15
    slots = [n for size, n, _, _ in steps if size == 64]
    assert (max(slots), min(slots)) == (24, 8)  # those that are left move into the gaps below
    assert not any(cut for *_, cut in steps)
    whole(engine, [replace(request, sampling=Sampling(top_k=3)) for request in long_tailed(9)])
    assert any(cut for *_, cut in steps)


def test_a_step_that_is_done_twice_has_the_result_of_one(folder, monkeypatch):
    """A recording is preceded by a step aside, and what a free slot or a hidden column has changes nothing."""
    expected = whole(engine_of(folder), requests())
    run = Recorder.run

    def twice(self, key, step):
        arena, *_ = key
        for slot, seat in enumerate(arena.seats):
            n = 0 if seat is None else len(seat.row.context) + len(seat.row.token_ids)
            for states in (states for pair in arena.layers for states in pair):
                states[slot, :, n:] = 1e3
        run(self, key, step)
        run(self, key, step)

    monkeypatch.setattr(Recorder, "run", twice)
    found = whole(engine_of(folder), requests())
    assert {name: (one.token_ids, one.engine_logprobs) for name, one in found.items()} == {
        name: (one.token_ids, one.engine_logprobs) for name, one in expected.items()
    }


# --- weights and memory -----------------------------------------------------------------------------------------------


def seats_of(engine):
    return engine._decoder._seats


def test_keys_and_values_stay_where_they_are_for_new_weights_unless_they_are_large(folder, monkeypatch):
    engine = engine_of(folder)
    other = LlamaForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.1)
    whole(engine, requests())
    addresses = [
        states.data_ptr() for arena in seats_of(engine).arenas.values() for pair in arena.layers for states in pair
    ]
    engine.load(1, ModelWeights(other))
    found = whole(engine, requests())
    assert all(agrees_with(engine, segment, ()) for segment in found.values())
    assert [
        states.data_ptr() for arena in seats_of(engine).arenas.values() for pair in arena.layers for states in pair
    ] == addresses
    monkeypatch.setattr(graphs, "KEPT_BYTES", 0)
    engine.load(2, ModelWeights(other))
    assert not seats_of(engine).arenas
    assert whole(engine, requests()).keys() == found.keys()


def test_an_engine_that_sleeps_keeps_nothing(folder):
    engine = engine_of(folder)
    expected = whole(engine, requests())
    engine.sleep()
    assert not seats_of(engine).arenas
    engine.wake()
    agree(whole(engine, requests()), expected, tolerance=0)


def test_numbers_of_a_failed_pass_do_not_reach_the_next(folder):
    engine = engine_of(folder)
    expected = whole(engine, requests())
    engine.submit(requests())
    engine.poll(0.0)
    with torch.inference_mode():
        for states in (states for pair in seats_of(engine).arenas[graphs.SMALLEST].layers for states in pair):
            states.fill_(torch.nan)
    with pytest.raises(Exception, match="not finite"):
        engine.poll()
    agree(whole(engine, requests()), expected, tolerance=0)


def test_the_graph_that_was_not_used_for_the_longest_time_makes_way(monkeypatch):
    monkeypatch.setattr(graphs, "MOST_GRAPHS", 2)
    recorder = Recorder(torch.device("cpu"))
    monkeypatch.setattr(recorder, "_works", True)
    recordings, arenas = [], {name: object() for name in "abc"}

    def recorded(step):
        recordings.append(step())
        return SimpleNamespace(replay=step)

    monkeypatch.setattr(recorder, "_recorded", recorded)
    for name in "abacabc":
        recorder.run((arenas[name], 8, 64, False), lambda name=name: name)
    assert recordings == list("abcbc")  # c took the place of b, b that of c, and c that of a
    recorder.forget(arenas["b"])
    assert len(recorder) == 1


def test_without_graphs_and_for_other_models_nothing_changes(folder):
    assert not isinstance(engine_of(folder, cuda_graphs=False)._decoder, GraphDecoder)
    model = model_of(*LEAN["llama"])
    assert isinstance(decoder_of(model), GraphDecoder)
    model.model.layers[1].mlp.register_forward_hook(lambda module, args, output: output * 1.01)
    assert not isinstance(decoder_of(model), GraphDecoder)


def test_generated_text_does_not_depend_on_how_much_was_asked_before(folder, small_arenas):
    engine = engine_of(folder)
    few, many = (
        requests(3),
        [replace(request, id="m" + request.id, seed=request.seed + 100) for request in requests(60)],
    )
    alone = whole(engine, few)
    list(generate(engine, many))
    agree(whole(engine, few), alone)
