"""Swaps in whole photos, by functions that are as good as any network here."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.data import astronaut

from sklearn_ae.faces import _photos
from sklearn_ae.faces._blending import match_colors, sharpen_face
from sklearn_ae.faces._crops import NoFaceError
from sklearn_ae.faces._photos import PhotoOptions, swap_photo

BOX = [175.0, 65.0, 100.0, 100.0]  # of the astronaut's face
SHAPE = (64, 64, 3)


def same(crops):
    return crops


def tinted(crops):
    """Another light: reddish and darker, with more contrast."""
    return np.clip(0.8 * crops + [0.15, -0.05, -0.1], 0, 1)


def swap(image, function=same, boxes=BOX, landmarks=None, sharpen=0, **options):
    options = PhotoOptions(sharpen=sharpen, **options)
    return swap_photo(function, SHAPE, image, boxes, landmarks, options)


def distance(a, b):
    return np.abs(np.asarray(a, float) - np.asarray(b, float))


@pytest.mark.parametrize("blend", ["feather", "seamless"])
@pytest.mark.parametrize("color", ["lab", "mean", "hist", None])
def test_swap_that_changes_nothing_only_blurs(color, blend):
    image = astronaut()
    result = swap(image, color=color, blend=blend)
    assert result.dtype == image.dtype
    assert result.shape == image.shape
    face = np.s_[65:165, 175:275]
    # 64 pixels for 110: what is lost is detail.
    assert distance(result, image)[face].mean() < 6


@pytest.mark.parametrize("blend", ["feather", "seamless"])
def test_pixels_outside_of_the_crop_are_as_they_were(blend):
    image = astronaut()
    result = swap(image, lambda crops: 1 - crops, color=None, blend=blend)
    changed = (result != image).any(axis=2)
    rows, columns = np.where(changed)
    assert changed[115, 225]
    assert rows.min() >= 65 - 6
    assert rows.max() <= 165 + 6
    assert columns.min() >= 175 - 6
    assert columns.max() <= 275 + 6


def test_there_is_no_edge_to_see():
    # A white face on black: wherever the rim is, steps between neighbours are small.
    image = np.zeros((200, 200, 3))
    result = swap(
        image, lambda crops: np.ones_like(crops), [50, 50, 100, 100], color=None
    )
    assert result[100, 100].min() > 0.99
    for axis in (0, 1):
        assert np.abs(np.diff(result, axis=axis)).max() < 0.1
    # nor does a box show: the corners of the crop are as they were
    assert not result[46:60, 46:60].any()


@pytest.mark.parametrize("color", ["lab", "mean", "hist"])
def test_colours_become_those_of_the_photo(color):
    image = astronaut()
    plain = distance(swap(image, tinted, color=None), image)[75:155, 190:260].mean()
    matched = distance(swap(image, tinted, color=color), image)[75:155, 190:260].mean()
    assert matched < 0.4 * plain


def test_mean_colours_are_equal_where_the_face_shows():
    rng = np.random.default_rng(0)
    face, reference = rng.uniform(0.3, 0.6, size=(2, 32, 32, 3)).astype(np.float32)
    inside = np.s_[8:24, 10:22]
    for color, tolerance in (("mean", 0.02), ("hist", 0.02), ("lab", 0.02)):
        matched = match_colors(0.5 * face, reference, color)
        np.testing.assert_allclose(
            matched[inside].mean(axis=(0, 1)),
            reference[inside].mean(axis=(0, 1)),
            atol=tolerance,
        )
    assert match_colors(face, reference, None) is face


def test_histograms_of_a_shuffled_face_are_the_photos():
    rng = np.random.default_rng(0)
    reference = rng.uniform(size=(64, 64, 3)).astype(np.float32) ** 2
    face = rng.uniform(0.4, 0.5, size=(64, 64, 3)).astype(np.float32)
    matched = match_colors(face, reference, "hist")
    for level in (0.1, 0.5, 0.9):
        inside = np.s_[16:48, 16:48]
        assert np.quantile(matched[inside], level) == pytest.approx(
            np.quantile(reference, level), abs=0.04
        )


@pytest.mark.parametrize("blend", ["feather", "seamless"])
@pytest.mark.parametrize(
    "box", [[-30, -30, 80, 80], [470, 480, 80, 80], [200, -20, 60, 60]]
)
def test_faces_over_the_border(blend, box):
    image = astronaut()
    result = swap(image, lambda crops: 1 - crops, box, color=None, blend=blend)
    assert result.shape == image.shape
    assert (result != image).any()


def test_a_box_outside_changes_nothing():
    image = astronaut()
    np.testing.assert_array_equal(swap(image, tinted, [600, 600, 50, 50]), image)


def test_floats_and_grey_photos_keep_their_kind():
    image = astronaut() / 255
    result = swap(image, tinted)
    assert result.dtype == np.float64
    np.testing.assert_array_equal(result[:50], image[:50])
    np.testing.assert_allclose(
        result, swap(astronaut(), tinted) / 255, atol=0.5 / 255 + 1e-3
    )
    grey = astronaut()[:, :, 1]
    assert swap(grey, tinted).shape == (512, 512)
    result = swap_photo(
        lambda crops: crops,
        (64, 64, 1),
        grey,
        BOX,
        None,
        PhotoOptions(color=None, sharpen=0),
    )
    assert distance(result, grey)[65:165, 175:275].mean() < 6


def test_face_is_found_where_no_box_is_given():
    image = astronaut()
    result = swap(image, tinted, boxes=None, color=None)
    changed = (result != image).any(axis=2)
    rows, columns = np.where(changed)
    assert 30 < rows.min() < rows.max() < 200
    assert 150 < columns.min() < columns.max() < 300


def test_all_boxes_given_are_swapped_or_the_one_picked():
    image = astronaut()
    boxes = [BOX, [400, 400, 60, 60]]
    both = swap(image, tinted, boxes, color=None)
    one = swap(image, tinted, boxes, which=1, color=None)
    assert (both[115, 225] != image[115, 225]).any()
    assert (one[115, 225] == image[115, 225]).all()
    np.testing.assert_array_equal(both[350:], one[350:])


def test_landmarks_turn_the_crop():
    image = astronaut()
    seen = []

    def keep(crops):
        seen.append(crops)
        return crops

    eyes = np.array([[203, 105], [247, 103]])
    swap(image, keep, boxes=None, landmarks=eyes)
    quarter = np.array([[105, 511 - 203], [103, 511 - 247]])  # after a turn to the left
    swap(np.rot90(image), keep, boxes=None, landmarks=quarter)
    assert distance(*seen).mean() < 0.01


def test_no_face():
    blank = np.zeros((80, 80, 3), np.uint8)
    with pytest.raises(NoFaceError, match="No face was found"):
        swap(blank, boxes=None)
    with pytest.raises(NoFaceError, match="No face was found"):
        swap(blank, boxes=[])
    result = swap(blank, boxes=None, on_no_face="unchanged")
    np.testing.assert_array_equal(result, blank)
    assert result is not blank
    with pytest.raises(NoFaceError, match="which=1"):
        swap(astronaut(), which=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"color": "rgb"}, "color must be"),
        ({"blend": "hard"}, "blend must be"),
        ({"sharpen": -1}, "sharpen must be None, 0 or more"),
        ({"which": "best"}, "which must be"),
        ({"coverage": 0}, "coverage must be"),
        ({"on_no_face": "skip"}, "on_no_face must be"),
        ({"detector": "best"}, "detector must be"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        swap(astronaut(), **options)


def test_models_of_oblong_faces():
    with pytest.raises(ValueError, match="square faces"):
        swap_photo(same, (64, 48, 3), astronaut(), BOX, None, PhotoOptions())


def test_sharpening_is_unsharp_masking():
    rng = np.random.default_rng(0)
    face = gaussian_filter(rng.random((64, 64, 3)), (2, 2, 0)).astype(np.float32)
    smooth = gaussian_filter(face, (1.5, 1.5, 0), mode="mirror", truncate=5.0)
    sharp = sharpen_face(face, 0.8)
    np.testing.assert_allclose(sharp, face + 0.8 * (face - smooth), atol=1e-3)
    assert sharpen_face(face, 0) is face

    def detail(photo):
        return np.abs(np.diff(photo[80:150, 190:260].astype(float), axis=0)).mean()

    image = astronaut()
    softened, sharpened = swap(image, color=None), swap(image, color=None, sharpen=1)
    assert detail(softened) < detail(sharpened) < 1.2 * detail(image)


def test_faces_by_landmarks_get_their_outline():
    points = [[203, 105], [247, 103], [225, 129], [202, 140], [245, 141]]
    image = astronaut()
    result = swap(image, lambda crops: 1 - crops, None, [points], color=None)
    changed = (result != image).any(axis=2)
    rows, columns = np.where(changed)
    assert changed[125, 225]  # the nose
    assert not changed[60, 225]  # hair
    assert columns.min() > 165
    assert columns.max() < 285
    assert rows.max() < 180


def test_what_hides_a_face_is_left_alone():
    image = astronaut()
    image[100:130, 215:235] = [0, 255, 0]

    def without_the_spot(crops):
        return swapped_by.pop()

    crops = []
    swap(image, lambda x: crops.append(x) or x, color=None)
    plain = []
    swap(astronaut(), lambda x: plain.append(x) or x, color=None)
    swapped_by = [plain[0]]
    options = PhotoOptions(sharpen=0, color=None)
    result = swap_photo(
        lambda x: 1 - x, SHAPE, image, BOX, None, options, without_the_spot
    )
    np.testing.assert_array_equal(result[112:118, 222:228], image[112:118, 222:228])
    assert (result[112:118, 195:200] != image[112:118, 195:200]).all()


def test_photos_that_are_blurred_get_a_blurred_face():
    sharp = astronaut()
    blurred = gaussian_filter(sharp.astype(float), (3, 3, 0)).astype(np.uint8)

    def detail(photo):
        inner = photo[90:140, 200:250].astype(float).mean(axis=2)
        return np.abs(inner - gaussian_filter(inner, 1)).mean()

    def noisy(crops):
        rng = np.random.default_rng(0)
        return np.clip(crops + 0.1 * rng.standard_normal(crops.shape), 0, 1)

    for photo in (sharp, blurred):
        matched = swap(photo, noisy, color=None, sharpen=None)
        assert detail(matched) == pytest.approx(detail(photo), rel=0.35)
    assert detail(swap(blurred, noisy, color=None)) > 3 * detail(blurred)


def test_eyes_are_put_where_they_were(monkeypatch):
    """A detector that finds two bright spots; the swap has them a little off."""

    looks = []

    def find(image):
        looks.append(image)
        grey = image.mean(axis=2)
        spots = []
        for half in (slice(None, 48), slice(48, None)):
            y, x = np.unravel_index(grey[:, half].argmax(), (96, 48))
            spots.append([x + (half.start or 0), y])
        rest = [[48, 60], [38, 70], [58, 70]]
        return np.array([[0, 0, 96, 96]]), np.array([[*spots, *rest]], dtype=float)

    face = np.full((96, 96, 3), 0.2, dtype=np.float32)
    face[43, 35] = face[43, 67] = 1.0
    face = gaussian_filter(face, (1.5, 1.5, 0))
    monkeypatch.setattr(_photos, "has_mtcnn", lambda: True)
    monkeypatch.setattr(_photos, "detect_mtcnn", find)
    eyes = np.array([[33.0, 40.0], [63.0, 40.0]])
    pasted = []

    def put(made):
        pasted.append(made)
        return made

    moved = _photos._with_eyes_at(face, eyes, _photos._eyes_of, put)
    assert moved is pasted[-1]
    assert len(pasted) == len(looks)  # what was looked at is not pasted once more
    np.testing.assert_allclose(find(moved)[1][0, :2], eyes, atol=1)
    # What is far from an eye's place is none, and is left alone.
    assert _photos._with_eyes_at(face, eyes + 20.0, _photos._eyes_of, put) is face
    monkeypatch.setattr(_photos, "has_mtcnn", lambda: False)
    assert _photos._with_eyes_at(face, eyes, _photos._eyes_of, put) is face


@pytest.mark.parametrize("off", [(600, 0), (0, 600), (600, 600), (-600, -600)])
def test_eyes_of_faces_beside_the_photo_are_not_looked_for(off, monkeypatch):
    monkeypatch.setattr(_photos, "has_mtcnn", lambda: True)
    of_a_face = [[30, 40], [60, 40], [45, 55], [33, 70], [57, 70]]
    landmarks = [np.array(of_a_face) + off]
    options = PhotoOptions(keep_eyes=True)
    photo = astronaut()
    result = swap_photo(lambda x: 1 - x, SHAPE, photo, None, landmarks, options)
    np.testing.assert_array_equal(result, photo)


@pytest.mark.parametrize("side", [120, 500])  # a large one is looked at smaller
def test_eyes_are_looked_for_around_the_place_of_the_face(side, monkeypatch):
    """A detector that finds the two brightest spots; there are others far away."""
    photo = np.zeros((2 * side, 3 * side, 3), dtype=np.float32)
    places = np.array([[1.4, 0.9], [1.8, 0.95]]) * side
    far = np.array([[0.2, 0.2], [2.8, 0.2]]) * side
    radius = side // 20
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    spot = np.exp(-(x**2 + y**2) / (0.5 * radius**2))[:, :, None]
    for (left, top), light in zip([*places, *far], [0.8, 0.8, 1, 1], strict=True):
        photo[y + round(top), x + round(left)] = light * spot

    def find(image):
        assert max(image.shape) <= 400
        grey = image.mean(axis=2)
        half = image.shape[1] // 2
        spots = []
        for start, part in ((0, grey[:, :half]), (half, grey[:, half:])):
            top, left = np.unravel_index(part.argmax(), part.shape)
            spots.append([start + left, top])
        points = np.array([[*spots, [0, 0], [0, 0], [0, 0]]], dtype=float)
        return np.zeros((1, 4)), points

    monkeypatch.setattr(_photos, "detect_mtcnn", find)
    scale = 96 / side
    matrix = np.array([[scale, 0, -1.1 * 96], [0, scale, -0.5 * 96]])
    eyes = _photos._eyes_around(matrix, 96, photo)
    assert eyes.shape == (1, 2, 2)
    expected = places * scale + matrix[:, 2]
    np.testing.assert_allclose(eyes[0], expected, atol=1.5)
