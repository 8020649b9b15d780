"""Plugins and their components: list them, explain one, check one, or find out why one is missing."""

import argparse
import importlib.metadata
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kgym.cli import newplugin
from kgym.cli.output import print_json, print_table, say
from kgym.cli.settings import add_set, component
from kgym.discovery import KINDS, PluginRecord
from kgym.errors import ConfigError, UnknownName
from kgym.families import family_of
from kgym.hookspecs import API_VERSION, CommandInfo, EngineInfo, EnvFamilyInfo, EnvInfo, Info, VerifierInfo
from kgym.loading import prints_to_stderr
from kgym.neutral import error_line
from kgym.registry import Clash, lacks, registry
from kgym.types import TellsMissing

if TYPE_CHECKING:
    from pydantic import BaseModel

    from kgym.testing.report import Report

VERSIONS = ("kgym", "pluggy", "pydantic", "gymnasium", "numpy", "torch", "transformers")
"""Distributions whose versions doctor prints; they are read from metadata, without an import."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="list|show|doctor|check|new")
    listing = commands.add_parser("list", help="print the components and the plugins that offer them")
    show = commands.add_parser("show", help="print a component's options with types, defaults and meaning")
    show.add_argument("name", metavar="NAME", help="name of a component, as kgym plugins list prints it")
    commands.add_parser(
        "doctor", help="print what is broken, left out, in conflict or missing; exit status 1 if anything is wrong"
    )
    check = commands.add_parser(
        "check", help="test a component with the conformance kit of its kind; exit status 1 if it fails"
    )
    check.add_argument("name", metavar="NAME", help="name of a component, or of a plugin with observers")
    add_set(check, "options of the component, by the keys that show prints")
    newplugin.configure(
        commands.add_parser("new", help="write a package with a working component, as a start for your own")
    )
    for command in (listing, show, check):
        command.add_argument("--kind", choices=KINDS, metavar="KIND", help=f"one of {', '.join(KINDS)}")


def run(args: argparse.Namespace) -> int:
    """Do what the subcommand says."""
    return {"list": _list, "show": _show, "doctor": _doctor, "check": _conform, "new": newplugin.run}[args.action](args)


# --- list


def _list(args: argparse.Namespace) -> int:
    newest = {kind: registry().infos(kind) for kind in KINDS}
    offers = [
        (info, record, _shown_name(info, newest[info.kind]), note)
        for (info, record), note in zip(registry().offers(args.kind), _notes(args.kind), strict=True)
    ]
    offers.sort(key=lambda offer: (KINDS.index(offer[0].kind), offer[0].name, offer[2]))
    if args.json:
        components = [_component(info, record) | ({"note": note} if note else {}) for info, record, _, note in offers]
        print_json({"components": components, "plugins": [_plugin(record) for record in registry().plugins()]})
        return 0
    rows = [(info.kind, name, info.summary, record.origin, note) for info, record, name, note in offers]
    print_table(("kind", "name", "what it is", "from", "note"), rows)
    return 0


def _shown_name(info: Info, newest: Mapping[str, Info]) -> str:
    """Return the id of an environment that is not the newest of its name, or is not alone; otherwise the name."""
    return info.name if newest.get(info.name) is info else getattr(info, "id", info.name)


def _notes(kind: str | None) -> list[str]:
    """Return for each offered component why it cannot be used by its name; "" if it can."""
    clashing = {id(info): clash for clash in registry().clashes() for info, _ in clash.offers}
    return [
        _clash_note(clashing[id(info)])
        if id(info) in clashing
        else "hidden: kgym has its own"
        if is_hidden(info)
        else ""
        for info, _ in registry().offers(kind)
    ]


def _clash_note(clash: Clash) -> str:
    n = len(clash.offers)
    return f"clash: {clash.remedy}" if n <= 4 else f"clash of {n} plugins: see kgym plugins doctor"


def is_hidden(info: Info) -> bool:
    """Whether a component is a command with the name of one of kgym's own."""
    from kgym.cli.main import COMMANDS

    return info.kind == CommandInfo.kind and info.name in COMMANDS


def _component(info: Info, record: PluginRecord) -> dict[str, Any]:
    facts = {"kind": info.kind, **vars(info)}
    if hasattr(info, "id"):
        facts["id"] = info.id
    return facts | {
        "plugin": record.name,
        "distribution": record.distribution,
        "version_of_distribution": record.version,
    }


def _plugin(record: PluginRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "distribution": record.distribution,
        "version": record.version,
        "module": record.module,
        "status": record.status,
        "error": record.error,
        "offers": [{"kind": info.kind, "name": info.name} for info in record.offers],
    }


# --- show


