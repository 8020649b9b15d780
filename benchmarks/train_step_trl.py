"""TRL's side of `train_step.py`: GRPOTrainer, a step whenever it is told to. Runs in its own environment, without kgym.

Loss, optimizer and sampling are those of the other side: clipped token ratios, mean over the tokens of the batch
(`dapo` is TRL's name of that mean), no KL, AdamW. Gradient checkpointing is off, and the completions of a step are
sampled in one call.
"""

import os
import re
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRL_EXPERIMENTAL_SILENCE": "1",
}

from metering import Meter, Wire, odd

BOXED = re.compile(r"\\boxed\{([^{}]*)\}")


def boxed(text: str, gold: str) -> float:
    """Return 1.0 if the last box of a completion holds the gold integer."""
    found = BOXED.findall(text)
    return float(bool(found) and found[-1].strip().lstrip("0") == gold.strip().lstrip("0"))


class EnoughError(Exception):
    """No further step is wanted."""


def main() -> None:
    """Take cases until the other side is gone."""
    wire = Wire()
    threads = int(os.environ["OMP_NUM_THREADS"])
    import torch
    import transformers
    import trl

    torch.set_num_threads(threads)
    wire.send(
        "hello", versions={"trl": trl.__version__, "transformers": transformers.__version__, "torch": torch.__version__}
    )
    while True:
        train(wire, wire.receive()["case"])


def train(wire: Wire, case: dict[str, Any]) -> None:
    """Train as a case says: load, then one step for each `go`."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    meter = Meter()
    seen: dict[str, list[int]] = {}
    rows = case["problems"] * case["group_size"]

    def reward(completions: Sequence[Any], gold: Sequence[str], **_: Any) -> list[float]:
        texts = [one[0]["content"] for one in completions]
        return [
            boxed(text, answer) if case["reward"] == "boxed" else odd(text)
            for text, answer in zip(texts, gold, strict=True)
        ]

    class Gate(TrainerCallback):
        """Lets a step begin when it is told to, and reports it."""

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            wire.send("ready")
            if not wire.may_go():
                raise EnoughError
            meter.begin()

        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.phase = meter.phase("optimizer")
            self.phase.__enter__()

        def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.phase.__exit__(None, None, None)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            wire.send("step", **meter.take(), **seen)

    class Trainer(GRPOTrainer):
        """GRPOTrainer that says how long prompts and completions were."""

        def _generate_single_turn(self, prompt_ids: Any, *args: Any, **kwargs: Any) -> Any:
            with meter.phase("generate"):
                found = super()._generate_single_turn(prompt_ids, *args, **kwargs)
            seen.update(prompts=[len(ids) for ids in prompt_ids], completions=[len(ids) for ids in found[0]])
            return found

        def _generate_and_score_completions(self, *args: Any, **kwargs: Any) -> Any:
            with meter.phase("other"):
                return super()._generate_and_score_completions(*args, **kwargs)

        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            with meter.phase("forward and backward"):
                return super().training_step(*args, **kwargs)

    with tempfile.TemporaryDirectory() as folder:
        config = GRPOConfig(
            output_dir=folder,
            per_device_train_batch_size=case["trl_rows"] or rows,
            gradient_accumulation_steps=rows // (case["trl_rows"] or rows),
            num_generations=case["group_size"],
            max_completion_length=case["max_tokens"],
            max_steps=case["steps"],
            temperature=case["temperature"],
            top_p=1.0,
            top_k=0,
            num_iterations=1,
            loss_type="dapo",
            scale_rewards="group",
            beta=0.0,
            epsilon=0.2,
            learning_rate=case["lr"],
            lr_scheduler_type="constant",
            optim="adamw_torch",
            adam_beta1=0.9,
            adam_beta2=0.95,
            weight_decay=0.0,
            max_grad_norm=1.0,
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=True,
            shuffle_dataset=False,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            logging_strategy="no",
            dataloader_num_workers=0,
            seed=0,
        )
        trainer = Trainer(
            model=AutoModelForCausalLM.from_pretrained(case["model"], dtype=torch.float32, trust_remote_code=False),
            processing_class=AutoTokenizer.from_pretrained(case["model"], padding_side="left", trust_remote_code=False),
            reward_funcs=reward,
            args=config,
            train_dataset=Dataset.from_list(case["rows"]),
            callbacks=[Gate()],
        )
        with suppress(EnoughError):
            trainer.train()
    wire.send("done")


if __name__ == "__main__":
    main()
