"""An observer: says which algorithm a run uses."""

import sys

from kgym.hookspecs import hookimpl

kgym_api = 1


@hookimpl
def kgym_run_started(run, config):
    """See a run begin."""
    print(f"{run}: {config['algo']['name']}", file=sys.stderr)
