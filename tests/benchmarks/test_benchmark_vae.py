"""The benchmark of densities, samples and anomalies: what it measures, and how."""

import json
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from benchmarks import vae
from benchmarks.datasets import ENVIRONMENT_VARIABLE, Table
from benchmarks.vae import anomalies, digits, samples
from sklearn_ae import AutoencoderTransformer, VAETransformer

# The models are trained shortly.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Training ended at max_iter:sklearn.exceptions.ConvergenceWarning"
)

GREY = np.tile(np.array([[0.0, 0.3, 0.5, 1.0]], dtype=np.float32), (4000, 1))


@pytest.fixture(autouse=True)
def no_folder(monkeypatch):
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)


@pytest.fixture(autouse=True)
def short_trainings(monkeypatch):
    """What is measured of tables, of models that have not learned all they could."""
    short = {"hidden_layer_sizes": (8,), "max_iter": 10, "early_stopping": False}
    monkeypatch.setattr(
        anomalies, "AutoencoderTransformer", partial(AutoencoderTransformer, **short)
    )
    for module in (anomalies, samples):
        monkeypatch.setattr(module, "VAETransformer", partial(VAETransformer, **short))


def binary(binarisation):
    model = digits.Digits(binarisation, **digits.LARGE)
    return digits.binary_rows(GREY, model, np.random.default_rng(0))


# MNIST --------------------------------------------------------------------------------


def test_threshold_is_half_the_brightness():
    assert_array_equal(binary("threshold"), np.tile([0, 0, 1, 1], (len(GREY), 1)))


def test_draws_are_one_as_often_as_a_pixel_is_bright():
    X = binary("fixed")
    assert set(np.unique(X)) == {0.0, 1.0}
    assert_allclose(X.mean(axis=0), GREY[0], atol=0.04)


# Samples ------------------------------------------------------------------------------


def test_mixture_is_the_one_with_the_lowest_bic():
    X = load_iris().data
    bics = {
        size: GaussianMixture(size, random_state=0, reg_covar=1e-5).fit(X).bic(X)
        for size in (1, 2, 4, 8, 16)
    }
    assert samples.best_mixture(X, 0).n_components == min(bics, key=bics.get)


def test_samples_of_pca_have_its_mean_and_covariance():
    X = load_iris().data
    S = samples.draw_pca(X, 2)(40_000, 0)
    assert_allclose(S.mean(axis=0), X.mean(axis=0), atol=0.05)
    assert_allclose(np.cov(S.T), PCA(2).fit(X).get_covariance(), atol=0.05)


def test_samples_of_others_can_have_the_columns_of_rows_too():
    X = load_iris().data
    S = samples.with_columns_of(X, samples.draw_pca(X, 2), seed=0)
    for column, values in zip(S.T, X.T, strict=True):
        assert set(column) <= set(values)


def test_rows_of_one_distribution_cannot_be_told_apart_and_others_can():
    rng = np.random.default_rng(0)
    A, B = rng.normal(size=(2, 250, 3))
    assert samples.two_sample_auc(A, B, seed=0) == pytest.approx(0.5, abs=0.1)
    assert samples.two_sample_auc(A, B + 3.0, seed=0) > 0.95


# Anomalies ----------------------------------------------------------------------------


@pytest.fixture
def odd_rows():
    """Normal rows with a line between two columns, and a few off that line."""
    rng = np.random.default_rng(0)
    t = rng.normal(size=(300, 1))
    X = np.hstack([t, 2 * t, 0 * t + rng.normal(size=(300, 1))])
    X += 0.05 * rng.normal(size=X.shape)
    X[:20, 1] += 3.0
    X[0, 2] = 1e6
    return Table("odd", X, np.r_[np.ones(20, int), np.zeros(280, int)], True)


def test_half_of_the_normal_rows_is_trained_on(odd_rows):
    X, X_test, labels = anomalies.split_normal(odd_rows, 0, max_rows=1000)
    assert len(X) == 140
    assert labels.sum() == 20
    assert len(X_test) == len(labels) == 160
    assert_allclose(X.mean(axis=0), 0.0, atol=1e-12)
    assert_allclose(X.std(axis=0), 1.0)
    assert X_test.max() == anomalies.CLIP


def test_rows_of_each_kind_are_limited(odd_rows):
    X, _, labels = anomalies.split_normal(odd_rows, 0, max_rows=12)
    assert (len(X), labels.sum(), len(labels)) == (12, 12, 24)


