r"""The conformance kit for verifiers: a contract, an attack corpus and metamorphic properties. `kgym plugins check
NAME` runs it.

    check_verifier("acme-math")             # judges as in a run, in workers that can be killed
    check_verifier(Palindrome, golds=["17", "0110"], answer="so it is {gold}", numeric=False)

The contract and the attacks hold for every verifier. The metamorphic properties are tried on the golds that the
verifier accepts, since a verifier of integers, for example, does not read intervals; the report has their number.
"""

import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kgym.hookspecs import VerifierInfo
from kgym.limits import PoolLimits
from kgym.registry import registry
from kgym.testing.attacks import attacks
from kgym.testing.golds import golds as draw_golds
from kgym.testing.report import Report, maker, name_of, shown
from kgym.types import Verdict, Verifier, VerifyItem
from kgym.verify.service import load_verifier

PATIENCE = 5
"""Number of attacks in a row with a timeout after which no more are tried."""


def check_verifier(
    subject: Verifier | type | str,
    *,
    options: Mapping[str, Any] | None = None,
    golds: Sequence[str] | None = None,
    answer: str | None = None,
    numeric: bool | None = None,
    deadline_s: float = 10.0,
) -> Report:
    """Check a verifier, by name, class or instance. Raises ConformanceError with every failure.

    1. It returns one Verdict for each item, the same for the same completion, alone and in a batch; the answer of
       another problem is not correct.
    2. It accepts gold answers: all of them if `golds` are given, otherwise some of 320 mathematical ones.
    3. It accepts none of the attacks (`kgym.testing.attacks`), takes no longer than `deadline_s` for one, and can judge
       some of them.
    4. If it accepts a gold answer, it also accepts other ways to write it.

    `answer` is the template of a completion that it reads, with `{gold}` in it; `numeric` says whether golds that
    consist of digits are numbers, so that 17.0 and 017 are 17. By default the record of a registered verifier decides
    these and `golds` (`VerifierInfo`).
    """
    report = Report(VerifierInfo.kind, name_of(subject))
    told = _told(subject)
    verifier: Verifier
    if isinstance(subject, str):
        verifier = load_verifier(subject, options, limits=PoolLimits(deadline_s=deadline_s))
    else:
        verifier = maker(VerifierInfo.kind, subject, options)()
    own = golds if golds is not None else told.golds
    kit = _Kit(
        verifier,
        report,
        golds=list(own) or draw_golds(320),
        all_golds=bool(own),
        answer=told.answer if answer is None else answer,
        numeric=told.numeric if numeric is None else numeric,
        deadline_s=deadline_s,
    )
    kit.run()
    return report.finish()


def _told(subject: Any) -> VerifierInfo:
    """Return the record of a registered verifier, or a record with defaults."""
    return registry().info(VerifierInfo, subject) if isinstance(subject, str) else VerifierInfo("", "")


