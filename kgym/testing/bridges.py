"""The contract of a bridge, as checks.

from kgym.testing.bridges import check_bridge

def test_contract():
    check_bridge("mine")
"""

import copy
import json
from collections.abc import Mapping
from typing import Any

from kgym.bridges import checked_files
from kgym.hookspecs import BridgeInfo
from kgym.testing.report import Report, maker, name_of
from kgym.types import Bridge, EnvExport

AWKWARD = "a|b, \"c\" & <d> 50% _e_ {g} \\h #i: ~j ^k\u2028ü\n  - 'l' !m"
"""A question with characters that a format may have to escape."""


RECORD = {
    "env_id": "acme/sums-v0",
    "split": "train",
    "data_sha256": "0" * 64,
    "prompt_sha256": "1" * 64,
    "verifier": "mine",
    "verifier_options": {},
    "max_tokens": 64,
    "truncated": "zero",
    "settings": {},
    "kgym_version": "0",
}
"""The column `kgym` of a row."""


def sums(n: int) -> EnvExport:
    """Return n sums in each of two splits; the last one of each split has an awkward question."""
    splits = {
        split: [_row(split, index, awkward=index == n - 1) for index in range(n)] for split in ("train", "validation")
    }
    return EnvExport(name="sums", env_id="acme/sums-v0", summary="sums", max_tokens=64, splits=splits)


def _row(split: str, index: int, *, awkward: bool) -> dict[str, Any]:
    question = AWKWARD if awkward else f"What is {index}+1?"
    return {
        "id": f"sums/{split}/{index}",
        "index": index,
        "seed": index,
        "prompt": [{"role": "user", "content": question}],
        "question": question,
        "answer": f"{index + 1}",
        "solution": "",
        "level": 1,
        "subject": "" if awkward else "sums",
        "year": 0,
        "kgym": json.dumps(RECORD | {"split": split}),
    }


def check_bridge(subject: Bridge | type | str, *, options: Mapping[str, Any] | None = None) -> Report:
    """Check a bridge, by name, class or instance, on a few sums.

    Raises ConformanceError with every failure.

    1. It says whether it takes environments that reply.
    2. It returns texts or bytes by names of files, for one problem and for several, including awkward texts.
    3. It does not change the rows that it is given.
    4. The same rows give the same files.
    """
    report = Report(BridgeInfo.kind, name_of(subject))
    bridge: Bridge = maker(BridgeInfo.kind, subject, options)()
    with report.check("turns"):
        assert isinstance(bridge.turns, bool), f"turns is {bridge.turns!r}; it has to be True or False"
    for what, export in (("one problem", sums(1)), ("three problems", sums(3))):
        before = copy.deepcopy(export)
        with report.check(what):
            files = checked_files(bridge(export))
            assert any(files.values()), "every file is empty"
            assert export == before, "it changes the rows that it is given"
            assert files == bridge(export), "the same rows give different files"
    return report.finish()
