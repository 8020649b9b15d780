"""A plugin for tests: engines that say how well they suit, as third parties may have them."""

from kgym.hookspecs import EngineInfo, hookimpl
from kgym.types import Suitability
from kgym_plugins.engines.transformers import TransformersEngine, TransformersOptions

kgym_api = 1


@hookimpl
def kgym_components():
    yield EngineInfo(name="keen", target="keen_engine:Keen", exact=True, own_process=False)
    yield EngineInfo(name="as_good", target="keen_engine:AsGood")
    yield EngineInfo(name="server", target="keen_engine:Keener", remote=True)
    yield EngineInfo(name="silent", target="keen_engine:Silent")
    yield EngineInfo(name="incomplete", target="keen_engine:Keen", needs=("no_such_package",))


class Keen(TransformersEngine):
    Options = TransformersOptions

    @classmethod
    def suits(cls, options, model_folder, surroundings):
        return Suitability(1.5 if surroundings.trains else 0.0, "it is keen to train")

    @classmethod
    def missing(cls):
        return "a second opinion: pip install second-opinion"


class Keener(Keen):
    @classmethod
    def suits(cls, options, model_folder, surroundings):
        return Suitability(9.0, "it is a server")


class AsGood(TransformersEngine):
    Options = TransformersOptions


class Silent:
    Options = TransformersOptions

    def __init__(self, options, model_folder):
        raise AssertionError("not chosen")
