"""The components of all plugins, by kind and name. A component is imported when it is first used.

    registry().info("environment", "aime")                   the record; an unknown name is refused with the nearest one
    registry().create("algorithm", "mirror", {"tau": 0.1})   options checked, target imported, constructed
    registry().observe("kgym_run_finished", run=..., ...)    call the observers; their errors change nothing

`discovery.py` finds and loads plugins. Which plugins are loaded is decided here:

    -p NAME                           also load this entry point, distribution, module or Python file
    -p no:NAME                        do not load it
    KGYM_DISABLE_PLUGINS=a,b          do not load these, unless -p names them
    KGYM_DISABLE_PLUGIN_AUTOLOAD=1    load only kgym's own and those that -p names, and no kgymfile.py
"""

import importlib
import importlib.util
import json
import logging
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from kgym.blame import blaming, remember
from kgym.discovery import (
    Candidate,
    PluginRecord,
    absolute,
    blocked,
    call_one,
    identity,
    implements,
    installed,
    load,
    local,
    named,
    twice,
    warn_of_old_hooks,
)
from kgym.errors import ConfigError, KgymError, PluginError, UnknownName
from kgym.families import family_of, member_info
from kgym.hookspecs import PROJECT, EnvFamilyInfo, EnvInfo, Info
from kgym.loading import prints_to_stderr
from kgym.neutral import error_line
from kgym.observers import copied, same_random_state

if TYPE_CHECKING:  # pydantic is imported only where something is validated
    from kgym.options import Options

log = logging.getLogger(__name__)

R = TypeVar("R", bound=Info)

INHERITED = "KGYM_PLUGINS_OF_PARENT"
"""Environment variable that passes the `-p` of a command to its worker processes, as a JSON list."""
DISABLED, NO_AUTOLOAD = "KGYM_DISABLE_PLUGINS", "KGYM_DISABLE_PLUGIN_AUTOLOAD"

_warned: set[str] = set()
"""The modules of plugins with older hooks that were warned about, since a process may make several registries."""

_KEYS = {"environment": "env", "algorithm": "algo", "shaper": "shapers.{}", "tracker": "trackers.{}"}
"""The key of a configuration with the options of a kind, for messages; of other kinds it is the kind itself."""


@dataclass(frozen=True)
class Clash:
    """A name that several plugins offer."""

    kind: str
    name: str
    offers: tuple[tuple[Info, PluginRecord], ...]

    @property
    def origins(self) -> list[str]:
        """Who offers it, by the names that `-p no:` takes."""
        records = [record for _, record in self.offers]
        origins = list(dict.fromkeys(record.origin for record in records))
        if len(origins) == 1:  # one distribution with several entry points
            return [record.name for record in records]
        return origins

    @property
    def remedy(self) -> str:
        """The arguments that leave one of them out: `-p no:acme-math`."""
        return " or ".join(f"-p no:{origin}" for origin in self.origins if origin != PROJECT)

    def __str__(self) -> str:
        """Say who offers it, and how to choose."""
        ids = sorted({identity(info) for info, _ in self.offers})
        by_id = f", or ask for {' or '.join(map(repr, ids))}" if len(ids) > 1 else ""
        all_of_them = "both " + " and ".join(self.origins) if len(self.origins) == 2 else ", ".join(self.origins)
        return f"{self.kind} {self.name!r} is offered by {all_of_them}; choose one: {self.remedy}{by_id}"


