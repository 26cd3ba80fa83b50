import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional as F

from sklearn_ae.faces._augmentation import FaceAugmentation, _sample

NOTHING = dict.fromkeys(
    ["rotation", "zoom", "shift", "flip", "warp", "deform", "color"], 0
)


def pictures(n=3, size=(32, 48), seed=0):
    noise = np.random.default_rng(seed).random((n, 1, *size))
    smooth = ndimage.gaussian_filter(noise, (0, 0, 4, 4))
    return torch.from_numpy(smooth.astype(np.float32))


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def draw(x, seed=0, **changes):
    return FaceAugmentation(**{**NOTHING, **changes}).train()(x, seeded(seed))


def test_evaluation_changes_nothing():
    x = pictures()
    seen, clean = FaceAugmentation().eval()(x)
    assert seen is x
    assert clean is x


def test_without_changes_both_are_the_face():
    x = pictures()
    for y in draw(x):
        torch.testing.assert_close(y, x, atol=1e-5, rtol=0)


def test_all_faces_are_mirrored_where_that_is_certain():
    x = pictures()
    for y in draw(x, flip=1.0):
        torch.testing.assert_close(y, x.flip(3), atol=1e-5, rtol=0)


def test_share_of_mirrored_faces():
    x = torch.zeros(4000, 1, 4, 4)
    x[..., 0] = 1.0
    _, clean = draw(x, flip=0.4)
    share = (clean[:, 0, 0, 0] < 0.5).float().mean().item()
    assert abs(share - 0.4) < 5 * np.sqrt(0.4 * 0.6 / 4000)


def test_rotation_is_that_of_scipy():
    x = pictures(1)
    augmentation = FaceAugmentation(**{**NOTHING, "rotation": 10.0})
    matrix = augmentation.draw_matrices(x, 48 / 32, seeded(3))[0].numpy()
    angle = np.degrees(np.arctan2(matrix[1, 0] / 1.5, matrix[0, 0]))
    assert 1.0 < abs(angle) <= 10.0
    _, clean = augmentation.train()(x, seeded(3))
    turned = ndimage.rotate(x[0, 0].numpy(), angle, reshape=False, order=1)
    inside = slice(10, -10)
    np.testing.assert_allclose(
        clean[0, 0, inside, inside], turned[inside, inside], atol=2e-3
    )


def test_ranges_of_the_map():
    augmentation = FaceAugmentation(rotation=10, zoom=0.05, shift=0.05, flip=0.0)
    m = augmentation.draw_matrices(torch.zeros(2000), 1.0, seeded(0)).numpy()
    scale = np.sqrt(np.linalg.det(m[:, :, :2]))
    assert 1 / 1.05 <= scale.min() < 0.96
    assert 1.04 < scale.max() <= 1 / 0.95
    angles = np.degrees(np.arctan2(m[:, 1, 0], m[:, 0, 0]))
    assert 9.5 < abs(angles).max() <= 10.0 + 1e-4
    # Half a side is 1, so a twentieth of the side is a tenth.
    assert 0.095 < abs(m[:, :, 2]).max() <= 0.1 + 1e-6


def test_only_the_seen_face_is_warped():
    x = pictures()
    seen, clean = draw(x, warp=0.05)
    torch.testing.assert_close(clean, x, atol=1e-5, rtol=0)
    assert (seen - x).abs().max() > 0.01


def test_seen_and_clean_are_deformed_alike():
    x = pictures()
    seen, clean = draw(x, deform=0.05)
    assert seen is clean
    assert (clean - x).abs().max() > 0.01
    # By a warp besides, the seen one differs from a face that is deformed already.
    seen, clean = draw(x, deform=0.05, warp=0.05)
    assert (seen - clean).abs().max() > 0.01


def test_no_share_of_the_warp_is_no_warp():
    x = pictures()
    augmentation = FaceAugmentation().train()
    augmentation.warp_share = 0.0
    seen, clean = augmentation(x, seeded(0))
    assert seen is clean


def test_faces_that_are_moved_stay_sharp():
    # Half a pixel to the side, stripes of four pixels: the mean of neighbours keeps
    # cos(pi / 4) of their contrast, torch's cubic kernel 2 (19 + 3) / 32 times as much.
    places = torch.arange(33.0)[None, None, None].expand(1, 1, 8, 33)
    x = 0.5 + 0.4 * torch.cos(torch.pi / 2 * places)
    grid = F.affine_grid(torch.eye(2, 3)[None], [1, 1, 8, 33], align_corners=False)
    moved = _sample(x, grid + torch.tensor([1 / 33, 0.0]))[0, 0, :, 4:-4]
    kept = 0.4 * np.cos(np.pi / 4) * 44 / 32
    there = 0.5 + kept * torch.cos(torch.pi / 2 * (places[0, 0, :, 4:-4] + 0.5))
    torch.testing.assert_close(moved, there, atol=1e-4, rtol=0)


def test_faces_that_are_moved_stay_in_range():
    x = (torch.arange(16.0) > 7).float().expand(1, 1, 16, 16)  # cubics overshoot edges
    grid = F.affine_grid(torch.eye(2, 3)[None], [1, 1, 16, 16], align_corners=False)
    moved = _sample(x, grid + 1 / 16)
    assert moved.min() >= 0
    assert moved.max() <= 1


def test_size_of_the_warp():
    x, straight = torch.zeros(500, 1, 33, 33), torch.eye(2, 3).expand(500, 2, 3)
    bent = FaceAugmentation().draw_bend(0.03, x, straight, seeded(0))
    knots = bent[:, ::8, ::8]  # interpolation goes through the knots
    assert knots.std().item() == pytest.approx(2 * 0.03, rel=0.05)
    # Between them it is smooth: neighbours move alike.
    steps = (bent[:, 1:] - bent[:, :-1]).abs()
    assert steps.max() < 0.5 * knots.abs().max()


def test_a_turned_face_is_bent_as_it_lies():
    # Warping the turned face and turning the warped one differ by interpolation only.
    x = pictures(1, (64, 64))
    augmentation = FaceAugmentation(**{**NOTHING, "rotation": 90.0, "warp": 0.03})
    seen, clean = augmentation.train()(x, seeded(1))
    generator = seeded(1)
    augmentation.draw_matrices(x, 1.0, generator)
    straight = torch.eye(2, 3)[None]
    augmentation.draw_bend(0.0, x, straight, generator)
    bent = augmentation.draw_bend(0.03, x, straight, generator)
    places = F.affine_grid(straight, [1, 1, 64, 64], align_corners=False)
    by_hand = F.grid_sample(clean, places + bent, align_corners=False)
    inside = slice(16, -16)
    torch.testing.assert_close(
        seen[..., inside, inside], by_hand[..., inside, inside], atol=5e-3, rtol=0
    )


def test_colours_change_alike_and_stay_in_range():
    x = torch.rand(64, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    seen, clean = draw(x, color=0.3)
    torch.testing.assert_close(seen, clean, atol=0, rtol=0)
    assert clean.min() >= 0
    assert clean.max() <= 1
    change = (clean.mean(dim=(2, 3)) - x.mean(dim=(2, 3))).abs()
    assert 0.1 < change.max() < 0.45 + 0.1


def test_same_seed_same_faces():
    x = pictures()
    default = FaceAugmentation().train()
    state = torch.get_rng_state()
    first, second = default(x, seeded(5)), default(x, seeded(5))
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(a, b, atol=0, rtol=0)
    assert torch.equal(torch.get_rng_state(), state)
