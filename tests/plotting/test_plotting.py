import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.manifold import TSNE
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ae import (
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    VAETransformer,
)
from sklearn_ae.plotting import (
    LatentMapDisplay,
    LatentSpaceDisplay,
    ReconstructionDisplay,
    SamplesDisplay,
    TrainingCurveDisplay,
)
from sklearn_ae.plotting._drawing import CLASS_COLORS, GREY

mpl.use("Agg")

IMAGE = {"image_shape": (2, 2)}


@pytest.fixture(scope="module")
def frame():
    return load_iris(as_frame=True).data  # four features, and so images of 2 x 2


@pytest.fixture(scope="module")
def vae(frame):
    return VAETransformer(2, max_iter=0).fit(frame)


@pytest.fixture(scope="module")
def dae(frame):
    return DenoisingAutoencoderTransformer(2, max_iter=0).fit(frame)


@pytest.fixture
def pca(frame):
    return PCA(2).fit(frame)


def tiles(image, n_lines, n_columns, height=2, width=2, gap=1):
    """Cut a mosaic into the rows that it shows, line by line."""
    canvas = np.asarray(image.get_array())
    step = height + gap, width + gap
    return np.array(
        [
            canvas[i * step[0] :][:height, j * step[1] :][:, :width].ravel()
            for i in range(n_lines)
            for j in range(n_columns)
        ]
    )


def legend_of(display):
    return [text.get_text() for text in display.legend_.get_texts()]


def scatter_of(y, **options):
    Z = np.random.default_rng(0).normal(size=(len(y), 2))
    return LatentSpaceDisplay(latents=Z, y=y, **options).plot()


def colors_of(display):
    return [mpl.colors.to_hex(c[:3]).upper() for c in display.scatter_.get_facecolors()]


# Latent space -------------------------------------------------------------------------


def test_points_are_the_latents(fitted, X):
    display = LatentSpaceDisplay.from_estimator(fitted, X)
    offsets = display.scatter_.get_offsets()
    np.testing.assert_array_equal(offsets, fitted.transform(X))


def test_points_are_the_latents_asked_for(X):
    pca = PCA(4).fit(X)
    display = LatentSpaceDisplay.from_estimator(pca, X, components=(3, 2))
    offsets = display.scatter_.get_offsets()
    np.testing.assert_array_equal(offsets, pca.transform(X)[:, [3, 2]])
    assert display.ax_.get_xlabel() == "latent 4"
    assert display.ax_.get_ylabel() == "latent 3"


def test_points_of_a_pipeline_are_its_latents(frame):
    pipeline = make_pipeline(StandardScaler(), PCA(2)).set_output(transform="pandas")
    pipeline.fit(frame)
    display = LatentSpaceDisplay.from_estimator(pipeline, frame)
    offsets = display.scatter_.get_offsets()
    np.testing.assert_array_equal(offsets, pipeline.transform(frame))


@pytest.mark.parametrize(
    ("y", "names"),
    [
        (["b", "a", "c", "a"], ["a", "b", "c"]),
        (["10", "9", "1", "9"], ["1", "9", "10"]),
        (["no 10", "no 9", "no 1", "no 9"], ["no 1", "no 9", "no 10"]),
        ([10, 9, 1, 9], ["1", "9", "10"]),
        ([2.0, 0.0, 1.0, 0.0], ["0", "1", "2"]),
        ([10**7 + 1, 10**7], ["10000000", "10000001"]),
        ([True, False, True, False], ["False", "True"]),
        (pd.Series([3, 1, 2, 1], index=[7, 5, 6, 4]), ["1", "2", "3"]),
        (pd.Series(pd.Categorical(["s", "l", "m", "m"], list("sml"))), list("sml")),
        (pd.Categorical(["s", "l", "m", "m"], list("xsml")), list("sml")),
        (["a", None, "b", np.nan], ["a", "b", "missing"]),
        (pd.array([0, 1, None, 1], dtype="Int64"), ["0", "1", "missing"]),
        ([0.0, 1.0, np.nan, 1.0], ["0", "1", "missing"]),
    ],
)
def test_legend_names_the_classes_in_order(y, names):
    assert legend_of(scatter_of(y)) == names


