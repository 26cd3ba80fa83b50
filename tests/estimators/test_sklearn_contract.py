"""scikit-learn's own checks, for every estimator in several settings."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

import sklearn_ae
from sklearn_ae._networks.architecture import NetworkSpec
from sklearn_ae._networks.losses import SquaredError

# The checks are about the interface: two epochs do, and of the warning that more
# would be better there is no need (scikit-learn's own suite ignores it, too).
pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
)


class AnyRows:
    """Takes rows of any values and any number of columns.

    The log loss wants values in [0, 1], images are of one size, and conditional models
    want y in every method. scikit-learn's checks feed others, and no tag asks them for
    these. So rows are taken to (0, 1) right after their validation, are images of
    whatever shape fits, and have one condition. Everything
    behind that is left as it is, and so is the class's name, which the checks compare
    with the names of the latents.
    """

    def _validate_rows(self, X, reset, loss=None):
        if self.loss != "log_loss":
            return super()._validate_rows(X, reset, loss)
        return expit(super()._validate_rows(X, reset, SquaredError()))

    def _beside_conditions(self, X, y, reset=False):
        # The checks transform rows without y.
        return super()._beside_conditions(X, np.zeros(len(X), dtype=int), reset)


@pytest.fixture(autouse=True)
def any_rows_are_images(monkeypatch):
    """Shapes that fit, where images are asked for."""

    def images_of(spec, n_columns):
        if spec.image_shape is None:
            return None
        height = 2 if n_columns % 2 == 0 else 1
        return height, n_columns // height, 1

    monkeypatch.setattr(NetworkSpec, "images_of", images_of)


class AutoencoderTransformer(AnyRows, sklearn_ae.AutoencoderTransformer):
    pass


class DenoisingAutoencoderTransformer(
    AnyRows, sklearn_ae.DenoisingAutoencoderTransformer
):
    pass


class VAETransformer(AnyRows, sklearn_ae.VAETransformer):
    pass


class EncoderDecoderRegressor(AnyRows, sklearn_ae.EncoderDecoderRegressor):
    """Of targets of any values for the log loss, too."""

    def _validate_rows(self, X, reset, loss=None):
        return sklearn_ae.EncoderDecoderRegressor._validate_rows(self, X, reset, loss)

    def _validate_targets(self, Y, reset):
        if self.loss == "log_loss":
            Y = expit(np.asarray(Y, dtype=float))
        return super()._validate_targets(Y, reset)

    def predict(self, X):
        y = super().predict(X)
        return logit(y) if self.loss == "log_loss" else y


class Halve:
    """A corruption that the checks can clone and pickle, and show without an address.

    Two test processes must agree on the tests' names.
    """

    def __call__(self, x):
        return 0.5 * x

    def __repr__(self):
        return "Halve()"


def settings(Estimator, OfAnyRows, *own):
    """One estimator, set in every way that leads through other lines of code."""
    small = {"max_iter": 2, "hidden_layer_sizes": (8,)}
    return [
        Estimator(max_iter=2),
        Estimator(loss="absolute_error", early_stopping=False, **small),
        Estimator(init="random", activation="relu", alpha=0.01, **small),
        Estimator(warm_start=True, **small),
        Estimator(3, max_iter=2, hidden_layer_sizes=(1,)),
        Estimator(max_iter=2, hidden_layer_sizes=(512,)),
        Estimator(1, max_iter=2, hidden_layer_sizes=()),
        Estimator(encoder=nn.Linear, decoder=nn.Linear, max_iter=2),
        OfAnyRows(loss="log_loss", **small),
        OfAnyRows(image_shape=(1, 1), **small),
        OfAnyRows(image_shape=(1, 1), loss="log_loss", early_stopping=False, **small),
        # What "auto" is not.
        Estimator(
            inference="refined" if "Denoising" in Estimator.__name__ else "encoder",
            **small,
        ),
        *(Estimator(**params, **small) for params in own),
    ]


def regressors(Estimator, OfAnyRows):
    """The same for the one that learns targets, and must learn some of them."""
    small = {"max_iter": 2, "hidden_layer_sizes": (8,)}
    from_nothing = {"max_iter": 20, "learning_rate_init": 0.05}
    small_from_nothing = {**small, **from_nothing}
    return [
        Estimator(max_iter=2),
        Estimator(loss="absolute_error", early_stopping=False, **small),
        Estimator(init="random", activation="relu", alpha=0.01, **small_from_nothing),
        Estimator(warm_start=True, **small),
        Estimator(1, max_iter=2, hidden_layer_sizes=()),
        Estimator(encoder=nn.Linear, decoder=nn.Linear, **from_nothing),
        OfAnyRows(loss="log_loss", **small_from_nothing),
        OfAnyRows(image_shape=(1, 1), **small),
        OfAnyRows(image_shape=(1, 1), target_shape=None, **small),
        OfAnyRows(
            image_shape=(1, 1),
            loss="log_loss",
            early_stopping=False,
            **small_from_nothing,
        ),
    ]


@parametrize_with_checks(
    [
        *settings(sklearn_ae.AutoencoderTransformer, AutoencoderTransformer),
        AutoencoderTransformer(
            image_shape=(1, 1),
            inference="refined",
            max_iter=2,
            hidden_layer_sizes=(4,),
        ),
        *settings(
            sklearn_ae.DenoisingAutoencoderTransformer,
            DenoisingAutoencoderTransformer,
            {"corruption": "masking"},
            {"corruption": "salt_and_pepper"},
            {"corruption": "swap"},
            {"corruption": Halve()},
        ),
        DenoisingAutoencoderTransformer(
            corruption="block",
            image_shape=(1, 1),
            max_iter=2,
            hidden_layer_sizes=(4,),
        ),
        *regressors(sklearn_ae.EncoderDecoderRegressor, EncoderDecoderRegressor),
        *settings(
            sklearn_ae.VAETransformer,
            VAETransformer,
            {"beta": 4.0},
            {"beta": 0.0},
            {"noise": "per_column"},
            {"kl_warmup": 5, "free_bits": 0.1, "init": "random"},
            {"n_importance_samples": 3},
            {"path_gradient": True},
        ),
        VAETransformer(
            loss="log_loss",
            binarize=True,
            n_exemplars=5,
            max_iter=2,
            hidden_layer_sizes=(8,),
        ),
        VAETransformer(conditional=True, max_iter=2, hidden_layer_sizes=(8,)),
    ]
)
def test_scikit_learn_check(estimator, check):
    check(estimator)
