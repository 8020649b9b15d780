"""Judge the stored completions of a run again with another verifier, and show which verdicts change. The run itself is
not changed.

    kgym rescore runs/eval-nano --verifier math

RUN is a folder of kgym eval (its samples) or of kgym train (its episodes). A completion that was never judged, since a
budget ended it and such completions count as wrong, stays wrong.
"""

import argparse
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kgym.cli.output import percent, print_json, print_table, say
from kgym.cli.settings import add_set, verifier_of
from kgym.errors import ConfigError
from kgym.types import Verdict, VerifyItem

_COLUMNS = [
    "problem_id",
    "attempt",
    "question",
    "gold",
    "text",
    "pieces",
    "status",
    "reason",
    "answer",
    "score",
    "truncated",
]


@dataclass
class Found:
    """What has changed so far."""

    most_examples: int
    changes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Number of completions by their status before and now."""
    examples: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    scores: tuple[Counter[float], Counter[float]] = field(default_factory=lambda: (Counter(), Counter()))
    """Number of scored completions by their score, before and now."""
    rescored: int = 0
    """Number of completions with the same status and another score: partial credit."""

    def add(self, row: dict[str, Any], verdict: Verdict) -> None:
        """Compare the stored verdict on a completion with the new one."""
        before, now = row["score"], verdict.score if verdict.scored else None
        for score, scores in zip((before, now), self.scores, strict=True):
            if score is not None:
                scores[score] += 1
        change = (str(row["status"]), verdict.label)
        self.changes[change] += 1
        self.rescored += change[0] == change[1] and before != now
        if change[0] != change[1] and len(self.examples.setdefault(change, [])) < self.most_examples:
            self.examples[change].append(_example(row, verdict))

    def facts(self) -> dict[str, Any]:
        """Return the comparison. The accuracies are mean scores over the scored completions, as on a leaderboard."""
        differ = [(change, count) for change, count in self.changes.items() if change[0] != change[1]]
        before, now = (_mean(scores) for scores in self.scores)
        ordered = sorted(differ, key=lambda pair: -pair[1])
        return {
            "answers": sum(self.changes.values()),
            "changed": sum(count for _, count in ordered),
            "rescored": self.rescored,
            "accuracy_before": before,
            "accuracy_now": now,
            "partial_credit": any(0.0 < score < 1.0 for scores in self.scores for score in scores),
            "changes": [
                {"before": old, "now": new, "answers": count, "examples": self.examples[old, new]}
                for (old, new), count in ordered
            ],
        }


def _mean(scores: Counter[float]) -> float | None:
    n = sum(scores.values())
    return math.fsum(score * count for score, count in scores.items()) / n if n else None


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("run_folder", metavar="RUN", type=Path, help="run folder of kgym eval or kgym train")
    parser.add_argument("--verifier", metavar="NAME", required=True, help="verifier that judges now")
    add_set(parser, "options of the verifier, such as verifier.forgive_missing_base=true")
    parser.add_argument(
        "--examples", metavar="N", type=int, default=5, help="completions to show for each kind of change (default: 5)"
    )


def run(args: argparse.Namespace) -> int:
    """Compare, and print."""
    from kgym.envs.rules import CUT, OUT_OF_TURNS, REPEATED
    from kgym.runs.episodes import turns_of
    from kgym.verify.service import load_verifier

    if args.examples < 0:
        raise ConfigError(f"--examples {args.examples}: must be 0 or more")
    verifier = verifier_of(args.verifier, args.set)
    judge = load_verifier(args.verifier, verifier.options, limits=verifier.limits)
    found = Found(most_examples=args.examples)
    by_rule = {(verdict.status, verdict.reason): verdict for verdict in (CUT, OUT_OF_TURNS, REPEATED)}
    for batch in _rows(args.run_folder):
        rows = []
        for row in batch:
            if row["truncated"] and (same := by_rule.get((row["status"], row["reason"]))) is not None:
                found.add(row, same)
            else:
                rows.append(row)
        turns = [turns_of(row["text"], row["pieces"]) for row in rows]
        items = [
            VerifyItem(row["gold"], last, row["question"] or "", row["problem_id"], earlier)
            for row, (earlier, last) in zip(rows, turns, strict=True)
        ]
        for row, verdict in zip(rows, judge.verify_many(items), strict=True):
            found.add(row, verdict)
    if not found.changes:
        raise ConfigError(f"{args.run_folder} contains no completions yet")
    facts = found.facts()
    if args.json:
        print_json(facts)
    else:
        _print(facts, args.verifier)
    return 0


def _rows(run_folder: Path) -> Iterator[list[dict[str, Any]]]:
    """Yield the stored completions in order, some thousand at a time."""
    from kgym.runs.answers import answer_batches, answer_files

    parts = answer_files(run_folder)
    if not parts:
        raise ConfigError(
            f"{run_folder} contains no completions: neither samples/ nor episodes/ in it has Parquet files of kgym"
        )
    for batch in answer_batches(parts, _COLUMNS, remedy="remove it to judge the others"):
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


def _print(facts: dict[str, Any], verifier: str) -> None:
    say(
        f"{facts['answers']} completions judged by {verifier}: {facts['changed']} verdicts change; "
        + (f"{facts['rescored']} more have another score; " if facts["rescored"] else "")
        + f"accuracy of scored completions {percent(facts['accuracy_before'])} -> {percent(facts['accuracy_now'])}"
        + (" (mean score, with partial credit)" if facts["partial_credit"] else "")
    )
    if not facts["changes"]:
        return
    say()
    print_table(
        ("before", "now", "completions"),
        [(change["before"], change["now"], change["answers"]) for change in facts["changes"]],
    )
    for change in facts["changes"]:
        say(f"\n{change['before']} -> {change['now']}")
        columns = ("problem_id", "attempt", "gold", "answer_before", "answer_now", "reason")
        print_table(columns, [[_short(example[column]) for column in columns] for example in change["examples"]])


def _short(value: Any) -> Any:
    return value if not isinstance(value, str) or len(value) <= 60 else value[:57] + "..."
