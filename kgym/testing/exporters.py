"""The contract of an exporter, as checks.

from kgym.testing.exporters import check_exporter

def test_contract():
    check_exporter("mine")
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from kgym.board.schema import RESULTS
from kgym.board.standings import ranked_rows
from kgym.errors import ConfigError
from kgym.hookspecs import ExporterInfo
from kgym.testing.report import Report, maker, name_of
from kgym.types import Exporter

AWKWARD = 'a|b, "c" & <d> 50% _e_ $f$ {g} \\h #i ~j ^k, ü'
"""A label with characters of which every format has to escape some."""


def board_rows(n: int, *, note: str = "") -> list[dict[str, Any]]:
    """Return rows of a board of results: one model, several seeds, two benchmarks. Figures that may be unknown are None
    in some rows.
    """
    rows = []
    for number in range(n):
        row: dict[str, Any] = dict.fromkeys(RESULTS.names)
        row |= {
            "schema_version": RESULTS.version,
            "date": "2026-01-31",
            "model": "runs/mine",
            "benchmark": ("sums-style", "proofs-style")[number % 2],
            "env_id": ("acme/sums-v0", "acme/proofs-v0")[number % 2],
            "split": "validation",
            "accuracy": 0.25 + number / 64,
            "stderr": 0.02,
            "interval_low": 0.2,
            "interval_high": 0.9,
            "n_problems": 500,
            "samples_per_problem": 1,
            "pass_at_k": '{"1": 0.25}',
            "g_pass_at_k": "{}",
            "truncated_frac": 0.125,
            "unscored_frac": 0.0,
            "no_answer_frac": 0.0625,
            "tokens_mean": 99.5,
            "temperature": 1.0,
            "top_p": 1.0,
            "top_k": 0,
            "max_tokens": 256,
            "truncated_rule": "zero",
            "verifier": "mine",
            "data_sha256": "0" * 64,
            "comparability": ("1", "2")[number % 2] * 64,
            "engine": "mine",
            "kgym_version": "0",
            "seed": number,
            "run": f"runs/mine-{number}",
            "note": note,
        }
        if number % 3 == 2:  # unknown figures, as on a third-party board
            row |= dict.fromkeys(("stderr", "interval_low", "interval_high", "tokens_mean", "temperature"))
        rows.append(row)
    return rows


def check_exporter(subject: Exporter | type | str, *, options: Mapping[str, Any] | None = None) -> Report:
    """Check an exporter, by name, class or instance, on rows of a board. Raises ConformanceError with every failure.

    1. It returns a text or bytes, not empty, for one row and for many, including unknown figures and awkward texts.
    2. It does not change the rows that it is given.
    3. The same rows give the same file.

    It may refuse rows that the format cannot hold with a ConfigError, but not the rows of one model. What it returns
    without rows is not checked.
    """
    report = Report(ExporterInfo.kind, name_of(subject))
    exporter: Exporter = maker(ExporterInfo.kind, subject, options)()
    text: str | bytes = ""
    ranked = bool(getattr(exporter, "ranked", False))
    for what, rows in (
        ("one row", board_rows(1)),
        ("seven rows", board_rows(7)),
        ("awkward texts", board_rows(3, note=AWKWARD)),
    ):
        given = ranked_rows(rows) if ranked else rows
        with report.check(what):
            before = copy.deepcopy(given)
            text = exporter(given)
            assert isinstance(text, str | bytes), f"it returned {type(text).__name__}; it has to return a text or bytes"
            assert text, "it returned nothing"
            assert given == before, "it changes the rows that it is given"
        if what == "seven rows":
            with report.check(f"{what} once more"):
                assert text == exporter(given), "the same rows give a different file"
    with report.check("no rows"):
        _written(exporter, [])
    return report.finish()


def _written(exporter: Exporter, rows: Sequence[Mapping[str, Any]]) -> str | bytes | None:
    try:
        return exporter(rows)
    except ConfigError:  # a format may need rows
        return None
