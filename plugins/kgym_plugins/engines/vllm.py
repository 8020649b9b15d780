"""The engine `vllm`: vLLM in a process of its own, with its own Python if need be.

    kgym train --engine vllm --set engine.python=.venv-vllm/bin/python

vLLM pins its own torch and transformers, so it may live in another virtual environment; `vllm_worker.py` runs there. Token ids go in and
come out. Prompts are rendered here, by the same code as for every engine, and stop texts and loops are looked for here, token by token, so
an answer ends at the token at which it would end in the built-in engine. What vLLM sampled after it is thrown away.

Weights are handed over in shared memory and loaded in place, the whole state dict, tied weights included: without the tied output head,
vLLM would silently keep the old one. The prefix cache is emptied after each load, for its entries belong to the old weights.
"""

import os
import socket
import subprocess
import sys
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from transformers import AutoModelForCausalLM

from kgym.errors import ConfigError, EngineError
from kgym.models.encoding import ChatEncoder
from kgym.models.load import check_vocabulary, load_config, load_generation_config, load_language_model, load_tokenizer
from kgym.models.names import adapters_of
from kgym.models.weights import ModelWeights, TensorWeights
from kgym.options import Options
from kgym.repetition import RepetitionDetector
from kgym.rollout.sharing import Layout, allocate, shared
from kgym.seeding import derive_seed
from kgym.types import Chat, FinishReason, GenerateRequest, Segment, Weights
from kgym_plugins.engines.text import completes_stop, segment_text

WORKER = Path(__file__).with_name("vllm_worker.py")
OLDEST, NEWEST = (0, 30), (0, 34)
"""Versions that this engine was written for; others are refused, as their interfaces differ without notice."""
ENDING_S = 10.0
"""Time that the worker has to end by itself."""
ENDLESS = 1 << 60
"""The context of a request that states none."""


class VLLMOptions(Options):
    """Sampling with vLLM."""

    python: str | None = Field(None, min_length=1)
    """Interpreter of the virtual environment that has vLLM; without it the one that runs kgym."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Type of the weights; `auto`: float32 on the CPU, otherwise as the model's configuration says."""
    max_batch: int = Field(256, ge=1)
    """Completions that are sampled at once (vLLM's max_num_seqs)."""
    memory_frac: float = Field(0.5, gt=0, le=1)
    """Share of a GPU's memory for weights and cache (vLLM's gpu_memory_utilization); the trainer needs the rest."""
    cpu_cache_gib: float = Field(1.0, gt=0)
    """Memory for the cache of keys and values on a CPU."""
    context: int | None = Field(None, ge=1)
    """Longest prompt and completion together (vLLM's max_model_len); without it the model's context."""
    tensor_parallel: int = Field(1, ge=1, le=1)
    """GPUs of one replica. Only 1 so far: weights reach one process."""
    eager: bool = True
    """Do without compilation and CUDA graphs: a start takes seconds instead of minutes, and small batches are slower."""
    batch_invariant: bool = False
    """Let vLLM compute a completion in the same way whatever shares its batch (beta; GPUs of compute capability 9 or newer)."""
    template: dict[str, Any] = Field(default_factory=dict)
    """Values of the chat template's variables, such as `enable_thinking=false`. They are part of what is asked, so of comparability."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of `vllm.LLM`, as its documentation names them."""


@dataclass(eq=False)
class _Open:
    """A request on its way."""

    request: GenerateRequest
    prompt_ids: tuple[int, ...]
    loops: RepetitionDetector | None = None
    n_looked: int = 0
    """Tokens that were looked through for stop texts and loops."""
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)

    @property
    def watched(self) -> bool:
        """Whether something but an end token or a budget may end it."""
        return bool(self.request.sampling.stop) or self.loops is not None


