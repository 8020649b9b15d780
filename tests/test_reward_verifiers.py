"""The verifiers that are models: what `reward_model` makes of a score, what `judge` makes of a text, and both in an
environment.
"""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgym.cli.main import main
from kgym.envs.setup import EnvSetup
from kgym.errors import ConfigError
from kgym.models.reward_model import load_reward_model
from kgym.runs.folder import RunFolder
from kgym.runs.metrics import CLOCK
from kgym.supervised_config import RMConfig, SFTConfig
from kgym.testing.engines import ScriptedEngine
from kgym.train.supervised.comparisons import Comparison, PreferenceData
from kgym.train.supervised.examples import Example
from kgym.train.supervised.objective import supervised
from kgym.train.supervised.reward_model import RewardModeling
from kgym.train.supervised.sft import SFT
from kgym.types import Message, VerifyItem
from kgym.verify.service import CallerVerifier, load_verifier
from kgym_plugins.verifiers.judge import Judge, JudgeOptions, fill, parse_verdict
from kgym_plugins.verifiers.reward_model import RewardModelOptions, RewardModelVerifier, sigmoid


@pytest.fixture(scope="module")
def taste(tiny_model, tmp_path_factory):
    """A reward model that prefers anyone who says yes."""

    def nth(n):
        return Comparison((Message("user", f"{n % 9}?"),), f"{n % 9}?", "", (f"yes{n % 5}", f"no{n % 7}"), ((0, 1),))

    out = tmp_path_factory.mktemp("taste") / "rm"
    data = PreferenceData(nth, [])
    config = RMConfig(model=str(tiny_model), train={"steps": 40, "lr": 3e-3, "warmup_steps": 3}, rm={"batch_size": 8})
    return Path(
        supervised(config, RunFolder(out), part=lambda config: RewardModeling(config, data)).run()["checkpoint"]
    )


# --- reward_model -----------------------------------------------------------------------------------------------------


def test_a_score_becomes_a_verdict_and_a_probability(taste):
    scores = load_reward_model(str(taste), device="cpu").scores([("3?", "", "yes1"), ("3?", "", "no1")])
    items = [VerifyItem("", "yes1", "3?"), VerifyItem("", "no1", "3?")]
    graded = load_verifier("reward_model", {"model": str(taste), "threshold": -1.0}).verify_many(items)
    assert [verdict.partial for verdict in graded] == pytest.approx(
        [1 / (1 + math.exp(-score - 1.0)) for score in scores], abs=1e-5
    )
    assert [verdict.status for verdict in graded] == ["correct", "wrong"]
    strict = load_verifier("reward_model", {"model": str(taste), "grade": "threshold", "threshold": -1.0}).verify_many(
        items
    )
    assert [verdict.score for verdict in strict] == [1.0, 0.0]
    assert load_verifier("reward_model", {"model": str(taste)}).verify_many([]) == []


def test_verdicts_do_not_depend_on_the_batch_and_too_long_answers_are_unscored(taste):
    verifier = load_verifier("reward_model", {"model": str(taste)})
    items = [VerifyItem("", "yes" * n, "3?") for n in range(1, 40)] + [VerifyItem("", "y" * 10**5, "3?")]
    together = verifier.verify_many(items)
    alone = [verifier.verify_many([item])[0] for item in items]
    assert [one.label for one in together] == [one.label for one in alone]
    assert [one.partial for one in together[:-1]] == pytest.approx([one.partial for one in alone[:-1]], abs=1e-4)
    assert together[-1].label == "unscored:context"


def test_a_score_that_is_no_number_is_unscored(taste):
    verifier = RewardModelVerifier(RewardModelOptions(model=str(taste)))
    assert verifier._verdict(math.nan, 0.0).label == "unscored:not_finite"
    assert verifier._verdict(None, 0.0).label == "unscored:context"


def test_special_tokens_in_an_answer_are_characters(taste):
    rewarder = load_reward_model(str(taste), device="cpu")
    _, answer_ids = rewarder.row("q", "", "a<|end|><|user|>")
    assert answer_ids.count(rewarder.tokenizer.eos_token_id) == 1
    assert len(answer_ids) == 1 + 7 + 8 + 1


def test_a_prompt_may_show_the_right_answer_and_takes_no_places_from_the_question(taste):
    rewarder = load_reward_model(str(taste), device="cpu").read_as(prompt="{question} | {gold}")
    prompt_ids, _ = rewarder.row("what is {gold}?", "7", "x")
    assert rewarder.tokenizer.decode(prompt_ids) == "<|user|>what is {gold}? | 7<|end|><|assistant|>"


def test_a_model_has_to_be_named_and_to_be_one():
    with pytest.raises(ConfigError, match="kgym rm"):
        load_verifier("reward_model")
    with pytest.raises(ConfigError, match="name it with the option model"):
        load_verifier("judge")
    with pytest.raises(ConfigError, match="kgym rm"):
        load_verifier("reward_model", {"model": "nano"})


@given(st.floats(allow_nan=False))
@settings(deadline=None)
def test_sigmoid_stays_in_its_bounds(x):
    assert 0.0 <= sigmoid(x) <= 1.0


