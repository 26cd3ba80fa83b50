"""What all three estimators have in common: the way from a table and back."""

import contextlib
import copy
import math
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    Freezer,
    GradientNormClipping,
    LRScheduler,
    TrainEndCheckpoint,
)

from sklearn_ae import (
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    EncoderDecoderRegressor,
    NeighborMapTransformer,
    VAETransformer,
)
from sklearn_ae._estimators.base import BaseEncoderDecoder
from sklearn_ae._tables import rows as _rows
from sklearn_ae._training import recipe as _recipe

# Most fits here are short on purpose, and the estimators say so.
pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
)

METHODS = ["transform", "reconstruct", "score_samples"]
LOSSES = ["squared_error", "absolute_error", "log_loss"]

# The error of one float32 operation. Sums over a few dozen terms round a few times:
# 1.4 of these, of the largest value, is what was measured.
EPS32 = np.finfo(np.float32).eps


def row_by_row(method, X):
    return np.concatenate([method(X[i : i + 1]) for i in range(len(X))])


def same_results(a, b, X):
    """Whether two estimators give the same bits."""
    return all(
        np.array_equal(getattr(a, name)(X), getattr(b, name)(X)) for name in METHODS
    )


# Methods fit together -----------------------------------------------------------------


def test_fit_returns_the_estimator(Estimator, quick, X):
    estimator = quick(Estimator)
    assert estimator.fit(X) is estimator


def test_partial_fit_returns_the_estimator(Estimator, quick, X):
    estimator = quick(Estimator)
    assert estimator.partial_fit(X) is estimator


def test_fit_transform_is_fit_and_transform(fitted, X):
    Z = clone(fitted).fit_transform(X)
    assert_array_equal(Z, fitted.transform(X))


def test_reconstruct_is_transform_and_back(fitted, X):
    Z = fitted.transform(X)
    assert_allclose(fitted.reconstruct(X), fitted.inverse_transform(Z), rtol=1e-12)


def test_reconstruct_is_transform_and_back_in_float32(fitted, X):
    X = X.astype(np.float32)
    # On this way latents are rounded to single precision: beside columns of about unit
    # spread that tells in values near zero.
    R = fitted.inverse_transform(fitted.transform(X))
    assert_allclose(fitted.reconstruct(X), R, rtol=8 * EPS32, atol=EPS32)


def test_score_is_the_mean_of_score_samples(fitted, X):
    assert fitted.score(X) == pytest.approx(np.mean(fitted.score_samples(X)))


def test_exported_module_reconstructs_rows_in_their_own_units(Estimator, quick, X):
    fitted = quick(Estimator, inference="encoder").fit(X)
    with torch.no_grad():
        R = fitted.module_(torch.from_numpy(X.copy()))
    atol = 8 * EPS32 * np.abs(X).max()
    assert_allclose(R.numpy(), fitted.reconstruct(X), atol=atol, rtol=0)


def test_module_is_left_in_eval_mode(fitted):
    assert not any(module.training for module in fitted.module_.modules())


def test_module_keeps_no_gradients(fitted):
    assert all(p.grad is None for p in fitted.module_.parameters())


def test_feature_names_out_count_the_latents(fitted):
    name = type(fitted).__name__.lower()
    assert list(fitted.get_feature_names_out()) == [f"{name}0", f"{name}1"]


def test_fitted_sizes(fitted, X):
    assert (fitted.n_features_in_, fitted.n_components_) == (X.shape[1], 2)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    "Estimator", [AutoencoderTransformer, DenoisingAutoencoderTransformer]
)
def test_score_samples_is_minus_the_loss_of_each_row(Estimator, loss, quick, X_unit):
    X = X_unit
    estimator = quick(Estimator, loss=loss).fit(X)
    R = estimator.reconstruct(X)
    error = {
        "squared_error": lambda: (X - R) ** 2,
        "absolute_error": lambda: np.abs(X - R),
        "log_loss": lambda: -(X * np.log(R) + (1 - X) * np.log1p(-R)),
    }[loss]()
    assert_allclose(estimator.score_samples(X), -error.mean(axis=1), rtol=1e-10)


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error"])
def test_reconstruction_err_is_in_the_units_of_the_data(Estimator, loss, quick, X):
    estimator = quick(Estimator, loss=loss).fit(X)
    difference = X - estimator.reconstruct(X)
    error = np.abs(difference) ** {"squared_error": 2, "absolute_error": 1}[loss]
    assert estimator.reconstruction_err_ == pytest.approx(error.mean(), rel=1e-4)


@pytest.mark.parametrize(
    "Estimator", [AutoencoderTransformer, DenoisingAutoencoderTransformer]
)
def test_reconstruction_err_is_minus_the_score_of_the_training_rows(
    Estimator, quick, X
):
    estimator = quick(Estimator).fit(X)
    assert estimator.reconstruction_err_ == pytest.approx(-estimator.score(X), rel=1e-4)


# The classes --------------------------------------------------------------------------


def subclasses(cls):
    return [cls, *(s for direct in cls.__subclasses__() for s in subclasses(direct))]


def test_no_hook_of_the_common_base_is_for_one_class_alone():
    # What one class needs, it hands to the design as an object or a function.
    _, *classes = subclasses(BaseEncoderDecoder)
    classes = [cls for cls in classes if cls.__module__.startswith("sklearn_ae.")]
    for name, value in vars(BaseEncoderDecoder).items():
        is_public = not name.startswith("_") or name.startswith("__")
        if is_public or not callable(value):
            continue
        assert sum(name in vars(cls) for cls in classes) != 1, name


# Rows of every kind -------------------------------------------------------------------


@hypothesis_settings(max_examples=25)
@pytest.mark.filterwarnings("ignore:n_components=:UserWarning")
@given(
    Estimator=st.sampled_from(
        [
            AutoencoderTransformer,
            DenoisingAutoencoderTransformer,
            VAETransformer,
        ]
    ),
    shape=st.tuples(st.integers(1, 12), st.integers(1, 6)),
    n_components=st.integers(1, 8),
    dtype=st.sampled_from([np.float32, np.float64]),
    order=st.sampled_from("CF"),
    loss=st.sampled_from(LOSSES),
    early_stopping=st.booleans(),
    hidden_layer_sizes=st.sampled_from([(), (3,), (4, 2)]),
)
def test_shapes_and_dtypes(
    Estimator, shape, n_components, dtype, order, loss, **params
):
    X = np.random.default_rng(0).random(shape).astype(dtype, order=order)
    estimator = Estimator(n_components, loss=loss, max_iter=2, batch_size=4, **params)
    estimator.set_params(learning_rate_init=1e-3).fit(X)
    Z = estimator.transform(X)
    results = {
        "transform": (Z, (len(X), n_components)),
        "inverse_transform": (estimator.inverse_transform(Z), X.shape),
        "reconstruct": (estimator.reconstruct(X), X.shape),
        "score_samples": (estimator.score_samples(X), (len(X),)),
    }
    for name, (result, wanted) in results.items():
        assert result.shape == wanted, name
        assert result.dtype == dtype, name
        assert np.isfinite(result).all(), name


