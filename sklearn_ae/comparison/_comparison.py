"""The comparison: every reducer on the same rows, for every number of latents."""

import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import FitFailedWarning

from .._utils.extras import import_extra
from .._utils.random import SEED_LIMIT, make_random_state
from ._evaluation import evaluate
from ._reducers import check_reducers
from ._scores import knn_score
from ._split import Split, split_rows


def compare_reducers(
    X: ArrayLike,
    y: ArrayLike | None = None,
    *,
    reducers: Mapping[str, Any] | Iterable[str] | None = None,
    n_components: int | Iterable[int] = (2,),
    test_size: float | int = 0.25,
    scaler: Any = "standard",
    n_neighbors: int = 5,
    target_type: str = "auto",
    max_neighborhood_rows: int = 2000,
    return_latents: bool = False,
    random_state: int | np.random.RandomState | None = 0,
    verbose: int = 0,
) -> Any:
    """Compare dimensionality reducers on the same held-out rows.

    The rows are split once into training and held-out rows, the scaler is fitted to
    the training rows, and every reducer is then fitted to the same scaled training
    rows and measured on the same scaled held-out rows.

    A reducer without `transform`, such as t-SNE, cannot place new rows. It is fitted
    to all rows, the held-out ones included, and is scored on where it put these; its
    scores are therefore not scores on unseen rows, and the column ``note`` says so.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Rows to compare on. Finite numbers, unless `scaler` turns X into such: of a
        frame with text, categories, dates or missing cells "standard" makes the
        numbers of factor analysis of mixed data, on which PCA is that analysis.
    y : array-like of shape (n_samples,), default=None
        Classes or a quantity, for the k-nearest-neighbour scores. No reducer sees it.
    reducers : mapping or iterable of str, default=None
        What to compare.

        - None: "PCA", "kernel PCA", "t-SNE", "UMAP" (where umap-learn is installed),
          "AE", "DAE" and "VAE".
        - A list of such names; "map", NeighborMapTransformer, is one more.
        - A mapping of names of your own to scikit-learn transformers or pipelines.
          Each is cloned, and its parameter ``n_components`` (of a pipeline: that of
          its last step) is set to k; nothing else is changed, so give it a
          ``random_state`` where you want one. A value may also be a callable that
          takes k and returns an unfitted estimator, or one of the names above.
    n_components : int or iterable of int, default=(2,)
        Number of latents k; each reducer is fitted once for every k.
    test_size : float or int, default=0.25
        Held-out fraction (float) or number (int) of rows. The split is stratified
        by y where y is discrete and has enough rows of each class.
    scaler : {"standard", "minmax"}, transformer or None, default="standard"
        Fitted to the training rows: unit variance for every column
        (:class:`~sklearn.preprocessing.StandardScaler`; levels are indicators over
        the root of their share, and missing cells at the mean), the range from 0 to 1
        (:class:`~sklearn.preprocessing.MinMaxScaler`), any transformer of your own
        (which may also impute and encode), or None to leave X as it is.
    n_neighbors : int, default=5
        Number of neighbours of the k-nearest-neighbour scores, of trustworthiness
        and of continuity; fewer where there are too few rows for so many.
    target_type : {"auto", "discrete", "continuous"}, default="auto"
        How to read y. "auto": text, booleans and integers of at most 50 distinct
        values with five rows each on average are classes, all else is a quantity.
    max_neighborhood_rows : int, default=2000
        Trustworthiness and continuity compare all pairs of rows: they use at most
        this many of the held-out rows, the same ones for every reducer.
    return_latents : bool, default=False
        Whether to return the latents of the held-out rows too.
    random_state : int, RandomState instance or None, default=0
        Decides the split and seeds the reducers that are given by name.
    verbose : int, default=0
        1 shows a progress bar on the standard error stream, 0 is silent.

    Returns
    -------
    table : pandas.DataFrame
        One row per reducer and k. ``table.attrs`` holds the settings, the numbers of
        rows and, as ``knn_all_columns``, the k-nearest-neighbour score of the scaled
        rows themselves, without any reduction (on `max_neighborhood_rows` of the
        held-out rows at most), and as ``columns`` what each column was taken for
        where they are of several kinds.

        - ``reducer``: name.
        - ``n_components``: number of latents, k.
        - ``reconstruction_error``: mean squared difference, over held-out rows and
          columns, between scaled rows and their reconstruction; its unit is that of the
          scaled columns, squared.
        - ``explained_variance``: 1 minus the squared error relative to that of the
          training mean: 1 is perfect, 0 no better than the mean.
        - ``error_ratio_to_pca``: reconstruction error divided by that of PCA with as
          many latents: below 1 is better than PCA.
        - ``knn_accuracy``: accuracy on held-out rows of a k-nearest-neighbour
          classifier fitted to the training latents (discrete y).
        - ``knn_r2``: the same as R^2 of a regressor (continuous y).
        - ``trustworthiness``: how far neighbours among the latents are neighbours among
          the rows, from 0 to 1 [1]_.
        - ``continuity``: the converse: how far neighbours among the rows stay
          neighbours among the latents [1]_.
        - ``fit_seconds``: wall-clock time of the fit.
        - ``transform_rows_per_second``: held-out rows divided by the wall-clock time of
          their transform.
        - ``has_transform``: whether new rows can be reduced.
        - ``has_inverse_transform``: whether there is a way back to the columns.
        - ``note``: what was done differently for this reducer.
        - ``warnings``: warnings of the reducer, which are not shown elsewhere.
        - ``error``: message of the exception that ended its work.

        NaN stands for what does not apply.
    latents : dict
        Only with ``return_latents=True``: ``latents[reducer, k]`` is a
        pandas.DataFrame of shape (n_held_out, k), whose index holds the positions of
        the held-out rows in X. Failed and skipped reducers are left out.

    Raises
    ------
    ValueError
        For unknown names of reducers, scalers or target types, a transformer without
        ``n_components``, k below 1, and rows that are not finite numbers after scaling.
    TypeError
        For sparse X and for reducers that are no estimators.
    ImportError
        Where pandas (or umap-learn, if asked for by name) is not installed.

    Warns
    -----
    sklearn.exceptions.FitFailedWarning
        Where a reducer failed. Its row holds the message, all others are as usual.

    See Also
    --------
    sklearn_ae.AutoencoderTransformer : The plain autoencoder, "AE".
    sklearn_ae.DenoisingAutoencoderTransformer : The denoising one, "DAE".
    sklearn_ae.VAETransformer : The variational one, "VAE".

    Notes
    -----
    The reducers given by name have their default settings, but for these. Kernel PCA
    has an RBF kernel with ``gamma = 1 / (n_features * X.var())`` and its way back a
    ridge penalty of 0.001, with which it reconstructs much better than with
    scikit-learn's default of 1. t-SNE is limited to three latents (its fast method
    needs that) and, as kernel PCA, to 10,000 rows: beyond, it is skipped, and the
    note says so. UMAP's functions are compiled before its clock starts. The way back
    of UMAP is tried up to three latents, on at most 500 held-out rows; its ratio to
    PCA's error is taken on the same rows.

    References
    ----------
    .. [1] Venna, J., & Kaski, S. (2001). Neighborhood preservation in nonlinear
           projection methods: An experimental study. ICANN 2001, 485-491.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.decomposition import PCA
    >>> from sklearn_ae.comparison import compare_reducers
    >>> X, y = load_iris(return_X_y=True)
    >>> reducers = {"PCA": "PCA", "whitened": PCA(whiten=True, random_state=0)}
    >>> table = compare_reducers(X, y, reducers=reducers, n_components=(1, 2))
    >>> table[["reducer", "n_components", "explained_variance"]].round(2)
        reducer  n_components  explained_variance
    0       PCA             1                0.76
    1  whitened             1                0.76
    2       PCA             2                0.94
    3  whitened             2                0.94
    """
    pandas = import_extra("pandas")
    seed = _as_seed(random_state)
    sizes = _check_n_components(n_components)
    builders = check_reducers(reducers)
    split = split_rows(
        X,
        y,
        test_size=test_size,
        scaler=scaler,
        target_type=target_type,
        n_neighbors=n_neighbors,
        max_neighborhood_rows=max_neighborhood_rows,
        seed=seed,
    )
    tasks = [(name, k) for k in sizes for name in builders]

    results = []
    latents = {}
    with _progress(tasks, verbose) as steps:
        for name, k in steps:
            result, Z = evaluate(name, builders[name], k, split)
            results.append(result)
            if Z is not None:
                names = [f"latent{j}" for j in range(Z.shape[1])]
                latents[name, k] = pandas.DataFrame(Z, split.test_index, names)

    table = pandas.DataFrame([vars(result) for result in results])
    table.attrs = {
        **_settings(X, scaler, split),
        "test_size": test_size,
        "random_state": seed,
    }
    failures = [
        f"{result.reducer} with n_components={result.n_components}: {result.error}"
        for result in results
        if result.error
    ]
    if failures:
        # Said once and at the end: where warnings are errors, all reducers had
        # their turn before.
        warnings.warn(
            "These reducers failed, and their rows hold what was measured before:\n"
            + "\n".join(failures),
            FitFailedWarning,
            stacklevel=2,
        )
    return (table, latents) if return_latents else table


