"""`kgym eval --preset`: what the protocols set, what wins over them, and where it is kept."""

import json

import pytest

from kgym.cli.main import main
from kgym.envs.setup import EnvSetup
from kgym.errors import ConfigError
from kgym.registry import configure
from kgym.score.presets import presets, stated_env
from kgym.types import Message

PLUGIN = '''
"""An engine that notes what it is asked and answers every question with 7, in whichever form was wanted."""

import json

from kgym.hookspecs import EngineInfo, hookimpl
from kgym.testing.engines import ScriptedEngine

kgym_api = 1


@hookimpl
def kgym_components():
    yield EngineInfo(name="seven", target="kgymfile:Seven")


class Seven(ScriptedEngine):
    def __init__(self, options, model):
        super().__init__(lambda request: "Answer: 7" if "Answer:" in request.prompt[-1].content else r"\\\\boxed{7}")

    def submit(self, requests):
        with open("asked.jsonl", "a") as file:
            for request in requests:
                sampling = request.sampling
                asked = [sampling.temperature, sampling.top_p, sampling.top_k, request.max_tokens]
                file.write(json.dumps({"asked": asked, "prompt": request.prompt}) + "\\\\n")
        super().submit(requests)
'''.replace("\\\\", "\\")


@pytest.fixture
def evaluate(tmp_path, monkeypatch, capsys):
    """Run `kgym eval` on three sums and return its result, what the engine was asked, and the manifest of the run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kgymfile.py").write_text(PLUGIN)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")

    def run(*arguments, problems=3):
        (tmp_path / "asked.jsonl").unlink(missing_ok=True)
        what = ["--model", "model", "--engine", "seven", "--bench", "arithmetic:train", "--problems", problems]
        assert main(["eval", *map(str, (*what, *arguments)), "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        asked = [json.loads(line) for line in (tmp_path / "asked.jsonl").read_text().splitlines()]
        return result, asked, json.loads((tmp_path / result["run"] / "manifest.json").read_text())

    yield run
    configure()


@pytest.mark.parametrize(
    ("name", "samples", "asked", "ends"),
    [
        ("r1", 64, [0.6, 0.95, 0, 32_768], "Please reason step by step, and put your final answer within \\boxed{}."),
        (
            "qwen3",
            64,
            [0.6, 0.95, 20, 38_912],
            "Please reason step by step, and put your final answer within \\boxed{}.",
        ),
        ("dapo", 32, [1.0, 0.7, 0, 20_480], 'Remember to put your answer on its own line after "Answer:".'),
        ("k1.5", 8, [1.0, 1.0, 0, 64], "Answer in \\boxed{}."),
    ],
)
def test_what_a_preset_asks(evaluate, name, samples, asked, ends):
    result, requests, manifest = evaluate("--preset", name)
    assert (result["samples"], len(requests)) == (samples, 3 * samples)
    assert {tuple(request["asked"]) for request in requests} == {tuple(asked)}
    ((role, content),) = requests[0]["prompt"]
    assert (role, content.endswith(ends)) == ("user", True)
    assert "What is " in content
    assert manifest["preset"] == name
    assert stated_env(presets()[name]).items() <= manifest["spec"]["settings"].items()
    assert result["no_answer_frac"] == 0, "the verifier reads the form that the prompt asks for"


def test_explicit_options_win(evaluate):
    result, requests, manifest = evaluate(
        "--preset", "r1", "--samples", 2, "--temperature", 0.8, "--top-p", 1, "--top-k", 5, "--max-tokens", 99,
        "--verifier", "math", "--set", "env.prompt=Say {question}", "env.system=Be brief.",
    )  # fmt: skip
    assert (result["samples"], len(requests)) == (2, 6)
    assert {tuple(request["asked"]) for request in requests} == {(0.8, 1.0, 5, 99)}
    system, user = requests[0]["prompt"]
    assert system == ["system", "Be brief."]
    assert user[1].startswith("Say What is ")
    assert manifest["request"]["verifier"] == "math"


def test_the_hash_is_of_the_values_and_not_of_the_name(evaluate):
    by_name = evaluate("--preset", "qwen3", "--samples", 1)[0]
    by_value = evaluate(
        "--samples", 1, "--temperature", 0.6, "--top-p", 0.95, "--top-k", 20, "--max-tokens", 38_912,
        "--set", f"env.prompt={json.dumps(presets()['qwen3'].prompt)}", "--run", "by-value",
    )[0]  # fmt: skip
    others = [evaluate("--preset", name, "--samples", 1)[0] for name in ("r1", "dapo", "k1.5")]
    assert by_name["comparability"] == by_value["comparability"]
    assert len({result["comparability"] for result in [by_name, *others]}) == 4


def test_a_large_set_gets_fewer_samples(evaluate):
    assert evaluate("--preset", "qwen3", problems=100)[0]["samples"] == 64
    assert evaluate("--preset", "qwen3", problems=101)[0]["samples"] == 1


def test_presets_are_listed(capsys):
    assert main(["eval", "--preset", "list"]) == 0
    out = capsys.readouterr().out
    assert all(name in out and preset.source in out for name, preset in presets().items())
    assert main(["eval", "--preset", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dapo"]["top_p"] == 0.7
    assert main(["eval", "--preset", "qwen"]) == 2
    assert "did you mean 'qwen3'" in capsys.readouterr().err


# --- the user's own prompts, on which presets depend


def test_a_template_takes_the_place_of_the_prompt():
    plain, own = (
        EnvSetup("arithmetic", {}),
        EnvSetup("arithmetic", {"prompt": r"Q: {question} \boxed{}", "system": "Be brief."}),
    )
    problem = own.problem(0)
    assert own.start(0, 0).prompt == (
        Message("system", "Be brief."),
        Message("user", rf"Q: {problem.question} \boxed{{}}"),
    )
    assert plain.prompt_sha256 != own.prompt_sha256
    assert EnvSetup("arithmetic", {"system": "Be brief."}).prompt(problem) == (
        Message("system", "Be brief."),
        *plain.prompt(problem),
    )


@pytest.mark.parametrize("template", ["", "Say it", "{question} {question}"])
def test_a_template_has_one_place_for_the_question(template):
    with pytest.raises(ConfigError, match=r"\{question\}"):
        EnvSetup("arithmetic", {"prompt": template})
