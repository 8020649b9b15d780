r"""Judge labelled cases by kind, with the math verifier and with Math-Verify, in one run.

    python benchmarks/verifier_first_try.py tests/data/math_cases_first_try/kinds-2026-11.jsonl
    python benchmarks/verifier_first_try.py FILE ... --peer-python PY    uses an interpreter that has math-verify 0.9
    python benchmarks/verifier_first_try.py FILE ... --no-peer           kgym alone
    python benchmarks/verifier_first_try.py FILE ... --missed            also prints each case that kgym misjudged
    python benchmarks/verifier_first_try.py FILE ... --record OUT.json   also writes the figures and every verdict

A case is a line of JSON with `gold`, `response`, `label` (true if the answer is to be accepted) and `kind`; it may have
a `question`, and a `status` where the exact status matters. A first-try figure is that of the first run on cases whose
author had not seen the verifier's code. A second run measures progress on known cases, and is not a first try.

Math-Verify is called as in benchmarks/verifier.py: in its own process, on golds in dollar signs, with its own time
limits of 5 s. It has no statuses; a gold from which it parses nothing counts as unscored, and a response from which it
parses nothing as no_answer.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from verifier import REQUIREMENTS, machine, peer_environment

PEER = """
import json, logging, sys
logging.disable(logging.CRITICAL)
from math_verify import parse, verify
for line in sys.stdin:
    case = json.loads(line)
    try:
        gold, answer = parse("$" + case["gold"] + "$"), parse(case["response"])
        status = "unscored" if not gold else "no_answer" if not answer \
else "correct" if verify(gold, answer) else "wrong"
    except Exception:
        status = "unscored"
    print(json.dumps(status), flush=True)
"""
OUTCOMES = ("right", "false accept", "false reject", "other status")


def main() -> int:
    """Judge, and print a Markdown table with one row for each kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path, nargs="+", metavar="FILE", help="labelled cases, JSON lines")
    parser.add_argument("--peer-python", type=Path, help="interpreter that has math-verify")
    parser.add_argument("--no-peer", action="store_true", help="leave out Math-Verify")
    parser.add_argument("--missed", action="store_true", help="print each case that kgym misjudged")
    parser.add_argument(
        "--record", type=Path, metavar="OUT", help="write the figures and every verdict to this JSON file"
    )
    args = parser.parse_args()
    cases = [json.loads(line) for path in args.cases for line in path.read_text(encoding="utf-8").splitlines()]
    statuses = {"math (kgym)": run_kgym(cases)}
    if not args.no_peer:
        with tempfile.TemporaryDirectory() as folder:
            statuses["Math-Verify 0.9.0"] = run_peer(args.peer_python or peer_environment(Path(folder)), cases)
    outcomes = {
        name: [outcome(case, status) for case, status in zip(cases, by_case, strict=True)]
        for name, by_case in statuses.items()
    }
    print(f"{len(cases)} cases; {machine()}\n")
    show(cases, outcomes)
    if args.missed:
        for case, status, found in zip(cases, statuses["math (kgym)"], outcomes["math (kgym)"], strict=True):
            if found != "right":
                print(json.dumps({"outcome": found, "got": status, **case}, ensure_ascii=False))
    if args.record:
        args.record.write_text(
            json.dumps(record(args.cases, cases, statuses, outcomes), indent=1, ensure_ascii=False) + "\n"
        )
    return 0


def run_kgym(cases: list[dict]) -> list[str]:
    """Return kgym's status of every case."""
    from kgym.limits import PoolLimits
    from kgym.types import VerifyItem
    from kgym.verify.service import load_verifier

    verifier = load_verifier("math", limits=PoolLimits(workers=2, deadline_s=5.0))
    verdicts = verifier.verify_many(
        [VerifyItem(case["gold"], case["response"], case.get("question", "")) for case in cases]
    )
    return [verdict.status.partition(":")[0] for verdict in verdicts]


def run_peer(python: Path, cases: list[dict]) -> list[str]:
    """Return Math-Verify's status of every case."""
    lines = "".join(json.dumps({"gold": case["gold"], "response": case["response"]}) + "\n" for case in cases)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", PEER], input=lines, capture_output=True, text=True, env=environment, check=False
    )
    statuses = [json.loads(line) for line in done.stdout.splitlines()]
    if len(statuses) != len(cases):
        raise SystemExit(
            f"Math-Verify judged {len(statuses)} of {len(cases)} cases; is it installed for "
            f"{python}?\n{done.stderr[-500:]}"
        )
    return statuses


def outcome(case: dict, status: str) -> str:
    """Compare a status with the label of its case."""
    if status == "correct":
        return "right" if case["label"] else "false accept"
    if case["label"]:
        return "false reject"
    return "right" if case.get("status", status) == status else "other status"


def count(outcomes: list[str]) -> dict[str, int]:
    """Count every outcome."""
    return {name: outcomes.count(name) for name in OUTCOMES}


def by_kind(cases: list[dict], outcomes: list[str]) -> dict[str, dict[str, int]]:
    """Count the outcomes of each kind, in the order of the cases."""
    kinds = dict.fromkeys(case["kind"] for case in cases)
    return {
        kind: count([found for case, found in zip(cases, outcomes, strict=True) if case["kind"] == kind])
        for kind in kinds
    }


def show(cases: list[dict], outcomes: dict[str, list[str]]) -> None:
    """Print the table."""
    print(
        "| kind | cases | "
        + " | ".join(f"{name} right | false accepts | false rejects | other status" for name in outcomes)
        + " |"
    )
    print("|---|---|" + "---|---|---|---|" * len(outcomes))
    for kind in dict.fromkeys(case["kind"] for case in cases):
        rows = [by_kind(cases, found)[kind] for found in outcomes.values()]
        print(
            f"| {kind} | {sum(rows[0].values())} | "
            + " | ".join(str(row[name]) for row in rows for name in OUTCOMES)
            + " |"
        )
    accepted = sum(case["label"] for case in cases)
    cells = []
    for found in outcomes.values():
        total = count(found)
        cells += [f"{total['right'] / len(cases):.1%}"]
        cells += [
            f"{total['false accept']} of {len(cases) - accepted}",
            f"{total['false reject']} of {accepted}",
            str(total["other status"]),
        ]
    print(f"| all | {len(cases)} | " + " | ".join(cells) + " |")


def record(
    paths: list[Path], cases: list[dict], statuses: dict[str, list[str]], outcomes: dict[str, list[str]]
) -> dict:
    """Return what a record holds: the cases' hash, the figures by kind, and every status."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "cases": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths},
        "count": len(cases),
        "commit": commit,
        "peer": list(REQUIREMENTS),
        "machine": machine(),
        "total": {name: count(found) for name, found in outcomes.items()},
        "kinds": {name: by_kind(cases, found) for name, found in outcomes.items()},
        "statuses": {name: " ".join(by_case) for name, by_case in statuses.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
