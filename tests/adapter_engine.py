"""A plugin for tests: an engine that is given the adapter alone and adds it to the model that it was made with."""

import copy

from kgym.hookspecs import EngineInfo, hookimpl
from kgym_plugins.engines.transformers import TransformersEngine, TransformersOptions

kgym_api = 1
seen = []
"""Of each load: the configuration of the adapter, and how many tensors came with it."""


@hookimpl
def kgym_components():
    yield EngineInfo(name="adds_adapters", target="adapter_engine:AddsAdapters", adapters=True)
    yield EngineInfo(name="piles_up_adapters", target="adapter_engine:PilesUpAdapters", adapters=True)


class AddsAdapters(TransformersEngine):
    Options = TransformersOptions

    def __init__(self, options, model_folder):
        super().__init__(options, model_folder)
        self.first = copy.deepcopy(self.model.state_dict())

    def below(self):
        return self.first

    def load(self, version, weights):
        tensors, config = dict(weights.named()), weights.adapter
        seen.append((config, len(tensors)))
        if config is None:
            super().load(version, weights)
            return
        state = dict(self.below())
        for name, a in tensors.items():
            if name.endswith(".lora_A.weight"):
                key = name.removeprefix("base_model.model.").replace(".lora_A.", ".")
                b = tensors[name.replace(".lora_A.", ".lora_B.")]
                state[key] = state[key] + config["lora_alpha"] / config["r"] * b @ a
        self.model.load_state_dict(state)
        self._drop_caches()
        self.version = version


class PilesUpAdapters(AddsAdapters):
    """Adds each adapter to the weights that the one before has left."""

    def below(self):
        return self.model.state_dict()
