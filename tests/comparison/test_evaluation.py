import warnings

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.exceptions import FitFailedWarning
from sklearn.manifold import TSNE
from sklearn.preprocessing import FunctionTransformer
from small_comparisons import TIMES, Failing, only_row

from sklearn_ae.comparison import _evaluation, compare_reducers


def test_times_are_positive(iris):
    table = compare_reducers(*iris, reducers=["PCA", "kernel PCA"])
    assert (table[TIMES] > 0).all(axis=None)


@pytest.mark.parametrize(
    ("durations", "expected"),
    [
        ([0.04] + [0.02] * 8 + [0.03], 0.02),  # ten calls, and long enough in all
        ([0.6, 0.5], 0.5),  # too long for a third call
        ([2.0], 2.0),
        ([0.021] + [0.001] * 29, 0.001),  # until it is long enough in all
    ],
)
def test_transforms_are_timed_by_their_fastest_call(monkeypatch, durations, expected):
    ticks = iter([t for d in durations for t in (0.0, d)])
    monkeypatch.setattr(_evaluation.time, "perf_counter", lambda: next(ticks))
    _, seconds = _evaluation._timed(np.sqrt, np.ones(1))
    assert seconds == pytest.approx(expected)
    assert next(ticks, None) is None


def test_latents_are_those_of_the_reducer(iris, iris_split):
    X_train, X_test, *_ = iris_split
    _, latents = compare_reducers(*iris, reducers=["PCA"], return_latents=True)
    expected = PCA(2).fit(X_train).transform(X_test)
    np.testing.assert_allclose(latents["PCA", 2], expected)


def test_own_reducer_without_transform_is_fitted_to_all_rows(iris):
    seen = []

    class Spy(TSNE):
        def fit_transform(self, X, y=None):
            seen.append(len(X))
            return X[:, : self.n_components]

    compare_reducers(*iris, reducers={"spy": Spy()})
    assert seen == [150]


def test_tsne_is_scored_on_what_it_can_do_and_marked(few):
    row = only_row(compare_reducers(*few, reducers=["t-SNE"]))
    assert not row["has_transform"]
    assert not row["has_inverse_transform"]
    assert "held-out rows included" in row["note"]
    assert row["knn_accuracy"] > 0.9
    assert row["trustworthiness"] > 0.9
    assert np.isnan(row["reconstruction_error"])
    assert np.isnan(row["transform_rows_per_second"])


def test_more_latents_than_columns_fail_for_pca_alone(iris):
    reducers = {"PCA": "PCA", "copies": lambda k: Failing(k)}
    with pytest.warns(FitFailedWarning):
        table = compare_reducers(*iris, reducers=reducers, n_components=6)
    assert table.loc[0, "error"].startswith("fit: ValueError: n_components=6")
    assert table.loc[1, "error"] == ""
    assert np.isnan(table.loc[1, "error_ratio_to_pca"])


def test_failing_reducer_does_not_end_the_others(iris):
    reducers = {"bad": Failing(exception=MemoryError("too\n big")), "PCA": "PCA"}
    with pytest.warns(FitFailedWarning, match="bad with n_components=2: fit: Memory"):
        table = compare_reducers(*iris, reducers=reducers)
    assert table["error"].tolist() == ["fit: MemoryError: too big", ""]
    assert np.isnan(table.loc[0, "reconstruction_error"])
    assert np.isfinite(table.loc[1, "reconstruction_error"])


def test_failing_way_back_leaves_the_other_scores(iris):
    bad = Failing(exception=RuntimeError("lost"), where="inverse_transform")
    with pytest.warns(FitFailedWarning):
        row = only_row(compare_reducers(*iris, reducers={"bad": bad}))
    assert row["error"] == "inverse_transform: RuntimeError: lost"
    assert np.isfinite(row["knn_accuracy"])


def test_failing_callable_does_not_end_the_others(iris):
    reducers = {"bad": lambda k: 1 / 0, "PCA": "PCA"}
    with pytest.warns(FitFailedWarning):
        table = compare_reducers(*iris, reducers=reducers)
    assert table["error"].tolist() == ["ZeroDivisionError: division by zero", ""]


def test_latents_that_are_not_finite_are_an_error_of_the_reducer(iris):
    reducers = {"bad": lambda k: FunctionTransformer(lambda X: X * np.nan)}
    with pytest.warns(FitFailedWarning, match="latents contains NaN"):
        compare_reducers(*iris, reducers=reducers)


def test_interrupt_by_the_user_passes_through(iris):
    with pytest.raises(KeyboardInterrupt):
        compare_reducers(
            *iris, reducers={"bad": Failing(exception=KeyboardInterrupt())}
        )


def test_warnings_of_reducers_are_collected_in_their_row(iris):
    class Noisy(Failing):
        def fit(self, X, y=None):
            for _ in range(2):
                warnings.warn("hear\nme", UserWarning, stacklevel=2)
            return super().fit(X, y)

    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        row = only_row(compare_reducers(*iris, reducers={"noisy": Noisy()}))
    assert row["warnings"] == "UserWarning: hear me"
    assert not shown
