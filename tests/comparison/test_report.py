import json

import numpy as np
import pandas as pd
import pytest

from sklearn_ae.comparison._report import (
    _rate,
    format_best,
    format_columns,
    format_legend,
    format_table,
    to_json,
)
from sklearn_ae.comparison._scores import Result


def make_table(*rows, **settings):
    """A table as `compare_reducers` returns it, of what these rows tell."""
    table = pd.DataFrame([vars(Result(**row)) for row in rows])
    table.attrs = {
        "n_neighbors": 5,
        "neighborhood_rows": 40,
        "n_scaled_columns": 4,
        "knn_all_columns": 0.9,
        **settings,
    }
    return table


def scored(reducer, k, mse, **more):
    scores = {
        "reconstruction_error": mse,
        "error_ratio_to_pca": mse / 0.5,
        "explained_variance": 1 - mse,
        "knn_accuracy": 0.5,
        "trustworthiness": 0.75,
        "continuity": 0.8,
        "fit_seconds": 123.456,
        "transform_rows_per_second": 1.5e6,
        "has_transform": True,
        "has_inverse_transform": True,
    }
    return {"reducer": reducer, "n_components": k, **scores, **more}


def test_every_row_is_one_line():
    table = make_table(scored("PCA", 2, 0.5), scored("AE", 2, 0.25))
    (line,) = [li for li in format_table(table).splitlines() if li.startswith("AE")]
    cells = " ".join(line.split())
    assert cells == "AE 0.25 0.500 0.750 0.500 0.750 0.800 123.46 1.5M yes yes"


def test_text_fits_100_columns_whatever_it_holds():
    long = {
        "note": "a rather long note " * 9,
        "error": "x" * 300,
        "warnings": "w " * 99,
    }
    table = make_table(
        scored("name of my own that never ends", 128, 123456.789, **long),
        scored("PCA", 128, 1e-9, fit_seconds=12345.678),
    )
    for text in (format_table(table), format_legend(table), format_best(table)):
        assert max(map(len, text.splitlines())) <= 100


def test_numbers_of_latents_are_blocks_in_their_order():
    table = make_table(scored("PCA", 8, 0.5), scored("PCA", 1, 0.5))
    text = format_table(table)
    assert 0 < text.index("8 latents") < text.index("1 latent ")


def test_what_does_not_apply_is_a_dash():
    table = make_table(
        scored("PCA", 2, 0.5),
        {"reducer": "t-SNE", "n_components": 2, "continuity": 1.0},
    )
    (line,) = [li for li in format_table(table).splitlines() if li.startswith("t-SNE")]
    assert " ".join(line.split()) == "t-SNE - - - - - 1.000 - - no no"


def test_columns_that_apply_to_no_row_are_left_out():
    text = format_table(make_table(scored("PCA", 2, 0.5, knn_accuracy=np.nan)))
    assert "k-NN" not in text


def test_equal_remarks_are_told_once():
    remark = {"note": "slow", "warnings": "UserWarning: hot", "error": "fit: E: no"}
    table = make_table(scored("a", 2, 0.5, **remark), scored("b", 2, 0.5, note="slow"))
    lines = format_table(table).splitlines()
    assert lines[-3:] == [
        "[1] slow",
        "[2] warned: UserWarning: hot",
        "[3] failed, fit: E: no",
    ]
    assert lines[3].startswith("a [1][2][3]")
    assert lines[4].startswith("b [1] ")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.4, "0"),
        (85, "85"),
        (1234, "1.2k"),
        (9990, "10k"),
        (2.5e6, "2.5M"),
        (4e9, "4.0G"),
    ],
)
def test_rates_are_short(value, text):
    assert _rate(value) == text


def test_best_reducers_are_named_for_every_k():
    table = make_table(
        scored("PCA", 2, 0.5, knn_accuracy=0.9),
        scored("AE", 2, 0.4),
        scored("PCA", 8, 0.5),
        scored("AE", 8, 0.6, knn_accuracy=0.7),
    )
    assert format_best(table).splitlines() == [
        "2 latents: lowest error AE (0.800 of PCA's); best k-NN PCA (0.900)",
        "8 latents: lowest error PCA; best k-NN AE (0.700)",
    ]


def test_one_reducer_is_not_called_the_best():
    assert format_best(make_table(scored("PCA", 2, 0.5))) == ""


def test_legend_gives_the_score_of_all_columns():
    legend = format_legend(make_table(scored("PCA", 2, 0.5)))
    assert "with all 4 columns: 0.900" in " ".join(legend.split())


def test_long_lists_of_columns_are_cut():
    names = ["a", "b", "c", "d"]
    lines = format_columns({"numbers": names, "dropped": names}, 2, 3)
    assert lines == ["  - numbers: a, b and 2 more", "  - dropped: a, b, c and 1 more"]


def test_json_holds_null_for_what_does_not_apply():
    table = make_table(
        {"reducer": "t-SNE", "n_components": np.int64(2), "fit_seconds": np.inf}
    )
    document = json.loads(to_json(table, version="1"))
    assert document["settings"] == {**table.attrs, "version": "1"}
    (row,) = document["rows"]
    assert list(row) == table.columns.tolist()
    assert row["n_components"] == 2
    assert row["knn_r2"] is None
    assert row["fit_seconds"] is None
    assert row["has_transform"] is False
