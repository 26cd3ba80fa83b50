"""The same table and seed give the same bits, and nobody else notices."""

import random
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from sklearn_ae import (
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    EncoderDecoderRegressor,
    VAETransformer,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
)


def bits_of(estimator, X):
    """A hash of everything that a fitted estimator gives."""
    return joblib.hash(
        [
            {k: v.numpy() for k, v in estimator.module_.state_dict().items()},
            estimator.transform(X),
            estimator.reconstruct(X),
            estimator.score_samples(X),
            estimator.sample(10),
            estimator.loss_curve_,
            estimator.validation_loss_curve_,
            estimator.reconstruction_err_,
        ]
    )


# Every source of random numbers: weights, split, order of rows, noise, draws of z, PCA.
SETTINGS = [
    {},
    {"early_stopping": True, "init": "random"},
    {"loss": "absolute_error", "alpha": 0.5},
    {"batch_size": 7, "random_state": 123},
    {"encoder": nn.Linear},
]


@pytest.mark.parametrize("params", SETTINGS, ids=str)
def test_refit_gives_the_same_bits(Estimator, params, quick, X):
    estimator = quick(Estimator, **params).fit(X)
    before = bits_of(estimator, X)
    assert bits_of(estimator.fit(X), X) == before


def test_order_in_memory_changes_no_bits(Estimator, quick, X):
    estimator = quick(Estimator)
    before = bits_of(estimator.fit(X), X)
    assert bits_of(estimator.fit(np.asfortranarray(X)), X) == before


def test_order_in_memory_changes_no_bits_of_a_regressor(X):
    regressor = EncoderDecoderRegressor(2, max_iter=1)
    predicted = regressor.fit(X, X[:, 0]).predict(X)
    in_columns = regressor.fit(np.asfortranarray(X), X[:, 0]).predict(X)
    np.testing.assert_array_equal(in_columns, predicted)


def test_fit_of_a_clone_gives_the_same_bits(fitted, X):
    assert bits_of(clone(fitted).fit(X), X) == bits_of(fitted, X)


def test_same_passes_give_the_same_bits(Estimator, quick, X):
    def passes():
        estimator = quick(Estimator)
        for chunk in np.array_split(X, 3):
            estimator.partial_fit(chunk)
        return bits_of(estimator, X)

    assert passes() == passes()


def test_same_warm_starts_give_the_same_bits(Estimator, quick, X):
    def warm():
        estimator = quick(Estimator, warm_start=True).fit(X)
        return bits_of(estimator.set_params(max_iter=25).fit(X), X)

    assert warm() == warm()


FIT_ELSEWHERE = """
import sys
import joblib
sys.path.insert(0, sys.argv[1])
from test_determinism import bits_of
X, estimators = joblib.load(sys.argv[2])
print(*[bits_of(estimator.fit(X), X) for estimator in estimators])
print("torch._dynamo" in sys.modules)
"""


@pytest.fixture(scope="module")
def elsewhere(in_other_process, quick, X, tmp_path_factory):
    """Estimators, and what another process says of their fits."""
    estimators = [
        quick(AutoencoderTransformer, early_stopping=True),
        quick(DenoisingAutoencoderTransformer, corruption="swap", init="random"),
        quick(VAETransformer),
        quick(VAETransformer, encoder=nn.Linear),
    ]
    task = tmp_path_factory.mktemp("elsewhere") / "task"
    joblib.dump((X, estimators), task)
    output = in_other_process(FIT_ELSEWHERE, __file__.rpartition("/")[0], task)
    return estimators, *output.splitlines()


def test_another_process_gets_the_same_bits(elsewhere, X):
    estimators, bits, _ = elsewhere
    assert bits.split() == [bits_of(e.fit(X), X) for e in estimators]


def test_fits_do_not_import_torchs_compiler(elsewhere):
    # Its import takes longer than a fit of a small table.
    assert elsewhere[2] == "False"


def test_two_threads_get_the_same_bits(quick, X):
    # torch's generators belong to the process: fits at the same time must not draw
    # from each other's.
    estimators = [quick(VAETransformer, random_state=seed) for seed in range(4)]
    one_by_one = [bits_of(estimator.fit(X), X) for estimator in estimators]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda e: bits_of(clone(e).fit(X), X), estimators))
    assert together == one_by_one


# Seeds --------------------------------------------------------------------------------


def test_seeds_differ(Estimator, quick, X):
    a, b = (quick(Estimator, random_state=seed).fit(X) for seed in (0, 1))
    assert bits_of(a, X) != bits_of(b, X)


