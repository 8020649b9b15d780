"""The registry: what is found, what is left out, and that one plugin's trouble is its own."""

import importlib.util
import json
import logging
import os
import pickle
import re
import sys
import textwrap
import warnings
from types import ModuleType

import pytest

from kgym import registry as registry_module
from kgym.discovery import KINDS, RECORDS, Candidate, installed
from kgym.errors import ConfigError, PluginError, UnknownName
from kgym.hookspecs import REPLACED, AlgorithmInfo, BridgeInfo, EnvFamilyInfo, ShaperInfo, VerifierInfo
from kgym.options import Options, json_values
from kgym.registry import INHERITED, Registry, configure, registry, when_loaded


@pytest.fixture
def plug(monkeypatch):
    """Return a function that makes a plugin module out of source, and the candidate that names it."""

    def make(name, source="", *, distribution="", version="1.0", api="kgym_api = 1"):
        module = ModuleType(name)
        module.__spec__ = None
        exec(textwrap.dedent(f"from kgym.hookspecs import *\n{api}\n") + textwrap.dedent(source), vars(module))
        monkeypatch.setitem(sys.modules, name, module)
        return Candidate(name, name, distribution or name, version)

    return make


def make_registry(*candidates, plugins=(), environ=None, folder=None, tmp=None):
    return Registry(plugins, candidates=candidates, environ=environ or {}, folder=folder or tmp)


def offering(kind, *names):
    record = {"verifier": "VerifierInfo", "algorithm": "AlgorithmInfo"}[kind]
    records = ", ".join(f"{record}({name!r}, 'nowhere:Nothing')" for name in names)
    return f"@hookimpl\ndef kgym_components():\n    yield from [{records}]\n"


def statuses(registry):
    return {record.name: record.status for record in registry.plugins()}


# --- what comes with kgym


def test_every_component_that_comes_with_kgym_can_be_imported_and_has_checked_options():
    ours = Registry(candidates=[item for item in installed() if item.distribution == "kgym"], environ={})
    assert {record.status for record in ours.plugins()} == {"ok"}, [record.error for record in ours.plugins()]
    assert ours.clashes() == []
    for info, _ in ours.offers():
        if info.target and info.kind not in ("model", "benchmark"):
            ours.target(info.kind, info.name)
            if any(importlib.util.find_spec(package) is None for package in info.needs):
                with pytest.raises(ConfigError, match="which is not installed: pip install"):
                    ours.options(info.kind, info.name)
                continue
            ours.options(info.kind, info.name)
            with pytest.raises(UnknownName, match="surely_not"):
                ours.options(info.kind, info.name, {"surely_not": 1})


def test_kinds_are_those_of_the_records():
    assert set(KINDS) == {
        "environment", "family", "verifier", "algorithm", "engine", "sampler", "shaper",
        "model", "tracker", "benchmark", "dataset", "preset", "experiment", "exporter", "bridge", "command", "check",
    }  # fmt: skip


# --- broken plugins


BROKEN = {
    "raises on import": ("raise ImportError('no module named torchh')", "no module named torchh"),
    "leaves on import": ("raise SystemExit(3)", "SystemExit: 3"),
    "raises in a hook": (
        "@hookimpl\ndef kgym_components():\n    yield EnvInfo('x', 'x:X')\n    raise RuntimeError('half way')",
        "half way",
    ),
    "has an unknown hook": ("@hookimpl\ndef kgym_componets():\n    yield 1", "did you mean 'kgym_components'"),
    "has a wrong argument": ("@hookimpl\ndef kgym_step_finished(sstep): pass", "sstep"),
    "yields a record without a kind": (
        "@hookimpl\ndef kgym_components():\n    yield Info('x', 'x:X')",
        "it has to yield records of",
    ),
    "yields no record": (
        "@hookimpl\ndef kgym_components():\n    yield 'x'",
        "it has to yield records of kgym.hookspecs",
    ),
    "yields a wrong record in an older hook": (
        "@hookimpl\ndef kgym_register_envs():\n    yield VerifierInfo('x', 'x:X')",
        "numeric=True); it has to yield EnvInfo",
    ),
    "yields a record in an older hook again": (
        offering("verifier", "x") + "@hookimpl\ndef kgym_register_verifiers():\n    yield VerifierInfo('x', 'x:X')",
        "kgym_register_verifiers yielded verifier 'x' twice",
    ),
    "returns no iterable": ("@hookimpl\ndef kgym_components():\n    return 3", "not iterable"),
    "has no name": ("@hookimpl\ndef kgym_components():\n    yield EnvInfo('', 'x:X')", "name not empty"),
    "has no target text": ("@hookimpl\ndef kgym_components():\n    yield EnvInfo('x', len)", "have to be strings"),
    "has the name of one package": (
        "@hookimpl\ndef kgym_components():\n    yield EnvInfo('x', 'x:X', needs='torch')",
        "environment 'x' with needs='torch', which has to be of the type tuple",
    ),
    "has a version in words": (
        "@hookimpl\ndef kgym_components():\n    yield EnvInfo('x', 'x:X', version='2')",
        "version='2', which has to be of the type int",
    ),
    "panics on import": ("class Panic(BaseException): pass\nraise Panic('in Rust')", "Panic: in Rust"),
    "yields a name twice": (offering("verifier", "x", "x"), "'x' twice"),
}


