"""Published figures on MNIST and Fashion-MNIST, beside what is measured here.

Run it from the repository's root as ``python -m benchmarks.images``; README.md, beside
this file, says what is measured and how.
"""

import argparse
import time
import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.manifold import TSNE, trustworthiness
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from benchmarks._common import (
    RESULTS,
    Results,
    Row,
    describe_run,
    finish,
    format_table,
)
from sklearn_ae import (
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    VAETransformer,
)
from sklearn_ae.datasets import (
    ENVIRONMENT_VARIABLE,
    load_fashion_mnist,
    load_mnist,
)

IMAGE_SHAPE = (28, 28)
LOADERS = {"mnist": load_mnist, "fashion_mnist": load_fashion_mnist}
LATENTS = (2, 8, 16, 64)

# Method: what it is called in tables.
METHODS = {
    "convolutional": "AutoencoderTransformer(k, image_shape=(28, 28))",
    "slower": "convolutional, learning_rate_init=3e-3",
    "wider": "convolutional, 3e-3, (32, 64, 64) channels",
    "dense": "AutoencoderTransformer(k)",
    "denoising_dense": "denoising, dense, (2048,)",
    "vae": "VAETransformer(k, image_shape=(28, 28))",
    "faster_vae": "vae, learning_rate_init=6e-3",
    "bernoulli_vae": 'VAETransformer, convolutional, loss="log_loss"',
    "wider_of_roots": "wider, roots of pixels",
    "denoising_dense_of_roots": "denoising, dense, (2048,), roots of pixels",
    "pca": "PCA",
    "pca_of_roots": "PCA, roots of pixels",
    "umap": "UMAP",
    "tsne": "t-SNE",
    "pixels": "pixels",
    "anomaly": "a boot among the digits",
    "denoising": "DenoisingAutoencoderTransformer",
}
VAES = ("vae", "faster_vae", "bernoulli_vae")
# What learns from the square roots of pixels, which spread what is dark.
OF_ROOTS = "_of_roots"
OURS_OF_ROOTS = ("wider_of_roots", "denoising_dense_of_roots")
PLAIN = ("convolutional", "slower", "wider", "dense", "denoising_dense")
OURS = (*PLAIN, *VAES, *OURS_OF_ROOTS)
# Latents that neighbours keep are checked on so many rows, as those who published did.
TRUSTED_ROWS = 10_000
# t-SNE has no transform: this many training images are laid out with the test images.
TSNE_ROWS = 10_000
# Noise on each pixel, where black is 0 and white 1.
NOISE = 0.5
# Numbers of components among which PCA has its best for the noise.
DENOISING_COMPONENTS = (4, 8, 12, 16, 20, 24, 32, 48, 64)
BOOT = 9  # Fashion-MNIST's class of ankle boots


class Images(NamedTuple):
    """Images as rows (n, 784) of pixels from 0 to 1, and what they show."""

    X_train: NDArray[np.float32]
    y_train: NDArray[Any]
    X_test: NDArray[np.float32]
    y_test: NDArray[Any]


class Published(NamedTuple):
    """A figure that somebody published, and the one that is to be reached."""

    name: str  # of the set
    k: int
    quantity: str
    value: float
    source: str
    target: float


