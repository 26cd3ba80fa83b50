"""Estimators that fill what is missing in a table."""

from typing import Any

import numpy as np

from .._inference.described import DescribedRows
from .._inference.imputation import Imputer
from .._networks.modules import Autoencoder
from .._tables.containers import is_frame
from .._tables.rows import Table
from .._tables.table_kinds import TableKinds, fill_numbers
from .._utils.arrays import answers_in_kind
from .explaining import Explaining


class Imputing(Explaining):
    """Fills missing cells by latents, and by what goes with that which these leave."""

    _imputer: Imputer

    def _set_state(self, state: dict[str, Any]) -> None:
        if "_imputer" in state:
            state = {**state, "_imputer": Imputer.of_file(state["_imputer"])}
        super()._set_state(state)

    def _describe(
        self,
        module: Autoencoder,
        rows: DescribedRows,
        error: float,
        random_state: np.random.RandomState,
    ) -> None:
        super()._describe(module, rows, error, random_state)
        self._set_imputer(module, rows)

    def _set_imputer(self, module: Autoencoder, rows: DescribedRows) -> None:
        # It is of what the networks leave of rows, and they have just changed.
        known: Imputer | None = self._of_earlier_rows("_imputer")
        if known is None or known.n_rows <= len(rows.x):
            kinds = self._own_kinds()
            n_numbers = len(module.center)
            cell_of = np.arange(n_numbers) if kinds is None else kinds.cell_of
            self._imputer = Imputer.of(module, rows, cell_of)

    def _own_kinds(self) -> TableKinds | None:
        """What the columns are that the decoder gives, where not all are numbers."""
        return self._kinds

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
