import numpy as np
import pytest
from scipy.stats import norm
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_pictures import IMAGE, tiles

from sklearn_ae import VAETransformer
from sklearn_ae.plotting import LatentMapDisplay, ReconstructionDisplay, SamplesDisplay


def test_grid_of_a_vae_is_even_in_the_prior(vae):
    display = LatentMapDisplay.from_estimator(vae, grid_resolution=9)
    even = norm.ppf(np.linspace(0.02, 0.98, 9))
    np.testing.assert_allclose(display.x, even)
    np.testing.assert_allclose(display.y, even)


def test_grid_of_a_vae_in_a_pipeline_is_even_in_the_prior(frame):
    pipeline = make_pipeline(StandardScaler(), VAETransformer(2, max_iter=0)).fit(frame)
    display = LatentMapDisplay.from_estimator(pipeline, quantiles=(0.1, 0.9))
    np.testing.assert_allclose(display.x, norm.ppf(np.linspace(0.1, 0.9, 40)))


def test_grid_of_a_vae_in_a_search_is_even_in_the_prior(frame):
    search = GridSearchCV(VAETransformer(2, max_iter=0), {"beta": [1.0]}, cv=2)
    display = LatentMapDisplay.from_estimator(search.fit(frame), grid_resolution=3)
    np.testing.assert_allclose(display.x, norm.ppf([0.02, 0.5, 0.98]))


def test_vae_that_is_not_fitted():
    with pytest.raises(NotFittedError):
        LatentMapDisplay.from_estimator(VAETransformer(2))


def test_grid_covers_the_latents_of_the_rows(pca, frame):
    display = LatentMapDisplay.from_estimator(
        pca, frame, grid_resolution=5, quantiles=(0.0, 1.0)
    )
    Z = pca.transform(frame)
    np.testing.assert_allclose(display.x, np.linspace(Z[:, 0].min(), Z[:, 0].max(), 5))
    np.testing.assert_allclose(display.y, np.linspace(Z[:, 1].min(), Z[:, 1].max(), 5))


def test_tiles_are_the_decoded_points(vae):
    display = LatentMapDisplay.from_estimator(vae, grid_resolution=3, **IMAGE)
    low, middle, high = norm.ppf([0.02, 0.5, 0.98])
    points = [(x, y) for y in (high, middle, low) for x in (low, middle, high)]
    expected = vae.inverse_transform(points)
    np.testing.assert_allclose(tiles(display.image_, 3, 3), expected)


def test_planes_are_the_decoded_features(pca, frame):
    display = LatentMapDisplay.from_estimator(pca, frame, features=[2])
    x, y = np.meshgrid(display.x, display.y)
    decoded = pca.inverse_transform(np.column_stack([x.ravel(), y.ravel()]))
    np.testing.assert_allclose(display.decoded[:, :, 2].ravel(), decoded[:, 2])
    np.testing.assert_allclose(display.surfaces_[0].zmax, decoded[:, 2].max())


def test_planes_are_named_after_the_columns(pca, frame):
    display = LatentMapDisplay.from_estimator(pca, frame)
    assert [ax.get_title() for ax in display.axes_] == list(frame.columns)


def test_planes_are_those_asked_for(vae):
    display = LatentMapDisplay.from_estimator(
        vae, features=["petal width (cm)", 0], image_shape=None
    )
    titles = [ax.get_title() for ax in display.axes_]
    assert titles == ["petal width (cm)", "sepal length (cm)"]


def test_features_without_names_are_numbered(frame):
    pca = PCA(2).fit(frame.to_numpy())
    display = LatentMapDisplay.from_estimator(pca, frame.to_numpy(), features=-1)
    assert display.axes_[0].get_title() == "x3"


@pytest.mark.parametrize("features", ["petal", [4], [-5], [1.5], []])
def test_features_that_are_not_there(vae, features):
    with pytest.raises(ValueError, match="features"):
        LatentMapDisplay.from_estimator(vae, features=features)


