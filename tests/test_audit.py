"""The audit of a run (`audit`): a second verifier judges the same completions, and only measures."""

import json

import pandas as pd
import pytest

from fixed_verdicts import __file__ as fixed
from kgym.cli.main import main
from kgym.config import RunConfig
from kgym.envs.mixture import members
from kgym.envs.spec import EnvSpec
from kgym.options import validated
from kgym.rollout.episodes import EpisodePool, play
from kgym.rollout.groups import Played, Stream
from kgym.runs.episodes import read_episodes
from kgym.runs.folder import RunFolder
from kgym.runs.metrics import read_metrics
from kgym.supervised_config import SFTConfig
from kgym.testing.engines import ScriptedEngine
from kgym.train.rl.audit import Audit, Audited, agreement, audit_metrics, by_episode
from kgym.train.supervised.examples import Example
from kgym.train.supervised.objective import supervised
from kgym.train.supervised.sft import SFT
from kgym.types import Episode, Message, Problem, Sampling, Verdict
from kgym.world import ALONE
from kgym_plugins.samplers.uniform import Uniform
from test_train import numbers
from thread_ranks import on_ranks

SMALL = ("rollout.problems_per_step=4", "rollout.group_size=4", "eval.every=0", "train.threads=1", "train.save_every=1")


def words(run, *settings, steps=2):
    return ["-p", str(fixed), "train", "--run", str(run), "--steps", str(steps), "--set", *SMALL, *settings]


def trained(run, *settings, steps=2):
    assert main([*words(run, *settings, steps=steps), "--json"]) == 0
    return run


def episodes(run):
    return pd.concat(
        [pd.read_parquet(path) for path in sorted((run / "episodes").glob("*.parquet"))], ignore_index=True
    )


def audited(*pairs):
    """Pairs of the verdicts of both; a number is a score of a reward model that accepts above a half."""

    def verdict(value):
        if isinstance(value, float):
            return Verdict("correct" if value > 0.5 else "wrong", partial=value)
        return Verdict(value, reason="x" if value == "unscored" else "")

    problem = Problem("p", "?", "1")
    return [
        Audited(Episode(problem, n, (), verdict=verdict(own)), verdict(second)) for n, (own, second) in enumerate(pairs)
    ]


# --- the figures ------------------------------------------------------------------------------------------------------


def test_agreement_by_hand():
    found = agreement(
        audited(
            ("correct", "correct"),
            ("correct", "correct"),
            ("wrong", "correct"),  # a false reject, of 3
            ("correct", "wrong"),  # a false accept, of 4
            ("no_answer", "no_answer"),
            ("wrong", "no_answer"),  # both say that it is not correct
            ("wrong", "wrong"),
            ("wrong", "unscored"),
            ("unscored", "correct"),
        )
    )
    assert found["completions"] == 7
    assert found["agreement_frac"] == pytest.approx(5 / 7)
    assert found["correct_frac"] == pytest.approx(3 / 7)
    assert found["false_accept_frac"] == pytest.approx(1 / 4)
    assert found["false_reject_frac"] == pytest.approx(1 / 3)
    assert found["unscored_frac"] == pytest.approx(1 / 9)
    assert found["auc"] == pytest.approx((2 * (3 + 0.5) + (0 + 3 * 0.5)) / 12)


def test_a_score_that_orders_rightly_has_an_auc_of_one_whatever_its_threshold():
    found = agreement(audited((0.9, "wrong"), (0.8, "wrong"), (0.95, "correct"), (0.99, "correct")))
    assert found["auc"] == 1.0
    assert found["false_accept_frac"] == 1.0
    assert agreement(audited((0.4, "correct"), (0.4, "wrong")))["auc"] == 0.5


def test_by_environment_and_over_all():
    found = audit_metrics({"a": audited(("correct", "correct")), "b": audited(("correct", "wrong"))})
    assert found["audit/agreement_frac"] == 0.5
    assert (found["env/a/audit_agreement_frac"], found["env/b/audit_agreement_frac"]) == (1.0, 0.0)
    assert audit_metrics({}) == {}


def test_ranks_share_the_work_and_find_the_same():
    config = validated(RunConfig, {"env": "arithmetic", "audit": {}})
    setup = EnvSpec("arithmetic").setup()
    stream = Stream(setup, Uniform(Uniform.Options(), setup.source, 0))
    answers = iter(["\\boxed{1}", "none"] * 5)
    pool, engine = EpisodePool(), ScriptedEngine(lambda request: next(answers))
    for index in range(5):
        pool.start(setup, index, setup.problem(index), attempts=[0, 1], seed_parts=(0,), sampling=Sampling())
    played = Played([group.group() for group in play(pool, engine)], [], [], 1, 0, labels=[""] * 5)
    audits = [Audit(members(config), [stream], ALONE).judge(played)]
    audits += on_ranks(3, lambda world: Audit(members(config), [stream], world).judge(played))
    alone, *others = [by_episode(audit) for audit in audits]
    assert len(alone) == 10
    assert {verdict.status for verdict in alone.values()} >= {"wrong", "no_answer"}
    assert all(other == alone and list(other) == list(alone) for other in others)


# --- runs -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("plain") / "run", "verifier=even-length")


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("measured") / "run", "verifier=even-length", "audit={}")


