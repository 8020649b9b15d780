"""Environments: list them, show one with its options and a problem, check one against the contract, or export one."""

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kgym.cli import export
from kgym.cli.output import print_json, print_table, say
from kgym.cli.settings import add_set, sections
from kgym.errors import ConfigError, KgymError
from kgym.hookspecs import EnvFamilyInfo, EnvInfo
from kgym.registry import registry

if TYPE_CHECKING:
    from kgym.envs.setup import EnvSetup
    from kgym.envs.spec import EnvSpec
    from kgym.envs.task import Task


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="list|show|check|export")
    listing = commands.add_parser(
        "list", help="print the environments, and the families of environments with a common prefix"
    )
    listing.add_argument(
        "family", metavar="PREFIX", nargs="?", help="print the environments of this family instead: rg"
    )
    show = commands.add_parser("show", help="print an environment's splits, options and a problem")
    show.add_argument(
        "name", metavar="NAME", help="short name (the newest version), id, or name with a prefix (rg:countdown)"
    )
    show.add_argument("--split", metavar="SPLIT", help="split of the problem to print (default: the first one)")
    show.add_argument("--index", metavar="N", type=int, default=0, help="which problem to print (default: 0)")
    check = commands.add_parser(
        "check", help="check environments against Gymnasium's contract and kgym's; exit status 1 if one fails"
    )
    check.add_argument("names", metavar="NAME", nargs="*", help="without names, all of them")
    check.add_argument(
        "--problems", metavar="N", type=int, default=120, help="problems to look at in each split (default: 120)"
    )
    export.configure(commands.add_parser("export", help="write an environment as files for another framework"))
    for command in (show, check):
        add_set(command, "options of the environment, such as env.difficulty=3")


def run(args: argparse.Namespace) -> int:
    """Do what the subcommand says."""
    return {"list": _list, "show": _show, "check": _check, "export": export.run}[args.action](args)


# --- list


def _list(args: argparse.Namespace) -> int:
    if args.family is not None:
        return _list_members(args)
    offers = sorted(registry().offers(EnvInfo.kind), key=lambda offer: getattr(offer[0], "id", offer[0].name))
    facts = [_listed(info, record.origin) for info, record in offers if isinstance(info, EnvInfo)]
    facts += [
        {
            "name": f"{info.name}:{info.member}",
            "id": "",
            "splits": [],
            "summary": info.summary,
            "from": record.origin,
            "error": "",
        }
        for info, record in sorted(registry().offers(EnvFamilyInfo.kind), key=lambda offer: offer[0].name)
        if isinstance(info, EnvFamilyInfo)
    ]
    if args.json:
        print_json(facts)
        return 0
    rows = [
        (fact["name"], fact["id"], ", ".join(fact["splits"]) or fact["error"], fact["summary"], fact["from"])
        for fact in facts
    ]
    print_table(("name", "id", "splits", "what it is", "from"), rows)
    return 0


def _list_members(args: argparse.Namespace) -> int:
    prefix = args.family.rstrip(":")
    family = registry().create(EnvFamilyInfo.kind, prefix)
    names = [f"{prefix}:{member}" for member in family.members()]
    if args.json:
        print_json(names)
        return 0
    info = registry().info(EnvFamilyInfo, prefix)
    say("\n".join(names) or f"The environments of {prefix}:{info.member} cannot be listed: {info.summary}.")
    return 0


def _listed(info: EnvInfo, origin: str) -> dict[str, Any]:
    """Return the facts of a line; an environment that cannot be made is listed with the reason."""
    from kgym.envs.setup import splits_of
    from kgym.envs.spec import EnvSpec

    splits: list[str] = []
    error = ""
    try:
        splits = list(splits_of(EnvSpec(info.id).task()))
    except KgymError as caught:
        error = str(caught)
    return {"name": info.name, "id": info.id, "splits": splits, "summary": info.summary, "from": origin, "error": error}


# --- show