@pytest.mark.parametrize("fit_dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_follows_the_rows_not_those_of_fit(Estimator, fit_dtype, dtype, quick, X):
    estimator = quick(Estimator, max_iter=1).fit(X.astype(fit_dtype))
    for method in METHODS:
        assert getattr(estimator, method)(X.astype(dtype)).dtype == dtype


def test_float32_rows_have_the_latents_of_float64_rows(fitted, X):
    Z = fitted.transform(X)
    Z32 = fitted.transform(X.astype(np.float32))
    # float32 rows themselves are off by one part in EPS32 of the largest value, which
    # the encoder passes on to latents in its own units.
    atol = 8 * EPS32 * np.abs(X).max() * np.abs(Z).max() / X.std(axis=0).min()
    # A loss that is known to a part in EPS32 has its minimum somewhere within the root.
    atol = max(atol, 4 * np.sqrt(EPS32) * np.abs(Z).max())
    assert_allclose(Z32, Z, atol=atol, rtol=0)


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.uint8, bool, np.float16])
def test_other_numbers_are_taken_as_float64(Estimator, dtype, quick):
    X = np.random.default_rng(0).integers(0, 2, size=(20, 4)).astype(dtype)
    estimator = quick(Estimator, max_iter=1).fit(X)
    Z = estimator.transform(X)
    assert Z.dtype == np.float64
    assert_array_equal(Z, estimator.transform(X.astype(np.float64)))


def in_memory_map(X, folder):
    np.save(folder / "X.npy", X)
    return np.load(folder / "X.npy", mmap_mode="r")


