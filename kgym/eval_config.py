"""The configuration of `kgym eval`: every key with its type, default and meaning.

A key that is not set has the value of the preset, the benchmark or the environment.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from kgym.config import EngineConfig, Plain, Stop, VerifierConfig
from kgym.options import Options, Temperature
from kgym.repetition import SHORTEST
from kgym.spelling import older_spelling

BENCH = "aime-style"
"""The benchmark that is scored if none is named."""


def _one_is_a_list_of_one(names: Any) -> Any:
    return (names,) if isinstance(names, str) else names


class EvalConfig(Options):
    """What an evaluation asks of a model, the same on every benchmark."""

    model_config = ConfigDict(coerce_numbers_to_str=True, allow_inf_nan=False)

    model: str = Field("nano", min_length=1)
    """Model to score: a registered name, a Hugging Face model folder, a run folder or an id of the hub."""
    benches: Annotated[tuple[str, ...], BeforeValidator(_one_is_a_list_of_one)] = Field((BENCH,), min_length=1)
    """Benchmarks, or ENV:SPLIT, scored one after the other."""
    preset: str | None = Field(None, min_length=1)
    """A published protocol; explicit options win over it."""
    samples: int | None = Field(None, ge=1)
    """Completions for each problem; without it the benchmark's number, or 1."""
    problems: int | None = Field(None, ge=0)
    """Number of problems, the first ones of the split; 0 is all. Without it the benchmark's number, or all."""
    max_tokens: int | None = Field(None, ge=1)
    """Token budget of a completion; without it the environment's."""
    temperature: Temperature | None = None
    """Sampling temperature; 0 is greedy. Without it 1, as in training."""
    top_p: float | None = Field(None, gt=0, le=1)
    """Sample from the smallest set of tokens with this much probability; without it 1, which is off."""
    top_k: int | None = Field(None, ge=0)
    """Sample from this many most likely tokens; without it 0, which is off."""
    stop: Stop | None = None
    """Texts that end a completion, in addition to the model's end tokens: a list of them, or one."""
    loop_tokens: int | None = Field(None, ge=SHORTEST)
    """End a completion when its last `loop_tokens` tokens are one block, repeated at least four times; off without
    it.
    """
    truncated: Literal["zero", "score", "mask"] = "zero"
    """How completions that a budget ended count; see `env.truncated`."""
    seed: int = Field(0, ge=0)
    """Seed of the sampling."""
    slots: int = Field(256, ge=1)
    """Completions sampled at the same time; a new one begins when one ends."""
    env: Plain = Field(default_factory=dict)
    """Options of the environment of every benchmark."""
    engine: EngineConfig = EngineConfig()
    verifier: VerifierConfig = VerifierConfig()

    @model_validator(mode="before")
    @classmethod
    def _older(cls, values: Any) -> Any:
        return older_spelling(values) if isinstance(values, Mapping) else values

    @property
    def explicit(self) -> dict[str, Any]:
        """The keys of sampling and budget that are set; they win over a preset."""
        names = ("temperature", "top_p", "top_k", "max_tokens", "stop", "loop_tokens")
        return {name: value for name in names if (value := getattr(self, name)) is not None}
