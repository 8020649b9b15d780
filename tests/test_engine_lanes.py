"""The engine `transformers` with several lanes: the same completions, dealt out evenly, and one failure ends them
all.
"""

import threading

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from kgym.errors import EngineError
from kgym.types import GenerateRequest, Message, Sampling
from kgym_plugins.engines import lanes
from kgym_plugins.engines.lanes import LEAST_ROWS, MOST_LANES, Lanes, lanes_of
from test_engine_cut import config, engine_of, requests, saved, whole


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("llama"), LlamaForCausalLM(config(LlamaConfig, tie_word_embeddings=True)))


@pytest.fixture(params=[2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("max_batch", [256, 30])
def test_completions_do_not_depend_on_the_lanes(folder, threads, temperature, max_batch, monkeypatch):
    asked = requests(50, temperature=temperature)
    found = whole(engine := engine_of(folder, max_batch=max_batch), asked)
    assert engine._lanes.n == threads
    monkeypatch.setattr(lanes, "MOST_LANES", 1)
    expected = whole(engine := engine_of(folder, max_batch=max_batch), asked)
    assert engine._lanes.n == 1
    assert found.keys() == expected.keys()
    differing = 0
    for name, segment in expected.items():
        if (
            segment.token_ids != found[name].token_ids
        ):  # a number at the edge between two tokens may fall on the other side
            differing += 1
            continue
        assert segment.finish_reason == found[name].finish_reason
        assert torch.allclose(
            torch.tensor(segment.engine_logprobs), torch.tensor(found[name].engine_logprobs), atol=1e-4
        )
    assert differing <= (0 if temperature == 0 else 2)


def test_rows_are_dealt_out_evenly_and_never_more_than_the_batch_has(folder, threads):
    for n, max_batch, expected in ((40, 256, 40), (100, 36, 36), (3, 256, 3)):
        engine = engine_of(folder, max_batch=max_batch)
        engine.submit(
            [GenerateRequest(f"r{i}", (Message("user", "x" * (i // 8 + 1)),), 200, Sampling(), i) for i in range(n)]
        )
        engine.poll(0.0)
        rows = [batch.n_live for batch in engine._live()]
        assert sum(rows) == expected
        assert len(rows) == min(threads, -(-expected // LEAST_ROWS))
        assert max(rows) - min(rows) <= threads
        engine.abort()
        engine.poll()


def test_a_failure_in_one_lane_ends_all_and_the_engine_goes_on(folder, threads, monkeypatch):
    engine = engine_of(folder)
    asked = requests(30)
    with monkeypatch.context() as patch:
        forward = engine._decoder.forward

        def failing(batch):
            if threading.current_thread().name.endswith("_0"):
                raise RuntimeError("out of memory")
            return forward(batch)

        patch.setattr(engine._decoder, "forward", failing)
        with pytest.raises((EngineError, RuntimeError), match="out of memory"):
            whole(engine, asked)
    assert not engine._live()
    assert len(whole(engine, asked)) == 30


def test_lanes_are_for_small_models_on_a_cpu_and_as_many_as_torch_has_threads(threads, monkeypatch):
    model = LlamaForCausalLM(config(LlamaConfig))
    assert lanes_of(model, 256) == threads
    assert lanes_of(model, 2 * LEAST_ROWS - 1) == 1
    torch.set_num_threads(64)
    assert lanes_of(model, 256) == MOST_LANES
    monkeypatch.setattr(lanes, "MOST_WEIGHTS", 1000)
    assert lanes_of(model, 256) == 1


def test_each_lane_has_one_thread_of_torch_and_others_keep_theirs(threads):
    def count(_):
        return torch.get_num_threads()

    assert Lanes(2).each(count, [0, 1]) == [1, 1]
    assert torch.get_num_threads() == threads
    found = []
    other = threading.Thread(target=lambda: found.append(count(None)))
    other.start()
    other.join()
    assert found == [threads]
