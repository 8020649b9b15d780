"""The frame of the command line: commands, errors in one line, exit statuses; and `kgym plugins`."""

import argparse
import io
import json
import logging
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

from kgym import registry as registry_module
from kgym.cli import main as frame
from kgym.cli.main import COMMANDS, Messages, Parser, main
from kgym.cli.output import print_json, print_table, progress
from kgym.cli.plugins import describe_options
from kgym.errors import ConfigError, EngineError, PluginError, RunError, UnknownName


@pytest.fixture(autouse=True)
def _fresh(monkeypatch, tmp_path):
    """A working directory and a registry of the test's own; the process's are put back after it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry_module, "_current", None)
    monkeypatch.setenv(registry_module.INHERITED, "")
    monkeypatch.delenv(registry_module.INHERITED)
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def command(monkeypatch):
    """Return a function that makes `kgym probe` do what it is given."""

    def make(run, configure=lambda parser: None):
        module = ModuleType("probe_command")
        module.__spec__ = importlib_spec("probe_command")
        module.run, module.configure = run, configure
        monkeypatch.setitem(sys.modules, "probe_command", module)
        monkeypatch.setitem(COMMANDS, "probe", ("probe_command", "a command of this test"))

    return make


def importlib_spec(name):
    from importlib.machinery import ModuleSpec

    return ModuleSpec(name, None)


@pytest.fixture
def kgymfile(tmp_path):
    def write(source):
        (tmp_path / "kgymfile.py").write_text("from kgym.hookspecs import *\nkgym_api = 1\n" + textwrap.dedent(source))

    return write


# --- the frame


def test_help_lists_the_commands_whose_module_is_there(capsys, monkeypatch):
    monkeypatch.setitem(COMMANDS, "unwritten", ("kgym.cli.unwritten", "not there yet"))
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert "train a policy on an environment" in out
    assert "plugins" in out
    assert "unwritten" not in out
    assert main(["unwritten"]) == 2
    assert main([]) == 2
    assert capsys.readouterr().out == out  # no command: the help, and status 2


def test_version(capsys):
    assert main(["--version"]) == 0
    assert re.fullmatch(r"kgym \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


@pytest.mark.parametrize("name", [name for name in COMMANDS if frame._exists(COMMANDS[name][0])])
def test_every_command_explains_itself_and_takes_json(name, capsys):
    assert main([name, "--help"]) == 0
    assert f"usage: kgym {name}" in capsys.readouterr().out
    parser = Parser(prog=name)
    frame._command(name).configure(parser)
    for leaf in frame.leaves(parser):
        taken = set(leaf._option_string_actions)
        assert not taken & {"--json", "--debug", "-p", "-v", "-q"}, "the frame provides these"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "no command named 'trian'; did you mean 'train'?"),
        (["--debugg", "train"], "no option named '--debugg'; did you mean '--debug'?"),
        (["train", "--stpes", "3"], "no option named '--stpes'; did you mean '--steps'?"),
        (["train", "--stpes=3"], "no option named '--stpes'; did you mean '--steps'?"),
        (["train", "--step", "3"], "no option named '--step'; did you mean '--steps'?"),
        (["train", "--steps", "x"], "argument --steps: invalid int value: 'x' (see kgym train --help)"),
        (["train", "aime"], "unexpected argument 'aime' (see kgym train --help)"),
        (["plugins", "lsit"], "no subcommand named 'lsit'; did you mean 'list'?"),
        (["plugins"], "the following arguments are required: list|show|doctor|check|new (see kgym plugins --help)"),
        (["plugins", "list", "--kind", "verfier"], "no value of --kind named 'verfier'; did you mean 'verifier'?"),
        (["plugins", "list", "--knd", "verifier"], "no option named '--knd'; did you mean '--kind'?"),
        (["-p", "no:kgym-env", "plugins", "list"], "no plugin named 'kgym-env'; did you mean 'kgym-envs'?"),
        (["-p"], "argument -p: expected one argument (see kgym --help)"),
        (["train", "--set", "train.lrr=1"], "no key named 'train.lrr'; did you mean 'train.lr'?"),
        (["train", "--config", "absent.toml"], "cannot read configuration absent.toml: No such file or directory"),
    ],
)
def test_a_wrong_request_is_one_line_and_status_2(arguments, message, capsys):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"kgym: error: {message}\n")


def raising(error):
    def run(args):
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (ConfigError("a\nb"), 2, "error: a b"),
        (PluginError("x"), 2, "error: x"),
        (RunError("too many unscored answers"), 1, "error: too many unscored answers"),
        (EngineError("no model"), 1, "error: no model"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (PermissionError(13, "Permission denied", "/runs/x"), 1, "error: Permission denied: /runs/x"),
        (
            OSError(28, "No space left on device"),
            1,
            "error: No space left on device (what was written before is complete; free some space and resume)",
        ),
        (
            ZeroDivisionError("division\nby zero"),
            1,
            "error: ZeroDivisionError: division by zero (run with --debug for the traceback)",
        ),
    ],
)
def test_what_a_command_raises_becomes_one_line_and_a_status(command, capsys, error, status, message):
    command(raising(error))
    assert main(["probe"]) == status
    assert capsys.readouterr().err == f"kgym: {message}\n"


@pytest.mark.parametrize("arguments", [["--debug", "probe"], ["probe", "--debug"]])
def test_debug_shows_the_traceback(command, capsys, arguments):
    command(raising(ConfigError("wrong")))
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("Traceback (most recent call last)")
    assert err.endswith("kgym: error: wrong\n")


def test_a_command_gets_its_arguments_and_the_common_ones(command):
    seen = []
    command(lambda args: seen.append(args) or 3, lambda parser: parser.add_argument("--x", type=int))
    assert main(["-v", "probe", "--x", "5", "--json", "-v"]) == 3
    assert main(["probe"]) == 3
    assert [(args.x, args.json, args.debug, args.verbose) for args in seen] == [
        (5, True, False, 2),
        (None, False, False, 0),
    ]


def test_common_options_stand_before_and_behind_subcommands(command):
    seen = []

    def configure(parser):
        parser.add_subparsers(dest="action", required=True).add_parser("go")

    command(lambda args: seen.append((args.action, args.json, args.plugins)), configure)
    assert main(["probe", "go", "--json", "-p", "no:kgym-envs"]) == 0
    assert seen == [("go", True, ["no:kgym-envs"])]
    assert [record.status for record in registry_module.registry().plugins() if record.name == "kgym-envs"] == [
        "blocked"
    ]


def test_messages_of_the_library_go_to_standard_error_and_nothing_stays_behind(command, capsys):
    before = list(logging.getLogger().handlers)

    def run(args):
        logging.getLogger("kgym.x").info("some %s", "news")
        logging.getLogger("kgym.x").warning("a warning")
        return 0

    command(run)
    for arguments, lines in [
        ([], ["warning: a warning"]),
        (["-q"], []),
        (["-v"], ["info: some news", "warning: a warning"]),
    ]:
        assert main([*arguments, "probe"]) == 0
        out, err = capsys.readouterr()
        assert (out, err) == ("", "".join(f"kgym: {line}\n" for line in lines))
    assert logging.getLogger().handlers == before


def test_a_closed_pipe_is_quiet():
    code = "import sys; from kgym.cli.main import main; sys.exit(main(['plugins', 'list', '--json']))"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_full_disk_behind_standard_output_is_one_line():
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    code = "import sys; from kgym.cli.main import main; sys.exit(main(['plugins', 'list', '--json']))"
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert done.returncode == 1
    assert done.stderr.startswith("kgym: error: No space left on device")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("start", [["-m", "kgym"], ["-m", "kgym.cli.main"]])
def test_the_module_is_the_command(start):
    done = subprocess.run(
        [sys.executable, *start, "--version"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


# --- commands of plugins


def test_a_plugin_brings_a_command(kgymfile, capsys):
    kgymfile("""
        @hookimpl
        def kgym_components():
            yield CommandInfo("greet", "kgymfile", "say hello")
            yield CommandInfo("train", "kgymfile", "never reached")
            yield CommandInfo("broken", "no_such_module", "cannot be imported")
            yield CommandInfo("partial", "json", "is no command")

        def configure(parser):
            parser.add_argument("--whom", default="world")

        def run(args):
            print(f"hello {args.whom}")
            return 0
    """)
    assert main(["greet", "--whom", "Ada"]) == 0
    assert capsys.readouterr().out == "hello Ada\n"
    assert main(["--help"]) == 0
    assert "say hello (kgymfile)" in capsys.readouterr().out
    assert main(["train", "--help"]) == 0
    assert "--algo" in capsys.readouterr().out
    assert main(["greeet"]) == 2
    assert "did you mean 'greet'" in capsys.readouterr().err
    assert main(["broken"]) == 2
    assert "command 'broken' of plugin 'kgymfile' cannot be imported" in capsys.readouterr().err
    assert main(["partial"]) == 2
    assert "needs configure(parser) and run(args)" in capsys.readouterr().err
    assert main(["plugins", "doctor"]) == 1
    assert "hidden: command 'train' of kgymfile: kgym has its own" in capsys.readouterr().out


# --- plugins list, show, doctor


def test_list(capsys):
    assert main(["plugins", "list"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert any(row.split()[:2] == ["algorithm", "mirror"] and row.split()[-1] == "kgym" for row in rows)
    assert main(["plugins", "list", "--kind", "environment", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {item["kind"] for item in report["components"]} == {"environment"}
    (aime,) = [item for item in report["components"] if item["name"] == "aime"]
    assert aime["id"].startswith("kgym/aime-v")
    assert {plugin["status"] for plugin in report["plugins"]} == {"ok"}


def test_show_explains_every_option(capsys):
    assert main(["plugins", "show", "mirror"]) == 0
    out = capsys.readouterr().out
    (row,) = [row for row in out.splitlines() if row.startswith("algo.tau ")]
    assert re.match(r"algo\.tau +float +0\.\d+ +> 0 +\S.*paper's tau", row)
    assert main(["plugins", "show", "mirror", "--json"]) == 0
    (shown,) = json.loads(capsys.readouterr().out)
    assert all(option["description"] for option in shown["options"])
    assert main(["plugins", "show", "mirorr"]) == 2
    assert capsys.readouterr().err == "kgym: error: no component named 'mirorr'; did you mean 'mirror'?\n"
    assert main(["plugins", "show", "mirror", "--kind", "sampler"]) == 2
    assert main(["plugins", "show", "aime", "--kind", "environment"]) == 0
    assert main(["plugins", "show", "aime-style"]) == 0
    assert "no options" in capsys.readouterr().out


def test_show_speaks_of_every_kind_that_has_the_name(kgymfile, capsys):
    kgymfile("""
        @hookimpl
        def kgym_components():
            yield ShaperInfo("mirror", "builtins:dict", "a shaper")
    """)
    assert main(["plugins", "show", "mirror"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines() if " mirror: " in line] == [
        "algorithm",
        "shaper",
    ]


def test_options_are_described_as_they_are_written():
    from typing import Literal

    from pydantic import Field

    from kgym.options import Options

    class Some(Options):
        must: int
        """Without a default."""
        frac: float = Field(0.5, gt=0, le=1)
        """Two bounds,
        on two lines."""
        how: Literal["a", "b"] | None = None
        pair: tuple[float, ...] = (1.0,)
        made: list[int] = Field(default_factory=lambda: [3])

    rows = [
        (row["key"], row["type"], row["default"], row["constraints"], row["description"])
        for row in describe_options(Some, "x")
    ]
    assert rows == [
        ("x.must", "int", "required", "", "Without a default."),
        ("x.frac", "float", "0.5", "> 0, <= 1", "Two bounds, on two lines."),
        ("x.how", "'a' | 'b' | None", "None", "", ""),
        ("x.pair", "tuple[float, ...]", "(1.0,)", "", ""),
        ("x.made", "list[int]", "[3]", "", ""),
    ]


def test_doctor_is_content_with_what_comes_with_kgym(capsys):
    assert main(["-p", "no:kgym-models", "plugins", "doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["healthy"] is True
    assert [(item["name"], item["error"]) for item in report["blocked"]] == [
        ("kgym-models", "left out by -p no:kgym-models")
    ]
    assert report["versions"]["kgym"]


def test_doctor_counts_the_components_of_a_plugin_in_english(capsys):
    assert main(["plugins", "doctor"]) == 0
    assert re.search(r"\b1 experiment\b.*\n(?s:.*)\b[2-9] families\b", capsys.readouterr().out)


def test_doctor_explains_what_is_wrong(kgymfile, capsys):
    kgymfile("def helper():\n    raise RuntimeError('no engine today')\nhelper()\n")
    assert main(["plugins", "doctor"]) == 1
    out, err = capsys.readouterr()
    assert "in helper" in out
    assert "RuntimeError: no engine today" in out
    assert (
        err
        == "kgym: warning: plugin 'kgymfile' is broken and left out: RuntimeError: no engine today (more: kgym plugins "
        "doctor)\n"
    )
    kgymfile("""
        @hookimpl
        def kgym_components():
            yield AlgorithmInfo("mirror", "x:Y")
            yield CheckInfo("fine", "kgymfile:fine")
            yield CheckInfo("worried", "kgymfile:worried")
            yield CheckInfo("failing", "kgymfile:failing")

        def fine():
            return []

        def worried():
            return ["the disk is nearly full"]

        def failing():
            return 1 / 0
    """)
    assert main(["plugins", "doctor", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["clashes"] == ["algorithm 'mirror' is offered by both kgym and kgymfile; choose one: -p no:kgymfile"]
    assert report["checks"] == {
        "fine": [],
        "worried": ["the disk is nearly full"],
        "failing": ["ZeroDivisionError: division by zero"],
    }
    assert report["broken"] == []


# --- output


def test_tables_away_from_a_terminal_are_neither_cut_nor_read_as_markup(capsys):
    print_table(("name", "n"), [("[red]x[/red]", 5), ("y" * 300, 12), ("\x1b[2Jz", 7)])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 5
    assert lines[2].split() == ["[red]x[/red]", "5"]
    assert lines[3].split() == ["y" * 300, "12"]
    assert "\x1b" not in lines[4]


def test_json_is_json(capsys):
    print_json(
        {
            "nan": float("nan"),
            "inf": [float("-inf")],
            "path": Path("a/b"),
            "set": {1},
            "text": "é",
            "none": None,
            "yes": True,
        }
    )
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        "nan": None, "inf": [None], "path": "a/b", "set": [1], "text": "é", "none": None, "yes": True,
    }  # fmt: skip


def test_progress_away_from_a_terminal_is_a_line_at_each_tenth(capsys):
    with progress("judged", 200) as advance:
        for _ in range(200):
            advance(1)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"judged {n}/200" for n in range(20, 201, 20)]
    with progress("nothing", 0):
        pass


def test_progress_on_a_terminal_is_a_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress("judged", 2) as advance:
        advance(2)
    assert "judged" in sys.stderr.getvalue()


def test_the_parser_takes_no_abbreviation():
    parser = Parser(prog="x")
    parser.add_argument("--steps")
    with pytest.raises(UnknownName, match="did you mean '--steps'"):
        parser.parse_args(["--ste", "3"])
    assert parser.parse_args(["--steps", "3"]) == argparse.Namespace(steps="3")


# --- what acts on a terminal


ESCAPES = "\x1b]0;owned\x07\x1b[31m\x9b2J\u202eevil"


def test_commands_write_for_people_by_one_function():
    for path in sorted(Path(frame.__file__).parent.glob("*.py")):
        if path.name != "output.py":
            assert not re.search(r"(?<![\w.])print\(", path.read_text()), f"{path.name}: use kgym.cli.output.say"


@pytest.mark.parametrize(
    "command",
    [
        ["eval", "--model", f"no/{ESCAPES}/such"],
        ["eval", "--bench", ESCAPES],
        ["train", "--env", ESCAPES],
        ["train", "--set", f"train.{ESCAPES}=1"],
        ["verify", ESCAPES],
        ["runs", "show", ESCAPES],
        ["runs", "view", ESCAPES],
        ["leaderboard", "compare", ESCAPES, ESCAPES],
        ["leaderboard", "show", "--board", ESCAPES],
        ["leaderboard", "add", ESCAPES],
        ["data", "add", "mine", ESCAPES],
        ["plugins", "show", ESCAPES],
        ["rescore", ESCAPES],
        [ESCAPES],
    ],
    ids=lambda words: " ".join(word for word in words if word.isprintable()),
)
@pytest.mark.parametrize("json_too", [False, True])
def test_no_name_acts_on_the_terminal(command, json_too, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*command, *["--json"] * json_too]) != 0
    captured = capsys.readouterr()
    assert captured.err.startswith("kgym: ")
    assert all(char.isprintable() or char in "\n\t" for char in captured.out + captured.err)


def test_no_log_record_and_no_traceback_acts_on_the_terminal(capsys):
    record = logging.LogRecord("kgym", logging.WARNING, "f", 1, "text %s", (ESCAPES,), None)
    Messages().emit(record)
    assert main(["--debug", "runs", "show", ESCAPES]) == 2
    assert all(char.isprintable() or char in "\n\t" for char in capsys.readouterr().err)
