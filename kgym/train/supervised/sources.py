"""From a configuration to the examples of a run, and to the facts that identify them."""

import hashlib
from pathlib import Path
from typing import Any

from kgym.config import VerifierConfig
from kgym.envs.spec import EnvSpec
from kgym.models.names import file_sha256
from kgym.supervised_config import ExamplesConfig, PreferencesConfig, SFTConfig
from kgym.train.supervised.comparisons import PreferenceData, from_env, from_list, read_comparisons, stored_comparisons
from kgym.train.supervised.examples import Examples, read_examples, sampled_examples, shortest, solved_examples
from kgym.train.supervised.rows import shuffled

Facts = dict[str, Any]
"""Facts in the manifest that identify the examples: {"specs": ..., "env": ...} of an environment, or {"fingerprints":
{"data": "41d0..."}}.
"""


def spec_of(config: ExamplesConfig) -> EnvSpec | None:
    """Return the train split of the environment that a configuration names; None for another source of examples."""
    if config.env is None:
        return None
    verifier = config.verifier if isinstance(config, PreferencesConfig) else VerifierConfig()
    return EnvSpec.of(config.env.name, "train", config.env.options, verifier)


def examples_of(config: SFTConfig) -> tuple[Examples, Facts]:
    """Return what `kgym sft` learns. Raises ConfigError or DataError if there is nothing to learn."""
    config.check_source()
    if config.episodes is not None:
        sampled = sampled_examples(Path(config.episodes))
        sampled = shortest(sampled) if config.sft.select == "shortest" else sampled
        digest = _sha256([(one.problem_id, one.token_ids) for one in sampled])
        return shuffled(sampled, seed=config.seed), {"fingerprints": {"episodes": digest}}
    if config.data is not None:
        rows = read_examples(Path(config.data))
        return shuffled(rows, seed=config.seed), {"fingerprints": {"data": file_sha256(Path(config.data))}}
    spec = spec_of(config)
    assert spec is not None
    return solved_examples(spec.setup(), seed=config.seed), _facts_of(spec)


def preferences_of(config: PreferencesConfig) -> tuple[PreferenceData, Facts]:
    """Return what `kgym dpo` and `kgym rm` learn. Raises ConfigError or DataError if there is nothing to learn."""
    config.check_source()
    if config.episodes is not None:
        found = stored_comparisons(Path(config.episodes), config.pairs, seed=config.seed)
        return from_list(found, config.pairs, seed=config.seed), {"fingerprints": {"episodes": _sha256(found)}}
    if config.data is not None:
        found = read_comparisons(Path(config.data))
        return from_list(found, config.pairs, seed=config.seed), {
            "fingerprints": {"data": file_sha256(Path(config.data))}
        }
    spec = spec_of(config)
    assert spec is not None
    return from_env(spec, config.pairs, seed=config.seed), _facts_of(spec)


def _facts_of(spec: EnvSpec) -> Facts:
    return {"specs": {spec.name: spec.to_json()}, "env": spec.facts()}


def _sha256(values: list[Any]) -> str:
    return hashlib.sha256("\n".join(map(repr, values)).encode()).hexdigest()
