"""The engine `transformers` with a small model: one thread decodes, even if torch has more."""

import threading

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from kgym.errors import EngineError
from kgym_plugins.engines import onethread
from kgym_plugins.engines.onethread import OneThread, is_small
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
def test_completions_do_not_depend_on_torchs_threads(folder, threads, temperature, max_batch):
    asked = requests(50, temperature=temperature)
    found = whole(engine_of(folder, max_batch=max_batch), asked)
    torch.set_num_threads(1)
    expected = whole(engine_of(folder, max_batch=max_batch), asked)
    assert found.keys() == expected.keys()
    for name, segment in expected.items():
        assert segment.token_ids == found[name].token_ids
        assert segment.engine_logprobs == pytest.approx(found[name].engine_logprobs, abs=1e-5)


def test_a_step_is_made_with_one_thread(folder, threads, monkeypatch):
    engine = engine_of(folder)
    seen = set()
    forward = engine._decoder.forward

    def watched(batch):
        seen.add((threading.current_thread().name, torch.get_num_threads()))
        return forward(batch)

    monkeypatch.setattr(engine._decoder, "forward", watched)
    whole(engine, requests(10))
    assert seen == {("kgym-decode_0", 1)}
    assert torch.get_num_threads() == threads


def test_a_failure_ends_all_and_the_engine_goes_on(folder, threads, monkeypatch):
    engine = engine_of(folder)
    asked = requests(30)
    with monkeypatch.context() as patch:

        def failing(batch):
            raise RuntimeError("out of memory")

        patch.setattr(engine._decoder, "forward", failing)
        with pytest.raises((EngineError, RuntimeError), match="out of memory"):
            whole(engine, asked)
    assert engine._batch is None
    assert len(whole(engine, asked)) == 30


def test_a_large_model_is_decoded_with_all_threads(folder, threads, monkeypatch):
    model = LlamaForCausalLM(config(LlamaConfig))
    assert is_small(model)
    monkeypatch.setattr(onethread, "MOST_WEIGHTS", 1000)
    assert not is_small(model)
    assert engine_of(folder)._alone is None


def test_other_threads_keep_their_number(threads):
    assert OneThread()(torch.get_num_threads) == 1
    assert torch.get_num_threads() == threads
    found = []
    other = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert found == [threads]
