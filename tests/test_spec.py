"""One object asks for an environment: it compares, travels, and is what runs, evaluations and manifests are made of."""

import json
import pickle

import pyarrow.parquet as pq
import pytest

from kgym.cli.main import main
from kgym.config import RunConfig
from kgym.envs.spec import EnvSpec
from kgym.errors import ConfigError
from kgym.keys import load_config
from kgym.models.names import resolve_model
from kgym.runs.folder import RunFolder
from kgym.runs.manifest import specs_of
from kgym.runs.metrics import CLOCK, read_metrics
from kgym.seeding import derive_seed
from kgym.train.policy import TrainedPolicy
from kgym.train.supervised.examples import Example
from kgym.train.supervised.rows import ENDLESS
from kgym.train.supervised.sft import add_likelihood
from kgym.types import Message

SMALL = (
    "rollout.problems_per_step=2",
    "rollout.group_size=2",
    "train.threads=1",
    "eval.problems=5",
    "env.name=arithmetic",
)


def train(run, *settings, steps=1, algo="grpo", model="nano", status=0):
    words = ["train", "--algo", algo, "--model", str(model), "--steps", str(steps), "--run", str(run), "--json"]
    assert main([*words, "--set", *SMALL, *settings]) == status
    return run


# --- the object -------------------------------------------------------------------------------------------------------


def test_it_compares_pickles_and_survives_json():
    spec = EnvSpec("aime", "validation", {"level": (1, 2), "max_tokens": None, "difficulty": 3})
    same = EnvSpec("aime", "validation", {"difficulty": 3, "level": [1, 2]})
    assert (spec, hash(spec)) == (same, hash(same))
    assert EnvSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert spec.with_split("train") != spec
    assert spec.with_settings(max_tokens=8).with_settings(max_tokens=None) == spec
    assert len({spec, same, spec.with_split("train")}) == 2


def test_what_it_builds_is_one_environment():
    spec = EnvSpec("arithmetic", "validation", {"difficulty": 2, "max_tokens": 40, "prompt": "{question}!"})
    setup = spec.setup()
    assert spec.facts() == setup.facts() == spec.vector(2, 3).spec_facts()
    assert (spec.vector(2, 3).num_envs, spec.max_tokens) == (6, 40)
    assert EnvSpec("arithmetic").max_tokens == EnvSpec("arithmetic").task().max_tokens
    assert setup.prompt(setup.problem(0)) == (Message("user", setup.problem(0).question + "!"),)


@pytest.mark.parametrize("settings", [{"split": "train"}, {"level": {1}}, {"level": float("nan")}])
def test_settings_are_plain_and_without_the_split(settings):
    with pytest.raises(ConfigError, match="env"):
        EnvSpec("aime", "train", settings)


def test_a_validation_scores_what_training_masks():
    spec = EnvSpec("aime", "train", {"truncated": "mask", "difficulty": 3})
    assert spec.for_score("validation") == EnvSpec("aime", "validation", {"difficulty": 3})
    assert spec.with_settings(truncated="score").for_score("validation").settings["truncated"] == "score"


# --- the commands -----------------------------------------------------------------------------------------------------


def test_train_takes_the_budget_and_the_rule_of_the_environment(tmp_path, tiny_model):
    run = train(tmp_path / "run", "env.max_tokens=6", "env.truncated=score", "env.system=Be brief.", model=tiny_model)
    spec = specs_of(RunFolder(run).read_manifest())["arithmetic"]
    asked = {"max_tokens": 6, "truncated": "score", "system": "Be brief."}
    assert {key: spec.settings[key] for key in asked} == asked
    config = RunFolder(run).read_manifest()["config"]
    assert spec == EnvSpec("arithmetic", "train", config["env"]["options"])
    rows = pq.read_table(run / "episodes/step-00001.parquet").to_pylist()
    assert max(row["tokens"] for row in rows) == 6
    assert "truncated" not in {row["reason"] for row in rows if row["truncated"]}  # the verifier has judged them
    result = json.loads((run / "eval/step-00001.json").read_text())
    assert (result["facts"]["max_tokens"], result["facts"]["truncated"]) == (6, "score")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("env.verifier=math", "env.verifier is not a key of this command; use verifier=NAME"),
        ("env.verifier_limits.workers=1", "env.verifier_limits is not a key of this command; use verifier.limits.KEY"),
        ("rollout.truncated=mask", "no key named 'rollout.truncated'; that is 'env.truncated' here"),
        ("algo.mask_truncated=true", "no key named 'algo.mask_truncated'; that is 'env.truncated=mask' here"),
        ("env.truncated=drop", "env.truncated='drop': must be 'zero', 'score' or 'mask'"),
    ],
)
def test_a_wrong_key_is_one_line_and_nothing_is_written(tmp_path, capsys, setting, said):
    train(tmp_path / "run", setting, status=2)
    assert capsys.readouterr().err == f"kgym: error: {said}\n"
    assert not (tmp_path / "run").exists()


def test_ptx_learns_after_the_prompt_of_the_run(tmp_path):
    asked = (
        "env.prompt=Q: {question}",
        "env.system=Be brief.",
        "env.max_tokens=8",
        "ptx.coef=0.1",
        "ptx.batch_size=3",
        "eval.every=0",
    )
    run = train(tmp_path / "run", *asked)
    source = EnvSpec("arithmetic").setup().source
    problems = [source[derive_seed("sft", derive_seed(0, "ptx"), n) % ENDLESS] for n in range(3)]
    prompts = [(Message("system", "Be brief."), Message("user", f"Q: {problem.question}")) for problem in problems]
    examples = [Example(prompt, problem.solution) for prompt, problem in zip(prompts, problems, strict=True)]
    policy = TrainedPolicy.load(resolve_model("nano"), RunConfig().train)
    (line,) = read_metrics(run / "metrics.jsonl")
    assert line["ptx/loss_nats"] == pytest.approx(add_likelihood(policy, examples)["train/loss_nats"], rel=1e-4)


