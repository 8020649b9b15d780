"""Find plugins and load them one at a time, so that a broken one costs one line and nothing else.

A plugin is a module (or `module:attribute`) named in the entry-point group `kgym` of an installed distribution, named with `-p`, or the
file `kgymfile.py` of the working directory. pluggy's own loading loop is not used: it ends at the first broken plugin and skips a second
plugin of the same name in silence.

Loading imports the plugin's light module and collects its records; no component is imported.
"""

import importlib
import importlib.metadata
import importlib.util
import re
import reprlib
import sys
import traceback
import typing
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pluggy

from kgym import hookspecs
from kgym.errors import PluginError, UnknownName
from kgym.hookspecs import API_VERSION, PROJECT, EnvInfo, Info

LOCAL_FILE = "kgymfile.py"

RECORDS: dict[str, type[Info]] = {
    name: typing.get_args(typing.get_type_hints(hook)["return"])[0]
    for name, hook in vars(hookspecs).items()
    if name.startswith("kgym_register_")
}
"""The record that each component hook yields."""

KINDS = tuple(record.kind for record in RECORDS.values())


@dataclass(frozen=True)
class Candidate:
    """A plugin that could be loaded."""

    name: str
    """Of the entry point, or the module that `-p` named."""
    value: str
    """`module` or `module:attribute`."""
    distribution: str = ""
    """Empty for a plugin that belongs to none."""
    version: str = ""
    path: Path | None = None
    """The file of a plugin that is no installed module."""

    def answers_to(self, names: Iterable[str]) -> bool:
        """Whether one of `names` is its entry point, its distribution or its module; `-`, `_` and `.` are alike, as for pip."""
        own = {normal(self.name), normal(self.distribution), normal(self.value)} - {""}
        return any(normal(name) in own for name in names)


@dataclass(frozen=True)
class PluginRecord:
    """What became of a plugin."""

    name: str
    distribution: str
    version: str
    module: str
    status: Literal["ok", "blocked", "broken"]
    error: str = ""
    """Why it is broken, or by what it is blocked: one line."""
    traceback: str = field(default="", repr=False)
    offers: tuple[Info, ...] = ()
    plugin: Any = field(default=None, repr=False, compare=False)
    """The module with the hooks; None unless `ok`."""

    @property
    def origin(self) -> str:
        """The name that `-p no:` takes: of the distribution, or of the plugin if it belongs to none."""
        return self.distribution or self.name


def normal(name: str) -> str:
    """Return the form in which names of distributions are compared.

    >>> normal("Acme_Math") == normal("acme-math")
    True
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def installed() -> list[Candidate]:
    """Return the plugins of all installed distributions: ours first, then by name, whatever the order on the disk."""
    points = importlib.metadata.entry_points(group=PROJECT)
    dists = {id(point.dist): (point.dist.name, point.dist.version) if point.dist else ("", "") for point in points}
    found = [Candidate(point.name, point.value, *dists[id(point.dist)]) for point in points]
    return sorted(found, key=lambda item: (item.distribution != PROJECT, normal(item.distribution), item.name))


def new_manager() -> pluggy.PluginManager:
    """Return a plugin manager that knows the hooks and no plugin."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def load(manager: pluggy.PluginManager, candidate: Candidate) -> PluginRecord:
    """Import a plugin, check it, add it to `manager` and collect what it offers; a broken one is taken out again and described."""
    plugin = None
    try:
        plugin = _import(candidate)
        _check(manager, plugin, candidate)
        manager.register(plugin, name=f"{candidate.distribution}:{candidate.name}")
        offers = _offers(manager, plugin)
    except (Exception, SystemExit) as error:  # a stranger's code: whatever it raises is about that plugin alone
        if plugin is not None and manager.is_registered(plugin):
            manager.unregister(plugin)
        return _record(candidate, "broken", error=one_line(error), traceback=traceback.format_exc())
    return _record(candidate, "ok", offers=offers, plugin=plugin)


def blocked(candidate: Candidate, by: str) -> PluginRecord:
    """Return the record of a plugin that is left out on request."""
    return _record(candidate, "blocked", error=f"left out by {by}")


