"""Large matrices are laid out anew for decoding: the same products, made again when the weights change, and counted
as memory.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Config

from kgym.models.weights import TensorWeights
from kgym.rollout.engine import generate
from kgym.types import GenerateRequest, Message, Sampling, SamplingWork
from kgym_plugins.engines.linear import LEAST, Linear, packs
from kgym_plugins.engines.transformers import TransformersEngine, TransformersOptions
from kgym_plugins.models.builtin import nano

PACKED = packs(LEAST, "cpu", torch.float32)
needs_packing = pytest.mark.skipif(not PACKED, reason="this processor or build of torch has no MKL and oneDNN")


def test_only_large_float32_matrices_on_a_cpu_are_packed():
    assert not packs(LEAST - 1, "cpu", torch.float32)
    assert not packs(LEAST, "cpu", torch.bfloat16)
    assert not packs(LEAST, "cuda:0", torch.float32)


@needs_packing
@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 130), bias=st.booleans(), seed=st.integers(0, 1000))
def test_packed_products_are_the_same(rows, bias, seed):
    torch.manual_seed(seed)
    module = nn.Linear(512, 520, bias=bias)
    packed, plain = Linear(module), Linear(module)
    packed.pack()
    x, residual = torch.randn(rows, 512), torch.randn(rows, 520)
    with torch.inference_mode():
        assert_close(packed(x), plain(x), rtol=1e-5, atol=1e-5)
        assert_close(packed.add_to(residual, x), plain.add_to(residual, x), rtol=1e-5, atol=1e-5)
        packed.unpack()
        assert torch.equal(packed(x), plain(x))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model whose linear layers are large enough to be packed, with the tokenizer of nano."""
    path = tmp_path_factory.mktemp("wide")
    tokenizer = AutoTokenizer.from_pretrained(nano(), trust_remote_code=False)
    tokenizer.save_pretrained(path)
    torch.manual_seed(0)
    sizes = {
        "hidden_size": 512,
        "intermediate_size": 640,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
    }
    config = Qwen2Config(**sizes, vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id)
    AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").save_pretrained(path)
    return str(path)


def requests(n, tokens=6):
    return [
        GenerateRequest(f"r{i}", (Message("user", f"What is {i}+1?"),), tokens, Sampling(temperature=0.0), seed=i)
        for i in range(n)
    ]


def answers(engine, n):
    found = {segment.request_id: segment for segment in generate(engine, requests(n))}
    return [found[f"r{i}"] for i in range(n)]


def assert_greedy(engine, segments):
    """The tokens are those with the greatest logits of the model itself, and have its log-probabilities."""
    for segment in segments:
        ids = torch.tensor([[*segment.prompt_ids, *segment.token_ids]])
        with torch.inference_mode():
            logits = engine.model(input_ids=ids).logits[0, len(segment.prompt_ids) - 1 : -1].float()
        assert tuple(logits.argmax(-1).tolist()) == tuple(segment.token_ids)
        logprobs = logits.log_softmax(-1).gather(1, torch.tensor(segment.token_ids)[:, None])[:, 0]
        assert_close(torch.tensor(segment.engine_logprobs), logprobs, rtol=0.0, atol=1e-4)


def n_packed(engine):
    return sum(part._packed is not None for part in engine._decoder._lean._linears)


@needs_packing
def test_the_engine_packs_anew_after_a_load_and_gives_the_memory_back_in_sleep(folder):
    engine = TransformersEngine(TransformersOptions(dtype="float32"), folder)
    engine.end_ids = frozenset()
    before = answers(engine, 5)
    assert n_packed(engine) == 2 * 7  # all but the head, which is small
    assert_greedy(engine, before)
    changed = {name: torch.randn_like(tensor) * 0.05 + tensor for name, tensor in engine.model.state_dict().items()}
    engine.load(1, TensorWeights(changed))
    assert n_packed(engine) == 0
    after = answers(engine, 5)
    assert [segment.token_ids for segment in after] != [segment.token_ids for segment in before]
    assert_greedy(engine, after)
    engine.sleep()
    assert n_packed(engine) == 0
    engine.wake()
    assert answers(engine, 5) == after


@needs_packing
def test_the_plan_counts_the_copies(folder):
    engine = TransformersEngine(TransformersOptions(dtype="float32"), folder)
    answers(engine, 2)
    made = sum(part.weight.nbytes for part in engine._decoder._lean._linears if part._packed is not None)
    planned = TransformersEngine.memory(engine.options, folder, SamplingWork(2, 2, 20, 26))
    assert planned.sampling["packed weights"] == made
    assert (
        "packed weights"
        not in TransformersEngine.memory(engine.options, str(nano()), SamplingWork(2, 2, 20, 26)).sampling
    )
