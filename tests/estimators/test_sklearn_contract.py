"""scikit-learn's own checks, for every estimator in several settings."""

import numpy as np
import pytest
from contract import with_checks
from scipy.special import expit, logit
from torch import nn

import sklearn_ae
from sklearn_ae._networks.architecture import NetworkSpec
from sklearn_ae._networks.losses import SquaredError

# The checks are about the interface: two epochs do, and of the warning that more
# would be better there is no need (scikit-learn's own suite ignores it, too), nor of
# the one that three latents are more than a check's two columns can use.
pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:n_components=:UserWarning",
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

    def _find_conditions(self, X, y):
        return super()._find_conditions(X, np.zeros(len(X), dtype=int))

    def _beside_conditions(self, X, y):
        # The checks transform rows without y.
        return super()._beside_conditions(X, np.zeros(len(X), dtype=int))


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


# Each setting leads through lines of code of its own, which stand beside it, on an
# estimator that has them; what estimators share, one of them shows for all. Rows are
# held out where that is what is meant: without, a fit is one training, not six.
SMALL = {"max_iter": 2, "hidden_layer_sizes": (8,)}
TWO_FOLDS = {"max_iter": 2, "validation_fraction": 0.25}
FOLDED = {**SMALL, **TWO_FOLDS}
WHOLE = {**SMALL, "early_stopping": False}
OWN = {"encoder": nn.Linear, "decoder": nn.Linear}

AUTOENCODERS = [
    # Sizes, inference and everything else are "auto": folds, judged by projections.
    sklearn_ae.AutoencoderTransformer(max_iter=2),
    # Projections by reweighted squares; training rows decide about the epoch.
    sklearn_ae.AutoencoderTransformer(loss="absolute_error", **WHOLE),
    # No linear path; latents that get their axes after training; the encoder's.
    sklearn_ae.AutoencoderTransformer(
        init="random", activation="relu", alpha=0.01, inference="encoder", **FOLDED
    ),
    # Training goes on from what there is, with rows held out, not folds.
    sklearn_ae.AutoencoderTransformer(warm_start=True, **FOLDED),
    # More latents than the hidden layer has units, and than some tables have columns.
    sklearn_ae.AutoencoderTransformer(3, **{**WHOLE, "hidden_layer_sizes": (1,)}),
    # Wide layers learn at a lower rate.
    sklearn_ae.AutoencoderTransformer(**{**WHOLE, "hidden_layer_sizes": (512,)}),
    # No hidden layer, and one latent.
    sklearn_ae.AutoencoderTransformer(1, **{**WHOLE, "hidden_layer_sizes": ()}),
    # The user's networks: autograd, and the global generator.
    sklearn_ae.AutoencoderTransformer(**TWO_FOLDS, **OWN),
    # Projections by derivatives in forward mode, as those of convolutions are.
    sklearn_ae.AutoencoderTransformer(
        max_iter=2, early_stopping=False, inference="refined", **OWN
    ),
    # A link, a start at the mean, columns that stay as they are.
    AutoencoderTransformer(loss="log_loss", **WHOLE),
    # Convolutions.
    AutoencoderTransformer(
        image_shape=(1, 1), **{**FOLDED, "hidden_layer_sizes": (4,)}
    ),
    AutoencoderTransformer(image_shape=(1, 1), loss="log_loss", **WHOLE),
]

DENOISERS = [
    sklearn_ae.DenoisingAutoencoderTransformer(**TWO_FOLDS),
    # What "auto" is not; entries become their column's mean, or its ends.
    sklearn_ae.DenoisingAutoencoderTransformer(
        inference="refined", corruption="masking", **FOLDED
    ),
    sklearn_ae.DenoisingAutoencoderTransformer(corruption="salt_and_pepper", **WHOLE),
    # Entries of other rows of the batch.
    sklearn_ae.DenoisingAutoencoderTransformer(corruption="swap", **WHOLE),
    # The user's corruption, which may draw globally.
    sklearn_ae.DenoisingAutoencoderTransformer(corruption=Halve(), **FOLDED),
    # A corruption of images.
    DenoisingAutoencoderTransformer(
        corruption="block",
        image_shape=(1, 1),
        **{**WHOLE, "hidden_layer_sizes": (4,)},
    ),
]

# What is trained from noise, or on few of these rows, has not learned enough after two
# epochs for what the checks ask of predictions.
FROM_NOISE = {"max_iter": 20, "learning_rate_init": 0.05}

REGRESSORS = [
    sklearn_ae.EncoderDecoderRegressor(**TWO_FOLDS),
    sklearn_ae.EncoderDecoderRegressor(loss="absolute_error", **WHOLE),
    sklearn_ae.EncoderDecoderRegressor(
        init="random", activation="relu", alpha=0.01, **{**WHOLE, **FROM_NOISE}
    ),
    sklearn_ae.EncoderDecoderRegressor(warm_start=True, **FOLDED),
    sklearn_ae.EncoderDecoderRegressor(1, **{**WHOLE, "hidden_layer_sizes": ()}),
    sklearn_ae.EncoderDecoderRegressor(early_stopping=False, **OWN, **FROM_NOISE),
    EncoderDecoderRegressor(loss="log_loss", **{**WHOLE, **FROM_NOISE}),
    # Targets that are images, where they fit, and that are none.
    EncoderDecoderRegressor(image_shape=(1, 1), **FOLDED),
    EncoderDecoderRegressor(image_shape=(1, 1), target_shape=None, **WHOLE),
]

VARIATIONAL = [
    # Folds, judged by the density; the mode of the posterior and its curvature; noise
    # that follows the latents where held-out rows say so, that always does, and shared.
    sklearn_ae.VAETransformer(**TWO_FOLDS),
    sklearn_ae.VAETransformer(loss="absolute_error", noise="per_row", **WHOLE),
    # Noise of each column, the whole posterior by the encoder.
    sklearn_ae.VAETransformer(noise="per_column", inference="encoder", **FOLDED),
    # All that eases a training from noise.
    sklearn_ae.VAETransformer(
        kl_warmup=5, free_bits=0.1, init="random", activation="relu", **FOLDED
    ),
    # Judged by the bound that is asked for; another bound when training goes on.
    sklearn_ae.VAETransformer(beta=0.0, warm_start=True, **FOLDED),
    sklearn_ae.VAETransformer(n_importance_samples=3, noise="shared", **WHOLE),
    sklearn_ae.VAETransformer(path_gradient=True, **WHOLE),
    # Two outputs for each latent are asked of the user's networks and of images'.
    sklearn_ae.VAETransformer(max_iter=2, early_stopping=False, **OWN),
    VAETransformer(image_shape=(1, 1), **WHOLE),
    # Rows that are drawn, and posteriors that are kept.
    VAETransformer(loss="log_loss", binarize=True, n_exemplars=5, **WHOLE),
    # Columns of conditions beside those of the rows.
    VAETransformer(conditional=True, **WHOLE),
    # Scores of columns, with a likelihood for each.
    sklearn_ae.VAETransformer(column_maps="quantile", **WHOLE),
]


@with_checks(AUTOENCODERS, DENOISERS, REGRESSORS, VARIATIONAL)
def test_scikit_learn_check(estimator, check):
    check(estimator)
