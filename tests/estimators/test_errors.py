"""What is wrong is said, and a fit that fails leaves the estimator as it was."""

import copy
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_array_equal
from torch import nn

from sklearn_ae import (
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    VAETransformer,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
)


USE = ["transform", "reconstruct", "score_samples"]


class Unchanged:
    """A fitted estimator with other parameters, and whether it still is what it was."""

    def __init__(self, estimator, X, **params):
        self.estimator, self.X = estimator, X
        self.weights = copy.deepcopy(estimator.module_.state_dict())
        self.lists = copy.deepcopy([estimator.loss_curve_, list(estimator.history_)])
        self.Z = estimator.transform(X)
        self.samples = estimator.sample(5, random_state=0)
        estimator.set_params(**params)
        self.attributes = dict(vars(estimator))

    def check(self):
        estimator = self.estimator
        assert vars(estimator).keys() == self.attributes.keys()
        for name, value in vars(estimator).items():
            assert value is self.attributes[name], name
        for name, value in estimator.module_.state_dict().items():
            assert torch.equal(value, self.weights[name]), name
        assert self.lists == [estimator.loss_curve_, list(estimator.history_)]
        assert_array_equal(estimator.transform(self.X), self.Z)
        assert_array_equal(estimator.sample(5, random_state=0), self.samples)


# Rows ---------------------------------------------------------------------------------


def with_value(value):
    def replace(X):
        X = X.copy()
        X[3, 1] = value
        return X

    return replace


BAD_ROWS = {
    "infinity": (with_value(np.inf), ValueError, "Input X contains infinity"),
    "complex": (lambda X: X + 1j, ValueError, "Complex data not supported"),
    "one dimension": (lambda X: X[0], ValueError, "Expected 2D array, got 1D array"),
    "three dimensions": (lambda X: X[None], ValueError, "dim 3"),
    "no rows": (lambda X: X[:0], ValueError, "0 sample"),
    "no columns": (lambda X: X[:, :0], ValueError, "0 feature"),
    "nothing": (lambda X: None, ValueError, "None|scalar|2D"),
}


# `fit` takes them for categories; a model of numbers does not.
TEXT = {
    "words": (
        lambda X: np.array([["red", "green"], ["blue", "red"]]),
        ValueError,
        "could not convert string to float",
    ),
    "column of text": (
        lambda X: pd.DataFrame(X, columns=list("abcde")).assign(e="red"),
        ValueError,
        "could not convert string to float",
    ),
}


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("kind", BAD_ROWS)
@pytest.mark.filterwarnings("ignore:X has feature names:UserWarning")
def test_bad_rows_to_learn_from(fitted, kind, method, X):
    bad, error, message = BAD_ROWS[kind]
    unchanged = Unchanged(copy.deepcopy(fitted), X)
    with pytest.raises(error, match=message):
        getattr(unchanged.estimator, method)(bad(X))
    unchanged.check()


@pytest.mark.parametrize("method", USE)
@pytest.mark.parametrize("kind", [*BAD_ROWS, *TEXT])
@pytest.mark.filterwarnings("ignore:X has feature names:UserWarning")
def test_bad_rows_to_use(fitted, kind, method, X):
    bad, error, message = {**BAD_ROWS, **TEXT}[kind]
    with pytest.raises(error, match=message):
        getattr(fitted, method)(bad(X))


def test_bad_rows_leave_an_unfitted_estimator_unfitted(Estimator, X):
    estimator = Estimator()
    with pytest.raises(ValueError, match="infinity"):
        estimator.fit(with_value(np.inf)(X))
    assert vars(estimator) == estimator.get_params()


@pytest.mark.parametrize("method", [*USE, "score"])
def test_wrong_number_of_columns(fitted, method, X):
    name = type(fitted).__name__
    message = f"X has 4 features, but {name} is expecting 5 features as input"
    with pytest.raises(ValueError, match=message):
        getattr(fitted, method)(X[:, :4])


def test_wrong_number_of_columns_when_going_on(fitted, X):
    unchanged = Unchanged(copy.deepcopy(fitted), X)
    with pytest.raises(ValueError, match="X has 4 features"):
        unchanged.estimator.partial_fit(X[:, :4])
    unchanged.check()


