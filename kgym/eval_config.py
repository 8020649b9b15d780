"""The configuration of `kgym eval`: every key with its type, default and meaning.

What is not set is as the preset, the benchmark or the environment says.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from kgym.config import EngineConfig, Plain, Stop, VerifierConfig
from kgym.options import Options, Temperature
from kgym.repetition import SHORTEST
from kgym.spelling import older_spelling

BENCH = "aime-style"
"""What is scored unless a benchmark is named."""


def _one_is_a_list_of_one(names: Any) -> Any:
    return (names,) if isinstance(names, str) else names


class EvalConfig(Options):
    """Everything that is asked of a model on every benchmark alike."""

    model_config = ConfigDict(coerce_numbers_to_str=True, allow_inf_nan=False)

    model: str = Field("nano", min_length=1)
    """What is scored: a registered name, a Hugging Face model folder, a run folder or an id of the hub."""
    benches: Annotated[tuple[str, ...], BeforeValidator(_one_is_a_list_of_one)] = Field((BENCH,), min_length=1)
    """Benchmarks, or ENV:SPLIT, scored one after the other."""
    preset: str | None = Field(None, min_length=1)
    """A published protocol; explicit options win over it."""
    samples: int | None = Field(None, ge=1)
    """Answers for each problem; without it the benchmark's number, or 1."""
    problems: int | None = Field(None, ge=0)
    """Only the first so many problems, 0 for all; without it the benchmark's number, or all."""
    max_tokens: int | None = Field(None, ge=1)
    """Token budget of an answer; without it the environment's."""
    temperature: Temperature | None = None
    """Of sampling, 0 is greedy; without it 1, as in training."""
    top_p: float | None = Field(None, gt=0, le=1)
    """Sample from the smallest set of tokens with this much probability; without it 1, which is off."""
    top_k: int | None = Field(None, ge=0)
    """Sample from so many most likely tokens; without it 0, which is off."""
    stop: Stop | None = None
    """Texts that end an answer, in addition to the model's end tokens: a list of them, or one."""
    loop_tokens: int | None = Field(None, ge=SHORTEST)
    """End an answer whose last so many tokens are one block, repeated at least four times; without it none is."""
    truncated: Literal["zero", "score", "mask"] = "zero"
    """What an answer is worth that a budget ended; see `env.truncated`."""
    seed: int = Field(0, ge=0)
    """Of the sampling."""
    slots: int = Field(256, ge=1)
    """Answers played at once; a new one begins as one ends."""
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
        """What is set of sampling and budget, which wins over a preset."""
        names = ("temperature", "top_p", "top_k", "max_tokens", "stop", "loop_tokens")
        return {name: value for name in names if (value := getattr(self, name)) is not None}
