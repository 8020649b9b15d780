"""A request that cannot be carried out ends in one line with what to do, and with exit status 2; nothing is written."""

import pytest

from kgym.cli.main import main

TRAINING, EVALUATION = "runs/trained", "runs/scored"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a training, an evaluation, a file and an empty folder."""
    root = tmp_path_factory.mktemp("requests")
    (root / "file").write_text("no folder\n")
    (root / "folder").mkdir()
    small = ["rollout.problems_per_step=2", "rollout.group_size=2", "eval.problems=2", "eval.every=0"]
    run = ["--run", str(root / TRAINING)]
    assert main(["train", "-q", "--env", "arithmetic", "--steps", "1", *run, "--set", *small]) == 0
    score = ["--bench", "arithmetic:validation", "--problems", "2", "--board", str(root / "board.csv")]
    assert main(["eval", "-q", *score, "--run", str(root / EVALUATION)]) == 0
    return root


NOT_A_FOLDER = "file cannot be a folder: it, or one of its parents, is a file; choose another"


@pytest.mark.parametrize(
    ("request_", "line"),
    [
        ("train --set train.device=cuda:99", "device=cuda:99: torch finds "),
        ("train --set train.device=gpu", "device=gpu: torch knows no such device; use auto, cpu or cuda"),
        ("eval --set engine.device=cuda:99 --problems 2", "device=cuda:99: torch finds "),
        ("train --run file", f"argument --run: {NOT_A_FOLDER} (see kgym train --help)"),
        ("sweep --out file train", f"argument --out: {NOT_A_FOLDER}"),
        ("stages --budgets 40 --out file", f"argument --out: {NOT_A_FOLDER}"),
        ("long2short shortest --model nano --out file/x", "argument --out: file/x cannot be a folder: it, or"),
        ("train --set rollout.stop=", "rollout.stop='': must have at least 1 character"),
        (
            "data curate x --min-rate 0.9 --max-rate 0.1",
            "curate: min_rate=0.9 is above max_rate=0.1; lower it or raise the other",
        ),
        (
            "verify file --verifier integer --explain",
            "--explain: the verifier integer does not explain its verdicts; leave it out",
        ),
        (f"rescore {EVALUATION} --verifier integer --examples -1", "--examples -1: must be 0 or more"),
        (f"leaderboard add {TRAINING}", f"results.json is missing; make one with kgym eval --model {TRAINING}"),
        (f"leaderboard precision {EVALUATION}2", f"make one with kgym eval --run {EVALUATION}2"),
        ("runs show runs/none", "runs/none is not a run folder: it does not exist; kgym runs list prints those below"),
        ("sft --data none.jsonl", "cannot read none.jsonl: No such file or directory"),
        ("reproduce none.toml", "cannot read the experiment none.toml: No such file or directory"),
        ("long2short shortest --model nano --samples 0 --out o", "--samples 0: must be 1 or more"),
        ("long2short rl --model nano --max-tokens 0 --out o", "--max-tokens 0: must be 1 or more"),
        ("data add math500 hub:", "hub: names no repository; give hub:OWNER/NAME"),
        ("reproduce k15 --env nope", "no environment named 'nope'; known: aime, "),
        ("train --set rollout.temperature=0", "rollout.temperature=0: must be greater than 0"),
        ("leaderboard show --board folder", "cannot read the board folder: Is a directory"),
        ("leaderboard export --board board.csv -o folder", "cannot write folder: Is a directory; choose another with"),
        (f"runs view {EVALUATION} -o folder", "cannot write folder: Is a directory; choose another with -o"),
        (f"runs show {TRAINING} --plot no/x.png", "cannot write no/x.png: No such file or directory; choose another"),
        (
            "envs export arithmetic --to hf --limit 2 --out file",
            "cannot write file: File exists; choose another with --out",
        ),
    ],
)
def test_one_line_says_what_to_do(request_, line, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    before = sorted(place.rglob("*"))
    assert main(request_.split()) == 2
    out, err = capsys.readouterr()
    assert line in err
    assert err.startswith("kgym: error: ")
    assert err.count("\n") == 1
    assert out == ""
    assert sorted(place.rglob("*")) == before


def test_a_rule_for_truncated_completions_can_be_set_as_a_key(place, monkeypatch, capsys):
    """`--truncated` has a default, which is not a request."""
    monkeypatch.chdir(place)
    words = ["eval", "-q", "--bench", "arithmetic:validation", "--problems", "2", "--set", "env.truncated=mask"]
    assert main([*words, "--json"]) == 0
    assert main([*words, "--truncated", "zero"]) == 2
    assert "--truncated zero and env.truncated=mask exclude each other" in capsys.readouterr().err
