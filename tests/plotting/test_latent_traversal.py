import numpy as np
import pandas as pd
import pytest

from sklearn_ae import AutoencoderTransformer
from sklearn_ae.plotting import LatentTraversalDisplay


def test_curves_of_pca_are_its_loadings(frame, pca):
    display = LatentTraversalDisplay.from_estimator(pca, frame, max_columns=4)
    spread = frame.to_numpy().std(axis=0)
    for i, lines in enumerate(display.lines_):
        of_name = {line.get_label(): np.ptp(line.get_ydata()) for line in lines}
        ranges = [of_name[name] for name in frame.columns]
        way = np.ptp(np.quantile(pca.transform(frame)[:, i], [0.05, 0.95]))
        expected = np.abs(pca.components_[i]) * way / spread
        np.testing.assert_allclose(ranges, expected)
        assert list(of_name.values()) == sorted(ranges, reverse=True)


class Parabola:
    """One latent that another adds to: the mean over rows is no row's curve."""

    def transform(self, X):
        return np.asarray(X)[:, :2]

    def inverse_transform(self, Z):
        return np.stack([Z[:, 0] * Z[:, 1], Z[:, 1]], axis=1)


def test_curves_are_means_over_rows():
    X = np.random.default_rng(0).normal(size=(50, 2)) + [3.0, 0.0]
    display = LatentTraversalDisplay.from_estimator(Parabola(), X, components=[1])
    slopes = np.diff(display.decoded[0, :, 0]) / np.diff(display.latents[0])
    np.testing.assert_allclose(slopes, X[:, 0].mean())
    assert display.axes_.shape == (1,)


def test_images_are_a_row_for_each_latent(frame, pca):
    display = LatentTraversalDisplay.from_estimator(pca, frame, image_shape=(2, 2))
    assert display.image_.get_array().shape == (2 * 2 + 1, 9 * 2 + 8)
    median = np.median(pca.transform(frame), axis=0)
    median[1] = display.latents[1, 3]
    there = pca.inverse_transform(median[None])
    np.testing.assert_allclose(display.decoded[1, 3], there[0])
    labels = [label.get_text() for label in display.axes_[0].get_yticklabels()]
    assert labels == ["0", "1"]


def test_latents_that_are_not_there(frame, pca):
    with pytest.raises(ValueError, match=r"latents from 0 to 1; got \[2\]"):
        LatentTraversalDisplay.from_estimator(pca, frame, components=[0, 2])


def test_categories_are_not_drawn():
    frame = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "b": list("xyxy")})
    ae = AutoencoderTransformer(1, max_iter=0).fit(frame)
    with pytest.raises(ValueError, match="columns of numbers"):
        LatentTraversalDisplay.from_estimator(ae, frame)
