"""The loss of a map, against its definition."""

import pytest
import torch

from sklearn_ae._networks import contrast
from sklearn_ae._networks.contrast import landmark_losses, pair_loss


def make_latents(n_pairs, k=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2 * n_pairs, k, generator=generator, dtype=torch.float64) * 3


def loss_by_definition(z, exaggeration=1.0):
    n_pairs = len(z) // 2
    nearness = 1 / (1 + (z[:, None] - z).square().sum(dim=2))
    partner = torch.arange(len(z)).roll(n_pairs)
    pull = -nearness[torch.arange(len(z)), partner].log()
    others = nearness - torch.diag(nearness.diagonal())
    return (exaggeration * pull + others.sum(dim=1).log()).mean()


@pytest.mark.parametrize("block_size", [1, 50, 2**18])
@pytest.mark.parametrize(("n_pairs", "k"), [(1, 2), (7, 1), (20, 3)])
@pytest.mark.parametrize("exaggeration", [1.0, 4.0])
def test_loss_and_gradient_are_those_of_autograd(
    n_pairs, k, exaggeration, block_size, monkeypatch
):
    monkeypatch.setattr(contrast, "_BLOCK_SIZE", block_size)
    z = make_latents(n_pairs, k).requires_grad_()
    expected = loss_by_definition(z, exaggeration)
    (gradient,) = torch.autograd.grad(expected, z)
    loss = pair_loss(z, exaggeration)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, z)[0], gradient)


def test_a_row_that_is_its_own_neighbour_has_no_gradient():
    z = torch.ones(2, 2, dtype=torch.float64, requires_grad=True)
    loss = pair_loss(z)
    assert loss.item() == 0.0
    assert not torch.autograd.grad(loss, z)[0].any()


def test_loss_of_landmarks_is_that_of_a_choice_between_them():
    x, z = make_latents(4, 5), make_latents(4, 2, seed=1)
    x_landmarks, z_landmarks = make_latents(3, 5, seed=2), make_latents(3, 2, seed=3)
    nearest = torch.cdist(x, x_landmarks).argmin(dim=1)
    logits = -torch.cdist(z, z_landmarks).square().log1p()
    expected = torch.nn.functional.cross_entropy(logits, nearest, reduction="none")
    losses = landmark_losses(z, x, z_landmarks, x_landmarks)
    torch.testing.assert_close(losses, expected)


def test_a_landmark_is_told_from_the_others():
    x, z = make_latents(4, 5), make_latents(4, 2, seed=1)
    losses = landmark_losses(z, x, z, x)
    for i in range(len(x)):
        others = torch.arange(len(x)) != i
        expected = landmark_losses(z[[i]], x[[i]], z[others], x[others])
        torch.testing.assert_close(losses[[i]], expected)


def test_among_equal_rows_there_is_nothing_to_tell():
    x, z = torch.ones(4, 3), make_latents(2, 2).float()
    assert not landmark_losses(z, x, z, x).any()
