r"""The math verifier against Math-Verify: the same labelled cases, in the same run, on the same machine.

    python benchmarks/verifier.py                            makes a virtual environment for Math-Verify first (needs a
                                                             package index)
    python benchmarks/verifier.py --peer-python PY           uses an interpreter that has math-verify 0.9 already
    python benchmarks/verifier.py --cases FILE.jsonl ...     other cases: JSON lines with gold, response and label

Three kinds of cases are counted separately: those that the verifier was developed against, those that were judged
before work on their kinds began, and a file of `--cases`. The right verdicts of the first two show that the verifier
works as intended; only new cases show how it judges new completions.

Each completion is timed alone. kgym is called as a trainer calls it, through `load_verifier("math")` and its pool of
worker processes. Math-Verify is called in its own process, which saves it the communication, with its own time limits
of 5 s, and on golds in dollar signs, as its documentation asks.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

DATA = Path(__file__).parent.parent / "tests" / "data"
NAMES = ("kinds", "golds-failed", "holdout", "kinds2", "holdout2", "holdout3", "kinds3", "holdout4")
SETS = {
    "developed against": sorted((DATA / "math_cases").glob("*.jsonl")),
    "first tries of before": [DATA / "math_cases_first_try" / f"{name}-2026-11.jsonl" for name in NAMES],
}
REQUIREMENTS = ("math-verify==0.9.0", "antlr4-python3-runtime==4.13.2")
BOMBS = [
    {"gold": "7", "response": rf"\boxed{{{bomb}}}", "label": False, "kind": "bomb"}
    for bomb in (
        "9^{9^{9^{9}}}",
        "5^{(5^{(5^{(5^5)})}-4)}",
        "((((9!)!)!)!)!",
        r"\binom{10^{15}}{5 \cdot 10^{14}}",
        r"\sin(10^{10^{100}})",
    )
]

PEER = r"""
import json, logging, sys, time
logging.disable(logging.CRITICAL)
from math_verify import parse, verify
parse("$1$")
for line in sys.stdin:
    case = json.loads(line)
    begin = time.perf_counter()
    try:
        accepted = bool(verify(parse("$" + case["gold"] + "$"), parse(case["response"])))
    except Exception as error:
        accepted = False
    print(json.dumps([accepted, time.perf_counter() - begin]), flush=True)
"""


def main() -> int:
    """Run both, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cases", type=Path, nargs="+", help="JSON lines; default: those of the tests, developed and first tries apart"
    )
    parser.add_argument("--peer-python", type=Path, help="interpreter that has math-verify")
    parser.add_argument("--no-bombs", action="store_true", help="leave out the five bombs")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args()
    sets = {"cases": args.cases} if args.cases else SETS
    cases = [
        json.loads(line) | {"set": name}
        for name, paths in sets.items()
        for path in paths
        for line in path.read_text("utf-8").splitlines()
    ]
    cases += [] if args.no_bombs else BOMBS
    with tempfile.TemporaryDirectory() as folder:
        python = args.peer_python or peer_environment(Path(folder))
        results = {"math (kgym)": run_kgym(cases), "Math-Verify 0.9.0": run_peer(python, cases)}
    table = {name: summary(cases, result) for name, result in results.items()}
    table["math (kgym)"]["times_faster_at_the_median"] = (
        table["Math-Verify 0.9.0"]["median_ms"] / table["math (kgym)"]["median_ms"]
    )
    if args.json:
        print(json.dumps({"cases": len(cases), "machine": machine(), "results": table}, indent=2))
    else:
        show(len(cases), table)
    return 0


def peer_environment(folder: Path) -> Path:
    """Make a virtual environment with Math-Verify in it; return its interpreter."""
    venv.create(folder / "peer", with_pip=True)
    python = folder / "peer" / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS],
        check=True,
        stdout=sys.stderr,
    )
    return python


