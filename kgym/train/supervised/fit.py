"""The run of everything that learns from examples instead of rewards: `sft`, `dpo` and `rm` differ in their examples and their loss.

The examples of step s are a pure function of (source, seed, s), so a run that was killed goes on from its newest checkpoint as if nothing
had happened.

OUT            the finished Hugging Face folder, with metrics.jsonl beside the weights: there whole, or not there
OUT.partial/   step-N/ as in `checkpoint.py`, and metrics.jsonl, while the run lasts
"""

import functools
import json
import logging
import math
import random
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import torch
from pydantic import Field
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgym.errors import ConfigError, DataError, RunError
from kgym.files import locked, sync_folder, sync_names
from kgym.folders import own_folders, remove, remove_leftovers
from kgym.models.encoding import ChatEncoder
from kgym.models.load import broken_weight
from kgym.models.names import model_fingerprint
from kgym.options import Options, RunSteps, for_run
from kgym.runs.metrics import MetricsFile
from kgym.score.comparability import changes
from kgym.seeding import derive_seed
from kgym.train.checkpoint import check_weights, checkpoint_steps, load_state, save_checkpoint, way_on
from kgym.train.optim import lr_at, make_optimizer, set_lr
from kgym.types import Chat

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")
PATIENCE = 3
"""Steps without an example that fits into the context, from the start, after which a run ends."""

ENDLESS = 1 << 40
"""Indices of an endless source are drawn below this: two draws of a run practically never meet."""

METRICS = "metrics.jsonl"

Row = tuple[list[int], list[int]]
"""The ids of a prompt, which are read, and those of a completion, which count in the loss."""


class Learner(Protocol):
    """A model that learns, with its tokenizer."""

    @property
    def model(self) -> PreTrainedModel:
        """In evaluation mode."""

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Has a chat template."""

    @property
    def folder(self) -> str:
        """Where it was loaded from."""

    @property
    def encoder(self) -> ChatEncoder:
        """The tokenizer with its chat template."""


L = TypeVar("L", bound=Learner)


class SupervisedOptions(Options):
    """What all runs on examples have in common."""

    steps: int = Field(1000, ge=1)
    """Optimizer steps."""
    batch_size: int = Field(64, ge=1)
    """Examples a step."""
    lr: float = Field(1e-3, gt=0)
    """Learning rate of AdamW after the warm-up; the default suits a model of a million parameters, a billion needs about 1e-5."""
    warmup_steps: RunSteps = 50
    """Steps over which the learning rate rises from 0: a number, or, below 1, a share of the run."""
    decay_frac: float = Field(0.2, ge=0, le=1)
    """Share of the steps, at the end, over which the learning rate falls to a tenth."""
    weight_decay: float = Field(0.01, ge=0)
    """Of matrices only."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Longest gradient; longer ones are shortened to it."""
    microbatch_tokens: int = Field(4096, ge=1)
    """Tokens, padding included, in one forward pass; a single longer example still makes one."""
    save_every: int = Field(200, ge=1)
    """Steps between checkpoints."""
    seed: int = 0
    """Decides the order of the examples."""


