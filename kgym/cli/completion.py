"""Print a script that completes commands, options and names of components in a shell.

    bash    eval "$(kgym completion bash)"      in ~/.bashrc
    zsh     eval "$(kgym completion zsh)"       in ~/.zshrc, after compinit
    fish    kgym completion fish | source       in ~/.config/fish/config.fish

The script asks `kgym completion words` at each completion, so plugins that are installed later are completed too.
"""

import argparse
from collections.abc import Iterable, Sequence

from kgym.cli.output import say
from kgym.cli.settings import SetAction
from kgym.discovery import KINDS
from kgym.errors import KgymError
from kgym.registry import registry

SCRIPTS = {
    "bash": """_kgym() {
    mapfile -t COMPREPLY < <(kgym -q completion words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _kgym kgym""",
    "zsh": """_kgym() {
    local -a found
    found=("${(@f)$(kgym -q completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    compadd -a found || _files
}
compdef _kgym kgym""",
    "fish": """function _kgym
    kgym -q completion words -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null
end
complete -c kgym -a '(_kgym)'""",
}
"""Each passes the words after `kgym`, the one being typed last, and reads one candidate from each line."""

NAMED_BY = {
    "--env": ("environment",),
    "--algo": ("algorithm",),
    "--verifier": ("verifier",),
    "--engine": ("engine",),
    "--model": ("model",),
    "--bench": ("benchmark",),
    "--preset": ("preset",),
    "--format": ("exporter",),
    "--to": ("bridge",),
}
"""The kinds whose names an option takes."""
POSITIONAL = {
    ("plugins", "show"): KINDS,
    ("plugins", "check"): KINDS,
    ("envs", "list"): ("family",),
    ("envs", "show"): ("environment",),
    ("envs", "check"): ("environment",),
    ("envs", "export"): ("environment",),
    ("data", "add"): ("dataset",),
    ("reproduce",): ("experiment",),
}
"""The kinds whose names come after a command."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("shell", choices=[*SCRIPTS, "words"], metavar="bash|zsh|fish", help="the shell")
    parser.add_argument(
        "typed", nargs="*", metavar="WORD", help="after `words`: what has been typed, the word to complete last"
    )


def run(args: argparse.Namespace) -> int:
    """Print the script, or the candidates."""
    if args.shell in SCRIPTS:
        say(SCRIPTS[args.shell])
        return 0
    for candidate in candidates(args.typed or [""]):
        say(candidate)
    return 0


def candidates(words: Sequence[str]) -> list[str]:
    """Return the candidates for the last of the words after `kgym`."""
    *before, last = words
    try:
        found = _following(before, options=last.startswith("-"))
    except KgymError:  # a command that does not exist
        found = []
    return sorted({name for name in found if name.startswith(last)})


def _following(before: Sequence[str], *, options: bool) -> Iterable[str]:
    """Return every word that may come after these; with `options`, the next word begins with a hyphen."""
    from kgym.cli.main import COMMANDS, command_parser

    if not before:
        return [*COMMANDS, *registry().infos("command")]
    parser: argparse.ArgumentParser = command_parser(before[0])
    path = [before[0]]
    for word in before[1:]:
        below = _below(parser)
        if below is not None and word in below.choices:
            parser, path = below.choices[word], [*path, word]
    below = _below(parser)
    if below is not None:
        return list(below.choices)
    if options:
        return list(parser._option_string_actions)
    if before[-1].startswith("-") or any(
        isinstance(action, SetAction) and "--set" in before[-2:] for action in parser._actions
    ):
        return _values(parser, before[-1] if before[-1].startswith("-") else "--set")
    return _names(POSITIONAL.get(tuple(path), ()))


def _below(parser: argparse.ArgumentParser) -> "argparse._SubParsersAction[argparse.ArgumentParser] | None":
    return next((action for action in parser._actions if isinstance(action, argparse._SubParsersAction)), None)


def _values(parser: argparse.ArgumentParser, option: str) -> Iterable[str]:
    """Return the named values of an option."""
    action = parser._option_string_actions.get(option)
    if isinstance(action, SetAction):
        return [f"{key}=" for key in action.known()]
    if action is not None and action.choices is not None:
        return list(map(str, action.choices))
    return _names(NAMED_BY.get(option, ()))


def _names(kinds: Iterable[str]) -> list[str]:
    return [name for kind in kinds for name in registry().infos(kind)]
