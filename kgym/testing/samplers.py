"""The contract of a sampler, as checks.

from kgym.testing.samplers import check_sampler

def test_contract():
    check_sampler("mine")
"""

import json
import random
from collections.abc import Callable, Mapping
from functools import partial
from numbers import Integral
from typing import Any

from kgym.errors import ConfigError
from kgym.hookspecs import SamplerInfo
from kgym.testing.report import Report, maker, name_of
from kgym.types import Problem, ProblemSource, Sampler, Verdict


class Levels:
    """A source of `size` problems, endless if that is None; problem i has level i % 10 + 1."""

    def __init__(self, size: int | None) -> None:
        self.size = size
        self.fingerprint = f"levels of {size}"

    def __getitem__(self, index: int) -> Problem:
        if index < 0 or (self.size is not None and index >= self.size):
            raise IndexError(index)
        return Problem(id=f"levels/{index}", question=f"What is {index}+1?", gold=str(index + 1), level=index % 10 + 1)


VERDICTS = (Verdict("correct"), Verdict("wrong"), Verdict("no_answer"), Verdict("unscored", "timeout"))


def check_sampler(
    subject: Sampler | type | str, *, options: Mapping[str, Any] | None = None, source: ProblemSource | None = None
) -> Report:
    """Check a sampler, by name, class or instance. Raises ConformanceError with every failure.

    1. It returns as many indices of problems as it is asked for, and no problem twice in a step.
    2. The same seed gives the same indices, for any global random state.
    3. A sampler that loads the state of another one, through JSON, continues like the other one.
    4. It accepts any verdicts, also none.

    An instance needs `source`, the source that it was made for. Otherwise it is checked with a finite and an endless
    source.
    """
    report = Report(SamplerInfo.kind, name_of(subject))
    make = maker(SamplerInfo.kind, subject, options)
    sources = (
        {"its source": source}
        if source is not None
        else {"a source of 24 problems": Levels(24), "an endless source": Levels(None)}
    )
    for what, problems in sources.items():
        _check(report, what, problems, partial(make, problems, 7))
    return report.finish()


def _check(report: Report, what: str, source: ProblemSource, make: Callable[[], Sampler]) -> None:
    n = 4 if source.size is None else min(4, source.size)
    with report.check(f"{what}: indices"):
        sampler = make()
        for step in range(1, 7):
            _learn(sampler, _asked(sampler, source, n, step), step)
        _asked(sampler, source, 1, 7)
    with report.check(f"{what}: the same seed, the same indices"):
        runs = []
        for seed in (1, 2):
            state = random.getstate()
            random.seed(seed)
            try:
                runs.append(_steps(make(), source, n, 1, 7))
            finally:
                random.setstate(state)
        assert runs[0] == runs[1], f"two samplers with the same seed chose {runs[0]} and {runs[1]}"
    with report.check(f"{what}: resuming"):
        straight = make()
        _steps(straight, source, n, 1, 4)
        try:
            state_text = json.dumps(straight.state_dict())
        except TypeError as error:
            raise AssertionError(f"state_dict has to return plain JSON values: {error}") from None
        resumed = make()
        resumed.load_state_dict(json.loads(state_text))
        there, here = _steps(resumed, source, n, 4, 8), _steps(straight, source, n, 4, 8)
        assert there == here, f"a resumed sampler chooses {there}, an uninterrupted one {here}"


def _steps(sampler: Sampler, source: ProblemSource, n: int, first: int, end: int) -> list[list[int]]:
    chosen = []
    for step in range(first, end):
        chosen.append(_asked(sampler, source, n, step))
        _learn(sampler, chosen[-1], step)
    return chosen


def _asked(sampler: Sampler, source: ProblemSource, n: int, step: int) -> list[int]:
    try:
        indices: list[Any] = list(sampler.next(n, step))
    except ConfigError as error:
        raise AssertionError(f"next({n}, {step}) was refused: {error}") from error
    assert len(indices) == n, f"next({n}, {step}) returned {len(indices)} indices"
    for index in indices:
        whole = isinstance(index, Integral) and not isinstance(index, bool)
        assert whole and int(index) >= 0 and (source.size is None or int(index) < source.size), (
            f"next({n}, {step}) returned {index!r}, but the source has {source.size or 'endless'} problems"
        )
    assert len(set(indices)) == n, (
        f"next({n}, {step}) returned a problem twice: {indices}; its attempts would be the same"
    )
    return [int(index) for index in indices]


def _learn(sampler: Sampler, indices: list[int], step: int) -> None:
    for place, index in enumerate(indices):
        shift = (index + step) % len(VERDICTS)
        sampler.update(index, [VERDICTS[shift], VERDICTS[place % len(VERDICTS)]] if place else [])
