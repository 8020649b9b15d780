"""`kgym envs` and `kgym data`: what they print, their exit status, and one clear line when the request is wrong."""

import json

import pytest

from kgym.cli.main import main
from kgym.envs.registration import register_envs
from kgym.registry import configure


@pytest.fixture
def kgym(capsys):
    """Run a command; return its status, standard output (JSON decoded after --json) and standard error."""

    def run(*arguments):
        status = main(["-p", "tiny_env", *map(str, arguments)])
        out, err = capsys.readouterr()
        return status, json.loads(out) if "--json" in arguments and out else out, err

    yield run
    configure()
    register_envs()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KGYM_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def refused(result, message):
    status, out, err = result
    assert (status, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1


# --- envs


def test_list(kgym):
    status, rows, _ = kgym("envs", "list", "--json")
    assert status == 0
    found = {row["id"]: row for row in rows}
    assert found["kgym/aime-v1"]["splits"] == ["train", "validation", "2024", "2025", "2026"]
    assert found["tests/tiny-v3"] == {
        "name": "tiny",
        "id": "tests/tiny-v3",
        "splits": ["train", "validation"],
        "summary": "add to a number",
        "from": "tiny_env",
        "error": "",
    }
    status, out, _ = kgym("envs", "list")
    assert status == 0
    assert all(name in out for name in found)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("pass", "AttributeError: 'Task' object has no attribute 'splits'"),
        ("splits = 'train'", "splits are 'train'; they have to be a tuple of names"),
        ("splits = (2024,)", "splits are (2024,); they have to be a tuple of names"),
    ],
)
def test_an_environment_with_wrong_splits_is_named(source, why, tmp_path, capsys):
    (tmp_path / "wrong.py").write_text(
        "from kgym.hookspecs import *\nkgym_api = 1\n"
        "@hookimpl\ndef kgym_components():\n    yield EnvInfo('wrong', 'wrong:Task')\n"
        f"class Task:\n    def __init__(self, options): pass\n    {source}\n"
    )

    def said(*arguments):
        status = main(["-p", str(tmp_path / "wrong.py"), *arguments])
        return status, *capsys.readouterr()

    status, out, _ = said("envs", "list", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert status == 0
    assert rows["wrong"]["error"] == f"environment 'kgym/wrong-v0' of plugin 'wrong': {why}"
    assert rows["aime"]["splits"][:2] == ["train", "validation"]
    assert why in said("envs", "show", "wrong")[2]
    for command in (("plugins", "check"), ("envs", "check")):
        status, out, err = said(*command, "wrong")
        assert status == 1
        assert why in out + err
    configure()
    register_envs()


def test_show(kgym):
    status, facts, _ = kgym(
        "envs", "show", "tiny", "--set", "env.add=5", "--split", "validation", "--index", 2, "--json"
    )
    assert status == 0
    assert facts["splits"] == {"train": "5", "validation": "5"}
    assert facts["problem"]["gold"] == "27"
    assert facts["problem"]["prompt"][-1] == {"role": "user", "content": "What is 22+5?"}
    options = {option["key"]: option for option in facts["options"]}
    assert options["env.add"]["description"] == "What to add."
    assert (options["env.add"]["own"], options["env.max_tokens"]["own"]) == (True, False)
    status, out, _ = kgym("envs", "show", "aime")
    assert status == 0
    for text in (
        "kgym/aime-v1",
        "endless",
        "kgym data add aime24 FILE",
        "env.difficulty",
        "env.truncated",
        "[user]",
        "[worked solution]",
    ):
        assert text in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "tinny"], "did you mean 'tiny'"),
        (["show", "tiny", "--set", "env.ad=3"], "did you mean 'env.add'"),
        (["show", "tiny", "--set", "add"], "write it as key=value"),
        (["show", "tiny", "--index", "5"], "index=5"),
        (["show", "tiny", "--split", "tset"], "no split of tests/tiny-v3 named 'tset'"),
        (["show", "aime", "--split", "2024"], "kgym data add aime24 FILE"),
        (["check", "tinny"], "did you mean 'tiny'"),
        (["check", "tiny", "--problems", "0"], "--problems 0"),
        (["shwo"], "did you mean 'show'"),
    ],
)
def test_a_wrong_request_is_one_line(kgym, arguments, message):
    refused(kgym("envs", *arguments), message)


def test_check(kgym):
    status, report, _ = kgym("envs", "check", "tiny", "arithmetic", "--problems", 20, "--json")
    assert (status, report["healthy"]) == (0, True)
    checks = {(row["environment"], row["split"], row["check"]) for row in report["checks"]}
    assert {
        ("tiny", "train", "gymnasium"),
        ("tiny", "all", "disjoint splits"),
        ("arithmetic", "validation", "vector"),
    } <= checks
    status, out, _ = kgym("envs", "check", "tiny", "--problems", 3)
    assert status == 0
    assert "checks passed" in out


