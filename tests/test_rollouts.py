"""The rollouts of a step: budgets, rounds instead of groups that teach nothing, greedy completions; runs that have
nothing to learn.
"""

import json
from dataclasses import replace

import pytest

from kgym.cli.main import main
from kgym.envs.mixture import members
from kgym.envs.setup import EnvSetup
from kgym.errors import ComponentError, ConfigError
from kgym.keys import load_config
from kgym.registry import configure
from kgym.rollout.engine import generate
from kgym.rollout.episodes import play_groups
from kgym.rollout.groups import teaches
from kgym.runs.metrics import read_metrics
from kgym.testing.engines import ScriptedEngine, UniformEngine
from kgym.train.checkpoint import checkpoint_steps
from kgym.train.rl.batch import pack_groups
from kgym.train.rl.recipe import with_recipe
from kgym.train.rl.statistics import nothing_to_learn
from kgym.train.rl.streams import make_rollouts
from kgym.train.warmups import unended
from kgym.types import Sampling, UpdatePlan
from kgym_plugins.samplers.uniform import Uniform

SEED = ("s",)


@pytest.fixture(autouse=True, scope="module")
def _plugins():
    configure(["fixed_verdicts"])
    yield
    configure([])


# --- the pool ----------------------------------------------------------------------------------------------------


def test_an_answer_and_its_prompt_fit_into_the_context():
    setup = EnvSetup("arithmetic", {"max_tokens": 40})
    prompt_tokens = sum(len(message.content) for message in setup.start(0, 0).prompt)
    setup = EnvSetup("arithmetic", {"max_tokens": 40, "context_tokens": prompt_tokens + 9})
    engine = ScriptedEngine(lambda request: "7" * 100)
    groups = play_groups(setup, engine, [0, 0], sampling=Sampling(), seed_parts=SEED)
    assert [group.episodes[0].n_tokens for group in groups] == [9, 9]
    assert all(group.episodes[0].truncated for group in groups)
    assert [request.context_tokens for request in engine.requests] == [prompt_tokens + 9] * 2

    engine = ScriptedEngine(lambda request: "7" * 100)
    (group, _) = play_groups(setup, engine, [0, 0], sampling=Sampling(), seed_parts=SEED, segment_tokens=4)
    assert [len(segment.token_ids) for segment in group.episodes[0].segments] == [4, 4, 1]
    assert [request.max_tokens for request in engine.requests[::2]] == [
        4,
        4,
        1,
    ]  # once the prompt is known, so is what is left


def test_an_engine_that_does_not_see_repetition_is_helped_where_a_segment_ends():
    """16 tokens repeat themselves at the 20th: the segments of 8 show it at the 24th. Without segments the budget is
    first.
    """
    setup = EnvSetup("arithmetic", {"max_tokens": 60})
    text = "7890" + "123" * 30
    ways = {}
    for segment_tokens in (8, None):
        sampling = Sampling(loop_tokens=16)
        (group,) = play_groups(
            setup,
            ScriptedEngine(lambda request: text),
            [0],
            sampling=sampling,
            seed_parts=SEED,
            segment_tokens=segment_tokens,
        )
        (episode,) = group.episodes
        assert (episode.terminated, episode.truncated) == (False, True)
        assert (episode.verdict.reason, episode.trainable) == ("repetition", True)
        ways[segment_tokens] = (episode.text, [segment.finish_reason for segment in episode.segments])
    assert ways == {8: (text[:24], ["length", "length", "repetition"]), None: (text[:60], ["repetition"])}
    for script, sampling in ((text[:50], Sampling(loop_tokens=16)), (text, Sampling())):
        (group,) = play_groups(
            setup, ScriptedEngine(lambda request, script=script: script), [0], sampling=sampling, seed_parts=SEED
        )
        assert group.episodes[0].finish_reason in ("stop", "length")  # it ended by itself, or no one asked


