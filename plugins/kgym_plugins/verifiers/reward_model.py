"""The verifier `reward_model`: a model that was trained on preferences says how good an answer is.

Its score s has the mean 0 over demonstrations (InstructGPT, section 3.5): `kgym rm` keeps the bias that does so with
the model.

    grade = threshold      correct if s > threshold, else wrong
    grade = probability    the same verdict, with the partial credit sigmoid(s - threshold): the chance that the answer
    is preferred to one
                           whose score is the threshold, by the model that the loss of reward models has of preferences

An answer that is longer than the model's context is unscored. The model lives in the caller's process, once for all
verifiers that name it. The text of an answer is only ever turned into token ids; what it can do is to please the model
without being right.
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
    """A reward model as a verifier."""

    model: str = ""
    """Folder of the reward model, as `kgym rm` writes it, or any sequence classifier of one label. It has to be
    named.
    """
    grade: Literal["threshold", "probability"] = "probability"
    """Right or wrong, or also partial credit, which is a reward with a slope."""
    threshold: float = Field(0.0, allow_inf_nan=False)
    """The score above which an answer is correct; 0 is that of an average demonstration."""
    device: str = "auto"
    """Device of the model; `auto` is a GPU if the machine has one."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of its weights; `auto` is float32 on the CPU and bfloat16 on a GPU."""

    def fingerprints(self) -> dict[str, str]:
        """Return that of the reward model."""
        from kgym.models.names import model_fingerprint, resolve_model  # noqa: PLC0415  (loads torch)

        return {"model": model_fingerprint(resolve_model(self.model))} if self.model else {}


class RewardModelVerifier:
    """Follows `kgym.types.Verifier`."""

    Options = RewardModelOptions

    def __init__(self, options: RewardModelOptions) -> None:
        if not options.model:
            raise ConfigError(
                "the verifier reward_model judges by a model of yours: train one with kgym rm, and name its folder as "
                "the option model"
            )
        self.options = options
        _check(options.model)

    def verify_many(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """Return one verdict for each item; `unscored:context` for an answer that is too long for the model."""
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
    """Refuse what is not a reward model before a run begins; the weights are loaded with the first answers."""
    from kgym.models.names import resolve_model  # noqa: PLC0415  (loads torch)
    from kgym.models.reward_model import check_reward_model  # noqa: PLC0415

    check_reward_model(resolve_model(model))


@lru_cache(maxsize=4)
def _load(model: str, dtype: str, device: str) -> "RewardModel":
    from kgym.models.names import resolve_model  # noqa: PLC0415  (loads torch)
    from kgym.models.reward_model import load_reward_model  # noqa: PLC0415

    return load_reward_model(resolve_model(model), dtype=dtype, device=device)
