"""Methods that are prepared for single rows."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline

from sklearn_ae import AutoencoderTransformer, EncoderDecoderRegressor, VAETransformer
from sklearn_ae.serving import prepare

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
)
X = load_iris().data[::3]
QUICK = {"hidden_layer_sizes": (4,), "max_iter": 1, "early_stopping": False}


@pytest.fixture(scope="module")
def autoencoder():
    return AutoencoderTransformer(2, **QUICK).fit(X)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "method", ["transform", "inverse_transform", "reconstruct", "score_samples"]
)
def test_answers_are_those_of_the_estimator(autoencoder, method, dtype):
    prepared = prepare(autoencoder, method, dtype=dtype)
    rows = autoencoder.transform(X) if method == "inverse_transform" else X
    expected = getattr(autoencoder, method)(rows.astype(dtype))
    answer = prepared(rows)
    assert answer.dtype == dtype
    assert_array_equal(answer, expected)
    assert_allclose(prepared(rows[3]), expected[3], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("Y", [X[:, 0], X[:, :2]])
def test_predictions(Y):
    regressor = EncoderDecoderRegressor(2, **QUICK).fit(X, Y)
    assert_array_equal(prepare(regressor, "predict")(X), regressor.predict(X))


def test_encoder_alone(autoencoder):
    expected = AutoencoderTransformer(2, inference="encoder", **QUICK).fit(X)
    answer = prepare(autoencoder, inference="encoder")(X)
    assert answer.shape == expected.transform(X).shape
    assert np.any(answer != autoencoder.transform(X))


def test_later_fits_change_nothing(autoencoder):
    estimator = AutoencoderTransformer(2, **QUICK).fit(X)
    prepared = prepare(estimator)
    before = prepared(X)
    estimator.fit(X[::-1] * 3.0)
    assert_array_equal(prepared(X), before)


def test_threads_get_their_own_rows(autoencoder):
    prepared = prepare(autoencoder, inference="encoder")
    expected = [prepared(row) for row in X]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda i: prepared(X[i % len(X)]), range(2000)))
    for i, answer in enumerate(answers):
        assert_array_equal(answer, expected[i % len(X)])


@pytest.mark.parametrize("row", [X[0, :3], X[:2, :3], X[None], 1.0])
def test_rows_of_another_shape_are_refused(autoencoder, row):
    with pytest.raises(ValueError, match="X must be a row of 4 numbers"):
        prepare(autoencoder)(row)


def test_missing_numbers_are_refused(autoencoder):
    with pytest.raises(ValueError, match="NaN or infinite"):
        prepare(autoencoder)([1.0, 2.0, np.nan, 3.0])


def test_pipelines_are_sent_to_onnx(autoencoder):
    with pytest.raises(TypeError, match="to_onnx"):
        prepare(make_pipeline(autoencoder))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"method": "sample"}, "method must be one of"),
        ({"method": "predict"}, "is not prepared"),
        ({"inference": "refined"}, "inference must be"),
        ({"dtype": int}, "dtype must be float32 or float64"),
    ],
)
def test_other_options_are_refused(autoencoder, options, match):
    with pytest.raises(ValueError, match=match):
        prepare(autoencoder, **options)


def test_conditional_estimators_are_refused():
    labels = np.arange(len(X)) % 2
    estimator = VAETransformer(2, conditional=True, **QUICK).fit(X, labels)
    with pytest.raises(ValueError, match="conditional"):
        prepare(estimator)


@pytest.mark.parametrize("column_maps", [None, "quantile"])
def test_columns_that_networks_see_as_other_numbers_are_refused(column_maps):
    # Of "quantile" the networks see scores: answers for values would be wrong.
    rows = X
    if column_maps is None:
        rows = np.column_stack([X.astype(object), np.array(list("abcde") * 10)])
    estimator = VAETransformer(2, column_maps=column_maps, **QUICK).fit(rows)
    with pytest.raises(ValueError, match="numbers that the networks see as they are"):
        prepare(estimator)


def test_levels_that_are_numbers_are_refused():
    # Of two there is one number, which is 0 or 1: not the level.
    rows = np.column_stack([X, np.where(X[:, 0] > np.median(X[:, 0]), 7.0, 3.0)])
    estimator = AutoencoderTransformer(2, categorical_features=[4], **QUICK).fit(rows)
    with pytest.raises(ValueError, match="no categories"):
        prepare(estimator)
