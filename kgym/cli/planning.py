"""The output of `--dry-run`."""

import logging
from typing import TYPE_CHECKING

from kgym.cli.output import print_json, say

if TYPE_CHECKING:
    from kgym.train.plan import Plan

log = logging.getLogger(__name__)


def print_plan(plan: "Plan", *, json_output: bool) -> None:
    """Print what a run will have in memory. Raises ConfigError for a run that does not fit."""
    if json_output:
        print_json({"memory": plan.facts()})
    else:
        for line in plan.lines():
            say(line)
    plan.check()
    if said := plan.warning():
        log.warning("%s", said)
