"""Preferences: where comparisons come from, and runs of `kgym dpo` and `kgym rm`."""

import json
import math
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from kgym.cli.main import main
from kgym.envs.spec import EnvSpec
from kgym.errors import ConfigError, DataError
from kgym.models.names import resolve_model
from kgym.models.reward_model import FILE, load_reward_model
from kgym.runs.episodes import schema, write_table
from kgym.runs.folder import RunFolder
from kgym.runs.metrics import CLOCK, read_metrics
from kgym.supervised_config import DPOConfig, PairsConfig, RMConfig
from kgym.train.report import Reporter
from kgym.train.supervised.comparisons import (
    Comparison,
    PreferenceData,
    all_pairs,
    from_list,
    generated_comparisons,
    read_comparisons,
    stored_comparisons,
)
from kgym.train.supervised.dpo import DPO
from kgym.train.supervised.objective import supervised
from kgym.train.supervised.pairs import pair_batch
from kgym.train.supervised.reward_model import RewardModeling
from kgym.train.supervised.rows import TooLong
from kgym.types import Message, VerifyItem
from kgym.verify.service import load_verifier


def comparison(question, *answers, pairs=None):
    return Comparison(
        (Message("user", question),), question, "", answers, all_pairs(len(answers)) if pairs is None else pairs
    )


def taste(n):
    """Anyone who says yes is preferred, for any other text."""
    return comparison(f"{n % 9}?", f"yes{n % 5}", f"no{n % 7}", f"never{n % 3}", pairs=((0, 1), (0, 2)))


CPU = torch.device("cpu")
TASTE = PreferenceData(taste, [taste(n) for n in range(100, 120)])


# --- where comparisons come from --------------------------------------------------------------------------------------


def test_rows_of_a_file(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text(
        '{"prompt": "p", "chosen": "a", "rejected": "b"}\n\n{"prompt": "q", "ranked": ["x", "y", "z"], "gold": "7"}\n'
    )
    first, second = read_comparisons(file)
    assert first == comparison("p", "a", "b")
    assert (second.answers, second.pairs, second.gold) == (("x", "y", "z"), ((0, 1), (0, 2), (1, 2)), "7")
    assert second.best == "x"


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[1]",
        '{"prompt": "p"}',
        '{"prompt": "p", "chosen": "a"}',
        '{"prompt": "", "chosen": "a", "rejected": "b"}',
        '{"prompt": "p", "chosen": "a", "rejected": 3}',
        '{"prompt": "p", "chosen": "a", "rejected": "a"}',
        '{"prompt": "p", "ranked": ["a"]}',
        '{"prompt": "p", "ranked": "ab"}',
        '{"prompt": "p", "ranked": ["a", "b"], "chosen": "a"}',
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path, line):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"prompt": "p", "chosen": "a", "rejected": "b"}\n' + line + "\n")
    with pytest.raises(DataError, match="line 2"):
        read_comparisons(file)


@pytest.mark.parametrize("env", ["arithmetic", "aime"])
def test_generated_comparisons_are_right_over_wrong(env):
    made = generated_comparisons(EnvSpec(env).setup(), PairsConfig(answers=3), seed=0)
    verifier = load_verifier("integer")
    for n in range(20):
        one = made(n)
        assert one == made(n)
        assert one.pairs == ((0, 1), (0, 2))
        statuses = [
            verdict.status for verdict in verifier.verify_many([VerifyItem(one.gold, answer) for answer in one.answers])
        ]
        assert statuses == ["correct", "wrong", "wrong"]
        assert len({answer.rpartition("\\boxed{")[0] for answer in one.answers}) == 1
        assert one.question in one.prompt[-1].content


