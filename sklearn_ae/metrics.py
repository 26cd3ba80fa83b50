"""Scores that choose between estimators whatever the units are."""

import numpy as np
from sklearn.utils import check_array

__all__ = ["reconstruction_r2"]


def reconstruction_r2(estimator, X, y=None):
    """Share of the columns' variance that an estimator gives back: 1 is perfect.

    For ``scoring=`` in searches and cross-validation. The estimators' own `score` is in
    the units that they are given, so that a search over scalers takes the one that
    makes the numbers small. This one compares with the rows of X as they came, column
    by column in units of its variance: no scaler before the estimator changes what is
    measured.

    Parameters
    ----------
    estimator : estimator or Pipeline
        Fitted, with `transform` and `inverse_transform`: those of this package, PCA,
        and Pipelines of such steps.

    X : array-like of shape (n_samples, n_features)
        Rows, at least two.

    y : array-like or None, default=None
        Ignored: here for scikit-learn's searches.

    Returns
    -------
    score : float
        One minus the squared error over the variance, averaged over the columns of X
        that vary. 0 is what the columns' means give, and there is no lower bound.

    See Also
    --------
    sklearn.metrics.r2_score : The same of predictions.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.pipeline import Pipeline
    >>> from sklearn.preprocessing import MinMaxScaler, StandardScaler
    >>> from sklearn_ae.metrics import reconstruction_r2
    >>> X = load_wine().data
    >>> pipeline = Pipeline([("scale", None), ("reduce", PCA(2))])
    >>> scalers = [None, StandardScaler(), MinMaxScaler()]
    >>> search = GridSearchCV(pipeline, {"scale": scalers}, scoring=reconstruction_r2)
    >>> search.fit(X).best_params_
    {'scale': StandardScaler()}
    """
    rows = check_array(X, dtype=np.float64, ensure_min_samples=2)
    given = estimator.inverse_transform(estimator.transform(X))
    error = np.square(rows - np.asarray(given, dtype=np.float64)).mean(axis=0)
    variance = rows.var(axis=0)
    varies = variance > 1e-20 * np.square(rows).mean(axis=0)
    if not varies.any():
        raise ValueError("No column of X varies: there is nothing to give back.")
    return float(np.mean(1.0 - error[varies] / variance[varies]))
