"""Find plugins and load them one at a time, so that a broken plugin costs one line of output and nothing else.

A plugin is a module (or `module:attribute`) named in the entry-point group `kgym` of an installed distribution, a
module or a file named with `-p`, or the file `kgymfile.py` of the working directory. pluggy's own loading loop is not
used, since it ends at the first broken plugin and silently skips a second plugin of the same name. Each plugin has a
separate pluggy manager, since each is called separately.

Loading imports the plugin's light module and collects its records; no component is imported.
"""

import importlib.metadata
import importlib.util
import inspect
import logging
import os
import re
import reprlib
import traceback
import typing
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pluggy

from kgym import hookspecs
from kgym.errors import ConfigError, PluginError, UnknownName
from kgym.hookspecs import API_VERSION, PROJECT, REPLACED, EnvInfo, Info
from kgym.loading import import_file, import_module, module_name, prints_to_stderr
from kgym.neutral import error_line

log = logging.getLogger(__name__)

LOCAL_FILE = "kgymfile.py"

RECORDS: dict[str, type[Info]] = {record.kind: record for record in typing.get_args(hookspecs.Component)}
"""The record of each kind."""

KINDS = tuple(RECORDS)

HOOKS = tuple(name for name in vars(hookspecs) if name.startswith("kgym_"))

OBSERVERS = tuple(name for name in HOOKS if name != "kgym_components")
"""The hooks that see a run."""


def _replaced() -> None:
    """The specification of an older hook."""


_SPECS = ModuleType("specifications")
"""The hooks that a pluggy manager is given, and no other names: it looks at every name of a module."""
vars(_SPECS).update({name: getattr(hookspecs, name) for name in HOOKS})
vars(_SPECS).update(dict.fromkeys(REPLACED, hookspecs.hookspec(_replaced)))


@dataclass(frozen=True)
class Candidate:
    """A plugin that could be loaded."""

    name: str
    """Name of the entry point, or of the module that `-p` named."""
    value: str
    """`module` or `module:attribute`."""
    distribution: str = ""
    """Empty for a plugin without a distribution."""
    version: str = ""
    path: Path | None = None
    """The file of a plugin that is not an installed module."""

    def answers_to(self, names: Iterable[str]) -> bool:
        """Whether one of `names` is its entry point, its distribution or its module; `-`, `_` and `.` are alike, as
        for pip.
        """
        own = {normal(self.name), normal(self.distribution), normal(self.value), normal(str(self.path or ""))} - {""}
        return any(normal(name) in own for name in names)


@dataclass(frozen=True)
class PluginRecord:
    """A plugin after the attempt to load it."""

    name: str
    distribution: str
    version: str
    module: str
    status: Literal["ok", "blocked", "broken"]
    error: str = ""
    """Why it is broken or blocked, in one line."""
    traceback: str = field(default="", repr=False)
    offers: tuple[Info, ...] = ()
    deprecated: tuple[str, ...] = ()
    """Its older hooks."""
    printed: str = field(default="", repr=False, compare=False)
    """What it wrote to standard output while it was loaded, shortened. It was sent to standard error."""
    hooks: pluggy.PluginManager | None = field(default=None, repr=False, compare=False)
    """The manager that calls its hooks; None unless `ok`."""

    @property
    def origin(self) -> str:
        """The name that `-p no:` takes: of the distribution, or of a plugin without one."""
        return self.distribution or self.name

    @property
    def title(self) -> str:
        """The name with its distribution and version, for messages."""
        return f"{self.name!r}" + (f" ({self.distribution} {self.version})" if self.distribution else "")


