"""Linear optima in closed form: what networks are before their first step."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import linalg
from sklearn.utils.extmath import randomized_svd, svd_flip
from torch import Tensor, nn

from .._tables.rows import block_rows
from .._tables.weights import mean_row, with_mean_one
from .._utils.processes import ALONE, Processes

Layer = tuple[Tensor, Tensor]  # weight and bias


def linear_layer(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A layer of these tensors, for which nothing is drawn on the way."""
    layer = nn.Linear.__new__(nn.Linear)
    nn.Module.__init__(layer)
    layer.out_features, layer.in_features = weight.shape
    # The order in memory decides of last digits: it must be that of a file's tensors.
    layer.weight = nn.Parameter(weight.contiguous())
    layer.bias = nn.Parameter(bias)
    return layer


# Up to this many rows or columns, an exact decomposition takes about a second.
EXACT_PCA_SIZE = 2000
# Principal axes that a linear regression takes where there are more rows and columns.
_N_AXES = 512
# More numbers than that are not copied to double precision as a whole.
_COPIED_SIZE = 2**24
# The least noise variance, as a share of the data's mean variance.
MIN_NOISE_VARIANCE = 1e-6


@dataclass(frozen=True)
class LinearStart:
    """The linear optimum: x is about latents @ components + mean."""

    components: Tensor  # (k, d), orthonormal rows; zeros where n or d is less than k
    mean: Tensor  # (d,), nearly zero: rows come centred
    variances: Tensor  # (k,), of the latents
    noise_variance: float  # per column, of what the components leave
    # Of conditions that come with the rows: what a linear regression on them takes
    # from the rows before the rest is decomposed, and their variances.
    regression: Tensor | None = None  # (d, m)
    condition_variances: Tensor | None = None  # (m,)

    @classmethod
    def from_rows(
        cls,
        x: Tensor,
        n_components: int,
        random_state: np.random.RandomState,
        weights: Tensor | None = None,
    ) -> "LinearStart":
        """PCA of standardised rows (n, d), with signs as scikit-learn fixes them."""
        if x.numel() > _COPIED_SIZE and x.shape[1] <= EXACT_PCA_SIZE:
            blocks = x.split(block_rows(x.shape[1]))
            return cls.from_blocks(blocks, n_components, weights)
        X = x.cpu().numpy().astype(np.float64)
        n_samples, n_features = X.shape
        components = np.zeros((n_components, n_features))
        variances = np.zeros(n_components)
        shares = None if weights is None else with_mean_one(weights).cpu().numpy()
        noise_variance, mean = 0.0, np.average(X, axis=0, weights=shares)
        k = min(n_components, n_samples - 1, n_features)
        if k > 0 and np.ptp(X, axis=0).any():
            centred = X - mean
            if shares is not None:
                centred *= np.sqrt(shares)[:, None]
            components[:k], variances[:k], noise_variance = _principal_components(
                centred, k, random_state
            )
        return cls(
            torch.from_numpy(components),
            torch.from_numpy(mean),
            torch.from_numpy(variances),
            max(noise_variance, MIN_NOISE_VARIANCE),
        )

    @classmethod
    def from_blocks(
        cls,
        blocks: Iterable[Tensor],
        n_components: int,
        weights: Tensor | None,
        processes: Processes = ALONE,
    ) -> "LinearStart":
        """The same from blocks of rows (n, d) on their way past, many more than d."""
        n_samples, total, products = 0, torch.tensor(0.0), torch.tensor(0.0)
        counts = None if weights is None else with_mean_one(weights, processes)
        for block in blocks:
            x = counted = block.cpu().double()
            if counts is not None:
                shares = counts[n_samples : n_samples + len(x)]
                counted = x * shares.to(x)[:, None]
            n_samples += len(x)
            total = total + counted.sum(dim=0)  # (d,)
            products = products + counted.T @ x  # (d, d)
        n_samples, total, products = _of_all(n_samples, total, products, processes)
        mean = total / n_samples
        covariance = (products - n_samples * mean.outer(mean)) / (n_samples - 1)
        variances, axes = torch.linalg.eigh(covariance)  # ascending, axes in columns
        variances, axes = variances.flip(0).clamp(min=0.0), axes.flip(1)
        n_features = len(mean)
        k = min(n_components, n_features)
        components = torch.zeros(n_components, n_features, dtype=torch.float64)
        components[:k] = axes.T[:k]
        largest = components.gather(1, components.abs().argmax(dim=1, keepdim=True))
        components *= torch.where(largest < 0, -1.0, 1.0)
        rest = variances[k:].mean().item() if k < n_features else 0.0
        kept = torch.zeros(n_components, dtype=torch.float64)
        kept[:k] = variances[:k]
        return cls(components, mean, kept, max(rest, MIN_NOISE_VARIANCE))

    @classmethod
    def beside_conditions(
        cls,
        x: Tensor,
        n_conditions: int,
        n_components: int,
        random_state: np.random.RandomState,
        weights: Tensor | None = None,
    ) -> "LinearStart":
        """For rows (n, d + m) of which the last m columns are conditions."""
        both = x.cpu().double()
        rows, conditions = both.tensor_split([-n_conditions], dim=1)
        mean, condition_mean = (mean_row(p, weights) for p in (rows, conditions))
        # Labels' columns add up to one: of all solutions, the least.
        centred, wanted = conditions - condition_mean, rows - mean
        if weights is not None:
            root = weights.to(centred).sqrt()[:, None]
            centred, wanted = root * centred, root * wanted
        inverse = torch.linalg.pinv(centred)  # (m, n)
        regression = (inverse @ wanted).T  # (d, m)
        intercept = mean - regression @ condition_mean
        rest = rows - conditions @ regression.T - intercept
        start = cls.from_rows(rest, n_components, random_state, weights)
        variances = conditions.var(dim=0, correction=0)
        if weights is not None:
            variances = mean_row((conditions - condition_mean).square(), weights)
        return replace(
            start,
            mean=intercept,
            regression=regression,
            condition_variances=variances,
        )

    def pca_layers(self) -> tuple[Layer, Layer, Tensor]:
        """Encoder and decoder that are PCA, and the variances of the latents (k,)."""
        weight = self.components  # (k, d)
        encoder, decoder = (weight, -weight @ self.mean), (weight.T, self.mean)
        return encoder, decoder, self.variances

    def probabilistic_pca_layers(self) -> tuple[Layer, Layer, Tensor]:
        """The same for probabilistic PCA; the encoder gives mean and log-variance.

        With W = V (L - s2)^(1/2) the posterior of z given x is Gaussian with mean
        L^-1 W^T (x - mean) and variance s2 / L, where L are the eigenvalues and V
        the axes of the covariance and s2 is the noise variance.
        """
        signal = (self.variances - self.noise_variance).clamp(min=0.0).sqrt()  # (k,)
        eigenvalues = self.variances.clamp(min=self.noise_variance)  # (k,)
        to_mean = (signal / eigenvalues)[:, None] * self.components  # (k, d)
        weight = torch.cat([to_mean, torch.zeros_like(to_mean)])  # (2k, d)
        log_var = torch.log(self.noise_variance / eigenvalues)  # (k,)
        bias = torch.cat([-to_mean @ self.mean, log_var])  # (2k,)
        decoder_weight = (signal[:, None] * self.components).T  # (d, k)
        variances = torch.ones_like(self.variances)
        if self.regression is not None and self.condition_variances is not None:
            weight = torch.cat([weight, -weight @ self.regression], dim=1)
            decoder_weight = torch.cat([decoder_weight, self.regression], dim=1)
            variances = torch.cat([variances, self.condition_variances])
        return (weight, bias), (decoder_weight, self.mean), variances


