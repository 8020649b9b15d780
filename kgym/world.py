"""The ranks of a run: processes that train one policy together, each with its share of the episodes and of the
gradient.

    torchrun --nproc-per-node 4 -m kgym train ...       # or kgym train --ranks 4
    world = join()                                      # the same lines run on every rank
    for group in world.share(groups): ...               # this rank's part
    everything = world.gather(mine)                     # one entry for each rank, the same on all of them

A process that no launcher has started is a world with one rank, where all of this costs nothing. Objects are sent over
gloo, tensors of a GPU over NCCL. Ranks send each other pickles, written and read by processes of the same run; none are
read from files.
"""

import atexit
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from kgym.errors import RunError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributed import ProcessGroup, TCPStore

T = TypeVar("T")

log = logging.getLogger(__name__)

PATIENCE = timedelta(hours=12)
"""How long a rank waits for the others, which may still be generating. The end of a rank is noticed at once, since its
connections close.
"""

LAUNCHER = "KGYM_RANKS_LAUNCHER"
"""Environment variable of ranks that `kgym train --ranks` has started: the id of the parent process, which reports
itself which rank was killed.
"""

GRACE_S = 5.0
"""How long a rank that ends waits for the rank that reports the reason."""


class RankLost(RunError):
    """Another rank ended while this one waited for it. That rank has reported the reason, unless it was killed."""


class World:
    """The ranks, seen from one of them. This class has a single rank."""

    rank = 0
    size = 1

    @property
    def first(self) -> bool:
        """Whether this is rank 0, the only one that writes files, prints and sends metrics to trackers."""
        return self.rank == 0

    def gather(self, value: T) -> list[T]:
        """Return the values of all ranks, in their order, on every rank."""
        return [value]

    def broadcast(self, value: T) -> T:
        """Return the value of rank 0 on every rank."""
        return value

    def add_up(self, tensor: "Tensor") -> None:
        """Replace a tensor by the sum of the tensors of all ranks."""

    def channel(self) -> "World":
        """Return the same ranks with separate connections, for another thread. Every rank calls it at the same time."""
        return self

    def close(self) -> None:
        """Close the connections."""

    # --- built on these ---

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """Return this rank's part of items that every rank has: every size-th item."""
        return items[self.rank :: self.size]

    def quota(self, n: int) -> int:
        """Return how many of n this rank takes, so that the ranks take n together.

        >>> World().quota(7)
        7
        """
        return n // self.size + (self.rank < n % self.size)

    def merge(self, parts: Sequence[T]) -> list[T]:
        """Undo `share`: return the items of all ranks in their original order."""
        gathered = self.gather(list(parts))
        return [part[number] for number in range(max(map(len, gathered))) for part in gathered if number < len(part)]

    def sums(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Return the sum of each figure over the ranks; a figure that a rank does not have counts as 0 there."""
        total: dict[str, float] = {}
        for part in self.gather(dict(figures)):
            for name, value in part.items():
                total[name] = total.get(name, 0.0) + value
        return total

    def barrier(self) -> None:
        """Wait until every rank is here."""
        self.gather(None)


class Ranks(World):
    """Several ranks, connected by `torch.distributed`."""

    def __init__(self, group: "ProcessGroup | None" = None) -> None:
        """`group` has the connections; by default those of the whole process."""
        import torch.distributed  # noqa: PLC0415

        self._dist = torch.distributed
        self._group = group
        self.rank = self._dist.get_rank()
        self.size = self._dist.get_world_size()

    def gather(self, value: T) -> list[T]:
        """See `World`."""
        found: list[Any] = [None] * self.size
        with noticing():
            self._dist.all_gather_object(found, value, group=self._group)
        return found

    def broadcast(self, value: T) -> T:
        """See `World`."""
        found = [value]
        with noticing():
            self._dist.broadcast_object_list(found, src=0, group=self._group)
        return found[0]

    def add_up(self, tensor: "Tensor") -> None:
        """See `World`."""
        with noticing():
            self._dist.all_reduce(tensor)  # by NCCL if it is on a GPU

    def channel(self) -> World:
        """See `World`."""
        with noticing():
            return Ranks(self._dist.new_group(backend="gloo", timeout=PATIENCE))

    def close(self) -> None:
        """See `World`."""
        if self._dist.is_initialized():
            self._dist.destroy_process_group(self._group)


ALONE = World()

_joined: World | None = None


def n_ranks() -> int:
    """Return how many ranks the launcher of this process has started; 1 if none has started it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def is_first() -> bool:
    """Whether this process is rank 0, which is known before the ranks are connected."""
    return n_ranks() == 1 or os.environ["RANK"] == "0"


def join() -> World:
    """Return the ranks that this process belongs to, and connect to the others at the first call."""
    global _joined  # noqa: PLW0603  (as the process group of torch.distributed, which it stands for)
    if _joined is None:
        if LAUNCHER in os.environ:
            threading.Thread(target=_end_with_launcher, name="kgym-launcher", daemon=True).start()
        _joined = _connected() if n_ranks() > 1 else ALONE
    return _joined


def leave() -> None:
    """Disconnect, so that torch does not warn when the process ends; afterwards `join` may be called again."""
    global _joined
    joined, _joined = _joined, None
    if joined is not None:
        joined.close()


def end(status: int) -> NoReturn:
    """End the process with a status. A rank skips the shutdown of the interpreter, during which torch's threads may
    abort.
    """
    if n_ranks() > 1:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)
    sys.exit(status)