def test_points_have_the_colours_of_the_legend():
    display = scatter_of(["b", "a", None, "b"])
    first, second = CLASS_COLORS[:2]
    assert colors_of(display) == [second, first, GREY, second]
    handles = display.legend_.legend_handles
    assert [h.get_color() for h in handles] == [first, second, GREY]


def test_colours_of_classes_are_all_different():
    assert len({*CLASS_COLORS, GREY}) == 21


def test_rarest_of_many_classes_share_grey():
    y = np.repeat([f"c{i}" for i in range(25)], np.arange(25, 0, -1))
    display = scatter_of(y)
    assert legend_of(display) == [f"c{i}" for i in range(19)] + ["6 others"]
    assert colors_of(display).count(GREY) == sum(range(1, 7))


@pytest.mark.parametrize("y", [np.linspace(0, 1, 30), np.arange(30)])
def test_quantity_has_a_colour_bar(y):
    display = scatter_of(y, y_name="age")
    assert display.legend_ is None
    assert display.colorbar_.ax.get_ylabel() == "age"
    np.testing.assert_array_equal(display.scatter_.get_array(), y)


def test_missing_quantity_is_grey():
    display = scatter_of([0.5, np.nan, 1.5])
    display.figure_.draw_without_rendering()
    assert colors_of(display)[1] == GREY


def test_without_labels_there_is_no_key(X, pca):
    display = LatentSpaceDisplay(latents=X).plot()
    assert display.legend_ is None
    assert display.colorbar_ is None


def test_legend_has_the_name_of_a_series():
    display = scatter_of(pd.Series(["a", "b"], name="species"))
    assert display.legend_.get_title().get_text() == "species"


def test_latent_axes_have_one_scale():
    ax = LatentSpaceDisplay(latents=[[0.0, 0.0], [100.0, 1.0]]).plot().ax_
    ax.figure.draw_without_rendering()
    (x0, y0), (x1, y1) = ax.transData.transform([[0, 0], [1, 1]])
    assert x1 - x0 == pytest.approx(y1 - y0)


def test_single_latent_spans_no_plane(frame):
    with pytest.raises(ValueError, match=r"two latents .* got latents of shape \(150"):
        LatentSpaceDisplay.from_estimator(PCA(1).fit(frame), frame)


@pytest.mark.parametrize("components", [(0, 2), (-1, 0), (0,), (0, 1, 1)])
def test_components_out_of_range(X, components):
    display = LatentSpaceDisplay(latents=X[:, :2], components=components)
    with pytest.raises(ValueError, match="two numbers of latents from 0 to 1; got"):
        display.plot()


def test_labels_of_another_length(X):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        LatentSpaceDisplay(latents=X, y=[1, 2]).plot()


def test_labels_of_two_columns():
    with pytest.raises(ValueError, match=r"one label per row; got shape \(3, 2\)"):
        scatter_of(np.zeros((3, 2)))


def test_estimator_without_transform(frame):
    with pytest.raises(TypeError, match="KernelDensity has no transform"):
        LatentSpaceDisplay.from_estimator(KernelDensity().fit(frame), frame)


def test_options_reach_the_scatter(X):
    display = LatentSpaceDisplay(latents=X).plot(alpha=0.25, s=7)
    assert display.scatter_.get_alpha() == 0.25
    assert display.scatter_.get_sizes() == [7]


# Latent map ---------------------------------------------------------------------------


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


# Reconstructions ----------------------------------------------------------------------


