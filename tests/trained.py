"""A policy that is trained by hand: what tests of updates start from."""

import copy
from dataclasses import replace

import torch

from kgym.train.policy import TrainedPolicy
from kgym.train_config import TrainConfig


def trained(policy, optimizer=None, **train):
    """Return a trained policy of a loaded one, whose weights change; `train` are keys of the configuration's section.

    `optimizer` makes one of the parameters, instead of AdamW.
    """
    found = TrainedPolicy(policy, TrainConfig(device="cpu", **train))
    if optimizer is not None:
        found.optimizer = optimizer(found.parameters())
    return found


def trained_copy(policy, optimizer=None, **train):
    """Return the same of a copy, so that the policy stays as it is."""
    return trained(replace(policy, model=copy.deepcopy(policy.model)), optimizer, **train)


def sgd(lr=1.0):
    """Return what makes plain gradient descent, whose step is minus `lr` times the gradient."""
    return lambda parameters: torch.optim.SGD(parameters, lr=lr)
