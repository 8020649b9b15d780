"""`--set KEY=VALUE`, which is the same in every command.

    kgym eval --set env.difficulty=2 engine.max_batch=64
    kgym train --set env.difficulty=2 --set algo.tau=0.5

Both forms work everywhere. A key is what `kgym plugins show NAME` prints: the options of a verifier begin with
`verifier.`, and so on.
"""

import argparse
import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from kgym.errors import UnknownName

if TYPE_CHECKING:
    from kgym.config import VerifierConfig


class SetAction(argparse.Action):
    """Collects `--set KEY=VALUE`."""

    known: Callable[[], Iterable[str]] = staticmethod(tuple)
    """Returns the keys that are known without a component, the most frequent first."""

    def __call__(
        self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        """Add a setting."""
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), values])


def add_set(parser: argparse.ArgumentParser, what: str, keys: Callable[[], Iterable[str]] = tuple) -> None:
    """Add `--set`; `what` describes the keys in the help, and `keys` returns them."""
    action = parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action=SetAction,
        default=[],
        help=f"{what}; several may follow, and it may be given again",
    )
    assert isinstance(action, SetAction)
    action.known = keys


def setting_for(parsers: Iterable[argparse.ArgumentParser], option: str) -> str:
    """Return what to write for an option that does not exist; "" if it is not a key.

    For `--lr` and `--train-lr` it is `--set train.lr=VALUE`.
    """
    from kgym.keys import named_elsewhere

    name = option.lstrip("-").replace("-", "_")
    keys = [
        key
        for parser in parsers
        for action in parser._actions
        if isinstance(action, SetAction)
        for key in action.known()
    ]
    found = next((key for key in keys if name in (key, key.rpartition(".")[2], key.replace(".", "_"))), None)
    if found:
        return f"use --set {found}=VALUE"
    return named_elsewhere(name) if keys else ""


def expanded(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> list[str]:
    """Return arguments with `--set a=1 b=2` written as `--set a=1 --set b=2`, if the parser's `--set` is ours.

    A word without `=` ends the list, so `--set a=1 FILE` does not take the file as a setting.
    """
    if not any(isinstance(action, SetAction) for action in parser._actions):
        return list(arguments)
    result: list[str] = []
    listing = False
    for number, word in enumerate(arguments):
        follows = number > 0 and arguments[number - 1] == "--set"
        if word == "--":
            return [*result, *arguments[number:]]
        if listing and not follows and not word.startswith("-") and "=" in word:
            result.append("--set")
        elif not follows:
            listing = word == "--set" or word.startswith("--set=")
        result.append(word)
    return result


def sections(settings: Sequence[str], *names: str, chosen: Sequence[str] = ()) -> dict[str, Any]:
    """Parse settings into a table for each section: `env.difficulty=3` is `{"env": {"difficulty": 3}}`.

    `chosen` are the sections whose component may be named here too, as in `engine=transformers`.

    Raises UnknownName, with the key that was probably meant, for a key outside of these sections.
    """
    from kgym.keys import parse_override, set_key

    values: dict[str, Any] = {name: {} for name in names}
    for setting in settings:
        key, value = parse_override(setting)
        section, dot, _ = key.partition(".")
        if section not in names or not (dot or section in chosen):
            raise UnknownName(f"no key named {key!r}; {_meant(key, names)}")
        set_key(values, key, value)
    return values


def _meant(key: str, names: Sequence[str]) -> str:
    """Return the key that was probably meant, or how the keys of the command begin."""
    section, dot, rest = key.partition(".")
    close = difflib.get_close_matches(section, names, n=1) if dot else []
    if close or (len(names) == 1 and not dot and section not in names):
        return f"did you mean '{close[0]}.{rest}'?" if close else f"did you mean '{names[0]}.{key}'?"
    return f"keys of this command begin with {' or '.join(f'{name}.' for name in names)}"


def verifier_of(name: str | None, settings: Sequence[str], **limits: Any) -> "VerifierConfig":
    """Parse `verifier.partial=true` and `verifier.limits.deadline_s=20`; `limits` has the limits from options of the
    command, None if not given.

    Raises ConfigError for an invalid limit; options are checked when the verifier is made.
    """
    from kgym.config import VerifierConfig
    from kgym.options import validated

    values = component(settings, "verifier")
    flags = {key: value for key, value in limits.items() if value is not None}
    return validated(
        VerifierConfig, {**values, "name": name, "limits": {**flags, **values.get("limits", {})}}, "verifier"
    )


def component(settings: Sequence[str], section: str) -> dict[str, Any]:
    """Parse the settings of a command's only component; `verifier.partial=true` is `{"partial": True}`."""
    options: dict[str, Any] = sections(settings, section)[section]
    return options
