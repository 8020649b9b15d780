"""One batch of groups becomes a few optimizer steps. Knows protocols, no algorithm.

groups -> pack -> old_logprobs (ref_logprobs, old_values) -> Algorithm.advantages -> inner steps over minibatches over micro-batches
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from typing import Literal, cast

import torch
from torch import Tensor, nn

from kgym.algorithms.batch import minibatches, pack, split
from kgym.algorithms.episodes import masked
from kgym.algorithms.old_tokens import corrected, correction_metrics, older, scale_gradient
from kgym.blame import blaming, label_of
from kgym.errors import ComponentError
from kgym.train.critic import Critic
from kgym.train.forward import policy_logprobs, token_values
from kgym.types import Algorithm, CriticAlgorithm, Episode, Group, LossOutput, PackedBatch


def pack_groups(
    groups: Sequence[Group],
    *,
    device: torch.device,
    greedy_rewards: Sequence[float | None] | None = None,
    version: int = 0,
    old_tokens: Literal["mask", "correct"] = "mask",
) -> PackedBatch | None:
    """Lay the judged episodes of the groups end to end, on `device`; None if none of their tokens may be trained on.

    An unscored episode is left out whole: it neither has a gradient nor counts in a group's mean. One that is masked because
    it was truncated has no masked-in token and counts in a group's mean. `greedy_rewards` has one entry a group; a group
    whose greedy answer could not be judged (None) has nothing to be compared with and is left out too.

    `version` is that of the policy that is updated. Tokens of older weights are masked out, or kept to be trained on with
    importance weights (`update` is told the version too); the reward of their episode counts in its group in both cases.
    Source of the mask: Kimi k1.5, arXiv:2501.12599, section 2.6.2.
    """
    kept = [
        (number, episode, reward)
        for number, group in enumerate(groups)
        for episode, reward in zip(group.episodes, group.rewards, strict=True)
        if (episode.trainable or episode.judged) and episode.n_tokens and (greedy_rewards is None or greedy_rewards[number] is not None)
    ]
    oldest = version if old_tokens == "mask" else None
    batch = pack(
        prompt_ids=[episode.prompt_ids for _, episode, _ in kept],
        token_ids=[episode.token_ids for _, episode, _ in kept],
        token_mask=[_trained(episode, oldest) for _, episode, _ in kept],
        engine_logprobs=[episode.engine_logprobs for _, episode, _ in kept],
        versions=[episode.versions for _, episode, _ in kept],
        rewards=[reward for _, _, reward in kept],
        group_ids=[number for number, _, _ in kept],
        truncated=[episode.truncated for _, episode, _ in kept],
    )
    if not batch.totals.tokens:
        return None
    batch = replace(batch, counted=torch.ones(len(kept), dtype=torch.bool))
    if greedy_rewards is not None:
        batch = replace(batch, greedy_rewards=torch.tensor([greedy_rewards[number] for number, _, _ in kept], dtype=torch.float32))
    tensors = {field.name: value.to(device) for field in fields(batch) if isinstance(value := getattr(batch, field.name), Tensor)}
    return replace(batch, **tensors)  # type: ignore[arg-type]  # only fields that are tensors


def _trained(episode: Episode, oldest: int | None) -> list[bool]:
    """Return which tokens of an episode are trained on: those that the policy sampled, by weights of version `oldest` or newer."""
    return [
        episode.trainable and sampled and (oldest is None or version >= oldest)
        for sampled, version in zip(episode.token_mask, episode.versions, strict=True)
    ]


@torch.no_grad()
def frozen_logprobs(model: nn.Module, batch: PackedBatch, *, temperature: float, microbatch_tokens: int) -> tuple[Tensor, Tensor]:
    """Return the log-probabilities and the entropies of a batch without gradient, each (T,), 0 where the mask is 0."""
    logprobs_T = torch.zeros_like(batch.old_logprobs)
    entropy_T = torch.zeros_like(batch.old_logprobs)
    for micro, places in _parts(batch, microbatch_tokens):
        micro_logprobs, micro_entropy = policy_logprobs(model, micro, temperature=temperature, with_entropy=True)
        assert micro_entropy is not None
        logprobs_T[places] = masked(micro, micro_logprobs)
        entropy_T[places] = masked(micro, micro_entropy)
    return logprobs_T, entropy_T


@torch.no_grad()
def frozen_values(critic: Critic, batch: PackedBatch, *, microbatch_tokens: int) -> Tensor:
    """Return the values of a batch without gradient, (T,), 0 where the mask is 0."""
    values_T = torch.zeros_like(batch.old_logprobs)
    for micro, places in _parts(batch, microbatch_tokens):
        values_T[places] = token_values(critic.model, micro)
    return values_T


def _parts(batch: PackedBatch, microbatch_tokens: int) -> Iterator[tuple[PackedBatch, Tensor]]:
    """Yield the micro-batches, which come in another order, with the place of each of their tokens in the batch."""
    places_T = torch.arange(batch.n_tokens, device=batch.input_ids.device)
    # the advantages, which are not needed where this is used, carry the places
    for micro in split(replace(batch, advantages=places_T), microbatch_tokens):
        assert micro.advantages is not None
        yield micro, micro.advantages


def update(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    algorithm: Algorithm,
    batch: PackedBatch,
    *,
    temperature: float,
    microbatch_tokens: int,
    max_grad_norm: float,
    rng: random.Random,
    version: int = 0,
    reference: nn.Module | None = None,
    critic: Critic | None = None,
    pretraining: Callable[[int], dict[str, float]] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """Train `model` on one batch and return the metrics, means over the optimizer steps unless the name says otherwise.

    `version` is that of `model` before the update: tokens of older weights are trained on with importance weights.
    A critic is trained besides, on the same micro-batches. `pretraining` adds a term of its own to the gradient of each optimizer step; it
    is told the number of the step, from 0, and returns its metrics.
    `progress` is called as (passes over the batch that are done, passes planned).

    Raises FloatingPointError, naming it, if a reward, a log-probability, a value, an advantage, a loss or the gradient is
    not finite: a step with it would destroy the policy.
    """
    batch, before = _filled_in(
        model,
        algorithm,
        batch,
        temperature=temperature,
        microbatch_tokens=microbatch_tokens,
        version=version,
        reference=reference,
        critic=critic,
    )
    plan = algorithm.plan
    steps: list[dict[str, float]] = []
    for n_done in range(plan.inner_steps):
        if progress is not None:
            progress(n_done, plan.inner_steps)
        for minibatch in minibatches(batch, plan.minibatches, rng):
            optimizer.zero_grad(set_to_none=True)
            if critic is not None:
                critic.optimizer.zero_grad(set_to_none=True)
            metrics = _add_gradient(
                model, algorithm, minibatch, temperature=temperature, microbatch_tokens=microbatch_tokens, critic=critic
            )
            if pretraining is not None:
                metrics |= pretraining(len(steps))
            metrics["optim/grad_norm"] = _clip(model, max_grad_norm)
            if critic is not None:
                metrics["optim/critic_grad_norm"] = _clip(critic.model.own, max_grad_norm)
                critic.optimizer.step()
            optimizer.step()
            steps.append(metrics)
    return _mean(steps) | before


def _add_gradient(
    model: nn.Module, algorithm: Algorithm, minibatch: PackedBatch, *, temperature: float, microbatch_tokens: int, critic: Critic | None
) -> dict[str, float]:
    """Add the gradient of the losses of policy and critic, micro-batch by micro-batch, and return their metrics."""
    metrics: dict[str, float] = {}
    n_tokens = int(minibatch.mask.sum())
    for micro in split(minibatch, microbatch_tokens):
        logprobs_T, _ = policy_logprobs(model, micro, temperature=temperature)
        output = _loss(algorithm, algorithm.loss, micro, scale_gradient(micro, logprobs_T))
        output.loss.backward()
        parts = output.metrics | {"policy/loss": float(output.loss.detach()), "policy/kl_nats": _kl(micro, logprobs_T) / n_tokens}
        if critic is not None:
            value_loss = cast(CriticAlgorithm, algorithm).value_loss
            value_output = _loss(algorithm, value_loss, micro, token_values(critic.model, micro))
            value_output.loss.backward()
            parts |= value_output.metrics
            _check(value_output.loss.detach(), f"the critic's loss of {label_of('algorithm', algorithm)}")
        _check(output.loss.detach(), f"the loss of {label_of('algorithm', algorithm)}")
        for key, value in parts.items():
            metrics[key] = metrics.get(key, 0.0) + value
    return metrics


def _filled_in(
    model: nn.Module,
    algorithm: Algorithm,
    batch: PackedBatch,
    *,
    temperature: float,
    microbatch_tokens: int,
    version: int,
    reference: nn.Module | None,
    critic: Critic | None,
) -> tuple[PackedBatch, dict[str, float]]:
    """Return the batch with what is known before the first step, advantages included, and the metrics of the policy before the update.

    Raises FloatingPointError, naming it, for what is not finite.
    """
    _check(batch.rewards, "a reward")
    old_T, entropy_T = frozen_logprobs(model, batch, temperature=temperature, microbatch_tokens=microbatch_tokens)
    _check(old_T, "a log-probability of the policy")
    batch = replace(batch, old_logprobs=old_T)
    if reference is not None:
        ref_T, _ = frozen_logprobs(reference, batch, temperature=temperature, microbatch_tokens=microbatch_tokens)
        _check(ref_T, "a log-probability of the reference")
        batch = replace(batch, ref_logprobs=ref_T)
    if critic is not None:
        values_T = frozen_values(critic, batch, microbatch_tokens=microbatch_tokens)
        _check(values_T, "a value of the critic")
        batch = replace(batch, old_values=values_T)
    before = _before(batch, entropy_T, version)
    batch = corrected(batch, version)
    before |= correction_metrics(batch, version)
    advantages_T = _advantages(algorithm, batch)
    _check(advantages_T[batch.mask], f"an advantage of {label_of('algorithm', algorithm)}")
    return replace(batch, advantages=advantages_T), before


@torch.no_grad()
def _advantages(algorithm: Algorithm, batch: PackedBatch) -> Tensor:
    """Return the advantages, (T,). Raises ComponentError, naming the algorithm, if they are not one for each token."""
    with blaming("algorithm", algorithm):
        advantages_T = algorithm.advantages(batch)
        if not isinstance(advantages_T, Tensor) or advantages_T.shape != batch.mask.shape:
            got = tuple(advantages_T.shape) if isinstance(advantages_T, Tensor) else type(advantages_T).__name__
            raise ComponentError(f"advantages returned {got}; it has to return one for each token, {tuple(batch.mask.shape)}")
        return advantages_T


def _loss(algorithm: Algorithm, loss_of: Callable[[PackedBatch, Tensor], LossOutput], micro: PackedBatch, inputs_T: Tensor) -> LossOutput:
    """Return the loss of a micro-batch. Raises ComponentError, naming the algorithm, if it cannot be differentiated."""
    with blaming("algorithm", algorithm):
        output = loss_of(micro, inputs_T)
        if not isinstance(output, LossOutput):
            raise ComponentError(f"the loss is {type(output).__name__}; it has to be a LossOutput")
        if output.loss.shape != () or not output.loss.requires_grad:
            gradient = "" if output.loss.requires_grad else " and no gradient"
            raise ComponentError(f"the loss has shape {tuple(output.loss.shape)}{gradient}; it has to be a scalar with a gradient")
        return output


def _check(values: Tensor, what: str) -> None:
    """Raise FloatingPointError for values that are not all finite."""
    if not bool(values.isfinite().all()):
        raise FloatingPointError(f"{what} is {values[~values.isfinite()].flatten()[0].item()}")


def _clip(model: nn.Module, max_grad_norm: float) -> float:
    """Scale the gradient down to `max_grad_norm` and return its norm before. Raises FloatingPointError if that is not finite."""
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
    if not torch.isfinite(norm):
        raise FloatingPointError(f"the gradient norm is {norm.item()}")
    return norm.item()


@torch.no_grad()
def _kl(batch: PackedBatch, logprobs_T: Tensor) -> float:
    """Return KL(old || current) summed over the trained tokens, by the estimator k3: the tokens are the old policy's."""
    delta_T = (logprobs_T - batch.old_logprobs)[batch.mask]
    return (delta_T.exp() - delta_T - 1).sum().item()


def _before(batch: PackedBatch, entropy_T: Tensor, version: int) -> dict[str, float]:
    """Return the entropy of the policy before the update, over the trained tokens, and how far from it the sampling was.

    The gap of tokens of its own version is that of the engine; the gap of older tokens is also that of the updates since.
    """
    metrics = {"policy/entropy_nats": entropy_T[batch.mask].mean().item()}
    if batch.engine_logprobs is not None:
        gap_T = (batch.engine_logprobs - batch.old_logprobs).abs()
        old_T = older(batch, version)
        for key, tokens_T in (("policy/engine_gap_nats", batch.mask & ~old_T), ("old_tokens/gap_nats", old_T)):
            if bool(tokens_T.any()):
                metrics[key] = gap_T[tokens_T].mean().item()
    return metrics


def _mean(steps: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: sum(step[key] for step in steps) / len(steps) for key in steps[0]}
