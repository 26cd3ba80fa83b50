"""Copies, files, and what is in them."""

import copy
import pickle

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sklearn_ae import (
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    VAETransformer,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
)


def results(estimator, X):
    Z = estimator.transform(X)
    return [
        Z,
        estimator.inverse_transform(Z),
        estimator.reconstruct(X),
        estimator.score_samples(X),
        estimator.sample(10, random_state=0),
        estimator.loss_curve_,
        estimator.history_[:, "train_loss"],
    ]


def size_of_weights(estimator):
    return sum(t.nbytes for t in estimator.module_.state_dict().values())


# Round trips --------------------------------------------------------------------------


LOAD_ELSEWHERE = """
import pickle
import sys
import joblib
sys.path.insert(0, sys.argv[1])
from test_persistence import results
X = joblib.load(sys.argv[2])
for file in sys.argv[3:]:
    load = joblib.load if file.endswith("joblib") else pickle.load
    print(joblib.hash(results(load(open(file, "rb")), X)))
"""


def test_files_give_the_same_results_elsewhere(in_other_process, quick, X, tmp_path):
    estimators = [
        quick(AutoencoderTransformer).fit(X),
        quick(DenoisingAutoencoderTransformer, corruption="swap").fit(X),
        quick(VAETransformer).fit(X),
        quick(VAETransformer, encoder=nn.Linear).fit(X.astype(np.float32)),
        quick(AutoencoderTransformer, loss="absolute_error").partial_fit(X),
    ]
    files, wanted = [], []
    for i, estimator in enumerate(estimators):
        files += [tmp_path / f"{i}.joblib", tmp_path / f"{i}.pickle"]
        joblib.dump(estimator, files[-2])
        files[-1].write_bytes(pickle.dumps(estimator))
        wanted += [joblib.hash(results(estimator, X))] * 2
    joblib.dump(X, tmp_path / "X")
    folder = __file__.rpartition("/")[0]
    output = in_other_process(LOAD_ELSEWHERE, folder, tmp_path / "X", *files)
    assert output.split() == wanted


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))],
    ids=["deepcopy", "pickle"],
)
class TestCopy:
    def test_gives_the_same_results(self, copied, fitted, X):
        wanted = joblib.hash(results(fitted, X))
        assert joblib.hash(results(copied(fitted), X)) == wanted

    def test_has_the_same_attributes(self, copied, fitted):
        assert vars(copied(fitted)).keys() == vars(fitted).keys()

    def test_is_its_own(self, copied, fitted, X):
        Z = fitted.transform(X)
        copied(fitted).set_params(learning_rate_init=0.01).partial_fit(X)
        assert_array_equal(fitted.transform(X), Z)

    def test_can_be_trained_on(self, copied, fitted, X):
        estimator = copied(fitted).set_params(learning_rate_init=0.01).partial_fit(X)
        assert np.any(estimator.transform(X) != fitted.transform(X))
        assert estimator.n_iter_ == fitted.n_iter_ + 1

    def test_of_an_unfitted_estimator_is_unfitted(self, copied, Estimator):
        with pytest.raises(NotFittedError):
            check_is_fitted(copied(Estimator()))


def test_copying_leaves_the_original_as_it_was(Estimator, quick, X):
    estimator = quick(Estimator).partial_fit(X)
    attributes = dict(vars(estimator))
    Z = estimator.transform(X)
    pickle.dumps(estimator)
    copy.deepcopy(estimator)
    assert_array_equal(estimator.transform(X), Z)
    assert all(vars(estimator)[name] is value for name, value in attributes.items())


@pytest.fixture
def encoding(Estimator, quick, X):
    """An estimator whose latents are those of its module's encoder."""
    return quick(Estimator, inference="encoder").fit(X)


def test_export_of_the_module(encoding, X, tmp_path):
    fitted = encoding
    torch.save(fitted.module_, tmp_path / "module.pt")
    module = torch.load(tmp_path / "module.pt", weights_only=False)
    with torch.no_grad():
        R = module(torch.tensor(X)).numpy()
    np.testing.assert_allclose(R, fitted.reconstruct(X), rtol=1e-4)


def test_weights_load_into_another_estimator_of_the_same_settings(encoding, X):
    fitted = encoding
    other = clone(fitted).set_params(random_state=5).fit(X)
    other.module_.load_state_dict(fitted.module_.state_dict())
    assert_array_equal(other.transform(X), fitted.transform(X))


def test_weights_changed_by_hand_count(encoding, X):
    fitted = encoding
    # Also after a first use, which may keep something computed from the old weights.
    estimator = copy.deepcopy(fitted)
    before = estimator.transform(X)
    with torch.no_grad():
        for p in estimator.module_.encoder.parameters():
            p.mul_(1.5)
    assert np.abs(estimator.transform(X) - before).max() > 0.1


# What is in a file --------------------------------------------------------------------


def test_file_holds_no_row_of_the_table(fitted, X):
    data = pickle.dumps(fitted)
    x = fitted.module_.standardize(torch.tensor(X)).numpy()
    for row in [*X, *X.astype(np.float32), *x]:
        assert row.tobytes() not in data
    for column in [*X.T, *x.T]:
        assert column[:2].tobytes() not in data


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_file_is_as_large_as_the_weights(Estimator, method, quick, more_rows):
    # Hidden layers of the usual size, and data of about the size of their weights.
    X = more_rows(10_000)
    estimator = quick(Estimator, hidden_layer_sizes=(128, 64), max_iter=1)
    getattr(estimator.set_params(batch_size=4096), method)(X)
    size = len(pickle.dumps(estimator))
    # A few kB: torch's own 0.4 to 0.8 per tensor, and a mixture of 16 Gaussians.
    assert size_of_weights(estimator) < size < size_of_weights(estimator) + 25_000


def test_file_of_a_used_estimator_is_no_larger(fitted, X):
    estimator = copy.deepcopy(fitted)
    before = len(pickle.dumps(estimator))
    results(estimator, X)
    assert len(pickle.dumps(estimator)) <= before + 100


def test_clone_is_unfitted(fitted):
    estimator = clone(fitted)
    with pytest.raises(NotFittedError):
        check_is_fitted(estimator)
    assert vars(estimator) == estimator.get_params()


@pytest.mark.parametrize(
    "method",
    ["transform", "inverse_transform", "reconstruct", "score_samples", "score"],
)
def test_unfitted_estimator_says_so(Estimator, method, X):
    with pytest.raises(NotFittedError, match=f"This {Estimator.__name__} instance"):
        getattr(Estimator(), method)(X)


def test_unfitted_estimator_cannot_be_sampled(Estimator):
    with pytest.raises(NotFittedError, match=f"This {Estimator.__name__} instance"):
        Estimator().sample()
