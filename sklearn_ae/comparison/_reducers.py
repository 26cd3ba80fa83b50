"""Which reducers are compared: those known by name, and the user's own."""

import functools
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.decomposition import PCA, KernelPCA
from sklearn.manifold import TSNE
from sklearn.pipeline import Pipeline

from .._estimators.autoencoder import AutoencoderTransformer
from .._estimators.denoising import DenoisingAutoencoderTransformer
from .._estimators.neighbor_map import NeighborMapTransformer
from .._estimators.vae import VAETransformer
from .._utils.extras import has_extra, import_extra
from ._split import Split

DEFAULT_REDUCERS = ("PCA", "kernel PCA", "t-SNE", "UMAP", "AE", "DAE", "VAE")
REDUCERS = (*DEFAULT_REDUCERS, "map")

# Kernel PCA and t-SNE hold a value for every pair of rows or take minutes beyond.
_MAX_ROWS_PAIRWISE = 10_000

Builder = Callable[[int, Split], Any]


class SkippedReducer(Exception):
    """A reducer by name that would take too long; the message says why."""


def check_reducers(
    reducers: Mapping[str, Any] | Iterable[str] | None,
) -> dict[str, Builder]:
    """Return a function of k and the data for each reducer, and fail early."""
    if reducers is None:
        names = [n for n in DEFAULT_REDUCERS if n != "UMAP" or has_extra("umap")]
        return {name: _BUILDERS[name] for name in names}
    if isinstance(reducers, str):
        reducers = [reducers]
    if isinstance(reducers, Mapping):
        builders = {str(n): _own_builder(str(n), r) for n, r in reducers.items()}
    else:
        builders = {find_reducer(name): _named_builder(name) for name in reducers}
    if not builders:
        raise ValueError("reducers is empty: name at least one reducer.")
    return builders


def find_reducer(name: Any) -> str:
    """Return the spelling in the table of a reducer's name: "pca" becomes "PCA"."""
    names = {_bare(known): known for known in REDUCERS}
    if not isinstance(name, str) or _bare(name) not in names:
        raise ValueError(
            f"Unknown reducer {name!r}. Known by name are: "
            + ", ".join(REDUCERS)
            + ". Other transformers go into a mapping of name to transformer."
        )
    return names[_bare(name)]


def _bare(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def _own_builder(name: str, reducer: Any) -> Builder:
    if isinstance(reducer, str):
        return _named_builder(reducer)
    if callable(reducer) and (isinstance(reducer, type) or not hasattr(reducer, "fit")):
        return lambda k, split: reducer(k)
    if not hasattr(reducer, "fit") or not hasattr(reducer, "get_params"):
        raise TypeError(
            f"Reducer {name!r} must be a scikit-learn estimator, a callable that takes "
            f"the number of latents and returns one, or a known name; got {reducer!r}."
        )
    parameter = "n_components"
    if isinstance(reducer, Pipeline):
        parameter = f"{reducer.steps[-1][0]}__n_components"
    if parameter not in reducer.get_params():
        raise ValueError(
            f"Reducer {name!r} ({type(reducer).__name__}) has no parameter "
            f"{parameter!r}. Give a callable instead, which takes the number of "
            "latents and returns an estimator: lambda k: MyReducer(size=k)."
        )
    return lambda k, split: clone(reducer).set_params(**{parameter: k})


def _named_builder(name: str) -> Builder:
    name = find_reducer(name)
    if name == "UMAP":
        import_extra("umap")  # asked for by name: missing is an error, and at once
    return _BUILDERS[name]


def _build_kernel_pca(k: int, split: Split) -> KernelPCA:
    _check_pairwise_rows(len(split.X_train), "training rows")
    variance = float(split.X_train.var())
    return KernelPCA(
        k,
        kernel="rbf",
        # The width follows the data's scale, as gamma="scale" of scikit-learn's SVC.
        gamma=1 / (split.X_train.shape[1] * variance) if variance > 0 else 1.0,
        fit_inverse_transform=True,
        alpha=1e-3,
        random_state=split.seed,
    )


def _build_tsne(k: int, split: Split) -> TSNE:
    if k > 3:
        raise SkippedReducer("the fast method of t-SNE is limited to 3 latents")
    _check_pairwise_rows(split.n_samples, "rows")
    return TSNE(
        k,
        init="pca" if k <= min(split.X_train.shape) else "random",
        perplexity=min(30.0, (split.n_samples - 1) / 3),
        random_state=split.seed,
    )


def _check_pairwise_rows(n_rows: int, what: str) -> None:
    if n_rows > _MAX_ROWS_PAIRWISE:
        raise SkippedReducer(
            f"more than {_MAX_ROWS_PAIRWISE} {what}, and its cost grows with their "
            "square; pass it in a mapping to run it all the same"
        )


def _build_umap(k: int, split: Split) -> Any:
    _compile_umap()
    return import_extra("umap").UMAP(
        n_components=k,
        n_neighbors=min(15, max(2, len(split.X_train) - 1)),
        random_state=split.seed,
        n_jobs=1,  # what a random_state leads to anyway, after a warning
    )


@functools.cache
def _compile_umap() -> None:
    """Have umap's functions compiled, so that no timing holds the compiler's time."""
    X = np.random.RandomState(0).normal(size=(60, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_extra("umap").UMAP(
            n_neighbors=5, n_epochs=5, random_state=0, n_jobs=1
        ).fit(X).transform(X[:20])


def is_umap(reducer: Any) -> bool:
    if isinstance(reducer, Pipeline):
        reducer = reducer.steps[-1][1]
    return type(reducer).__module__.partition(".")[0] == "umap"


_BUILDERS: dict[str, Builder] = {
    "PCA": lambda k, split: PCA(k, random_state=split.seed),
    "kernel PCA": _build_kernel_pca,
    "t-SNE": _build_tsne,
    "UMAP": _build_umap,
    "AE": lambda k, split: AutoencoderTransformer(k, random_state=split.seed),
    "DAE": lambda k, split: DenoisingAutoencoderTransformer(k, random_state=split.seed),
    "VAE": lambda k, split: VAETransformer(k, random_state=split.seed),
    "map": lambda k, split: NeighborMapTransformer(k, random_state=split.seed),
}
