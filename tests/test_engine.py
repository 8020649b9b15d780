"""The engine `transformers`: what it samples, what it says about it, and that neither depends on batch or cut."""

import pickle
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from kgym.errors import ConfigError, EngineError
from kgym.models.weights import ModelWeights
from kgym.registry import registry
from kgym.repetition import RepetitionDetector
from kgym.rollout.engine import generate
from kgym.types import Engine, GenerateRequest, Message, Sampling
from kgym_plugins.engines import sampling
from kgym_plugins.engines.sampling import choose, truncate, uniforms
from kgym_plugins.engines.text import completes_stop, segment_text
from kgym_plugins.engines.transformers import TransformersEngine, TransformersOptions
from kgym_plugins.models.builtin import nano

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.6,  # a flat distribution would hide mistakes
    "pad_token_id": 0,
    "eos_token_id": 2,
    "bos_token_id": None,
}


def save(folder, model_class, config_class, **changes):
    """A model of random weights that speaks nano's alphabet."""
    tokenizer = AutoTokenizer.from_pretrained(nano())
    torch.manual_seed(0)
    model = model_class(config_class(vocab_size=len(tokenizer), **SIZES | changes))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return save(tmp_path_factory.mktemp("llama"), LlamaForCausalLM, LlamaConfig, tie_word_embeddings=True)


@pytest.fixture(scope="session")
def engine(folder):
    return TransformersEngine(TransformersOptions(), folder)


def chat(text):
    return (Message("user", text),)


def request(name, text="What is 2+2?", *, max_tokens=24, seed=None, prefix_ids=(), **sampling):
    seed = sum(map(ord, name)) if seed is None else seed
    return GenerateRequest(name, chat(text), max_tokens, Sampling(**sampling), seed, tuple(prefix_ids))


def run(engine, requests):
    return {segment.request_id: segment for segment in generate(engine, requests)}


def same(one, other):
    """Equal tokens, and equal log-probabilities up to rounding."""
    return one.token_ids == other.token_ids and one.engine_logprobs == pytest.approx(other.engine_logprobs, abs=1e-4)


MANY = [request(f"r{i}", "Find " + "x+" * (i % 7) + "1.", max_tokens=8 + 5 * (i % 9), seed=i) for i in range(40)]


@pytest.mark.parametrize("segment_tokens", [300, 40, 7])
def test_an_answer_that_repeats_itself_ends_at_that_token(tiny_model, segment_tokens):
    """At a low temperature random weights loop. The uncut completions without the option say where each has to end."""
    engine = TransformersEngine(TransformersOptions(), tiny_model)
    asked = [request(f"r{i}", f"{i}", max_tokens=160, seed=i, temperature=0.085) for i in range(12)]
    free = run(engine, asked)
    n_looping = 0
    for one in asked:
        token_ids = free[one.id].token_ids
        detector = RepetitionDetector(32)
        place = next((n for n, token in enumerate(token_ids, 1) if detector.feed(token)), None)
        ids, reason = (), "length"
        while reason == "length" and len(ids) < 160:
            sampling = Sampling(temperature=0.085, loop_tokens=32)
            asking = replace(one, sampling=sampling, prefix_ids=ids, max_tokens=min(segment_tokens, 160 - len(ids)))
            (segment,) = run(engine, [asking]).values()
            ids, reason = ids + segment.token_ids, segment.finish_reason
        assert (reason == "repetition") is (place is not None)
        assert ids == token_ids[:place]
        n_looping += place is not None
    assert 1 < n_looping < 12


def test_it_is_registered_and_follows_the_protocol(folder):
    engine = registry().create("engine", "transformers", {"max_batch": 8}, folder)
    assert isinstance(engine, TransformersEngine)
    assert isinstance(engine, Engine)
    assert engine.options.max_batch == 8


# --- log-probabilities ------------------------------------------------------------------------------------------------


