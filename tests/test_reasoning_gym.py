"""The family `rg` against the real package reasoning-gym; `benchmarks/rg_sets.py` checks every one of its data sets."""

import json

import pytest

from kgym.cli.main import main
from kgym.envs.env import ReasoningEnv
from kgym.envs.spec import EnvSpec
from kgym.errors import ConfigError, UnknownName
from kgym.limits import PoolLimits
from kgym.registry import registry
from kgym.testing.envs import check_environment
from kgym.testing.kits import check
from kgym.types import Segment, VerifyItem
from kgym.verify.service import load_verifier

pytest.importorskip("reasoning_gym")

LIMITS = PoolLimits(workers=1, deadline_s=60)  # of a busy machine


def problem(name, index=0, split="train", **settings):
    return EnvSpec(name, split, settings).setup().problem(index)


def verdicts(found, *answers, limits=LIMITS):
    items = [VerifyItem(found.gold, f"So <answer>{answer}</answer>") for answer in answers]
    return load_verifier("reasoning_gym", limits=limits).verify_many(items)


def test_a_data_set_keeps_the_contract():
    check_environment("rg:chain_sum", options={"max_digits": 2, "verifier_limits": LIMITS.model_dump()}, sample=10)
    check("family", "rg")


def test_every_data_set_has_its_options():
    members = registry().create("family", "rg").members()
    assert len(members) > 100
    for member in members:
        options = registry().options("environment", f"rg:{member}")
        again = registry().options("environment", f"rg:{member}", json.loads(options.model_dump_json()))
        assert again.model_dump_json() == options.model_dump_json()


def test_options_are_those_of_the_configuration():
    assert problem("rg:chain_sum", min_terms=2, max_terms=2, max_digits=1).question.count(" + ") <= 1
    easy, hard = (problem("rg:chain_sum", curriculum_level=level, size=50) for level in (0, 3))
    assert json.loads(easy.gold)["config"] != json.loads(hard.gold)["config"]
    assert easy.id != hard.id
    own = json.loads(problem("rg:chain_sum", curriculum_level=3, max_terms=40).gold)["config"]
    assert own["max_terms"] == 40
    both = problem("rg:composite", datasets=[{"name": "chain_sum", "weight": 1, "config": {"max_terms": 3}}])
    assert json.loads(both.gold)["config"]["datasets"][0]["config"] == {"max_terms": 3}


@pytest.mark.parametrize(
    ("name", "settings", "error", "message"),
    [
        ("rg:chainsum", {}, UnknownName, "did you mean 'rg:chain_sum'"),
        ("rg:chain_sum", {"max_term": 3}, UnknownName, "did you mean 'env.max_terms'"),
        (
            "rg:chain_sum",
            {"min_terms": 9},
            ConfigError,
            "rg:chain_sum.*refuses these options: max_terms must be >= min_terms",
        ),
        ("rg:chain_sum", {"min_terms": "many"}, ConfigError, "env.min_terms='many'"),
        ("rg:acre", {"curriculum_level": 1}, ConfigError, "rg:acre has no curriculum"),
        ("rg:composite", {}, ConfigError, "at least one dataset"),
    ],
)
def test_what_cannot_be(name, settings, error, message):
    with pytest.raises(error, match=message):
        EnvSpec(name, "train", settings).setup()


