"""Timers, counts and traces of a step, and errors that say where memory ran out."""

import contextlib
import gzip
import json
import os
import subprocess
import sys

import pytest
import torch

from kgym.cli.main import main
from kgym.runs.metrics import CLOCK, read_metrics
from kgym.train import profiling
from kgym.train.memory import GIB, available_bytes, is_out_of_memory, peak_bytes
from kgym.train.profiling import (
    Cost,
    OutOfMemory,
    Recorder,
    count,
    peak_flops,
    phase,
    reassign,
    recording,
    shares,
    table,
)

CPU = torch.device("cpu")
SMALL = ("rollout.problems_per_step=2", "rollout.group_size=4", "env.max_tokens=32", "eval.every=0", "train.threads=1")


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves only when it is told to: `clock(3)`."""
    now = [0.0]
    monkeypatch.setattr(profiling.time, "perf_counter", lambda: now[0])

    def advance(seconds):
        now[0] += seconds

    return advance


def test_a_phase_has_its_own_time_and_not_that_of_phases_inside(clock):
    recorder = Recorder()
    with recording(recorder):
        for _ in range(2):
            with phase("forward_backward"):
                clock(1)
                with phase("pack"):
                    clock(2)
                clock(3)
        clock(100)  # in no phase
    assert recorder.seconds == {"pack": 4, "forward_backward": 8}
    recorder.begin_step()
    assert recorder.seconds == {}
    assert recorder.totals == {"pack": 4, "forward_backward": 8}


def test_a_phase_that_fails_is_timed_too(clock):
    recorder = Recorder()
    with contextlib.suppress(KeyError), recording(recorder), phase("optimizer"):
        clock(2)
        raise KeyError
    with recording(recorder), phase("sync"):
        clock(1)
    assert recorder.seconds == {"optimizer": 2, "sync": 1}


def test_time_may_be_given_to_another_phase(clock):
    recorder = Recorder()
    with recording(recorder):
        with phase("generate"):
            clock(5)
        reassign("generate", "judge", 2)
    assert recorder.seconds == {"generate": 3, "judge": 2}


def test_without_a_recorder_nothing_happens():
    with phase("optimizer"):
        reassign("generate", "judge", 2)
        count(tokens=1, computed=1, trained=1, squares=1, backward=True)


def test_tokens_a_second_and_the_share_of_the_peak(clock):
    # forward 2 x (10 x 8 + 5 x 3) + 4 x 2 x 20 = 350 operations; with the backward pass three times as many, 1,050
    recorder = Recorder(cost=Cost(backbone=10, head=5, attention=2), peak_flops=1000.0)
    with recording(recorder), phase("forward_backward"):
        clock(2)
        count(tokens=12, computed=8, trained=3, squares=20, backward=False)
        count(tokens=12, computed=8, trained=3, squares=20, backward=True)
    found = recorder.metrics()
    assert found["speed/train_tokens_per_s"] == 12 / 2  # tokens that had a gradient
    assert found["speed/train_mfu_frac"] == pytest.approx((350 + 1050) / 2 / 1000)


def test_no_share_of_a_peak_that_nobody_knows(clock):
    recorder = Recorder()
    with recording(recorder), phase("forward_backward"):
        clock(2)
        count(tokens=12, computed=8, trained=3, squares=20, backward=True)
    assert recorder.metrics() == {"time/forward_backward_s": 2, "speed/train_tokens_per_s": 6}


@pytest.mark.parametrize(
    ("name", "teraflops"),
    [
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA A100 80GB PCIe", 312),
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H100 NVL", 835),
        ("NVIDIA H200", 989),
        ("NVIDIA B200", 2250),
        ("NVIDIA L4", 121),
        ("NVIDIA L40S", 362),
        ("NVIDIA GeForce RTX 4090", 165),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", None),
        ("Tesla T4", None),
    ],
)
def test_peaks_by_the_name_that_the_driver_gives(name, teraflops):
    assert peak_flops(name) == (None if teraflops is None else teraflops * 1e12)


def test_the_closing_table_has_shares_and_what_is_left():
    seconds = shares({"optimizer": 1.0, "generate": 6.0}, wall_s=10.0)
    assert list(seconds.items()) == [("generate", 6.0), ("optimizer", 1.0), ("other", 3.0)]
    assert table(seconds) == [
        "phase      seconds  share",
        "generate       6.0  60.0%",
        "optimizer      1.0  10.0%",
        "other          3.0  30.0%",
    ]


# --- a run ------------------------------------------------------------------------------------------------------------


def test_every_step_says_where_its_time_went(tmp_path):
    settings = [part for item in SMALL for part in ("--set", item)]
    assert main(["train", "--run", str(tmp_path / "run"), "--steps", "2", *settings, "--json"]) == 0
    for line in read_metrics(tmp_path / "run" / "metrics.jsonl"):
        times = [
            line[f"time/{name}_s"] for name in ("generate", "judge", "pack", "forward_backward", "optimizer", "sync")
        ]
        assert all(seconds >= 0 for seconds in times)
        rollout_s = line["time/generate_s"] + line["time/judge_s"]
        assert rollout_s <= line["time/rollout_s"] + 1e-6
        assert (
            line["time/pack_s"] + line["time/forward_backward_s"] + line["time/optimizer_s"]
            <= line["time/train_s"] + 1e-6
        )
        assert line["speed/train_tokens_per_s"] > 0
        assert 0.1 < line["memory/peak_gib"] < 64  # of a process with torch in it
    assert {"time/sync_s", "speed/train_tokens_per_s", "memory/peak_gib"} <= {
        key for key in line if key.startswith(CLOCK)
    }


# --- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to allocate "
            "83968 bytes"
        ),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: not enough memory: you tried to "
            "allocate 9 bytes"
        ),
    ],
)
def test_memory_that_ran_out_names_the_phase(error):
    def wrapped():
        try:
            raise error
        except Exception as cause:
            raise ValueError("wrapped on the way") from cause

    with pytest.raises(OutOfMemory, match=r"^forward and backward$"), phase("validate"), phase("forward_backward"):
        wrapped()


def test_other_errors_pass():
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes"), phase("forward_backward"):
        raise RuntimeError("shapes do not match")


def test_what_the_device_has(monkeypatch):
    with open("/proc/meminfo") as file:
        total = int(file.readline().split()[1]) * 1024
    assert 0 < available_bytes(CPU) <= total
    before = peak_bytes(CPU)
    assert before > 0.05 * GIB
    assert available_bytes(torch.device("meta")) is None
    monkeypatch.setattr("kgym.train.memory.n_local_ranks", lambda: 1000)
    assert available_bytes(CPU) <= total / 1000
    assert peak_bytes(torch.device("meta")) is None


def test_a_limit_of_the_process_counts():
    code = (
        "import resource, torch\nfrom kgym.train.memory import available_bytes, _table, PROC\n"
        "size = _table(PROC / 'self' / 'status')['VmSize']\n"
        "resource.setrlimit(resource.RLIMIT_AS, (size + (64 << 20), resource.RLIM_INFINITY))\n"
        "print(available_bytes(torch.device('cpu')) >> 20)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 60 <= int(done.stdout) <= 64


def test_a_cgroup_counts(tmp_path, monkeypatch):
    from kgym.train import memory

    group = tmp_path / "cgroups" / "jobs" / "one"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("5000\n")
    (group.parent / "memory.max").write_text("10000\n")
    (group.parent / "memory.current").write_text("7000\n")
    (group.parent / "memory.stat").write_text("anon 4000\ninactive_file 1500\n")
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "cgroup").write_text("0::/jobs/one\n")
    (tmp_path / "meminfo").write_text("MemTotal: 99 kB\nMemAvailable:   90 kB\n")
    monkeypatch.setattr(memory, "PROC", tmp_path)
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "cgroups")
    assert available_bytes(CPU) == 10000 - 7000 + 1500
    (tmp_path / "self" / "cgroup").write_text("4:memory:/box\n")  # version 1, seen from inside a container
    (tmp_path / "cgroups" / "memory").mkdir()
    (tmp_path / "cgroups" / "memory" / "memory.limit_in_bytes").write_text("8000\n")
    (tmp_path / "cgroups" / "memory" / "memory.usage_in_bytes").write_text("1000\n")
    assert available_bytes(CPU) == 7000
    (tmp_path / "cgroups" / "memory" / "memory.limit_in_bytes").write_text(f"{1 << 62}\n")
    assert available_bytes(CPU) == 90 * 1024


SHORT_OF_MEMORY = """
import os, resource
from kgym.hookspecs import hookimpl
kgym_api = 1

