"""The harness and `kgym eval`: one path, nothing generated twice, the same numbers after a kill -9."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pandas as pd
import pytest

from kgym.cli.main import main
from kgym.envs.spec import EnvSpec
from kgym.errors import ConfigError
from kgym.files import locked
from kgym.registry import configure
from kgym.rollout.episodes import play_groups
from kgym.score.harness import Evaluation, evaluate
from kgym.score.results import EvalResult
from kgym.score.store import EvalFolder
from kgym.seeding import derive_seed
from kgym.testing.engines import ScriptedEngine, UniformEngine
from kgym.types import Sampling

VALIDATION = EnvSpec("arithmetic", "validation")

PLUGIN = r'''
"""An engine that can add up, most of the time, and keeps a record of what it was asked."""

import os
import re
import re
import time

from pydantic import Field

from kgym.errors import EngineError
from kgym.hookspecs import BenchmarkInfo, EngineInfo, hookimpl
from kgym.options import Options
from kgym.testing.engines import ScriptedEngine

kgym_api = 1


@hookimpl
def kgym_components():
    yield EngineInfo(name="mostly-right", target="kgymfile:MostlyRight")
    yield BenchmarkInfo(name="sums", env="arithmetic", split="validation", problems=12, samples=3)
    yield BenchmarkInfo(name="texts", env="math500", split="validation", problems=10, samples=2)


class MostlyRightOptions(Options):
    sleep_s: float = Field(0.0, ge=0)
    fails_after: int = 10**9


def answer(request):
    found = re.search(r"What is (\d+)([-+*])(\d+)\?", request.prompt[-1].content)
    if found is None:  # a problem of another environment
        return f"So \\boxed{{{request.seed % 3}}}"
    a, sign, b = found.groups()
    value = {"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b)}[sign]
    luck = request.seed % 10  # the seed alone decides: 6 right, 2 wrong, 1 without an answer, 1 without an end
    if luck < 8:
        return f"So \\boxed{{{value if luck < 6 else value + 1}}}"
    return "I do not know." if luck == 8 else "So " * 1000


class MostlyRight(ScriptedEngine):
    Options = MostlyRightOptions

    def __init__(self, options, model):
        super().__init__(answer)
        self.sleep_s = options.sleep_s
        self.fails_after = options.fails_after
        with open("loaded.txt", "a") as file:
            file.write(f"{model}\n")

    segments_per_poll = 1

    def poll(self, timeout_s=None):
        seeds = [state.request.seed for state in self._open.values()]
        self.fails_after -= 1
        if self.fails_after < 0:
            raise EngineError("out of memory")
        segments = super().poll(timeout_s)
        time.sleep(self.sleep_s)
        with open("asked.txt", "a") as file:
            file.write(f"{seeds[0]}\n")
        return segments
'''

COMMAND = ["eval", "--model", "model", "--bench", "sums", "--engine", "mostly-right", "--slots", "9"]


def right_half_the_time(request):
    """Answer by the seed alone: right in the first half of its range."""
    a, sign, b = request.prompt[-1].content.split("What is ")[1].split("?")[0].partition("+")
    value = int(a) + int(b) if sign else 0
    return rf"\boxed{{{value + (request.seed >> 62)}}}"


# --- the harness ------------------------------------------------------------------------------------------------------


def test_the_score_is_the_mean_of_the_verdicts_that_the_environment_gives():
    engine = ScriptedEngine(right_half_the_time)
    evaluation = Evaluation(VALIDATION, problems=6, samples=4, slots=8, seed=1)
    result = evaluation.run(engine)
    ids = [evaluation.source[index].id for index in range(6)]
    expected = {}
    for name in ids:
        seeds = [derive_seed(1, "eval", name, attempt) for attempt in range(4)]
        expected[name] = sum(seed >> 62 == 0 for seed in seeds) / 4 if "/sum/" in name else 0.0
    assert result.scores == expected
    assert 0 < result.accuracy < 1
    assert result.accuracy == pytest.approx(sum(expected.values()) / 6)
    assert (result.n_problems, result.samples, result.n_samples) == (6, 4, 24)
    assert set(result.pass_at_k) == {"1", "2", "3", "4"}
    assert result.pass_at_k["1"] == pytest.approx(result.accuracy)


def test_neither_slots_nor_other_problems_change_an_answer():
    what = {"spec": VALIDATION.with_settings(max_tokens=12), "samples": 3}
    many = evaluate(UniformEngine(r"\boxed{}0123456789"), **what, problems=7, slots=256)
    few = evaluate(UniformEngine(r"\boxed{}0123456789"), **what, problems=7, slots=2)
    fewer_problems = evaluate(UniformEngine(r"\boxed{}0123456789"), **what, problems=4, slots=5)
    assert many == few
    assert many.tokens_mean != fewer_problems.tokens_mean
    assert many.comparability != fewer_problems.comparability


def test_scoring_steps_the_environment_of_training():
    engine = UniformEngine(r"\boxed{}0123456789")
    evaluate(engine, VALIDATION, problems=2, samples=2)
    asked, engine.requests = engine.requests, []
    play_groups(VALIDATION.setup(), engine, [0, 1], attempts=range(2), sampling=Sampling(), seed_parts=(0, "eval"))
    assert [replace(request, id="") for request in engine.requests] == [replace(request, id="") for request in asked]


@pytest.mark.parametrize("what", [{"samples": 0}, {"problems": -1}, {"slots": 0}, {"problems": 0}])
def test_numbers_that_cannot_be_are_refused(what):
    with pytest.raises(ConfigError, match=next(iter(what))):
        Evaluation(VALIDATION, **({"problems": 2} | what))


def test_progress_counts_every_answer():
    seen = []
    evaluate(
        UniformEngine(),
        VALIDATION,
        problems=3,
        samples=2,
        slots=2,
        progress=lambda at: seen.append((at.done, at.total)),
    )
    assert seen == [(done, 6) for done in range(1, 7)]


def test_a_larger_k_only_generates_what_is_missing(tmp_path):
    folder = EvalFolder(tmp_path / "run")
    engine = UniformEngine(r"\boxed{}0123456789")
    with folder.opened({}):
        evaluate(engine, VALIDATION, problems=4, samples=2, slots=3, store=folder)
        assert len(engine.requests) == 8
        engine.requests.clear()
        grown = evaluate(engine, VALIDATION, problems=4, samples=5, slots=3, store=folder)
        assert len(engine.requests) == 12
        assert grown == evaluate(UniformEngine(r"\boxed{}0123456789"), VALIDATION, problems=4, samples=5)
        shrunk = evaluate(None, VALIDATION, problems=4, samples=2, store=folder)
    assert shrunk == evaluate(UniformEngine(r"\boxed{}0123456789"), VALIDATION, problems=4, samples=2)


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory with a plugin and something that passes for a model."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kgymfile.py").write_text(PLUGIN)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    yield tmp_path
    sys.modules.pop("kgymfile", None)
    monkeypatch.undo()
    configure()


def run_json(capsys, *arguments):
    status = main([*arguments, "--json"])
    captured = capsys.readouterr()
    assert status == 0, captured.err
    return json.loads(captured.out)


def test_eval_writes_every_answer_and_prints_the_figures(place, capsys):
    assert main([*COMMAND, "--run", "run"]) == 0
    out = capsys.readouterr().out
    frame = pd.read_parquet(place / "run" / "samples")
    assert len(frame) == 36
    assert set(frame["status"]) == {"correct", "wrong", "no_answer"}
    assert frame["truncated"].any()
    assert frame[["text", "gold", "finish_reason", "tokens"]].notna().all(axis=None)
    accuracy = frame["score"].where(~frame["truncated"], 0.0).mean()
    assert f"accuracy      {accuracy:.1%} ±" in out
    for line in ("pass@3", "maj@3", "mG-Pass@3", "uncertainty", "of the finished"):
        assert line in out
    results = json.loads((place / "run" / "results.json").read_text())
    assert f"comparability {results['comparability'][:12]}" in out
    assert results["accuracy"] == pytest.approx(accuracy)
    manifest = (place / "run" / "manifest.json").read_text()
    assert str(place) not in manifest  # nothing of this machine's folders
    assert os.uname().nodename not in manifest


def test_the_same_command_again_loads_no_model_and_adds_no_row(place, capsys):
    first = run_json(capsys, *COMMAND, "--board", "board.csv")
    asked = (place / "asked.txt").read_text()
    (place / "kgymfile.py").write_text(PLUGIN.replace("super().__init__(answer)", "raise RuntimeError"))
    sys.modules.pop("kgymfile")
    assert run_json(capsys, *COMMAND, "--board", "board.csv") == first
    assert (place / "asked.txt").read_text() == asked
    (row,) = pd.read_csv("board.csv").to_dict("records")
    assert (row["model"], row["benchmark"], row["n_problems"], row["samples_per_problem"]) == ("model", "sums", 12, 3)
    assert row["accuracy"] == pytest.approx(first["accuracy"], abs=1e-6)


def test_kill_9_in_the_middle_and_again(place, capsys):
    straight = run_json(capsys, *COMMAND, "--run", "straight", "--set", "engine.sleep_s=0.03")
    (place / "asked.txt").unlink()
    killed = [sys.executable, "-m", "kgym.cli.main", *COMMAND, "--run", "killed", "--set", "engine.sleep_s=0.03"]
    process = subprocess.Popen(killed, cwd=place, stdout=subprocess.DEVNULL)
    while not (place / "killed" / "samples" / "part-00001.parquet").exists():
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = len(pd.read_parquet(place / "killed" / "samples"))
    assert 0 < kept < 36
    (place / "asked.txt").unlink()
    again = run_json(capsys, *COMMAND, "--run", "killed", "--set", "engine.sleep_s=0.03")
    assert len((place / "asked.txt").read_text().splitlines()) == 36 - kept  # nothing twice
    frame = pd.read_parquet(place / "killed" / "samples")
    assert not frame.duplicated(["problem_id", "attempt"]).any()
    assert EvalResult.from_json(again) == EvalResult.from_json(straight)


def test_killed_and_gone_on_with_it_leaves_the_same_csv(place, capsys, monkeypatch):
    """The same commands in two folders, one of them killed; afterwards with a larger k, killed again."""
    boards = []
    for name in ("straight", "killed"):
        folder = place / name
        folder.mkdir()
        for needed in ("kgymfile.py", "model"):
            (folder / needed).symlink_to(place / needed)
        monkeypatch.chdir(folder)
        for samples in ("2", "5"):
            command = [
                *COMMAND,
                "--samples",
                samples,
                "--run",
                "run",
                "--board",
                "board.csv",
                "--set",
                "engine.sleep_s=0.02",
            ]
            if name == "killed":
                n_before = len(list(folder.glob("run/samples/*.parquet")))
                process = subprocess.Popen(
                    [sys.executable, "-m", "kgym.cli.main", *command], cwd=folder, stdout=subprocess.DEVNULL
                )
                while len(list(folder.glob("run/samples/*.parquet"))) == n_before:
                    assert process.poll() is None
                    time.sleep(0.005)
                process.send_signal(signal.SIGKILL)
                process.wait()
                assert len(pd.read_parquet(folder / "run" / "samples")) < 12 * int(samples)
            assert main(command) == 0
        frame = pd.read_parquet(folder / "run" / "samples")
        assert len(frame) == 60
        assert not frame.duplicated(["problem_id", "attempt"]).any()
        boards.append((folder / "board.csv").read_bytes())
    capsys.readouterr()
    assert boards[0] == boards[1]
    assert boards[0].count(b"\n") == 3


def test_two_processes_on_one_folder_one_is_refused_politely(place, capsys):
    slow = [*COMMAND, "--run", "run", "--set", "engine.sleep_s=0.1"]
    first = subprocess.Popen([sys.executable, "-m", "kgym.cli.main", *slow], cwd=place, stdout=subprocess.DEVNULL)
    while not (place / "run" / "samples" / "part-00000.parquet").exists():
        assert first.poll() is None
        time.sleep(0.005)
    assert main(slow) == 1
    err = capsys.readouterr().err
    assert "in use by another process; wait for it to end, or choose another folder" in err
    assert "Traceback" not in err
    assert first.wait() == 0
    assert len((place / "asked.txt").read_text().splitlines()) == 36


def test_two_at_once_one_is_refused_politely(place, capsys):
    run_json(capsys, *COMMAND, "--run", "run")
    with locked(place / "run" / ".lock", what="the first"):
        assert main([*COMMAND, "--run", "run"]) == 1
    assert "in use by another process" in capsys.readouterr().err


def test_another_request_in_the_same_folder_is_refused(place, capsys):
    run_json(capsys, *COMMAND, "--run", "run")
    assert main([*COMMAND, "--run", "run", "--temperature", "0.5", "--seed", "1"]) == 2
    err = capsys.readouterr().err
    assert "seed was 0 and is 1; temperature was 1.0 and is 0.5" in err
    assert err.count("\n") == 1
    run_json(capsys, *COMMAND, "--run", "run", "--samples", "5")  # a larger k is the same request


def test_completions_without_a_manifest_are_refused(place, capsys):
    """They may be of another model or seed, and counted as if they were of this one."""
    (place / "own" / "samples").mkdir(parents=True)
    (place / "own" / "samples" / "part-00000.parquet").touch()
    assert main([*COMMAND, "--run", "own"]) == 2
    assert "own is not empty and contains no evaluation" in capsys.readouterr().err


def test_other_weights_in_the_same_folder_are_refused(place, capsys):
    run_json(capsys, *COMMAND, "--run", "run")
    (place / "model" / "model.safetensors").write_bytes(b"trained since")
    assert main([*COMMAND, "--run", "run"]) == 2
    assert "model_sha256 was" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--samples", "0"], "samples=0"),
        (["--board", "kgymfile.py"], "kgymfile.py is not a leaderboard"),
        (["--bench", "summs"], "did you mean 'sums'"),
        (["--bench", "arithmetic:validation"], "--problems"),
        (["--bench", "aritmetic:validation"], "did you mean 'arithmetic'"),
        (["--bench", "arithmetic:tests", "--problems", "3"], "tests"),
        (["--model", "./gone"], "./gone"),
        (["--model", "nanno"], "nanno"),
        (["--engine", "mostly-rigt"], "did you mean 'mostly-right'"),
        (["--set", "env.dificulty=3"], "difficulty"),
        (["--set", "env.split=train"], "env.split"),
        (["--set", "engine.sleep_s=-1"], "engine.sleep_s=-1"),
        (["--set", "envs.difficulty=3"], "did you mean 'env'"),
        (["--temperature", "-1"], "temperature=-1"),
        (["--max-tokens", "0"], "max_tokens=0"),
        (
            ["--max-tokens", "16", "--set", "env.max_tokens=32"],
            "--max-tokens 16 and env.max_tokens=32 exclude each other",
        ),
        (
            ["--truncated", "score", "--set", "env.truncated=mask"],
            "--truncated score and env.truncated=mask exclude each other",
        ),
    ],
)
def test_bad_input_is_one_clear_line(place, capsys, arguments, message):
    assert main([*COMMAND, *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not (place / "runs").exists()  # nothing was written


def test_compare_pairs_two_runs(place, capsys):
    run_json(capsys, *COMMAND, "--run", "a")
    run_json(capsys, *COMMAND, "--run", "b", "--seed", "5")
    run_json(capsys, *COMMAND, "--run", "c", "--max-tokens", "30")
    comparison = run_json(capsys, "leaderboard", "compare", "a", "b")
    a, b = (json.loads((place / name / "results.json").read_text()) for name in "ab")
    assert comparison["difference"] == pytest.approx(b["accuracy"] - a["accuracy"])
    assert main(["leaderboard", "compare", "a", "b"]) == 0
    assert ("not distinguishable" in capsys.readouterr().out) == (comparison["p_value"] > 0.05)
    assert main(["leaderboard", "compare", "a", "c"]) == 2
    assert "max_tokens is 64 in one and 30 in the other" in capsys.readouterr().err
    assert main(["leaderboard", "compare", "a", "nowhere"]) == 2
    assert "no finished evaluation" in capsys.readouterr().err


def test_compare_takes_the_answers_that_both_have(place, capsys):
    run_json(capsys, *COMMAND, "--run", "one", "--samples", "1")
    run_json(capsys, *COMMAND, "--run", "five", "--samples", "5")
    run_json(capsys, *COMMAND, "--run", "other", "--samples", "2", "--seed", "5")
    same = run_json(capsys, "leaderboard", "compare", "five", "one")
    assert (same["samples"], same["difference"]) == (1, 0.0)  # the first of five completions is the one completion
    shared = run_json(capsys, "leaderboard", "compare", "five", "other")
    run_json(capsys, *COMMAND, "--run", "two", "--samples", "2")
    assert shared["samples"] == 2
    figures = ("difference", "interval", "p_value", "p_exact", "name", "n")
    expected = run_json(capsys, "leaderboard", "compare", "two", "other")
    assert {name: shared[name] for name in figures} == {name: expected[name] for name in figures}
    assert main(["leaderboard", "compare", "five", "other"]) == 0
    assert "over the first 2 completions of each problem" in capsys.readouterr().out
    shutil.rmtree(place / "five" / "samples")
    assert main(["leaderboard", "compare", "five", "other"]) == 2
    err = capsys.readouterr().err
    assert "five has 5 completions of each problem and other has 2" in err
    assert "kgym eval --samples 2" in err
    assert main(["leaderboard", "compare", "two", "other"]) == 0  # needs no completions


def test_ranks_of_unlike_numbers_of_answers_are_those_of_compare(place, capsys):
    for name, samples, seed in (("one", "1", "0"), ("five", "5", "7"), ("two", "2", "5")):
        run_json(
            capsys,
            *COMMAND,
            "--run",
            name,
            "--samples",
            samples,
            "--seed",
            seed,
            "--board",
            "board.csv",
            "--label",
            name,
        )
    pairs = run_json(capsys, "leaderboard", "compare", "one", "five", "two")["pairs"]
    rows = {
        row["run"]: (row["rank_low"], row["rank_high"])
        for row in run_json(capsys, "leaderboard", "show", "--board", "board.csv")
    }
    for name, ranks in rows.items():
        sure = [pair for pair in pairs if pair["distinguishable"] and name in (pair["before"], pair["after"])]
        better = [pair for pair in sure if (pair["difference"] > 0) == (name == pair["before"])]
        assert ranks == (1 + len(better), 3 - (len(sure) - len(better)))


def test_precision_tells_the_error_of_a_run_from_the_difference_of_two(place, capsys):
    run_json(capsys, *COMMAND, "--run", "a", "--samples", "4")
    error = run_json(capsys, "leaderboard", "precision", "a")["variance"]["stderr_sampling"]
    assert main(["leaderboard", "precision", "a"]) == 0
    out = capsys.readouterr().out
    assert f"± {100 * error:.1f} points is the standard error of a run" in out
    assert f"two runs differ by ± {100 * 2**0.5 * error:.1f}" in out


def test_an_accuracy_over_few_of_the_completions_comes_with_a_warning(tmp_path, capsys):
    asked = (
        "--bench",
        "arithmetic:validation",
        "--problems",
        "12",
        "--max-tokens",
        "24",
        "--run",
        str(tmp_path / "run"),
    )
    assert main(["-p", "shy_verifier", "eval", *asked, "--verifier", "shy"]) == 0
    said = capsys.readouterr()
    (row,) = [line for line in said.out.splitlines() if line.startswith("unscored")]
    assert re.fullmatch(r"unscored +(\d\d\.\d%) \(shy \1\)", row)
    assert re.search(
        r"kgym: warning: \d\d\.\d% \(shy \d\d\.\d%\) of the completions could not be judged, "
        r"so the accuracy is over the others; the texts are in \S+run\. "
        r"After a timeout, raise verifier\.limits\.deadline_s\n",
        said.err,
    )
    assert main(["eval", *asked[:-1], str(tmp_path / "other")]) == 0
    assert "could not be judged" not in capsys.readouterr().err
