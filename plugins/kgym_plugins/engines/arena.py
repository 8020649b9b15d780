"""Keys and values at fixed addresses, and a decoding step of fixed shapes over them, which a CUDA graph can replay.

A step of the decoder of `lean.py` launches hundreds of small operations. On a GPU that takes longer than the operations
themselves. Recorded once as a graph, all of them are launched at once; but then every address and shape must be the
same as when it was recorded. So a row stays in its slot, and a step computes a rounded number of slots and columns:

    slots       [a, b, -, c, -, -, -, -]     3 rows, of which the longest has 70 tokens: 8 slots, 96 columns
    asked       newest token, its position, random number, temperature, top-k, top-p: copied from the host before a step
    answered    chosen token and its log-probability: copied to the host after it

The content of a free slot or a hidden column has no effect on the others. A step changes only `answered` and the column
of each row's newest token, so a repeated step has the same result.

Each row has its own copy of its prompt. The rows of an arena have at most `size` tokens; see `Seats`.

Dimension key:  N slots   n slots that a step computes   H key-value heads   G query heads for each of them
                C columns that there is memory for   c columns that a step reads   D size of a head
                L columns of a cache that was read
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from kgym_plugins.engines.decoding import Row
from kgym_plugins.engines.lean import LeanModel
from kgym_plugins.engines.sampling import choose
from kgym_plugins.engines.slots import Layers, resized

LEAST_SLOTS = 8
"""Fewest slots that a step computes."""
LEAST_COLUMNS = 64
"""Fewest columns that a step reads."""
TOKEN, POSITION, UNIFORM, TEMPERATURE, TOP_K, TOP_P = range(6)
"""The lines of `asked`."""
IDLE = np.array([0.0, 0.0, 0.0, 1.0, 0.0, 1.0])
"""The column of `asked` for a free slot."""
KERNELS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
"""Kernels of attention that may be used on a GPU: all except cuDNN's, which makes a plan for each new shape. The choice
applies to the whole process, so it is not made on a CPU.
"""


def rounded(n: int, least: int) -> int:
    """Return the next number of the series `least` x 1, 1.5, 2, 3, 4, 6, 8, ...

    >>> [rounded(n, 64) for n in (1, 64, 65, 97, 129, 200)]
    [64, 64, 96, 128, 192, 256]
    """
    found = least
    while found < n:
        if n <= found + found // 2:
            return found + found // 2
        found *= 2
    return found


@dataclass(eq=False)
class Seat:
    """The place of a row."""

    arena: "Arena"
    slot: int
    row: Row | None = None
    """The row whose temperature, top-k and top-p are in the slot."""


class Arena:
    """Slots for rows of at most `size` tokens."""

    def __init__(self, size: int, like: Layers, lean: LeanModel) -> None:
        self.size = size
        self.seats: list[Seat | None] = []
        """The seat of each slot."""
        self.layers: Layers = [(keys[:0, :, :0], values[:0, :, :0]) for keys, values in like]
        self.host_asked: np.ndarray
        self._lean = lean
        self._device = like[0][0].device
        self._dtype = like[0][0].dtype
        self._asked: Tensor
        self._answered: Tensor
        self._host_answered: Tensor

    @property
    def n_bytes(self) -> int:
        """Bytes of the keys and values."""
        return sum(states.nbytes for pair in self.layers for states in pair)

    @property
    def n_rows(self) -> int:
        """Number of slots that are not free."""
        return sum(seat is not None for seat in self.seats)

    def reserve(self, slots: int, columns: int) -> bool:
        """Allocate memory for this many; return whether addresses have changed."""
        N, _, C, _ = self.layers[0][0].shape
        if slots <= N and columns <= C:
            return False
        slots = max(N, rounded(slots, LEAST_SLOTS))
        columns = max(C, min(self.size, rounded(columns, LEAST_COLUMNS)))
        resized(self.layers, slots, columns)
        self._make_frame(slots, columns)
        return True

    def _make_frame(self, slots: int, columns: int) -> None:
        """Make what a step reads and writes in addition to keys and values."""
        pin = self._device.type == "cuda"
        before, self.seats = self.seats, self.seats + [None] * (slots - len(self.seats))
        host = torch.empty((len(IDLE), slots), dtype=torch.float64, pin_memory=pin)
        host.numpy()[:] = IDLE[:, None]
        if before:
            host.numpy()[:, : len(before)] = self.host_asked[:, : len(before)]
        self._pinned_asked, self.host_asked = host, host.numpy()
        self._asked = torch.empty((len(IDLE), slots), dtype=torch.float64, device=self._device)
        self._answered = torch.zeros((2, slots), dtype=torch.float64, device=self._device)
        self._host_answered = torch.zeros((2, slots), dtype=torch.float64, pin_memory=pin)
        H = self.layers[0][0].shape[1]
        self._starts = torch.arange(slots * H, device=self._device).view(slots, H) * columns
        self._columns = torch.arange(columns, device=self._device)
        self._rotations = self._lean.rotations(columns)

    def take(self, n: int, columns: int) -> tuple[list[Seat], bool]:
        """Take the lowest free slots; return them, and whether addresses have changed."""
        moved = self.reserve(self.n_rows + n, columns)
        free = [slot for slot, seat in enumerate(self.seats) if seat is None][:n]
        for slot in free:
            self.seats[slot] = Seat(self, slot)
        return [seat for slot in free if (seat := self.seats[slot]) is not None], moved

    def free(self, seat: Seat) -> None:
        """Give a slot back."""
        self.seats[seat.slot] = None
        self.host_asked[:, seat.slot] = IDLE

    def fill(self, seats: Sequence[Seat], layers: Layers, sources: Sequence[int], lengths: Sequence[int]) -> None:
        """Copy the newest columns, as many as `lengths` says, of rows of other keys and values, (rows, H, L, D)."""
        longest, L = max(lengths), layers[0][0].shape[2]
        slots = torch.tensor([seat.slot for seat in seats], device=self._device)
        source_n1 = torch.tensor(sources, device=self._device)[:, None]
        first_n1 = L - torch.tensor(lengths, device=self._device)[:, None]
        column_nl = (first_n1 + torch.arange(longest, device=self._device)).clamp(max=L - 1)
        for mine, theirs in zip(self.layers, layers, strict=True):
            for states, other in zip(mine, theirs, strict=True):
                states[slots, :, :longest] = other[source_n1, :, column_nl].transpose(1, 2)

    def compact(self) -> bool:
        """Move the highest rows into free slots below them, if a step then computes fewer; return whether any has
        moved.
        """
        used = [seat for seat in self.seats if seat is not None]
        n = rounded(len(used), LEAST_SLOTS)
        if rounded(used[-1].slot + 1, LEAST_SLOTS) <= n:
            return False
        movers = [seat for seat in used if seat.slot >= n]
        free = [slot for slot, seat in enumerate(self.seats[:n]) if seat is None][: len(movers)]
        old = [seat.slot for seat in movers]
        for states in (states for pair in self.layers for states in pair):
            states[free] = states[old]
        self.host_asked[:, free] = self.host_asked[:, old]
        self.host_asked[:, old] = IDLE[:, None]
        for seat, slot in zip(movers, free, strict=True):
            self.seats[seat.slot], self.seats[slot], seat.slot = None, seat, slot
        return True

    def send(self) -> None:
        """Copy `asked` to the device."""
        self._asked.copy_(self._pinned_asked, non_blocking=True)

    def fetch(self) -> np.ndarray:
        """Begin to copy `answered` to the host, and return the array that will hold it once the device has done all its
        work.
        """
        self._host_answered.copy_(self._answered, non_blocking=True)
        return self._host_answered.numpy()

    def step(self, n: int, c: int, *, cut: bool) -> None:
        """Read the newest token of the first n slots, whose rows have at most c tokens with it, and choose the next.

        `cut`: whether a row has a top-k or top-p. Nothing here waits for the device or depends on the content of
        `asked`, so it can be recorded.
        """
        asked = self._asked[:, :n]
        position_n = asked[POSITION].long()
        write = (self._starts[:n] + position_n[:, None]).flatten()
        hidden_nc = self._columns[:c] > position_n[:, None]
        mask = torch.zeros((n, c), dtype=self._dtype, device=self._device).masked_fill_(hidden_nc, -torch.inf)[
            :, None, None
        ]

        def attend(layer: int, query_nHGD: Tensor, key_nHD: Tensor, value_nHD: Tensor, scale: float) -> Tensor:
            _, H, G, D = query_nHGD.shape
            keys, values = self.layers[layer]
            keys.view(-1, D).index_copy_(0, write, key_nHD.reshape(n * H, D))
            values.view(-1, D).index_copy_(0, write, value_nHD.reshape(n * H, D))
            shown = mask.expand(n, H, G, c)
            return scaled_dot_product_attention(
                query_nHGD, keys[:n, :, :c], values[:n, :, :c], attn_mask=shown, scale=scale
            )

        with sdpa_kernel(KERNELS) if self._device.type == "cuda" else nullcontext():
            logits_nV = self._lean.read(asked[TOKEN].long(), position_n, self._rotations, attend)
        top = (asked[TOP_K].long(), asked[TOP_P]) if cut else ()
        token_n, logprob_n = choose(logits_nV, asked[UNIFORM], asked[TEMPERATURE].float(), *top)
        self._answered[0, :n].copy_(token_n)
        self._answered[1, :n].copy_(logprob_n)

    def clear(self) -> None:
        """Free all slots; a failed pass may have left values that are not finite."""
        for seat in self.seats:
            if seat is not None:
                self.free(seat)
        for states in (states for pair in self.layers for states in pair):
            states.zero_()