def test_other_columns_than_those_of_fit(Estimator, quick, X):
    frame = pd.DataFrame(X, columns=list("abcde"))
    estimator = quick(Estimator, max_iter=1).fit(frame)
    with pytest.raises(ValueError, match="feature names should match"):
        estimator.transform(frame[list("edcba")])


BAD_LATENTS = {
    "too few": (np.zeros((3, 1)), ValueError, "Z has 1 columns, .* n_components=2"),
    "too many": (np.zeros((3, 5)), ValueError, "Z has 5 columns, .* n_components=2"),
    "nan": (np.full((3, 2), np.nan), ValueError, "Input Z contains NaN"),
    "one dimension": (np.zeros(2), ValueError, "Expected 2D array, got 1D array"),
    "sparse": (sp.csr_matrix((3, 2)), TypeError, "Sparse data was passed for Z"),
    "text": ([["a", "b"]], ValueError, "could not convert string to float"),
    "complex": (np.zeros((3, 2), complex), ValueError, "Complex data not supported"),
}


@pytest.mark.parametrize("kind", BAD_LATENTS)
def test_bad_latents(fitted, kind):
    Z, error, message = BAD_LATENTS[kind]
    with pytest.raises(error, match=message):
        fitted.inverse_transform(Z)


@pytest.mark.parametrize(
    ("low", "high"), [(-0.5, 1.0), (0.0, 255.0), (0.0, 1.0 + 1e-6), (-1e-6, 0.5)]
)
@pytest.mark.parametrize("method", ["fit", "partial_fit", "transform", "score_samples"])
def test_values_outside_0_and_1_with_log_loss(
    Estimator, method, low, high, quick, X_unit
):
    estimator = quick(Estimator, loss="log_loss", max_iter=1).fit(X_unit)
    unchanged = Unchanged(estimator, X_unit)
    X = low + (high - low) * X_unit
    with pytest.raises(ValueError, match=r"expects values in \[0, 1\].*MinMaxScaler"):
        getattr(estimator, method)(X)
    unchanged.check()


def test_values_outside_0_and_1_are_told(X):
    low, high = f"{X.min():g}", f"{X.max():g}"
    with pytest.raises(ValueError, match=f"values from {low} to {high}"):
        AutoencoderTransformer(loss="log_loss").fit(X)


@pytest.mark.parametrize("n_samples", [0, -1])
def test_number_of_samples_must_be_positive(fitted, n_samples):
    with pytest.raises(ValueError, match=r"n_samples == .*, must be >= 1"):
        fitted.sample(n_samples)


def test_number_of_samples_must_be_whole(fitted):
    with pytest.raises(TypeError, match="n_samples must be an instance of int"):
        fitted.sample(2.5)


@pytest.mark.parametrize(("n_samples", "error"), [(0, ValueError), (1.5, TypeError)])
def test_number_of_draws_of_a_score(quick, n_samples, error, X):
    vae = quick(VAETransformer, max_iter=0).fit(X)
    with pytest.raises(error, match="n_samples"):
        vae.score_samples(X, n_samples=n_samples)


# Parameters ---------------------------------------------------------------------------

AE, DAE, VAE = AutoencoderTransformer, DenoisingAutoencoderTransformer, VAETransformer
ALL = [AE, DAE, VAE]

OPTIONS = {
    "loss": ["squared_error", "absolute_error", "log_loss"],
    "init": ["auto", "pca", "random"],
    "activation": [
        *["identity", "logistic", "tanh", "relu"],
        *["leaky_relu", "elu", "gelu", "silu"],
    ],
    "corruption": ["gaussian", "masking", "salt_and_pepper", "swap"],
    "hidden_layer_sizes": ["auto"],
    "learning_rate_init": ["auto"],
    "batch_size": ["auto"],
    "alpha": ["auto"],
}


@pytest.mark.parametrize("name", OPTIONS)
def test_unknown_option_is_told_the_valid_ones(name, fitted, X):
    if name not in fitted.get_params():
        pytest.skip("not a parameter of this estimator")
    unchanged = Unchanged(copy.deepcopy(fitted), X, **{name: "unknown"})
    with pytest.raises(ValueError, match=f"The '{name}' parameter of") as caught:
        unchanged.estimator.fit(X)
    assert "Got 'unknown' instead" in str(caught.value)
    for option in OPTIONS[name]:
        assert repr(option) in str(caught.value)
    unchanged.check()