def test_check_of_a_broken_one(kgym):
    status, report, _ = kgym("envs", "check", "tiny", "shared", "--problems", 5, "--json")
    assert (status, report["healthy"]) == (1, False)
    assert [(row["environment"], row["check"]) for row in report["checks"] if row["trouble"]] == [
        ("shared", "disjoint splits")
    ]
    status, out, _ = kgym("envs", "check", "shared", "--problems", 5)
    assert status == 1
    assert "checks failed" in out


# --- data


@pytest.fixture
def exam(tmp_path):
    path = tmp_path / "exam.jsonl"
    rows = [{"id": f"I-{n}", "problem": f"What is {n} + {n}?", "answer": f"{2 * n:03}"} for n in range(1, 31)]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, rows[0]]))
    return path


def test_a_year_that_was_added_is_an_environment(kgym, exam, folder):
    assert kgym("data", "list", "--json") == (0, [], "")
    status, facts, err = kgym("data", "add", "aime24", exam, "--json")
    assert (status, facts["problems"], facts["left_out"]) == (
        0,
        30,
        ["exam.jsonl line 31: the question of exam.jsonl line 1 again, left out"],
    )
    assert "line 31" in err
    assert "warning" not in err
    status, (row,), _ = kgym("data", "list", "--json")
    assert row == {
        "name": "aime24",
        "problems": 30,
        "sha256": facts["sha256"],
        "file": str(folder / "aime24.parquet"),
        "error": "",
    }
    status, shown, _ = kgym("envs", "show", "aime", "--split", "2024", "--index", 7, "--json")
    assert (shown["problem"]["id"], shown["problem"]["gold"]) == ("aime24/I-8", "016")
    assert shown["facts"]["data_sha256"] == facts["sha256"]
    status, report, _ = kgym("envs", "check", "aime", "--problems", 30, "--json")
    assert status == 0, [row for row in report["checks"] if row["trouble"]]
    assert ("2024", "gold answers") in {(row["split"], row["check"]) for row in report["checks"]}
    assert "aime24" in kgym("data", "list")[1]


def test_a_number_of_rows_that_is_not_the_examinations_is_warned_of(kgym, exam):
    exam.write_text("".join(exam.read_text().splitlines(keepends=True)[:15]))
    status, out, err = kgym("data", "add", "aime25", exam)
    assert status == 0
    assert "aime25: 15 problems" in out
    assert "warning: aime25 has 30 problems, and these are 15" in err
    assert kgym("data", "add", "mine", exam)[2] == ""


def test_other_problems_are_not_lost_in_silence(kgym, exam, folder):
    assert kgym("data", "add", "mine", exam)[0] == 0
    assert kgym("data", "add", "mine", exam)[0] == 0  # the same again
    before = (folder / "mine.parquet").read_bytes()
    exam.write_text('{"problem": "Q", "answer": "1"}\n')
    refused(kgym("data", "add", "mine", exam), "--replace")
    assert (folder / "mine.parquet").read_bytes() == before
    assert kgym("data", "add", "mine", exam, "--replace")[0] == 0
    (folder / "mine.parquet").write_bytes(b"broken")
    status, (row,), _ = kgym("data", "list", "--json")
    assert (status, row["name"], "not a Parquet file" in row["error"]) == (0, "mine", True)
    assert kgym("data", "add", "mine", exam)[0] == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"problem": "Q", "answer": "1"}\n{"problem": "R"}\n', "exam.jsonl line 2: no answer"),
        ("", "no rows"),
        ("{", "line 1: not JSON"),
    ],
)
def test_bad_files_are_refused_whole(kgym, exam, folder, content, message):
    exam.write_text(content)
    refused(kgym("data", "add", "mine", exam), message)
    assert not folder.exists()


def test_wrong_requests(kgym, exam, tmp_path):
    refused(kgym("data", "add", "../mine", exam), "data set name")
    refused(kgym("data", "add", "mine", tmp_path / "none.csv"), "does not exist")
    refused(kgym("data", "add", "mine"), "FILE")


def test_a_folder_that_cannot_be_written_is_a_failure(kgym, exam, folder):
    folder.write_text("a file in the way")
    status, _, err = kgym("data", "add", "mine", exam)
    assert status == 1
    assert str(folder) in err


def test_a_family_is_listed_with_its_members(kgym):
    assert "small:NAME" in kgym("envs", "list")[1]
    assert kgym("envs", "list", "small:")[1].split() == ["small:one", "small:two"]
    assert kgym("envs", "list", "small", "--json")[1] == ["small:one", "small:two"]
    assert "cannot be listed" in kgym("envs", "list", "file")[1]
    refused(kgym("envs", "list", "smal"), "did you mean 'small'")
