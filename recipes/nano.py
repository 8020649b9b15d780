"""Make the built-in model `nano` from nothing: tokenizer, random weights, supervised warm-up on worked solutions, and
its accuracy.

    python recipes/nano.py --out runs/nano

takes about half an hour and writes a Hugging Face folder; `plugins/kgym_plugins/models/nano` is such a folder.

Two phases. The first teaches worked solutions. The second continues them, and mixes in examples that only state the
boxed answer, as the pre-training text of large models has both. So nano has two habits, working step by step and
guessing, and makes mistakes in both. Reinforcement learning has to find out which of them pays, as with
DeepSeek-R1-Zero, and that careful working pays.
"""

import argparse
import random
import shutil
import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from kgym.envs.spec import EnvSpec
from kgym.files import write_atomic
from kgym.rollout.engine import make_engine
from kgym.runs.folder import RunFolder
from kgym.score.harness import evaluate
from kgym.score.results import EvalResult
from kgym.seeding import derive_seed
from kgym.supervised_config import SFTConfig
from kgym.train.checkpoint import export
from kgym.train.report import Reporter
from kgym.train.supervised.examples import Example, Examples, solved_examples
from kgym.train.supervised.objective import supervised
from kgym.train.supervised.sft import SFT
from kgym.types import Sampling

PAD, UNKNOWN, END = "<|pad|>", "<|unknown|>", "<|end|>"
ROLES = ("system", "user", "assistant")
CONTEXT = 2048
"""Room for a question and the token budget of the hardest level, though nothing as long is in the warm-up."""
CHARACTERS = sorted(set(string.printable) - set("\t\r\x0b\x0c"))

CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] not in ['system', 'user', 'assistant'] %}"
    "{{ raise_exception('no role ' + message['role'] + '; use system, user or assistant') }}{% endif %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
"""One token before a turn and one after it: at one character a token, every word of a template would be paid for in
every completion.
"""

Mixture = Sequence[tuple[float, str, Mapping[str, int]]]
"""Share of the examples, environment and its options."""

MIXTURE: Mixture = (
    (0.86, "aime", {}),
    (0.08, "aime", {"min_difficulty": 2, "difficulty": 2}),
    (0.03, "aime", {"min_difficulty": 3, "difficulty": 5}),
    (0.03, "arithmetic", {}),
)
"""Mostly level 1, from which nano starts, and a few of the later levels."""


GUESSES = 0.40
"""Share of the examples of the second phase that state the answer without working."""


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One token a character: printable ASCII and the newline; anything else is unknown."""
    special = [PAD, UNKNOWN, END, *(f"<|{role}|>" for role in ROLES)]
    vocabulary = {token: number for number, token in enumerate([*special, *CHARACTERS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNKNOWN,
        eos_token=END,
        additional_special_tokens=special[3:],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=CONTEXT,
        padding_side="left",
    )


def make_model(tokenizer: PreTrainedTokenizerFast, *, seed: int) -> LlamaForCausalLM:
    """About a million random weights."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        initializer_range=0.06,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    return LlamaForCausalLM(config)


def mixture(shares: Mixture, *, seed: int) -> Examples:
    """Draw each example from one of the parts, by its share."""
    weights = [weight for weight, _, _ in shares]
    parts = [
        solved_examples(EnvSpec(name, "train", options).setup(), seed=derive_seed("nano", seed, number))
        for number, (_, name, options) in enumerate(shares)
    ]

    def example(n: int) -> Example:
        (part,) = random.Random(derive_seed("nano", "part", seed, n)).choices(parts, weights)  # noqa: S311  (no secret)
        return part(n)

    return example


def with_guesses(worked: Examples, *, seed: int) -> Examples:
    """Cut some of the examples down to their boxed answer."""

    def example(n: int) -> Example:
        prompt, completion = worked(n)
        if random.Random(derive_seed("nano", "guess", seed, n)).random() < GUESSES:  # noqa: S311  (not a secret)
            completion = completion[completion.rindex(r"\boxed{") :]
        return Example(prompt, completion)

    return example


def measure(folder: Path) -> dict[str, EvalResult]:
    """Score the first 500 validation problems, sampled at temperature 1 as training does, four completions each, and
    greedily.
    """
    engine = make_engine("transformers", {}, str(folder))
    plans = {"temperature 1": (Sampling(temperature=1.0), 4), "greedy": (Sampling(temperature=0.0), 1)}
    return {
        name: evaluate(engine, EnvSpec("aime", "validation"), problems=500, sampling=sampling, samples=samples)
        for name, (sampling, samples) in plans.items()
    }


def card(first: SFTConfig, second: SFTConfig, results: dict[str, EvalResult]) -> str:
    """Return MODEL_CARD.md."""
    rows = "\n".join(
        f"| {name} | {result.samples} | {result.accuracy:.1%} ± {result.stderr:.1%} | {result.no_answer_frac:.1%} | "
        f"{result.truncated_frac:.1%} | {result.tokens_mean:.0f} |"
        for name, result in results.items()
    )
    parts = "\n".join(f"| {share:.0%} | `{name}` | {settings or 'defaults'} |" for share, name, settings in MIXTURE)
    return CARD.format(rows=rows, parts=parts, first=first, second=second, guesses=GUESSES)