def normal(name: str) -> str:
    """Return the form in which names of distributions are compared.

    >>> normal("Acme_Math") == normal("acme-math")
    True
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def installed() -> list[Candidate]:
    """Return the plugins of all installed distributions: kgym's first, the others sorted by name."""
    facts: dict[int, tuple[str, str]] = {}  # reading them parses a file
    found = []
    for point in importlib.metadata.entry_points(group=PROJECT):
        if id(point.dist) not in facts:
            facts[id(point.dist)] = (point.dist.name, point.dist.version) if point.dist else ("", "")
        found.append(Candidate(point.name, point.value, *facts[id(point.dist)]))
    return sorted(found, key=lambda item: (item.distribution != PROJECT, normal(item.distribution), item.name))


def load(candidate: Candidate) -> PluginRecord:
    """Import a plugin, check it and collect what it offers; a broken one is described."""
    hooks = pluggy.PluginManager(PROJECT)
    hooks.add_hookspecs(_SPECS)
    with prints_to_stderr() as heard:
        try:
            plugin = _import(candidate)
            _check(hooks, plugin, candidate)
            hooks.register(plugin)
            offers = _offers(hooks, candidate)
            old = tuple(hook for hook in REPLACED if implements(hooks, hook))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # other people's code: its errors are about that plugin alone
            rest: dict[str, Any] = {"status": "broken", "error": error_line(error), "traceback": traceback.format_exc()}
        else:
            rest = {"status": "ok", "offers": offers, "hooks": hooks, "deprecated": old}
    return _record(candidate, **rest, printed="".join(heard)[:200])


def warn_of_old_hooks(record: PluginRecord) -> None:
    """Give the DeprecationWarning of a plugin with older hooks, at the line of the first one. If warnings are errors,
    log it instead.
    """
    assert record.hooks is not None  # it is active
    (implementation,) = getattr(record.hooks.hook, record.deprecated[0]).get_hookimpls()
    code = inspect.unwrap(implementation.function).__code__
    hooks = " and ".join(record.deprecated)
    message = f"plugin {record.title} has {hooks}; yield the same records in one hook, kgym_components"
    try:
        warnings.warn_explicit(message, DeprecationWarning, code.co_filename, code.co_firstlineno)
    except DeprecationWarning:
        log.warning("%s", message)


def twice(candidate: Candidate, first: str) -> PluginRecord:
    """Return the record of a plugin whose module another entry point has loaded already."""
    error = f"PluginError: {candidate.value} is loaded already, as plugin {first!r}; remove one of the two entry points"
    return _record(candidate, status="broken", error=error)


def blocked(candidate: Candidate, by: str) -> PluginRecord:
    """Return the record of a plugin that is left out on request."""
    return _record(candidate, status="blocked", error=f"left out by {by}")


def local(folder: Path) -> Candidate | None:
    """Return the plugin `kgymfile.py` of `folder`, if there is one.

    It is executed, like the conftest.py of a test suite: run kgym only in folders whose files you trust.
    """
    path = folder / LOCAL_FILE
    return Candidate(path.stem, path.stem, path=path.resolve()) if path.is_file() else None


def absolute(name: str) -> str:
    """Return an argument of `-p` in a form that is valid in every working directory."""
    return str(Path(name).expanduser().resolve()) if _is_path(name) else name


def _is_path(name: str) -> bool:
    return name.endswith(".py") or os.sep in name


def named(name: str) -> Candidate:
    """Return a plugin that `-p` names and that is not installed: a Python file if it is written as a path, otherwise a
    module.

    Raises ConfigError for a path without a Python file.
    """
    if _is_path(name):
        path = Path(name)
        if not path.is_file():
            raise ConfigError(
                f"-p {name}: the file does not exist; name a Python file, an installed plugin or a module"
            )
        return Candidate(path.stem, module_name(path), path=path)
    if Path(f"{name}.py").is_file() and importlib.util.find_spec(name.partition(".")[0]) is None:
        raise ConfigError(
            f"-p {name}: no plugin or module of this name is installed; write -p ./{name}.py to load the file {name}.py"
        )
    return Candidate(name, name)


def _record(candidate: Candidate, **rest: Any) -> PluginRecord:
    return PluginRecord(
        candidate.name, candidate.distribution, candidate.version, str(candidate.path or candidate.value), **rest
    )