def _show(args: argparse.Namespace) -> int:
    from kgym.envs.setup import EnvOptions, env_info, splits_of

    info = env_info(args.name)
    split, spec = _spec(args, args.name)
    task = spec.task()
    splits = splits_of(task)
    # options of the verifier apply to this split
    setup = replace(spec, split=args.split or split or splits[0]).setup()
    facts = {
        "name": info.name,
        "id": info.id,
        "summary": info.summary,
        "from": registry().provider(EnvInfo.kind, args.name).origin,
        "splits": {split: _size(task, split) for split in splits},
        "facts": setup.facts(),
        "options": _options(EnvOptions, args.name, own=False)
        + _options(registry().options_model(EnvInfo.kind, args.name), args.name, own=True),
        "problem": _problem(setup, args.index),
    }
    if args.json:
        print_json(facts)
    else:
        _print_shown(facts)
    return 0


def _spec(args: argparse.Namespace, name: str) -> "tuple[str | None, EnvSpec]":
    """Return the split of `--set env.split`, None without it, and the environment with the other settings."""
    from kgym.config import VerifierConfig
    from kgym.envs.spec import EnvSpec
    from kgym.options import validated

    values = sections(args.set, "env", "verifier", chosen=("verifier",))
    split = values["env"].pop("split", None)
    spec = EnvSpec.of(name, "train", values["env"], validated(VerifierConfig, values["verifier"], "verifier"))
    return None if split is None else str(split), spec


def _print_shown(facts: dict[str, Any]) -> None:
    say(f"{facts['id']}: {facts['summary']}\nfrom {facts['from']}\n")
    print_table(("split", "problems"), [(split, said) for split, said in facts["splits"].items()])
    say()
    print_table(
        ("option", "type", "default", "must be", "meaning"),
        [
            (option["key"], option["type"], option["default"], option["constraints"], option["description"])
            for option in facts["options"]
        ],
    )
    problem = facts["problem"]
    level = f", level {problem['level']}" if problem["level"] else ""
    say(f"\n{problem['id']} ({problem['subject'] or 'no subject'}{level}), gold {problem['gold']}")
    for message in problem["prompt"]:
        say(f"[{message['role']}] {message['content']}")
    if problem["solution"]:
        say(f"[worked solution] {problem['solution']}")


def _options(model: Any, name: str, *, own: bool) -> list[dict[str, Any]]:
    from kgym.cli.plugins import describe_options

    return [option | {"own": own} for option in describe_options(model, registry().key(EnvInfo.kind, name))]


def _size(task: "Task", split: str) -> str:
    """Return how many problems a split has, in words."""
    from kgym.envs.setup import source_of

    try:
        size = source_of(task, split).size
    except KgymError as error:
        return str(error)
    return "endless" if size is None else str(size)


def _problem(setup: "EnvSetup", index: int) -> dict[str, Any]:
    problem = setup.problem(index)
    return vars(problem) | {"prompt": [message._asdict() for message in setup.prompt(problem)]}


# --- check


def _check(args: argparse.Namespace) -> int:
    from kgym.testing.envs import findings

    if args.problems < 1:
        raise ConfigError(f"--problems {args.problems}: must be 1 or more")
    names = args.names or sorted(info.id for info, _ in registry().offers(EnvInfo.kind) if isinstance(info, EnvInfo))
    rows = [
        {"environment": name, "split": split, "check": what, "trouble": trouble}
        for name in names
        for split, what, trouble in findings(_spec(args, name)[1], sample=args.problems)
    ]
    troubled = [row for row in rows if row["trouble"]]
    if args.json:
        print_json({"checks": rows, "healthy": not troubled})
    else:
        print_table(
            ("environment", "split", "check", ""), [(*list(row.values())[:3], row["trouble"] or "ok") for row in rows]
        )
        say(f"\n{len(troubled)} of {len(rows)} checks failed" if troubled else f"\nall {len(rows)} checks passed")
    return 1 if troubled else 0