class Registry:
    """The plugins of one process and the components that they offer.

    `plugins` are the arguments of `-p`. Tests can give the installed plugins, the environment variables and the working
    directory.

    Raises UnknownName if `-p` names a plugin that does not exist, PluginError if it names one that is broken.
    """

    def __init__(
        self,
        plugins: Sequence[str] = (),
        *,
        candidates: Iterable[Candidate] | None = None,
        environ: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        environ = os.environ if environ is None else environ
        self.observer_errors: Counter[str] = Counter()
        """How often the observers of each plugin raised."""
        self._members: dict[tuple[str, str], Any] = {}
        """The classes of environments of families, by prefix and member."""
        self._records = list(
            self._discover(plugins, installed() if candidates is None else list(candidates), environ, folder)
        )
        self._index: dict[tuple[str, str], list[tuple[Info, PluginRecord]]] = {}
        """The components by kind and by name, and environments by their id too."""
        for info, record in self.offers():
            for name in {info.name, identity(info)}:
                self._index.setdefault((info.kind, name), []).append((info, record))
        for record in self._records:
            if record.status == "broken":
                log.warning(
                    "plugin %s is broken and left out: %s (more: kgym plugins doctor)", record.title, record.error
                )
            if record.deprecated and record.module not in _warned:
                _warned.add(record.module)
                warn_of_old_hooks(record)

    def _discover(
        self, plugins: Sequence[str], candidates: list[Candidate], environ: Mapping[str, str], folder: Path | None
    ) -> Iterable[PluginRecord]:
        refused = [name.removeprefix("no:") for name in plugins if name.startswith("no:")]
        wanted = [absolute(name) for name in plugins if not name.startswith("no:")]
        disabled = [name.strip() for name in environ.get(DISABLED, "").split(",") if name.strip()]
        autoload = environ.get(NO_AUTOLOAD, "") in ("", "0")
        if autoload and (file := local(folder or Path())):
            candidates = [*candidates, file]
        for name in refused:
            if not any(candidate.answers_to([name]) for candidate in candidates):
                raise UnknownName.near(
                    "plugin",
                    name,
                    {item.distribution or item.name for item in candidates} | {c.name for c in candidates},
                )
        asked = [name for name in wanted if not any(candidate.answers_to([name]) for candidate in candidates)]
        loaded: dict[str, str] = {}
        for candidate in [*candidates, *map(named, dict.fromkeys(asked))]:
            is_wanted = candidate.answers_to(wanted)
            if by := next((name for name in refused if candidate.answers_to([name])), None):
                yield blocked(candidate, f"-p no:{by}")
            elif not is_wanted and candidate.answers_to(disabled):
                yield blocked(candidate, DISABLED)
            elif not is_wanted and not autoload and candidate.distribution != PROJECT:
                yield blocked(candidate, NO_AUTOLOAD)
            elif first := loaded.get(candidate.value):
                yield twice(candidate, first)
            else:
                loaded[candidate.value] = candidate.name
                record = load(candidate)
                if is_wanted and record.status == "broken":
                    raise PluginError(f"plugin {record.title} cannot be loaded: {record.error}")
                yield record

    # --- plugins

    def plugins(self) -> list[PluginRecord]:
        """Return every plugin that was found, also those that are broken or left out."""
        return list(self._records)

    def clashes(self) -> list[Clash]:
        """Return every name that more than one plugin offers."""
        found: dict[tuple[int, ...], Clash] = {}
        for kind, name in self._index:
            if len(offers := self._named(kind, name)) > 1:
                found[tuple(sorted(id(info) for info, _ in offers))] = Clash(kind, name, tuple(offers))
        return list(found.values())

    def observe(self, hook: str, **kwargs: Any) -> None:
        """Call an observer hook of each plugin separately, with copies of the arguments, so that it cannot change
        anything. Its errors are logged and counted.
        """
        for record in self._active():
            assert record.hooks is not None  # it is active
            if not implements(record.hooks, hook):
                continue
            try:
                with same_random_state(), prints_to_stderr():
                    call_one(record.hooks, hook, **{name: copied(value) for name, value in kwargs.items()})
            except (Exception, SystemExit) as error:  # third-party code, and read-only by contract
                self.observer_errors[record.name] += 1
                log.warning("%s of plugin %s failed: %s", hook, record.title, error_line(error))
                log.debug("%s of plugin %s", hook, record.title, exc_info=error)

    def _active(self) -> list[PluginRecord]:
        return [record for record in self._records if record.status == "ok"]

    # --- components

    def offers(self, kind: str | None = None) -> list[tuple[Info, PluginRecord]]:
        """Return every component of a kind, or of all kinds, with the plugin that offers it, including every version of
        every environment.
        """
        return [(info, record) for record in self._active() for info in record.offers if kind in (None, info.kind)]

    def infos(self, kind: str) -> dict[str, Info]:
        """Return the components of a kind by name, with the newest version of each environment. Names that clash are
        left out.
        """
        names = [info.name for info, _ in self.offers(kind)]
        return {name: offers[0][0] for name in names if len(offers := self._named(kind, name)) == 1}

    @overload
    def info(self, kind: type[R], name: str) -> R: ...

    @overload
    def info(self, kind: str, name: str) -> Info: ...

    def info(self, kind: type[Info] | str, name: str) -> Info:
        """Return the record of a component; `kind` is the class of the record, or its kind as text.

        An environment is named by its short name, its id, or by the prefix of a family and a member of it.

        Raises UnknownName with the nearest name, or PluginError if several plugins offer it.
        """
        return self._find(kind if isinstance(kind, str) else kind.kind, name)[0]

    def provider(self, kind: str, name: str) -> PluginRecord:
        """Return the plugin that offers a component; raises as `info` does."""
        return self._find(kind, name)[1]

    def target(self, kind: str, name: str) -> Any:
        """Import what a component's `target` names.

        Raises PluginError, which names the plugin, if the import fails; a KgymError that the module raises on purpose
        is not changed.
        """
        info, record = self._find(kind, name)
        if isinstance(info, EnvInfo) and info.family:
            return self._member(info, kind, name)
        module, _, attributes = info.target.partition(":")
        try:
            if not module:
                raise ImportError("it has no target")
            with prints_to_stderr():
                target = reduce(getattr, filter(None, attributes.split(".")), importlib.import_module(module))
        except KgymError:
            raise
        except Exception as error:  # a third party's module may raise anything
            whose = f"{kind} {name!r} of plugin {record.title}"
            raise PluginError(f"{whose} cannot be imported from {info.target!r}: {error_line(error)}") from error
        remember(target, self.label(kind, name))
        return target

    def _member(self, info: EnvInfo, kind: str, name: str) -> Any:
        """Return the class of an environment of a family. Raises as `target` does, and ConfigError if packages of the
        family are missing.
        """
        if (key := (info.family, info.member)) not in self._members:
            family = self.create(EnvFamilyInfo.kind, info.family)
            try:
                with prints_to_stderr():
                    found = family.task(info.member)
            except KgymError:  # the family explains what is wrong with the name
                raise
            except Exception as error:  # third-party code
                whose = self.label(EnvFamilyInfo.kind, info.family)
                raise PluginError(f"{whose} failed to make environment {name!r}: {error_line(error)}") from error
            remember(found, self.label(kind, name))
            self._members[key] = found
        return self._members[key]

    def label(self, kind: str, name: str) -> str:
        """Return the label of a component in messages: `shaper 'brevity' of acme-shapers 1.2`, without an origin if it
        is kgym's.
        """
        record = self._find(kind, name)[1]
        if record.distribution == PROJECT:
            return f"{kind} {name!r}"
        return f"{kind} {name!r} of " + (
            f"{record.distribution} {record.version}" if record.distribution else f"plugin {record.name!r}"
        )

    def options(self, kind: str, name: str, values: Mapping[str, Any] | None = None) -> "Options":
        """Check options of a component and fill in its defaults; a component without `Options` takes none.

        Raises UnknownName with the nearest key, or ConfigError in one line with the key's full path, or with the
        missing packages of the component.
        """
        from kgym.options import validated  # noqa: PLC0415  (imports pydantic, which discovery does not need)

        if lacking := lacks(*self._find(kind, name)):
            raise ConfigError(f"{kind} {name!r} needs {lacking}")
        return validated(self.options_model(kind, name), values or {}, self.key(kind, name))

    @staticmethod
    def key(kind: str, name: str) -> str:
        """Return the key of a configuration with the options of a component: `algo`, `shapers.length_penalty`."""
        return _KEYS.get(kind, kind).format(name)

    def options_model(self, kind: str, name: str) -> "type[Options]":
        """Return the class of a component's options. Raises PluginError if it is not a subclass of `Options`."""
        from kgym.options import Options  # noqa: PLC0415  (imports pydantic, which discovery does not need)

        model = getattr(self.target(kind, name), "Options", Options)
        if not (isinstance(model, type) and issubclass(model, Options)):
            raise PluginError(
                f"{kind} {name!r}: its Options are {model!r}, which is not a subclass of kgym.options.Options"
            )
        return model

    def create(self, kind: str, name: str, values: Mapping[str, Any] | None = None, *context: Any) -> Any:
        """Construct a component as `target(options, *context)`."""
        return self.construct(kind, name, self.options(kind, name, values), *context)

    def construct(self, kind: str, name: str, options: "Options", *context: Any) -> Any:
        """Construct a component with options that have been checked."""
        target = self.target(kind, name)
        with blaming(kind, target):
            component = target(options, *context)
        remember(component, self.label(kind, name))
        return component

    def _find(self, kind: str, name: str) -> tuple[Info, PluginRecord]:
        offers = self._named(kind, name)
        if len(offers) > 1:
            raise PluginError(str(Clash(kind, name, tuple(offers))))
        if offers:
            return offers[0]
        if kind == EnvInfo.kind and (family := family_of(name, [info for info, _ in self.offers(EnvFamilyInfo.kind)])):
            return member_info(name, family), self.provider(EnvFamilyInfo.kind, family.name)
        known = {identity(info) if "/" in name else info.name for info, _ in self.offers(kind)}
        error = UnknownName.near(kind, name, known)
        if kind == EnvInfo.kind and (env := name.rpartition(":")[0]) in known:  # ENV:SPLIT names a benchmark
            error = UnknownName(f"no environment named {name!r}; did you mean {env!r}? Name its split separately")
        if broken := [record.name for record in self._records if record.status == "broken"]:
            raise UnknownName(f"{error} (broken plugins, not searched: {', '.join(broken)}; see kgym plugins doctor)")
        raise error

    def _named(self, kind: str, name: str) -> list[tuple[Info, PluginRecord]]:
        """Return the components that a name stands for; several are a clash. A short name stands for the newest version
        in a namespace, unless several distributions offer versions of it: installing one must not change a number.
        """
        offers = self._index.get((kind, name), [])
        if exact := [(info, record) for info, record in offers if identity(info) == name]:
            return exact
        newest: dict[tuple[str, str], int] = {}
        for info, record in offers:
            assert isinstance(info, EnvInfo)  # of other kinds the name is the identity
            key = info.namespace, record.origin
            newest[key] = max(info.version, newest.get(key, 0))
        return [
            (info, record)
            for info, record in offers
            if isinstance(info, EnvInfo) and info.version == newest[info.namespace, record.origin]
        ]


def lacks(info: Info, record: PluginRecord) -> str:
    """Return which packages of a component are not installed, with the command that installs them; "" if none are
    missing.
    """
    missing = [package for package in info.needs if not _found(package)]
    remedy = f"'{record.distribution}[{info.extra}]'" if info.extra and record.distribution else " ".join(missing)
    return f"{' and '.join(missing)}, which is not installed: pip install {remedy}" if missing else ""


def _found(package: str) -> bool:
    """Whether a package is installed; of `google.cloud` the package `google` is imported."""
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False


# --- the process's own ------------------------------------------------------------------------------------------------

_lock = threading.RLock()
_current: Registry | None = None
_loading = False
_waiting: list[Callable[[], None]] = []


def registry() -> Registry:
    """Return the registry of this process; the first call loads the plugins."""
    return _current or _load(None)


def configure(plugins: Sequence[str] = ()) -> Registry:
    """Load the plugins again, with the arguments of `-p`, here and in processes that this one starts from now on."""
    return _load(plugins)


def inherited() -> dict[str, str]:
    """Return the environment variables that make another process, not started by this one, load the same plugins."""
    return {name: os.environ[name] for name in (INHERITED, DISABLED, NO_AUTOLOAD) if name in os.environ}


def when_loaded(action: Callable[[], None]) -> None:
    """Call `action` now, or, if a plugin that is being loaded asks for it, as soon as all plugins are loaded."""
    with _lock:
        if _loading:
            _waiting.append(action)
            return
    action()


def _load(plugins: Sequence[str] | None) -> Registry:
    global _current, _loading  # noqa: PLW0603  (one registry a process)
    with _lock:
        if plugins is None and _current is not None:  # another thread was faster
            return _current
        if _loading:
            raise PluginError(
                "a plugin asks for the registry while plugins are being loaded; ask in a function that is called later"
            )
        if plugins is None:
            plugins = json.loads(os.environ.get(INHERITED) or "[]")
        _loading = True
        try:
            _current = Registry(plugins)
        finally:
            _loading = False
        os.environ.pop(INHERITED, None)
        if plugins:
            os.environ[INHERITED] = json.dumps([absolute(name) for name in plugins])
        waiting = _waiting.copy()
        _waiting.clear()
    for action in waiting:
        action()
    return _current
