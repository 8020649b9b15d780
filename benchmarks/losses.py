"""The losses of kgym and those of TRL 1.16 on the same random batches: value and gradient, in float64.

    pip install trl==1.16.0           (in a separate environment that has kgym)
    python benchmarks/losses.py

TRL's loss is a method of its trainer. It is called on an object that has only the settings that the method reads, with
log-probabilities instead of a model, so that the code that runs is TRL's own. These differ:

    advantages    TRL adds 1e-4 to the standard deviation of a group, kgym 1e-6, the figure of the worked examples. Both
                  get kgym's here; the last line shows the result of the other.
    cispo         TRL's epsilon_high is the bound itself, kgym's clip_high is the bound minus 1.
    sapo          TRL's temperatures are rounded to float32: 1.05 changes by 5e-8, and the loss with it.
    rloo          TRL clips the ratio of the whole completion, kgym's has no ratio; on fresh data the gradients are the
                  same.
    dpo           is compared without label smoothing: kgym's adds the loss of the exchanged pair (conservative DPO),
                  TRL's "robust" subtracts it and divides by 1 - 2e, which is a different loss.

Exit status 1 if a pair differs by more than 1e-9 (sapo: 1e-7).
"""

import sys
import warnings
from collections import defaultdict
from types import SimpleNamespace

import torch
from torch import Tensor

import kgym
from kgym.algorithms.preference import dpo_loss, pairwise_loss

E, GROUP, T = 16, 4, 12

