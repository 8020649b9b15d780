"""`--ranks N --cluster ADDRESS`: start a command as N processes on the machines of a Ray cluster, and end with their
exit status.

    kgym train --ranks 16 --cluster auto ...

Each rank has an actor in one placement group, with a processor and, if the cluster has GPUs, a GPU. The actor starts
`kgym` as a separate process with the variables that PyTorch's launcher would set, and passes its output on. So a rank
is the same program under every launcher. The ranks connect to a key-value store in the actor of rank 0.
"""

import codecs
import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kgym.cli.interrupts import farewell
from kgym.cli.output import say
from kgym.cluster import connected, last_line
from kgym.errors import ConfigError, RunError
from kgym.world import LAUNCHER

if TYPE_CHECKING:
    from torch.distributed import TCPStore

GRACE_S = 20.0
"""Time that ranks have to end after a signal; then they are killed."""
ROOM_S = 60.0
"""Time to wait for processors and GPUs that other programs use, or that a growing cluster adds."""
LISTENER_S = 10.0
"""Longest time for a thread to leave Ray after its rank has ended."""
INHERITED = ("GLOO_", "HF_", "KGYM_", "MLFLOW_", "NCCL_", "OMP_", "PYTHONPATH", "TORCH_", "WANDB_")
"""Beginnings of the environment variables that ranks take from the process that starts them."""


@dataclass(frozen=True)
class Place:
    """Where a rank runs."""

    node: str
    address: str
    gpus: tuple[str, ...]
    """GPUs by the machine's numbers."""
    store: int
    """Port of the store that the ranks connect to."""


