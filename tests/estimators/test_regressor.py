"""EncoderDecoderRegressor: linear regression of a given rank, and what lies beyond."""

import pickle

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sklearn_ae import EncoderDecoderRegressor
from sklearn_ae._networks.linear import RegressionStart
from sklearn_ae._networks.modules import Anchored
from sklearn_ae._tables import rows as _rows

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
)

QUICK = {
    "hidden_layer_sizes": (16,),
    "max_iter": 20,
    "batch_size": 16,
    "learning_rate_init": 3e-3,
    "early_stopping": False,
}


def linear_pairs(n=120, d=6, m=4, noise=0.3, seed=0):
    """Rows of different units, and targets that are linear in them, plus noise."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) @ rng.normal(size=(d, d))
    Y = X @ rng.normal(size=(d, m)) + noise * rng.normal(size=(n, m))
    return X * 10.0 ** np.arange(-2, d - 2) + 50.0, Y + 3.0


def bent_pairs(n=400, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, size=(n, 3))
    Y = np.column_stack([np.sin(3 * X[:, 0]), X[:, 1] * X[:, 2], X[:, 0]])
    return X, Y + 0.02 * rng.normal(size=Y.shape)


def image_pairs(n=200, side=8, seed=0):
    """Bright squares of different sizes on noise, and where they are."""
    rng = np.random.default_rng(seed)
    line, column = np.divmod(np.arange(side * side), side)
    top, left = rng.integers(0, side - 3, size=(2, n, 1))
    size = rng.integers(2, 5, size=(n, 1))
    masks = (line >= top) & (line < top + size)
    masks &= (column >= left) & (column < left + size)
    images = 0.5 * masks + rng.uniform(0, 0.6, size=masks.shape)
    return images, masks


@pytest.fixture(scope="module")
def pairs():
    return linear_pairs()


@pytest.fixture(scope="module")
def fitted(pairs):
    return EncoderDecoderRegressor(3, **QUICK).fit(*pairs)


def start(n_components=32, **params):
    return EncoderDecoderRegressor(n_components, max_iter=0, **params)


# The linear start ---------------------------------------------------------------------


def reduced_rank_ridge(X, Y, rank, penalty):
    """Predictions for X by the textbook: augmented least squares, then an SVD."""
    x, y = X - X.mean(axis=0), Y - Y.mean(axis=0)
    augmented = np.vstack([x, np.sqrt(penalty) * np.eye(x.shape[1])])
    wanted = np.vstack([y, np.zeros((x.shape[1], y.shape[1]))])
    coefficients = np.linalg.lstsq(augmented, wanted, rcond=None)[0]
    _, _, axes = np.linalg.svd(augmented @ coefficients, full_matrices=False)
    return x @ coefficients @ axes[:rank].T @ axes[:rank] + Y.mean(axis=0)


def error_of_cross_validation(X, Y, penalty):
    """Generalised cross-validation by its definition, from the hat matrix."""
    x, y = X - X.mean(axis=0), Y - Y.mean(axis=0)
    n, d = x.shape
    hat = x @ np.linalg.solve(x.T @ x + penalty * np.eye(d), x.T)
    return np.sum((y - hat @ y) ** 2) / (n - 1 - np.trace(hat)) ** 2


def best_penalty(X, Y):
    candidates = len(X) * RegressionStart.PENALTIES.numpy()
    return min(candidates, key=lambda a: error_of_cross_validation(X, Y, a))


@pytest.mark.parametrize("noise", [0.3, 30.0])
@pytest.mark.parametrize("rank", [1, 2, 3, 4, 7])
def test_before_the_first_step_it_is_reduced_rank_ridge_regression(rank, noise):
    X, Y = linear_pairs(noise=noise)
    scaled = StandardScaler().fit_transform(X)
    wanted = reduced_rank_ridge(scaled, Y, rank, best_penalty(scaled, Y))
    P = start(rank).fit(X, Y).predict(X)
    assert_allclose(P, wanted, rtol=1e-4, atol=1e-4 * Y.std())


def test_noise_raises_the_penalty():
    little, much = (
        best_penalty(StandardScaler().fit_transform(X), Y)
        for X, Y in (linear_pairs(noise=noise) for noise in (0.3, 30.0))
    )
    assert little < 1.0 < much


def test_without_noise_it_is_linear_regression():
    X, Y = linear_pairs(noise=0.0)
    wanted = LinearRegression().fit(X, Y).predict(X)
    P = start().fit(X, Y).predict(X)
    assert_allclose(P, wanted, rtol=1e-4, atol=1e-4 * Y.std())


def test_one_target_is_ridge_regression():
    X, Y = linear_pairs(noise=5.0)
    scaled = StandardScaler().fit_transform(X)
    ridge = Ridge(best_penalty(scaled, Y[:, :1])).fit(scaled, Y[:, 0])
    P = start().fit(X, Y[:, 0]).predict(X)
    assert_allclose(P, ridge.predict(scaled), rtol=1e-4, atol=1e-4 * Y.std())


@pytest.mark.parametrize(("n", "d"), [(20, 40), (40, 40), (2, 3)])
def test_more_columns_than_rows_give_a_ridge_regression_too(n, d):
    X, Y = linear_pairs(n, 6, 2)
    X = X @ np.random.default_rng(1).normal(size=(6, d))
    X += 1e-2 * X.std() * np.random.default_rng(2).normal(size=X.shape)
    P = start().fit(X, Y).predict(X)
    scaled = StandardScaler().fit_transform(X)
    wanted = [
        Ridge(n * a).fit(scaled, Y).predict(scaled)
        for a in RegressionStart.PENALTIES.numpy()
    ]
    assert min(np.abs(P - w).max() for w in wanted) < 1e-3 * Y.std()


@pytest.mark.parametrize("n_axes", [5, 50])
def test_of_large_tables_the_leading_axes_are_taken(n_axes, monkeypatch):
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(300, 5))
    X = Z @ rng.normal(size=(5, 60)) + 1e-3 * rng.normal(size=(300, 60))
    Y = Z @ rng.normal(size=(5, 2))
    exact = start().fit(X, Y).predict(X)
    monkeypatch.setattr("sklearn_ae._networks.linear.EXACT_PCA_SIZE", 10)
    monkeypatch.setattr("sklearn_ae._networks.linear._N_AXES", n_axes)
    assert_allclose(start().fit(X, Y).predict(X), exact, atol=2e-2 * Y.std())


def test_latents_of_the_start_are_the_axes_of_the_predictions(pairs):
    X, Y = pairs
    regressor = start(3).fit(X, Y)
    Z, P = regressor.transform(X), regressor.predict(X)
    centred = P - P.mean(axis=0)
    _, spread, axes = np.linalg.svd(centred, full_matrices=False)
    expected = centred @ axes[:3].T
    assert_allclose(np.abs(Z), np.abs(expected), atol=1e-3 * spread[0])


def test_latents_beyond_the_rank_are_zero_at_the_start(pairs):
    X, Y = pairs
    Z = start(7).fit(X, Y).transform(X)
    assert Z[:, :4].std(axis=0).min() > 0
    assert not Z[:, 4:].any()


def test_units_of_the_columns_do_not_matter(pairs):
    X, Y = pairs
    factors = 2.0 ** np.array([0, 10, -10, 3, -3, 1])
    a = EncoderDecoderRegressor(3, **QUICK).fit(X, Y).predict(X)
    b = EncoderDecoderRegressor(3, **QUICK).fit(X * factors, Y).predict(X * factors)
    assert_allclose(a, b, rtol=1e-3, atol=1e-3 * Y.std())


def test_unit_of_the_targets_does_not_matter(pairs):
    X, Y = pairs
    a = EncoderDecoderRegressor(3, **QUICK).fit(X, Y).predict(X)
    b = EncoderDecoderRegressor(3, **QUICK).fit(X, 1024 * Y).predict(X)
    assert_allclose(1024 * a, b, rtol=1e-4)


def test_columns_far_from_zero_keep_their_digits(pairs):
    X, Y = pairs
    near, far = start().fit(X, Y), start().fit(X + 1e7, Y + 1e7)
    P = far.predict(X + 1e7) - 1e7
    assert_allclose(P, near.predict(X), atol=1e-3 * Y.std())


@pytest.mark.parametrize("n_rows", [1, 2, 3])
def test_few_rows_will_do(n_rows, pairs):
    X, Y = pairs
    P = EncoderDecoderRegressor(3, **QUICK).fit(X[:n_rows], Y[:n_rows]).predict(X)
    assert np.isfinite(P).all()


def test_constant_columns_and_targets_are_left_alone(pairs):
    X, Y = pairs
    X, Y = np.insert(X, 2, 7.0, axis=1), np.insert(Y, 1, -4.0, axis=1)
    regressor = EncoderDecoderRegressor(4, **QUICK).fit(X, Y)
    P = regressor.predict(X)
    assert_allclose(P[:, 1], -4.0, atol=1e-2 * Y.std())
    assert r2_score(np.delete(Y, 1, axis=1), np.delete(P, 1, axis=1)) > 0.9
    constant = EncoderDecoderRegressor(4, **QUICK).fit(X, np.full(len(X), 5.0))
    assert_allclose(constant.predict(X), 5.0, atol=1e-3)


# Training -----------------------------------------------------------------------------


def test_learns_what_no_linear_map_can():
    X, Y = bent_pairs()
    X_test, Y_test = bent_pairs(seed=1)
    regressor = EncoderDecoderRegressor(8).fit(X, Y)
    assert LinearRegression().fit(X, Y).score(X_test, Y_test) < 0.65
    assert regressor.score(X_test, Y_test) > 0.97


def test_stays_linear_where_there_is_nothing_else():
    X, Y = linear_pairs(n=300)
    regressor = EncoderDecoderRegressor().fit(X, Y)
    assert regressor.best_iter_ == 0
    assert_array_equal(regressor.predict(X), start().fit(X, Y).predict(X))


def test_curves_and_best_epoch_are_those_of_the_held_out_rows():
    X, Y = bent_pairs(1200)
    regressor = EncoderDecoderRegressor(4, max_iter=5, hidden_layer_sizes=(16,))
    regressor.fit(X, Y)
    curve = regressor.validation_loss_curve_
    assert len(curve) == len(regressor.loss_curve_) == regressor.n_iter_ == 5
    assert curve[regressor.best_iter_ - 1] == min(curve)


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error"])
def test_loss_is_in_units_of_the_targets(loss, pairs):
    X, Y = pairs
    regressor = EncoderDecoderRegressor(3, loss=loss, **QUICK).fit(X, Y)
    errors = np.abs(regressor.predict(X) - Y)
    wanted = np.mean(errors**2 if loss == "squared_error" else errors)
    assert regressor.loss_ == pytest.approx(wanted, rel=1e-4)


def test_latents_are_uncorrelated_and_ordered(fitted, pairs):
    covariance = np.cov(fitted.transform(pairs[0]).T)
    variances = np.diag(covariance)
    assert (np.diff(variances) <= 0).all()
    assert np.abs(covariance - np.diag(variances)).max() < 1e-3 * variances[0]


def test_predictions_are_the_decoded_latents(fitted, pairs):
    X, _ = pairs
    with torch.no_grad():
        Z = torch.tensor(fitted.transform(X), dtype=torch.float32)
        P = fitted.module_.inverse_transform(Z).numpy()
    assert_allclose(P, fitted.predict(X), rtol=1e-3, atol=1e-3)


def test_score_is_r2(fitted, pairs):
    X, Y = pairs
    assert fitted.score(X, Y) == r2_score(Y, fitted.predict(X))


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"early_stopping": True},
        {"init": "random"},
        {"loss": "absolute_error", "alpha": 0.5},
        {"encoder": nn.Linear},
    ],
    ids=str,
)
def test_refit_gives_the_same_bits(params, pairs):
    X, Y = pairs
    regressor = EncoderDecoderRegressor(3, **{**QUICK, **params}).fit(X, Y)
    P = regressor.predict(X)
    assert_array_equal(clone(regressor).fit(X, Y).predict(X), P)
    assert_array_equal(regressor.fit(X, Y).predict(X), P)


def test_warm_start_goes_on(pairs):
    X, Y = pairs
    params = {**QUICK, "init": "random", "warm_start": True}
    regressor = EncoderDecoderRegressor(3, **params).fit(X, Y)
    loss = regressor.loss_
    regressor.set_params(max_iter=40).fit(X, Y)
    assert regressor.n_iter_ == len(regressor.loss_curve_) == 40
    assert regressor.loss_ < loss


def test_own_networks_get_the_widths_of_rows_and_targets(pairs):
    X, Y = pairs
    widths = []

    def linear(n_inputs, n_outputs):
        widths.append((n_inputs, n_outputs))
        return nn.Linear(n_inputs, n_outputs)

    regressor = EncoderDecoderRegressor(3, encoder=linear, decoder=linear, **QUICK)
    assert regressor.fit(X, Y).predict(X).shape == Y.shape
    assert widths == [(6, 3), (3, 4)]


# What comes in and goes out -----------------------------------------------------------


def test_targets_come_back_in_their_shape(pairs):
    X, Y = pairs
    for y in (Y, Y[:, :1], Y[:, 0], Y[:, 0].tolist()):
        regressor = EncoderDecoderRegressor(2, **QUICK).fit(X, y)
        assert regressor.predict(X).shape == np.shape(y)
        assert regressor.n_targets_ == (np.shape(y) + (1,))[1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("target_dtype", [np.float32, np.float64, np.int64, bool])
def test_predictions_have_the_dtype_of_the_rows(dtype, target_dtype, pairs):
    X, Y = pairs
    regressor = EncoderDecoderRegressor(2, **QUICK)
    regressor.fit(X.astype(dtype), (Y.mean() < Y).astype(target_dtype))
    assert regressor.predict(X.astype(dtype)).dtype == dtype
    assert regressor.transform(X.astype(dtype)).dtype == dtype


def test_a_prediction_does_not_depend_on_the_rows_beside_it(fitted, pairs):
    X, _ = pairs
    one_by_one = np.concatenate([fitted.predict(row[None]) for row in X])
    assert_allclose(one_by_one, fitted.predict(X), rtol=1e-12)


def test_mapped_rows_are_rows(tmp_path, pairs):
    X, Y = pairs
    mapped = np.memmap(tmp_path / "X", dtype=X.dtype, mode="w+", shape=X.shape)
    mapped[:] = X
    regressor = EncoderDecoderRegressor(3, **QUICK)
    P = regressor.fit(X, Y).predict(X)
    assert_array_equal(regressor.fit(mapped, Y).predict(mapped), P)


def test_long_tables_are_predicted_in_blocks(fitted, pairs, monkeypatch):
    X, _ = pairs
    wanted = fitted.predict(X)
    monkeypatch.setattr("sklearn_ae._tables.checks.is_long", lambda X: True)
    monkeypatch.setattr("sklearn_ae._inference.compute.block_rows", lambda n: 7)
    assert_allclose(fitted.predict(X), wanted, rtol=1e-12)


def test_goes_into_scikit_learns_tools(pairs):
    X, Y = pairs
    pipeline = make_pipeline(
        StandardScaler(),
        TransformedTargetRegressor(
            EncoderDecoderRegressor(2, **QUICK), transformer=StandardScaler()
        ),
    )
    name = "transformedtargetregressor__regressor__n_components"
    search = GridSearchCV(pipeline, {name: [1, 4]}, cv=2).fit(X, Y)
    assert search.best_params_ == {name: 4}


def test_names_of_the_latents(fitted):
    names = ["encoderdecoderregressor0", "encoderdecoderregressor1"]
    assert fitted.get_feature_names_out().tolist()[:2] == names


# Images -------------------------------------------------------------------------------

SMALL_IMAGES = {"hidden_layer_sizes": (4, 8), "early_stopping": False, "max_iter": 25}


def share(A, B):
    return np.sum(A & B) / np.sum(A | B)


def test_masks_are_found():
    X, Y = image_pairs(400)
    X_test, Y_test = image_pairs(seed=1)
    regressor = EncoderDecoderRegressor(
        4, image_shape=(8, 8), loss="log_loss", **SMALL_IMAGES
    ).fit(X, Y)
    P = regressor.predict(X_test)
    assert P.min() >= 0
    assert P.max() <= 1
    threshold = max(share(X_test > t, Y_test) for t in np.linspace(0, 1, 50))
    assert threshold < 0.85
    assert share(P > 0.5, Y_test) > 0.9


def test_loss_of_masks_is_cross_entropy():
    X, Y = image_pairs(50)
    regressor = EncoderDecoderRegressor(
        4, image_shape=(8, 8), loss="log_loss", **{**SMALL_IMAGES, "max_iter": 2}
    ).fit(X, Y)
    P = regressor.predict(X)
    wanted = -np.mean(np.where(Y, np.log(P), np.log1p(-P)))
    assert regressor.loss_ == pytest.approx(wanted, rel=1e-4)


SHAPES = {
    "a mask of a colour image": ((4, 6, 3), "auto", 24, True),
    "a colour image of a grey one": ((4, 6), "auto", 72, True),
    "numbers of an image": ((4, 6), "auto", 5, False),
    "no image though it could be one": ((4, 6), None, 24, False),
    "a larger image": ((4, 6), (8, 12), 96, False),
    "an image of a row": (None, (5, 3), 15, False),
}


@pytest.mark.parametrize("loss", ["squared_error", "log_loss"])
@pytest.mark.parametrize("kind", SHAPES)
def test_images_may_stand_on_either_side(kind, loss):
    image_shape, target_shape, m, has_skips = SHAPES[kind]
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(30, np.prod(image_shape or 9)))
    Y = rng.uniform(size=(30, m))
    params = {**SMALL_IMAGES, "max_iter": 2, "loss": loss}
    params |= {"image_shape": image_shape, "target_shape": target_shape}
    regressor = EncoderDecoderRegressor(3, **params).fit(X, Y)
    P = regressor.predict(X)
    assert P.shape == Y.shape
    assert np.isfinite(P).all()
    alone = np.concatenate([regressor.predict(x[None]) for x in X])
    assert_allclose(alone, P, rtol=1e-9)
    without = regressor.set_params(skip_connections=False).fit(X, Y).predict(X)
    assert has_skips == np.any(without != P)


def test_images_start_as_linear_regression_with_skips_too():
    X, _ = image_pairs(300)
    noisy, clean = X + 0.1, X[:, ::-1]
    linear = start(64).fit(noisy, clean)
    images = start(64, image_shape=(8, 8)).fit(noisy, clean)
    assert isinstance(images.module_.decoder, Anchored)
    assert_allclose(
        images.predict(noisy), linear.predict(noisy), atol=5e-3 * clean.std()
    )


def test_images_with_skips_leave_the_linear_start():
    X, Y = image_pairs(300)
    X_test, Y_test = image_pairs(seed=1)
    params = {**SMALL_IMAGES, "image_shape": (8, 8)}
    linear = start(16).fit(X, Y).score(X_test, Y_test)
    assert EncoderDecoderRegressor(16, **params).fit(X, Y).score(X_test, Y_test) > (
        linear + 0.05
    )


def test_skips_carry_what_latents_cannot():
    # One latent cannot say what 64 independent pixels are, but their maps can.
    X = np.random.default_rng(0).uniform(size=(500, 64))
    params = {**SMALL_IMAGES, "init": "random", "image_shape": (8, 8)}
    with_skips = EncoderDecoderRegressor(1, **params).fit(X, 1 - X)
    without = EncoderDecoderRegressor(1, skip_connections=False, **params)
    assert with_skips.score(X, 1 - X) > 0.8
    assert without.fit(X, 1 - X).score(X, 1 - X) < 0.3


def test_skips_see_the_latents_too():
    X, Y = image_pairs(30)
    params = {**SMALL_IMAGES, "max_iter": 1, "loss": "log_loss"}
    regressor = EncoderDecoderRegressor(2, image_shape=(8, 8), **params).fit(X, Y)
    before = regressor.predict(X)
    with torch.no_grad():
        list(regressor.module_.encoder.parameters())[-1].add_(10.0)
    assert np.abs(regressor.predict(X) - before).max() > 1e-6


def test_super_resolution():
    X, _ = image_pairs(600, side=8)
    small = X.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(-1, 16)
    regressor = EncoderDecoderRegressor(
        16, image_shape=(4, 4), target_shape=(8, 8), max_iter=2
    ).fit(small, X)
    nearest = np.kron(small.reshape(-1, 4, 4), np.ones((2, 2))).reshape(-1, 64)
    assert np.mean((regressor.predict(small) - X) ** 2) < np.mean((nearest - X) ** 2)


def test_bfloat16_learns_what_float32_does():
    X, Y = image_pairs(100)
    params = {**SMALL_IMAGES, "image_shape": (8, 8), "max_iter": 10}
    both = [
        EncoderDecoderRegressor(4, precision=precision, **params).fit(X, Y).loss_curve_
        for precision in ("float32", "bfloat16")
    ]
    assert both[0] != both[1]
    assert_allclose(*both, rtol=0.05)


# Copies and files ---------------------------------------------------------------------


def results(regressor, X):
    return [regressor.predict(X), regressor.transform(X), regressor.loss_curve_]


ELSEWHERE = """
import pickle
import sys
import joblib
sys.path.insert(0, sys.argv[1])
from test_regressor import results
X, Y, settings = joblib.load(sys.argv[2])
for regressor in settings:
    print(joblib.hash(results(regressor.fit(X, Y), X)))
