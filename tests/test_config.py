"""The configuration: TOML, `--set`, and what is said about a wrong key."""

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgym.config import RunConfig
from kgym.envs.spec import EnvSpec
from kgym.errors import ConfigError, UnknownName
from kgym.keys import config_hash, load_config, parse_override, set_key, to_json, to_toml

EXAMPLE = """
seed = 3

[env]
name = "aime"
split = 2024
level = [1, 2]

[algo]
name = "grpo"
tau = 0.5
options = { kl_coef = 0.0 }

[shapers.overlong]
[shapers.length_penalty]
weight = 0.1

[train]
lr = 1e-4
"""

KEYS = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)
OPTION_NAMES = KEYS.filter(lambda key: key not in ("name", "options", "split"))


def test_a_file_is_read_and_options_may_stand_beside_the_name(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(EXAMPLE)
    config = load_config(
        file, ["algo.tau=0.25", "shapers.length_penalty.warmup_steps=5", "trackers.wandb={}", "seed=4", "seed=5"]
    )
    assert (config.seed, config.train.lr, config.train.steps) == (5, 1e-4, RunConfig().train.steps)
    assert (config.env.split, config.env.options) == ("2024", {"level": [1, 2]})
    assert (config.algo.name, config.algo.options) == ("grpo", {"kl_coef": 0.0, "tau": 0.25})
    assert list(config.shapers.items()) == [("overlong", {}), ("length_penalty", {"weight": 0.1, "warmup_steps": 5})]
    assert config.trackers == {"wandb": {}}


def test_a_component_may_be_just_its_name(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('algo = "grpo"\nengine = "vllm"\n')
    config = load_config(file, ["algo.tau=1"])
    assert (config.algo.name, config.algo.options, config.engine.name) == ("grpo", {"tau": 1}, "vllm")


@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        ("train.lrr=1", UnknownName, "no key named 'train.lrr'; did you mean 'train.lr'?"),
        ("trian.lr=1", UnknownName, "no key named 'trian'; did you mean 'train'?"),
        ("rollout.group=1", UnknownName, "no key named 'rollout.group'; did you mean 'rollout.group_size'?"),
        (
            "rollout.max_tokens=1",
            ConfigError,
            "rollout.max_tokens=1: must be a list of [steps, tokens], such as [[0, 128], [0.5, 256]]; "
            "one budget for the whole run is env.max_tokens=1",
        ),
        (
            "rollout.max_tokens=[8]",
            ConfigError,
            "rollout.max_tokens=[8]: must be a list of [steps, tokens], such as [[0, 128], [0.5, 256]]",
        ),
        ("rollout.max_tokens=[[0, 0]]", ConfigError, "rollout.max_tokens.0.1=0: must be greater than or equal to 1"),
        (
            "rollout.max_tokens=[[3, 8]]",
            ConfigError,
            "rollout.max_tokens=[[3, 8]]: the first stage begins after step 3; it has to begin with the run: [0, "
            "TOKENS]",
        ),
        (
            "rollout.max_tokens=[[0, 8], [4, 16], [0.25, 32]]",
            ConfigError,
            "rollout.max_tokens=[[0, 8], [4, 16], [0.25, 32]]: in a run of 12 steps the stage of 32 tokens begins "
            "after step 3 and the one before it after step 4; the steps of the stages have to rise",
        ),
        ("rollout.truncated=mask", UnknownName, "no key named 'rollout.truncated'; that is 'env.truncated' here"),
        (
            "algo.mask_truncated=true",
            UnknownName,
            "no key named 'algo.mask_truncated'; that is 'env.truncated=mask' here",
        ),
        ("train.lr=-1", ConfigError, "train.lr=-1: must be greater than 0"),
        ("train.lr=fast", ConfigError, "train.lr='fast': must be a valid number, unable to parse string as a number"),
        ("train.lr=nan", ConfigError, "train.lr=nan: must be a finite number"),
        (
            "train.betas=[0.9, 1.0]",
            ConfigError,
            "train.betas=[0.9, 1.0]: must be two numbers, at least 0 and less than 1",
        ),
        ("train.steps=0", ConfigError, "train.steps=0: must be greater than or equal to 1"),
        ("train=3", ConfigError, "train=3: must be a table of keys: train.KEY=VALUE, or {} for the defaults"),
        (
            "shapers.overlong=3",
            ConfigError,
            "shapers.overlong=3: must be a table of keys: shapers.overlong.KEY=VALUE, or {} for the defaults",
        ),
        (
            "algo.x=[inf]",
            ConfigError,
            "algo.options={'x': [inf]}: inf is not a text, a finite number, true or false, a list or a table",
        ),
        (
            "shapers.x.y=nan",
            ConfigError,
            "shapers.x={'y': nan}: nan is not a text, a finite number, true or false, a list or a table",
        ),
        ("lr", ConfigError, "--set 'lr': write it as key=value, for example train.lr=1e-5"),
        ("=1", ConfigError, "--set '=1': write it as key=value, for example train.lr=1e-5"),
        ("train..lr=1", ConfigError, "--set 'train..lr=1': write it as key=value, for example train.lr=1e-5"),
        ("seed.x=1", ConfigError, "seed={'x': 1}: must be a valid integer"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(override, error, message):
    with pytest.raises(error) as caught:
        load_config(None, [override])
    assert str(caught.value) == message


def test_a_key_below_a_value_is_refused():
    with pytest.raises(ConfigError, match=r"seed.x: seed is 1 and has no keys"):
        load_config(None, ["seed=1", "seed.x=2"])


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read configuration .*absent\.toml: No such file"):
        load_config(tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("a = \n")
    with pytest.raises(ConfigError, match=r"bad\.toml is not TOML: Invalid value"):
        load_config(tmp_path / "bad.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"binary\.toml is not TOML"):
        load_config(tmp_path / "binary.toml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("algo.x=0.1", 0.1), ("algo.x=1_000", 1000), ("algo.x=true", True),
        ("algo.x=[1, 'a']", [1, "a"]), ("algo.x={a = 1}", {"a": 1}),
        ("algo.x='true'", "true"), ("algo.x=", ""), ("algo.x=True", "True"), ("algo.x=a=b", "a=b"),
        ("algo.x=2024-01-01", "2024-01-01"), ("algo.x=1\ny = 2", "1\ny = 2"),
        ("algo.x=" + "[" * 5000, "[" * 5000), ("algo.x=" + "9" * 5000, "9" * 5000),
        ("model=007", "007"), ("model=1e5", "1e5"), ("env.name=true", "true"),
        ("env.split=2024", "2024"), ('env.split="2024"', "2024"), ("verifier=1_0", "1_0"),
        ("train.device=0", "0"), ("env.level=1", 1), ("train.threads=2", 2),
    ],
)  # fmt: skip
def test_values_are_toml_or_the_text_itself(text, value):
    parsed = parse_override(text)[1]
    assert parsed == value
    assert type(parsed) is type(value)


@given(st.text())
def test_any_text_after_set_is_a_pair_or_a_config_error(text):
    try:
        key, _ = parse_override(text)
    except ConfigError:
        assert "=" not in text or not all(text.partition("=")[0].strip().split("."))
    else:
        assert all(key.split("."))


@given(st.text(), KEYS)
def test_loading_raises_nothing_but_config_errors(value, key):
    for override in (
        f"{key}={value}",
        f"train.{key}={value}",
        f"train.lr={value}",
        f"algo.{key}={value}",
        f"betas.{key}={value}",
    ):
        try:
            config = load_config(None, [override])
        except ConfigError:
            continue
        assert RunConfig.model_validate_json(to_json(config)) == config


@given(OPTION_NAMES, VALUES)
def test_an_option_that_is_set_is_what_toml_reads_from_the_dump(key, value):
    config = load_config(None, [])
    values = config.model_dump(mode="json")
    set_key(values, f"algo.{key}", value)
    set_key(values, "shapers.brevity", {key: value})
    config = RunConfig.model_validate(values)
    assert config.algo.options == {key: value}
    again = RunConfig.model_validate(tomllib.loads(to_toml(config)))
    assert again == config
    assert config_hash(again) == config_hash(config)
    assert RunConfig.model_validate_json(to_json(config)) == config


def test_the_hash_tells_configurations_apart_and_not_how_they_were_written(tmp_path):
    (tmp_path / "a.toml").write_text("seed = 1\n[algo]\ntau = 0.5\n")
    (tmp_path / "b.toml").write_text('[algo]\noptions = {tau = 0.5}\nname = "mirror"\n')
    one, two = load_config(tmp_path / "a.toml"), load_config(tmp_path / "b.toml", ["seed=1"])
    assert config_hash(one) == config_hash(two)
    assert config_hash(load_config(None, ["seed=2"])) != config_hash(load_config(None, ["seed=1"]))
    assert len(config_hash(one)) == 12


def test_an_option_may_be_called_like_a_field():
    config = load_config(None, ["algo.options.name=x", "algo.options.beta=1"])
    assert (config.algo.name, config.algo.options) == ("mirror", {"name": "x", "beta": 1})
    assert RunConfig.model_validate(tomllib.loads(to_toml(config))) == config


def test_defaults_are_not_shared():
    one = load_config()
    one.algo.options["tau"] = 1
    one.shapers["x"] = {}
    assert load_config() == RunConfig()
    assert load_config().algo.options == {}


def _fields(model, path=""):
    for name, field in model.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            yield from _fields(field.annotation, f"{path}{name}.")
        else:
            yield f"{path}{name}", field


@pytest.mark.parametrize(("key", "field"), list(_fields(RunConfig)))
def test_every_key_is_explained(key, field):
    assert field.description, key


def test_the_manifest_holds_plain_json():
    dump = load_config(None, ["algo.tau=0.1"]).model_dump(mode="json")
    assert RunConfig.model_validate(json.loads(json.dumps(dump))) == load_config(None, ["algo.tau=0.1"])


def test_options_of_a_verifier_are_set_where_plugins_show_prints_them(tmp_path):
    (tmp_path / "run.toml").write_text('verifier = "judge"\n')
    for config in (
        load_config(tmp_path / "run.toml", ["verifier.samples=3"]),
        load_config(None, ["verifier.samples=3", "verifier=judge"]),
        load_config(None, ["verifier=judge", "verifier.samples=3"]),
    ):
        assert (config.verifier.name, config.verifier.options) == ("judge", {"samples": 3})
    own = load_config(None, ["verifier.samples=3"])
    assert (own.verifier.name, own.verifier.options) == (None, {"samples": 3})
    assert EnvSpec.of_config(own.env, own.verifier).settings == {"verifier_options": {"samples": 3}}


@pytest.mark.parametrize("env", [{"name": "aime", "split": "train", "options": {"verifier_options": {"samples": 3}}},
                                 {"verifier_options": {"samples": 3}}])  # fmt: skip
@pytest.mark.parametrize("verifier", [None, "judge"])
def test_an_older_manifest_keeps_its_verifier_and_its_options(env, verifier):
    config = RunConfig.model_validate({"env": env, "verifier": verifier})
    assert (config.verifier.name, config.verifier.options, config.env.options) == (verifier, {"samples": 3}, {})


@pytest.mark.parametrize(
    ("rollout", "options", "settings"),
    [
        ({"max_tokens": None, "truncated": "zero"}, {"mask_truncated": False, "clip": 0.2}, {"truncated": "zero"}),
        ({"max_tokens": 32, "truncated": "mask"}, {"clip": 0.2}, {"max_tokens": 32, "truncated": "mask"}),
        ({"max_tokens": None, "truncated": "zero"}, {"mask_truncated": True, "clip": 0.2}, {"truncated": "mask"}),
    ],
)
def test_an_older_manifest_keeps_its_budget(rollout, options, settings):
    values = {
        "env": {"name": "aime", "options": {"level": 1}},
        "algo": {"name": "grpo", "options": options},
        "rollout": rollout,
    }
    config = RunConfig.model_validate(values)
    assert (config.env.options, config.algo.options) == ({"level": 1} | settings, {"clip": 0.2})


@pytest.mark.parametrize(
    ("setting", "key"),
    [("verifier=math", "verifier=NAME"), ("verifier_limits.workers=2", "verifier.limits.KEY")],
)
def test_settings_of_the_environment_that_are_the_verifiers_are_refused_by_name(setting, key):
    config = load_config(None, [f"env.{setting}"])
    name = setting.partition("=")[0].partition(".")[0]
    with pytest.raises(ConfigError, match=rf"env\.{name} is not a key of this command; use {key}"):
        EnvSpec.of_config(config.env, config.verifier)
