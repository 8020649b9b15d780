import torch
from kgym.testing.algorithms import check_algorithm

from kgym_median.algorithm import Median, MedianOptions


def test_it_keeps_the_contract_of_algorithms() -> None:
    check_algorithm("median")


def test_the_gradient_is_that_of_reinforce_with_the_median() -> None:
    old = torch.tensor([[-1.0, -2.0], [-0.5, -0.5], [-0.5, -1.0]], dtype=torch.float64)
    logprobs = old.clone().requires_grad_()
    algorithm = Median(MedianOptions())
    loss = algorithm.loss_on(logprobs, old, rewards=[1.0, 0.0, 0.0], group_ids=[0, 0, 0]).loss
    (gradient,) = torch.autograd.grad(loss, [logprobs])
    # the median is 0, so the advantages are 1, 0 and 0; mean over three completions: -1/3 for a token of the first
    torch.testing.assert_close(gradient, torch.tensor([[-1.0, -1.0], [0.0, 0.0], [0.0, 0.0]]).double() / 3)
