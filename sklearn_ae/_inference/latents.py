"""Latents that one can read and draw from: axes, and a density fitted to them."""

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .._tables.weights import mean_row
from .mixture import Mixture

# More rows would sharpen a mixture of a few components no further.
_MIXTURE_ROWS = 2000
_MIXTURE_SIZES = (1, 2, 4, 8, 16)
# Beyond those, for as long as rows that were held out gain by it.
_LARGE_MIXTURE_SIZES = (*_MIXTURE_SIZES, 32, 64, 128)
_HELD_OUT = 0.1
# Multiplications of a step of the mixture's fit: rows times components times squares of
# latents. A hundred steps then take seconds.
_MOST_PRODUCTS = 2**29


def principal_axes(
    z: Tensor, x: Tensor, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Rotation (k, k) and shift (k,) to centred, uncorrelated, ordered latents.

    Signs are fixed as PCA's are: the column of x that goes with a latent most
    strongly goes up with it.
    """
    z = z.double()  # (n, k)
    shift = mean_row(z, weights)
    centred = z - shift
    if weights is not None:
        root = weights.to(z).sqrt()[:, None]
        centred, x = root * centred, root * x
    _, axes = torch.linalg.eigh(centred.T @ centred)  # ascending, axes in columns
    rotation = axes.flip(1)
    return rotation * _signs(centred @ rotation, x), shift


def signed_order(z: Tensor, importance: Tensor, x: Tensor) -> Tensor:
    """Signed permutation (k, k) that sorts latents by falling importance (k,)."""
    order = torch.argsort(importance, descending=True, stable=True)
    permutation = torch.eye(z.shape[1], dtype=torch.float64, device=z.device)[:, order]
    z = z.double()
    return permutation * _signs((z - z.mean(dim=0)) @ permutation, x)


def _signs(z: Tensor, x: Tensor) -> Tensor:
    """Sign of each centred latent's largest covariance with a column of x."""
    covariances = torch.zeros(
        z.shape[1], x.shape[1], dtype=torch.float64, device=z.device
    )  # (k, d)
    for z_block, x_block in zip(z.split(8192), x.split(8192), strict=True):
        covariances += z_block.T @ x_block.double()
    largest = covariances.gather(1, covariances.abs().argmax(dim=1, keepdim=True))
    return torch.where(largest[:, 0] < 0, -1.0, 1.0).double()  # (k,)


class LatentDensity:
    """A density of the training latents (n, k): Gaussian mixture or one Gaussian.

    Latents that come chunk by chunk are pooled into one Gaussian, whose moments are all
    that has to be kept.
    """

    def __init__(self, Z: np.ndarray, n_samples: int | None = None):
        self.n_samples = n_samples or len(Z)  # that the latents stand for
        self.mean = Z.mean(axis=0)  # (k,)
        centred = Z - self.mean
        self.covariance = centred.T @ centred / len(Z)  # (k, k)
        self.mixture: Mixture | None = None
        self.axes = np.arange(Z.shape[1])  # the latents that the mixture is of

    @property
    def scale(self) -> np.ndarray:
        std = np.sqrt(np.diag(self.covariance))  # (k,)
        return np.where(std > 0, std, 1.0)

    def fit_mixture(
        self,
        Z: np.ndarray,
        random_state: np.random.RandomState,
        *,
        max_rows: int = _MIXTURE_ROWS,
        axes: np.ndarray | None = None,
    ) -> None:
        """Fit a mixture to at most max_rows of the latents (n, k).

        Its size is the one with the lowest BIC, and of more than 2000 rows the one
        that gives rows held out the highest density. With axes, these latents alone
        are in the mixture, and the others are standard normal.
        """
        axes = np.arange(Z.shape[1]) if axes is None else axes
        if len(axes) == 0:
            self.axes = axes
        if not self.covariance[np.ix_(axes, axes)].any():
            return
        at_most = _MOST_PRODUCTS // (max(_MIXTURE_SIZES) * len(axes) ** 2)
        max_rows = min(max_rows, max(_MIXTURE_ROWS, at_most))
        if len(Z) > max_rows:
            Z = Z[random_state.choice(len(Z), max_rows, replace=False)]
        Z = ((Z - self.mean) / self.scale)[:, axes]
        if len(Z) > _MIXTURE_ROWS:
            Z = random_state.permutation(Z)
            held_out, kept = np.split(Z, [int(_HELD_OUT * len(Z))])
            self.mixture = _best_mixture(
                kept,
                _LARGE_MIXTURE_SIZES,
                lambda mixture: mixture.score(held_out),
                random_state,
            )
        elif len(Z) > 1:
            self.mixture = _best_mixture(
                Z, _MIXTURE_SIZES, lambda mixture: -mixture.bic(Z), random_state
            )
        self.axes = axes

    def pooled_with(self, other: "LatentDensity") -> "LatentDensity":
        """The Gaussian of both sets of latents."""
        pooled = copy.copy(self)
        pooled.mixture = None
        pooled.axes = np.arange(len(self.mean))
        pooled.n_samples = self.n_samples + other.n_samples
        share = other.n_samples / pooled.n_samples
        step = other.mean - self.mean
        pooled.mean = self.mean + share * step
        pooled.covariance = (
            (1 - share) * self.covariance
            + share * other.covariance
            + share * (1 - share) * np.outer(step, step)
        )
        return pooled

    def of_first(self, n_kept: int) -> "LatentDensity":
        """The density of the first latents alone."""
        first = copy.copy(self)
        first.mean = self.mean[:n_kept]
        first.covariance = self.covariance[:n_kept, :n_kept]
        first.axes = self.axes[self.axes < n_kept]
        if self.mixture is not None:
            first.mixture = self.mixture.of(self.axes < n_kept)
        return first

    def gaussians(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Log-weights (c,), means (c, a), whitening matrices (c, a, a) and axes (a,).

        Latents that are not among the axes are standard normal beside them.
        """
        if self.mixture is None and len(self.axes) == 0:
            return np.zeros(1), np.zeros((1, 0)), np.zeros((1, 0, 0)), self.axes
        if self.mixture is None:
            # What did not vary is given the width of rounding errors.
            floor = 1e-6 * max(np.trace(self.covariance) / len(self.mean), 1e-12)
            covariance = self.covariance + floor * np.eye(len(self.mean))
            lower = np.linalg.cholesky(np.linalg.inv(covariance))
            return np.zeros(1), self.mean[None], lower[None], self.axes
        mixture, scale = self.mixture, self.scale[self.axes]
        means = mixture.means * scale + self.mean[self.axes]
        whitening = mixture.whitening / scale[:, None]
        return np.log(mixture.weights), means, whitening, self.axes

    def sample(self, n_samples: int, random_state: np.random.RandomState) -> np.ndarray:
        """Draw latents (n_samples, k)."""
        if self.mixture is None and len(self.axes) == 0:
            return random_state.standard_normal((n_samples, len(self.mean)))
        if self.mixture is None:
            return random_state.multivariate_normal(
                self.mean, self.covariance, n_samples, check_valid="ignore"
            )
        drawn = self.mixture.sample(n_samples, random_state)
        drawn = drawn * self.scale[self.axes] + self.mean[self.axes]
        if len(self.axes) == len(self.mean):
            return drawn
        Z = random_state.standard_normal((n_samples, len(self.mean)))
        Z[:, self.axes] = drawn
        return Z


def _best_mixture(
    Z: np.ndarray,
    sizes: tuple[int, ...],
    score: Callable[[Mixture], float],
    random_state: np.random.RandomState,
) -> Mixture | None:
    """The best of mixtures fitted to Z: small ones, and as large as gains go on.

    A small one may be worse than one still smaller, and all larger ones better: what
    they come to depends on the grouping that they start from.
    """
    best, best_score = None, -np.inf
    for size in sizes:
        # Twice the rows of a full covariance, or the components are guesses.
        n_products = size * len(Z) * Z.shape[1] ** 2
        if size > 1 and (len(Z) < 2 * size * Z.shape[1] or n_products > _MOST_PRODUCTS):
            break
        mixture = Mixture.fitted_to(Z, size, random_state)
        value = score(mixture)
        if value > best_score:
            best, best_score = mixture, value
        elif size > _MIXTURE_SIZES[-1]:
            break
    return best


# Ways from one set of latents (n, k) to another, as (n_steps, n, k) -------------------


def linear_path(start: np.ndarray, end: np.ndarray, n_steps: int) -> np.ndarray:
    """Points of the straight lines between latents, both ends among them."""
    share = np.linspace(0.0, 1.0, n_steps, dtype=start.dtype)[:, None, None]
    return (1 - share) * start + share * end


def spherical_path(start: np.ndarray, end: np.ndarray, n_steps: int) -> np.ndarray:
    """Turn from one direction to the other, and change the length, in even steps."""
    share = np.linspace(0.0, 1.0, n_steps, dtype=start.dtype)[:, None, None]
    first = np.linalg.norm(start, axis=1, keepdims=True)  # (n, 1)
    last = np.linalg.norm(end, axis=1, keepdims=True)
    a, b = start / np.where(first > 0, first, 1.0), end / np.where(last > 0, last, 1.0)
    cosine = np.clip((a * b).sum(axis=1, keepdims=True), -1.0, 1.0)
    angle = np.arccos(cosine)  # (n, 1)
    # Where there is no way to turn, or each is as short, the line is straight.
    can_turn = (np.sin(angle) > 1e-4) & (np.minimum(first, last) > 0)
    angle = np.where(can_turn, angle, 1.0)
    turned = np.sin((1 - share) * angle) * a + np.sin(share * angle) * b
    turned *= linear_path(first, last, n_steps) / np.sin(angle)
    return np.where(can_turn, turned, linear_path(start, end, n_steps))


PATHS = {"linear": linear_path, "spherical": spherical_path}
