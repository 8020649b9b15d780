"""Errors of components name the component: kind, name, distribution or plugin, and the problem where there is one."""

import gc
import json
import re
from pathlib import Path

import pytest

from kgym.blame import blaming, label_of, remember
from kgym.cli.main import main
from kgym.discovery import Candidate
from kgym.errors import ComponentError, ConfigError
from kgym.registry import Registry, configure
from kgym.rollout.engine import generate
from kgym.testing.engines import ScriptedEngine
from kgym.types import GenerateRequest, Message, Sampling

PLUGIN = Path(__file__).parent / "faulty_plugin.py"
SMALL = {
    "rollout.problems_per_step": 2,
    "rollout.group_size": 2,
    "env.max_tokens": 8,
    "eval.every": 0,
    "train.steps": 1,
}


@pytest.fixture(autouse=True)
def _forget():
    yield
    configure([])


def kgym(*arguments, capsys):
    status = main(["-p", str(PLUGIN), *map(str, arguments)])
    captured = capsys.readouterr()
    (line,) = [line for line in captured.err.splitlines() if line.startswith("kgym: error")]
    return status, line.removeprefix("kgym: error: ")


def train(tmp_path, capsys, *more):
    settings = [part for key, value in SMALL.items() for part in ("--set", f"{key}={value}")]
    return kgym("train", "--env", "arithmetic", "--run", tmp_path / "run", *settings, *more, capsys=capsys)


OF = "of plugin 'faulty_plugin'"
PROBLEM = r"problem arithmetic/train/\S+"
CASES = {
    "a shaper that raises": (
        ["shapers.divides={}"],
        rf"shaper 'divides' {OF}, {PROBLEM}: ZeroDivisionError: division by zero \(run with --debug for the "
        r"traceback\)",
    ),
    "a shaper of a wrong length": (
        ["shapers.shortens={}"],
        rf"shaper 'shortens' {OF}, {PROBLEM}: it returned 1 rewards for 2 episodes; it has to return one for each",
    ),
    "a shaper that gives no numbers": (
        ["shapers.words={}"],
        rf"shaper 'words' {OF}, {PROBLEM}: ValueError: could not convert .*",
    ),
    "a sampler that raises": (["sampler.name=raises"], rf"sampler 'raises' {OF}: KeyError: 'next' .*"),
    "a sampler that cannot be made": (
        ["sampler.name=unmade"],
        rf"sampler 'unmade' {OF}: TypeError: .*takes 2 positional arguments.*",
    ),
    "too few indices": (
        ["sampler.name=few"],
        rf"sampler 'few' {OF}: next\(2\) returned 1 indices; it has to return one for each problem",
    ),
    "bad indices": (
        ["sampler.name=negative"],
        rf"sampler 'negative' {OF}: next\(2\) returned -1; the source has problems from 0 on",
    ),
    "an index that is no number": (["sampler.name=texts"], rf"sampler 'texts' {OF}: next\(2\) returned 'a'; .*"),
    "a sampler that cannot learn": (
        ["sampler.name=unlearning"],
        rf"sampler 'unlearning' {OF}, {PROBLEM}: RuntimeError: no update .*",
    ),
    "a state that is no JSON": (
        ["sampler.name=stateful"],
        rf"sampler 'stateful' {OF}: TypeError: Object of type set is not JSON .*",
    ),
    "advantages of a wrong shape": (
        ["algo.name=misshapen"],
        rf"algorithm 'misshapen' {OF}: advantages returned \(4,\); it has to return one for each token, \(\d+,\)",
    ),
    "an algorithm that raises": (["algo.name=lost"], rf"algorithm 'lost' {OF}: RuntimeError: no loss today .*"),
    "a loss that is none": (
        ["algo.name=lossless"],
        rf"algorithm 'lossless' {OF}: the loss is Tensor; it has to be a LossOutput",
    ),
    "an engine that raises": (["engine.name=raises"], rf"engine 'raises' {OF}: RuntimeError: out of order .*"),
    "an engine that loses requests": (
        ["engine.name=loses"],
        rf"engine 'loses' {OF}: it returned no segment for 8 open requests, the first is canary/.*",
    ),
    "an engine that returns texts": (
        ["engine.name=texts"],
        rf"engine 'texts' {OF}: it returned str instead of a Segment",
    ),
    "a task that raises": (
        ["env.name=unprompted"],
        rf"environment 'unprompted' {OF}, problem faulty/\d: LookupError: no prompt .*",
    ),
    "a source that raises": (
        ["env.name=unsourced"],
        rf"environment 'unsourced' {OF}, problem number \d+: OSError: unreadable .*",
    ),
    "a source of something else": (
        ["env.name=mistyped"],
        rf"environment 'mistyped' {OF}, problem number \d+: its source returned \{{.*\}} instead of a Problem",
    ),
    "a prompt that is a text": (
        ["env.name=texty"],
        rf"environment 'texty' {OF}, problem faulty/\d: prompt returned .*tuple of Messages",
    ),
    "a tracker that cannot start": (
        ["trackers.raises={}"],
        rf"tracker 'raises' {OF}: ConnectionError: no server; the tracker cannot start: .*",
    ),
    "a model that is not there": (["model=raises"], rf"model 'raises' {OF}: FileNotFoundError: no weights .*"),
}