CARD = """# nano

A built-in language model of a million parameters, from which reinforcement learning can start on a
laptop. It works through competition problems of the easiest levels in short lines and boxes an
integer. It has seen no other text and is of no other use.

- Architecture: Llama, 4 layers of 128, 4 heads on 2 key-value heads, context 2048, float32.
- Tokens: one for each character (printable ASCII and the newline; anything else is
  `<|unknown|>`), one before and one after each turn.
- Made by `python recipes/nano.py` from random weights, on generated problems:
  {first.train.steps} steps of {first.sft.batch_size} worked solutions \
(seed {first.seed}, AdamW, learning rate {first.train.lr:g}),
  then {second.train.steps} steps (seed {second.seed}, learning rate {second.train.lr:g}) \
in which {guesses:.0%} of the examples
  are only the boxed answer. So it sometimes works step by step and sometimes guesses.
- It was trained on no text of other authors. Licence: Apache-2.0, as all of kgym.

| share | environment, train split | options |
|---|---|---|
{parts}

Accuracy on the first 500 problems of `aime:validation` at the default difficulty (none of them is
in the train split), verifier `integer`, standard error clustered by problem:

| sampling | completions per problem | accuracy | no answer | truncated | tokens |
|---|---|---|---|---|---|
{rows}

The warm-up was ended early and guesses were mixed in on purpose, so that reinforcement learning has
something to teach: to work a problem out, and to work with care.
"""


def main() -> None:
    """Make the model, measure it and write its card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/nano"))
    parser.add_argument("--steps", type=int, default=2400, help="steps of the first phase")
    parser.add_argument("--guess-steps", type=int, default=150, help="steps of the second phase")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--resume",
        action="store_true",
        help="resume the phase that was interrupted; a finished OUT.worked is never made again",
    )
    args = parser.parse_args()

    first, second = phases(args.steps, args.guess_steps, seed=args.seed)
    warm_up(args.out, MIXTURE, first, second, changed=with_guesses, changed_share=GUESSES, resume=args.resume)
    text = card(first, second, measure(args.out))
    write_atomic(args.out / "MODEL_CARD.md", text)
    print(text)


def phases(steps: int, second_steps: int, *, seed: int) -> tuple[SFTConfig, SFTConfig]:
    """Return the configurations of the two phases."""
    first = {"steps": steps, "lr": 2e-3, "warmup_steps": 100, "decay_frac": 0.4, "save_every": 100, "threads": 1}
    second = {"steps": second_steps, "lr": 3e-4, "warmup_steps": 20, "decay_frac": 0.8, "save_every": 50, "threads": 1}
    sft = {"batch_size": 32}
    return SFTConfig(seed=seed, train=first, sft=sft), SFTConfig(seed=seed + 1, train=second, sft=sft)


def warm_up(
    out: Path,
    shares: Mixture,
    first: SFTConfig,
    second: SFTConfig,
    *,
    changed: Callable[..., Examples],
    changed_share: float,
    resume: bool,
) -> None:
    """Train a random model in both phases and write the folder `out`. In the second phase `changed` changes a share of
    the worked solutions.
    """
    start, worked = (out.with_name(f"{out.name}.{name}") for name in ("init", "worked"))
    if not worked.exists():
        tokenizer = make_tokenizer()
        tokenizer.save_pretrained(start)
        make_model(tokenizer, seed=first.seed).save_pretrained(start)
        finetune(first, start, mixture(shares, seed=first.seed), worked, f"{shares}", resume=resume)
        shutil.rmtree(start)
    examples = changed(mixture(shares, seed=second.seed), seed=second.seed)
    finetune(second, worked, examples, out, f"{shares} {changed_share}", resume=resume)


def finetune(config: SFTConfig, model: Path, examples: Examples, out: Path, mixture: str, *, resume: bool) -> None:
    """Fine-tune the model of a folder and write the folder `out`; the run is in OUT.run while it lasts."""
    folder = RunFolder(out.with_name(f"{out.name}.run"))
    if folder.path.exists() and not resume:
        raise SystemExit(f"{folder.path} has a run that did not end; resume it with --resume, or remove it")
    config = config.model_copy(update={"model": str(model)})
    facts = {"fingerprints": {"mixture": mixture}}
    summary = supervised(config, folder, Printer(), part=lambda config: SFT(config, examples, facts)).run()
    export(Path(summary["checkpoint"]), out)
    shutil.rmtree(folder.path)


class Printer(Reporter):
    """Prints every 50th step."""

    def step(self, step: int, steps: int, metrics: Mapping[str, float]) -> None:
        """Print it."""
        if step % 50 == 0:
            speed = metrics["speed/tokens_per_s"] / 1000
            print(
                f"step {step:4}/{steps} | loss {metrics['train/loss_nats']:.4f} nats | {speed:.1f}k tok/s", flush=True
            )


if __name__ == "__main__":
    main()
