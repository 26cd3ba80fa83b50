import json

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.decomposition import TruncatedSVD
from small_comparisons import TIMES, without

from sklearn_ae import AutoencoderTransformer
from sklearn_ae.comparison import _comparison, compare_reducers


def test_pandas_that_is_not_installed_is_missed_by_the_name_of_the_extra(
    iris, monkeypatch
):
    without(monkeypatch, "pandas")
    with pytest.raises(ImportError, match=r"pip install 'sklearn_ae\[compare\]'"):
        compare_reducers(*iris)


@pytest.mark.parametrize("k", [0, -1, 1.5, True, "2"])
def test_number_of_latents_must_be_a_positive_integer(iris, k):
    with pytest.raises(ValueError, match="n_components must be integers >= 1"):
        compare_reducers(*iris, n_components=[k])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_components": []}, "n_components is empty"),
        ({"reducers": []}, "reducers is empty"),
        ({"scaler": "log"}, r"\['minmax', 'standard'\].*'log'"),
        ({"target_type": "odd"}, "'auto', 'discrete', 'continuous'.*'odd'"),
        ({"n_neighbors": 0}, "n_neighbors must be an integer >= 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(iris, options, message):
    with pytest.raises(ValueError, match=message):
        compare_reducers(*iris, **options)


@pytest.mark.parametrize("missing", [None, np.nan])
def test_missing_targets_are_refused(iris, missing):
    y = iris[1].astype(object)
    y[3] = missing
    with pytest.raises(ValueError, match="y has missing values"):
        compare_reducers(iris[0], y, reducers=["PCA"])


def test_table_has_a_row_per_reducer_and_k(iris):
    reducers = {"PCA": "PCA", "svd": TruncatedSVD(random_state=0)}
    table = compare_reducers(*iris, reducers=reducers, n_components=(1, 3, 1))
    pairs = list(zip(table["n_components"], table["reducer"], strict=True))
    assert pairs == [(1, "PCA"), (1, "svd"), (3, "PCA"), (3, "svd")]


def test_columns_do_not_depend_on_the_data(iris):
    with_y = compare_reducers(*iris, reducers=["PCA"])
    without_y = compare_reducers(iris[0], reducers=["PCA"])
    assert with_y.columns.tolist() == without_y.columns.tolist()


def test_attributes_of_the_table_can_be_written_as_json(iris):
    for y in (iris[1], None):
        table = compare_reducers(iris[0], y, reducers=["PCA"])
        assert json.loads(json.dumps(table.attrs, allow_nan=False)) == table.attrs


def test_comparison_is_repeatable(few):
    reducers = ["PCA", "kernel PCA", "t-SNE"]
    first = compare_reducers(*few, reducers=reducers, random_state=3)
    second = compare_reducers(*few, reducers=reducers, random_state=3)
    pd.testing.assert_frame_equal(first.drop(columns=TIMES), second.drop(columns=TIMES))


def test_random_state_may_be_a_generator_of_numpy(iris):
    tables = [
        compare_reducers(
            *iris, reducers=["PCA"], random_state=np.random.RandomState(seed)
        )
        for seed in (0, 0, 1)
    ]
    errors = [table.loc[0, "reconstruction_error"] for table in tables]
    assert errors[0] == errors[1] != errors[2]


def test_global_generators_are_left_alone(few):
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002 - to see it unused
    torch_state = torch.get_rng_state()
    reducers = {
        "AE": AutoencoderTransformer(max_iter=1),
        "t-SNE": "t-SNE",
        "kernel PCA": "kernel PCA",
    }
    compare_reducers(*few, reducers=reducers)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_state)


def test_progress_is_shown_on_the_error_stream(iris, capsys):
    compare_reducers(*iris, reducers=["PCA"], n_components=(1, 2), verbose=1)
    out, err = capsys.readouterr()
    assert out == ""
    assert "PCA, k=2" in err
    assert "2/2" in err


def test_silence_is_the_default(iris, capsys):
    compare_reducers(*iris, reducers=["PCA"])
    assert capsys.readouterr() == ("", "")


def test_without_a_seed_numpys_generator_is_left_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - to see it unused
    assert len({_comparison._as_seed(None) for _ in range(5)}) == 5
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002