@hookimpl
def kgym_rollouts_finished(step):
    with open("/proc/self/status") as file:
        size = next(int(line.split()[1]) for line in file if line.startswith("VmSize")) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (size + (4 << 20), resource.RLIM_INFINITY))
"""
"""A plugin that lets the process have no more memory once the first completions are there."""


@pytest.mark.slow
def test_a_run_that_runs_out_of_memory_says_when(tmp_path):
    (tmp_path / "short_of_memory.py").write_text(SHORT_OF_MEMORY)
    settings = [part for item in (*SMALL, "rollout.problems_per_step=32") for part in ("--set", item)]
    done = subprocess.run(
        [sys.executable, "-m", "kgym", "train", "-p", "short_of_memory", "--run", str(tmp_path / "run"), *settings],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 1, done.stderr
    assert "kgym: error: step 1: memory ran out in the phase forward and backward" in done.stderr
    assert "Traceback" not in done.stderr


# --- traces -----------------------------------------------------------------------------------------------------------


def test_a_profiled_run_leaves_a_trace_with_its_phases(tmp_path, capsys):
    settings = [part for item in (*SMALL, "env.max_tokens=8") for part in ("--set", item)]
    assert main(["train", "--run", str(tmp_path / "run"), "--steps", "3", "--profile", *settings]) == 0
    assert [path.name for path in (tmp_path / "run" / "profile").iterdir()] == ["step-2.json.gz"]
    with gzip.open(tmp_path / "run" / "profile" / "step-2.json.gz") as file:
        trace = json.load(file)
    names = {event["name"] for event in trace["traceEvents"] if event.get("ph") == "X"}
    assert {"kgym: generate", "kgym: forward and backward", "kgym: optimizer", "kgym: sync", "aten::mm"} <= names
    said = capsys.readouterr().out
    assert "\nforward and backward " in said
    assert str(tmp_path / "run" / "profile" / "step-2.json.gz") in said
    seconds = json.loads((tmp_path / "run" / "summary.json").read_text())["profile"]["seconds"]
    assert seconds["load"] > 0
    assert list(seconds)[:7] == ["load", "generate", "judge", "pack", "forward and backward", "optimizer", "sync"]
    assert list(seconds)[7:] == ["validate", "save", "write the trace", "other"]
