"""The contract of an algorithm, as checks that a plugin author runs over his own.

    from kgym.testing.algorithms import check_algorithm

    @pytest.mark.parametrize("seed", range(20))
    def test_contract(seed):
        check_algorithm("mine", seed=seed)

Dimension key:  T tokens of the pack   E episodes
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from kgym.algorithms.batch import count, pack, select, split
from kgym.types import Algorithm, CriticAlgorithm, LossOutput, PackedBatch


def random_batch(seed: int, *, n_groups: int = 4, group_size: int = 4, longest: int = 6) -> tuple[PackedBatch, Tensor]:
    """Return a batch in float64, without advantages, and the `logprobs` of a policy that has moved a little, (T,).

    Its episodes have prompts and answers of several lengths, with tokens masked out here and there; some episodes have none left, some
    groups one scored episode, some equal rewards. Every optional field is filled in.
    """
    rng = random.Random(seed)  # noqa: S311  (test data)
    n = n_groups * group_size
    answers = [[rng.randrange(50) for _ in range(rng.randint(1, longest))] for _ in range(n)]
    mask = [[rng.random() < 0.9 for _ in answer] if rng.random() < 0.9 else [False] * len(answer) for answer in answers]
    if not any(map(any, mask)):
        mask[0][0] = True
    kinds = [rng.choice(["binary", "equal", "real"]) for _ in range(n_groups)]
    rewards = [{"binary": float(rng.random() < 0.5), "equal": 0.7, "real": rng.uniform(-1, 1)}[kinds[e // group_size]] for e in range(n)]
    packed = pack(
        prompt_ids=[[rng.randrange(50) for _ in range(rng.randint(1, 3))] for _ in range(n)],
        token_ids=answers,
        token_mask=mask,
        rewards=rewards,
        group_ids=[7 * (e // group_size) for e in range(n)],
        truncated=[rng.random() < 0.2 for _ in range(n)],
    )
    generator = torch.Generator().manual_seed(seed)

    def noise(scale: float) -> Tensor:
        return scale * torch.randn(packed.n_tokens, generator=generator, dtype=torch.float64)

    old_T = torch.where(packed.mask, noise(1.0).abs().neg(), 0.0)
    batch = replace(
        packed,
        rewards=packed.rewards.double(),
        greedy_rewards=noise(1.0)[:n_groups].repeat_interleave(group_size),
        old_logprobs=old_T,
        engine_logprobs=old_T + noise(0.3),
        ref_logprobs=old_T + noise(0.3),
        old_values=noise(0.5),
    )
    return batch, old_T + noise(0.3)


def check_algorithm(algorithm: Algorithm | str, *, seed: int = 0, options: dict[str, Any] | None = None) -> None:
    """Check an algorithm, or the registered one of that name, on a random batch. Raises AssertionError that says what does not hold.

    1. Advantages are finite, one a token, and 0 where the mask is 0.
    2. The loss is a finite scalar; tokens that are masked out neither change it nor have a gradient.
    3. The losses, gradients and metrics of micro-batches sum to those of the batch.
    4. The order of the episodes changes nothing.
    5. Longer prompts change nothing.
    6. Episodes without a masked-in token, whatever their reward, change nothing.
    7. All this holds for the loss of a critic in its values too, if the plan asks for one.
    """
    if isinstance(algorithm, str):
        from kgym.registry import registry  # noqa: PLC0415  (an author who passes his own instance needs no registry)

        subject: Algorithm = registry().create("algorithm", algorithm, options or {})
    else:
        subject = algorithm
    batch, logprobs_T = random_batch(seed)
    _check(subject, subject.loss, batch, logprobs_T, seed)
    if subject.plan.needs_values:
        assert batch.old_values is not None
        values_T = batch.old_values + logprobs_T - batch.old_logprobs  # a critic that has moved as the policy has
        _check(subject, cast(CriticAlgorithm, subject).value_loss, batch, values_T, seed)


Loss = Callable[[PackedBatch, Tensor], LossOutput]


def _check(algorithm: Algorithm, loss_of: Loss, batch: PackedBatch, logprobs_T: Tensor, seed: int) -> None:
    """Check a loss as a function of `logprobs_T`, which may also be the values of a critic."""
    with torch.no_grad():
        advantages_T = algorithm.advantages(batch)
    assert advantages_T.shape == batch.mask.shape, f"advantages have shape {tuple(advantages_T.shape)}, the batch {tuple(batch.mask.shape)}"
    assert bool(advantages_T.isfinite().all()), "advantages are not finite"
    assert not bool(advantages_T[~batch.mask].any()), "advantages are not 0 where the mask is 0"
    batch = replace(batch, advantages=advantages_T)
    loss, grad_T, metrics = _differentiate(loss_of, [batch], [logprobs_T])
    assert loss.shape == (), f"the loss has shape {tuple(loss.shape)}, not that of a scalar"
    assert bool(loss.isfinite()), f"the loss is {float(loss)}"
    assert not bool(grad_T[~batch.mask].any()), "tokens that are masked out have a gradient"

    def same(what: str, other: tuple[Tensor, Tensor, dict[str, float]], order: Tensor | slice = slice(None)) -> None:
        _assert_close(f"{what}: loss", other[0], loss)
        _assert_close(f"{what}: gradient", other[1], grad_T[order])
        assert other[2].keys() == metrics.keys(), f"{what}: other metrics"
        for key, value in metrics.items():
            _assert_close(f"{what}: metric {key}", torch.tensor(other[2][key]), torch.tensor(value), tolerance=1e-5)

    elsewhere_T = torch.where(batch.mask, logprobs_T, -3.0)
    same("other values at masked-out tokens", _differentiate(loss_of, [batch], [elsewhere_T]))

    places = replace(batch, input_ids=torch.arange(batch.n_tokens))  # carried along, to find the tokens again
    parts = split(places, max_tokens=20)
    order = torch.cat([part.input_ids for part in parts])
    assert len(parts) > 1
    same("micro-batches", _differentiate(loss_of, parts, [logprobs_T[part.input_ids] for part in parts]), order)

    episodes = list(range(batch.n_episodes))
    random.Random(seed).shuffle(episodes)  # noqa: S311
    shuffled = select(places, episodes, own_totals=False)
    order = shuffled.input_ids
    same("episodes in another order", _evaluate(algorithm, loss_of, shuffled, logprobs_T[order]), order)

    longer, came_from = _with_longer_prompts(batch)
    loss_and_grad = _evaluate(algorithm, loss_of, longer, logprobs_T[came_from])
    first_T = torch.ones_like(came_from, dtype=torch.bool)
    first_T[1:] = came_from[1:] != came_from[:-1]
    same("longer prompts", (loss_and_grad[0], loss_and_grad[1][first_T], loss_and_grad[2]))

    empty_E = torch.bincount(batch.episode_ids[batch.mask], minlength=batch.n_episodes) == 0
    same(
        "the reward of an untrained episode",
        _evaluate(algorithm, loss_of, replace(batch, rewards=batch.rewards + 5.0 * empty_E), logprobs_T),
    )
    kept = select(places, torch.nonzero(~empty_E).squeeze(1).tolist(), own_totals=True)
    order = kept.input_ids
    same("leaving untrained episodes out", _evaluate(algorithm, loss_of, kept, logprobs_T[order]), order)


def _evaluate(algorithm: Algorithm, loss_of: Loss, batch: PackedBatch, logprobs_T: Tensor) -> tuple[Tensor, Tensor, dict[str, float]]:
    """Compute the advantages anew, then loss, gradient and metrics."""
    with torch.no_grad():
        batch = replace(batch, advantages=algorithm.advantages(batch))
    return _differentiate(loss_of, [batch], [logprobs_T])


def _differentiate(loss_of: Loss, parts: Sequence[PackedBatch], logprobs: Sequence[Tensor]) -> tuple[Tensor, Tensor, dict[str, float]]:
    """Return the sum of the losses of the parts, the gradient of each of their tokens, end to end, and the sums of the metrics."""
    total = torch.zeros((), dtype=torch.float64)
    grads: list[Tensor] = []
    metrics: dict[str, float] = {}
    for part, part_T in zip(parts, logprobs, strict=True):
        leaf_T = part_T.detach().clone().requires_grad_()
        output = loss_of(part, leaf_T)
        (grad_T,) = torch.autograd.grad(output.loss, leaf_T, allow_unused=True)
        grads.append(torch.zeros_like(leaf_T) if grad_T is None else grad_T)
        total = total + output.loss.detach()
        for key, value in output.metrics.items():
            metrics[key] = metrics.get(key, 0.0) + value
    return total, torch.cat(grads), metrics


def _with_longer_prompts(batch: PackedBatch) -> tuple[PackedBatch, Tensor]:
    """Double every first token, which is never trained on; also returns the place in `batch` that each token came from, (T',)."""
    first_T = torch.ones_like(batch.mask)
    first_T[1:] = batch.episode_ids[1:] != batch.episode_ids[:-1]
    came_from = torch.repeat_interleave(torch.arange(batch.n_tokens), 1 + first_T.long())
    tokens = ("input_ids", "episode_ids", "mask", "old_logprobs", "engine_logprobs", "ref_logprobs", "old_values", "advantages")
    fields: dict[str, Any] = {name: value[came_from] for name in tokens if (value := getattr(batch, name)) is not None}
    longer = replace(batch, **fields)
    return replace(longer, totals=count(longer.mask, longer.episode_ids, longer.group_ids)), came_from


def _assert_close(what: str, got: Tensor, want: Tensor, tolerance: float = 1e-6) -> None:
    assert got.shape == want.shape, f"{what} has shape {tuple(got.shape)} instead of {tuple(want.shape)}"
    gap = float((got.double() - want.double()).abs().max()) if got.numel() else 0.0
    assert gap <= tolerance, f"{what} differs by {gap:.3g}"
