"""The algorithms that come with kgym."""

from collections.abc import Iterator

from kgym.hookspecs import AlgorithmInfo, hookimpl

kgym_api = 1

_ALGORITHMS = {
    "mirror": ("Mirror", "Kimi k1.5's online policy mirror descent: a squared surrogate around the policy that sampled"),
    "grpo": ("GRPO", "DeepSeek's group relative policy optimization: clipped ratios, rewards standardised within the group"),
}


@hookimpl
def kgym_register_algorithms() -> Iterator[AlgorithmInfo]:
    """Yield the algorithms that come with kgym; each is the file of its name."""
    for name, (attribute, summary) in _ALGORITHMS.items():
        yield AlgorithmInfo(name, f"kgym_plugins.algorithms.{name}:{attribute}", summary)