def _show(args: argparse.Namespace) -> int:
    offered = _kinds_of(args.name, args.kind)
    if not offered:
        raise _unknown(args.name, args.kind)
    shown = [_explain(kind, args.name) for kind in offered]
    if args.json:
        print_json(shown)
        return 0
    for index, facts in enumerate(shown):
        say("\n" * bool(index) + f"{facts['kind']} {facts['name']}: {facts['summary']}")
        say(
            f"from {facts['plugin']}"
            + (f" of {facts['distribution']} {facts['version_of_distribution']}" if facts["distribution"] else "")
        )
        if facts["target"]:
            say(f"target {facts['target']}")
        if facts["options"]:
            say()
            rows = [
                (option["key"], option["type"], option["default"], option["constraints"], option["description"])
                for option in facts["options"]
            ]
            print_table(("option", "type", "default", "must be", "meaning"), rows)
        else:
            say("no options")
        if facts["kind"] in ("shaper", "tracker"):
            key = f"{facts['kind']}s.{facts['name']}"
            say(f"\nA run uses it with --set {key}={{}}, or with options: {key}.KEY=VALUE")
    return 0


def _kinds_of(name: str, kind: str | None) -> list[str]:
    """Return the kinds that have a component of this name; with `kind`, only that one."""
    kinds = [kind] if kind else list(KINDS)
    offered = [
        kind
        for kind in kinds
        if any(name in (info.name, getattr(info, "id", None)) for info, _ in registry().offers(kind))
    ]
    if not offered and EnvInfo.kind in kinds and family_of(name, registry().infos(EnvFamilyInfo.kind).values()):
        return [EnvInfo.kind]
    return offered


def _unknown(name: str, kind: str | None, also: Sequence[str] = ()) -> UnknownName:
    return UnknownName.near(kind or "component", name, {info.name for info, _ in registry().offers(kind)} | set(also))


def _explain(kind: str, name: str) -> dict[str, Any]:
    info = registry().info(kind, name)
    facts = _component(info, registry().provider(kind, name))
    takes_options = info.target and kind not in ("model", "benchmark", "command", "check")
    return facts | {
        "options": describe_options(registry().options_model(kind, name), registry().key(kind, name))
        if takes_options
        else []
    }


def describe_options(model: "type[BaseModel]", key: str) -> list[dict[str, str]]:
    """Return each option of a component as texts: key, type, default, constraints, description."""
    rows = []
    for name, field in model.model_fields.items():
        required = field.is_required()
        rows.append(
            {
                "key": f"{key}.{name}" if key else name,
                "type": _type_name(field.annotation),
                "default": "required" if required else repr(field.get_default(call_default_factory=True)),
                "constraints": ", ".join(text for item in field.metadata if (text := _constraint(item))),
                "description": " ".join((field.description or "").split()),
            }
        )
    return rows


def _type_name(annotation: Any) -> str:
    """Return a type as it is written in code: `float`, `int | None`, `'zero' | 'mask'`.

    >>> from typing import Literal
    >>> _type_name(Literal["zero", "mask"] | None)
    "'zero' | 'mask' | None"
    """
    import types
    import typing

    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " | ".join(map(repr, arguments))
    if origin in (typing.Union, types.UnionType):
        return " | ".join(map(_type_name, arguments))
    if origin is typing.Annotated:
        return _type_name(arguments[0])
    if annotation is type(None):
        return "None"
    if origin is not None:
        return f"{origin.__name__}[{', '.join('...' if item is Ellipsis else _type_name(item) for item in arguments)}]"
    return getattr(annotation, "__name__", str(annotation))


def _constraint(item: Any) -> str:
    """Return `> 0` for `annotated_types.Gt(0)`, and so on; "" for a constraint without a short form."""
    signs = {
        "gt": ">",
        "ge": ">=",
        "lt": "<",
        "le": "<=",
        "min_length": "length >=",
        "max_length": "length <=",
        "pattern": "like",
    }
    return ", ".join(
        f"{sign} {value}" for name, sign in signs.items() if (value := getattr(item, name, None)) is not None
    )


# --- check


