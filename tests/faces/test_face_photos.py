"""Swaps in whole photos, by functions that are as good as any network here."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.data import astronaut

from sklearn_ae.faces._blending import match_colors, sharpen_face
from sklearn_ae.faces._crops import NoFaceError
from sklearn_ae.faces._photos import PhotoOptions, swap_photo
from sklearn_ae.faces._videos import swap_video

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
        ({"sharpen": -1}, "sharpen must be"),
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


# Videos -------------------------------------------------------------------------------


class Boxes:
    """A detector that finds what it is told."""

    def __init__(self, *of_frames):
        self.of_frames = iter(of_frames)

    def __call__(self, image):
        return next(self.of_frames)


def run_video(boxes, function=None, smoothing=0.0, max_gap=1, **options):
    frames = [np.full((100, 200, 3), 0.5)] * len(boxes)
    swapped = swap_video(
        function or (lambda crops: np.ones_like(crops)),
        SHAPE,
        frames,
        PhotoOptions(color=None, sharpen=0, detector=Boxes(*boxes), **options),
        smoothing,
        max_gap,
    )
    return list(swapped)


def centres(frames):
    """Horizontal centre of what is white in each frame; nan where nothing is."""
    columns = np.arange(frames[0].shape[1])
    mass = [(frame[:, :, 0] - 0.5).sum(axis=0) for frame in frames]
    return np.array([(m @ columns) / m.sum() if m.sum() > 1 else np.nan for m in mass])


def test_boxes_are_smoothed():
    at = [[40 + x, 30, 40, 40] for x in (0, 10, 0, 10, 0, 10)]
    rough, smooth = centres(run_video(at)), centres(run_video(at, smoothing=0.7))
    np.testing.assert_allclose(np.abs(np.diff(rough)), 10, atol=0.2)
    assert np.abs(np.diff(smooth)).max() < 4
    # exactly: the mean of the place before and the place found
    expected = [rough[0]]
    for place in rough[1:]:
        expected.append(0.7 * expected[-1] + 0.3 * place)
    np.testing.assert_allclose(smooth, expected, atol=0.2)


def test_a_new_scene_is_not_smoothed():
    at = [[10, 30, 40, 40], [140, 30, 40, 40]]
    np.testing.assert_allclose(
        centres(run_video(at, smoothing=0.9)), centres(run_video(at)), atol=0.1
    )


def test_the_face_of_the_frame_before_is_followed():
    at = [[[10, 30, 40, 40]], [[130, 20, 60, 60], [12, 30, 40, 40]]]
    assert np.ptp(centres(run_video(at))) < 4


def test_frames_without_a_face():
    box = [10, 30, 40, 40]
    found = centres(run_video([box, [], [], box, []], on_no_face="unchanged"))
    np.testing.assert_array_equal(np.isnan(found), [False, False, True, False, False])
    with pytest.raises(NoFaceError, match="frame 2"):
        run_video([box, [], []], on_no_face="raise")


def test_frames_are_read_one_at_a_time():
    n_read = 0

    def frames():
        nonlocal n_read
        for _ in range(5):
            n_read += 1
            yield np.full((100, 200, 3), 0.5)

    swapped = swap_video(
        same, SHAPE, frames(), PhotoOptions(detector=lambda x: BOX), 0.5, 1
    )
    next(swapped)
    next(swapped)
    assert n_read == 2
