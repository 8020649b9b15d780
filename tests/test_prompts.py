"""A prompt that leaves no room for a completion ends no run: it is named, counted, wrong in an evaluation and not
trained on.
"""

import json
from dataclasses import replace

import pytest

from kgym.cli.main import main
from kgym.rollout.prompts import describe_long
from kgym.testing.engines import ScriptedEngine
from kgym.types import VerifyItem
from kgym_plugins.verifiers.judge import Judge, JudgeOptions

LONG = 7


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Add a data set of which one question is longer than the context of `tiny_model`."""
    monkeypatch.setenv("KGYM_DATA_DIR", str(tmp_path / "data"))

    def add(name, long):
        rows = [
            {"question": f"{'word ' * 200}{i}" if i in long else f"{i}+{i}?", "answer": str(2 * i)} for i in range(12)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert main(["data", "add", name, str(tmp_path / f"{name}.jsonl")]) == 0

    add("some", {LONG})
    add("all", set(range(12)))
    return tmp_path


SMALL = [
    f"--set={key}"
    for key in ("rollout.problems_per_step=12", "rollout.group_size=2", "env.max_tokens=4", "env.truncated=score")
]


def test_training_goes_on_past_a_prompt_that_is_too_long(tiny_model, data, capsys):
    run = data / "run"
    what = [
        "--env",
        "data",
        "--set",
        "env.dataset=some",
        "--set",
        "env.validation_frac=0",
        "--steps",
        "2",
        "--eval-every",
        "0",
        *SMALL,
    ]
    assert main(["train", "--model", str(tiny_model), "--run", str(run), *what]) == 0
    out = capsys.readouterr()
    assert (out.out + out.err).count("1 prompt leaves no room for a completion (some/") == 1
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["episode/prompt_too_long_frac"] for line in metrics] == pytest.approx([1 / 12] * 2)
    import pandas as pd

    rows = pd.read_parquet(run / "episodes" / "step-00001.parquet")
    long = rows[rows["reason"] == "prompt_too_long"]
    assert (len(long), set(long["status"]), set(long["trainable"]), set(long["tokens"])) == (2, {"wrong"}, {False}, {0})
    assert rows["trainable"].sum() == 22


def test_an_evaluation_counts_it_as_wrong(tiny_model, data, capsys):
    run = data / "eval"
    what = ["--bench", "data:validation", "--set", "env.dataset=some", "env.validation_frac=1", "--max-tokens", "4"]
    assert main(["eval", "--model", str(tiny_model), "--run", str(run), *what]) == 0
    out = capsys.readouterr()
    assert "1 prompt leaves no room for a completion (some/" in out.err
    assert "prompts of 8.3%" in out.out
    result = json.loads((run / "results.json").read_text())
    assert (result["n_problems"], len(result["scores"])) == (12, 12)
    assert result["prompt_too_long_frac"] == pytest.approx(1 / 12)


def test_a_run_in_which_no_prompt_fits_is_refused_before_it_begins(tiny_model, data, capsys):
    run = data / "run"
    what = ["--env", "data", "--set", "env.dataset=all", "--set", "env.validation_frac=0", "--eval-every", "0"]
    assert main(["train", "--model", str(tiny_model), "--run", str(run), *what]) == 2
    assert "no prompt of data:train leaves room for a completion" in capsys.readouterr().err
    assert not run.exists()
    what = ["--bench", "data:validation", "--set", "env.dataset=all", "env.validation_frac=1", "--run", str(run)]
    assert main(["eval", "--model", str(tiny_model), *what]) == 2
    assert not run.exists()


def test_a_judge_leaves_what_is_too_long_unscored_and_judges_the_others():
    class Short(ScriptedEngine):
        def submit(self, requests):
            super().submit([replace(request, context_tokens=3000) for request in requests])

    judge = Judge(JudgeOptions(), Short(lambda _: '{"verdict": "correct"}'))
    verdicts = judge.verify_many(
        [VerifyItem("4", "4", "2+2?"), VerifyItem("4", "4" * 3000, "2+2?"), VerifyItem("4", "4", "1+3?")]
    )
    assert [verdict.label for verdict in verdicts] == ["correct", "unscored:context", "correct"]


def test_a_note_names_three_problems_and_counts_the_rest():
    found = {f"mine/{i}": 1000 + i for i in range(5)}
    assert describe_long(found, "data:train") == (
        "data:train: 5 prompts leave no room for a completion (mine/0, 1000 tokens, mine/1, 1001 tokens, mine/2, 1002 "
        "tokens and 2 more): wrong in an evaluation, not in a loss"
    )


# --- stop texts and template variables --------------------------------------------------------------------------------


def test_stop_texts_end_answers_in_training_and_evaluation_and_are_compared(tiny_model, tmp_path):
    import pandas as pd

    small = [
        "--env",
        "arithmetic",
        "--eval-every",
        "0",
        "--steps",
        "1",
        "--set=rollout.problems_per_step=8",
        "--set=env.max_tokens=40",
    ]
    assert (
        main(
            ["train", "--model", str(tiny_model), "--run", str(tmp_path / "t"), *small, '--set=rollout.stop=["1", "2"]']
        )
        == 0
    )
    rows = pd.read_parquet(tmp_path / "t" / "episodes" / "step-00001.parquet")
    stopped = rows[rows["finish_reason"] == "stop"]["text"]
    assert stopped.str.endswith(("1", "2")).any()
    assert not rows["text"].str[:-1].str.contains("[12]").any()
    what = [
        "eval",
        "--model",
        str(tiny_model),
        "--bench",
        "arithmetic:validation",
        "--problems",
        "8",
        "--max-tokens",
        "40",
    ]
    assert main([*what, "--run", str(tmp_path / "plain")]) == 0
    assert main([*what, "--run", str(tmp_path / "stop"), "--stop", "1", "--stop", "2"]) == 0
    plain, stop = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("plain", "stop"))
    assert (plain["facts"]["stop"], stop["facts"]["stop"]) == ([], ["1", "2"])
    assert plain["comparability"] != stop["comparability"]
    assert stop["tokens_mean"] < plain["tokens_mean"]


def test_template_variables_are_part_of_comparability(tiny_model, tmp_path):
    from shutil import copytree

    folder = copytree(tiny_model, tmp_path / "model")
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text() + "{% if enable_thinking is defined %}{{ enable_thinking }}{% endif %}")
    what = ["eval", "--model", str(folder), "--bench", "arithmetic:validation", "--problems", "2", "--max-tokens", "4"]
    assert main([*what, "--run", str(tmp_path / "plain")]) == 0
    assert main([*what, "--run", str(tmp_path / "set"), "--set", "engine.template.enable_thinking=false"]) == 0
    plain, given = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("plain", "set"))
    assert "template" not in plain["facts"]
    assert given["facts"]["template"] == {"enable_thinking": False}
    assert plain["comparability"] != given["comparability"]
    assert main([*what, "--run", str(tmp_path / "none"), "--set", "engine.template.enable_thinkin=false"]) == 2
    assert not (tmp_path / "none").exists()
