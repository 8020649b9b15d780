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

PYTHON = os.environ.get("KGYM_VLLM_PYTHON", "")
N = 200

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="KGYM_VLLM_PYTHON names no interpreter that has vLLM"),
]


def started(*arguments, to=subprocess.PIPE):
    return subprocess.Popen([sys.executable, "-m", "kgym", *arguments, "--json"], stdout=to, stderr=to, text=True)


def ended(process):
    out, said = process.communicate()
    assert process.returncode == 0, said
    return json.loads(out), said


def test_kill_9_in_the_middle_and_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    samples = tmp_path / "run" / "samples"
    asked = ["eval", "--bench", "arithmetic:validation", "--problems", str(N), "--temperature", "0"]
    straight, _ = ended(
        started(*asked, "--run", "straight", "--set", "engine.dtype=float32")
    )  # greedy completions are the same
    asked += ["--engine", "vllm", "--slots", "16", "--run", "run", "--set", f"engine.python={PYTHON}"]
    process = started(*asked, to=subprocess.DEVNULL)
    while not (samples / "part-00001.parquet").exists():
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    process.wait()
    kept = pd.read_parquet(samples)
    assert 0 < len(kept) < N
    again, said = ended(started(*asked))
    found = pd.read_parquet(samples)
    assert len(found) == N
    assert not found.duplicated(["problem_id", "attempt"]).any()
    assert set(kept["text"]) <= set(found["text"])
    same = ("accuracy", "scores", "tokens_mean", "truncated_frac")
    assert {name: again[name] for name in same} == {name: straight[name] for name in same}
    assert re.search(rf"{N}/{N} completions \| [\d.]+/s \| [\d,]+ tokens/s \| 0:00 left", said)
