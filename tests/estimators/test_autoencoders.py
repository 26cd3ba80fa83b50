"""What the estimators that reconstruct share: the names of arguments."""

import inspect

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import load_iris

from sklearn_ae import (
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    VAETransformer,
)
from sklearn_ae._estimators.base import FitTable

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
)
X = load_iris().data
QUICK = {"hidden_layer_sizes": (4,), "max_iter": 1, "early_stopping": False}


@pytest.fixture(
    scope="module", params=[AutoencoderTransformer, VAETransformer], ids=str
)
def fitted(request):
    return request.param(2, **QUICK).fit(X)


@pytest.fixture(scope="module")
def Z(fitted):
    return fitted.transform(X)


def test_latents_are_called_as_scikit_learn_does(fitted, Z):
    assert next(iter(inspect.signature(fitted.inverse_transform).parameters)) == "X"
    assert_array_equal(fitted.inverse_transform(X=Z), fitted.inverse_transform(Z))


def test_old_name_of_latents_warns(fitted, Z):
    with pytest.warns(FutureWarning, match="Use X="):
        answer = fitted.inverse_transform(Z=Z)
    assert_array_equal(answer, fitted.inverse_transform(Z))


def test_latents_are_given_once(fitted, Z):
    with pytest.raises(TypeError, match="not both"):
        fitted.inverse_transform(Z, Z=Z)
    with pytest.raises(TypeError, match="missing latents"):
        fitted.inverse_transform()


def test_latents_are_no_metadata(fitted):
    requests = fitted.get_metadata_routing().inverse_transform.requests
    assert "Z" not in requests


def test_networks_take_and_give_rows_in_their_units(fitted):
    import torch

    rows = torch.tensor(X, dtype=torch.float32)
    with torch.no_grad():
        z = fitted.encoder_(rows)
        back = fitted.decoder_(z)
    assert z.shape == (len(X), 2)
    np.testing.assert_allclose(back, fitted.inverse_transform(z.numpy()), rtol=1e-5)


def test_fits_are_logged(caplog):
    with caplog.at_level("INFO", logger="sklearn_ae"):
        AutoencoderTransformer(2, **QUICK).fit(X)
    assert "AutoencoderTransformer: 150 rows, 1 epochs" in caplog.text


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (AutoencoderTransformer(2), True),
        (DenoisingAutoencoderTransformer(2), True),
        (AutoencoderTransformer(2, init="random"), False),
        (AutoencoderTransformer(2, loss="absolute_error"), False),
        (AutoencoderTransformer(2, image_shape=(2, 2)), False),
        (VAETransformer(2), False),
    ],
)
def test_steps_are_surer_where_squares_are_learned_from_pca(estimator, expected):
    X = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    design = estimator._make_design(FitTable(X, 4), columns=None)
    assert design.recipe.has_surer_steps == expected
