"""Estimators of small rows, which are tables or images of 2 x 2 pixels."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA

from sklearn_ae import (
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    VAETransformer,
)

mpl.use("Agg")


@pytest.fixture(scope="module")
def frame():
    return load_iris(as_frame=True).data  # four features, and so images of 2 x 2


@pytest.fixture(scope="module")
def vae(frame):
    return VAETransformer(2, max_iter=0).fit(frame)


@pytest.fixture(scope="module")
def dae(frame):
    return DenoisingAutoencoderTransformer(2, max_iter=0).fit(frame)


@pytest.fixture(scope="module")
def mixed(frame):
    """A table of which two columns hold numbers, some of them missing."""
    kinds = pd.Series(["setosa", "other"]).iloc[np.arange(len(frame)) % 2]
    table = frame.iloc[:, :1].assign(kind=kinds.to_numpy(), last=frame.iloc[:, 3])
    table.loc[::7, "last"] = np.nan
    return table


@pytest.fixture(scope="module")
def of_mixed(mixed):
    return AutoencoderTransformer(2, max_iter=0).fit(mixed)


@pytest.fixture
def pca(frame):
    return PCA(2).fit(frame)
