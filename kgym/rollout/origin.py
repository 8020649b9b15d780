"""The facts of this process that one on another machine needs to find the same plugins and models."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kgym.errors import ConfigError
from kgym.registry import inherited


@dataclass(frozen=True)
class Origin:
    """Working directory, module path and plugins of the process that asks."""

    folder: str
    path: Sequence[str]
    variables: Mapping[str, str]

    @classmethod
    def here(cls) -> "Origin":
        """Return those of this process."""
        return cls(os.getcwd(), [os.path.abspath(path) for path in sys.path if path], inherited())

    def take_over(self) -> None:
        """Use them in this process, before the registry is used. Raises ConfigError if this machine does not have the
        directory.
        """
        os.environ.update(self.variables)
        try:
            os.chdir(self.folder)
        except OSError as error:
            raise ConfigError(
                f"{self.folder} is not on every machine of the cluster; start the command in a folder that all of them "
                "share"
            ) from error
        sys.path += [path for path in self.path if path not in sys.path]
