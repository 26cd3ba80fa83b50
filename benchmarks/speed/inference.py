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
        2,
        hidden_layer_sizes=(300, 300),
        inference="encoder",
        max_iter=1,
        device="cpu",
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


def measure_projections(size: Size) -> Measured:
    """Refined latents of many rows and of one, beside the encoder's and PCA's."""
    n_rows, n_columns = size.projected_shape
    k = 8
    X = make_table(n_rows, n_columns)
    some = X[:2000]  # to learn from
    models = {
        inference: AutoencoderTransformer(
            k, inference=inference, max_iter=5, early_stopping=False, device="cpu"
        ).fit(some)
        for inference in ("encoder", "refined")
    }
    transforms = {name: model.transform for name, model in models.items()}
    transforms["PCA"] = PCA(k).fit(some).transform
    umap = _fitted_umap(some, k)
    rows, targets = [], []
    for dtype in ("float64", "float32"):
        table = X.astype(dtype)
        many = interleaved(
            {name: partial(run, table) for name, run in transforms.items()},
            size.long_repeats,
        ).median()
        one = interleaved(
            {name: partial(run, table[:1]) for name, run in transforms.items()},
            max(1, size.n_calls // 10),
        ).median()
        for name in transforms:
            row = {"what": f"{name}, {dtype}", "us_per_row": 1e6 * many[name] / n_rows}
            rows.append(row | {"one_row_us": 1e6 * one[name]})
        if dtype == "float64":
            seconds, ms = 1e5 * many["refined"] / n_rows, 1e3 * one["refined"]
            what = f"refined, {n_columns} columns, {k} latents, {dtype}"
            targets.append(Target(f"{what}: seconds of 100,000 rows", seconds, 15.0))
            targets.append(Target(f"{what}: ms of one row", ms, 3.0))
    if umap is not None:
        few = X[-len(some) :]  # rows that it knows it would look up
        seconds = interleaved({"umap": partial(umap, few)}, 1).median()["umap"]
        alone = interleaved({"umap": partial(umap, few[:1])}, 3).median()["umap"]
        row = {"what": "UMAP, float32", "us_per_row": 1e6 * seconds / len(few)}
        rows.append(row | {"one_row_us": 1e6 * alone})
    return rows, targets


def _fitted_umap(X: NDArray[Any], n_components: int) -> Run | None:
    """UMAP's transform, where it is installed (the extra `compare`).

    It takes half a minute to be compiled: not where we only see that all runs.
    """
    if len(X) < 1000:
        return None
    try:
        from umap import UMAP
    except ImportError:
        return None
    return UMAP(n_components=n_components, random_state=0, n_jobs=1).fit(X).transform


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