def local(folder: Path) -> Candidate | None:
    """Return the plugin `kgymfile.py` of `folder`, if there is one.

    It is code and it is executed, like the conftest.py of a test suite: run kgym in folders whose files you trust.
    """
    path = folder / LOCAL_FILE
    return Candidate(path.stem, path.stem, path=path.absolute()) if path.is_file() else None


def one_line(error: BaseException) -> str:
    """Return `Type: message` without line breaks.

    >>> one_line(ValueError("two\\nlines"))
    'ValueError: two lines'
    """
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _record(candidate: Candidate, status: Literal["ok", "blocked", "broken"], **rest: Any) -> PluginRecord:
    return PluginRecord(candidate.name, candidate.distribution, candidate.version, candidate.value, status, **rest)


def _import(candidate: Candidate) -> Any:
    """Import `module` or `module:attribute`."""
    name, _, attribute = candidate.value.partition(":")
    if candidate.path is not None:
        module = _import_file(name, candidate.path)
    else:
        module = importlib.import_module(name)
        if getattr(module.__spec__, "_initializing", False):
            # Its own `import kgym` led here before it was complete, and it would seem to have no hooks: run a copy to the end.
            module = _execute(importlib.util.find_spec(name))
    return getattr(module, attribute) if attribute else module


def _import_file(name: str, path: Path) -> ModuleType:
    """Import a file as the module `name`, so that the targets of its records can be imported like any other."""
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    spec = importlib.util.spec_from_file_location(name, path)
    try:
        return _execute(spec, register=True)
    except BaseException:
        sys.modules.pop(name, None)
        raise


def _execute(spec: ModuleSpec | None, *, register: bool = False) -> ModuleType:
    assert spec is not None  # the source was found before
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    if register:
        sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _check(manager: pluggy.PluginManager, plugin: Any, candidate: Candidate) -> None:
    """Raise PluginError if the plugin was made for another API or has a hook that does not exist."""
    api = getattr(plugin, "kgym_api", None)
    if api is None:
        raise PluginError(f"{candidate.value} does not say which API it was made for; add the line: kgym_api = {API_VERSION}")
    if api != API_VERSION:
        raise PluginError(f"{candidate.value} has kgym_api = {api!r}, this kgym speaks {API_VERSION}; install versions that match")
    for attribute in dir(plugin):
        options = manager.parse_hookimpl_opts(plugin, attribute)
        if options is None or options.get("optionalhook"):
            continue
        hook = options.get("specname") or attribute
        if not hasattr(manager.hook, hook):
            raise UnknownName.near("hook", hook, [name for name in vars(hookspecs) if name.startswith("kgym_")])


def _offers(manager: pluggy.PluginManager, plugin: Any) -> tuple[Info, ...]:
    """Call the component hooks of one plugin; raise PluginError if a record is not what its hook yields, or comes twice."""
    offers: list[Info] = []
    for hook, record in RECORDS.items():
        for info in call_one(manager, plugin, hook) or ():
            if type(info) is not record:
                raise PluginError(f"{hook} yielded {reprlib.repr(info)}; it has to yield {record.__name__}")
            if not (isinstance(info.name, str) and info.name and isinstance(info.target, str)):
                raise PluginError(f"{hook} yielded {reprlib.repr(info)}; name and target have to be strings, the name not empty")
            if any(other.kind == info.kind and identity(other) == identity(info) for other in offers):
                raise PluginError(f"{hook} yielded {info.kind} {identity(info)!r} twice")
            offers.append(info)
    return tuple(offers)


def call_one(manager: pluggy.PluginManager, plugin: Any, hook: str, **kwargs: Any) -> Any:
    """Call a hook of one plugin; None if it does not have it."""
    others = [other for other in manager.get_plugins() if other is not plugin]
    result = manager.subset_hook_caller(hook, others)(**kwargs)
    spec = getattr(manager.hook, hook).spec
    if spec.opts["firstresult"]:
        return result
    return result[0] if result else None


def implements(manager: pluggy.PluginManager, plugin: Any, hook: str) -> bool:
    """Whether a plugin has a hook."""
    return any(found.plugin is plugin for found in getattr(manager.hook, hook).get_hookimpls())


def identity(info: Info) -> str:
    """Return what tells components of a kind apart: the name, or the id of an environment."""
    return info.id if isinstance(info, EnvInfo) else info.name