@pytest.mark.parametrize(("source", "why"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_costs_one_line_and_nothing_else(source, why, tmp_path, monkeypatch, caplog):
    (tmp_path / "brokenplug.py").write_text(f"from kgym.hookspecs import *\nkgym_api = 1\n{source}\n")
    (tmp_path / "soundplug.py").write_text(
        f"from kgym.hookspecs import *\nkgym_api = 1\n{offering('verifier', 'sound')}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("brokenplug", "soundplug"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    found = make_registry(
        Candidate("brokenplug", "brokenplug", "acme"), Candidate("soundplug", "soundplug", "sound"), tmp=tmp_path
    )
    assert statuses(found) == {"brokenplug": "broken", "soundplug": "ok"}
    assert why in found.plugins()[0].error
    assert found.plugins()[0].traceback.startswith("Traceback")
    assert list(found.infos("verifier")) == ["sound"]
    assert found.infos("environment") == {}
    (record,) = caplog.records
    assert why in record.getMessage()
    assert "\n" not in record.getMessage()
    assert "kgym plugins doctor" in record.getMessage()
    with pytest.raises(UnknownName, match="brokenplug"):  # perhaps it would have had it
        found.info("verifier", "loud")
    found.observe("kgym_run_finished", run=tmp_path, summary={})  # nothing of it is left over
    with pytest.raises(PluginError, match="cannot be loaded"):  # named on the command line, it is no longer optional
        make_registry(Candidate("brokenplug", "brokenplug", "acme"), plugins=["acme"], tmp=tmp_path)


@pytest.mark.parametrize(
    ("api", "why"), [("", "add the line: kgym_api = 1"), ("kgym_api = 2", "kgym_api = 2, this kgym has 1")]
)
def test_the_api_version_is_checked(plug, tmp_path, api, why):
    found = make_registry(plug("p", offering("verifier", "x"), api=api), tmp=tmp_path)
    assert why in found.plugins()[0].error


def test_a_plugin_for_a_later_kgym_may_mark_its_hooks_optional(plug, tmp_path):
    found = make_registry(
        plug("p", "@hookimpl(optionalhook=True)\ndef kgym_register_dreams():\n    yield 1"), tmp=tmp_path
    )
    assert statuses(found) == {"p": "ok"}


# --- older hooks

OLD = """
@hookimpl
def kgym_register_verifiers():
    yield VerifierInfo("old", "nowhere:Nothing")

@hookimpl
def kgym_register_algorithms():
    yield AlgorithmInfo("old", "nowhere:Nothing")
"""


@pytest.fixture
def nobody_was_warned(monkeypatch):
    monkeypatch.setattr(registry_module, "_warned", set())


def test_every_older_hook_yields_its_records(plug, tmp_path):
    assert set(REPLACED.values()) == set(RECORDS.values()) - {
        BridgeInfo,
        EnvFamilyInfo,
    }  # which are newer than they are
    for hook, record in REPLACED.items():
        source = f"@hookimpl\ndef {hook}():\n    yield {record.__name__}('x', 'nowhere:Nothing')"
        with pytest.warns(DeprecationWarning, match=f"has {hook}; yield the same records in one hook, kgym_components"):
            found = make_registry(plug(f"old_{hook}", source), tmp=tmp_path)
        assert found.info(record, "x") == record("x", "nowhere:Nothing")


@pytest.mark.usefixtures("nobody_was_warned")
def test_older_hooks_are_named_once_for_each_plugin(plug, tmp_path):
    candidates = [plug("old", OLD, distribution="acme"), plug("new", offering("verifier", "new"))]
    with pytest.warns(DeprecationWarning, match="kgym_components") as caught:
        found = make_registry(*candidates, tmp=tmp_path)
    (warning,) = caught
    assert str(warning.message).startswith(
        "plugin 'old' (acme 1.0) has kgym_register_verifiers and kgym_register_algorithms; "
    )
    assert warning.lineno > 1  # the line of the plugin's own function
    assert (found.info("verifier", "old").name, found.info("algorithm", "old").name) == ("old", "old")
    with warnings.catch_warnings(record=True) as again:
        warnings.simplefilter("always")
        make_registry(*candidates, tmp=tmp_path)
    assert again == []


@pytest.mark.usefixtures("nobody_was_warned")
def test_older_hooks_break_nothing_where_warnings_are_errors(plug, tmp_path, caplog):
    found = make_registry(plug("old", OLD), tmp=tmp_path)  # pytest is told so
    assert statuses(found) == {"old": "ok"}
    assert "in one hook, kgym_components" in caplog.text


# --- clashes


def test_a_clash_is_an_error_when_the_name_is_asked_for(plug, tmp_path):
    one = plug("one", offering("verifier", "math", "other"), distribution="kgym")
    two = plug("two", offering("verifier", "math"), distribution="acme-math")
    found = make_registry(one, two, tmp=tmp_path)
    with pytest.raises(
        PluginError, match=r"^verifier 'math' is offered by both kgym and acme-math; choose one: -p no:acme-math$"
    ):
        found.info("verifier", "math")
    assert [str(clash).split(" is ")[0] for clash in found.clashes()] == ["verifier 'math'"]
    assert list(found.infos("verifier")) == ["other"]
    chosen = make_registry(one, two, plugins=["no:acme_math"], tmp=tmp_path)  # the remedy works
    assert chosen.provider("verifier", "math").name == "one"
    assert chosen.clashes() == []


def test_the_same_name_of_another_kind_is_no_clash(plug, tmp_path):
    found = make_registry(
        plug("p", offering("verifier", "x") + "    yield AlgorithmInfo('x', 'nowhere:Nothing')"), tmp=tmp_path
    )
    assert found.clashes() == []
    assert isinstance(found.info("verifier", "x"), VerifierInfo)
    assert isinstance(found.info("algorithm", "x"), AlgorithmInfo)


def test_two_entry_points_of_one_distribution_that_clash_are_told_apart(plug, tmp_path):
    found = make_registry(
        plug("one", offering("verifier", "x"), distribution="acme"),
        plug("two", offering("verifier", "x"), distribution="acme"),
        tmp=tmp_path,
    )
    with pytest.raises(PluginError, match="both one and two; choose one: -p no:one or -p no:two"):
        found.info("verifier", "x")


def test_a_module_that_two_entry_points_name_is_loaded_once(plug, tmp_path):
    one = plug("one", offering("verifier", "x"), distribution="acme")
    found = make_registry(one, Candidate("two", "one", "acme"), tmp=tmp_path)
    assert statuses(found) == {"one": "ok", "two": "broken"}
    assert "loaded already, as plugin 'one'" in found.plugins()[1].error
    assert found.clashes() == []


def calls_of(action):
    """Count the calls of Python functions that an action takes: its time, for any load of the machine."""
    counts = [0]

    def count(frame, event, arg):
        counts[0] += event == "call"

    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(None)
    return counts[0]


@pytest.mark.usefixtures("own")
def test_listing_and_asking_grow_as_the_plugins_do(plug, monkeypatch, tmp_path, capsys):
    from kgym.cli.main import main

    def steps(n):
        candidates = [plug(f"p{n}_{i}", offering("verifier", f"v{i}", "shared")) for i in range(n)]
        found = []
        loading = calls_of(lambda: found.append(make_registry(*candidates, tmp=tmp_path)))
        monkeypatch.setattr(registry_module, "_current", found[0])
        monkeypatch.setattr("kgym.cli.main.configure", lambda _: None)
        listing = calls_of(lambda: main(["plugins", "list", "--json"]))
        asking = calls_of(lambda: [found[0].info("verifier", f"v{i}") for i in range(n)])
        return loading, listing, asking

    main(["plugins", "list", "--json"])  # imports
    few, many = steps(20), steps(80)
    assert all(more < 5 * less for less, more in zip(few, many, strict=True)), (
        few,
        many,
    )  # 16 times if it were quadratic


# --- environments


ENVS = """
@hookimpl
def kgym_components():
    yield EnvInfo("aime", "m:V0", version=0)
    yield EnvInfo("aime", "m:V2", version=2)
    yield EnvInfo("aime", "m:V1", version=1)
    yield EnvInfo("arith", "m:A")
"""


def test_a_short_name_is_the_newest_version_and_an_id_is_exact(plug, tmp_path):
    found = make_registry(plug("p", ENVS), tmp=tmp_path)
    assert found.info("environment", "aime").target == "m:V2"
    assert found.info("environment", "kgym/aime-v1").target == "m:V1"
    assert {name: info.id for name, info in found.infos("environment").items()} == {
        "aime": "kgym/aime-v2",
        "arith": "kgym/arith-v0",
    }
    assert len(found.offers("environment")) == 4
    with pytest.raises(UnknownName, match=r"^no environment named 'airth'; did you mean 'arith'"):
        found.info("environment", "airth")
    with pytest.raises(UnknownName, match="'kgym/aime-v"):
        found.info("environment", "kgym/aime-v7")


def test_a_short_name_in_two_namespaces_has_to_be_spelt_out(plug, tmp_path):
    other = plug(
        "q",
        "@hookimpl\ndef kgym_components():\n    yield EnvInfo('aime', 'q:Q', namespace='acme')",
        distribution="acme",
    )
    found = make_registry(plug("p", ENVS, distribution="kgym"), other, tmp=tmp_path)
    with pytest.raises(PluginError, match="choose one: -p no:acme, or ask for 'acme/aime-v0' or 'kgym/aime-v2'"):
        found.info("environment", "aime")
    assert found.info("environment", "acme/aime-v0").target == "q:Q"


def test_a_version_of_another_distribution_does_not_take_the_short_name(plug, tmp_path):
    newer = "@hookimpl\ndef kgym_components():\n    yield EnvInfo('aime', 'q:Q', version=9)"
    found = make_registry(
        plug("p", ENVS, distribution="kgym"), plug("q", newer, distribution="acme-aime"), tmp=tmp_path
    )
    with pytest.raises(PluginError, match="choose one: -p no:acme-aime, or ask for 'kgym/aime-v2' or 'kgym/aime-v9'"):
        found.info("environment", "aime")
    assert found.info("environment", "kgym/aime-v9").target == "q:Q"
    assert found.info("environment", "kgym/aime-v2").target == "m:V2"


FAMILY = """
class Sets:
    def __init__(self, options): pass
    def members(self): return ["countdown"]
    def task(self, member):
        if member == "bad":
            raise __import__("kgym.errors").errors.ConfigError("reasoning-gym has no 'bad'")
        if member == "worse":
            raise KeyError(member)
        return type(member, (), {})

@hookimpl
def kgym_components():
    yield EnvFamilyInfo("rg", __name__ + ":Sets", suffixes=(".rg",), version=2)
"""


def test_a_prefix_is_that_of_a_family(plug, tmp_path):
    found = make_registry(plug("deaf", ENVS), plug("sets", FAMILY), tmp=tmp_path)
    assert found.info("environment", "rg:countdown").id == "rg/countdown-v2"
    assert found.provider("environment", "rg:countdown").name == "sets"
    assert found.target("environment", "rg:countdown") is found.target("environment", "rg:countdown")
    assert found.label("environment", "rg:countdown") == "environment 'rg:countdown' of sets 1.0"
    with pytest.raises(ConfigError, match="reasoning-gym has no 'bad'"):
        found.target("environment", "rg:bad")
    with pytest.raises(PluginError, match="failed to make environment 'rg:worse': KeyError"):
        found.target("environment", "rg:worse")
    for name in ("xx:countdown", "rg", "rg:", "countdown"):
        with pytest.raises(UnknownName, match=name):
            found.info("environment", name)


def test_an_ending_may_stand_for_the_prefix(plug, tmp_path):
    found = make_registry(plug("sets", FAMILY), tmp=tmp_path)
    ids = [
        found.info("environment", name).id
        for name in ("folder/a.rg", "rg:folder/a.rg", "other/a.rg", f"rg:{'x' * 200}")
    ]
    assert ids[0] == ids[1] != ids[2]
    assert all(re.fullmatch(r"rg/[\w.-]{1,80}-v2", found_id) for found_id in ids)


def test_a_family_without_its_package_names_it(plug, tmp_path):
    source = FAMILY.replace("version=2", "needs=('surely_absent',), extra='sets'")
    found = make_registry(plug("sets", source, distribution="acme-sets"), tmp=tmp_path)
    with pytest.raises(ConfigError, match=r"surely_absent, which is not installed: pip install 'acme-sets\[sets\]'"):
        found.options("environment", "rg:countdown")


@pytest.mark.parametrize("package", ["surely_absent.part", "json.surely_absent", "json.decoder.part"])
def test_a_missing_part_of_a_package_is_named(package, plug, tmp_path):
    source = f"@hookimpl\ndef kgym_components():\n    yield ShaperInfo('x', 'json:dumps', needs=({package!r},))"
    found = make_registry(plug("parts", source), tmp=tmp_path)
    with pytest.raises(ConfigError, match=rf"^shaper 'x' needs {package}, which is not installed: pip install"):
        found.options("shaper", "x")


def test_a_prefix_that_two_plugins_offer_has_to_be_chosen(plug, tmp_path):
    found = make_registry(plug("sets", FAMILY), plug("more", FAMILY), tmp=tmp_path)
    with pytest.raises(PluginError, match="family 'rg' is offered by both"):
        found.target("environment", "rg:countdown")


# --- which plugins


def test_a_plugin_is_left_out_by_entry_point_or_distribution(plug, tmp_path):
    candidates = [
        plug("one", offering("verifier", "a"), distribution="Acme_One"),
        plug("two", offering("verifier", "b")),
    ]
    for plugins, environ, left in [
        (["no:one"], {}, "two"),
        (["no:acme-one"], {}, "two"),
        ([], {"KGYM_DISABLE_PLUGINS": "acme.one, elsewhere"}, "two"),
        ([], {"KGYM_DISABLE_PLUGINS": "two"}, "one"),
        (["no:one", "one"], {}, "two"),
    ]:
        found = make_registry(*candidates, plugins=plugins, environ=environ, tmp=tmp_path)
        assert [name for name, status in statuses(found).items() if status == "ok"] == [left]
        assert next(record.error for record in found.plugins() if record.status == "blocked").startswith("left out by ")
    both = make_registry(*candidates, plugins=["one"], environ={"KGYM_DISABLE_PLUGINS": "one"}, tmp=tmp_path)
    assert statuses(both) == {"one": "ok", "two": "ok"}  # naming it goes over the environment variable
    with pytest.raises(UnknownName, match="no plugin named 'tow'; did you mean 'two'"):
        make_registry(*candidates, plugins=["no:tow"], tmp=tmp_path)


def test_without_autoload_only_kgyms_own_and_the_named_ones_are_there(plug, tmp_path):
    (tmp_path / "kgymfile.py").write_text("raise RuntimeError('not to be run')")
    plug("by_module", offering("verifier", "module"))
    found = make_registry(
        plug("own", offering("verifier", "own"), distribution="kgym"),
        plug("stranger", offering("verifier", "stranger")),
        plug("named", offering("verifier", "named")),
        plugins=["named", "by_module"],
        environ={"KGYM_DISABLE_PLUGIN_AUTOLOAD": "1"},
        tmp=tmp_path,
    )
    assert statuses(found) == {"own": "ok", "stranger": "blocked", "named": "ok", "by_module": "ok"}
    assert found.provider("verifier", "module").origin == "by_module"


def test_a_module_that_does_not_exist_is_an_error_for_who_names_it(tmp_path):
    with pytest.raises(PluginError, match="'no_such_module' cannot be loaded: ModuleNotFoundError"):
        make_registry(plugins=["no_such_module"], tmp=tmp_path)


def test_a_kgymfile_is_a_plugin(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kgymfile", ModuleType("kgymfile"))  # that of another folder
    (tmp_path / "kgymfile.py").write_text(
        "from kgym.hookspecs import ShaperInfo, hookimpl\nkgym_api = 1\n"
        "@hookimpl\ndef kgym_components():\n    yield ShaperInfo('half', 'kgymfile:Half')\nclass Half:\n"
        "    def __init__(self, options): pass\n"
        "    def __call__(self, group, rewards, step): return [reward / 2 for reward in rewards]\n"
    )
    found = make_registry(tmp=tmp_path)
    assert found.info("shaper", "half") == ShaperInfo("half", "kgymfile:Half")
    assert found.create("shaper", "half")(None, [1.0, 0.0], 1) == [0.5, 0.0]
    again = make_registry(tmp=tmp_path)  # the same classes, so that pickles and isinstance go on working
    assert again.target("shaper", "half") is found.target("shaper", "half")
    assert statuses(make_registry(plugins=["no:kgymfile"], tmp=tmp_path)) == {"kgymfile": "blocked"}
    (tmp_path / "kgymfile.py").write_text("1 / 0")
    monkeypatch.delitem(sys.modules, "kgymfile")
    assert "ZeroDivisionError" in make_registry(tmp=tmp_path).plugins()[0].error


# --- components


TARGETS = """
from kgym.options import Options, json_values
from pydantic import Field

class Part(Options):
    size: int | float = 1

class Tuned:
    class Options(Options):
        tau: float = Field(0.1, gt=0)
        names: tuple[str, ...] = ()
        parts: dict[str, Part] = Field(default_factory=dict)
        bound: float | tuple[int, int] = Field(1.0, alias="clip")
    def __init__(self, options, *context):
        self.options, self.context = options, context

class Plain:
    def __init__(self, options):
        self.options = options

class Odd:
    Options = dict

@hookimpl
def kgym_components():
    yield AlgorithmInfo("tuned", "targets:Tuned")
    yield AlgorithmInfo("plain", "targets:Plain")
    yield AlgorithmInfo("odd", "targets:Odd")
    yield AlgorithmInfo("lost", "targets:Lots")
    yield AlgorithmInfo("gone", "targets_gone:Tuned")
    yield AlgorithmInfo("empty", "")
    yield ShaperInfo("tuned", "targets:Tuned")
"""


@pytest.fixture
def targets(plug, tmp_path):
    return make_registry(plug("targets", TARGETS, distribution="acme", version="2.1"), tmp=tmp_path)


def test_options_are_checked_and_completed(targets):
    made = targets.create("algorithm", "tuned", {"tau": 0.5}, "folder", 7)
    assert (made.options.tau, made.options.names, made.context) == (0.5, (), ("folder", 7))
    assert targets.options("algorithm", "tuned").tau == 0.1
    assert targets.create("algorithm", "plain").options.model_dump() == {}


@pytest.mark.parametrize(
    ("kind", "name", "values", "error", "message"),
    [
        ("algorithm", "tuned", {"tau": -1}, ConfigError, "algo.tau=-1: must be greater than 0"),
        ("algorithm", "tuned", {"tua": 1, "tau": -1}, UnknownName, "no key named 'algo.tua'; did you mean 'algo.tau'?"),
        (
            "shaper",
            "tuned",
            {"tau": "x"},
            ConfigError,
            "shapers.tuned.tau='x': must be a valid number, unable to parse string as a number",
        ),
        ("shaper", "tuned", {"names": [3]}, ConfigError, "shapers.tuned.names.0=3: must be a valid string"),
        ("algorithm", "plain", {"tau": 1}, UnknownName, "no key named 'algo.tau'; known: none"),
        (
            "algorithm",
            "tuned",
            {"parts": {"a": {"syze": 1}}},
            UnknownName,
            "no key named 'algo.parts.a.syze'; did you mean 'algo.parts.a.size'?",
        ),
        (
            "algorithm",
            "tuned",
            {"parts": {"a": {"size": []}}},
            ConfigError,
            "algo.parts.a.size=[]: must be a valid integer",
        ),
        ("algorithm", "tuned", {"bound": [1]}, ConfigError, "algo.bound=[1]: must be a valid number"),
    ],
)
def test_a_wrong_option_is_one_line_with_the_whole_key(targets, kind, name, values, error, *, message):
    with pytest.raises(error) as caught:
        targets.create(kind, name, values)
    assert str(caught.value) == message


def test_a_set_among_options_is_stored_in_one_order():
    class Chosen(Options):
        names: frozenset[str] = frozenset({"zebra", "ape", "lion", "gnu", "cat", "dog"})

    assert json_values(Chosen()) == {"names": ["ape", "cat", "dog", "gnu", "lion", "zebra"]}


def test_an_option_with_an_alias_has_two_names(targets):
    by_alias = targets.options("algorithm", "tuned", {"clip": 2})
    assert targets.options("algorithm", "tuned", by_alias.model_dump()) == by_alias
    assert by_alias.bound == 2.0


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (
            "lost",
            "algorithm 'lost' of plugin 'targets' (acme 2.1) cannot be imported from 'targets:Lots': AttributeError",
        ),
        ("gone", "No module named 'targets_gone'"),
        ("empty", "it has no target"),
        ("odd", "not a subclass of kgym.options.Options"),
    ],
)
def test_a_target_that_cannot_be_had_says_whose_it_is(targets, name, why):
    with pytest.raises(PluginError) as caught:
        targets.create("algorithm", name)
    assert why in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).args == caught.value.args


