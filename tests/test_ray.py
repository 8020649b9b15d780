"""The engine `ray`: replicas on Ray's own test cluster of two nodes, and what becomes of a run when one of them is
lost.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from transformers import AutoModelForCausalLM

from kgym.cli.main import main
from kgym.errors import ConfigError, EngineError
from kgym.models.weights import ModelWeights
from kgym.registry import configure
from kgym.rollout.engine import adapted, generate
from kgym.runs.metrics import CLOCK, read_metrics
from kgym.testing.engines import check_engine
from kgym.types import GenerateRequest, Message, Sampling, SamplingWork
from kgym_plugins.engines.transformers import TransformersEngine, TransformersOptions
from kgym_plugins.models.builtin import nano

ray = pytest.importorskip("ray", reason="the package ray is not installed")
cluster_utils = pytest.importorskip("ray.cluster_utils", reason="this version of ray has no test cluster")

from kgym_plugins.engines.ray import RayEngine, RayOptions  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")]


def requests(n=24, max_tokens=40):
    return [
        GenerateRequest(
            f"r{i}", (Message("user", f"What is {i // 4}+12?"),), max_tokens, Sampling(temperature=1.0), seed=i
        )
        for i in range(n)
    ]


def answers(engine, asked):
    found = {segment.request_id: segment for segment in generate(engine, asked)}
    return [found[request.id] for request in asked]


def test_the_plan_has_every_replica_that_is_where_the_policy_is(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    one = TransformersEngine.memory(TransformersOptions(dtype="float32"), str(nano()), SamplingWork(8, 2, 16, 64))
    three = RayEngine.memory(
        RayOptions(replicas=3, inner={"dtype": "float32"}), str(nano()), SamplingWork(24, 6, 16, 64)
    )
    assert three.device == "cpu"
    assert sum(three.held.values()) == 3 * sum(one.held.values())
    assert sum(three.sampling.values()) == 3 * sum(one.sampling.values())
    elsewhere = [RayOptions(replicas=3, gpus=1), RayOptions(replicas=3, address="auto")]
    assert all(
        RayEngine.memory(options, str(nano()), SamplingWork(24, 6, 16, 64)).device == "elsewhere"
        for options in elsewhere
    )


@pytest.fixture(scope="module")
def cluster():
    """Two nodes on this machine, each with a CPU to give away."""
    made = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    made.wait_for_nodes()
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture(scope="module")
def engine(cluster):
    return RayEngine(RayOptions(replicas=2, cpus=0.5, inner={"dtype": "float32"}), nano())


def pid(slot):
    return ray.get(slot.actor.__ray_call__.remote(lambda self: os.getpid()))


def test_the_contract_of_an_engine_holds(cluster):
    report = check_engine("ray", options={"replicas": 2, "cpus": 0.25}, model=str(nano()))
    assert not report.failures
    assert report.figures["gap_nats"] < 1e-4


def test_replicas_on_two_nodes_answer_as_one_engine_does(engine):
    alone = TransformersEngine(TransformersOptions(dtype="float32"), nano())
    got, expected = answers(engine, requests()), answers(alone, requests())
    assert [segment.token_ids for segment in got] == [segment.token_ids for segment in expected]
    assert (
        len(
            {
                ray.get(slot.actor.__ray_call__.remote(lambda self: ray.get_runtime_context().get_node_id()))
                for slot in engine._slots
            }
        )
        == 2
    )


def test_attempts_at_a_problem_go_to_one_replica(engine):
    engine.submit(requests())
    places = [set(slot.open) for slot in engine._slots]
    assert sorted(map(len, places)) == [12, 12]
    for problem in range(6):
        group = {f"r{problem * 4 + i}" for i in range(4)}
        assert any(group <= names for names in places)
    engine.abort()
    found = []
    while any(slot.open for slot in engine._slots):
        found += engine.poll()
    assert len(found) == 24


def test_a_replica_that_is_killed_loses_no_answer_and_changes_none(engine):
    model = AutoModelForCausalLM.from_pretrained(nano())
    engine.load(5, ModelWeights(model))
    expected = answers(engine, requests())
    victim = pid(engine._slots[1])
    engine.submit(requests())
    found = engine.poll()
    os.kill(victim, signal.SIGKILL)
    while any(slot.open for slot in engine._slots):
        found += engine.poll()
    by_id = {segment.request_id: segment for segment in found}
    assert len(found) == len(by_id) == 24
    for request, segment in zip(requests(), expected, strict=True):
        other = by_id[request.id]
        assert (other.token_ids, other.engine_logprobs, other.version) == (
            segment.token_ids,
            segment.engine_logprobs,
            5,
        )
    assert pid(engine._slots[1]) != victim
    assert engine.usage == {"failed_replica": 1}


def test_an_evaluation_has_the_figures_of_the_inner_engine_also_when_a_replica_is_lost(
    cluster, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    asked = [
        "eval",
        "--bench",
        "arithmetic:validation",
        "--problems",
        "30",
        "--samples",
        "4",
        "--slots",
        "16",
        "--json",
    ]
    assert main([*asked, "--run", "alone", "--set", "engine.dtype=float32"]) == 0
    alone = json.loads(capsys.readouterr().out)
    polls = []
    poll = RayEngine.poll

    def killing(self, timeout_s=None):
        polls.append(timeout_s)
        if len(polls) == 5:
            os.kill(pid(self._slots[0]), signal.SIGKILL)
        return poll(self, timeout_s)

    monkeypatch.setattr(RayEngine, "poll", killing)
    settings = ["engine.replicas=2", "engine.cpus=0.25", "engine.inner.dtype=float32"]
    assert main([*asked, "--engine", "ray", "--run", "ray", "--set", *settings]) == 0
    out, said = capsys.readouterr()
    found = json.loads(
        out[out.index("{\n") :]
    )  # before it Ray's own process, which this test started, prints that a worker died
    assert found["usage"] == {"failed_replica": 1}
    assert {name: found[name] for name in ("accuracy", "scores", "tokens_mean")} == {
        name: alone[name] for name in ("accuracy", "scores", "tokens_mean")
    }
    assert "120/120 completions" in said
    assert "| 1 failure" in said


def test_too_many_losses_end_the_run_with_the_remedy(cluster):
    engine = RayEngine(RayOptions(replicas=1, cpus=0.25, restarts=0), nano())
    os.kill(pid(engine._slots[0]), signal.SIGKILL)
    with pytest.raises(EngineError, match=r"replicas were lost 1 times, more than engine.restarts=0"):
        answers(engine, requests(4))


def test_replicas_that_the_cluster_has_no_room_for_are_refused(cluster):
    with pytest.raises(ConfigError, match=r"engine.replicas=9 with engine.cpus=1 need 9 CPUs and the cluster has 2"):
        RayEngine(RayOptions(replicas=9), nano())
    with pytest.raises(ConfigError, match="need 2 GPUs and the cluster has 0"):
        RayEngine(RayOptions(replicas=2, cpus=0.1, gpus=1), nano())
    with pytest.raises(ConfigError, match="each replica needs another engine"):
        RayEngine(RayOptions(of="ray"), nano())


def sampling_replicas(cluster):
    """Return the process numbers of the cluster's replicas that are sampling, by the names that Ray gives to
    processes.
    """
    raylets = {each.process.pid for node in cluster.list_all_nodes() for each in node.all_processes["raylet"]}
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            parent = next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("PPid:"))
            title = (status.parent / "cmdline").read_text()
        except (OSError, StopIteration):
            continue
        if int(parent) in raylets and title.startswith("ray::Replica.poll"):
            found.append(int(status.parent.name))
    return found


def test_the_command_loses_no_episode_with_a_replica_that_is_killed(cluster, tmp_path, capsys):
    settings = [
        "rollout.problems_per_step=4",
        "rollout.group_size=4",
        "env.max_tokens=96",
        "engine.replicas=2",
        "engine.cpus=0.25",
    ]
    words = ["train", "--engine", "ray", "--eval-every", "0", "--steps", "3"]
    words += ["--set", *settings, f"engine.address={cluster.address}", "train.threads=1"]

    def found(run):
        lines = read_metrics(run / "metrics.jsonl")
        episodes = [
            pd.read_parquet(path).drop(columns="verify_s") for path in sorted((run / "episodes").glob("*.parquet"))
        ]
        return [{key: value for key, value in line.items() if not key.startswith(CLOCK)} for line in lines], episodes

    assert main([*words, "--run", str(tmp_path / "undisturbed")]) == 0
    assert "was lost" not in capsys.readouterr().err
    run, killed = tmp_path / "disturbed", None
    process = subprocess.Popen(
        [sys.executable, "-m", "kgym", *words, "--run", str(run)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while killed is None:
        assert process.poll() is None, process.communicate()
        if (
            (run / "metrics.jsonl").exists()
            and read_metrics(run / "metrics.jsonl")
            and (sampling := sampling_replicas(cluster))
        ):
            killed = sampling[0]
            os.kill(killed, signal.SIGKILL)
        time.sleep(0.02)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "was lost" in err
    metrics, episodes = found(tmp_path / "undisturbed")
    again, episodes_again = found(run)
    assert again == metrics
    assert [len(table) for table in episodes] == [16, 16, 16]
    for table, other in zip(episodes, episodes_again, strict=True):
        assert table.to_json() == other.to_json()


# --- guards -----------------------------------------------------------------------------------------------------------


def train(run, *words, replicas=2):
    settings = [
        f"engine.replicas={replicas}",
        "engine.cpus=0.25",
        "engine.inner.dtype=float32",
        "train.lr=1e-6",
        "train.threads=1",
    ]
    return main(
        [
            "train",
            *words,
            "--engine",
            "ray",
            "--eval-every",
            "0",
            "--steps",
            "1",
            "--run",
            str(run),
            "-q",
            "--set",
            *settings,
        ]
    )


def check_ended(run, error, said):
    (line,) = [line for line in error.splitlines() if line.startswith("kgym:")]  # Ray's own processes may write, too
    assert "engine 'ray': after the load of" in line
    assert said in line
    assert not (run / "manifest.json").exists()  # the run has not begun


def put_in(replica, name):
    """Give a replica another engine; called in its process."""
    import faulty_engines

    options, kind = TransformersOptions(dtype="float32"), getattr(faulty_engines, name, TransformersEngine)
    replica._engine = adapted(kind(options, nano()))


@pytest.fixture
def warm(engine, monkeypatch):
    """Replicas that run already, and are those of the next engine: a fresh one takes seconds."""
    actors = [slot.actor for slot in engine._slots]
    left = list(actors)
    monkeypatch.setattr(RayEngine, "_start", lambda self: left.pop(0))
    yield actors
    ray.get(actors[1].__ray_call__.remote(put_in, ""))


WRONG_TENSORS, WRONG_ANSWERS = "tensors are not those of the trainer", "canary tokens is"
CASES = [
    ("leaves_out_shown", WRONG_TENSORS),
    ("leaves_out_bare", WRONG_ANSWERS),
    ("one_behind_shown", WRONG_TENSORS),
    ("one_behind_bare", WRONG_ANSWERS),
    ("stale_cache_shown", WRONG_ANSWERS),
    ("stale_cache_blocking", WRONG_ANSWERS),
]


@pytest.mark.parametrize(("fault", "said"), CASES)
def test_a_fault_of_one_replica_of_two_ends_a_run(warm, tmp_path, capsys, fault, said):
    ray.get(warm[1].__ray_call__.remote(put_in, fault))
    assert train(tmp_path / "run") == 1
    check_ended(tmp_path / "run", capsys.readouterr().err, said)


def test_weights_of_the_load_before_in_the_object_store_end_a_run(warm, tmp_path, monkeypatch, capsys):
    put, kept = ray.put, []

    def put_and_return_the_one_before(value):
        kept.append(put(value))
        return kept[-2] if len(kept) > 1 else kept[-1]

    monkeypatch.setattr(ray, "put", put_and_return_the_one_before)
    assert train(tmp_path / "run") == 1
    check_ended(tmp_path / "run", capsys.readouterr().err, WRONG_TENSORS)
    assert len(kept) == 2


def test_replicas_on_a_cluster_have_the_plugins_and_the_folder_of_the_command(cluster, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(nano(), "model")
    try:
        assert (
            train("run", "-p", "faulty_engines", "--model", "model", "--set", "engine.of=leaves_out_bare", replicas=1)
            == 1
        )
    finally:
        configure([])
    check_ended(tmp_path / "run", capsys.readouterr().err, WRONG_ANSWERS)
