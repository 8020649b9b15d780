"""The process that runs vLLM: token ids come in, token ids and log-probabilities go out.

Started by path (`PYTHON vllm_worker.py CHANNEL LIFE CHECKSUMS`) with an interpreter that has vLLM and need not have
kgym: this file imports vLLM, torch and the standard library, and loads `kgym.models.checksums`, which imports torch
alone. It does not handle text; `vllm.py`, on the other side, renders prompts and looks for stop texts.
"""

import contextlib
import importlib.util
import mmap
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any

import torch

SHORT_STEPS = 8
"""Steps after which the new tokens of watched requests are returned, finished or not."""


class Worker:
    """One vLLM engine, and one reply for each message."""

    def __init__(self, sock: socket.socket, checksums: str) -> None:
        """`checksums` is the path of `kgym.models.checksums`, which needs only torch."""
        self._socket = sock
        self._channel = Connection(os.dup(sock.fileno()))
        self._tensors: dict[str, torch.Tensor] = {}
        """The whole weights in shared memory; {} as long as vLLM has those of the model's folder."""
        self._asleep = False
        """Whether the memory of the weights was given back."""
        self._lost = False
        """Whether that discarded the weights."""
        self._adapter: Any = None
        """vLLM's adapter, with which every request is sampled."""
        self._n_adapters = 0
        self._checksum = _checksum_of(checksums)
        self._sums: dict[str, int] = {}
        self._watched: set[str] = set()
        self._seen: dict[str, tuple[list[int], list[float]]] = {}
        """Tokens and log-probabilities of open requests that this process has so far."""

    def run(self) -> None:
        """Make the engine as the first message says, and serve it. Returns when the channel is closed."""
        try:
            made = self._make(*self._channel.recv())
        except Exception as error:  # vLLM may raise any error about a model, a device or its options
            self._channel.send(("error", f"{type(error).__name__}: {error}"))
            return
        self._channel.send(("value", made))
        while True:
            method, *arguments = self._channel.recv()
            try:
                reply = ("value", getattr(self, f"do_{method}")(*arguments))
            except Exception as error:
                reply = ("error", f"{type(error).__name__}: {error}")
            self._channel.send(reply)

    def _make(self, model: str, arguments: dict[str, Any]) -> dict[str, Any]:
        import vllm.lora.request  # noqa: PLC0415  (after the environment was set)

        self._vllm = vllm
        llm = vllm.LLM(model=model, **arguments)
        self._engine: Any = llm.llm_engine
        self._rpc = llm.collective_rpc
        if "weight_transfer_config" in arguments:
            self._rpc("init_weight_transfer_engine", kwargs={"init_info": {"packed": False}})
        config = self._engine.vllm_config.model_config
        self._dtype: torch.dtype = config.dtype
        return {
            "version": vllm.__version__,
            "context": config.max_model_len,
            "dtype": str(config.dtype).removeprefix("torch."),
        }

    # --- messages ---

    def do_submit(self, requests: Sequence[dict[str, Any]]) -> None:
        """Add requests: {"id", "ids", "max_tokens", "temperature", "top_p", "top_k", "seed", "end_ids", "watched"}."""
        for request in requests:
            sampling = self._vllm.SamplingParams(
                n=1,
                temperature=request["temperature"],
                top_p=request["top_p"],
                top_k=request["top_k"],
                seed=request["seed"],
                max_tokens=request["max_tokens"],
                stop_token_ids=request["end_ids"],
                ignore_eos=True,  # the ids above are complete
                logprobs=0,
                detokenize=False,
            )
            name = request["id"]
            self._engine.add_request(name, {"prompt_token_ids": request["ids"]}, sampling, lora_request=self._adapter)
            self._seen[name] = ([], [])
            if request["watched"]:
                self._watched.add(name)

    def do_poll(self, timeout_s: float | None) -> list[tuple[str, list[int], list[float], str | None]]:
        """Step until a request has ended, or, with watched ones, for a few steps.

        Return (id, tokens, log-probabilities, finish reason or None if it is still open), whole lists.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        ended: list[tuple[str, list[int], list[float], str | None]] = []
        steps = 0
        while self._seen and not ended:
            for output in self._engine.step():
                self._take(output, ended)
            steps += 1
            if (deadline is not None and time.monotonic() >= deadline) or (self._watched and steps >= SHORT_STEPS):
                break
        return ended + [(name, *self._seen[name], None) for name in sorted(self._watched)]

    def _take(self, output: Any, ended: list[tuple[str, list[int], list[float], str | None]]) -> None:
        name, answer = output.request_id, output.outputs[0]
        if name not in self._seen:
            return  # aborted meanwhile
        ids = list(answer.token_ids)
        logprobs = [row[token].logprob for token, row in zip(ids, answer.logprobs or (), strict=True)]
        self._seen[name] = (ids, logprobs)
        if output.finished:
            self._forget(name)
            ended.append((name, ids, logprobs, answer.finish_reason))

    def _forget(self, name: str) -> None:
        del self._seen[name]
        self._watched.discard(name)

    def do_abort(self, names: Sequence[str] | None) -> list[tuple[str, list[int], list[float], str]]:
        """Stop requests, and return what they have so far."""
        stopped = [name for name in self._seen if names is None or name in names]
        self._engine.abort_request(stopped)
        found = [(name, *self._seen[name], "abort") for name in stopped]
        for name in stopped:
            self._forget(name)
        return found

    def do_share(self, places: Sequence[tuple[str, str, tuple[int, ...], int]], n_bytes: int) -> None:
        """Map the block of weights whose descriptor comes after the message."""
        _, (fd,), _, _ = socket.recv_fds(self._socket, 1, 1)
        block = mmap.mmap(fd, n_bytes)
        os.close(fd)
        self._tensors = {name: _tensor(block, dtype, shape, offset) for name, dtype, shape, offset in places}

    def do_load(self, names: Sequence[str], keep_cache: bool = False) -> None:
        """Take the weights out of the block.

        Tests of the guards leave `names` out or keep the prefix cache.
        """
        self._wake_weights()
        self._reload({name: tensor for name, tensor in self._tensors.items() if name not in names}, keep_cache)

    def _reload(self, tensors: dict[str, torch.Tensor], keep_cache: bool = False) -> None:
        """Load whole weights in place. vLLM drops its adapters, which belong to the old weights."""
        self._rpc("reload_weights", kwargs={"weights_iterator": self._counted(tensors)})
        self._lost = False
        self._adapter = None
        if not keep_cache:
            self._engine.reset_prefix_cache()

    def _counted(self, tensors: dict[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield the tensors and note those that vLLM takes; on a CPU it packs weights so that they cannot be read
        back.
        """
        for name, tensor in tensors.items():
            self._sums[name] = self._checksum(tensor.to(self._dtype))
            yield name, tensor

    def do_held(self) -> tuple[str, dict[str, int]]:
        """Return the type of the weights, and the checksum of each tensor as vLLM has taken it last."""
        return str(self._dtype).removeprefix("torch."), self._sums

    def do_start_update(self) -> None:
        """Begin to take whole weights from the trainer's GPU memory: phase two of vLLM's weight transfer."""
        self._wake_weights()
        self._rpc("start_weight_update")

    def do_update(self, message: dict[str, Any]) -> None:
        """Take some of the tensors; the trainer keeps them until this has returned."""
        self._rpc("update_weights", kwargs={"update_info": message})

    def do_finish_update(self) -> None:
        """Start to use the new weights. vLLM drops its adapters."""
        self._rpc("finish_weight_update")
        self._adapter = None
        self._engine.reset_prefix_cache()

    def do_adapt(self, folder: str) -> None:
        """Load the adapter of a folder, which is read now, instead of the previous one; its number is never used
        again.
        """
        self._restore()
        if self._adapter is not None:
            self._engine.remove_lora(self._adapter.lora_int_id)
            self._adapter = None
        self._n_adapters += 1
        request = self._vllm.lora.request.LoRARequest(f"adapter-{self._n_adapters}", self._n_adapters, folder)
        if not self._engine.add_lora(request):
            raise RuntimeError("the adapter was not loaded")
        self._adapter = request
        self._engine.reset_prefix_cache()

    def do_sleep(self) -> None:
        """Release the memory of weights and cache, where the device can.

        Weights that are in the block are discarded (level 2). Those of the model's folder are kept in main memory
        (level 1).
        """
        self._lost = bool(self._tensors)
        self._engine.sleep(level=2 if self._lost else 1)
        self._asleep = True

    def do_wake(self) -> bool:
        """Take the memory back, weights before cache. Return whether an adapter was lost."""
        lost = self._lost
        self._restore()
        self._engine.wake_up(["kv_cache"])
        return lost

    def _restore(self) -> None:
        """Restore the whole weights."""
        self._wake_weights()
        if self._lost:
            self._reload(self._tensors)

    def _wake_weights(self) -> None:
        if self._asleep:
            self._engine.wake_up(["weights"])
            self._asleep = False


def _tensor(block: mmap.mmap, dtype: str, shape: tuple[int, ...], offset: int) -> torch.Tensor:
    n = torch.Size(shape).numel()
    kind = getattr(torch, dtype)
    return (
        torch.frombuffer(block, dtype=kind, count=n, offset=offset).view(shape) if n else torch.empty(shape, dtype=kind)
    )


def _checksum_of(path: str) -> Callable[[torch.Tensor], int]:
    spec = importlib.util.spec_from_file_location("kgym_checksums", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[[torch.Tensor], int] = module.checksum
    return found


def _end_with(life: socket.socket) -> None:
    """End this process once the other end of `life` is closed: the parent is gone."""
    waiting = select.poll()
    waiting.register(life, select.POLLIN)
    waiting.poll()
    os._exit(0)


if __name__ == "__main__":
    channel_fd, life_fd = map(int, sys.argv[1:3])
    threading.Thread(target=_end_with, args=(socket.socket(fileno=life_fd),), daemon=True).start()
    with contextlib.suppress(EOFError, ConnectionError):
        Worker(socket.socket(fileno=channel_fd), sys.argv[3]).run()
