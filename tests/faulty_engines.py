"""A plugin of engines that do not have the weights that they were given: `-p faulty_engines`.

Each has a fault, and a form: `bare` engines do not read their weights back, `blocking` ones only sample whole batches.
"""

from itertools import product

from kgym.hookspecs import EngineInfo, hookimpl
from kgym.models.weights import TensorWeights
from kgym.rollout.engine import generate
from kgym.rollout.handover import DRILL
from kgym_plugins.engines.transformers import TransformersEngine, TransformersOptions

kgym_api = 1

LEFT_OUT = "model.layers.0.mlp.down_proj.weight"
FAULTS = ("leaves_out", "one_behind", "stale_cache")
FORMS = ("shown", "bare", "blocking")


class LeavesOut(TransformersEngine):
    """Keeps one tensor as it is."""

    def load(self, version, weights):
        mine = self.model.state_dict()[LEFT_OUT].clone()
        super().load(version, weights)
        self.model.state_dict()[LEFT_OUT].copy_(mine)


class OneBehind(TransformersEngine):
    """Loads the weights that it was given at the load before."""

    before = None

    def load(self, version, weights):
        given = TensorWeights({name: tensor.clone() for name, tensor in weights.named()})
        super().load(version, self.before or TensorWeights(dict(self.model.state_dict())))
        self.before = given


class StaleCache(TransformersEngine):
    """Continues with keys and values that older weights have made."""

    def _drop_caches(self):
        pass


KINDS = {"leaves_out": LeavesOut, "one_behind": OneBehind, "stale_cache": StaleCache}


def _made(kind, form):
    class Engine(kind):
        Options = TransformersOptions
        if form != "shown":
            held = None

    class Blocking:
        Options = TransformersOptions

        def __init__(self, options, folder):
            self.engine = Engine(options, folder)
            self.load, self.sleep, self.wake = self.engine.load, self.engine.sleep, self.engine.wake

        @property
        def version(self):
            return self.engine.version

        def generate(self, requests):
            return generate(self.engine, requests)

    return Blocking if form == "blocking" else Engine


for _fault, _form in product(KINDS, FORMS):
    globals()[f"{_fault}_{_form}"] = _made(KINDS[_fault], _form)


class Later(TransformersEngine):
    """Keeps these tensors as they are from version 2 on; None keeps all."""

    kept = None

    def load(self, version, weights):
        before = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        super().load(version, weights)
        if 2 <= version < DRILL:
            for name in self.kept or before:
                self.model.state_dict()[name].copy_(before[name])


class LaterLeavesOut(Later):
    kept = (LEFT_OUT,)


@hookimpl
def kgym_components():
    yield EngineInfo(
        name="later_one_behind", target="faulty_engines:Later", summary="keeps its weights from version 2 on"
    )
    yield EngineInfo(
        name="later_leaves_out", target="faulty_engines:LaterLeavesOut", summary="keeps a tensor from version 2 on"
    )
    for fault, form in product(FAULTS, FORMS):
        yield EngineInfo(name=f"{fault}_{form}", target=f"faulty_engines:{fault}_{form}", summary=f"{fault}, {form}")