KINDS = {
    "writable": lambda X, folder: X.copy(),
    "Fortran order": lambda X, folder: np.asfortranarray(X),
    "read-only": lambda X, folder: X,
    "memory map": in_memory_map,
    "list of lists": lambda X, folder: X.tolist(),
    "every second row": lambda X, folder: np.repeat(X, 2, axis=0)[::2],
    "negative strides": lambda X, folder: X[::-1].copy()[::-1],
    "other byte order": lambda X, folder: X.astype(X.dtype.newbyteorder()),
    "array of objects": lambda X, folder: X.astype(object),
    "DataFrame": lambda X, folder: pd.DataFrame(X),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kind_of_table_makes_no_difference(fitted, kind, X, tmp_path):
    assert X.flags.c_contiguous
    assert not X.flags.writeable
    Z = fitted.transform(KINDS[kind](X, tmp_path))
    # In Fortran order, products are summed in another order.
    assert_allclose(Z, fitted.transform(X), atol=1e-12 * np.abs(Z).max(), rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_kind_of_training_table_makes_no_difference(kind, quick, X, tmp_path):
    table = KINDS[kind](X, tmp_path)
    R = quick(AutoencoderTransformer).fit(table).reconstruct(X)
    wanted = quick(AutoencoderTransformer).fit(X).reconstruct(X)
    # In Fortran order the columns' means are summed in another order.
    assert_allclose(R, wanted, atol=1e-4 * X.std(), rtol=0)


def test_rows_are_left_as_they_were(Estimator, quick, X):
    table = X.copy()
    estimator = quick(Estimator).fit(table)
    for method in METHODS:
        getattr(estimator, method)(table)
    estimator.partial_fit(table)
    assert_array_equal(table, X)


def test_latents_are_left_as_they_were(fitted, X):
    Z = fitted.transform(X)
    before = Z.copy()
    fitted.inverse_transform(Z)
    assert_array_equal(Z, before)


def test_results_belong_to_the_caller(fitted, X):
    Z = fitted.transform(X)
    Z[:] = 0.0  # neither an error nor a change of the estimator
    assert np.any(fitted.transform(X))


def test_names_of_columns_are_kept(Estimator, quick, X):
    frame = pd.DataFrame(X, columns=list("abcde"))
    estimator = quick(Estimator, max_iter=1).fit(frame)
    assert list(estimator.feature_names_in_) == list("abcde")


def test_no_names_without_a_frame(fitted):
    assert not hasattr(fitted, "feature_names_in_")


def test_names_are_forgotten_on_a_refit_without_them(Estimator, quick, X):
    estimator = quick(Estimator, max_iter=1)
    estimator.fit(pd.DataFrame(X, columns=list("abcde"))).fit(X)
    assert not hasattr(estimator, "feature_names_in_")


# Rows do not see each other -----------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_rows_together_or_alone_in_float64(fitted, method, X):
    method = getattr(fitted, method)
    together = method(X)
    atol = 1e-12 * np.abs(together).max()
    assert_allclose(row_by_row(method, X), together, atol=atol, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_rows_together_or_alone_in_float32(fitted, method, X):
    method = getattr(fitted, method)
    X = X.astype(np.float32)
    together = method(X)
    # A matrix product sums in another order for another number of rows, so that the
    # last bits differ: see EPS32. Of a score, which is a difference of larger
    # numbers, they are those of the rows.
    atol = 8 * EPS32 * max(np.abs(together).max(), 1.0)
    assert_allclose(row_by_row(method, X), together, atol=atol, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_order_of_rows_does_not_matter(fitted, method, X):
    method = getattr(fitted, method)
    order = np.random.default_rng(0).permutation(len(X))
    atol = 1e-12 * np.abs(method(X)).max()
    assert_allclose(method(X[order]), method(X)[order], atol=atol, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_table_of_more_than_one_block(fitted, method, X):
    method = getattr(fitted, method)
    n_copies = 110  # 8800 rows
    result = method(np.tile(X, (n_copies, 1)))
    wanted = np.concatenate([method(X)] * n_copies)
    assert_allclose(result, wanted, atol=1e-12 * np.abs(wanted).max(), rtol=0)


def test_fit_of_more_than_one_block(Estimator, more_rows):
    # Centre, scale, linear start and error are sums over blocks of rows.
    X = more_rows(9000)
    estimator = Estimator(max_iter=0).fit(X)
    R = PCA(2).fit(X).inverse_transform(PCA(2).fit_transform(X))
    if Estimator is VAETransformer:  # its posterior means are shrunk
        R = estimator.reconstruct(X)
    error = np.mean((X - R) ** 2)
    assert estimator.reconstruction_err_ == pytest.approx(error, rel=1e-5)


# Units --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factor", "shift"),
    [(1e-6, 0.0), (1e6, 0.0), (1.0, 1e4), (1e6, 1e10)],
)
def test_units_of_the_table_make_no_difference(fitted, factor, shift, X):
    spread = X.std()
    Y = factor * X + shift * spread
    R = (clone(fitted).fit(Y).reconstruct(Y) - shift * spread) / factor
    # Standardised rows differ by rounding errors of Y (1e-12 of the spread), some of
    # which reach the last bit of float32, in which 100 steps of training then differ.
    assert_allclose(R, fitted.reconstruct(X), atol=1e-4 * spread, rtol=0)


def test_powers_of_two_change_no_bit(fitted, X):
    Y = 2.0**20 * X
    assert_array_equal(
        clone(fitted).fit(Y).reconstruct(Y), 2.0**20 * fitted.reconstruct(X)
    )


@pytest.mark.parametrize("factor", [1e-12, 1e12])
def test_score_follows_the_units_of_the_table(fitted, factor, X):
    score = clone(fitted).fit(factor * X).score(factor * X)
    if isinstance(fitted, VAETransformer):  # a log-density
        wanted = fitted.score(X) - X.shape[1] * math.log(factor)
    else:  # a mean square
        wanted = factor**2 * fitted.score(X)
    assert score == pytest.approx(wanted, rel=1e-3)


def test_order_of_columns_does_not_matter(fitted, X):
    order = [3, 0, 4, 1, 2]
    R = clone(fitted).fit(X[:, order]).reconstruct(X[:, order])
    atol = 1e-12 * X.std()
    assert_allclose(R, fitted.reconstruct(X)[:, order], atol=atol, rtol=0)


@pytest.mark.parametrize("Estimator", [AutoencoderTransformer, VAETransformer])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_order_of_columns_does_not_matter_when_going_on(Estimator, method, quick, X):
    # What goes on is the weights and, in partial_fit, the optimizer's moments.
    def train_on(X):
        estimator = quick(Estimator, warm_start=True)
        for max_iter in (10, 20, 30):
            getattr(estimator.set_params(max_iter=max_iter), method)(X)
        return estimator.reconstruct(X)

    order = [3, 0, 4, 1, 2]
    # From the second call on, sums over columns are in the order of the columns.
    atol = 1e-3 * X.std()
    assert_allclose(train_on(X[:, order]), train_on(X)[:, order], atol=atol, rtol=0)


def test_order_of_columns_does_not_matter_at_the_start(Estimator, X):
    order = [3, 0, 4, 1, 2]
    R = Estimator(max_iter=0).fit(X[:, order]).reconstruct(X[:, order])
    wanted = Estimator(max_iter=0).fit(X).reconstruct(X)[:, order]
    assert_allclose(R, wanted, atol=1e-12 * X.std(), rtol=0)


def standardised(X):
    return StandardScaler().fit_transform(X)


@pytest.mark.parametrize("prepare", [np.array, standardised])
def test_scale_is_the_spread_of_the_mean_column(Estimator, prepare, X):
    # Of standardised columns some have the variance 1, others miss it by rounding
    # errors; a constant column counts as one without spread.
    X = np.column_stack([prepare(X), np.full(len(X), 0.1)])
    scale = Estimator(max_iter=0).fit(X).module_.scale.item()
    assert scale == pytest.approx(np.sqrt(X.var(axis=0).mean()), rel=1e-6)


def test_scale_does_not_jump_with_a_rounding_error():
    # Iris, wine and others: columns of variance 1 + 2e-16 are not constant.
    for load in (load_iris, load_wine):
        X = standardised(load().data)
        scale = AutoencoderTransformer(max_iter=0).fit(X).module_.scale.item()
        assert scale == pytest.approx(1.0, rel=1e-6), load.__name__


def test_large_numbers_are_told_to_be_too_large(Estimator, quick, X):
    with pytest.raises(ValueError, match="Divide X by a constant"):
        quick(Estimator).fit(1e200 * X)


# Tables at the edge -------------------------------------------------------------------

rng = np.random.default_rng(0)
TABLES = {
    "one row": rng.normal(size=(1, 4)),
    "two rows": rng.normal(size=(2, 4)),
    "three rows": rng.normal(size=(3, 4)),
    "six rows of 30 columns": rng.normal(size=(6, 30)),
    "one column": rng.normal(size=(30, 1)),
    "one row of one column": np.full((1, 1), 3.0),
    "constant columns": np.column_stack(
        [rng.normal(size=(30, 2)), np.full((30, 2), 0.1)]
    ),
    "all rows equal": np.full((20, 3), 0.1),
    "all zeros": np.zeros((20, 3)),
    "all rows equal and large": np.full((20, 3), 1e8 + 0.1),
    "fewer rows than a batch": rng.normal(size=(7, 3)),
    "columns that follow from others": rng.normal(size=(60, 2))
    @ rng.normal(size=(2, 6)),
    "a column twice": np.repeat(rng.normal(size=(60, 3)), 2, axis=1),
    "one-hot columns": np.eye(4)[rng.integers(0, 4, size=60)],
    "a nearly constant column": np.column_stack(
        [rng.normal(size=(60, 3)), 1.0 + 1e-14 * rng.normal(size=60)]
    ),
    "one far outlier": np.r_[rng.normal(size=(59, 3)), np.full((1, 3), 1e8)],
}


@pytest.mark.filterwarnings("ignore:n_components=:UserWarning")
@pytest.mark.parametrize("n_components", [2, 9])
@pytest.mark.parametrize("table", TABLES)
def test_table_at_the_edge(Estimator, table, n_components):
    X = TABLES[table]
    # The defaults but for the time that they take: two folds instead of five.
    estimator = Estimator(n_components, max_iter=3, validation_fraction=0.25).fit(X)
    for result in [
        estimator.transform(X),
        estimator.reconstruct(X),
        estimator.inverse_transform(estimator.transform(X)),
        estimator.score_samples(X),
        estimator.sample(5),
    ]:
        assert np.isfinite(result).all()


@pytest.mark.parametrize("table", TABLES)
def test_partial_fit_of_a_table_at_the_edge(Estimator, table):
    X = TABLES[table]
    estimator = Estimator(3, hidden_layer_sizes=(16,))
    if not np.ptp(X, axis=0).any():  # no units can be taken from such rows
        with pytest.raises(ValueError, match="do not differ"):
            estimator.partial_fit(X)
        return
    estimator.partial_fit(X)
    assert np.isfinite(estimator.transform(X)).all()


@pytest.mark.parametrize("table", ["all rows equal", "all zeros", "one row"])
def test_rows_without_variance_are_given_back(table, Estimator):
    X = TABLES[table]
    estimator = Estimator(max_iter=0).fit(X)
    assert_allclose(estimator.reconstruct(X), X, rtol=1e-12)


def test_new_value_in_a_nearly_constant_column(Estimator, quick, more_rows):
    # Rounding errors are no spread: what is 1e-14 in training may be 1e-3 later.
    X = more_rows()
    rng = np.random.default_rng(0)
    X = np.column_stack([X, 1.0 + 1e-14 * rng.standard_normal(len(X))])
    estimator = quick(Estimator).fit(X)
    moved = X + [0, 0, 0, 0, 0, 1e-3]
    change = np.abs(estimator.transform(moved) - estimator.transform(X)).max()
    assert change < 0.1 * estimator.transform(X).std()


@pytest.mark.parametrize("n_components", [3, 5])
def test_latents_beyond_the_rank_carry_no_rounding_errors(
    Estimator, n_components, quick
):
    X = TABLES["columns that follow from others"]
    estimator = quick(Estimator, n_components=n_components).fit(X)
    # In float32 the superfluous latents are rounded otherwise; the rows are the same.
    R, R32 = estimator.reconstruct(X), estimator.reconstruct(X.astype(np.float32))
    assert_allclose(R32, R, atol=1e-4 * X.std(), rtol=0)


# Never worse than PCA -----------------------------------------------------------------


class WatchedRows(Callback):
    """Remembers the rows that training sees and those held out."""

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        self.train, self.valid = dataset_train, dataset_valid


def rows_of(X, x):
    """Which rows of X the standardised rows x are, whatever the order of columns."""
    wanted = np.sort((X - X.mean(axis=0)) / np.sqrt(X.var(axis=0).mean()), axis=1)
    found = np.sort(x.numpy(), axis=1)
    distances = np.abs(found[:, None] - wanted).max(axis=2)
    assert distances.min(axis=1).max() < 1e-5
    return distances.argmin(axis=1)


def error_of_pca(X, X_test, n_components=2, power=2):
    pca = PCA(n_components).fit(X)
    R = pca.inverse_transform(pca.transform(X_test))
    return np.mean(np.abs(X_test - R) ** power)


@pytest.mark.parametrize("learning_rate", [3e-3, 0.1])
@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize(
    "Estimator", [AutoencoderTransformer, DenoisingAutoencoderTransformer]
)
def test_training_error_is_never_above_pcas(Estimator, power, learning_rate, quick, X):
    loss = {1: "absolute_error", 2: "squared_error"}[power]
    estimator = quick(Estimator, loss=loss, learning_rate_init=learning_rate).fit(X)
    # The losses that decide are float32.
    assert -estimator.score(X) <= error_of_pca(X, X, power=power) * (1 + 1e-5)


@pytest.mark.parametrize("learning_rate", [3e-3, 0.1])
@pytest.mark.parametrize(
    "Estimator", [AutoencoderTransformer, DenoisingAutoencoderTransformer]
)
def test_validation_error_is_never_above_pcas(Estimator, learning_rate, quick, X):
    rows = WatchedRows()
    estimator = quick(
        Estimator,
        early_stopping=True,
        learning_rate_init=learning_rate,
        callbacks=[rows],
    ).fit(X)
    X_valid = X[rows_of(X, rows.valid)]
    assert -estimator.score(X_valid) <= error_of_pca(X, X_valid) * (1 + 1e-5)


@pytest.mark.parametrize("learning_rate", [3e-3, 0.1])
@pytest.mark.parametrize("loss", ["squared_error", "absolute_error"])
@pytest.mark.parametrize(
    "Estimator", [AutoencoderTransformer, DenoisingAutoencoderTransformer]
)
def test_error_after_cross_validation_is_never_above_pcas(
    Estimator, loss, learning_rate, quick, X
):
    params = {"early_stopping": True, "learning_rate_init": learning_rate}
    estimator = quick(Estimator, loss=loss, **params).fit(X)
    power = {"absolute_error": 1, "squared_error": 2}[loss]
    assert -estimator.score(X) <= error_of_pca(X, X, power=power) * (1 + 1e-5)


def test_cross_validation_holds_every_row_out(quick):
    # Rows that follow no rule: what was learned from the others is worse for them
    # than PCA is, and PCA it stays.
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((80, 5))
    # (By their encoder: projections on a surface that winds through space are nearer.)
    params = {"hidden_layer_sizes": (64,), "max_iter": 60, "inference": "encoder"}
    estimator = quick(AutoencoderTransformer, early_stopping=True, **params)
    assert estimator.fit(noise).best_iter_ == 0
    assert quick(AutoencoderTransformer, **params).fit(noise).best_iter_ > 0


def test_luck_on_few_held_out_rows_does_not_replace_pca(quick):
    # 8 rows held out, of a table without any rule; a callback, so that there are no
    # folds. Some epoch is nearly always better than PCA on 8 rows.
    params = {"hidden_layer_sizes": (64,), "max_iter": 30, "early_stopping": True}
    n_learned = 0
    for seed in range(6):
        noise = np.random.default_rng(seed).standard_normal((80, 5))
        estimator = quick(AutoencoderTransformer, callbacks=[Callback()], **params)
        n_learned += estimator.fit(noise).best_iter_ > 0
    assert n_learned <= 1


def test_cross_validation_finds_what_pca_cannot(quick, more_rows):
    X = more_rows(300)
    params = {"hidden_layer_sizes": (64,), "max_iter": 60, "learning_rate_init": 0.02}
    estimator = quick(AutoencoderTransformer, early_stopping=True, **params).fit(X)
    assert -estimator.score(X) < 0.8 * error_of_pca(X, X)


def test_density_of_training_rows_is_never_below_that_of_probabilistic_pca(quick, X):
    estimator = quick(VAETransformer).fit(X)
    # What decides is the ELBO, a lower bound of this.
    assert estimator.score(X) >= PCA(2).fit(X).score(X) - 1e-5


class LossAfterEachEpoch(Callback):
    """Mean reconstruction error of the training rows, before and after every epoch."""

    def on_train_begin(self, net, X=None, **kwargs):
        self.x = X
        self.losses = []
        self.on_epoch_end(net)

    def on_epoch_end(self, net, **kwargs):
        module = copy.deepcopy(net.module_).eval()
        with torch.no_grad():
            self.losses.append(module.reconstruction_error(self.x).mean().item())


@pytest.mark.parametrize("init", ["pca", "random"])
@pytest.mark.parametrize(
    "Estimator", [AutoencoderTransformer, DenoisingAutoencoderTransformer]
)
def test_best_weights_are_restored(Estimator, init, quick, X):
    watched = LossAfterEachEpoch()
    # A rate at which the last epochs are not the best: the loss jumps about.
    estimator = quick(
        Estimator,
        init=init,
        inference="encoder",
        learning_rate_init=0.05,
        callbacks=[watched],
    ).fit(X)
    best = int(np.argmin(watched.losses))
    assert estimator.best_iter_ == best
    scale = estimator.module_.scale.item()
    assert estimator.reconstruction_err_ == pytest.approx(
        watched.losses[best] * scale**2, rel=1e-4
    )


# Rows held out, and the end of training -----------------------------------------------


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.9])
def test_validation_fraction_of_the_rows_is_held_out(Estimator, fraction, quick, X):
    rows = WatchedRows()
    params = {"early_stopping": True, "validation_fraction": fraction}
    quick(Estimator, callbacks=[rows], **params).fit(X)
    assert len(rows.valid) == round(fraction * len(X))


def test_rows_are_either_trained_on_or_held_out(Estimator, quick, X):
    rows = WatchedRows()
    quick(Estimator, early_stopping=True, callbacks=[rows]).fit(X)
    both = rows_of(X, torch.cat([rows.train, rows.valid]))
    assert_array_equal(np.sort(both), np.arange(len(X)))


def test_rows_held_out_come_from_everywhere(Estimator, quick, X):
    rows = WatchedRows()
    params = {"early_stopping": True, "validation_fraction": 0.25, "max_iter": 1}
    quick(Estimator, callbacks=[rows], **params).fit(X)
    quarters = rows_of(X, rows.valid) // 20
    assert set(quarters) == {0, 1, 2, 3}


def test_no_rows_are_held_out_without_early_stopping(Estimator, quick, X):
    rows = WatchedRows()
    estimator = quick(Estimator, callbacks=[rows]).fit(X)
    assert len(rows.train) == len(X)
    assert rows.valid is None
    assert estimator.validation_loss_curve_ is None


@pytest.mark.parametrize("early_stopping", [True, False])
def test_training_stops_without_progress(Estimator, early_stopping, quick, X):
    # No epoch can lower the loss by that much. (With a callback there is one training
    # with rows held out; without one small tables are cross-validated.)
    params = {"tol": 1e9, "n_iter_no_change": 3, "early_stopping": early_stopping}
    assert quick(Estimator, callbacks=[WatchedRows()], **params).fit(X).n_iter_ == 3
    assert quick(Estimator, **params).fit(X).n_iter_ == 3


def test_stopping_early_is_no_reason_for_a_warning(Estimator, quick, X):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick(Estimator, tol=1e9, n_iter_no_change=3).fit(X)


def test_training_cut_short_is_told(Estimator, quick, X):
    with pytest.warns(ConvergenceWarning, match="Raise max_iter") as caught:
        quick(Estimator, max_iter=1).fit(X)
    assert caught[0].filename == __file__  # the line that called fit


def test_a_number_of_epochs_is_how_long_training_takes(Estimator, quick, X):
    # Longer than "auto" as well as shorter; the rate has fallen to nothing at the end.
    rates = []

    class Rates(Callback):
        def on_epoch_end(self, net, **kwargs):
            rates.append(net.optimizer_.param_groups[0]["lr"])

    params = {"n_iter_no_change": 1000, "hidden_layer_sizes": (4,)}
    estimator = quick(Estimator, max_iter=90, callbacks=[Rates()], **params).fit(X)
    assert estimator.n_iter_ == len(rates) == 90
    assert rates[80] > 0
    assert rates[-1] < 0.01 * max(rates)


def test_auto_is_the_recipe_s_number_of_epochs(Estimator, quick, X):
    params = {"n_iter_no_change": 1000, "hidden_layer_sizes": (4,)}
    automatic = quick(Estimator, max_iter="auto", **params).fit(X)
    assert automatic.n_iter_ == _recipe.n_epochs(len(X))
    explicit = quick(Estimator, max_iter=_recipe.n_epochs(len(X)), **params).fit(X)
    assert same_results(automatic, explicit, X)


@pytest.mark.parametrize("n_rows", [1, 30])
def test_no_training_no_warning(Estimator, n_rows, X):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Estimator(max_iter=0).fit(X[:n_rows])


def test_max_iter_0_trains_nothing(Estimator, X):
    estimator = Estimator(max_iter=0).fit(X)
    assert (estimator.n_iter_, estimator.best_iter_) == (0, 0)
    assert estimator.loss_curve_ == []


@pytest.mark.parametrize("early_stopping", [True, False])
def test_curves_have_one_value_per_epoch(Estimator, early_stopping, quick, X):
    estimator = quick(Estimator, early_stopping=early_stopping, max_iter=7).fit(X)
    assert estimator.n_iter_ == 7
    assert len(estimator.loss_curve_) == 7
    assert len(estimator.history_) == 7
    if early_stopping:
        assert len(estimator.validation_loss_curve_) == 7


def test_history_tells_the_losses_of_the_curves(Estimator, quick, X):
    estimator = quick(Estimator, early_stopping=True).fit(X)
    assert estimator.history_[:, "train_loss"] == estimator.loss_curve_
    assert estimator.history_[:, "valid_loss"] == estimator.validation_loss_curve_


@pytest.mark.parametrize("callbacks", [None, [WatchedRows()]], ids=["folds", "one"])
def test_validation_loss_is_lowest_in_the_best_epoch(Estimator, callbacks, quick, X):
    # With callbacks rows are held out once; without, a small table has folds.
    params = {"early_stopping": True, "init": "random", "learning_rate_init": 0.02}
    estimator = quick(Estimator, callbacks=callbacks, **params).fit(X)
    assert estimator.best_iter_ == 1 + np.argmin(estimator.validation_loss_curve_)


def test_loss_curve_is_that_of_the_training_rows(quick, X):
    # One step per epoch: the loss before the first step is that of the start.
    estimator = quick(AutoencoderTransformer, batch_size=len(X)).fit(X)
    start = AutoencoderTransformer(max_iter=0).fit(X)
    scale = start.module_.scale.item()
    assert estimator.loss_curve_[0] * scale**2 == pytest.approx(-start.score(X), 1e-4)


def test_batches_have_at_most_batch_size_rows(Estimator, quick, X):
    sizes = []

    class BatchSizes(Callback):
        def on_batch_begin(self, net, batch=None, training=None, **kwargs):
            sizes.append(len(batch[0]))

    quick(Estimator, batch_size=30, max_iter=2, callbacks=[BatchSizes()]).fit(X)
    assert sum(sizes) == 2 * len(X)
    assert max(sizes) <= 30
    assert max(sizes) - min(sizes) <= 1


def test_weight_decay_shrinks_the_weights(Estimator, quick, X):
    # The network of the noise has a decay of its own.
    shared = {"noise": "shared"} if Estimator is VAETransformer else {}

    def size(alpha):
        estimator = quick(Estimator, init="random", alpha=alpha, **shared).fit(X)
        return sum(
            p.square().sum().item()
            for name, p in estimator.module_.named_parameters()
            if name.endswith("weight")
        )

    assert size(5.0) < 0.9 * size(0.0)


# Progress and callbacks ---------------------------------------------------------------


def test_verbose_1_shows_one_bar_on_stderr(Estimator, quick, X, capsys):
    quick(Estimator, verbose=1, max_iter=5).fit(X)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "5/5" in captured.err.split("\r")[-1]
    assert "loss=" in captured.err


def test_bar_ends_at_the_epoch_that_training_ended_in(Estimator, quick, X, capsys):
    quick(Estimator, verbose=1, tol=1e9, n_iter_no_change=3).fit(X)
    assert "3/20" in capsys.readouterr().err.split("\r")[-1]


def test_bar_is_closed_where_training_fails(Estimator, quick, X, capsys):
    with pytest.raises(ValueError, match="diverged") as caught:
        quick(Estimator, verbose=1, learning_rate_init=1e6).fit(X)
    assert capsys.readouterr().err.endswith("\n")
    # Until here the error kept the bar alive: it was closed, not collected.
    assert caught.tb is not None


def test_verbose_0_is_silent(Estimator, quick, X, capfd):
    estimator = quick(Estimator, verbose=0).fit(X)
    estimator.partial_fit(X)
    estimator.score(X)
    assert capfd.readouterr() == ("", "")


def test_module_in_a_callback_takes_the_columns_of_the_table(Estimator, quick, X):
    class Reconstruction(Callback):
        def on_train_begin(self, net, **kwargs):
            with torch.no_grad():
                self.R = net.module_(torch.from_numpy(X.copy())).numpy()

    callback = Reconstruction()
    quick(Estimator, callbacks=[callback]).fit(X)
    wanted = quick(Estimator, max_iter=0).fit(X).reconstruct(X)
    assert_allclose(callback.R, wanted, rtol=1e-4)


class Calls(Callback):
    """Which of its methods were called."""

    def __init__(self):
        self.names = []

    def on_train_begin(self, net, **kwargs):
        self.names.append("train begin")

    def on_epoch_begin(self, net, **kwargs):
        self.names.append("epoch begin")

    def on_batch_end(self, net, **kwargs):
        self.names.append("batch")

    def on_epoch_end(self, net, **kwargs):
        self.names.append("epoch end")

    def on_train_end(self, net, **kwargs):
        self.names.append("train end")


def test_callbacks_are_called_in_order(Estimator, quick, X):
    calls = Calls()
    quick(Estimator, max_iter=2, batch_size=40, callbacks=[calls]).fit(X)
    epoch = ["epoch begin", "batch", "batch", "epoch end"]
    assert calls.names == ["train begin", *epoch, *epoch, "train end"]


def test_callbacks_are_called_in_partial_fit(Estimator, quick, X):
    calls = Calls()
    quick(Estimator, batch_size=40, callbacks=[calls]).partial_fit(X)
    epoch = ["epoch begin", "batch", "batch", "epoch end"]
    assert calls.names == ["train begin", *epoch, "train end"]


@pytest.mark.parametrize("loss", LOSSES)
def test_watching_does_not_change_what_is_learned(Estimator, loss, quick, X_unit):
    # Batches that are watched go through autograd, others through the package's own
    # backward passes.
    X = X_unit
    params = {"hidden_layer_sizes": (8, 6), "loss": loss, "max_iter": 5}
    alone = quick(Estimator, callbacks=[Callback()], **params).fit(X)
    watched = quick(Estimator, callbacks=[Calls()], **params).fit(X)
    # 25 steps of Adam, which divides by small gradients, on sums rounded in float32.
    assert_allclose(watched.reconstruct(X), alone.reconstruct(X), atol=1e-3)


def test_early_stopping_of_skorch_stops(Estimator, quick, X):
    never_enough = EarlyStopping(monitor="train_loss", patience=3, threshold=1e9)
    never_enough.threshold_mode = "abs"
    estimator = quick(Estimator, callbacks=[never_enough]).fit(X)
    assert estimator.n_iter_ < 20
    assert len(estimator.history_) == len(estimator.loss_curve_) == estimator.n_iter_


@pytest.mark.parametrize("make", [Checkpoint, TrainEndCheckpoint])
def test_checkpoints_of_skorch_are_written(make, quick, X, tmp_path):
    callback = make(dirname=tmp_path)
    params = {"early_stopping": True, "callbacks": [callback]}
    quick(AutoencoderTransformer, **params).fit(X)
    assert list(tmp_path.glob("*params.pt"))


def test_scheduler_of_skorch_takes_the_place_of_the_schedule(Estimator, quick, X):
    rates = []

    class Rates(Callback):
        def on_batch_end(self, net, **kwargs):
            rates.append(net.optimizer_.param_groups[0]["lr"])

    constant = LRScheduler("StepLR", step_size=1000)
    quick(Estimator, callbacks=[constant, Rates()]).fit(X)
    assert set(rates) == {3e-3}


def test_gradient_clipping_of_skorch_clips(quick, X):
    # To nothing: the first batch's step is then no step.
    clip = GradientNormClipping(gradient_clip_value=1e-20)
    estimator = quick(AutoencoderTransformer, init="random", callbacks=[clip]).fit(X)
    start = quick(AutoencoderTransformer, init="random", max_iter=0).fit(X)
    R = start.reconstruct(X)
    assert_allclose(estimator.reconstruct(X), R, rtol=1e-6, atol=1e-9 * abs(R).max())


def test_freezer_of_skorch_freezes(Estimator, quick, X):
    freezer = Freezer("encoder.0.*")
    estimator = quick(Estimator, init="random", callbacks=[freezer]).fit(X)
    start = quick(Estimator, init="random", max_iter=0).fit(X)
    assert torch.equal(
        estimator.module_.encoder[0].weight, start.module_.encoder[0].weight
    )


class StopAt(Callback):
    """Ends the training as skorch's callbacks do, in the n-th call of one method."""

    def __init__(self, method, n):
        self.n_left = n
        setattr(self, method, self.count)

    def count(self, net, **kwargs):
        self.n_left -= 1
        if self.n_left == 0:
            raise KeyboardInterrupt

    def on_batch_end(self, net, **kwargs):
        """Here so that the batches are watched."""


STOPS = [("on_train_begin", 1), ("on_epoch_begin", 3), ("on_batch_end", 12)]
STOPS += [("on_epoch_end", 3), ("on_train_end", 1)]


@pytest.mark.parametrize(("method", "n"), STOPS)
def test_callback_may_stop_the_training_anywhere(method, n, quick, X):
    stop = StopAt(method, n)
    estimator = quick(AutoencoderTransformer, callbacks=[stop]).fit(X)
    assert np.isfinite(estimator.transform(X)).all()


@pytest.mark.parametrize(("method", "n"), STOPS)
def test_curves_agree_where_a_callback_stops(method, n, quick, X):
    stop = StopAt(method, n)
    estimator = quick(AutoencoderTransformer, callbacks=[stop]).fit(X)
    assert estimator.n_iter_ == len(estimator.loss_curve_) == len(estimator.history_)


@pytest.mark.parametrize("method", [method for method, n in STOPS])
def test_callback_may_stop_a_pass_anywhere(method, quick, X):
    stop = StopAt(method, 1)
    estimator = quick(AutoencoderTransformer, callbacks=[stop]).partial_fit(X)
    assert np.isfinite(estimator.transform(X)).all()


# partial_fit --------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [[2, 1, 7, 70], [80], [40, 40], [79, 1]])
def test_partial_fit_takes_chunks_of_any_size(Estimator, sizes, quick, X):
    estimator = quick(Estimator)
    for chunk in np.split(X, np.cumsum(sizes)[:-1]):
        estimator.partial_fit(chunk)
    assert np.isfinite(estimator.transform(X)).all()
    assert np.isfinite(estimator.sample(3)).all()


def test_partial_fit_counts_its_passes(Estimator, quick, X):
    estimator = quick(Estimator)
    for chunk in np.split(X, 4):
        estimator.partial_fit(chunk)
    assert estimator.n_iter_ == estimator.best_iter_ == 4
    assert len(estimator.loss_curve_) == len(estimator.history_) == 4


def test_partial_fit_learns(Estimator, quick, X):
    estimator = quick(Estimator).partial_fit(X)
    before = estimator.score(X)
    for _ in range(15):
        estimator.partial_fit(X)
    assert estimator.score(X) > before
    if Estimator is not VAETransformer:
        assert -estimator.score(X) < error_of_pca(X, X)


def test_partial_fit_of_one_row_at_a_time_learns(quick, X):
    estimator = quick(AutoencoderTransformer, learning_rate_init=1e-3)
    estimator.partial_fit(X)
    for row in X:
        estimator.partial_fit(row[None])
    assert -estimator.score(X) < error_of_pca(X, X)


def test_partial_fit_keeps_centre_and_scale_of_the_first_rows(Estimator, quick, X):
    estimator = quick(Estimator).partial_fit(X[:40])
    center, scale = estimator.module_.center, estimator.module_.scale
    estimator.partial_fit(1.5 * X[40:])
    assert_allclose(center, X[:40].mean(axis=0), rtol=1e-12)
    assert torch.equal(estimator.module_.center, center)
    assert torch.equal(estimator.module_.scale, scale)


def test_partial_fit_goes_on_after_fit(Estimator, quick, X):
    estimator = quick(Estimator).fit(X)
    before = estimator.transform(X)
    estimator.set_params(learning_rate_init=1e-9, alpha=0.0).partial_fit(X[:20])
    # As before but for a step of nearly nothing: neither new weights nor new axes.
    assert_allclose(estimator.transform(X), before, atol=1e-5 * np.abs(before).max())
    assert estimator.n_iter_ == 21


def test_partial_fit_steps_at_the_rate_of_the_call(Estimator, quick, X):
    estimator = quick(Estimator).partial_fit(X)
    before = estimator.transform(X)
    estimator.set_params(learning_rate_init=1e-9, alpha=0.0).partial_fit(X)
    assert_allclose(estimator.transform(X), before, atol=1e-5 * np.abs(before).max())


def test_partial_fit_leaves_the_axes(Estimator, quick, X):
    estimator = quick(
        Estimator,
        init="random",
        inference="encoder",
        learning_rate_init=1e-9,
        alpha=0.0,
    )
    before = estimator.partial_fit(X[:40]).transform(X)
    after = estimator.partial_fit(X[60:]).transform(X)
    assert_allclose(after, before, atol=1e-5 * np.abs(before).max())


def test_partial_fit_meets_other_noise_on_every_pass(quick, X):
    seen = []

    def remember(x):
        seen.append(torch.rand(1).item())
        return x

    estimator = quick(DenoisingAutoencoderTransformer, corruption=remember)
    for _ in range(3):
        estimator.partial_fit(X[:16])
    assert len(set(seen)) == 3


def test_partial_fit_ignores_the_row_order_within_a_batch(quick, X):
    # One batch: the rows are shuffled, and their mean loss is the same.
    estimator = quick(AutoencoderTransformer, batch_size=80).partial_fit(X)
    reordered = quick(AutoencoderTransformer, batch_size=80).partial_fit(X[::-1])
    assert reordered.loss_curve_ == pytest.approx(estimator.loss_curve_, rel=1e-5)


def test_sample_after_partial_fit_spreads_as_the_rows_do(Estimator, quick, X):
    # The last chunk is one row; the table, and what the latents keep of it, is not.
    estimator = quick(Estimator)
    for chunk in (X[:79], X[79:]):
        estimator.partial_fit(chunk)
    kept = estimator.reconstruct(X).std(axis=0)
    assert np.all(estimator.sample(200).std(axis=0) > 0.5 * kept)


@pytest.mark.parametrize("max_iter", [0, 2])
def test_latents_of_a_pass_after_fit_are_added_to_those_of_the_fit(
    Estimator, quick, more_rows, max_iter
):
    X = more_rows(330)
    estimator = quick(Estimator, max_iter=max_iter).fit(X[:300])
    before = estimator._latent_density
    estimator.partial_fit(X[300:])
    assert estimator._latent_density.n_samples == 330
    # 30 rows of 330 move a mean by less than a tenth of what they are away.
    assert_allclose(
        estimator._latent_density.mean / before.scale,
        before.mean / before.scale,
        atol=0.2,
    )


@pytest.mark.parametrize("first", ["fit", "partial_fit"])
def test_fit_starts_the_latents_density_anew(Estimator, quick, X, first):
    estimator = quick(Estimator)
    getattr(estimator, first)(X[:60])
    assert estimator.fit(X[:40])._latent_density.n_samples == 40
    wanted = quick(Estimator).fit(X[:40])
    assert_array_equal(estimator.sample(9, 0), wanted.sample(9, 0))


# warm_start ---------------------------------------------------------------------------


def test_warm_start_goes_on(Estimator, quick, X):
    estimator = quick(Estimator, warm_start=True).fit(X)
    curve = estimator.loss_curve_
    estimator.set_params(max_iter=30).fit(X)
    assert estimator.n_iter_ == 30
    assert estimator.loss_curve_[:20] == curve
    assert len(estimator.loss_curve_) == len(estimator.history_) == 30


def test_best_epoch_is_counted_over_all_calls(quick, X):
    estimator = quick(AutoencoderTransformer, warm_start=True, init="random").fit(X)
    estimator.set_params(max_iter=30).fit(X)
    # Plain rows, a low rate: every epoch is better than the last one.
    assert estimator.best_iter_ == 30


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_history_numbers_the_epochs_of_all_calls(Estimator, method, quick, X):
    # From a random start five epochs are better than none, so that they count.
    params = {"warm_start": True, "init": "random", "inference": "encoder"}
    estimator = quick(Estimator, max_iter=5, **params).fit(X)
    getattr(estimator.set_params(max_iter=6), method)(X)
    assert estimator.history_[:, "epoch"] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    "Estimator", [AutoencoderTransformer, DenoisingAutoencoderTransformer]
)
def test_warm_start_is_never_worse_than_before(Estimator, quick, X):
    estimator = quick(Estimator, warm_start=True).fit(X)
    before = estimator.score(X)
    estimator.set_params(max_iter=30, learning_rate_init=0.1).fit(X)
    assert estimator.score(X) >= before - 1e-5 * abs(before)


def test_warm_start_with_nothing_left_to_do_says_so(Estimator, quick, X):
    # Noise that follows the latents is learned anew by every fit.
    shared = {"noise": "shared"} if Estimator is VAETransformer else {}
    estimator = quick(Estimator, warm_start=True, **shared).fit(X)
    before = copy.deepcopy(estimator)
    with pytest.warns(ConvergenceWarning, match="have had max_iter=20 epochs"):
        estimator.fit(X)
    assert estimator.n_iter_ == 20
    assert same_results(estimator, before, X)


@pytest.mark.parametrize(
    "Estimator", [AutoencoderTransformer, DenoisingAutoencoderTransformer]
)
def test_warm_start_trains_where_the_linear_start_stayed(Estimator):
    # All columns are kept by as many latents: nothing is left to learn.
    X = np.random.default_rng(0).normal(size=(60, 2))
    params = {"hidden_layer_sizes": (4,), "max_iter": 6, "random_state": 0}
    estimator = Estimator(2, warm_start=True, **params).fit(X)
    assert (estimator.n_iter_, estimator.best_iter_) == (6, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Training ended at max_iter=6")
        estimator.fit(X)
    assert estimator.n_iter_ == len(estimator.loss_curve_) == 12


def test_warm_start_counts_the_epochs_of_the_last_training_on_all_rows():
    # At so high a rate the best epoch is in mid-schedule.
    X = StandardScaler().fit_transform(load_wine().data)
    estimator = AutoencoderTransformer(2, warm_start=True, learning_rate_init=0.02)
    n_had = _recipe.n_epochs_on_all_rows(estimator.fit(X).best_iter_)
    assert 0 < n_had < estimator.n_iter_
    estimator.set_params(max_iter=n_had + 3).fit(X)
    assert estimator.n_iter_ == len(estimator.loss_curve_) == 75 + 3


def test_warm_start_trains_as_long_again_on_auto(Estimator, quick, X):
    params = {"n_iter_no_change": 1000, "hidden_layer_sizes": (4,)}
    estimator = quick(Estimator, warm_start=True, max_iter="auto", **params)
    assert estimator.fit(X).fit(X).n_iter_ == 2 * _recipe.n_epochs(len(X))


def test_without_warm_start_fit_starts_anew(Estimator, quick, X):
    estimator = quick(Estimator).fit(X)
    before = copy.deepcopy(estimator)
    estimator.set_params(max_iter=1).fit(X).set_params(max_iter=20).fit(X)
    assert estimator.n_iter_ == 20
    assert same_results(estimator, before, X)


def test_warm_start_takes_the_same_sizes_in_another_sequence(Estimator, quick, X):
    estimator = quick(Estimator, warm_start=True, hidden_layer_sizes=(8, 4)).fit(X)
    estimator.set_params(hidden_layer_sizes=[8, 4], max_iter=21).fit(X)
    assert estimator.n_iter_ == 21


@pytest.mark.parametrize("goes_on_with", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    ("Estimator", "params"),
    [
        (VAETransformer, {"beta": 50.0}),
        (DenoisingAutoencoderTransformer, {"corruption_level": 5.0}),
        (DenoisingAutoencoderTransformer, {"corruption": "swap"}),
    ],
)
def test_parameters_of_training_count_when_going_on(
    Estimator, params, goes_on_with, quick, X
):
    # Either as changed or, if that cannot be, an error: never silently as before.
    def train_on(**params):
        estimator = quick(Estimator, warm_start=True).fit(X)
        estimator.set_params(max_iter=25, **params)
        return getattr(estimator, goes_on_with)(X)

    as_before = train_on().loss_curve_[20:]
    try:
        changed = train_on(**params).loss_curve_[20:]
    except ValueError as error:
        if not any(name in str(error) for name in params):
            raise
    else:
        assert changed != pytest.approx(as_before, rel=1e-3)


# Latents one can read -----------------------------------------------------------------


@pytest.mark.parametrize("init", ["pca", "random"])
@pytest.mark.parametrize(
    "Estimator", [AutoencoderTransformer, DenoisingAutoencoderTransformer]
)
def test_latents_are_uncorrelated_and_ordered(Estimator, init, quick, X):
    Z = quick(Estimator, n_components=3, init=init).fit(X).transform(X)
    covariance = np.cov(Z.T)
    variances = np.diag(covariance)
    # The fit found their axes in single precision.
    assert_allclose(Z.mean(axis=0), 0.0, atol=1e-4 * Z.std())
    assert_allclose(covariance, np.diag(variances), atol=1e-4 * variances.max())
    assert np.all(np.diff(variances) <= 0)


@pytest.mark.parametrize("init", ["pca", "random"])
def test_latent_goes_up_with_the_column_it_goes_with_most(Estimator, init, quick, X):
    estimator = quick(Estimator, n_components=3, init=init).fit(X)
    Z = estimator.transform(X)
    covariances = (Z - Z.mean(axis=0)).T @ (X - X.mean(axis=0))
    largest = np.take_along_axis(
        covariances, np.abs(covariances).argmax(axis=1)[:, None], axis=1
    )
    if init == "random" or estimator.best_iter_ > 0:
        assert np.all(largest > 0)


# Surroundings -------------------------------------------------------------------------


def test_torchs_default_dtype_is_the_users_own(fitted, X):
    torch.set_default_dtype(torch.float64)
    try:
        estimator = clone(fitted).fit(X)
        estimator.partial_fit(X).sample(2)
    finally:
        torch.set_default_dtype(torch.float32)
    assert estimator.module_.dtype == torch.float32


def test_fit_where_gradients_are_switched_off(fitted, X):
    with torch.no_grad():
        estimator = clone(fitted).fit(X)
    assert same_results(estimator, fitted, X)


# What a fit knows ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "estimator",
    [
        AutoencoderTransformer(2),
        DenoisingAutoencoderTransformer(2),
        EncoderDecoderRegressor(2),
        NeighborMapTransformer(2),
        VAETransformer(2),
        VAETransformer(2, conditional=True),
    ],
    ids=str,
)
def test_fit_reads_no_attribute_before_it_has_set_it(estimator, X):
    set_now, read_too_early = set(), set()

    class Watched(type(estimator)):
        def __setattr__(self, name, value):
            super().__setattr__(name, value)
            set_now.add(name)

        def __getattribute__(self, name):
            known = object.__getattribute__(self, "__dict__")
            if name in known and name not in set_now:
                read_too_early.add(name)
            return object.__getattribute__(self, name)

    watched = Watched(**estimator.get_params())
    watched.set_params(max_iter=1, hidden_layer_sizes=(4,))
    parameters = set(watched.get_params())
    X = X[:40]
    y = (X[:, 0] > 0).astype(int)
    watched.fit(X, y)
    set_now.clear()
    read_too_early.clear()
    watched.fit(X, y)
    assert read_too_early <= parameters


# Precision ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "Estimator",
    [AutoencoderTransformer, DenoisingAutoencoderTransformer, VAETransformer],
)
def test_bfloat16_costs_little(Estimator):
    X = load_digits().data[:300].astype(np.float32)
    # Steps are what is rounded, whoever decides about the epoch, and by what.
    params = {"early_stopping": False, "inference": "encoder", "max_iter": 25}
    scores = [
        Estimator(8, precision=precision, **params).fit(X).score(X)
        for precision in ("float32", "bfloat16")
    ]
    assert scores[1] == pytest.approx(scores[0], rel=0.03)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_after_training_everything_is_in_float32(precision):
    X = np.random.default_rng(0).normal(size=(40, 3))
    model = AutoencoderTransformer(2, precision=precision, max_iter=10).fit(X)
    assert {p.dtype for p in model.module_.parameters()} == {torch.float32}


