"""Supervised warm-up: teach a policy to continue a prompt with a worked solution, before rewards take over.

The loss is the mean over a batch's completion tokens, end token included, of -log p; the prompt is read and not learnt. The examples of
step s are a pure function of (source, seed, s), so a run that was killed goes on from its newest checkpoint as if nothing had happened.

OUT            the finished Hugging Face folder: there whole, or not there
OUT.partial/   step-N/ as in `checkpoint.py`, while the run lasts

Dimension key:  B rows of a micro-batch   L tokens of the longest row
"""

import json
import math
import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from kgym.envs.task import Task
from kgym.errors import ConfigError, DataError, RunError
from kgym.files import sync_folder
from kgym.options import Options
from kgym.seeding import derive_seed
from kgym.train.checkpoint import checkpoint_steps, load_state, save_checkpoint
from kgym.train.modeling import Policy, load_policy, token_logprobs
from kgym.train.optim import make_optimizer, set_lr
from kgym.types import Chat, Message

QUESTION_KEYS = ("question", "prompt")
ENDLESS = 1 << 40
"""Indices of an endless source are drawn below this: two draws of a run practically never meet."""


class Example(NamedTuple):
    """A prompt and the completion to learn: Example((Message("user", "What is 2+3?"),), "2+3=5\\n\\\\boxed{5}")."""

    prompt: Chat
    solution: str


Examples = Callable[[int], Example]
"""The n-th example of a run, n = 0, 1, ...: a pure function."""


class SFTOptions(Options):
    """Supervised fine-tuning."""

    steps: int = Field(1000, ge=1)
    """Optimizer steps."""
    batch_size: int = Field(64, ge=1)
    """Examples a step."""
    lr: float = Field(1e-3, gt=0)
    """Learning rate of AdamW after the warm-up; the default suits a model of a million parameters, a billion wants about 1e-5."""
    warmup_steps: int = Field(50, ge=0)
    """Steps over which the learning rate rises from 0."""
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


# --- examples ---------------------------------------------------------------------------------------------------------


def task_examples(task: Task, *, split: str, seed: int) -> Examples:
    """Worked solutions of an environment's problems: drawn at random if there is no end of them, else in shuffled passes.

    Raises DataError, when it meets one, for a problem without a worked solution.
    """
    source = task.source(split)

    def example(index: int) -> Example:
        problem = source[index]
        if not problem.solution:
            raise DataError(f"problem {problem.id} has no worked solution to learn from; use another environment, or --data FILE")
        return Example(task.prompt(problem), problem.solution)

    size = source.size
    if size is None:
        return lambda n: example(derive_seed("sft", seed, n) % ENDLESS)
    order = shuffled(range(size), seed=seed)
    return lambda n: example(order(n))


def shuffled(items: Sequence[Any], *, seed: int) -> Callable[[int], Any]:
    """Return a function: the n-th of the items, in endless passes that each have their own order. Raises DataError if there are none."""
    if not items:
        raise DataError("there is no example to learn from")
    current: tuple[int, list[int]] = (-1, [])

    def nth(n: int) -> Any:
        nonlocal current
        number, place = divmod(n, len(items))
        if current[0] != number:
            order = list(range(len(items)))
            random.Random(derive_seed("sft", seed, number)).shuffle(order)  # noqa: S311  (not a secret)
            current = (number, order)
        return items[current[1][place]]

    return nth


