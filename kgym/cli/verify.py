r"""Judge completions: JSON lines in, the same lines with the verdict out, in the same order.

    echo '{"gold": "1/2", "response": "So it is \\boxed{0.5}."}' | kgym verify -

A line has `gold` and `response` (the completion), and may have `question`; all its other fields are kept. The output
adds `correct` (true, false, or null if unscored), `score` (0 to 1, or null if unscored), `status`, `reason`, `answer`
(extracted from the completion), `normal` and `seconds`. Lines are judged as they come in. A line that cannot be used is
reported on standard error with its number, the others are judged, and the exit status is 1. A summary follows on
standard error; its accuracy is the mean score.
"""

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from kgym.cli.output import print_json_line, say
from kgym.cli.settings import add_set, verifier_of
from kgym.errors import ConfigError
from kgym.registry import registry
from kgym.types import Verdict, Verifier, VerifyItem

_READ = 1 << 20
_BATCH = 1024


@dataclass
class Tally:
    """What was judged so far."""

    statuses: Counter[str] = field(default_factory=Counter)
    scored: int = 0
    score: float = 0.0
    """The sum of the scores."""
    partial: bool = False
    """Whether any completion was given partial credit."""
    bad_lines: int = 0

    def add(self, verdict: Verdict) -> None:
        """Count one verdict."""
        self.statuses[verdict.label] += 1
        if verdict.scored:
            self.scored += 1
            self.score += verdict.score
            self.partial = self.partial or 0.0 < verdict.score < 1.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("file", metavar="FILE", help="JSON lines; - is standard input")
    parser.add_argument("--verifier", metavar="NAME", default="math", help="verifier that judges (default: math)")
    add_set(parser, "options of the verifier, such as verifier.forgive_missing_base=true")
    parser.add_argument(
        "--explain",
        action="store_true",
        help="print what each stage of the verifier did with each line, instead of JSON (verifier math; with --json as "
        "`trace`)",
    )
    parser.add_argument(
        "--max-line",
        metavar="MIB",
        type=float,
        default=64.0,
        help="longest line that is judged, in MiB (default: 64); longer lines are reported, and the others judged",
    )
    parser.add_argument(
        "--workers", metavar="N", type=int, help="worker processes (default: one for each processor, at most 8)"
    )
    parser.add_argument("--deadline", metavar="SECONDS", type=float, help="time limit for one completion (default: 5)")


def run(args: argparse.Namespace) -> int:
    """Judge until the input ends."""
    judge = _verifier(args)
    if not args.max_line > 0:
        raise ConfigError(f"--max-line {args.max_line:g}: must be more than 0")
    tally = Tally()
    begin = time.perf_counter()
    with _opened(args.file) as source:
        for batch in _batches(source, int(args.max_line * 2**20)):
            rows, items = _usable(batch, args, tally)
            for row, verdict in zip(rows, judge.verify_many(items), strict=True):
                tally.add(verdict)
                if args.explain and not args.json:
                    say(f"{verdict.label} ({verdict.reason}), gold answer {row['gold']}\n{verdict.trace}\n")
                else:
                    trace = {"trace": verdict.trace.splitlines()} if args.explain or verdict.trace else {}
                    print_json_line(row | verdict_fields(verdict) | trace)
            sys.stdout.flush()
    _summarise(tally, time.perf_counter() - begin, as_json=args.json)
    return 1 if tally.bad_lines else 0


def _usable(
    batch: "list[tuple[int, bytes | None]]", args: argparse.Namespace, tally: Tally
) -> tuple[list[dict[str, Any]], list[VerifyItem]]:
    """Return the rows of a batch and the items to judge; report lines that cannot be used."""
    rows: list[dict[str, Any]] = []
    items: list[VerifyItem] = []
    for number, line in batch:
        try:
            if line is None:
                raise ValueError(f"longer than {args.max_line:g} MiB; --max-line takes longer ones")
            row, item = _parse(line, f"{args.file}:{number}")
        except ValueError as error:
            say(f"kgym: {args.file}, line {number}: {error}", file=sys.stderr)
            tally.bad_lines += 1
            continue
        rows.append(row)
        items.append(item)
    return rows, items


