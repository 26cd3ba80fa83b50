"""Measures of synthetic tables, against their definitions."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

from benchmarks import _sdmetrics as sdmetrics

rng = np.random.RandomState(0)
REAL = pd.DataFrame({"a": rng.normal(size=200), "b": rng.normal(size=200)})
REAL["kind"] = np.where(REAL["a"] > 0, "large", "small")


def test_shapes_of_numbers_are_distances_of_distribution_functions():
    made = REAL.assign(a=REAL["a"] + 0.5)
    distance = ks_2samp(REAL["a"], made["a"]).statistic
    assert sdmetrics.shape_error(REAL, made) == pytest.approx(distance / 3)


def test_shapes_of_categories_are_total_variation():
    made = REAL.assign(kind="small")
    share = (REAL["kind"] == "large").mean()
    assert sdmetrics.shape_error(REAL, made) == pytest.approx(share / 3)


def test_trends_of_numbers_are_halves_of_what_correlations_differ():
    made = REAL.assign(b=REAL["a"])
    expected = (1.0 - REAL[["a", "b"]].corr().iloc[0, 1]) / 2.0
    pair = ["a", "b"]
    assert sdmetrics.trend_error(REAL[pair], made[pair]) == pytest.approx(expected)


def test_trends_with_categories_are_total_variation_of_pairs():
    made = REAL.assign(kind=np.where(REAL["a"] > 0, "small", "large"))
    pair = ["a", "kind"]
    # All but the bin with zero in it, which has both kinds.
    assert sdmetrics.trend_error(REAL[pair], made[pair]) > 0.8


def test_order_and_index_of_rows_do_not_count():
    made = REAL.sample(frac=1.0, random_state=0)
    assert sdmetrics.trend_error(REAL, made) == pytest.approx(0.0, abs=1e-12)
    assert sdmetrics.shape_error(REAL, made) == 0.0


def test_a_logistic_regression_tells_what_is_linear_and_no_more():
    same = REAL.sample(frac=1.0, random_state=0)
    far = REAL.assign(a=REAL["a"] + 9.0)
    assert sdmetrics.logistic_detection(REAL, same, 0) > 0.9
    assert sdmetrics.logistic_detection(REAL, far, 0) < 0.01


def test_missing_cells_are_a_level_or_the_mean():
    gaps = rng.uniform(size=200) < 0.3
    made = REAL.assign(kind=REAL["kind"].mask(gaps), a=REAL["a"].mask(gaps))
    assert sdmetrics.shape_error(REAL, made) > 0.05
    assert sdmetrics.logistic_detection(REAL, made, 0) <= 1.0
