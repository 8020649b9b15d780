"""A store of a million completions: summarised in seconds, in less than a gigabyte."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kgym.score.store import EvalFolder

PROBLEMS, SAMPLES, PARTS = 2_000, 500, 250

SUMMARY = """
import json, re, sys, time
from pathlib import Path
import pandas, pyarrow.parquet
from kgym.score.results import summarise
from kgym.score.store import EvalFolder

def peak_mib():
    # not ru_maxrss: Linux hands it down to a started program, so it would be the peak of whoever starts this one
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

begin, idle = time.perf_counter(), peak_mib()
frame = EvalFolder(Path(sys.argv[1])).frame()
result = summarise(frame, samples=int(sys.argv[2]), truncated="zero", facts={}, comparability="")
print(json.dumps({"s": time.perf_counter() - begin, "peak_mib": peak_mib(), "idle_mib": idle, \
"result": result.to_json()}))
"""


@pytest.fixture(scope="module")
def million(tmp_path_factory):
    """A store as an evaluation of 2000 problems with 500 completions each leaves it, in parts of whole problems; with
    their texts.
    """
    folder = tmp_path_factory.mktemp("million")
    (folder / "samples").mkdir()
    rng = np.random.default_rng(0)
    texts = [" ".join(f"step {i}: {number}" for i, number in enumerate(rng.integers(0, 999, 12))) for _ in range(100)]
    each = PROBLEMS // PARTS
    for part in range(PARTS):
        n = each * SAMPLES
        chance = np.repeat(rng.beta(0.6, 0.8, size=each), SAMPLES)
        right = rng.random(n) < chance
        answer = np.where(right, "204", rng.choice(["7", "12", "33", "100", "999"], size=n))
        silent, cut = rng.random(n) < 0.03, rng.random(n) < 0.02
        status = np.where(silent | cut, "no_answer", np.where(right, "correct", "wrong"))
        table = {
            "problem_id": np.repeat(
                [f"aime/validation/family-{i % 40}/d{i % 10}/{i}" for i in range(part * each, (part + 1) * each)],
                SAMPLES,
            ),
            "attempt": np.tile(np.arange(SAMPLES), each),
            "level": np.repeat(np.arange(part * each, (part + 1) * each) % 10 + 1, SAMPLES),
            "subject": np.repeat([f"family {i % 40}" for i in range(part * each, (part + 1) * each)], SAMPLES),
            "year": np.zeros(n, dtype=np.int64),
            "text": [texts[i] for i in rng.integers(0, 100, n)],
            "answer": pa.array(answer, mask=silent | cut),
            "normal": pa.array(answer, mask=silent | cut),
            "status": status,
            "score": (status == "correct").astype(float),
            "tokens": rng.integers(20, 4000, n),
            "finish_reason": np.where(cut, "length", "stop"),
            "truncated": cut,
            "token_ids": pa.ListArray.from_arrays(
                np.arange(n + 1, dtype=np.int32) * 20, rng.integers(0, 9999, n * 20, dtype=np.int32)
            ),
        }
        pq.write_table(pa.table(table), folder / "samples" / f"part-{part:05d}.parquet", compression="zstd")
    return folder


@pytest.mark.slow
def test_a_million_answers_in_seconds_and_under_a_gigabyte(million):
    command = [sys.executable, "-c", SUMMARY, str(million), str(SAMPLES)]
    measured = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print({key: measured[key] for key in ("s", "peak_mib", "idle_mib")})
    result = measured["result"]
    assert (result["n_samples"], result["n_problems"]) == (PROBLEMS * SAMPLES, PROBLEMS)
    assert measured["peak_mib"] < 1000
    assert measured["s"] < 30  # on a busy machine; a quiet one takes a few
    assert len(result["pass_at_k"]) == SAMPLES
    assert result["maj_at_k"]["256"] > result["accuracy"] + 0.02
    frame = EvalFolder(million).frame()
    assert result["accuracy"] == pytest.approx(frame.groupby("problem_id")["score"].mean().mean())
