"""`kgym reproduce`: the rule of a verdict, runs that are shared and found again, the page, and the same page after a
kill -9.
"""

import json
import math
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgym.cli.main import main
from kgym.errors import ConfigError, UnknownName
from kgym.experiments.findings import figures, verdicts_of
from kgym.experiments.measures import measured
from kgym.experiments.planning import Planner, wanted
from kgym.experiments.processes import run_all
from kgym.experiments.report import Report, markdown, page_of, summary
from kgym.experiments.table import Experiment, load
from kgym.experiments.verdicts import reason, seed_interval, together, verdict
from kgym.hookspecs import ExperimentInfo
from kgym.page.document import render
from kgym.registry import registry

TABLE = """
title = "Does practice help?"
source = "A. Author 2025"

[bases.tiny]
model = "nano"
env = "arithmetic"
judge = ""

[scales.full]
seeds = 2
values = { steps = 3, score = 5 }
seconds = { train = 4, eval = 2 }

[common]
train = "--model {model} --env {env} --steps {steps} --seed {seed} \
--set rollout.problems_per_step=2 rollout.group_size=2 eval.every=0"
eval = "--bench {env}:validation --problems {score} --seed {seed}"

[arms.before]
says = "before"
command = "eval"
flags = "--model {model}"

[arms.after]
says = "trained for {steps} steps"
command = "train"
flags = "--set train.save_every=1"

[arms.same]
says = "trained just so"
command = "train"
flags = "--set train.save_every=1"

[arms.judged]
says = "rewarded by a judge"
command = "train"
flags = "--set verifier=judge verifier.model={judge}"

[arms.judged-on]
says = "trained on"
command = "train"
flags = "--model {judged}"

[[claims]]
id = "a"
says = "training helps"
source = "section 1"
plots = [{ kind = "curves", arms = ["after"] }, { kind = "tradeoff", arms = ["before", "after"] }, \
{ kind = "points", arms = ["after"] }]
findings = [
    { says = "accuracy", of = "after", than = "before", measure = "accuracy", rule = "greater", margin = 1.0 },
    { says = "length", of = "after", than = "before", measure = "tokens", relative = true, \
rule = "at_most", margin = 5.0 },
    { says = "right answers", of = "after", measure = "mean episode/correct_frac", rule = "greater" },
]

[[claims]]
id = "b"
says = "judges help"
source = "section 2"
findings = [{ says = "accuracy", of = "judged-on", than = "same", measure = "accuracy", rule = "greater" }]
"""


def table(tmp_path, text=TABLE, **replaced):
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "mine.toml").write_text(text)
    return tmp_path / "mine.toml"


def planner(tmp_path, out=None, text=TABLE, **given):
    return Planner(load(table(tmp_path, text)), "full", out or tmp_path / "out", "tiny", given)


def finished(run, accuracy, tokens=10.0):
    run.folder.mkdir(parents=True)
    run.done_file.write_text(json.dumps({"accuracy": accuracy, "tokens_mean": tokens}))


# --- verdicts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "interval", "margin", "wanted"),
    [
        ("greater", (0.1, 5.0), 0.0, "agree"),
        ("greater", (0.1, 0.5), 1.0, "agree"),  # small, but there
        ("greater", (-0.1, 5.0), 1.0, "cannot tell"),
        ("greater", (-0.5, 0.9), 1.0, "disagree"),  # too little to count
        ("greater", (-5.0, -0.1), 0.0, "disagree"),
        ("less", (-5.0, -0.1), 0.0, "agree"),
        ("less", (0.1, 5.0), 0.0, "disagree"),
        ("less", (-0.9, 0.5), 1.0, "disagree"),
        ("equal", (-1.9, 1.9), 2.0, "agree"),
        ("equal", (0.5, 2.5), 2.0, "cannot tell"),
        ("equal", (2.1, 4.0), 2.0, "disagree"),
        ("equal", (-4.0, -2.1), 2.0, "disagree"),
        ("at_least", (-1.9, 9.0), 2.0, "agree"),
        ("at_least", (-2.1, 9.0), 2.0, "cannot tell"),
        ("at_least", (-9.0, -2.1), 2.0, "disagree"),
        ("at_most", (-9.0, 1.9), 2.0, "agree"),
        ("at_most", (2.1, 9.0), 2.0, "disagree"),
    ],
)
def test_the_rule_of_a_verdict(rule, interval, margin, wanted):
    assert verdict(rule, interval, margin) == wanted


