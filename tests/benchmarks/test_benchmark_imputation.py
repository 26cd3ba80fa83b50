"""The benchmark of imputation: which cells are hidden, who is best, what is written."""

import json

import numpy as np
import pandas as pd
import pytest

from benchmarks import imputation


@pytest.fixture(scope="module")
def X():
    rng = np.random.RandomState(0)
    n = 400
    return pd.DataFrame(
        {
            "a": rng.normal(size=n),
            "b": rng.normal(size=n),
            "c": rng.choice(["x", "y", "z"], n),
            "d": rng.normal(size=n),
        }
    )


@pytest.mark.parametrize(("hiding", "share"), [("10 %", 0.1), ("30 %", 0.3)])
def test_cells_are_hidden_by_chance(X, hiding, share):
    hidden = imputation.hide(X, hiding, np.random.RandomState(0))
    assert hidden.to_numpy().mean() == pytest.approx(share, abs=0.03)


def test_cells_are_hidden_by_the_rank_in_another_column(X):
    hidden = imputation.hide(X, "by a column", np.random.RandomState(0))
    shares = hidden.mean()
    assert (shares == 0).sum() == 2  # the columns that tell
    assert shares[shares > 0].to_numpy() == pytest.approx(0.3, abs=0.06)
    seen = [name for name in X if shares[name] == 0]
    for name in X.columns.difference(seen):
        gone = hidden[name]
        gaps = [
            abs(X[other].rank()[gone].mean() - X[other].rank()[~gone].mean())
            for other in seen
            if X[other].dtype.kind == "f"
        ]
        assert max(gaps) > 0.1 * len(X)


def test_draws_are_of_the_model_that_was_measured(X):
    class Knowing:
        """Draws what is true."""

        @property
        def estimator_(self):
            return self

        def impute(self, B, n_draws, random_state):
            return [X.loc[B.index]] * n_draws

    assert imputation.measure_cover(X, "10 %", 0, Knowing()) == {"cover": 1.0}


def test_summary_says_who_is_best_and_who_is_below_the_mean():
    ours, mean = imputation.OURS[0], imputation.MEAN
    rows = [
        {"method": method, "table": table, "rmse": rmse, "right": None}
        for table, errors in {"one": (0.5, 1.0), "two": (1.2, 1.1)}.items()
        for method, rmse in zip((ours, mean), errors, strict=True)
    ]
    frame = pd.DataFrame(rows).assign(hiding="10 %", seed=0, seconds=1.0)
    summary = imputation.summarize(frame)
    assert summary[ours]["n_cells"] == 2
    assert summary[ours]["best"] == 0.5
    assert summary[ours]["worse_than_mean"] == [["two", "10 %", 0, "rmse"]]
    assert summary["seconds"] == {ours: 2.0, mean: 2.0}


def test_a_method_counts_in_the_cells_that_it_was_measured_in():
    ours, drawn, mean = *imputation.OURS, imputation.MEAN
    rows = [
        {"method": ours, "table": "one", "rmse": 0.5},
        {"method": mean, "table": "one", "rmse": 1.0},
        {"method": drawn, "table": "one", "rmse": 2.0},
        {"method": ours, "table": "two", "rmse": 0.5},
        {"method": mean, "table": "two", "rmse": 1.0},
    ]
    frame = pd.DataFrame(rows).assign(right=None, hiding="10 %", seed=0, seconds=1.0)
    summary = imputation.summarize(frame)
    assert [summary[name]["n_cells"] for name in (ours, drawn)] == [2, 1]
    assert [summary[name]["best"] for name in (ours, drawn)] == [1.0, 0.0]


def test_command_measures_prints_and_writes(tmp_path, capsys):
    (tmp_path / "MANIFEST.json").write_text("[]")
    path = tmp_path / "imputation.json"
    methods = [imputation.MEAN, "IterativeImputer"]
    imputation.main(
        ["--data-home", str(tmp_path), "--tables", "iris", "--hidings", "10 %"]
        + ["--methods", *methods, "--no-cover", "--output", str(path)]
    )
    content = json.loads(path.read_text())
    assert [row["method"] for row in content["results"]] == methods
    errors = [row["rmse"] for row in content["results"]]
    assert errors[1] < errors[0]
    assert "Error of numbers" in capsys.readouterr().out


def test_what_was_measured_is_not_measured_again(tmp_path, monkeypatch):
    (tmp_path / "MANIFEST.json").write_text("[]")
    path = tmp_path / "imputation.json"
    command = ["--data-home", str(tmp_path), "--tables", "iris", "--hidings", "10 %"]
    command += ["--methods", imputation.MEAN, "--no-cover", "--output", str(path)]
    imputation.main(command)
    before = json.loads(path.read_text())["results"]
    monkeypatch.setattr(imputation, "measure", None)
    imputation.main([*command, "--resume"])
    assert json.loads(path.read_text())["results"] == before
