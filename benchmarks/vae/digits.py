"""Densities of binary MNIST digits."""

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._results import Row, finite
from sklearn_ae import VAETransformer
from sklearn_ae._networks.activations import ACTIVATIONS
from sklearn_ae.datasets import load_mnist

from .pythae_vae import as_transformer, train_pythae

FEW_DRAWS = 5
SECOND_RATE = 0.5  # of a training that goes on with more draws

Array = NDArray[Any]


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
