"""The plan of what the built-in engine takes while it samples, against the bytes of the tensors that it makes."""

import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoConfig

from kgym.rollout.engine import generate
from kgym.types import GenerateRequest, Message, Sampling, SamplingWork
from kgym_plugins.engines import transformers
from kgym_plugins.engines.decoders import GRAPHS_ON
from kgym_plugins.engines.sampling_memory import shares_prompts
from kgym_plugins.engines.transformers import TransformersEngine, TransformersOptions
from kgym_plugins.models.builtin import nano


class Bytes(TorchDispatchMode):
    """Counts the bytes of the storages that are made inside it and are alive."""

    def __init__(self):
        super().__init__()
        self.alive, self.peak = {}, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        given = {_storage(tensor)._cdata for tensor in tree_leaves((args, kwargs)) if isinstance(tensor, torch.Tensor)}
        for tensor in tree_leaves(found):
            if (
                isinstance(tensor, torch.Tensor)
                and (storage := _storage(tensor))._cdata not in given | self.alive.keys()
            ):
                self.alive[storage._cdata] = storage.nbytes()
                weakref.finalize(storage, self.alive.pop, storage._cdata, 0)
        self.peak = max(self.peak, sum(self.alive.values()))
        return found


def _storage(tensor):
    return tensor.untyped_storage()


def prompts(encoder, n, tokens):
    """Return n chats of about so many tokens, and the tokens of the longest."""
    length = next(
        k for k in range(tokens) if len(encoder.prompt((Message("user", f"What is {'1+' * k}1?"),))) >= tokens
    )
    found = [(Message("user", f"What is {'1+' * length}{number}?"),) for number in range(n)]
    return found, max(len(encoder.prompt(chat)) for chat in found)


@pytest.mark.parametrize(
    ("n", "size", "prompt_tokens", "answer", "max_batch", "most"),
    [
        (4, 4, 30, 70, 256, "keys and values"),  # while rows move to longer slots
        (4, 4, 30, 40, 256, "keys and values"),  # while slots grow
        (6, 2, 150, 10, 256, "reading and choosing"),
        (2, 8, 24, 100, 8, "keys and values"),  # while cut completions are kept for the others to end
    ],
)
def test_a_plan_is_what_sampling_takes(monkeypatch, n, size, prompt_tokens, answer, max_batch, most):  # noqa: PLR0917
    monkeypatch.setattr(transformers, "is_small", lambda _: False)  # bytes are counted in this thread
    engine = TransformersEngine(TransformersOptions(dtype="float32", max_batch=max_batch), nano())
    engine.end_ids = frozenset()  # every completion uses its budget
    chats, longest = prompts(engine.encoder, n, prompt_tokens)
    asked = [
        GenerateRequest(f"{number}/{attempt}", chat, answer, Sampling(), seed=attempt)
        for number, chat in enumerate(chats)
        for attempt in range(size)
    ]
    with Bytes() as found:
        assert sum(segment.n_tokens for segment in generate(engine, asked)) == n * size * answer
    work = SamplingWork(n * size, n, longest, longest + answer)
    planned = TransformersEngine.memory(engine.options, str(nano()), work)
    assert sum(planned.sampling.values()) == pytest.approx(found.peak, rel=0.15)
    assert max(planned.sampling, key=planned.sampling.get) == most
    assert ("completions that were cut" in planned.sampling) == (max_batch < n * size)


@pytest.fixture
def graphs_on_a_cpu():
    GRAPHS_ON.add("cpu")
    yield
    GRAPHS_ON.discard("cpu")


@pytest.mark.parametrize(("prompt_tokens", "answer"), [(30, 70), (40, 600)])
def test_a_plan_for_graphs_is_what_sampling_takes(monkeypatch, graphs_on_a_cpu, prompt_tokens, answer):
    monkeypatch.setattr(transformers, "is_small", lambda _: False)
    engine = TransformersEngine(TransformersOptions(dtype="float32"), nano())
    engine.end_ids = frozenset()
    chats, longest = prompts(engine.encoder, 4, prompt_tokens)
    asked = [
        GenerateRequest(f"{number}/{k}", chat, answer, Sampling(), seed=k)
        for number, chat in enumerate(chats)
        for k in range(3)
    ]
    with Bytes() as found:
        assert sum(segment.n_tokens for segment in generate(engine, asked)) == 12 * answer
    planned = TransformersEngine.memory(engine.options, str(nano()), SamplingWork(12, 4, longest, longest + answer))
    assert found.peak <= sum(planned.sampling.values()) <= 1.35 * found.peak
    assert max(planned.sampling, key=planned.sampling.get) == "keys and values"
    assert planned.savings["engine.cuda_graphs=false"] > 0
    assert planned.keeps
    huge = TransformersEngine.memory(engine.options, str(nano()), SamplingWork(256, 4, longest, 40_000))
    assert not huge.keeps


def test_options_that_need_less_save_what_the_plan_says():
    work = SamplingWork(64, 8, 30, 100)

    def planned(**options):
        return TransformersEngine.memory(TransformersOptions(dtype="float32", **options), str(nano()), work)

    now = planned(max_batch=32)
    assert now.savings.keys() == {"engine.max_batch=16", "engine.parked=0"}
    for saving, options in (
        ("engine.max_batch=16", {"max_batch": 16}),
        ("engine.parked=0", {"max_batch": 32, "parked": 0}),
    ):
        assert sum(now.sampling.values()) - now.savings[saving] == sum(planned(**options).sampling.values())
    assert planned().savings.keys() == {"engine.max_batch=32"}  # all rows have room, so none waits for another to end


def test_completions_that_are_continued_and_models_with_windows_share_no_prompt():
    assert shares_prompts(AutoConfig.from_pretrained(nano()))
    assert not shares_prompts(AutoConfig.for_model("gemma2", architectures=["Gemma2ForCausalLM"]))
    options = TransformersOptions(dtype="float32")
    once, again = (
        TransformersEngine.memory(options, str(nano()), SamplingWork(64, 4, 400, 460, continued=continued))
        for continued in (False, True)
    )
    assert again.sampling["keys and values"] > 5 * once.sampling["keys and values"]
