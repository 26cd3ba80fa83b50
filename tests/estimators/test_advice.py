"""What a fit warns of that worked, but may not be what was meant."""

import numpy as np
import pytest

from sklearn_ae import AutoencoderTransformer, EncoderDecoderRegressor

X = np.random.RandomState(0).uniform(size=(12, 72))
QUICK = {"hidden_layer_sizes": (2,), "max_iter": 0, "early_stopping": False}


def test_channels_first_are_warned_of():
    with pytest.warns(UserWarning, match=r"channels last, and image_shape=\(8, 9, 1\)"):
        AutoencoderTransformer(2, image_shape=(1, 8, 9), **QUICK).fit(X)


def test_channels_first_of_targets_are_warned_of():
    with pytest.warns(UserWarning, match=r"^target_shape=\(1, 8, 9\) is read as"):
        EncoderDecoderRegressor(2, target_shape=(1, 8, 9), **QUICK).fit(X[:, :3], X)


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 1), (3, 24), (3, 4, 6), (1, 72, 1)])
def test_other_shapes_are_not(shape):
    AutoencoderTransformer(2, image_shape=shape, **QUICK).fit(X)