def test_sft_takes_a_prompt(tmp_path, tiny_model, capsys):
    words = ["sft", "--env", "arithmetic", "--model", str(tiny_model), "--steps", "1", "--batch", "2", "--json"]
    losses = []
    for name, settings in (("own", []), ("other", ["--set", "env.prompt=Q: {question}", "env.system=Be brief."])):
        assert main([*words, "--run", str(tmp_path / name), *settings]) == 0
        losses.append(json.loads((tmp_path / name / "metrics.jsonl").read_text())["train/loss_nats"])
    assert losses[0] != losses[1]
    capsys.readouterr()
    assert main([*words, "--run", str(tmp_path / "x"), "--set", "env.split=validation"]) == 2
    assert "env.split cannot be set here" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ["verify", "absent.jsonl"],
        ["rescore", "absent", "--verifier", "math"],
        ["dpo", "--env", "arithmetic"],
        ["rm", "--env", "arithmetic"],
        ["envs", "show", "arithmetic"],
        ["envs", "check", "arithmetic"],
        ["eval", "--bench", "arithmetic:validation", "--problems", "1"],
        ["train", "--env", "arithmetic"],
    ],
)
def test_every_command_that_judges_takes_limits_of_the_verifier(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    assert main([*command, "--set", "verifier.limits.memory_gib=0"]) == 2
    assert capsys.readouterr().err.startswith("kgym: error: verifier.limits.memory_gib=0: must be greater than 0")
    assert not list(tmp_path.iterdir())


def test_a_deadline_ends_what_verify_judges(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slow.py").write_text(
        "import time\n\nfrom kgym.hookspecs import VerifierInfo, hookimpl\n\nkgym_api = 1\n\n\n"
        "class Slow:\n    def __init__(self, options):\n        pass\n\n    def verify_many(self, items):\n        "
        "time.sleep(60)\n\n\n"
        "@hookimpl\ndef kgym_components():\n    yield VerifierInfo(name='slow', target='slow:Slow', summary='never "
        "ends')\n"
    )
    (tmp_path / "rows.jsonl").write_text('{"gold": "1", "response": "1"}\n')
    words = [
        "-p",
        "./slow.py",
        "verify",
        "rows.jsonl",
        "--verifier",
        "slow",
        "--set",
        "verifier.limits.deadline_s=0.2",
        "verifier.limits.workers=1",
    ]
    assert main(words) == 0
    assert json.loads(capfd.readouterr().out)["status"] == "unscored:timeout"


def test_eval_has_one_budget_under_two_names(tmp_path, tiny_model):
    words = ["eval", "--model", str(tiny_model), "--bench", "arithmetic:validation", "--problems", "2"]
    for run, more in (("flag", ["--max-tokens", "7"]), ("key", ["--set", "env.max_tokens=7"])):
        assert main([*words, "--run", str(tmp_path / run), *more]) == 0
    flag, key = (json.loads((tmp_path / run / "results.json").read_text()) for run in ("flag", "key"))
    assert flag["comparability"] == key["comparability"]
    manifest = RunFolder(tmp_path / "key").read_manifest()
    assert specs_of(manifest)["arithmetic"] == EnvSpec(
        "arithmetic", "validation", {"max_tokens": 7, "truncated": "zero"}
    )


# --- older manifests --------------------------------------------------------------------------------------------------


def as_older(run):
    """Write the manifest of a run as versions before the spec did."""
    path = run / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["specs"]
    config, options = manifest["config"], manifest["config"]["env"]["options"]
    masked = options.pop("truncated") == "mask"
    config["rollout"] |= {"max_tokens": options.pop("max_tokens"), "truncated": "zero"}
    config["algo"]["options"]["mask_truncated"] = masked
    manifest["env"]["truncated"] = "zero"
    path.write_text(json.dumps(manifest))


def test_an_older_run_is_resumed_and_ends_in_the_same_numbers(tmp_path):
    settings = (
        "env.max_tokens=60",
        "env.name=aime",
        "algo.max_rounds=1",
        "rollout.problems_per_step=6",
        "rollout.group_size=6",
    )
    straight = train(tmp_path / "straight", *settings, algo="dapo", steps=2)
    broken = train(tmp_path / "broken", *settings, algo="dapo", steps=1)
    as_older(broken)
    assert (
        main(["train", "--resume", "--run", str(broken), "--steps", "2", "--set", "env.max_tokens=60", "--json"]) == 0
    )
    lines = [
        [
            {key: value for key, value in line.items() if not key.startswith(CLOCK)}
            for line in read_metrics(run / "metrics.jsonl")
        ]
        for run in (straight, broken)
    ]
    assert lines[0][-1] == lines[1][-1]
    assert 0 < lines[0][-1]["episode/truncated_frac"] < 1
    assert lines[0][-1]["optim/grad_norm"] > 0
    assert specs_of(RunFolder(broken).read_manifest())["aime"].settings["truncated"] == "mask"


def test_the_configuration_of_an_older_run_is_one_of_today():
    older = {"env": "aime", "rollout": {"max_tokens": 9, "truncated": "score", "group_size": 4}}

    config = RunConfig.model_validate(older)
    today = load_config(None, ["env.max_tokens=9", "env.truncated=score", "rollout.group_size=4"])
    assert EnvSpec.of_config(config.env, config.verifier) == EnvSpec.of_config(today.env, today.verifier)
