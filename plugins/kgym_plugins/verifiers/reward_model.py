"""The verifier `reward_model`: a model that was trained on preferences scores how good a completion is.

Its score s has the mean 0 over demonstrations (InstructGPT, section 3.5); `kgym rm` stores the bias for this with the
model.

    grade = threshold      correct if s > threshold, else wrong
    grade = probability    the same verdict, with the partial credit sigmoid(s - threshold): the probability that the
                           completion is preferred to one whose score is the threshold, by the model of preferences
                           (Bradley-Terry) that the loss of reward models assumes

A completion that is longer than the model's context is unscored. The model is in the caller's process, shared by all
verifiers that name it. The text of a completion is only converted to token ids; at worst it gets a high score without
being right.
"""

import math
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from kgym.errors import ConfigError
from kgym.options import Options
from kgym.types import Verdict, VerifyItem

if TYPE_CHECKING:
    from kgym.models.reward_model import RewardModel


class RewardModelOptions(Options):
    """Options of a reward model as a verifier."""

    model: str = ""
    """Folder of the reward model, as `kgym rm` writes it, or any sequence classifier with one label. Required."""
    grade: Literal["threshold", "probability"] = "probability"
    """`threshold`: only correct or wrong. `probability`: also partial credit, so that the reward has a slope."""
    threshold: float = Field(0.0, allow_inf_nan=False)
    """The score above which a completion is correct; 0 is the score of an average demonstration."""
    device: str = "auto"
    """Device of the model; `auto` is a GPU if the machine has one."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Type of its weights; `auto` is float32 on the CPU and bfloat16 on a GPU."""

    def fingerprints(self) -> dict[str, str]:
        """Return the fingerprint of the reward model."""
        from kgym.models.names import model_fingerprint, resolve_model  # noqa: PLC0415  (loads torch)

        return {"model": model_fingerprint(resolve_model(self.model))} if self.model else {}


class RewardModelVerifier:
    """Follows `kgym.types.Verifier`."""

    Options = RewardModelOptions

    def __init__(self, options: RewardModelOptions) -> None:
        if not options.model:
            raise ConfigError(
                "the verifier reward_model needs a reward model: train one with kgym rm, and name its folder with the "
                "option model"
            )
        self.options = options
        _check(options.model)

    def verify_many(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """Return one verdict for each item; `unscored:context` for a completion that is too long for the model."""
        if not items:
            return []
        begin = time.perf_counter()
        o = self.options
        scores = _load(o.model, o.dtype, o.device).scores([(item.question, item.gold, item.response) for item in items])
        seconds = (time.perf_counter() - begin) / len(items)
        return [self._verdict(score, seconds) for score in scores]

    def _verdict(self, score: float | None, seconds: float) -> Verdict:
        if score is None:
            return Verdict("unscored", "context", seconds=seconds)
        if not math.isfinite(score):
            return Verdict("unscored", "not_finite", seconds=seconds)
        above = score - self.options.threshold
        partial = sigmoid(above) if self.options.grade == "probability" else None
        return Verdict("correct" if above > 0 else "wrong", "reward_model", partial=partial, seconds=seconds)


def sigmoid(x: float) -> float:
    """Return 1 / (1 + exp(-x)) without overflow.

    >>> sigmoid(0.0), sigmoid(-1000.0), sigmoid(1000.0)
    (0.5, 0.0, 1.0)
    """
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))


@lru_cache(maxsize=8)
def _check(model: str) -> None:
    """Refuse a model that is not a reward model before a run begins; the weights are loaded for the first
    completions.
    """
    from kgym.models.names import resolve_model  # noqa: PLC0415  (loads torch)
    from kgym.models.reward_model import check_reward_model  # noqa: PLC0415

    check_reward_model(resolve_model(model))


@lru_cache(maxsize=4)
def _load(model: str, dtype: str, device: str) -> "RewardModel":
    from kgym.models.names import resolve_model  # noqa: PLC0415  (loads torch)
    from kgym.models.reward_model import load_reward_model  # noqa: PLC0415

    return load_reward_model(resolve_model(model), dtype=dtype, device=device)
