r"""The real examinations are judged by `math`, and the generated problems by `integer`.

`tests/data/aime_cases.jsonl` has 40 right and 40 wrong responses to problems with an integer answer, written before
either verifier had seen them; docs/environments.md has what each verifier said of them at first.
"""

import json
from collections import Counter
from pathlib import Path

import gymnasium
import pytest

import kgym  # noqa: F401  (registers the environments)
from kgym.cli.main import main
from kgym.envs.mixture import members
from kgym.envs.spec import EnvSpec
from kgym.errors import ComponentError
from kgym.eval_config import EvalConfig
from kgym.keys import load_config
from kgym.score.evaluating import plan_all
from kgym.score.presets import presets
from kgym.types import VerifyItem
from kgym.verify.service import load_verifier
from kgym_envs.aime.task import YEARS, Aime

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent / "data" / "aime_cases.jsonl").read_text(encoding="utf-8").splitlines()
]


def misjudged(verifier):
    verdicts = load_verifier(verifier).verify_many([VerifyItem(case["gold"], case["response"]) for case in CASES])
    return [
        case for case, verdict in zip(CASES, verdicts, strict=True) if (verdict.status == "correct") != case["label"]
    ]


def test_math_reads_what_answers_to_an_examination_look_like():
    assert Counter(case["label"] for case in CASES) == {True: 40, False: 40}
    assert misjudged("math") == []


def test_integer_is_strict_about_style():
    refused = Counter(case["kind"] for case in misjudged("integer") if case["label"])
    assert refused == {
        "aime: name": 8,
        "aime: unit": 6,
        "aime: intermediate": 4,
        "aime: revision": 4,
        "aime: sentence": 4,
    }


@pytest.fixture
def exam(tmp_path, monkeypatch):
    monkeypatch.setenv("KGYM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    rows = [{"ID": f"2024-I-{n}", "Problem": f"What is {n} + {n}?", "Answer": 2 * n} for n in range(1, 31)]
    (tmp_path / "exam.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["data", "add", "aime24", "exam.jsonl"]) == 0
    return tmp_path


def test_the_verifier_follows_the_split(exam):
    env = gymnasium.make("kgym/aime-v1", split="2024")
    assert env.unwrapped.spec_facts()["verifier"] == "math"
    env.reset(options={"index": 6})
    assert env.step(r"The sum is $\boxed{7}$ twice, so $\boxed{m+n = 14}$.")[1] == 1
    env.reset(options={"index": 6})
    assert env.step(r"It is $\boxed{14}$ or $\boxed{41}$.")[1] == 0
    assert {split: EnvSpec("aime", split).own_verifier() for split in Aime.splits} == {
        "train": "integer",
        "validation": "integer",
        **dict.fromkeys(YEARS, "math"),
    }


@pytest.mark.parametrize("preset", [None, *presets()])
def test_benchmarks_and_presets_score_examinations_by_math(exam, preset):
    ((plan,),) = plan_all([EvalConfig(preset=preset, benches=("aime24",))])
    assert plan.evaluation.facts["verifier"] == "math"
    ((plan,),) = plan_all([EvalConfig(preset=preset, benches=("aime24",), verifier={"name": "integer"})])
    assert plan.evaluation.facts["verifier"] == "integer"


def test_a_run_trains_strictly_and_is_scored_by_the_examinations_own_verifier(exam):
    config = load_config(None, ["env.name=aime", 'eval.benches=["aime24"]'])
    (member,) = members(config)
    assert member.spec.setup().verifier_name == "integer"
    assert member.spec.with_split("2024").setup().verifier_name == "math"
    (member,) = members(load_config(None, ["env.name=aime", "verifier.name=math"]))
    assert member.spec.setup().verifier_name == "math"


def test_options_of_the_examinations_verifier_are_not_those_of_the_validation(exam, capsys):
    strict = EnvSpec("aime", "2024", {"verifier_options": {"preset": "strict"}})
    assert strict.with_split("2025").settings == strict.settings
    assert strict.with_split("validation").settings == {}
    named = EnvSpec("aime", "2024", {"verifier": "math", "verifier_options": {"preset": "strict"}})
    assert named.with_split("validation").settings == named.settings
    capsys.readouterr()
    assert main(["envs", "show", "aime", "--split", "2024", "--set", "verifier.preset=strict", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["facts"]["verifier_options"]["preset"] == "strict"
    small = [
        "env.split=2024",
        "verifier.preset=strict",
        "rollout.problems_per_step=1",
        "rollout.group_size=2",
        "eval.problems=2",
    ]
    assert main(["train", "--env", "aime", "--steps", "1", "--run", "run", "--set", *small]) == 0
    manifest = json.loads((exam / "run" / "manifest.json").read_text())
    assert (manifest["env"]["verifier"], manifest["env"]["verifier_options"]["preset"]) == ("math", "strict")
    assert (manifest["validation"]["verifier"], manifest["validation"]["verifier_options"]) == ("integer", {})


def test_a_task_without_a_verifier_for_a_split_is_named(monkeypatch):
    monkeypatch.setattr(Aime, "verifier", {"train": "integer"})
    with pytest.raises(ComponentError, match=r"aime.*no entry for the split 'validation'; give one for each split"):
        EnvSpec("aime", "validation").setup()
