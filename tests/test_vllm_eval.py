"""`kgym eval --engine vllm`, with the real vLLM: killed in the middle and started again, it ends with the figures of
an undisturbed one.
"""

import json
import os
import re
import subprocess
import sys
import time

import pandas as pd
import pytest

from kgym.cli.main import main

PYTHON = os.environ.get("KGYM_VLLM_PYTHON", "")
N = 200

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="KGYM_VLLM_PYTHON names no interpreter that has vLLM"),
]


def evaluated(capfd, *words):
    assert main([*words, "--json"]) == 0
    out, said = capfd.readouterr()
    return json.loads(out), said


def test_kill_9_in_the_middle_and_again(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    samples = tmp_path / "run" / "samples"
    asked = ["eval", "--bench", "arithmetic:validation", "--problems", str(N), "--temperature", "0"]
    straight, _ = evaluated(
        capfd, *asked, "--run", "straight", "--set", "engine.dtype=float32"
    )  # greedy completions are the same
    asked += ["--engine", "vllm", "--slots", "16", "--run", "run", "--set", f"engine.python={PYTHON}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "kgym", *asked], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not (samples / "part-00001.parquet").exists():
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    process.wait()
    kept = pd.read_parquet(samples)
    assert 0 < len(kept) < N
    again, said = evaluated(capfd, *asked)
    found = pd.read_parquet(samples)
    assert len(found) == N
    assert not found.duplicated(["problem_id", "attempt"]).any()
    assert set(kept["text"]) <= set(found["text"])
    same = ("accuracy", "scores", "tokens_mean", "truncated_frac")
    assert {name: again[name] for name in same} == {name: straight[name] for name in same}
    assert re.search(rf"{N}/{N} completions \| [\d.]+/s \| [\d,]+ tokens/s \| 0:00 left", said)