SAINBURG = "Sainburg et al., Parametric UMAP: convolutional autoencoder"
MICHELUCCI = "Michelucci, arXiv 2201.03898"
PUBLISHED = (
    Published("mnist", 2, "mse", 0.0369, SAINBURG, 0.0340),
    Published("fashion_mnist", 2, "mse", 0.0244, SAINBURG, 0.0235),
    Published("mnist", 64, "mse", 0.0016, SAINBURG, 0.0015),
    Published("fashion_mnist", 64, "mse", 0.0054, SAINBURG, 0.0050),
    Published("mnist", 64, "knn5", 0.9758, SAINBURG, 0.978),
    Published("fashion_mnist", 64, "knn5", 0.8756, SAINBURG, 0.880),
    Published("mnist", 8, "knn7", 0.8967, MICHELUCCI, 0.960),
    Published("fashion_mnist", 8, "knn7", 0.7997, MICHELUCCI, 0.830),
    Published("fashion_mnist", 16, "knn7", 0.8375, MICHELUCCI, 0.850),
    Published("mnist", 64, "boot_ratio", 2.27, MICHELUCCI, 2.5),
)
# 5-NN accuracy on 2 latents, from the first source too: a gap to be seen, no target.
PUBLISHED_MAPS = {
    "mnist": {
        **{"t-SNE": 0.9502, "UMAP": 0.9544, "Parametric UMAP": 0.9614},
        **{"autoencoder": 0.7926, "VAE": 0.7649, "PCA": 0.4201},
    },
    "fashion_mnist": {
        **{"t-SNE": 0.8039, "UMAP": 0.7608, "Parametric UMAP": 0.7407},
        **{"autoencoder": 0.7339, "VAE": 0.7161, "PCA": 0.5055},
    },
}
QUANTITIES = {
    "mse": "squared error",
    "knn5": "5-NN",
    "knn7": "7-NN",
    "trustworthiness": "trustworthiness",
    "boot_ratio": "boot's error / next",
    "gain": "dB above PCA",
}


# Measuring ----------------------------------------------------------------------------


@cache
def load(name: str, data_home: str | None) -> Images:
    load_part = LOADERS[name]
    return Images(
        *load_part(data_home, split="train"), *load_part(data_home, split="test")
    )


def first_rows(images: Images, n: int | None) -> Images:
    """The first n images to learn from, and n to measure on; None takes all."""
    return Images(*(part[:n] for part in images))


def cells(
    methods: Sequence[str], names: Sequence[str], ks: Sequence[int]
) -> Iterator[tuple[str, int, str]]:
    """Set, number of latents and method of everything there is to measure."""
    for name in names:
        for method in methods:
            if method == "pixels":
                yield name, IMAGE_SHAPE[0] * IMAGE_SHAPE[1], method
            elif method in ("anomaly", "denoising"):
                if method == "denoising" or name == "mnist":
                    yield name, 64, method
            else:
                # UMAP and t-SNE are for maps.
                yield from (
                    (name, k, method)
                    for k in ks
                    if k == 2 or method not in ("umap", "tsne")
                )


def measure(method: str, k: int, seed: int, images: Images, boots: Any) -> Row:
    """Learn from the training images and judge on the test images."""
    if method == "anomaly":
        return measure_anomaly(k, seed, images, boots)
    if method == "denoising":
        return measure_denoising(k, seed, images)
    if method == "tsne":
        return measure_tsne(k, seed, images)
    if method == "pixels":
        return measure_neighbors(images, images.X_train, images.X_test)
    model = make_model(method, k, seed)
    row = timed_fit(model, images.X_train)
    Z_train, Z_test = model.transform(images.X_train), model.transform(images.X_test)
    if method != "umap":  # whose way back takes minutes for some hundred images
        X_back = model.inverse_transform(Z_test)
        row["mse"] = float(np.mean((images.X_test - X_back) ** 2))
    if method in OURS:
        fitted = model[-1] if method in OURS_OF_ROOTS else model
        row |= {"n_epochs": fitted.n_iter_, "best_epoch": fitted.best_iter_}
    if k == 2:
        row["trustworthiness"] = trusted(images.X_train, Z_train)
    return row | measure_neighbors(images, Z_train, Z_test)


def timed_fit(model: Any, X: NDArray[Any]) -> Row:
    """Fit a model, and note how long it took and how long processors were at it.

    The first is more than the second where other work wants the processors too.
    """
    start, start_of_work = time.perf_counter(), time.process_time()
    model.fit(X)
    return {
        "fit_seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(time.process_time() - start_of_work, 1),
    }


