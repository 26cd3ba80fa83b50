"""What processes that torchrun starts do for `test_several.py`; results in a file."""

import contextlib
import os
import pickle
import sys
import warnings
from datetime import timedelta
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
import torch.distributed as dist
from sklearn.neighbors import kneighbors_graph
from torch import nn
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import elastic_launch
from torch.distributed.run import config_from_args, parse_args

from sklearn_ae import (
    AutoencoderDetector,
    AutoencoderTransformer,
    EncoderDecoderRegressor,
    FaceSwapper,
    NeighborMapTransformer,
    VAETransformer,
)
from sklearn_ae.__main__ import main as command
from sklearn_ae._estimators import several
from sklearn_ae._tables import loading, rows
from sklearn_ae._training import checkpoints, recipe
from sklearn_ae._training.checkpoints import CheckpointFile
from sklearn_ae._utils import processes
from sklearn_ae.distributed import alone

N_LONG = 2000
COPIES = np.arange(200) % 3
FRACTIONS = np.linspace(0.5, 2.5, N_LONG)


def share_from_n_long(setattr=setattr):
    """Let processes share tables that are a fifth as long as those they would."""
    for module in (recipe, several):
        setattr(module, "LONG_TABLE", N_LONG)


def table(n_rows=N_LONG):
    random_state = np.random.RandomState(0)
    t = random_state.randn(n_rows, 2)
    columns = [t[:, 0], t[:, 1], t[:, 0] * t[:, 1], np.sin(t[:, 0])]
    return np.stack(columns, axis=1) + 0.05 * random_state.randn(n_rows, 4)


