"""Every hook of kgym, and the records that they yield.

A plugin is a light module named by an entry point in the group `kgym`. It says `kgym_api = 1` and has a function marked
`@hookimpl` that yields the records below. A record's `target` is a `"module:attribute"` string that is imported when
the component is first used, so that discovery loads neither torch nor numpy.

    from collections.abc import Iterator

    from kgym.hookspecs import Component, VerifierInfo, hookimpl

    kgym_api = 1

    @hookimpl
    def kgym_components() -> Iterator[Component]:
        yield VerifierInfo(name="hello", target="kgym_hello.verifier:Hello", summary="the text says hello")

The class that `target` names takes its options first: an instance of its class attribute `Options` (a subclass of
`kgym.options.Options`), then what the protocol in `kgym.types` says (an engine the model folder, a sampler the source
and a seed).

Observer hooks are read-only: what they raise is logged and counted, and changes nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pluggy

if TYPE_CHECKING:
    from kgym.types import Group

API_VERSION = 1
PROJECT = "kgym"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True)
class Info:
    """The fields of every component's record."""

    kind: ClassVar[str] = "component"

    name: str
    target: str
    """`module:attribute`, imported on first use."""
    summary: str = ""
    """One line for `kgym plugins list`."""
    needs: tuple[str, ...] = ()
    """Packages that its plugin does not install, by the name that installs and imports them. Without them the component
    is refused, with a hint.
    """
    extra: str = ""
    """Extra of the plugin's distribution that installs these packages (`wandb` of `kgym[wandb]`), for the hint; without
    one the hint names the packages.
    """


@dataclass(frozen=True)
class EnvInfo(Info):
    """An environment. `target` is a class that is constructed as `target(options)` and follows
    `kgym.envs.task.Task`.
    """

    kind: ClassVar[str] = "environment"

    namespace: str = "kgym"
    version: int = 0
    """Increases with every change of data, prompt or verifier."""
    family: str = ""
    """Prefix of the family that it is a member of; "" for an environment with its own record. kgym fills it in."""
    member: str = ""
    """The part of the name after the prefix."""

    @property
    def id(self) -> str:
        """The name that Gymnasium and manifests use: `kgym/aime-v1`."""
        return f"{self.namespace}/{self.name}-v{self.version}"


@dataclass(frozen=True)
class EnvFamilyInfo(Info):
    """Environments whose names begin with a prefix and a colon: the family `rg` has `rg:countdown`. The name is the
    prefix; `target` is a class that follows `kgym.envs.task.EnvFamily`.
    """

    kind: ClassVar[str] = "family"

    version: int = 0
    """Version of its environments; increases with every change of data, prompt or verifier."""
    suffixes: tuple[str, ...] = ()
    """Endings of names that belong to the family without its prefix, such as `.jsonl`."""
    member: str = "NAME"
    """Placeholder for the part after the prefix where the family is listed: `URL`."""


@dataclass(frozen=True)
class VerifierInfo(Info):
    """A verifier: `kgym.types.Verifier`."""

    kind: ClassVar[str] = "verifier"

    isolation: str = "process"
    """Where it judges. `process`: in worker processes that can be killed. `none`: in the caller, for verifiers that are
    linear in the text and safe by construction, and for those that hold a model: every worker would load it again, and
    the limits of memory and time would end it.
    """
    threads: bool = False
    """Whether several threads may call it at the same time, for verifiers that judge in the caller and wait for
    something else.
    """
    batched: bool = False
    """Whether many completions cost it little more than one, as for a model that reads them side by side. The
    completions of a step are then judged in one call after the last of them, instead of each as soon as it has ended.
    For verifiers that judge in the caller.
    """
    golds: tuple[str, ...] = ()
    """Gold answers of the kind that it judges, for `kgym plugins check`; without them mathematical ones are tried."""
    answer: str = r"\boxed{{gold}}"
    """Template of a completion that it reads, with `{gold}` in it, for the same check."""
    numeric: bool = True
    """Whether golds that consist of digits are numbers, so that 17.0 and 017 are 17; False for a verifier of texts."""


