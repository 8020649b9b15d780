"""Several environments in one run: shares kept by weight, groups of one environment each, figures by environment and
in all.
"""

import json
from collections import Counter

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from kgym.cli.main import main
from kgym.config import RunConfig
from kgym.envs.mixture import members
from kgym.envs.spec import EnvSpec
from kgym.errors import ConfigError, UnknownName
from kgym.keys import load_config, to_toml
from kgym.rollout.groups import Rollouts, Stream
from kgym.runs.folder import RunFolder
from kgym.runs.manifest import specs_of
from kgym.runs.metrics import CLOCK, read_metrics
from kgym.supervised_config import PairsConfig
from kgym.train.rl.components import with_defaults
from kgym.train.rl.ptx import pretraining_examples
from kgym.train.rl.recipe import with_recipe
from kgym.train.supervised.comparisons import stored_comparisons
from kgym.types import Message, Problem, Sampling, UpdatePlan
from kgym_plugins.samplers.uniform import Uniform

SOURCE = EnvSpec("arithmetic").setup()
SMALL = ("rollout.problems_per_step=3", "rollout.group_size=4", "train.threads=1", "eval.problems=10", "eval.every=2")
SUMS = ("envs.sums.name=arithmetic", "envs.sums.weight=2", "envs.sums.max_tokens=30", "envs.sums.sampler=curriculum")
AIME = ("envs.aime.max_tokens=45", "envs.aime.truncated=score", "envs.aime.verifier=math")


def train(run, *settings, steps=1, status=0, words=()):
    command = ["train", *words, "--algo", "grpo", "--steps", str(steps), "--run", str(run), "--json"]
    assert main([*command, "--set", *SMALL, *settings]) == status
    return run


def rows_of(run):
    return [row for file in sorted((run / "episodes").glob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def lines_of(run):
    return [
        {key: value for key, value in line.items() if not key.startswith(CLOCK)}
        for line in read_metrics(run / "metrics.jsonl")
    ]


# --- the configuration ------------------------------------------------------------------------------------------------


def test_a_label_is_a_component_with_its_own_verifier_and_sampler(tmp_path):
    config = load_config(None, [*SUMS, *AIME, "sampler=prioritized", "verifier.limits.deadline_s=3", "algo=dapo"])
    sums, aime = members(config)
    assert (sums.label, sums.spec.name, sums.weight, sums.sampler.name) == ("sums", "arithmetic", 2.0, "curriculum")
    assert (aime.label, aime.spec.name, aime.weight, aime.sampler.name) == ("aime", "aime", 1.0, "prioritized")
    assert sums.spec.settings == {"max_tokens": 30, "verifier_limits": {"deadline_s": 3.0}}
    assert aime.spec.settings == {"max_tokens": 45, "truncated": "score", "verifier": "math"}
    full = with_defaults(with_recipe(config))
    assert [member.spec.settings["truncated"] for member in members(full)] == [
        "mask",
        "score",
    ]  # the recipe, unless it is set
    assert full.shapers["overlong"]["max_tokens"] == 45
    assert (with_defaults(full), with_recipe(full)) == (full, full)
    assert RunConfig.model_validate(json.loads(full.model_dump_json())) == full
    (tmp_path / "run.toml").write_text(to_toml(full))
    assert with_defaults(load_config(tmp_path / "run.toml")) == full


def test_without_labels_a_run_has_its_one_environment():
    (only,) = members(load_config(None, ["env.name=arithmetic", "env.max_tokens=5"]))
    assert (only.label, only.title, only.key, only.spec) == (
        "",
        "arithmetic",
        "env",
        EnvSpec("arithmetic", "train", {"max_tokens": 5}),
    )


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        (
            ("envs.a.name=aime", "env.difficulty=2"),
            ConfigError,
            "env and envs are both set; a run with several environments has envs",
        ),
        (("envs.a.weight=0",), ConfigError, "envs.a.weight=0: must be greater than 0"),
        (("envs.a.b={}", "envs.a.sampler.x=[inf]"), ConfigError, "envs.a.sampler.options="),
        (("envs.'a'={}",), ConfigError, "is not a label of letters, digits, - and _"),
        (("envs.a.sampler=3", "envs.a.split=2024"), None, ""),
    ],
)
def test_what_is_wrong_with_a_label_is_said(settings, error, said):
    if error is None:
        (member,) = members(load_config(None, settings))
        assert (member.spec.split, member.sampler.name) == ("2024", "3")
    else:
        with pytest.raises(error) as caught:
            load_config(None, settings)
        assert said in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "error", "said"),
    [
        ("envs.a.dificulty=2", UnknownName, "no key named 'envs.a.dificulty'; did you mean 'envs.a.difficulty'?"),
        ("envs.a.max_tokens=0", ConfigError, "envs.a.max_tokens=0: must be greater than or equal to 1"),
        (
            "envs.a.verifier_limits.workers=1",
            ConfigError,
            "envs.a.verifier_limits is not a key of this command; use verifier.limits.KEY",
        ),
    ],
)
def test_an_option_is_named_by_its_key(setting, error, said):
    with pytest.raises(error) as caught:
        with_defaults(with_recipe(load_config(None, ["envs.a.name=aime", "envs.b.name=gsm8k", setting])))
    assert str(caught.value) == said


