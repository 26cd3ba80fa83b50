"""Sizes of the networks that "auto" stands for, from the shape of the data alone."""

import math

# Up to so many latents, networks are deeper and rows are projected from two starts.
FEW_LATENTS = 4


# Up to so many, they are narrower too, and up to these they are deep at all: where
# errors are squares, and rows are many.
FEWEST_LATENTS = 2
SOME_LATENTS = 8


def hidden_layer_sizes(n_components: int, may_be_slim: bool = False) -> tuple[int, ...]:
    """Hidden layers of the encoder, first to last; the decoder has them reversed.

    A map through few latents has to bend more, which takes depth; many latents carry
    more, which takes width. Where rows are many, depth does for more latents what width
    would, in less time.
    """
    if may_be_slim and n_components <= FEWEST_LATENTS:
        return (96, 64, 64, 64)
    n_most = SOME_LATENTS if may_be_slim else FEW_LATENTS
    return (128, 128, 128) if n_components <= n_most else (256, 128)


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
