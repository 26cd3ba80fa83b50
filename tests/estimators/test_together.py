"""What is built apart, used together: it works, or is refused with a reason."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array

import sklearn_ae
from sklearn_ae import AutoencoderTransformer, VAETransformer

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
RNG = np.random.default_rng(0)
N = 80
FRAME = pd.DataFrame(
    {
        "age": RNG.integers(18, 80, N),
        "sex": RNG.choice(["f", "m"], N),
        "pay": np.where(RNG.random(N) < 0.1, np.nan, RNG.lognormal(size=N)),
        "x": RNG.normal(size=N),
    }
)
# Of two dimensions, and a little noise.
X = RNG.normal(size=(N, 2)) @ RNG.normal(size=(2, 6)) + 0.05 * RNG.normal(size=(N, 6))
QUICK = {"hidden_layer_sizes": (4,), "max_iter": 2, "early_stopping": False}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"condition_columns": ["sex"]}, "goes with condition_columns=None"),
        ({"n_components": "auto"}, "takes a whole number of latents"),
        ({"n_components": 0.9}, "takes a whole number of latents"),
        ({"loss": "absolute_error"}, "goes with loss='squared_error'"),
    ],
)
def test_column_maps_do_not_go_with(parameters, message):
    vae = VAETransformer(**{"n_components": 2, **QUICK, **parameters})
    with pytest.raises(ValueError, match=message):
        vae.set_params(column_maps="quantile").fit(FRAME)


def test_scores_of_columns_that_are_mapped_are_of_these_alone():
    vae = VAETransformer(2, column_maps="quantile", **QUICK).fit(FRAME)
    scores = vae.score_columns(FRAME)
    assert list(scores) == list(FRAME)
    # A column has its own number, whatever else the networks are told of a row.
    without = FRAME.assign(pay=FRAME["pay"].fillna(1.0))
    assert_array_equal(scores["pay"].isna(), FRAME["pay"].isna())
    assert not vae.score_columns(without).isna().any(axis=None)


@pytest.mark.parametrize("method", ["column_effects", "score_columns"])
def test_effects_of_a_conditional_model_are_refused(method):
    vae = VAETransformer(2, condition_columns=["sex"], **QUICK).fit(FRAME)
    with pytest.raises(ValueError, match=f"{method} is for models without conditions"):
        getattr(vae, method)(FRAME)


@pytest.mark.parametrize("n_components", ["auto", 0.95])
def test_numbers_of_latents_follow_the_weights(n_components):
    # The second half of the rows has one dimension, and the others hardly count.
    lines = np.outer(RNG.normal(size=N), X[0]) + 0.05 * RNG.normal(size=X.shape)
    both = np.concatenate([X, lines])
    weights = np.repeat([1e-6, 1.5], N)
    model = AutoencoderTransformer(n_components, **QUICK)
    assert model.fit(both, sample_weight=weights).n_components_ == 1
    assert model.fit(both, sample_weight=weights[::-1]).n_components_ == 2


def test_a_truncated_estimator_goes_into_a_file(tmp_path):
    truncated = AutoencoderTransformer(3, **QUICK).fit(X).truncate(1)
    sklearn_ae.save(truncated, tmp_path / "file")
    loaded = sklearn_ae.load(tmp_path / "file")
    again = pickle.loads(pickle.dumps(truncated))
    assert_array_equal(loaded.transform(X), truncated.transform(X))
    assert_array_equal(again.transform(X), truncated.transform(X))


def test_a_fit_whose_number_of_latents_is_found_goes_on(tmp_path):
    path = tmp_path / "fit"
    model = AutoencoderTransformer("auto", checkpoint=path, **QUICK)
    first, again = (model.fit(X).transform(X) for _ in range(2))
    assert path.exists()
    assert_array_equal(first, again)


def test_explained_variance_is_that_of_weighted_rows():
    weights = RNG.integers(1, 4, size=N)
    model = AutoencoderTransformer(2, max_iter=0)
    weighted = model.fit(X, sample_weight=weights).explained_variance_ratio_
    repeated = model.fit(np.repeat(X, weights, axis=0)).explained_variance_ratio_
    assert_allclose(weighted, repeated)
    fractions = model.fit(X, sample_weight=weights / 7).explained_variance_ratio_
    assert_allclose(fractions, repeated, rtol=0.05)  # rows are drawn by weight


def test_maps_have_no_weights():
    with pytest.raises(TypeError, match="sample_weight"):
        sklearn_ae.NeighborMapTransformer(2).fit(X, sample_weight=np.ones(N))


@pytest.mark.parametrize("column_maps", [None, "quantile"])
def test_categories_of_sparse_rows_are_refused(column_maps):
    vae = VAETransformer(2, column_maps=column_maps, categorical_features=[0], **QUICK)
    with pytest.raises(ValueError, match=r"categorical_features=\[0\] is for frames"):
        vae.fit(csr_array(X))
