"""What is learned from all training images, and measured on the test images."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from benchmarks._measuring import squared_error, timed
from benchmarks._results import Row
from sklearn_ae import (
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    VAETransformer,
)
from sklearn_ae.datasets import load_fashion_mnist, load_mnist

IMAGE_SHAPE = (28, 28)
LOADERS = {"mnist": load_mnist, "fashion_mnist": load_fashion_mnist}

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


# Measuring ----------------------------------------------------------------------------


@cache
def load(name: str, data_home: str | None) -> Images:
    load_part = LOADERS[name]
    return Images(
        *load_part(data_home, split="train"), *load_part(data_home, split="test")
    )


def load_boots(data_home: str | None) -> NDArray[np.float32]:
    clothes = load("fashion_mnist", data_home)
    return clothes.X_test[clothes.y_test == BOOT]


def first_rows(images: Images, n: int | None) -> Images:
    """The first n images to learn from, and n to measure on; None takes all."""
    return Images(*(part[:n] for part in images))


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
        row["mse"] = squared_error(images.X_test, X_back)
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
    seconds = timed(lambda: model.fit(X))
    return {
        "fit_seconds": round(seconds.wall, 1),
        "cpu_seconds": round(seconds.cpu, 1),
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
    return float(-10.0 * np.log10(squared_error(X, X_restored)))
