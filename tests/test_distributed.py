"""Tables in Dask: fits on the workers of a cluster, and what is lazy afterwards."""

import re
from importlib.util import find_spec
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ae import AutoencoderTransformer
from sklearn_ae._utils import extras
from sklearn_ae.distributed import fit, transform

pytestmark = pytest.mark.skipif(
    find_spec("distributed") is None, reason="needs the extra distributed"
)


def table(n_rows):
    random_state = np.random.RandomState(0)
    t = random_state.randn(n_rows, 2)
    X = np.stack([t[:, 0], t[:, 1], t[:, 0] * t[:, 1]], axis=1)
    return pd.DataFrame(X + 0.05 * random_state.randn(n_rows, 3), columns=list("abc"))


def linear():
    return AutoencoderTransformer(2, max_iter=0, inference="encoder")


@pytest.fixture(scope="module")
def fitted():
    return linear().fit(table(100).to_numpy())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Parquet dataset of 10,000 rows in four files."""
    path = tmp_path_factory.mktemp("distributed")
    (path / "table").mkdir()
    for i, part in enumerate(np.array_split(np.arange(10_000), 4)):
        table(10_000).iloc[part].to_parquet(path / "table" / f"{i}.parquet")
    return path


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    distributed = pytest.importorskip("distributed")
    dask = pytest.importorskip("dask")
    # Workers are forked from one process, which imports for both.
    method = {"distributed.worker.multiprocessing-method": "forkserver"}
    with dask.config.set(method):
        context = distributed.utils.get_mp_context()
        context.set_forkserver_preload(["distributed", "sklearn_ae"])
        cluster = distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=None,
            local_directory=str(tmp_path_factory.mktemp("workers")),
        )
        with cluster, distributed.Client(cluster) as client:
            yield client


def test_fit_from_parquet_is_that_of_one_process(client, folder):
    estimator = linear()
    assert fit(estimator, folder / "table", client=client) is estimator
    X = table(10_000)
    alone = linear().fit(X)
    np.testing.assert_allclose(
        estimator.transform(X), alone.transform(X), rtol=1e-5, atol=1e-5
    )
    transform(estimator, folder / "table").to_parquet(folder / "latents")
    Z = pd.read_parquet(folder / "latents")
    np.testing.assert_array_equal(Z, estimator.transform(X))
    assert list(Z.columns) == list(estimator.get_feature_names_out())


def test_error_of_a_worker_comes_back(client):
    da = pytest.importorskip("dask.array")
    X = da.from_array(np.full((20, 3), np.inf), chunks=(10, 3))
    with pytest.raises((ValueError, RuntimeError), match="Input X contains infinity"):
        fit(AutoencoderTransformer(2), X, client=client)


def test_fit_without_client_is_refused(folder, monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(distributed, "get_client", Mock(side_effect=ValueError))
    with pytest.raises(ValueError, match=re.escape("make a dask.distributed.Client")):
        fit(AutoencoderTransformer(2), folder / "table")


def test_targets_are_cut_as_the_rows_are():
    da = pytest.importorskip("dask.array")
    X, y = da.zeros((20, 3), chunks=(10, 3)), da.zeros(20, chunks=5)
    with pytest.raises(ValueError, match="y has 4 partitions and X has 2"):
        fit(AutoencoderTransformer(2), X, y, client=object())


@pytest.mark.parametrize("method", ["transform", "score_samples", "reconstruct"])
def test_what_is_asked_of_arrays_is_lazy(fitted, method):
    da = pytest.importorskip("dask.array")
    X = table(50).to_numpy()
    lazy = transform(fitted, da.from_array(X, chunks=(20, 2)), method=method)
    expected = getattr(fitted, method)(X)
    assert isinstance(lazy, da.Array)
    assert lazy.shape == expected.shape
    np.testing.assert_allclose(lazy.compute(), expected, rtol=1e-6)


@pytest.mark.parametrize("method", ["score_samples", "reconstruct"])
def test_what_is_asked_of_frames_keeps_their_index(method):
    dd = pytest.importorskip("dask.dataframe")
    X = table(50)
    X.index += 7
    fitted = linear().fit(X)
    answer = transform(fitted, dd.from_pandas(X, npartitions=3), method=method)
    answer = answer.compute()
    assert list(answer.index) == list(X.index)
    np.testing.assert_allclose(answer, getattr(fitted, method)(X), rtol=1e-6)


def test_other_tables_are_refused(fitted):
    with pytest.raises(TypeError, match="X must be a Dask array or data frame"):
        transform(fitted, table(10))


def test_unknown_method_lists_the_known(fitted):
    with pytest.raises(ValueError, match=r"method must be one of \['transform'"):
        transform(fitted, None, method="fit")


def test_unfitted_estimator_is_refused():
    with pytest.raises(NotFittedError):
        transform(AutoencoderTransformer(2), None)


def test_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setattr(extras, "has_extra", lambda module: False)
    with pytest.raises(ImportError, match=re.escape("sklearn_ae[distributed]")):
        fit(AutoencoderTransformer(2), None)


def test_pipelines_are_refused():
    with pytest.raises(TypeError, match="takes an estimator of sklearn_ae itself"):
        fit(make_pipeline(StandardScaler(), linear()), table(10))
