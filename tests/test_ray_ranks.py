"""`--ranks N --cluster ADDRESS`: real ranks on Ray's own test cluster of two nodes. They give what one rank gives,
and end as one.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="the package ray is not installed")
cluster_utils = pytest.importorskip("ray.cluster_utils", reason="this version of ray has no test cluster")

import test_several_ranks as local  # noqa: E402  (real ranks without Ray)
from kgym.cli.cluster import GRACE_S  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address():
    """Two nodes on this machine, each with a processor for one rank and one for a replica, and two GPUs that exist
    only for Ray.
    """
    made = cluster_utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 2, "num_gpus": 2, "include_dashboard": False}
    )
    made.add_node(num_cpus=2, num_gpus=2)
    made.wait_for_nodes()
    yield made.address
    made.shutdown()


@pytest.fixture
def start():
    """Start a command on so many ranks of a cluster. What still runs at the end of a test, because it failed, is
    killed.
    """
    started = []

    def start_one(arguments, ranks, address):
        command = [sys.executable, "-m", "kgym", *arguments, "--ranks", str(ranks), "--cluster", address]
        started.append(
            subprocess.Popen(
                command, env=local.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
        return started[-1]

    yield start_one
    for process in started:
        process.kill()
        process.communicate()


def ranks(run):
    """Return the process number and the variables of the ranks of a run on the cluster, by rank. Other tests have
    their own ranks.
    """
    found = {}
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            lines = path.read_bytes().split(b"\0")
            command = (path.parent / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        variables = dict(line.decode("utf-8", "replace").partition("=")[::2] for line in lines)
        parent = variables.get("KGYM_RANKS_LAUNCHER")
        if (
            parent
            and variables.get("TORCHELASTIC_USE_AGENT_STORE")
            and b"kgym" in command
            and str(run).encode() in command
        ):
            found[int(variables["RANK"])] = int(path.parent.name), variables
    return found


def test_ranks_on_two_nodes_train_as_one_does_and_speak_as_one(address, start, tmp_path):
    local.train(tmp_path / "one", 3)
    process = start([*local.words(tmp_path / "two", 3), "--json"], 4, address)
    status, out, err = local.finish(process)
    assert status == 0, err
    assert out.count('"steps": 3') == 1  # by rank 0
    local.assert_same(tmp_path / "one", tmp_path / "two")


def test_a_killed_rank_ends_all_with_one_line_and_the_run_resumes(address, start, tmp_path):
    run = tmp_path / "run"
    process = start(local.words(run, 500, **{"train.save_every": 1}), 4, address)
    local.wait_for(run / "checkpoints" / "step-2" / "trainer.pt", process)
    found = ranks(run)
    mine = {rank: pid for rank, (pid, _) in found.items()}
    assert sorted(mine) == [0, 1, 2, 3]
    assert sorted(variables["LOCAL_RANK"] for _, variables in found.values()) == ["0", "0", "1", "1"]
    assert all(sorted(variables["CUDA_VISIBLE_DEVICES"].split(",")) == ["0", "1"] for _, variables in found.values())
    os.kill(mine[3], signal.SIGKILL)
    status, _, err = local.finish(process)
    assert status == 1
    assert err.count("\n") == 1
    assert "rank 3 on " in err
    assert "was killed by SIGKILL" in err
    assert f"--resume --run {run} --ranks 4 --cluster {address}" in err
    assert not any(Path(f"/proc/{pid}").exists() for pid in mine.values())
    shutil.copytree(run, tmp_path / "again")
    steps = len(local.metrics(run))
    local.resume(run, steps + 1)
    status, _, err = local.finish(
        start(
            ["train", "-p", "fixed_verdicts", "--resume", "--run", str(tmp_path / "again"), "--steps", str(steps + 1)],
            2,
            address,
        )
    )
    assert status == 0, err
    local.assert_same(run, tmp_path / "again")


@pytest.mark.parametrize(
    ("number", "status", "said"), [(signal.SIGTERM, 143, "ended by SIGTERM"), (signal.SIGINT, 130, "interrupted")]
)
def test_a_signal_ends_all_ranks_with_one_line(number, status, said, address, start, tmp_path):  # noqa: PLR0917
    run = tmp_path / "run"
    process = start(local.words(run, 500, **{"train.save_every": 1}), 2, address)
    local.wait_for(run / "checkpoints" / "step-1" / "trainer.pt", process)
    mine = [pid for pid, _ in ranks(run).values()]
    assert len(mine) == 2
    process.send_signal(number)
    begun = time.monotonic()
    got, _, err = local.finish(process)
    assert got == status, err
    assert time.monotonic() - begun < GRACE_S, "the ranks did not end, and were killed"
    assert err.count("\n") == 1
    assert err.startswith(f"kgym: {said}; ")
    assert not any(Path(f"/proc/{pid}").exists() for pid in mine)


def test_ranks_end_when_the_process_that_started_them_is_killed(address, start, tmp_path):
    run = tmp_path / "run"
    process = start(local.words(run, 500, **{"train.save_every": 1}), 2, address)
    local.wait_for(run / "checkpoints" / "step-1" / "trainer.pt", process)
    mine = [pid for pid, _ in ranks(run).values()]
    process.kill()
    process.communicate()
    end = time.monotonic() + local.WAIT_S
    while any(Path(f"/proc/{pid}").exists() for pid in mine):
        assert time.monotonic() < end
        time.sleep(0.2)


def test_ranks_sample_with_replicas_on_their_cluster(address, start, tmp_path):
    settings = {
        "engine.of": "transformers",
        "engine.replicas": 1,
        "engine.cpus": 0.5,
        "engine.gpus": 0.5,
        "train.device": "cpu",
    }
    local.train(tmp_path / "one", 2)
    process = start([*local.words(tmp_path / "two", 2, **settings), "--engine", "ray"], 2, address)
    status, _, err = local.finish(process)
    assert status == 0, err
    local.assert_same(tmp_path / "one", tmp_path / "two")


def free_port():
    with socket.socket() as listening:
        listening.bind(("", 0))
        return listening.getsockname()[1]


def test_the_job_for_two_nodes_runs(tmp_path):
    host = socket.gethostbyname(socket.gethostname())
    script = Path(__file__).parent.parent / "examples" / "two_nodes.sh"
    variables = local.environment() | {"HEAD": host, "PORT": str(free_port()), "SLURM_NNODES": "2"}
    (tmp_path / "bin").mkdir()  # the programs of this interpreter's packages, which may be in another folder
    for name, module in (("ray", "ray.scripts.scripts"), ("kgym", "kgym"), ("python", "")):
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {module and f"-m {module}"} "$@"\n')
        program.chmod(0o755)
    variables |= {"RAY_OPTIONS": "--num-cpus 2", "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    run = tmp_path / "run"
    words = [*local.words(run, 2)[1:], "engine.of=transformers", "engine.replicas=1", "engine.cpus=1"]
    nodes = [
        subprocess.Popen(
            ["bash", str(script), *words],
            env=variables | {"SLURM_NODEID": str(number)},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        for number in (0, 1)
    ]
    try:
        status, _, err = local.finish(nodes[0])
        assert status == 0, err
        assert len(local.metrics(run)) == 2
    finally:
        for node in nodes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(node.pid, signal.SIGTERM)
        nodes[1].communicate(timeout=60)


def test_what_is_wrong_is_said_in_one_line_before_anything_is_written(address, start, tmp_path):
    for arguments, n, said in (
        (["train", "--env", "airth"], 2, "no environment named 'airth'"),
        (["train"], 9, "--ranks 9: each needs a CPU, and the cluster has 4; start fewer ranks, or add machines"),
        (
            local.words(tmp_path / "run", 2, **{"rollout.schedule": "ahead", "rollout.max_lag": 2}),
            2,
            "rollout.max_lag=2 ",
        ),
    ):
        status, out, err = local.finish(
            start([*arguments, *(["--run", str(tmp_path / "run")] if "--run" not in arguments else [])], n, address)
        )
        assert (status, out) == (2, ""), err
        assert said in err
        assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", "--cluster 127.0.0.1:1: no Ray cluster can be reached there"),
        ("ray://127.0.0.1:1", "--cluster ray://127.0.0.1:1: name the cluster as HOST:PORT or auto"),
    ],
)
def test_a_cluster_that_cannot_be_reached_is_named(address, said, start, tmp_path):
    status, _, err = local.finish(start(["train", "--run", str(tmp_path / "run")], 2, address))
    assert status == 2
    assert err.startswith(f"kgym: error: {said}")
    assert err.count("\n") == 1
