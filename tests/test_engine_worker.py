"""`ProcessEngine`: an engine in its own process samples what it samples here, and ends when it has to."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from transformers import AutoModelForCausalLM

from kgym.errors import ConfigError, EngineError
from kgym.models.weights import ModelWeights, TensorWeights
from kgym.rollout.engine import generate, make_engine
from kgym.rollout.worker import ProcessEngine
from kgym.types import Engine, GenerateRequest, MeasuresPrompts, Message, Sampling
from kgym_plugins.models.builtin import nano

OPTIONS = {"device": "cpu", "max_batch": 8}


def requests(n=12, tokens=40):
    return [
        GenerateRequest(f"r{i}", (Message("user", f"What is {i}+{i}?"),), tokens, Sampling(temperature=0.9), seed=i)
        for i in range(n)
    ]


def everything(segments):
    return [tuple(getattr(segment, name) for name in segment.__slots__) for segment in segments]


@pytest.fixture(scope="module")
def worker():
    engine = ProcessEngine("transformers", OPTIONS, str(nano()))
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def here():
    return make_engine("transformers", OPTIONS, str(nano()))


def test_it_samples_what_the_engine_samples_here_to_the_bit(worker, here):
    assert isinstance(worker, Engine)
    assert everything(generate(worker, requests())) == everything(generate(here, requests()))
    for engine in (worker, here):
        engine.submit(requests())
        engine.abort(["r3", "nobody"])
    first = [everything(engine.poll()) for engine in (worker, here)]
    assert first[0] == first[1] != []
    for engine in (worker, here):
        engine.abort()
    assert everything(worker.poll()) == everything(here.poll())
    assert worker.poll() == here.poll() == []


def test_it_measures_prompts_if_the_engine_does(worker, here):
    assert isinstance(worker, MeasuresPrompts)
    prompts = [(Message("user", "x" * n),) for n in (3, 30, 3000)]
    assert worker.too_long(prompts, 20) == here.too_long(prompts, 20) != {}


def test_weights_go_through_shared_memory_also_while_asleep(worker, here):
    before = everything(generate(worker, requests()))
    model = AutoModelForCausalLM.from_pretrained(nano())
    for version in (3, 4):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.05)
        for engine in (worker, here):
            engine.sleep()
            engine.load(version, ModelWeights(model))
            engine.wake()
        assert worker.version == version
        after = everything(generate(worker, requests()))
        assert after == everything(generate(here, requests()))
        assert after != before
        before = after


def test_other_weights_are_refused_in_the_words_of_the_engine(worker, here):
    model = AutoModelForCausalLM.from_pretrained(nano())
    tensors = dict(ModelWeights(model).named())
    name = next(iter(tensors))
    lacking = TensorWeights({key: tensor for key, tensor in tensors.items() if key != name})
    small = TensorWeights(tensors | {name: torch.zeros(3, 1), "none": torch.zeros(0)})
    versions = worker.version, here.version
    for weights in (lacking, small):
        said = []
        for engine in (worker, here):
            with pytest.raises(EngineError) as caught:
                engine.load(9, weights)
            said.append(str(caught.value))
        assert said[0] == said[1]
        assert "names" in said[0]
    assert (worker.version, here.version) == versions


def test_a_model_that_cannot_be_loaded_is_refused_as_here(tmp_path):
    with pytest.raises(ConfigError, match="cannot load the configuration of a model from"):
        ProcessEngine("transformers", OPTIONS, str(tmp_path))


def test_a_worker_that_was_killed_is_named_with_its_exit_code_and_a_remedy():
    engine = ProcessEngine("transformers", OPTIONS, str(nano()))
    engine.submit(requests())
    os.kill(engine.pid, signal.SIGKILL)
    with pytest.raises(
        EngineError, match=r"its process ended \(exit code -9, SIGKILL\).*sample fewer completions at once.*--resume"
    ):
        engine.poll()
    with pytest.raises(EngineError, match="its process has ended; make the engine again"):
        engine.poll()
    engine.close()


PLUGIN = """
from kgym.hookspecs import EngineInfo, hookimpl
from kgym.options import Options
from kgym.testing.engines import ScriptedEngine

kgym_api = 1


@hookimpl
def kgym_components():
    yield EngineInfo(name="noisy", target="noisy:Noisy")


class Noisy(ScriptedEngine):
    Options = Options

    def __init__(self, options, model):
        print("made")
        super().__init__({"say": "it"})

    def poll(self, timeout_s=None):
        print("polled")
        return super().poll(timeout_s)

    def wake(self):
        raise RuntimeError("out of order")
"""
SCRIPT = """
import sys, time
from kgym.registry import configure
from kgym.rollout.engine import generate
from kgym.rollout.worker import ProcessEngine
from kgym.types import GenerateRequest, MeasuresPrompts, Message, Sampling
from kgym.blame import blaming

configure(["./noisy.py"])
engine = ProcessEngine("noisy", {}, "model")
assert not isinstance(engine, MeasuresPrompts)
print(*generate(engine, [GenerateRequest("a", (Message("user", "say"),), 5, Sampling(), 1)]))
try:
    with blaming("engine", engine):
        engine.wake()
except Exception as error:
    print(type(error).__name__, error)
print(engine.pid, flush=True)
"""


def test_plugin_files_prints_and_errors_are_treated_as_here(tmp_path):
    (tmp_path / "noisy.py").write_text(PLUGIN)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True
    )
    said, error, pid = done.stdout.splitlines()
    assert said == "it"
    assert error.startswith("ComponentError engine 'noisy' of ")
    assert error.endswith(": RuntimeError: out of order")
    assert done.stderr.splitlines() == ["made", "polled"]
    assert gone(int(pid))


LONG = """
from kgym.rollout.worker import ProcessEngine
from kgym.types import GenerateRequest, Message, Sampling
from kgym_plugins.models.builtin import nano

engine = ProcessEngine("transformers", {"device": "cpu"}, str(nano()))
asked = [GenerateRequest(str(i), (Message("user", "What is 2+2?"),), 500, Sampling(temperature=5.0), i) \
for i in range(200)]
print(engine.pid, flush=True)
while True:
    engine.submit(asked)
    while engine.poll():
        pass
"""


def test_the_worker_ends_with_a_parent_that_is_killed_in_the_middle_of_a_call():
    parent = subprocess.Popen([sys.executable, "-c", LONG], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    time.sleep(0.5)
    assert not gone(pid, wait_s=0)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert gone(pid)


def gone(pid, wait_s=20.0):
    """Whether there is no such process that runs."""
    until = time.monotonic() + wait_s
    while True:
        try:
            with open(f"/proc/{pid}/stat") as file:
                running = file.read().rpartition(")")[2].split()[0] != "Z"
        except FileNotFoundError:
            running = False
        if not running or time.monotonic() > until:
            return not running
        time.sleep(0.05)
