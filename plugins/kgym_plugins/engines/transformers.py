"""The engine `transformers`: batched sampling from any Hugging Face causal language model that keeps keys and values, on a CPU or a GPU.

A loop of our own around the model's forward pass, as training needs what `generate` hides: the log-probability of each token, answers that
are cut and continued, and rows that leave the batch when they have ended. Equal prompts (a group's) are read once.

    waiting -> prefill -> [choose a token for each row -> finished rows leave -> forward] -> ...
                 ^------------ when the batch is half empty ------------'

For serving at scale use an engine made for it; this one is for models and machines where starting such a server does not pay.

Dimension key:  B rows of the batch   L columns, padding on the left   V vocabulary
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import pad
from transformers import PreTrainedTokenizerBase

from kgym.errors import EngineError, UnsuitedModel
from kgym.models.encoding import ChatEncoder
from kgym.models.load import check_vocabulary, load_config, load_language_model, load_tokenizer
from kgym.models.placement import placement
from kgym.options import Options
from kgym.repetition import RepetitionDetector
from kgym.types import Chat, FinishReason, GenerateRequest, Segment, Weights
from kgym_plugins.engines.kvcache import RowCache, other_state, why_not_continued
from kgym_plugins.engines.sampling import choose, uniforms
from kgym_plugins.engines.text import completes_stop, segment_text

log = logging.getLogger(__name__)

PREFILL_TOKENS = 16_384
"""Prompt tokens, padding included, in one forward pass: bounds the memory of its activations."""
SLACK = 64
"""Tokens that the frame of a prompt may have more than another whole prompt with the same roles."""
ENDLESS = 1 << 60
"""The context of a model that states none."""
IDLE_FRAC = 1 / 8
"""Finished rows leave the batch when they are this share of it: dropping a row copies the cache of the others."""


class TransformersOptions(Options):
    """Sampling with transformers and torch alone."""

    device: str = "auto"
    """Where to sample: a name that torch knows (`cpu`, `cuda:1`), or `auto`: the GPU if there is one."""
    dtype: str = Field("auto", pattern="^(auto|float32|bfloat16|float16)$")
    """Type of the weights; `auto`: float32 on the CPU, bfloat16 elsewhere."""
    max_batch: int = Field(256, ge=1)
    """Answers that are sampled at once. Fewer need less memory for keys and values."""
    template: dict[str, Any] = Field(default_factory=dict)
    """Values of the chat template's variables, such as `enable_thinking=false`. They are part of what is asked, so of comparability."""


