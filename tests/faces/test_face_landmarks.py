"""MTCNN on a face whose landmarks are known."""

import numpy as np
import pytest
from skimage.data import astronaut
from skimage.transform import rotate

from sklearn_ae.faces import _landmarks, extract_faces
from sklearn_ae.faces._crops import default_detector, find_detector
from sklearn_ae.faces._landmarks import detect_mtcnn, has_mtcnn

# By hand: eyes, nose and corners of the mouth.
POINTS = np.array([[203, 103], [247, 103], [225, 128], [203, 140], [246, 141]])


@pytest.fixture(scope="module", autouse=True)
def weights():
    if not has_mtcnn():
        pytest.skip("needs the extra landmarks")


@pytest.fixture(scope="module")
def found():
    return detect_mtcnn(astronaut())


def test_landmarks_of_the_astronaut(found):
    boxes, landmarks = found
    assert boxes.shape == (1, 4)
    np.testing.assert_allclose(landmarks[0], POINTS, atol=4)
    (left, top, width, height), points = boxes[0], landmarks[0]
    assert (points > [left, top]).all()
    assert (points < [left + width, top + height]).all()


@pytest.mark.parametrize("scale", [0.5, 2])
def test_landmarks_grow_with_the_picture(found, scale):
    image = astronaut()[:256, 96:352]
    if scale == 2:
        image = image.repeat(2, axis=0).repeat(2, axis=1)
    else:
        image = image.reshape(128, 2, 128, 2, 3).mean(axis=(1, 3)).astype(np.uint8)
    _, landmarks = detect_mtcnn(image)
    # The middle of a pixel is half a pixel from its edge.
    expected = (found[1][0] - [96, 0] + 0.5) * scale - 0.5
    np.testing.assert_allclose(landmarks[0], expected, atol=3 * max(1, scale))


def test_landmarks_turn_with_the_picture(found):
    angle, middle = 15, np.array([255.5, 255.5])
    image = (255 * rotate(astronaut(), angle)).astype(np.uint8)
    _, landmarks = detect_mtcnn(image)
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turned = (found[1][0] - middle) @ np.array([[cos, -sin], [sin, cos]]) + middle
    np.testing.assert_allclose(landmarks[0], turned, atol=5)


def test_two_faces_come_by_size():
    head = astronaut()[40:200, 150:300]
    small = head.reshape(80, 2, 75, 2, 3).mean(axis=(1, 3)).astype(np.uint8)
    canvas = np.full((160, 240, 3), 128, np.uint8)
    canvas[:, :150] = head
    canvas[40:120, 160:235] = small
    boxes, landmarks = detect_mtcnn(canvas)
    assert len(boxes) == len(landmarks) == 2
    assert landmarks[0, :, 0].max() < 150 < landmarks[1, :, 0].min()


def test_faces_over_the_border_are_found_or_not_without_an_error():
    for cut in (astronaut()[95:], astronaut()[:, 215:], astronaut()[60:150, 180:270]):
        boxes, landmarks = detect_mtcnn(cut)
        assert len(boxes) == len(landmarks)


@pytest.mark.parametrize("shape", [(90, 90, 3), (10, 90, 3), (1, 1, 3), (90, 90)])
def test_nothing_is_found_in_nothing(shape):
    boxes, landmarks = detect_mtcnn(np.zeros(shape, np.uint8))
    assert boxes.shape == (0, 4)
    assert landmarks.shape == (0, 5, 2)


def test_grey_pictures_have_landmarks_too(found):
    grey = astronaut()[:256].mean(axis=2).astype(np.uint8)
    np.testing.assert_allclose(detect_mtcnn(grey)[1][0], found[1][0], atol=4)


def test_faces_are_cut_out_upright():
    faces = [
        extract_faces((255 * rotate(astronaut(), a)).astype(np.uint8)).faces[0]
        for a in (0, 12)
    ]
    inner = np.stack(faces)[:, 16:48, 16:48].astype(float)
    assert np.abs(inner[0] - inner[1]).mean() < 12


def test_it_is_the_default_where_it_is_installed(monkeypatch):
    assert find_detector(None) is find_detector("mtcnn") is detect_mtcnn
    monkeypatch.setattr(_landmarks, "has_extra", lambda name: False)
    assert default_detector() == "lbp"


def test_what_to_install_is_said(monkeypatch):
    monkeypatch.setattr(_landmarks, "find_spec", lambda name: None)
    _landmarks._load_networks.cache_clear()
    with pytest.raises(ImportError, match=r"sklearn_ae\[landmarks\]"):
        detect_mtcnn(astronaut())
