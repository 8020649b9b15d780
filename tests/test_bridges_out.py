"""Exported environments in the real frameworks: the same completions get the same verdicts there, and the commands of
the page run.

They run in their own Python, which `KGYM_BRIDGES_PYTHON` names; `tests/bridges/requirements.txt` says what it has.
"""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import kgym
from doc_pages import shell_lines
from kgym.bridges import export_rows, judge_rows
from kgym.cli.main import main
from kgym_plugins.models.builtin import nano

ROOT = Path(__file__).parent.parent
PYTHON = os.environ.get("KGYM_BRIDGES_PYTHON", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not PYTHON, reason="KGYM_BRIDGES_PYTHON names no interpreter that has TRL, verl, lm-eval and inspect-ai"
    ),
]

ENV, SPLIT, N = "math500", "validation", 7
SETTINGS = {"system": "Be brief.", "verifier_options": {"preset": "strict"}, "max_tokens": 99}
OPTIONS = ["--set", "env.system=Be brief.", "env.max_tokens=99", "verifier.preset=strict"]


def environment(folder):
    caches = {
        "HF_HOME": str(folder / "hf"),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    path = f"{Path(PYTHON).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | caches | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PATH": path}


def finished(command, folder, **more):
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment(folder), timeout=600, check=False, **more
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


def completions(rows):
    """Return a completion of each row: right, wrong, hedged, without an answer, empty, and right once more."""
    forms = [
        r"So it is \boxed{%s}.",
        r"The answer is $\boxed{-77.5}$",
        r"\boxed{%s} or \boxed{-77.5}",
        "no idea",
        "",
        r"Answer: %s",
    ]
    return [form.replace("%s", row["answer"]) for row, form in zip(rows, [*forms, forms[0]], strict=True)]


@pytest.fixture
def asked(tmp_path):
    """What a script is asked, and kgym's own scores of the same completions."""
    rows = export_rows(ENV, SPLIT, limit=N, **SETTINGS)
    texts = completions(rows)
    made = kgym.make(ENV, split=SPLIT, **SETTINGS)
    scores, prompts = [], []
    for row, text in zip(rows, texts, strict=True):
        chat, _ = made.reset(options={"index": row["index"]})
        prompts.append([message._asdict() for message in chat])
        *_, reward, _, _, info = made.step(text)
        assert not info["status"].startswith("unscored")
        scores.append(reward)
    assert set(scores) == {0.0, 1.0}
    question = {
        "folder": str(tmp_path / "out"),
        "cache": str(tmp_path / "cache"),
        "model": str(nano()),
        "env": ENV,
        "name": ENV,
    }
    question |= {"split": SPLIT, "settings": SETTINGS, "completions": texts, "truncated": [False] * N}
    return question, prompts, scores


def exported(to, question):
    assert (
        main(
            [
                "envs",
                "export",
                ENV,
                "--to",
                to,
                "--out",
                question["folder"],
                "--split",
                SPLIT,
                "--limit",
                str(N),
                *OPTIONS,
            ]
        )
        == 0
    )
    return Path(question["folder"])


def told(script, question, tmp_path):
    out = finished([PYTHON, str(ROOT / "tests/bridges" / script)], tmp_path, input=json.dumps(question), cwd=tmp_path)
    return json.loads(out.strip().rpartition("\n")[2])


def without_gold(path, key):
    """Take the gold answer of the last row away, so that its completion cannot be judged."""
    *lines, last = path.read_text().strip().split("\n")
    path.write_text("\n".join([*lines, json.dumps(json.loads(last) | {key: ""})]) + "\n")


def test_trl(asked, tmp_path):
    question, prompts, scores = asked
    folder = exported("trl", question)
    without_gold(folder / f"{SPLIT}.jsonl", "answer")
    found = told("trl_score.py", question, tmp_path)
    assert (found["prompts"], found["scores"]) == (prompts, [*scores[:-1], None])
    assert 0.0 <= found["logged"] <= 1.0
    assert found["rows"][:-1] == export_rows(ENV, SPLIT, limit=N, **SETTINGS)[:-1]
    assert found["as_dataset"] == export_rows(ENV, SPLIT, limit=N, **SETTINGS)


def test_verl(asked, tmp_path):
    question, prompts, _ = asked
    exported("verl", question)
    found = told("verl_score.py", question, tmp_path)
    assert found["prompts"] == prompts
    rows = export_rows(ENV, SPLIT, limit=N, **SETTINGS)
    own = [verdict.score for verdict in judge_rows(rows, found["texts"])]  # as its tokenizer gives them back
    assert (found["scores"], found["batch"], found["unscored"]) == (own, own, [0.0] * N)
    assert set(own) == {0.0, 1.0}


def test_lm_eval(asked, tmp_path):
    question, prompts, scores = asked
    folder = exported("lm-eval", question)
    without_gold(folder / f"{SPLIT}.jsonl", "answer")
    found = told("lm_eval_score.py", question, tmp_path)
    assert (found["prompts"], found["scores"]) == (prompts, [*scores[:-1], None])
    assert found["mean"] == pytest.approx(sum(scores[:-1]) / (N - 1))
    assert found["unscored"] == pytest.approx(1 / N)
    assert found["no_answer"] == pytest.approx(2 / N)
    assert (found["options"]["max_gen_toks"], found["options"]["do_sample"], found["options"]["until"]) == (
        99,
        False,
        [],
    )


def test_inspect(asked, tmp_path):
    question, prompts, scores = asked
    folder = exported("inspect", question)
    without_gold(folder / f"{SPLIT}.jsonl", "target")
    question["truncated"] = [True] + [False] * (N - 1)
    found = told("inspect_score.py", question, tmp_path)
    assert (found["status"], found["prompts"], found["max_tokens"]) == ("success", prompts, 99)
    assert found["scores"] == [0.0, *scores[1:-1], None], "the first is truncated, the last has no gold answer"
    assert found["explanations"][0] == "wrong: truncated"
    assert found["mean"] == pytest.approx(sum(found["scores"][:-1]) / (N - 1))


# --- the commands of the page


SMALL = {
    "trl": "--max_steps 1 --num_generations 2 --per_device_train_batch_size 2 --max_completion_length 8 --use_cpu "
    "--bf16 False --report_to none --logging_steps 1",
    "lm_eval": "--limit 2 --device cpu",
    "inspect": "--limit 2 --display plain -M device=cpu",
}
"""What is added to the command of a framework: numbers that take seconds, and no GPU."""


def commands(program):
    return [line for line in shell_lines(ROOT / "docs/bridges-out.md") if line.split()[0] == program]


@pytest.mark.parametrize("program", SMALL)
def test_the_commands_of_the_page_run(program, tmp_path):
    (line,) = commands(program)
    folder = next(word for word in shlex.split(line) if word.startswith("exports/")).split("/")[1]
    (made,) = (line for line in commands("kgym") if f"exports/{folder} " in line)
    finished([sys.executable, "-m", "kgym", *shlex.split(made)[1:]], tmp_path, cwd=tmp_path)
    out = finished([*shlex.split(line.replace("MODEL", str(nano()))), *SMALL[program].split()], tmp_path, cwd=tmp_path)
    assert {"trl": "'loss'", "lm_eval": "kgym_gsm8k_validation", "inspect": "mean"}[program] in out
