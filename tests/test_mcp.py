"""The tools of a server that speaks the Model Context Protocol, as an environment; the server is a program that the
tests start.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from kgym.cli.main import main
from kgym.envs.env import ReasoningEnv
from kgym.envs.setup import EnvSetup
from kgym.envs.spec import EnvSpec
from kgym.errors import ConfigError, MissingData, UnknownName
from kgym.testing.envs import findings
from kgym.types import Message

pytest.importorskip("mcp")

COMMAND = [sys.executable, str(Path(__file__).parent / "mcp_server.py")]


@pytest.fixture(scope="module")
def env():
    made = ReasoningEnv("mcp", command=COMMAND, format="hermes", timeout_s=10)
    yield made
    made.setup.task._connection.close()


def said(env, name, **arguments):
    call = json.dumps({"name": name, "arguments": arguments})
    env.reset(options={"index": 0})
    chat, _, _, _, info = env.step(f"<tool_call>{call}</tool_call>")
    return chat[-1].content if chat[-1].role == "tool" else info["status"]


def test_the_tools_of_the_server_are_in_the_prompt_and_can_be_called(env):
    chat, _ = env.reset(options={"index": 0})
    assert all(name in chat[0].content for name in ("add", "shout", "Add two numbers."))
    assert said(env, "add", a=2, b=3) == "5"
    assert said(env, "shout", text="hey") == "HEY"


def test_it_keeps_the_contract_of_gymnasium_and_of_kgym():
    assert [
        found
        for found in findings(EnvSpec("mcp", settings={"command": COMMAND, "tools": ["add"]}), sample=10)
        if found[2]
    ] == []


def test_what_the_server_refuses_is_told_to_the_policy(env):
    assert said(env, "fail", text="luck").startswith("Error: ")
    assert "no luck" in said(env, "fail", text="luck")
    assert said(env, "add", a="two", b=3).startswith("Error: ")
    assert said(env, "subtract") == "Error: there is no tool 'subtract'; the tools are add, shout, fail, wait, end"


def test_what_the_server_cannot_be_sent_is_told_to_the_policy_and_does_not_end_the_server(env):
    assert "half of a surrogate pair" in said(env, "shout", text="\ud83d")
    deep = []
    for _ in range(300):
        deep = [deep]
    assert "too many lists" in said(env, "shout", text=deep)
    assert said(env, "shout", text="hey") == "HEY"


def test_a_call_that_takes_too_long_is_told_and_a_server_that_ends_is_started_again():
    env = ReasoningEnv("mcp", command=COMMAND, format="hermes", timeout_s=1.5, tools=["wait", "end", "shout"])
    assert said(env, "wait", seconds=60) == "Error: wait did not respond within 1.5 s"
    assert said(env, "end", text="now") in ("unscored:reply:ConnectionError", "Error: end did not respond within 1.5 s")
    env.setup.task.options = env.setup.task.options.model_copy(update={"timeout_s": 20.0})
    for _ in range(2):
        found = said(env, "shout", text="again")
    assert found == "AGAIN"
    env.setup.task._connection.close()


def test_a_block_holds_the_argument_of_a_tool_with_one_text_and_json_for_others():
    env = ReasoningEnv("mcp", command=COMMAND, tools=["add", "shout"])
    chat, _ = env.reset(options={"index": 0})
    assert "- shout: Say it louder." in chat[0].content
    assert env.step("```shout\nhey\n```")[0][-1] == Message("tool", "HEY")
    env.reset(options={"index": 0})
    assert env.step('```add\n{"a": 1, "b": 2}\n```')[0][-1] == Message("tool", "3")
    env.setup.task._connection.close()


def test_a_schema_that_allows_any_value():
    listed = SimpleNamespace(name="note", description="Note it.", input_schema={"properties": {"it": True}})
    tool = EnvSetup("mcp", {"command": COMMAND}).task._tool(listed)
    assert (tool.main, tool.name) == (None, "note")


def test_the_tools_are_part_of_what_makes_scores_comparable():
    one, other = (EnvSetup("mcp", {"command": COMMAND, "tools": tools}) for tools in (["add"], ["add", "shout"]))
    assert one.facts()["prompt_sha256"] != other.facts()["prompt_sha256"]
    for setup in (one, other):
        setup.task._connection.close()


def test_bad_commands_are_one_line(capsys):
    with pytest.raises(MissingData, match="needs the command that starts its server"):
        EnvSetup("mcp", {})
    with pytest.raises(UnknownName, match="shot"):
        EnvSetup("mcp", {"command": COMMAND, "tools": ["shot"]}).prompt_sha256  # noqa: B018
    for command, why in (
        (["/no/such/program"], "No such file"),
        ([sys.executable, "-c", "print(1)"], "starts no MCP server"),
    ):
        with pytest.raises(ConfigError, match=why):
            EnvSetup("mcp", {"command": command, "start_s": 20}).prompt_sha256  # noqa: B018
    setup = EnvSetup("mcp", {"command": [sys.executable, "-c", "import time; time.sleep(60)"], "start_s": 0.5})
    with pytest.raises(ConfigError, match="did not respond within"):
        setup.prompt_sha256  # noqa: B018
    assert main(["train", "--env", "mcp"]) == 2
    assert "env.command" in capsys.readouterr().err


def test_an_evaluation_with_the_tools_of_a_server(tiny_model, tmp_path, capsys):
    settings = ["--set", f"env.command={json.dumps(COMMAND)}", 'env.tools=["shout"]', "env.prompt={question}"]
    command = [
        "eval",
        "--bench",
        "mcp:validation",
        "--problems",
        "2",
        "--samples",
        "1",
        "--max-tokens",
        "8",
        "--model",
        str(tiny_model),
    ]
    assert main([*command, "--run", str(tmp_path / "run"), "--json", *settings]) == 0
    assert json.loads(capsys.readouterr().out)["n_samples"] == 2
