"""The default recipe: sizes and lengths from the shape of the data alone."""

import math


def hidden_layer_sizes(n_features: int, n_components: int) -> tuple[int, ...]:
    """Hidden layers of the encoder, first to last; the decoder has them reversed."""
    return (256, 128)


def learning_rate(init: str) -> float:
    """Peak rate: from PCA the way is short and straight, from noise it is not."""
    return 4e-3 if init == "pca" else 1e-3


def alpha(init: str) -> float:
    """Weight decay: none for the plain networks that init="random" stands for."""
    return 0.5 if init == "pca" else 0.0


def weight_decay(alpha: float, learning_rate: float, n_steps: int) -> float:
    """Decay per step (times the rate) that shrinks idle weights by exp(-alpha) in all.

    The schedule's mean is half its peak. Longer training does not mean more decay.
    """
    return alpha / (0.5 * learning_rate * max(1, n_steps))


def batch_size(n_samples: int) -> int:
    """About 40 steps an epoch on small tables, 128 rows at most."""
    return max(1, min(128, max(16, n_samples // 40)))


def n_epochs(n_samples: int, batch_size: int) -> int:
    """Epochs of the whole schedule: about 3000 steps, and 10 epochs at least."""
    steps_per_epoch = math.ceil(n_samples / batch_size)
    return max(10, math.ceil(3000 / steps_per_epoch))


def n_validation_rows(n_samples: int, validation_fraction: float) -> int:
    """Rows to hold out; at least one stays to learn from."""
    return min(math.ceil(validation_fraction * n_samples), n_samples - 1)