def _of_all(
    n_samples: int, total: Tensor, products: Tensor, processes: Processes
) -> tuple[int, Tensor, Tensor]:
    """Sums over rows (), (d,), (d, d), over those of all processes."""
    if not processes.are_several:
        return n_samples, total, products
    lengths = processes.gather((n_samples, len(total) if total.ndim else 0))
    if total.ndim == 0:
        d = max(d for _, d in lengths)
        total, products = torch.zeros(d).double(), torch.zeros(d, d).double()
    both = processes.sum(torch.cat([total[None], products]))
    return sum(n for n, _ in lengths), both[0], both[1:]


@dataclass(frozen=True)
class RegressionStart:
    """The linear optimum for targets y of rows x: reduced-rank ridge regression.

    Of all linear maps of rank k it has the least squared error plus penalty. The
    penalty is the one with the least error of generalised cross-validation.
    """

    encoder: Layer  # (k, d) and (k,); zeros where k is more than the rank can be
    decoder: Layer  # (m, k), orthonormal columns or zeros, and (m,)
    variances: Tensor  # (k,), of the latents, which are uncorrelated

    # In units of the number of rows, as columns of x have a variance of one.
    PENALTIES = torch.logspace(-6, 2, 25, dtype=torch.float64)

    @classmethod
    def from_rows(
        cls,
        x: Tensor,
        y: Tensor,
        n_components: int,
        random_state: np.random.RandomState,
        weights: Tensor | None = None,
    ) -> "RegressionStart":
        """From standardised rows (n, d) and targets (n, m)."""
        n_samples, n_features = x.shape
        can_be_exact = min(n_samples, n_features) <= EXACT_PCA_SIZE
        n_axes = min(n_samples - 1, n_features) if can_be_exact else _N_AXES
        axes = LinearStart.from_rows(x, max(1, n_axes), random_state, weights)
        components, mean_x = axes.components, axes.mean  # (p, d), (d,)
        squares = axes.variances * max(1, n_samples - 1)  # (p,)
        # What is left of a constant direction is rounding noise.
        squares = torch.where(squares > 1e-12 * squares.max(), squares, 0.0)

        mean_y = mean_row(y.double(), weights).cpu()  # (m,)
        counted = torch.ones(n_samples) if weights is None else with_mean_one(weights)
        products = torch.zeros(len(squares), y.shape[1], dtype=torch.float64)  # (p, m)
        square_y = 0.0
        n_block = block_rows(n_features + y.shape[1])
        blocks = (part.split(n_block) for part in (x, y, counted))
        for x_block, y_block, shares in zip(*blocks, strict=True):
            projected = (x_block.cpu().double() - mean_x) @ components.T  # (n, p)
            targets = y_block.cpu().double() - mean_y
            counted_targets = targets * shares.cpu().double()[:, None]
            products += projected.T @ counted_targets
            square_y += (targets * counted_targets).sum().item()
        products[squares == 0] = 0.0

        penalties = cls.PENALTIES * n_samples
        errors = _cross_validated_errors(
            squares, products, square_y, n_samples, penalties
        )
        penalised = squares + penalties[errors.argmin()]  # (p,)
        # Axes in the space of y: those of the penalised sum of squares that the full
        # regression explains, turned into the principal axes of what they predict.
        _, _, targets_axes = torch.linalg.svd(
            products / penalised.sqrt()[:, None], full_matrices=False
        )
        rank = min(n_components, len(targets_axes))
        kept = targets_axes[:rank].T  # (m, r)
        coefficients = products / penalised[:, None]  # (p, m)
        predicted = squares.sqrt()[:, None] * (coefficients @ kept)  # (p, r)
        _, spread, turn = torch.linalg.svd(predicted, full_matrices=True)
        kept = kept @ turn.T
        largest = kept.gather(0, kept.abs().argmax(dim=0, keepdim=True))
        kept = kept * torch.where(largest < 0, -1.0, 1.0)

        weight = torch.zeros(n_components, n_features, dtype=torch.float64)
        weight[:rank] = (coefficients @ kept).T @ components
        back = torch.zeros(y.shape[1], n_components, dtype=torch.float64)
        back[:, :rank] = kept
        variances = torch.zeros(n_components, dtype=torch.float64)
        variances[: len(spread)] = spread.square() / max(1, n_samples - 1)
        return cls((weight, -weight @ mean_x), (back, mean_y), variances)


