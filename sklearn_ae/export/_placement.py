"""Places on a map as nodes of a graph, as `_inference.placement` has them.

Shapes: n rows, d columns, k latents, a known rows, K neighbours.
"""

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors

from .._inference.placement import _N_STEPS, Placed
from .._networks.contrast import NeighborMap
from .._networks.modules import Autoencoder
from ._graph import Value, integers
from ._layers import to_array


def can_be_placed(inference: Placed) -> bool:
    """Whether neighbours are those by straight distances, which a graph can find."""
    index = inference.index
    return (
        isinstance(index, NearestNeighbors) and index.effective_metric_ == "euclidean"
    )


def places(module: Autoencoder, inference: Placed, X: Value) -> Value:
    """Latents (n, k) of rows in their own units (n, d)."""
    assert inference.known is not None
    assert isinstance(inference.index, NearestNeighbors)
    graph, k = X.graph, inference.known.shape[1]
    double = np.dtype(np.float64)
    center = graph.constant(to_array(module.center), double)
    scale = to_array(module.scale)
    X = graph.where(X.of("IsNaN"), center, X)
    if scale.ndim:
        X = (X - center) / scale
    rows = np.asarray(inference.index._fit_X, dtype=np.float64)  # (a, d)
    n_neighbors = min(inference.index.n_neighbors, len(rows))
    # Of the squared distance, what differs between rows; that of the nearest anew.
    far = np.square(rows).sum(axis=1) - 2.0 * (X @ rows.T)
    nearest = graph.top(far, n_neighbors)  # (n, K)
    between = graph.add("Gather", rows, nearest, axis=0) - X.unsqueeze(1)
    distances = between.square().sum(2).of("Sqrt")
    known = to_array(inference.known).astype(np.float64)
    z = graph.add("Gather", known, nearest, axis=0)  # (n, K, k)
    tiny = float(np.finfo(np.float64).tiny)
    least = distances.of("ReduceMin", integers(1), keepdims=1)
    weights = (least.of("Max", tiny) / distances.of("Max", tiny)).square()
    apart = (z.unsqueeze(2) - z.unsqueeze(1)).square().sum(3)  # (n, K, K)
    apart = ((1.0 + apart).of("Log") * weights.unsqueeze(1)).sum(2)
    best = apart.of("ArgMin", axis=1, keepdims=1)  # (n, 1)
    is_best = graph.cast(best.of("Equal", np.arange(n_neighbors)[None]), double)
    place = (is_best.unsqueeze(2) * z).sum(1)

    def step(state: Sequence[Value]) -> tuple[list[Value], Value]:
        (place,) = state
        inner = place.graph
        around, pull = inner.value(z.name), inner.value(weights.name)
        pull = pull / (1.0 + (around - place.unsqueeze(1)).square().sum(2))
        total = pull.sum(1, keepdims=True)
        place = (pull.unsqueeze(2) * around).sum(1) / total
        return [place], inner.constant(np.asarray(True)).of("Identity")

    (place,) = graph.loop(_N_STEPS, [place], step)
    return place.reshape(-1, k)


def placement_scores(
    module: NeighborMap, x: Value, z: Value, z_landmarks: np.ndarray
) -> Value:
    """Minus the loss of standardised rows (n, d) with these latents: (n, 1)."""
    graph = x.graph
    landmarks = to_array(module.landmarks)

    def apart(rows: Value, others: np.ndarray) -> Value:
        squares = rows.square().sum(1, keepdims=True) + np.square(others).sum(axis=1)
        return (squares - 2.0 * (rows @ others.T)).of("Max", 0.0)

    distances = apart(x, landmarks)
    size = x.square().sum(1, keepdims=True) + np.square(landmarks).sum(axis=1)
    is_other = distances > 1e-6 * size
    distances = graph.where(is_other, distances, np.inf)
    least = distances.of("ReduceMin", integers(1), keepdims=1)
    is_nearest = distances <= least + 1e-6 * size
    log_nearness = -((1.0 + apart(z, z_landmarks)).of("Log"))

    def log_sum(chosen: Value) -> Value:
        part = graph.where(chosen, log_nearness, -np.inf)
        return part.of("ReduceLogSumExp", integers(1), keepdims=1)

    is_any = graph.cast(is_other, graph.dtype)
    is_any = is_any.of("ReduceMax", integers(1), keepdims=1)
    scores = log_sum(is_nearest) - log_sum(is_other)
    return graph.where(is_any > 0.5, scores, 0.0)


def landmark_latents(module: NeighborMap, inference: Placed | None) -> np.ndarray:
    """Where the rows are by which a map is judged: (l, k)."""
    with torch.no_grad():
        if inference is None:
            return to_array(module.encode(module.landmarks))
        return to_array(inference.latents(module, module.landmarks))