@dataclass(frozen=True)
class AlgorithmInfo(Info):
    """An algorithm: `kgym.types.Algorithm`."""

    kind: ClassVar[str] = "algorithm"


@dataclass(frozen=True)
class EngineInfo(Info):
    """A rollout engine: `kgym.types.Engine`."""

    kind: ClassVar[str] = "engine"
    own_process: bool = True
    """Whether kgym may run it in a separate process, as `rollout.schedule=ahead` needs."""

    adapters: bool = False
    """Whether `load` takes the matrices of a LoRA adapter alone (`Weights.adapter`); otherwise it is given merged
    weights.
    """

    exact: bool = False
    """Whether a completion that is cut and continued under the same weights equals the uncut one, and the same requests
    give the same segments again. A resumed run then reproduces the run that was not interrupted. `kgym plugins check`
    tests this.
    """

    remote: bool = False
    """Whether it asks a server: the model is a name that the server knows instead of a folder, and no weights can be
    loaded. Such an engine can be used for scoring and judging, and training refuses it.
    """


@dataclass(frozen=True)
class SamplerInfo(Info):
    """A problem sampler: `kgym.types.Sampler`."""

    kind: ClassVar[str] = "sampler"


@dataclass(frozen=True)
class ShaperInfo(Info):
    """A reward shaper: `kgym.types.Shaper`."""

    kind: ClassVar[str] = "shaper"


@dataclass(frozen=True)
class ModelInfo(Info):
    """A model with a short name. `target` is a function without arguments that returns a Hugging Face model folder
    (a Path).
    """

    kind: ClassVar[str] = "model"


@dataclass(frozen=True)
class TrackerInfo(Info):
    """An experiment tracker: `kgym.types.Tracker`."""

    kind: ClassVar[str] = "tracker"


@dataclass(frozen=True)
class BenchmarkInfo(Info):
    """A named way to score: an environment, a split and a number of problems. `target` is unused and empty."""

    kind: ClassVar[str] = "benchmark"

    target: str = ""
    env: str = ""
    split: str = ""
    problems: int = 0
    """Number of problems, the first ones of the split; 0 is all of them."""
    samples: int = 1
    """Completions for each problem, unless the user sets another number."""


@dataclass(frozen=True)
class DatasetInfo(Info):
    """Facts about a data set that users add; `kgym data add` checks the data against them. `target` is unused and
    empty.
    """

    kind: ClassVar[str] = "dataset"

    target: str = ""
    hub: tuple[str, ...] = ()
    """Its repositories on the hub, joined in this order."""
    problems: int = 0
    """Number of problems; 0 if unknown. Data with another number give a warning."""
    year: int | None = None
    """Rows with another year are left out; rows without a year are kept."""
    max_answer: int | None = None
    """Answers are integers from 0 to this; rows with other answers are refused."""
    configs: tuple[str, ...] = ()
    """Which of several configurations of a repository to use: the first of these that it has; without one, all of
    them.
    """
    splits: tuple[str, ...] = ()
    """Which of several splits to use: the first of these that it has; without one, the split called like the data set,
    or `test`.
    """


@dataclass(frozen=True)
class PresetInfo(Info):
    """A published protocol of evaluation. None leaves a value to the benchmark and the environment. `target` is
    unused and empty.
    """

    kind: ClassVar[str] = "preset"

    target: str = ""
    source: str = ""
    """Where it is published, and which parts of it are our interpretation."""
    samples: int = 1
    """Completions for each problem of benchmarks with up to a hundred problems, such as AIME."""
    samples_large: int | None = None
    """Completions for each problem of larger benchmarks; None: as `samples`."""
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] | None = None
    """Texts that end a completion, in addition to the model's end tokens."""
    prompt: str | None = None
    """Template of the user's message, with `{question}` in it."""
    system: str | None = None
    verifier: str | None = None
    """Verifier for a prompt that asks for the answer in a form that the environment's own verifier does not read."""