class VLLMEngine:
    """See `kgym.types.Engine`."""

    Options = VLLMOptions

    def __init__(self, options: VLLMOptions, model_folder: str | Path) -> None:
        """Start the worker and load the model there. Raises ConfigError if there is no vLLM, EngineError if it cannot load the model."""
        self.options = options
        self.folder = str(model_folder)
        self.version = 0
        self.check(options, self.folder)
        self.tokenizer = load_tokenizer(self.folder)
        self.encoder = ChatEncoder(self.tokenizer, whose=self.folder, variables=options.template)
        self.end_ids = self._end_ids()
        self._shapes = _shapes(self.folder)
        self._open: dict[str, _Open] = {}
        self._ended: list[Segment] = []
        self._awake = True
        self._layout: Layout | None = None
        self._weights: TensorWeights | None = None
        self._process, self._socket, life = _started(options)
        self._channel = Connection(os.dup(self._socket.fileno()))
        self.close = weakref.finalize(self, _end, self._process, self._channel, self._socket, life)
        """End the worker. Also done when this object or the process ends."""
        try:
            base, adapters = adapters_of(self.folder)
            made = self._call(base, self._arguments())
            if adapters:
                self._merge(made["dtype"])
        except BaseException:
            self.close()
            raise
        self.context_length: int = made["context"]
        self.vllm_version: str = made["version"]
        self._check_version()

    def _merge(self, dtype: str) -> None:
        """Replace the weights of the base model, with which vLLM has started, by those with the adapters of the folder merged."""
        model, _ = load_language_model(self.folder, dtype=getattr(torch, dtype), device="cpu")
        self.load(0, ModelWeights(model))

    @classmethod
    def check(cls, options: VLLMOptions, model_folder: str) -> None:
        """Raise ConfigError for a model or an interpreter that cannot be used; reads no weights and starts no worker."""
        config = load_config(model_folder)
        check_vocabulary(model_folder, load_tokenizer(model_folder), config.get_text_config().vocab_size)
        python = options.python or sys.executable
        if not os.access(python, os.X_OK):
            raise ConfigError(f"engine.python={python} is not a program; name the Python of the virtual environment that has vLLM")
        done = subprocess.run(  # noqa: S603  (the interpreter that the user named)
            [python, "-P", "-c", "import importlib.util, sys; sys.exit(importlib.util.find_spec('vllm') is None)"],
            capture_output=True,
            env=_environment(options),
            check=False,
        )
        if done.returncode:
            raise ConfigError(
                f"engine vllm: {python} has no package vllm; install it there (pip install vllm), or name the Python that has it: "
                "--set engine.python=PATH"
            )

    def _check_version(self) -> None:
        found = tuple(int(part) for part in self.vllm_version.split(".")[:2] if part.isdigit())
        if not OLDEST <= found <= NEWEST:
            self.close()
            raise ConfigError(
                f"engine vllm: vLLM {self.vllm_version} is installed; install a version from {_dotted(OLDEST)} to {_dotted(NEWEST)}"
            )

    def _arguments(self) -> dict[str, Any]:
        options = self.options
        cpu = not torch.cuda.is_available()
        found: dict[str, Any] = {
            "dtype": "float32" if options.dtype == "auto" and cpu else options.dtype,
            "max_num_seqs": options.max_batch,
            "enforce_eager": options.eager,
            "enable_prefix_caching": True,
            "logprobs_mode": "processed_logprobs",  # at the temperature of the request
            "skip_tokenizer_init": True,
            "disable_log_stats": True,
        }
        if cpu:
            found["enable_chunked_prefill"] = False  # with seeds it calls what a CPU's random numbers do not have
        if options.context is not None:
            found["max_model_len"] = options.context
        if not cpu:
            found |= {"gpu_memory_utilization": options.memory_frac, "enable_sleep_mode": True}
        return found | options.arguments

    def _end_ids(self) -> list[int]:
        """Every token that ends an answer by the model, its tokenizer or its template."""
        ids = {self.tokenizer.eos_token_id} | self.encoder.end_ids
        for source in (load_config(self.folder), load_generation_config(self.folder)):
            configured = getattr(source, "eos_token_id", None)
            ids |= set(configured if isinstance(configured, list) else [configured])
        return sorted(ids - {None})

    # --- the protocol ---------------------------------------------------------------------------------------------

    def submit(self, requests: Sequence[GenerateRequest]) -> None:
        """See `Engine`. A prompt that leaves no room for an answer ends at once, with `length` and no token."""
        rendered: dict[Chat, tuple[int, ...]] = {}
        messages = []
        taken: dict[str, _Open] = {}
        for request in requests:
            if request.id in self._open or request.id in taken:
                raise EngineError(f"two requests have the same id {request.id!r}; segments could not be told apart")
            if request.prompt not in rendered:
                rendered[request.prompt] = tuple(self.encoder.prompt(request.prompt))
            loops = request.sampling.loop_tokens
            detector = None if loops is None else RepetitionDetector(loops, request.prefix_ids)
            opened = taken[request.id] = _Open(request, rendered[request.prompt], detector)
            if (n := self._room(opened)) > 0:
                messages.append(self._message(opened, n))
            else:
                self._ended.append(self._segment(opened, "length"))
        self._open |= taken
        if messages:
            self._call("submit", messages)

    def _room(self, opened: _Open) -> int:
        """Return how many tokens may come."""
        request = opened.request
        n_read = len(opened.prompt_ids) + len(request.prefix_ids)
        return min(request.max_tokens, self.context_length - n_read, (request.context_tokens or ENDLESS) - n_read)

    def _message(self, opened: _Open, n: int) -> dict[str, Any]:
        request, sampling = opened.request, opened.request.sampling
        return {
            "id": request.id,
            "ids": [*opened.prompt_ids, *request.prefix_ids],
            "max_tokens": n,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            # vLLM begins a request's random numbers anew: a continued answer needs others than its beginning
            "seed": derive_seed(request.seed, len(request.prefix_ids)) % (1 << 31),
            "end_ids": self.end_ids,
            "watched": opened.watched,
        }

    def poll(self, timeout_s: float | None = None) -> list[Segment]:
        """See `Engine`. Raises EngineError while asleep."""
        if not self._awake:
            self._open.clear()
            self._ended.clear()
            raise EngineError("the engine sleeps; call wake() first")
        while self._open and not self._ended:
            for name, ids, logprobs, reason in self._call("poll", timeout_s):
                self._take(name, ids, logprobs, reason)
            if timeout_s is not None:
                break
        ended, self._ended = self._ended, []
        for segment in ended:
            self._open.pop(segment.request_id, None)
        return ended

    def _take(self, name: str, ids: list[int], logprobs: list[float], reason: str | None) -> None:
        """Take over the tokens of a request, up to the one that ends it."""
        opened = self._open[name]
        ended: FinishReason | None = {"stop": "stop", "length": "length", "abort": "abort"}.get(reason or "")  # type: ignore[assignment]
        while opened.watched and opened.n_looked < len(ids):
            opened.n_looked += 1
            if (found := self._ends(opened, ids[: opened.n_looked])) is not None:
                if reason is None:
                    self._call("abort", [name])
                ids, logprobs, ended = ids[: opened.n_looked], logprobs[: opened.n_looked], found
                break
        opened.token_ids, opened.logprobs = ids, logprobs
        if reason is not None and ended is None:
            raise EngineError(f"vLLM ended a request for the reason {reason!r}")
        if ended is not None:
            self._ended.append(self._segment(opened, ended))

    def _ends(self, opened: _Open, ids: list[int]) -> FinishReason | None:
        """Return why the last of these tokens ends the answer; None if it does not, or if vLLM knows it."""
        stops = opened.request.sampling.stop
        if ids[-1] in self.end_ids:
            return None
        if stops and completes_stop(self.tokenizer, opened.request.prefix_ids, ids, stops):
            return "stop"
        if opened.loops is not None and opened.loops.feed(ids[-1]):
            return "repetition"
        return None

    def abort(self, ids: Sequence[str] | None = None) -> None:
        """See `Engine`."""
        ended = {segment.request_id for segment in self._ended}
        names = [name for name in self._open if name not in ended and (ids is None or name in ids)]
        for name, tokens, logprobs, reason in self._call("abort", names):
            self._take(name, tokens, logprobs, reason)

    def load(self, version: int, weights: Weights) -> None:
        """See `Engine`."""
        self._refuse_open("new weights")
        named = [(name, tensor.detach()) for name, tensor in weights.named()]
        self._check_names({name: tuple(tensor.shape) for name, tensor in named})
        layout = Layout.of(named)
        if layout != self._layout:
            self._share(layout)
        assert self._weights is not None
        for name, tensor in named:
            self._weights.tensors[name].copy_(tensor)
        self._call("load", [])
        self.version = version

    def _check_names(self, theirs: Mapping[str, tuple[int, ...]]) -> None:
        """Raise EngineError for other names or shapes than the model's: vLLM would keep old weights, or stop half-way."""
        if theirs.keys() != self._shapes.keys():
            raise EngineError(f"the weights have other names than the engine's: {sorted(theirs.keys() ^ self._shapes.keys())[:4]}")
        for name, shape in theirs.items():
            if shape != self._shapes[name]:
                raise EngineError(f"{name} has shape {shape}, the engine has {self._shapes[name]}")

    def _share(self, layout: Layout) -> None:
        """Allocate a block for weights and let the worker map it."""
        self._layout = self._weights = None
        fd = allocate(layout.n_bytes)
        try:
            self._weights = shared(layout, fd)
            places = [(place.name, str(place.dtype).removeprefix("torch."), place.shape, place.offset) for place in layout.places]
            self._call("share", places, layout.n_bytes, fd=fd)
        finally:
            os.close(fd)
        self._layout = layout

    def _refuse_open(self, what: str) -> None:
        if self._open:
            raise EngineError(f"{len(self._open)} requests are open; abort and poll them before {what}")

    def sleep(self) -> None:
        """See `Engine`. On a CPU vLLM keeps its memory."""
        self._refuse_open("sleep")
        self._call("sleep")
        self._awake = False

    def wake(self) -> None:
        """See `Engine`."""
        self._call("wake")
        self._awake = True

    def _segment(self, opened: _Open, reason: FinishReason) -> Segment:
        ids, request = opened.token_ids, opened.request
        ended = bool(ids) and ids[-1] in self.end_ids
        return Segment(
            segment_text(self.tokenizer, request.prefix_ids, ids[:-1] if ended else ids, final=reason == "stop"),
            token_ids=ids,
            engine_logprobs=opened.logprobs,
            prompt_ids=opened.prompt_ids,
            finish_reason=reason,
            version=self.version,
            request_id=request.id,
        )

    def too_long(self, prompts: Sequence[Chat], context_tokens: int | None = None) -> dict[int, int]:
        """See `kgym.types.MeasuresPrompts`."""
        bound = min(self.context_length, context_tokens or ENDLESS)
        lengths = {number: len(self.encoder.prompt(prompt)) for number, prompt in enumerate(prompts)}
        return {number: n for number, n in lengths.items() if n >= bound}

    # --- the channel ----------------------------------------------------------------------------------------------

    def _call(self, *message: Any, fd: int | None = None) -> Any:
        """Send a message and return what came back. Raises EngineError for what vLLM raised, and if the worker is gone."""
        if not self.close.alive:
            raise EngineError("the process of vLLM has ended; make the engine again")
        try:
            self._channel.send(message)
            if fd is not None:
                socket.send_fds(self._socket, [b"\0"], [fd])
            kind, value = self._channel.recv()
        except (EOFError, OSError) as error:
            self.close()
            self._open.clear()
            raise EngineError(
                f"the process of vLLM ended (exit code {self._process.returncode}) while it was needed; "
                "its last messages are on standard error. "
                "If the system has killed it, memory ran out: set a lower engine.memory_frac or engine.max_batch, and resume with --resume"
            ) from error
        except BaseException:  # interrupted: what is on the channel is not known
            self.close()
            raise
        if kind == "error":
            raise EngineError(f"vLLM: {value}")
        return value


