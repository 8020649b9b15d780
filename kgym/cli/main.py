"""The frame of the command line: finds the command, parses its arguments, and turns what it raises into one line and an
exit status.

A command is a module with `configure(parser)` and `run(args) -> int`, imported when it is used; `args` also has `json`
(every command can print JSON), `debug` and `verbose`. Commands come from the table below and from plugins
(`kgym_components`). `args.argv` has the words of the command as they were typed, `args.words` all words, and
`args.loaded` the plugins that -p named before the command.

Exit status: 0 done; 1 the run failed; 2 the request was wrong; 130 interrupted, 143 ended by SIGTERM, 129 by SIGHUP;
141 the output is no longer read.
"""

import argparse
import errno
import importlib
import importlib.metadata
import importlib.util
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from kgym.blame import blame
from kgym.cli.interrupts import farewell, signals_interrupt
from kgym.cli.output import say
from kgym.cli.settings import expanded, setting_for
from kgym.errors import ComponentError, ConfigError, KgymError, PluginError, UnknownName
from kgym.loading import descriptor_to_stderr
from kgym.registry import configure, registry
from kgym.world import LOST, RankLost, is_first, is_loss, last_words, leave

COMMANDS: dict[str, tuple[str, str]] = {
    "train": ("kgym.cli.train", "train a policy on an environment"),
    "eval": ("kgym.cli.eval", "score a model on a benchmark"),
    "sft": ("kgym.cli.sft", "supervised warm-up on worked solutions"),
    "dpo": ("kgym.cli.dpo", "train a policy on preferences"),
    "rm": ("kgym.cli.rm", "train a reward model on preferences"),
    "stages": ("kgym.cli.stages", "cold start, then reinforcement learning with growing token budgets"),
    "long2short": ("kgym.cli.long2short", "make the completions of a model shorter"),
    "sweep": ("kgym.cli.sweep", "run a command for several seeds and values of its options"),
    "reproduce": ("kgym.cli.reproduce", "run an experiment and test the claims of a paper with it"),
    "envs": ("kgym.cli.envs", "list, show and check environments"),
    "data": ("kgym.cli.data", "add data sets, make new ones and list them"),
    "verify": ("kgym.cli.verify", "judge completions from a file of JSON lines"),
    "rescore": ("kgym.cli.rescore", "judge the completions of a run with another verifier"),
    "leaderboard": ("kgym.cli.leaderboard", "show, add to, compare and export leaderboards"),
    "runs": ("kgym.cli.runs", "list, show and compare runs"),
    "models": ("kgym.cli.models", "list models, average several, and cut layers"),
    "plugins": ("kgym.cli.plugins", "list, show, check and create plugins"),
    "doctor": ("kgym.cli.doctor", "describe this installation on one screen, to paste into an issue"),
    "completion": ("kgym.cli.completion", "print the script that completes kgym commands in a shell"),
}
"""Module and help line of each command. A command whose module does not exist is not offered."""

BEGIN = """start with:
  kgym train                 train the built-in model for a few minutes
  kgym eval                  score it on problems that are never used for training
  kgym plugins list          list every environment, algorithm, verifier, model ... by name
  kgym COMMAND --help        show the options of a command

exit status: 0 done, 1 the run failed, 2 the request was wrong"""
"""What the help of `kgym` ends with."""

ENVIRONMENT = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",  # bars for the loading of weights would mix with our lines
    "OMP_WAIT_POLICY": "PASSIVE",  # torch's threads spin while they wait: 20 times slower on a busy machine
}
"""Variables that are set before libraries are loaded, unless the user has set them."""