def test_the_built_in_engine_keeps_to_the_context():
    from kgym.types import GenerateRequest, Message
    from kgym_plugins.engines.transformers import TransformersEngine, TransformersOptions
    from kgym_plugins.models.builtin import nano

    engine = TransformersEngine(TransformersOptions(), nano())
    request = GenerateRequest("a", (Message("user", "What is 2+3?"),), max_tokens=30, sampling=Sampling(), seed=1)
    (free,) = generate(engine, [request])
    n_prompt, n = len(free.prompt_ids), len(free.token_ids)
    assert n > 3
    (bound,) = generate(engine, [replace(request, context_tokens=n_prompt + 3)])
    assert bound.token_ids == free.token_ids[:3]
    (rest,) = generate(engine, [replace(request, context_tokens=n_prompt + 5, prefix_ids=bound.token_ids)])
    assert rest.token_ids == free.token_ids[3:5]
    (none,) = generate(engine, [replace(request, context_tokens=n_prompt)])
    assert (none.token_ids, none.finish_reason) == ((), "length")


# --- rounds -----------------------------------------------------------------------------------------------------------


def rollouts(plan, verifier="even-length", **more):
    settings = {"env.name": "arithmetic", "rollout.problems_per_step": 5, "rollout.group_size": 4, "env.max_tokens": 6}
    settings |= {"env.truncated": "score"} | more
    config = load_config(None, [f"{key}={value}" for key, value in (settings | {"verifier": verifier}).items()])
    return make_rollouts(config, members(config), plan)


def play(subject, engine=None, step=1):
    return subject.play(engine or UniformEngine("0123"), step, lambda done, total: None)


def test_one_round_keeps_what_comes():
    played = play(rollouts(UpdatePlan()))
    assert played.rounds == 1
    assert played.batch == played.sampled
    assert not all(map(teaches, played.batch))
    assert (played.greedy, played.greedy_rewards) == ([], None)


def test_rounds_fill_the_batch_with_groups_that_teach():
    subject = rollouts(UpdatePlan(max_rounds=20))
    played = play(subject)
    assert played.rounds > 1
    assert len(played.batch) == 5
    assert all(map(teaches, played.batch))
    assert (
        played.sampled[:5] == play(rollouts(UpdatePlan())).sampled
    )  # the first round is what it is without the others
    assert len(played.sampled) == 5 + sum(
        not teaches(group) for group in played.sampled
    )  # one more for each that was of no use
    assert played.n_tokens == sum(episode.n_tokens for group in played.sampled for episode in group.episodes)


@pytest.mark.parametrize("verifier", ["always-right", "always-wrong", "never-sure"])
def test_rounds_come_to_an_end(verifier):
    played = play(rollouts(UpdatePlan(max_rounds=3), verifier))
    assert (played.batch, played.rounds, len(played.sampled)) == ([], 3, 15)


def test_a_problem_that_comes_again_has_other_attempts(monkeypatch):
    subject = rollouts(UpdatePlan(max_rounds=2), "always-wrong")
    monkeypatch.setattr(subject.streams[0].sampler, "next", lambda n, step: [3] * n)
    engine = UniformEngine("0123")
    play(subject, engine)
    seeds = [request.seed for request in engine.requests]
    assert set(seeds[:20]).isdisjoint(seeds[20:])


def test_every_round_tells_the_sampler_the_step(monkeypatch):
    subject = rollouts(UpdatePlan(max_rounds=3), "always-wrong")
    asked, draw = [], subject.streams[0].sampler.next
    monkeypatch.setattr(subject.streams[0].sampler, "next", lambda n, step: asked.append((n, step)) or draw(n, step))
    play(subject, step=4)
    assert asked == [(5, 4)] * 3


def test_the_curriculum_is_as_far_as_the_steps_whatever_the_rounds():
    settings = {"env.name": "aime", "env.difficulty": 5, "sampler.name": "curriculum", "sampler.steps": 10}
    subject = rollouts(UpdatePlan(max_rounds=4), "always-wrong", **settings)
    assert {group.problem.level for group in play(subject).sampled} == {1}


