"""An observer: rings the terminal's bell when a run ends well."""

import sys

from kgym.hookspecs import hookimpl

kgym_api = 1


@hookimpl
def kgym_run_finished(run, summary):
    """See a run end."""
    print(f"\a{run} took {summary.get('steps')} steps", file=sys.stderr)