def test_a_precision_that_is_unknown_is_refused():
    with pytest.raises(ValueError, match="'precision' parameter"):
        AutoencoderTransformer(2, precision="float16").fit(np.eye(4))


# Rates of passes, and numbers of latents ----------------------------------------------


def test_a_pass_that_diverges_is_taken_at_a_lower_rate(Estimator, monkeypatch):
    # At 5 these steps leave the range, at a tenth or a hundredth of it they do not.
    monkeypatch.setattr(_recipe, "learning_rate", lambda *_: 5.0)
    chunks = np.random.default_rng(0).standard_cauchy(size=(2, 300, 2))
    estimator = Estimator(hidden_layer_sizes=(16,), batch_size=16)
    for chunk in chunks:
        estimator.partial_fit(chunk)
    assert estimator.n_iter_ == 2
    assert np.isfinite(estimator.transform(chunks[0])).all()
    with pytest.raises(ValueError, match="diverged"):
        Estimator(
            hidden_layer_sizes=(16,), batch_size=16, learning_rate_init=5.0
        ).partial_fit(chunks[0]).partial_fit(chunks[1])


def test_passes_over_a_few_rows_of_low_rank_do_not_diverge():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 2)) @ rng.normal(size=(2, 7))
    vae = VAETransformer(7)
    for chunk in np.split(X, 10):
        vae.partial_fit(chunk)
    assert np.isfinite(vae.score(X))


