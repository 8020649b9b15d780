"""A small task whose completions have a long tail, and a model that has been taught it: what `partial_rollouts.py`
measures with.

    What is 7+8?      \\boxed{15} ccccccccccccccccccc

The completion is the sum in a box, then a letter again and again until the end token. The letter decides how long that
lasts: after each letter the completion ends with a fixed chance, 1/8 for `a`, half of that for `b`, and so on; `a` has
half of the completions, `b` a quarter, and so on. So the chance of a length above x falls like 1/x up to the longest
letter: most completions are short, and few have most of the tokens. The lengths do not depend on whether the sum is
right, and no reward affects them.

The model is a small Llama with the alphabet of `nano`; it keeps no state but the letter, so completions may be far
longer than the examples that it was taught with. It has one head and four layers: a step of few rows costs nearly as
much as one of many.
"""

import hashlib
import random
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from kgym.errors import UnknownName
from kgym.hookspecs import EnvInfo, hookimpl
from kgym.models.names import resolve_model
from kgym.options import Options
from kgym.types import Chat, Message, Problem

kgym_api = 1

NUMBERS = 10
"""The terms are 0 to 9."""
RIGHT = 0.4
"""Share of the examples with the right sum; the others have a random one."""
LETTERS = "abcdefgh"
FIRST_MEAN = 8
"""Mean number of `a`; each letter has twice that of the one before it."""
CROP = 96
"""Tokens of an example: the beginning of a long completion."""
SUM_TOKENS = 10
"""Tokens of the box at most: its loss and that of the letters after it count alike."""
LEARNING_RATE = 3e-3


@hookimpl
def kgym_components():
    """Yield the environment `sums`."""
    yield EnvInfo("sums", "long_tail:Sums", "sums of two small numbers", namespace="bench")


@dataclass
class Source:
    """Pairs of numbers; every fourth is for validation."""

    split: str

    def __post_init__(self) -> None:
        pairs = [(a, b) for a in range(NUMBERS) for b in range(NUMBERS)]
        random.Random(0).shuffle(pairs)
        self.pairs = [pair for place, pair in enumerate(pairs) if (place % 4 == 0) is (self.split == "validation")]

    @property
    def size(self) -> int:
        """How many pairs there are."""
        return len(self.pairs)

    @property
    def fingerprint(self) -> str:
        """Of all pairs in order."""
        return hashlib.sha256(repr(self.pairs).encode()).hexdigest()

    def __getitem__(self, index: int) -> Problem:
        """Return the problem of a pair."""
        if not 0 <= index < self.size:
            raise IndexError(index)
        a, b = self.pairs[index]
        return Problem(f"sums/{a}+{b}", question(a, b), str(a + b))


def question(a: int, b: int) -> str:
    """Ask for a sum.

    >>> question(7, 8)
    'What is 7+8?'
    """
    return f"What is {a}+{b}?"


class Sums:
    """Follows `kgym.envs.task.Task`."""

    class Options(Options):
        """Nothing to choose."""

    splits = ("train", "validation")
    verifier = "integer"
    max_tokens = 2048

    def __init__(self, options: Options) -> None:
        pass

    def source(self, split: str) -> Source:
        """Return the pairs of a split. Raises UnknownName for another one."""
        if split not in self.splits:
            raise UnknownName.near("split", split, self.splits)
        return Source(split)

    def prompt(self, problem: Problem) -> Chat:
        """Ask the question."""
        return (Message("user", problem.question),)


def first_chances() -> list[float]:
    """Return how frequent each letter is: half as frequent as the one before it, the last two alike.

    >>> sum(first_chances())
    1.0
    """
    return [2.0 ** -min(place + 1, len(LETTERS) - 1) for place in range(len(LETTERS))]


def end_chance(letter: int) -> float:
    """Return how often the completion ends after this letter.

    >>> end_chance(0), end_chance(2)
    (0.125, 0.03125)
    """
    return 1 / (FIRST_MEAN * 2**letter)


def example(rng: random.Random, tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], Tensor, int]:
    """Return the tokens of an example, the chances of the token after each of them (L, V), and how many of the tokens
    are the prompt.

    Letters and ends are given as chances, so that the rare ones are learnt as well as the frequent ones; the sum as one
    that was drawn.
    """
    a, b, letter = rng.randrange(NUMBERS), rng.randrange(NUMBERS), rng.randrange(len(LETTERS))
    total = a + b if rng.random() < RIGHT else rng.randrange(2 * NUMBERS - 1)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": question(a, b)}], add_generation_prompt=True, tokenize=False
    )
    answer = f"\\boxed{{{total}}} "
    ids = tokenizer(prompt + answer + LETTERS[letter] * CROP, add_special_tokens=False)["input_ids"][:CROP]
    n_prompt, n_answer = (
        len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in (prompt, prompt + answer)
    )
    chances_LV = torch.zeros(CROP, len(tokenizer))
    chances_LV[torch.arange(n_answer - 1), torch.tensor(ids[1:n_answer])] = 1.0
    letters = tokenizer.convert_tokens_to_ids(list(LETTERS))
    chances_LV[n_answer - 1, letters] = torch.tensor(first_chances())
    chances_LV[n_answer:, letters[letter]] = 1 - end_chance(letter)
    chances_LV[n_answer:, tokenizer.eos_token_id] = end_chance(letter)
    return ids, chances_LV, n_prompt


def teach(folder: Path, *, steps: int = 300, batch: int = 32, seed: int = 0) -> Path:
    """Teach a model by examples and save it. A minute or two on one core."""
    tokenizer = AutoTokenizer.from_pretrained(resolve_model("nano"), trust_remote_code=False)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=4,
        num_attention_heads=1,
        head_dim=16,
        num_key_value_heads=1,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    model = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.1)
    rng = random.Random(seed)
    for step in range(1, steps + 1):
        rows = [example(rng, tokenizer) for _ in range(batch)]
        logprobs_BLV = model(input_ids=torch.tensor([ids for ids, _, _ in rows])).logits.log_softmax(-1)
        loss_BL = -(torch.stack([chances_LV for _, chances_LV, _ in rows]) * logprobs_BLV).sum(-1)
        starts = [n_prompt - 1 for _, _, n_prompt in rows]
        sums = torch.stack(
            [losses_L[start : start + SUM_TOKENS].mean() for losses_L, start in zip(loss_BL, starts, strict=True)]
        )
        tails = torch.stack(
            [losses_L[start + SUM_TOKENS :].mean() for losses_L, start in zip(loss_BL, starts, strict=True)]
        )
        loss = sums.mean() + tails.mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 0:
            print(
                f"taught {step}/{steps} steps, {sums.mean().item():.3f} + {tails.mean().item():.3f} nats a token",
                file=sys.stderr,
                flush=True,
            )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


if __name__ == "__main__":
    torch.set_num_threads(1)
    teach(Path(sys.argv[1]))
