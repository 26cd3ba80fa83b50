"""The benchmark of maps: splits, measures, and the file of results."""

import json

import numpy as np
import pytest
from sklearn.decomposition import PCA

from benchmarks import maps


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 4)), np.arange(80) % 2
    X[y == 1] += 6
    return maps.split("blobs", X, y, max_rows=50)


def test_columns_have_unit_variance_and_training_rows_a_limit(rows):
    assert rows.X_train.shape == (50, 4)
    assert rows.X_test.shape == (20, 4)
    assert np.abs(rows.X_train.std(axis=0) - 1).max() < 1e-5


def test_pixels_keep_their_unit():
    X = np.random.default_rng(0).integers(0, 17, size=(900, 4))
    X[0] = 16
    rows = maps.split("digits", X, np.arange(900) % 2, None)
    assert len(rows.X_test) == 450
    assert 0 <= rows.X_train.min() < rows.X_train.max() <= 1


def test_the_rows_themselves_recall_all(rows):
    assert maps.recall(rows, rows.X_train, rows.X_test) == 1.0


def test_measures_of_a_plain_map(rows):
    method = maps.Method(lambda X, shape: PCA(2), "PCA")
    result = maps.measure(method, rows, None)
    assert result["knn_accuracy"] == 1.0
    assert 0.7 < result["trustworthiness"] < 1
    assert "squared_error" not in result


def test_a_file_has_all_methods_and_what_failed(rows, monkeypatch, tmp_path):
    def fail(X, shape):
        raise RuntimeError("no map")

    methods = {
        "map": maps.Method(lambda X, shape: PCA(2), "PCA"),
        "umap": maps.Method(fail, "UMAP"),
    }
    monkeypatch.setattr(maps, "METHODS", methods)
    monkeypatch.setattr(maps, "read", lambda *args: [("blobs", rows)])
    path = tmp_path / "maps.json"
    maps.main(["--output", str(path)])
    content = json.loads(path.read_text(encoding="utf-8"))
    found, failed = content["results"]
    assert found["knn_accuracy"] == 1.0
    assert failed["failure"] == "RuntimeError: no map"
    assert content["summary"] == {"tables": [], "means": {}}  # of all methods


def test_time_and_memory_of_generated_rows_are_noted_by_length(
    monkeypatch, tmp_path, capsys
):
    found = {"fit_seconds": 2.0, "bytes_per_neighbor": 50.0}
    monkeypatch.setattr(maps, "in_new_process", lambda function, *args: found)
    path = tmp_path / "maps.json"
    maps.main(["--lengths", "1024", "--methods", "map", "--output", str(path)])
    (row,) = json.loads(path.read_text(encoding="utf-8"))["results"]
    assert (row["set"], row["n_train"]) == ("1024 generated rows", 1024)
    assert "1.953e+05" in capsys.readouterr().out  # 2e9 / (1024 * 10)


def test_generated_rows_lie_in_50_columns_around_20_centres():
    X = maps.generate(100)
    assert X.shape == (100, 50)
    assert np.abs(X).max() <= 1.0
