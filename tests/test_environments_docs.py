"""`docs/environments.md`: the quoted environment is the file, the tables are what is registered, the commands are
understood.
"""

import re
from pathlib import Path

import pytest

import kgym_envs.aime.task
import kgym_envs.arithmetic
import kgym_envs.gsm8k.task
import kgym_envs.math500.task
from kgym.cli.main import main
from kgym.data.columns import GOLD, QUESTION
from kgym.data.known import known_sets
from kgym.envs.setup import make_task
from kgym.registry import registry
from kgym.score.bench import resolve_bench
from kgym.score.presets import presets

PAGE = (Path(__file__).parent.parent / "docs" / "environments.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| `")]


def ours(kind: str) -> set[str]:
    return {name for name in registry().infos(kind) if registry().provider(kind, name).origin == "kgym"}


def rows(columns: int, *, names: set[str]) -> dict[str, list[str]]:
    """The rows of the table whose first column has these names."""
    found = {name: row for row in ROWS if len(row) == columns for name in re.findall(r"`([^`]+)`", row[0])}
    assert set(found) == names
    return found


def test_the_quoted_environment_is_the_file():
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert blocks.count(Path(kgym_envs.arithmetic.__file__).read_text()) == 1


def test_the_environments():
    table = rows(4, names=ours("environment"))
    for name, (_, splits, verifier, _) in table.items():
        task = make_task(name)
        assert tuple(re.findall(r"`([^`]+)`", splits)) == task.splits
        named = [task.verifier] if isinstance(task.verifier, str) else list(dict.fromkeys(task.verifier.values()))
        assert re.findall(r"`([^`]+)`", verifier) == named
    for name, module in (
        ("aime", kgym_envs.aime.task),
        ("math500", kgym_envs.math500.task),
        ("gsm8k", kgym_envs.gsm8k.task),
    ):
        options = registry().target("environment", name).Options.model_fields["difficulty"].metadata
        assert f"{len(module.FAMILIES)} families, levels 1 to {options[1].le}" in table[name][3]


def test_the_benchmarks():
    for name, (_, of, samples) in rows(3, names=ours("benchmark")).items():
        bench = resolve_bench(name)
        assert f"`{bench.env}:{bench.split}`" in of
        assert int(samples) == bench.samples
        problems = bench.problems or known_sets()[name].problems
        assert f"{problems:,} problems" in of


def test_the_presets():
    for name, (_, samples, *values, source) in rows(7, names=ours("preset")).items():
        preset = presets()[name]
        large = preset.samples if preset.samples_large is None else preset.samples_large
        assert samples == f"{preset.samples} / {large}"
        stated = [preset.temperature, preset.top_p, preset.top_k, preset.max_tokens]
        assert [float(value.replace(",", "")) if value else None for value in values] == stated
        (arxiv,) = re.findall(r"arXiv:[0-9.]+[0-9]", preset.source)
        assert arxiv in source


def test_the_columns_that_are_read():
    paragraph = next(text for text in PAGE.split("\n\n") if text.startswith("The question is"))
    named = re.findall(r"`(\w[\w. ]*\w)`", paragraph)
    assert named == [*QUESTION, *GOLD]


@pytest.mark.parametrize(
    "command", re.findall(r"^kgym (?:envs|data (?:list|show)) ?.*?(?=   |$)", PAGE, flags=re.MULTILINE)
)
def test_the_commands_run(command, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KGYM_DATA_DIR", str(tmp_path))
    status = main(command.split()[1:])
    assert status == (2 if command == "kgym data show math500" else 0), capsys.readouterr().err
