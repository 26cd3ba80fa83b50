"""Scores that choose between estimators whatever the units are."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler

from sklearn_ae import AutoencoderTransformer
from sklearn_ae.metrics import distance_to_closest_record, reconstruction_r2

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


def test_distance_to_the_closest_record_is_that_of_scaled_numbers():
    rng = np.random.RandomState(0)
    rows, known = rng.uniform(size=(20, 4)), rng.uniform(size=(50, 4))
    extent = np.ptp(known, axis=0)
    # Differences over the range, at most 1 each, which these rows are within.
    rows = np.clip(rows, known.min(axis=0), known.max(axis=0))
    expected = cdist(rows / extent, known / extent, "cityblock").min(axis=1) / 4
    np.testing.assert_allclose(distance_to_closest_record(rows, known), expected)


def test_records_of_a_mixed_table_are_at_0_from_themselves_and_1_from_others():
    table = pd.DataFrame({"size": [1.0, 3.0, np.nan], "kind": ["a", "b", None]})
    assert distance_to_closest_record(table, table).tolist() == [0.0, 0.0, 0.0]
    new = pd.DataFrame({"size": [2.0, np.nan, 9.0], "kind": ["a", None, "c"]})
    expected = [0.25, 0.0, 1.0]
    np.testing.assert_allclose(distance_to_closest_record(new, table), expected)


def test_columns_of_records_are_told_apart_by_their_names():
    table = pd.DataFrame({"size": [1.0, 3.0], "age": [50.0, 70.0], "kind": ["a", "b"]})
    assert distance_to_closest_record(table[table.columns[::-1]], table).max() == 0.0


def test_records_of_other_columns_are_refused():
    with pytest.raises(ValueError, match="X has 3 columns and X_train has 4"):
        distance_to_closest_record(X[:, :3], X)
    with pytest.raises(ValueError, match="X_train must have at least one row"):
        distance_to_closest_record(pd.DataFrame({"a": ["b"]}), pd.DataFrame({"a": []}))