def test_pictures_are_rows_and_reconstructions(pca, frame):
    display = ReconstructionDisplay.from_estimator(pca, frame, n_samples=3, **IMAGE)
    given = frame[:3]
    made = pca.inverse_transform(pca.transform(given))
    shown = tiles(display.image_, 2, 3)
    np.testing.assert_allclose(shown, np.concatenate([given, made]))


def test_corrupted_rows_are_what_is_reconstructed(dae, frame):
    noisy = frame + 0.5
    display = ReconstructionDisplay.from_estimator(
        dae, frame, X_corrupted=noisy, n_samples=2, **IMAGE
    )
    expected = np.concatenate([frame[:2], noisy[:2], dae.reconstruct(noisy[:2])])
    np.testing.assert_allclose(tiles(display.image_, 3, 2), expected)


def test_lines_of_pictures_are_named(dae, frame):
    display = ReconstructionDisplay.from_estimator(
        dae, frame, X_corrupted="draw", **IMAGE
    )
    names = [text.get_text() for text in display.axes_[0].get_yticklabels()]
    assert names == ["original", "corrupted", "reconstruction"]


def test_corruption_is_that_of_the_estimator(frame):
    X = frame.to_numpy()
    dae = DenoisingAutoencoderTransformer(
        2, corruption="masking", corruption_level=0.5, max_iter=0
    ).fit(X)
    display = ReconstructionDisplay.from_estimator(
        dae, X, X_corrupted="draw", n_samples=150, **IMAGE
    )
    is_masked = np.isclose(display.corrupted, X.mean(axis=0), atol=1e-6)
    assert is_masked.mean() == pytest.approx(0.5, abs=0.1)  # five standard deviations
    np.testing.assert_allclose(display.corrupted[~is_masked], X[~is_masked], rtol=1e-5)


def test_corruption_in_a_pipeline_is_in_the_units_of_the_rows(frame):
    def add_one(x):
        return x + 1.0

    dae = DenoisingAutoencoderTransformer(2, corruption=add_one, max_iter=0)
    pipeline = make_pipeline(StandardScaler(), dae).fit(frame)
    display = ReconstructionDisplay.from_estimator(pipeline, frame, X_corrupted="draw")
    expected = frame[:4] + frame.std(ddof=0)
    np.testing.assert_allclose(display.corrupted, expected, rtol=1e-5)


def test_corruption_follows_its_seed(dae, frame):
    def draw(**seed):
        return ReconstructionDisplay.from_estimator(
            dae, frame, X_corrupted="draw", **seed
        ).corrupted

    np.testing.assert_array_equal(draw(), draw(random_state=dae.random_state))
    assert (draw(random_state=1) != draw()).all()


def test_bars_and_dots_are_in_standard_deviations(pca, frame):
    display = ReconstructionDisplay.from_estimator(pca, frame)
    scaler = StandardScaler().fit(frame)
    made = pd.DataFrame(
        pca.inverse_transform(pca.transform(frame)), columns=frame.columns
    )
    for row in range(4):
        bars = [bar.get_width() for bar in display.bars_[row]]
        np.testing.assert_allclose(bars, scaler.transform(frame)[row])
        dots = display.points_["reconstruction"][row].get_xdata()
        np.testing.assert_allclose(dots, scaler.transform(made)[row])


def test_bars_are_named_after_the_columns(pca, frame):
    display = ReconstructionDisplay.from_estimator(pca, frame)
    names = [text.get_text() for text in display.axes_[0].get_yticklabels()]
    assert names == list(frame.columns)


def test_values_are_drawn_as_they_are_without_a_scale(frame):
    rows = frame.to_numpy()[:2]
    display = ReconstructionDisplay(original=rows, reconstruction=rows).plot()
    assert [bar.get_width() for bar in display.bars_[1]] == rows[1].tolist()


def test_constant_column_is_drawn(frame):
    frame = frame.assign(same=1.0)
    display = ReconstructionDisplay.from_estimator(PCA(2).fit(frame), frame)
    assert display.bars_[0][-1].get_width() == 0.0