def teacher_forced(model, segment, temperature, prefix_ids=()):
    ids = torch.tensor([[*segment.prompt_ids, *prefix_ids, *segment.token_ids]])
    with torch.no_grad():
        logprobs = (model(input_ids=ids).logits[0].double() / temperature).log_softmax(-1)
    start = len(segment.prompt_ids) + len(prefix_ids)
    return [logprobs[start + i - 1, token].item() for i, token in enumerate(segment.token_ids)]


@pytest.mark.parametrize(
    ("model_class", "config_class", "changes"),
    [
        (LlamaForCausalLM, LlamaConfig, {}),
        (Qwen2ForCausalLM, Qwen2Config, {"num_key_value_heads": 1}),
        (MistralForCausalLM, MistralConfig, {"sliding_window": 8}),
    ],
)
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_logprobs_agree_with_a_teacher_forced_pass(tmp_path, model_class, config_class, changes, temperature):
    folder = save(tmp_path, model_class, config_class, **changes)
    engine = TransformersEngine(TransformersOptions(max_batch=16), folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    requests = [
        GenerateRequest(r.id, r.prompt, r.max_tokens, Sampling(temperature=temperature, top_k=20, top_p=0.9), r.seed)
        for r in MANY
    ]
    for segment in run(engine, requests).values():
        assert segment.engine_logprobs == pytest.approx(teacher_forced(model, segment, temperature), abs=1e-4)


def test_at_temperature_0_logprobs_are_untempered_and_tokens_are_those_of_generate(engine):
    prompts = ["What is 2+2?", "Find x.", "A much longer question than the other two, so that there is padding."]
    segments = run(engine, [request(str(i), text, temperature=0.0, max_tokens=40) for i, text in enumerate(prompts)])
    for i, text in enumerate(prompts):
        ids = engine.tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=True, return_tensors="pt", return_dict=False
        )
        generated = engine.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=40, do_sample=False)
        assert segments[str(i)].token_ids == tuple(generated[0, ids.shape[1] :].tolist())
        assert segments[str(i)].prompt_ids == tuple(ids[0].tolist())
        assert segments[str(i)].engine_logprobs == pytest.approx(
            teacher_forced(engine.model, segments[str(i)], 1.0), abs=1e-4
        )


# --- what a completion depends on -------------------------------------------------------------------------------------


def test_an_answer_does_not_depend_on_its_batch(engine, folder):
    together = run(engine, MANY)
    assert {s.finish_reason for s in together.values()} == {"stop", "length"}
    assert len({s.token_ids for s in together.values()}) > 30
    for r in MANY[::6]:
        assert same(run(engine, [r])[r.id], together[r.id])
    few = run(TransformersEngine(TransformersOptions(max_batch=5), folder), MANY)  # rows come and go all the time
    assert few.keys() == together.keys()
    assert all(same(few[name], together[name]) for name in few)


@pytest.mark.parametrize("cut", [1, 3, 7])
def test_segments_of_an_answer_are_the_whole_answer(engine, cut):
    whole = run(engine, [request("a", max_tokens=30, seed=5, temperature=0.8, top_p=0.95)])["a"]
    parts, ids = [], ()
    while len(ids) < 30 and (not parts or parts[-1].finish_reason == "length"):
        n = min(cut, 30 - len(ids))
        part = run(engine, [request("a", max_tokens=n, seed=5, prefix_ids=ids, temperature=0.8, top_p=0.95)])["a"]
        parts.append(part)
        ids += part.token_ids
    assert ids == whole.token_ids
    assert "".join(parts) == whole
    assert [lp for part in parts for lp in part.engine_logprobs] == pytest.approx(whole.engine_logprobs, abs=1e-4)
    assert all(part.prompt_ids == whole.prompt_ids for part in parts)


