"""Scores completions with verl: its data set reads the Parquet file, its reward managers load and call the exported
function.
"""

import asyncio
import json
import sys

import torch
from omegaconf import OmegaConf
from transformers import AutoTokenizer
from verl import DataProto
from verl.trainer.ppo.reward import get_custom_reward_fn, load_reward_manager
from verl.utils.dataset.rl_dataset import RLHFDataset, collate_fn
from verl.workers.reward_manager import get_reward_manager_cls

asked = json.load(sys.stdin)
tokenizer = AutoTokenizer.from_pretrained(asked["model"])
data = RLHFDataset(
    data_files=f"{asked['folder']}/{asked['split']}.parquet",
    tokenizer=tokenizer,
    config=OmegaConf.create({"prompt_key": "prompt", "max_prompt_length": 512, "cache_dir": asked["cache"]}),
)


def config(function):
    custom = {"path": f"{asked['folder']}/kgym_reward.py", "name": function}
    manager = {"source": "register", "name": "naive"}
    return OmegaConf.create({"reward": {"custom_reward_function": custom, "reward_manager": manager}})


def batch():
    """Return the rows with their completions, as a rollout gives them."""
    proto = DataProto.from_single_dict(collate_fn([data[index] for index in range(len(data))]))
    ids = [[*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id] for text in asked["completions"]]
    width = max(map(len, ids))
    responses = torch.tensor([row + [tokenizer.pad_token_id] * (width - len(row)) for row in ids])
    lengths = torch.tensor([len(row) for row in ids])
    seen = (torch.arange(width) < lengths[:, None]).long()
    prompts = torch.full((len(ids), 1), tokenizer.eos_token_id)
    attention = torch.cat([torch.ones_like(prompts), seen], dim=1)
    return proto.union(DataProto.from_dict({"prompts": prompts, "responses": responses, "attention_mask": attention}))


async def one_by_one():
    manager = load_reward_manager(config("compute_score"), tokenizer)
    proto = batch()
    return await asyncio.gather(*(manager.run_single(proto[index : index + 1]) for index in range(len(proto))))


singles = asyncio.run(one_by_one())
together = get_reward_manager_cls("batch")(tokenizer, 0, get_custom_reward_fn(config("compute_score_batch")))(
    batch(), return_dict=True
)
found = {
    "prompts": [data[index]["raw_prompt"] for index in range(len(data))],
    "texts": [tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) for text in asked["completions"]],
    "scores": [single["reward_score"] for single in singles],
    "unscored": [single["reward_extra_info"]["unscored"] for single in singles],
    "batch": together["reward_tensor"].sum(dim=1).tolist(),
}
print(json.dumps(found))