@pytest.mark.parametrize(
    ("rule", "interval", "margin", "said"),
    [
        ("greater", (0.1, 5.0), 1.0, "the interval is above 0"),
        ("greater", (-5.0, -0.1), 1.0, "the interval is below 0"),
        ("less", (-0.9, 0.5), 1.0, "a difference of 1 or more is ruled out"),
        ("greater", (-5.0, 0.0), 0.0, "the interval contains 0"),
        ("equal", (-1.9, 1.9), 2.0, "the interval is within ± 2"),
        ("equal", (2.1, 4.0), 2.0, "the interval is outside ± 2"),
        ("at_least", (-2.1, 9.0), 2.0, "the interval crosses -2"),
        ("at_most", (2.1, 9.0), 2.0, "the interval is above 2"),
        ("greater", (-math.inf, math.inf), 1.0, "no interval can be computed"),
    ],
)
def test_the_reason_of_a_verdict(rule, interval, margin, said):
    assert reason(rule, interval, margin) == said


@given(st.floats(-50, 50), st.floats(0, 50), st.floats(0, 5))
def test_rules_mirror_each_other(middle, reach, margin):
    interval, turned = (middle - reach, middle + reach), (-middle - reach, -middle + reach)
    for one, other in (("greater", "less"), ("at_least", "at_most"), ("equal", "equal")):
        assert verdict(one, interval, margin) == verdict(other, turned, margin)


@pytest.mark.parametrize("rule", ["greater", "less", "equal", "at_least", "at_most"])
def test_one_seed_and_a_figure_that_is_not_there_tell_nothing(rule):
    assert verdict(rule, seed_interval([7.0]), 1.0) == "cannot tell"
    assert verdict(rule, seed_interval([7.0, math.nan]), 1.0) == "cannot tell"


def test_the_interval_is_students_over_seeds():
    low, high = seed_interval([1.0, 2.0, 4.0])  # mean 7/3, deviation 1.5275, 4.3027 / sqrt 3
    assert (low, high) == pytest.approx((7 / 3 - 3.7946, 7 / 3 + 3.7946), abs=1e-3)


def test_equal_seeds_have_no_spread_to_estimate_an_error_from():
    assert seed_interval([16.7] * 3) == (-math.inf, math.inf)
    assert seed_interval([16.7] * 6) == (16.7, 16.7)


def test_a_claim_holds_if_all_of_its_figures_do():
    assert together(["agree", "agree"]) == "agree"
    assert together(["agree", "cannot tell"]) == "cannot tell"
    assert together(["agree", "cannot tell", "disagree"]) == "disagree"


# --- tables and runs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('of = "after", than = "before", measure = "accuracy"', 'of = "afterr", measure = "accuracy"', "afterr"),
        ('measure = "accuracy"', 'measure = "accurracy"', "accurracy"),
        ('measure = "mean episode/correct_frac"', 'measure = "mean"', "with KEY"),
        ('rule = "at_most", margin = 5.0', 'rule = "at_most"', "margin"),
        ("[arms.judged]", "[arms.score]", "score is the name of an arm and of a value"),
        ('id = "b"', 'id = "a"', "two claims have the id a"),
        ('says = "before"', 'says = "before"\ncommon = "evil"', "evil"),
    ],
)
def test_a_table_that_cannot_be_run_is_refused_in_one_line(old, new, said, tmp_path):
    with pytest.raises(ConfigError, match=said):
        load(table(tmp_path, **{old: new}))


