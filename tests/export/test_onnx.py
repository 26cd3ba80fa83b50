"""Files of ONNX: `to_onnx` compares them with the estimator itself."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from torch import nn

from sklearn_ae import (
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    EncoderDecoderRegressor,
    NeighborMapTransformer,
    VAETransformer,
)
from sklearn_ae._networks.activations import ACTIVATIONS

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("skl2onnx")

from sklearn_ae.export import OnnxMismatchError, to_onnx  # noqa: E402
from sklearn_ae.export._graph import Graph  # noqa: E402
from sklearn_ae.export._layers import CannotExportError  # noqa: E402
from sklearn_ae.export._methods import cholesky, solved  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore::DeprecationWarning:(onnx|skl2onnx).*",
)
X, LABELS = load_iris(return_X_y=True)
X, LABELS = X[::3], LABELS[::3]
QUICK = {"hidden_layer_sizes": (5, 4), "max_iter": 2, "early_stopping": False}
METHODS = ["transform", "inverse_transform", "reconstruct", "score_samples"]


def fitted(Estimator=AutoencoderTransformer, X=X, y=None, **params):
    return Estimator(2, **{**QUICK, **params}).fit(X, y)


def run(path, X):
    session = onnxruntime.InferenceSession(path)
    return session.run(None, {"X": X})[0]


MODELS = {
    "autoencoder": lambda: fitted(),
    "encoder": lambda: fitted(inference="encoder"),
    "denoising": lambda: fitted(DenoisingAutoencoderTransformer),
    "vae": lambda: fitted(VAETransformer, noise="per_column"),
    "vae's encoder": lambda: fitted(
        VAETransformer, inference="encoder", noise="shared"
    ),
    "absolute": lambda: fitted(loss="absolute_error"),
    "log": lambda: fitted(X=X / 8, loss="log_loss"),
    "vae's log": lambda: fitted(VAETransformer, X=X / 8, loss="log_loss"),
    "vae's absolute": lambda: fitted(
        VAETransformer, loss="absolute_error", noise="shared"
    ),
    "linear, whitened": lambda: fitted(hidden_layer_sizes=(), whiten=True),
    "torch's layers": lambda: fitted(
        encoder=nn.Linear,
        decoder=nn.Sequential(nn.Linear(2, 5), nn.BatchNorm1d(5), nn.Linear(5, 4)),
    ),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return MODELS[request.param]()


@pytest.mark.parametrize("method", METHODS)
def test_methods(model, method, tmp_path):
    rows = X / 8 if model.loss == "log_loss" else X
    rows = model.transform(rows) if method == "inverse_transform" else rows
    for dtype in (np.float64, np.float32):
        to_onnx(model, tmp_path / "file", rows.astype(dtype), method=method)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation, tmp_path):
    estimator = fitted(activation=activation)
    for dtype in (np.float64, np.float32):
        to_onnx(estimator, tmp_path / "file", X.astype(dtype))


@pytest.mark.parametrize("labels", [LABELS, np.array(list("abc"))[LABELS]])
@pytest.mark.parametrize("method", METHODS)
def test_conditions(labels, method, tmp_path):
    estimator = fitted(VAETransformer, y=labels, conditional=True)
    rows = estimator.transform(X, labels) if method == "inverse_transform" else X
    to_onnx(estimator, tmp_path / "file", rows, method=method, y=labels)


@pytest.mark.parametrize("method", ["transform", "predict"])
@pytest.mark.parametrize("Y", [X[:, 0], X[:, :2]])
def test_regressor(method, Y, tmp_path):
    estimator = fitted(EncoderDecoderRegressor, y=Y)
    to_onnx(estimator, tmp_path / "file", X, method=method)


def test_images(tmp_path):
    images = np.random.default_rng(0).random((20, 36))
    shape = {"image_shape": (6, 6), "hidden_layer_sizes": (2, 3)}
    autoencoder = fitted(X=images, **shape)
    for method in ("transform", "reconstruct"):
        to_onnx(autoencoder, tmp_path / "file", images, method=method)
    regressor = fitted(EncoderDecoderRegressor, X=images, y=images, **shape)
    to_onnx(regressor, tmp_path / "file", images.astype(np.float32))


@pytest.mark.parametrize("inference", ["auto", "encoder"])
def test_maps(inference, tmp_path):
    estimator = NeighborMapTransformer(2, inference=inference, max_iter=1).fit(X)
    for method in ("transform", "score_samples"):
        path = to_onnx(estimator, tmp_path / "file", X, method=method)
    entries = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert entries["inference"] == ("refined" if inference == "auto" else "encoder")


def test_maps_of_other_metrics_have_the_encoder_s_latents(tmp_path):
    estimator = NeighborMapTransformer(2, metric="manhattan", max_iter=1).fit(X)
    with pytest.warns(UserWarning, match="the metric is 'manhattan'"):
        to_onnx(estimator, tmp_path / "file", X)


PIPELINES = {
    "scaled": lambda: make_pipeline(StandardScaler(), AutoencoderTransformer(2)),
    "reduced": lambda: make_pipeline(
        StandardScaler(), PCA(3), AutoencoderTransformer(2)
    ),
    "density": lambda: make_pipeline(MinMaxScaler(), VAETransformer(2, noise="shared")),
    "classified": lambda: make_pipeline(
        StandardScaler(), AutoencoderTransformer(2), LogisticRegression()
    ),
    "regressed": lambda: make_pipeline(StandardScaler(), EncoderDecoderRegressor(2)),
}


@pytest.fixture(scope="module")
def with_noise_of_rows():
    return fitted(VAETransformer, noise="per_row")


@pytest.mark.parametrize("method", ["transform", "reconstruct"])
def test_projections_where_noise_follows_latents(method, with_noise_of_rows, tmp_path):
    options = {"method": method, "inference": "refined"}
    path = to_onnx(with_noise_of_rows, tmp_path / "file", X, **options)
    wanted = getattr(with_noise_of_rows, method)(X)
    np.testing.assert_allclose(run(path, X), wanted, atol=1e-6)


def test_no_scores_where_noise_follows_latents(with_noise_of_rows, tmp_path):
    with pytest.raises(CannotExportError, match='noise="shared"'):
        to_onnx(with_noise_of_rows, tmp_path / "file", X, method="score_samples")


@pytest.mark.parametrize("name", PIPELINES)
def test_pipelines(name, tmp_path):
    pipeline = PIPELINES[name]()
    own = next(step for step in pipeline if hasattr(step, "hidden_layer_sizes"))
    own.set_params(**QUICK)
    pipeline.fit(X, LABELS.astype(float) if name == "regressed" else LABELS)
    for dtype in (np.float64, np.float32):
        to_onnx(pipeline, tmp_path / "file", X.astype(dtype))
    if hasattr(pipeline, "score_samples"):
        to_onnx(pipeline, tmp_path / "file", X, method="score_samples")
    if hasattr(pipeline, "inverse_transform"):
        Z = pipeline.transform(X)
        to_onnx(pipeline, tmp_path / "file", Z, method="inverse_transform")


def test_columns_of_a_frame_are_inputs(tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abcd"))
    pipeline = make_pipeline(StandardScaler(), fitted().set_params(**QUICK)).fit(frame)
    path = to_onnx(pipeline, tmp_path / "file", frame)
    inputs = onnxruntime.InferenceSession(path).get_inputs()
    assert [part.name for part in inputs] == list("abcd")


@pytest.fixture(scope="module")
def autoencoder():
    return fitted()


def test_any_number_of_rows(autoencoder, tmp_path):
    path = to_onnx(autoencoder, tmp_path / "file", X)
    for n in (1, 7, 50, 600):  # the last are several blocks
        rows = np.resize(X, (n, 4))
        assert_allclose(run(path, rows), autoencoder.transform(rows), atol=1e-9)


def test_metadata(tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abcd"))
    path = to_onnx(fitted(X=frame), tmp_path / "file", frame)
    entries = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert entries["inference"] == "refined"
    assert entries["method"] == "transform"
    assert json.loads(entries["columns"]) == list("abcd")


def test_encoder_alone(autoencoder, tmp_path):
    refined = to_onnx(autoencoder, tmp_path / "refined", X)
    path = to_onnx(autoencoder, tmp_path / "encoder", X, inference="encoder")
    assert path.stat().st_size < refined.stat().st_size
    expected = autoencoder.encoder_(autoencoder.module_.center[None] * 0).detach()
    assert_allclose(run(path, np.zeros((1, 4))), expected, rtol=1e-4)


def test_what_cannot_be_written_refined_is_said(tmp_path):
    decoder = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 4))
    estimator = fitted(decoder=decoder, inference="refined")
    with pytest.warns(UserWarning, match="has the latents of the encoder"):
        to_onnx(estimator, tmp_path / "file", X)
    with pytest.raises(ValueError, match="package's dense networks"):
        to_onnx(estimator, tmp_path / "file", X, inference="refined")


def test_differences_are_errors(tmp_path, monkeypatch):
    estimator = fitted()
    monkeypatch.setattr(estimator, "transform", lambda X: np.zeros((len(X), 2)))
    with pytest.raises(OnnxMismatchError, match="differ from those of the estimator"):
        to_onnx(estimator, tmp_path / "file", X)
    assert not list(tmp_path.iterdir())


class UsersLayer(nn.Module):
    def forward(self, x):
        return x


@pytest.mark.parametrize(
    ("estimator", "options", "match"),
    [
        (lambda: fitted(), {"method": "sample"}, "method must be one of"),
        (lambda: fitted(), {"method": "predict"}, "has no method 'predict'"),
        (lambda: fitted(), {"inference": "guess"}, "inference must be"),
        (
            lambda: fitted(encoder=nn.Sequential(nn.Linear(4, 2), UsersLayer())),
            {},
            "no way to write UsersLayer",
        ),
        (
            lambda: fitted(VAETransformer, y=LABELS, conditional=True),
            {},
            "give the conditions",
        ),
        (
            lambda: fitted(inference="encoder"),
            {"inference": "refined"},
            "was fitted with it",
        ),
    ],
)
def test_messages(estimator, options, match, tmp_path):
    with pytest.raises(ValueError, match=match):
        to_onnx(estimator(), tmp_path / "file", X, **options)


def test_other_estimators_are_refused(tmp_path):
    with pytest.raises(TypeError, match="takes a fitted estimator of sklearn_ae"):
        to_onnx(PCA(2).fit(X), tmp_path / "file", X)


def computed(function, array, k):
    graph = Graph(np.dtype(np.float64))
    output = function(graph.value("A"), k)
    graph.name_output(output, "output")
    info = onnx.helper.make_tensor_value_info
    double = onnx.TensorProto.DOUBLE
    made = onnx.helper.make_graph(
        graph.nodes,
        "test",
        [info("A", double, array.shape)],
        [info("output", double, [None, None, None])],
        graph.constants,
    )
    opsets = [onnx.helper.make_opsetid("", 19)]
    model = onnx.helper.make_model(made, opset_imports=opsets, ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {"A": array})[0]


@pytest.mark.parametrize("k", [1, 2, 5])
class TestLinearAlgebra:
    def matrices(self, k):
        A = np.random.default_rng(0).normal(size=(7, k, k))
        return A @ A.swapaxes(1, 2) + 0.1 * np.eye(k)

    def test_systems_are_solved(self, k):
        A = self.matrices(k)
        right = np.arange(1.0, k + 1)[:, None]
        answer = computed(
            lambda value, k: solved(value, value.slice(0, 1) * 0.0 + right, k), A, k
        )
        assert_allclose(answer, np.linalg.solve(A, right[None]), rtol=1e-8)

    def test_factors_are_cholesky_s(self, k):
        A = self.matrices(k)
        assert_allclose(computed(cholesky, A, k), np.linalg.cholesky(A), atol=1e-10)
