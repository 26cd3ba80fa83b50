"""AutoencoderDetector: outliers by the scores of another estimator."""

from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from .._inference.outlying import outlyingness, robust_precision
from .._utils.arrays import read_stream
from .._utils.processes import together
from .autoencoder import AutoencoderTransformer
from .denoising import DenoisingAutoencoderTransformer
from .fitted_state import take_columns_of
from .several import n_rows, weigh_together

# Of the scores, where the share of outliers is not known.
_FENCE = 1.5
# Errors below this share of the columns' variance are those of rounding.
_LEAST_ERROR = 1e-9


class AutoencoderDetector(OutlierMixin, BaseEstimator):
    """Outlier detection by what an autoencoder gives back badly.

    Rows are scored by another estimator, and those below a threshold are outliers: the
    threshold is the score below which the share ``contamination`` of the training rows
    lies. The protocol is that of scikit-learn's outlier detectors. Of autoencoders the
    latents count too: outliers that lie together are learned, come back well, and have
    latents far from all others.

    Parameters
    ----------
    estimator : estimator or None, default=None
        Scores rows by its `score_samples`, higher for more normal ones: an estimator of
        this package, or a Pipeline that ends in one. It is cloned. None takes
        ``AutoencoderTransformer()``.

    contamination : float or "auto", default=0.1
        Share of outliers among the training rows, above 0 and at most 0.5. "auto" asks
        for none: outliers are below Tukey's fence, which is 1.5 times the distance of
        the quartiles of the training rows' scores below the lower one.

    use_latents : bool, default=True
        Whether a row is the odder, the further its latents are from those of most
        training rows, where the estimator (or a Pipeline's last step) is an
        `AutoencoderTransformer` or a `DenoisingAutoencoderTransformer`. A row's score
        is then minus the sum of two distances [1]_: the error, and the Mahalanobis
        distance of the latents by the minimum covariance determinant of three quarters
        of the rows (of fewer where ``contamination`` is larger), both squared and in
        standard deviations above the mean of what is normal, or 0 below. Rows that are
        near in both all score 0, and are no outliers however large ``contamination``
        is. With False, and for other estimators, it is the estimator's own score.

    Attributes
    ----------
    estimator_ : estimator
        The fitted estimator.

    offset_ : float
        Scores below it are those of outliers.

    location_ : ndarray of shape (n_components,) or None
        Where the latents of most training rows lie; None where they do not count.

    precision_ : ndarray of shape (n_components, n_components) or None
        The inverse of these latents' covariance.

    median_error_ : float or None
        The median of the training rows' errors, by which errors are measured then.

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

    References
    ----------
    .. [1] M. Hubert, P. J. Rousseeuw and K. Vanden Branden, "ROBPCA: a new approach to
       robust principal component analysis", Technometrics 47, 64-79, 2005.

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
        "contamination": [
            StrOptions({"auto"}),
            Interval(Real, 0, 0.5, closed="right"),
        ],
        "use_latents": ["boolean"],
    }

    estimator_: Any
    offset_: float
    location_: np.ndarray | None
    precision_: np.ndarray | None
    median_error_: float | None
    n_features_in_: int
    feature_names_in_: np.ndarray

    if TYPE_CHECKING:  # scikit-learn's, which are without types

        def fit_predict(self, X: Any, y: Any = None, **params: Any) -> np.ndarray: ...
        def get_params(self, deep: bool = True) -> dict[str, Any]: ...
        def set_params(self, **params: Any) -> Self: ...

    def __init__(
        self,
        estimator: Any = None,
        *,
        contamination: float | Literal["auto"] = 0.1,
        use_latents: bool = True,
    ) -> None:
        self.estimator = estimator
        self.contamination = contamination
        self.use_latents = use_latents

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
        scores, Z, weights = _scores_of_all(
            estimator, X, weights, self.use_latents and _has_latents(estimator)
        )
        location = precision = median_error = None
        if Z is not None:
            share = 0.0 if self.contamination == "auto" else self.contamination
            location, precision = robust_precision(Z, share, weights)
            least = _LEAST_ERROR * float(_last(estimator).module_.loss_scale)
            median_error = max(_quantile(-scores, 0.5, weights), least)
            scores = _by_distances(
                *(estimator, scores, Z), median_error, location, precision
            )
        if self.contamination == "auto":
            lower, upper = (_quantile(scores, p, weights) for p in (0.25, 0.75))
            offset = lower - _FENCE * (upper - lower)
        else:
            offset = _quantile(scores, self.contamination, weights)
        self.estimator_, self.offset_ = estimator, offset
        self.location_, self.precision_ = location, precision
        self.median_error_ = median_error
        take_columns_of(self, estimator)
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """Return the score of each row: higher is more normal.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows in the units of the training rows.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Minus how far it lies out by its error and its latents, or the estimator's
            `score_samples`; see ``use_latents``.
        """
        check_is_fitted(self)
        X = read_stream(X)
        scores = self.estimator_.score_samples(X)
        if self.median_error_ is None:
            return scores
        Z = self.estimator_.transform(X)
        return _by_distances(
            *(self.estimator_, scores, Z),
            *(self.median_error_, self.location_, self.precision_),
        )

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
    last, prefix = _last(estimator), ""
    # Where metadata are routed, steps ask for them themselves.
    is_routed = get_config()["enable_metadata_routing"]
    while isinstance(estimator, Pipeline) and not is_routed:
        name, estimator = estimator.steps[-1]
        prefix += f"{name}__"
    if not has_fit_parameter(last, "sample_weight"):
        raise TypeError(
            f"{type(last).__name__} takes no sample_weight in fit. Whole numbers are "
            "weights for any estimator: they repeat rows."
        )
    return f"{prefix}sample_weight"


def _last(estimator: Any) -> Any:
    """The estimator, or the last step of a Pipeline, also of one within another."""
    while isinstance(estimator, Pipeline):
        _, estimator = estimator.steps[-1]
    return estimator


def _has_latents(estimator: Any) -> bool:
    """Whether scores are errors, which do not see the latents."""
    kinds = AutoencoderTransformer | DenoisingAutoencoderTransformer
    return isinstance(_last(estimator), kinds)


def _by_distances(
    estimator: Any,
    scores: np.ndarray,
    Z: Any,
    median_error: float,
    location: Any,
    precision: Any,
) -> np.ndarray:
    """Scores of rows by their errors and latents."""
    Z = np.asarray(Z, dtype=np.float64)
    n_columns = len(_last(estimator).module_.center)
    return -outlyingness(
        *(-scores.astype(np.float64), Z),
        median_error=median_error,
        n_residual=max(1, n_columns - Z.shape[1]),
        location=location,
        precision=precision,
    )


def _quantile(scores: np.ndarray, share: float, weights: np.ndarray | None) -> float:
    """The score below which lies this share of the rows, by their weights."""
    if weights is None:
        return float(np.percentile(scores, 100.0 * share))
    order = np.argsort(scores)
    shares = np.cumsum(weights[order]) / np.sum(weights)
    place = min(int(np.searchsorted(shares, share)), len(scores) - 1)
    return float(scores[order[place]])


def _scores_of_all(
    estimator: Any, X: Any, weights: np.ndarray | None, with_latents: bool
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Scores of the training rows, latents and weights, of all processes."""
    with together() as processes:
        # Where there is one process, X may be what only the estimator can read.
        has_rows = not processes.are_several or n_rows(X)

        def of_all(own: Any) -> np.ndarray:
            return np.concatenate(processes.gather_known(own))

        scores = of_all(np.asarray(estimator.score_samples(X)) if has_rows else None)
        Z = None
        if with_latents:
            own = estimator.transform(X) if has_rows else None
            Z = of_all(None if own is None else np.asarray(own))
        return scores, Z, None if weights is None else of_all(weights)
