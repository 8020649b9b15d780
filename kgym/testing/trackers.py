"""The contract of a tracker, as checks.

from kgym.testing.trackers import check_tracker

def test_contract():
    check_tracker("mine", options={"mode": "offline"})
"""

import copy
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kgym.config import RunConfig
from kgym.hookspecs import TrackerInfo
from kgym.testing.report import Report, maker, name_of
from kgym.types import Tracker

METRICS = {
    "reward/mean": 0.25,
    "policy/kl_nats": 1e-9,
    "eval/accuracy": 1.0,
    "eval/stderr": math.nan,
    "time/train_s": 12.5,
}
"""Metrics of a step, one of them unknown."""


def check_tracker(subject: Tracker | type | str, *, options: Mapping[str, Any] | None = None) -> Report:
    """Check a tracker, by name, class or instance, in a temporary run folder. Raises ConformanceError with every
    failure.

    1. It takes steps from 0 on, with other metrics at other steps, and unknown figures (NaN).
    2. After a kill it can be constructed again for the same run folder, and takes steps that it has seen already.
    3. It closes after runs that ended with or without an error, also without a step.
    4. It does not change the metrics and the configuration that it is given.
    """
    report = Report(TrackerInfo.kind, name_of(subject))
    make = maker(TrackerInfo.kind, subject, options)
    config = RunConfig().model_dump(mode="json")
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        run.mkdir()
        given_config = copy.deepcopy(config)
        for what, steps, failed in (("a run that fails", (0, 1, 2, 3), True), ("the run resumed", (2, 3, 4), False)):
            with report.check(what):
                tracker: Tracker = make(run, given_config)
                for step in steps:
                    metrics = METRICS if step else {"eval/accuracy": 0.5}
                    given = dict(metrics)
                    tracker.log(step, given)
                    assert given == metrics, f"log changes the metrics that it is given: {given}"
                tracker.close(failed=failed)
        with report.check("the configuration stays as it is"):
            assert given_config == config, "it changes the configuration that it is given"
        with report.check("a run without a step"):
            empty = Path(folder) / "empty"
            empty.mkdir()
            make(empty, copy.deepcopy(config)).close(failed=True)
    return report.finish()
