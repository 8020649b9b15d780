"""The engine `transformers`: completions that are cut, aborted and continued, and requests that come while others are
open.
"""

from dataclasses import replace

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from kgym.errors import EngineError
from kgym.models.weights import ModelWeights
from kgym.rollout.engine import generate
from kgym.types import GenerateRequest, Message, Sampling
from kgym_plugins.engines.transformers import TransformersEngine, TransformersOptions
from kgym_plugins.models.builtin import nano

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.6,
    "pad_token_id": 0,
    "eos_token_id": 2,
    "bos_token_id": None,
}
TOKENS = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("llama"), LlamaForCausalLM(config(LlamaConfig, tie_word_embeddings=True)))


def config(kind, **changes):
    torch.manual_seed(0)
    return kind(vocab_size=len(AutoTokenizer.from_pretrained(nano())), **SIZES | changes)


def saved(folder, model):
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(nano()).save_pretrained(folder)
    return folder


def engine_of(folder, **options):
    return TransformersEngine(TransformersOptions(device="cpu", **options), folder)


def requests(n=24, temperature=1.0, **sampling):
    sampled = Sampling(temperature=temperature, **sampling)
    prompts = [(Message("user", "Find " + "x+" * (i // 4 % 5) + "1."),) for i in range(n)]
    return [GenerateRequest(f"r{i}", prompts[i], TOKENS, sampled, i) for i in range(n)]


def whole(engine, asked):
    return {segment.request_id: segment for segment in generate(engine, asked)}


def in_pieces(engine, asked, cut):
    """Continue each completion at once, before anything else is sampled; return ids and logprobs by request."""
    of = {request.id: request for request in asked}
    found = {name: ([], [], []) for name in of}
    n_open = len(of)
    engine.submit([replace(request, max_tokens=min(cut(request), TOKENS)) for request in asked])
    while n_open:
        again = []
        for segment in engine.poll():
            ids, logprobs, reasons = found[segment.request_id]
            ids += segment.token_ids
            logprobs += segment.engine_logprobs
            reasons.append(segment.finish_reason)
            if segment.finish_reason == "stop" or len(ids) == TOKENS:
                n_open -= 1
                continue
            request = of[segment.request_id]
            again.append(replace(request, max_tokens=min(cut(request), TOKENS - len(ids)), prefix_ids=tuple(ids)))
        engine.submit(again)
    return found


CUTS = {"ten": lambda request: TOKENS // 10, "one": lambda request: 1, "unequal": lambda request: 3 + request.seed % 5}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("max_batch", [64, 5])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_an_answer_in_pieces_is_the_uncut_one_to_the_bit(folder, temperature, max_batch, cut):
    engine = engine_of(folder, max_batch=max_batch)
    asked = requests(temperature=temperature)
    uncut = whole(engine, asked)
    pieces = in_pieces(engine, asked, cut)
    assert max(len(reasons) for _, _, reasons in pieces.values()) >= 8
    assert {segment.finish_reason for segment in uncut.values()} == {"stop", "length"}
    for name, (ids, logprobs, reasons) in pieces.items():
        assert tuple(ids) == uncut[name].token_ids
        assert tuple(logprobs) == uncut[name].engine_logprobs
        assert reasons[-1] == uncut[name].finish_reason


def test_an_answer_that_is_aborted_and_continued_at_once_is_the_uncut_one_to_the_bit(folder):
    engine = engine_of(folder)
    asked = requests(temperature=0.8)
    uncut = whole(engine, asked)
    of, found = {request.id: request for request in asked}, {request.id: ([], []) for request in asked}
    engine.submit(asked)
    aborts = 0
    while segments := engine.poll():
        again = []
        for segment in segments:
            ids, logprobs = found[segment.request_id]
            ids += segment.token_ids
            logprobs += segment.engine_logprobs
            if segment.finish_reason == "abort":
                aborts += bool(segment.token_ids)
                again.append(replace(of[segment.request_id], max_tokens=TOKENS - len(ids), prefix_ids=tuple(ids)))
        engine.submit(again)
        if not again:
            engine.abort([name for name in engine._open if name[-1] in "137"])
    assert aborts > 10
    for name, (ids, logprobs) in found.items():
        assert tuple(ids) == uncut[name].token_ids
        assert tuple(logprobs) == uncut[name].engine_logprobs


# --- parked keys and values -------------------------------------------------------------------------------------------


def cut_and_counted(engine, asked, *, appended=(), between=None):
    """Sample ten tokens of each, then others, then the rest; return the rest and how many tokens were read for it
    but for one a pass.
    """
    first = whole(engine, [replace(request, max_tokens=10) for request in asked])
    (between or (lambda: whole(engine, [replace(request, id="other", seed=99) for request in asked[:1]])))()
    read = []
    hook = engine.model.register_forward_pre_hook(
        lambda module, args, kwargs: read.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    rest = whole(
        engine,
        [
            replace(request, max_tokens=TOKENS - 10, prefix_ids=first[request.id].token_ids + appended)
            for request in asked
            if first[request.id].finish_reason == "length"
        ],
    )
    hook.remove()
    return first, rest, max(read)


def agrees_with(engine, segment, prefix_ids):
    """The log-probabilities are those of one pass over all tokens."""
    ids = torch.tensor([[*segment.prompt_ids, *prefix_ids, *segment.token_ids]])
    with torch.no_grad():
        logprobs = engine.model(input_ids=ids).logits[0].log_softmax(-1)
    start = len(segment.prompt_ids) + len(prefix_ids)
    expected = [logprobs[start + i - 1, token].item() for i, token in enumerate(segment.token_ids)]
    return segment.engine_logprobs == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", ["llama", "sliding window"])
def test_an_answer_that_is_continued_later_is_not_read_again(tmp_path, folder, kind):
    if kind == "sliding window":
        folder = saved(tmp_path, MistralForCausalLM(config(MistralConfig, sliding_window=8)))
    engine = engine_of(folder)
    asked = requests()
    uncut = whole(engine, asked)
    first, rest, widest = cut_and_counted(engine, asked)
    assert len(rest) > 10
    assert widest == 1
    for name, segment in rest.items():
        assert first[name].token_ids + segment.token_ids == uncut[name].token_ids
        assert agrees_with(engine, segment, first[name].token_ids)


@pytest.mark.parametrize("kind", ["llama", "sliding window"])
def test_tokens_that_were_put_behind_an_answer_are_read_on_top(tmp_path, folder, kind):
    if kind == "sliding window":
        folder = saved(tmp_path, MistralForCausalLM(config(MistralConfig, sliding_window=8)))
    engine = engine_of(folder)
    said = (7, 8, 9, 10)  # as a tool's reply
    first, rest, widest = cut_and_counted(engine, requests(), appended=said, between=lambda: None)
    assert len(rest) > 10
    assert widest == 1 + len(said)
    assert all(agrees_with(engine, segment, first[name].token_ids + said) for name, segment in rest.items())


def test_what_is_kept_is_bounded_and_the_oldest_are_read_again(folder):
    engine = engine_of(folder, parked=3)
    first, rest, widest = cut_and_counted(engine, requests())
    assert len(engine._park) <= 3
    assert widest > 10
    assert all(agrees_with(engine, segment, first[name].token_ids) for name, segment in rest.items())
    assert cut_and_counted(engine_of(folder, parked=0), requests())[2] > 10


@pytest.mark.parametrize("when", ["at once", "later", "asleep"])
def test_new_weights_read_everything_again(folder, when):
    engine = engine_of(folder)
    other = LlamaForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.1)

    def load():
        if when == "later":
            whole(engine, [replace(requests()[0], id="other", seed=99)])
        if when == "asleep":
            engine.sleep()
        engine.load(3, ModelWeights(other))
        engine.wake()

    first, rest, widest = cut_and_counted(engine, requests(), between=load)
    assert widest > 10
    for name, segment in rest.items():
        assert (first[name].version, segment.version) == (0, 3)
        assert agrees_with(engine, segment, first[name].token_ids)


# --- requests that come and go ----------------------------------------------------------------------------------------


def test_requests_may_come_while_others_are_open(folder):
    engine = engine_of(folder, max_batch=6)
    asked = requests()
    uncut = whole(engine, asked)
    later = iter(asked[8:])
    engine.submit(asked[:8])
    found = {}
    while segments := engine.poll():
        found |= {segment.request_id: segment for segment in segments}
        engine.submit([request for request in [next(later, None)] if request])
    assert found.keys() == uncut.keys()
    assert all(found[name].token_ids == uncut[name].token_ids for name in found)
    with pytest.raises(EngineError, match="two requests have the same id 'r3'"):
        engine.submit([asked[3], asked[3]])
    assert engine.poll() == []


def test_a_poll_ends_at_its_timeout_and_goes_on(folder):
    engine = engine_of(folder)
    (request,) = requests(1, temperature=0.0)
    uncut = whole(engine, [request])["r0"]
    assert len(uncut.token_ids) > 3
    engine.submit([request])
    polls = [engine.poll(timeout_s=0) for _ in uncut.token_ids]
    assert polls == [[]] * (len(polls) - 1) + [[uncut]]
    assert polls[-1][0].engine_logprobs == uncut.engine_logprobs


def test_abort_of_all_keeps_what_was_sampled_and_nothing_is_open_after(folder):
    engine = engine_of(folder, max_batch=4)
    asked = requests()
    uncut = whole(engine, asked)
    engine.submit(asked)
    ended = {segment.request_id for segment in engine.poll()}
    engine.abort()
    engine.abort(["nobody"])
    rest = engine.poll()
    assert ended.isdisjoint(segment.request_id for segment in rest)
    assert len(ended) + len(rest) == len(asked)
    assert {segment.finish_reason for segment in rest} == {"abort"}
    assert 1 <= sum(bool(segment.token_ids) for segment in rest) <= 3  # the others had been waiting
    assert all(uncut[segment.request_id].token_ids[: len(segment.token_ids)] == segment.token_ids for segment in rest)
    assert engine.poll() == []
    engine.load(1, ModelWeights(engine.model))


def test_a_failed_pass_leaves_nothing_open(folder):
    engine = engine_of(folder)
    asked = requests(4)
    before = whole(engine, asked)
    engine.submit(asked)
    broken = engine.model.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(RuntimeError("out of memory")))
    with pytest.raises(RuntimeError, match="out of memory"):
        engine.poll()
    broken.remove()
    assert engine.poll() == []
    assert whole(engine, asked) == before