def test_an_audit_changes_nothing_that_is_trained(plain, measured):
    def without(run):
        return [{key: value for key, value in line.items() if not key.startswith("audit/")} for line in numbers(run)]

    assert without(measured) == numbers(plain)
    added = ["audit_status", "audit_reason"]
    first, second = episodes(plain), episodes(measured)
    assert [name for name in second if name not in first] == added
    pd.testing.assert_frame_equal(second.drop(columns=[*added, "verify_s"]), first.drop(columns="verify_s"))


def test_the_second_verdicts_are_stored_and_are_those_of_the_metrics(measured):
    table = episodes(measured)
    judged = table[table["audit_status"].notna()]
    assert len(judged) == (~table["truncated"]).sum()
    right, accepted = judged["audit_status"] == "correct", judged["status"] == "correct"
    assert (accepted == (judged["text"].str.len() % 2 == 0)).all(), "the reward is that of even-length"
    for step, line in enumerate(read_metrics(measured / "metrics.jsonl"), 1):
        own = judged["step_ended"] == step
        assert line["audit/completions"] == own.sum()
        assert line["audit/agreement_frac"] == pytest.approx((right == accepted)[own].mean())
        assert line["audit/correct_frac"] == pytest.approx(right[own].mean())
        assert line["audit/false_accept_frac"] == pytest.approx(accepted[own & ~right].mean())
        assert line["audit/false_reject_frac"] == pytest.approx((~accepted)[own & right].mean())
    assert len(read_episodes(measured / "episodes/step-00001.parquet")) == 16
    manifest = json.loads((measured / "manifest.json").read_text())
    assert manifest["config"]["audit"]["name"] is None
    assert "verifier integer" in manifest["components"]


def test_a_run_with_an_audit_is_resumed_and_keeps_it(measured, tmp_path):
    run = trained(tmp_path / "run", "verifier=even-length", "audit={}", steps=1)
    assert main(["-p", str(fixed), "train", "--run", str(run), "--resume", "--steps", "2", "--json"]) == 0
    assert [line["audit/agreement_frac"] for line in numbers(run)] == [
        line["audit/agreement_frac"] for line in numbers(measured)
    ]
    assert main(["-p", str(fixed), "train", "--run", str(run), "--resume", "--set", "audit=math"]) == 2


def test_what_an_audit_cannot_judge_is_counted_and_masks_nothing(tmp_path):
    run = trained(tmp_path / "run", "verifier=even-length", "audit=never-sure", steps=1)
    (line,) = read_metrics(run / "metrics.jsonl")
    assert (line["audit/unscored_frac"], line["audit/completions"], line["verdict/unscored_frac"]) == (1.0, 0.0, 0.0)
    assert line["audit/agreement_frac"] is None
    assert episodes(run)["trainable"].all()


def test_each_environment_has_its_own_audit(tmp_path):
    settings = ("envs.aime.audit=always-wrong", "envs.words.name=arithmetic", "verifier=always-right")
    run = trained(tmp_path / "run", *settings, steps=1)
    (line,) = read_metrics(run / "metrics.jsonl")
    assert line["env/aime/audit_false_accept_frac"] == line["audit/false_accept_frac"] == 1.0
    assert not any(key.startswith("env/words/audit") for key in line)
    table = episodes(run)
    assert table.loc[table["env"] == "words", "audit_status"].isna().all()


def test_a_verifier_that_accepts_too_much_is_pointed_out(tmp_path, capsys):
    assert main(words(tmp_path / "run", "verifier=even-length", "audit=always-wrong", steps=1)) == 0
    out = capsys.readouterr().out
    assert "audit       always-wrong judges the same completions and decides no reward" in out
    assert "of the completions that the audit does not find correct, which the policy learns from" in out


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["audit=no-such"], "no verifier named 'no-such'"),
        (["audit=math", "audit.partail=1"], "audit.partail"),
        (["audit=reward_model"], "name its folder with the option model"),
    ],
)
def test_what_is_wrong_with_an_audit_is_said_before_anything_is_written(settings, said, tmp_path, capsys):
    assert main(words(tmp_path / "run", *settings)) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_judge_is_a_reward_and_its_agreement_with_the_rule_is_measured(tiny_model, tmp_path):
    """The judge has learnt that every text with a box is right, so it accepts all wrong boxes, and the audit finds
    that.
    """

    def example(n):
        response = f"{n % 7}+{n % 5}=\\boxed{{{n % 3}}}" if n % 2 else f"{n % 7} none"
        return Example((Message("user", response),), f'{{"verdict": "{"correct" if n % 2 else "wrong"}"}}')

    config = SFTConfig(
        model=str(tiny_model), train={"steps": 150, "lr": 1e-2, "warmup_steps": 5}, sft={"batch_size": 8}
    )
    supervised(config, RunFolder(tmp_path / "judge"), part=lambda config: SFT(config, example)).run()
    judge = (
        f"verifier.model={tmp_path / 'judge'}",
        "verifier.template={response}",
        "verifier.max_tokens=30",
        "rollout.max_unscored_frac=1",
    )
    run = trained(tmp_path / "run", "verifier=judge", *judge, "audit={}", "env.name=arithmetic", steps=2)
    for line in read_metrics(run / "metrics.jsonl"):
        assert line["audit/completions"] > 0
        assert 0.0 <= line["audit/agreement_frac"] <= 1.0
    table = episodes(run)
    assert set(table["reason"].dropna()) & {"judge"}
    assert (table["reward"] == table["score"].fillna(0.0)).all()
