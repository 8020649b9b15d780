"""The public functions of `import kgym`, apart from `verify` (`kgym.verify.one`) and `train` (`kgym.train.start`)."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgym.hookspecs import EnvInfo
from kgym.registry import registry
from kgym.types import Algorithm

if TYPE_CHECKING:
    from gymnasium import Env

    from kgym.eval_config import EvalConfig
    from kgym.score.evaluating import Listener
    from kgym.score.results import EvalResult


def make(env_id: str, **options: Any) -> "Env[Any, Any]":
    """Return `gymnasium.make(env_id, **options)`; a short name (`aime`) stands for the newest version.

    Raises UnknownName for a name that no plugin offers, MissingData if the user has to add the data of the split.
    """
    import gymnasium  # noqa: PLC0415  (loads numpy)

    from kgym.envs.registration import register_env, register_envs  # noqa: PLC0415

    register_envs()  # again: plugins may have been loaded anew
    info = registry().info(EnvInfo, env_id)
    return gymnasium.make(register_env(info, env_id), **options)  # not `env_id`: Gymnasium takes no id with a colon


def make_algorithm(name: str, **options: Any) -> Algorithm:
    """Return an algorithm. Its `loss_on` takes plain tensors, so that a loss can be computed without a trainer.

    Raises UnknownName for an unknown name or option, ConfigError for a value that the option does not take.
    """
    algorithm: Algorithm = registry().create("algorithm", name, options)
    return algorithm


def evaluate(
    config: "EvalConfig | Mapping[str, Any] | None" = None,
    *,
    run: str | PathLike[str] | None = None,
    label: str | None = None,
    note: str = "",
    listener: "Listener | None" = None,
) -> "dict[str, EvalResult]":
    """Score a model as a configuration says, as `kgym eval` does, and return the results by benchmark.

    `config` is an `EvalConfig` or a mapping with its keys; without it `nano` is scored on `aime-style`. `run` is the
    run folder, or the start of the name of each folder for several benchmarks; the default is a folder below `runs/`.
    Completions of the same evaluation that the folder already has are not sampled again. `label` and `note` are for
    boards. `listener` is told about progress.

    Raises ConfigError, DataError or UnknownName before anything is written if a benchmark cannot be scored.

    >>> import kgym, tempfile
    >>> asked = {"model": "nano", "benches": ["aime:validation"], "problems": 4, "max_tokens": 8}
    >>> results = kgym.evaluate(asked, run=f"{tempfile.mkdtemp()}/run")
    >>> results["aime:validation"].n_problems, results["aime:validation"].truncated_frac
    (4, 1.0)
    """
    from kgym.eval_config import EvalConfig  # noqa: PLC0415  (pydantic is heavy)
    from kgym.options import validated  # noqa: PLC0415
    from kgym.score.evaluating import evaluate as score  # noqa: PLC0415

    asked = config if isinstance(config, EvalConfig) else validated(EvalConfig, config or {})
    return score(asked, run=_path(run), label=label, note=note, listener=listener)


def _path(given: str | PathLike[str] | None) -> Path | None:
    return None if given is None else Path(given)
