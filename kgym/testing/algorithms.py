"""The contract of an algorithm, as checks that plugin authors run on their algorithms.

    from kgym.testing.algorithms import check_algorithm

    @pytest.mark.parametrize("seed", range(20))
    def test_contract(seed):
        check_algorithm("mine", seed=seed)

Dimension key:  T tokens of the pack   E episodes
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, cast

import torch
from torch import Tensor

from kgym.algorithms.batch import PER_EPISODE, count, pack, select, split
from kgym.hookspecs import AlgorithmInfo
from kgym.testing.report import Report, maker, name_of
from kgym.types import Algorithm, CriticAlgorithm, LossOutput, PackedBatch, UpdatePlan


def random_batch(seed: int, *, n_groups: int = 4, group_size: int = 4, longest: int = 6) -> tuple[PackedBatch, Tensor]:
    """Return a batch in float64, without advantages, and the `logprobs` of a policy that has moved a little, (T,).

    Its episodes have prompts and completions of several lengths, with some tokens masked out. Some episodes have no
    masked-in token, some groups one scored episode or equal rewards. Every optional field is filled in.
    """
    rng = random.Random(seed)  # noqa: S311  (test data)
    n = n_groups * group_size
    answers = [[rng.randrange(50) for _ in range(rng.randint(1, longest))] for _ in range(n)]
    mask = [[rng.random() < 0.9 for _ in answer] if rng.random() < 0.9 else [False] * len(answer) for answer in answers]
    if not any(map(any, mask)):
        mask[0][0] = True
    kinds = [rng.choice(["binary", "equal", "real"]) for _ in range(n_groups)]
    rewards = [
        {"binary": float(rng.random() < 0.5), "equal": 0.7, "real": rng.uniform(-1, 1)}[kinds[e // group_size]]
        for e in range(n)
    ]
    packed = pack(
        prompt_ids=[[rng.randrange(50) for _ in range(rng.randint(1, 3))] for _ in range(n)],
        token_ids=answers,
        token_mask=mask,
        rewards=rewards,
        group_ids=[7 * (e // group_size) for e in range(n)],
        truncated=[rng.random() < 0.2 for _ in range(n)],
        versions=[sorted(rng.randrange(3) for _ in answer) for answer in answers],
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


def check_algorithm(
    subject: Algorithm | type | str, *, options: Mapping[str, Any] | None = None, seed: int = 0
) -> Report:
    """Check an algorithm, by name, class or instance, on a random batch. Raises ConformanceError with every failure.

    1. Advantages are finite, one for each token, and 0 where the mask is 0.
    2. The loss is a finite scalar; tokens that are masked out neither change it nor have a gradient.
    3. The losses, gradients and metrics of micro-batches sum to those of the batch.
    4. The order of the episodes changes nothing.
    5. Longer prompts change nothing.
    6. Episodes without a masked-in token change nothing, for any reward.
    7. If the plan asks for a critic, the same holds for the critic's loss as a function of its values.
    """
    report = Report(AlgorithmInfo.kind, name_of(subject))
    algorithm: Algorithm = maker(AlgorithmInfo.kind, subject, options)()
    batch, logprobs_T = random_batch(seed)
    with report.check("its plan"):
        assert isinstance(algorithm.plan, UpdatePlan), (
            f"plan is {type(algorithm.plan).__name__}; it has to be an UpdatePlan"
        )
    if report.failures:
        return report.finish()
    _check(report, algorithm, algorithm.loss, batch, logprobs_T, seed=seed)
    if algorithm.plan.needs_values:
        assert batch.old_values is not None
        values_T = batch.old_values + logprobs_T - batch.old_logprobs  # a critic that has changed as the policy has
        value_loss = cast(CriticAlgorithm, algorithm).value_loss
        _check(report, algorithm, value_loss, batch, values_T, seed=seed, whose="the critic: ")
    return report.finish()


Loss = Callable[[PackedBatch, Tensor], LossOutput]


def _check(
    report: Report,
    algorithm: Algorithm,
    loss_of: Loss,
    batch: PackedBatch,
    logprobs_T: Tensor,
    *,
    seed: int,
    whose: str = "",
) -> None:
    """Check a loss as a function of `logprobs_T`, which may also be the values of a critic."""
    n_failed = len(report.failures)
    with report.check(f"{whose}advantages"):
        with torch.no_grad():
            advantages_T = algorithm.advantages(batch)
        got, want = tuple(advantages_T.shape), tuple(batch.mask.shape)
        assert got == want, f"advantages have shape {got}, the batch {want}"
        assert bool(advantages_T.isfinite().all()), "advantages are not finite"
        assert not bool(advantages_T[~batch.mask].any()), "advantages are not 0 where the mask is 0"
        batch = replace(batch, advantages=advantages_T)
    if len(report.failures) > n_failed:
        return
    with report.check(f"{whose}the loss"):
        loss, grad_T, metrics = _differentiate(loss_of, [batch], [logprobs_T])
        assert loss.shape == (), f"the loss has shape {tuple(loss.shape)}; it has to be a scalar"
        assert bool(loss.isfinite()), f"the loss is {float(loss)}"
        assert not bool(grad_T[~batch.mask].any()), "tokens that are masked out have a gradient"
    if len(report.failures) > n_failed:
        return

    for what, changed in _changes(algorithm, loss_of, batch, logprobs_T, seed).items():
        with report.check(f"{whose}{what}"):
            (other_loss, other_grad_T, other_metrics), order = changed()
            _assert_close("the loss", other_loss, loss)
            _assert_close("the gradient", other_grad_T, grad_T[order])
            assert other_metrics.keys() == metrics.keys(), (
                f"metrics appear or are missing: {sorted(other_metrics.keys() ^ metrics.keys())}"
            )
            for key, value in metrics.items():
                _assert_close(
                    f"the metric {key}", torch.tensor(other_metrics[key]), torch.tensor(value), tolerance=1e-5
                )


Evaluated = tuple[Tensor, Tensor, dict[str, float]]
"""Loss, gradient and metrics."""


def _changes(
    algorithm: Algorithm, loss_of: Loss, batch: PackedBatch, logprobs_T: Tensor, seed: int
) -> dict[str, Callable[[], tuple[Evaluated, Tensor | slice]]]:
    """Return the changes that must not change the result, by name: each a function that evaluates the changed batch and
    returns where its tokens come from.
    """
    places = replace(batch, input_ids=torch.arange(batch.n_tokens))  # the place of each token in `batch`
    empty_E = torch.bincount(batch.episode_ids[batch.mask], minlength=batch.n_episodes) == 0

    def elsewhere() -> tuple[Evaluated, Tensor | slice]:
        return _differentiate(loss_of, [batch], [torch.where(batch.mask, logprobs_T, -3.0)]), slice(None)

    def parts() -> tuple[Evaluated, Tensor | slice]:
        found = split(places, max_tokens=20)
        order = torch.cat([part.input_ids for part in found])
        assert len(found) > 1
        return _differentiate(loss_of, found, [logprobs_T[part.input_ids] for part in found]), order

    def shuffled() -> tuple[Evaluated, Tensor | slice]:
        episodes = list(range(batch.n_episodes))
        random.Random(seed).shuffle(episodes)  # noqa: S311
        other = select(places, episodes, own_totals=False)
        return _evaluate(algorithm, loss_of, other, logprobs_T[other.input_ids]), other.input_ids

    def longer() -> tuple[Evaluated, Tensor | slice]:
        other, came_from = _with_longer_prompts(batch)
        loss, grad_T, metrics = _evaluate(algorithm, loss_of, other, logprobs_T[came_from])
        first_T = torch.ones_like(came_from, dtype=torch.bool)
        first_T[1:] = came_from[1:] != came_from[:-1]
        return (loss, grad_T[first_T], metrics), slice(None)

    def rewarded() -> tuple[Evaluated, Tensor | slice]:
        return _evaluate(algorithm, loss_of, replace(batch, rewards=batch.rewards + 5.0 * empty_E), logprobs_T), slice(
            None
        )

    def left_out() -> tuple[Evaluated, Tensor | slice]:
        kept = select(places, torch.nonzero(~empty_E).squeeze(1).tolist(), own_totals=True)
        return _evaluate(algorithm, loss_of, kept, logprobs_T[kept.input_ids]), kept.input_ids

    return {
        "other values at masked-out tokens": elsewhere,
        "micro-batches": parts,
        "episodes in another order": shuffled,
        "longer prompts": longer,
        "the reward of an untrained episode": rewarded,
        "leaving untrained episodes out": left_out,
    }


def _evaluate(
    algorithm: Algorithm, loss_of: Loss, batch: PackedBatch, logprobs_T: Tensor
) -> tuple[Tensor, Tensor, dict[str, float]]:
    """Compute the advantages again, then loss, gradient and metrics."""
    with torch.no_grad():
        batch = replace(batch, advantages=algorithm.advantages(batch))
    return _differentiate(loss_of, [batch], [logprobs_T])


def _differentiate(
    loss_of: Loss, parts: Sequence[PackedBatch], logprobs: Sequence[Tensor]
) -> tuple[Tensor, Tensor, dict[str, float]]:
    """Return the sum of the losses of the parts, the gradients of their tokens, concatenated, and the sums of the
    metrics.
    """
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
    """Repeat every first token, which is never trained on. Also return the place in `batch` that each token comes from,
    (T',).
    """
    first_T = torch.ones_like(batch.mask)
    first_T[1:] = batch.episode_ids[1:] != batch.episode_ids[:-1]
    came_from = torch.repeat_interleave(torch.arange(batch.n_tokens), 1 + first_T.long())
    tensors = {field.name: value for field in fields(batch) if isinstance(value := getattr(batch, field.name), Tensor)}
    of_tokens: dict[str, Any] = {name: value[came_from] for name, value in tensors.items() if name not in PER_EPISODE}
    longer = replace(batch, **of_tokens)
    return replace(longer, totals=count(longer.mask, longer.episode_ids, longer.group_ids)), came_from


def _assert_close(what: str, got: Tensor, want: Tensor, tolerance: float = 1e-6) -> None:
    assert got.shape == want.shape, f"{what} has shape {tuple(got.shape)} instead of {tuple(want.shape)}"
    gap = float((got.double() - want.double()).abs().max()) if got.numel() else 0.0
    assert gap <= tolerance, f"{what} differs by {gap:.3g}"
