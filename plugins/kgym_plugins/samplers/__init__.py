"""The samplers that come with kgym."""

from collections.abc import Iterator

from kgym.hookspecs import Component, SamplerInfo, hookimpl

kgym_api = 1

_SAMPLERS = {
    "uniform": (
        "Uniform",
        "every problem equally often: shuffled epochs, or always new problems from an endless source",
    ),
    "curriculum": ("Curriculum", "Kimi k1.5's curriculum: from easy to hard, by the level of the problems"),
    "prioritized": ("Prioritized", "Kimi k1.5's prioritized sampling: chance proportional to 1 - success rate"),
}


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield the samplers that come with kgym; each is the file of its name."""
    for name, (attribute, summary) in _SAMPLERS.items():
        yield SamplerInfo(name, f"kgym_plugins.samplers.{name}:{attribute}", summary)