def read_examples(path: Path) -> list[Example]:
    """Read JSON lines: {"question": "What is 2+3?", "solution": "2+3=5\\n\\\\boxed{5}"}; `prompt` may stand for `question`.

    Raises DataError, naming the line, for one that is no such object.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    examples = [_parse_row(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1) if line.strip()]
    if not examples:
        raise DataError(f'{path} is empty; wanted JSON lines {{"question": ..., "solution": ...}}')
    return examples


def _parse_row(line: str, where: str) -> Example:
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{where}: not JSON: {error}") from error
    keys = [key for key in QUESTION_KEYS if isinstance(row, dict) and key in row]
    if len(keys) != 1 or not all(isinstance(row.get(key), str) and row[key] for key in (keys[0], "solution")):
        raise DataError(f'{where}: wanted an object with the texts "question" (or "prompt") and "solution", neither empty')
    return Example((Message("user", row[keys[0]]),), row["solution"])


# --- training ---------------------------------------------------------------------------------------------------------


def finetune(
    base: str | Path,
    examples: Examples,
    out: Path,
    options: SFTOptions,
    *,
    data: str,
    dtype: str = "auto",
    device: str = "auto",
    resume: bool = False,
    report: Callable[[dict[str, float]], None] = lambda _: None,
) -> dict[str, Any]:
    """Fine-tune the model of the folder `base` and write the folder `out`; return what came of it.

    `data` names the examples, so that a resumed run can tell that they are the same. `report` is given the metrics of every step.
    Raises ConfigError if `out` is there already or the run to resume is another one, RunError if the loss is not finite.
    """
    partial = out.with_name(f"{out.name}.partial")
    identity = json.dumps({"base": str(base), "data": data, "options": options.model_dump()}, sort_keys=True)
    policy, optimizer, step = _start(base, out, partial, options, identity, dtype=dtype, device=device, resume=resume)
    loss, started, first_step = math.nan, time.perf_counter(), step
    n_tokens = 0
    while step < options.steps:
        step += 1
        batch = [examples(n) for n in range((step - 1) * options.batch_size, step * options.batch_size)]
        lr = lr_at(step, options)
        set_lr(optimizer, lr)
        loss, norm, batch_tokens = train_step(policy, optimizer, batch, options)
        n_tokens += batch_tokens
        report(
            {
                "step": step,
                "loss_nats": loss,
                "grad_norm": norm,
                "lr": lr,
                "tokens_per_s": n_tokens / (time.perf_counter() - started),
            }
        )
        if step % options.save_every == 0 and step < options.steps:
            state = {"step": step, "identity": identity, "optimizer": optimizer.state_dict()}
            save_checkpoint(partial, step, model=policy.model, tokenizer=policy.tokenizer, state=state, keep=1)
    _finish(policy, out, partial)
    return {
        "model": str(out),
        "steps": step,
        "steps_this_time": step - first_step,
        "loss_nats": loss,
        "seconds": time.perf_counter() - started,
    }


def _start(
    base: str | Path, out: Path, partial: Path, options: SFTOptions, identity: str, *, dtype: str, device: str, resume: bool
) -> tuple[Policy, torch.optim.Optimizer, int]:
    if out.exists():
        raise ConfigError(f"{out} exists already; choose another folder with --out")
    steps = checkpoint_steps(partial)
    if steps and not resume:
        raise ConfigError(f"{partial} holds a run that did not end; go on with it by --resume, or remove it")
    start = partial / f"step-{steps[-1]}" if steps else base
    policy = load_policy(start, dtype=dtype, device=device)
    optimizer = make_optimizer(policy.model, lr=options.lr, weight_decay=options.weight_decay, betas=(0.9, 0.98))
    if not steps:
        return policy, optimizer, 0
    state = load_state(Path(start))
    if state["identity"] != identity:
        raise ConfigError(f"{partial} was begun with other settings: {state['identity']}; wanted {identity}")
    optimizer.load_state_dict(state["optimizer"])
    return policy, optimizer, state["step"]


def _finish(policy: Policy, out: Path, partial: Path) -> None:
    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    policy.model.save_pretrained(temporary)
    policy.tokenizer.save_pretrained(temporary)
    sync_folder(temporary)
    temporary.rename(out)
    shutil.rmtree(partial, ignore_errors=True)


def lr_at(step: int, options: SFTOptions) -> float:
    """Learning rate of step 1, 2, ...: up in a line, flat, down in a line to a tenth; Hu et al. 2024, arXiv:2404.06395, section 4.

    >>> options = SFTOptions(steps=10, lr=1.0, warmup_steps=2, decay_frac=0.2)
    >>> [round(lr_at(step, options), 2) for step in (1, 2, 8, 9, 10)]
    [0.5, 1.0, 1.0, 0.55, 0.1]
    """
    rise = min(1.0, step / options.warmup_steps) if options.warmup_steps else 1.0
    decay_steps = options.steps * options.decay_frac
    fall = min(1.0, (options.steps - step) / decay_steps) if decay_steps else 1.0
    return options.lr * rise * (0.1 + 0.9 * fall)


def train_step(policy: Policy, optimizer: torch.optim.Optimizer, batch: Sequence[Example], options: SFTOptions) -> tuple[float, float, int]:
    """Take one optimizer step; return the loss in nats a completion token, the gradient norm before clipping, and the tokens read."""
    rows = [encode(policy, example) for example in batch]
    n_learnt = sum(len(completion) for _, completion in rows)
    optimizer.zero_grad(set_to_none=True)
    loss, n_tokens = 0.0, 0
    for micro in microbatches(rows, options.microbatch_tokens):
        input_ids_BL, attention_BL, learnt_BL = (tensor.to(policy.model.device) for tensor in _pad(micro))
        logprobs_BL, _ = token_logprobs(policy.model, input_ids_BL, attention_BL)
        micro_loss = -(logprobs_BL * learnt_BL).sum() / n_learnt
        micro_loss.backward()
        loss += micro_loss.item()
        n_tokens += int(attention_BL.sum())
    norm = torch.nn.utils.clip_grad_norm_(policy.model.parameters(), options.max_grad_norm).item()
    if not math.isfinite(loss + norm):
        raise RunError(f"the loss is {loss} and the gradient norm {norm}; lower the learning rate")
    optimizer.step()
    return loss, norm, n_tokens


def encode(policy: Policy, example: Example) -> tuple[list[int], list[int]]:
    """Return the ids of the rendered prompt, as an engine renders it, and of the completion with its end token.

    Raises ConfigError if the tokenizer has no chat template or end token, DataError if the example does not fit into the context.
    """
    tokenizer = policy.tokenizer
    if tokenizer.chat_template is None or tokenizer.eos_token_id is None:
        raise ConfigError(f"the tokenizer of {policy.folder} has no chat template or no end token; give it both, or use a chat model")
    prompt_ids = _render(tokenizer, example.prompt)
    completion_ids = [*tokenizer.encode(example.solution, add_special_tokens=False), tokenizer.eos_token_id]
    limit = getattr(policy.model.config, "max_position_embeddings", None)
    if limit is not None and len(prompt_ids) + len(completion_ids) > limit:
        raise DataError(
            f"an example has {len(prompt_ids)} + {len(completion_ids)} tokens and the model's context {limit}; "
            f"shorten or drop it: {example.prompt[-1].content[:80]!r}"
        )
    return prompt_ids, completion_ids


def _render(tokenizer: PreTrainedTokenizerBase, prompt: Chat) -> list[int]:
    messages = [message._asdict() for message in prompt]
    return list(tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False))


def microbatches(rows: Sequence[tuple[list[int], list[int]]], tokens: int) -> Iterator[list[tuple[list[int], list[int]]]]:
    """Cut a batch into parts of at most so many tokens, padding included; rows of like length go together, so there is little of it."""
    part: list[tuple[list[int], list[int]]] = []
    for row in sorted(rows, key=lambda row: len(row[0]) + len(row[1])):
        if part and (len(part) + 1) * (len(row[0]) + len(row[1])) > tokens:
            yield part
            part = []
        part.append(row)
    yield part


def _pad(rows: Sequence[tuple[list[int], list[int]]]) -> tuple[Tensor, Tensor, Tensor]:
    """Return input ids, attention and the mask of the tokens to learn, each (B, L), padded on the right."""
    shape = (len(rows), max(len(prompt) + len(completion) for prompt, completion in rows))
    input_ids_BL, attention_BL, learnt_BL = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long), torch.zeros(shape)
    for number, (prompt, completion) in enumerate(rows):
        length = len(prompt) + len(completion)
        input_ids_BL[number, :length] = torch.tensor(prompt + completion)
        attention_BL[number, :length] = 1
        learnt_BL[number, len(prompt) : length] = 1
    return input_ids_BL, attention_BL, learnt_BL
