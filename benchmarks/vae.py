"""Density, samples and anomalies: the variational autoencoder beside other methods.

Run it from the repository's root as ``python -m benchmarks.vae``; README.md, beside
this file, says what is measured and how.
"""

import argparse
import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsRegressor, NearestNeighbors
from sklearn.preprocessing import StandardScaler

from benchmarks._common import (
    RESULTS,
    Results,
    Row,
    describe_run,
    finite,
    format_failures,
    format_table,
    split_rows,
)
from benchmarks._pythae import as_transformer, train_pythae
from benchmarks.datasets import Table, find_tables, load_tables, select_names
from sklearn_ae import AutoencoderTransformer, VAETransformer
from sklearn_ae._inference.marginals import match_columns
from sklearn_ae._networks.activations import ACTIVATIONS
from sklearn_ae.datasets import load_mnist

Array = NDArray[Any]
Draw = Callable[[int, int], Array]  # (number of rows, seed)

SECTIONS = {
    "mnist": "negative log-likelihood of binary MNIST digits",
    "samples": "how well a classifier tells samples from held-out rows",
    "anomalies": "how well scores tell anomalies from normal rows",
}
NATS = ("-ELBO", "-log p(x)", "with the aggregated prior")
N_SAMPLES = 2000
N_RANKED = 10_000
MIXTURE_SIZES = (1, 2, 4, 8, 16, 32)
LATENTS = (2, 4, 8, 16)
N_EXEMPLARS = 2000
CLIP = 20.0  # standard deviations
FEW_DRAWS = 5
SECOND_RATE = 0.5  # of a training that goes on with more draws


# MNIST --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Digits:
    """A model of binary digits, and how grey ones become binary."""

    binarisation: str  # "threshold", "fixed" or "dynamic"
    hidden: tuple[int, ...]
    activation: str
    n_latents: int
    n_importance_samples: int = 1


LARGE = {"hidden": (400,), "activation": "relu", "n_latents": 40}
DEEP = {"hidden": (200, 200), "activation": "tanh", "n_latents": 50}
DIGITS = {
    "threshold at 0.5": Digits("threshold", **LARGE),
    "fixed draw": Digits("fixed", **LARGE),
    "fixed draw, 5 importance samples": Digits(
        "fixed", **LARGE, n_importance_samples=5
    ),
    "fixed draw, 10 importance samples": Digits(
        "fixed", **LARGE, n_importance_samples=10
    ),
    "new draws": Digits("dynamic", **DEEP),
    "new draws, 50 importance samples": Digits(
        "dynamic", **DEEP, n_importance_samples=50
    ),
}


def draw_binary(X: Array, rng: np.random.Generator) -> Array:
    """Pixels that are 1 with the probability of their brightness."""
    return (rng.random(X.shape, dtype=np.float32) < X).astype(np.float32)


def binary_rows(X: Array, digits: Digits, rng: np.random.Generator) -> Array:
    """Rows that are binary once and for all."""
    if digits.binarisation == "threshold":
        return (X >= 0.5).astype(np.float32)
    return draw_binary(X, rng)


def measure_digits(
    digits: Digits, args: argparse.Namespace, seed: int
) -> Iterator[Row]:
    """Train, and score test rows: ours, and where it can be had pythae's VAE."""
    X_train, _ = load_mnist(args.data_home, split="train")
    X_test, _ = load_mnist(args.data_home, split="test")
    X_train, X_test = X_train[: args.train_rows], X_test[: args.test_rows]
    # The test rows are drawn once, by a seed of their own.
    X_test = binary_rows(X_test, digits, np.random.default_rng(1000 + seed))
    params = "(path_gradient=True)" if args.path_gradient else ""
    trainings = {f"VAETransformer{params}": train_ours}
    is_plain = digits.binarisation != "dynamic" and digits.n_importance_samples == 1
    if is_plain and find_spec("pythae") and not args.no_pythae:
        trainings["pythae"] = train_theirs
    for method, train in trainings.items():
        start = time.perf_counter()
        vae = train(X_train, digits, args, seed)
        seconds = time.perf_counter() - start
        scores = vae.score_samples(X_test, n_samples=args.importance_samples)
        # A density whose prior is the mixture that the training's posteriors make up.
        refitted = vae.score_samples(
            X_test, n_samples=args.importance_samples, prior="aggregated"
        )
        yield {
            "k": digits.n_latents,
            "method": method,
            "n_columns": X_train.shape[1],
            "n_train": len(X_train),
            "n_test": len(X_test),
            "epochs": args.epochs,
            "kl_warmup": args.kl_warmup,
            "alpha": args.alpha,
            "learning_rate": args.learning_rate,
            "batch_size": args.batch_size,
            "few_draws": args.few_draws,
            "importance_samples": args.importance_samples,
            "nll": finite(-scores.mean(dtype=np.float64), 3),
            "std_error": finite(
                scores.std(dtype=np.float64) / math.sqrt(len(scores)), 3
            ),
            "nll_aggregated": finite(-refitted.mean(dtype=np.float64), 3),
            "negative_elbo": finite(-vae.elbo(X_test).elbo.mean(), 3),
            "n_active": vae.n_active_components_,
            "fit_minutes": round(seconds / 60.0, 2),
        }


