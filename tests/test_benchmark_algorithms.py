"""The comparison of algorithms: the statistics of its table, and that it runs, goes on where it stopped and writes
its page.
"""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from kgym.registry import configure

ROOT = Path(__file__).parent.parent
spec = importlib.util.spec_from_file_location("benchmark_algorithms", ROOT / "benchmarks" / "algorithms.py")
benchmark = importlib.util.module_from_spec(spec)
spec.loader.exec_module(benchmark)

TINY = [
    "--steps",
    "1",
    "--seeds",
    "2",
    "--problems",
    "3",
    "--set",
    "rollout.problems_per_step=2",
    "--set",
    "rollout.group_size=2",
]
TINY += ["--set", "env.max_tokens=40"]


def test_mean_and_interval():
    assert benchmark.mean([0.1, 0.2, 0.6]) == pytest.approx(0.3)
    assert benchmark.reach([0.1, 0.2, 0.6]) == pytest.approx(
        4.30265 * (0.14 / 2 / 3) ** 0.5, rel=1e-5
    )  # Student's t of three seeds
    assert benchmark.spread([0.1, 0.2, 0.6], 100, "+.1f") == "+30.0 ± 65.7"
    assert benchmark.spread([-0.02], 100, "+.1f") == "-2.0"


def test_the_page_has_a_place_for_the_table():
    page = benchmark.PAGE.read_text()
    filled = benchmark.fill(page, "| new |")
    assert filled.count("| new |") == 1
    assert benchmark.fill(filled, "| newer |") == benchmark.fill(page, "| newer |")


def test_the_page_compares_every_algorithm_of_kgym():
    """A new algorithm is measured, or LEFT_OUT says why it cannot be."""
    table = benchmark.PAGE.read_text().split(benchmark.BEGIN)[1].split(benchmark.END)[0]
    assert re.findall(r"^\| `([^`]+)` \|", table, flags=re.MULTILINE) == benchmark.algorithms("")


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    out = tmp_path_factory.mktemp("comparison") / "out"
    assert benchmark.main([*TINY, "--out", str(out), "--algos", "reinforce,remax"]) == 0
    return out


def results(out):
    return {file.parent.name: json.loads(file.read_text()) for file in out.glob("*/result.json")}


def test_runs_have_their_figures(out):
    found = results(out)
    assert set(found) == {"reinforce-seed0", "reinforce-seed1", "remax-seed0", "remax-seed1"}
    for seed in (0, 1):
        before = json.loads((out / f"before-seed{seed}.json").read_text())
        assert {found[f"{name}-seed{seed}"]["before"] for name in ("reinforce", "remax")} == {before}
        assert {found[f"{name}-seed{seed}"]["optimizer_steps"] for name in ("reinforce", "remax")} == {
            2
        }  # two passes of one step
        assert (
            found[f"remax-seed{seed}"]["tokens"] > found[f"reinforce-seed{seed}"]["tokens"]
        )  # the same completions and the greedy ones
    assert (out / "algorithms.svg").stat().st_size > 1000


def test_it_goes_on_where_it_stopped_and_writes_the_page(out, tmp_path, capsys):
    before = results(out)
    lost = out / "remax-seed1"
    (lost / "result.json").unlink()
    kept = (out / "reinforce-seed0" / "result.json").stat().st_mtime_ns
    page = tmp_path / "page.md"
    page.write_text(f"above\n{benchmark.BEGIN}\nold\n{benchmark.END}\nbelow\n")
    assert benchmark.main([*TINY, "--out", str(out), "--algos", "reinforce,remax", "--write-docs", str(page)]) == 0
    assert (out / "reinforce-seed0" / "result.json").stat().st_mtime_ns == kept
    again = results(out)
    for name in before:
        assert {key: value for key, value in again[name].items() if key != "seconds"} == {
            key: value for key, value in before[name].items() if key != "seconds"
        }
    text = page.read_text()
    assert text.startswith("above\n")
    assert text.endswith("below\n")
    assert "| `remax` |" in text
    assert "old" not in text
    assert capsys.readouterr().out.strip() in text
    assert (tmp_path / "algorithms.svg").read_bytes() == (out / "algorithms.svg").read_bytes()


def test_it_can_be_run_in_parts_and_reports_what_there_is(out, tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text(f"{benchmark.BEGIN}\n{benchmark.END}\n")
    arguments = [
        *TINY,
        "--out",
        str(out),
        "--algos",
        "remax,mirror,reinforce",
        "--minutes",
        "0",
        "--write-docs",
        str(page),
    ]
    assert benchmark.main(arguments) == 0
    assert "2 runs are missing" in capsys.readouterr().err
    rows = [line.split("|")[1:3] for line in page.read_text().splitlines() if line.startswith("| `")]
    assert rows == [[" `reinforce` ", " 2 "], [" `remax` ", " 2 "]]  # by name
    assert "Not run: `mirror`." in page.read_text()


def test_other_settings_want_another_folder(out, capsys):
    assert benchmark.main([*TINY, "--steps", "2", "--out", str(out)]) == 1
    assert "other settings" in capsys.readouterr().err
    assert benchmark.main([*TINY, "--algos", "miror", "--out", str(out)]) == 1
    assert "did you mean 'mirror'" in capsys.readouterr().err


def test_a_run_without_a_lesson_has_no_gain(tmp_path, capsys):
    configure(["fixed_verdicts"])
    try:
        arguments = [
            *TINY,
            "--algos",
            "dapo",
            "--set",
            "verifier=always-wrong",
            "--set",
            "algo.max_rounds=1",
            "--out",
            str(tmp_path),
        ]
        assert benchmark.main([*arguments, "--seeds", "1"]) == 0
        arguments = [
            *TINY,
            "--steps",
            "4",
            "--seeds",
            "1",
            "--algos",
            "dapo",
            "--set",
            "verifier=always-wrong",
            "--set",
            "algo.max_rounds=2",
        ]
        assert benchmark.main([*arguments, "--out", str(tmp_path / "bounded")]) == 0
    finally:
        configure([])
    assert "nothing to learn" in capsys.readouterr().err
    assert results(tmp_path / "bounded")["dapo-seed0"]["after"] == results(tmp_path / "bounded")["dapo-seed0"]["before"]
