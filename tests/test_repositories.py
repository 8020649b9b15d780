"""Data set repositories: which of their files are meant, and the way of those files from a hub, here a small one on
this machine.
"""

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kgym.data.hub import card_of
from kgym.data.importing import bring
from kgym.data.known import known_sets
from kgym.data.repository import Wanted, chosen, parts_of
from kgym.errors import ConfigError, DataError, UnknownName

GSM8K = [f"{config}/{split}-00000-of-00001.parquet" for config in ("main", "socratic") for split in ("test", "train")]
GSM8K_CARD = {
    "configs": [
        {
            "config_name": config,
            "data_files": [{"split": split, "path": f"{config}/{split}-*"} for split in ("train", "test")],
        }
        for config in ("main", "socratic")
    ]
}
HALVES_CARD = {
    "configs": [
        {"config_name": f"AIME2025-{half}", "data_files": [{"split": "test", "path": f"aime2025-{half}.jsonl"}]}
        for half in ("I", "II")
    ]
}
PARTS_CARD = {
    "configs": [
        {"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*"}]},
        {"config_name": "part1", "data_files": [{"split": "train", "path": "part1/train-*"}]},
    ]
}
TWO_CARD = {
    "configs": [
        {"config_name": "p", "data_files": "a.csv"},
        {"config_name": "q", "data_files": "b.csv", "default": True},
    ],
}
DEV_CARD = {"configs": [{"config_name": "c", "data_dir": "y", "data_files": {"dev": "a.*"}}]}


def files(names, card, name="mine", **wanted):
    return [
        file
        for part in chosen(parts_of(names, card), Wanted(**wanted), name, known_sets().get(name))
        for file in part.files
    ]


@pytest.mark.parametrize(
    ("names", "card", "name", "wanted", "expected"),
    [
        (["data/train-00000-of-00001.parquet"], {}, "aime24", {}, ["data/train-00000-of-00001.parquet"]),
        (["train.jsonl", "test.jsonl", "README.md"], {}, "mine", {}, ["test.jsonl"]),
        (["train.jsonl", "test.jsonl"], {}, "mine", {"split": "train"}, ["train.jsonl"]),
        (GSM8K, GSM8K_CARD, "gsm8k", {}, ["main/test-00000-of-00001.parquet"]),
        (GSM8K, {}, "gsm8k", {}, ["main/test-00000-of-00001.parquet"]),
        (
            GSM8K,
            GSM8K_CARD,
            "gsm8k",
            {"configs": ("socratic",), "split": "train"},
            ["socratic/train-00000-of-00001.parquet"],
        ),
        (
            ["aime2025-I.jsonl", "aime2025-II.jsonl"],
            HALVES_CARD,
            "aime25",
            {},
            ["aime2025-I.jsonl", "aime2025-II.jsonl"],
        ),
        (
            ["aime2025-I.jsonl", "aime2025-II.jsonl"],
            HALVES_CARD,
            "aime25",
            {"configs": ("AIME2025-II",)},
            ["aime2025-II.jsonl"],
        ),
        (["data/train-0.parquet", "part1/train-0.parquet"], PARTS_CARD, "aime25", {}, ["data/train-0.parquet"]),
        (
            ["data/train-0.parquet", "part1/train-0.parquet"],
            PARTS_CARD,
            "aime25",
            {"configs": ("part1",)},
            ["part1/train-0.parquet"],
        ),
        (
            [f"data/{split}-00000-of-00001.parquet" for split in ("math4500", "math500", "test", "train")],
            {},
            "math500",
            {},
            ["data/math500-00000-of-00001.parquet"],
        ),
        (
            ["a/test/0000.parquet", "a/train/0000.parquet", "b/partial-test/0000.parquet"],
            {},
            "mine",
            {"split": "test"},
            ["a/test/0000.parquet", "b/partial-test/0000.parquet"],
        ),
        (
            ["x.jsonl", "y.jsonl"],
            {"configs": [{"config_name": "c", "data_files": "*.jsonl"}]},
            "mine",
            {},
            ["x.jsonl", "y.jsonl"],
        ),
        (
            ["x/a.csv", "y/a.csv"],
            {"configs": [{"config_name": "c", "data_files": ["y/*.csv"]}]},
            "mine",
            {},
            ["y/a.csv"],
        ),
        (["x/a.csv", "y/a.csv"], {"configs": [{"config_name": "c", "data_dir": "y"}]}, "mine", {}, ["y/a.csv"]),
        (["x/a.csv", "y/a.csv"], DEV_CARD, "mine", {}, ["y/a.csv"]),
        (["a.csv", "b.csv"], TWO_CARD, "mine", {}, ["b.csv"]),
        (
            ["deep/er/a.jsonl"],
            {"configs": [{"config_name": "c", "data_files": "**/*.jsonl"}]},
            "mine",
            {},
            ["deep/er/a.jsonl"],
        ),
        (
            ["dataset_infos.json", ".cache/x.json", "problems.json"],
            {"configs": "?", "x": 1},
            "mine",
            {},
            ["problems.json"],
        ),
        (["my_val.csv", "my_train.csv"], {}, "mine", {"split": "validation"}, ["my_val.csv"]),
    ],
)  # fmt: skip
def test_the_files_that_are_meant(names, card, name, wanted, expected):
    assert files(names, card, name, **wanted) == expected
    assert files(list(reversed(names)), card, name, **wanted) == expected


