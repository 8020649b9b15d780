"""The memory of the engine `transformers` while it samples, from the sizes of the model and of the work.

    reading prompts       their keys and values with room to grow, and what one layer computes
    joining the batch     the same keys and values once more, without the room, one copy for each different prompt
    packed weights        a copy of the large matrices, on a CPU, between `load` or `wake` and `sleep`; see `linear.py`
    decoding              those, and the columns of the rows' own tokens, as `slots.py` makes room for them

With CUDA graphs each row has its own copy of the prompt, in columns whose number is rounded up; rows that have grown
leave free slots in the arenas of shorter ones, and the memory of the graphs has no other use; see `arena.py`.

Models that `lean.py` does not know are decoded from a padded batch, whose rows each have their own copy of the prompt.
Completions that are continued under new weights also have their own copy: each is read again with its own tokens.
"""

import torch
from transformers import PreTrainedConfig

from kgym.models.footprint import Footprint
from kgym.types import SamplingWork
from kgym_plugins.engines.arena import LEAST_COLUMNS, LEAST_SLOTS, rounded
from kgym_plugins.engines.graphs import RATIO, arena_size
from kgym_plugins.engines.graphs import SMALLEST as SMALLEST_ARENA
from kgym_plugins.engines.kvcache import room
from kgym_plugins.engines.lean import ARCHITECTURES
from kgym_plugins.engines.linear import packs
from kgym_plugins.engines.sampling import MANY
from kgym_plugins.engines.slots import LEAST_STEP, SMALLEST, STEPS, capacity

PREFILL_TOKENS = 16_384
"""Prompt tokens, padding included, in one forward pass: bounds the memory of its activations."""
READING = 4.5
"""Number of tensors, each as large as the widest of a layer, that reading a prompt needs at once; 4.1 to 4.4 were
measured.
"""
CHOOSING = 16
"""Bytes for each logit while tokens are chosen: logits, scaled, log-probabilities and probabilities in float32."""
SUMMING = 8
"""Further bytes for each logit of a vocabulary that is summed as a whole, in float64."""


def shares_prompts(config: PreTrainedConfig) -> bool:
    """Whether a model is decoded from slots, as far as its configuration shows."""
    text = config.get_text_config()
    windowed = set(getattr(text, "layer_types", None) or ()) - {"full_attention"}
    names = getattr(config, "architectures", None) or ()
    return (
        bool(names)
        and ARCHITECTURES.issuperset(names)
        and not windowed
        and getattr(text, "sliding_window", None) is None
    )


def columns(tokens: int, layers: int) -> float:
    """Return the columns of a slot for `tokens` of a row's own, when memory is highest.

    A row that has filled a bucket has its columns there and in the next one while it moves. Elsewhere one layer has a
    second copy while columns are added.

    >>> columns(48, 4), columns(130, 4), columns(250, 4)
    (60.0, 256, 320.0)
    """
    size = capacity(tokens)
    step = max(LEAST_STEP, size // STEPS)
    grown = min(size, -(-tokens // step) * step) * (1 + 1 / layers)
    return max(grown, size) if size > SMALLEST else grown


def arena_columns(tokens: int, layers: int) -> float:
    """Return the columns of a row with `tokens`, when memory is highest: in all arenas that it has been in, and one
    layer twice while columns are added.

    >>> arena_columns(90, 4), arena_columns(600, 4)
    (120.0, 1472.0)
    """
    size = arena_size(tokens)
    smaller = sum(SMALLEST_ARENA * RATIO**k for k in range(12) if SMALLEST_ARENA * RATIO**k < size)
    return smaller + min(size, rounded(tokens, LEAST_COLUMNS)) * (1 + 1 / layers)


def sampling_memory(
    model: Footprint,
    work: SamplingWork,
    itemsize: int,
    *,
    max_batch: int,
    parked: int,
    shared: bool,
    graphs: bool = False,
) -> dict[str, int]:
    """Return the bytes; `shared`: whether rows share the keys and values of their prompt, `graphs`: whether CUDA
    graphs decode.
    """
    each, widest = model.keys_and_values * itemsize, model.activations.widest / 4 * itemsize
    rows = min(work.rows, max_batch)
    waiting = work.rows - rows
    choosing = (CHOOSING + SUMMING * (model.vocabulary < MANY)) * rows * model.vocabulary
    prompts, length = (
        (rows, work.tokens) if work.continued else (-(-work.prompts * rows // work.rows), work.prompt_tokens)
    )
    read = max(1, min(prompts, PREFILL_TOKENS // max(1, length)))
    """Prompts in one pass."""
    if graphs:
        keys = round(rounded(rows, LEAST_SLOTS) * arena_columns(work.tokens, model.layers) * each)
    elif shared and not work.continued:
        keys = prompts * length * each + round(rows * columns(work.tokens - length, model.layers) * each)
    else:
        keys = rows * room(work.tokens) * each
    reading = round((READING * widest * length + room(length) * each) * read)
    # prompts are read before any completion exists, except those that wait until others have ended
    later = reading + choosing if graphs else max(reading, choosing)
    peak = keys + later if waiting or work.continued else max(reading, keys + choosing)
    found = {"keys and values": keys, "reading and choosing": peak - keys}
    if waiting and parked:
        found["completions that were cut"] = min(parked, waiting) * work.tokens * each
    return found


def packed_memory(model: Footprint, device: str, dtype: torch.dtype) -> dict[str, int]:
    """Return the bytes of the weights that are packed for decoding."""
    matrices = [inputs * outputs for _, inputs, outputs in model.linears] + [model.vocabulary * model.hidden]
    found = sum(n * dtype.itemsize for n in matrices if packs(n, device, dtype))
    return {"packed weights": found} if found else {}
