"""The benchmark of published figures on images, on few images that are made here."""

import json
import re

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.decomposition import PCA

from benchmarks import images
from benchmarks.images import methods, published
from sklearn_ae import AutoencoderTransformer
from sklearn_ae._training import recipe as _recipe


def blobs(seed, n):
    """Images (n, 784) of one bright spot, left or right, and on which side it is."""
    rng = np.random.default_rng(seed)
    side = rng.integers(2, size=n)
    place = np.stack([rng.uniform(6, 22, n), 7.0 + 14.0 * side], axis=1)  # (n, 2)
    grid = np.stack(np.mgrid[:28, :28], axis=-1).reshape(1, -1, 2)
    squares = ((grid - place[:, None]) ** 2).sum(axis=-1)  # (n, 784)
    return np.exp(-squares / 8.0).astype(np.float32), side


@pytest.fixture
def few(monkeypatch):
    """Load blobs in place of digits, and their negatives in place of clothes."""
    parts = *blobs(0, 60), *blobs(1, 40)
    digits = methods.Images(*parts)
    clothes = methods.Images(1 - parts[0], parts[1] + 8, 1 - parts[2], parts[3] + 8)
    sets = {"mnist": digits, "fashion_mnist": clothes}
    for module in (images, methods):
        monkeypatch.setattr(module, "load", lambda name, data_home: sets[name])
    monkeypatch.setattr(_recipe, "N_EPOCHS", 2)
    return sets


@pytest.mark.filterwarnings("ignore:n_components=:UserWarning")
def test_command_measures_prints_and_writes(few, tmp_path, capsys):
    path = tmp_path / "images.json"
    names = ["dense", "convolutional", "pca", "tsne", "pixels", "anomaly"]
    images.main(["--k", "2", "--methods", *names, "--output", str(path)])
    content = json.loads(path.read_text())
    done = {(row["set"], row["method"]) for row in content["results"]}
    assert not any("failure" in row for row in content["results"])
    assert ("fashion_mnist", "tsne") in done
    assert ("mnist", "anomaly") in done
    assert ("fashion_mnist", "anomaly") not in done  # boots are hidden among digits
    goals = {(goal["set"], goal["quantity"]) for goal in content["summary"]["targets"]}
    assert ("mnist", "mse") in goals
    assert ("mnist", "boot_ratio") in goals
    for goal in content["summary"]["targets"]:
        is_lower = goal["measured"] <= goal["target"]
        assert goal["met"] is (is_lower if goal["quantity"] == "mse" else not is_lower)
    out = capsys.readouterr().out
    assert "Published" in out
    assert len(re.findall(r"  (NOT )?met$", out, re.M)) == len(goals)


def test_resumes_what_was_left_out(few, tmp_path, capsys):
    path = tmp_path / "images.json"
    options = ["--sets", "mnist", "--k", "2", "--output", str(path)]
    images.main([*options, "--methods", "pca"])
    before = json.loads(path.read_text())["results"]
    images.main([*options, "--methods", "pca", "pixels", "--resume"])
    after = json.loads(path.read_text())["results"]
    assert after[: len(before)] == before
    assert [row["method"] for row in after] == ["pca", "pixels"]


def test_an_existing_file_is_not_overwritten_unasked(few, tmp_path, capsys):
    path = tmp_path / "images.json"
    path.write_text("{}")
    with pytest.raises(SystemExit):
        images.main(["--output", str(path)])
    assert path.read_text() == "{}"


def test_error_is_that_of_pixels(few):
    row = methods.measure("pca", 64 - 8, 0, few["mnist"], None)
    assert 0 < row["mse"] < few["mnist"].X_test.var()
    assert row["knn5"] == 1.0  # the sides are far apart


def test_of_roots_comes_back_to_pixels(few):
    X = few["mnist"].X_train
    model = methods.make_model("pca_of_roots", 5, 0).fit(X)
    pca = PCA(5, random_state=0).fit(np.sqrt(X))
    roots = pca.inverse_transform(pca.transform(np.sqrt(X)))
    assert_allclose(model.transform(X), pca.transform(np.sqrt(X)), atol=1e-6)
    assert_allclose(model.inverse_transform(model.transform(X)), roots**2, atol=1e-5)


@pytest.mark.parametrize("method", methods.OURS_OF_ROOTS)
def test_our_models_of_roots_are_measured(few, method):
    row = methods.measure(method, 2, 0, few["mnist"], None)
    assert 0 < row["mse"] < 2 * few["mnist"].X_test.var()
    assert row["n_epochs"] >= row["best_epoch"] >= 0


def test_a_boot_unlike_any_digit_comes_first(few):
    boots = few["fashion_mnist"].X_test
    row = methods.measure_anomaly(4, 0, few["mnist"], boots)
    model = AutoencoderTransformer(4).fit(few["mnist"].X_train)
    of_boots = -model.score_samples(boots)
    highest = -model.score_samples(few["mnist"].X_test).min()
    assert_allclose(row["boot_ratio"], np.median(of_boots) / highest, rtol=1e-5)
    assert_allclose(row["lowest_boot_ratio"], of_boots.min() / highest, rtol=1e-5)
    assert row["share_of_boots_first"] == 1.0


def test_denoising_is_measured_beside_the_best_pca(few):
    row = methods.measure_denoising(4, 0, few["mnist"])
    noisy = -10 * np.log10(methods.NOISE**2)
    assert row["psnr_noisy"] == pytest.approx(noisy, abs=0.3)
    assert row["psnr_pca"] > row["psnr_noisy"]
    assert row["gain"] == pytest.approx(row["psnr"] - row["psnr_pca"])


@pytest.mark.parametrize("error", [0.25, 0.01])
def test_psnr_by_hand(error):
    X = np.full((3, 4), 0.5)
    assert methods.psnr(X, X + error) == pytest.approx(-20 * np.log10(error))


def test_every_target_is_at_least_as_hard_as_what_was_published():
    for goal in published.PUBLISHED:
        if goal.quantity == "mse":
            assert goal.target < goal.value
        else:
            assert goal.target > goal.value