def test_names_of_some_features_only(vae):
    with pytest.raises(ValueError, match="each of the 4 features; got 2 names"):
        LatentMapDisplay.from_estimator(vae, feature_names=["a", "b"])


def test_constant_feature_has_a_plane():
    display = LatentMapDisplay(x=[0, 1], y=[0, 1], decoded=np.ones((2, 2, 1)))
    display.plot().figure_.draw_without_rendering()


def test_own_image_shape_of_the_estimator_counts(frame):
    class Images(PCA):
        image_shape = (2, 2)

    pca = Images(2).fit(frame)
    assert LatentMapDisplay.from_estimator(pca, frame).image_ is not None
    assert LatentMapDisplay.from_estimator(pca, frame, features=[0]).image_ is None
    assert ReconstructionDisplay.from_estimator(pca, frame).image_ is not None


@pytest.mark.parametrize("n_components", [1, 3])
def test_latent_space_that_is_no_plane(frame, n_components):
    message = rf"two dimensions, and that of this \w+ has {n_components}. Fit with"
    pca = PCA(n_components).fit(frame)
    with pytest.raises(ValueError, match=message):
        LatentMapDisplay.from_estimator(pca, frame)
    vae = VAETransformer(n_components, max_iter=0).fit(frame)
    with pytest.raises(ValueError, match=message):
        LatentMapDisplay.from_estimator(vae)


def test_rows_are_needed_without_a_prior(pca):
    with pytest.raises(ValueError, match="X is needed: the latents of PCA have no"):
        LatentMapDisplay.from_estimator(pca)


@pytest.mark.parametrize(
    "options",
    [{"quantiles": (0.9, 0.1)}, {"quantiles": (0, 2)}, {"grid_resolution": 1}],
)
def test_grid_that_is_none(vae, options):
    with pytest.raises(ValueError, match="quantiles must rise"):
        LatentMapDisplay.from_estimator(vae, **options)


def test_prior_has_no_end(vae):
    with pytest.raises(ValueError, match="prior of a VAETransformer has no end"):
        LatentMapDisplay.from_estimator(vae, quantiles=(0, 1))


def test_image_shape_of_a_convolutional_estimator_counts(frame):
    vae = VAETransformer(2, image_shape=(2, 2), max_iter=0).fit(frame)
    for display in (
        LatentMapDisplay.from_estimator(vae),
        SamplesDisplay.from_estimator(vae),
        ReconstructionDisplay.from_estimator(vae, frame),
    ):
        assert display.image_shape == (2, 2)


@pytest.mark.parametrize("image_shape", [(2, 3), (4,), (1, 2, 2)])
def test_image_shape_that_rows_do_not_have(vae, image_shape):
    with pytest.raises(ValueError, match=r"image_shape must be .* 4 values in all"):
        LatentMapDisplay.from_estimator(vae, image_shape=image_shape)


def test_decoded_rows_of_another_grid():
    display = LatentMapDisplay(x=[0, 1], y=[0, 1, 2], decoded=np.ones((2, 3, 4)))
    with pytest.raises(ValueError, match=r"must have shape \(3, 2, n_features\)"):
        display.plot()


def test_ticks_of_a_mosaic_are_latents(vae):
    display = LatentMapDisplay.from_estimator(vae, grid_resolution=5, **IMAGE)
    (ax,) = display.axes_
    labels = [t.get_text().replace("\N{MINUS SIGN}", "-") for t in ax.get_yticklabels()]
    np.testing.assert_allclose(np.array(labels, dtype=float), display.y, atol=0.05)
    assert (np.diff(ax.get_yticks()) < 0).all()  # the highest on top, at line 0


def test_planes_are_those_of_columns_of_numbers(of_mixed, mixed):
    display = LatentMapDisplay.from_estimator(of_mixed, mixed)
    titles = [ax.get_title() for ax in display.axes_]
    assert titles == ["sepal length (cm)", "last"]


def test_a_column_of_words_has_no_plane(of_mixed, mixed):
    with pytest.raises(ValueError, match="'kind' holds no numbers"):
        LatentMapDisplay.from_estimator(of_mixed, mixed, features=["kind"])
