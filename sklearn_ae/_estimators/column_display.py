"""What the columns of a fit were taken for: as an attribute, and in notebooks."""

from collections.abc import Callable
from typing import Any

from sklearn.utils.validation import check_is_fitted

from .._tables.table_kinds import ColumnKinds, TableKinds
from .fitted_state import FittedState

# Of wider tables, what columns were taken for is folded.
_MOST_UNFOLDED = 30


class ShowingColumns(FittedState):
    """What columns were taken for, which notebooks show of a table of several kinds."""

    # Of the columns, where they hold more than numbers.
    _kinds: TableKinds | None = None
    # Of columns of numbers in a frame, where these are not all text.
    _column_names: list[str] | None = None

    @property
    def columns_(self) -> ColumnKinds:
        """What each column was taken for."""
        check_is_fitted(self)
        return self._kinds_of_columns()

    def _kinds_of_columns(self) -> ColumnKinds:
        if self._kinds is not None:
            return self._kinds.columns
        names = getattr(self, "feature_names_in_", self._column_names)
        if names is None:
            names = [f"column {i}" for i in range(self.n_features_in_)]
        return ColumnKinds((str(name), "numbers") for name in names)

    # What IPython asks for, as BaseEstimator has it.

    @property
    def _repr_html_(self) -> Callable[[], str]:
        of_estimator = super()._repr_html_
        return lambda: of_estimator() + self._columns_in_html()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        bundle = super()._repr_mimebundle_(**kwargs)
        if "text/html" in bundle:
            bundle["text/html"] += self._columns_in_html()
        return bundle

    def _columns_in_html(self) -> str:
        if self._kinds is None:
            return ""
        columns = self._kinds.columns
        opened = " open" * (len(columns) <= _MOST_UNFOLDED)
        return (
            f"<details{opened}><summary>{len(columns)} columns, and what they were "
            f"taken for</summary>{columns._repr_html_()}</details>"
        )
