"""The verifier `code`: the program in a completion passes the hidden tests of its problem, in a sandbox.

    gold {"kind": "stdin", "cases": [["2 3", "5"]]}      see kgym.judging.cases
    a block ```python ... ``` that prints the sum        correct, passed
    one that prints the product                          wrong, wrong_output; also time, memory, output, crash, ...
    no block                                             no_answer

Expected outputs never enter the sandbox of the program. A program that fails, in any way, is wrong. Only failures that
it does not cause are `unscored`: `gold` (the gold answer has no tests), `tests` (a checker fails), `sandbox` (it was
lost twice).
"""

import time
from collections.abc import Sequence
from dataclasses import replace

from pydantic import Field

from kgym.errors import SandboxLost
from kgym.judging import bubblewrap, probe
from kgym.judging.cases import Cases
from kgym.judging.extract import program_of
from kgym.judging.submissions import BadTests, Finding, findings
from kgym.options import Options
from kgym.types import Verdict, VerifyItem

TRIES = 2


class CodeOptions(Options):
    """How programs are judged."""

    partial: bool = False
    """Score the share of the cases that pass, instead of all or nothing; all cases are then run."""
    max_cases: int = Field(0, ge=0)
    """Number of cases of a problem that are run, the first ones; 0 is all of them."""


class Code:
    """Follows `kgym.types.Verifier`; several threads may call it."""

    Options = CodeOptions

    def __init__(self, options: CodeOptions) -> None:
        """Raises SandboxError, with the reason and the remedy, if programs cannot be isolated."""
        self.options = options
        probe.require()

    @staticmethod
    def missing() -> str:
        """Return what is missing on this machine to isolate programs, with the remedy; "" if nothing is."""
        return bubblewrap.missing() or probe.check()

    def verify_many(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """Return one verdict for each item."""
        return [self._timed(item) for item in items]

    def _timed(self, item: VerifyItem) -> Verdict:
        begin = time.perf_counter()
        return replace(self._judged(item), seconds=time.perf_counter() - begin)

    def _judged(self, item: VerifyItem) -> Verdict:
        source = program_of(item.response)
        if source is None:
            return Verdict("no_answer", "no_program", partial=0.0 if self.options.partial else None)
        try:
            cases = Cases.of(item.gold)
        except ValueError:
            return Verdict("unscored", "gold", source)
        for _ in range(TRIES):
            try:
                return self._ran(source, cases)
            except SandboxLost:
                continue
            except BadTests:
                return Verdict("unscored", "tests", source)
        return Verdict("unscored", "sandbox", source)

    def _ran(self, source: str, cases: Cases) -> Verdict:
        most = min(self.options.max_cases or len(cases.cases), len(cases.cases))
        found: list[Finding] = []
        for finding in findings(source, replace(cases, cases=cases.cases[:most])):
            found.append(finding)
            if finding.wrong and not self.options.partial:
                break
        failed = [(number, finding) for number, finding in enumerate(found, 1) if finding.wrong]
        share = 1 - len(failed) / most if self.options.partial else None
        if not failed:
            return Verdict("correct", "passed", source, partial=share)
        number, first = failed[0]
        lines = [f"case {number} of {most}: {first.wrong}", *(f"{name}: {text.strip()}" for name, text in first.shown)]
        return Verdict("wrong", first.wrong, source, partial=share, trace="\n".join(lines))
