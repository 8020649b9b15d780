"""The environments `calculator` and `python`: what the policy is told, what a verifier judges, and runs of real
commands.
"""

import json

import pytest

from kgym.cli.main import main
from kgym.envs.env import ReasoningEnv
from kgym.envs.setup import EnvSetup
from kgym.errors import SandboxLost, UnknownName
from kgym.judging.sandbox import Pool
from kgym.runs.metrics import read_metrics

CALL = '<tool_call>\n{"name": "calculator", "arguments": {"expression": "%s"}}\n</tool_call>'


def replied(env, text):
    env.reset(options={"index": 0})
    chat, *_ = env.step(text)
    return chat[-1].content if chat[-1].role == "tool" else None


def test_the_problems_are_those_of_the_other_environment():
    own, other = (
        EnvSetup("calculator", {"problems": "aime", "problem_options": {"difficulty": 2}}),
        EnvSetup("aime", {"difficulty": 2}),
    )
    assert [own.problem(index) for index in range(5)] == [other.problem(index) for index in range(5)]
    assert (own.verifier_name, own.task.splits, own.budgets.max_tokens) == (
        "integer",
        other.task.splits,
        2 * other.budgets.max_tokens,
    )
    assert own.prompt(own.problem(0))[0].content.startswith(other.prompt(other.problem(0))[0].content)
    assert own.facts()["env_id"] == "kgym/calculator-v0"
    with pytest.raises(UnknownName):
        EnvSetup("calculator", {"problems": "nothing"})
    with pytest.raises(UnknownName):
        EnvSetup("calculator", {"problem_options": {"dificulty": 2}})


def test_each_format_is_described_and_read():
    for name, call in (
        ("fenced", "```calculator\n2^10\n```"),
        ("hermes", CALL % "2^10"),
        ("llama", '{"name": "calculator", "parameters": {"expression": "2^10"}}'),
    ):
        env = ReasoningEnv("calculator", format=name)
        chat, _ = env.reset(options={"index": 0})
        assert [message.role for message in chat] == (["user"] if name == "fenced" else ["system", "user"])
        assert "calculator" in chat[0].content
        assert replied(env, call) == "1024"


def test_mistakes_are_told_and_do_not_end_the_episode():
    env = ReasoningEnv("calculator", format="hermes")
    assert replied(env, "<tool_call>{1}</tool_call>").startswith("Error: the call is not JSON")
    assert replied(env, CALL % "1/0") == "Error: division by zero"
    assert (
        replied(env, CALL.replace("calculator", "abacus") % "1")
        == "Error: there is no tool 'abacus'; the tools are calculator"
    )
    assert replied(env, '<tool_call>{"name": "calculator", "arguments": {"expression": [1]}}</tool_call>').startswith(
        "Error: the argument"
    )
    assert replied(env, CALL % "1" + CALL % "1/0" + CALL % "3") == "1\nError: division by zero\n3"
    assert replied(env, CALL % "1" * 9) == "Error: 9 calls in one turn; at most 8 are allowed, so none was made"
    assert replied(env, f"<think>{CALL % '1'}</think>so \\boxed{{1}}") is None, "a call in reasoning is none"


def test_long_replies_keep_their_beginning_and_their_end():
    env = ReasoningEnv("calculator", max_output=100)
    said = replied(env, "```calculator\n2^1000\n```")
    assert len(said) <= 100
    assert said.startswith(str(2**1000)[:30])
    assert said.endswith(str(2**1000)[-30:])
    assert "characters are left out" in said


def test_an_option_that_is_none_is_refused(capsys):
    assert main(["eval", "--bench", "calculator:validation", "--problems", "1", "--set", "env.format=xml"]) == 2
    assert "env.format" in capsys.readouterr().err


# --- python -----------------------------------------------------------------------------------------------------------


def program(text):
    return f"I compute.\n```python\n{text}\n```"


