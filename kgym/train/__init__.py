"""Training: the loop, packing, log-probabilities, checkpoints. The package is also the one-liner
`kgym.train(config)`; see `start.py`.
"""

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """A package that can be called: importing any of its modules replaces a function of its name by it."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from kgym.train.start import train  # noqa: PLC0415  (the package is imported where nothing is trained)

        return train(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