class Parser(argparse.ArgumentParser):
    """A parser that raises a KgymError with the nearest name, and accepts no abbreviations: new options would break
    them.
    """

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(**kwargs)

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError instead of printing the usage and leaving."""
        raise ConfigError(f"{message} (see {self.prog} --help)")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; several settings after one `--set` are read as if `--set` were before each."""
        return super().parse_known_args(expanded(self, sys.argv[1:] if args is None else args), namespace)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; raise UnknownName for an option that does not exist."""
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.refuse(unknown)
        return parsed

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """Raise for the first argument that is not an option of the command."""
        options = [item.partition("=")[0] for item in unknown if item.startswith("-") and item != "-"]
        if options and (hint := setting_for(leaves(self), options[0])):
            raise UnknownName(f"no option named {options[0]!r}; {hint}")
        if options:
            raise UnknownName.near(
                "option", options[0], {name for parser in leaves(self) for name in parser._option_string_actions}
            )
        raise ConfigError(f"unexpected argument {unknown[0]!r} (see {self.prog} --help)")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            what = (
                "subcommand"
                if isinstance(action, argparse._SubParsersAction)
                else f"value of {'/'.join(action.option_strings) or action.dest}"
            )
            raise UnknownName.near(what, value, map(str, action.choices))


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status; `argv` is without the program name."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    messages = Messages()
    logging.getLogger().addHandler(messages)
    debug = "--debug" in arguments  # asked for even if the arguments cannot be parsed
    try:
        with signals_interrupt():
            status = _main(arguments)
        sys.stdout.flush()  # raises for a closed pipe here, where it can be caught
    except SystemExit as stop:  # argparse leaves this way after --help and --version
        return stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt as stop:
        return _complain(stop, *farewell(stop))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # otherwise the interpreter prints an error at its last flush
        return 141
    except Exception as error:
        if debug:
            import traceback

            say(traceback.format_exc(), file=sys.stderr)
        if is_loss(error):
            error = RankLost("; ".join([LOST, *getattr(error, "__notes__", [])]))
        return _complain(error, describe(error), error.exit_status if isinstance(error, KgymError) else 1)
    else:
        leave()
        return status
    finally:
        logging.getLogger().removeHandler(messages)


def describe(error: Exception) -> str:
    """Return one line about what went wrong."""
    if isinstance(error, KgymError):
        text = str(error)
        if isinstance(error, ComponentError) and error.__cause__ is not None:
            text += " (run with --debug for the traceback)"
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
        if error.errno == errno.ENOSPC:
            text += " (what was written before is complete; free some space and resume)"
    else:
        text = f"{type(error).__name__}: {error} (run with --debug for the traceback)"
    return "error: " + " ".join(text.split())


def _complain(error: BaseException, text: str, status: int) -> int:
    """Print why the command ends; only one rank of a run does."""
    last_words(lambda: say(f"kgym: {text}", file=sys.stderr), error)
    return status


def _main(arguments: list[str]) -> int:
    parser = _global_parser()
    given, unknown = parser.parse_known_args(arguments)
    if unknown:
        parser.refuse(unknown)
    given.words = arguments
    if given.version:
        say(f"kgym {importlib.metadata.version('kgym')}")
        return 0
    _set_level(given.verbose, debug=given.debug)
    with descriptor_to_stderr():
        configure(given.plugins)
    if given.command is None:
        say(_help(parser))
        return 0 if given.help else 2
    module = _command(given.command)
    return _run(module, given, ["--help", *given.rest] if given.help else given.rest)


def parse(command: str, module: Any, rest: list[str]) -> argparse.Namespace:
    """Parse the words after a command with its own options and those of every command."""
    parser = _parser(command, module)
    args = parser.parse_args(rest)
    for name, default in (("json", False), ("debug", False), ("verbose", 0), ("plugins", [])):
        setattr(args, name, getattr(args, name, default))
    args.argv = [command, *rest]
    return args


def command_parser(command: str) -> Parser:
    """Return the parser of a command. Raises UnknownName if there is none."""
    return _parser(command, _command(command))


def _parser(command: str, module: Any) -> Parser:
    parser = Parser(prog=f"kgym {command}", description=(module.__doc__ or "").strip())
    with _named(command, module):
        module.configure(parser)
    for leaf in leaves(parser):
        _add_common(leaf)
    return parser


def _run(module: Any, given: argparse.Namespace, rest: list[str]) -> int:
    args = parse(given.command, module, rest)
    args.debug = args.debug or given.debug
    args.words = given.words
    args.loaded = list(given.plugins)
    args.verbose += given.verbose
    _set_level(args.verbose, debug=args.debug)
    if args.plugins:
        with descriptor_to_stderr():
            configure([*given.plugins, *args.plugins])
    with _named(given.command, module):
        return int(module.run(args) or 0)


@contextmanager
def _named(command: str, module: Any) -> Iterator[None]:
    """Put the name of a plugin's command before the errors that it raises. What it prints is its result."""
    try:
        yield
    except BrokenPipeError:
        raise
    except Exception as error:
        if command in COMMANDS:
            raise
        blame("command", module, error)


