"""An observer: warns of truncated completions."""

import sys

from kgym.hookspecs import hookimpl

kgym_api = 1


@hookimpl
def kgym_step_finished(run, step, metrics):
    """See the metrics of a step."""
    if metrics.get("episode/truncated_frac", 0) > 0.1:
        print(f"step {step}: many completions are cut off", file=sys.stderr)
