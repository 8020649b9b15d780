"""An observer: names the shortest completion of each step."""

import sys

from kgym.hookspecs import hookimpl

kgym_api = 1


@hookimpl
def kgym_rollouts_finished(run, step, groups):
    """See the groups of a step; they are copies."""
    shortest = min(
        (e for group in groups for e in group.episodes),
        key=lambda e: e.n_tokens,
        default=None,
    )
    if shortest is not None:
        print(
            f"step {step}: the shortest completion has {shortest.n_tokens} tokens",
            file=sys.stderr,
        )
