"""What is loaded when: help and discovery stay light, and the environments are registered in any order of imports."""

import json
import os
import subprocess
import sys

import pytest

HEAVY = ("gymnasium", "numpy", "pandas", "torch", "transformers", "pydantic", "matplotlib", "pyarrow", "sympy", "scipy")
MAKE = "env = gymnasium.make('kgym/aime-v1'); env.reset(seed=0); print('made', env.spec.id)"


def python(code, *arguments, cwd=None, **environ):
    """Run code in a fresh interpreter; warnings are errors there too."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("KGYM_")}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        capture_output=True, text=True, timeout=120, check=False, cwd=cwd, env={**clean, **environ},
    )  # fmt: skip


def loaded(code, *arguments):
    done = python(f"import sys\n{code}\nimport json; print(); print(json.dumps(sorted(sys.modules)))", *arguments)
    assert done.returncode == 0, done.stderr
    modules = {name.split(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}
    return modules & set(HEAVY)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["plugins", "list"], ["plugins", "list", "--json"], ["train", "--help"]]
)
def test_help_and_discovery_are_light(arguments):
    assert loaded("import kgym.cli.main\nassert kgym.cli.main.main(sys.argv[1:]) == 0", *arguments) == set()


@pytest.mark.parametrize(
    "code",
    [
        "import kgym",
        "import kgym.hookspecs, kgym.types, kgym.errors",
        "import kgym.registry as r; r.registry().offers()",
    ],
)
def test_the_contract_and_the_registry_are_light(code):
    assert loaded(code) == set()


def test_the_help_of_every_command_is_light():
    from kgym.cli.main import COMMANDS, _built_in

    assert set(_built_in()) <= set(COMMANDS)
    code = "import kgym.cli.main as m\nfor name in m._built_in():\n    assert m.main([name, '--help']) == 0"
    assert loaded(code) == set()


@pytest.mark.parametrize(
    "code",
    [
        "import kgym, gymnasium",
        "import gymnasium, kgym",
        "import kgym; import importlib.util; importlib.util.find_spec('gymnasium'); import "
        "gymnasium",  # looking is not importing
        "import gymnasium, kgym_envs",  # a module of hooks that is imported first finds itself half-way
        "import gymnasium, kgym_envs.aime.task",
        "import kgym_envs, gymnasium",
        "import kgym.registry; kgym.registry.registry(); import gymnasium",
        "import kgym.envs.registration, gymnasium",
        "import gymnasium, kgym.envs.registration",
        "import kgym.envs.task, gymnasium",
        "import gymnasium, kgym, importlib; importlib.reload(kgym)",
        "import kgym, gymnasium; kgym.register_with_gymnasium(); kgym.register_with_gymnasium()",
        "import kgym, gymnasium, importlib; importlib.reload(gymnasium)",
    ],
)
def test_environments_are_registered_in_whatever_order(code):
    done = python(f"{code}\n{MAKE}")
    assert (done.stdout, done.stderr) == ("made kgym/aime-v1\n", "")


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_environments_are_registered_in_worker_processes(method, tmp_path):
    (tmp_path / "work.py").write_text(
        "import multiprocessing, sys\nimport kgym, gymnasium\n"
        "def work(_):\n    return gymnasium.make('kgym/aime-v1').spec.id\nif __name__ == '__main__':\n"
        "    with multiprocessing.get_context(sys.argv[1]).Pool(1) as pool:\n        print(pool.map(work, [0]))\n"
    )
    done = subprocess.run(
        [sys.executable, "work.py", method], capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path
    )
    assert (done.stdout, done.stderr) == ("['kgym/aime-v1']\n", "")


def test_a_plugin_that_loads_gymnasium_itself_is_registered_too(tmp_path):
    """Against the rules, but then Gymnasium arrives in the middle of discovery."""
    (tmp_path / "sloppy.py").write_text(
        "import gymnasium\nfrom kgym.hookspecs import EnvInfo, hookimpl\nkgym_api = 1\n"
        "@hookimpl\ndef kgym_components():\n"
        "    yield EnvInfo('sloppy', 'kgym_envs.arithmetic:Arithmetic', namespace='stranger')\n"
    )
    code = (
        "import kgym.registry; kgym.registry.configure(['sloppy']); "
        f"import gymnasium; gymnasium.spec('stranger/sloppy-v0'); {MAKE}"
    )
    done = python(code, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert (done.stdout, done.stderr) == ("made kgym/aime-v1\n", "")


def test_every_public_name_is_there_and_nothing_else():
    import kgym

    assert sorted(set(kgym.__all__)) == sorted(kgym.__all__) == sorted(dir(kgym))
    for name in kgym.__all__:
        assert getattr(kgym, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'maek'"):
        _ = kgym.maek


def test_type_checkers_see_the_public_names():
    """What `__all__` promises is what is under TYPE_CHECKING."""
    import ast
    import inspect

    import kgym

    block = next(node for node in ast.parse(inspect.getsource(kgym)).body if isinstance(node, ast.If))
    imported = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported | {"__version__"} == set(kgym.__all__)


def test_the_one_liners():
    import kgym

    env = kgym.make("aime", split="validation")
    assert env.spec.id == "kgym/aime-v1"
    observation, _ = env.reset(seed=0)
    assert observation[-1].role == "user"
    with pytest.raises(kgym.UnknownName, match="did you mean 'aime'"):
        kgym.make("aimee")
    assert kgym.make_algorithm("mirror", tau=0.5).options.tau == 0.5
    assert kgym.verify("204", r"so \boxed{204}").status == "correct"
    assert kgym.verify("204", r"so \boxed{205}").status == "wrong"


@pytest.mark.parametrize(
    "first", ["", "import kgym.verify.pool", "import kgym.verify.one", "from kgym import verify", "import kgym.api"]
)
def test_verify_is_a_package_and_can_be_called_all_the_same(first):
    done = python(f"{first}\nimport kgym\nprint(kgym.verify('5', r'\\boxed{{5}}').label, kgym.verify.service.__name__)")
    assert (done.stdout, done.stderr) == ("correct kgym.verify.service\n", "")
