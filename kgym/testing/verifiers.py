r"""The conformance kit for verifiers: a contract, an attack corpus and metamorphic properties. `kgym plugins check NAME` runs it.

    report = check_verifier(load_verifier("acme-math"), golds=["7", r"\frac{1}{2}"])
    assert not report.failures, "\n".join(report.failures)

The contract and the attacks hold for every verifier. The metamorphic properties are tried on those of the `golds` that the verifier
accepts in a box, since a verifier of integers has nothing to say about intervals; how many these are is part of the report.
"""

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from kgym.testing.attacks import attacks
from kgym.testing.golds import golds as draw_golds
from kgym.types import Verdict, Verifier, VerifyItem


@dataclass
class Report:
    """What the kit found."""

    failures: list[str] = field(default_factory=list)
    """One line each; empty if the verifier conforms."""
    attacks: int = 0
    golds: int = 0
    golds_verified: int = 0
    """Gold answers that verify themselves in a box."""
    rewritings: int = 0
    slowest_s: float = 0.0
    """The longest that the verifier took for one attack."""
    unscored: int = 0
    """Attacks that ended unscored; allowed, but each is an answer that teaches nothing."""


def check_verifier(verifier: Verifier, golds: Sequence[str] | None = None, *, deadline_s: float = 10.0) -> Report:
    """Put a verifier through the kit; hostile answers are judged one at a time, and none may take longer than `deadline_s`."""
    report = Report()
    _contract(verifier, report)
    _attacks(verifier, report, deadline_s)
    _metamorphic(verifier, draw_golds(320) if golds is None else golds, report)
    return report


def _contract(verifier: Verifier, report: Report) -> None:
    if list(verifier.verify_many([])):
        report.failures.append("verify_many([]) returned something")
    items = [VerifyItem("7", rf"\boxed{{{answer}}}") for answer in ("7", "8", "")] * 2
    try:
        verdicts = list(verifier.verify_many(items))
    except Exception as error:  # a stranger's verifier
        report.failures.append(f"verify_many raised {type(error).__name__}: {error}")
        return
    if len(verdicts) != len(items) or not all(isinstance(verdict, Verdict) for verdict in verdicts):
        report.failures.append(
            f"verify_many returned {len(verdicts)} results for {len(items)} items, of { ({type(v).__name__ for v in verdicts}) }"
        )
        return
    for item, first, second in zip(items, verdicts[:3], verdicts[3:], strict=False):
        if first != second:
            report.failures.append(f"two verdicts on the same answer differ: {item.response!r}: {first} and {second}")
    alone = [verifier.verify_many([item])[0] for item in items[:3]]
    if alone != verdicts[:3]:
        report.failures.append("an answer is judged otherwise alone than in a batch")
    if verdicts[1].status == "correct":
        report.failures.append("8 was accepted for 7")


def _attacks(verifier: Verifier, report: Report, deadline_s: float) -> None:
    for attack in attacks():
        report.attacks += 1
        begin = time.perf_counter()
        try:
            (verdict,) = verifier.verify_many([VerifyItem(attack.gold, attack.response)])
        except Exception as error:  # a stranger's verifier
            report.failures.append(f"raised {type(error).__name__} on {attack.name}")
            continue
        seconds = time.perf_counter() - begin
        report.slowest_s = max(report.slowest_s, seconds)
        report.unscored += not verdict.scored
        if verdict.status == "correct":
            report.failures.append(f"accepted for {attack.gold}: {attack.name} ({verdict.reason})")
        if seconds > deadline_s:
            report.failures.append(f"took {seconds:.1f} s for {attack.name}")


def _metamorphic(verifier: Verifier, golds: Sequence[str], report: Report) -> None:
    report.golds = len(golds)
    boxed = verifier.verify_many([VerifyItem(gold, rf"\boxed{{{gold}}}") for gold in golds])
    known = [gold for gold, verdict in zip(golds, boxed, strict=True) if verdict.status == "correct"]
    report.golds_verified = len(known)
    trials = [(gold, name, text) for gold in known for name, text in rewritings(gold)]
    report.rewritings = len(trials)
    forth = verifier.verify_many([VerifyItem(gold, rf"\boxed{{{text}}}") for gold, _, text in trials])
    back = verifier.verify_many([VerifyItem(text, rf"\boxed{{{gold}}}") for gold, _, text in trials])
    for (gold, name, text), there, home in zip(trials, forth, back, strict=True):
        if there.status != "correct":
            report.failures.append(f"{name}: {text} was rejected for {gold} ({there.label}, {there.reason})")
        if home.status != "correct":
            report.failures.append(f"{name}, the other way round: {gold} was rejected for {text} ({home.label}, {home.reason})")


def rewritings(gold: str) -> Iterator[tuple[str, str]]:
    """Yield other ways to write a gold answer that mean the same, each with its name."""
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
    if re.fullmatch(r"-?\d{1,3}", gold):
        yield "plus or minus zero", f"{gold}.0"
        yield "leading zeros", re.sub(r"(\d+)", r"00\1", gold)
    if "," in gold and not re.search(r"\d,\d{3}", gold):
        yield "spaces behind commas", re.sub(r",\s*", r",\\, ", gold)
