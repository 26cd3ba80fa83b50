import math

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity as reference_ssim

from sklearn_ae._face_augmentation import FaceAugmentation
from sklearn_ae._face_modules import FaceNetwork, n_halvings, structural_similarity


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
    together = network.losses([(1, a), (0, b)])
    alone = network.losses([(1, a)]) + network.losses([(0, b)])
    torch.testing.assert_close(together, alone)
    difference = 1.0 - structural_similarity(
        network.to_images(network(a, 1)), network.to_images(a)
    )
    by_hand = 0.6 * network.error(a, 1).mean() + 0.4 * difference.mean() / 2
    torch.testing.assert_close(together[0], by_hand)


def test_gradient_of_one_part_leaves_the_other_decoder_alone():
    network = make((16, 16, 1))
    network.losses([(0, torch.rand(2, 256))])[0].backward()
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
