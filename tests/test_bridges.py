"""Environments as files of other frameworks: what is in them, and that rows are judged as their environment judges."""

import json
import os

import pyarrow.parquet as pq
import pytest

import kgym
from kgym.bridges import compute_score, export_rows, judge_rows, kgym_reward, trl_reward
from kgym.cli.main import main
from kgym.errors import ConfigError, UnknownName
from kgym.seeding import derive_seed
from kgym.testing.bridges import check_bridge, sums

BRIDGES = ("hf", "inspect", "lm-eval", "trl", "verl")


def export(folder, *arguments, env="arithmetic", to="hf"):
    return main(["envs", "export", env, "--to", to, "--out", str(folder), *map(str, arguments)])


def refused(capsys, folder, *arguments, **named):
    capsys.readouterr()
    assert export(folder, *arguments, **named) == 2
    assert not folder.exists()
    return capsys.readouterr().err


def lines(path):
    return [json.loads(line) for line in path.read_text().split("\n") if line]


# --- rows


def completions(gold):
    return [
        rf"So it is \boxed{{{gold}}}.",
        rf"\boxed{{{gold}}} or \boxed{{{gold} + 1}}",
        "The answer is -77.",
        "no idea",
        "",
    ]


@pytest.mark.parametrize(
    ("env", "settings"),
    [
        ("arithmetic", {}),
        ("aime", {"verifier": "math", "verifier_options": {"preset": "lenient"}}),
        ("math500", {"prompt": "Q: {question}", "system": "Be brief."}),
        ("countdown", {"truncated": "score"}),
    ],
)
def test_rows_are_judged_as_the_environment_judges(env, settings):
    rows = export_rows(env, "validation", limit=4, **settings)
    made = kgym.make(env, split="validation", **settings)
    for row in rows:
        for text in completions(row["answer"]):
            chat, info = made.reset(options={"index": row["index"]})
            assert (row["prompt"], row["id"]) == ([message._asdict() for message in chat], info["problem_id"])
            *_, reward, terminated, _, info = made.step(text)
            assert terminated
            (verdict,) = judge_rows([row], [text])
            assert (verdict.label, verdict.score) == (info["status"], reward)
    assert {verdict.status for verdict in judge_rows(rows, [completions(row["answer"])[0] for row in rows])} == {
        "correct"
    }


def test_options_of_the_verifier_travel_with_the_rows():
    def status(preset):
        (row,) = export_rows("math500", "validation", limit=1, verifier_options={"preset": preset})
        (verdict,) = judge_rows([row | {"answer": "1/3", "question": ""}], [r"\boxed{0.3333}"])
        return verdict.status

    assert (status("strict"), status("default")) == ("wrong", "correct")


def test_rows_of_several_environments_may_be_mixed():
    rows = [*export_rows("arithmetic", limit=2), *export_rows("math500", limit=2), *export_rows("countdown", limit=1)]
    verdicts = judge_rows(rows[::-1], [rf"\boxed{{{row['answer']}}}" for row in rows[::-1]])
    assert [verdict.status for verdict in verdicts] == ["correct"] * 5


def test_a_truncated_completion_is_wrong_unless_the_environment_scores_it():
    for rule, statuses in (
        ("zero", ["wrong", "correct"]),
        ("mask", ["wrong", "correct"]),
        ("score", ["correct", "correct"]),
    ):
        rows = export_rows("arithmetic", limit=2, truncated=rule)
        texts = [rf"\boxed{{{row['answer']}}}" for row in rows]
        assert [verdict.status for verdict in judge_rows(rows, texts, truncated=[True, False])] == statuses


def test_a_row_has_what_its_score_depends_on():
    (row,) = export_rows("aime", "validation", limit=1, difficulty=2, max_tokens=77, verifier_limits={"deadline_s": 3})
    assert row["seed"] == derive_seed(0, "eval", row["id"], 0)
    record = json.loads(row["kgym"])
    facts = kgym.make("aime", split="validation", difficulty=2, max_tokens=77).unwrapped.spec_facts()
    assert {key: record[key] for key in facts} == facts
    assert record["settings"] == {"difficulty": 2, "max_tokens": 77, "verifier_limits": {"deadline_s": 3}}
    assert record["kgym_version"] == kgym.__version__