@pytest.mark.parametrize("shape", [(20, 2), (3, 5)])
def test_more_latents_than_a_table_can_use_are_warned_of(Estimator, shape):
    X = np.random.default_rng(0).normal(size=shape)
    with pytest.warns(UserWarning, match=r"2 latents give.*All 3 were fitted"):
        Z = Estimator(3, max_iter=0).fit_transform(X)
    assert Z.shape == (shape[0], 3)


def test_a_first_pass_does_not_tell_how_many_rows_will_come(Estimator):
    Estimator(3).partial_fit(np.random.default_rng(0).normal(size=(2, 5)))


# Extreme units, and what X may be wrapped in ------------------------------------------


class Lazy:
    """Rows that are no array, but read in slices."""

    def __init__(self, X):
        self.X, self.shape, self.dtype = X, X.shape, X.dtype

    def __getitem__(self, rows):
        return self.X[rows]


@pytest.mark.parametrize("unit", [1e-22, 1e20])
def test_scores_of_single_precision_hold_extreme_units(unit, X):
    rows = (X * unit).astype(np.float32)
    estimator = AutoencoderTransformer(max_iter=0).fit(rows)
    assert estimator.score(rows) == pytest.approx(-estimator.reconstruction_err_, 1e-4)
    assert estimator.score_samples(rows).dtype == np.float64
    assert estimator.transform(rows).dtype == np.float32


