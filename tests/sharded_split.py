"""One of two processes that train sharded bfloat16 weights; run by `test_optim.py` as `python sharded_split.py STORE
RANK`.
"""

import sys

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from kgym.train.optim import joined, make_optimizer


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 3)).bfloat16()


def main(store, rank):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    sharded, whole = network(), network()
    fully_shard(sharded, mesh=init_device_mesh("cpu", (2,)))
    options = {"lr": 1e-6, "weight_decay": 0.1, "betas": (0.9, 0.95), "split": True}
    pairs = [(model, make_optimizer(model, **options)) for model in (sharded, whole)]
    for step in range(3):
        inputs = torch.randn(4, 6, generator=torch.Generator().manual_seed(step)).bfloat16()
        for model, optimizer in pairs:
            optimizer.zero_grad()
            model(inputs).float().sum().backward()
            optimizer.step()
    (_, optimizer), (_, wanted) = pairs
    for one, other in zip(sharded.parameters(), whole.parameters(), strict=True):
        low = optimizer.state[one]["low"].full_tensor()
        assert torch.equal(joined(one.full_tensor().detach(), low), joined(other.detach(), wanted.state[other]["low"]))
        assert torch.equal(optimizer.state[one]["exp_avg"].full_tensor(), wanted.state[other]["exp_avg"])
    dist.destroy_process_group()
    print("equal")


main(sys.argv[1], int(sys.argv[2]))