def test_ptx_mixes_the_worked_solutions_of_all_environments():
    settings = [
        "ptx.coef=1",
        "envs.sums.name=arithmetic",
        "envs.sums.weight=3",
        "envs.aime={}",
        "envs.sums.prompt=Sum: {question}",
    ]
    examples = pretraining_examples(load_config(None, settings))
    drawn = [examples(n) for n in range(200)]
    n_sums = sum(example.prompt[-1].content.startswith("Sum: ") for example in drawn)
    assert 120 < n_sums < 180
    assert drawn == [examples(n) for n in range(200)]


# --- runs -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(tmp_path_factory.mktemp("mixture") / "run", *SUMS, *AIME, steps=3)


def test_groups_are_of_one_environment_and_in_proportion_to_the_weights(run):
    rows = rows_of(run)
    by_problem = Counter((row["env"], row["problem_id"].split("/")[0], row["problem_id"]) for row in rows)
    assert {(label, env) for label, env, _ in by_problem} == {("sums", "arithmetic"), ("aime", "aime")}
    assert all(n % 4 == 0 for n in by_problem.values())
    assert Counter(row["env"] for row in rows) == {"sums": 24, "aime": 12}  # 2 to 1 of nine groups of four
    for number in (1, 2, 3):
        step = pq.read_table(run / f"episodes/step-{number:05d}.parquet").to_pylist()
        assert Counter(row["env"] for row in step) == {"sums": 8, "aime": 4}


def test_each_environment_has_its_budget_its_verifier_and_its_rule(run):
    longest = {label: max(row["tokens"] for row in rows_of(run) if row["env"] == label) for label in ("sums", "aime")}
    assert longest["sums"] <= 30 < longest["aime"] <= 45
    manifest = RunFolder(run).read_manifest()
    assert {label: facts["verifier"] for label, facts in manifest["env"].items()} == {"sums": "integer", "aime": "math"}
    assert {label: facts["max_tokens"] for label, facts in manifest["validation"].items()} == {"sums": 30, "aime": 45}
    assert {label: spec.settings["truncated"] for label, spec in specs_of(manifest).items()} == {
        "sums": "zero",
        "aime": "score",
    }
    assert "env" not in manifest["config"]


