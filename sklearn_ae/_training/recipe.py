"""The default recipe: sizes and lengths from the shape of the data alone."""

import math

# On tables up to this long, every row is seen so often, in batches of this size;
# beyond, the number of steps stays, and batches grow.
LONG_TABLE = 10_000
N_EPOCHS = 75
BATCH_SIZE = 128

# Where every pixel is a sample, a step needs fewer rows, and so does the training.
PIXEL_BATCHES = 4
PIXEL_EPOCHS = 3
PIXEL_LEARNING_RATE = 3e-3

# On shorter tables than LONG_TABLE, held-out rows only say how long to train on all.
# The best epoch of a schedule that was far from its end comes early: its rate was high.
LENGTHENING = 1.4

# Tables shorter than that are cross-validated, with so many folds.
SMALL_TABLE = 1000
N_FOLDS = 5

# Posteriors of images are narrow: an encoder that steps past them learns nothing.
VARIATIONAL_PIXEL_LEARNING_RATE = 2e-3

# Up to so many latents, networks are deeper.
FEW_LATENTS = 4

# Wider layers than this get a lower learning rate.
WIDEST_LAYER = 256

# With so many rows per column, weight decay is at its least.
ENOUGH_ROWS = 200

# partial_fit sees chunks of a table of unknown length: as of one of 10,000 rows.
N_STEPS_STREAMED = 6000


def hidden_layer_sizes(n_features: int, n_components: int) -> tuple[int, ...]:
    """Hidden layers of the encoder, first to last; the decoder has them reversed.

    A map through few latents has to bend more, which takes depth; many latents carry
    more, which takes width.
    """
    return (128, 128, 128) if n_components <= FEW_LATENTS else (256, 128)


def channels(height: int, width: int) -> tuple[int, ...]:
    """Channels of the stages of a convolutional encoder, first to last.

    Each stage halves the image, until no side is longer than 4.
    """
    n_stages = max(1, math.ceil(math.log2(max(height, width) / 4)))
    return tuple(min(16 * 2**i, 64) for i in range(n_stages))


def channels_with_skips(height: int, width: int) -> tuple[int, ...]:
    """The same where the first stage has maps as large as the image."""
    n_stages = 1 + len(channels(height, width))
    return tuple(min(8 * 2**i, 64) for i in range(n_stages))


def learning_rate(is_anchored: bool, widest_layer: int) -> float:
    """Peak rate: from PCA the way is short and straight, from noise it is not.

    A step moves every weight by about the rate, and a wide layer adds up many.
    """
    if not is_anchored:
        return 1e-3
    return 6e-3 * min(1.0, math.sqrt(WIDEST_LAYER / max(1, widest_layer)))


def alpha(is_anchored: bool, n_samples: int, n_features: int) -> float:
    """Weight decay: more of it the fewer rows there are for each column.

    None for the plain networks that init="random" stands for.
    """
    if not is_anchored:
        return 0.0
    return min(3.0, max(1.0, math.sqrt(ENOUGH_ROWS * n_features / n_samples)))


def weight_decay(alpha: float, learning_rate: float, n_steps: int) -> float:
    """Decay per step (times the rate) that shrinks idle weights by exp(-alpha) in all.

    The schedule's mean is half its peak. Longer training does not mean more decay.
    """
    decay = alpha / (0.5 * learning_rate * max(1, n_steps))
    return min(decay, 0.5 / learning_rate)  # a step may halve a weight, not turn it


def batch_size(n_samples: int) -> int:
    """128 rows, and on long tables more with the square root of their length."""
    growth = math.sqrt(max(1.0, n_samples / LONG_TABLE))
    return min(n_samples, round(BATCH_SIZE * growth))


def n_epochs(n_samples: int) -> int:
    """75 epochs; on long tables about as many steps as on one of 10,000 rows."""
    growth = math.sqrt(max(1.0, n_samples / LONG_TABLE))
    return max(5, round(N_EPOCHS / growth))


def n_epochs_on_all_rows(best_epoch: int) -> int:
    """Epochs of a training on all rows, with a schedule that ends with it."""
    return math.ceil(LENGTHENING * best_epoch)


def n_validation_rows(n_samples: int, validation_fraction: float) -> int:
    """Rows to hold out; at least one stays to learn from."""
    return min(math.ceil(validation_fraction * n_samples), n_samples - 1)
