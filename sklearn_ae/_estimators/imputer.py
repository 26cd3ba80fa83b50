"""AutoencoderImputer: missing cells filled, as a step of a Pipeline."""

from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods, Interval, MissingValues
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from .._tables.checks import without_wrapping
from .._tables.containers import is_frame, is_missing, names_of
from .._tables.holes import (
    as_pandas,
    hide_value,
    missing_cells,
    missing_in_columns,
    take_columns,
    with_flags,
    with_types_of,
)
from .._utils.arrays import answers_in_kind, plain
from .._utils.random import make_random_state
from .._utils.types import RandomState
from .autoencoder import AutoencoderTransformer
from .fitted_state import take_columns_of
from .vae import VAETransformer

# Latents where none are asked for: more tell little of cells that are not there.
_MOST_LATENTS = 8


class AutoencoderImputer(TransformerMixin, BaseEstimator):
    """Missing cells filled by an autoencoder, all else left as it is.

    A step for Pipelines, as scikit-learn's imputers are. A cell is what an estimator's
    `impute` expects of it, given the others of its row: factor analysis of the table,
    and networks where they know better. Tables of text, categories, truth values and
    dates are filled as they are, and come back as what they came in.

    Parameters
    ----------
    n_components : int or None, default=None
        Number of latents. None leaves it as the ``estimator`` has it; without one it
        takes 8, or half as many as X has columns where these are fewer than 16.

    estimator : estimator or None, default=None
        Fills the cells by its `impute`: an `AutoencoderTransformer`, a
        `DenoisingAutoencoderTransformer` or a `VAETransformer`. It is cloned. None
        takes an `AutoencoderTransformer`, or with ``sample_posterior=True`` a
        `VAETransformer`, with their defaults and this ``random_state``.

    missing_values : int, float, str or None, default=numpy.nan
        What stands for a missing cell, beside NaN, None, NaT and ``pd.NA``, which
        always do: a value of columns of numbers, or of text and categories.

    sample_posterior : bool, default=False
        Draw each cell from what a `VAETransformer` thinks possible, given the others of
        its row, in place of the best guess: for multiple imputation, with one
        ``random_state`` for each table.

    add_indicator : bool, default=False
        Append a column of truth values for each column that had missing cells in
        `fit`: which of its cells were missing. In an array of numbers they are 0 and 1.

    keep_empty_features : bool, default=False
        Whether columns without a known cell in `fit` are kept, as zeros in arrays of
        numbers and with their cells missing elsewhere, or dropped.

    random_state : int, RandomState instance or None, default=0
        Seed of the estimator where none is given, and of the draws of
        ``sample_posterior``, which with an int are the same in each `transform`.

    Attributes
    ----------
    estimator_ : estimator
        The fitted estimator.

    indicator_features_ : ndarray of shape (n_indicators,)
        Places of the columns that have an indicator: those with missing cells in
        `fit`, with ``add_indicator=True``.

    n_features_in_ : int
        Number of columns seen in `fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, where X had names that are all strings.

    See Also
    --------
    AutoencoderTransformer : Its latents of rows with missing cells, and its `impute`.
    VAETransformer : Draws missing cells.
    sklearn.impute.IterativeImputer : Another imputer.

    References
    ----------
    .. [1] J. Josse and F. Husson, "Handling missing values in exploratory multivariate
       data analysis methods", Journal de la Société Française de Statistique 153,
       79-99, 2012.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_ae import AutoencoderImputer
    >>> X, y = load_iris(return_X_y=True)
    >>> hidden = np.random.default_rng(0).uniform(size=X.shape) < 0.2
    >>> X_holes = np.where(hidden, np.nan, X)
    >>> imputer = AutoencoderImputer()
    >>> X_full = imputer.fit_transform(X_holes)
    >>> bool((X_full[~hidden] == X[~hidden]).all())
    True
    >>> bool(np.abs(X_full - X)[hidden].mean() < 0.3)
    True
    >>> flagged = AutoencoderImputer(add_indicator=True).fit(X_holes)
    >>> flagged.get_feature_names_out()[-2:].tolist()
    ['missingindicator_x2', 'missingindicator_x3']
    >>> pipeline = make_pipeline(imputer, LogisticRegression(max_iter=1000))
    >>> bool(pipeline.fit(X_holes, y).score(X_holes, y) > 0.9)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        "n_components": [None, Interval(Integral, 1, None, closed="left")],
        "estimator": [None, HasMethods(["fit", "impute"])],
        "missing_values": [MissingValues()],
        "sample_posterior": ["boolean"],
        "add_indicator": ["boolean"],
        "keep_empty_features": ["boolean"],
        "random_state": ["random_state"],
    }

    estimator_: Any
    indicator_features_: np.ndarray
    n_features_in_: int
    feature_names_in_: np.ndarray
    _kept: np.ndarray  # places of the columns that transform gives

    if TYPE_CHECKING:  # scikit-learn's, which are without types

        def get_params(self, deep: bool = True) -> dict[str, Any]: ...
        def set_params(self, **params: Any) -> Self: ...
        def set_output(
            self, *, transform: Literal["default", "pandas", "polars"] | None = None
        ) -> Self: ...

    def __init__(
        self,
        n_components: int | None = None,
        *,
        estimator: Any = None,
        missing_values: Any = np.nan,
        sample_posterior: bool = False,
        add_indicator: bool = False,
        keep_empty_features: bool = False,
        random_state: RandomState = 0,
    ) -> None:
        self.n_components = n_components
        self.estimator = estimator
        self.missing_values = missing_values
        self.sample_posterior = sample_posterior
        self.add_indicator = add_indicator
        self.keep_empty_features = keep_empty_features
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit the estimator to rows with missing cells.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows, as the estimator takes them.

        y : None
            Ignored: here for scikit-learn's Pipeline.

        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts, as in the estimator's `fit`.

        Returns
        -------
        self : object
            The fitted imputer.
        """
        self._validate_params()
        rows = self._without_value(plain(X))
        if self.add_indicator and is_frame(rows):
            _check_names_are_free(rows)
        told = {} if sample_weight is None else {"sample_weight": sample_weight}
        estimator = self._unfitted_estimator(rows).fit(rows, **told)
        has_holes, is_empty = missing_in_columns(rows)
        kept = np.flatnonzero(~is_empty | self.keep_empty_features)
        self.estimator_, self._kept = estimator, kept
        self.indicator_features_ = np.flatnonzero(has_holes & self.add_indicator)
        take_columns_of(self, estimator)
        return self

    def _unfitted_estimator(self, rows: Any) -> Any:
        estimator, k = self.estimator, self.n_components
        if estimator is None:
            draws = self.sample_posterior
            estimator = VAETransformer() if draws else AutoencoderTransformer()
            estimator.set_params(random_state=self.random_state)
            # What is no table is for the estimator to refuse.
            n_columns = np.shape(rows)[1] if np.ndim(rows) == 2 else 1
            k = k or max(1, min(_MOST_LATENTS, n_columns // 2))
        else:
            estimator = clone(estimator)
        if self.sample_posterior and not isinstance(estimator, VAETransformer):
            raise TypeError(
                "sample_posterior=True needs an estimator with a posterior, a "
                f"VAETransformer; got {type(estimator).__name__}."
            )
        return estimator if k is None else estimator.set_params(n_components=k)

    def _without_value(self, X: Any) -> Any:
        """X with its missing cells marked as estimators know them."""
        X = without_wrapping(X)
        is_marked = self.missing_values is None or is_missing(self.missing_values)
        return X if is_marked else hide_value(X, self.missing_values)

    @answers_in_kind
    def transform(self, X: Any) -> Any:
        """Fill the missing cells of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows in the units of the training rows.

        Returns
        -------
        X_imputed : array-like of shape (n_samples, n_features_out)
            X, a table of the same kind, with what was missing filled and nothing else
            changed; without empty columns and with indicators, where these are asked
            for.
        """
        check_is_fitted(self)
        X = without_wrapping(X)
        rows = self._without_value(X)
        if self.sample_posterior:
            seed = make_random_state(self.random_state)
            (filled,) = self.estimator_.impute(rows, n_draws=1, random_state=seed)
        else:
            filled = self.estimator_.impute(rows)
        filled = with_types_of(filled, X)
        if len(self._kept) < self.n_features_in_:
            filled = take_columns(filled, self._kept)
        if len(self.indicator_features_):
            flags = missing_cells(rows)[:, self.indicator_features_]
            filled = with_flags(filled, flags, self._flag_names(X))
        # To any other scikit-learn can turn frames itself.
        is_asked_for = _get_output_config("transform", self)["dense"] == "pandas"
        return as_pandas(filled) if is_asked_for else filled

    def _flag_names(self, X: Any) -> list[str]:
        names: Any = names_of(X) if is_frame(X) else range(self.n_features_in_)
        return [_flag_name(names[i]) for i in self.indicator_features_]

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns that `transform` gives.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the columns of X; None takes those seen in `fit`, or x0, x1, ...

        Returns
        -------
        names : ndarray of str
            Those of X, and ``missingindicator_`` before those of columns with an
            indicator.
        """
        check_is_fitted(self)
        names = _check_feature_names_in(self, input_features)
        flags = [_flag_name(names[i]) for i in self.indicator_features_]
        return np.concatenate([names[self._kept], np.asarray(flags, dtype=object)])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = AutoencoderTransformer() if self.estimator is None else self.estimator
        tags.input_tags = get_tags(inner).input_tags
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _flag_name(name: Any) -> str:
    return f"missingindicator_{name}"


def _check_names_are_free(frame: Any) -> None:
    names = names_of(frame)
    has_holes, _ = missing_in_columns(frame)
    of_flags = {_flag_name(names[i]) for i in np.flatnonzero(has_holes)}
    if taken := sorted(of_flags.intersection(names)):
        raise ValueError(
            f"add_indicator=True would append columns that X has already: {taken}. "
            "Rename these."
        )
