"""`import kgym` makes `gymnasium.make("kgym/aime-v1")` work, without importing Gymnasium.

Gymnasium reads no entry points, so kgym has to register its environments. Importing Gymnasium loads numpy, which the
command line and the discovery of plugins must not load. So the environments are registered as soon as both packages are
imported: at once if Gymnasium was imported first, otherwise when it is imported. This holds in worker processes too.
"""

import importlib
import importlib.util
import logging
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

GYMNASIUM = "gymnasium"

log = logging.getLogger(__name__)


class AfterGymnasium(MetaPathFinder):
    """Finds Gymnasium as the other finders do, and registers the environments when its import is complete."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of Gymnasium with the registration after its execution; None for any other module."""
        if fullname != GYMNASIUM:
            return None
        others = (finder for finder in sys.meta_path if not isinstance(finder, AfterGymnasium))
        spec = next((spec for finder in others if (spec := finder.find_spec(fullname, path, target)) is not None), None)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            if module.__name__ == GYMNASIUM:  # a zip file has one loader for all its modules
                _register()

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def register_with_gymnasium() -> None:
    """Register the environments now if Gymnasium is imported, otherwise when it will be."""
    if GYMNASIUM in sys.modules:
        _register()
    elif not any(isinstance(finder, AfterGymnasium) for finder in sys.meta_path):
        sys.meta_path.insert(0, AfterGymnasium())


def _register() -> None:
    from kgym.registry import when_loaded  # noqa: PLC0415  (kgym itself is just being imported)

    when_loaded(_register_envs)


def _register_envs() -> None:
    """Register the environments. Errors are logged, since they must not break the import of Gymnasium."""
    try:
        importlib.import_module("kgym.envs.registration").register_envs()
    except Exception:
        log.exception("the environments could not be registered with Gymnasium")
