"""The engine `vllm`: vLLM in its own process, if necessary with its own Python.

    kgym train --engine vllm --set engine.python=.venv-vllm/bin/python

vLLM pins its own torch and transformers, so it may be installed in another virtual environment; `vllm_worker.py` runs
there. Token ids go in and come out. Prompts are rendered here, by the same code as for every engine, and stop texts and
loops are looked for here, token by token, so a completion ends at the same token as in the built-in engine. Tokens that
vLLM sampled after it are discarded.

Weights are handed over in shared memory and loaded in place, the whole state dict, tied weights included: without the
tied output head, vLLM would silently keep the old one. A LoRA adapter that comes alone becomes a new adapter of vLLM,
and the one before it is removed. The prefix cache is emptied after each load, because its entries belong to the old
weights.
"""

import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from kgym.errors import ConfigError, EngineError
from kgym.models.encoding import ChatEncoder
from kgym.models.footprint import footprint
from kgym.models.load import check_vocabulary, load_config, load_generation_config, load_language_model, load_tokenizer
from kgym.models.names import ADAPTER, ADAPTER_WEIGHTS, adapters_of
from kgym.models.placement import DTYPES, placement
from kgym.models.weights import ModelWeights, TensorWeights
from kgym.options import Options
from kgym.repetition import RepetitionDetector
from kgym.rollout.sharing import Layout, allocate, shared
from kgym.seeding import derive_seed
from kgym.types import (
    Chat,
    EngineMemory,
    FinishReason,
    GenerateRequest,
    HeldTensor,
    Reply,
    SamplingWork,
    Segment,
    Suitability,
    Surroundings,
    Weights,
)
from kgym_plugins.engines import vllm_suits
from kgym_plugins.engines.text import completes_stop, segment_text
from kgym_plugins.engines.vllm_ipc import updates
from kgym_plugins.engines.vllm_process import WorkerProcess, check_version, check_vllm, environment

ENDLESS = 1 << 60
"""The context of a request that states none."""
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Values of vLLM's max_lora_rank."""
IN_MEMORY = Path("/dev/shm")  # noqa: S108  (files in memory; their names are random)
ENDS: dict[str, FinishReason] = {"stop": "stop", "length": "length", "abort": "abort"}
"""vLLM's finish reasons."""
PROGRAM_BYTES = 650 << 20
"""Memory of vLLM on a CPU in addition to weights and cache, measured with vLLM 0.32."""