def test_seed_decides_which_rows_are_held_out(Estimator, quick, X):
    params = {"early_stopping": True, "max_iter": 1, "learning_rate_init": 1e-9}
    a, b = (quick(Estimator, random_state=seed, **params).fit(X) for seed in (0, 1))
    assert a.validation_loss_curve_ != b.validation_loss_curve_


def test_no_seed_is_another_one_on_every_fit(Estimator, quick, X):
    estimator = quick(Estimator, random_state=None)
    assert bits_of(estimator.fit(X), X) != bits_of(estimator.fit(X), X)


def test_no_seed_is_not_numpys_global_one(Estimator, quick, X):
    def fit():
        np.random.seed(0)  # noqa: NPY002
        return bits_of(quick(Estimator, random_state=None).fit(X), X)

    state = np.random.get_state()  # noqa: NPY002
    try:
        assert fit() != fit()
    finally:
        np.random.set_state(state)  # noqa: NPY002


def test_generator_goes_on_from_fit_to_fit(Estimator, quick, X):
    estimator = quick(Estimator, random_state=np.random.RandomState(0))
    first, second = bits_of(estimator.fit(X), X), bits_of(estimator.fit(X), X)
    assert first != second
    estimator = quick(Estimator, random_state=np.random.RandomState(0))
    assert bits_of(estimator.fit(X), X) == first


# Global state -------------------------------------------------------------------------


def global_state():
    return joblib.hash(
        [
            np.random.get_state(),  # noqa: NPY002
            torch.random.get_rng_state().numpy(),
            random.getstate(),
            torch.get_num_threads(),
            str(torch.get_default_dtype()),
            torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(),
            np.geterr(),
        ]
    )


def draw(x):
    """A corruption that draws from torch's global generator."""
    return x + 0.1 * torch.randn_like(x)


@pytest.mark.parametrize("seed", [0, None])
def test_fit_leaves_the_global_state_alone(Estimator, seed, quick, X):
    estimator = quick(Estimator, random_state=seed, early_stopping=True)
    before = global_state()
    estimator.fit(X)
    assert global_state() == before


def test_own_networks_and_corruption_draw_elsewhere(quick, X):
    estimator = quick(
        DenoisingAutoencoderTransformer,
        corruption=draw,
        encoder=nn.Linear,
        decoder=nn.Linear,
    )
    before = global_state()
    estimator.fit(X)
    assert global_state() == before


@pytest.mark.parametrize("seed", [0, None])
def test_partial_fit_leaves_the_global_state_alone(Estimator, seed, quick, X):
    estimator = quick(Estimator, random_state=seed)
    before = global_state()
    estimator.partial_fit(X).partial_fit(X)
    assert global_state() == before


@pytest.mark.parametrize("seed", [0, None])
@pytest.mark.parametrize("method", ["transform", "reconstruct", "score_samples"])
def test_use_leaves_the_global_state_alone(fitted, method, seed, X):
    estimator = clone(fitted).set_params(max_iter=1, random_state=seed).fit(X)
    before = global_state()
    getattr(estimator, method)(X)
    assert global_state() == before


@pytest.mark.parametrize("seed", [0, None])
def test_sample_leaves_the_global_state_alone(fitted, seed, X):
    estimator = clone(fitted).set_params(max_iter=1, random_state=seed).fit(X)
    before = global_state()
    estimator.sample(5)
    estimator.sample(5, random_state=1)
    assert global_state() == before


def test_scores_without_a_seed_leave_the_global_state_alone(quick, X):
    estimator = quick(VAETransformer, max_iter=1).fit(X)
    before = global_state()
    estimator.score_samples(X, random_state=None)
    assert global_state() == before


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("params", [{"learning_rate_init": 1e6}, {"loss": "none"}])
def test_failed_fit_leaves_the_global_state_alone(Estimator, method, params, quick, X):
    estimator = quick(Estimator, **params)
    before = global_state()
    with pytest.raises(ValueError, match=r"diverged|loss"):
        getattr(estimator, method)(X)
    assert global_state() == before


def test_fit_gives_torchs_threads_back(Estimator, quick, X):
    n_threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        quick(Estimator).fit(X)
        assert torch.get_num_threads() == 3
        with pytest.raises(ValueError, match="diverged"):
            quick(Estimator, learning_rate_init=1e6).fit(X)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(n_threads)


def test_global_seeds_have_no_influence(fitted, X):
    state = torch.random.get_rng_state()
    try:
        torch.manual_seed(1)
        assert bits_of(clone(fitted).fit(X), X) == bits_of(fitted, X)
    finally:
        torch.random.set_rng_state(state)
