"""The contract check of engines: what comes with kgym keeps it in every form, and each fault that it is for is
named.
"""

import pytest

from kgym.hookspecs import EngineInfo
from kgym.registry import registry
from kgym.rollout.engine import BlockingAdapter, generate
from kgym.rollout.worker import ProcessEngine
from kgym.testing.engines import UniformEngine, check_engine
from kgym.testing.report import ConformanceError
from kgym.types import BlockingEngine, Engine
from kgym_plugins.engines.decoding import SlotDecoder
from kgym_plugins.engines.lean import LeanModel
from kgym_plugins.engines.sampling import uniforms
from kgym_plugins.engines.transformers import TransformersEngine, TransformersOptions
from kgym_plugins.models.builtin import nano

OF_THE_MODEL = {
    "log-probabilities",
    "new weights",
    "completions that were begun under other weights",
    "load while asleep",
    "replies",
}
OF_AN_EXACT_ONE = {"among other requests", "the same again", "cut and continued"}


class Blocking:
    """An engine that only samples whole batches."""

    Options = TransformersOptions

    def __init__(self, options, model_folder):
        self.engine = TransformersEngine(options, model_folder)
        self.load, self.sleep, self.wake = self.engine.load, self.engine.sleep, self.engine.wake
        self.render_replies, self.turns_note = self.engine.render_replies, self.engine.turns_note

    @property
    def version(self):
        return self.engine.version

    def generate(self, requests):
        return generate(self.engine, requests)


def test_the_built_in_engine_keeps_what_its_record_promises():
    assert registry().info(EngineInfo.kind, "transformers").exact
    report = check_engine("transformers")
    assert set(report.passed) >= OF_THE_MODEL | OF_AN_EXACT_ONE | {"resumed"}
    assert report.figures["gap_nats"] < 1e-4


def test_an_engine_that_blocks_keeps_the_contract_behind_its_adapter():
    engine = Blocking(TransformersOptions(), str(nano()))
    assert isinstance(engine, BlockingEngine)
    assert not isinstance(engine, Engine)
    assert set(check_engine(engine, model="nano").passed) >= OF_THE_MODEL | OF_AN_EXACT_ONE
    assert set(check_engine(Blocking).passed) >= OF_THE_MODEL | OF_AN_EXACT_ONE | {"resumed"}


def test_an_engine_in_its_own_process_keeps_the_contract():
    engine = ProcessEngine("transformers", {}, str(nano()))
    assert set(check_engine(engine, model="nano").passed) >= OF_THE_MODEL | OF_AN_EXACT_ONE
    engine.close()


# --- faults -----------------------------------------------------------------------------------------------------------


class Loses(TransformersEngine):
    def poll(self, timeout_s=None):
        return [segment for segment in super().poll(timeout_s) if segment.request_id != "3"]


class KeepsOldWeights(TransformersEngine):
    def load(self, version, weights):
        self.version = version


class Untempered(SlotDecoder):
    def sample(self, batch):
        ids, _ = super().sample(batch)
        logprobs = batch.logits.float().log_softmax(1)
        return ids, [logprobs[place, token].item() for place, token in enumerate(ids)]


class IgnoresTemperature(TransformersEngine):
    def __init__(self, *args):
        super().__init__(*args)
        self._decoder = Untempered(self.model, LeanModel(self.model))


class RepeatsRandomNumbers(TransformersEngine):
    def _rows(self, requests):
        rows = super()._rows(requests)
        for row in rows:
            row.uniforms = uniforms(row.request.seed, 0, len(row.uniforms))
        return rows


class KeepsStaleCaches(TransformersEngine):
    def _drop_caches(self):
        pass


class TakesWeightsAtAnyTime(TransformersEngine):
    def _refuse_open(self, what):
        pass


class RendersNothing(TransformersEngine):
    def render_replies(self, replies):
        return [() for _ in replies]


