"""What a training sees of the rows, and how its module comes back from there."""

from dataclasses import dataclass, replace

from .._networks.losses import SquaredError
from .._networks.modules import Autoencoder
from .._tables.columns import Columns
from .._tables.loading import Rows
from .._tables.rows import to_train_on
from .._tables.span import Span


class View:
    """The rows as they are."""

    def rows(self, rows: Rows) -> Rows:
        return rows

    def finish(self, module: Autoencoder) -> None:
        """Let a trained module take rows as they are."""


@dataclass(frozen=True)
class SpanView(View):
    """Coordinates of the rows in their span, for networks whose units and loss differ.

    Parameters
    ----------
    span : Span
        Of the rows.

    columns, loss : Columns and SquaredError
        Of the module for the rows as they are.
    """

    span: Span
    columns: Columns
    loss: SquaredError

    def rows(self, rows: Rows) -> Rows:
        x = self.span.coordinates(rows.x)
        n_valid = 0 if rows.valid is None else len(rows.valid)
        valid = x[:n_valid] if n_valid else None
        left = None if rows.weights is None else rows.weights[n_valid:]
        train = to_train_on(x[n_valid:], left)
        return replace(rows, x=x, train=train, valid=valid)

    def finish(self, module: Autoencoder) -> None:
        module.leave_span(self.span, self.columns, self.loss)
