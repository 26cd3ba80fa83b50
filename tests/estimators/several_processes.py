"""The program that processes of a group run in `test_several.py`; results in a file."""

import os
import pickle
import sys
import warnings
from datetime import timedelta

import numpy as np
import pandas as pd
import torch
import torch.distributed as dist
from torch import nn

from sklearn_ae import (
    AutoencoderDetector,
    AutoencoderTransformer,
    EncoderDecoderRegressor,
    NeighborMapTransformer,
    VAETransformer,
)
from sklearn_ae._tables import loading, rows
from sklearn_ae._utils import processes
from sklearn_ae.distributed import alone

N_LONG = 10_000


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
    options = {"max_iter": 1, "inference": "encoder", "batch_size": 1000, **changes}
    return AutoencoderTransformer(n_components, **options)


def own_linear():
    return quick(encoder=nn.Linear(4, 2), decoder=nn.Linear(2, 4))


def full_batch():
    """One batch of all rows that are trained on, of which the order is no matter."""
    return quick(max_iter=3, batch_size=N_LONG, init="random", hidden_layer_sizes=(8,))


class Ending(nn.Linear):
    """A layer that ends the second process in a training."""

    def forward(self, x):
        if self.training and dist.get_rank() == 1:
            os._exit(1)
        return super().forward(x)


def cut(X, rank, share=0.4):
    n_first = int(share * len(X))
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
    if isinstance(fitted, np.ndarray):
        return fitted
    if isinstance(fitted, EncoderDecoderRegressor):
        return fitted.predict(X[:, :3])
    if isinstance(fitted, AutoencoderDetector):
        return fitted.offset_
    if getattr(fitted, "_kinds", None) is not None:
        return fitted.transform(mixed_table()), repr(fitted.columns_)
    return fitted.transform(X)


def results(rank):
    X = table()
    own, short = cut(X, rank), cut(X[:200], rank)
    no_rows = X if rank == 0 else X[:0]
    mixed = mixed_table()
    labels = cut(np.repeat([0, 1, 2, 3], 50), rank)
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
    yield "vae", lambda: VAETransformer(2, max_iter=1, batch_size=1000).fit(own)
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
        lambda: EncoderDecoderRegressor(2, max_iter=1, batch_size=1000).fit(
            own[:, :3], own[:, 3]
        ),
    )
    yield "parts", lambda: quick().partial_fit(own[:100]).partial_fit(own[100:200])
    yield "own networks", lambda: own_linear().fit(own)
    yield "no seed", lambda: quick(random_state=None).fit(own)
    yield "detector", lambda: AutoencoderDetector(quick(max_iter=0)).fit(short)

    def streamed():
        loading.RESIDENT_SIZE = rows.RESIDENT_SIZE = 8000
        return quick().fit(own)

    yield "streamed", streamed
    loading.RESIDENT_SIZE = rows.RESIDENT_SIZE = 2**24
    yield "diverged", lambda: quick(learning_rate_init=1e6).fit(own)
    yield "columns", lambda: quick().fit(own[:, : 4 - rank])
    frames = pd.DataFrame(own[:100], columns=["a", "b", "c", "d"])
    others = frames.rename(columns={"d": "e"}) if rank else frames
    yield "names", lambda: quick().fit(others)
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
    yield "checkpoint", lambda: quick(checkpoint="nowhere").fit(own)
    yield "weights", lambda: quick().fit(own, sample_weight=np.ones(len(own)))
    yield "number of latents", lambda: quick("auto").fit(own)
    yield "map", lambda: NeighborMapTransformer(2, max_iter=0).fit(short)
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


def main(rank, path):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{path}/store",
        rank=rank,
        world_size=2,
        timeout=timedelta(seconds=60),
    )
    found = {}
    for name, fit in results(rank):
        if name == "dying" or rank == 1:  # the second does not come back from the last
            with open(f"{path}/{rank}", "wb") as file:
                pickle.dump(found, file)
        found[name] = said(fit)
    with open(f"{path}/{rank}", "wb") as file:
        pickle.dump(found, file)


if __name__ == "__main__":
    # One import is enough for both; no thread has been started yet.
    main(rank=0 if os.fork() else 1, path=sys.argv[1])