def _connected() -> World:
    import torch  # noqa: PLC0415
    import torch.distributed  # noqa: PLC0415

    on_gpu = torch.cuda.is_available() and torch.distributed.is_nccl_available()
    if on_gpu and (index := local_rank()) < torch.cuda.device_count():
        torch.cuda.set_device(index)
    with noticing():
        torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=PATIENCE)
    return Ranks(torch.distributed.new_group(backend="gloo", timeout=PATIENCE) if on_gpu else None)


def _end_with_launcher() -> None:
    """End this rank when its launcher has ended without ending it: no one would see whether the ranks still run."""
    while os.getppid() == int(os.environ[LAUNCHER]):
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGTERM)


def local_rank() -> int:
    """Return the number of this rank on its machine, which is also that of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0")) if n_ranks() > 1 else 0


def n_local_ranks() -> int:
    """Return how many ranks share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", str(n_ranks()))) if n_ranks() > 1 else 1


# --- how ranks end ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def noticing() -> Iterator[None]:
    """Raise RankLost instead of the error that torch raises when another rank has ended."""
    try:
        yield
    except RuntimeError as error:
        if is_loss(error):
            raise RankLost(LOST) from error
        raise


LOST = "another rank ended without saying why: it was killed, or memory ran out"

GONE = (
    "connection closed by peer",
    "connection reset by peer",
    "connection was likely closed",
    "broken pipe",
    "gloo/transport",
)
"""Messages of torch when it can no longer reach another rank."""


def is_loss(error: BaseException) -> bool:
    """Whether an error was caused by another rank's end, wherever it was noticed; torch waits for other ranks also
    while it computes gradients.
    """
    if isinstance(error, RankLost):
        return True
    if n_ranks() == 1 or not isinstance(error, RuntimeError):
        return False
    text = str(error).lower()
    return type(error).__name__ in ("DistBackendError", "DistNetworkError") or any(words in text for words in GONE)


def last_words(say: Callable[[], None], error: BaseException) -> None:
    """Let only one rank report why all of them end: the first that knows. The others wait for it, so that it is not
    ended meanwhile.
    """
    if n_ranks() == 1 and LAUNCHER not in os.environ:
        say()
        return
    lost = is_loss(error)
    if LAUNCHER in os.environ and (lost or isinstance(error, KeyboardInterrupt)):
        if lost:
            time.sleep(GRACE_S)  # the launcher ends this rank when it has found and reported which one was killed
        return
    with contextlib.suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # from the launcher, which ends the others when one has ended
    if lost and _said(GRACE_S):
        return
    store = _store()
    mine = os.environ["RANK"]
    told = "0" if store is None else store.compare_set(_key("ends"), "", mine).decode()
    if told != mine:
        _said(GRACE_S)
        return
    say()
    if store is not None:
        store.set(_key("said"), mine)


def _said(timeout_s: float) -> bool:
    """Wait until a rank has reported why it ends; return whether one did."""
    store, end = _store(), time.monotonic() + timeout_s
    while store is not None and time.monotonic() < end:
        if store.check([_key("said")]):
            return True
        time.sleep(0.05)
    return False


def _key(name: str) -> str:
    return f"kgym/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{name}"


def _store() -> "TCPStore | None":
    """Return the key-value store through which the ranks connected; None if it is gone."""
    from torch.distributed import TCPStore  # noqa: PLC0415

    try:
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        return TCPStore(address, port, is_master=False, wait_for_workers=False, timeout=timedelta(seconds=GRACE_S))
    except (KeyError, ValueError, RuntimeError) as error:
        log.debug("the store of the ranks cannot be reached: %s", error)
        return None