def test_original_sets_the_brightness_of_all_pictures(frame):
    rows = frame.to_numpy()[:3]
    display = ReconstructionDisplay(
        original=rows, reconstruction=3 * rows, corrupted=-rows, **IMAGE
    ).plot()
    assert display.image_.get_clim() == (rows.min(), rows.max())


@pytest.mark.parametrize("unit", [1.0, 255.0])
def test_colour_pictures_keep_their_colours(unit):
    rows = np.random.default_rng(0).uniform(0, unit, size=(2, 12))
    display = ReconstructionDisplay(
        original=rows, reconstruction=5 * rows, image_shape=(2, 2, 3)
    ).plot()
    first = np.asarray(display.image_.get_array())[:2, :2]
    np.testing.assert_allclose(first[..., :3].ravel(), rows[0] / unit)
    assert (first[..., 3] == 1.0).all()


def test_single_channel_is_grey(frame):
    rows = frame.to_numpy()[:2]
    display = ReconstructionDisplay(
        original=rows, reconstruction=rows, image_shape=(2, 2, 1)
    ).plot()
    assert display.image_.get_array().ndim == 2


def test_corruption_of_an_estimator_without_one(pca, vae, frame):
    for estimator in (pca, vae):
        with pytest.raises(ValueError, match="has no corruption: give the corrupted"):
            ReconstructionDisplay.from_estimator(estimator, frame, X_corrupted="draw")


def test_corruption_by_an_unknown_word(dae, frame):
    with pytest.raises(ValueError, match="rows, \"draw\" or None; got 'own'"):
        ReconstructionDisplay.from_estimator(dae, frame, X_corrupted="own")


def test_corrupted_rows_of_another_shape(dae, frame):
    with pytest.raises(ValueError, match=r"shape of X, \(150, 4\); got \(3, 4\)"):
        ReconstructionDisplay.from_estimator(dae, frame, X_corrupted=frame[:3])


@pytest.mark.parametrize("Display", [ReconstructionDisplay, SamplesDisplay])
def test_no_rows_at_all(Display, vae, frame):
    with pytest.raises(ValueError, match="n_samples == 0, must be >= 1"):
        Display.from_estimator(vae, frame, n_samples=0)


def test_rows_of_different_shapes():
    display = ReconstructionDisplay(original=np.ones((2, 3)), reconstruction=[[1.0]])
    with pytest.raises(ValueError, match=r"original \(2, 3\), reconstruction \(1, 1\)"):
        display.plot()


def test_no_way_back_from_the_latents(frame):
    with pytest.raises(TypeError, match="TSNE has no transform and no inverse_transf"):
        ReconstructionDisplay.from_estimator(TSNE(), frame)


# Samples ------------------------------------------------------------------------------


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


# Training curves ----------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_curves_are_those_of_the_training(X, quick):
    ae = quick(AutoencoderTransformer, early_stopping=True).fit(X)
    display = TrainingCurveDisplay.from_estimator(ae)
    training, validation = display.lines_
    assert training.get_ydata().tolist() == ae.loss_curve_
    assert validation.get_ydata().tolist() == ae.validation_loss_curve_
    assert training.get_xdata().tolist() == list(range(1, len(ae.loss_curve_) + 1))


def test_best_epoch_is_marked(fitted):
    display = TrainingCurveDisplay.from_estimator(fitted)
    assert display.best_line_.get_xdata() == [fitted.best_iter_] * 2
    assert display.best_line_.get_label() == f"best: epoch {fitted.best_iter_}"


def test_best_may_be_the_start():
    display = TrainingCurveDisplay(loss_curve=[2.0, 1.0], best_iter=0).plot()
    assert display.best_line_.get_label() == "best: before the first epoch"


