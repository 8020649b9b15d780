"""An observer: notes what ended a run."""

from kgym.hookspecs import hookimpl

kgym_api = 1


@hookimpl
def kgym_exception(run, error):
    """See the error; it is raised again afterwards."""
    (run / "error.txt").write_text(f"{type(error).__name__}: {error}\n")
