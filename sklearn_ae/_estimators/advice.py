"""What a fit tells the user that worked, but may not be what was meant."""

from typing import Any

from sklearn.exceptions import ConvergenceWarning

from .._networks.architecture import Architecture
from .._training.options import TrainingResult
from .._utils.warnings import warn


def warn_of_idle_latents(architecture: Architecture, n_rows: int) -> None:
    k, n_columns = architecture.spec.n_components, architecture.n_own_inputs
    most = min(n_rows - 1, n_columns)
    # What predicts targets may use more latents than give the rows back.
    if architecture.is_of_pairs or n_rows < 2 or k <= most:
        return
    warn(
        f"n_components={k} is more than X with {n_rows} rows and {n_columns} columns "
        f"can use: {most} latents give every row back. All {k} were fitted; what is "
        f"beyond {most} starts without use. Ask for n_components={most} or fewer.",
        UserWarning,
    )


def warn_of_channels_first(architecture: Architecture) -> None:
    """Warn of image shapes that torch's images have, and hardly any here."""
    for name in ("image_shape", "target_shape"):
        shape = getattr(architecture.spec, name)
        if not isinstance(shape, tuple):
            continue
        n_first, height, width = shape
        if n_first in (1, 3) and min(height, width) >= 8:
            warn(
                f"{name}={shape} is read as (height, width, channels): {width} "
                f"channels, of height {n_first} and width {height}. Where these are "
                f"images of {n_first} channels, which torch has first, give rows of "
                f"them with channels last, and {name}={(height, width, n_first)}.",
                UserWarning,
            )


def warn_if_cut_short(
    max_iter: Any, result: TrainingResult, n_epochs_usual: int, goes_on: bool
) -> None:
    if goes_on and result.n_epochs == 0:
        message = (
            f"warm_start: the networks have had max_iter={max_iter} epochs already and "
            "were left as they are. Raise max_iter to train on."
        )
    elif 0 < result.n_epochs == max_iter < n_epochs_usual:
        message = (
            f"Training ended at max_iter={max_iter} epochs; a table of this length "
            f"usually takes {n_epochs_usual}. Raise max_iter, or leave it at "
            '"auto", for a lower error.'
        )
    else:
        return
    warn(message, ConvergenceWarning)
