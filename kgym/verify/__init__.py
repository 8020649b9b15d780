"""Run verifiers safely. The package itself can be called: `kgym.verify(gold, response)`; see `one.py`."""

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """A package that can be called. A function `kgym.verify` would be replaced by the package as soon as one of its
    modules is imported.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from kgym.verify.one import verify  # noqa: PLC0415  (the package is also imported where nothing is verified)

        return verify(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
