"""What SDMetrics says of synthetic tables: column shapes, pair trends, a detector.

Written out, as the package asks for versions that this benchmark has not. Shapes and
trends are its scores subtracted from 1.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import ks_2samp
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, RobustScaler

N_BINS = 10


def is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column)


def shape_error(real: pd.DataFrame, made: pd.DataFrame) -> float:
    """Mean distance of the marginals: Kolmogorov-Smirnov's, and total variation."""
    return float(np.mean([_distance(real[name], made[name]) for name in real]))


def _distance(a: pd.Series, b: pd.Series) -> float:
    if is_number(a):
        return float(ks_2samp(a.dropna(), b.dropna()).statistic)
    return _variation(_cells(a), _cells(b))


def _cells(column: pd.Series) -> np.ndarray:
    return column.astype(object).where(column.notna(), "?").astype(str).to_numpy()


def _variation(*parts: np.ndarray) -> float:
    a, b = (pd.Series(part).value_counts(normalize=True) for part in parts)
    return float(0.5 * a.sub(b, fill_value=0.0).abs().sum())


def trend_error(real: pd.DataFrame, made: pd.DataFrame) -> float:
    """Mean error of pairs: half of correlations' difference, else total variation.

    Numbers beside categories are in ten bins of equal width.
    """
    names = list(real)
    binned = {name: _binned(real[name], made[name]) for name in names}
    errors = []
    for i, first in enumerate(names):
        for second in names[:i]:
            pair = [first, second]
            if all(is_number(real[name]) for name in pair):
                known, found = (
                    part[pair].astype(float).corr().fillna(0.0).iloc[0, 1]
                    for part in (real, made)
                )
                errors.append(abs(known - found) / 2.0)
            else:
                sides = zip(binned[first], binned[second], strict=True)
                errors.append(_variation(*(_joined(a, b) for a, b in sides)))
    return float(np.mean(errors))


def _joined(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.array([f"{x}\x1f{y}" for x, y in zip(a, b, strict=True)])


def _binned(a: pd.Series, b: pd.Series) -> Sequence[np.ndarray]:
    if not is_number(a):
        return _cells(a), _cells(b)
    edges = np.linspace(a.min(), a.max(), N_BINS + 1)[1:-1]
    return [
        np.where(part.isna(), "?", np.digitize(part, edges).astype(str))
        for part in (a, b)
    ]


def logistic_detection(real: pd.DataFrame, made: pd.DataFrame, seed: int) -> float:
    """1 where a logistic regression cannot tell the rows apart, 0 where it always can.

    From 1 is taken what cross-validated areas under the ROC curve are above one half,
    twice.
    """
    columns = [_indicators(real[name], made[name]) for name in real]
    X = np.concatenate([np.column_stack(side) for side in zip(*columns, strict=True)])
    y = np.repeat([1, 0], [len(real), len(made)])
    judge = make_pipeline(RobustScaler(), LogisticRegression())
    folds = StratifiedKFold(3, shuffle=True, random_state=seed)
    aucs = cross_val_score(judge, X, y, cv=folds, scoring="roc_auc")
    return float(np.mean(2.0 - 2.0 * np.maximum(aucs, 0.5)))


def _indicators(a: pd.Series, b: pd.Series) -> Sequence[np.ndarray]:
    if is_number(a):
        return [
            part.astype(float).fillna(a.mean()).to_numpy()[:, None] for part in (a, b)
        ]
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    cells = [_cells(part)[:, None] for part in (a, b)]
    return encoder.fit_transform(cells[0]), encoder.transform(cells[1])