def _command(name: str) -> Any:
    """Import the module of a command."""
    if name in COMMANDS and _exists(COMMANDS[name][0]):
        return importlib.import_module(COMMANDS[name][0])
    from_plugins = dict.fromkeys(info.name for info, _ in registry().offers("command"))
    if name not in from_plugins:
        raise UnknownName.near("command", name, [*_built_in(), *from_plugins])
    module = registry().target("command", name)
    if not (hasattr(module, "configure") and hasattr(module, "run")):
        raise PluginError(f"command {name!r} needs configure(parser) and run(args), which {module!r} does not have")
    return module


def _built_in() -> list[str]:
    return [name for name, (module, _) in COMMANDS.items() if _exists(module)]


def _exists(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _global_parser() -> Parser:
    parser = Parser(prog="kgym", usage="kgym [-p NAME] [-v | -q] [--debug] COMMAND ...", add_help=False)
    parser.add_argument("-h", "--help", action="store_true", help="show this help")
    parser.add_argument("--version", action="store_true", help="show the version")
    _add_common(parser, top=True)
    parser.add_argument("command", nargs="?", metavar="COMMAND", help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _add_common(parser: argparse.ArgumentParser, *, top: bool = False) -> None:
    """Add the options of every command. Before a command they have defaults; after it they are absent unless given."""
    group = parser if top else parser.add_argument_group("options of every command")

    def default(value: Any) -> Any:
        return value if top else argparse.SUPPRESS

    if not top:
        group.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON")
    group.add_argument(
        "-p",
        dest="plugins",
        metavar="NAME",
        action="append",
        default=default([]),
        help="also load this plugin: a module, or a file such as ./mine.py; no:NAME leaves a plugin out",
    )
    group.add_argument("--debug", action="store_true", default=default(False), help="show the traceback of an error")
    group.add_argument(
        "-v", dest="verbose", action=Louder, const=1, default=default(0), help="print more; -vv for debugging"
    )
    group.add_argument(
        "-q",
        dest="verbose",
        action=Louder,
        const=-1,
        default=default(0),
        help="print no progress, only results and errors",
    )


class Louder(argparse.Action):
    """Counts `-v` up and `-q` down."""

    def __init__(self, option_strings: Sequence[str], dest: str, **kwargs: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **kwargs)

    def __call__(
        self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        """Count one."""
        setattr(namespace, self.dest, getattr(namespace, self.dest, 0) + self.const)


def leaves(parser: argparse.ArgumentParser) -> Iterable[argparse.ArgumentParser]:
    """Yield the parsers that have no subcommands below `parser`, or `parser` itself."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield parser
    for action in below:
        for child in dict.fromkeys(action.choices.values()):
            yield from leaves(child)


def _help(parser: Parser) -> str:
    lines = [(name, COMMANDS[name][1]) for name in _built_in()]
    taken = set(COMMANDS)
    added = [
        (info.name, f"{info.summary} ({record.origin})")
        for info, record in registry().offers("command")
        if info.name not in taken
    ]
    width = max(len(name) for name, _ in lines + added)
    commands = "\n".join(f"  {name:<{width}}  {text}" for name, text in lines + added)
    return (
        "kgym: train on a chain-of-thought environment and score on the very same one.\n\n"
        f"{parser.format_help()}\ncommands:\n{commands}\n\n{BEGIN}"
    )


class Messages(logging.Handler):
    """Writes what the library logs to standard error, in the form of the other messages of the command line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, unless its library has written it already."""
        if _written(record.name):
            return
        say(f"kgym: {record.levelname.lower()}: {self.format(record)}", file=sys.stderr)


def _written(name: str) -> bool:
    """Whether a logger both writes its records itself and passes them on, as that of huggingface_hub does."""
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None and logger is not logging.getLogger():
        if any(not isinstance(handler, logging.NullHandler) for handler in logger.handlers):
            return True
        logger = logger.parent
    return False


def _set_level(verbose: int, *, debug: bool) -> None:
    """Set how much is logged: errors, warnings, information, and at -vv everything from kgym itself. `debug` adds the
    tracebacks of errors that do not end the command. Ranks other than the first log one level less, since they would
    repeat it.
    """
    verbose -= int(not is_first())
    logging.getLogger().setLevel({-1: logging.ERROR, 0: logging.WARNING}.get(max(-1, min(verbose, 1)), logging.INFO))
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs a line for each request of the engine openai
    logging.getLogger("kgym").setLevel(logging.DEBUG if verbose > 1 else logging.NOTSET)
    logging.getLogger("kgym.tracebacks").setLevel(logging.DEBUG if debug else logging.NOTSET)


if __name__ == "__main__":
    sys.exit(main())