def test_equal_arms_share_a_run_and_other_settings_have_another(tmp_path):
    plan = planner(tmp_path)
    assert plan.run("after", 0) is plan.run("same", 0)
    assert plan.run("after", 0).folder != plan.run("after", 1).folder
    other = planner(tmp_path, text=TABLE.replace("steps = 3", "steps = 4"))
    assert plan.run("after", 0).folder != other.run("after", 0).folder
    assert plan.run("before", 0).folder == other.run("before", 0).folder
    assert plan.run("after.score", 0).folder != other.run("after.score", 0).folder, "an evaluation is of its model"


def test_the_folder_of_a_run_does_not_depend_on_what_is_asked_for(tmp_path):
    assert planner(tmp_path).run("same.score", 1).folder == planner(tmp_path).run("after.score", 1).folder
    assert planner(tmp_path, out=tmp_path / "other").run("same", 1).key == planner(tmp_path).run("after", 1).key


def test_runs_come_after_those_that_they_need(tmp_path):
    plan = planner(tmp_path, judge="nano")
    runs = plan.runs(0, ["judged-on.score"])
    assert [run.arm for run in runs] == ["judged", "judged-on", "judged-on.score"]
    assert str(runs[0].folder) in runs[1].words


def test_an_arm_that_lacks_a_value_is_left_out_and_said_so(tmp_path):
    plan = planner(tmp_path)
    assert plan.lacks("judged-on.score") == "judge"
    assert plan.run("judged-on", 0) is None
    (figure,) = figures(plan, ["b"], range(2), ())
    assert (figure.verdict, figure.missing) == ("cannot tell", "not run: it needs a value for judge")


def test_a_name_that_is_neither_a_value_nor_an_arm_is_refused(tmp_path):
    with pytest.raises(UnknownName, match="modle"):
        planner(tmp_path, text=TABLE.replace('flags = "--model {model}"', 'flags = "--model {modle}"')).run("before", 0)


def test_a_training_that_has_begun_is_resumed(tmp_path):
    run = planner(tmp_path).run("after", 0)
    assert run.words_now == run.words
    run.folder.mkdir(parents=True)
    (run.folder / "manifest.json").write_text("{}")
    assert run.words_now == ("train", "--run", str(run.folder), "--resume")


# --- figures and the page ---------------------------------------------------------------------------------------------