def test_a_sampler_that_takes_no_step_is_named(monkeypatch):
    monkeypatch.setattr(Uniform, "next", lambda self, n: [3] * n)
    with pytest.raises(ComponentError, match=r"sampler 'uniform': it has next\(n\); kgym calls next\(n, step\)"):
        rollouts(UpdatePlan())


# --- warm-ups ---------------------------------------------------------------------------------------------------------


def test_warm_ups_that_outlast_the_run_are_pointed_out():
    quiet = ["train.steps=4", "shapers.length_penalty.warmup_steps=3", "sampler.name=curriculum", "sampler.steps=3"]
    assert unended(load_config(None, quiet)) == []
    assert unended(load_config(None, ["shapers.length_penalty={}", "sampler.name=curriculum"])) == []  # the defaults
    loud = [
        "train.steps=4",
        "train.warmup_steps=5",
        "shapers.length_penalty.warmup_steps=20",
        "sampler.name=curriculum",
        "sampler.steps=50",
    ]
    notes = unended(load_config(None, loud))
    assert [note.partition(":")[0] for note in notes] == [
        "train.warmup_steps=5",
        "sampler.steps=50",
        "shapers.length_penalty.warmup_steps=20",
    ]
    assert all("4 steps" in note for note in notes)


def test_the_length_penalty_acts_in_a_default_run():
    subject = rollouts(UpdatePlan(), **{"shapers.length_penalty": "{}", "train.steps": 4})
    engine = UniformEngine("0123")
    early, late = (play(subject, engine, step).sampled for step in (1, 2))  # a quarter of four steps is one
    assert all(group.rewards == [episode.reward for episode in group.episodes] for group in early)
    assert any(group.rewards != [episode.reward for episode in group.episodes] for group in late)


def test_a_share_is_below_one_and_a_number_whole():
    assert load_config(None, ["train.warmup_steps=0.25"]).train.warmup_steps == 0.25
    assert load_config(None, ["train.warmup_steps=3.0"]).train.warmup_steps == 3
    with pytest.raises(ConfigError, match=r"train.warmup_steps=2.5: must be a whole number of steps, or a share"):
        load_config(None, ["train.warmup_steps=2.5"])


def test_a_training_says_that_its_penalty_never_acts(tmp_path, capsys):
    arguments = [
        "-p",
        "fixed_verdicts",
        "train",
        "--env",
        "arithmetic",
        "--run",
        str(tmp_path / "run"),
        "--steps",
        "1",
        *SETTINGS,
    ]
    assert main([*arguments, "--set", "algo.max_rounds=1", "--set", "shapers.length_penalty.warmup_steps=20"]) == 0
    assert (
        "shapers.length_penalty.warmup_steps=20: the run has 1 step and ends before this does"
        in capsys.readouterr().out
    )


# --- the sampler learns -----------------------------------------------------------------------------------------------


def test_the_sampler_learns_of_every_group(monkeypatch):
    subject = rollouts(UpdatePlan(max_rounds=3), "always-wrong")
    seen = []
    monkeypatch.setattr(
        subject.streams[0].sampler, "update", lambda index, verdicts: seen.append((index, len(verdicts)))
    )
    played = play(subject)
    assert [subject.streams[0].setup.source[index].id for index, _ in seen] == [
        group.problem.id for group in played.sampled
    ]
    assert {n for _, n in seen} == {4}


def test_a_punished_length_is_no_reason_to_keep_a_group():
    played = play(
        rollouts(UpdatePlan(max_rounds=2), "always-right", **{"shapers.overlong": "{max_tokens = 6, cache_tokens = 5}"})
    )
    assert any(len(set(group.rewards)) > 1 for group in played.sampled)
    assert played.batch == []


def test_truncated_answers_can_be_left_out_of_the_loss():
    played = play(rollouts(UpdatePlan(), **{"env.truncated": "mask"}))
    episodes = [episode for group in played.sampled for episode in group.episodes]
    assert any(episode.truncated for episode in episodes)
    assert [episode.trainable for episode in episodes] == [not episode.truncated for episode in episodes]


