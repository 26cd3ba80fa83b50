import matplotlib.pyplot as plt
import numpy as np
import pytest
from small_pictures import IMAGE

from sklearn_ae.plotting import (
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
