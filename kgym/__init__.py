"""kgym: a gym for LLM reasoning. The same environment trains a model and scores it.

    import kgym, gymnasium
    env = gymnasium.make("kgym/aime-v1")                     # importing kgym registers the environments

    kgym.verify("204", r"So the answer is \\boxed{204}.")     # a Verdict
    kgym.make("aime", split="validation")                    # the same environment by its short name
    kgym.make_algorithm("mirror", tau=0.1)                   # its loss takes plain tensors
    kgym.train({"env": "aime", "train": {"steps": 12}})      # kgym train; kgym.SFTConfig(...) for kgym sft, and so on
    kgym.evaluate({"model": "nano", "benches": ["aime-style"]})

Importing kgym loads no heavy library: each name is imported when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from kgym._gymnasium import register_with_gymnasium

if TYPE_CHECKING:
    from kgym.api import evaluate, make, make_algorithm
    from kgym.config import RunConfig
    from kgym.errors import (
        ConfigError,
        DataError,
        EngineError,
        EnvError,
        KgymError,
        MissingData,
        PluginError,
        RunError,
        UnknownName,
        VerifierError,
    )
    from kgym.eval_config import EvalConfig
    from kgym.supervised_config import DPOConfig, RMConfig, SFTConfig
    from kgym.train.start import train
    from kgym.types import (
        Algorithm,
        Chat,
        Engine,
        Episode,
        GenerateRequest,
        Group,
        LossOutput,
        Message,
        PackedBatch,
        Problem,
        ProblemSource,
        Sampler,
        Sampling,
        Segment,
        Shaper,
        UpdatePlan,
        Verdict,
        Verifier,
        VerifyItem,
    )
    from kgym.verify.one import verify

    __version__: str

__all__ = [
    "Algorithm",
    "Chat",
    "ConfigError",
    "DPOConfig",
    "DataError",
    "Engine",
    "EngineError",
    "EnvError",
    "Episode",
    "EvalConfig",
    "GenerateRequest",
    "Group",
    "KgymError",
    "LossOutput",
    "Message",
    "MissingData",
    "PackedBatch",
    "PluginError",
    "Problem",
    "ProblemSource",
    "RMConfig",
    "RunConfig",
    "RunError",
    "SFTConfig",
    "Sampler",
    "Sampling",
    "Segment",
    "Shaper",
    "UnknownName",
    "UpdatePlan",
    "Verdict",
    "Verifier",
    "VerifierError",
    "VerifyItem",
    "__version__",
    "evaluate",
    "make",
    "make_algorithm",
    "train",
    "verify",
]

_MODULES = ("kgym.api", "kgym.errors", "kgym.types", "kgym.config", "kgym.supervised_config", "kgym.eval_config")


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415  (slow, and seldom asked for)

        return version("kgym")
    if name in ("train", "verify"):
        return importlib.import_module(f"kgym.{name}")  # a package that can be called
    if name in __all__:
        for module in map(importlib.import_module, _MODULES):
            if hasattr(module, name):
                globals()[name] = getattr(module, name)
                return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


register_with_gymnasium()
