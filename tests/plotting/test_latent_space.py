import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ae.plotting import LatentSpaceDisplay
from sklearn_ae.plotting._drawing import CLASS_COLORS, GREY


def legend_of(display):
    return [text.get_text() for text in display.legend_.get_texts()]


def scatter_of(y, **options):
    Z = np.random.default_rng(0).normal(size=(len(y), 2))
    return LatentSpaceDisplay(latents=Z, y=y, **options).plot()


def colors_of(display):
    return [mpl.colors.to_hex(c[:3]).upper() for c in display.scatter_.get_facecolors()]


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


# Long tables are shaded ---------------------------------------------------------------


@pytest.fixture(scope="module")
def crowd():
    """More rows than are drawn as points, in two clusters, and which each is of."""
    y = np.repeat([0, 1], 11_000)
    Z = np.random.default_rng(0).normal(size=(22_000, 2)) + 20.0 * y[:, None]
    return Z, y


def test_many_rows_are_shaded_and_classes_named_where_they_lie(crowd):
    Z, y = crowd
    display = LatentSpaceDisplay(latents=Z, y=np.array(["a", "b"])[y]).plot()
    assert display.scatter_ is None
    left, right, bottom, top = display.image_.get_extent()
    assert (left, bottom) == pytest.approx(Z.min(axis=0))
    assert right >= Z[:, 0].max()
    assert top >= Z[:, 1].max()
    assert [text.get_text() for text in display.texts_] == ["a", "b"]
    for text, center in zip(display.texts_, (0.0, 20.0), strict=True):
        np.testing.assert_allclose(text.get_position(), center, atol=1.5)


def test_shading_is_opaque_where_rows_lie_in_the_colour_of_their_class(crowd):
    display = LatentSpaceDisplay(latents=crowd[0], y=crowd[1]).plot()
    picture = display.image_.get_array()
    opaque = np.argwhere(picture[:, :, 3] > 0.9)
    assert len(opaque) > 100
    colors = {mpl.colors.to_hex(picture[i, j, :3]).upper() for i, j in opaque}
    assert colors == set(CLASS_COLORS[:2])
    assert (picture[:, :, 3] == 0.0).mean() > 0.5


def test_shading_of_a_quantity_is_its_mean(crowd):
    Z, y = crowd
    values = y + np.tile([0.0, 0.5], 11_000)
    values[0] = np.nan
    display = LatentSpaceDisplay(latents=Z, y=values, y_name="age").plot()
    display.figure_.draw_without_rendering()
    assert display.colorbar_.ax.get_ylabel() == "age"
    shown = np.asarray(display.image_.get_array().filled(np.nan))
    assert np.nanmin(shown) >= 0.0
    assert np.nanmax(shown) <= 1.5
    assert np.nanmedian(shown[-50:, -50:]) == pytest.approx(1.25, abs=0.3)


def test_rows_in_one_place_have_a_shade(crowd):
    display = LatentSpaceDisplay(latents=np.ones_like(crowd[0]), y=crowd[1]).plot()
    assert display.image_.get_array().shape == (1, 1, 4)


def test_whoever_styles_points_gets_points(crowd):
    display = LatentSpaceDisplay(latents=crowd[0]).plot(s=1)
    assert display.image_ is None
    assert len(display.scatter_.get_offsets()) == len(crowd[0])