def test_another_version_is_told(caplog):
    (row,) = export_rows("arithmetic", limit=1)
    judge_rows([row | {"kgym": row["kgym"].replace(kgym.__version__, "0.0.7")}], ["5"])
    assert f"exported by kgym 0.0.7 and are judged by kgym {kgym.__version__}" in caplog.text


def test_rows_that_cannot_be_judged_are_refused():
    (row,) = export_rows("arithmetic", limit=1)
    with pytest.raises(ConfigError, match="no column 'kgym'"):
        judge_rows([{"answer": "5"}], ["5"])
    with pytest.raises(UnknownName, match="no verifier named 'gone'"):
        judge_rows([row | {"kgym": row["kgym"].replace('"integer"', '"gone"')}], ["5"])
    with pytest.raises(ValueError, match="shorter"):
        judge_rows([row, row], ["5"])
    with pytest.raises(ConfigError, match=r"limit=0"):
        export_rows("arithmetic", limit=0)


def test_rewards_of_trainers_judge_rows_as_their_environment():
    rows = export_rows("countdown", limit=2)
    texts = [rf"\boxed{{{rows[0]['answer']}}}", "no idea"]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    prompts = columns.pop("prompt")
    chats = [[{"role": "assistant", "content": text}] for text in texts]
    assert kgym_reward(prompts=prompts, completions=chats, completion_ids=[[1]] * 2, trainer_state=None, **columns) == [
        1.0,
        0.0,
    ]
    assert trl_reward("integer")(prompts=prompts, completions=chats, **columns) == [None, None], (
        "a verifier that is named judges"
    )
    info = {name: rows[0][name] for name in ("id", "question", "kgym")}
    assert compute_score("kgym/countdown-v0", texts[0], rows[0]["answer"], info)["score"] == 1.0
    assert compute_score("kgym/countdown-v0", texts[0], rows[0]["answer"], info, verifier="integer")["unscored"] == 1.0


# --- files


@pytest.mark.parametrize("name", BRIDGES)
def test_the_bridges_conform(name):
    check_bridge(name)


def test_a_data_set_has_a_line_for_each_problem_and_a_card(tmp_path, capsys):
    assert export(tmp_path / "x", "--split", "train", "--split", "validation", "--limit", 3) == 0
    assert "3 problems of train, 3 problems of validation" in capsys.readouterr().out
    assert lines(tmp_path / "x" / "validation.jsonl") == export_rows("arithmetic", "validation", limit=3)
    card = (tmp_path / "x" / "README.md").read_text()
    assert "  - split: validation\n    path: validation.jsonl\n" in card
    for column in lines(tmp_path / "x" / "train.jsonl")[0]:
        assert f"| `{column}` |" in card


def test_an_exported_data_set_can_be_added_again(tmp_path, monkeypatch):
    monkeypatch.setenv("KGYM_DATA_DIR", str(tmp_path / "data"))
    assert export(tmp_path / "x", "--limit", 3) == 0
    assert main(["data", "add", "again", str(tmp_path / "x" / "train.jsonl")]) == 0
    again = export_rows("data", "train", dataset="again", validation_frac=0)
    assert {row["answer"] for row in again} == {row["answer"] for row in export_rows("arithmetic", limit=3)}


def test_parquet_for_verl(tmp_path):
    assert export(tmp_path / "x", "--limit", 2, "--set", "env.system=Be brief.", to="verl") == 0
    (first, _) = pq.read_table(tmp_path / "x" / "train.parquet").to_pylist()
    (row, _) = export_rows("arithmetic", limit=2, system="Be brief.")
    assert [message["role"] for message in first["prompt"]] == ["system", "user"]
    assert (first["prompt"], first["reward_model"]["ground_truth"]) == (row["prompt"], row["answer"])
    assert {name: first["extra_info"][name] for name in ("id", "index", "seed", "kgym")} == {
        name: row[name] for name in ("id", "index", "seed", "kgym")
    }


