"""The algorithms that come with kgym."""

from collections.abc import Iterator

from kgym.hookspecs import AlgorithmInfo, Component, hookimpl

kgym_api = 1

_ALGORITHMS = {
    "mirror": (
        "mirror:Mirror",
        "Kimi k1.5's online policy mirror descent: a squared surrogate around the policy that sampled",
    ),
    "grpo": (
        "grpo:GRPO",
        "DeepSeek's group relative policy optimization: clipped ratios, rewards standardised within the group",
    ),
    "dr_grpo": ("dr_grpo:DrGRPO", "GRPO without the division by std and length that biases it"),
    "dapo": ("dapo:DAPO", "GRPO with a higher upper clip and every token weighing the same"),
    "gspo": ("gspo:GSPO", "GRPO with ratio and clip for whole completions"),
    "gmpo": ("gmpo:GMPO", "GRPO with the geometric mean of clipped token ratios"),
    "cispo": ("cispo:CISPO", "MiniMax's policy gradient with bounded weights and no clipped gradients"),
    "sapo": ("sapo:SAPO", "GRPO with a soft gate instead of the clip"),
    "dro": ("dro:DRO", "policy gradient with a squared penalty on each token's log-ratio: mirror descent per token"),
    "gpg": ("gpg:GPG", "plain policy gradient against the group mean, scaled up for groups without a gradient"),
    "reinforce": ("reinforce:Reinforce", "policy gradient against the batch mean"),
    "rloo": ("rloo:RLOO", "policy gradient against the mean of the other completions"),
    "reinforce++": ("reinforce_pp:ReinforcePP", "PPO's clip without a critic, advantages whitened over the batch"),
    "reinforce++-baseline": ("reinforce_pp_baseline:ReinforcePPBaseline", "reinforce++ against the group mean"),
    "remax": ("remax:ReMax", "policy gradient against the greedy completion"),
    "ppo": (
        "ppo:PPO",
        "proximal policy optimization as in InstructGPT: a critic, generalised advantages, clipped ratios",
    ),
    "rest": ("rest:ReST", "imitation of the correct completions"),
    "opd": (
        "opd:OPD",
        "on-policy distillation: the reverse KL to a teacher, token by token, on the policy's own completions",
    ),
    "raft": ("rest:RAFT", "imitation of the best completion of each group"),
}


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield the algorithms that come with kgym."""
    for name, (target, summary) in _ALGORITHMS.items():
        yield AlgorithmInfo(name, f"kgym_plugins.algorithms.{target}", summary)
