"""From a configuration to its run: its objective, the settings that a resumed run may change, and the folder of the
finished model.

torch is loaded when a run is made, and not before: a wrong key is refused at once.
"""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgym.config import AUTO, RunConfig
from kgym.errors import ConfigError
from kgym.options import validated
from kgym.runs.folder import RunFolder
from kgym.runs.manifest import kind_of
from kgym.runs.stored import TrainingConfig, command_of, new_folder, newest_run, stored_config
from kgym.train.report import Reporter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kgym.train.components import Chosen
    from kgym.train.loop import Run


def train(
    config: TrainingConfig | Mapping[str, Any] | None = None,
    *,
    run: str | PathLike[str] | None = None,
    resume: bool = False,
    out: str | PathLike[str] | None = None,
    reporter: Reporter | None = None,
    profile: bool = False,
) -> dict[str, Any]:
    """Train as a configuration says, and return the summary: what `kgym train`, `sft`, `dpo` and `rm` do.

    `config` is a `RunConfig` (reinforcement learning), `SFTConfig`, `DPOConfig` or `RMConfig`, or a mapping with the
    keys of a `RunConfig`; without it every key has its default. `run` is the run folder, by default a new one below
    `runs/`. With `resume` the run there continues from its newest checkpoint; what `config` sets has to agree with it,
    except `train.steps`. The finished model is also written to the new folder `out`. `reporter` gets the events of the
    run. With `profile` the summary shows where the time went, and one step is traced.

    Raises ConfigError or DataError before anything is written if the configuration cannot work, RunError if the run
    cannot continue.

    >>> import kgym, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> config = kgym.SFTConfig(env="arithmetic", train={"steps": 2, "warmup_steps": 0}, sft={"batch_size": 2})
    >>> summary = kgym.train(config, run=f"{folder}/run")
    >>> summary["steps"], summary["train/loss_nats"] > 0
    (2, True)
    >>> kgym.train(run=f"{folder}/run", resume=True)["steps"]
    2
    """
    asked = validated(RunConfig, config) if isinstance(config, Mapping) else config
    model = None if out is None else Path(out)
    refuse_out(model)
    settle = _resumed if resume else _begun
    asked, folder = settle(asked, None if run is None else Path(run))
    summary = run_of(asked, folder, reporter, profile=profile).run()
    if model is not None and summary:  # on rank 0
        _write_model(Path(summary["checkpoint"]), model)
        summary = summary | {"model": str(model)}
    return summary


def _begun(config: TrainingConfig | None, run: Path | None) -> tuple[TrainingConfig, RunFolder]:
    """Return the configuration of a new run, and its folder."""
    config = RunConfig() if config is None else config
    folder = RunFolder(run or new_folder(config))
    refuse_existing(folder, command_of(config))
    return config, folder


def _resumed(config: TrainingConfig | None, run: Path | None) -> tuple[TrainingConfig, RunFolder]:
    """Return the configuration of a run that continues, and its folder."""
    folder = RunFolder(run or newest_run("train" if config is None else command_of(config)))
    if config is None:
        return stored_config(folder, kind_of(folder.read_manifest())), folder
    return resumed(stored_config(folder, command_of(config)), config), folder


def _write_model(checkpoint: Path, out: Path) -> None:
    """Write the model of a checkpoint as the folder `out`, an adapter merged into its base."""
    from kgym.models.merging import merge_into  # noqa: PLC0415
    from kgym.models.names import adapters_of  # noqa: PLC0415
    from kgym.train.checkpoint import export  # noqa: PLC0415

    if adapters_of(str(checkpoint))[1]:
        merge_into(str(checkpoint), out)
    else:
        export(checkpoint, out)


