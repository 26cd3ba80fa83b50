"""The benchmark that changes one choice of the recipe at a time."""

import json

import numpy as np
import pandas as pd
import pytest

from benchmarks import recipe
from benchmarks._cells import Split
from sklearn_ae import AutoencoderTransformer
from sklearn_ae._training import recipe as _recipe
from sklearn_ae._training import selection as _selection


def split():
    t = np.random.default_rng(0).uniform(-1, 1, size=(60, 2))
    X = np.c_[t, t[:, 0] * t[:, 1], t[:, 0] ** 2]
    return Split(X[:40], X[40:])


def test_command_compares_with_the_default(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_recipe, "N_EPOCHS", 2)
    path = tmp_path / "r.json"
    options = ["--sets", "iris", "--k", "2", "--seeds", "2", "--output", str(path)]
    recipe.main([*options, "--methods", "relu", "any_gain"])
    content = json.loads(path.read_text())
    methods = {row["method"] for row in content["results"]}
    assert methods == {"pca", "default", "relu", "any_gain"}
    assert content["summary"]["default"]["over_default"] == 1.0
    assert content["summary"]["n_runs"] == 2
    out = capsys.readouterr().out
    assert "any gain replaces PCA" in out
    assert "batches of 64" not in out


@pytest.mark.parametrize("name", recipe.VARIANTS)
def test_every_variant_is_a_valid_estimator(name):
    params = recipe.VARIANTS[name].params
    AutoencoderTransformer(2, **{**params, "max_iter": 0}).fit(split().X_train)


def test_changes_are_undone():
    before = [(*p[:2], getattr(*p[:2])) for p in recipe.VARIANTS["any_gain"].patches]
    recipe.measure("any_gain", 2, 0, split(), {})
    for owner, name, value in before:
        assert getattr(owner, name) is value


def test_any_gain_asks_no_further(monkeypatch):
    monkeypatch.setattr(_selection, "is_clear_gain", lambda gains: False)
    kept = recipe.measure("default", 2, 0, split(), {})["error"]
    assert kept == pytest.approx(recipe.measure("pca", 2, 0, split(), {})["error"])
    assert recipe.measure("any_gain", 2, 0, split(), {})["error"] < 0.9 * kept


def test_summary_by_hand():
    errors = {("a", 2): (2.0, 1.0, 0.5), ("b", 8): (4.0, 1.0, 2.0)}
    frame = pd.DataFrame(
        [
            {"set": name, "k": k, "seed": 0, "method": method, "error": error}
            for (name, k), values in errors.items()
            for method, error in zip(("pca", "default", "relu"), values, strict=True)
        ]
    )
    frame["fit_seconds"], frame["failure"] = 1.5, None
    summary = recipe.summarize(frame)
    relu = summary["relu"]
    assert relu["over_default"] == pytest.approx(1.0)  # the root of 0.5 and 2
    assert (relu["k=2"], relu["k=8"]) == (0.5, 2.0)
    assert relu["share_better_than_default"] == 0.5
    assert relu["worst_over_pca"] == 0.5
    assert relu["median_over_pca"] == 0.375
    assert relu["seconds"] == 3.0