def fit(
    base: str | Path,
    out: Path,
    options: SupervisedOptions,
    *,
    load: Callable[[str], L],
    backward: Callable[[L, int], dict[str, float]],
    data: str,
    facts: Mapping[str, str] | None = None,
    resume: bool = False,
    finish: Callable[[L, Path], Mapping[str, Any]] = lambda learner, folder: {},
    report: Callable[[dict[str, float]], None] = lambda _: None,
) -> dict[str, Any]:
    """Train what `load` makes of the folder `base` and write the folder `out`; return what came of it.

    `backward(learner, step)` adds up the gradient of a step, counted from 1, and returns its metrics: `loss_nats`, `tokens` (read) and what
    else there is to say. `data` names the examples and `facts` what else the numbers depend on, so that a resumed run can tell that they
    are the same; the files in `base` are compared too. `report` is given the metrics of every step; `finish` may write more into the
    finished folder and add to what is returned.

    Raises ConfigError if `out` is there already or the run to resume is another one, RunError if the loss is not finite.
    """
    partial = partial_folder(out)
    known = {"base": str(base), "base_sha256": model_fingerprint(str(base)), "data": data, "options": options.model_dump(mode="json")}
    identity = json.dumps(known | dict(facts or {}), sort_keys=True)
    learner, optimizer, step = _start(base, out, partial, options, identity, load=load, resume=resume)
    own_folders(partial)
    with locked(partial / ".lock", what=f"the unfinished run {partial}") as lock:
        _refuse_existing(out)  # another process may have finished it while the model was loaded
        remove_leftovers([partial])
        log = MetricsFile(partial / METRICS)
        log.cut_after(step)
        metrics: dict[str, float] = {}
        started, first_step, n_tokens = time.perf_counter(), step, 0.0
        while step < options.steps:
            step += 1
            warmup_steps = int(for_run(options, options.steps).warmup_steps)
            lr = lr_at(
                step, lr=options.lr, warmup_steps=warmup_steps, steps=options.steps, schedule="linear", decay_frac=options.decay_frac
            )
            set_lr(optimizer, lr)
            try:
                metrics = train_step(learner, optimizer, lambda learner, now=step: backward(learner, now), options)  # type: ignore[misc]
            except FloatingPointError as error:
                raise RunError(f"step {step}: {error}; {way_on(partial, _smaller_lr(options))}") from error
            n_tokens += metrics["tokens"]
            if not n_tokens and step - first_step >= PATIENCE:
                raise DataError(f"no example of {PATIENCE} steps fits into the model's context; shorten them, or take another model")
            metrics |= {"lr": lr}
            lock.check()
            log.append(step, metrics)
            report({"step": step} | metrics | {"tokens_per_s": n_tokens / (time.perf_counter() - started)})
            if step % options.save_every == 0 or step == options.steps:
                check_weights(broken_weight(learner.model), f"step {step}: the model", partial, _smaller_lr(options))
            if step % options.save_every == 0 and step < options.steps:
                state = {"step": step, "identity": identity, "optimizer": optimizer.state_dict()}
                save_checkpoint(partial, step, write=_writer(learner), state=state, keep=1)
        found = _finish(learner, out, partial, finish)
    summary = {"model": str(out), "steps": step, "steps_this_time": step - first_step}
    return summary | metrics | dict(found) | {"seconds": time.perf_counter() - started}


def _writer(learner: Learner) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        learner.model.save_pretrained(folder)
        learner.tokenizer.save_pretrained(folder)

    return write


def partial_folder(out: Path) -> Path:
    """Return where a run that makes the folder `out` keeps what it has until it ends."""
    return out.with_name(f"{out.name}.partial")


def train_step(
    learner: L, optimizer: torch.optim.Optimizer, backward: Callable[[L], dict[str, float]], options: SupervisedOptions
) -> dict[str, float]:
    """Take one optimizer step; return what `backward` does and `grad_norm`, the norm of the gradient before it was shortened.

    Raises FloatingPointError, before the step, if the loss or the norm is not finite.
    """
    optimizer.zero_grad(set_to_none=True)
    metrics = backward(learner)
    norm = torch.nn.utils.clip_grad_norm_(learner.model.parameters(), options.max_grad_norm).item()
    if not math.isfinite(metrics["loss_nats"] + norm):
        raise FloatingPointError(f"the loss is {metrics['loss_nats']} and the gradient norm {norm}")
    optimizer.step()
    return metrics | {"grad_norm": norm}


def _smaller_lr(options: SupervisedOptions) -> str:
    return f"a smaller learning rate (--lr, now {options.lr:g})"


def _start(
    base: str | Path, out: Path, partial: Path, options: SupervisedOptions, identity: str, *, load: Callable[[str], L], resume: bool
) -> tuple[L, torch.optim.Optimizer, int]:
    _refuse_existing(out)
    steps = checkpoint_steps(partial)
    if steps and not resume:
        raise ConfigError(f"{partial} holds a run that did not end; go on with it by --resume, or remove it")
    start = str(partial / f"step-{steps[-1]}" if steps else base)
    state = load_state(Path(start)) if steps else {}
    if state and (changed := changes(json.loads(state["identity"]), json.loads(identity))):  # before a model is loaded for nothing
        raise ConfigError(
            f"{partial} cannot be resumed as the same run, because since it began {'; '.join(changed.values())}: "
            "restore what it was, or begin another run with another --out"
        )
    learner = load(start)
    optimizer = make_optimizer(learner.model, lr=options.lr, weight_decay=options.weight_decay, betas=(0.9, 0.98))
    if not steps:
        return learner, optimizer, 0
    optimizer.load_state_dict(state["optimizer"])
    return learner, optimizer, state["step"]


def _refuse_existing(out: Path) -> None:
    if out.exists():
        raise ConfigError(f"{out} exists already; choose another folder with --out")


