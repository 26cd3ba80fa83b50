"""Estimators of small rows, which are tables or images of 2 x 2 pixels."""

import matplotlib as mpl
import pytest
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA

from sklearn_ae import DenoisingAutoencoderTransformer, VAETransformer

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


@pytest.fixture
def pca(frame):
    return PCA(2).fit(frame)
