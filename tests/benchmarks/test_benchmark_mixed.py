"""The benchmark of mixed tables: what it reads, counts, measures and prints."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA

from benchmarks import mixed
from benchmarks.datasets import read_mixed


@pytest.fixture
def folder(tmp_path):
    """A folder of data sets with a table called titanic."""
    rng = np.random.RandomState(0)
    age = rng.normal(40, 10, 120).round()
    frame = pd.DataFrame(
        {
            "age": np.where(rng.uniform(size=120) < 0.1, np.nan, age),
            "class": np.where(age > 40, "1", "2"),
            "port": rng.choice(["S", "C", "Q"], 120),
            "cabin": [f"C{i}" for i in range(120)],
            "survived": (age > 45).astype(int),
        }
    )
    (tmp_path / "titanic").mkdir()
    frame.to_csv(tmp_path / "titanic" / "all.csv", index=False)
    entry = {
        "name": "titanic",
        "files": [{"file": "all.csv"}],
        "target": "survived",
        "categorical": ["class", "port", "cabin"],
        "drop": [],
    }
    (tmp_path / "MANIFEST.json").write_text(json.dumps([entry]))
    return tmp_path


def test_categories_that_look_like_numbers_are_text(folder):
    X, y = read_mixed(folder, "titanic")
    assert list(X) == ["age", "class", "port", "cabin"]
    assert set(X["class"]) == {"1", "2"}
    assert X["age"].isna().any()
    assert y.name == "survived"


def test_unknown_table_is_named(folder):
    with pytest.raises(ValueError, match="no data set 'iris', only titanic"):
        read_mixed(folder, "iris")


def test_scores_are_of_the_cells_that_are_asked_for():
    truth = pd.DataFrame({"n": [0.0, 2.0, 4.0], "c": ["a", "b", "a"]})
    made = pd.DataFrame({"n": [9.0, 3.0, 4.0], "c": ["b", "b", "b"]})
    cells = pd.DataFrame({"n": [False, True, False], "c": [False, True, True]})
    found = mixed.scores(truth, made, cells, truth)
    assert found == {"right": 0.5, "rmse": 1.0 / truth["n"].std()}


def test_columns_are_compared_one_by_one():
    errors = {
        "ours": {"a": 0.1, "b": 0.5},
        "famd": {"a": 0.1, "b": 0.6},
        "lecture": {"a": 0.2, "b": 0.4},
    }
    found = mixed.best_columns(pd.DataFrame({"errors": [errors]}))
    assert found == {
        "n_columns": 2,
        "best": 0.5,
        "beside": {"famd": 1.0, "lecture": 0.5},
    }


@pytest.mark.filterwarnings("ignore:n_components=:UserWarning")
def test_command_measures_prints_and_writes(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(mixed, "OTHERS", {"pca": lambda k, seed: PCA(k)})
    path = tmp_path / "mixed.json"
    mixed.main(
        ["--data-home", str(folder), "--tables", "titanic", "--sizes", "2"]
        + ["--columns", "--output", str(path)]
    )
    content = json.loads(path.read_text())
    (kept,) = content["results"]
    assert content["summary"]["n_cells"] == 1
    assert kept["ratio"] == kept["ours"] / kept["famd"] < 1
    assert 0.5 < kept["accuracy_ours"] <= 1
    assert set(content["summary"]["accuracy"]) == {"ours", "famd", "pca"}
    assert set(kept["errors"]) == {"ours", "famd", "pca"}
    assert set(kept["errors"]["pca"]) == {"age", "class", "port"}
    printed = capsys.readouterr().out
    assert "median" in printed
    assert "best or equal in" in printed