def mixed_table():
    X = table(300)
    names = np.array(["few", "half", "some", "most"])[(np.arange(300) // 100) % 4]
    names[250:] = "most"
    return pd.DataFrame({"a": X[:, 0], "b": X[:, 2], "name": names})


def with_missing(X):
    X = X.copy()
    X[::7, 1] = np.nan
    return X


def quick(n_components=2, **changes):
    options = {"max_iter": 1, "inference": "encoder", "batch_size": 200, **changes}
    return AutoencoderTransformer(n_components, **options)


def own_linear():
    return quick(encoder=nn.Linear(4, 2), decoder=nn.Linear(2, 4))


def full_batch():
    """One batch of all rows that are trained on, of which the order is no matter."""
    return quick(max_iter=3, batch_size=N_LONG, init="random", hidden_layer_sizes=(8,))


def batches():
    """Where gradients are not about zero, rounding does not matter."""
    return quick(init="random", hidden_layer_sizes=(8,))


def detector():
    return AutoencoderDetector(quick(max_iter=0))


def map_of_neighbors():
    return NeighborMapTransformer(2, max_iter=1, hidden_layer_sizes=(4,))


def map_of_graph():
    return map_of_neighbors().set_params(metric="precomputed")


def with_maps(max_iter=0):
    options = {"max_iter": max_iter, "batch_size": 200, "hidden_layer_sizes": (8,)}
    return VAETransformer(2, column_maps="quantile", **options)


def table_with_holes():
    """Values that repeat, and a pattern of missing cells that only one process has."""
    frame = mixed_table().round({"b": 0})
    frame.loc[200:, "a"] = None
    return frame


def faces():
    """Discs in places of their own, bright ones and dark ones."""
    random_state = np.random.RandomState(0)
    h, w = np.mgrid[:16, :16]
    centers = random_state.uniform(5, 10, size=(20, 2, 1, 1))
    disc = (h - centers[:, 0]) ** 2 + (w - centers[:, 1]) ** 2 < 12
    signs = np.where(np.arange(20) % 2, 0.4, -0.4)
    return 0.5 + signs[:, None, None] * disc, np.array(["dark", "bright"] * 10)


def swapper(**changes):
    """Faces are neither moved nor recoloured: nothing is drawn but their order."""
    still = ("rotation_range", "zoom_range", "shift_range", "flip_probability")
    still = dict.fromkeys([*still, "warp", "deform", "color_jitter"], 0.0)
    options = {"width": 4, "n_eigenfaces": 8, "batch_size": 5, "precision": "float32"}
    return FaceSwapper(**{"max_iter": 1, **still, **options, **changes})


def with_conditions():
    return VAETransformer(1, condition_columns=[3], max_iter=0, inference="encoder")


def begun_again(X, path, rank):
    """What a fit says that nothing disturbs, and one whose second process failed."""
    vae = VAETransformer(2, max_iter=2, batch_size=200, inference="encoder")
    undisturbed = said(lambda: vae.fit(X))
    file, write, n_writings = f"{path}/fit.checkpoint", CheckpointFile.write, 0

    def failing_write(self):
        nonlocal n_writings
        write(self)
        n_writings += 1
        if rank == 1 and n_writings == 3:
            raise RuntimeError("It has failed.")

    times = {"SECONDS_BETWEEN": 0.0, "COST_BETWEEN": 0.0, "_STEPS_BETWEEN": 4}
    vae.set_params(checkpoint=file)
    with patch.multiple(checkpoints, **times):
        with patch.object(CheckpointFile, "write", failing_write):
            assert "It has failed" in said(lambda: vae.fit(X))
        return np.stack([undisturbed, said(lambda: vae.fit(X))])


def learn_more(swapper, rank):
    """Faces held out; then a pass, in which one process has none, and an identity."""
    X, y = faces()
    swapper.set_params(early_stopping=True, max_iter=2)
    swapper.fit(cut(X, rank), cut(y, rank))
    none = slice(0 if rank else None)
    swapper.partial_fit(X[none], y[none])
    return swapper.add_identity(1.0 - cut(X, rank), "other", max_iter=1).transform(X)


def fit_command(path, name="table"):
    files = f"{path}/table.csv", "--model", f"{path}/{name}.model"
    return ["fit", *files, "--max-iter", "1", "--set", "hidden_layer_sizes=4,"]


class Ending(nn.Linear):
    """A layer that ends the second process in a training."""

    def forward(self, x):
        if self.training and dist.get_rank() == 1:
            os._exit(0)  # with another code torchrun would end the first as well
        return super().forward(x)


def cut(X, rank, share=0.4):
    n_first = int(share * X.shape[0])
    return X[:n_first] if rank == 0 else X[n_first:]


def said(fit):
    """What an estimator says of some rows after its fit, or the error's words."""
    X = table(50)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = fit()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if isinstance(fitted, np.ndarray | int):
        return fitted
    if isinstance(fitted, EncoderDecoderRegressor):
        return fitted.predict(X[:, :3])
    if isinstance(fitted, AutoencoderDetector):
        # Shares are summed by process: axes of latents differ in their last digits.
        return np.array(fitted.offset_).round(10)
    if isinstance(fitted, VAETransformer) and fitted.condition_columns is not None:
        return fitted.score_samples(X)
    if getattr(fitted, "_kinds", None) is not None:
        return fitted.transform(mixed_table()), repr(fitted.columns_)
    return fitted.transform(X)


def results(rank, path):
    X = table()
    own, short = cut(X, rank), cut(X[:200], rank)
    no_rows = X if rank == 0 else X[:0]
    mixed = mixed_table()
    labels = cut(np.repeat([0, 1, 2, 3], 50), rank)
    own_faces = [cut(part, rank) for part in faces()]
    yield "trained", lambda: quick(max_iter=2).fit(own)
    yield "full batch", lambda: full_batch().fit(own)
    yield "start", lambda: quick(max_iter=0).fit(own)
    yield "short", lambda: quick(max_iter=2, batch_size=50).fit(short)
    yield "one has none", lambda: quick(max_iter=0).fit(no_rows)
    yield "trained by one", lambda: quick().fit(no_rows)
    yield "missing", lambda: quick().fit(with_missing(own))
    yield "mixed", lambda: quick(max_iter=0).fit(cut(mixed, rank))
    yield (
        "mixed, one has none",
        lambda: quick(max_iter=0).fit(mixed if rank == 0 else mixed[:0]),
    )
    yield "vae", lambda: VAETransformer(2, max_iter=1, batch_size=200).fit(own)
    yield (
        "conditional",
        lambda: (
            VAETransformer(1, conditional=True, max_iter=1, batch_size=100)
            .fit(short, labels)
            .transform(X[:50], np.arange(50) % 4)
        ),
    )
    yield (
        "regressor",
        lambda: EncoderDecoderRegressor(2, max_iter=1, batch_size=200).fit(
            own[:, :3], own[:, 3]
        ),
    )
    yield "parts", lambda: quick().partial_fit(own[:100]).partial_fit(own[100:200])
    yield "own networks", lambda: own_linear().fit(own)
    yield "no seed", lambda: quick(random_state=None).fit(own)
    few_shares = cut(FRACTIONS[:200], rank)
    yield "detector", lambda: detector().fit(short, sample_weight=few_shares)
    yield "batches", lambda: batches().fit(own)
    shares, copies = cut(FRACTIONS, rank), cut(COPIES, rank)
    yield "weights", lambda: quick(max_iter=0).fit(own, sample_weight=shares)
    yield "weighted batches", lambda: batches().fit(own, sample_weight=shares)
    yield "copies", lambda: quick(max_iter=0).fit(short, sample_weight=copies)
    yield "map", lambda: map_of_neighbors().fit(short)
    graph = cut(kneighbors_graph(X[:200], 5), rank)
    yield "map of a graph", lambda: map_of_graph().fit(short, graph=graph)
    yield "condition columns", lambda: with_conditions().fit(own)
    yield "maps", lambda: with_maps().fit(own).transform(X[:50])
    yield "trained with maps", lambda: with_maps(1).fit(own).transform(X[:50])
    holes = table_with_holes()
    yield (
        "maps of a mixed table",
        lambda: with_maps(1).fit(cut(holes, rank)).transform(holes),
    )
    yield "faces", lambda: swapper().fit(*own_faces).transform(faces()[0])
    yield "more faces", lambda: learn_more(swapper(adversarial_weight=0.1), rank)
    yield "number for short", lambda: quick(0.9, max_iter=1).fit(short)
    yield "checkpoint", lambda: begun_again(own, path, rank)
    yield "command", lambda: command(fit_command(path))

    def streamed():
        loading.RESIDENT_SIZE = rows.RESIDENT_SIZE = 1600
        return quick().fit(own)

    yield "streamed", streamed
    loading.RESIDENT_SIZE = rows.RESIDENT_SIZE = 2**24
    yield "diverged", lambda: quick(learning_rate_init=1e6).fit(own)
    yield "columns", lambda: quick().fit(own[:, : 4 - rank])
    frames = pd.DataFrame(own[:100], columns=["a", "b", "c", "d"])
    others = frames.rename(columns={"d": "e"}) if rank else frames
    yield "names", lambda: quick().fit(others)
    turned = frames[["b", "a", "c", "d"]] if rank else frames
    yield "order", lambda: quick().fit(turned)
    yield "types", lambda: quick().fit(frames.astype({"b": f"float{64 - 32 * rank}"}))
    yield "dtypes", lambda: quick().fit(own.astype(f"float{64 - 32 * rank}"))
    yield "parameters", lambda: quick(2 + rank).fit(own)
    yield "seeds", lambda: quick(random_state=rank).fit(own)
    yield (
        "generator",
        lambda: quick(random_state=np.random.RandomState(0)).fit(own),
    )
    yield "nobody", lambda: quick().fit(own[:0])
    yield "callbacks", lambda: quick(callbacks=[_callback()]).fit(own)
    in_one = shares if rank else None
    yield "weights in one", lambda: quick().fit(own, sample_weight=in_one)
    yield "number of latents", lambda: quick("auto").fit(own)
    yield "few faces in a step", lambda: swapper(batch_size=1).fit(*own_faces)
    yield (
        "small faces",
        lambda: swapper().fit(own_faces[0][:, : 16 - 8 * rank], own_faces[1]),
    )
    yield "faces and callbacks", lambda: swapper(callbacks=[print]).fit(*own_faces)
    yield "infinite", lambda: quick().fit(own if rank == 0 else own * np.inf)
    yield "wrong in one", lambda: quick(2 if rank == 0 else -1).fit(own)

    def by_itself():
        with alone():
            return quick(max_iter=0).fit(own)

    yield "alone", by_itself
    processes._PATIENCE = 1.0
    dying = quick(encoder=Ending(4, 2), decoder=nn.Linear(2, 4))
    yield "dying", lambda: dying.fit(own)


def _callback():
    from skorch.callbacks import EpochTimer

    return EpochTimer()


def main(path):
    rank = int(os.environ["RANK"])
    share_from_n_long()
    torch.set_num_threads(1)
    dist.init_process_group("gloo", timeout=timedelta(seconds=60))
    found = {}
    for name, fit in results(rank, path):
        if name == "dying" or rank == 1:  # the second does not come back from the last
            with open(f"{path}/{rank}", "wb") as file:
                pickle.dump(found, file)
        found[name] = said(fit)
    with open(f"{path}/{rank}", "wb") as file:
        pickle.dump(found, file)
    os._exit(1)  # torchrun would wait for the other


TORCHRUN = [
    *("--nproc-per-node", "2", "--rdzv-backend", "c10d"),
    *("--rdzv-endpoint", "localhost:0"),  # any port that is free
    # One import is enough for both.
    *("--start-method", "fork", "main"),
]

if __name__ == "__main__":
    config, _, _ = config_from_args(parse_args(TORCHRUN))
    with contextlib.suppress(ChildFailedError):
        elastic_launch(config, main)(sys.argv[1])