def test_detectors_score_anomalies_higher(odd_rows):
    X, X_test, labels = anomalies.split_normal(odd_rows, 0, max_rows=1000)
    for method, score in anomalies.abnormality(X, X_test, 0):
        scores = score()
        assert np.mean(scores[labels == 1]) > np.mean(scores[labels == 0]), method


def test_neighbour_distance_is_that_to_the_fifth():
    X = np.arange(8.0)[:, None]
    assert_allclose(
        anomalies.neighbour_distance(X, np.array([[0.0], [10.0]])), [4.0, 7.0]
    )


def test_mean_neighbour_distance_is_that_to_the_mean_of_five():
    X = np.arange(8.0)[:, None]
    X_test = np.array([[0.0], [10.0]])
    assert_allclose(anomalies.mean_neighbour_distance(X, X_test), [2.0, 5.0])


# The command --------------------------------------------------------------------------


@pytest.fixture
def run(monkeypatch, tmp_path, capsys, odd_rows):
    monkeypatch.setattr(samples, "LATENTS", (1, 2))
    monkeypatch.setattr(samples, "N_SAMPLES", 60)
    odd = {"odd": type("Source", (), {"group": "anomaly"})}
    find_tables, load_tables = vae.find_tables, vae.load_tables
    monkeypatch.setattr(vae, "find_tables", lambda home: find_tables(home) | odd)
    monkeypatch.setattr(
        vae,
        "load_tables",
        lambda home, names: (
            iter([odd_rows]) if names == ["odd"] else load_tables(home, names)
        ),
    )
    rng = np.random.default_rng(0)
    images = rng.random((50, 784), dtype=np.float32), np.zeros(50)
    monkeypatch.setattr(digits, "load_mnist", lambda home, split: images)
    path = tmp_path / "vae.json"

    def call(*options):
        vae.main([*options, "--output", str(path), "--max-rows", "100"])
        return json.loads(path.read_text()), capsys.readouterr().out

    return call


def test_command_measures_densities(run):
    content, text = run(
        *("--sections", "mnist", "--digits", "threshold at 0.5"),
        *("--epochs", "1", "--importance-samples", "3"),
    )
    row = content["results"][0]
    # Half a nat per pixel is where nothing is known; noise is all there is.
    assert 300 < row["nll"] < 700
    assert row["nll"] <= row["negative_elbo"] + 5
    assert "-log p(x)" in text


@pytest.mark.filterwarnings("ignore:n_components=:UserWarning")
def test_few_draws_come_before_those_with_more(run, monkeypatch):
    trainings, fit = [], VAETransformer.fit

    def record_fit(estimator, X):
        trainings.append((estimator.n_importance_samples, estimator.max_iter))
        assert estimator.path_gradient
        assert estimator.binarize
        assert 0 < X[0, 0] < 1  # still grey: every step draws anew
        return fit(estimator, X)

    monkeypatch.setattr(VAETransformer, "fit", record_fit)
    content, text = run(
        *("--sections", "mnist", "--digits", "new draws, 50 importance samples"),
        *("--epochs", "3", "--few-draws", "2", "--importance-samples", "3"),
        "--path-gradient",
    )
    assert trainings == [(5, 2), (50, 3)]
    row = content["results"][0]
    assert row["few_draws"] == 2
    assert row["method"] == "VAETransformer(path_gradient=True)"
    assert row["nll_aggregated"] == pytest.approx(row["nll"], rel=0.1)
    assert row["nll_aggregated"] != row["nll"]
    assert "with the aggregated prior" in text


def test_command_measures_samples(run):
    content, text = run("--sections", "samples", "--sets", "iris")
    methods = [row["method"] for row in content["results"]]
    assert methods == [
        *("VAE", "VAE, aggregated", "PPCA", "mixture"),
        *("VAE, aggregated, like", "PPCA, like", "mixture, like"),
    ]
    assert all(0.3 < row["auc"] <= 1.0 for row in content["results"])
    assert set(content["summary"]["samples"]["median"]) == set(methods)
    assert "iris" in text


def test_command_measures_anomalies_and_goes_on(run):
    options = "--sections", "anomalies", "--sets", "odd"
    content, text = run(*options)
    assert content["summary"]["anomalies"]["mean"]["5-NN distance"] > 0.8
    assert "isolation forest" in text
    again, _ = run(*options, "--resume")
    assert again["results"] == content["results"]


def test_failure_is_told(run, monkeypatch):
    def fail(*_):
        raise RuntimeError("no luck")

    monkeypatch.setattr(vae, "measure_anomalies", fail)
    content, text = run("--sections", "anomalies", "--sets", "odd")
    assert content["results"][0]["failure"] == "RuntimeError: no luck"
    assert "no luck" in text
