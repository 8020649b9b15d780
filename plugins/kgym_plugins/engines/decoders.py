"""The choice of a model's decoder."""

from transformers import PreTrainedModel

from kgym_plugins.engines.decoding import Decoder, PaddedDecoder, SlotDecoder
from kgym_plugins.engines.graphs import GraphDecoder
from kgym_plugins.engines.lean import LeanModel

GRAPHS_ON = {"cuda"}
"""Types of devices that are decoded by steps of fixed shapes. On a CPU they are slower than `SlotDecoder`."""


def decoder_of(model: PreTrainedModel, *, graphs: bool = True) -> Decoder:
    """Return the fastest decoder that computes what the model does."""
    lean = LeanModel.of(model)
    if lean is None:
        return PaddedDecoder(model)
    return GraphDecoder(model, lean) if graphs and model.device.type in GRAPHS_ON else SlotDecoder(model, lean)