@pytest.mark.parametrize("as_table", [np.asarray, Lazy])
@pytest.mark.parametrize("unit", [1e155, 1e200])
def test_units_whose_squares_are_not_finite_are_refused(unit, as_table, X, monkeypatch):
    monkeypatch.setattr(_rows, "RESIDENT_SIZE", 10)
    with pytest.raises(ValueError, match="X is too large"):
        AutoencoderTransformer(max_iter=0).fit(as_table(X * unit))


def test_lazy_complex_rows_are_refused(Estimator, X):
    with pytest.raises(ValueError, match="real numbers; its dtype is complex128"):
        Estimator(max_iter=0).fit(Lazy(X + 1j))


def test_masked_cells_are_missing_ones(fitted, X):
    mask = np.sort(X.ravel())[-3] < X
    masked = np.ma.masked_array(X, mask)
    assert_array_equal(
        fitted.transform(masked), fitted.transform(np.where(mask, np.nan, X))
    )


def test_a_mask_of_nothing_makes_no_difference(fitted, X):
    assert_array_equal(fitted.transform(np.ma.masked_array(X)), fitted.transform(X))


def test_tensors_with_gradients_are_their_values(fitted, X):
    tensor = torch.tensor(X, requires_grad=True)
    assert_array_equal(fitted.transform(tensor), fitted.transform(X))


