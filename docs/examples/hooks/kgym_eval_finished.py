"""An observer: prints the accuracy of each validation."""

import sys

from kgym.hookspecs import hookimpl

kgym_api = 1


@hookimpl
def kgym_eval_finished(run, step, results):
    """See the results of a validation, or of `kgym eval` with step 0."""
    print(f"step {step}: accuracy {results.get('accuracy')}", file=sys.stderr)
