"""The fast path of the engine `transformers`: slots, shared prefixes, and which models are decoded by it."""

import random
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    GemmaConfig,
    GemmaForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from kgym.types import GenerateRequest, Message, Sampling
from kgym_plugins.engines.attention import added, attention
from kgym_plugins.engines.decoders import decoder_of
from kgym_plugins.engines.decoding import PaddedDecoder, SlotDecoder
from kgym_plugins.engines.kvcache import RowCache
from kgym_plugins.engines.lean import LeanModel
from kgym_plugins.engines.slots import Slots
from test_engine_cut import SIZES, config, engine_of, requests, saved, whole

LAYERS, H, G, D = 2, 2, 3, 8
TAIL = 60
"""Tokens of the longest of the completions with a long tail."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("llama"), LlamaForCausalLM(config(LlamaConfig, tie_word_embeddings=True)))


# --- slots ------------------------------------------------------------------------------------------------------------


class Reference:
    """Slots, and beside them all keys and values of each row, end to end."""

    def __init__(self, seed):
        self.slots, self.rows, self.torch = Slots(), [], torch.Generator().manual_seed(seed)

    def random(self, *shape):
        return torch.randn(shape, generator=self.torch)

    def add(self, lengths, n_rows):
        """Read contexts of these lengths, padded on the left, and give each as many rows."""
        longest = max(lengths)
        read = RowCache(torch.ones((len(lengths), longest), dtype=torch.long))
        contexts = [[self.random(2, H, length, D) for _ in range(LAYERS)] for length in lengths]
        for layer in range(LAYERS):
            keys, values = (torch.full((len(lengths), H, longest, D), 9.0) for _ in range(2))
            for number, context in enumerate(contexts):
                keys[number, :, longest - lengths[number] :] = context[layer][0]
                values[number, :, longest - lengths[number] :] = context[layer][1]
            read.update(keys, values, layer)
        sources = [number for number, n in enumerate(n_rows) for _ in range(n)]
        order = self.slots.add(read, sources, [lengths[source] for source in sources])
        self.rows = [[*self.rows, *(list(contexts[source]) for source in sources)][place] for place in order]

    def keep(self, places):
        order = self.slots.keep(places)
        assert sorted(order) == places
        self.rows = [self.rows[place] for place in order]

    def step(self):
        """Read a token of each row, and compare what is found with attention over each row alone."""
        if (order := self.slots.settle()) is not None:
            self.rows = [self.rows[place] for place in order]
        positions = self.slots.open_column()
        assert positions.tolist() == [row[0].shape[2] for row in self.rows]
        for layer in range(LAYERS):
            B = len(self.rows)
            query, key, value = self.random(B, H, G, D), self.random(B, H, D), self.random(B, H, D)
            found = self.slots.attend(layer, query, key, value, 0.5)
            for place, row in enumerate(self.rows):
                row[layer] = torch.cat([row[layer], torch.stack([key[place], value[place]])[:, :, None]], dim=2)
                keys, values = row[layer]
                expected = (0.5 * query[place] @ keys.transpose(1, 2)).softmax(-1) @ values
                torch.testing.assert_close(found[place], expected, atol=1e-5, rtol=1e-4)

    def check_taken(self):
        for place, row in enumerate(self.rows):
            for n in (1, row[0].shape[2]):
                for (keys, values), pair in zip(self.slots.taken(place, n), row, strict=True):
                    assert torch.equal(keys[0], pair[0][:, -n:])
                    assert torch.equal(values[0], pair[1][:, -n:])


@given(seed=st.integers(0, 999), data=st.data())
@settings(max_examples=25, deadline=None)
def test_a_row_finds_what_it_has_read_whatever_comes_goes_and_moves(seed, data):
    reference = Reference(seed)
    for _ in range(data.draw(st.integers(1, 5), label="admissions")):
        lengths = data.draw(st.lists(st.sampled_from([1, 5, 60, 64, 65, 150]), min_size=1, max_size=3))
        reference.add(lengths, [data.draw(st.integers(1, 3)) for _ in lengths])
        for _ in range(data.draw(st.sampled_from([1, 17, 66]), label="steps")):
            reference.step()
        reference.check_taken()
        places = range(len(reference.rows))
        reference.keep(sorted(data.draw(st.sets(st.sampled_from(places), min_size=1), label="kept")))
        reference.step()


def test_what_is_found_in_two_sets_of_keys_adds_up():
    torch.manual_seed(0)
    query, keys, values = torch.randn(3, H, G, D), torch.randn(3, H, 20, D), torch.randn(3, H, 20, D)
    first, second = (
        attention(query, keys[:, :, part], values[:, :, part], None, 0.5) for part in (slice(13), slice(13, 20))
    )
    whole_ = attention(query, keys, values, None, 0.5)[0]
    torch.testing.assert_close(added(first, second), whole_)
    torch.testing.assert_close(added(second, first), whole_)


# --- which models -----------------------------------------------------------------------------------------------------

LEAN = {
    "llama": (LlamaForCausalLM, LlamaConfig, {"attention_bias": True, "mlp_bias": True}),
    "llama 3": (
        LlamaForCausalLM,
        LlamaConfig,
        {
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 10_000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32,
            }
        },
    ),
    "mistral": (MistralForCausalLM, MistralConfig, {"sliding_window": None, "head_dim": 16}),
    "qwen 2": (Qwen2ForCausalLM, Qwen2Config, {"num_key_value_heads": 1}),
    "qwen 3": (Qwen3ForCausalLM, Qwen3Config, {"head_dim": 16}),
}
PADDED = {
    "gemma": (GemmaForCausalLM, GemmaConfig, {}),
    "a sliding window": (MistralForCausalLM, MistralConfig, {"sliding_window": 8}),
    "windows in some layers": (
        Qwen2ForCausalLM,
        Qwen2Config,
        {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
    ),
    "a rotation that depends on the length": (
        LlamaForCausalLM,
        LlamaConfig,
        {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 10_000.0, "factor": 2.0}},
    ),
}


def model_of(kind, config_class, changes):
    torch.manual_seed(0)
    n_tokens = 102
    return kind(config_class(vocab_size=n_tokens, **SIZES | changes)).eval()


@pytest.mark.parametrize("name", LEAN)
def test_common_architectures_are_decoded_over_their_weights(tmp_path, name):
    model = model_of(*LEAN[name])
    with torch.no_grad():  # norms of 1 and biases of 0 would hide that they are left out
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
    assert isinstance(decoder_of(model), SlotDecoder)
    engine = engine_of(saved(tmp_path, model))
    asked = requests(6, temperature=0.0)
    for place, segment in enumerate(whole(engine, asked).values()):
        n = len(segment.token_ids)
        ids = torch.tensor([segment.prompt_ids])
        generated = engine.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=n, do_sample=False)
        assert segment.token_ids == tuple(generated[0, ids.shape[1] :].tolist()), place


@pytest.mark.parametrize("name", PADDED)
def test_others_are_decoded_by_their_own_modules(name):
    assert isinstance(decoder_of(model_of(*PADDED[name])), PaddedDecoder)


def test_a_model_that_computes_something_else_is_decoded_by_its_own_modules():
    model = model_of(*LEAN["llama"])
    assert LeanModel.of(model) is not None
    model.model.layers[1].mlp.register_forward_hook(lambda module, args, output: output * 1.01)
    assert LeanModel.of(model) is None


# --- the batch --------------------------------------------------------------------------------------------------------


def test_the_prompt_of_a_group_is_kept_once(folder):
    engine = engine_of(folder)
    prompt = (Message("user", "Find x."),)
    engine.submit([GenerateRequest(f"r{i}", prompt, 20, Sampling(), i) for i in range(8)])
    engine.poll(0.0)
    batch = engine._batch
    (pack,) = batch.cache.packs.values()
    assert len(batch.rows) == 8
    assert pack.layers[0][0].shape[0] == 1


def test_requests_that_wait_take_the_slots_of_those_that_end(folder):
    engine = engine_of(folder, max_batch=16)
    rng = random.Random(0)
    asked = [replace(request, max_tokens=min(TAIL, int(4 / (1 - rng.random())))) for request in requests(80)]
    busy = []
    forward = engine._decoder.forward

    def counted(batch):
        found = forward(batch)
        busy.append((len(engine._waiting), found.n_live if found else 0))
        return found

    engine._decoder.forward = counted
    answers = whole(engine, asked)
    assert {
        name: len(segment.token_ids) for name, segment in answers.items() if segment.finish_reason == "length"
    }.items() <= {request.id: request.max_tokens for request in asked}.items()
    while_waiting = [n_live for waiting, n_live in busy if waiting]
    assert len(while_waiting) > 10
    assert sum(while_waiting) / len(while_waiting) > 0.85 * 16
    alone = whole(engine_of(folder), asked[::9])
    assert all(answers[name].token_ids == segment.token_ids for name, segment in alone.items())
