"""Scores completions with TRL: GRPOTrainer takes the data set and calls the reward function; then it makes one step."""

import json
import math
import sys

from datasets import load_dataset
from trl import GRPOConfig, GRPOTrainer

from kgym.bridges import as_dataset, kgym_reward

asked = json.load(sys.stdin)
rows = load_dataset(asked["folder"], split=asked["split"], cache_dir=asked["cache"])
config = GRPOConfig(
    output_dir=asked["cache"],
    max_steps=1,
    num_generations=2,
    per_device_train_batch_size=2,
    max_completion_length=8,
    use_cpu=True,
    bf16=False,
    report_to=[],
    save_strategy="no",
    logging_steps=1,
    disable_tqdm=True,
)
trainer = GRPOTrainer(asked["model"], reward_funcs=kgym_reward, args=config, train_dataset=rows)
trainer.train()
inputs = [rows[index] for index in range(len(rows))]
chats = [[{"role": "assistant", "content": text}] for text in asked["completions"]]
rewards = trainer._calculate_rewards(inputs, [row["prompt"] for row in inputs], chats, [[1]] * len(chats))
found = {
    "prompts": [row["prompt"] for row in inputs],
    "scores": [None if math.isnan(reward) else reward for reward in rewards[:, 0].tolist()],
    "logged": next(line["rewards/kgym_reward/mean"] for line in trainer.state.log_history if "loss" in line),
    "rows": rows.to_list(),
    "as_dataset": as_dataset(asked["env"], asked["split"], limit=len(rows), **asked["settings"]).to_list(),
}
print(json.dumps(found))