def test_another_seed_is_another_answer_and_the_same_seed_the_same(engine):
    answers = run(engine, [request(f"s{seed}", seed=seed, max_tokens=20) for seed in range(20)])
    assert len({answer.token_ids for answer in answers.values()}) == 20
    twins = run(engine, [request(name, seed=3, max_tokens=20) for name in ("a", "b")])
    assert twins["a"].token_ids == twins["b"].token_ids == answers["s3"].token_ids


# --- the choice of a token --------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**63 - 1), start=st.integers(0, 50), n=st.integers(0, 20))
@settings(max_examples=30, deadline=None)
def test_the_number_behind_a_position_depends_on_seed_and_position_alone(seed, start, n):
    assert np.array_equal(uniforms(seed, start, n), uniforms(seed, 0, 100)[start : start + n])


def test_tokens_come_as_often_as_their_probability_says():
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    n = 20_000
    u = torch.from_numpy(uniforms(7, 0, n))
    ids, logprobs = choose(logits.expand(n, 4), u, torch.ones(n))
    counts = Counter(ids.tolist())
    for token, p in enumerate((0.5, 0.3, 0.15, 0.05)):
        assert counts[token] / n == pytest.approx(p, abs=4 * (p * (1 - p) / n) ** 0.5)
    assert logprobs[ids == 2].exp().mean().item() == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("top_k", "top_p", "kept"),
    [
        (0, 1.0, [0.3, 0.05, 0.5, 0.15]),
        (2, 1.0, [0.3, 0.0, 0.5, 0.0]),
        (0, 0.49, [0.0, 0.0, 0.5, 0.0]),
        (0, 0.81, [0.3, 0.0, 0.5, 0.15]),
        (0, 1e-9, [0.0, 0.0, 0.5, 0.0]),
        (2, 0.7, [0.3, 0.0, 0.5, 0.0]),  # of the 0.8 that k leaves, 0.5 holds a share of 0.625
        (2, 0.6, [0.0, 0.0, 0.5, 0.0]),
    ],
)
def test_top_k_then_top_p_cut_the_tail(top_k, top_p, kept):
    cut = truncate(
        torch.tensor([[0.3, 0.05, 0.5, 0.15]]), torch.tensor([top_k]), torch.tensor([top_p], dtype=torch.float64)
    )
    assert cut[0].tolist() == pytest.approx(kept)


def test_cut_tokens_are_never_chosen_and_logprobs_stay_those_of_the_whole_vocabulary():
    torch.manual_seed(0)
    logits = torch.randn(1, 50)
    n = 2000
    ids, logprobs = choose(
        logits.expand(n, 50),
        torch.from_numpy(uniforms(1, 0, n)),
        torch.full((n,), 0.7),
        torch.full((n,), 5),
        torch.full((n,), 0.9),
    )
    assert set(ids.tolist()) <= set(logits[0].topk(5).indices.tolist())
    assert len(set(ids.tolist())) > 1
    assert torch.allclose(logprobs, (logits[0] / 0.7).log_softmax(-1)[ids])


def test_a_number_just_below_1_still_chooses_a_possible_token():
    logits = torch.tensor([[0.0, 1.0, float("-inf")]])
    ids, logprobs = choose(logits, torch.tensor([1 - 2**-53], dtype=torch.float64), torch.ones(1))
    assert ids.item() == 1
    assert logprobs.isfinite().all()