def _shapes(folder: str) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of all weights of a model, tied ones included; none is read."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(load_config(folder), trust_remote_code=False)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def _environment(options: VLLMOptions) -> Mapping[str, str]:
    """Return the environment of the worker: without the paths of this interpreter, which has other versions of what vLLM needs."""
    found = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    found |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": f"{options.cpu_cache_gib:g}"}
    found.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    found.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))
    if options.batch_invariant:
        found["VLLM_BATCH_INVARIANT"] = "1"
    return found


def _started(options: VLLMOptions) -> tuple["subprocess.Popen[bytes]", socket.socket, socket.socket]:
    """Start a worker; return it with this end of its channel and of the socket whose end tells it that this process is gone."""
    mine, theirs = socket.socketpair()
    life, their_life = socket.socketpair()
    with theirs, their_life:
        process = subprocess.Popen(  # noqa: S603  (the interpreter that the user named, and our own file)
            [options.python or sys.executable, "-P", str(WORKER), str(theirs.fileno()), str(their_life.fileno())],
            pass_fds=[theirs.fileno(), their_life.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),  # an engine that prints must not write into the results of a command
            start_new_session=True,  # Ctrl-C is for this process
            env=dict(_environment(options)),
        )
    return process, mine, life


def _end(process: "subprocess.Popen[bytes]", channel: Connection, *sockets: socket.socket) -> None:
    """Hang up and wait; kill a worker that does not end."""
    channel.close()
    for sock in sockets:
        sock.close()
    try:
        process.wait(ENDING_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
