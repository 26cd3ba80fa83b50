"""Warnings point at the caller's line, from whatever depth they come."""

import pytest

from sklearn_ae import VAETransformer
from sklearn_ae._utils import warnings as _warnings


def test_a_warning_names_the_file_outside_the_package():
    with pytest.warns(UserWarning, match="so it is") as caught:
        _warnings.warn("so it is", UserWarning)
    assert caught[0].filename == __file__


def test_from_inside_an_overridden_fit_too():
    X = [[0.0, 1.0], [1.0, 0.5], [2.0, 3.0], [0.5, 0.5], [1.5, 1.0], [3.0, 0.0]]
    with pytest.warns(UserWarning, match="Raise max_iter") as caught:
        VAETransformer(1, max_iter=1, early_stopping=False).fit(X)
    assert caught[0].filename == __file__