def _warn_of_ordinary_end(folder: str, configured: int | list[int] | None, tokenizer: PreTrainedTokenizerBase) -> None:
    """Warn of a configuration that ends texts with a token that is part of them: answers are cut wherever it comes."""
    ids = configured if isinstance(configured, list) else [configured]
    marks = {tokenizer.eos_token_id, None, *tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    for number in ids:
        if number not in marks:
            log.warning(
                "%s: its configuration ends answers with the ordinary token %d (%r), its tokenizer with %s; "
                "answers are cut at both: correct eos_token_id in generation_config.json and config.json",
                *(folder, number, tokenizer.decode([number]), tokenizer.eos_token_id),
            )


def _unsuited(folder: str, reason: str) -> str:
    return (
        f"{folder} cannot be sampled from: {reason}; "
        "use a model whose layers all keep keys and values, or another engine (kgym plugins list --kind engine)"
    )


@dataclass(eq=False)
class _Row:
    """One request on its way."""

    request: GenerateRequest
    prompt_ids: tuple[int, ...]
    context: tuple[int, ...]
    """What the model has to read before the first token: the prompt and the earlier segments."""
    uniforms: np.ndarray
    """One for each token that may come: the answer's budget, or what the context leaves of it."""
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    loops: RepetitionDetector | None = field(init=False)

    def __post_init__(self) -> None:
        length = self.request.sampling.loop_tokens
        self.loops = None if length is None else RepetitionDetector(length, self.request.prefix_ids)


@dataclass
class _Batch:
    """Rows that are sampled together. `rows[i]` is None once row i has ended, until the others are moved up."""

    rows: list[_Row | None]
    cache: RowCache
    attention: Tensor
    """(B, L) int64, 0 for padding."""
    logits: Tensor
    """(B, V), of the token to choose next."""

    @property
    def n_live(self) -> int:
        return sum(row is not None for row in self.rows)


class TransformersEngine:
    """See `kgym.types.Engine`. `abort` may be called from another thread."""

    Options = TransformersOptions

    def __init__(self, options: TransformersOptions, model_folder: str | Path) -> None:
        """Load the model. Raises ConfigError if it cannot be loaded, UnsuitedModel if it does not go on from keys and values."""
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
        self._waiting: deque[_Row] = deque()
        self._batch: _Batch | None = None
        self._open: set[str] = set()
        self._aborted: set[str] = set()
        self._lock = threading.Lock()

    @classmethod
    def check(cls, options: TransformersOptions, model_folder: str) -> None:
        """Raise what the constructor does, as far as the configuration and the tokenizer show it; reads no weights."""
        config = load_config(model_folder)
        if (reason := other_state(config)) is not None:
            raise UnsuitedModel(_unsuited(model_folder, reason))
        check_vocabulary(model_folder, load_tokenizer(model_folder), config.get_text_config().vocab_size)

    def _end_ids(self) -> frozenset[int]:
        """Every token that ends an answer by the model, its tokenizer or its template: one for the turn and one for the text."""
        configured = self.model.generation_config.eos_token_id
        _warn_of_ordinary_end(self.folder, configured, self.tokenizer)
        ids = set(configured if isinstance(configured, list) else [configured]) | {self.tokenizer.eos_token_id} | self.encoder.end_ids
        return frozenset(ids - {None})

    # --- the protocol ---------------------------------------------------------------------------------------------

    def submit(self, requests: Sequence[GenerateRequest]) -> None:
        """Take requests; those that are submitted together and have like prompts are read together.

        A segment ends with `length` when the request's tokens are spent, and also when the model's context is full: that of a prompt which
        leaves no room for an answer has no token. Raises EngineError for an id that is open already, ConfigError for a prompt that the chat
        template refuses.
        """
        rows = self._rows(requests)
        with self._lock:
            open_ids = set(self._open)
            for request in requests:
                if request.id in open_ids:
                    raise EngineError(f"two requests have the same id {request.id!r}; segments could not be told apart")
                open_ids.add(request.id)
            self._open = open_ids
        self._waiting.extend(rows)

    def poll(self, timeout_s: float | None = None) -> list[Segment]:
        """Sample token by token until a request has ended or the time is over. Raises EngineError while asleep."""
        if not self._awake:
            self._forget()
            raise EngineError("the engine sleeps; call wake() first")
        deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
        ended: list[Segment] = []
        try:
            while self._open and not ended:
                ended = self._advance()
                if time.monotonic() >= deadline:
                    break
        except BaseException:
            self._forget()
            raise
        with self._lock:
            done = {segment.request_id for segment in ended}
            self._open -= done
            self._aborted -= done
        return ended

    def _forget(self) -> None:
        """Leave nothing open: what a failed forward pass has left behind is of no use."""
        with self._lock:
            self._open, self._aborted = set(), set()
        self._waiting.clear()
        self._batch = None

    def abort(self, ids: Sequence[str] | None = None) -> None:
        """Stop these requests, or all, before their next token; ids that are not open are ignored."""
        with self._lock:
            self._aborted |= self._open if ids is None else self._open.intersection(ids)

    @torch.no_grad()
    def load(self, version: int, weights: Weights) -> None:
        """Copy weights over those of the engine; the types and devices may differ, names and shapes may not.

        Raises EngineError if they do, and while requests are open: their keys and values would belong to other weights.
        """
        self._refuse_open("new weights")
        mine, theirs = self.model.state_dict(), dict(weights.named())
        if mine.keys() != theirs.keys():
            raise EngineError(f"the weights have other names than the engine's: {sorted(mine.keys() ^ theirs.keys())[:4]}")
        for name, tensor in mine.items():
            if tensor.shape != theirs[name].shape:
                raise EngineError(f"{name} has shape {tuple(theirs[name].shape)}, the engine has {tuple(tensor.shape)}")
        for name, tensor in mine.items():
            tensor.copy_(theirs[name])
        self.version = version

    def _refuse_open(self, what: str) -> None:
        if self._open:
            raise EngineError(f"{len(self._open)} requests are open; abort and poll them before {what}")

    def sleep(self) -> None:
        """Move the weights to main memory until `wake`; on a CPU they are there already. Raises EngineError if requests are open."""
        self._refuse_open("sleep")
        self._awake = False
        self.model.to("cpu")
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def wake(self) -> None:
        """Move the weights back."""
        self.model.to(self.device)
        self._awake = True

    # --- requests to rows -----------------------------------------------------------------------------------------

    def _rows(self, requests: Sequence[GenerateRequest]) -> list[_Row]:
        """Render the prompts; rows of like length and equal prompts come to stand together."""
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
            rows.append(_Row(request, prompt_ids, context, uniforms(request.seed, len(request.prefix_ids), max(0, n))))
        return sorted(rows, key=lambda row: (len(row.context), row.context))

    def too_long(self, prompts: Sequence[Chat], context_tokens: int | None = None) -> dict[int, int]:
        """Return which of the prompts leave no room for an answer, and how many tokens they have; see `kgym.types.MeasuresPrompts`."""
        bounds = [bound for bound in (self.context_length, context_tokens, ENDLESS) if bound is not None]
        found = {}
        frames: dict[tuple[str, ...], int] = {}
        for number, prompt in enumerate(prompts):
            roles = tuple(message.role for message in prompt)
            n_bytes = sum(len(message.content.encode(errors="replace")) for message in prompt)  # no token is less than a byte
            if roles not in frames or n_bytes + frames[roles] >= min(bounds):
                n_tokens = len(self.encoder.prompt(prompt))
                frames.setdefault(roles, n_tokens + SLACK)
                if n_tokens >= min(bounds):
                    found[number] = n_tokens
        return found

    # --- the loop -------------------------------------------------------------------------------------------------

    def _advance(self) -> list[Segment]:
        """Choose one more token for every row; return the segments that end with it."""
        if self._batch is not None:
            self._batch = self._forward(self._batch)
        ended = list(self._leave_early())
        if self._waiting and (self._batch is None or self._batch.n_live <= self.options.max_batch // 2):
            self._batch = self._admit(self._batch, self._waiting)
        if self._batch is not None:
            ended += self._choose(self._batch)
        return ended

    def _leave_early(self) -> Iterator[Segment]:
        """Send back what need not be computed: requests that were aborted while they waited, or have no token to spend."""
        waiting = self._waiting
        for _ in range(len(waiting)):
            row = waiting.popleft()
            if row.request.id in self._aborted:
                yield self._segment(row, "abort")
            elif not len(row.uniforms):
                yield self._segment(row, "length")
            else:
                waiting.append(row)

    def _admit(self, batch: _Batch | None, waiting: deque[_Row]) -> _Batch | None:
        """Fill the batch up with rows that wait."""
        while waiting and (batch is None or batch.n_live < self.options.max_batch):
            room = self.options.max_batch - (batch.n_live if batch else 0)
            contexts: dict[tuple[int, ...], int] = {}
            rows: list[_Row] = []
            while waiting and len(rows) < room:
                context = waiting[0].context
                if context not in contexts and contexts and (len(contexts) + 1) * len(context) > PREFILL_TOKENS:
                    break  # the rows are sorted by length, so this one would be the longest
                contexts.setdefault(context, len(contexts))
                rows.append(waiting.popleft())
            fresh = self._prefill(rows, contexts)
            batch = fresh if batch is None else self._join(batch, fresh)
        return batch

    @torch.inference_mode()
    def _prefill(self, rows: list[_Row], contexts: dict[tuple[int, ...], int]) -> _Batch:
        """Read each different context once, then give every row a copy of its keys and values."""
        length = max(map(len, contexts))
        input_ids_BL = torch.zeros((len(contexts), length), dtype=torch.long)
        attention_BL = torch.zeros_like(input_ids_BL)
        for context, number in contexts.items():
            input_ids_BL[number, length - len(context) :] = torch.tensor(context)
            attention_BL[number, length - len(context) :] = 1
        cache, attention_BL = RowCache(), attention_BL.to(self.device)
        output = self.model(
            input_ids=input_ids_BL.to(self.device),
            attention_mask=attention_BL,
            position_ids=(attention_BL.cumsum(1) - 1).clamp(min=0),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        order_B = torch.tensor([contexts[row.context] for row in rows], device=self.device)
        cache.select(order_B)
        return _Batch(list(rows), cache, attention_BL[order_B], output.logits[order_B, -1])

    @torch.inference_mode()
    def _join(self, batch: _Batch, fresh: _Batch) -> _Batch:
        self._drop_ended(batch)
        batch.cache.join(fresh.cache)
        columns = max(batch.attention.shape[1], fresh.attention.shape[1])
        attention_BL = torch.cat([pad(mask, (columns - mask.shape[1], 0)) for mask in (batch.attention, fresh.attention)])
        return _Batch(batch.rows + fresh.rows, batch.cache, attention_BL, torch.cat([batch.logits, fresh.logits]))

    def _choose(self, batch: _Batch) -> Iterator[Segment]:
        """Append a token to every live row and send those back that end with it; the rows that were aborted leave without one."""
        for i, row in enumerate(batch.rows):
            if row is not None and row.request.id in self._aborted:
                batch.rows[i] = None
                yield self._segment(row, "abort")
        ids_B, logprobs_B = self._sample(batch)
        self._check_finite(batch, logprobs_B)
        for i, (row, token, logprob) in enumerate(zip(batch.rows, ids_B, logprobs_B, strict=True)):
            if row is None:
                continue
            row.token_ids.append(token)
            row.logprobs.append(logprob)
            reason = self._end(row)
            if reason is not None:
                batch.rows[i] = None
                yield self._segment(row, reason)

    @torch.inference_mode()
    def _sample(self, batch: _Batch) -> tuple[list[int], list[float]]:
        samplings = [row.request.sampling if row else None for row in batch.rows]
        top_k = [sampling.top_k if sampling else 0 for sampling in samplings]
        top_p = [sampling.top_p if sampling else 1.0 for sampling in samplings]
        ids_B, logprobs_B = choose(
            batch.logits,
            self._tensor([row.uniforms[len(row.token_ids)] if row else 0.0 for row in batch.rows], torch.float64),
            self._tensor([sampling.temperature if sampling else 1.0 for sampling in samplings], torch.float32),
            self._tensor(top_k, torch.long) if any(top_k) else None,
            self._tensor(top_p, torch.float64) if min(top_p) < 1.0 else None,
        )
        return ids_B.tolist(), logprobs_B.tolist()

    def _check_finite(self, batch: _Batch, logprobs_B: Sequence[float]) -> None:
        """Raise EngineError for a row whose logits hold a NaN or plus infinity: no token was chosen from them."""
        bad = [row for row, logprob in zip(batch.rows, logprobs_B, strict=True) if row is not None and not math.isfinite(logprob)]
        if not bad:
            return
        remedy = (
            "training has damaged the weights: start again from an earlier checkpoint with a smaller learning rate"
            if self.version
            else "check the weights of that folder"
        )
        raise EngineError(
            f"the logits of {self.folder} are not finite in {len(bad)} of {batch.n_live} answers (weights of version {self.version}, "
            f"{str(self.model.dtype).removeprefix('torch.')}, temperature {bad[0].request.sampling.temperature:g}, "
            f"after {len(bad[0].token_ids)} tokens of answer {bad[0].request.id}); {remedy}, or sample in float32"
        )

    def _tensor(self, values: Sequence[float], dtype: torch.dtype) -> Tensor:
        return torch.tensor(values, dtype=dtype, device=self.device)

    def _end(self, row: _Row) -> FinishReason | None:
        if row.token_ids[-1] in self.end_ids:
            return "stop"
        stops = row.request.sampling.stop
        if stops and completes_stop(self.tokenizer, row.request.prefix_ids, row.token_ids, stops):
            return "stop"
        if row.loops is not None and row.loops.feed(row.token_ids[-1]):
            return "repetition"  # before `length`: a cut at this token changes nothing
        return "length" if len(row.token_ids) == len(row.uniforms) else None

    @torch.inference_mode()
    def _forward(self, batch: _Batch) -> _Batch | None:
        """Read the chosen tokens; None if no row is left to go on."""
        n_live = batch.n_live
        if n_live == 0:
            return None
        if len(batch.rows) - n_live >= IDLE_FRAC * len(batch.rows):
            self._drop_ended(batch)
        batch.attention = pad(batch.attention, (0, 1), value=1)
        output = self.model(
            input_ids=self._tensor([row.token_ids[-1] if row else 0 for row in batch.rows], torch.long)[:, None],
            attention_mask=batch.attention,
            position_ids=batch.attention.sum(1, keepdim=True) - 1,
            past_key_values=batch.cache,
            use_cache=True,
        )
        batch.logits = output.logits[:, -1]
        return batch

    def _drop_ended(self, batch: _Batch) -> None:
        """Move the live rows up, and drop the columns that are padding to all of them."""
        kept = [i for i, row in enumerate(batch.rows) if row is not None]
        kept_B = self._tensor(kept, torch.long)
        first_column = int(batch.attention[kept_B].argmax(1).min())
        batch.cache.select(kept_B, first_column)
        batch.rows = [batch.rows[i] for i in kept]
        batch.attention = batch.attention[kept_B, first_column:]
        batch.logits = batch.logits[kept_B]

    def _segment(self, row: _Row, reason: FinishReason) -> Segment:
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