class ForgetsAborted(TransformersEngine):
    def poll(self, timeout_s=None):
        return [segment for segment in super().poll(timeout_s) if segment.finish_reason != "abort"]


FAULTS = {
    Loses: [
        "segments: it raised EngineError: engine Loses: it returned no segment for 1 open requests, the first is 3"
    ],
    KeepsOldWeights: [
        "new weights: request 1, at temperature 1: the log-probabilities differ from the model's by",
        "they are those of the weights before the load",
    ],
    IgnoresTemperature: [
        "log-probabilities: request 2, at temperature 2: the log-probabilities differ from the model's by",
        "they are before the temperature was applied",
    ],
    RepeatsRandomNumbers: ["cut and continued: request 1, cut after 4 tokens, has another completion"],
    KeepsStaleCaches: ["completions that were begun under other weights: request"],
    RendersNothing: ["replies: render_replies returned no token for a reply"],
    TakesWeightsAtAnyTime: ["abort and continue: load takes new weights while requests are open"],
    ForgetsAborted: [
        "abort and continue: it raised EngineError: engine ForgetsAborted: it returned no segment for 4 open requests"
    ],
}


@pytest.mark.parametrize("engine", FAULTS)
def test_each_fault_is_named(engine):
    with pytest.raises(ConformanceError) as caught:
        check_engine(engine)
    text = str(caught.value)
    for expected in FAULTS[engine]:
        assert expected in text, text
    if engine is not Loses:
        assert len(caught.value.report.passed) >= 8  # and nothing else is complained of


def test_an_engine_that_promises_less_is_held_to_less():
    with pytest.raises(ConformanceError, match="cut and continued"):
        check_engine(RepeatsRandomNumbers)
    assert OF_AN_EXACT_ONE.isdisjoint(check_engine(RepeatsRandomNumbers, exact=False).passed)
    with pytest.raises(ConformanceError, match="log-probabilities"):
        check_engine(IgnoresTemperature, exact=False)


# --- the adapter ------------------------------------------------------------------------------------------------------


class OneByOne:
    """Blocks, and remembers what was asked of it and whether it was closed."""

    def __init__(self):
        self.inner = UniformEngine("0123")
        self.version, self.batches, self.closed = 0, [], 0

    def generate(self, requests):
        self.batches.append([request.id for request in requests])
        try:
            for request in requests:
                yield from generate(self.inner, [request])
        finally:
            self.closed += 1

    def load(self, version, weights):
        self.version = version

    def sleep(self):
        pass

    def wake(self):
        pass


def test_what_comes_while_a_batch_is_generated_waits_for_the_next():
    from kgym.types import GenerateRequest, Message, Sampling

    def requests(*names):
        return [GenerateRequest(name, (Message("user", "?"),), 5, Sampling(), 1) for name in names]

    engine = OneByOne()
    adapter = BlockingAdapter(engine)
    adapter.submit(requests("a", "b"))
    assert [segment.request_id for segment in adapter.poll()] == ["a"]
    adapter.submit(requests("c", "d", "e"))
    assert [segment.request_id for segment in adapter.poll()] == ["b"]
    adapter.abort(["d"])
    assert [(segment.request_id, segment.finish_reason, segment.token_ids) for segment in adapter.poll()] == [
        ("d", "abort", ())
    ]
    assert [segment.request_id for segment in adapter.poll()] == ["c"]
    adapter.submit(requests("f"))
    adapter.abort()
    assert [(segment.request_id, segment.finish_reason) for segment in adapter.poll()] == [
        ("e", "abort"),
        ("f", "abort"),
    ]
    assert engine.batches == [["a", "b"], ["c", "e"]]
    assert engine.closed == 2
    assert adapter.poll() == []
    adapter.submit(requests("g", "h", "i"))
    adapter.poll()
    adapter.abort(["h"])  # one of a batch: it is answered at once, and its segment thrown away
    assert [[segment.request_id for segment in adapter.poll()] for _ in range(3)] == [["h"], ["i"], []]
