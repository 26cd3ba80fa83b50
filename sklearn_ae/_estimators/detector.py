"""AutoencoderDetector: outliers by the scores of another estimator."""

from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from .._utils.arrays import read_stream
from .._utils.processes import together
from .autoencoder import AutoencoderTransformer
from .several import n_rows, weigh_together


class AutoencoderDetector(OutlierMixin, BaseEstimator):
    """Outlier detection by what an autoencoder gives back badly.

    Rows are scored by another estimator, and those below a threshold are outliers: the
    threshold is the score below which the share ``contamination`` of the training rows
    lies. The protocol is that of scikit-learn's outlier detectors.

    Parameters
    ----------
    estimator : estimator or None, default=None
        Scores rows by its `score_samples`, higher for more normal ones: an estimator of
        this package, or a Pipeline that ends in one. It is cloned. None takes
        ``AutoencoderTransformer()``.

    contamination : float, default=0.1
        Share of outliers among the training rows, above 0 and at most 0.5.

    Attributes
    ----------
    estimator_ : estimator
        The fitted estimator.

    offset_ : float
        Scores below it are those of outliers.

    n_features_in_ : int
        Number of columns seen in `fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, where X had names that are all strings.

    See Also
    --------
    AutoencoderTransformer : Scores rows by their reconstruction.
    VAETransformer : Scores rows by their density.
    sklearn.ensemble.IsolationForest : Another detector.

    Notes
    -----
    PyOD's detectors have the opposite signs: their ``decision_function`` is minus
    `score_samples` here, their ``labels_`` are 1 for outliers.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_ae import AutoencoderDetector, AutoencoderTransformer
    >>> X = load_wine().data
    >>> autoencoder = AutoencoderTransformer(2, early_stopping=False)
    >>> pipeline = make_pipeline(StandardScaler(), autoencoder)
    >>> detector = AutoencoderDetector(pipeline, contamination=0.05).fit(X)
    >>> round(float(np.mean(detector.predict(X) == -1)), 2)
    0.05
    >>> far = X[:1] + 20 * X.std(axis=0)
    >>> detector.predict(far).tolist()
    [-1]
    >>> bool(detector.decision_function(far)[0] < 0)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        "estimator": [None, HasMethods(["fit", "score_samples"])],
        "contamination": [Interval(Real, 0, 0.5, closed="right")],
    }

    estimator_: Any
    offset_: float
    n_features_in_: int
    feature_names_in_: np.ndarray

    if TYPE_CHECKING:  # scikit-learn's, which are without types

        def fit_predict(self, X: Any, y: Any = None, **params: Any) -> np.ndarray: ...
        def get_params(self, deep: bool = True) -> dict[str, Any]: ...
        def set_params(self, **params: Any) -> Self: ...

    def __init__(self, estimator: Any = None, *, contamination: float = 0.1) -> None:
        self.estimator = estimator
        self.contamination = contamination

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit the estimator, and find the threshold.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows, some of which may be outliers.

        y : None
            Ignored: here for scikit-learn's Pipeline.

        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts, for the estimator and for the share of outliers.
            Whole numbers, up to a mean of 10, count copies of a row; other weights
            matter up to a common factor, and need an estimator (or a Pipeline whose
            last step is one) that takes them in `fit`. None is 1 for each.

        Returns
        -------
        self : object
            The fitted detector.
        """
        self._validate_params()
        X = read_stream(X)
        with together() as processes:
            X, _, weights = weigh_together(X, None, sample_weight, processes)
        estimator = (
            AutoencoderTransformer() if self.estimator is None else self.estimator
        )
        told = {} if weights is None else {_weight_parameter(estimator): weights}
        estimator = clone(estimator).fit(X, **told)
        scores, weights = _scores_of_all(estimator, X, weights)
        offset = _quantile(scores, self.contamination, weights)
        self.estimator_, self.offset_ = estimator, offset
        for name in ("n_features_in_", "feature_names_in_"):
            self.__dict__.pop(name, None)
            if hasattr(estimator, name):
                setattr(self, name, getattr(estimator, name))
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """Return the estimator's score of each row: higher is more normal.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows in the units of the training rows.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Its `score_samples`.
        """
        check_is_fitted(self)
        return self.estimator_.score_samples(X)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return how far each row's score is above the threshold.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows in the units of the training rows.

        Returns
        -------
        decision : ndarray of shape (n_samples,)
            `score_samples` less ``offset_``: negative for outliers.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Say which rows are outliers.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows in the units of the training rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            -1 for outliers, 1 for others.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = AutoencoderTransformer() if self.estimator is None else self.estimator
        tags.input_tags = get_tags(inner).input_tags
        return tags


def _weight_parameter(estimator: Any) -> str:
    """By what name the estimator's `fit` takes weights of rows."""
    last, prefix = estimator, ""
    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        # Where metadata are routed, steps ask for them themselves.
        is_routed = get_config()["enable_metadata_routing"]
        prefix = "" if is_routed else f"{name}__"
    if not has_fit_parameter(last, "sample_weight"):
        raise TypeError(
            f"{type(last).__name__} takes no sample_weight in fit. Whole numbers are "
            "weights for any estimator: they repeat rows."
        )
    return f"{prefix}sample_weight"


def _quantile(scores: np.ndarray, share: float, weights: np.ndarray | None) -> float:
    """The score below which lies this share of the rows, by their weights."""
    if weights is None:
        return float(np.percentile(scores, 100.0 * share))
    order = np.argsort(scores)
    shares = np.cumsum(weights[order]) / np.sum(weights)
    place = min(int(np.searchsorted(shares, share)), len(scores) - 1)
    return float(scores[order[place]])


def _scores_of_all(
    estimator: Any, X: Any, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Scores of the training rows and their weights, of all processes."""
    with together() as processes:
        # Where there is one process, X may be what only the estimator can read.
        has_rows = not processes.are_several or n_rows(X)
        own = np.asarray(estimator.score_samples(X)) if has_rows else np.empty(0)
        scores = np.concatenate(processes.gather(own))
        if weights is None:
            return scores, None
        return scores, np.concatenate(processes.gather(weights))
