import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_pictures import IMAGE, tiles

from sklearn_ae import VAETransformer
from sklearn_ae.plotting import SamplesDisplay


def test_pictures_are_the_samples(fitted, X):
    display = SamplesDisplay.from_estimator(
        fitted, n_samples=4, random_state=3, image_shape=(5, 1)
    )
    assert display.axes_.shape == (1,)
    n_columns = 5  # four images, five times as high as wide, make one line
    shown = tiles(display.images_[0], 1, n_columns, height=5, width=1)[:4]
    np.testing.assert_allclose(shown, fitted.sample(4, random_state=3))


def test_points_are_pairs_of_features_of_the_samples(vae, frame):
    display = SamplesDisplay.from_estimator(
        vae, frame, n_samples=200, random_state=3, features=[0, "petal width (cm)"]
    )
    (real,), (new,) = (display.scatters_[kind] for kind in ("real rows", "samples"))
    np.testing.assert_array_equal(real.get_offsets(), frame.iloc[:, [0, 3]])
    expected = vae.sample(200, random_state=3)[:, [0, 3]]
    np.testing.assert_array_equal(new.get_offsets(), expected)
    assert new.axes is display.axes_[1, 0]
    assert display.axes_[1, 0].get_xlabel() == "sepal length (cm)"
    assert display.axes_[1, 0].get_ylabel() == "petal width (cm)"


def test_no_more_real_rows_than_samples(vae, frame):
    display = SamplesDisplay.from_estimator(vae, frame, n_samples=20)
    shown = pd.DataFrame(display.X, columns=frame.columns)
    places = frame.reset_index().merge(shown)["index"]
    assert len(shown) == 20
    assert places.nunique() >= 20  # one row of iris is there twice
    assert places.max() > 100  # not only the first ones


def test_real_images_stand_beside_the_samples(vae, frame):
    display = SamplesDisplay.from_estimator(vae, frame, n_samples=9, **IMAGE)
    assert [ax.get_title() for ax in display.axes_] == ["real rows", "samples"]
    np.testing.assert_array_equal(tiles(display.images_[0], 3, 3), display.X)
    np.testing.assert_array_equal(tiles(display.images_[1], 3, 3), display.samples)


def test_samples_of_a_pipeline_are_in_the_units_of_the_rows(frame):
    pipeline = make_pipeline(StandardScaler(), VAETransformer(2, max_iter=0)).fit(frame)
    display = SamplesDisplay.from_estimator(pipeline, frame, random_state=0)
    expected = pipeline[0].inverse_transform(pipeline[1].sample(150, random_state=0))
    np.testing.assert_allclose(display.samples, expected)


def test_other_densities_can_be_sampled(frame):
    density = KernelDensity(bandwidth=0.2).fit(frame)
    display = SamplesDisplay.from_estimator(density, frame, random_state=0)
    assert display.axes_.shape == (4, 4)


def test_single_feature_has_a_histogram(vae, frame):
    display = SamplesDisplay.from_estimator(vae, frame, features=[1])
    assert display.axes_.shape == (1, 1)
    assert len(display.axes_[0, 0].containers) == 2


def test_estimator_that_cannot_be_sampled(pca):
    with pytest.raises(TypeError, match="PCA has no sample"):
        SamplesDisplay.from_estimator(pca)


def test_real_rows_with_other_features(vae, frame):
    with pytest.raises(ValueError, match=r"same features; got shapes \(150, 3\) and"):
        SamplesDisplay.from_estimator(
            vae, frame.to_numpy()[:, :3], feature_names=frame.columns
        )


def test_columns_of_numbers_are_drawn_without_their_missing_cells(of_mixed, mixed):
    X = pytest.importorskip("polars").from_pandas(mixed)
    display = SamplesDisplay.from_estimator(of_mixed, X)
    assert display.axes_.shape == (2, 2)
    assert display.axes_[1, 0].get_ylabel() == "last"


def test_columns_of_an_arrow_table_have_their_names(of_mixed, mixed):
    X = pytest.importorskip("pyarrow").Table.from_pandas(mixed, preserve_index=False)
    display = SamplesDisplay.from_estimator(of_mixed, X)
    assert display.feature_names == list(mixed.columns)
