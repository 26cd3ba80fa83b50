import matplotlib.pyplot as plt
import numpy as np
import pytest
from small_pictures import IMAGE

from sklearn_ae.plotting import (
    ExplainedVarianceDisplay,
    LatentMapDisplay,
    LatentSpaceDisplay,
    ReconstructionDisplay,
    SamplesDisplay,
    TrainingCurveDisplay,
)

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


@pytest.mark.parametrize("name", ["lw", "linewidth"])
@pytest.mark.parametrize("drawn", ["space", "pairs", "bars", "curve", "variance"])
def test_long_and_short_names_of_styles_are_one(drawn, name):
    display = {
        **{name: display for name, (display, _) in DISPLAYS.items()},
        "variance": ExplainedVarianceDisplay(explained_variance_ratio=[0.5, 0.3]),
    }[drawn].plot(**{name: 3.0})
    artists = [
        *(display.lines_ if hasattr(display, "lines_") else []),
        *(display.scatters_["samples"] if hasattr(display, "scatters_") else []),
        *(display.bars_[0] if hasattr(display, "bars_") else []),
        *([display.scatter_] if hasattr(display, "scatter_") else []),
    ]
    assert np.ravel([artist.get_linewidth() for artist in artists]).tolist() == [
        3.0
    ] * len(artists)
    assert artists


@pytest.mark.parametrize("name", ["c", "color"])
@pytest.mark.parametrize("drawn", ["space", "pairs", "curve"])
def test_colours_are_the_callers(drawn, name):
    display = DISPLAYS[drawn][0].plot(**{name: "red"})
    if drawn == "curve":
        assert display.lines_[0].get_color() == "red"
    else:
        points = (
            display.scatter_ if drawn == "space" else display.scatters_["samples"][0]
        )
        assert points.get_facecolor()[0, :3].tolist() == [1.0, 0.0, 0.0]


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