def run_of(
    config: TrainingConfig, folder: RunFolder, reporter: Reporter | None = None, *, profile: bool = False
) -> "Run":
    """Return the run of a configuration in a folder: `run_of(config, folder).run()` trains. `profile` as in `Run`."""
    if isinstance(config, RunConfig):
        from kgym.train.rl.objective import reinforcement  # noqa: PLC0415

        return reinforcement(config, folder, reporter, profile=profile)
    from kgym.train.supervised.objective import supervised  # noqa: PLC0415

    return supervised(config, folder, reporter, profile=profile)


def refuse_existing(folder: RunFolder, command: str) -> None:
    """Raise ConfigError if a folder holds a run already."""
    if folder.manifest.exists():
        stored_config(folder, command)  # raises if it could not be resumed
        raise ConfigError(
            f"{folder.path} holds a run already; resume it with --resume, or choose another folder with --run"
        )


def refuse_out(out: Path | None) -> None:
    """Raise ConfigError if the folder of the finished model exists."""
    if out is not None and out.exists():
        raise ConfigError(f"{out} exists already; choose another folder with --out")


def in_force(config: TrainingConfig) -> TrainingConfig:
    """Return a configuration with every default of its components, and the recipe of its algorithm, in it."""
    if isinstance(config, RunConfig):
        from kgym.train.rl.components import with_defaults  # noqa: PLC0415
        from kgym.train.rl.recipe import with_recipe  # noqa: PLC0415

        return with_defaults(with_recipe(config))
    from kgym.train.supervised.components import with_defaults as with_own_defaults  # noqa: PLC0415

    return with_own_defaults(config)


def chosen(config: TrainingConfig) -> "Iterable[Chosen]":
    """Return the components of a run. Raises UnknownName for one that does not exist, or for an option of an
    environment.
    """
    if isinstance(config, RunConfig):
        from kgym.train.rl.components import chosen as of_run  # noqa: PLC0415

        return of_run(config)
    from kgym.train.supervised.components import chosen as of_examples  # noqa: PLC0415

    return of_examples(config)


def resumed(stored: TrainingConfig, asked: TrainingConfig, *, whole: bool = False) -> TrainingConfig:
    """Return the stored configuration, with the number of steps that was asked for; no other setting may change.

    What `asked` sets has to agree with it; with `whole` also its defaults, for a file with a whole configuration.

    Raises ConfigError, naming the keys that do not agree.
    """
    named = {
        key: value for key, value in _flat(asked.model_dump(mode="json", exclude_unset=True)).items() if value != {}
    }
    if not named and not whole:
        return stored
    steps = asked.train.steps if "train.steps" in named else stored.train.steps
    config = stored.model_copy(update={"train": stored.train.model_copy(update={"steps": steps})})
    if (
        isinstance(stored, RunConfig) and isinstance(asked, RunConfig) and asked.engine.name == AUTO
    ):  # the engine was chosen at the start
        asked = asked.model_copy(update={"engine": asked.engine.model_copy(update={"name": stored.engine.name})})
    before = _in_force_as_stored(config)  # an older version stored only the options that were set
    differing = set(_differences(before, in_force(asked))) if whole else set(_differences(before, asked)) & named.keys()
    if differing := differing - {"train.steps"}:
        verb, them = ("differs", "it") if len(differing) == 1 else ("differ", "them")
        raise ConfigError(
            f"--resume continues the run with its stored configuration, but {', '.join(sorted(differing))} {verb} from "
            f"it; leave {them} out"
        )
    return config


def _in_force_as_stored(config: TrainingConfig) -> TrainingConfig:
    """Return a stored configuration with every default in it; its recipe is in it already."""
    if isinstance(config, RunConfig):
        from kgym.train.rl.components import with_defaults  # noqa: PLC0415

        return with_defaults(config)
    return in_force(config)


def _differences(one: TrainingConfig, other: TrainingConfig) -> list[str]:
    first, second = (_flat(config.model_dump(mode="json")) for config in (one, other))
    return sorted(key for key in first.keys() | second.keys() if first.get(key) != second.get(key))


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) and value else {f"{prefix}{key}": value}
    return {key.replace(".options.", "."): value for key, value in flat.items()}