class _Kit:
    """One verifier in the kit."""

    def __init__(
        self,
        verifier: Verifier,
        report: Report,
        *,
        golds: Sequence[str],
        all_golds: bool,
        answer: str,
        numeric: bool,
        deadline_s: float,
    ) -> None:
        self.verifier, self.report = verifier, report
        self.golds, self.all_golds = golds, all_golds
        self.answer, self.numeric = answer, numeric
        self.deadline_s = deadline_s
        self.accepted: list[str] = []

    def run(self) -> None:
        """Run the parts in order; the later ones only if the verifier judges at all."""
        for what, part in (
            ("the contract", self._contract),
            ("gold answers", self._gold_answers),
            ("attacks", self._attacks),
            ("rewritings", self._rewritings),
        ):
            n_failed = len(self.report.failures)
            with self.report.check(what):
                part()
            if what in ("the contract", "gold answers") and len(self.report.failures) > n_failed:
                return  # attacks say nothing about a verifier that judges nothing

    def _judged(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        verdicts = list(self.verifier.verify_many(items))
        kinds = sorted({type(verdict).__name__ for verdict in verdicts})
        assert len(verdicts) == len(items) and kinds in ([], ["Verdict"]), (
            f"verify_many returned {len(verdicts)} results for {len(items)} items ({', '.join(kinds) or 'none'}); "
            "it has to return one Verdict for each"
        )
        return verdicts

    def _written(self, gold: str) -> str:
        return self.answer.replace("{gold}", gold)

    def _contract(self) -> None:
        gold, other = (*self.golds, *self.golds)[:2] if self.all_golds else ("7", "8")
        assert self._judged([]) == []
        items = [VerifyItem(gold, text) for text in (self._written(gold), self._written(other), "")] * 2
        verdicts = self._judged(items)
        unscored = sorted({verdict.label for verdict in verdicts})
        assert any(verdict.scored for verdict in verdicts), (
            f"it judges no completion at all: {', '.join(unscored)} for {shown(items[0].response)}"
        )
        for item, first, second in zip(items[:3], verdicts[:3], verdicts[3:], strict=True):
            assert first == second, (
                f"two verdicts on the same completion differ: {shown(item.response)}: {first} and {second}"
            )
        alone = [self._judged([item])[0] for item in items[:3]]
        assert alone == verdicts[:3], (
            f"a completion is judged differently alone and in a batch: {alone} and {verdicts[:3]}"
        )
        assert verdicts[1].status != "correct" or gold == other, f"{shown(items[1].response)} was accepted for {gold}"
        assert verdicts[2].status != "correct", f"an empty completion was accepted for {gold}"

    def _gold_answers(self) -> None:
        verdicts = self._judged([VerifyItem(gold, self._written(gold)) for gold in self.golds])
        self.accepted = [
            gold for gold, verdict in zip(self.golds, verdicts, strict=True) if verdict.status == "correct"
        ]
        self.report.figures |= {"golds": len(self.golds), "golds_verified": len(self.accepted)}
        (label, count) = Counter(verdict.label for verdict in verdicts).most_common(1)[0]
        refused = [
            (gold, verdict) for gold, verdict in zip(self.golds, verdicts, strict=True) if verdict.status != "correct"
        ]
        if not self.accepted:
            raise AssertionError(
                f"it accepts none of {len(self.golds)} gold answers ({label} for {count} of them), such as "
                f"{shown(self._written(self.golds[0]))} for {self.golds[0]}; if it reads other answers, name them in "
                "its record: "
                'VerifierInfo(..., golds=("Ada",), answer="Hello, {gold}")'
            )
        assert not (self.all_golds and refused), (
            f"it does not accept {len(refused)} of its {len(self.golds)} gold answers, such as "
            f"{shown(self._written(refused[0][0]))} for {refused[0][0]}: {refused[0][1].label}"
        )

    def _attacks(self) -> None:
        figures = self.report.figures
        figures |= {"attacks": 0, "attacks_unscored": 0, "slowest_s": 0.0}
        in_a_row = 0
        corpus = attacks()
        for attack in corpus:
            figures["attacks"] += 1
            begin = time.perf_counter()
            try:
                (verdict,) = self._judged([VerifyItem(attack.gold, attack.response)])
            except Exception as error:  # third-party code
                self._failed(
                    f"it raised {type(error).__name__}: {error} on the attack {attack.name}: {shown(attack.response)}"
                )
                continue
            seconds = time.perf_counter() - begin
            figures["slowest_s"] = max(figures["slowest_s"], seconds)
            figures["attacks_unscored"] += not verdict.scored
            if verdict.status == "correct":
                reason = f"; {verdict.reason}" if verdict.reason else ""
                self._failed(
                    f"it accepted for {attack.gold}: {shown(attack.response)} (the attack {attack.name}{reason})"
                )
            if seconds > self.deadline_s:
                self._failed(f"it took {seconds:.1f} s for the attack {attack.name}: {shown(attack.response)}")
            in_a_row = in_a_row + 1 if verdict.label == "unscored:timeout" or seconds > self.deadline_s else 0
            if in_a_row == PATIENCE:
                raise AssertionError(
                    f"{PATIENCE} attacks in a row took longer than {self.deadline_s:g} s; the others of {len(corpus)} "
                    "were not tried"
                )
        assert figures["attacks_unscored"] < figures["attacks"], (
            f"all {len(corpus)} attacks were unscored; the verdict on a hostile completion is wrong or no_answer"
        )

    def _rewritings(self) -> None:
        trials = [(gold, name, text) for gold in self.accepted for name, text in rewritings(gold, numeric=self.numeric)]
        self.report.figures["rewritings"] = len(trials)
        forth = self._judged([VerifyItem(gold, self._written(text)) for gold, _, text in trials])
        back = self._judged([VerifyItem(text, self._written(gold)) for gold, _, text in trials])
        hint = "; if it reads digits as text, say so in its record: VerifierInfo(..., numeric=False)"
        for (gold, name, text), there, home in zip(trials, forth, back, strict=True):
            more = hint if name in NUMERIC else ""
            if there.status != "correct":
                self._failed(f"{name}: {shown(text)} was rejected for {gold} ({there.label}, {there.reason}){more}")
            if home.status != "correct":
                self._failed(
                    f"{name}, with gold and answer exchanged: {gold} was rejected for {shown(text)} ({home.label}, "
                    f"{home.reason}){more}"
                )

    def _failed(self, text: str) -> None:
        self.report.failures.append(" ".join(text.split()))


NUMERIC = ("plus or minus zero", "leading zeros")
"""Rewritings that apply only to numbers."""


def rewritings(gold: str, *, numeric: bool = True) -> Iterator[tuple[str, str]]:
    """Yield other ways to write a gold answer, each with its name. Those for numbers and lists need `numeric`."""
    yield "spaces around", f"  {gold} "
    if re.search(r"\\[dt]?frac\{", gold):
        yield "dfrac", re.sub(r"\\[dt]?frac", r"\\dfrac", gold)
        yield "tfrac", re.sub(r"\\[dt]?frac", r"\\tfrac", gold)
    if r"\left" not in gold and re.fullmatch(r"\([^()]*\)", gold) and "text" not in gold:
        yield "left and right", rf"\left{gold[:-1]}\right{gold[-1]}"
    if r"\left" in gold:
        yield "without left and right", gold.replace(r"\left", "").replace(r"\right", "")
    if re.fullmatch(r"-\\d?t?frac\{\d+\}\{\d+\}", gold):
        yield "minus in the numerator", re.sub(r"-(\\d?t?frac)\{", r"\1{-", gold)
    if numeric and re.fullmatch(r"-?\d{1,3}", gold):
        yield "plus or minus zero", f"{gold}.0"
        yield "leading zeros", re.sub(r"(\d+)", r"00\1", gold)
    if numeric and "," in gold and not re.search(r"\d,\d{3}", gold):
        yield "spaces after commas", re.sub(r",\s*", r",\\, ", gold)
