import numpy as np
import pytest
from sklearn.cluster import FeatureAgglomeration
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_comparisons import only_row, without

from sklearn_ae.comparison import _reducers, compare_reducers


def test_pipeline_gets_the_number_of_its_last_step(iris):
    pipeline = make_pipeline(StandardScaler(), PCA(1))
    _, latents = compare_reducers(
        *iris, reducers={"p": pipeline}, n_components=3, return_latents=True
    )
    assert latents["p", 3].shape == (38, 3)


@pytest.mark.parametrize("make", [PCA, lambda k: FeatureAgglomeration(n_clusters=k)])
def test_callable_gets_the_number_of_latents(iris, make):
    _, latents = compare_reducers(
        *iris, reducers={"made": make}, n_components=3, return_latents=True
    )
    assert latents["made", 3].shape == (38, 3)


def test_mapping_may_hold_known_names(iris):
    table = compare_reducers(*iris, reducers={"linear": "pca"})
    assert table.loc[0, "reducer"] == "linear"
    assert table.loc[0, "error_ratio_to_pca"] == 1


def test_reducers_of_the_user_are_left_as_they_were(iris):
    own = PCA(1)
    compare_reducers(*iris, reducers={"own": own}, n_components=3)
    assert own.n_components == 1
    assert not hasattr(own, "components_")


def test_transformer_without_n_components_is_refused(iris):
    with pytest.raises(ValueError, match=r"no parameter 'n_components'.*lambda k"):
        compare_reducers(*iris, reducers={"own": FeatureAgglomeration()})


def test_pipeline_without_n_components_is_refused(iris):
    pipeline = make_pipeline(PCA(), StandardScaler())
    with pytest.raises(ValueError, match="'standardscaler__n_components'"):
        compare_reducers(*iris, reducers={"own": pipeline})


def test_anything_but_an_estimator_is_refused(iris):
    with pytest.raises(TypeError, match="'own' must be a scikit-learn estimator"):
        compare_reducers(*iris, reducers={"own": 3})


@pytest.mark.parametrize("reducers", [["nonsense"], {"own": "nonsense"}, "nonsense"])
def test_unknown_name_lists_the_known_ones(iris, reducers):
    with pytest.raises(ValueError, match=r"'nonsense'.*PCA, kernel PCA, t-SNE, UMAP"):
        compare_reducers(*iris, reducers=reducers)


@pytest.mark.parametrize("spelling", ["t-SNE", "tsne", "TSNE", "t_sne"])
def test_names_are_found_whatever_their_spelling(spelling):
    assert _reducers.find_reducer(spelling) == "t-SNE"


def test_autoencoders_by_name_have_every_score(few):
    table = compare_reducers(*few, reducers=["AE", "DAE", "VAE"])
    scores = table.select_dtypes("number").drop(columns="knn_r2")
    assert np.isfinite(scores).all(axis=None)
    assert table[["has_transform", "has_inverse_transform"]].all(axis=None)


def test_tsne_is_skipped_beyond_three_latents(iris):
    row = only_row(compare_reducers(*iris, reducers=["t-SNE"], n_components=4))
    assert row["note"].startswith("skipped")
    assert row["error"] == ""
    assert np.isnan(row["fit_seconds"])


@pytest.mark.parametrize("name", ["kernel PCA", "t-SNE"])
def test_reducers_of_pairs_are_skipped_for_many_rows(iris, monkeypatch, name):
    monkeypatch.setattr(_reducers, "_MAX_ROWS_PAIRWISE", 100)
    row = only_row(compare_reducers(*iris, reducers=[name]))
    assert row["note"].startswith("skipped: more than 100")


def test_umap_that_is_not_installed_is_left_out_of_the_default(monkeypatch):
    without(monkeypatch, "umap")
    expected = ["PCA", "kernel PCA", "t-SNE", "AE", "DAE", "VAE"]
    assert list(_reducers.check_reducers(None)) == expected


def test_umap_that_is_not_installed_is_missed_where_it_is_named(iris, monkeypatch):
    without(monkeypatch, "umap")
    with pytest.raises(ImportError, match=r"umap-learn.*sklearn_ae\[compare\]"):
        compare_reducers(*iris, reducers=["PCA", "UMAP"])
