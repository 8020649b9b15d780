"""`engine=auto`: choose the engine that suits a model and this machine best.

Each engine is checked as if it had been named, and then reports how well it suits (`JudgesItself`), so third-party
engines are candidates too. Servers are never chosen: they know other models.
"""

import logging
from collections.abc import Iterator, Mapping
from typing import Any, cast

from kgym.blame import blaming
from kgym.config import AUTO, EngineConfig
from kgym.errors import ConfigError, KgymError
from kgym.hookspecs import EngineInfo
from kgym.models.names import resolve_model
from kgym.registry import registry
from kgym.rollout.engine import check_engine
from kgym.types import JudgesItself, Suitability, Surroundings

log = logging.getLogger(__name__)


def chosen_engine(
    config: EngineConfig, model: str, *, trains: bool, own_process: bool = False
) -> tuple[EngineConfig, str]:
    """Return the configuration of an engine with `auto` replaced by the name of the one that suits a model best, and
    why as one line; a configuration that names an engine as it is, and "". With `own_process`, only engines that kgym
    may run in another process.

    Raises ConfigError, with the reason of each engine, if none suits.
    """
    if config.name != AUTO:
        return config, ""
    folder = resolve_model(model)
    found = dict(_asked(config.options, folder, Surroundings(_n_gpus(), trains), own_process=own_process))
    for name, suitability in found.items():
        log.info("engine %s, for engine=auto: score %g, %s", name, suitability.score, suitability.reason)
    default = EngineConfig().name  # wins over others of the same score
    name, best = max(
        found.items(), key=lambda item: (item[1].score, item[0] == default), default=("", Suitability(0, ""))
    )
    if best.score <= 0:
        reasons = "; ".join(f"{name}: {suitability.reason}" for name, suitability in found.items())
        raise ConfigError(f"engine=auto: no engine suits {model}: {reasons}")
    return config.model_copy(update={"name": name}), f"{name}, chosen by engine=auto: {best.reason}"


def _n_gpus() -> int:
    import torch  # noqa: PLC0415  (an evaluation at a server does without)

    return torch.cuda.device_count()


def _asked(
    options: Mapping[str, Any], folder: str, surroundings: Surroundings, *, own_process: bool
) -> Iterator[tuple[str, Suitability]]:
    for name, info in sorted(registry().infos(EngineInfo.kind).items()):
        engine = cast(EngineInfo, info)
        if engine.remote:
            continue
        if own_process and not engine.own_process:
            yield name, Suitability(0, "it cannot run in its own process, as rollout.schedule=ahead needs")
            continue
        try:
            yield name, _suitability(name, options, folder, surroundings)
        except KgymError as error:
            yield name, Suitability(0, str(error))


def _suitability(name: str, options: Mapping[str, Any], folder: str, surroundings: Surroundings) -> Suitability:
    """Raise KgymError for an engine that lacks something, refuses the options, or cannot sample from the model."""
    check_engine(name, options, folder)
    target = registry().target(EngineInfo.kind, name)
    if not isinstance(target, JudgesItself):
        return Suitability(0, "it does not say how well it suits")
    with blaming(EngineInfo.kind, target):
        return target.suits(registry().options(EngineInfo.kind, name, options), folder, surroundings)
