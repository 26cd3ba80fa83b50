"""skorch's callbacks that look at predictions."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from skorch.callbacks import EpochScoring

from sklearn_ae import AutoencoderTransformer, EncoderDecoderRegressor, VAETransformer

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
)
X = load_iris().data


def scored(estimator, **options):
    scoring = EpochScoring("neg_mean_squared_error", name="mse", **options)
    estimator.set_params(callbacks=[scoring], max_iter=3, hidden_layer_sizes=(4,))
    return estimator.fit(X, X[:, :2]).history_


@pytest.mark.parametrize("on_train", [False, True])
@pytest.mark.parametrize("use_caching", [False, True])
@pytest.mark.parametrize(
    "estimator",
    [AutoencoderTransformer(2), VAETransformer(2), EncoderDecoderRegressor(2)],
)
def test_scores_are_of_rows_and_reconstructions(estimator, on_train, use_caching):
    history = scored(estimator, on_train=on_train, use_caching=use_caching)
    scores = history[:, "mse"]
    assert len(scores) == 3
    assert np.all(np.array(scores) < 0)


def test_score_of_held_out_rows_is_their_loss():
    # With the encoder's latents the validation loss is this mean squared error.
    history = scored(AutoencoderTransformer(2, inference="encoder"))
    np.testing.assert_allclose(
        history[:, "mse"], -np.array(history[:, "valid_loss"]), rtol=1e-4
    )
