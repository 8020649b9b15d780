"""Every shell line of the documentation is understood, and runs here or is named in a list with the reason."""

import importlib
import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from doc_pages import PAGES, ROOT, SHELL, blocks, indented, kgym_words, shell_lines
from kgym.cli import main as cli

RUN = ("first-hour.md", "write.md", "own-data.md")
"""Pages whose lines are run in order below, with small numbers in place of the page's own."""

ELSEWHERE = {
    "README.md": "`make quickstart` and `make test` are continuous integration; tests/test_train.py and test_eval.py "
    "run the others",
    "CONTRIBUTING.md": "continuous integration runs them",
    "index.md": "they are those of first-hour.md",
    "algorithms.md": "tests/test_train_algorithms.py trains with every algorithm",
    "bridges-out.md": "tests/test_bridges_out.py runs all of them, with the packages that they are for",
    "bridges.md": "tests/test_reasoning_gym.py, test_data_families.py, test_verifiers_family.py and "
    "test_openenv_family.py",
    "cluster.md": "needs a cluster: tests/test_ray.py and test_ray_ranks.py run one of two nodes",
    "code.md": "tests/test_testcases.py, test_program_layouts.py and test_code_verifier.py; its training takes minutes",
    "configuration.md": "tests/test_configuration.py",
    "eight-gpus.md": "needs eight GPUs: tests/test_several_ranks.py runs ranks on CPUs",
    "engines.md": "needs vLLM, a server or Ray: tests/test_vllm.py, test_openai_eval.py, test_ray.py and "
    "test_engine_auto.py",
    "environments.md": "tests/test_environments_docs.py",
    "leaderboard.md": "tests/test_leaderboard.py, test_board.py and test_eval.py",
    "long2short.md": "tests/test_long2short.py",
    "lora.md": "tests/test_lora.py",
    "memory.md": "tests/test_plan.py and test_profiling.py; its benchmarks take minutes",
    "metrics.md": "tests/test_trackers.py and test_show.py",
    "numbers.md": "tests/test_precision.py and test_optim.py",
    "one-gpu.md": "needs a GPU of 80 GB and a model of the hub; the last line is the recipe on nano: "
    "tests/test_partial_runs.py",
    "plugins.md": "tests/test_plugins_new.py runs its packages; test_kits.py, test_third_party.py, test_completion.py",
    "preference.md": "tests/test_preference.py and test_instructgpt.py",
    "reproduce.md": "tests/test_reproduce.py",
    "rollouts.md": "tests/test_partial_runs.py and test_stages.py",
    "runs.md": "tests/test_sweep.py, test_compare_runs.py, test_live.py and test_card.py",
    "scaling.md": "tests/test_several_ranks.py and test_ray_ranks.py",
    "sick-runs.md": "two minutes of processor time; test_an_illness_is_run_and_plotted runs its script in the small",
    "stages.md": "tests/test_stages_command.py",
    "tools.md": "tests/test_tool_envs.py",
    "verifier.md": "tests/test_verify_cli.py and test_math_rules.py",
}
"""Pages whose lines are not run by this file: where they are, or why not."""

SMALL = {
    "train": ["--set", "train.steps=1", "eval.problems=2", "rollout.problems_per_step=2", "rollout.group_size=2"],
    "eval": ["--problems", "2"],
}
"""What is added to a command of a page that is run: numbers that take seconds."""

PLACEHOLDERS = re.compile(r"\b(NAME|COMMAND|KEY|FILE|DIR|RUN|HUB_ID)\b|\.\.\.|\[|HOST")
"""A line with one of these is a form and not a command."""


def test_every_page_with_commands_is_run_or_named():
    with_commands = {page.name for page in PAGES if any(shell_lines(page))}
    assert with_commands - set(RUN) - set(ELSEWHERE) == set()
    assert set(ELSEWHERE) & set(RUN) == set()
    assert set(ELSEWHERE) - with_commands == set()


def _named_tests(reason):
    return re.findall(r"(?:tests/)?(test_\w+\.py)", reason)


@pytest.mark.parametrize("page", sorted(page for page, reason in ELSEWHERE.items() if _named_tests(reason)))
def test_the_tests_that_are_named_exist(page):
    for name in _named_tests(ELSEWHERE[page]):
        assert (ROOT / "tests" / name).exists(), name


LINES = [
    (page.name, line)
    for page in PAGES
    for line in dict.fromkeys(shell_lines(page))
    if kgym_words(line) and not PLACEHOLDERS.search(line)
]