def test_curve_of_a_pipeline_is_that_of_its_last_step(frame):
    mlp = MLPRegressor(tol=10.0, random_state=0)  # ends after ten epochs
    pipeline = make_pipeline(StandardScaler(), mlp).fit(frame, frame.iloc[:, 0])
    (line,) = TrainingCurveDisplay.from_estimator(pipeline).lines_
    assert line.get_ydata().tolist() == pipeline[-1].loss_curve_


def test_losses_may_be_on_a_logarithmic_scale():
    display = TrainingCurveDisplay(loss_curve=[100.0, 1.0]).plot(log_scale=True)
    assert display.ax_.get_yscale() == "log"


def test_negative_losses_have_no_logarithm():
    display = TrainingCurveDisplay(loss_curve=[1.0, -2.5])
    with pytest.raises(ValueError, match=r"the lowest is -2.5 .* log_scale=False"):
        display.plot(log_scale=True)


def test_no_epochs_make_no_curve(vae):
    with pytest.raises(ValueError, match=r"no epochs \(max_iter=0\)"):
        TrainingCurveDisplay.from_estimator(vae)


def test_estimator_without_a_curve(pca):
    with pytest.raises(TypeError, match="PCA has none"):
        TrainingCurveDisplay.from_estimator(pca)


# All displays -------------------------------------------------------------------------

ROWS = np.random.default_rng(0).normal(size=(3, 4))
DISPLAYS = {
    "space": (LatentSpaceDisplay(latents=ROWS, y=[1, 2, 3]), 1),
    "mosaic": (LatentMapDisplay(x=[0], y=[0, 1, 2], decoded=ROWS[:, None], **IMAGE), 1),
    "planes": (
        LatentMapDisplay(x=[0, 1], y=[0, 1], decoded=ROWS[:2].reshape(2, 2, 2)),
        2,
    ),
    "pictures": (ReconstructionDisplay(original=ROWS, reconstruction=ROWS, **IMAGE), 1),
    "bars": (ReconstructionDisplay(original=ROWS, reconstruction=ROWS), 3),
    "samples": (SamplesDisplay(samples=ROWS, **IMAGE), 1),
    "pairs": (SamplesDisplay(samples=ROWS, X=ROWS, features=[0, 1]), 4),
    "curve": (TrainingCurveDisplay(loss_curve=[3.0, 2.0]), 1),
}


@pytest.fixture(params=DISPLAYS.values(), ids=DISPLAYS)
def display_and_size(request):
    return request.param


def axes_of(display):
    return np.ravel(display.axes_ if hasattr(display, "axes_") else display.ax_)


def test_display_draws_where_it_is_told(display_and_size):
    display, n_axes = display_and_size
    figure, axes = plt.subplots(1, n_axes)
    assert display.plot(ax=axes) is display
    assert axes_of(display).tolist() == np.ravel(axes).tolist()
    assert display.figure_ is figure


def test_wrong_number_of_axes_is_told(display_and_size):
    display, n_axes = display_and_size
    _, axes = plt.subplots(1, n_axes + 1)
    with pytest.raises(ValueError, match=f"{n_axes + 1} axes, but {n_axes} are drawn"):
        display.plot(ax=axes)


def test_nothing_is_cut_off(display_and_size):
    display, _ = display_and_size
    figure = display.plot().figure_
    figure.draw_without_rendering()
    width, height = figure.bbox.size
    for ax in figure.axes:
        box = ax.get_tightbbox()
        assert box is None or box.x0 >= -1
        assert box is None or box.y0 >= -1
        assert box is None or box.x1 <= width + 1
        assert box is None or box.y1 <= height + 1


def test_missing_matplotlib_is_told(display_and_size, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"plotting needs.*'sklearn_ae\[compare\]'"):
        display_and_size[0].plot()


def test_displays_are_imported_without_matplotlib(in_fresh_process):
    code = "import sys, sklearn_ae.plotting; print('matplotlib' in sys.modules)"
    assert in_fresh_process(code).strip() == "False"
