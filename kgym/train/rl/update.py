"""One batch of groups becomes a few optimizer steps. This file knows protocols, not algorithms.

    batch -> old_logprobs (ref_logprobs, old_values) -> Algorithm.advantages
          -> inner steps over minibatches over micro-batches

If the batch has one optimizer step, its forward pass is that of the policy before the update: `old_logprobs` come from
it, and no separate pass is made, unless something needs them earlier (tokens of older weights, a KL in the reward).
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from kgym.algorithms.batch import minibatches
from kgym.algorithms.mismatch import gap_metrics
from kgym.algorithms.old_tokens import corrected, correction_metrics, older, scale_gradient
from kgym.blame import blaming, label_of
from kgym.errors import ComponentError
from kgym.train.policy import TrainedPolicy, clip
from kgym.train.profiling import phase
from kgym.train.rl.critic import Critic, token_values
from kgym.train.rl.start import Start, on_demand
from kgym.types import Algorithm, CriticAlgorithm, LossOutput, PackedBatch


@torch.no_grad()
def frozen_values(policy: TrainedPolicy, critic: Critic, batch: PackedBatch) -> Tensor:
    """Return the values of a batch without gradient, (T,), 0 where the mask is 0."""
    values_T = torch.zeros_like(batch.old_logprobs)
    for micro, places, weight in policy.microbatches(batch):
        micro_values = _values(policy, critic, micro)
        if weight:
            values_T[places] = micro_values
    policy.world.add_up(values_T)
    return values_T


def _values(policy: TrainedPolicy, critic: Critic, micro: PackedBatch) -> Tensor:
    """Return the values of a micro-batch with gradient, (T,), 0 where the mask is 0."""
    with policy.autocast():
        return token_values(critic.model, micro)


def update(
    policy: TrainedPolicy,
    algorithm: Algorithm,
    batch: PackedBatch,
    *,
    temperature: float,
    max_grad_norm: float,
    rng: random.Random,
    version: int = 0,
    critic: Critic | None = None,
    pretraining: Callable[[int], dict[str, float]] | None = None,
    check: Callable[[dict[str, float]], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """Train `policy` on one batch and return the metrics, means over the optimizer steps unless the name says
    otherwise.

    `version` is that of `policy` before the update: tokens of older weights are trained on with importance weights. A
    critic is trained also, on the same micro-batches. `pretraining` adds a separate term to the gradient of each
    optimizer step; it gets the number of the step, from 0, and returns its metrics. `check` is called with the metrics
    of the batch before the first optimizer step; what it raises ends the update. `progress` is called as (passes over
    the batch that are done, passes planned).

    Raises FloatingPointError, naming it, if a reward, a log-probability, a value, an advantage, a loss or the gradient
    is not finite: a step with it would destroy the policy.
    """
    plan = algorithm.plan
    start = Start(policy, batch, temperature=temperature)
    with phase("forward_backward"):
        if plan.inner_steps > 1 or plan.minibatches > 1 or bool(older(batch, version).any()):
            start.fill_in()
        filled = _filled_in(policy, algorithm, batch, start, temperature=temperature, version=version, critic=critic)
    before = _before(batch, start, version, check) if start.known else None
    steps: list[dict[str, float]] = []
    for n_done in range(plan.inner_steps):
        if progress is not None:
            progress(n_done, plan.inner_steps)
        for minibatch in minibatches(filled, plan.minibatches, rng):
            with phase("forward_backward"):
                policy.zero_grad()
                if critic is not None:
                    critic.optimizer.zero_grad(set_to_none=True)
                metrics = _add_gradient(policy, algorithm, minibatch, start, temperature=temperature, critic=critic)
                before = before or _before(batch, start, version, check)
                if pretraining is not None:
                    with (
                        policy.autocast()
                    ):  # the backward pass too, which takes its types from the forward pass in any case
                        metrics |= pretraining(len(steps))
            with phase("optimizer"):
                metrics["optim/grad_norm"] = policy.clip(max_grad_norm)
                if critic is not None:
                    metrics["optim/critic_grad_norm"] = clip(critic.model.own, max_grad_norm)
                    critic.optimizer.step()
                policy.take_step()
            steps.append(metrics)
    policy.zero_grad()  # the engine needs the memory while it samples the next batch
    if critic is not None:
        critic.optimizer.zero_grad(set_to_none=True)
    return _mean(steps) | (before or {})


def _add_gradient(
    policy: TrainedPolicy,
    algorithm: Algorithm,
    minibatch: PackedBatch,
    start: Start,
    *,
    temperature: float,
    critic: Critic | None,
) -> dict[str, float]:
    """Add the gradient of the losses of policy and critic, micro-batch by micro-batch, and return their metrics.

    What is not yet known of the start of the batch is taken from this pass; the minibatch is the whole batch then.
    """
    metrics: dict[str, float] = {}
    n_tokens = int(minibatch.mask.sum())
    known = start.known
    for part, places, weight in policy.microbatches(minibatch):
        micro = part
        logprobs_T, entropy_T = policy.logprobs(micro, temperature=temperature, with_entropy=not known)
        if entropy_T is not None:
            micro = replace(micro, old_logprobs=start.take(micro, places, logprobs_T, entropy_T, weight))
        output = _loss(algorithm, algorithm.loss, micro, scale_gradient(micro, logprobs_T))
        (output.loss * weight).backward()
        parts = output.metrics | {
            "policy/loss": float(output.loss.detach()),
            "policy/kl_nats": _kl(micro, logprobs_T) / n_tokens,
        }
        if critic is not None:
            value_loss = cast(CriticAlgorithm, algorithm).value_loss
            value_output = _loss(algorithm, value_loss, micro, _values(policy, critic, micro))
            (value_output.loss * weight).backward()
            parts |= value_output.metrics
            _check(value_output.loss.detach(), f"the critic's loss of {label_of('algorithm', algorithm)}")
        _check(output.loss.detach(), f"the loss of {label_of('algorithm', algorithm)}")
        for key, value in parts.items():
            metrics[key] = metrics.get(key, 0.0) + value * weight
    if not known:
        start.gather()
    return policy.world.sums(metrics)


def _filled_in(
    policy: TrainedPolicy,
    algorithm: Algorithm,
    batch: PackedBatch,
    start: Start,
    *,
    temperature: float,
    version: int,
    critic: Critic | None,
) -> PackedBatch:
    """Return the batch with everything that is known before the first step, advantages included.

    Raises FloatingPointError, naming it, for what is not finite.
    """
    _check(batch.rewards, "a reward")
    if policy.has_reference:
        ref_T = policy.ref_logprobs(batch, temperature=temperature)
        _check(ref_T, "a log-probability of the reference")
        batch = replace(batch, ref_logprobs=ref_T)
    if critic is not None:
        values_T = frozen_values(policy, critic, batch)
        _check(values_T, "a value of the critic")
        batch = replace(batch, old_values=values_T)
    if start.known:
        batch = corrected(replace(batch, old_logprobs=start.logprobs_T), version)
    advantages_T = _advantages(algorithm, batch if start.known else on_demand(batch, start.fill_in))
    _check(advantages_T[batch.mask], f"an advantage of {label_of('algorithm', algorithm)}")
    return replace(batch, advantages=advantages_T, old_logprobs=start.logprobs_T)


@torch.no_grad()
def _advantages(algorithm: Algorithm, batch: PackedBatch) -> Tensor:
    """Return the advantages, (T,). Raises ComponentError, naming the algorithm, if they are not one for each token."""
    with blaming("algorithm", algorithm):
        advantages_T = algorithm.advantages(batch)
        if not isinstance(advantages_T, Tensor) or advantages_T.shape != batch.mask.shape:
            got = tuple(advantages_T.shape) if isinstance(advantages_T, Tensor) else type(advantages_T).__name__
            raise ComponentError(
                f"advantages returned {got}; it has to return one for each token, {tuple(batch.mask.shape)}"
            )
        return advantages_T


def _loss(
    algorithm: Algorithm, loss_of: Callable[[PackedBatch, Tensor], LossOutput], micro: PackedBatch, inputs_T: Tensor
) -> LossOutput:
    """Return the loss of a micro-batch. Raises ComponentError, naming the algorithm, if it cannot be differentiated."""
    with blaming("algorithm", algorithm):
        output = loss_of(micro, inputs_T)
        if not isinstance(output, LossOutput):
            raise ComponentError(f"the loss is {type(output).__name__}; it has to be a LossOutput")
        if output.loss.shape != () or not output.loss.requires_grad:
            gradient = "" if output.loss.requires_grad else " and no gradient"
            raise ComponentError(
                f"the loss has shape {tuple(output.loss.shape)}{gradient}; it has to be a scalar with a gradient"
            )
        return output


def _check(values: Tensor, what: str) -> None:
    """Raise FloatingPointError for values that are not all finite."""
    if not bool(values.isfinite().all()):
        raise FloatingPointError(f"{what} is {values[~values.isfinite()].flatten()[0].item()}")


@torch.no_grad()
def _kl(batch: PackedBatch, logprobs_T: Tensor) -> float:
    """Return KL(old || current) summed over the trained tokens, by the estimator k3: the tokens are the old
    policy's.
    """
    delta_T = (logprobs_T - batch.old_logprobs)[batch.mask]
    return (delta_T.exp() - delta_T - 1).sum().item()


def _before(
    batch: PackedBatch, start: Start, version: int, check: Callable[[dict[str, float]], None] | None
) -> dict[str, float]:
    """Return the entropy of the policy before the update, over the trained tokens, and how far from it the sampling
    was; checked.
    """
    batch = replace(batch, old_logprobs=start.logprobs_T)
    entropy_nats = start.entropy_T[batch.mask].mean().item()
    metrics = {"policy/entropy_nats": entropy_nats} | gap_metrics(batch, version)
    metrics |= correction_metrics(corrected(batch, version), version)
    if check is not None:
        check(metrics)
    return metrics


def _mean(steps: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: sum(step[key] for step in steps) / len(steps) for key in steps[0]}
