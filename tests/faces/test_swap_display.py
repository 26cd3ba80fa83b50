import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from sklearn_ae import FaceSwapper
from sklearn_ae.faces import Preview, SwapDisplay

mpl.use("Agg")


@pytest.fixture(scope="module", params=[(8, 8), (8, 8, 3)], ids=["grey", "colours"])
def fitted(request):
    rng = np.random.default_rng(0)
    X = rng.random((75, *request.param))
    y = np.repeat(["ann", "bob", "cyd"], 25)
    return FaceSwapper(2, width=1, max_iter=1, random_state=0).fit(X, y), X, y


def test_lines_hold_face_own_decoder_and_the_others(fitted):
    swapper, X, y = fitted
    display = SwapDisplay.from_estimator(swapper, X, y, n_samples=2)
    picture = np.asarray(display.image_.get_array())
    assert picture.shape[:2] == (6 * 9 - 1, 4 * 9 - 1)

    def shown(line, column):
        part = picture[9 * line : 9 * line + 8, 9 * column : 9 * column + 8]
        return part[..., :3] if part.ndim == 3 else part

    # bob's second face, by bob's decoder, then ann's and cyd's
    face = X[26]
    expected = [face] + [swapper.swap(face[None], n)[0] for n in ("bob", "ann", "cyd")]
    for column, image in enumerate(expected):
        np.testing.assert_allclose(shown(3, column), image, atol=1e-6)


def test_swaps_of_three_people_say_who_is_seen(fitted):
    display = SwapDisplay.from_estimator(*fitted, n_samples=1)
    names = {
        (text.get_position()[1] // 9, text.get_position()[0] // 9): text.get_text()
        for text in display.ax_.texts
    }
    assert names == {
        **{(0, 2): "bob", (0, 3): "cyd"},
        **{(1, 2): "ann", (1, 3): "cyd"},
        **{(2, 2): "ann", (2, 3): "bob"},
    }


def test_uint8_faces_are_shown_in_their_brightness(fitted):
    swapper, X, y = fitted
    whole = np.rint(255 * X).astype(np.uint8)
    display = SwapDisplay.from_estimator(swapper, whole, y, n_samples=1)
    np.testing.assert_allclose(
        display.faces.reshape(3, *X.shape[1:]), X[::25], atol=0.5 / 255
    )


def test_given_axes_are_drawn_on(fitted):
    _, ax = plt.subplots()
    display = SwapDisplay.from_estimator(*fitted, ax=ax)
    assert display.ax_ is ax
    again = SwapDisplay(
        faces=display.faces,
        labels=display.labels,
        swapped=display.swapped,
        classes=display.classes,
    ).plot()
    assert again.figure_ is not display.figure_


def test_long_names_are_not_cut_off():
    names = ["Bartholomew", "Clementine"]
    rng = np.random.default_rng(0)
    display = SwapDisplay(
        faces=rng.random((6, 8, 8, 3)),
        labels=np.repeat(names, 3).tolist(),
        swapped=rng.random((2, 6, 8, 8, 3)),
        classes=names,
    ).plot()
    display.figure_.canvas.draw()
    for label in display.ax_.get_yticklabels():
        assert label.get_window_extent().x0 >= 0


def test_wrong_input(fitted):
    swapper, X, y = fitted
    with pytest.raises(ValueError, match="75 faces and y 74"):
        SwapDisplay.from_estimator(swapper, X, y[1:])
    with pytest.raises(ValueError, match=r"nobody of classes_.*ann"):
        SwapDisplay.from_estimator(swapper, X, np.repeat("eve", 75))


def test_preview_is_written_every_n_epochs_and_says_it_is_synthetic(fitted, tmp_path):
    _, X, y = fitted
    path = tmp_path / "preview.png"
    seen = []
    look = Preview(path, X[::5], y[::5], every=2, n_samples=1)
    note = lambda swapper, epoch: seen.append(path.exists() and path.stat().st_mtime_ns)  # noqa: E731
    FaceSwapper(2, width=1, max_iter=5, callbacks=[look, note]).fit(X, y)
    assert not seen[0]
    assert seen[1] == seen[2] != seen[3] != seen[4]
    assert not plt.get_fignums()
    assert list(tmp_path.iterdir()) == [path]
    with Image.open(path) as image:
        assert image.text["Description"].startswith("Synthetic")
