"""A component that says what the machine lacks for it; `kgym plugins doctor` prints it."""

import shutil

from kgym.types import TellsMissing


class NeedsGit:
    """The part of a component's class that tells."""

    @classmethod
    def missing(cls) -> str:
        """Return what is missing with the command that installs it, or ""."""
        return "" if shutil.which("git") else "git: apt-get install git"


assert isinstance(NeedsGit, TellsMissing)
assert isinstance(NeedsGit.missing(), str)
