"""Judge the stored answers of a run again, by another verifier, and show which verdicts change. Nothing in the run is changed.

    kgym rescore runs/eval-nano --verifier math

RUN is a folder of kgym eval (its samples) or of kgym train (its episodes).
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kgym.cli.output import percent, print_json, print_table
from kgym.cli.settings import add_set, component
from kgym.errors import ConfigError
from kgym.files import reading
from kgym.types import Verdict, VerifyItem

_BATCH = 4096
_COLUMNS = ["problem_id", "attempt", "question", "gold", "text", "status", "answer"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("run_folder", metavar="RUN", type=Path, help="run folder of kgym eval or kgym train")
    parser.add_argument("--verifier", metavar="NAME", required=True, help="which verifier judges now")
    add_set(parser, "options of the verifier, such as verifier.forgive_missing_base=true")
    parser.add_argument("--examples", metavar="N", type=int, default=5, help="answers to show for each kind of change (default: 5)")


def run(args: argparse.Namespace) -> int:
    """Compare, and print."""
    from kgym.verify.service import load_verifier

    judge = load_verifier(args.verifier, component(args.set, "verifier"))
    changes: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for rows in _rows(args.run_folder):
        verdicts = judge.verify_many([VerifyItem(row["gold"], row["text"], row["question"] or "") for row in rows])
        for row, verdict in zip(rows, verdicts, strict=True):
            change = (str(row["status"]), verdict.label)
            changes[change] += 1
            if change[0] != change[1] and len(examples.setdefault(change, [])) < args.examples:
                examples[change].append(_example(row, verdict))
    if not changes:
        raise ConfigError(f"{args.run_folder} holds no answers yet")
    facts = _facts(changes, examples)
    if args.json:
        print_json(facts)
    else:
        _print(facts, args.verifier)
    return 0


def _rows(run_folder: Path) -> Iterator[list[dict[str, Any]]]:
    """Yield the stored answers in order, some thousand at a time."""
    import pyarrow.parquet as pq

    from kgym.rollout.records import answer_columns, answer_files

    parts = answer_files(run_folder)
    if not parts:
        raise ConfigError(f"{run_folder} holds no answers: there are no Parquet files of kgym in samples/ or episodes/ below it")
    for part in parts:
        with reading(part, remedy="remove it to judge the others"):
            stored = pq.ParquetFile(part)
            batches = stored.iter_batches(_BATCH, columns=answer_columns(stored.schema_arrow.names, _COLUMNS))
        while True:
            with reading(part, remedy="remove it to judge the others"):
                batch = next(batches, None)
            if batch is None:
                break
            yield batch.to_pylist()


def _example(row: dict[str, Any], verdict: Verdict) -> dict[str, Any]:
    return {
        "problem_id": row["problem_id"],
        "attempt": row["attempt"],
        "gold": row["gold"],
        "answer_before": row["answer"],
        "answer_now": verdict.answer,
        "reason": verdict.reason,
    }


def _facts(changes: Counter[tuple[str, str]], examples: dict[tuple[str, str], list[dict[str, Any]]]) -> dict[str, Any]:
    def accuracy(which: int) -> float | None:
        scored = sum(count for change, count in changes.items() if not change[which].startswith("unscored"))
        return sum(count for change, count in changes.items() if change[which] == "correct") / scored if scored else None

    ordered = sorted(((change, count) for change, count in changes.items() if change[0] != change[1]), key=lambda pair: -pair[1])
    return {
        "answers": sum(changes.values()),
        "changed": sum(count for _, count in ordered),
        "accuracy_before": accuracy(0),
        "accuracy_now": accuracy(1),
        "changes": [{"before": old, "now": new, "answers": count, "examples": examples[old, new]} for (old, new), count in ordered],
    }


def _print(facts: dict[str, Any], verifier: str) -> None:
    print(
        f"{facts['answers']} answers judged by {verifier}: {facts['changed']} verdicts change; "
        f"accuracy of scored answers {percent(facts['accuracy_before'])} -> {percent(facts['accuracy_now'])}"
    )
    if not facts["changes"]:
        return
    print()
    print_table(("before", "now", "answers"), [(change["before"], change["now"], change["answers"]) for change in facts["changes"]])
    for change in facts["changes"]:
        print(f"\n{change['before']} -> {change['now']}")
        columns = ("problem_id", "attempt", "gold", "answer_before", "answer_now", "reason")
        print_table(columns, [[_short(example[column]) for column in columns] for example in change["examples"]])


def _short(value: Any) -> Any:
    return value if not isinstance(value, str) or len(value) <= 60 else value[:57] + "..."