# --- observers


def test_an_observer_that_raises_changes_nothing(plug, tmp_path, caplog):
    seen = "seen = []\n@hookimpl\ndef kgym_step_finished(step, metrics):\n    seen.append((step, metrics['x']))"
    bad = plug("bad", "@hookimpl\ndef kgym_step_finished(step):\n    raise ValueError('of no\\nimportance')")
    found = make_registry(plug("before", seen), bad, plug("after", seen), tmp=tmp_path)
    for step in (1, 2):
        found.observe("kgym_step_finished", run=tmp_path, step=step, metrics={"x": 0.5})
    assert sys.modules["before"].seen == sys.modules["after"].seen == [(1, 0.5), (2, 0.5)]
    assert found.observer_errors == {"bad": 2}
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "kgym_step_finished of plugin 'bad' (bad 1.0) failed: ValueError: of no importance"
    ] * 2


# --- the process's own


@pytest.fixture
def own(monkeypatch, tmp_path):
    """A process-wide registry of this test's own."""
    monkeypatch.setenv(INHERITED, "")
    monkeypatch.delenv(INHERITED)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry_module, "_current", None)


@pytest.mark.usefixtures("own")
def test_there_is_one_registry_and_child_processes_load_the_same_plugins(plug, monkeypatch):
    import os

    plug("extra", offering("verifier", "extra"))
    assert registry() is registry()
    assert "extra" not in registry().infos("verifier")
    configure(["extra", "no:kgym-envs"])
    assert json.loads(os.environ[INHERITED]) == ["extra", "no:kgym-envs"]
    assert "extra" in registry().infos("verifier")
    assert registry().infos("environment") == {}
    monkeypatch.setattr(registry_module, "_current", None)  # as in a fresh process
    assert "extra" in registry().infos("verifier")
    configure()
    assert INHERITED not in os.environ
    assert "extra" not in registry().infos("verifier")


