"""The engine `transformers`: batched sampling from any Hugging Face causal language model that keeps keys and values,
on a CPU or a GPU.

This file has its own loop around the model's forward pass, because training needs what `generate` does not offer: the
log-probability of each token, completions that are cut and continued, and rows that leave the batch when they have
ended. Equal prompts (a group's) are read once.

    submit -> waiting -> read -> [choose a token for each row -> finished rows leave, poll returns -> forward] -> ...
                 |        ^--- when the batch is half empty, from the prompt or from parked keys and values ---'
                 '-> its old row, if it continues a completion before the next forward pass

The batch is in `decoding.py`. A small model on a CPU is decoded on one thread; see `onethread.py`. For serving at scale
use an engine made for it; this one is for models and machines for which such a server is not worth its start.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from transformers import PreTrainedTokenizerBase

from kgym.errors import EngineError, UnsuitedModel
from kgym.models.encoding import ChatEncoder
from kgym.models.footprint import footprint
from kgym.models.load import check_vocabulary, load_config, load_language_model, load_tokenizer
from kgym.models.placement import placement
from kgym.models.weights import held
from kgym.options import Options
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
from kgym_plugins.engines.decoders import GRAPHS_ON, decoder_of
from kgym_plugins.engines.decoding import Batch, Row
from kgym_plugins.engines.graphs import KEPT_BYTES
from kgym_plugins.engines.kvcache import other_state, why_not_continued
from kgym_plugins.engines.onethread import OneThread, is_small
from kgym_plugins.engines.parked import Park, Parked
from kgym_plugins.engines.sampling import uniforms
from kgym_plugins.engines.sampling_memory import PREFILL_TOKENS, packed_memory, sampling_memory, shares_prompts
from kgym_plugins.engines.text import completes_stop, segment_text

log = logging.getLogger(__name__)

SLACK = 64
"""Most tokens by which the frame of a prompt may exceed another whole prompt with the same roles."""
ENDLESS = 1 << 60
"""The context of a model that states none."""


class TransformersOptions(Options):
    """Sampling with transformers and torch alone."""

    device: str = "auto"
    """Device to sample on: a name that torch knows (`cpu`, `cuda:1`), or `auto`: a GPU if the machine has one."""
    dtype: str = Field("auto", pattern="^(auto|float32|bfloat16|float16)$")
    """Type of the weights; `auto`: float32 on the CPU, bfloat16 elsewhere."""
    max_batch: int = Field(256, ge=1)
    """Completions that are sampled at once. Fewer need less memory for keys and values."""
    parked: int = Field(64, ge=0)
    """Unfinished completions whose keys and values are kept for their next segment; others are read again."""
    cuda_graphs: bool = True
    """On a GPU, replay each step of decoding as a CUDA graph. `false`: launch its operations one by one, which is
    slower and needs less memory.
    """
    template: dict[str, Any] = Field(default_factory=dict)
    """Values of the chat template's variables, such as `enable_thinking=false`. They are part of the question, so they
    affect comparability.
    """


def _warn_of_ordinary_end(folder: str, configured: int | list[int] | None, tokenizer: PreTrainedTokenizerBase) -> None:
    """Warn of a configuration with an end token that is part of ordinary text: completions are cut wherever it
    occurs.
    """
    ids = configured if isinstance(configured, list) else [configured]
    marks = {tokenizer.eos_token_id, None, *tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    for number in ids:
        if number not in marks:
            log.warning(
                "%s: its configuration ends completions with the ordinary token %d (%r), its tokenizer with %s; "
                "completions are cut at both: correct eos_token_id in generation_config.json and config.json",
                *(folder, number, tokenizer.decode([number]), tokenizer.eos_token_id),
            )


def _unsuited(folder: str, reason: str) -> str:
    return (
        f"{folder} cannot be sampled from: {reason}; "
        "use a model whose layers all keep keys and values, or another engine (kgym plugins list --kind engine)"
    )


class TransformersEngine:
    """See `kgym.types.Engine`. `abort` may be called from another thread."""

    Options = TransformersOptions

    def __init__(self, options: TransformersOptions, model_folder: str | Path) -> None:
        """Load the model.

        Raises ConfigError if it cannot be loaded, UnsuitedModel if it cannot continue from keys and values.
        """
        self.options = options
        self.version = 0
        self.folder = str(model_folder)
        self.check(options, self.folder)  # before gigabytes of weights are read
        device, dtype = placement(options.device, options.dtype)
        self.model, self.tokenizer = load_language_model(self.folder, dtype=dtype, device=device)
        self.device = self.model.device
        if (reason := why_not_continued(self.model)) is not None:
            raise UnsuitedModel(_unsuited(self.folder, reason))
        self.encoder = ChatEncoder(self.tokenizer, whose=self.folder, variables=options.template)
        self.end_ids = self._end_ids()
        self.context_length: int | None = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        self._awake = True
        self._decoder = decoder_of(self.model, graphs=options.cuda_graphs)
        self._waiting: deque[Row] = deque()
        self._ended: list[Segment] = []
        self._alone = OneThread() if is_small(self.model) else None
        self._batch: Batch | None = None
        self._park = Park(options.parked)
        self._open: set[str] = set()
        self._aborted: set[str] = set()
        self._lock = threading.Lock()

    @classmethod
    def check(cls, options: TransformersOptions, model_folder: str) -> None:
        """Raise what the constructor does, as far as the configuration and the tokenizer show it; no weights are
        read.
        """
        config = load_config(model_folder)
        if (reason := other_state(config)) is not None:
            raise UnsuitedModel(_unsuited(model_folder, reason))
        check_vocabulary(model_folder, load_tokenizer(model_folder), config.get_text_config().vocab_size)

    @classmethod
    def suits(cls, options: TransformersOptions, model_folder: str, surroundings: Surroundings) -> Suitability:
        """See `kgym.types.JudgesItself`: it suits every model that `check` lets pass."""
        device, _ = placement(options.device, options.dtype)
        return Suitability(1.0, f"it samples from this model on {device}, and nothing faster suits")

    @classmethod
    def memory(cls, options: TransformersOptions, model_folder: str, work: SamplingWork) -> EngineMemory:
        """See `kgym.types.PlansMemory`."""
        device, dtype = placement(options.device, options.dtype)
        model, shared = footprint(model_folder), shares_prompts(load_config(model_folder))
        rows, graphs = (
            min(work.rows, options.max_batch),
            shared and options.cuda_graphs and torch.device(device).type in GRAPHS_ON,
        )
        packed = packed_memory(model, device, dtype) if shared else {}

        def sampling(max_batch: int = rows, parked: int = options.parked, graphs: bool = graphs) -> dict[str, int]:
            sizes = {"max_batch": max_batch, "parked": parked}
            return sampling_memory(model, work, dtype.itemsize, **sizes, shared=shared, graphs=graphs) | packed

        found = sampling()
        smaller = {f"engine.max_batch={rows // 2}": sampling(max_batch=rows // 2)} if rows > 1 else {}
        smaller |= {"engine.parked=0": sampling(parked=0)} if options.parked else {}
        smaller |= {"engine.cuda_graphs=false": sampling(graphs=False)} if graphs else {}
        savings = {name: sum(found.values()) - sum(less.values()) for name, less in smaller.items()}
        savings = {name: saved for name, saved in savings.items() if saved > 0}
        keeps = graphs and found["keys and values"] <= KEPT_BYTES
        return EngineMemory(device, {"weights": model.parameters * dtype.itemsize}, found, savings, keeps)

    def _end_ids(self) -> frozenset[int]:
        """Every token that ends a completion by the model, its tokenizer or its template: one for the turn and one for
        the text.
        """
        configured = self.model.generation_config.eos_token_id
        _warn_of_ordinary_end(self.folder, configured, self.tokenizer)
        ids = (
            set(configured if isinstance(configured, list) else [configured])
            | {self.tokenizer.eos_token_id}
            | self.encoder.end_ids
        )
        return frozenset(ids - {None})

    # --- the protocol ---------------------------------------------------------------------------------------------

    def submit(self, requests: Sequence[GenerateRequest]) -> None:
        """Take requests; those that are submitted together and have similar prompts are read together.

        A segment ends with `length` when the request's tokens are spent, and also when the model's context is full: the
        segment of a prompt that leaves no room for a completion has no token. Raises EngineError for an id that is open
        already, ConfigError for a prompt that the chat template refuses.
        """
        rows = self._rows(requests)
        with self._lock:
            open_ids = set(self._open)
            for request in requests:
                if request.id in open_ids:
                    raise EngineError(f"two requests have the same id {request.id!r}; segments could not be told apart")
                open_ids.add(request.id)
            self._open = open_ids
        for row in rows:
            if not len(row.uniforms):
                self._ended.append(self._segment(row, "length"))  # the budget is spent
            elif self._batch is None or not self._batch.resume(row):
                self._waiting.append(row)

    def poll(self, timeout_s: float | None = None) -> list[Segment]:
        """Sample token by token until a request has ended or the time is over. Raises EngineError while asleep."""
        if not self._awake:
            self._forget()
            raise EngineError("the engine sleeps; call wake() first")
        deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
        try:
            while self._open and not self._ended:
                self._advance()
                if time.monotonic() >= deadline:
                    break
        except BaseException:
            self._forget()
            raise
        ended, self._ended = self._ended, []
        with self._lock:
            done = {segment.request_id for segment in ended}
            self._open -= done
            self._aborted -= done
        return ended

    def _forget(self) -> None:
        """Leave no request open: the state after a failed forward pass cannot be used."""
        with self._lock:
            self._open, self._aborted = set(), set()
        self._waiting.clear()
        self._ended.clear()
        self._drop_caches()

    def _drop_caches(self) -> None:
        """Drop keys and values: continued completions are read again."""
        self._batch = None
        self._decoder.clear()
        self._park.clear()

    def abort(self, ids: Sequence[str] | None = None) -> None:
        """Stop these requests, or all, before their next token; ids that are not open are ignored."""
        with self._lock:
            self._aborted |= self._open if ids is None else self._open.intersection(ids)

    @torch.no_grad()
    def load(self, version: int, weights: Weights) -> None:
        """Copy weights over those of the engine; types and devices may differ, names and shapes may not.

        Raises EngineError for other names or shapes, and while requests are open: their keys and values would belong to
        other weights.
        """
        self._refuse_open("new weights")
        mine = self.model.state_dict()
        shapes = {
            name: tensor.shape for name, tensor in weights.named()
        }  # read twice instead of kept: some tensors are made as they are read
        if mine.keys() != shapes.keys():
            raise EngineError(
                f"the weights have other names than the engine's: {sorted(mine.keys() ^ shapes.keys())[:4]}"
            )
        for name, tensor in mine.items():
            if tensor.shape != shapes[name]:
                raise EngineError(f"{name} has shape {tuple(shapes[name])}, the engine has {tuple(tensor.shape)}")
        self._drop_caches()
        self._decoder.release()
        for name, tensor in weights.named():
            mine[name].copy_(tensor)
        self.version = version

    def held(self) -> list[HeldTensor]:
        """See `kgym.types.ShowsWeights`."""
        return held(self.model)

    def _refuse_open(self, what: str) -> None:
        if self._open:
            raise EngineError(f"{len(self._open)} requests are open; abort and poll them before {what}")

    def sleep(self) -> None:
        """Move the weights to main memory until `wake`; on a CPU they are there already.

        Raises EngineError if requests are open.
        """
        self._refuse_open("sleep")
        self._drop_caches()
        self._decoder.vacate()
        self._awake = False
        self.model.to("cpu")
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def wake(self) -> None:
        """Move the weights back."""
        self.model.to(self.device)
        self._awake = True

    # --- requests to rows -----------------------------------------------------------------------------------------

    def _rows(self, requests: Sequence[GenerateRequest]) -> list[Row]:
        """Render the prompts; rows of similar length and equal prompts are next to each other."""
        rendered: dict[Chat, tuple[int, ...]] = {}
        rows = []
        for request in requests:
            if request.prompt not in rendered:
                rendered[request.prompt] = tuple(self.encoder.prompt(request.prompt))
            prompt_ids = rendered[request.prompt]
            context, n = prompt_ids + request.prefix_ids, request.max_tokens
            for bound in (self.context_length, request.context_tokens):
                if bound is not None:
                    n = min(n, bound - len(context))
            rows.append(Row(request, prompt_ids, context, uniforms(request.seed, len(request.prefix_ids), max(0, n))))
        return sorted(rows, key=lambda row: (len(row.context), row.context))

    def too_long(self, prompts: Sequence[Chat], context_tokens: int | None = None) -> dict[int, int]:
        """Return which of the prompts leave no room for a completion, and how many tokens they have; see
        `kgym.types.MeasuresPrompts`.
        """
        bounds = [bound for bound in (self.context_length, context_tokens, ENDLESS) if bound is not None]
        found = {}
        frames: dict[tuple[str, ...], int] = {}
        for number, prompt in enumerate(prompts):
            roles = tuple(message.role for message in prompt)
            n_bytes = sum(
                len(message.content.encode(errors="replace")) for message in prompt
            )  # a token has at least one byte
            if roles not in frames or n_bytes + frames[roles] >= min(bounds):
                n_tokens = len(self.encoder.prompt(prompt))
                frames.setdefault(roles, n_tokens + SLACK)
                if n_tokens >= min(bounds):
                    found[number] = n_tokens
        return found

    def render_replies(self, replies: Sequence[Reply]) -> list[tuple[int, ...]]:
        """See `kgym.types.RendersReplies`."""
        return [tuple(self.encoder.reply(reply)) for reply in replies]

    def turns_note(self) -> str:
        """See `kgym.types.RendersReplies`."""
        return self.encoder.turns_note()

    # --- the loop -------------------------------------------------------------------------------------------------

    @property
    def _n_live(self) -> int:
        """Number of rows that are sampled now."""
        return 0 if self._batch is None else self._batch.n_live

    def _advance(self) -> None:
        """Choose one more token for every row."""
        if self._aborted:
            self._end_aborted()
            if self._ended:
                return  # before the forward pass, so that these may also be continued in place
        if self._batch is not None:
            self._park.put(self._batch.take_left())
            self._batch = self._stepped(self._batch) if self._alone is None else self._alone(self._stepped, self._batch)
        if self._waiting and self._is_free_for_more():
            self._admit()
        if self._batch is not None:
            self._choose(self._batch)

    def _stepped(self, batch: Batch) -> Batch | None:
        """Read the newest tokens of a batch and choose the next."""
        stepped = self._decoder.forward(batch)
        if stepped is not None:
            stepped.chosen = self._decoder.sample(stepped)
        return stepped

    def _is_free_for_more(self) -> bool:
        """Whether waiting rows are to be read now: a pass over few prompts costs nearly as much as one over many."""
        if self._batch is None:
            return True
        free = self.options.max_batch - self._n_live
        return free >= max(1, min(len(self._waiting), round(self._decoder.admit_frac * self.options.max_batch)))

    def _end_aborted(self) -> None:
        """End the aborted requests, waiting or in the batch."""
        for _ in range(len(self._waiting)):
            row = self._waiting.popleft()
            if row.request.id in self._aborted:
                self._ended.append(self._segment(row, "abort"))
            else:
                self._waiting.append(row)
        if self._batch is not None:
            for place, live in enumerate(self._batch.rows):
                if live is not None and live.request.id in self._aborted:
                    self._end(self._batch, place, live, "abort")

    def _admit(self) -> None:
        """Read rows that wait, as many as there is room for."""
        self._decoder.ready()
        while self._waiting and (room := self.options.max_batch - self._n_live) > 0:
            self._batch = self._filled(self._batch, room)

    def _filled(self, batch: Batch | None, room: int) -> Batch | None:
        """Read up to `room` waiting rows, at most what one pass takes, and join them to a batch."""
        contexts: set[tuple[int, ...]] = set()
        fresh: list[Row] = []
        continued: dict[int, list[tuple[Row, Parked]]] = {}  # by the number of tokens to be read
        for _ in range(min(room, len(self._waiting))):
            row = self._waiting[0]
            if (parked := self._park.take(row.prompt_ids, row.request.seed, row.context)) is not None:
                continued.setdefault(len(row.context) - len(parked.read), []).append((row, parked))
            elif row.context in contexts or not contexts or (len(contexts) + 1) * len(row.context) <= PREFILL_TOKENS:
                contexts.add(row.context)
                fresh.append(row)
            else:
                break  # the rows are sorted by length, so this one would be the longest
            self._waiting.popleft()
        if fresh:
            batch = self._decoder.join(batch, self._decoder.prefill(fresh))
        for n_new, rows in continued.items():
            most = max(1, PREFILL_TOKENS // n_new)
            for start in range(0, len(rows), most):
                batch = self._decoder.join(batch, self._decoder.continued(rows[start : start + most]))
        return batch

    def _choose(self, batch: Batch) -> None:
        """Append a token to every live row and end those that end with it."""
        ids_B, logprobs_B = batch.chosen or self._decoder.sample(batch)
        batch.chosen = None
        self._check_finite(batch, logprobs_B)
        for place, (row, token, logprob) in enumerate(zip(batch.rows, ids_B, logprobs_B, strict=True)):
            if row is None:
                continue
            row.token_ids.append(token)
            row.logprobs.append(logprob)
            reason = self._reason(row)
            if reason is not None:
                self._end(batch, place, row, reason)

    def _end(self, batch: Batch, place: int, row: Row, reason: FinishReason) -> None:
        """End a row of a batch.

        A row that ended its text itself is expected to be continued only where an environment replies; one that a stop
        text ended may be continued.
        """
        ended = row.newest in self.end_ids and not row.request.expects_reply
        batch.end(place, may_continue=not ended and reason != "repetition")
        self._ended.append(self._segment(row, reason))

    def _reason(self, row: Row) -> FinishReason | None:
        if row.token_ids[-1] in self.end_ids:
            return "stop"
        stops = row.request.sampling.stop
        if stops and completes_stop(self.tokenizer, row.request.prefix_ids, row.token_ids, stops):
            return "stop"
        if row.loops is not None and row.loops.feed(row.token_ids[-1]):
            return "repetition"  # before `length`: a cut at this token changes nothing
        return "length" if len(row.token_ids) == len(row.uniforms) else None

    def _check_finite(self, batch: Batch, logprobs_B: Sequence[float]) -> None:
        """Raise EngineError for a row whose logits hold a NaN or plus infinity: no token was chosen from them."""
        bad = [
            row
            for row, logprob in zip(batch.rows, logprobs_B, strict=True)
            if row is not None and not math.isfinite(logprob)
        ]
        if not bad:
            return
        remedy = (
            "training has damaged the weights: start again from an earlier checkpoint with a smaller learning rate"
            if self.version
            else "check the weights of that folder"
        )
        raise EngineError(
            f"the logits of {self.folder} are not finite in {len(bad)} of {batch.n_live} completions (weights of "
            "version "
            f"{self.version}, "
            f"{str(self.model.dtype).removeprefix('torch.')}, temperature {bad[0].request.sampling.temperature:g}, "
            f"after {len(bad[0].token_ids)} tokens of completion {bad[0].request.id}); {remedy}, or sample in float32"
        )

    def _segment(self, row: Row, reason: FinishReason) -> Segment:
        ended = bool(row.token_ids) and row.token_ids[-1] in self.end_ids
        text_ids = row.token_ids[:-1] if ended else row.token_ids
        return Segment(
            segment_text(self.tokenizer, row.request.prefix_ids, text_ids, final=reason == "stop"),
            token_ids=row.token_ids,
            engine_logprobs=row.logprobs,
            prompt_ids=row.prompt_ids,
            finish_reason=reason,
            version=self.version,
            request_id=row.request.id,
        )
