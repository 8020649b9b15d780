"""Thirty plugins are installed, four of which misbehave: the good ones work, and the others are named."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kgym.loading import import_file

plugins = import_file("benchmark_plugins", Path(__file__).parent.parent / "benchmarks" / "plugins.py")

BROKEN = (
    "kgym: warning: plugin 'acme-broken' (acme-broken 1.0) is broken and left out: "
    "ModuleNotFoundError: No module named 'no_such_library' (more: kgym plugins doctor)\n"
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Return a function that runs kgym where the thirty are installed, and the names of the good ones."""
    folder = tmp_path_factory.mktemp("site")
    good = plugins.write(folder)
    environ = {key: value for key, value in os.environ.items() if not key.startswith("KGYM_")} | {
        "PYTHONPATH": str(folder)
    }

    def run(*arguments, stdin=""):
        command = [sys.executable, "-W", "error", "-m", "kgym", *arguments]
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=240, check=False, env=environ, cwd=folder
        )

    return run, good


def judged(done):
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def items(*responses):
    return "".join(json.dumps({"gold": "5", "response": response}) + "\n" for response in responses)


def test_help_is_help_and_names_the_broken_one(installed):
    run, _ = installed
    done = run("--help")
    assert done.returncode == 0
    assert done.stdout.startswith("kgym: ")
    assert "thank you" not in done.stdout
    assert BROKEN in done.stderr
    assert done.stderr.replace(BROKEN, "") == "thank you for installing\n"


def test_good_ones_are_listed_and_the_clash_is_marked(installed):
    run, good = installed
    done = run("plugins", "list", "--json")
    assert done.returncode == 0
    listed = json.loads(done.stdout)
    third = [item for item in listed["components"] if item["distribution"].startswith("acme-")]
    assert {item["name"] for item in third if "note" not in item} == {*good, "clash", "prints", "hangs"}
    marked = {
        (item["distribution"], item["kind"], item["note"]) for item in listed["components"] if item["name"] == "integer"
    }
    assert marked == {
        ("acme-clash", "verifier", "clash: -p no:acme-clash"),
        ("kgym", "verifier", "clash: -p no:acme-clash"),
    }


def test_the_doctor_names_each_of_the_others(installed):
    run, _ = installed
    done = run("plugins", "doctor", "--json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert [(item["name"], item["error"]) for item in report["broken"]] == [
        ("acme-broken", "ModuleNotFoundError: No module named 'no_such_library'")
    ]
    assert report["clashes"] == [
        "verifier 'integer' is offered by both kgym and acme-clash; choose one: -p no:acme-clash"
    ]
    assert report["printed"] == {"'acme-prints' (acme-prints 1.0)": "thank you for installing\n"}


def test_a_good_one_works_beside_them(installed):
    run, good = installed
    done = run("verify", "-", "--verifier", good[-1], "--json", stdin=items(r"\boxed{5}", r"\boxed{6}"))
    assert [line["status"] for line in judged(done) if "status" in line] == ["correct", "wrong"]


def test_the_clashing_name_is_refused_until_one_is_chosen(installed):
    run, _ = installed
    refused = run("verify", "-", "--verifier", "integer", stdin=items(r"\boxed{5}"))
    assert refused.returncode == 2
    assert "verifier 'integer' is offered by both kgym and acme-clash; choose one: -p no:acme-clash" in refused.stderr
    chosen = run("-p", "no:acme-clash", "verify", "-", "--verifier", "integer", "--json", stdin=items(r"\boxed{05}"))
    assert [line["status"] for line in judged(chosen) if "status" in line] == ["correct"]


def test_the_verifier_that_hangs_is_ended_and_named(installed):
    run, _ = installed
    limits = "verifier.limits.deadline_s=0.5"
    done = run("verify", "-", "--verifier", "hangs", "--json", "--set", limits, stdin=items(r"\boxed{5}"))
    assert [line["status"] for line in judged(done) if "status" in line] == ["unscored:timeout"]
    assert (
        "kgym: warning: verifier 'hangs' of acme-hangs 1.0 took longer than 0.5 s (problem -:1); such completions are "
        in done.stderr
    )