@given(seed=st.integers(0, 2**32), n_tokens=st.integers(1, 40), zeros=st.floats(0, 0.95))
@settings(max_examples=100, deadline=None)
def test_a_search_block_by_block_finds_the_token_of_a_search_in_all(seed, n_tokens, zeros):
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(0, 4, (32, n_tokens)).astype(np.float32))
    logits[:, 1:][torch.from_numpy(rng.random((32, n_tokens - 1)) < zeros)] = -torch.inf
    u = torch.from_numpy(np.concatenate([rng.random(28), [0.0, 1 - 2**-53, 0.5, 1e-300]]))
    whole = choose(logits, u, torch.ones(32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "MANY", 0)
        patch.setattr(sampling, "BLOCK", 7)
        blocks = choose(logits, u, torch.ones(32))
    cdf = logits.double().softmax(1).cumsum(1)
    for row in (
        (whole[0] != blocks[0]).nonzero().flatten()
    ):  # only where the number is at the edge of a token, up to rounding
        first, last = sorted((int(whole[0][row]), int(blocks[0][row])))
        assert cdf[row, first:last].sub(u[row]).abs().max() < 1e-6
    assert torch.equal(blocks[1], logits.log_softmax(1).gather(1, blocks[0][:, None]).squeeze(1))
    assert blocks[1].isfinite().all()


def test_a_logit_that_is_not_a_number_gives_no_log_probability_in_a_large_vocabulary():
    logits = torch.randn(2, 5000)
    logits[1, 17] = torch.nan
    ids, logprobs = choose(logits, torch.tensor([0.3, 0.3], dtype=torch.float64), torch.ones(2))
    assert logprobs.isfinite().tolist() == [True, False]
    assert 0 <= ids.min() <= ids.max() < 5000


def test_rows_of_one_batch_may_sample_differently(engine):
    requests = [
        request("greedy", temperature=0.0, seed=1),
        request("one", top_k=1, seed=2),
        request("tiny", top_p=1e-6, seed=3),
        request("free", seed=1),
    ]
    answers = run(engine, requests)
    assert (
        answers["greedy"].token_ids
        == answers["one"].token_ids
        == answers["tiny"].token_ids
        != answers["free"].token_ids
    )


# --- where a completion ends ------------------------------------------------------------------------------------------


def test_the_end_token_is_in_the_ids_and_not_in_the_text(engine):
    ended = [s for s in run(engine, MANY).values() if s.finish_reason == "stop"]
    assert ended
    for segment in ended:
        assert segment.token_ids[-1] == engine.tokenizer.eos_token_id
        assert engine.tokenizer.eos_token not in segment
        assert segment == engine.tokenizer.decode(segment.token_ids[:-1])


def test_every_end_token_of_the_model_ends_an_answer(tmp_path, folder, engine):
    often = Counter(token for segment in run(engine, MANY).values() for token in segment.token_ids).most_common(3)
    letters = [token for token, _ in often]
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    model.generation_config.eos_token_id = letters
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    changed = TransformersEngine(TransformersOptions(), tmp_path)
    assert changed.end_ids == {*letters, tokenizer.eos_token_id}
    stopped = [
        s
        for s in run(changed, [request(f"r{i}", max_tokens=200, seed=i) for i in range(30)]).values()
        if s.finish_reason == "stop"
    ]
    assert {s.token_ids[-1] for s in stopped} >= {*letters}
    assert not any(token in changed.end_ids for s in stopped for token in s.token_ids[:-1])


def test_a_stop_text_ends_an_answer_and_stays_in_it(engine):
    free = run(engine, [request("a", max_tokens=30, seed=5)])["a"]
    stop = free[6:9]
    assert len(stop) == 3
    stopped = run(engine, [request("a", max_tokens=30, seed=5, stop=("never seen", stop))])["a"]
    assert stopped == free[: free.index(stop) + 3]
    assert stopped.finish_reason == "stop"
    # begun in an earlier segment, completed in this one
    cut = free.index(stop) + 2
    rest = run(engine, [request("a", max_tokens=30, seed=5, stop=(stop,), prefix_ids=free.token_ids[:cut])])["a"]
    assert rest == free[cut : cut + 1]


def test_max_tokens_counts_new_tokens_and_0_gives_an_empty_segment(engine):
    answers = run(engine, [request("a", max_tokens=1, seed=5), request("none", max_tokens=0)])
    assert (len(answers["a"].token_ids), answers["a"].finish_reason) == (1, "length")
    assert (answers["none"], answers["none"].token_ids, answers["none"].finish_reason) == ("", (), "length")
    assert answers["none"].prompt_ids == answers["a"].prompt_ids


def test_the_context_ends_an_answer_and_a_prompt_that_fills_it_gets_none(engine):
    segments = run(engine, [request(str(i), "x" * 240, max_tokens=100, seed=i) for i in range(30)]).values()
    assert {len(segment.prompt_ids) for segment in segments} == {243}
    assert max(len(segment.token_ids) for segment in segments) == 256 - 243
    assert {s.finish_reason for s in segments if len(s.token_ids) == 13} >= {"length"}
    answers = run(
        engine, [request("long", "x" * 300), request("full", "x" * 253), request("short", "x", max_tokens=3, seed=1)]
    )
    for name, n_tokens in (("long", 303), ("full", 256)):
        assert (answers[name], answers[name].token_ids, answers[name].finish_reason) == ("", (), "length")
        assert len(answers[name].prompt_ids) == n_tokens
    assert answers["short"].token_ids  # one request never spoils the others
    prompts = [(Message("user", text),) for text in ("x", "x" * 300, "x" * 20, "x" * 252, "x" * 253)]
    assert engine.too_long(prompts) == {1: 303, 4: 256}
    assert engine.too_long(prompts, 20) == {1: 303, 2: 23, 3: 255, 4: 256}


# --- control ----------------------------------------------------------------------------------------------------------


def test_abort_ends_what_is_open_and_nothing_else(folder):
    engine = TransformersEngine(TransformersOptions(max_batch=4), folder)
    engine.model.generation_config.eos_token_id = None
    engine.end_ids = frozenset()
    requests = [request("short", max_tokens=3, seed=1)] + [request(f"r{i}", max_tokens=60, seed=i) for i in range(8)]
    whole = run(engine, requests)
    aborted = {"r2", "r7"}
    segments = {}
    for segment in generate(engine, requests):
        if segment.request_id == "short":
            engine.abort(["r2", "r7", "short", "unknown"])
        segments[segment.request_id] = segment
    assert {name for name, s in segments.items() if s.finish_reason == "abort"} == aborted
    assert len(segments["r2"].token_ids) == 3
    assert segments["r2"].token_ids == whole["r2"].token_ids[:3]
    assert segments["r7"].token_ids == ()  # it was still waiting
    assert all(same(segments[name], whole[name]) for name in whole.keys() - aborted)
    assert run(engine, requests)["r2"].finish_reason == "length"  # an abort is not remembered
    # and an aborted completion can go on
    rest = run(engine, [request("r2", max_tokens=57, seed=2, prefix_ids=segments["r2"].token_ids)])["r2"]
    assert segments["r2"].token_ids + rest.token_ids == whole["r2"].token_ids


def test_updated_weights_are_those_of_a_reload(tmp_path, folder):
    engine = TransformersEngine(TransformersOptions(), folder)
    before = run(engine, MANY[:5])
    other = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.25)
    place = engine.model.get_input_embeddings().weight.data_ptr()
    engine.load(3, ModelWeights(other))
    other.save_pretrained(tmp_path)
    engine.tokenizer.save_pretrained(tmp_path)
    after = run(engine, MANY[:5])
    reloaded = run(TransformersEngine(TransformersOptions(), tmp_path), MANY[:5])
    assert engine.model.get_input_embeddings().weight.data_ptr() == place
    assert engine.model.get_output_embeddings().weight.data_ptr() == place  # still tied
    for name, segment in after.items():
        assert segment.token_ids == reloaded[name].token_ids
        assert segment.engine_logprobs == reloaded[name].engine_logprobs
        assert (segment.version, before[name].version) == (3, 0)
    assert any(after[name].token_ids != before[name].token_ids for name in after)


