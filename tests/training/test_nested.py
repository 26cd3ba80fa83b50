import torch
from small_networks import D, K, network

from sklearn_ae._networks.losses import SquaredError
from sklearn_ae._networks.modules import Autoencoder
from sklearn_ae._training.nested import NestedObjective


def step():
    torch.manual_seed(0)
    module = Autoencoder(
        network(D, K),
        network(K, D),
        SquaredError(),
        center=torch.zeros(D),
        scale=torch.tensor(1.0),
    )
    x = torch.randn(7, D)
    loss = NestedObjective(K).step_loss(module, x, torch.Generator().manual_seed(0))
    return module, x, loss


def test_the_loss_with_all_latents_is_reported():
    module, x, loss = step()
    torch.testing.assert_close(loss, module.loss(x).mean())


def test_a_cut_counts_by_the_root_of_what_all_leave_over_what_it_leaves():
    module, x, loss = step()
    found = torch.autograd.grad(loss, list(module.parameters()))
    z = module.encode(x)
    full = module.error(module.decode(z), x).mean()
    cut = module.error(module.decode(z * torch.tensor([1.0, 0.0])), x).mean()
    expected = torch.autograd.grad(
        full + (full / cut).sqrt().item() * cut, list(module.parameters())
    )
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)