@pytest.mark.usefixtures("own")
def test_a_plugin_that_asks_for_the_registry_too_early_is_broken_alone(tmp_path, monkeypatch):
    (tmp_path / "hasty.py").write_text("from kgym.registry import registry\nregistry()\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginError, match="ask in a function that is called later"):
        configure(["hasty"])
    assert "hasty" not in statuses(registry())


@pytest.mark.usefixtures("own")
def test_what_waits_for_the_plugins_is_called_once_they_are_there(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "waiting.py").write_text(
        "from kgym.registry import registry, when_loaded\nkgym_api = 1\nseen = []\n"
        "when_loaded(lambda: seen.append(sorted(p.name for p in registry().plugins())))\nassert seen == []\n"
    )
    monkeypatch.delitem(sys.modules, "waiting", raising=False)
    configure(["waiting"])
    (names,) = sys.modules["waiting"].seen
    assert "waiting" in names
    calls = []
    when_loaded(lambda: calls.append(1))
    assert calls == [1]


@pytest.mark.parametrize("turn", ["one test", "the next"])
def test_plugins_that_a_test_loads_are_gone_in_the_next(turn):
    # once, a server that a later test started was told of a plugin that it could not find
    assert INHERITED not in os.environ
    assert not any("fixed_verdicts" in record.title for record in registry().plugins())
    configure(["fixed_verdicts"])
