"""Training: the loop, packing, log-probabilities, checkpoints. The package can also be called, `kgym.train(config)`;
see `start.py`.
"""

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """A package that can be called: importing any of its modules would replace a function of the same name."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from kgym.train.start import train  # noqa: PLC0415  (the package is imported where nothing is trained)

        return train(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