def scored(tmp_path, before, after, tokens=(11.0, 11.01)):
    """Return a plan whose evaluations have ended, with accuracies by seed."""
    plan = planner(tmp_path)
    for seed, (low, high) in enumerate(zip(before, after, strict=False)):
        finished(plan.run("before", seed), low, tokens=10.0)
        finished(plan.run("after.score", seed), high, tokens=tokens[seed])
        run = plan.run("after", seed)
        run.folder.mkdir(parents=True)
        run.done_file.write_text("{}")
        lines = [
            {"step": step, "episode/correct_frac": share, "episode/tokens_mean": 5.0, "rollout/tokens": 20.0}
            for step, share in enumerate((0.0, 0.1, 0.3, 0.5))
        ]
        (run.folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return plan


def test_a_figure_is_the_difference_within_a_seed(tmp_path):
    plan = scored(tmp_path, before=[0.2, 0.6], after=[0.3, 0.701])
    accuracy, length, right = figures(plan, ["a"], range(2), ())
    assert accuracy.by_seed == pytest.approx((10.0, 10.1))
    assert accuracy.means == pytest.approx((50.05, 40.0))
    assert accuracy.verdict == "agree"
    assert length.by_seed == pytest.approx((10.0, 10.1)), "percent of the other arm"
    assert length.verdict == "disagree"
    assert right.by_seed == pytest.approx((30.0, 30.0)), "without step 0"
    assert summary(right) == "30.0 points (all seeds equal: no interval)"
    assert verdicts_of([accuracy, length, right]) == {"a": "disagree"}


@pytest.mark.parametrize(
    ("measure", "value"),
    [
        ("first episode/correct_frac", 20.0),
        ("last episode/correct_frac", 40.0),
        ("sum rollout/tokens", 60.0),
        ("correlation episode/correct_frac rollout/tokens", math.nan),
        ("mean no/such", math.nan),
    ],
)
def test_measures_of_steps(measure, value, tmp_path):
    found = measured(scored(tmp_path, [0.0], [0.0]).run("after", 0), measure)
    assert found == pytest.approx(value, nan_ok=True)


def test_what_has_not_ended_or_failed_is_said(tmp_path):
    plan = scored(tmp_path, [0.2, 0.6], [0.3, 0.7])
    run = plan.run("after.score", 1)
    run.done_file.unlink()
    assert figures(plan, ["a"], range(2), ())[0].missing == f"the run {run.folder.name} has not ended"
    assert figures(plan, ["a"], range(2), {run.key})[0].missing == f"the run {run.folder.name} failed"


def test_the_page_has_the_verdicts_the_commands_and_no_date(tmp_path):
    plan = scored(tmp_path, before=[0.2, 0.6], after=[0.3, 0.71])
    claims = plan.experiment.claims
    report = Report(plan, claims, range(2), figures(plan, ["a", "b"], range(2), ()), "kgym reproduce mine.toml")
    page, text = render(page_of(report)), markdown(report)
    for part in (page, text):
        assert "training helps" in part
        assert "needs a value for judge" in part
        assert "trained for 3 steps" in part
        assert "kgym train --model nano --env arithmetic --steps 3 --seed 0" in part
    assert page.count("data:image/svg+xml") == 4
    assert page == render(page_of(report))
    assert all(
        line.count(" | ") == 3
        for line in text.split("## Claims")[1].split("##")[0].splitlines()
        if line.startswith("| ")
    )


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["k16"], "did you mean 'k15'"),
        (["no.toml"], "cannot read the experiment no.toml"),
        (["k15", "--claims", "a,z"], "z"),
        (["k15", "--claims", ","], "--claims names no claim"),
        (["k15", "--scale", "huge"], "huge"),
        (["k15", "--seeds", "0"], "--seeds 0: must be 1 or more"),
        (["k15", "--base", "no-such-model"], "no-such-model"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", *words]) == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert printed.count("\n") == 1
    assert not [*tmp_path.iterdir()]


def test_a_dry_run_lists_the_runs_once_and_the_time(tmp_path, capsys):
    words = ["reproduce", str(table(tmp_path)), "--out", str(tmp_path / "out"), "--jobs", "2", "--dry-run"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert said.count("kgym train") == 2
    assert said.count("kgym eval") == 4
    assert "6 runs, 6 of them to do, about 0:08 with 2 at once" in said
    assert main([*words, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["seconds"] == 8
    assert not (tmp_path / "out").exists()


def test_every_claim_of_the_paper_is_in_k15():
    experiment = load(registry().target(ExperimentInfo.kind, "k15")())
    assert [claim.id for claim in experiment.claims] == list("abcdefghij")
    unused = set(experiment.arms) - {
        arm for claim in experiment.claims for finding in claim.findings for arm in (finding.of, finding.than) if arm
    }
    named = " ".join(arm.flags for arm in experiment.arms.values()) + str(
        [plot for claim in experiment.claims for plot in claim.plots]
    )
    assert not [arm for arm in unused if f"{{{arm}}}" not in named and f"'{arm}'" not in named]


def reproduced(folder, *more):
    return [
        sys.executable,
        "-m",
        "kgym",
        "reproduce",
        "mine.toml",
        "--out",
        "out",
        "--claims",
        "a",
        "--seeds",
        "1",
        "--jobs",
        "2",
        *more,
    ]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_in_the_middle_and_given_again_it_ends_in_the_same_page(tmp_path):
    interrupted, straight = tmp_path / "one", tmp_path / "two"
    for folder in (interrupted, straight):
        folder.mkdir()
        table(folder, **{"steps = 3": "steps = 4"})
    process = subprocess.Popen(
        reproduced(interrupted), cwd=interrupted, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 300
    while not any(path.read_text().count("\n") >= 2 for path in interrupted.glob("out/runs/after-0-*/metrics.jsonl")):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (interrupted / "out/mine.html").exists()
    for folder in (interrupted, straight):
        done = subprocess.run(reproduced(folder, "--json"), cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["verdicts"] == {"a": "cannot tell"}, "one seed"
    for name in ("mine.html", "mine.md"):
        assert (interrupted / "out" / name).read_text() == (straight / "out" / name).read_text()
    (log,) = interrupted.glob("out/runs/after-0-*.log")
    assert "from step" in log.read_text(), "it was resumed"
    again = subprocess.run(reproduced(straight), cwd=straight, capture_output=True, text=True, check=True)
    assert "to do" not in again.stdout, "nothing was run again"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_that_fails_leaves_the_others_and_its_figures_are_not_told(tmp_path, capsys):
    path = table(
        tmp_path,
        **{'flags = "--set train.save_every=1"\n\n[arms.same]': 'flags = "--set env.difficulty=99"\n\n[arms.same]'},
    )
    words = ["reproduce", str(path), "--out", str(tmp_path / "out"), "--claims", "a", "--seeds", "1", "--jobs", "2"]
    assert main([*words, "--json"]) == 1
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert all(
        "failed" in figure["missing"] or figure["missing"].startswith("the run after") for figure in found["figures"]
    )
    assert "after, seed 0 failed: error: env.difficulty=99" in printed.err
    assert "difficulty" in next((tmp_path / "out/runs").glob("after-0-*.log")).read_text()
    assert [*(tmp_path / "out/runs").glob("before-0-*/results.json")], "what does not need it was run"
    assert (tmp_path / "out/mine.html").exists()


def test_runs_that_need_a_failed_one_are_not_begun(tmp_path):
    plan = planner(tmp_path, text=TABLE.replace("--model {model} --env", "--no-such-option --env"))
    told = []
    failed = run_all(plan.runs(0, ["after.score"]), 2, lambda run, well, seconds: told.append((run.arm, well)))
    assert told == [("after", False)]
    assert [run.arm for run in failed] == ["after", "after.score"]


# --- one GPU ----------------------------------------------------------------------------------------------------------


def test_the_recipe_for_one_gpu_can_be_planned(tmp_path, capsys, monkeypatch):
    from transformers import AutoTokenizer, Qwen2Config

    from kgym.models.names import resolve_model
    from kgym.train import plan as plans
    from kgym_plugins.engines.vllm import VLLMOptions

    shape = {
        "vocab_size": 151936,
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_hidden_layers": 28,
        "tie_word_embeddings": True,
    }
    Qwen2Config(**shape, num_attention_heads=12, num_key_value_heads=2, max_position_embeddings=32768).save_pretrained(
        tmp_path / "model"
    )
    AutoTokenizer.from_pretrained(resolve_model("nano")).save_pretrained(tmp_path / "model")
    monkeypatch.setattr(plans, "available_bytes", lambda device: 80 * 10**9)
    recipe = (Path(__file__).parent.parent / "recipes/k15_one_gpu.toml").read_text()
    engine = recipe[
        recipe.index("[engine]") : recipe.index("[algo]")
    ]  # vLLM is not everywhere; its options are checked below
    VLLMOptions.model_validate({key: value for key, value in tomllib.loads(engine)["engine"].items() if key != "name"})
    (tmp_path / "recipe.toml").write_text(recipe.replace(engine, "[engine]\nmax_batch = 64\n\n"))
    words = [
        "train",
        "--config",
        str(tmp_path / "recipe.toml"),
        "--model",
        str(tmp_path / "model"),
        "--run",
        str(tmp_path / "run"),
    ]
    assert main([*words, "--dry-run", "--json"]) == 0
    memory = json.loads(capsys.readouterr().out)["memory"]
    assert 20 < memory["peak_gib"] < 75
    assert not (tmp_path / "run").exists()


def test_a_table_may_be_made_without_a_file():
    with pytest.raises(ValueError, match="claims"):
        Experiment(
            title="",
            source="",
            bases={"a": {}},
            scales={"full": {}},
            arms={"x": {"says": "", "command": "eval"}},
            claims=(),
        )


def test_plots_ask_for_what_they_show(tmp_path):
    experiment = load(table(tmp_path))
    assert wanted(experiment, ["a"]) == ["after.score", "before", "after"]