def _conform(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    reports = [_examined(kind, name, args.set) for kind, name in _named(args)]
    if args.json:
        print_json([asdict(report) | {"conforms": not report.failures} for report in reports])
    else:
        for report in reports:
            figures = "".join(f", {name} {figure:g}" for name, figure in report.figures.items())
            say(
                f"{report.kind} {report.name}: {len(report.passed)} checks passed, {len(report.failures)} "
                f"failures{figures}"
            )
            for failure in report.failures:
                say(f"  FAILED {failure}")
        say("it conforms" if not any(report.failures for report in reports) else "it does not conform")
    return 1 if any(report.failures for report in reports) else 0


def _named(args: argparse.Namespace) -> list[tuple[str, str]]:
    """Return the kits and names that a name stands for: components of every kind, and the observers of a plugin."""
    from kgym.testing.observers import observing

    found = [(kind, args.name) for kind in _kinds_of(args.name, args.kind)]
    if args.kind is None and args.name in observing():
        found.append(("observers", args.name))
    if not found:
        raise _unknown(args.name, args.kind, also=observing())
    return found


def _examined(kind: str, name: str, settings: Sequence[str]) -> "Report":
    from kgym.testing.kits import CONSTRUCTED, check
    from kgym.testing.report import ConformanceError

    options: dict[str, Any] = {}
    if kind in CONSTRUCTED:
        section, _, own = registry().key(kind, name).partition(".")
        options = component(settings, section)
        options = options.get(own, {}) if own else options
    elif settings:
        raise ConfigError(f"--set {settings[0]}: a {kind} has no options")
    try:
        return check(kind, name, **({"options": options} if kind in CONSTRUCTED else {}))
    except ConformanceError as error:
        return error.report


# --- doctor


def _doctor(args: argparse.Namespace) -> int:
    report = {"versions": versions()} | examined()
    if args.json:
        print_json(report)
    else:
        _print_report(report)
    return 0 if report["healthy"] else 1


def versions() -> dict[str, str]:
    """Return the versions of kgym, of its main dependencies, and of the plugin API."""
    return {name: _version(name) for name in VERSIONS} | {
        "python": platform.python_version(),
        "plugin API": str(API_VERSION),
    }


def examined() -> dict[str, Any]:
    """Return the state of all plugins, with `healthy` if nothing is wrong; `kgym doctor` prints it too."""
    records = registry().plugins()
    report: dict[str, Any] = {
        "broken": [
            _plugin(record) | {"traceback": record.traceback} for record in records if record.status == "broken"
        ],
        "blocked": [_plugin(record) for record in records if record.status == "blocked"],
        "clashes": [str(clash) for clash in registry().clashes()],
        "hidden": [
            f"command {info.name!r} of {who.origin}: kgym has its own"
            for info, who in registry().offers("command")
            if is_hidden(info)
        ],
        "checks": {info.name: _check(info.name) for info, _ in registry().offers("check")},
        "lacking": _lacking(),
        "loaded": [_plugin(record) for record in records if record.status == "ok"],
        "printed": {record.title: record.printed for record in records if record.printed},
        "deprecated": {record.title: list(record.deprecated) for record in records if record.deprecated},
    }
    return report | {"healthy": not troubles(report)}


def troubles(report: dict[str, Any]) -> list[str]:
    """Return the errors of plugins, a line each."""
    broken = [f"plugin {plugin['name']!r} is broken: {plugin['error']}" for plugin in report["broken"]]
    checks = [f"check {name}: {text}" for name, texts in report["checks"].items() for text in texts]
    return [*broken, *report["clashes"], *report["hidden"], *checks]


def _lacking() -> list[dict[str, str]]:
    """Return every engine, and every other component that lacks something, with what is missing and how to install
    it.
    """
    found = []
    for info, record in registry().offers():
        lacking = lacks(info, record)
        if info.kind in (EngineInfo.kind, VerifierInfo.kind) and not lacking:
            try:
                target = registry().target(info.kind, info.name)
                lacking = target.missing() if isinstance(target, TellsMissing) else ""
            except Exception as error:  # third-party code, whose failures the doctor is to find
                lacking = error_line(error)
        if lacking or info.kind == EngineInfo.kind:
            found.append({"kind": info.kind, "name": info.name, "lacks": lacking})
    return sorted(found, key=lambda entry: KINDS.index(entry["kind"]))


def _check(name: str) -> list[str]:
    try:
        with prints_to_stderr():
            return [str(trouble) for trouble in registry().target("check", name)()]
    except Exception as error:  # third-party code, whose failures the doctor is to find
        return [error_line(error)]


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _print_report(report: dict[str, Any]) -> None:
    say(", ".join(f"{name} {version}" for name, version in report["versions"].items()))
    say()
    print_table(
        ("plugin", "from", "status", "offers or reason"),
        [
            (
                plugin["name"],
                f"{plugin['distribution']} {plugin['version']}".strip() or plugin["module"],
                plugin["status"],
                _said(plugin),
            )
            for plugin in [*report["loaded"], *report["blocked"], *report["broken"]]
        ],
    )
    say()
    rows = [(entry["kind"], entry["name"], entry["lacks"] or "nothing") for entry in report["lacking"]]
    print_table(("kind", "name", "what is missing"), rows)
    for plugin in report["broken"]:
        say(f"\nbroken: {plugin['name']} ({plugin['module']})")
        say("\n".join(f"    {line}" for line in plugin["traceback"].rstrip().splitlines()[-6:]))
    for clash in report["clashes"]:
        say(f"\nclash: {clash}")
    for hidden in report["hidden"]:
        say(f"\nhidden: {hidden}")
    for title, text in report["printed"].items():
        say(f"\nprints: plugin {title} writes to standard output when it is loaded: {text!r}")
    for title, hooks in report["deprecated"].items():
        say(
            f"\ndeprecated: plugin {title} has {' and '.join(hooks)}; yield the same records in one hook, "
            "kgym_components"
        )
    for name, found in report["checks"].items():
        say(f"\ncheck {name}: {'; '.join(found) or 'fine'}")
    say("\nall is well" if report["healthy"] else "\nplugins have errors: see above")


def _said(plugin: dict[str, Any]) -> str:
    counts = Counter(offer["kind"] for offer in plugin["offers"])
    return plugin["error"] or ", ".join(_counted(n, kind) for kind, n in counts.items()) or "nothing yet"


def _counted(n: int, kind: str) -> str:
    if n == 1:
        return f"1 {kind}"
    return f"{n} {kind.removesuffix('y')}ies" if kind.endswith("y") else f"{n} {kind}s"
