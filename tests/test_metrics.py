"""Scores that choose between estimators whatever the units are."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler

from sklearn_ae import AutoencoderTransformer
from sklearn_ae.metrics import reconstruction_r2

X = load_iris().data


@pytest.fixture(scope="module")
def pca():
    return PCA(2).fit(X)


def test_is_the_mean_r2_of_the_columns(pca):
    given = pca.inverse_transform(pca.transform(X))
    assert reconstruction_r2(pca, X) == pytest.approx(r2_score(X, given))


def test_all_components_are_perfect():
    assert reconstruction_r2(PCA().fit(X), X) == pytest.approx(1.0)


def test_units_of_the_estimator_do_not_count(pca):
    shrink = FunctionTransformer(lambda X: X / 1e3, lambda X: X * 1e3)
    pipeline = make_pipeline(shrink, PCA(2)).fit(X)
    assert reconstruction_r2(pipeline, X) == pytest.approx(reconstruction_r2(pca, X))


def test_units_of_the_rows_do_not_count():
    def scored(X):
        return reconstruction_r2(make_pipeline(MinMaxScaler(), PCA(2)).fit(X), X)

    assert scored(X * [1.0, 10.0, 1e3, 1e-3] + 5.0) == pytest.approx(scored(X))


def test_autoencoder_can_be_scored():
    estimator = AutoencoderTransformer(2, max_iter=0).fit(X)
    expected = reconstruction_r2(PCA(2).fit(X), X)
    assert reconstruction_r2(estimator, X) == pytest.approx(expected, abs=1e-5)


def test_constant_columns_do_not_count(pca):
    with_constant = np.column_stack([X, np.full(len(X), 3.3)])
    score = reconstruction_r2(PCA(2).fit(with_constant), with_constant)
    assert score == pytest.approx(reconstruction_r2(pca, X))


def test_constant_rows_are_refused(pca):
    with pytest.raises(ValueError, match="No column of X varies"):
        reconstruction_r2(pca, np.ones((5, 4)))
