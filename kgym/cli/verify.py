r"""Judge answers: JSON lines in, the same lines with the verdict out, in the same order.

    echo '{"gold": "1/2", "response": "So it is \\boxed{0.5}."}' | kgym verify -

A line has `gold` and `response`, and may have `question`; whatever else it has is kept. Added are `correct` (true, false, or null
if unscored), `status`, `reason`, `answer`, `normal` and `seconds`. Lines are judged as they come in. A line that cannot be used is reported
on standard error with its number, and the others are judged; the exit status is 1 then. A summary follows on standard error.
"""

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, BinaryIO

from kgym.cli.settings import add_set, component
from kgym.errors import ConfigError
from kgym.types import Verdict, Verifier, VerifyItem

_READ = 1 << 20
_BATCH = 1024


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("file", metavar="FILE", help="JSON lines; - is standard input")
    parser.add_argument("--verifier", metavar="NAME", default="math", help="which verifier judges (default: math)")
    add_set(parser, "options of the verifier, such as verifier.forgive_missing_base=true")
    parser.add_argument("--workers", metavar="N", type=int, help="worker processes (default: one for each processor, 8 at most)")
    parser.add_argument("--deadline", metavar="SECONDS", type=float, help="for one answer (default: 5)")


def run(args: argparse.Namespace) -> int:
    """Judge until the input ends."""
    judge = _verifier(args)
    counts: Counter[str] = Counter()
    bad = 0
    begin = time.perf_counter()
    with _opened(args.file) as source:
        for batch in _batches(source):
            rows: list[dict[str, Any]] = []
            items: list[VerifyItem] = []
            for number, line in batch:
                try:
                    row, item = _parse(line)
                except ValueError as error:
                    print(f"kgym: {args.file}, line {number}: {error}", file=sys.stderr)
                    bad += 1
                    continue
                rows.append(row)
                items.append(item)
            for row, verdict in zip(rows, judge.verify_many(items), strict=True):
                counts[verdict.label] += 1
                print(_encoded(row | verdict_fields(verdict)))
            sys.stdout.flush()
    _summarise(counts, bad, time.perf_counter() - begin, as_json=args.json)
    return 1 if bad else 0


def _verifier(args: argparse.Namespace) -> Verifier:
    from kgym.options import validated
    from kgym.verify.limits import PoolLimits
    from kgym.verify.service import load_verifier

    options = component(args.set, "verifier")
    limits = {name: value for name, value in (("workers", args.workers), ("deadline_s", args.deadline)) if value is not None}
    return load_verifier(args.verifier, options, limits=validated(PoolLimits, limits, "verify"))


def _opened(name: str) -> BinaryIO:
    if name == "-":
        return os.fdopen(os.dup(0), "rb", buffering=0)
    try:
        return open(name, "rb", buffering=0)
    except OSError as error:
        raise ConfigError(f"{name} cannot be read: {error.strerror}") from error


def _batches(source: BinaryIO) -> Iterator[list[tuple[int, bytes]]]:
    """Yield numbered lines as many at a time as are there, so that a slow pipe is answered line by line."""
    number, rest = 0, b""
    while True:
        data = source.read(_READ)
        lines = (rest + data).split(b"\n") if data else [rest, b""]
        rest = lines.pop()
        numbered = [(number + at, line) for at, line in enumerate(lines, start=1) if line.strip()]
        number += len(lines)
        for begin in range(0, len(numbered), _BATCH):
            yield numbered[begin : begin + _BATCH]
        if not data:
            return


def _parse(line: bytes) -> tuple[dict[str, Any], VerifyItem]:
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"no JSON: {error}") from None
    if not isinstance(row, dict):
        raise ValueError('a line is an object such as {"gold": "12", "response": "..."}')
    for name in ("gold", "response"):
        if name not in row:
            raise ValueError(f"{name!r} is missing")
    gold, response, question = row["gold"], row["response"], row.get("question") or ""
    if isinstance(gold, bool) or not isinstance(gold, str | int | float):
        raise ValueError(f"'gold' is to be text or a number, not {type(gold).__name__}")
    if not isinstance(response, str) or not isinstance(question, str):
        raise ValueError("'response' and 'question' are to be text")
    return row, VerifyItem(str(gold), response, question)


def _encoded(row: dict[str, Any]) -> str:
    text = json.dumps(row, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair is no text, but an escape can carry it
        return json.dumps(row)
    return text


def verdict_fields(verdict: Verdict) -> dict[str, Any]:
    """What `kgym verify` adds to a line."""
    return {
        "correct": verdict.correct,
        "status": verdict.label,
        "reason": verdict.reason,
        "answer": verdict.answer,
        "normal": verdict.normal,
        "seconds": round(verdict.seconds, 6),
    }


def _summarise(counts: Counter[str], bad: int, seconds: float, *, as_json: bool) -> None:
    total = sum(counts.values())
    scored = sum(count for label, count in counts.items() if not label.startswith("unscored"))
    accuracy = counts["correct"] / scored if scored else None
    rate = total / seconds if seconds else None
    if as_json:
        facts = {"answers": total, "accuracy": accuracy, "statuses": dict(counts), "bad_lines": bad, "answers_per_s": rate}
        print(json.dumps(facts), file=sys.stderr)
        return
    shown = ", ".join(f"{label} {count}" for label, count in counts.most_common()) or "nothing to judge"
    text = f"{total} answers: {shown}"
    if accuracy is not None:
        text += f"; accuracy {accuracy:.1%} of those scored; {rate:,.0f} answers/s"
    print(text + (f"; {bad} bad lines" if bad else ""), file=sys.stderr)
