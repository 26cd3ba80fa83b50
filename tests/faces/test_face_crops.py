import numpy as np
import pytest
from skimage.data import astronaut
from skimage.transform import SimilarityTransform

from sklearn_ae.faces._crops import (
    NoFaceError,
    check_boxes,
    check_landmarks,
    check_photo,
    choose_faces,
    cut_face,
    detect_haar,
    detect_lbp,
    face_matrix,
    find_detector,
    find_faces,
    matrix_scale,
    merge_boxes,
)

EYES = np.array([[203, 105], [247, 103]])  # of the astronaut


# Finding ------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1, 2])
def test_face_of_the_astronaut(scale):
    image = astronaut()
    image = image.repeat(scale, axis=0).repeat(scale, axis=1)
    box, *_ = detect_lbp(image)
    left, top, width, height = box
    for x, y in scale * EYES:
        assert left < x < left + width
        assert top < y < top + 0.6 * height
    assert 70 * scale < width < 130 * scale


def test_grey_pictures_have_faces_too():
    grey = astronaut().mean(axis=2).astype(np.uint8)
    assert len(detect_lbp(grey)) >= 1


def test_no_face_in_nothing():
    assert detect_lbp(np.zeros((90, 90, 3), np.uint8)).shape == (0, 4)
    assert detect_lbp(np.zeros((10, 90, 3), np.uint8)).shape == (0, 4)


def test_haar_works_or_says_what_to_do():
    import cv2

    if hasattr(cv2, "CascadeClassifier"):
        left, top, width, height = detect_haar(astronaut())[0]
        for x, y in EYES:
            assert left < x < left + width
            assert top < y < top + 0.6 * height
    else:
        with pytest.raises(ValueError, match="no Haar cascades"):
            detect_haar(astronaut())


def test_overlapping_boxes_are_merged_and_the_largest_is_first():
    boxes = np.array([[0, 0, 10, 10], [52, 52, 40, 40], [50, 50, 44, 44.0]])
    merged, counts = merge_boxes(boxes)
    assert counts.tolist() == [2, 1]
    np.testing.assert_allclose(merged, [[51, 51, 42, 42], [0, 0, 10, 10]])


def test_detector_may_give_landmarks():
    boxes, landmarks = find_faces(
        astronaut(), lambda image: ([170, 60, 100, 100], EYES)
    )
    assert boxes.shape == (1, 4)
    assert landmarks.shape == (1, 2, 2)
    boxes, landmarks = find_faces(astronaut(), lambda image: ([], []))
    assert boxes.shape == (0, 4)
    assert landmarks is None


def test_wrong_detectors():
    with pytest.raises(ValueError, match='detector must be None, "mtcnn", "lbp"'):
        find_detector("yolo")
    with pytest.raises(ValueError, match="2 boxes and landmarks of 1 faces"):
        find_faces(astronaut(), lambda image: (np.ones((2, 4)), EYES))


@pytest.mark.parametrize(
    "boxes", [[1, 2, 3], [[1, 2, 3, np.nan]], [[1, 2, 0, 4]], np.ones((2, 3, 4))]
)
def test_wrong_boxes(boxes):
    with pytest.raises(ValueError, match="boxes must"):
        check_boxes(boxes)


@pytest.mark.parametrize("landmarks", [[1, 2], np.ones((3, 2)), [[1, 2], [np.nan, 1]]])
def test_wrong_landmarks(landmarks):
    with pytest.raises(ValueError, match="landmarks must"):
        check_landmarks(landmarks)


def test_which_faces():
    assert choose_faces(3, "largest") == [0]
    assert choose_faces(3, "all") == [0, 1, 2]
    assert choose_faces(3, 2) == [2]
    assert choose_faces(3, -1) == [2]
    with pytest.raises(NoFaceError, match="3 faces"):
        choose_faces(3, 3)
    with pytest.raises(ValueError, match="which must be"):
        choose_faces(3, "smallest")