def test_settings_are_those_of_every_command(tmp_path):
    settings = ["--set", "env.difficulty=2", "verifier=math", "verifier.preset=strict"]
    assert export(tmp_path / "x", "--limit", 1, *settings, env="aime") == 0
    record = json.loads(lines(tmp_path / "x" / "train.jsonl")[0]["kgym"])
    assert (record["verifier"], record["verifier_options"]["preset"], record["settings"]["difficulty"]) == (
        "math",
        "strict",
        2,
    )


def test_what_cannot_be_exported_is_one_line_and_writes_nothing(tmp_path, capsys):
    folder = tmp_path / "x"
    assert "is endless; say how many problems to export: --limit N" in refused(capsys, folder)
    assert "did you mean 'trl'?" in refused(capsys, folder, "--limit", 1, to="trll")
    assert "--limit 0" in refused(capsys, folder, "--limit", 0)
    assert "no split of kgym/arithmetic-v0 named 'trainn'" in refused(capsys, folder, "--limit", 1, "--split", "trainn")
    assert "use --split validation" in refused(capsys, folder, "--limit", 1, "--set", "env.split=validation")
    assert "bridge.compact" in refused(capsys, folder, "--limit", 1, "--set", "bridge.compact=true")
    for to in BRIDGES[1:]:
        assert "replies to turns of the policy" in refused(capsys, folder, "--limit", 1, env="calculator", to=to)


def test_an_environment_that_replies_is_exported_as_its_problems(tmp_path):
    assert export(tmp_path / "x", "--limit", 1, env="calculator") == 0
    assert json.loads(lines(tmp_path / "x" / "train.jsonl")[0]["kgym"])["max_turns"] > 1


def test_files_are_replaced_only_when_asked(tmp_path, capsys):
    assert export(tmp_path / "x", "--limit", 1) == 0
    assert export(tmp_path / "x", "--limit", 2) == 2
    assert "README.md exists; choose another folder with --out, or --replace it" in capsys.readouterr().err
    assert len(lines(tmp_path / "x" / "train.jsonl")) == 1
    assert export(tmp_path / "x", "--limit", 2, "--replace") == 0
    assert len(lines(tmp_path / "x" / "train.jsonl")) == 2
    (tmp_path / "file").write_text("")
    assert export(tmp_path / "file", "--limit", 1) == 2
    assert f"cannot write {tmp_path / 'file'}" in capsys.readouterr().err


def test_a_prompt_of_several_turns_is_refused_by_lm_eval(tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "shots.py").write_text(
        "from kgym.hookspecs import EnvInfo, hookimpl\nfrom kgym_envs.arithmetic import Arithmetic\nfrom kgym.types "
        "import Message\n"
        "kgym_api = 1\n@hookimpl\ndef kgym_components():\n    yield EnvInfo('shots', 'shots:Shots', namespace='acme')\n"
        "class Shots(Arithmetic):\n    def prompt(self, problem):\n"
        "        return (Message('user', '1+1'), Message('assistant', '2'), *super().prompt(problem))\n"
    )
    arguments = [
        "-p",
        os.path.join(tmp_path, "shots.py"),
        "envs",
        "export",
        "shots",
        "--limit",
        "1",
        "--out",
        str(tmp_path / "x"),
        "--to",
    ]
    assert main([*arguments, "lm-eval"]) == 2
    assert "the prompt has the roles user, assistant, user" in capsys.readouterr().err
    assert main([*arguments, "trl"]) == 0


def test_the_kit_has_the_columns_of_exported_rows():
    (row,) = export_rows("arithmetic", limit=1)
    (own,) = sums(1).splits["train"]
    assert own.keys() == row.keys()
    assert json.loads(own["kgym"]).keys() <= json.loads(row["kgym"]).keys()