def _verifier(args: argparse.Namespace) -> Verifier:
    from kgym.verify.service import load_verifier

    if args.explain and "explain" not in registry().options_model("verifier", args.verifier).model_fields:
        raise ConfigError(f"--explain: the verifier {args.verifier} does not explain its verdicts; leave it out")
    settings = [*args.set, *(["verifier.explain=true"] if args.explain else [])]
    verifier = verifier_of(args.verifier, settings, workers=args.workers, deadline_s=args.deadline)
    return load_verifier(args.verifier, verifier.options, limits=verifier.limits)


def _opened(name: str) -> BinaryIO:
    if name == "-":
        return os.fdopen(os.dup(0), "rb", buffering=0)
    try:
        return open(name, "rb", buffering=0)
    except OSError as error:
        raise ConfigError(f"{name} cannot be read: {error.strerror}") from error


def _batches(source: BinaryIO, longest: int) -> Iterator[list[tuple[int, bytes | None]]]:
    """Yield numbered lines, as many at a time as have arrived, so that a slow pipe gets a reply line by line.

    A line of more than `longest` bytes is None, and is not kept while it is read.
    """
    number, length = 0, 0
    # the pieces of the line that has begun; joined once, or a line without an end would be copied at each read
    parts: list[bytes] = []
    data = b"\n"
    while data:
        data = source.read(_READ)
        pieces = data.split(b"\n") if data else [b"", b""]  # the last line needs no end
        numbered: list[tuple[int, bytes | None]] = []
        for last, piece in zip([*[False] * (len(pieces) - 1), True], pieces, strict=True):
            length += len(piece)
            if length <= longest:
                parts.append(piece)
            else:
                parts.clear()
            if last:
                continue  # the line continues in what is read next
            number += 1
            line = b"".join(parts) if length <= longest else None
            if line is None or line.strip():
                numbered.append((number, line))
            parts.clear()
            length = 0
        for begin in range(0, len(numbered), _BATCH):
            yield numbered[begin : begin + _BATCH]


def _parse(line: bytes, where: str) -> tuple[dict[str, Any], VerifyItem]:
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(row, dict):
        raise ValueError('a line must be an object such as {"gold": "12", "response": "..."}')
    for name in ("gold", "response"):
        if name not in row:
            raise ValueError(f"{name!r} is missing")
    gold, response, question = row["gold"], row["response"], row.get("question") or ""
    if isinstance(gold, bool) or not isinstance(gold, str | int | float):
        raise ValueError(f"'gold' must be text or a number, not {type(gold).__name__}")
    if not isinstance(response, str) or not isinstance(question, str):
        raise ValueError("'response' and 'question' must be text")
    known = row.get("problem_id", row.get("id"))
    return row, VerifyItem(str(gold), response, question, known if isinstance(known, str) and known else where)


def verdict_fields(verdict: Verdict) -> dict[str, Any]:
    """Return what `kgym verify` adds to a line."""
    return {
        "correct": verdict.correct,
        "score": verdict.score if verdict.scored else None,
        "status": verdict.label,
        "reason": verdict.reason,
        "answer": verdict.answer,
        "normal": verdict.normal,
        "seconds": round(verdict.seconds, 6),
    }


def _summarise(tally: Tally, seconds: float, *, as_json: bool) -> None:
    counts, bad = tally.statuses, tally.bad_lines
    total = sum(counts.values())
    accuracy = tally.score / tally.scored if tally.scored else None
    rate = total / seconds if seconds else None
    if as_json:
        facts = {
            "answers": total,
            "accuracy": accuracy,
            "statuses": dict(counts),
            "bad_lines": bad,
            "answers_per_s": rate,
        }
        say(json.dumps(facts), file=sys.stderr)
        return
    shown = ", ".join(f"{label} {count}" for label, count in counts.most_common()) or "nothing to judge"
    text = f"{total} completion{'' if total == 1 else 's'}: {shown}"
    if accuracy is not None:
        credit = " (mean score, with partial credit)" if tally.partial else ""
        text += f"; accuracy {accuracy:.1%} of those scored{credit}; {rate:,.0f} completions/s"
    say(text + (f"; {bad} bad lines" if bad else ""), file=sys.stderr)