def test_figures_are_by_environment_and_in_all(run):
    lines = read_metrics(run / "metrics.jsonl")
    assert [line["step"] for line in lines] == [0, 1, 2, 3]
    for line in lines[1:]:
        assert (line["env/sums/groups"], line["env/aime/groups"]) == (2.0, 1.0)
        for name, own in (
            ("reward/mean", "reward_mean"),
            ("episode/tokens_mean", "tokens_mean"),
            ("episode/truncated_frac", "truncated_frac"),
        ):
            assert line[name] == pytest.approx((2 * line[f"env/sums/{own}"] + line[f"env/aime/{own}"]) / 3)
        assert {"correct_frac", "unscored_frac", "no_answer_frac", "informative_frac"} <= {
            key.rpartition("/")[2] for key in line if key.startswith("env/aime/")
        }
    assert 0 < lines[0]["eval/accuracy"] < 1
    for line in (lines[0], lines[2], lines[3]):
        assert line["eval/accuracy"] == pytest.approx((line["eval/sums/accuracy"] + line["eval/aime/accuracy"]) / 2)
        assert line["eval/stderr"] > 0
    results = json.loads((run / "eval/sums/step-00003.json").read_text())
    assert results["accuracy"] == lines[3]["eval/sums/accuracy"]
    assert not list((run / "eval").glob("*.json"))


