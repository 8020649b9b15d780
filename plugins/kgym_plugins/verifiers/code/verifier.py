"""The verifier `code`: the program of an answer passes the hidden tests of its problem, in a sandbox.

    gold {"kind": "stdin", "cases": [["2 3", "5"]]}      see kgym.judging.cases
    a block ```python ... ``` that prints the sum        correct, passed
    one that prints the product                          wrong, wrong_output; also time, memory, output, crash, no_function ...
    no block                                             no_answer

What is expected never enters the sandbox of the program. A program that fails, whatever it does, is wrong; only what is not its doing is
`unscored`: `gold` (the gold answer is no tests), `tests` (a checker that fails), `sandbox` (it was lost twice).
"""

import time
from collections.abc import Sequence

from pydantic import Field

from kgym.errors import SandboxLost
from kgym.judging import bubblewrap, probe
from kgym.judging.cases import Cases
from kgym.options import Options
from kgym.types import Verdict, VerifyItem
from kgym_plugins.verifiers.code.extract import program_of
from kgym_plugins.verifiers.code.judge import RIGHT, BadTests, findings

TRIES = 2


class CodeOptions(Options):
    """How programs are judged."""

    partial: bool = False
    """Score the share of the cases that pass, instead of all or nothing; every case is run then, to the end."""
    max_cases: int = Field(0, ge=0)
    """Run the first so many cases of a problem; 0 is all of them."""


class Code:
    """Follows `kgym.types.Verifier`; for several threads."""

    Options = CodeOptions

    def __init__(self, options: CodeOptions) -> None:
        """Raises SandboxError, with the reason and the remedy, where programs cannot be isolated."""
        self.options = options
        probe.require()

    @staticmethod
    def missing() -> str:
        """Return what this machine lacks to isolate programs, with the remedy; "" for nothing."""
        return bubblewrap.missing() or probe.check()

    def verify_many(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """Return one verdict for each item."""
        return [self._timed(item) for item in items]

    def _timed(self, item: VerifyItem) -> Verdict:
        begin = time.perf_counter()
        status, reason, answer, partial = self._judged(item)
        return Verdict(status, reason, answer, seconds=time.perf_counter() - begin, partial=partial)  # type: ignore[arg-type]

    def _judged(self, item: VerifyItem) -> tuple[str, str, str | None, float | None]:
        source = program_of(item.response)
        if source is None:
            return "no_answer", "no_program", None, 0.0 if self.options.partial else None
        try:
            cases = Cases.of(item.gold)
        except ValueError:
            return "unscored", "gold", source, None
        for _ in range(TRIES):
            try:
                return self._ran(source, cases)
            except SandboxLost:
                continue
            except BadTests:
                return "unscored", "tests", source, None
        return "unscored", "sandbox", source, None

    def _ran(self, source: str, cases: Cases) -> tuple[str, str, str | None, float | None]:
        wrong, passed = "", 0
        most = self.options.max_cases or len(cases.cases)
        for n, finding in enumerate(findings(source, cases), 1):
            passed += finding == RIGHT
            wrong = wrong or finding
            if n == most or (wrong and not self.options.partial):
                break
        share = passed / min(most, len(cases.cases)) if self.options.partial else None
        return ("wrong", wrong, source, share) if wrong else ("correct", "passed", source, share)