def run_kgym(cases: list[dict]) -> list[tuple[bool, float]]:
    """Judge every case; return whether it was accepted, and the seconds."""
    from kgym.limits import PoolLimits
    from kgym.types import VerifyItem
    from kgym.verify.service import load_verifier

    verifier = load_verifier("math", limits=PoolLimits(workers=2, deadline_s=5.0))
    verifier.verify_many([VerifyItem(r"\sqrt{2}", r"\boxed{2/\sqrt{2}}")] * 4)
    results = []
    for case in cases:
        begin = time.perf_counter()
        (verdict,) = verifier.verify_many([VerifyItem(case["gold"], case["response"], case.get("question", ""))])
        results.append((verdict.status == "correct", time.perf_counter() - begin))
    return results


def run_peer(python: Path, cases: list[dict]) -> list[tuple[bool, float]]:
    """The same by Math-Verify."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with subprocess.Popen(
        [python, "-c", PEER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as peer:
        results = []
        for case in cases:
            peer.stdin.write(json.dumps({"gold": case["gold"], "response": case["response"]}) + "\n")
            peer.stdin.flush()
            line = peer.stdout.readline()
            if not line:
                raise SystemExit(f"Math-Verify ended at {case['response'][:80]!r}; is it installed for {python}?")
            accepted, seconds = json.loads(line)
            results.append((accepted, seconds))
        peer.stdin.close()
    return results


def summary(cases: list[dict], results: list[tuple[bool, float]]) -> dict:
    """Shares of right verdicts and counts of wrong ones by set of cases, and times over all."""
    times = sorted(1000 * seconds for _, seconds in results)
    parts: dict[str, list[tuple[bool, bool]]] = {}
    for (accepted, _), case in zip(results, cases, strict=True):
        parts.setdefault(case.get("set", "bombs"), []).append((accepted, case["label"]))
    return {
        "sets": {name: counts(pairs) for name, pairs in parts.items()},
        "median_ms": statistics.median(times),
        "p99_ms": times[int(0.99 * (len(times) - 1))],
        "p99_9_ms": times[int(0.999 * (len(times) - 1))],
        "max_ms": times[-1],
    }


def counts(pairs: list[tuple[bool, bool]]) -> dict[str, float]:
    """Count verdicts, (accepted, label) each."""
    positives = sum(label for _, label in pairs)
    false_accepts = sum(accepted and not label for accepted, label in pairs)
    false_rejects = sum(label and not accepted for accepted, label in pairs)
    return {
        "cases": len(pairs),
        "right": sum(accepted == label for accepted, label in pairs) / len(pairs),
        "false_accepts": false_accepts,
        "false_accept_frac": false_accepts / max(1, len(pairs) - positives),
        "false_rejects": false_rejects,
        "false_reject_frac": false_rejects / max(1, positives),
    }


def machine() -> str:
    """What this ran on."""
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def show(count: int, table: dict[str, dict[str, float]]) -> None:
    """Print the table."""
    print(f"{count} cases; {machine()}\n")
    for part in next(iter(table.values()))["sets"]:
        rows = {name: row["sets"][part] for name, row in table.items()}
        print(f"{part}: {next(iter(rows.values()))['cases']} cases")
        print(f"{'':<20}{'right':>8}{'false accepts':>18}{'false rejects':>18}")
        for name, row in rows.items():
            accepts = f"{row['false_accepts']} ({row['false_accept_frac']:.1%})"
            rejects = f"{row['false_rejects']} ({row['false_reject_frac']:.1%})"
            print(f"{name:<20}{row['right']:>8.1%}{accepts:>18}{rejects:>18}")
        print()
    print(f"{'ms a completion':<20}{'median':>11}{'p99':>11}{'p99.9':>11}{'max':>12}")
    for name, row in table.items():
        times = "".join(f"{row[key]:>11.2f}" for key in ("median_ms", "p99_ms", "p99_9_ms"))
        print(f"{name:<20}{times}{row['max_ms']:>12.1f}")
    print(f"\nat the median {table['math (kgym)']['times_faster_at_the_median']:.0f} times faster")


if __name__ == "__main__":
    sys.exit(main())