def _principal_components(
    centred: np.ndarray, k: int, random_state: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray, float]:
    """Components (k, d) of centred rows, their variances (k,), the mean of the rest's.

    By functions, as scikit-learn's estimator would be logged as a fit of the user's
    where programs watch for these.
    """
    n_samples, n_features = centred.shape
    rank = min(n_samples, n_features)
    if rank > EXACT_PCA_SIZE and k < 0.8 * rank:
        _, spread, axes = randomized_svd(
            centred, k, flip_sign=False, random_state=random_state
        )
        variances = spread**2 / (n_samples - 1)
        total = np.square(centred).sum() / (n_samples - 1)
        rest = (total - variances.sum()) / (rank - k)
    else:
        if n_samples >= n_features:
            products = centred.T @ centred / (n_samples - 1)
            variances, vectors = linalg.eigh(products)  # ascending, axes in columns
            variances, axes = np.maximum(variances[::-1], 0.0), vectors[:, ::-1].T
        else:
            _, spread, axes = linalg.svd(centred, full_matrices=False)
            variances = spread**2 / (n_samples - 1)
        rest = variances[k:].mean() if k < rank else 0.0
    _, axes = svd_flip(None, axes[:k], u_based_decision=False)
    return axes, variances[:k], float(rest)


def _cross_validated_errors(
    squares: Tensor,
    products: Tensor,
    square_y: float,
    n_samples: int,
    penalties: Tensor,
) -> Tensor:
    """Error of ridge regression by generalised cross-validation, per penalty.

    Of rows centred and in their principal axes: their sums of squares (p,), products
    with the centred targets (p, m), and the sum of squares of the targets.
    """
    some = squares > 0
    explained = products[some].square().sum(dim=1) / squares[some]  # (p,)
    shrinkage = penalties[:, None] / (squares[some] + penalties[:, None])  # (a, p)
    residual = max(0.0, square_y - explained.sum().item())
    residuals = residual + shrinkage.square() @ explained  # (a,)
    n_free = n_samples - 1 - (1.0 - shrinkage).sum(dim=1)  # (a,)
    return residuals / n_free.clamp(min=1e-6).square()
