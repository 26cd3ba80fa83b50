import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from skimage.metrics import structural_similarity as reference_ssim

from sklearn_ae.faces._augmentation import FaceAugmentation
from sklearn_ae.faces._modules import (
    FaceNetwork,
    Made,
    mean_discrepancy,
    n_halvings,
    structural_similarity,
)


def make(shape=(64, 64, 3), width=4, n_components=8, n_identities=2, ssim_weight=0.0):
    return FaceNetwork(
        shape, width, n_components, n_identities, FaceAugmentation(), ssim_weight
    )


def test_original_network_has_82_million_parameters():
    with torch.device("meta"):
        network = make(width=128, n_components=1024)
    per_layer = [
        # encoder: weights and biases of four convolutions and a dense layer
        *(5 * 5 * 3 * 128 + 128, 5 * 5 * 128 * 256 + 256, 5 * 5 * 256 * 512 + 512),
        *(5 * 5 * 512 * 1024 + 1024, 16384 * 1024 + 1024),
        # what the decoders share: a dense layer, a doubling
        *(1024 * 16384 + 16384, 9 * 1024 * 4 * 512 + 4 * 512),
        # two decoders: three doublings, a convolution
        *(2 * [9 * 512 * 4 * 256 + 4 * 256, 9 * 256 * 4 * 128 + 4 * 128]),
        *(2 * [9 * 128 * 4 * 64 + 4 * 64, 5 * 5 * 64 * 3 + 3]),
    ]
    assert sum(p.numel() for p in network.parameters()) == sum(per_layer)
    assert round(sum(per_layer) / 1e6) == 82


@pytest.mark.parametrize(
    ("shape", "n"),
    [((64, 64, 3), 4), ((128, 128, 3), 5), ((16, 16, 1), 2), ((8, 16, 1), 1)]
    + [((48, 64, 3), 4), ((7, 8, 1), 0), ((4, 4, 1), 0)],
)
def test_halvings(shape, n):
    assert n_halvings(shape) == n


@pytest.mark.parametrize(
    "shape", [(64, 64, 3), (128, 128, 1), (16, 16, 3), (8, 24, 1), (1, 5, 1)]
)
def test_faces_come_back_in_their_shape_and_range(shape):
    network = make(shape, n_components=3)
    x = torch.rand(2, math.prod(shape))
    z = network.encode(x)
    assert z.shape == (2, 3)
    back = network.decode(z, 1)
    assert back.shape == x.shape
    assert (back > 0).all()
    assert (back < 1).all()


def test_rows_are_pictures_with_the_channel_last():
    network = make((8, 16, 3))
    pictures = np.random.default_rng(0).random((2, 8, 16, 3), dtype=np.float32)
    x = torch.from_numpy(pictures.reshape(2, -1))
    images = network.to_images(x)
    np.testing.assert_array_equal(images.numpy(), pictures.transpose(0, 3, 1, 2))
    torch.testing.assert_close(network.to_rows(images), x, rtol=0, atol=0)


def test_each_identity_has_its_own_decoder_and_shares_the_rest():
    network = make((16, 16, 1))
    x = torch.rand(3, 256)
    before = network(x, 0), network(x, 1)
    assert not torch.allclose(*before)
    with torch.no_grad():
        for parameter in network.decoders[1].parameters():
            parameter.add_(0.1)
    torch.testing.assert_close(network(x, 0), before[0], rtol=0, atol=0)
    assert not torch.allclose(network(x, 1), before[1])


def test_losses_of_parts_are_those_of_each_part_alone():
    network = make((16, 16, 1), ssim_weight=0.4).eval()
    a, b = torch.rand(3, 256), torch.rand(5, 256)
    together, _ = network.losses([(1, a), (0, b)])
    alone = torch.cat([network.losses([(1, a)])[0], network.losses([(0, b)])[0]])
    torch.testing.assert_close(together, alone)
    difference = 1.0 - structural_similarity(
        network.to_images(network(a, 1)), network.to_images(a)
    )
    by_hand = 0.6 * network.error(a, 1).mean() + 0.4 * difference.mean() / 2
    torch.testing.assert_close(together[0], by_hand)


def test_gradient_of_one_part_leaves_the_other_decoder_alone():
    network = make((16, 16, 1))
    network.losses([(0, torch.rand(2, 256))])[0][0].backward()
    assert all(p.grad is None for p in network.decoders[1].parameters())
    for part in (network.encoder, network.trunk, network.decoders[0]):
        assert all(p.grad is not None and p.grad.any() for p in part.parameters())