@pytest.mark.parametrize(
    ("names", "card", "wanted", "error", "message"),
    [
        (["README.md", "x.py"], {}, {}, DataError, "no data file"),
        (["train.csv", "val.csv"], {}, {}, DataError, r"splits train, validation; choose one with --split"),
        (["train.csv", "val.csv"], {}, {"split": "vlidation"}, UnknownName, "did you mean 'validation'"),
        (GSM8K, GSM8K_CARD, {"configs": ("mian",)}, UnknownName, "did you mean 'main'"),
    ],
)
def test_what_is_not_there_is_said(names, card, wanted, error, message):
    with pytest.raises(error, match=message):
        files(names, card, **wanted)


@pytest.mark.parametrize(
    "card",
    [{"configs": [1, {"data_files": 7}, {"data_files": [{"path": None}, 3]}, {"data_files": {"train": [None]}}]}],
)
def test_a_card_of_nonsense_counts_as_none(card):
    assert files(["test.jsonl"], card) == ["test.jsonl"]


def test_the_head_of_a_card(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("---\nlicense: mit\nconfigs:\n- config_name: main\n---\n# About\n")
    assert card_of(readme) == {"license": "mit", "configs": [{"config_name": "main"}]}
    readme.write_text("# About\n")
    assert card_of(readme) == {}
    for bad in ("---\n- a\n---\n", "---\na: [\n---\n"):
        readme.write_text(bad)
        with pytest.raises(DataError, match=r"README\.md: its metadata cannot be read"):
            card_of(readme)


# --- from a hub


def rows(first):
    return [{"question": f"What is {n}+{n}?", "answer": str(2 * n)} for n in range(first, first + 15)]


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "halves"
    folder.mkdir()
    for half, first in (("I", 1), ("II", 16)):
        (folder / f"aime2025-{half}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(first)))
    (folder / "unwanted.bin").write_bytes(b"x" * 100)
    (folder / "README.md").write_text(f"---\n{json.dumps(HALVES_CARD)}\n---\n# Two halves\n")
    return folder


def test_a_folder_is_read_like_a_repository(repository):
    source = bring("aime25", [str(repository)])
    assert (source.size, source.notes) == (30, [])
    assert [file["name"] for file in source.provenance["sources"][0]["files"]] == [
        "aime2025-I.jsonl",
        "aime2025-II.jsonl",
    ]
    assert bring("aime25", [str(repository)], wanted=Wanted(("AIME2025-I",))).size == 15
    with pytest.raises(ConfigError, match="did you mean 'AIME2025-I'"):
        bring("aime25", [str(repository)], wanted=Wanted(("AIME2025-i",)))
    (repository / "README.md").unlink()
    for file in repository.glob("*.jsonl"):
        file.unlink()
    with pytest.raises(DataError, match=rf"^{repository}: it has no data file"):
        bring("aime25", [str(repository)])


COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """As much of a hub as serves one public repository."""

    folder: Path
    asked: list[str]

    def do_GET(self):
        self.asked.append(self.path)
        root = "/datasets/own/halves/resolve/"
        if self.path.split("?")[0] in ("/api/datasets/own/halves", "/api/datasets/own/halves/revision/fixed"):
            listed = [{"rfilename": file.name} for file in sorted(self.folder.iterdir())]
            self.answer(json.dumps({"_id": "1", "id": "own/halves", "sha": COMMIT, "siblings": listed}).encode(), {})
        elif self.path.startswith(root + COMMIT + "/"):
            content = (self.folder / self.path.rpartition("/")[2]).read_bytes()
            self.answer(content, {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT})
        else:
            code = "RevisionNotFound" if "/own/halves/" in self.path else "RepoNotFound"
            self.answer(b"{}", {"X-Error-Code": code, "X-Error-Message": "not here"}, status=404)

    do_HEAD = do_GET  # noqa: N815

    def answer(self, content, headers, status=200):
        self.send_response(status)
        for name, value in (
            headers | {"Content-Length": str(len(content)), "Content-Type": "application/json"}
        ).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *arguments):
        """Keep quiet."""


@pytest.fixture
def kgym_with_hub(repository, tmp_path):
    """Run `kgym` in its own process, whose hub is a server on this machine; the addresses it asked for are
    `run.asked`.
    """
    handler = type("OneRepository", (Hub,), {"folder": repository, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home = {
        "KGYM_DATA_DIR": str(tmp_path / "added"),
        "HF_HOME": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": "0",
        "NO_PROXY": "*",
    }
    env = os.environ | home | {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HUB_DISABLE_XET": "1"}

    def run(*arguments):
        command = [sys.executable, "-m", "kgym", *arguments, "--json"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr

    run.asked = handler.asked
    yield run
    server.shutdown()
    server.server_close()


def test_a_repository_of_a_hub(kgym_with_hub):
    status, facts, err = kgym_with_hub("data", "add", "aime25", "hub:own/halves", "--revision", "fixed")
    assert (status, err) == (0, "")
    assert facts["problems"] == 30
    assert not any("unwanted" in path for path in kgym_with_hub.asked), "only the files that are meant are fetched"
    _, shown, _ = kgym_with_hub("data", "show", "aime25")
    (place,) = shown["provenance"]["sources"]
    assert (place["source"], place["revision"]) == ("hub:own/halves", COMMIT)
    assert [file["name"] for file in place["files"]] == ["aime2025-I.jsonl", "aime2025-II.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mine", "hub:own/none"], "own/none on the hub: the data set does not exist, or it is private"),
        (
            ["mine", "hub:own/halves", "--revision", "gone"],
            "own/halves on the hub at gone: the revision does not exist",
        ),
        (["mine", "hub:own/halves", "--split", "train"], "no split named 'train'; known: test"),
        (["mine", "hub:no id"], "cannot get no id on the hub"),
    ],
)
def test_what_a_hub_does_not_have(kgym_with_hub, arguments, message):
    status, _, err = kgym_with_hub("data", "add", *arguments)
    assert (status, len(err.splitlines())) == (2, 1)
    assert message in err