def train_theirs(
    X: Array, digits: Digits, args: argparse.Namespace, seed: int
) -> VAETransformer:
    X_binary = binary_rows(X, digits, np.random.default_rng(seed))
    encoder, decoder = train_pythae(
        X_binary,
        digits.hidden,
        ACTIVATIONS[digits.activation],
        digits.n_latents,
        args.epochs,
        args.batch_size,
        seed,
    )
    return as_transformer(encoder, decoder, digits.n_latents, X_binary)


def train_ours(
    X: Array, digits: Digits, args: argparse.Namespace, seed: int
) -> VAETransformer:
    """One fit, or one with few draws and then one with as many as are wanted."""
    is_dynamic = digits.binarisation == "dynamic"
    vae = VAETransformer(
        digits.n_latents,
        hidden_layer_sizes=digits.hidden,
        activation=digits.activation,
        loss="log_loss",
        binarize=is_dynamic,
        n_importance_samples=digits.n_importance_samples,
        kl_warmup=args.kl_warmup,
        path_gradient=args.path_gradient,
        learning_rate_init=args.learning_rate,
        alpha=args.alpha,
        batch_size=args.batch_size,
        max_iter=args.epochs,
        # With new draws there is nothing to learn by heart, and a few rows tell how
        # the training goes; the others are then not gone through twice in an epoch.
        early_stopping=is_dynamic,
        validation_fraction=0.01,
        n_iter_no_change=args.epochs,
        random_state=seed,
    )
    if not is_dynamic:
        X = binary_rows(X, digits, np.random.default_rng(seed))
    n_draws = digits.n_importance_samples
    if args.few_draws:
        vae.set_params(
            max_iter=args.few_draws, n_importance_samples=min(FEW_DRAWS, n_draws)
        ).fit(X)
        vae.set_params(
            warm_start=True,
            max_iter=args.epochs,
            n_importance_samples=n_draws,
            kl_warmup=0,
            learning_rate_init=SECOND_RATE * args.learning_rate,
        )
    return vae.fit(X)


# Samples ------------------------------------------------------------------------------