@pytest.mark.parametrize("name", ["knight_swap", "word_ladder"])
def test_data_sets_that_depend_on_the_order_of_sets_need_one(name, monkeypatch):
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    with pytest.raises(ConfigError, match=f"rg:{name} draws from sets.*set PYTHONHASHSEED=0"):
        EnvSpec(f"rg:{name}").setup()
    fingerprints = set()
    for seed in ("0", "1"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        fingerprints.add(EnvSpec(f"rg:{name}").facts()["data_sha256"])
    assert len(fingerprints) == 2


def test_an_integral_is_judged_by_its_derivative():
    found = problem("rg:intermediate_integration", size=200)
    (verdict,) = verdicts(found, json.loads(found.gold)["answer"])
    assert verdict.status == "correct"


def test_splits_share_no_question_even_of_a_small_set():
    """`coin_flip` with these options has 30 questions in all."""
    few = {"min_trials": 3, "max_trials": 4, "size": 100}
    asked = {
        split: {problem("rg:coin_flip", index, split, **few).question for index in range(100)}
        for split in ("train", "validation")
    }
    assert asked["train"]
    assert asked["validation"]
    assert not asked["train"] & asked["validation"]


def test_a_partial_score_is_the_reward():
    env = ReasoningEnv("rg:chain_sum", verifier_limits=LIMITS.model_dump())
    env.reset(options={"index": 1})
    answer = json.loads(env.episode.problem.gold)["answer"]
    env.step(Segment(f"<answer>{answer}{'?' * len(answer)}</answer>", token_ids=[1], engine_logprobs=[0.0]))
    assert (env.episode.verdict.status, env.episode.verdict.partial, env.episode.reward) == ("wrong", 0.5, 0.5)


def test_answers_are_found_in_tags_and_boxes():
    found = problem("rg:chain_sum")
    answer = json.loads(found.gold)["answer"]
    texts = {
        f"<answer>0</answer> no: <answer> {answer} </answer>": "correct",
        rf"\boxed{{{answer}}}": "correct",
        f"<answer>{answer}": "no_answer",
        f"<think><answer>{answer}</answer>": "no_answer",
        answer: "no_answer",
    }
    judged = load_verifier("reasoning_gym", limits=LIMITS).verify_many([VerifyItem(found.gold, text) for text in texts])
    assert [verdict.status for verdict in judged] == list(texts.values())


@pytest.mark.parametrize("name", ["graph_color", "propositional_logic", "rubiks_cube"])
def test_data_sets_without_an_answer_have_one_among_their_metadata(name):
    found = problem(f"rg:{name}", size=20)
    (verdict,) = verdicts(found, json.loads(found.gold)["answer"])
    assert verdict.status == "correct"


def test_no_scorer_runs_what_a_model_has_written(tmp_path):
    """The scorer of `string_insertion` calls `eval`, in the presence of the gold answer; that of `countdown` sympy's
    `parse_expr`.
    """
    mark = tmp_path / "ran"
    shell = f"__import__('os').system('touch {mark}')"
    insertion, countdown = problem("rg:string_insertion"), problem("rg:countdown")
    right = json.loads(insertion.gold)["answer"]
    found = verdicts(insertion, "entry['answer']", shell, f"[{shell}]", str(list(right)), right)
    assert [verdict.score for verdict in found] == [
        0,
        0,
        0,
        0.1,
        1,
    ]  # the scorer gives a tenth for a list of the right characters
    found = verdicts(countdown, shell, "S('1')", "(1).__class__", json.loads(countdown.gold)["answer"])
    assert [verdict.status for verdict in found] == ["wrong", "wrong", "wrong", "correct"]
    assert not mark.exists()


def test_a_scorer_that_hangs_is_killed():
    found = problem("rg:countdown")
    limits = PoolLimits(workers=1, deadline_s=5)
    verdicts(found, "1", limits=PoolLimits(workers=1, deadline_s=60))  # the package is loaded
    hung, right = verdicts(found, "9**9**9**9", json.loads(found.gold)["answer"], limits=limits)
    assert hung.label in ("unscored:timeout", "unscored:memory", "unscored:cpu")
    assert right.status == "correct"


def test_a_gold_answer_of_another_version_is_unscored():
    found = problem("rg:chain_sum")
    changed = VerifyItem(json.dumps(json.loads(found.gold) | {"answer": "0"}), "<answer>0</answer>")
    (verdict,) = load_verifier("reasoning_gym", limits=LIMITS).verify_many([changed])
    assert verdict.label == "unscored:error:DataError"


@pytest.mark.slow
def test_train_resume_eval_and_commands(tmp_path, capsys):
    run, options = (
        str(tmp_path / "run"),
        ["rollout.problems_per_step=2", "rollout.group_size=2", "eval.problems=2", "env.max_tokens=24"],
    )
    train = ["train", "--env", "rg:chain_sum", "--run", run, "--set", *options, "env.max_terms=2"]
    assert main([*train, "--steps", "1"]) == 0
    assert main(["train", "--resume", "--run", run, "--steps", "2"]) == 0
    spec = json.loads((tmp_path / "run" / "manifest.json").read_text())["env"]
    assert "rg/chain_sum-v0" in json.dumps(spec)
    scored = tmp_path / "scored"
    bench = [
        "eval",
        "--bench",
        "rg:chain_sum:validation",
        "--problems",
        "2",
        "--run",
        str(scored),
        "--set",
        "env.max_terms=2",
    ]
    assert main([*bench, "env.max_tokens=24", "--json"]) == 0
    capsys.readouterr()
    assert main(["envs", "list", "--json"]) == 0
    assert "rg:NAME" in [row["name"] for row in json.loads(capsys.readouterr().out)]
    assert main(["envs", "list", "rg", "--json"]) == 0
    assert "rg:countdown" in json.loads(capsys.readouterr().out)