def make_model(method: str, k: int, seed: int) -> Any:
    if method.endswith(OF_ROOTS):
        return of_roots(make_model(method.removesuffix(OF_ROOTS), k, seed))
    if method == "convolutional":
        return AutoencoderTransformer(k, image_shape=IMAGE_SHAPE, random_state=seed)
    if method in ("slower", "wider"):
        return AutoencoderTransformer(
            k,
            image_shape=IMAGE_SHAPE,
            hidden_layer_sizes=(32, 64, 64) if method == "wider" else "auto",
            learning_rate_init=3e-3,
            random_state=seed,
        )
    if method == "dense":
        return AutoencoderTransformer(k, random_state=seed)
    if method == "denoising_dense":
        return DenoisingAutoencoderTransformer(
            k,
            hidden_layer_sizes=(2048,),
            init="random",
            corruption_level=0.15,
            random_state=seed,
        )
    if method in VAES:
        return VAETransformer(
            k,
            image_shape=IMAGE_SHAPE,
            loss="log_loss" if method == "bernoulli_vae" else "squared_error",
            learning_rate_init=6e-3 if method == "faster_vae" else "auto",
            random_state=seed,
        )
    if method == "pca":
        return PCA(k, random_state=seed)
    if method == "umap":
        from umap import UMAP

        return UMAP(n_components=k, random_state=seed, n_jobs=1)
    raise ValueError(f"Unknown method {method!r}; there are {', '.join(METHODS)}.")


def of_roots(model: Any) -> Any:
    """A model of the square roots of pixels, whose way back ends in pixels."""
    # The check would mind that single precision squares roots to within 1e-7.
    roots = FunctionTransformer(np.sqrt, np.square, check_inverse=False)
    return make_pipeline(roots, model)


def trusted(X: NDArray[Any], Z: NDArray[Any]) -> float:
    """Share of the latents' neighbours that are neighbours among the pixels, roughly.

    One minus a penalty for each of the five nearest that is not; see scikit-learn.
    """
    return float(trustworthiness(X[:TRUSTED_ROWS], Z[:TRUSTED_ROWS], n_neighbors=5))


def measure_neighbors(images: Images, Z_train: Any, Z_test: Any) -> Row:
    """Accuracy on the test images of classifiers that look at the nearest latents."""
    row: Row = {}
    for n_neighbors in (5, 7):
        classifier = KNeighborsClassifier(n_neighbors)
        classifier.fit(Z_train, images.y_train[: len(Z_train)])
        row[f"knn{n_neighbors}"] = float(classifier.score(Z_test, images.y_test))
    return row


def measure_tsne(k: int, seed: int, images: Images) -> Row:
    """t-SNE lays out test images together with some training images, unlabelled."""
    X = np.concatenate([images.X_train[:TSNE_ROWS], images.X_test])
    model = TSNE(k, random_state=seed)
    row = timed_fit(model, X)
    Z_train, Z_test = np.split(model.embedding_, [len(X) - len(images.X_test)])
    row["trustworthiness"] = trusted(images.X_train[:TSNE_ROWS], Z_train)
    return row | measure_neighbors(images, Z_train, Z_test)


def measure_anomaly(k: int, seed: int, images: Images, boots: NDArray[Any]) -> Row:
    """Hide a boot among the test images: its error should stand out.

    Michelucci hides one boot and does not say which; here each boot of Fashion-MNIST's
    test images has its turn, and the median is what counts.
    """
    model = AutoencoderTransformer(k, random_state=seed)
    row = timed_fit(model, images.X_train)
    highest = -model.score_samples(images.X_test).min()
    ratios = -model.score_samples(boots) / highest
    return row | {
        "boot_ratio": float(np.median(ratios)),
        "lowest_boot_ratio": float(ratios.min()),
        "share_of_boots_first": float(np.mean(ratios > 1.0)),
    }


