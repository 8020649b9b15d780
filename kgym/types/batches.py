"""The packed batch: what the trainer and an algorithm compute with.

Dimension key:  T tokens of the pack (prompts and completions)   E episodes
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # torch is imported only where something is computed with it
    from torch import Tensor


@dataclass(frozen=True)
class Totals:
    """Counts of a whole batch. Its micro-batches have the same totals, so that their losses add up to its loss."""

    tokens: int
    """Masked-in tokens."""
    episodes: int
    """Episodes with at least one masked-in token."""
    groups: int
    """Groups with at least one such episode."""


@dataclass(frozen=True)
class PackedBatch:
    """E episodes laid end to end as T tokens: prompt, then completion, then the next episode.

    Raises ValueError, naming the field, if the shapes do not agree.
    """

    input_ids: "Tensor"
    """(T,) int64"""
    episode_ids: "Tensor"
    """(T,) int64, 0 .. E-1, never decreasing: which episode a token belongs to."""
    mask: "Tensor"
    """(T,) bool: tokens that the policy sampled and that are trained on. Never the first token of an episode."""
    old_logprobs: "Tensor"
    """(T,) float32; [t] is the log-probability of token t given the tokens before it; 0 where the mask is 0."""
    rewards: "Tensor"
    """(E,) float32, after shaping"""
    group_ids: "Tensor"
    """(E,) int64, equal for attempts at the same problem"""
    totals: Totals
    truncated: "Tensor | None" = None
    """(E,) bool"""
    greedy_rewards: "Tensor | None" = None
    """(E,) float32, reward of the greedy completion of the same problem"""
    counted: "Tensor | None" = None
    """(E,) bool: episodes whose reward the others are compared with; without it, those with a masked-in token.
    Truncated completions that are masked count here, although they have no masked-in token.
    """
    engine_logprobs: "Tensor | None" = None
    """(T,) float32"""
    versions: "Tensor | None" = None
    """(T,) int64, version of the weights that sampled the token; -1 for prompts and observations"""
    ref_logprobs: "Tensor | None" = None
    """(T,) float32"""
    old_values: "Tensor | None" = None
    """(T,) float32, values of the critic at the start of the batch; [t] is the value of the state in which token t was
    chosen
    """
    advantages: "Tensor | None" = None
    """(T,) float32; filled in by the trainer from `Algorithm.advantages`"""
    correction: "Tensor | None" = None
    """(T,) float32: factor by which the trainer scales the gradient of each token's log-probability; 1 for a token of
    the policy that is updated. Only in a batch with tokens of older weights; algorithms do not use it.
    """

    def __post_init__(self) -> None:
        """Compare every array with `input_ids` or `rewards`; a shape note that nothing checks will one day be wrong."""
        for shape_of, names in (
            (
                "input_ids",
                (
                    *("episode_ids", "mask", "old_logprobs", "engine_logprobs", "versions", "ref_logprobs"),
                    *("old_values", "advantages", "correction"),
                ),
            ),
            ("rewards", ("group_ids", "truncated", "greedy_rewards", "counted")),
        ):
            want = getattr(self, shape_of).shape[0]
            unit = "tokens" if shape_of == "input_ids" else "episodes"
            for name in names:
                tensor = getattr(self, name)
                if tensor is not None and tuple(tensor.shape) != (want,):
                    raise ValueError(
                        f"PackedBatch.{name} has shape {tuple(tensor.shape)}, {shape_of} has {want} {unit}"
                    )

    @property
    def n_episodes(self) -> int:
        """E."""
        return int(self.rewards.shape[0])

    @property
    def n_tokens(self) -> int:
        """T, prompts included."""
        return int(self.input_ids.shape[0])
