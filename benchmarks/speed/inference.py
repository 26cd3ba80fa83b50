"""Rows through a fitted model: many of them, and one."""

from functools import partial
from typing import Any

import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from torch import Tensor, nn

from sklearn_ae import AutoencoderTransformer
from sklearn_ae._tables.rows import block_rows

from .sizes import Size
from .targets import Measured, Target
from .timing import Run, interleaved, make_table, median_ratio


def model_for_inference(X: NDArray[Any]) -> AutoencoderTransformer:
    model = AutoencoderTransformer(
        2, hidden_layer_sizes=(300, 300), max_iter=1, device="cpu"
    )
    return model.fit(X)


def measure_throughput(size: Size) -> Measured:
    """transform and inverse_transform of many rows, beside their matrix products."""
    X = make_table(*size.transform_shape)
    model = model_for_inference(X[:2000])
    Z = model.transform(X)
    module = model.module_
    seconds = interleaved(
        {
            "transform": partial(model.transform, X),
            "its products": inference_products(
                module.encoder, torch.from_numpy(X), block_rows(X.shape[1])
            ),
            "inverse_transform": partial(model.inverse_transform, Z),
            "their products": inference_products(
                module.decoder, torch.from_numpy(Z), block_rows(Z.shape[1])
            ),
        },
        size.repeats,
    )
    rows = []
    shape = "{} x {}".format(*X.shape)
    for method, products in (
        ("transform", "its products"),
        ("inverse_transform", "their products"),
    ):
        row = {"what": f"{method}, {shape}", "ours_s": seconds[method].median()}
        row["products_s"] = seconds[products].median()
        row["speed"] = median_ratio(seconds[products], seconds[method])
        rows.append(row)
    what = f"transform of {shape}: speed, as a share of its products'"
    return rows, [Target(what, rows[0]["speed"], 0.8, at_least=True)]


def measure_one_row(size: Size) -> Measured:
    """Latency of one row, beside PCA's."""
    rows, targets = [], []
    X = make_table(2000, size.transform_shape[1])
    for dtype in ("float32", "float64"):
        row = X[:1].astype(dtype)
        model = model_for_inference(X.astype(dtype))
        pca = PCA(2).fit(X.astype(dtype))
        for method, argument in (
            ("transform", row),
            ("inverse_transform", pca.transform(row)),
        ):
            ours, theirs = getattr(model, method), getattr(pca, method)
            seconds = interleaved(
                {
                    "ours": partial(ours, argument),
                    "pca": partial(theirs, argument),
                },
                size.n_calls,
            ).median()
            ratio = seconds["ours"] / seconds["pca"]
            what = f"{method}, one row of {dtype}"
            result = {"what": what, "ours_us": 1e6 * seconds["ours"]}
            rows.append(result | {"pca_us": 1e6 * seconds["pca"], "ratio": ratio})
            if method == "transform":
                targets.append(Target(f"{what}: over PCA", ratio, 3.0))
    return rows, targets


@torch.no_grad()
def inference_products(network: nn.Module, x: Tensor, block_rows: int) -> Run:
    """The products of a network's linear layers over the rows of x, block by block."""
    layers = [part for part in network.modules() if isinstance(part, nn.Linear)]
    generator = torch.Generator().manual_seed(0)
    inputs = [
        torch.randn(block_rows, layer.in_features, generator=generator)
        for layer in layers
    ]
    outputs = [torch.empty(block_rows, layer.out_features) for layer in layers]
    weights = [layer.weight.detach().t() for layer in layers]
    reads_x = [layer.in_features == x.shape[1] for layer in layers]

    def run() -> None:
        for block in x.split(block_rows):
            n = len(block)
            for a, weight, out, first in zip(
                inputs, weights, outputs, reads_x, strict=True
            ):
                torch.mm(block if first else a[:n], weight, out=out[:n])

    return run