def _import(candidate: Candidate) -> Any:
    """Import `module` or `module:attribute`."""
    name, _, attribute = candidate.value.partition(":")
    module = import_file(name, candidate.path) if candidate.path is not None else import_module(name)
    return getattr(module, attribute) if attribute else module


def _check(manager: pluggy.PluginManager, plugin: Any, candidate: Candidate) -> None:
    """Raise PluginError if the plugin was made for another API or has a hook that does not exist."""
    api = getattr(plugin, "kgym_api", None)
    if api is None:
        raise PluginError(
            f"{candidate.value} does not say which API it was made for; add the line: kgym_api = {API_VERSION}"
        )
    if api != API_VERSION:
        raise PluginError(
            f"{candidate.value} has kgym_api = {api!r}, this kgym has {API_VERSION}; install versions that match"
        )
    for attribute in dir(plugin):
        options = manager.parse_hookimpl_opts(plugin, attribute)
        if options is None or options.get("optionalhook"):
            continue
        hook = options.get("specname") or attribute
        if not hasattr(manager.hook, hook):
            raise UnknownName.near("hook", hook, HOOKS)


def _offers(hooks: pluggy.PluginManager, candidate: Candidate) -> tuple[Info, ...]:
    """Call the component hooks of one plugin. Raises PluginError if a hook yields something other than its records, or
    a record twice.

    A file may use its own name in targets (`obs:Thing` in obs.py), although it is imported under another module name.
    """
    offers: list[Info] = []
    seen: set[tuple[str, str]] = set()
    for hook in ("kgym_components", *REPLACED):
        for info in call_one(hooks, hook) or ():
            _check_record(hook, info)
            if (info.kind, identity(info)) in seen:
                raise PluginError(f"{hook} yielded {info.kind} {identity(info)!r} twice")
            seen.add((info.kind, identity(info)))
            own, colon, attribute = info.target.partition(":")
            renamed = candidate.path is not None and own == candidate.path.stem
            offers.append(replace(info, target=f"{candidate.value}{colon}{attribute}") if renamed else info)
    return tuple(offers)


def _check_record(hook: str, info: Any) -> None:
    """Raise PluginError if a hook must not yield `info`."""
    wanted = [REPLACED[hook]] if hook in REPLACED else RECORDS.values()
    if type(info) not in wanted:
        names = (
            " or ".join(record.__name__ for record in wanted)
            if hook in REPLACED
            else "records of kgym.hookspecs, such as EnvInfo"
        )
        raise PluginError(f"{hook} yielded {reprlib.repr(info)}; it has to yield {names}")
    if not (isinstance(info.name, str) and info.name and isinstance(info.target, str)):
        raise PluginError(
            f"{hook} yielded {reprlib.repr(info)}; name and target have to be strings, the name not empty"
        )
    for attribute in fields(info):
        value, default = getattr(info, attribute.name), attribute.default
        if isinstance(default, tuple) and isinstance(value, list | tuple):
            continue
        if isinstance(default, str | int | tuple) and not isinstance(value, type(default)):
            raise PluginError(
                f"{hook} yielded {info.kind} {info.name!r} with {attribute.name}={reprlib.repr(value)}, which has to "
                f"be of the type {type(default).__name__}"
            )


def call_one(hooks: pluggy.PluginManager, hook: str, **kwargs: Any) -> Any:
    """Call a hook of one plugin; None if the plugin does not have it."""
    result = getattr(hooks.hook, hook)(**kwargs)
    return result[0] if result else None


def implements(hooks: pluggy.PluginManager, hook: str) -> bool:
    """Whether a plugin has a hook."""
    return bool(getattr(hooks.hook, hook).get_hookimpls())


def identity(info: Info) -> str:
    """Return the unique name of a component within its kind: its name, or the id of an environment."""
    return info.id if isinstance(info, EnvInfo) else info.name
