import numpy as np
import pandas as pd
import pytest

from sklearn_ae.plotting import ColumnEffectsDisplay


def test_colours_are_signed_shares_of_named_columns(fitted):
    display = ColumnEffectsDisplay.from_estimator(fitted)
    tables = fitted.column_effects()
    colours = np.asarray(display.image_.get_array())  # (d, k)
    np.testing.assert_allclose(colours.T**2, tables.shares, atol=1e-6)
    assert (np.sign(colours.T) == np.sign(tables.effects)).all(axis=None)
    names = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert names == tables.effects.columns.tolist()


def test_the_strongest_columns_are_drawn():
    effects = pd.DataFrame([[0.1, 3.0, -2.0]], columns=["a", "$b$", "c"])
    shares = pd.DataFrame([[1.0, 1.0, 1.0]], columns=effects.columns)
    display = ColumnEffectsDisplay(effects=effects, shares=shares).plot(max_columns=2)
    names = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert names == [r"\$b\$", "c"]
    assert np.asarray(display.image_.get_array()).tolist() == [[1.0], [-1.0]]


def test_estimator_without_effects(pca):
    with pytest.raises(TypeError, match="PCA has no column_effects"):
        ColumnEffectsDisplay.from_estimator(pca)