def _finish(learner: L, out: Path, partial: Path, finish: Callable[[L, Path], Mapping[str, Any]]) -> Mapping[str, Any]:
    temporary = out.with_name(f".{out.name}.tmp")
    remove(temporary)
    temporary.mkdir()
    learner.model.save_pretrained(temporary)
    learner.tokenizer.save_pretrained(temporary)
    shutil.copyfile(partial / METRICS, temporary / METRICS)
    found = finish(learner, temporary)
    sync_folder(temporary)
    temporary.rename(out)
    sync_names(out.parent)
    shutil.rmtree(partial, ignore_errors=True)
    return found


# --- examples as rows -------------------------------------------------------------------------------------------------


def shuffled(items: Sequence[T], *, seed: int) -> Callable[[int], T]:
    """Return a function: the n-th of the items, in endless passes that each have their own order. Raises DataError if there are none."""
    if not items:
        raise DataError("there is no example to learn from")
    current: tuple[int, list[int]] = (-1, [])

    def nth(n: int) -> T:
        nonlocal current
        number, place = divmod(n, len(items))
        if current[0] != number:
            order = list(range(len(items)))
            random.Random(derive_seed("sft", seed, number)).shuffle(order)  # noqa: S311  (not a secret)
            current = (number, order)
        return items[current[1][place]]

    return nth


def read_jsonl(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield each line of a file of JSON lines as (where it stands, its value). Raises DataError for one that is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            where = f"{path}, line {number}"
            try:
                yield where, json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                raise DataError(f"{where}: not JSON: {error}") from error


def encode_row(learner: Learner, prompt: Chat, completion: str) -> Row:
    """Return the ids of the prompt and of the completion with its end token.

    Raises ConfigError if the tokenizer has no chat template or end token, TooLong if the row does not fit into the context.
    """
    return checked_row(learner, learner.encoder.prompt(prompt), learner.encoder.answer(completion), prompt[-1].content)


def checked_row(learner: Learner, prompt_ids: list[int], completion_ids: list[int], what: str) -> Row:
    """Return the row. Raises TooLong, naming `what`, if it does not fit into the context."""
    limit = getattr(learner.model.config, "max_position_embeddings", None)
    if limit is not None and len(prompt_ids) + len(completion_ids) > limit:
        raise TooLong.of(len(prompt_ids) + len(completion_ids), limit, what)
    return prompt_ids, completion_ids


class TooLong(DataError):
    """An example does not fit into the model's context."""

    @classmethod
    def of(cls, n_tokens: int, context: int, question: str) -> Self:
        """Return the error for an example of so many tokens."""
        return cls(f"an example has {n_tokens} tokens and the model's context {context}: {question[:80]!r}")


def fitting(items: Sequence[T], encode: Callable[[T], R]) -> list[R]:
    """Return the encoded items of a batch; those that do not fit into the context are left out, and each is named once."""
    encoded = []
    for item in items:
        try:
            encoded.append(encode(item))
        except TooLong as error:
            _left_out(str(error))
    return encoded


@functools.lru_cache(maxsize=1000)
def _left_out(what: str) -> None:
    """Say it at the first call with this text."""
    log.warning("%s; it is left out of its batch", what)


def microbatches(items: Sequence[T], tokens: int, rows_of: Callable[[T], Sequence[Row]]) -> Iterator[list[T]]:
    """Cut a batch into parts of at most so many tokens, padding included; items of like length go together, so there is little of it.

    `rows_of` gives the rows that an item, which is never cut, brings.
    """
    part: list[T] = []
    n_rows = 0
    for item in sorted(items, key=lambda item: _longest(rows_of(item))):
        rows = rows_of(item)
        if part and (n_rows + len(rows)) * _longest(rows) > tokens:
            yield part
            part, n_rows = [], 0
        part.append(item)
        n_rows += len(rows)
    if part:
        yield part


def _longest(rows: Sequence[Row]) -> int:
    return max(len(prompt) + len(completion) for prompt, completion in rows)


def pad(rows: Sequence[Row], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return input ids, attention and the mask of the tokens that count, each (rows, longest row), padded on the right."""
    shape = (len(rows), _longest(rows))
    input_ids, attention, counts = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long), torch.zeros(shape)
    for number, (prompt, completion) in enumerate(rows):
        length = len(prompt) + len(completion)
        input_ids[number, :length] = torch.tensor(prompt + completion)
        attention[number, :length] = 1
        counts[number, len(prompt) : length] = 1
    return input_ids.to(device), attention.to(device), counts.to(device)