# --- greedy completions -----------------------------------------------------------------------------------------------


def test_greedy_answers_are_to_the_same_problems():
    engine = ScriptedEngine(lambda request: "12" if request.sampling.temperature == 0 else "123")
    played = play(rollouts(UpdatePlan(needs_greedy=True)), engine)
    assert [group.problem for group in played.greedy] == [group.problem for group in played.batch]
    assert [len(group.episodes) for group in played.greedy] == [1] * 5
    assert played.greedy_rewards == [1.0] * 5
    assert played.n_tokens == 5 * 4 * 4 + 5 * 3  # end tokens included
    import torch

    batch = pack_groups(played.batch, device=torch.device("cpu"), greedy_rewards=played.greedy_rewards)
    assert batch.greedy_rewards.tolist() == [1.0] * 20
    batch = pack_groups(played.batch, device=torch.device("cpu"), greedy_rewards=[1.0, None, 0.25, None, 0.0])
    assert (
        batch.greedy_rewards.tolist() == [1.0] * 4 + [0.25] * 4 + [0.0] * 4
    )  # without a baseline there is nothing to compare with


def test_a_greedy_answer_that_cannot_be_judged_is_no_baseline():
    played = play(rollouts(UpdatePlan(needs_greedy=True), "never-sure"))
    assert played.greedy_rewards == [None] * 5
    assert "may be trained on" in nothing_to_learn(played)
    for group in played.sampled:
        group.episodes[0].trainable = True
    assert "none of the 5 greedy completions could be judged" in nothing_to_learn(played)


# --- runs that have nothing to learn ----------------------------------------------------------------------------------

SETTINGS = [
    *("--set", "rollout.problems_per_step=2", "--set", "rollout.group_size=2", "--set", "env.max_tokens=16"),
    *(
        "--set",
        "eval.every=0",
        "--set",
        "train.threads=1",
        "--set",
        "algo.max_rounds=2",
        "--set",
        "env.truncated=score",
    ),
]


@pytest.mark.parametrize(
    ("verifier", "words"),
    [
        ("always-right", ("100.0% of the completions correct", "take harder problems")),
        ("always-wrong", ("0.0% of", "raise env.max_tokens")),
    ],
)
def test_dapo_ends_with_a_word_when_problems_are_too_easy_or_too_hard(tmp_path, capsys, verifier, words):
    run = tmp_path / "run"
    arguments = ["-p", "fixed_verdicts", "train", "--algo", "dapo", "--run", str(run), "--steps", "50", *SETTINGS]
    assert main([*arguments, "--set", f"verifier={verifier}", "--set", "train.save_every=1"]) == 1
    output = capsys.readouterr()
    assert output.err.count("\n") == 1
    for word in ("step 3", "nothing to learn from in 3 consecutive steps", "4 problems in 2 rounds", *words):
        assert word in output.err
    assert "step 1: nothing to learn from, the policy stays as it is" in output.out
    lines = read_metrics(run / "metrics.jsonl")
    assert [(line["step"], line["rollout/rounds"], line["rollout/filled_frac"]) for line in lines] == [
        (1, 2.0, 0.0),
        (2, 2.0, 0.0),
    ]
    assert checkpoint_steps(run / "checkpoints") == [1, 2]
    assert (
        main(["-p", "fixed_verdicts", "train", "--run", str(run), "--resume"]) == 1
    )  # and does not go on for three steps more
    assert len(read_metrics(run / "metrics.jsonl")) == 2