def _check_n_components(n_components: Any) -> list[int]:
    sizes = [n_components] if isinstance(n_components, Integral) else [*n_components]
    for k in sizes:
        if isinstance(k, bool) or not isinstance(k, Integral) or k < 1:
            raise ValueError(f"n_components must be integers >= 1; got {k!r}.")
    if not sizes:
        raise ValueError("n_components is empty: name at least one number of latents.")
    return list(dict.fromkeys(int(k) for k in sizes))


def _as_seed(random_state: Any) -> int:
    """Return one seed for the split and all reducers: an int stands for itself."""
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(make_random_state(random_state).randint(SEED_LIMIT))


def _settings(X: Any, scaler: Any, split: Split) -> dict[str, Any]:
    """Describe the run in plain numbers and text, which JSON can hold."""
    if scaler is None or isinstance(scaler, str):
        scaler_name = scaler or "none"
    else:
        scaler_name = type(scaler).__name__
    knn = knn_score(split.X_train, split.X_test, split, split.neighborhood_rows)
    return {
        "n_train": len(split.X_train),
        "n_test": len(split.X_test),
        "n_columns": int(X.shape[1] if hasattr(X, "shape") else np.shape(X)[1]),
        "n_scaled_columns": split.X_train.shape[1],
        "scaler": scaler_name,
        "columns": split.columns,
        "n_neighbors": split.n_neighbors,
        "neighborhood_rows": split.neighborhood_rows,
        "stratified": split.stratified,
        "target_type": split.target_type,
        "knn_all_columns": None if np.isnan(knn) else knn,
    }


@contextmanager
def _progress(
    tasks: list[tuple[str, int]], verbose: int
) -> Iterator[Iterator[tuple[str, int]]]:
    if not verbose:
        yield iter(tasks)
        return
    tqdm = import_extra("tqdm").tqdm
    with tqdm(total=len(tasks), file=sys.stderr, unit="fit") as bar:

        def steps() -> Iterator[tuple[str, int]]:
            for name, k in tasks:
                bar.set_description(f"{name}, k={k}")
                yield name, k
                bar.update()
            bar.set_description("done")

        yield steps()