# Photos -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("photo", "message"),
    [
        (np.zeros((5, 5, 2)), r"shape.*\(5, 5, 2\)"),
        (np.zeros((0, 5)), "shape"),
        (np.full((5, 5), 2.0), r"\[0, 1\]"),
        (np.full((5, 5), np.nan), "finite"),
        (np.zeros((5, 5), int), "int64"),
    ],
)
def test_wrong_photos(photo, message):
    with pytest.raises(ValueError, match=message):
        check_photo(photo)


def test_grey_models_do_not_take_photos_in_colours():
    with pytest.raises(ValueError, match="fitted to grey faces"):
        check_photo(astronaut(), 1)
    assert check_photo(astronaut()[:, :, :1], 1).shape == (512, 512)


# Cutting ------------------------------------------------------------------------------


def test_matrix_of_a_box_takes_its_edges_to_those_of_the_crop():
    matrix = face_matrix(np.array([10.0, 20.0, 40.0, 40.0]), None, 8, coverage=1.0)
    # Edges lie half a pixel before the first and after the last pixel's middle.
    edges = np.array([[9.5, 19.5, 1.0], [49.5, 59.5, 1.0]])
    np.testing.assert_allclose(edges @ matrix.T, [[-0.5, -0.5], [7.5, 7.5]])
    wide = face_matrix(np.array([10.0, 20.0, 40.0, 40.0]), None, 8, coverage=2.0)
    assert matrix_scale(wide) == pytest.approx(matrix_scale(matrix) / 2)
    middle = np.array([29.5, 39.5, 1.0])
    np.testing.assert_allclose(wide @ middle, [3.5, 3.5])


@pytest.mark.parametrize("k", [2, 5])
def test_matrix_of_landmarks_is_the_least_squares_similarity(k):
    rng = np.random.default_rng(0)
    upright = face_matrix(np.array([0.0, 0.0, 64.0, 64.0]), None, 64, 1.0)
    from sklearn_ae.faces._crops import _LANDMARKS

    wanted = _LANDMARKS[k] * 64 - 0.5
    np.testing.assert_allclose(
        face_matrix(np.zeros(4), wanted, 64, 1.0), upright, atol=1e-9
    )
    points = wanted + rng.normal(0, 3, (k, 2))
    matrix = face_matrix(np.zeros(4), points, 64, 1.0)
    expected = SimilarityTransform.from_estimate(points, wanted).params[:2]
    # Umeyama's scale is that of the other direction's residuals for k > 2.
    if k == 2:
        np.testing.assert_allclose(matrix, expected, atol=1e-8)
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    best = ((moved - wanted) ** 2).sum()
    for _ in range(20):
        other = matrix + rng.normal(0, 1e-3, (2, 3)) * [[1, 1, 10]]
        other[1, :2] = -other[0, 1], other[0, 0]
        moved = points @ other[:, :2].T + other[:, 2]
        assert ((moved - wanted) ** 2).sum() >= best


def test_crop_of_a_box_of_the_crops_size_is_the_part_itself():
    image = astronaut()
    matrix = face_matrix(np.array([180.0, 70.0, 64.0, 64.0]), None, 64, 1.0)
    np.testing.assert_array_equal(cut_face(image, matrix, 64), image[70:134, 180:244])


def test_shrinking_crop_is_a_mean():
    image = astronaut().astype(np.float32)
    matrix = face_matrix(np.array([180.0, 70.0, 64.0, 64.0]), None, 16, 1.0)
    means = image[70:134, 180:244].reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(cut_face(image, matrix, 16), means, atol=0.01)


def test_crop_over_the_border_is_mirrored():
    image = astronaut()
    matrix = face_matrix(np.array([-16.0, 0.0, 32.0, 32.0]), None, 32, 1.0)
    crop = cut_face(image, matrix, 32)
    np.testing.assert_array_equal(crop[:, 16:], image[:32, :16])
    np.testing.assert_array_equal(crop[:, :16], image[:32, 16:0:-1])