def test_a_program_runs_in_the_sandbox_and_keeps_nothing():
    env = ReasoningEnv("python")
    assert replied(env, program("print(sum(range(101)))")) == "5050"
    chat, *_ = env.step(program("print(open('/tmp/x', 'w').write('a'))\nx = 1"))
    assert chat[-1].content == "1"
    chat, *_ = env.step(program("import os\nprint(os.path.exists('/tmp/x'), 'x' in globals())"))
    assert chat[-1].content == "False False"
    assert replied(env, program("pass")) == "(it printed nothing)"


def test_programs_that_fail_are_told_why():
    env = ReasoningEnv("python", limits={"cpu_s": 1.0, "wall_s": 20.0})
    assert "ZeroDivisionError" in replied(env, program("print(1)\n1/0"))
    assert replied(env, program("print(1)\n1/0")).startswith("Error: the program failed: Traceback")
    assert replied(env, program("print(1)\n1/0")).endswith("It printed:\n1")
    assert (
        replied(env, program("while True: pass"))
        == "Error: the program failed: it took more than 1 s of processor time"
    )
    assert replied(env, program("raise SystemExit(3)")) == "Error: the program failed: it ended with exit code 3"
    assert "OSError" in replied(env, program("import socket\nsocket.socket()"))


def test_a_sandbox_that_is_lost_is_tried_again_and_is_not_the_policys_fault(monkeypatch):
    real, lost = Pool.run, []

    def run(pool, *arguments, **more):
        if len(lost) < n_lost:
            lost.append(1)
            raise SandboxLost("gone")
        return real(pool, *arguments, **more)

    monkeypatch.setattr(Pool, "run", run)
    n_lost = 1
    assert replied(ReasoningEnv("python"), program("print(1)")) == "1"
    lost.clear()
    n_lost = 2
    env = ReasoningEnv("python")
    env.reset(options={"index": 0})
    *_, info = env.step(program("print(1)"))
    assert info["status"] == "unscored:reply:SandboxLost"


def test_where_programs_cannot_be_isolated_the_doctor_says_so(monkeypatch):
    from kgym_envs.tools.interpreter import Python

    monkeypatch.setattr("kgym.judging.bubblewrap.missing", lambda: "bwrap is missing; apt install bubblewrap")
    assert Python.missing() == "bwrap is missing; apt install bubblewrap"


# --- commands ---------------------------------------------------------------------------------------------------------

SMALL = [
    "--set",
    "rollout.problems_per_step=2",
    "rollout.group_size=3",
    "env.max_tokens=48",
    "eval.problems=4",
    "eval.every=0",
]


def trained(run, model, *more, env="calculator", steps=2):
    command = [
        "train",
        "--env",
        env,
        "--model",
        str(model),
        "--run",
        str(run),
        "--steps",
        str(steps),
        "--json",
        *SMALL,
        "train.threads=1",
    ]
    assert main([*command, "train.save_every=1", "rollout.max_unscored_frac=1", *more]) == 0
    return read_metrics(run / "metrics.jsonl")


def test_training_and_evaluation_run_with_a_tool(tiny_model, tmp_path, capsys):
    lines = trained(tmp_path / "run", tiny_model)
    assert len(lines) == 2
    capsys.readouterr()
    command = [
        "eval",
        "--bench",
        "calculator:validation",
        "--problems",
        "4",
        "--model",
        str(tiny_model),
        "--max-tokens",
        "32",
        "--json",
    ]
    assert main([*command, "--run", str(tmp_path / "eval")]) == 0
    assert json.loads(capsys.readouterr().out)["n_samples"] >= 4


def test_environments_with_tools_are_shown_and_checked(capsys):
    assert main(["envs", "show", "calculator", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {option["key"] for option in shown["options"]} >= {"env.problems", "env.format", "env.max_turns"}
    assert main(["envs", "check", "calculator", "--problems", "20"]) == 0
