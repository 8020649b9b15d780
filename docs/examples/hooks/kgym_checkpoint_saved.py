"""An observer: writes where the newest checkpoint is."""

from kgym.hookspecs import hookimpl

kgym_api = 1


@hookimpl
def kgym_checkpoint_saved(run, step, folder):
    """See a checkpoint that is complete on disk."""
    (run / "newest.txt").write_text(f"{folder}\n")