@pytest.mark.parametrize("n_channels", [1, 3])
def test_structural_similarity_is_that_of_scikit_image(n_channels):
    rng = np.random.default_rng(0)
    a = rng.random((20, 24, n_channels))
    b = np.clip(a + 0.2 * rng.standard_normal(a.shape), 0, 1)
    _, expected = reference_ssim(
        a,
        b,
        data_range=1.0,
        channel_axis=-1,
        use_sample_covariance=False,
        full=True,
    )
    to_tensor = [torch.from_numpy(x.transpose(2, 0, 1)[None]) for x in (a, b)]
    computed = structural_similarity(*to_tensor)[0].numpy().transpose(1, 2, 0)
    np.testing.assert_allclose(computed, expected[3:-3, 3:-3], atol=1e-10)


# Discrepancy --------------------------------------------------------------------------


def mean_distance(z):
    """Mean squared distance between two different rows."""
    return cdist(z, z, "sqeuclidean").sum() / (len(z) * (len(z) - 1))


def naive_discrepancy(a, b, width):
    """Gretton et al.'s unbiased estimate, pair by pair."""

    def k(x, y):
        d = np.sum((x - y) ** 2)
        return np.mean([np.exp(-d / (s * width)) for s in (0.25, 0.5, 1, 2)])

    within = [
        np.mean([k(x, y) for i, x in enumerate(z) for j, y in enumerate(z) if i != j])
        for z in (a, b)
    ]
    return sum(within) - 2 * np.mean([k(x, y) for x in a for y in b])


def test_discrepancy_is_that_of_the_definition():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 3)), rng.normal(0.5, 2.0, size=(7, 3))
    computed = mean_discrepancy([torch.from_numpy(a), torch.from_numpy(b)])
    width = mean_distance(np.concatenate([a, b]))
    assert computed.item() == pytest.approx(naive_discrepancy(a, b, width))


def test_discrepancy_of_three_is_the_mean_of_pairs_with_a_common_width():
    rng = np.random.default_rng(0)
    parts = [rng.normal(mean, 1.0, size=(4, 2)) for mean in (0.0, 0.5, 2.0)]
    width = mean_distance(np.concatenate(parts))
    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = np.mean([naive_discrepancy(parts[i], parts[j], width) for i, j in pairs])
    computed = mean_discrepancy([torch.from_numpy(part) for part in parts])
    assert computed.item() == pytest.approx(expected)


def test_discrepancy_is_zero_on_average_where_there_is_none():
    generator = torch.Generator().manual_seed(0)
    values = []
    for _ in range(300):
        z = torch.randn(16, 4, generator=generator)
        values.append(mean_discrepancy(z.split(8)).item())
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 4 * error
    apart = mean_discrepancy([z[:8], z[8:] + 2])
    assert apart > 5 * np.std(values)


def test_discrepancy_of_one_part_or_of_equal_faces_is_zero():
    z = torch.ones(4, 2, requires_grad=True)
    assert mean_discrepancy([z]) == 0
    assert mean_discrepancy([z[:1], z[1:]]) == 0
    same = mean_discrepancy([z[:2], z[2:]])
    assert same == 0
    same.backward()
    assert torch.isfinite(z.grad).all()


def test_beside_eigenfaces_means_of_latents_may_differ():
    network = make((8, 8, 1))
    eigen = FaceNetwork((8, 8, 1), 4, 8, 2, FaceAugmentation(), 0.0, n_eigenfaces=4)
    z = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    x = torch.rand(6, 1, 8, 8)
    made = Made([x, x], [z, z + 3.0], [], [x, x])
    assert eigen.losses_of(made)[1] == pytest.approx(mean_discrepancy([z, z]).item())
    assert network.losses_of(made)[1] > 0.5


def test_layers_start_with_the_variance_that_they_get():
    torch.manual_seed(0)
    network = FaceNetwork((64, 64, 3), 8, 64, 1, FaceAugmentation(), 0.0, n_blocks=1)
    x = torch.rand(8, 64 * 64 * 3)
    z = network.encode(x - 0.5)
    assert 0.1 < (z.std() / (x - 0.5).std()) < 3
    assert torch.allclose(network.decode(z, 0), torch.tensor(0.5), atol=0.2)
    # Blocks are no change at first, but for what is below zero.
    block = next(m for m in network.decoders.modules() if hasattr(m, "second"))
    maps = torch.rand(1, block.first.in_channels, 4, 4)
    torch.testing.assert_close(block(maps), maps)