def test_weights_of_another_model_are_refused_and_change_nothing(tmp_path, folder):
    engine = TransformersEngine(TransformersOptions(), folder)
    before = run(engine, MANY[:3])
    wide = AutoModelForCausalLM.from_pretrained(
        save(tmp_path / "wide", LlamaForCausalLM, LlamaConfig, intermediate_size=64)
    )
    with pytest.raises(EngineError, match="64"):
        engine.load(1, ModelWeights(wide))
    deep = AutoModelForCausalLM.from_pretrained(
        save(tmp_path / "deep", LlamaForCausalLM, LlamaConfig, num_hidden_layers=3)
    )
    with pytest.raises(EngineError, match=r"layers\.2"):
        engine.load(1, ModelWeights(deep))
    assert run(engine, MANY[:3]) == before
    assert engine.version == 0


def test_no_other_weights_and_no_sleep_while_requests_are_open(engine):
    iterator = generate(engine, MANY[:3])
    next(iterator)
    with pytest.raises(EngineError, match="2 requests are open; abort and poll them before new weights"):
        engine.load(1, ModelWeights(engine.model))
    with pytest.raises(EngineError, match="2 requests are open; abort and poll them before sleep"):
        engine.sleep()
    iterator.close()
    assert engine.poll() == []
    assert len(run(engine, MANY[:3])) == 3


