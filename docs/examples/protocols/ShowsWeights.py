"""An engine that reads its weights back, so that the trainer can compare them bit by bit."""

from collections.abc import Sequence

import torch

from kgym.models.checksums import checksum
from kgym.types import HeldTensor, ShowsWeights


class Acme:
    """The part of an engine that shows."""

    def __init__(self) -> None:
        self.tensors = {"layer.weight": torch.arange(6, dtype=torch.float32)}

    def held(self) -> Sequence[HeldTensor]:
        """Return what it samples from."""
        return [
            HeldTensor(
                names=(name,),
                dtype=str(tensor.dtype).removeprefix("torch."),
                checksum=checksum(tensor),
            )
            for name, tensor in self.tensors.items()
        ]


engine = Acme()
assert isinstance(engine, ShowsWeights)
before = engine.held()[0].checksum
engine.tensors["layer.weight"][0] = 1.0
assert engine.held()[0].checksum != before
