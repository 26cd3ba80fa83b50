import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, rotate

from sklearn_ae.faces._blending import (
    Outline,
    grid,
    match_colors,
    match_detail,
    shown,
)

SIZE = 64
# Shares of a crop: eyes, nose and corners of the mouth.
POINTS = np.array([[0.34, 0.38], [0.66, 0.38], [0.5, 0.56], [0.36, 0.73], [0.64, 0.73]])


def mask(points):
    return Outline(points).mask(*grid(SIZE))


def turned(points, angle):
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return (points - 0.5) @ np.array([[cos, sin], [-sin, cos]]) + 0.5


def test_outline_holds_the_landmarks_and_not_the_corners():
    upright = mask(POINTS)
    for x, y in (POINTS * SIZE).astype(int):
        assert upright[y, x] > 0.6
    assert upright[:8, :8].max() == upright[-8:, -8:].max() == 0
    np.testing.assert_allclose(upright, upright[:, ::-1], atol=1e-9)


@pytest.mark.parametrize("angle", [-25, 10])
def test_outline_turns_with_the_landmarks(angle):
    inner = np.s_[10:-10, 10:-10]  # the crop's own border does not turn
    small = 0.5 + 0.6 * (POINTS - 0.5)
    expected = rotate(mask(small), -angle, reshape=False, order=1)
    np.testing.assert_allclose(
        mask(turned(small, angle))[inner], expected[inner], atol=0.06
    )


def test_outline_is_narrow_on_the_side_that_a_head_turns_to():
    profile = POINTS + np.array([[0.0, 0], [0, 0], [0.1, 0], [0, 0], [0, 0]])
    widths = mask(profile)[30] > 0.5
    assert widths[32:].sum() < 0.8 * widths[:32].sum()


def test_skin_is_neither_eyes_nor_mouth():
    skin = Outline(POINTS).skin(SIZE)
    for x, y in [*POINTS[:2], POINTS[3:].mean(axis=0)]:
        assert not skin[int(y * SIZE), int(x * SIZE)]
    assert skin[int(0.56 * SIZE), int(0.5 * SIZE)]
    assert skin[int(0.55 * SIZE), int(0.3 * SIZE)]
    assert 0.1 < skin.mean() < 0.5


def test_colours_are_those_of_skin_and_not_of_what_is_dark_on_it():
    rng = np.random.default_rng(0)
    skin = np.array([0.7, 0.5, 0.4])
    reference = (skin + 0.02 * rng.standard_normal((SIZE, SIZE, 3))).astype(np.float32)
    face = (0.8 * reference).astype(np.float32)
    reference[26:30] = 0.02  # the frame of glasses
    matched = match_colors(face, reference, "lab", np.ones((SIZE, SIZE), bool))
    np.testing.assert_allclose(matched.mean(axis=(0, 1)), skin, atol=0.02)


def test_detail_of_a_photo_like_the_face_stays():
    rng = np.random.default_rng(0)
    patch = gaussian_filter(rng.random((SIZE, SIZE, 3)), (1, 1, 0)).astype(np.float32)
    full = np.ones((SIZE, SIZE), np.float32)
    np.testing.assert_allclose(match_detail(patch, patch, full), patch, atol=1e-5)


def test_detail_becomes_that_of_the_photo():
    rng = np.random.default_rng(0)

    def picture(blur):
        noise = gaussian_filter(rng.standard_normal((128, 128, 3)), (blur, blur, 0))
        return (0.5 + 0.05 * noise / noise.std()).astype(np.float32)

    def finest(x):
        grey = x.mean(axis=2)
        return np.abs(grey - gaussian_filter(grey, 0.7)).mean()

    full = np.ones((128, 128), np.float32)
    for below, patch in [(picture(2), picture(1)), (picture(0.5), picture(1.5))]:
        matched = match_detail(patch, below, full)
        assert finest(matched) == pytest.approx(finest(below), rel=0.25)
        again = match_detail(patch, below, full)
        np.testing.assert_array_equal(matched, again)  # grain too


def test_what_no_decoder_makes_is_not_the_face():
    crop = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    assert shown(crop, crop).min() == 1
    assert shown(crop + 0.1, crop).min() == 1  # an error that decoders make
    hidden = crop.copy()
    hidden[20:40, 20:40] = [0, 1, 0]
    seen = shown(hidden, crop)
    assert seen[26:34, 26:34].max() == 0
    assert seen[:10].min() == 1
