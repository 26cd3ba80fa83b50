"""Synthetic tables: whether drawn rows can be told from real ones, and what they teach.

Run it from the repository's root as ``python -m benchmarks.synthetic --data-home
FOLDER``; README.md, beside this file, says what is measured and how.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import cross_val_predict
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from benchmarks._command import describe_run, finish, make_parser, open_results
from benchmarks._measuring import failure_of, timed, without_convergence_warnings
from benchmarks._results import Row
from benchmarks._sdmetrics import (
    is_number,
    logistic_detection,
    shape_error,
    trend_error,
)
from benchmarks._text import format_table
from benchmarks.datasets import read_mixed
from benchmarks.mixed import NAMES_OF_ROWS
from sklearn_ae import VAETransformer
from sklearn_ae._tables.table_kinds import TableKinds
from sklearn_ae.metrics import distance_to_closest_record

TABLES = {  # and the column that is predicted
    "adult": "income",
    "beijing_pm25": "pm2.5",
    "california_housing": "median_house_value",
    "credit_default": "default_payment_next_month",
    "titanic": "survived",
}
MAX_ROWS = 5000
# Numbers with so few values are classes, where they are what is predicted.
MAX_CLASSES = 10
# Sizes of the mixtures among which BIC chooses, and rows whose distances are measured.
MIXTURES = (1, 4, 16)
N_DISTANCES = 1000
# Rows of the published protocol that are learned from: those of a table that comes in
# two parts, or else a share.
N_TRAIN = {"adult": 32_561}
TRAIN_SHARE = 0.9
# Of what is interpolated, among so many nearest rows.
N_NEIGHBORS = 5


def read(
    data_home: Path, name: str, seed: int, max_rows: int = MAX_ROWS
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows to learn from and as many that are held out, of short tables half so many.

    The column that is predicted is one of them.
    """
    X = read_all(data_home, name)
    chosen = np.random.RandomState(seed).permutation(len(X))
    n_train = min(max_rows, len(X) * 2 // 3)
    return _parts(X, chosen[:n_train], chosen[n_train : 2 * n_train])


def read_published(
    data_home: Path, name: str, seed: int, max_rows: int | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows that published figures are learned from and tested on: all there are."""
    X = read_all(data_home, name)
    X = X[X[TABLES[name]].notna()]
    order, n_train = np.arange(len(X)), N_TRAIN.get(name)
    if n_train is None:
        order = np.random.RandomState(seed).permutation(len(X))
        n_train = int(TRAIN_SHARE * len(X))
    return _parts(X, order[:n_train][:max_rows], order[n_train:])


def read_all(data_home: Path, name: str) -> pd.DataFrame:
    """All rows of a table, with the column that is predicted and no names of rows."""
    X, y = read_mixed(data_home, name)
    X = X.drop(columns=NAMES_OF_ROWS.get(name, []), errors="ignore")
    if y is not None:
        X = X.assign(**{str(y.name): y})
    target = X[TABLES[name]]
    if target.nunique() <= MAX_CLASSES:
        X = X.assign(**{TABLES[name]: target.astype(str).where(target.notna())})
    return X


def _parts(X: pd.DataFrame, *rows: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame]:
    A, B = (X.iloc[part].reset_index(drop=True) for part in rows)
    return A, B


# One training on all rows, as long as its schedule.
TO_THE_END = {"early_stopping": False, "n_iter_no_change": 75}

# What draws rows ----------------------------------------------------------------------

Draw = Callable[[pd.DataFrame, int, int], pd.DataFrame]  # rows of fit, how many, seed


def ours(k: int, **parameters: Any) -> Draw:
    def draw(A: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
        model = VAETransformer(k, random_state=seed, **parameters)
        return model.fit(A).sample(n)

    return draw


def linear(A: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    """Probabilistic PCA of the table's numbers, categories as indicators."""
    model = VAETransformer(8, max_iter=0, random_state=seed).fit(A)
    return model.sample(n, noise=True)


def shuffled(A: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    """Each column by itself, so that all marginals are right and nothing else."""
    rng = np.random.RandomState(seed)
    columns = {
        name: A[name].iloc[rng.randint(len(A), size=n)].reset_index(drop=True)
        for name in A
    }
    return pd.DataFrame(columns)


def mixture(A: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    """A Gaussian mixture of the table's numbers, of the size with the lowest BIC."""
    kinds, scaler = TableKinds(A), StandardScaler()
    numbers = kinds.encode(A)
    rng = np.random.RandomState(seed)
    filled = scaler.fit_transform(
        np.where(np.isnan(numbers), np.nanmean(numbers, 0), numbers)
    )
    models = [
        GaussianMixture(size, random_state=seed, reg_covar=1e-4).fit(filled)
        for size in MIXTURES
    ]
    best = min(models, key=lambda model: model.bic(filled))
    drawn = rng.permutation(best.sample(n)[0])
    return kinds.decode(scaler.inverse_transform(drawn), rng)


def copula(A: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    """A Gaussian copula: marginals as they are, correlations of normal scores.

    Levels of categories lie along the scores by their frequency; a missing cell is a
    level, and the least number.
    """
    rng = np.random.RandomState(seed)
    ordered, scores = [], []
    for name in A:
        counts = A[name].value_counts(dropna=False)
        values = counts.index if not is_number(A[name]) else counts.index.sort_values()
        places = {value: i for i, value in enumerate(values)}
        edges = np.concatenate([[0.0], counts[values].to_numpy().cumsum() / len(A)])
        codes = np.array([places.get(v, -1) for v in A[name]])
        codes[A[name].isna().to_numpy()] = int(values.isna().argmax())
        u = rng.uniform(edges[codes], edges[codes + 1])
        scores.append(ndtri(u.clip(1e-6, 1 - 1e-6)))
        ordered.append((values, edges))
    correlations = np.corrcoef(np.array(scores))
    drawn = ndtr(rng.multivariate_normal(np.zeros(len(scores)), correlations, n))
    columns = {}
    for i, (name, (values, edges)) in enumerate(zip(A, ordered, strict=True)):
        codes = np.searchsorted(edges, drawn[:, i], side="right") - 1
        cells = pd.Series(values[codes.clip(0, len(values) - 1)])
        columns[name] = cells.astype(A[name].dtype)
    return pd.DataFrame(columns)


def interpolated(A: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    """Between training rows and rows near these, as SMOTE does: a control, no model.

    Categories and missing cells are those of the nearer of the two.
    """
    rng = np.random.RandomState(seed)
    numbers = StandardScaler().fit_transform(TableKinds(A).encode(A))
    numbers = np.nan_to_num(numbers)
    rows = rng.randint(len(A), size=n)
    # The nearest is the row itself.
    near = NearestNeighbors(n_neighbors=N_NEIGHBORS + 1).fit(numbers)
    others = near.kneighbors(numbers, return_distance=False)[:, 1:]
    others = others[rows, rng.randint(N_NEIGHBORS, size=n)]
    share = rng.uniform(size=n)
    nearer = np.where(share < 0.5, rows, others)
    columns = {}
    for name in A:
        cells = A[name].iloc[nearer].reset_index(drop=True)
        if is_number(A[name]):
            a, b = (A[name].to_numpy(float)[part] for part in (rows, others))
            between = a + share * (b - a)
            if pd.api.types.is_integer_dtype(A[name]):
                between = between.round()
            cells = pd.Series(np.where(np.isnan(between), cells, between))
        columns[name] = cells.astype(A[name].dtype)
    return pd.DataFrame(columns)


def of_ctgan(name: str) -> Draw:
    """TVAE or CTGAN of the package ctgan with its defaults, 300 epochs.

    It takes no missing cells: of numbers these are the mean, with a column of truths
    beside it that says where.
    """

    def draw(A: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
        import ctgan
        import torch

        given, holes = A.copy(), []
        for column in A:
            if not is_number(A[column]):
                given[column] = A[column].astype(object).where(A[column].notna(), "?")
            elif A[column].isna().any():
                holes.append(column)
                given[column] = A[column].fillna(A[column].mean())
                given[f"no {column}"] = A[column].isna().astype(str)
        levels = [column for column in given if not is_number(given[column])]
        model = getattr(ctgan, name)()
        np.random.seed(seed)  # noqa: NPY002 - what ctgan draws from
        torch.manual_seed(seed)
        model.fit(given, levels)
        drawn = model.sample(n)
        for column in holes:
            drawn[column] = drawn[column].mask(drawn[f"no {column}"] == "True")
        for column in A:
            if not is_number(A[column]):
                cells = drawn[column].astype(object)
                drawn[column] = cells.where(cells != "?", None)
            drawn[column] = drawn[column].astype(A[column].dtype)
        return drawn[list(A)]

    return draw


# Latents, and what else they are fitted with.
METHODS_OF_OURS: dict[str, tuple[int, dict[str, Any]]] = {
    "VAE": (8, {"column_maps": "quantile", **TO_THE_END}),
    "VAE, beta=0.5": (12, {"column_maps": "quantile", "beta": 0.5, **TO_THE_END}),
    "VAE, beta=0.1": (16, {"column_maps": "quantile", "beta": 0.1, **TO_THE_END}),
}
METHODS: dict[str, Draw] = {
    **{name: ours(k, **settings) for name, (k, settings) in METHODS_OF_OURS.items()},
    "VAE, no maps": lambda A, n, seed: (
        VAETransformer(8, random_state=seed)
        .fit(A)
        .sample(n, prior="aggregated", noise=True)
    ),
    "shuffled": shuffled,
    "PPCA": linear,
    "mixture": mixture,
    "copula": copula,
    "SMOTE": interpolated,
    "TVAE": of_ctgan("TVAE"),
    "CTGAN": of_ctgan("CTGAN"),
}


# What is measured ---------------------------------------------------------------------


def as_numbers(frames: Sequence[pd.DataFrame]) -> tuple[list[np.ndarray], np.ndarray]:
    """Frames as arrays whose categories are numbers, and which columns these are."""
    together = pd.concat(frames, ignore_index=True)
    is_level = np.array([not is_number(together[name]) for name in together])
    columns = []
    for name, is_one in zip(together, is_level, strict=True):
        if is_one:
            codes = pd.factorize(together[name])[0].astype(float)
            columns.append(np.where(codes < 0, np.nan, codes))
        else:
            columns.append(together[name].to_numpy(dtype=float))
    ends = np.cumsum([len(frame) for frame in frames])[:-1]
    return np.split(np.column_stack(columns), ends), is_level


def detection(real: pd.DataFrame, made: pd.DataFrame, seed: int) -> float:
    """AUC by which gradient boosting, cross-validated, tells made rows from real."""
    n = min(len(real), len(made))
    (a, b), is_level = as_numbers([real.iloc[:n], made.iloc[:n]])
    X, y = np.concatenate([a, b]), np.repeat([0, 1], n)
    order = np.random.RandomState(seed).permutation(len(X))
    judge = HistGradientBoostingClassifier(
        categorical_features=is_level, random_state=seed
    )
    p = cross_val_predict(judge, X[order], y[order], cv=3, method="predict_proba")
    return float(roc_auc_score(y[order], p[:, 1]))


def usefulness(
    train: pd.DataFrame, test: pd.DataFrame, target: str, seed: int
) -> float | None:
    """What gradient boosting learns from rows: AUC on real ones, or R2 of numbers."""
    train, test = (part[part[target].notna()] for part in (train, test))
    parts = [part.drop(columns=target) for part in (train, test)]
    (a, b), is_level = as_numbers(parts)
    settings = {"categorical_features": is_level, "random_state": seed}
    if is_number(test[target]):
        model = HistGradientBoostingRegressor(**settings).fit(a, train[target])
        return float(r2_score(test[target], model.predict(b)))
    if train[target].nunique() < 2:
        return None
    model = HistGradientBoostingClassifier(**settings).fit(a, train[target])
    p = model.predict_proba(b)[:, 1]
    return float(roc_auc_score(test[target] == model.classes_[1], p))


def measure(
    A: pd.DataFrame,
    B: pd.DataFrame,
    target: str,
    method: str,
    seed: int,
    protocol: str = "own",
) -> Row:
    """Of rows that a method learns from A, beside the held-out rows B."""
    made: list[pd.DataFrame] = []
    seconds = timed(lambda: made.append(METHODS[method](A, len(A), seed)))
    row = PROTOCOLS[protocol][1](A, B, made[0], target, seed)
    return {**row, "seconds": round(seconds.cpu, 2)}


def scores(
    A: pd.DataFrame, B: pd.DataFrame, made: pd.DataFrame, target: str, seed: int
) -> Row:
    new, held_out = (
        distance_to_closest_record(part.iloc[:N_DISTANCES], A) for part in (made, B)
    )
    fifth = float(np.quantile(held_out, 0.05))
    return {
        "detection": detection(B, made, seed),
        "shapes": shape_error(B, made),
        "trends": trend_error(B, made),
        "useful": usefulness(made, B, target, seed),
        "copies": float(np.mean(new == 0)),
        "copies_held_out": float(np.mean(held_out == 0)),
        "closest": float(np.quantile(new, 0.05)) / fifth if fifth > 0 else None,
    }


def published_scores(
    A: pd.DataFrame, B: pd.DataFrame, made: pd.DataFrame, target: str, seed: int
) -> Row:
    """As in the papers on TabSyn and TabDiff: beside the rows of fit, errors in %."""
    return {
        "shapes": 100.0 * shape_error(A, made),
        "trends": 100.0 * trend_error(A, made),
        "C2ST": logistic_detection(A, made, seed),
        "useful": usefulness(made, B, target, seed),
        "closest": _closer_than(made, A, B, seed),
    }


def _closer_than(
    made: pd.DataFrame, A: pd.DataFrame, B: pd.DataFrame, seed: int
) -> float:
    """Share of rows that are closer to one of fit than to one of as many others."""
    n = min(len(A), len(B))
    some = A.sample(n, random_state=seed).reset_index(drop=True)
    made = made.iloc[:N_DISTANCES]
    to_a, to_b = (distance_to_closest_record(made, part) for part in (some, B.iloc[:n]))
    return float(np.mean(to_a < to_b) + 0.5 * np.mean(to_a == to_b))


# How rows are read, and what is measured of those that are drawn.
PROTOCOLS: dict[str, tuple[Callable[..., Any], Callable[..., Row]]] = {
    "own": (read, scores),
    "published": (read_published, published_scores),
}


# The run ------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser("synthetic", __doc__, METHODS, can_resume=False)
    add = parser.add_argument
    add("--data-home", type=Path, required=True, help="folder with the tables")
    add("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    add("--protocol", choices=PROTOCOLS, default="own", help="rows and measures")
    add("--max-rows", type=int, help="rows to learn from, at most")
    add("--seeds", type=int, default=1)
    args = parser.parse_args(argv)
    is_own = args.protocol == "own"
    max_rows = args.max_rows or (MAX_ROWS if is_own else None)
    settings = {"max_rows": max_rows, "protocol": args.protocol}
    results = open_results(parser, args, settings)
    read_parts, score = PROTOCOLS[args.protocol]
    results.runs.append(describe_run("benchmarks.synthetic", argv))
    with without_convergence_warnings():
        for name in args.tables:
            for seed in range(args.seeds):
                A, B = read_parts(args.data_home, name, seed, max_rows)
                cell = {"table": name, "seed": seed, "n_rows": len(A)}
                real = score(A, B, A, TABLES[name], seed)
                results.rows.append({**cell, "method": "real", **real})
                for method in args.methods or METHODS:
                    row = {**cell, "method": method}
                    try:
                        row |= measure(
                            *(A, B, TABLES[name], method, seed, args.protocol)
                        )
                    except (ImportError, ValueError) as error:
                        row["failure"] = failure_of(error)
                    print(row, flush=True)
                    results.rows.append(row)
                    results.save()
    finish(results, pd.DataFrame(results.rows), summarize, report)


MEASURES = (
    *("detection", "C2ST", "useful", "shapes", "trends"),
    *("copies", "closest", "seconds"),
)


def summarize(frame: pd.DataFrame) -> Row:
    """Medians over the tables, by method."""
    medians = frame.groupby("method", sort=False)[
        [name for name in MEASURES if name in frame]
    ].median(numeric_only=True)
    return {
        name: {
            method: round(float(value), 4)
            for method, value in medians[name].items()
            if np.isfinite(value)
        }
        for name in medians
    }


def report(frame: pd.DataFrame, summary: Row) -> str:
    parts = []
    for what in MEASURES:
        if what not in frame:
            continue
        table = frame.pivot_table(
            what, "table", "method", sort=False, dropna=False
        ).round(3)
        cells = [
            [str(name), *("" if np.isnan(v) else f"{v:.3f}" for v in values)]
            for name, values in zip(table.index, table.to_numpy(float), strict=True)
        ]
        parts.append(f"{what}\n" + format_table(["table", *table.columns], cells))
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
