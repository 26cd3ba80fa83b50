"""The benchmark of alternatives: what it counts, and that it measures what it says."""

import json
import random
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from benchmarks import alternatives
from benchmarks._cells import Split
from benchmarks.datasets import ENVIRONMENT_VARIABLE

X = StandardScaler().fit_transform(load_iris().data)
SPLIT = Split(X[::2], X[1::2])


@pytest.fixture(autouse=True)
def no_folder(monkeypatch):
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)


class Fake:
    """Reconstructs with an error of its own, and with the faults it is given."""

    n_fits = 0

    def __init__(self, error=1.0, drifts=False, draws=None):
        self.error, self.drifts, self.draws = error, drifts, draws

    def fit(self, X):
        self.n_fits += 1
        if self.draws is not None:
            self.draws()
        return self

    def transform(self, X):
        return X

    def inverse_transform(self, Z):
        return Z + self.error + self.drifts * self.n_fits


def measure_fake(monkeypatch, **faults):
    method = alternatives.Alternative("fake", lambda k, seed: Fake(**faults))
    monkeypatch.setitem(alternatives.METHODS, "fake", method)
    return alternatives.measure("fake", 2, 0, SPLIT, {})


def test_error_is_the_mean_square_on_held_out_rows():
    X_back = (pca := PCA(2).fit(SPLIT.X_train)).inverse_transform(
        pca.transform(SPLIT.X_test)
    )
    measured = alternatives.measure("pca", 2, 0, SPLIT, {})
    assert_allclose(measured["error"], np.mean((SPLIT.X_test - X_back) ** 2))


def test_method_without_faults_has_all_the_bits(monkeypatch):
    measured = measure_fake(monkeypatch)
    assert [measured[name] for name in alternatives.BITS] == [True, True, True]


def test_refit_that_differs_is_seen(monkeypatch):
    measured = measure_fake(monkeypatch, drifts=True)
    assert not measured["same_on_refit"]
    assert measured["same_when_made_anew"]


@pytest.mark.parametrize(
    "draws", [np.random.random, random.random, lambda: torch.rand(1)]
)
def test_use_of_a_global_generator_is_seen(monkeypatch, draws):
    assert not measure_fake(monkeypatch, draws=draws)["leaves_generators"]


def test_error_that_is_not_finite_is_a_failure(monkeypatch):
    with pytest.raises(ValueError, match="not finite"):
        measure_fake(monkeypatch, error=np.inf)


def test_comments_docstrings_and_blank_lines_do_not_count():
    source = '''
class A:
    """A docstring,

    of several lines."""

    def f(self, x):  # a comment
        "Another."
        # one more
        return g(
            x,
            x,
        )
'''
    assert alternatives.count_lines(source) == 3


def test_what_is_a_transformer_takes_one_line():
    assert alternatives.lines_of_code("ours") == alternatives.lines_of_code("pca") == 1
    assert alternatives.lines_of_code("lecture") > 20


def test_checks_are_those_of_scikit_learn():
    checks = alternatives.run_checks("pca")
    assert checks["passed"] >= 46
    assert "failed" not in checks
    assert alternatives.run_checks("lecture") is None


def test_checks_that_stop_are_told_apart_from_those_that_fail(monkeypatch):
    method = alternatives.Alternative("fake", Fake, make_checked=Fake)
    monkeypatch.setitem(alternatives.METHODS, "fake", method)
    checks = alternatives.run_checks("fake")
    assert list(checks) == ["stopped"]
    assert alternatives.format_checks(checks) == "stopped"


def test_command_writes_and_prints_what_it_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(alternatives, "run_checks", lambda method: {"passed": 46})
    path = tmp_path / "alternatives.json"
    options = ["--sets", "iris", "--k", "2", "--seeds", "1", "--output", str(path)]
    alternatives.main([*options, "--methods", "pca", "lecture"])
    content = json.loads(path.read_text())
    errors = {row["method"]: row["error"] for row in content["results"]}
    lecture = content["summary"]["methods"]["lecture"]
    assert_allclose(
        lecture["median_ratio"], errors["lecture"] / errors["pca"], rtol=1e-5
    )
    assert lecture["leaves_generators"]
    assert "hand-written loop" in capsys.readouterr().out
    assert content["runs"][0]["checks"]["pca"] == {"passed": 46}


def test_checks_are_not_done_again(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(alternatives, "run_checks", asked.append)
    options = ["--sets", "iris", "--k", "2", "--output", str(tmp_path / "a.json")]
    alternatives.main([*options, "--methods", "pca", "--seeds", "1"])
    alternatives.main([*options, "--methods", "pca", "--seeds", "2", "--resume"])
    assert asked == ["pca"]


@pytest.mark.parametrize("method", ["pyod", "pyod_as_lecture", "pythae_ae"])
def test_wrappers_of_other_packages_reconstruct(method):
    needed = alternatives.METHODS[method].needs[0]
    if not find_spec(needed):
        pytest.skip(f"{needed} is not installed")
    model = alternatives.METHODS[method].make(2, 0)
    Z = model.fit(SPLIT.X_train).transform(SPLIT.X_test)
    assert Z.shape == (75, 2)
    assert model.inverse_transform(Z).shape == (75, 4)