@pytest.mark.parametrize(("settings", "message"), CASES.values(), ids=CASES)
def test_a_training_run_names_the_component_at_fault(tmp_path, capsys, settings, message):
    status, line = train(tmp_path, capsys, *(part for setting in settings for part in ("--set", setting)))
    assert re.fullmatch(message, line), line
    assert status == 1


def test_an_exporter_and_a_command_are_named(tmp_path, capsys):
    board = ("--board", "kgym_boards:results")
    assert kgym("leaderboard", "export", "--format", "raises", *board, capsys=capsys) == (
        1,
        f"exporter 'raises' {OF}: KeyError: 'model' (run with --debug for the traceback)",
    )
    status, line = kgym("leaderboard", "export", "--format", "nothing", *board, capsys=capsys)
    assert (status, line) == (
        1,
        f"exporter 'nothing' {OF}: it returned NoneType; it has to return the text or the bytes of the file",
    )
    assert kgym("greet", capsys=capsys) == (
        1,
        f"command 'greet' {OF}: ValueError: nobody here (run with --debug for the traceback)",
    )
    assert kgym("greet", "--politely", capsys=capsys) == (2, f"command 'greet' {OF}: say whom to greet")


def test_with_debug_the_traceback_is_there(tmp_path, capsys):
    assert main(["-p", str(PLUGIN), "--debug", "greet"]) == 1
    assert "in run" in capsys.readouterr().err


def test_a_run_survives_a_tracker_and_its_note_names_it(tmp_path, capsys):
    settings = [part for key, value in {**SMALL, "trackers.mute": "{}"}.items() for part in ("--set", f"{key}={value}")]
    assert (
        main(["-p", str(PLUGIN), "train", "--env", "arithmetic", "--run", str(tmp_path / "run"), "--json", *settings])
        == 0
    )
    captured = capsys.readouterr()
    assert f"tracker 'mute' {OF} failed; the run continues" in captured.err
    assert "a tracker that talks" in captured.err
    json.loads(captured.out)  # and not what the tracker printed


# --- the mechanism


def test_the_distribution_is_named(tmp_path):
    (tmp_path / "acme.py").write_text(PLUGIN.read_text())
    found = Registry(
        candidates=[Candidate("acme", "acme", "acme-rl", "2.1", path=tmp_path / "acme.py")], environ={}, folder=tmp_path
    )
    shaper = found.create("shaper", "divides")
    wanted = pytest.raises(ComponentError, match=r"^shaper 'divides' of acme-rl 2\.1, problem p/1: ZeroDivisionError")
    with wanted, blaming("shaper", shaper, problem="p/1"):
        shaper(None, [], 1)


def test_an_error_of_ours_keeps_its_type_and_is_named_once():
    class Odd:
        pass

    odd = Odd()
    with (
        pytest.raises(ConfigError, match=r"^sampler Odd: too few$") as caught,
        blaming("sampler", odd),
        blaming("sampler", odd),
    ):
        raise ConfigError("too few")
    assert caught.value.exit_status == 2


def test_what_is_not_an_error_passes():
    with pytest.raises(KeyboardInterrupt), blaming("engine", object()):
        raise KeyboardInterrupt


def test_labels_go_with_their_components():
    class Slots:
        __slots__ = ()

    class Plain:
        pass

    kept, gone = Slots(), Plain()
    remember(kept, "shaper 'kept'")
    remember(gone, "shaper 'gone'")
    assert (label_of("shaper", kept), label_of("shaper", gone)) == ("shaper 'kept'", "shaper 'gone'")
    del gone
    gc.collect()
    assert label_of("shaper", Plain()) == "shaper Plain"


def test_what_is_printed_between_segments_is_not_the_engines(capsys):
    class Printing(ScriptedEngine):
        segments_per_poll = 1

        def poll(self, timeout_s=None):
            print("from the engine")
            return super().poll(timeout_s)

    asked = [GenerateRequest(str(number), (Message("user", "1"),), 4, Sampling(), number) for number in range(2)]
    for _ in generate(Printing(lambda request: "2"), asked):
        print("from the caller")
    assert capsys.readouterr() == ("from the caller\n" * 2, "from the engine\n" * 2)
