"""Estimators that fill what is missing in a table."""

from typing import Any

import numpy as np

from .._inference.imputation import Imputer
from .._tables.containers import is_frame
from .._tables.rows import Table
from .._tables.table_kinds import fill_numbers
from .._utils.arrays import answers_in_kind
from .design import Trained
from .explaining import Explaining


class Imputing(Explaining):
    """Fills missing cells by latents, and by what goes with that which these leave."""

    _imputer: Imputer

    def _set_state(self, state: dict[str, Any]) -> None:
        if "_imputer" in state:
            state = {**state, "_imputer": Imputer.of_file(state["_imputer"])}
        super()._set_state(state)

    def _describe(self, trained: Trained) -> dict[str, Any]:
        return {**super()._describe(trained), "_imputer": self._imputer_of(trained)}

    def _imputer_of(self, trained: Trained) -> Imputer:
        # It is of what the networks leave of rows, and they have just changed.
        known: Imputer | None = self._of_earlier_rows("_imputer", trained)
        if known is not None and known.n_rows > len(trained.rows.x):
            return known
        kinds, n_numbers = trained.table.kinds, len(trained.module.center)
        cell_of = np.arange(n_numbers) if kinds is None else kinds.cell_of
        return Imputer.of(trained.module, trained.rows, cell_of)

    @answers_in_kind
    def impute(self, X: Any) -> Any:
        """Fill the missing cells of X.

        A cell is what the latents of its row say, and what goes with that which they
        leave of the row's other cells. How far each column follows the one and a linear
        model of the rows was tried out in `fit`, on cells that were hidden.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows in the units of the training rows.

        Returns
        -------
        X_imputed : array-like of shape (n_samples, n_features)
            X, a table of the same kind, with what was missing filled and nothing else
            changed. A column that was all missing in `fit` stays so in a table of
            several kinds, and is 0 among numbers.
        """
        return self._filled(X, self._impute(self._validate_new_rows(X)))

    def _impute(self, X: np.ndarray | Table) -> np.ndarray:
        return self._compute(self._imputer.fill_rows, X, self._inference)

    def _filled(
        self,
        X: Any,
        numbers: np.ndarray,
        random_state: np.random.RandomState | None = None,
    ) -> Any:
        """The table X with its missing cells as they are in the numbers (n, d)."""
        if self._kinds is not None:
            return self._kinds.fill(X, numbers, random_state)
        return fill_numbers(X, numbers) if is_frame(X) else numbers
