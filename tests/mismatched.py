"""A plugin of engines that do not sample from the weights and the temperature that they were told: `-p mismatched`."""

from dataclasses import replace

from kgym.hookspecs import EngineInfo, hookimpl
from kgym_plugins.engines.transformers import TransformersEngine

kgym_api = 1


class StaleEngine(TransformersEngine):
    """Says that it has new weights, and keeps those that it began with. It does not read them back."""

    held = None

    def load(self, version, weights):
        self.version = version


class HotEngine(TransformersEngine):
    """Samples at three times the temperature, and reports the log-probabilities of that."""

    def submit(self, requests):
        hot = [replace(request.sampling, temperature=3 * request.sampling.temperature) for request in requests]
        super().submit([replace(request, sampling=sampling) for request, sampling in zip(requests, hot, strict=True)])


@hookimpl
def kgym_components():
    yield EngineInfo(name="stale", target="mismatched:StaleEngine", summary="keeps its first weights")
    yield EngineInfo(name="hot", target="mismatched:HotEngine", summary="samples at another temperature")