def test_dapo_goes_on_after_a_step_without_a_lesson(tmp_path):
    run = tmp_path / "run"
    arguments = [
        "-p",
        "fixed_verdicts",
        "train",
        "--algo",
        "dapo",
        "--run",
        str(run),
        "--steps",
        "2",
        *SETTINGS,
        "--json",
    ]
    assert (
        main(
            [*arguments, "--set", "verifier=even-length", "--set", "algo.max_rounds=8", "--set", "rollout.group_size=4"]
        )
        == 0
    )
    for line in read_metrics(run / "metrics.jsonl"):
        assert line["rollout/filled_frac"] == 1.0
        assert line["optim/grad_norm"] > 0
        assert line["rollout/tokens"] > 0


# --- what an algorithm adds -----------------------------------------------------------------------------------


def test_dapo_brings_its_punishment():
    config = with_recipe(load_config(None, ["algo=dapo", "env.max_tokens=50"]))
    assert config.shapers == {"overlong": {"max_tokens": 50, "cache_tokens": 10, "weight": 0.5}}
    assert with_recipe(config) == config
    assert (
        with_recipe(load_config(None, ["algo=dapo"])).shapers["overlong"]["max_tokens"] == 160
    )  # the environment's own budget


def test_what_the_user_sets_goes_over_the_recipe():
    config = with_recipe(
        load_config(None, ["algo=dapo", "algo.clip_high=0.3", "shapers.overlong.weight=0", "shapers.format={}"])
    )
    assert config.shapers["overlong"]["weight"] == 0
    assert config.shapers["overlong"]["cache_tokens"] == 32
    assert "format" in config.shapers
    assert config.algo.options == {"clip_high": 0.3}


def test_the_method_of_kimi_is_one_setting():
    config = with_recipe(load_config(None, ["algo.method=k1.5"]))
    assert config.algo.options == {"method": "k1.5", "reset_optimizer": True}
    assert (config.sampler.name, config.sampler.options) == ("curriculum", {"then": "prioritized"})
    assert config.shapers == {"length_penalty": {}}
    assert with_recipe(config) == config


def test_each_part_of_the_method_can_be_left_out():
    settings = [
        "algo.method=k1.5",
        "algo.reset_optimizer=false",
        "sampler.name=uniform",
        "shapers.length_penalty.weight=0",
    ]
    config = with_recipe(load_config(None, settings))
    assert config.algo.options["reset_optimizer"] is False
    assert (config.sampler.name, config.sampler.options) == ("uniform", {})
    assert config.shapers["length_penalty"]["weight"] == 0
    config = with_recipe(load_config(None, ["algo.method=k1.5", "sampler.steps=3"]))
    assert (config.sampler.name, config.sampler.options) == ("curriculum", {"then": "prioritized", "steps": 3})


def test_the_default_algorithm_brings_nothing():
    config = load_config()
    assert with_recipe(config) is config


def test_a_run_with_a_recipe_resumes_from_its_file(tmp_path):
    file = tmp_path / "dapo.toml"
    tables = ['[algo]\nname = "dapo"', "[rollout]\nproblems_per_step = 2\ngroup_size = 4", "[env]\nmax_tokens = 40"]
    file.write_text("\n".join([*tables, "[eval]\nevery = 0\n[train]\nsteps = 1\n"]))
    run = tmp_path / "run"
    assert main(["train", "--config", str(file), "--run", str(run), "--json"]) == 0
    assert json.loads((run / "manifest.json").read_text())["config"]["shapers"]["overlong"]["max_tokens"] == 40
    assert main(["train", "--config", str(file), "--run", str(run), "--resume", "--json"]) == 0


@pytest.mark.parametrize(("algorithm", "status"), [("mirror", 2), ("rloo", 2), ("reinforce", 0), ("remax", 0)])
def test_a_group_of_one_is_refused_where_attempts_are_compared(tmp_path, capsys, algorithm, status):
    arguments = [
        "train",
        "--algo",
        algorithm,
        "--run",
        str(tmp_path / "run"),
        "--steps",
        "1",
        *SETTINGS,
        "--set",
        "rollout.group_size=1",
    ]
    assert main([*arguments, "--json", "--set", "algo.max_rounds=1"]) == status
    if status:
        assert "use 2 or more" in capsys.readouterr().err
