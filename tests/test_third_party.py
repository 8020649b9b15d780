"""A third party's distribution is built, installed, found and trained with: examples/kgym-hello in its own virtual
environment.
"""

import json
from pathlib import Path

import pytest

from strangers import Stranger

HELLO = Path(__file__).parent.parent / "examples" / "kgym-hello"


@pytest.fixture
def hello(monkeypatch):
    """The package's modules, without installing it."""
    monkeypatch.syspath_prepend(HELLO)
    from kgym_hello.algorithm import Hello as Algorithm
    from kgym_hello.env import Greeting
    from kgym_hello.verifier import Hello as Verifier

    return Greeting, Verifier, Algorithm


def test_its_verifier_accepts_every_gold_answer_and_no_other(hello):
    from kgym.types import VerifyItem

    greeting, verifier, _ = hello
    task, judge = greeting(greeting.Options()), verifier(verifier.Options())
    problems = [task.source(split)[i] for split in task.splits for i in range(task.source(split).size)]
    assert len({problem.id for problem in problems}) == len(problems) == 16
    verdicts = judge.verify_many([VerifyItem(problem.gold, problem.solution) for problem in problems])
    assert {verdict.status for verdict in verdicts} == {"correct"}
    texts = ["hello Ada", "HELLO ADA", "Hello, Carl. Hello, Ada", "Ada", "", "hello " * 10**5, "hello" + " " * 10**6]
    statuses = [verdict.status for verdict in judge.verify_many([VerifyItem("Ada", text) for text in texts])]
    assert statuses == ["correct", "correct", "wrong", "no_answer", "no_answer", "wrong", "no_answer"]
    strict = verifier(verifier.Options(ignore_case=False))
    assert strict.verify_many([VerifyItem("Ada", "hello ada")])[0].status == "wrong"


def test_its_algorithm_keeps_the_contract_and_gives_the_gradient_of_reinforce(hello):
    import torch

    from kgym.testing.algorithms import check_algorithm

    algorithm = hello[2](hello[2].Options())
    check_algorithm(algorithm)
    old = torch.tensor([[-1.0, -2.0], [-0.5, -0.5]], dtype=torch.float64)
    logprobs = old.clone().requires_grad_()
    algorithm.loss_on(logprobs, old, rewards=[1.0, 0.0], group_ids=[0, 0]).loss.backward()
    # ratio 1, advantages +1/2 and -1/2, mean over two completions: -A / 2 a token
    assert logprobs.grad.tolist() == [[-0.25, -0.25], [0.25, 0.25]]


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """Return a function that runs kgym in a virtual environment that has the package, and after it all that this one
    has.
    """
    stranger = Stranger(tmp_path_factory.mktemp("stranger"))
    stranger.pip(HELLO)
    return stranger.kgym


@pytest.mark.slow
def test_an_installed_package_is_found(stranger):
    done = stranger("plugins", "list", "--json")
    assert done.returncode == 0, done.stderr
    components = json.loads(done.stdout)["components"]
    found = {(item["kind"], item["name"]) for item in components if item["distribution"] == "kgym-hello"}
    assert found == {("environment", "greeting"), ("verifier", "hello"), ("algorithm", "hello")}
    assert stranger("plugins", "doctor").returncode == 0
    for name in ("hello", "greeting"):
        checked = stranger("plugins", "check", name)
        assert checked.returncode == 0, checked.stdout + checked.stderr
    shown = json.loads(stranger("plugins", "show", "hello", "--kind", "verifier", "--json").stdout)
    assert shown[0]["options"][0]["description"] == "`ada` is `Ada`."


@pytest.mark.slow
def test_an_installed_package_can_be_left_out(stranger):
    done = stranger("-p", "no:kgym-hello", "train", "--env", "greeting", "--algo", "hello")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("kgym: error: no algorithm named 'hello'; ")


@pytest.mark.slow
def test_kgym_trains_on_a_strangers_environment_with_a_strangers_algorithm(stranger, tmp_path):
    sizes = {
        "rollout.problems_per_step": 2,
        "rollout.group_size": 2,
        "env.max_tokens": 12,
        "env.truncated": "score",
        "eval.problems": 2,
    }
    settings = [part for key, value in sizes.items() for part in ("--set", f"{key}={value}")]
    done = stranger(
        "train",
        "--env",
        "greeting",
        "--algo",
        "hello",
        "--steps",
        "2",
        "--run",
        str(tmp_path / "run"),
        "--json",
        *settings,
    )
    assert done.returncode == 0, done.stderr
    metrics = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in metrics][-2:] == [1, 2]
    assert metrics[-1]["policy/ratio"] == pytest.approx(1.0, abs=1e-3)  # of its loss; one inner step on fresh data
    assert metrics[-1]["verdict/no_answer_frac"] == 1.0  # of its verifier: nano has never greeted anybody
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert {"name": "kgym-hello", "distribution": "kgym-hello", "version": "0.1.0"} in manifest["plugins"]
    assert "hello/greeting-v0" in json.dumps(manifest)
