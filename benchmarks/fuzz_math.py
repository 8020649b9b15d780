"""Fuzzing of the math verifier: mutated answers, kept where they make the parser do something new.

    python benchmarks/fuzz_math.py --minutes 60

Guided by behaviour: an input that gives a kind of value, a set of node kinds or a rule that was not seen before joins
the corpus, and children are made from the corpus. Memory is limited by RLIMIT_AS. Anything but a value, a LimitError or
a verdict is a finding: the input is printed, and the exit status is 1.
"""

import argparse
import math
import random
import resource
import signal
import sys
import time
from collections.abc import Callable

from kgym.testing.attacks import attacks
from kgym.testing.golds import golds
from kgym.types import VerifyItem
from kgym_plugins.verifiers.math.limits import LimitError
from kgym_plugins.verifiers.math.reading import read
from kgym_plugins.verifiers.math.tables import name_list
from kgym_plugins.verifiers.math.verifier import MathVerifier

_PIECES = [
    *name_list(
        r"""
    0 1 7 12 x y i e ( ) [ ] { } \{ \} | , . ; : ! % $ = < > + - * / ^ _ ' & ~ \\
    \frac \sqrt \text{ \boxed{ \left \right \pm \cup \infty \pi
    \begin{pmatrix} \end{pmatrix} \begin{cases} \end{cases} \in \le \ne \circ \cdot \overline{ \binom
    \log_ \ln \sin \arctan \pmod \mathbb{R} \setminus \emptyset
    and or to base answer is #### ** $$ <think> </think> 0.( ... e5 √ ² ½ ≤ ∞ ４ ٤ ₂ ° 𝟒
    """
    ),
    "\u200b",
    "\ud800",
    "\x00",
    " ",
    "\n",
]
_CORPUS = 20_000
_SLOW_S = 2.0
_HANG_S = 10.0
"""Both of the CPU's time, which a busy machine does not lengthen. The pool's deadline is 5 s: what takes longer is a
finding, although the pool would survive it.
"""


def fuzz(
    seconds: float = math.inf,
    seed: int = 0,
    *,
    inputs: int = sys.maxsize,
    memory_mib: int = 512,
    report: Callable[[str], None] | None = None,
) -> tuple[int, list[str]]:
    """Fuzz for so many seconds, or with so many inputs; return how many were tried and the findings, one line each."""
    rng = random.Random(seed)
    verifier = MathVerifier()
    verifier.preload()
    _limit_memory(memory_mib)
    signal.signal(signal.SIGPROF, _hang)
    corpus = golds(320, seed) + [attack.response for attack in attacks() if len(attack.response) < 2000]
    seeds = len(corpus)
    seen: set[object] = set()
    findings: list[str] = []
    tried, until, next_report = 0, time.monotonic() + seconds, time.monotonic() + 60

    def find(line: str) -> None:
        findings.append(line)
        if report:
            report(line)

    while time.monotonic() < until and tried < inputs and len(findings) < 20:
        text = _child(rng, corpus)
        tried += 1
        begin = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, _HANG_S)
        try:
            try:
                value = read(text)
                shape: object = (type(value).__name__, "".join(sorted({c for c in value.normal() if not c.isalnum()})))
            except LimitError as error:
                shape = str(error)
            response = rng.choice([text, rf"\boxed{{{text}}}", f"The answer is {text}."])
            verdict = verifier.verify(VerifyItem(rng.choice(corpus[:320]), response))
            back = verifier.verify(VerifyItem(text, r"\boxed{7}"))
            novelty = (shape, verdict.status, verdict.reason, back.status)
        except BaseException as error:  # in any case, it is what we are looking for
            if isinstance(error, KeyboardInterrupt):
                break
            find(f"{type(error).__name__}: {error} on {text!r}")
            continue
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        if (took := time.process_time() - begin) > _SLOW_S:
            find(f"{took:.1f} s on {text!r}")
        if novelty not in seen:
            if len(seen) < 10 * _CORPUS:
                seen.add(novelty)
            if len(corpus) < _CORPUS:
                corpus.append(text)
            else:  # the limit of memory is for the verifier, not for what the fuzzer keeps
                corpus[rng.randrange(seeds, _CORPUS)] = text
        if report and time.monotonic() > next_report:
            report(f"{tried:,} inputs, {len(corpus):,} in the corpus, {len(findings)} findings")
            next_report += 60
    return tried, findings


def _hang(number: int, frame: object) -> None:
    raise TimeoutError(f"more than {_HANG_S} s")


def _child(rng: random.Random, corpus: list[str]) -> str:
    text = rng.choice(corpus)
    for _ in range(rng.choice([1, 1, 2, 3, 8])):
        at = rng.randrange(len(text) + 1)
        end = min(len(text), at + rng.choice([1, 1, 2, 5, 20]))
        match rng.randrange(6):
            case 0:
                text = text[:at] + text[end:]
            case 1 | 2:
                text = text[:at] + rng.choice(_PIECES) + text[at:]
            case 3:
                text = text[:end] + text[at:end] * rng.choice([1, 2, 30]) + text[end:]
            case 4:
                other = rng.choice(corpus)
                text = text[:at] + other[rng.randrange(len(other) + 1) :]
            case 5:
                text = (
                    text[:at]
                    + chr(rng.choice([rng.randrange(128), rng.randrange(0x3000), rng.randrange(0x110000)]))
                    + text[end:]
                )
    return text[:3000]


def _limit_memory(mib: int) -> None:
    if sys.platform != "linux":
        return
    with open("/proc/self/statm", encoding="ascii") as statm:
        now = int(statm.read().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + mib * 2**20, hard))


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    write = sys.stdout.write
    tried, findings = fuzz(60 * args.minutes, args.seed, report=lambda line: print_line(write, line))
    print_line(write, f"{tried:,} inputs, {len(findings)} findings")
    return 1 if findings else 0


def print_line(write: Callable[[str], int], line: str) -> None:
    """Write a line with any content."""
    write(line.encode("ascii", "backslashreplace").decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
