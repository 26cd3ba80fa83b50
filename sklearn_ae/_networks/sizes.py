"""Sizes of the networks that "auto" stands for, from the shape of the data alone."""

import math

# Up to so many latents, networks are deeper and rows are projected from two starts.
FEW_LATENTS = 4


# Up to so many latents, networks need no wide layers, where rows are many.
SOME_LATENTS = 8


def hidden_layer_sizes(n_components: int, is_slim: bool = False) -> tuple[int, ...]:
    """Hidden layers of the encoder, first to last; the decoder has them reversed.

    A map through few latents has to bend more, which takes depth; many latents carry
    more, which takes width. Slim ones are deeper and narrower, and take less time:
    errors in squares of tables that are not short are as low with them.
    """
    has_few = n_components <= FEW_LATENTS
    if is_slim and n_components <= SOME_LATENTS:
        return (96, 64, 64, 64) if has_few else (128, 128, 128)
    return (128, 128, 128) if has_few else (256, 128)


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


def narrow_outputs(n_outputs: int, n_directions: int) -> int:
    """Numbers in which outputs are compared with rows in squares.

    Where a decoder gives many more columns than its last layer has directions, it pays
    to find the span of these first.
    """
    return n_directions if n_outputs >= 4 * n_directions else n_outputs