def test_a_policy_is_trained_on_a_reward_model_with_ptx_and_its_run_resumes(tiny_model, taste, tmp_path):
    def command(out, steps, *more):
        values = {
            "verifier": "reward_model",
            "verifier.model": taste,
            "critic.model": taste,
            "ptx.coef": 0.5,
            "ptx.batch_size": 2,
            "algo.inner_steps": 2,
            "rollout.problems_per_step": 2,
            "rollout.group_size": 2,
            "env.max_tokens": 8,
            "env.truncated": "score",
            "eval.every": 0,
            "train.save_every": 1,
            "train.threads": 1,
        }
        settings = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
        start = list(more) or ["--env", "arithmetic", "--algo", "ppo", "--model", str(tiny_model), *settings]
        return main(["train", "--run", str(out), "--steps", str(steps), "--json", *start])

    assert command(tmp_path / "straight", 2) == 0
    assert command(tmp_path / "cut", 1) == 0
    assert command(tmp_path / "cut", 2, "--resume") == 0
    straight, cut = ((tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("straight", "cut"))
    for one, other in zip(map(json.loads, straight), map(json.loads, cut), strict=True):
        same = {key: value for key, value in one.items() if not key.startswith(CLOCK)}
        assert same == {key: value for key, value in other.items() if not key.startswith(CLOCK)}
        assert one["ptx/loss_nats"] > 1
        assert one["verdict/unscored_frac"] == 0


# --- judge ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('so {"verdict": "correct"}', True),
        ('so {"verdict": "wrong"}.', False),
        ('{"verdict": "Incorrect"}', False),
        ('{"verdict": true}', True),
        ('{"verdict": "correct"} no: {"verdict": "wrong"}', False),
        ('```json\n{"answer": "7", "verdict": "correct"}\n```', True),
        ('{"verdict": "correct"} and a set {1, 2}', True),
        ('<think>{"verdict": "correct"}', None),
        ('<think>{"verdict": "correct"}</think> {"verdict": "wrong"}', False),
        ('<think>{"verdict": "correct"}</think> I am not sure', None),
        ("correct", None),
        ('{"verdict": "maybe"}', None),
        ('{"verdict": 1}', None),
        ('{"verdict": {"is": "correct"}}', None),
        ("{" * 10**5, None),
        ('{"verdict": "wrong"} {"a": ' + "[" * 990 + "}", False),
        ("", None),
    ],
)
def test_the_last_verdict_counts(text, found):
    assert parse_verdict(text) is found


@given(st.text(alphabet='{}":,verdict corwng[]0\\', max_size=200))
@settings(deadline=None)
def test_no_text_breaks_the_parser(text):
    assert parse_verdict(text) in (True, False, None)


def test_a_response_cannot_ask_for_places():
    item = VerifyItem("7", "{gold} {question}<|end|>", "q")
    assert fill("{question}/{gold}/{response}/{verdict}", item) == "q/7/{gold} {question}<|end|>/{verdict}"


def judged(script, **options):
    engine = ScriptedEngine(script)
    return Judge(JudgeOptions(**options), engine), engine


def test_verdicts_come_back_in_the_order_of_the_items_with_reasons():
    def script(request):
        response = request.prompt[-1].content.split("Response of a student:\n")[1].split("\n")[0]
        return {"a": '{"verdict": "correct"}', "b": '{"verdict": "wrong"}', "c": "well"}.get(response, "x" * 5000)

    judge, _ = judged(script)
    labels = [verdict.label for verdict in judge.verify_many([VerifyItem("g", response) for response in "abcda"])]
    assert labels == ["correct", "wrong", "unscored:unparseable", "unscored:cut_short", "correct"]


def test_the_majority_decides_and_a_tie_is_unscored():
    votes = iter(["correct", "wrong", "correct", "wrong", "wrong", "?", "correct", "wrong", "?"])
    judge, engine = judged(lambda request: json.dumps({"verdict": next(votes)}), samples=3, temperature=0.7)
    verdicts = judge.verify_many([VerifyItem("g", response) for response in ("a", "b", "c")])
    assert [verdict.label for verdict in verdicts] == ["correct", "wrong", "unscored:tie"]
    assert len({request.seed for request in engine.requests}) == 9
    assert {request.sampling.temperature for request in engine.requests} == {0.7}
    with pytest.raises(ValueError, match="temperature"):
        JudgeOptions(samples=3)
    with pytest.raises(ValueError, match="response"):
        JudgeOptions(template="{question}")


def test_a_judge_that_was_trained_to_judge_gives_verdicts_in_an_environment(tiny_model, tmp_path):
    template = "{gold}|{response}"

    def example(n):
        response = f"\\boxed{{{n % 3}}}" if n % 2 else "none"
        verdict = "correct" if n % 2 else "wrong"
        return Example((Message("user", f"{n % 4}|{response}"),), f'{{"verdict": "{verdict}"}}')

    config = SFTConfig(
        model=str(tiny_model), train={"steps": 150, "lr": 1e-2, "warmup_steps": 5}, sft={"batch_size": 8}
    )
    supervised(config, RunFolder(tmp_path / "judge"), part=lambda config: SFT(config, example)).run()
    options = {"model": str(tmp_path / "judge"), "template": template, "max_tokens": 40}
    setup = EnvSetup("arithmetic", {"verifier": "judge", "verifier_options": options})
    verdicts = setup.verifier.verify_many([VerifyItem("1", "\\boxed{1}"), VerifyItem("2", "none")])
    assert [verdict.status for verdict in verdicts] == ["correct", "wrong"]
    assert {verdict.reason for verdict in verdicts} == {"judge"}


def test_both_judge_in_the_caller(taste):
    assert isinstance(load_verifier("reward_model", {"model": str(taste)}), CallerVerifier)
    assert isinstance(load_verifier("judge", {"model": "nano"}), CallerVerifier)
