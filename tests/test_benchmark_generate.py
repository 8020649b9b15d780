"""The benchmark of sampling: every engine samples all tokens that are asked for, and the table has each."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
spec = importlib.util.spec_from_file_location("benchmark_generate", ROOT / "benchmarks" / "generate.py")
benchmark = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = benchmark
spec.loader.exec_module(benchmark)


def test_lengths_have_a_long_tail_and_one_completion_has_all_of_it():
    for load in benchmark.LOADS:
        assert load.lengths("fixed") == [load.fixed] * load.rows
        tail = load.lengths("long tail")
        assert len(tail) == load.tail_requests
        assert max(tail) == load.tail == tail[0]
        assert min(tail) >= 1
        assert sorted(tail)[len(tail) // 2] < load.tail / 8


def test_ratios_compare_the_best_rounds_with_those_of_the_built_in_engine():
    runs = {benchmark.BUILT_IN: [(1.0, 2.0), (1.5, 1.5)], benchmark.GENERATE: [(3.0, 3.0), (4.0, 4.0)]}
    engines = {name: benchmark.figures(found, 300, 1000.0) for name, found in runs.items()}
    case = {"size": "1M", "kind": "fixed", "requests": 3, "tokens": 300, "rows": 3, "limit": 1000, "engines": engines}
    where = {"cpu": "a processor", "cores": 2, "threads": 2, "load_before": 0.0, "commit": "abc"}
    text = benchmark.report({"machine": where, "loads": [case]})
    assert "| kgym transformers | 300 |  |  | 30.0% |" in text
    assert "| generate | 100 | **3.00** times | **2.00** times | 10.0% |" in text


@pytest.mark.slow
def test_it_measures_every_engine_and_writes_the_table(tmp_path):
    assert benchmark.main(["--quick", "--threads", "1", "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "generate.json").read_text())
    assert [case["kind"] for case in found["loads"]] == ["fixed", "long tail"]
    for case in found["loads"]:
        assert case["engines"].keys() >= {benchmark.BUILT_IN, benchmark.GENERATE, benchmark.CONTINUOUS}
        assert all(of["tokens_per_s"] > 0 for of in case["engines"].values())
    assert "generate_batch" in (tmp_path / "generate.md").read_text()
