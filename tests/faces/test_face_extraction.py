import importlib.util

import numpy as np
import pytest
from skimage.data import astronaut

from sklearn_ae import FaceSwapper
from sklearn_ae.faces import (
    FaceExtractor,
    NoFaceError,
    extract_faces,
    write_picture,
)


def whole(image):
    """A detector that takes the middle of every picture for a face."""
    height, width = image.shape[:2]
    return [[width / 4, height / 4, width / 2, height / 2]]


def test_crops_boxes_and_matrices_belong_together():
    image = astronaut()
    extracted = extract_faces([image], size=48, detector="lbp")
    assert len(extracted) == 1
    assert extracted.faces.shape == (1, 48, 48, 3)
    assert extracted.faces.dtype == np.uint8
    # The matrix leads from the middle of the box to the middle of the crop.
    left, top, width, height = extracted.boxes[0]
    middle = np.array([left + width / 2 - 0.5, top + height / 2 - 0.5, 1.0])
    np.testing.assert_allclose(extracted.matrices[0] @ middle, [23.5, 23.5])
    # and the crop is that part of the picture, with a tenth more around it
    side = 1.1 * width
    part = image[
        round(middle[1] - side / 2) : round(middle[1] + side / 2),
        round(middle[0] - side / 2) : round(middle[0] + side / 2),
    ]
    means = [extracted.faces[0].mean(axis=(0, 1)), part.mean(axis=(0, 1))]
    np.testing.assert_allclose(*means, atol=4)


def test_largest_or_all():
    boxes = [[10, 10, 80, 80], [200, 200, 40, 40]]
    options = {"detector": lambda image: boxes}
    assert len(extract_faces(astronaut(), **options)) == 1
    extracted = extract_faces(astronaut(), which="all", **options)
    np.testing.assert_array_equal(extracted.boxes, boxes)
    assert extracted.sources == [0, 0]


def test_landmarks_align():
    eyes = np.array([[203, 105], [247, 103]])
    detector = lambda image: ([[175, 65, 100, 100]], eyes)  # noqa: E731
    extracted = extract_faces(astronaut(), detector=detector)
    places = eyes @ extracted.matrices[0][:, :2].T + extracted.matrices[0][:, 2]
    assert places[0, 1] == pytest.approx(places[1, 1])  # on one level


def test_grey_and_float_pictures():
    grey = astronaut().mean(axis=2) / 255
    extracted = extract_faces(grey, detector=whole)
    assert extracted.faces.shape == (1, 64, 64, 3)
    assert 50 < extracted.faces.mean() < 200


def test_folder_with_pictures_of_all_kinds(tmp_path):
    image = astronaut()[::2, ::2]
    write_picture(tmp_path / "face.jpg", image)
    write_picture(tmp_path / "nothing.png", np.zeros((64, 64, 3)))
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.warns(UserWarning, match=r"^2 pictures gave no face") as caught:
        extracted = extract_faces(tmp_path)
    message = str(caught[0].message)
    assert "broken.jpg' holds no picture" in message
    assert "nothing.png: no face was found" in message
    assert extracted.sources == [str(tmp_path / "face.jpg")]
    assert len(extracted.skipped) == 2


def test_no_face_at_all(tmp_path):
    with pytest.raises(NoFaceError, match="No face was found in 1 pictures"):
        extract_faces(np.zeros((64, 64, 3)))


def test_progress_bar(capsys):
    FaceExtractor(verbose=1, detector=whole).extract([astronaut()] * 2)
    assert "2/2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size"),
        ({"which": "best"}, "which must be"),
        ({"coverage": -1}, "coverage must be"),
        ({"detector": "best"}, "detector must be"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        FaceExtractor(**options).extract(astronaut())


def test_nothing_of_the_extras_is_imported_before_it_is_needed(in_fresh_process):
    code = (
        "import sys\n"
        "import sklearn_ae.__main__, sklearn_ae.faces, sklearn_ae.plotting\n"
        "extras = ['cv2', 'skimage', 'PIL', 'imageio', 'av', 'matplotlib']\n"
        "print([name for name in extras if name in sys.modules])"
    )
    assert in_fresh_process(code).strip() == "[]"


def test_missing_extra_is_named_where_it_is_needed(monkeypatch):
    X = np.random.default_rng(0).random((50, 8, 8, 3))
    y = np.repeat(["ann", "bob"], 25)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *a: None if name in ("cv2", "skimage") else find_spec(name, *a),
    )
    swapper = FaceSwapper(width=1, max_iter=1).fit(X, y)  # needs neither
    with pytest.raises(
        ImportError, match=r"opencv-python-headless.*sklearn_ae\[faces\]"
    ):
        extract_faces(astronaut())
    with pytest.raises(ImportError, match=r"sklearn_ae\[faces\]"):
        swapper.swap_photo(astronaut(), "ann")


def test_from_pictures_to_a_swapped_photo():
    # All of it with one face of two kinds, as it is and in a blue light.
    image = astronaut()
    rng = np.random.default_rng(0)
    crops = []
    for shift in rng.uniform(-8, 8, size=(30, 2)):
        box = [[175 + shift[0], 65 + shift[1], 100, 100]]
        crops.append(extract_faces(image, 32, detector=lambda x, b=box: b).faces[0])
    crops = np.stack(crops)
    blue = (crops * [0.3, 0.5, 1.0]).astype(np.uint8)
    swapper = FaceSwapper(
        width=4, max_iter=15, color_jitter=0.0, random_state=0, learning_rate_init=5e-3
    )
    swapper.fit(np.concatenate([crops, blue]), np.repeat(["plain", "blue"], 30))
    result = swapper.swap_photo(image, "blue", color=None)
    cheek = np.s_[115:130, 195:205]
    before, after = (x[cheek].mean(axis=(0, 1)) for x in (image, result))
    assert after[2] > after[0]
    assert before[0] > before[2]
    assert (result[200:] == image[200:]).all()
    with pytest.raises(ValueError, match=r"classes_ holds \['blue', 'plain'\]"):
        swapper.swap_photo(image, "green")
    with pytest.raises(ValueError, match="'green'"):
        swapper.swap_video([image], "green")  # before a frame is asked for
    with pytest.raises(ValueError, match="smoothing"):
        swapper.swap_video([image], "blue", smoothing=2.0)
    # Eyes that landmarks tell are put where they were in photographs, not in films.
    whole = {"color": None, "detector": lambda image: [[175, 65, 100, 100]]}
    frames = list(swapper.swap_video([image, image], "blue", **whole))
    photo = swapper.swap_photo(image, "blue", **whole)
    np.testing.assert_array_equal(frames[0], photo)


def test_small_pictures_and_small_faces_are_told_their_size(tmp_path):
    write_picture(tmp_path / "tiny.png", np.zeros((30, 20, 3)))
    with pytest.raises(NoFaceError, match=r"20 x 30 pixels; at least 40 are needed"):
        extract_faces(tmp_path)
    small = lambda image: [[10, 10, 30, 34], [0, 0, 10, 10]]  # noqa: E731
    with pytest.raises(NoFaceError, match=r"has 32 pixels, and at least 40 are needed"):
        extract_faces(astronaut(), detector=small)
    mixed = lambda image: [[10, 10, 50, 50], [0, 0, 10, 10]]  # noqa: E731
    assert len(extract_faces(astronaut(), detector=mixed, which="all")) == 1