class Host:
    """The actor of a rank. Its methods run in their own threads."""

    def __init__(self, rank: int, folder: str) -> None:
        import ray

        self.rank = rank
        self.folder = folder
        context = ray.get_runtime_context()
        address = ray.util.get_node_ip_address()
        self._store = _store(address) if rank == 0 else None
        gpus = tuple(map(str, context.get_accelerator_ids().get("GPU", ())))
        self._place = Place(context.get_node_id(), address, gpus, self._store.port if self._store else 0)
        self._process: subprocess.Popen[bytes] | None = None

    def place(self) -> Place | None:
        """Return where the rank runs; None if this machine does not have the working directory."""
        return self._place if os.path.isdir(self.folder) else None

    def run(self, words: Sequence[str], variables: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
        """Start the rank; yield ("out", TEXT) and ("err", TEXT) as it writes, and at the end ("end", STATUS), where
        STATUS is -N after signal N.
        """
        environment = os.environ | dict(variables) | {LAUNCHER: str(os.getpid())}
        with _sigint_let_through():
            self._process = process = subprocess.Popen(  # noqa: S603  (kgym itself)
                [sys.executable, "-m", "kgym", *words],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C at a terminal reaches it through `stop`, and once
            )
        written: queue.SimpleQueue[tuple[str, str] | None] = queue.SimpleQueue()
        for name, stream in (("out", process.stdout), ("err", process.stderr)):
            threading.Thread(target=_read, args=(name, stream, written), daemon=True).start()
        for _ in range(2):
            while (item := written.get()) is not None:
                yield item
        yield "end", process.wait()

    def stop(self, number: int) -> None:
        """Send the rank a signal, and kill it if it has not ended after some seconds."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()


def _store(address: str) -> "TCPStore":
    from torch.distributed import TCPStore  # a second, which only the actor of rank 0 takes

    return TCPStore(address, 0, is_master=True, wait_for_workers=False)


@contextlib.contextmanager
def _sigint_let_through() -> Iterator[None]:
    """Ray blocks SIGINT in its processes. A process that is started here in this thread would inherit that."""
    before = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _read(name: str, stream: Any, written: "queue.SimpleQueue[tuple[str, str] | None]") -> None:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while chunk := os.read(stream.fileno(), 1 << 16):
        written.put((name, decoder.decode(chunk)))
    written.put(None)


def run_on_cluster(words: Sequence[str], n: int, address: str, how_to_go_on: Callable[[], str], *, gpus: bool) -> int:
    """Run a command on n ranks of a cluster and return its exit status; with `gpus`, each rank has a GPU if the cluster
    has any.

    Raises ConfigError for a cluster that cannot be reached or has no room.
    """
    ray = connected(address, f"--cluster {address}")
    try:
        return _Ranks(ray, words, n, how_to_go_on, gpus=gpus).run()
    finally:
        with contextlib.suppress(Exception):  # the ranks have ended, and Ray ends with this process in any case
            ray.shutdown()


class _Ranks:
    """The ranks of one command, seen from the process that has started them."""

    def __init__(self, ray: Any, words: Sequence[str], n: int, how_to_go_on: Callable[[], str], *, gpus: bool) -> None:
        self.ray, self.words, self.n, self.how_to_go_on = ray, list(words), n, how_to_go_on
        self.gpus = gpus and ray.cluster_resources().get("GPU", 0.0) > 0
        self.events: queue.SimpleQueue[tuple[int, str, Any]] = queue.SimpleQueue()

    def run(self) -> int:
        """Start the ranks, pass their output on, and return the exit status."""
        self.hosts = self._hosts()
        self.places = self._places()
        self.going = set(range(self.n))
        listeners = [
            threading.Thread(target=self._listen, args=(rank,), name=f"kgym-rank-{rank}", daemon=True)
            for rank in self.going
        ]
        try:
            for listener in listeners:
                listener.start()
            return self._ended(self._first_failure())
        except KeyboardInterrupt as stop:
            stop.add_note(self.how_to_go_on())
            text, status = farewell(stop)
            self._stop(status - 128)
            say(f"kgym: {text}", file=sys.stderr)
            return status
        finally:
            for listener in listeners:  # Ray may crash this process if it is shut down while a thread is inside it
                listener.join(LISTENER_S)

    def _hosts(self) -> list[Any]:
        """Start the actors. Raises ConfigError if the cluster has no room for all of them."""
        need = {"CPU": 1} | ({"GPU": 1} if self.gpus else {})
        have = self.ray.cluster_resources()
        for name in need:
            if have.get(name, 0.0) < self.n:
                raise ConfigError(
                    f"--ranks {self.n}: each needs a {name}, and the cluster has {have.get(name, 0.0):g}; "
                    "start fewer ranks, or add machines"
                )
        group = self.ray.util.placement_group([need] * self.n, strategy="PACK")
        if not group.wait(ROOM_S):
            raise ConfigError(
                f"--ranks {self.n}: other programs use the {' and '.join(f'{name}s' for name in need)} of the "
                "cluster; wait for them, or start fewer ranks"
            )
        strategy = self.ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy
        kind = self.ray.remote(Host)
        return [
            kind.options(
                num_cpus=1,
                num_gpus=int(self.gpus),
                max_concurrency=4,
                scheduling_strategy=strategy(group, placement_group_bundle_index=rank),
            ).remote(rank, os.getcwd())
            for rank in range(self.n)
        ]

    def _places(self) -> list[Place]:
        try:
            found = self.ray.get([host.place.remote() for host in self.hosts])
        except self.ray.exceptions.RayError as error:
            raise RunError(f"a rank could not be started on the cluster: {last_line(error)}") from error
        if None in found:
            raise ConfigError(
                f"{os.getcwd()} is not on every machine of the cluster; start the command in a folder that all of them "
                "share"
            )
        return list(found)

    def variables(self, rank: int) -> dict[str, str]:
        """Return the variables of a rank: those of PyTorch's launcher, and some of this process."""
        own = self.places[rank]
        neighbours = [number for number, place in enumerate(self.places) if place.node == own.node]
        counts = Counter(place.node for place in self.places)
        found = {name: value for name, value in os.environ.items() if name.startswith(INHERITED)}
        found.setdefault("OMP_NUM_THREADS", "1")
        gpus = [gpu for number in neighbours for gpu in self.places[number].gpus]
        found |= {"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if gpus else {}  # a rank uses the GPU with its local number
        return found | {
            "RANK": str(rank),
            "WORLD_SIZE": str(self.n),
            "LOCAL_RANK": str(neighbours.index(rank)),
            "LOCAL_WORLD_SIZE": str(counts[own.node]),
            "MASTER_ADDR": self.places[0].address,
            "MASTER_PORT": str(self.places[0].store),
            "TORCHELASTIC_USE_AGENT_STORE": "True",  # the store exists already
            "TORCHELASTIC_RESTART_COUNT": "0",
            "RAY_ADDRESS": self.ray.get_runtime_context().gcs_address,  # for an engine that samples on the same cluster
        }

    def _listen(self, rank: int) -> None:
        """Turn what an actor yields into events; ("lost", WHY) if the actor is gone."""
        try:
            stream = self.hosts[rank].run.options(num_returns="streaming").remote(self.words, self.variables(rank))
            for event in stream:
                self.events.put((rank, *self.ray.get(event)))
        except Exception as error:  # any error of Ray means that the rank is gone
            self.events.put((rank, "lost", last_line(error)))

    def _next(self, timeout_s: float | None = None) -> tuple[int, str, Any] | None:
        """Write what the ranks print until one ends, and return its end; None after the timeout."""
        while True:
            try:
                rank, what, value = self.events.get(timeout=timeout_s)
            except queue.Empty:
                return None
            if what in ("end", "lost"):
                self.going.discard(rank)
                return rank, what, value
            stream = sys.stdout if what == "out" else sys.stderr
            stream.write(value)
            stream.flush()

    def _first_failure(self) -> list[tuple[int, str, Any]]:
        """Wait until all ranks have ended well or one has failed; return how the failed ones ended."""
        while self.going:
            end = self._next()
            if end is not None and end[1:] != ("end", 0):
                failures = [end]
                # others fail from the same cause within a second; the one that was killed is the first cause
                while self.going and (more := self._next(1.0)) is not None:
                    failures.append(more)
                return failures
        return []

    def _ended(self, failures: Sequence[tuple[int, str, Any]]) -> int:
        """End the other ranks, print why unless a rank has done so, and return the exit status."""
        if not failures:
            return 0
        self._stop(signal.SIGTERM)
        rank, what, value = min(failures, key=lambda end: (end[1] != "lost", end[1] == "end" and end[2] >= 0))
        where = f"rank {rank} on {self.places[rank].address}"
        if what == "lost":
            text = f"error: {where} was lost with its machine or its actor: {value}"
        elif value < 0:
            text = f"error: {where} was killed by {signal.Signals(-value).name}"
            text += " (by the system, if memory ran out)" if -value == signal.SIGKILL else ""
        else:  # the rank has printed why
            return int(value)
        say(f"kgym: {text}; {self.how_to_go_on()}", file=sys.stderr)
        return 1

    def _stop(self, number: int) -> None:
        """Send the remaining ranks a signal, and wait until they have ended."""
        for rank in self.going:
            self.hosts[rank].stop.remote(number)
        while self.going and self._next(GRACE_S + 5) is not None:
            pass
