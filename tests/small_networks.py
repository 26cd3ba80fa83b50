"""Networks and rows of a few numbers, for the tests of the modules."""

import torch
from torch import nn

from sklearn_ae._inference.inference import Encoded, log_mean_weight
from sklearn_ae._networks.modules import MLP, Anchored

D, K = 5, 2  # columns and latents


def rows(n=7, d=D):
    return torch.randn(n, d, dtype=torch.float64)


def unit_rows(n=7, d=D):
    return torch.rand(n, d, dtype=torch.float64)


def network(n_inputs, n_outputs, kind="mlp"):
    """A network of the package, with nothing left at its start value."""
    mlp = MLP.of_sizes(n_inputs, (6,), n_outputs, "tanh")
    if kind == "mlp":
        return mlp
    anchored = Anchored(
        torch.randn(n_outputs, n_inputs),
        torch.randn(n_outputs),
        mlp,
        0.5 + torch.rand(n_inputs),
    )
    for parameter in anchored.parameters():
        nn.init.normal_(parameter, std=0.5)
    return anchored


def loss_with_fixed_noise(module, x, seed=1):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return module.loss(x)


def log_prob(module, x, eps, prior=None):
    """The estimate of log p(x) by draws of the encoder's posterior: (n,)."""
    return log_mean_weight(module, x, Encoded().posterior(module, x), eps, prior)
