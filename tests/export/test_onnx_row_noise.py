"""Densities with noise that follows the latents: `to_onnx` compares them itself."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ae import VAETransformer

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("skl2onnx")

from sklearn_ae.export import to_onnx  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore::DeprecationWarning:(onnx|skl2onnx).*",
)
X, LABELS = load_iris(return_X_y=True)
X, LABELS = X[::3], LABELS[::3]
QUICK = {"hidden_layer_sizes": (5, 4), "max_iter": 3, "early_stopping": False}
HOLED = np.where(np.random.RandomState(0).uniform(size=X.shape) < 0.1, np.nan, X)


def fitted(X=X, y=None, **options):
    vae = VAETransformer(2, noise="per_row", **QUICK, **options).fit(X, y)
    assert vae.module_.noise_network is not None
    return vae


def written(estimator, path, X, **options):
    """The file's scores of rows, which are those of the estimator."""
    path = to_onnx(estimator, path, X, method="score_samples", n_samples=10, **options)
    return onnxruntime.InferenceSession(path)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "options",
    [{}, {"loss": "absolute_error"}, {"inference": "encoder"}],
    ids=["refined", "absolute", "encoder"],
)
@pytest.mark.parametrize("rows", [X, HOLED], ids=["whole", "holed"])
def test_scores(rows, options, dtype, tmp_path):
    written(fitted(rows, **options), tmp_path / "file", rows.astype(dtype))


def test_scores_at_the_limits_of_the_noise(tmp_path):
    vae = fitted()
    # Noise that latents drive to both limits.
    vae.module_.noise_network[-1].weight.data *= 1e3
    log_noise = vae.module_.log_noise_of(torch.as_tensor(vae.transform(X)).float())
    is_limited = log_noise.abs() >= -vae.module_.MIN_LOG_NOISE - 1e-6
    assert is_limited.any()
    assert not is_limited.all()
    written(vae, tmp_path / "file", X)


def test_scores_by_each_of_three_posteriors(tmp_path):
    vae = VAETransformer(2, noise="per_row", **{**QUICK, "max_iter": 10}).fit(X)
    rows = np.concatenate([X, X[::5] + 3.0 * X.std(axis=0)])
    module, inference = vae.module_, vae._inference
    with torch.no_grad():
        x = module.standardize(torch.as_tensor(rows).float())
        best = inference.proposal(module, x).factor
        known = [module.posterior(x)[1].mul(0.5).exp().diag_embed()]
        known.append(inference.posterior(module, x).factor)
        chosen = [(best == factor).flatten(1).all(dim=1) for factor in known]
    assert all(which.any() for which in [*chosen, ~(chosen[0] | chosen[1])])
    written(vae, tmp_path / "file", rows)


def test_scores_of_conditional_models(tmp_path):
    vae = fitted(y=LABELS, conditional=True)
    written(vae, tmp_path / "file", X, y=LABELS)


def test_scores_of_mapped_columns(tmp_path):
    written(fitted(column_maps="quantile"), tmp_path / "file", X)


def test_scores_of_a_pipeline(tmp_path):
    vae = VAETransformer(2, noise="per_row", **QUICK)
    pipeline = make_pipeline(StandardScaler(), vae).fit(X)
    path = to_onnx(pipeline, tmp_path / "file", X, method="score_samples")
    answers = onnxruntime.InferenceSession(path).run(None, {"X": X[:7]})[0]
    np.testing.assert_allclose(answers.ravel(), pipeline.score_samples(X[:7]))
