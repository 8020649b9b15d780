"""The benchmark of types: how far weights move, and that it trains, does not train again what is there, and writes
its tables.
"""

import importlib.util
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent
spec = importlib.util.spec_from_file_location("benchmark_precision", ROOT / "benchmarks" / "precision.py")
benchmark = importlib.util.module_from_spec(spec)
spec.loader.exec_module(benchmark)


def test_sums_of_any_type_go_the_whole_way_where_nothing_is_rounded():
    start = torch.zeros(4, 4, dtype=torch.bfloat16)
    assert benchmark.kahan(start, 2.0**-10, 8) == 1.0
    assert benchmark.share(start, start.double() - 0.5, 1.0) == 0.5


def test_differences_come_with_their_standard_error():
    assert benchmark.with_error([0.1, 0.2, 0.6], "+.1f") == "+0.3 (standard error 0.15, 95 % ± 0.66)"
    assert benchmark.with_error([0.25], "+.1f") == "+0.2"


@pytest.mark.slow
def test_it_runs_whole_and_leaves_what_has_ended_alone(tmp_path, capsys):
    assert benchmark.main(["--quick", "--out", str(tmp_path)]) == 0
    text = (tmp_path / "precision.md").read_text()
    assert text.count("| 3 |") == 1
    assert "| `policy/engine_gap_nats` |" in text
    written = [(tmp_path / f"{dtype}-seed0" / "metrics.jsonl").stat().st_mtime_ns for dtype in benchmark.DTYPES]
    assert benchmark.main(["--quick", "--out", str(tmp_path)]) == 0
    assert [(tmp_path / f"{dtype}-seed0" / "metrics.jsonl").stat().st_mtime_ns for dtype in benchmark.DTYPES] == written
    assert capsys.readouterr().out.count(text) == 2
