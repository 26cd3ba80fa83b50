"""What the estimators that reconstruct share: the names of arguments."""

import inspect

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import load_iris
from torch import nn

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


@pytest.mark.parametrize(
    ("estimator", "n_rows", "expected"),
    [
        (AutoencoderTransformer(2), 1000, (96, 64, 64, 64)),
        (AutoencoderTransformer(2), 999, (128, 128, 128)),
        (AutoencoderTransformer(4), 1000, (128, 128, 128)),
        (AutoencoderTransformer(8), 1000, (128, 128, 128)),
        (AutoencoderTransformer(8), 999, (256, 128)),
        (AutoencoderTransformer(9), 1000, (256, 128)),
        (DenoisingAutoencoderTransformer(8), 1000, (128, 128, 128)),
        (AutoencoderTransformer(8, init="random"), 1000, (256, 128)),
        (AutoencoderTransformer(8, loss="absolute_error"), 1000, (256, 128)),
        (AutoencoderTransformer(8, hidden_layer_sizes=(5,)), 1000, (5,)),
        (VAETransformer(8), 1000, (256, 128)),
    ],
)
def test_layers_go_by_latents_and_rows(estimator, n_rows, expected):
    X = np.random.default_rng(0).normal(size=(n_rows, 10)).astype(np.float32)
    design = estimator._make_design(FitTable(X, 10), columns=None)
    network = design.architecture._own_encoder(estimator.n_components)
    sizes = [layer.out_features for layer in network if isinstance(layer, nn.Linear)]
    assert tuple(sizes[:-1]) == expected


@pytest.mark.parametrize(
    ("estimator", "rate", "n_epochs"),
    [
        (AutoencoderTransformer(2), 7e-3, 90),
        (AutoencoderTransformer(4), 6e-3, 75),
        (AutoencoderTransformer(8), 7e-3, 75),
        (AutoencoderTransformer(9), 6e-3, 75),
        (AutoencoderTransformer(8, hidden_layer_sizes=(128,) * 3), 6e-3, 75),
    ],
)
def test_rates_and_epochs_go_with_the_layers(estimator, rate, n_epochs):
    X = np.random.default_rng(0).normal(size=(1000, 10)).astype(np.float32)
    recipe = estimator._make_design(FitTable(X, 10), columns=None).recipe
    assert recipe.auto_learning_rate == rate
    assert recipe.n_epochs(1000) == n_epochs