@pytest.mark.parametrize(("page", "line"), LINES)
def test_every_command_is_understood(page, line, monkeypatch):
    """Its options exist and their values are of the right kind; settings are looked at by the test of the next name."""
    given = cli._global_parser().parse_args(kgym_words(line))
    if given.command is None or given.command not in cli.COMMANDS:
        return  # a command of a plugin
    module = importlib.import_module(cli.COMMANDS[given.command][0])
    parser = cli.Parser(prog=f"kgym {given.command}")
    module.configure(parser)
    for leaf in cli.leaves(parser):
        cli._add_common(leaf)
    monkeypatch.setattr(sys, "argv", ["kgym", *kgym_words(line)])
    if "--help" not in given.rest:
        parser.parse_args(given.rest)


@pytest.mark.parametrize("line", [line for _, line in LINES if re.search(r"kgym (?:sft|dpo|rm) ", line)])
def test_a_command_that_learns_from_examples_names_them(line):
    """Otherwise it is refused."""
    assert re.search(r"--(?:env|data|episodes|config|resume)\b|env\.name=", line)


AFTER = ("|", "&&", "-m", "import")
"""What may stand before `kgym` in the middle of a line."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_block_of_commands_was_not_wrapped_like_prose(page):
    """Wrapped, a line has `kgym` in its middle, or after a comment."""
    for block in [*blocks(page, *SHELL), *indented(page)]:
        for line in block.splitlines():
            for before in re.findall(rf"(\S+) +kgym(?= *$| (?:{'|'.join(cli.COMMANDS)})\b)", line):
                assert before in AFTER, line


def test_make_installs_extras_that_a_virtual_environment_lacks(tmp_path):
    # as CONTRIBUTING.md says: `make install`, and later `make site EXTRAS=dev,docs`
    (tmp_path / "installed-dev").touch()
    planned = [
        _here(["make", "-C", str(ROOT), "-n", "install", f"VENV={tmp_path}", more], tmp_path)
        for more in ("EXTRAS=dev", "EXTRAS=dev,docs")
    ]
    assert ["pip install" in text for text in planned] == [False, True]


def _here(words, folder):
    done = subprocess.run(
        words,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ
        | {
            "OMP_NUM_THREADS": "1",
            "KGYM_DATA_DIR": str(folder / "data"),
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        },
        shell=isinstance(words, str),
    )
    assert done.returncode == 0, f"{words}\n{done.stdout[-500:]}{done.stderr[-2000:]}"
    return done.stdout


def _small(line):
    """Return a line with numbers that take seconds; `kgym` is the first word of what is run."""
    words = kgym_words(line)
    command = next((word for word in words or [] if word in cli.COMMANDS), "")
    short = command in SMALL and "--show-config" not in line and "--resume" not in line and "--dry-run" not in line
    return f"{line} {shlex.join(SMALL[command])}" if short else line


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN)
def test_the_page_works_from_the_first_line_to_the_last(page, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/kgym").write_text(f'#!/bin/sh\nexec {sys.executable} -m kgym "$@"\n')
    (tmp_path / "bin/kgym").chmod(0o755)
    examples = {
        "letters.py": "EnvInfo",
        "word.py": "VerifierInfo",
        "plain.py": "AlgorithmInfo",
        "dice.py": "EngineInfo",
    }
    for name, record in examples.items():  # what the page tells the reader to save
        (tmp_path / name).write_text((ROOT / f"docs/examples/components/{record}.py").read_text())
    for block in blocks(ROOT / "docs" / page, "sh"):
        if "<<" in block:
            _here(block, tmp_path)
            continue
        for line in block.replace("\\\n", " ").splitlines():
            command = re.sub(r"\s#\s.*", "", line).strip()
            if command and not command.startswith(("python -m venv", "pip ", "git ", "cd ")):
                _here(_small(command), tmp_path)


@pytest.mark.slow
def test_an_illness_is_run_and_plotted(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    sick_runs = importlib.import_module("sick_runs")
    small = ("rollout.problems_per_step=2", "rollout.group_size=2")
    monkeypatch.setattr(sick_runs, "COMMON", ("--steps", "2", "--set", "eval.every=0", "train.threads=1", *small))
    sick_runs.play(tmp_path, [sick_runs.ILLNESSES["hacking"].cure, "hacking"])
    steps, shares = sick_runs.curve(tmp_path / "hacking", "audit/correct_frac")
    assert steps == [1, 2]
    assert all(0 <= share <= 1 for share in shares)
    sick_runs.plot(tmp_path, "hacking", tmp_path / "hacking.png")
    assert (tmp_path / "hacking.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "hacking/manifest.json").read_text())


def test_every_illness_has_its_plot():
    text = (ROOT / "docs/sick-runs.md").read_text()
    source = (ROOT / "benchmarks/sick_runs.py").read_text()
    names = re.findall(r'^    "(\w+)": Illness', source, flags=re.MULTILINE)
    assert len(names) == 6
    for name in names:
        assert f"](sick/{name}.png)" in text
        assert (ROOT / f"docs/sick/{name}.png").exists()