print(joblib.hash(results(pickle.load(open(sys.argv[3], "rb")), X)))
"""


def test_another_process_gets_the_same_bits(in_other_process, tmp_path):
    X, Y = image_pairs(60)
    params = {**SMALL_IMAGES, "max_iter": 2, "image_shape": (8, 8)}
    settings = [
        EncoderDecoderRegressor(3, **{**QUICK, "early_stopping": True}),
        EncoderDecoderRegressor(3, **params),
        EncoderDecoderRegressor(3, loss="log_loss", **params),
    ]
    joblib.dump((X, Y, settings), tmp_path / "task")
    wanted = [joblib.hash(results(clone(r).fit(X, Y), X)) for r in settings]
    fitted = clone(settings[-1]).fit(X, Y)
    (tmp_path / "file").write_bytes(pickle.dumps(fitted))
    folder = __file__.rpartition("/")[0]
    arguments = folder, tmp_path / "task", tmp_path / "file"
    output = in_other_process(ELSEWHERE, *arguments)
    assert output.split() == [*wanted, wanted[-1]]


def test_use_and_fit_leave_the_global_generators_alone(pairs):
    before = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002
    EncoderDecoderRegressor(3, random_state=None, **QUICK).fit(*pairs).predict(pairs[0])
    after = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002
    assert after == before


def test_file_holds_no_row_and_no_target(fitted, pairs):
    data = pickle.dumps(fitted)
    x = fitted.module_.standardize(torch.tensor(np.hstack(pairs))).numpy()
    for row in [*pairs[0], *pairs[1], *x[:, :6], *x[:, 6:]]:
        assert row.tobytes() not in data
    n_weights = sum(t.nbytes for t in fitted.module_.state_dict().values())
    assert len(data) < n_weights + 25_000


# What is wrong is said ----------------------------------------------------------------


def with_nan(Y):
    Y = Y.copy()
    Y[3, 1] = np.nan
    return Y


BAD_TARGETS = {
    "nan": (with_nan, "contains NaN"),
    "fewer rows": (lambda Y: Y[:-1], "inconsistent numbers of samples"),
    "words": (lambda Y: np.full(len(Y), "red"), "could not convert string to float"),
    "complex": (lambda Y: Y + 1j, "Complex data not supported"),
    "nothing": (lambda Y: None, "requires y to be passed"),
    "three dimensions": (lambda Y: Y[:, :, None], "dim 3"),
    "no columns": (lambda Y: Y[:, :0], "0 feature"),
    "too large": (lambda Y: 1e200 * Y, "y is too large"),
}


@pytest.mark.parametrize("kind", BAD_TARGETS)
def test_bad_targets(kind, pairs):
    X, Y = pairs
    bad, message = BAD_TARGETS[kind]
    regressor = EncoderDecoderRegressor(2)
    with pytest.raises(ValueError, match=message):
        regressor.fit(X, bad(Y))
    assert vars(regressor) == regressor.get_params()


def test_failed_fit_leaves_a_fitted_regressor_as_it_was(pairs):
    X, Y = pairs
    regressor = EncoderDecoderRegressor(2, **QUICK).fit(X, Y[:, 0])
    attributes, P = dict(vars(regressor)), regressor.predict(X)
    with pytest.raises(ValueError, match="y is too large"):
        regressor.fit(X, 1e200 * Y)
    assert vars(regressor) == attributes
    assert_array_equal(regressor.predict(X), P)


@pytest.mark.parametrize("factor", [2.0, -1.0])
def test_log_loss_needs_targets_between_0_and_1(factor, pairs):
    X, _ = pairs
    y = np.linspace(0, factor, len(X))
    with pytest.raises(ValueError, match=r"expects values in \[0, 1\]; y has values"):
        EncoderDecoderRegressor(loss="log_loss").fit(X, y)


def test_log_loss_takes_rows_of_any_values(pairs):
    X, _ = pairs
    y = X[:, 0] > np.median(X[:, 0])
    regressor = EncoderDecoderRegressor(
        2, loss="log_loss", **{**QUICK, "learning_rate_init": 0.03}
    ).fit(X, y)
    assert np.mean((regressor.predict(X) > 0.5) == y) > 0.9


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"image_shape": (2, 2)}, r"image_shape=\(2, 2\) has 4 values, but X has 6"),
        ({"target_shape": (3, 2)}, r"target_shape=\(3, 2\) has 6 values, but y has 4"),
        ({"target_shape": (0, 4)}, r"target_shape must be \(height, width\)"),
        ({"target_shape": "none"}, "'target_shape' parameter"),
        ({"skip_connections": True}, "skip_connections=True needs"),
        (
            {"skip_connections": True, "image_shape": (2, 3), "target_shape": (2, 2)},
            "same height and width",
        ),
        ({"init": "pca"}, "'init' parameter"),
        ({"init": "linear", "loss": "log_loss"}, 'init="linear" goes with'),
        ({"init": "linear", "encoder": nn.Linear}, 'init="linear" starts'),
        ({"n_components": 0}, "'n_components' parameter"),
    ],
)
def test_bad_parameters(params, message, pairs):
    with pytest.raises(ValueError, match=message):
        EncoderDecoderRegressor(**params).fit(*pairs)


def test_warm_start_needs_as_many_targets(pairs):
    X, Y = pairs
    regressor = EncoderDecoderRegressor(2, warm_start=True, **QUICK).fit(X, Y)
    with pytest.raises(ValueError, match=r"y has 3 columns, but .* fitted with 4"):
        regressor.fit(X, Y[:, :3])


def test_warm_start_needs_the_same_networks():
    X, Y = image_pairs(20)
    params = {**SMALL_IMAGES, "max_iter": 1, "warm_start": True}
    regressor = EncoderDecoderRegressor(2, image_shape=(8, 8), **params).fit(X, Y)
    for name, value in [("target_shape", (8, 8)), ("skip_connections", False)]:
        twin = clone(regressor).fit(X, Y).set_params(**{name: value})
        with pytest.raises(ValueError, match=f"cannot go on with {name}"):
            twin.fit(X, Y)


def test_the_same_shape_may_be_written_otherwise():
    X, Y = image_pairs(20)
    params = {**SMALL_IMAGES, "max_iter": 1, "warm_start": True, "loss": "log_loss"}
    regressor = EncoderDecoderRegressor(
        2, image_shape=(8, 8), target_shape=(8, 8), **params
    ).fit(X, Y)
    regressor.set_params(target_shape=[8, 8, 1], max_iter=2).fit(X, Y)
    assert regressor.n_iter_ == 2


def test_wrong_number_of_columns(fitted, pairs):
    with pytest.raises(ValueError, match="X has 5 features, but EncoderDecoderRegr"):
        fitted.predict(pairs[0][:, :5])


def test_unfitted_regressor_says_so(pairs):
    with pytest.raises(NotFittedError):
        EncoderDecoderRegressor().predict(pairs[0])


def test_divergence_is_told(pairs):
    with pytest.raises(ValueError, match="diverged"):
        EncoderDecoderRegressor(3, **{**QUICK, "learning_rate_init": 1e6}).fit(*pairs)


# Long tables, and tables in parts -----------------------------------------------------


class Lazy:
    """What h5py and zarr have in common: shape, dtype and slices."""

    def __init__(self, X):
        self.X, self.shape, self.dtype = X, X.shape, X.dtype
        self.n_read = 0

    def __getitem__(self, rows):
        block = self.X[rows]
        self.n_read = max(self.n_read, len(block))
        return block


@pytest.fixture
def many_pairs():
    X = np.random.default_rng(0).normal(size=(1500, 4))
    return X, np.c_[X[:, 0] + X[:, 1], X[:, 2] ** 2]


def test_a_long_table_is_read_in_blocks(monkeypatch, many_pairs):
    monkeypatch.setattr(_rows, "RESIDENT_SIZE", 1000)
    monkeypatch.setattr(_rows, "_BLOCK_SIZE", 400)
    monkeypatch.setattr(_rows, "_BUFFER_SIZE", 1600)
    monkeypatch.setattr(_rows, "_SAMPLE_SIZE", 2400)
    monkeypatch.setattr(_rows, "_CHUNK_BYTES", 4096)
    X, Y = many_pairs
    lazy = Lazy(X)
    regressor = EncoderDecoderRegressor(2, max_iter=5).fit(lazy, Y)
    assert lazy.n_read < len(X) / 2
    linear = Ridge().fit(X, Y)
    assert regressor.score(X, Y) > linear.score(X, Y) - 0.05


def test_a_long_table_needs_its_targets(monkeypatch, many_pairs):
    monkeypatch.setattr(_rows, "RESIDENT_SIZE", 1000)
    X, Y = many_pairs
    with pytest.raises(ValueError, match="requires y to be passed"):
        EncoderDecoderRegressor(2).fit(Lazy(X), None)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        EncoderDecoderRegressor(2).fit(Lazy(X), Y[:-1])


def test_passes_learn_what_a_fit_learns(many_pairs):
    X, Y = many_pairs
    regressor = EncoderDecoderRegressor(2).partial_fit(X, Y)
    first = regressor.score(X, Y)
    for _ in range(15):
        regressor.partial_fit(X, Y)
    assert regressor.n_iter_ == 16
    assert regressor.score(X, Y) > first


def test_a_pass_has_as_many_targets_as_the_first(many_pairs):
    X, Y = many_pairs
    regressor = EncoderDecoderRegressor(2).partial_fit(X, Y)
    with pytest.raises(ValueError, match="y has 1 columns"):
        regressor.partial_fit(X, Y[:, :1])