def test_equal_ids_are_refused(engine):
    with pytest.raises(EngineError, match="same id"):
        run(engine, [request("a"), request("a")])


def test_a_sleeping_engine_refuses_and_wakes_unchanged(engine):
    before = run(engine, MANY[:3])
    engine.sleep()
    with pytest.raises(EngineError, match="wake"):
        run(engine, MANY[:3])
    engine.wake()
    assert run(engine, MANY[:3]) == before


def test_segments_survive_pickling(engine):
    for segment in run(engine, MANY[:3]).values():
        copy = pickle.loads(pickle.dumps(segment))
        assert copy == segment
        assert all(getattr(copy, name) == getattr(segment, name) for name in segment.__slots__)


def test_what_cannot_be_loaded_is_refused_in_one_line(tmp_path, folder):
    with pytest.raises(ConfigError, match="cannot load"):
        TransformersEngine(TransformersOptions(), tmp_path)
    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="no chat template"):
        TransformersEngine(TransformersOptions(), tmp_path)


# --- text of tokens that are not characters ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def byte_tokenizer():
    """One token a byte, as a byte-level tokenizer has them for a rare character."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({symbol: i for i, symbol in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


@pytest.fixture(scope="module")
def fallback_tokenizer():
    """Bytes for characters outside the vocabulary, as Llama 2, Mistral and Gemma have them: it decodes a run of them as
    a whole.
    """
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    vocabulary = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *"ab "]
    numbers = {symbol: i for i, symbol in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.BPE(numbers, [], unk_token="<unk>", byte_fallback=True))
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


@pytest.mark.parametrize("kind", ["byte_tokenizer", "fallback_tokenizer"])
@given(text=st.text(alphabet="ab é日😀 ", max_size=8), places=st.lists(st.integers(0, 32), max_size=4))
@example(text="a日本b", places=[4, 6])
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_texts_of_segments_add_up_wherever_they_are_cut(request, kind, text, places):
    tokenizer = request.getfixturevalue(kind)
    ids = tokenizer.encode(text)
    cuts = sorted(min(place, len(ids)) for place in places)
    parts = [
        segment_text(tokenizer, ids[:start], ids[start:end], final=end == len(ids))
        for start, end in zip([0, *cuts], [*cuts, len(ids)], strict=True)
    ]
    assert "".join(parts) == text


def test_a_stop_text_is_found_when_its_last_byte_comes(byte_tokenizer):
    ids = byte_tokenizer.encode("so: 日本 and on")
    found = [n for n in range(1, len(ids) + 1) if completes_stop(byte_tokenizer, [], ids[:n], ["日本", "nd"])]
    assert [byte_tokenizer.decode(ids[:n]) for n in found] == ["so: 日本", "so: 日本 and"]