class VLLMOptions(Options):
    """Sampling with vLLM."""

    operational: ClassVar[frozenset[str]] = frozenset({"python", "memory_frac", "cpu_cache_gib", "gpu"})

    python: str | None = Field(None, min_length=1)
    """Interpreter of the virtual environment with vLLM; without it, the one that runs kgym."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Type of the weights; `auto`: float32 on the CPU, otherwise that of the model's configuration."""
    max_batch: int = Field(256, ge=1)
    """Completions that are sampled at once (vLLM's max_num_seqs)."""
    memory_frac: float = Field(0.5, gt=0, le=1)
    """Share of a GPU's memory for weights and cache (vLLM's gpu_memory_utilization); the trainer needs the rest."""
    cpu_cache_gib: int = Field(1, ge=1)
    """Memory for the cache of keys and values on a CPU, in whole GiB."""
    context: int | None = Field(None, ge=1)
    """Most tokens of prompt and completion together (vLLM's max_model_len); without it, the model's context."""
    gpu: int | None = Field(None, ge=0)
    """Number of vLLM's GPU, counted from 0; without it, that of the trainer."""
    transfer: Literal["memory", "ipc"] = "memory"
    """How whole weights reach vLLM: `memory`, through main memory, from and to any device; `ipc`, from the memory of a
    GPU that both share (vLLM's weight transfer by CUDA IPC).
    """
    adapter_rank: int = Field(0, ge=0, le=RANKS[-1])
    """Highest rank of a LoRA adapter that is handed over alone and that vLLM computes separately (its `enable_lora`): a
    hundredth of the bytes after each update, and slower sampling. 0: adapters are merged into the weights.
    """
    eager: bool = True
    """Disable compilation and CUDA graphs: the start takes seconds instead of minutes, and small batches are slower."""
    batch_invariant: bool = False
    """Make vLLM compute a completion in the same way in every batch (beta; GPUs of compute capability 9 or newer)."""
    template: dict[str, Any] = Field(default_factory=dict)
    """Values of the chat template's variables, such as `enable_thinking=false`. They are part of the question, so they
    affect comparability.
    """
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of `vllm.LLM`, as its documentation names them."""


@dataclass(eq=False)
class _Open:
    """An open request."""

    request: GenerateRequest
    prompt_ids: tuple[int, ...]
    loops: RepetitionDetector | None = None
    n_looked: int = 0
    """Number of tokens that were searched for stop texts and loops."""
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)

    @property
    def watched(self) -> bool:
        """Whether anything other than an end token or a budget may end it."""
        return bool(self.request.sampling.stop) or self.loops is not None


class VLLMEngine:
    """See `kgym.types.Engine`."""

    Options = VLLMOptions

    def __init__(self, options: VLLMOptions, model_folder: str | Path) -> None:
        """Start the worker and load the model there. Raises ConfigError if there is no vLLM, EngineError if it
        cannot load the model.
        """
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
        self._adapter: TensorWeights | None = None
        """The adapter that was loaded after the whole weights."""
        variables = environment(
            cpu_cache_gib=options.cpu_cache_gib, batch_invariant=options.batch_invariant, gpu=options.gpu
        )
        self._worker = WorkerProcess(options.python or sys.executable, variables)
        self.close = self._worker.close
        """End the worker. Also done when this object or the process ends."""
        try:
            base, adapters = adapters_of(self.folder)
            made = self._call(base, self._arguments())
            check_version(made["version"])
            if adapters:
                self._merge(made["dtype"])
        except BaseException:
            self.close()
            raise
        self.context_length: int = made["context"]

    def _merge(self, dtype: str) -> None:
        """Replace the weights of the base model, with which vLLM has started, by those with the adapters of the
        folder merged.
        """
        model, _ = load_language_model(self.folder, dtype=getattr(torch, dtype), device="cpu")
        self.load(0, ModelWeights(model))

    @classmethod
    def check(cls, options: VLLMOptions, model_folder: str) -> None:
        """Raise ConfigError for a model or an interpreter that cannot be used; reads no weights and starts no
        worker.
        """
        config = load_config(model_folder)
        check_vocabulary(model_folder, load_tokenizer(model_folder), config.get_text_config().vocab_size)
        if options.transfer == "ipc" and (options.gpu is not None or not torch.cuda.is_available()):
            raise ConfigError(
                "engine.transfer=ipc needs one GPU that trainer and vLLM share; set engine.transfer=memory"
            )
        check_vllm(options.python or sys.executable)

    @classmethod
    def memory(cls, options: VLLMOptions, model_folder: str, work: SamplingWork) -> EngineMemory:
        """See `kgym.types.PlansMemory`. On a GPU vLLM takes its whole share as soon as it starts, on a CPU the cache
        that it is given.
        """
        device, dtype = placement("auto" if options.gpu is None else f"cuda:{options.gpu}", "auto")
        model = footprint(model_folder)
        itemsize = (
            dtype.itemsize
            if options.dtype == "auto"
            else DTYPES[options.dtype].itemsize
            if options.dtype in DTYPES
            else 2
        )
        weights = model.parameters * itemsize
        if not device.startswith("cuda"):
            held = {"weights": weights, "program": PROGRAM_BYTES, "weights on their way": model.parameters * 4}
            return EngineMemory(device, held, {"keys and values": options.cpu_cache_gib << 30}, keeps=True)
        total = torch.cuda.get_device_properties(device).total_memory
        share = round(options.memory_frac * total)
        half = round(options.memory_frac / 2, 3)
        savings = {f"engine.memory_frac={half:g}": share - round(half * total)} if half * total > 1.5 * weights else {}
        return EngineMemory(
            device, {"weights": weights}, {"keys and values": max(0, share - weights)}, savings, keeps=True
        )

    @classmethod
    def suits(cls, options: VLLMOptions, model_folder: str, surroundings: Surroundings) -> Suitability:
        """See `kgym.types.JudgesItself`."""
        names = getattr(load_config(model_folder), "architectures", None) or []
        return vllm_suits.suitability(options.python or sys.executable, names, surroundings)

    @classmethod
    def missing(cls) -> str:
        """See `kgym.types.TellsMissing`."""
        return vllm_suits.missing()

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
        if options.adapter_rank:
            rank = next(rank for rank in RANKS if rank >= options.adapter_rank)
            found |= {"enable_lora": True, "max_loras": 1, "max_cpu_loras": 1, "max_lora_rank": rank}
        if options.transfer == "ipc":
            found["weight_transfer_config"] = {"backend": "ipc"}
        if options.context is not None:
            found["max_model_len"] = options.context
        if not cpu:
            found |= {"gpu_memory_utilization": options.memory_frac, "enable_sleep_mode": True}
        return found | options.arguments

    def _end_ids(self) -> list[int]:
        """Every token that ends a completion by the model, its tokenizer or its template."""
        ids = {self.tokenizer.eos_token_id} | self.encoder.end_ids
        for source in (load_config(self.folder), load_generation_config(self.folder)):
            configured = getattr(source, "eos_token_id", None)
            ids |= set(configured if isinstance(configured, list) else [configured])
        return sorted(ids - {None})

    # --- the protocol ---------------------------------------------------------------------------------------------

    def submit(self, requests: Sequence[GenerateRequest]) -> None:
        """See `Engine`. A prompt that leaves no room for a completion ends at once, with `length` and no token."""
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
        """Return how many tokens may be sampled."""
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
            # vLLM restarts the random numbers of a request: a continued completion needs other ones than its beginning
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
        ended = ENDS.get(reason or "")
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
        """Return why the last of these tokens ends the completion; None if it does not, or if vLLM reports it."""
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
        """See `Engine`. An adapter is added to the whole weights that were loaded last."""
        self._refuse_open("new weights")
        if weights.adapter is None:
            self._load_whole(weights)
            self._adapter = None
        else:
            tensors = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in weights.named()}
            adapter = TensorWeights(tensors, weights.adapter)
            self._load_adapter(adapter)
            self._adapter = adapter
        self.version = version

    def held(self) -> list[HeldTensor]:
        """See `kgym.types.ShowsWeights`: what vLLM took at the last loads, because it packs weights so that they cannot
        be read back.
        """
        dtype, sums = self._call("held")
        return [HeldTensor((name,), dtype, total) for name, total in sums.items()]

    def _load_whole(self, weights: Weights) -> None:
        if self.options.transfer == "ipc":
            self._check_names({name: tuple(tensor.shape) for name, tensor in weights.named()})
            self._call("start_update")
            for message in updates(weights.named()):
                self._call("update", message)
            self._call("finish_update")
            return
        named = [(name, tensor.detach()) for name, tensor in weights.named()]
        self._check_names({name: tuple(tensor.shape) for name, tensor in named})
        layout = Layout.of(named)
        if layout != self._layout:
            self._share(layout)
        assert self._weights is not None
        for name, tensor in named:
            self._weights.tensors[name].copy_(tensor)
        self._call("load", [])

    def _load_adapter(self, adapter: TensorWeights) -> None:
        """Hand over an adapter in files, which vLLM reads at once and does not need later."""
        assert adapter.adapter is not None
        if (rank := adapter.adapter["r"]) > self.options.adapter_rank:
            raise EngineError(
                f"the adapter has rank {rank}, and engine.adapter_rank is {self.options.adapter_rank}; set it to {rank}"
            )
        with tempfile.TemporaryDirectory(
            prefix="kgym-adapter-", dir=IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None
        ) as folder:
            save_file(dict(adapter.tensors), Path(folder) / ADAPTER_WEIGHTS, metadata={"format": "pt"})
            (Path(folder) / ADAPTER).write_text(json.dumps(dict(adapter.adapter)), encoding="utf-8")
            self._call("adapt", folder)

    def _check_names(self, theirs: Mapping[str, tuple[int, ...]]) -> None:
        """Raise EngineError for other names or shapes than the model's: vLLM would keep old weights, or stop in the
        middle of a load.
        """
        if theirs.keys() != self._shapes.keys():
            raise EngineError(
                f"the weights have other names than the engine's: {sorted(theirs.keys() ^ self._shapes.keys())[:4]}"
            )
        for name, shape in theirs.items():
            if shape != self._shapes[name]:
                raise EngineError(f"{name} has shape {shape}, the engine has {self._shapes[name]}")

    def _share(self, layout: Layout) -> None:
        """Allocate a block for weights and let the worker map it."""
        self._layout = self._weights = None
        fd = allocate(layout.n_bytes)
        try:
            self._weights = shared(layout, fd)
            places = [
                (place.name, str(place.dtype).removeprefix("torch."), place.shape, place.offset)
                for place in layout.places
            ]
            self._call("share", places, layout.n_bytes, fd=fd)
        finally:
            os.close(fd)
        self._layout = layout

    def _refuse_open(self, what: str) -> None:
        if self._open:
            raise EngineError(f"{len(self._open)} requests are open; abort and poll them before {what}")

    def sleep(self) -> None:
        """See `Engine`. vLLM does not keep weights that were handed over (level 2): they are in shared memory.

        On a CPU it frees nothing.
        """
        self._refuse_open("sleep")
        self._call("sleep")
        self._awake = False

    def wake(self) -> None:
        """See `Engine`. The weights are restored before the cache."""
        if self._call("wake") and self._adapter is not None:
            self._load_adapter(self._adapter)
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

    def render_replies(self, replies: Sequence[Reply]) -> list[tuple[int, ...]]:
        """See `kgym.types.RendersReplies`."""
        return [tuple(self.encoder.reply(reply)) for reply in replies]

    def turns_note(self) -> str:
        """See `kgym.types.RendersReplies`."""
        return self.encoder.turns_note()

    # --- the channel ----------------------------------------------------------------------------------------------

    def _call(self, *message: Any, fd: int | None = None) -> Any:
        """Call the worker. If it has ended, no request is open any more."""
        try:
            return self._worker.call(*message, fd=fd)
        except BaseException:
            if not self.close.alive:
                self._open.clear()
            raise


def _shapes(folder: str) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of all weights of a model, tied ones included; none is read."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(load_config(folder), trust_remote_code=False)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
