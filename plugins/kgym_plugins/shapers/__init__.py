"""The shapers that come with kgym."""

from collections.abc import Iterator

from kgym.hookspecs import Component, ShaperInfo, hookimpl

kgym_api = 1

_SHAPERS = {
    "length_penalty": ("LengthPenalty", "Kimi k1.5's length penalty: shorter completions of a group get more reward"),
    "overlong": ("Overlong", "DAPO's soft punishment of completions that come close to the token budget"),
    "repetition": ("Repetition", "Kimi k1.5's penalty on completions that were ended because they repeated themselves"),
    "format": ("Format", "DeepSeek-R1's reward for reasoning inside its tags"),
}


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield the shapers that come with kgym; each is the file of its name."""
    for name, (attribute, summary) in _SHAPERS.items():
        yield ShaperInfo(name, f"kgym_plugins.shapers.{name}:{attribute}", summary)