BAD_VALUES = {
    "n_components": [0, -1, 1.5, "2"],
    "hidden_layer_sizes": [8, None, 8.0],
    "activation": [None, nn.ReLU],
    "loss": [None],
    "init": [None, True],
    "encoder": [1, "linear"],
    "decoder": [1, "linear"],
    "min_frequency": [0, 1.5, 0.0, None, "rare"],
    "learning_rate_init": [0, -1e-3, np.inf, np.nan, None],
    "alpha": [-1e-3, np.inf, None],
    "batch_size": [0, 1.5, None],
    "max_iter": [-1, 1.5, None, "long"],
    "early_stopping": ["yes", None],
    "validation_fraction": [0.0, 1.0, -0.1, None],
    "n_iter_no_change": [0, 1.5],
    "tol": [-1e-3, None],
    "warm_start": ["yes", None],
    "random_state": ["0", -1, 1.5],
    "verbose": [-1, "yes"],
    "device": [0, None],
    "callbacks": [1, {}],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, v) for name, values in BAD_VALUES.items() for v in values],
)
def test_bad_value_of_a_parameter(Estimator, name, value, X):
    estimator = Estimator(**{name: value})
    with pytest.raises(ValueError, match=f"The '{name}' parameter of"):
        estimator.fit(X)
    with pytest.raises(ValueError, match=f"The '{name}' parameter of"):
        estimator.partial_fit(X)


@pytest.mark.parametrize(
    "sizes",
    [(0,), (8, -1), (8.0,), ("8",), ((8,),), (None,), np.array([[8, 4]])],
    ids=str,
)
def test_bad_sizes_of_hidden_layers(Estimator, sizes, X):
    with pytest.raises(ValueError, match=r"hidden_layer_sizes.*sequence of integers"):
        Estimator(hidden_layer_sizes=sizes).fit(X)


@pytest.mark.parametrize("value", [-0.1, None, "auto"])
def test_bad_beta(value, X):
    with pytest.raises(ValueError, match="The 'beta' parameter of VAETransformer"):
        VAETransformer(beta=value).fit(X)


@pytest.mark.parametrize("value", [-0.1, None, "auto"])
def test_bad_corruption_level(value, X):
    with pytest.raises(ValueError, match="The 'corruption_level' parameter of"):
        DenoisingAutoencoderTransformer(corruption_level=value).fit(X)


@pytest.mark.parametrize("corruption", ["masking", "salt_and_pepper", "swap"])
def test_fraction_above_1(corruption, X):
    denoiser = DenoisingAutoencoderTransformer(
        corruption=corruption, corruption_level=1.5
    )
    with pytest.raises(ValueError, match=r"fraction between 0 and 1.*got 1.5"):
        denoiser.fit(X)


@pytest.mark.parametrize("role", ["encoder", "decoder"])
def test_pca_start_with_own_networks(Estimator, role, X):
    with pytest.raises(ValueError, match=f'init="pca".* with {role}= use'):
        Estimator(init="pca", **{role: nn.Linear}).fit(X)


def test_pca_start_with_log_loss(Estimator, X_unit):
    message = 'init="pca" goes with loss="squared_error" or "absolute_error"'
    with pytest.raises(ValueError, match=message):
        Estimator(init="pca", loss="log_loss").fit(X_unit)


@pytest.mark.parametrize("device", ["nope", "", "cuda:x"])
def test_device_that_torch_does_not_know(Estimator, device, X):
    with pytest.raises(ValueError, match="device must be 'auto' or a name") as caught:
        Estimator(device=device).fit(X)
    assert repr(device) in str(caught.value)


@pytest.mark.parametrize("device", ["cuda", "cuda:99", "mps", "meta"])
def test_device_that_is_not_here(device, quick, X):
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has one")
    estimator = quick(AutoencoderTransformer, max_iter=1).fit(X)
    unchanged = Unchanged(estimator, X, device=device)
    with pytest.raises(ValueError, match=f"device.*{device}"):
        estimator.fit(X)
    unchanged.check()