@dataclass(frozen=True)
class ExperimentInfo(Info):
    """An experiment for `kgym reproduce`. `target` is a function without arguments that returns a TOML file (a Path);
    `kgym.experiments.table` describes the file.
    """

    kind: ClassVar[str] = "experiment"


@dataclass(frozen=True)
class ExporterInfo(Info):
    """A file format for leaderboard tables: `kgym.types.Exporter`. The name is the word after `--format`."""

    kind: ClassVar[str] = "exporter"


@dataclass(frozen=True)
class BridgeInfo(Info):
    """Another framework that takes environments: `kgym.types.Bridge`. The name is the word after `kgym envs export
    --to`.
    """

    kind: ClassVar[str] = "bridge"


@dataclass(frozen=True)
class CommandInfo(Info):
    """A subcommand of `kgym`. `target` is a module with `configure(parser)` and `run(args) -> int`."""

    kind: ClassVar[str] = "command"


@dataclass(frozen=True)
class CheckInfo(Info):
    """A check that `kgym plugins doctor` runs. `target` is a function that returns a list of problems, empty if all
    is well.
    """

    kind: ClassVar[str] = "check"


# --- components -------------------------------------------------------------------------------------------------------

Component = (
    EnvInfo
    | EnvFamilyInfo
    | VerifierInfo
    | AlgorithmInfo
    | EngineInfo
    | SamplerInfo
    | ShaperInfo
    | ModelInfo
    | TrackerInfo
    | BenchmarkInfo
    | DatasetInfo
    | PresetInfo
    | ExperimentInfo
    | ExporterInfo
    | BridgeInfo
    | CommandInfo
    | CheckInfo
)
"""Every record that `kgym_components` may yield. A new kind is a new record and a line here."""


@hookspec
def kgym_components() -> Iterable[Component]:  # type: ignore[empty-body]
    """Yield the components of this plugin, of any kinds and in any order."""


REPLACED: dict[str, type[Component]] = {
    "kgym_register_envs": EnvInfo,
    "kgym_register_verifiers": VerifierInfo,
    "kgym_register_algorithms": AlgorithmInfo,
    "kgym_register_engines": EngineInfo,
    "kgym_register_samplers": SamplerInfo,
    "kgym_register_shapers": ShaperInfo,
    "kgym_register_models": ModelInfo,
    "kgym_register_trackers": TrackerInfo,
    "kgym_register_benchmarks": BenchmarkInfo,
    "kgym_register_datasets": DatasetInfo,
    "kgym_register_presets": PresetInfo,
    "kgym_register_experiments": ExperimentInfo,
    "kgym_register_exporters": ExporterInfo,
    "kgym_register_commands": CommandInfo,
    "kgym_register_checks": CheckInfo,
}
"""Older hooks, one for each kind, with the record that each yields. They still work and give a DeprecationWarning; new
code uses `kgym_components`.
"""


# --- observers --------------------------------------------------------------------------------------------------------


@hookspec
def kgym_run_started(run: Path, config: Mapping[str, Any]) -> None:
    """See a run begin or resume; `config` is the resolved configuration."""


@hookspec
def kgym_rollouts_finished(run: Path, step: int, groups: "Iterable[Group]") -> None:
    """See the groups of a step after shaping and before the update."""


@hookspec
def kgym_step_finished(run: Path, step: int, metrics: Mapping[str, float]) -> None:
    """See the metrics of a step, as they are in metrics.jsonl."""


@hookspec
def kgym_checkpoint_saved(run: Path, step: int, folder: Path) -> None:
    """See a checkpoint that is complete on disk."""


@hookspec
def kgym_eval_finished(run: Path, step: int, results: Mapping[str, Any]) -> None:
    """See the results of a validation or of `kgym eval` (step is 0 there)."""


@hookspec
def kgym_run_finished(run: Path, summary: Mapping[str, Any]) -> None:
    """See a run end without an error."""


@hookspec
def kgym_exception(run: Path, error: BaseException) -> None:
    """See the error that ended a run; it is raised again afterwards."""
