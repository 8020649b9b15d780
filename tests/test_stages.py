"""Token budgets by stages (`rollout.max_tokens`): which step has which, what a run makes of them, and what is
refused.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgym.cli.main import main
from kgym.config import RunConfig
from kgym.envs.setup import EnvSetup
from kgym.keys import load, to_toml
from kgym.rollout.episodes import EpisodePool, play
from kgym.runs.metrics import read_metrics
from kgym.stages import Stages
from kgym.testing.engines import ScriptedEngine
from kgym.types import Sampling
from test_train import numbers

SMALL = ("rollout.problems_per_step=3", "rollout.group_size=4", "eval.every=0", "train.save_every=1", "train.threads=1")
STAGED = "rollout.max_tokens=[[0, 30], [0.5, 90]]"
PARTIAL = ("rollout.schedule=partial", "rollout.oversample=2.4", "rollout.step_tokens=250")


def words(run, *settings, steps=4):
    return ["train", "--run", str(run), "--steps", str(steps), "--set", *SMALL, *settings]


def trained(run, *settings, steps=4):
    assert main([*words(run, *settings, steps=steps), "--json"]) == 0
    return run


def episodes(run):
    files = sorted((run / "episodes").glob("*.parquet"))
    return pd.concat([pd.read_parquet(path) for path in files], ignore_index=True)


# --- steps and tokens -------------------------------------------------------------------------------------------------


def test_each_step_has_the_budget_of_the_last_stage_before_it():
    stages = Stages.of([(0, 30), (2, 60), (0.5, 90)], 8)
    assert [stages.tokens(step) for step in range(1, 9)] == [30, 30, 60, 60, 90, 90, 90, 90]
    assert str(stages) == "30 tokens, 60 from step 3 on, 90 from step 5 on"
    assert (stages.most, stages.late(8), stages.late(4)) == (90, [], [90])
    assert Stages.of([(0, 90), (4, 30)], 8).most == 90  # a budget may fall, as in long2short
    assert Stages().tokens(1) is None


def test_a_share_that_floats_cannot_hold_is_still_that_share():
    for steps, share in ((100, 0.29), (100, 0.57), (100, 0.58), (200, 0.145)):  # their products are just below
        assert Stages.of([(0, 30), (share, 60)], steps).points[1][0] == round(share * steps)
    assert Stages.of([(0, 30), (0.5, 60)], 7).points[1][0] == 3, "a share of no whole number is rounded down"


@given(
    steps=st.integers(1, 40), points=st.lists(st.tuples(st.integers(0, 50), st.integers(1, 99)), min_size=1, max_size=5)
)
def test_stages_are_taken_if_they_begin_with_the_run_and_rise(steps, points):
    begins = [begin for begin, _ in points]
    if begins[0] == 0 and all(one < other for one, other in pairwise(begins)):
        stages = Stages.of(points, steps)
        for step in range(1, steps + 1):
            assert stages.tokens(step) == [tokens for begin, tokens in points if begin < step][-1]
    else:
        with pytest.raises(ValueError, match=r"rollout\.max_tokens="):
            Stages.of(points, steps)


def test_the_configuration_holds_them_in_every_form(tmp_path):
    config = load(RunConfig, None, [STAGED])
    assert config.rollout.max_tokens == ((0, 30), (0.5, 90))
    (tmp_path / "run.toml").write_text(to_toml(config))
    assert load(RunConfig, tmp_path / "run.toml", []) == config
    assert RunConfig.model_validate_json(config.model_dump_json()) == config
    older = RunConfig.model_validate(
        {"rollout": {"max_tokens": 30}}
    )  # as manifests of before there were stages have it
    assert (older.env.options, older.rollout.max_tokens) == ({"max_tokens": 30}, ())


# --- episodes ---------------------------------------------------------------------------------------------------------


def test_an_episode_keeps_the_budget_that_it_began_with():
    setup = EnvSetup("arithmetic", {"max_tokens": 12})
    engine, pool = ScriptedEngine(lambda request: "x" * 100), EpisodePool(segment_tokens=2)
    for step, tokens in enumerate((4, 8, None, 40), 1):  # the environment's own budget bounds all of them
        problem = setup.problem(step)
        pool.start(
            setup, step, problem, attempts=[0], seed_parts=(0,), sampling=Sampling(), step=step, max_tokens=tokens
        )
    kept, state = pool.state()
    again = EpisodePool(segment_tokens=2)
    again.restore(kept, json.loads(json.dumps(state)), {"": setup}, Sampling())
    for played in (play(pool, engine), play(again, engine)):
        assert [group.episodes[0].n_tokens for group in played] == [4, 8, 12, 12]
        assert all(group.episodes[0].truncated for group in played)


def test_a_checkpoint_of_before_there_were_stages_is_read():
    setup = EnvSetup("arithmetic", {"max_tokens": 12})
    pool = EpisodePool()
    pool.start(setup, 1, setup.problem(1), attempts=[0], seed_parts=(0,), sampling=Sampling())
    kept, state = pool.state()
    state["groups"] = [{key: value for key, value in facts.items() if key != "max_tokens"} for facts in state["groups"]]
    again = EpisodePool()
    again.restore(kept, state, {"": setup}, Sampling())
    assert again.groups[0].budgets == setup.budgets


def test_a_loop_ends_an_episode_in_the_stage_that_is_long_enough_for_it():
    setup = EnvSetup("arithmetic", {"max_tokens": 60})
    engine, pool = ScriptedEngine(lambda request: "x" * 100), EpisodePool(segment_tokens=4)
    for step, tokens in ((1, 12), (2, 40)):
        pool.start(
            setup,
            step,
            setup.problem(step),
            attempts=[0],
            seed_parts=(0,),
            sampling=Sampling(loop_tokens=16),
            max_tokens=tokens,
        )
    ended = [(episode.n_tokens, episode.verdict.reason) for group in play(pool, engine) for episode in group.episodes]
    assert ended == [(12, "truncated"), (16, "repetition")]


# --- runs -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("staged") / "run", STAGED)


@pytest.fixture(scope="module")
def partial(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("partial") / "run", STAGED, *PARTIAL, steps=8)


def test_a_run_has_the_budget_of_its_stage(staged):
    lines = read_metrics(staged / "metrics.jsonl")
    assert [line["rollout/max_tokens"] for line in lines] == [30, 30, 90, 90]
    longest = episodes(staged).groupby("step_ended")["tokens"].max()
    assert longest.loc[[1, 2]].tolist() == [30, 30]
    assert 30 < longest.loc[3:].max() <= 90
    manifest = json.loads((staged / "manifest.json").read_text())
    assert manifest["config"]["rollout"]["max_tokens"] == [[0, 30], [0.5, 90]]
    assert manifest["env"]["max_tokens"] == 160, "what a score depends on is the budget of the environment"


def test_open_episodes_end_by_the_budget_of_the_step_in_which_they_began(partial):
    table = episodes(partial)
    assert table.loc[table["step_begun"] <= 4, "tokens"].max() == 30
    assert 30 < table.loc[table["step_begun"] > 4, "tokens"].max() <= 90
    crossing = table[(table["step_begun"] <= 4) & (table["step_ended"] > 4)]
    assert len(crossing), "this run has no episode that lives through a change of the stage"


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(2))
def test_killed_and_resumed_a_staged_run_with_open_episodes_ends_in_the_same_numbers(partial, tmp_path, moment):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "kgym", *words(run, STAGED, *PARTIAL, steps=8)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while not (run / "checkpoints" / "step-3").exists() and process.poll() is None:
            time.sleep(0.001)
        time.sleep(random.Random(moment).uniform(0.0, 1.0))
        os.kill(process.pid, signal.SIGKILL)
    assert main(["train", "--run", str(run), "--resume", "--json"]) == 0
    assert numbers(run) == numbers(partial)
    pd.testing.assert_frame_equal(episodes(run).drop(columns="verify_s"), episodes(partial).drop(columns="verify_s"))


@pytest.mark.slow
def test_batches_that_wait_in_a_checkpoint_keep_all_metrics(tmp_path):
    settings = (STAGED, "rollout.schedule=ahead", "sampler=prioritized", "sampler.pool=20")
    straight = trained(tmp_path / "straight", *settings)
    assert "sampler/chosen_new_frac" in read_metrics(straight / "metrics.jsonl")[-1]
    run = trained(tmp_path / "run", *settings)
    shutil.rmtree(run / "checkpoints" / "step-4")  # as if it had been killed before step 4 was kept
    assert main(["train", "--run", str(run), "--resume", "--json"]) == 0
    assert numbers(run) == numbers(straight)


# --- what is refused, and what is said --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            ["rollout.max_tokens=[[0, 30], [2, 900]]"],
            "rollout.max_tokens reaches 900 tokens, and env.max_tokens is 160",
        ),
        (
            ["rollout.max_tokens=[[0, 30], [3, 90], [2, 99]]"],
            "the stage of 99 tokens begins after step 2 and the one before it after step 3",
        ),
        (["rollout.max_tokens=[[0, 30], [2, 2040]]", "env.max_tokens=2040"], "the context of nano is 2048"),
        (["rollout.max_tokens=[[0, 30], [2, 100]]", "env.context_tokens=120"], "env.context_tokens is 120"),
        (["rollout.max_tokens=64"], "one budget for the whole run is env.max_tokens=64"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_stages_that_cannot_be_are_refused_before_anything_is_written(settings, said, more, tmp_path, capsys):
    assert main([*words(tmp_path / "run", *settings), *more]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_the_budgets_of_several_environments_bound_the_stages_together(tmp_path, capsys):
    several = ("envs.aime.max_tokens=100", "envs.words.name=arithmetic")
    assert main(words(tmp_path / "run", *several, "rollout.max_tokens=[[0, 30], [2, 200]]")) == 2
    assert (
        "envs.aime.max_tokens is 100, which bounds every stage; set envs.aime.max_tokens=200 too"
        in capsys.readouterr().err
    )
    run = trained(
        tmp_path / "run", *several, "rollout.max_tokens=[[0, 30], [1, 100]]", "rollout.problems_per_step=4", steps=2
    )
    table = episodes(run)
    assert table.loc[table["step_ended"] == 1, "tokens"].max() <= 30
    assert (
        table.loc[(table["step_ended"] == 2) & (table["env"] == "words"), "tokens"].max() <= 64
    )  # the budget of arithmetic


def test_the_plan_counts_the_largest_stage(tmp_path, capsys):
    def planned(*settings):
        assert main([*words(tmp_path / "run", *settings), "--dry-run", "--json"]) == 0
        memory = json.loads(capsys.readouterr().out)["memory"]
        varying = ("available_gib", "process_gib")  # what else runs on the machine, and what ran in this process
        return {key: value for key, value in memory.items() if key not in varying}

    largest, without = planned("rollout.max_tokens=[[0, 30], [2, 90], [3, 60]]"), planned("env.max_tokens=90")
    assert largest == without
    assert planned("rollout.max_tokens=[[0, 30]]") != without


def test_a_stage_that_the_run_does_not_reach_is_pointed_out(tmp_path, capsys):
    assert main(words(tmp_path / "run", "rollout.max_tokens=[[0, 30], [9, 90]]", steps=1)) == 0
    out = capsys.readouterr().out
    assert "stages      30 tokens, 90 from step 10 on" in out
    assert "the run has 1 steps and ends before its stage of 90 tokens begins" in out
    assert "raise rollout.max_tokens" in out  # most completions are cut off at 30 tokens