def test_unknown_parameter(Estimator):
    with pytest.raises(TypeError, match="n_component"):
        Estimator(n_component=2)


def test_only_n_components_may_be_positional(Estimator):
    with pytest.raises(TypeError, match="positional"):
        Estimator(2, (8,))


def test_callback_that_is_none(X):
    with pytest.raises((TypeError, ValueError), match="callback"):
        AutoencoderTransformer(callbacks=[3], max_iter=1).fit(X)


# Own networks -------------------------------------------------------------------------


class TwoOutputs(nn.Linear):
    def forward(self, x):
        return super().forward(x), None


WRONG_NETWORKS = {
    "encoder of 3": (AE, "encoder", nn.Linear(5, 3), r"\(2, 5\).*\(2, 2\).*\(2, 3\)"),
    "encoder of means alone": (
        *(VAE, "encoder", nn.Linear(5, 2)),
        r"\(2, 5\).*\(2, 4\), means and log-variances.*\(2, 2\)",
    ),
    "encoder for 4 columns": (DAE, "encoder", nn.Linear(4, 2), r"encoder.*\(2, 5\)"),
    "decoder of 4": (AE, "decoder", nn.Linear(2, 4), r"\(2, 2\).*\(2, 5\).*\(2, 4\)"),
    "decoder for 3": (VAE, "decoder", nn.Linear(3, 5), r"decoder.*\(2, 2\)"),
    "decoder of images": (
        *(DAE, "decoder", nn.Sequential(nn.Linear(2, 5), nn.Unflatten(1, (5, 1)))),
        r"\(2, 2\).*\(2, 5\).*\(2, 5, 1\)",
    ),
}


@pytest.mark.parametrize("kind", WRONG_NETWORKS)
def test_own_network_of_the_wrong_shape_is_told_the_shapes(kind, quick, X):
    Estimator, role, network, message = WRONG_NETWORKS[kind]
    estimator = quick(Estimator, max_iter=1).fit(X)
    unchanged = Unchanged(estimator, X, **{role: network})
    with pytest.raises(ValueError, match=message):
        estimator.fit(X)
    unchanged.check()


def test_own_network_of_two_outputs(X):
    with pytest.raises(TypeError, match=r"encoder must return a tensor.*got tuple"):
        AutoencoderTransformer(encoder=TwoOutputs(5, 2)).fit(X)


def test_function_that_makes_no_network(X):
    with pytest.raises(TypeError, match=r"decoder must be a torch.nn.Module.*gave str"):
        AutoencoderTransformer(decoder=lambda n_inputs, n_outputs: "network").fit(X)


def test_corruption_of_the_wrong_shape_is_told_the_shapes(quick, X):
    estimator = quick(DenoisingAutoencoderTransformer).fit(X)
    unchanged = Unchanged(estimator, X, corruption=lambda x: x[:, :2])
    message = r"corruption must return a tensor.*\(16, 5\); got.*16, 2"
    with pytest.raises(ValueError, match=message):
        estimator.fit(X)
    unchanged.check()


# Fits that fail on the way ------------------------------------------------------------


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "log_loss"])
def test_diverging_fit_says_what_to_lower(Estimator, loss, method, quick, X_unit):
    X = X_unit
    estimator = quick(Estimator, loss=loss, max_iter=2).fit(X)
    unchanged = Unchanged(estimator, X, learning_rate_init=1e6, max_iter=20)
    with pytest.raises(
        ValueError, match=r"diverged.*Lower learning_rate_init \(now 1e"
    ):
        getattr(estimator, method)(X)
    unchanged.check()


def test_fit_goes_well_after_a_diverged_one(fitted, X):
    estimator = copy.deepcopy(fitted).set_params(learning_rate_init=1e6)
    with pytest.raises(ValueError, match="diverged"):
        estimator.fit(X)
    estimator.set_params(learning_rate_init=fitted.learning_rate_init).fit(X)
    assert_array_equal(estimator.transform(X), fitted.transform(X))