def best_vae(X: Array, seed: int) -> VAETransformer:
    """As the BIC chooses a mixture: the number of latents with the highest score.

    Scores are of a tenth of the rows, which are not trained on for them.
    """
    order = np.random.RandomState(seed).permutation(len(X))
    held_out, kept = np.split(order, [max(1, len(X) // 10)])
    sizes = [k for k in LATENTS if k < X.shape[1]] or [1]
    scores = [
        VAETransformer(k, random_state=seed).fit(X[kept]).score(X[held_out])
        for k in sizes
    ]
    return VAETransformer(sizes[int(np.argmax(scores))], random_state=seed).fit(X)


def best_mixture(X: Array, seed: int) -> GaussianMixture:
    """The Gaussian mixture with the lowest BIC."""
    mixtures = [
        GaussianMixture(size, random_state=seed, reg_covar=1e-5).fit(X)
        for size in MIXTURE_SIZES
        if size == 1 or len(X) >= 2 * size * X.shape[1]
    ]
    return min(mixtures, key=lambda mixture: mixture.bic(X))


def draw_pca(X: Array, n_components: int) -> Draw:
    """Draws of probabilistic PCA, whose covariance is `PCA.get_covariance`."""
    pca = PCA(n_components).fit(X)
    return lambda n, seed: np.random.default_rng(seed).multivariate_normal(
        pca.mean_, pca.get_covariance(), n, method="eigh"
    )


def draw_mixture(X: Array, seed: int) -> Draw:
    mixture = best_mixture(X, seed)

    def draw(n: int, seed: int) -> Array:
        return mixture.set_params(random_state=seed).sample(n)[0]

    return draw


def with_columns_of(X: Array, draw: Draw, seed: int) -> Array:
    """Samples with the columns of X, as `VAETransformer.sample` makes them."""
    reference = draw(N_RANKED, N_RANKED + seed)
    random_state = np.random.RandomState(seed)
    return match_columns(draw(N_SAMPLES, seed), reference, X, random_state)


def two_sample_auc(S: Array, X: Array, seed: int) -> float:
    """Cross-validated AUC of gradient boosting, told to separate two sets of rows."""
    rows = np.concatenate([S, X])
    order = np.random.RandomState(seed).permutation(len(rows))
    labels = np.repeat([0, 1], [len(S), len(X)])
    classifier = HistGradientBoostingClassifier(max_iter=50, random_state=seed)
    return float(
        cross_val_score(
            classifier, rows[order], labels[order], cv=3, scoring="roc_auc"
        ).mean()
    )


def measure_samples(table: Table, args: argparse.Namespace, seed: int) -> list[Row]:
    """AUC of samples of each model against held-out rows; 0.5 is not to be told."""
    split = split_rows(table, seed, args.max_rows, StandardScaler())
    X, held_out = split.X_train, split.X_test[:N_SAMPLES]
    vae = best_vae(X, seed)
    k = vae.n_components_
    of_vae = partial(vae.sample, N_SAMPLES, seed, noise=True)
    pca, mixture = draw_pca(X, k), draw_mixture(X, seed)
    samples = {
        "VAE": of_vae(),
        "VAE, aggregated": of_vae(prior="aggregated"),
        "PPCA": pca(N_SAMPLES, seed),
        "mixture": mixture(N_SAMPLES, seed),
        "VAE, aggregated, like": of_vae(prior="aggregated", like=X),
        "PPCA, like": with_columns_of(X, pca, seed),
        "mixture, like": with_columns_of(X, mixture, seed),
    }
    return [
        {
            "k": k,
            "method": method,
            "n_columns": X.shape[1],
            "n_train": len(X),
            "n_test": len(held_out),
            "auc": finite(two_sample_auc(S, held_out, seed), 4),
        }
        for method, S in samples.items()
    ]


# Anomalies ----------------------------------------------------------------------------


def split_normal(
    table: Table, seed: int, max_rows: int
) -> tuple[Array, Array, NDArray[np.int64]]:
    """Half of the normal rows to train on; the others and the anomalies to score.

    At most max_rows of each kind, standardised by the training rows and clipped.
    """
    assert table.y is not None
    random_state = np.random.RandomState(seed)
    normal = random_state.permutation(np.flatnonzero(table.y == 0))
    anomalies = random_state.permutation(np.flatnonzero(table.y != 0))[:max_rows]
    train, test = (part[:max_rows] for part in np.split(normal, [len(normal) // 2]))
    varies = np.ptp(table.X[train], axis=0) > 0
    scaler = StandardScaler().fit(table.X[train][:, varies])
    rows = np.concatenate([test, anomalies])
    X_train, X_test = (
        np.clip(scaler.transform(table.X[part][:, varies]), -CLIP, CLIP)
        for part in (train, rows)
    )
    return X_train, X_test, np.repeat([0, 1], [len(test), len(anomalies)])


def neighbour_distance(X: Array, X_test: Array) -> Array:
    """Distance to the fifth nearest training row."""
    return NearestNeighbors(n_neighbors=5).fit(X).kneighbors(X_test)[0][:, -1]


def mean_neighbour_distance(X: Array, X_test: Array) -> Array:
    """Distance to the mean of the five nearest training rows."""
    middle = KNeighborsRegressor(n_neighbors=5).fit(X, X).predict(X_test)
    return np.linalg.norm(X_test - middle, axis=1)


def pyod_scores(X: Array, X_test: Array, seed: int) -> Array:
    from pyod.models.auto_encoder import AutoEncoder

    detector = AutoEncoder(random_state=seed, verbose=0)
    return detector.fit(X).decision_function(X_test)


def abnormality(
    X: Array, X_test: Array, seed: int
) -> Iterator[tuple[str, Callable[[], Array]]]:
    """Methods, and functions that train on X and say how abnormal X_test is."""
    yield (
        "AutoencoderTransformer",
        lambda: -AutoencoderTransformer(random_state=seed).fit(X).score_samples(X_test),
    )
    # A density has a use for every latent that stands out of the noise.
    for k in (2, 8, 16):
        vae = VAETransformer(
            min(k, X.shape[1]), n_exemplars=N_EXEMPLARS, random_state=seed
        )
        name = "VAETransformer" if k == 2 else f"VAETransformer({k})"
        yield name, lambda vae=vae: -vae.fit(X).score_samples(X_test)
        for prior in ("aggregated", "exemplars"):  # the fit is that of the line before
            yield (
                f"{name}, {prior}",
                lambda vae=vae, prior=prior: -vae.score_samples(X_test, prior=prior),
            )
    forest = IsolationForest(random_state=seed)
    yield "isolation forest", lambda: -forest.fit(X).score_samples(X_test)
    yield "5-NN distance", lambda: neighbour_distance(X, X_test)
    yield "distance to 5-NN mean", lambda: mean_neighbour_distance(X, X_test)
    # As many components as the autoencoders have latents.
    yield "PCA likelihood", lambda: -PCA(2).fit(X).score_samples(X_test)
    if find_spec("pyod"):
        yield "pyod AutoEncoder", lambda: pyod_scores(X, X_test, seed)


def measure_anomalies(
    table: Table, args: argparse.Namespace, seed: int
) -> Iterator[Row]:
    X, X_test, labels = split_normal(table, seed, args.max_rows)
    for method, score in abnormality(X, X_test, seed):
        start = time.perf_counter()
        auc = roc_auc_score(labels, score())
        yield {
            "k": 2,
            "method": method,
            "n_columns": X.shape[1],
            "n_train": len(X),
            "n_test": len(X_test),
            "auroc": finite(auc, 4),
            "seconds": round(time.perf_counter() - start, 2),
        }


# All of it ----------------------------------------------------------------------------


def measure(args: argparse.Namespace, results: Results) -> None:
    """Fill the results, and save them after every cell."""
    done = {(row["section"], row["set"], row["seed"]) for row in results.rows}
    for section, name, seed, cell in _cells(args):
        if (section, name, seed) in done:
            continue
        with warnings.catch_warnings():
            # Settings are as stated; that an upper bound was met is part of it.
            warnings.simplefilter("ignore", ConvergenceWarning)
            place = {"section": section, "set": name, "seed": seed}
            try:
                for row in cell():
                    results.add(place | row)
                    results.save()
            except Exception as error:
                text = f"{type(error).__name__}: {error}".partition("\n")[0]
                row = {"k": 0, "method": "all", "n_columns": 0, "failure": text}
                results.add(place | row)
                results.save()
        print(f"{section}: {name}, seed {seed}: done", flush=True)


def _cells(
    args: argparse.Namespace,
) -> Iterator[tuple[str, str, int, Callable[[], Iterable[Row]]]]:
    """Section, name, seed, and a function that gives the rows."""
    for seed in range(args.seeds):
        if "mnist" in args.sections:
            for name in args.digits or DIGITS:
                digits = DIGITS[name]
                yield (
                    *("mnist", name, seed),
                    lambda digits=digits, seed=seed: measure_digits(digits, args, seed),
                )
        tables = {
            "samples": (measure_samples, ("bundled", "tables")),
            "anomalies": (measure_anomalies, ("anomaly",)),
        }
        for section, (function, groups) in tables.items():
            if section not in args.sections:
                continue
            sources = find_tables(args.data_home)
            known = [g for g in groups if any(s.group == g for s in sources.values())]
            names = select_names(sources, args.sets or known)
            for name in names:
                yield (
                    *(section, name, seed),
                    lambda f=function, name=name, seed=seed: f(
                        next(load_tables(args.data_home, [name])), args, seed
                    ),
                )


def summarize(results: Results) -> Row:
    """Means, medians and wins of each method, over the tables."""
    frame = pd.DataFrame(results.rows)
    summary: Row = {}
    for section, column in (("samples", "auc"), ("anomalies", "auroc")):
        if column not in frame:
            continue
        values = _by_method(frame[frame["section"] == section], column)
        summary[section] = {
            "n_tables": len(values),
            "mean": {m: finite(v, 4) for m, v in values.mean().items()},
            "median": {m: finite(v, 4) for m, v in values.median().items()},
        }
    return summary


def _by_method(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """One row per table, means over the seeds, and one column per method."""
    frame = frame.dropna(subset=[column])
    order = frame["method"].drop_duplicates()
    means = frame.groupby(["set", "method"], sort=False)[column].mean()
    return means.unstack("method")[list(order)]


def report(results: Results) -> str:
    frame = pd.DataFrame(results.rows)
    parts = []
    if "nll" in frame:
        lines = [
            [
                row["set"],
                row["method"],
                *(f"{row[c]:.0f}" for c in ("n_train", "n_test", "epochs")),
                f"{row['fit_minutes']:.1f}",
                f"{row['n_active']:.0f} of {row['k']}",
                f"{row['negative_elbo']:.2f}",
                f"{row['nll']:.2f} +- {row['std_error']:.2f}",
                f"{row.get('nll_aggregated', math.nan):.2f}",
            ]
            for row in frame.dropna(subset=["nll"]).to_dict("records")
        ]
        heading = ["MNIST", "by", "rows", "test", "epochs", "minutes", "active"]
        parts.append(format_table([*heading, *NATS], lines))
    for section, column in (("samples", "auc"), ("anomalies", "auroc")):
        if column not in frame:
            continue
        values = _by_method(frame[frame["section"] == section], column)
        lines = [[name, *map(_short, row)] for name, row in values.iterrows()]
        lines += [
            ["mean", *map(_short, values.mean())],
            ["median", *map(_short, values.median())],
        ]
        parts.append(format_table([section, *values.columns], lines))
    failures = format_failures(results.rows)
    return "\n\n".join([*parts, failures] if failures else parts)


def _short(value: float) -> str:
    return f"{value:.3f}"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.vae",
        description=(__doc__ or "").partition("\n\n")[0],
    )
    add = parser.add_argument
    about = "; ".join(f"{section}: {what}" for section, what in SECTIONS.items())
    add("--data-home", help="folder of data sets")
    add("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS), help=about)
    add("--sets", nargs="+", help="tables or groups (default: those of the section)")
    add("--digits", nargs="+", choices=DIGITS, help="models of MNIST (default: all)")
    add("--seeds", type=int, default=1, help="splits (default: %(default)s)")
    add("--max-rows", type=int, default=5000, help="rows of tables (%(default)s)")
    add("--epochs", type=int, default=200, help="on MNIST (%(default)s)")
    add("--batch-size", type=int, default=200, help="on MNIST (%(default)s)")
    add("--kl-warmup", type=float, default=0, help="epochs, on MNIST (%(default)s)")
    add("--path-gradient", action="store_true", help="on MNIST, train with it")
    about = f"epochs with {FEW_DRAWS} importance samples before those with more"
    add("--few-draws", type=int, default=0, help=f"{about} (%(default)s)")
    add("--no-pythae", action="store_true", help="leave pythae out")
    add("--learning-rate", type=float, default=4e-3, help="on MNIST (%(default)s)")
    add("--alpha", type=float, default=1.0, help="on MNIST (%(default)s)")
    add("--train-rows", type=int, default=60_000, help="of MNIST (%(default)s)")
    add("--test-rows", type=int, default=10_000, help="of MNIST (%(default)s)")
    add("--importance-samples", type=int, default=5000, help="(%(default)s)")
    add("--output", type=Path, default=RESULTS / "vae.json")
    add("--resume", action="store_true", help="go on with the results in --output")
    add("--overwrite", action="store_true", help="start anew though --output exists")
    args = parser.parse_args(argv)
    args.redo = []
    try:
        results = Results.open(args, {"max_rows": args.max_rows})
    except (OSError, ValueError) as error:
        parser.error(str(error))
    results.runs.append(describe_run("benchmarks.vae", argv))
    measure(args, results)
    if not results.rows:
        raise SystemExit("There was nothing to measure.")
    results.summary = summarize(results)
    results.save()
    print(report(results))


if __name__ == "__main__":
    main()
