"""What the imputer makes of reconstructions far from all rows, and of draws."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sklearn_ae import AutoencoderTransformer, VAETransformer

pytestmark = pytest.mark.filterwarnings(
    "ignore:Training ended:sklearn.exceptions.ConvergenceWarning"
)


def test_networks_do_not_lead_beyond_what_was_seen():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(80, 2)) @ rng.normal(size=(2, 4))
    holes = np.where(rng.uniform(size=X.shape) < 0.2, np.nan, X)
    missing = np.isnan(holes)
    model = AutoencoderTransformer(
        1, hidden_layer_sizes=(4,), max_iter=1, early_stopping=False
    ).fit(holes)
    imputer = model._imputer
    model._imputer = imputer.without_networks()
    expected = model.impute(holes)
    shares = torch.tensor([1.0, 0.0, 1.0])[:, None].expand_as(imputer.shares)
    model._imputer = replace(imputer, shares=shares)
    with torch.no_grad():
        model.module_.decoder.linear.bias += 1e4
    filled = model.impute(holes)
    assert not np.allclose(filled[missing], expected[missing])
    most = np.maximum(np.nanmax(holes, axis=0), expected)
    least = np.minimum(np.nanmin(holes, axis=0), expected)
    slack = 1e-4 * (most - least)
    assert (filled <= most + slack).all()
    assert (filled >= least - slack).all()


@pytest.fixture(scope="module")
def drawing():
    """A variational model of one noise, of columns of which the last has more."""
    rng = np.random.RandomState(0)
    loadings = np.repeat(np.eye(2), 3, axis=1)
    X = rng.normal(size=(1000, 2)) @ loadings + 0.3 * rng.normal(size=(1000, 6))
    X[:, -1] += rng.normal(size=1000)
    holes = np.where(rng.uniform(size=X.shape) < 0.2, np.nan, X)
    model = VAETransformer(2, max_iter=0, early_stopping=False).fit(holes[:800])
    return model, X[800:], holes[800:]


def cover(model, X, holes):
    """Shares of the missing cells of each column that intervals of 90 % hold."""
    drawn = np.stack(model.impute(holes, n_draws=60, random_state=0))
    low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
    return np.ma.array((low <= X) & (high >= X), mask=~np.isnan(holes)).mean(axis=0)


def test_what_is_filled_is_a_copy_where_nothing_is_missing(drawing):
    model, X, _ = drawing
    assert not np.shares_memory(model.impute(X), X)


def test_intervals_of_draws_hold_the_truth(drawing):
    model, X, holes = drawing
    held = cover(model, X, holes)
    assert 0.85 < held.mean() < 0.95
    imputer = model._imputer
    model._imputer = replace(imputer, spread=torch.ones(6))
    held_by_model = cover(model, X, holes)
    model._imputer = imputer
    assert held_by_model[-1] + 0.05 < held[-1]


def test_draws_of_far_latents_are_within_what_was_seen(drawing):
    model, _, holes = drawing
    imputer, seen = model._imputer, torch.zeros(2, 6)
    model._imputer = replace(imputer, seen=seen, spread=torch.ones(6))
    drawn = np.stack(model.impute(holes, n_draws=60, random_state=0))
    model._imputer = imputer
    missing = np.isnan(holes)
    from_mean = (drawn - np.nanmean(holes, axis=0))[:, missing]
    np.testing.assert_allclose(from_mean.std(), model.noise_variance_**0.5, rtol=0.2)


@pytest.mark.parametrize("loss", ["log_loss", "absolute_error"])
def test_draws_of_other_likelihoods(loss):
    X = (np.random.RandomState(0).uniform(size=(60, 4)) < 0.5).astype(float)
    X[::5, 0] = np.nan
    model = VAETransformer(1, loss=loss, max_iter=1, early_stopping=False).fit(X)
    (drawn,) = model.impute(X, n_draws=1, random_state=0)
    assert np.isfinite(drawn).all()
    assert (model._imputer.spread is None) == (loss == "log_loss")
    assert np.isin(drawn, [0.0, 1.0]).all() == (loss == "log_loss")


def test_what_draws_varied_is_not_that_of_fewer_latents(drawing):
    model, _, holes = drawing
    assert model.truncate(1)._imputer.spread is None
    assert np.isfinite(model.truncate(1).impute(holes, n_draws=1)).all()


def test_draws_of_a_column_without_a_known_cell_are_finite():
    X = np.random.RandomState(0).normal(size=(60, 4))
    X[:, 1] = np.nan
    X[::5, 0] = np.nan
    model = VAETransformer(1, max_iter=0).fit(X)
    for table in model.impute(X, n_draws=2, random_state=0):
        assert np.isfinite(table).all()