def test_the_end_says_what_was_gained_in_each_and_in_all(run, capsys):
    summary = json.loads((run / "summary.json").read_text())
    assert set(summary["environments"]) == {"sums", "aime"}
    own = [summary["environments"][label] for label in ("sums", "aime")]
    assert summary["n_problems"] == sum(each["n_problems"] for each in own) == 20
    assert summary["gain"] == pytest.approx(sum(each["gain"] for each in own) / 2)
    assert main(["runs", "show", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["what"] == "train sums and aime with grpo from nano"


def test_a_resumed_run_is_the_straight_one(tmp_path, run):
    broken = train(tmp_path / "broken", *SUMS, *AIME, "train.save_every=1", steps=2)
    assert main(["train", "--resume", "--run", str(broken), "--steps", "3", "--json"]) == 0
    assert lines_of(broken) == lines_of(run)
    assert (
        json.loads((broken / "summary.json").read_text())["gain"]
        == json.loads((run / "summary.json").read_text())["gain"]
    )
    assert (
        main(["train", "--resume", "--run", str(broken), "--steps", "4", "--set", "envs.sums.weight=1", "--json"]) == 2
    )


def test_two_environments_of_the_command_line(tmp_path, capsys):
    words = ("--env", "arithmetic", "--env", "kgym/aime-v1")
    run = train(tmp_path / "run", "envs.arithmetic.max_tokens=6", "envs.kgym-aime-v1.max_tokens=6", words=words)
    assert set(specs_of(RunFolder(run).read_manifest())) == {"arithmetic", "kgym-aime-v1"}
    err = capsys.readouterr().err
    assert "environment kgym-aime-v1: kgym/aime-v1, split train, verifier integer, 6 tokens a completion" in err
    assert err.count("next        kgym eval") == 2


@pytest.mark.parametrize(
    ("words", "settings", "said"),
    [
        (("--env", "aime", "--env", "arithmetic"), ("env.difficulty=2",), "env and envs are both set"),
        (
            ("--env", "aime", "--env", "aime"),
            (),
            "--env aime is given twice; give them labels: --set envs.LABEL.name=aime",
        ),
        (
            (),
            ("envs.a.name=arithmetic", "envs.b.name=arithmetic", "envs.b.split=validation"),
            "envs.b.split=validation has problems of",
        ),
        (("--env", "aime", "--env", "airth"), (), "no environment named 'airth'"),
        (
            ("--bench", "gsm8k-style"),
            ("envs.gsm8k-style.name=gsm8k", "envs.aime={}"),
            "--bench gsm8k-style and the environment 'gsm8k-style' would both be kept in eval/gsm8k-style",
        ),
    ],
)
def test_what_cannot_be_is_one_line_and_nothing_is_written(tmp_path, capsys, words, settings, said):
    train(tmp_path / "run", *settings, words=words, status=2)
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_carried_episodes_come_back_to_their_environment(tmp_path):
    carried = (
        "rollout.schedule=partial",
        "rollout.oversample=1.5",
        "rollout.step_tokens=150",
        "rollout.old_tokens=correct",
    )
    settings = (*SUMS, *AIME, *carried, "train.save_every=1", "eval.every=0")
    straight = train(tmp_path / "straight", *settings, steps=4)
    broken = train(tmp_path / "broken", *settings, steps=2)
    assert main(["train", "--resume", "--run", str(broken), "--steps", "4", "--json"]) == 0
    assert lines_of(broken) == lines_of(straight)
    assert any(line["rollout/carried"] > 0 for line in lines_of(straight))
    for row in rows_of(broken):
        assert row["problem_id"].startswith({"sums": "arithmetic/", "aime": "aime/"}[row["env"]])


def test_stored_completions_are_compared_after_the_prompt_of_their_environment(tmp_path):
    prompts = (
        "envs.sums.prompt=Sum: {question}",
        "rollout.group_size=8",
        "envs.aime.max_tokens=120",
        "envs.aime.weight=4",
    )
    run = train(tmp_path / "run", *SUMS, *AIME, *prompts, "eval.every=0", steps=2)
    setup = EnvSpec("aime").setup()
    known = {row["question"]: row["env"] for row in rows_of(run)}
    found = stored_comparisons(run, PairsConfig(), seed=0)
    assert "aime" in {known[comparison.question] for comparison in found}
    for comparison in found:
        problem = Problem(id="", question=comparison.question, gold=comparison.gold)
        own = {"aime": setup.prompt(problem), "sums": (Message("user", f"Sum: {comparison.question}"),)}
        assert comparison.prompt == own[known[comparison.question]]


def test_a_page_counts_each_completion_by_the_rule_of_its_environment(run, tmp_path):
    assert main(["runs", "view", str(run), "--output", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "trained on sums and aime" in page


def test_prompts_that_are_too_long_are_named_by_environment(tmp_path, monkeypatch, capsys, tiny_model):
    monkeypatch.setenv("KGYM_DATA_DIR", str(tmp_path / "data"))
    rows = [{"question": "What is 1+1? " * (400 if n == 0 else 1) + str(n), "answer": "2"} for n in range(40)]
    (tmp_path / "some.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["data", "add", "some", str(tmp_path / "some.jsonl")]) == 0
    settings = (
        "envs.mine.name=data",
        "envs.mine.dataset=some",
        "envs.mine.validation_frac=0",
        "envs.sums.name=arithmetic",
    )
    small = ("envs.sums.max_tokens=4", "envs.mine.max_tokens=4", "eval.every=0")
    train(tmp_path / "run", *settings, *small, words=("--model", str(tiny_model)))
    assert "mine:train: 1 prompt leaves no room for a completion" in capsys.readouterr().err


@given(st.lists(st.integers(1, 9), min_size=2, max_size=5), st.lists(st.integers(1, 7), min_size=1, max_size=30))
@limits(max_examples=60, deadline=None)
def test_shares_follow_the_weights_however_the_groups_are_asked_for(weights, asked):
    streams = [
        Stream(SOURCE, Uniform(Uniform.Options(), SOURCE.source, n), str(n), weight) for n, weight in enumerate(weights)
    ]
    rollouts = Rollouts(streams, [], UpdatePlan(), problems_per_step=1, group_size=1, sampling=Sampling(), seed=0)
    chosen = Counter(stream.label for n in asked for stream, _ in rollouts._next(n, 1))
    for n, weight in enumerate(weights):
        assert abs(chosen[str(n)] - sum(asked) * weight / sum(weights)) < len(weights) - 1 + 1e-9
    again = [
        Stream(SOURCE, Uniform(Uniform.Options(), SOURCE.source, n), str(n), weight) for n, weight in enumerate(weights)
    ]
    at_once = Rollouts(again, [], UpdatePlan(), problems_per_step=1, group_size=1, sampling=Sampling(), seed=0)
    assert chosen == Counter(stream.label for stream, _ in at_once._next(sum(asked), 1))