def test_a_far_row_does_not_decide_whether_pca_stays(more_rows):
    X = more_rows(150)
    rest = ((X - X.mean(axis=0)) ** 2).sum()
    X[0] = X.mean(axis=0) + np.sqrt(99 * rest / 5) * np.array([1, -1, 1, 1, -1])
    model = AutoencoderTransformer(hidden_layer_sizes=(32,)).fit(X)
    pca = PCA(2).fit(X)
    missed = X - pca.inverse_transform(pca.transform(X))
    errors = -model.score_samples(X)[1:]
    assert model.best_iter_ > 0
    assert errors.mean() < 0.9 * (missed[1:] ** 2).mean()


FITS = [
    (AutoencoderTransformer, "fit"),
    (AutoencoderTransformer, "partial_fit"),
    (VAETransformer, "fit"),
    (EncoderDecoderRegressor, "fit"),
]


@pytest.mark.parametrize(("Estimator", "fit"), FITS)
def test_modes_of_torch_around_a_fit_change_nothing(Estimator, fit, X):
    trained = []
    for mode in (contextlib.nullcontext, torch.inference_mode):
        estimator = Estimator(hidden_layer_sizes=(4,), max_iter=1)
        # Without rows held out, moments and columns are what the first step needs.
        estimator.set_params(early_stopping=False)
        with mode():
            getattr(estimator, fit)(X, X[:, 0])
            Z = estimator.transform(X[:3])
        tensors = [*estimator.module_.parameters(), *estimator.module_.buffers()]
        assert not any(tensor.is_inference() for tensor in tensors)
        assert_array_equal(estimator.transform(X[:3]), Z)
        trained.append(Z)
    assert_array_equal(*trained)
