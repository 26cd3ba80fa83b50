"""The benchmark of synthetic tables: its measures, its baselines, its command."""

import json

import numpy as np
import pandas as pd
import pytest

from benchmarks import synthetic


def table(n=300, seed=0):
    rng = np.random.RandomState(seed)
    size = rng.normal(size=n)
    kind = np.where(size > 0, "large", "small")
    price = np.exp(size + 0.2 * rng.normal(size=n))
    frame = pd.DataFrame({"size": size, "kind": kind, "price": price})
    frame["kind"] = frame["kind"].mask(rng.uniform(size=n) < 0.1)
    frame["price"] = frame["price"].mask(rng.uniform(size=n) < 0.1)
    return frame


A, B = table(), table(seed=1)


def test_rows_of_the_same_table_can_hardly_be_told_and_their_errors_are_chance():
    assert synthetic.detection(A, B, 0) < 0.65
    assert synthetic.shape_error(A, B) < 0.1
    assert synthetic.trend_error(A, B) < 0.15


def test_what_shuffling_breaks_is_seen():
    apart = synthetic.shuffled(A, len(A), 0)
    assert synthetic.detection(A, apart, 0) > 0.8
    assert synthetic.shape_error(A, apart) < 0.1
    assert synthetic.trend_error(A, apart) > 2 * synthetic.trend_error(A, B)
    useful = [synthetic.usefulness(part, B, "price", 0) for part in (A, apart)]
    assert useful[0] > 0.7
    assert useful[1] < 0.2


def test_copula_keeps_correlations_and_missing_cells():
    drawn = synthetic.copula(A, 500, 0)
    pd.testing.assert_series_equal(drawn.dtypes, A.dtypes)
    assert abs(drawn["kind"].isna().mean() - 0.1) < 0.05
    assert drawn[["size", "price"]].corr(method="spearman").iloc[0, 1] > 0.6


def test_what_is_interpolated_lies_between_rows_that_are_near():
    drawn = synthetic.interpolated(A, 200, 0)
    pd.testing.assert_series_equal(drawn.dtypes, A.dtypes)
    assert drawn["size"].between(A["size"].min(), A["size"].max()).all()
    error = synthetic.trend_error(A, drawn)
    assert error < 0.5 * synthetic.trend_error(A, synthetic.shuffled(A, 200, 0))


def test_published_measures_of_the_training_rows_themselves():
    row = synthetic.published_scores(A, B, A, "price", 0)
    assert row["shapes"] == row["trends"] == 0.0
    assert row["C2ST"] == 1.0
    assert row["closest"] == 1.0


def test_closeness_of_rows_that_no_one_saw_is_one_half():
    row = synthetic.published_scores(A, B, table(seed=2), "price", 0)
    assert abs(row["closest"] - 0.5) < 0.1


def test_copies_are_seen():
    row = synthetic.scores(A, B, A, "price", 0)
    assert row["copies"] == 1.0
    assert row["copies_held_out"] == 0.0
    assert row["closest"] == 0.0


@pytest.mark.filterwarnings("ignore:n_components=:UserWarning")
@pytest.mark.parametrize("method", ["mixture", "PPCA"])
def test_linear_models_draw_tables_of_the_same_columns(method):
    drawn = synthetic.METHODS[method](A, 50, 0)
    pd.testing.assert_series_equal(drawn.dtypes, A.dtypes)


@pytest.mark.parametrize(
    ("protocol", "measure"), [("own", "detection"), ("published", "C2ST")]
)
def test_command_measures_prints_and_writes(tmp_path, capsys, protocol, measure):
    frame = table(200).assign(survived=lambda t: (t["size"] > 0.3).astype(int))
    (tmp_path / "titanic").mkdir()
    frame.to_csv(tmp_path / "titanic" / "all.csv", index=False)
    entry = {"name": "titanic", "files": [{"file": "all.csv"}], "target": "survived"}
    entry |= {"categorical": ["kind"], "drop": []}
    (tmp_path / "MANIFEST.json").write_text(json.dumps([entry]))
    path = tmp_path / "synthetic.json"
    synthetic.main(
        ["--data-home", str(tmp_path), "--tables", "titanic", "--protocol", protocol]
        + ["--methods", "shuffled", "copula", "--output", str(path)]
    )
    content = json.loads(path.read_text())
    methods = [row["method"] for row in content["results"]]
    assert methods == ["real", "shuffled", "copula"]
    assert set(content["summary"][measure]) == set(methods)
    assert measure in capsys.readouterr().out