def test_last_step_may_diverge_too(quick, X):
    # One step of one pass: its loss is from before the step.
    estimator = quick(AutoencoderTransformer, batch_size=len(X)).fit(X)
    unchanged = Unchanged(estimator, X, learning_rate_init=1e6)
    with pytest.raises(ValueError, match="diverged"):
        estimator.partial_fit(X)
    unchanged.check()


class Interrupting(nn.Linear):
    """A linear layer in which the user presses Ctrl-C when the time has come."""

    n_left = None

    def forward(self, x):
        if self.training and Interrupting.n_left is not None:
            Interrupting.n_left -= 1
            if Interrupting.n_left == 0:
                raise KeyboardInterrupt
        return super().forward(x)


@pytest.fixture
def interrupt_at():
    def set_time(n):
        Interrupting.n_left = n

    yield set_time
    Interrupting.n_left = None


@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("n", [1, 3])
def test_interrupted_fit(Estimator, n, method, warm_start, interrupt_at, quick, X):
    estimator = quick(Estimator, encoder=Interrupting, warm_start=warm_start).fit(X)
    unchanged = Unchanged(estimator, X, max_iter=30)
    interrupt_at(n)
    with pytest.raises(KeyboardInterrupt):
        getattr(estimator, method)(X)
    unchanged.check()


def test_interrupted_first_fit_leaves_the_estimator_unfitted(
    Estimator, interrupt_at, quick, X
):
    estimator = quick(Estimator, encoder=Interrupting)
    interrupt_at(3)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X)
    assert vars(estimator) == estimator.get_params()


def test_fit_whose_warning_is_an_error(fitted, X):
    estimator = copy.deepcopy(fitted)
    unchanged = Unchanged(estimator, X, max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="max_iter"):
            estimator.fit(X)
    unchanged.check()


# Going on with other networks ---------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_components", 3),
        ("hidden_layer_sizes", (8, 8)),
        ("activation", "tanh"),
        ("loss", "absolute_error"),
        ("init", "random"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_going_on_with_other_networks(fitted, method, name, value, X):
    estimator = copy.deepcopy(fitted).set_params(warm_start=True, max_iter=30)
    before = getattr(estimator, name)
    unchanged = Unchanged(estimator, X, **{name: value})
    with pytest.raises(ValueError, match=f"fitted with {name}=") as caught:
        getattr(estimator, method)(X)
    assert f"{name}={before!r}" in str(caught.value)
    assert f"{name}={value!r}" in str(caught.value)
    unchanged.check()


@pytest.mark.parametrize("role", ["encoder", "decoder"])
def test_going_on_with_an_own_network(fitted, role, X):
    estimator = copy.deepcopy(fitted).set_params(warm_start=True, max_iter=30)
    estimator.set_params(**{role: nn.Linear})
    with pytest.raises(ValueError, match=f"cannot go on with {role}="):
        estimator.fit(X)


def test_going_on_with_sizes_of_another_number(quick, X):
    sizes = np.array([8, 4])
    estimator = quick(AutoencoderTransformer, hidden_layer_sizes=sizes, warm_start=True)
    estimator.fit(X).set_params(hidden_layer_sizes=np.array([8, 4, 2]), max_iter=30)
    with pytest.raises(ValueError, match="fitted with hidden_layer_sizes="):
        estimator.fit(X)


def test_without_warm_start_other_networks_are_fine(fitted, X):
    estimator = copy.deepcopy(fitted).set_params(n_components=3).fit(X)
    assert estimator.transform(X).shape == (len(X), 3)


def test_latents_of_a_fitted_estimator_do_not_follow_its_parameters(fitted, X):
    # Set for the next fit; this one had 2.
    estimator = copy.deepcopy(fitted).set_params(n_components=3)
    assert estimator.transform(X).shape == (len(X), 2)
    assert len(estimator.get_feature_names_out()) == 2
    assert estimator.sample(4).shape == X[:4].shape
    assert estimator.inverse_transform(np.zeros((1, 2))).shape == (1, 5)


def test_loss_of_a_fitted_estimator_does_not_follow_its_parameters(quick, X, X_unit):
    estimator = quick(AutoencoderTransformer).fit(X)
    R = estimator.reconstruct(X)
    estimator.set_params(loss="log_loss")  # X is not in [0, 1]: so what
    assert_array_equal(estimator.reconstruct(X), R)
