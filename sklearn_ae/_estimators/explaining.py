"""Estimators that say what their latents explain, and what each does to the columns."""

import copy
from dataclasses import replace
from itertools import pairwise
from numbers import Integral
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from sklearn.utils import Bunch, check_scalar, gen_batches
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from .._inference.described import DescribedRows
from .._inference.effects import column_losses, jacobians
from .._inference.explained import Explained, explain
from .._inference.latents import LatentDensity, principal_axes
from .._networks.modules import Autoencoder
from .._networks.truncation import rungs, with_first_latents
from .._tables.rows import Table
from .._training.nested import NestedObjective
from .._utils.extras import import_extra
from .._utils.random import some_rows
from .autoencoders import BaseAutoencoder
from .choosing import NUMBERS_OF_LATENTS
from .design import Axes, Trained

Self = TypeVar("Self", bound="Truncating")

# Rows at whose points a decoder is differentiated, and numbers of a block of tangents.
_MOST_ROWS = 1000
_BLOCK_SIZE = 2**22


class Explaining(BaseAutoencoder):
    """What the latents explain of the rows, and what they do to the columns."""

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **BaseAutoencoder._parameter_constraints,
        "n_components": NUMBERS_OF_LATENTS,
    }

    explained_variance_ratio_: np.ndarray
    explained_variance_: np.ndarray
    mean_: np.ndarray
    _explained: Explained

    def _describe(self, trained: Trained) -> dict[str, Any]:
        explained = explain(trained.module, trained.rows)
        return super()._describe(trained) | attributes_of(explained)

    def _known_of_rows(self, user: str) -> Explained:
        """What is kept of the training rows."""
        if not hasattr(self, "_explained"):
            raise ValueError(
                f"{user} needs what fits keep of their rows, and the file of this "
                f"{type(self).__name__} is of a release before they did: fit it anew."
            )
        return self._explained

    def column_effects(self, X: Any = None) -> Any:
        """Return what each latent does to each column, as tables with names.

        The decoder is differentiated at the rows' own latents: how much a column
        changes, in its units, where a latent grows by one. Of a category there is a
        column for each level, whose probability it is that changes; dates change by
        microseconds. Of PCA, which the networks start as, the effects are the loadings
        ``components_``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), default=None
            Rows in the units of the training rows; of more than 1000, so many by
            chance. None takes some of the training rows, whose latents are kept.

        Returns
        -------
        tables : :class:`~sklearn.utils.Bunch`
            Frames of pandas, latent by column:

            effects : DataFrame of shape (n_components, n_columns)
                The mean change over the rows.
            shares : DataFrame of shape (n_components, n_columns)
                Of the changes of a column, in squares and with latents that vary as
                they do, that along each latent: each column of it sums to 1, or is 0
                where nothing changes it.
            nonlinearity : DataFrame of shape (n_components, n_columns)
                The standard deviation of the change over the rows, as a share of its
                root mean square: 0 where the column is linear in the latent, 1 where
                the ups and downs cancel.
        """
        pandas = import_extra("pandas", user="column_effects")
        self._check_without_conditions("column_effects")
        Z = self._latents_to_differentiate(X)
        n = len(Z)
        size = max(1, _BLOCK_SIZE // (Z.shape[1] * self.module_.row_size))
        mean, square = np.float64(0.0), np.float64(0.0)
        for rows in gen_batches(n, size):
            J = self._compute(jacobians, Z[rows])  # (b, k, d)
            mean = mean + J.sum(axis=0) / n
            square = square + (J**2).sum(axis=0) / n
        changes = square * Z.var(axis=0)[:, None]
        in_all = changes.sum(axis=0)
        spread = np.sqrt(np.maximum(square - mean**2, 0.0))
        # What is left of a linear decoder's is rounding.
        spread[spread < 1e-6 * np.sqrt(square)] = 0.0
        tables = {
            "effects": mean,
            "shares": changes / np.where(in_all > 0, in_all, 1.0),
            "nonlinearity": spread / np.where(square > 0, np.sqrt(square), 1.0),
        }
        latents = [str(name) for name in self.get_feature_names_out()]
        names = self._number_names()
        return Bunch(
            **{
                name: pandas.DataFrame(table, index=latents, columns=names)
                for name, table in tables.items()
            }
        )

    def _latents_to_differentiate(self, X: Any) -> np.ndarray:
        """Latents (n, k) of rows of X, or of the training rows, in float64."""
        if X is None:
            latents = self._known_of_rows("column_effects without X").latents
            return self._in_units(latents.double().numpy())
        rows = self._validate_new_rows(X)
        if len(rows) > _MOST_ROWS:
            numbers = np.sort(some_rows(len(rows), _MOST_ROWS))
            rows = rows.take(numbers) if isinstance(rows, Table) else rows[numbers]
        return self._infer("transform", rows).astype(np.float64)

    def _number_names(self) -> list[str]:
        """Of the numbers that the decoder gives: those of levels are of one column."""
        if self._kinds is not None:
            return self._kinds.number_names
        return [name for name, _ in self.columns_]

    def score_columns(self, X: Any) -> Any:
        """Return how well each column of each row is reconstructed: higher is better.

        Of a row that stands out it says in which columns it does.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows in the units of the training rows.

        Returns
        -------
        scores : DataFrame of shape (n_samples, n_columns)
            Minus the ``loss`` of each cell and its reconstruction, in the units that
            `score_samples` of an autoencoder has, which is the mean over the columns
            of a table of numbers. That of a category is the sum over its levels; that
            of a missing cell is NaN. Frames of pandas keep their index.
        """
        pandas = import_extra("pandas", user="score_columns")
        self._check_without_conditions("score_columns")
        rows = self._validate_new_rows(X)
        losses = self._compute(column_losses, rows, self._inference)
        names = [name for name, _ in self.columns_]
        if self._kinds is not None:
            of_each = map(self._kinds.numbers_of, range(len(names)))
            parts = [losses[:, numbers] for numbers in of_each]
            losses = np.stack(
                [
                    part.sum(axis=1) if part.shape[1] else np.full(len(part), np.nan)
                    for part in parts
                ],
                axis=1,
            )
        index = X.index if isinstance(X, pandas.DataFrame) else None
        return pandas.DataFrame(-losses, index=index, columns=names)

    def _check_without_conditions(self, method: str) -> None:
        check_is_fitted(self)
        if self.module_.n_conditions:
            raise ValueError(
                f"{method} is for models without conditions: what the latents of this "
                "one do to a column depends on what it is told beside the row."
            )


class Truncating(Explaining):
    """Estimators whose first latents are an estimator too."""

    def truncate(self: Self, n_components: int) -> Self:
        """Return a smaller fitted estimator: the first latents of this one.

        The other latents stay at zero, and rows are projected on what the decoder
        gives then. Where the fit was not nested (``nested=True`` of the autoencoders),
        the error is about that of PCA with as many latents. Where it was, the first
        decoder that takes as many gives the rows, and the error is lower, towards that
        of a fit with as many.

        Parameters
        ----------
        n_components : int
            Latents to keep, from 1 to ``n_components_``.

        Returns
        -------
        truncated : object
            An estimator of the same class, independent of this one. Of missing cells
            its `impute` knows what a linear model of the rows says.
        """
        check_is_fitted(self)
        k = self.n_components_
        check_scalar(n_components, "n_components", Integral, min_val=1, max_val=k)
        n_kept = int(n_components)
        truncated = copy.copy(self)
        truncated.n_components = truncated.n_components_ = n_kept
        module = (
            self.module_ if n_kept == k else with_first_latents(self.module_, k, n_kept)
        )
        truncated.module_ = copy.deepcopy(module)
        if n_kept == k:
            return truncated
        explained = self._known_of_rows("truncate").first(n_kept)
        truncated.__dict__.update(attributes_of(explained))
        truncated.reconstruction_err_ = float(explained.errors[-1])
        # What is near depends on conditions, if there are any.
        near = None if self.module_.n_conditions else explained.latents
        truncated._inference = self._inference.of_first(n_kept, near)
        truncated._spec = replace(self._spec, n_components=n_kept)
        truncated._moments = None
        truncated._latent_density = self._latent_density.of_first(n_kept)
        truncated._imputer = self._imputer.without_networks()
        return truncated


class Nesting(Truncating):
    """Estimators whose latents have no prior: nested if asked, or of unit variance."""

    _parameter_constraints: ClassVar[dict[str, list]] = {
        "nested": ["boolean"],
        "whiten": ["boolean"],
    }

    def _describe(self, trained: Trained) -> dict[str, Any]:
        described, module = super()._describe(trained), trained.module
        density = described["_latent_density"]
        module.whiten(_spread(density).to(module.center) if self.whiten else None)
        return described

    def _nesting(self) -> dict[str, Any]:
        """What a design needs for latents of which the first do without the others."""
        k = self.n_components
        if not self.nested or k < 2:
            return {}
        return {"objective": NestedObjective(k), "find_axes": _to_nested_axes}


def attributes_of(explained: Explained) -> dict[str, Any]:
    """What latents explain, as an estimator has it."""
    return {
        "_explained": explained,
        "explained_variance_ratio_": explained.ratios,
        "explained_variance_": explained.ratios * explained.total,
        "mean_": explained.mean,
    }


def _spread(density: LatentDensity) -> Tensor:
    """Standard deviations of the latents (k,), as PCA has them."""
    freedom = density.n_samples / max(1, density.n_samples - 1)
    spread = np.sqrt(np.diag(density.covariance) * freedom)
    # Of latents that hardly vary, rounding errors are not made large.
    return torch.from_numpy(spread.clip(min=1e-6 * (spread.max() or 1.0)))


def _to_nested_axes(module: Autoencoder, rows: DescribedRows) -> Axes:
    """To axes that can be compared, of the latents that each cut adds to the last."""
    x, k = module.filled(rows.x), rows.z.shape[1]
    ends = [*rungs(k), k]
    axes = [
        principal_axes(rows.z[:, start:end], x, rows.weights)
        for start, end in pairwise([0, *ends])
    ]
    rotations, shifts = zip(*axes, strict=True)
    return torch.block_diag(*rotations), torch.cat(shifts)
