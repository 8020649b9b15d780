"""An engine that `engine=auto` may choose: it says how well it suits the machine."""

from typing import Any

from kgym.types import JudgesItself, Suitability, Surroundings


class Acme:
    """The part of an engine's class that judges itself."""

    @classmethod
    def suits(cls, options: Any, model_folder: str, surroundings: Surroundings) -> Suitability:
        """Return how well it suits: 1 if it works, more if it is faster, 0 if not at all."""
        if surroundings.gpus == 0:
            return Suitability(0, "this machine has no GPU")
        return Suitability(3, f"this machine has {surroundings.gpus} GPUs")


assert isinstance(Acme, JudgesItself)
assert Acme.suits(None, "", Surroundings(gpus=2, trains=True)).score == 3