def stored(tmp_path, rows):
    """A run folder with one file of completions: (problem, text, score, tokens, truncated)."""
    (tmp_path / "samples").mkdir(parents=True)
    request = {"model": "nano", "env_id": "arithmetic", "split": "train", "truncated": "zero"}
    manifest = {"kind": "eval", "benchmark": "arithmetic:train", "request": request, "env_options": {}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    blank = {"level": 1, "subject": "", "question": "What is 1+1?", "gold": "2"}
    names = ("problem_id", "text", "score", "tokens", "truncated")
    write_table(
        tmp_path / "samples/part-00000.parquet",
        pa.Table.from_pylist([blank | dict(zip(names, row, strict=True)) for row in rows], schema=schema()),
    )
    return tmp_path


def test_stored_answers_are_compared_within_their_problem(tmp_path):
    run = stored(
        tmp_path,
        [
            ("a", "right", 1.0, 5, False),
            ("a", "right", 1.0, 5, False),
            ("a", "wrong", 0.0, 5, False),
            ("a", "half", 0.5, 5, False),
            ("a", "cut", 0.0, 9, True),
            ("a", "unscored", None, 9, False),
            ("b", "only right", 1.0, 5, False),
            ("b", "also right", 1.0, 5, False),
        ],
    )
    (one,) = stored_comparisons(run, PairsConfig(), seed=0)
    assert {(one.answers[i], one.answers[j]) for i, j in one.pairs} == {
        ("right", "wrong"),
        ("right", "half"),
        ("half", "wrong"),
    }
    assert one.prompt[-1].content == "What is 1+1?\nAnswer in \\boxed{}."
    assert one.question == "What is 1+1?"
    (one,) = stored_comparisons(run, PairsConfig(answers=2), seed=0)
    assert [(one.answers[i], one.answers[j]) for i, j in one.pairs] == [("right", "wrong")]


def test_long2short_prefers_the_shortest_right_answer(tmp_path):
    run = stored(
        tmp_path,
        [
            ("a", "short", 1.0, 10, False),
            ("a", "little longer", 1.0, 14, False),
            ("a", "half as long again", 1.0, 15, False),
            ("a", "shorter and wrong", 0.0, 9, False),
            ("a", "longer and wrong", 0.0, 11, False),
            ("b", "wrong", 0.0, 11, False),
        ],
    )
    (one,) = stored_comparisons(run, PairsConfig(prefer="short", answers=8), seed=0)
    assert {(one.answers[i], one.answers[j]) for i, j in one.pairs} == {
        ("short", "half as long again"),
        ("short", "longer and wrong"),
    }


def test_a_run_without_answers_or_differences_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no stored completions"):
        stored_comparisons(tmp_path, PairsConfig(), seed=0)
    with pytest.raises(DataError, match="no two completions"):
        stored_comparisons(stored(tmp_path, [("a", "x", 1.0, 3, False)]), PairsConfig(), seed=0)


def test_what_is_held_out_is_never_learnt():
    rows = [comparison(str(n), "a", "b") for n in range(20)]
    data = from_list(rows, PairsConfig(), seed=0)
    learnt = {data.train(n).question for n in range(200)}
    held_out = {one.question for one in data.held_out}
    assert (len(learnt), len(held_out)) == (16, 4)
    assert not learnt & held_out


# --- runs -------------------------------------------------------------------------------------------------------------

QUICK = {"steps": 30, "lr": 3e-3, "warmup_steps": 3, "save_every": 10}
DPO_RUN = (DPOConfig(train=QUICK, dpo={"batch_size": 8}), DPO, AutoModelForCausalLM)
RM_RUN = (RMConfig(train=QUICK, rm={"batch_size": 8}), RewardModeling, AutoModelForSequenceClassification)


def learn(config, part, model, run, reporter=None):
    config = config.model_copy(update={"model": str(model)})
    return supervised(config, RunFolder(run), reporter, part=lambda config: part(config, TASTE)).run()


def weights(path, kind=AutoModelForCausalLM):
    return kind.from_pretrained(path).state_dict()


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class Killed(Exception):
    pass


class DiesAt17(Reporter):
    def step(self, step, steps, metrics):
        if step == 17:
            raise Killed


@pytest.mark.parametrize(("config", "part", "kind"), [DPO_RUN, RM_RUN], ids=["dpo", "rm"])
def test_a_model_learns_preferences_and_a_run_that_was_cut_off_ends_in_the_same_weights(
    tmp_path, tiny_model, config, part, kind
):
    straight, cut = tmp_path / "straight", tmp_path / "cut"
    summary = learn(config, part, tiny_model, straight)
    assert summary["held_out/accuracy_frac"] > 0.9
    assert summary["held_out/loss_nats"] < math.log(2)
    with pytest.raises(Killed):
        learn(config, part, tiny_model, cut, DiesAt17())
    assert not (cut / "summary.json").exists()
    resumed = learn(config, part, tiny_model, cut)
    assert {**resumed, "run": "", "checkpoint": ""} == {**summary, "run": "", "checkpoint": ""}
    assert equal(weights(resolve_model(str(straight)), kind), weights(resolve_model(str(cut)), kind))
    one, other = (
        [
            {key: value for key, value in line.items() if not key.startswith(CLOCK)}
            for line in read_metrics(run / "metrics.jsonl")
        ]
        for run in (straight, cut)
    )
    assert one == other
    assert len(one) == 30


def test_a_comparison_that_does_not_fit_is_left_out_of_its_batch():
    kept = Comparison((Message("user", "q"),), "q", "", ("a", "b"), ((0, 1),))
    long = Comparison((Message("user", "q"),), "q", "", ("a", "long"), ((0, 1),))

    def encode(comparison, answer):
        if answer == "long":
            raise TooLong.of(300, 256, "q")
        return [1], [2]

    left = pair_batch([kept, long, kept], encode, CPU)
    both = pair_batch([kept, kept], encode, CPU)
    assert left.n_comparisons == 2
    assert torch.equal(left.pack.input_ids, both.pack.input_ids)
    assert left.pairs.weights.tolist() == both.pairs.weights.tolist() == [0.5, 0.5]
    assert pair_batch([long], encode, CPU) is None


def test_demonstrations_score_0_in_the_mean_and_any_transformers_loads_the_rest(tmp_path, tiny_model):
    config, part, _ = RM_RUN
    summary = learn(config, part, tiny_model, tmp_path / "rm")
    folder = resolve_model(str(tmp_path / "rm"))  # every checkpoint is a reward model
    rewarder = load_reward_model(folder, device="cpu")
    demonstrations = [taste(n) for n in range(config.rm.demonstrations)]
    scores = rewarder.scores([(one.question, "", one.best) for one in demonstrations])
    assert sum(scores) / len(scores) == pytest.approx(0, abs=1e-4)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    assert model.config.num_labels == 1
    ids = torch.tensor([[token for part in rewarder.row("3?", "", "yes1") for token in part]])
    assert model(input_ids=ids).logits.item() == pytest.approx(
        rewarder.scores([("3?", "", "yes1")])[0] + summary["bias"], abs=1e-4
    )
    (Path(folder) / FILE).write_text("{")
    with pytest.raises(ConfigError, match="damaged"):
        load_reward_model(folder)


def test_a_language_model_is_no_reward_model(tiny_model):
    with pytest.raises(ConfigError, match="kgym rm"):
        load_reward_model(str(tiny_model))


# --- commands ---------------------------------------------------------------------------------------------------------


def command(name, model, run, *more):
    return [name, "--model", str(model), "--run", str(run), "--batch", "4", *map(str, more)]


def pairs_file(path):
    rows = [{"prompt": f"{n}?", "chosen": f"yes {n}", "rejected": f"no {n}"} for n in range(12)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("name", ["dpo", "rm"])
def test_the_command_learns_from_an_environment_and_from_a_file(tmp_path, tiny_model, capsys, name):
    generated = ("--env", "arithmetic", "--steps", 2, "--set", "pairs.held_out=4", "--json")
    assert main(command(name, tiny_model, tmp_path / "one", *generated)) == 0
    output = capsys.readouterr()
    summary = json.loads(output.out)
    assert summary["steps"] == 2
    assert 0 <= summary["held_out/accuracy_frac"] <= 1
    assert "step 2/2 | loss" in output.err
    assert (
        main(command(name, tiny_model, tmp_path / "two", "--data", pairs_file(tmp_path / "p.jsonl"), "--steps", 2)) == 0
    )
    assert f"run         {tmp_path / 'two'}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dpo", "--env", "airthmetic"], "did you mean 'arithmetic'"),
        (["dpo", "--env", "arithmetic", "--beta", "0"], "dpo.beta=0"),
        (["dpo", "--env", "arithmetic", "--set", "dpo.betta=1"], "dpo.beta"),
        (["rm", "--env", "arithmetic", "--set", "pairs.answers=1"], "pairs.answers=1"),
        (["rm", "--env", "arithmetic", "--set", "sft.lr=1"], "no key named 'sft"),
        (["rm", "--env", "arithmetic", "--set", "rm.lr=1"], "no key named 'rm.lr'; that is 'train.lr' here"),
        (
            ["rm", "--env", "arithmetic", "--set", "train.lora.rank=8"],
            "train.lora.rank=8 is not offered for a reward model",
        ),
        (["dpo", "--data", "p.jsonl", "--set", "verifier=math"], "verifier.* is set without an environment"),
        (["rm", "--data", "absent.jsonl"], "absent.jsonl"),
        (["rm", "--episodes", "absent"], "no stored completions"),
        (["rm"], "--env"),
    ],
)
def test_a_wrong_request_is_one_line_and_status_2(tmp_path, tiny_model, capsys, words, said):
    assert main(command(words[0], tiny_model, tmp_path / "out", *words[1:])) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