class GaussianNoise(torch.nn.Module):
    """The damage that the autoencoder is trained on, and judged with."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + NOISE * torch.randn_like(x)


def measure_denoising(k: int, seed: int, images: Images) -> Row:
    """Peak signal-to-noise ratio on noisy test images, and that of the best PCA."""
    noise = np.random.RandomState(seed).normal(scale=NOISE, size=images.X_test.shape)
    X_noisy = (images.X_test + noise).astype(np.float32)
    model = DenoisingAutoencoderTransformer(
        k,
        corruption=GaussianNoise(),
        init="random",
        learning_rate_init=3e-3,
        image_shape=IMAGE_SHAPE,
        random_state=seed,
    )
    row = timed_fit(model, images.X_train)
    by_k = {
        n: psnr(images.X_test, pca.inverse_transform(pca.transform(X_noisy)))
        for n in DENOISING_COMPONENTS
        if n < min(images.X_train.shape)
        for pca in [PCA(n, random_state=seed).fit(images.X_train)]
    }
    best = max(by_k, key=lambda n: by_k[n])
    quality = psnr(images.X_test, model.reconstruct(X_noisy))
    return row | {
        "psnr": quality,
        "psnr_noisy": psnr(images.X_test, X_noisy),
        "psnr_pca": by_k[best],
        "pca_components": best,
        "gain": quality - by_k[best],
        **measure_neighbors(
            images, model.transform(images.X_train), model.transform(images.X_test)
        ),
    }


def psnr(X: NDArray[Any], X_restored: NDArray[Any]) -> float:
    """Peak signal-to-noise ratio in dB, for pixels from 0 to 1."""
    return float(-10.0 * np.log10(np.mean((X - X_restored) ** 2)))


# Summing up ---------------------------------------------------------------------------


def summarize(frame: pd.DataFrame) -> Row:
    """Each published figure, what was to be reached, and what was measured."""
    goals = []
    for goal in PUBLISHED:
        found = best_of_ours(frame, goal)
        if found is None:
            continue
        method, value, seconds = found
        is_met = (
            value <= goal.target if goal.quantity == "mse" else value >= goal.target
        )
        goals.append(
            {
                "set": goal.name,
                "k": goal.k,
                "quantity": goal.quantity,
                "published": goal.value,
                "target": goal.target,
                "measured": round(value, 5),
                "method": method,
                "cpu_seconds": seconds,
                "met": bool(is_met),
            }
        )
    return {"targets": goals}


def best_of_ours(
    frame: pd.DataFrame, goal: Published
) -> tuple[str, float, float] | None:
    """Method, value and seconds of whichever of our networks does best."""
    if goal.quantity == "boot_ratio":
        methods = ["anomaly"]
    elif goal.quantity == "mse":
        methods = list(OURS)
    else:
        methods = [*OURS, "denoising"]
    is_asked = (
        (frame["set"] == goal.name)
        & (frame["k"] == goal.k)
        & frame["method"].isin(methods)
        & frame[goal.quantity].notna()
    )
    rows = frame[is_asked].sort_values(
        goal.quantity, ascending=goal.quantity == "mse", kind="stable"
    )
    if rows.empty:
        return None
    best = rows.iloc[0]
    return best["method"], float(best[goal.quantity]), float(best["cpu_seconds"])


def report(frame: pd.DataFrame, summary: Row) -> str:
    parts = [_format_latents(frame)]
    parts += [
        f"Published, 5-NN on 2 latents of {name}: "
        + ", ".join(f"{method} {value:.4f}" for method, value in values.items())
        for name, values in PUBLISHED_MAPS.items()
        if ((frame["set"] == name) & (frame["k"] == 2)).any()
    ]
    parts += _format_others(frame)
    if summary["targets"]:
        heading = ["targets", "published", "target", "measured", "method", "CPU s", ""]
        lines = [
            [
                f"{goal['set']} {goal['k']} {QUANTITIES[goal['quantity']]}",
                *(_short(goal[name]) for name in ("published", "target", "measured")),
                goal["method"],
                f"{goal['cpu_seconds']:.0f}",
                "met" if goal["met"] else "NOT met",
            ]
            for goal in summary["targets"]
        ]
        parts.append(format_table(heading, lines))
    return "\n\n".join(part for part in parts if part)


def _format_latents(frame: pd.DataFrame) -> str:
    columns = ["mse", "knn5", "knn7", "trustworthiness", "cpu_seconds"]
    rows = frame[frame["knn5"].notna()]
    heading = ["set and k", "method", *(QUANTITIES.get(c, "CPU s") for c in columns)]
    lines = [
        [
            f"{row['set']} {row['k']}",
            METHODS[row["method"]],
            *(_short(row[column]) for column in columns[:-1]),
            "" if np.isnan(row["cpu_seconds"]) else f"{row['cpu_seconds']:.0f}",
        ]
        for _, row in rows.sort_values(["set", "k"], kind="stable").iterrows()
    ]
    return format_table(heading, lines) if lines else ""


def _format_others(frame: pd.DataFrame) -> Iterator[str]:
    for _, row in frame[frame["boot_ratio"].notna()].iterrows():
        yield (
            f"A boot among the {row['set']} test images, {row['k']} latents: in the "
            f"median its error is {row['boot_ratio']:.2f} times a digit's highest, "
            f"at worst {row['lowest_boot_ratio']:.2f} times; "
            f"{100 * row['share_of_boots_first']:.1f} % of the boots come first."
        )
    for _, row in frame[frame["gain"].notna()].iterrows():
        yield (
            f"Noise of {NOISE} on {row['set']}, {row['k']} latents: noisy "
            f"{row['psnr_noisy']:.2f} dB, the best PCA ({row['pca_components']:.0f} "
            f"components) {row['psnr_pca']:.2f} dB, denoised {row['psnr']:.2f} dB: "
            f"{row['gain']:.2f} dB more, after {row['cpu_seconds']:.0f} s of work."
        )


def _short(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.4f}"


# The command --------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser()
    args = parser.parse_args(argv)
    settings = {"max_rows": args.max_rows}
    try:
        results = Results.open(args, settings)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    results.runs.append(describe_run("benchmarks.images", argv))
    for name, k, method in cells(args.methods, args.sets, args.k):
        if results.has(name, k, args.seed, method):
            continue
        images = first_rows(load(name, args.data_home), args.max_rows)
        row: Row = {"set": name, "k": k, "seed": args.seed, "method": method}
        row["n_columns"] = images.X_train.shape[1]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                boots = load_boots(args.data_home) if method == "anomaly" else None
                row |= measure(method, k, args.seed, images, boots)
        except Exception as error:
            row["failure"] = f"{type(error).__name__}: {error}".partition("\n")[0]
        results.add(row)
        results.save()
    frame = results.frame(
        *QUANTITIES,
        *("cpu_seconds", "psnr", "psnr_noisy", "psnr_pca", "pca_components"),
        *("lowest_boot_ratio", "share_of_boots_first"),
    )
    finish(results, frame, summarize, report)


def load_boots(data_home: str | None) -> NDArray[np.float32]:
    clothes = load("fashion_mnist", data_home)
    return clothes.X_test[clothes.y_test == BOOT]


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.images",
        description=(__doc__ or "").partition("\n\n")[0],
    )
    add = parser.add_argument
    add(
        "--data-home",
        help="folder with the folders mnist and fashion_mnist (default: "
        f"{ENVIRONMENT_VARIABLE}, else the images come from OpenML)",
    )
    add("--sets", nargs="+", choices=LOADERS, default=list(LOADERS))
    add("--k", nargs="+", type=int, choices=LATENTS, default=list(LATENTS))
    add("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    add("--seed", type=int, default=0)
    add("--max-rows", type=int, help="use the first images only, for a trial")
    add("--output", type=Path, default=RESULTS / "images.json")
    add("--resume", action="store_true", help="go on with the results in --output")
    add("--redo", nargs="+", choices=METHODS, default=[])
    add("--overwrite", action="store_true", help="start anew though --output exists")
    return parser


if __name__ == "__main__":
    main()