# kgym's name and options, TRL's settings, and whether the ratios are 1 (fresh data)
PAIRS = {
    "grpo": ({"kl_coef": 0.0}, {"loss_type": "grpo"}, False),
    "grpo with KL": ({"kl_coef": 0.04}, {"loss_type": "grpo", "beta": 0.04}, False),
    "grpo, token mean": ({"kl_coef": 0.0, "aggregation": "token_mean"}, {"loss_type": "bnpo"}, False),
    "grpo, engine mismatch": ({"kl_coef": 0.0}, {"loss_type": "grpo", "use_vllm": True}, False),
    "dr_grpo": ({"max_tokens": 50}, {"loss_type": "dr_grpo", "max_completion_length": 50}, False),
    "dapo": ({}, {"loss_type": "dapo", "epsilon_high": 0.28}, False),
    "gspo": (
        {},
        {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon_low": 3e-4, "epsilon_high": 4e-4},
        False,
    ),
    "cispo": ({"clip_high": 0.3}, {"loss_type": "cispo", "epsilon_high": 1.3}, False),
    "sapo": ({}, {"loss_type": "sapo"}, False),
    "rloo, fresh data": ({"kl_coef": 0.0}, {}, True),
}


def batch(seed: int, *, fresh: bool) -> dict[str, Tensor]:
    """Return a random batch of E completions in groups, padded to T tokens, with binary rewards."""
    generator = torch.Generator().manual_seed(seed)

    def noise(scale: float) -> Tensor:
        return scale * torch.randn(E, T, generator=generator, dtype=torch.float64)

    old = -noise(1.0).abs()
    lengths = torch.randint(1, T + 1, (E, 1), generator=generator)
    rewards = torch.randint(0, 2, (E,), generator=generator).double()
    rewards[::GROUP], rewards[1::GROUP] = 1.0, 0.0  # every group has something to compare
    return {
        "logprobs": old.clone() if fresh else old + noise(0.3),
        "old_logprobs": old,
        "engine_logprobs": old + noise(0.3),
        "ref_logprobs": old + noise(0.3),
        "mask": (torch.arange(T) < lengths).double(),
        "rewards": rewards,
        "group_ids": torch.arange(E) // GROUP,
    }


def ours(name: str, options: dict, tables: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return loss and gradient by kgym."""
    logprobs = tables["logprobs"].clone().requires_grad_()
    used = {key: value for key, value in tables.items() if key != "logprobs"}
    loss = kgym.make_algorithm(name, **options).loss_on(logprobs, **used).loss
    return loss.detach(), torch.autograd.grad(loss, logprobs)[0]


def advantages(name: str, rewards: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Return one advantage for each completion, (E,), as in the algorithm."""
    groups = rewards.view(-1, GROUP)
    if name == "rloo":
        return (groups - (groups.sum(1, keepdim=True) - groups) / (GROUP - 1)).reshape(-1)
    centred = groups - groups.mean(1, keepdim=True)
    return (centred if name == "dr_grpo" else centred / (groups.std(1, keepdim=True) + epsilon)).reshape(-1)


def theirs(name: str, settings: dict, tables: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return loss and gradient by TRL."""
    from trl.trainer.grpo_trainer import GRPOTrainer
    from trl.trainer.rloo_trainer import RLOOTrainer

    logprobs, mask = tables["logprobs"].clone().requires_grad_(), tables["mask"]
    arguments = {"use_bias_correction_kl": False, "delta": None, "steps_per_generation": 1}
    trainer = SimpleNamespace(
        **{
            "loss_type": "grpo",
            "beta": 0.0,
            "epsilon_low": 0.2,
            "epsilon_high": 0.2,
            "importance_sampling_level": "token",
            "use_vllm": False,
            "max_completion_length": T,
        }
        | settings,
        args=SimpleNamespace(**arguments, sapo_temperature_pos=1.0, sapo_temperature_neg=1.05),
        vllm_importance_sampling_correction=True,
        aux_loss_enabled=False,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        _entropy_bonus_enabled=False,
        current_gradient_accumulation_steps=1,
        model=SimpleNamespace(training=True),
        accelerator=SimpleNamespace(num_processes=1, gather=lambda x: x, reduce=lambda x, reduction: x),
        _metrics=defaultdict(lambda: defaultdict(list)),
        _get_per_token_logps_and_entropies=lambda *_, **__: (logprobs, torch.zeros_like(logprobs), None),
    )
    inputs = {
        "prompt_ids": torch.zeros(E, 1, dtype=torch.int64),
        "prompt_mask": torch.ones(E, 1),
        "completion_ids": torch.zeros(E, T, dtype=torch.int64),
        "completion_mask": mask,
        "advantages": advantages(name, tables["rewards"]),
        "old_per_token_logps": tables["old_logprobs"],
        "old_logps": (tables["old_logprobs"] * mask).sum(1),
        "ref_per_token_logps": tables["ref_logprobs"],
        "importance_sampling_ratio": (tables["old_logprobs"] - tables["engine_logprobs"]).exp().clamp(max=2.0),
        "num_items_in_batch": mask.sum(),
    }
    kind = RLOOTrainer if name == "rloo" else GRPOTrainer
    loss = kind._compute_loss(trainer, None, inputs)
    return loss.detach(), torch.autograd.grad(loss, logprobs)[0]


def preferences(seed: int) -> dict[str, Tensor]:
    """Return random log-probabilities of tokens of E pairs, chosen completions first, (2 E, T) each, and the mask."""
    generator = torch.Generator().manual_seed(seed)
    logprobs, ref_logprobs = -torch.randn(2, 2 * E, T, generator=generator, dtype=torch.float64).abs()
    mask = (torch.arange(T) < torch.randint(1, T + 1, (2 * E, 1), generator=generator)).double()
    return {"logprobs": logprobs * mask, "ref_logprobs": ref_logprobs * mask, "mask": mask}


def our_dpo(tables: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return loss and gradient of DPO by kgym."""
    logprobs = tables["logprobs"].clone().requires_grad_()
    chosen, rejected = logprobs.sum(1).chunk(2)
    ref_chosen, ref_rejected = tables["ref_logprobs"].sum(1).chunk(2)
    loss = dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta=0.1).loss
    return loss.detach(), torch.autograd.grad(loss, logprobs)[0]


def their_dpo(tables: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return loss and gradient of DPO by TRL."""
    from trl.trainer.dpo_trainer import DPOTrainer

    def outputs(logprobs: Tensor) -> SimpleNamespace:
        unused = torch.zeros_like(logprobs)
        return SimpleNamespace(log_probs=logprobs, entropy=unused, mean_logits=unused, is_top1=unused.bool())

    logprobs = tables["logprobs"].clone().requires_grad_()
    chosen, rejected = tables["ref_logprobs"].sum(1).chunk(2)
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=True),
        accelerator=SimpleNamespace(device="cpu", gather=lambda x: x, gather_for_metrics=lambda x: x),
        precompute_ref_logps=True,
        loss_types=["sigmoid"],
        loss_weights=[1.0],
        beta=0.1,
        ld_alpha=None,
        f_divergence_type="reverse_kl",
        use_weighting=False,
        aux_loss_enabled=False,
        _total_train_tokens=0,
        _tp_size=1,
        _metrics=defaultdict(lambda: defaultdict(list)),
    )
    mask = torch.nn.functional.pad(tables["mask"], (1, 0))  # one token of prompt
    inputs = {
        "input_ids": torch.zeros(mask.shape, dtype=torch.int64),
        "attention_mask": torch.ones_like(mask),
        "completion_mask": mask,
        "ref_chosen_logps": chosen,
        "ref_rejected_logps": rejected,
    }
    loss = DPOTrainer._compute_loss(trainer, lambda **_: outputs(logprobs), inputs, return_outputs=False)
    return loss.detach(), torch.autograd.grad(loss, logprobs)[0]


def our_reward_model(tables: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return loss and gradient of the pairwise loss by kgym; the sums of log-probabilities serve as scores."""
    scores = tables["logprobs"].sum(1).requires_grad_()
    loss = pairwise_loss(*scores.chunk(2)).loss
    return loss.detach(), torch.autograd.grad(loss, scores)[0]


def their_reward_model(tables: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return loss and gradient of the pairwise loss by TRL."""
    from trl.trainer.reward_trainer import RewardTrainer

    class Model:
        training = True

        def __call__(self, **_: object) -> SimpleNamespace:
            return SimpleNamespace(logits=scores.unsqueeze(1))

    scores = tables["logprobs"].sum(1).requires_grad_()
    trainer = SimpleNamespace(
        model=Model(),
        args=SimpleNamespace(center_rewards_coefficient=None),
        accelerator=SimpleNamespace(gather=lambda x: x, gather_for_metrics=lambda x: x),
        _total_train_tokens=0,
        _tp_size=1,
        _metrics=defaultdict(lambda: defaultdict(list)),
    )
    loss = RewardTrainer.compute_loss(trainer, trainer.model, {"attention_mask": torch.ones(1)})
    return loss.detach(), torch.autograd.grad(loss, scores)[0]


PREFERENCE_PAIRS = {"dpo": (our_dpo, their_dpo), "rm (pairwise)": (our_reward_model, their_reward_model)}


def main() -> int:
    """Print the table; return the exit status."""
    too_far = False
    print("| loss | batches | largest difference of loss | largest difference of gradient |\n|---|---|---|---|")
    for label, (options, settings, fresh) in PAIRS.items():
        name = label.split(",")[0].split(" ")[0]
        gaps = []
        for seed in range(20):
            tables = batch(seed, fresh=fresh)
            if "mismatch" not in label:
                tables["engine_logprobs"] = tables["old_logprobs"]
            (loss, grad), (their_loss, their_grad) = ours(name, options, tables), theirs(name, settings, tables)
            # without a ratio the value of the loss means nothing: RLOO's is compared in the gradient alone
            gaps.append(
                (0.0 if name == "rloo" else float((loss - their_loss).abs()), float((grad - their_grad).abs().max()))
            )
        loss_gap, grad_gap = (max(column) for column in zip(*gaps, strict=True))
        too_far |= max(loss_gap, grad_gap) > (1e-7 if name == "sapo" else 1e-9)
        print(f"| {label} | {len(gaps)} | {'not compared' if name == 'rloo' else f'{loss_gap:.1e}'} | {grad_gap:.1e} |")
    for label, (one, other) in PREFERENCE_PAIRS.items():
        pairs = [(one(tables), other(tables)) for tables in map(preferences, range(20))]
        loss_gap, grad_gap = (max(float((a[part] - b[part]).abs().max()) for a, b in pairs) for part in (0, 1))
        too_far |= max(loss_gap, grad_gap) > 1e-9
        print(f"| {label} | {len(pairs)} | {loss_gap:.1e} | {grad_gap:.1e} |")
    rewards = batch(0, fresh=True)["rewards"]
    ratio = advantages("grpo", rewards, 1e-4) / advantages("grpo", rewards, 1e-6)
    print(f"\nTRL's 1e-4 instead of 1e-6: advantages times {float(ratio.min()):.6f} to {float(ratio.max()):.6f}")
    return int(too_far)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    sys.exit(main())
