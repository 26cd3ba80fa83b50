"""Tables of several kinds of columns in files of ONNX, and missing cells."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ae import (
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    EncoderDecoderRegressor,
    VAETransformer,
)

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pd = pytest.importorskip("pandas")
pytest.importorskip("skl2onnx")

from sklearn_ae.export import OnnxMismatchError, to_onnx  # noqa: E402
from sklearn_ae.export._cells import MISSING_WHOLE  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore::DeprecationWarning:(onnx|skl2onnx).*",
)
QUICK = {"hidden_layer_sizes": (4,), "max_iter": 1, "early_stopping": False}
N = 40


def table():
    """Every kind of column, with holes in most."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "length": rng.normal(size=N) * 5 + 100,
            "single": rng.normal(size=N).astype(np.float32),
            "count": rng.integers(0, 9, N).astype(np.int8),
            "maybe": pd.array(rng.integers(0, 5, N), dtype="Int64"),
            "town": rng.choice(["a", "b", "c"], N),
            "two": rng.choice(["x", "y"], N),
            "class": pd.Categorical(rng.choice(["u", "v", "w"], N)),
            "level": pd.Categorical(rng.choice([1, 2, 3], N)),
            "is_wide": rng.random(N) < 0.4,
            "day": pd.date_range("2020-01-01", periods=N),
            "span": pd.to_timedelta(rng.integers(0, 10**9, N), unit="us"),
            "nothing": np.full(N, np.nan),
        }
    )
    for i, name in enumerate(["length", "maybe", "town", "class", "day", "span"]):
        frame.loc[i::7, name] = None
    return frame


TABLE = table()


@pytest.fixture(scope="module")
def autoencoder():
    return AutoencoderTransformer(2, **QUICK).fit(TABLE)


@pytest.fixture(scope="module")
def variational():
    return VAETransformer(2, noise="shared", **QUICK).fit(TABLE)


@pytest.fixture(scope="module")
def written(autoencoder, tmp_path_factory):
    return to_onnx(autoencoder, tmp_path_factory.mktemp("files") / "ae", TABLE)


def fed(column):
    """A column as an input of a file, by the documentation."""
    kind = column.dtype.kind
    if kind == "f":
        return column.to_numpy(np.float64)
    if kind in "mM":
        return column.to_numpy().astype(f"{kind}8[us]").astype(np.int64)
    if kind in "iub":
        return column.astype("Int64").fillna(MISSING_WHOLE).to_numpy(np.int64)
    words = ["" if pd.isna(cell) else str(cell) for cell in column]
    return np.array(words, dtype=object)


def feeds(frame):
    return {name: fed(column)[:, None] for name, column in frame.items()}


@pytest.mark.parametrize("method", ["transform", "score_samples", "reconstruct"])
@pytest.mark.parametrize("name", ["autoencoder", "variational"])
def test_methods_of_tables(name, method, request, tmp_path):
    # Compared with the estimator where it is written.
    to_onnx(request.getfixturevalue(name), tmp_path / "file", TABLE, method=method)


def test_columns_are_inputs(written):
    session = onnxruntime.InferenceSession(written)
    types = {part.name: part.type for part in session.get_inputs()}
    assert list(types) == list(TABLE.columns)
    assert types["length"] == types["nothing"] == "tensor(double)"
    assert types["count"] == types["is_wide"] == types["day"] == "tensor(int64)"
    assert types["town"] == types["level"] == "tensor(string)"


def test_columns_are_fed_as_the_documentation_says(autoencoder, written):
    (Z,) = onnxruntime.InferenceSession(written).run(None, feeds(TABLE))
    assert_allclose(Z, autoencoder.transform(TABLE), atol=1e-8)


def test_levels_that_fit_did_not_see_count_as_missing(written):
    session = onnxruntime.InferenceSession(written)
    strange, missing = (
        session.run(None, feeds(TABLE.assign(town=word)))[0] for word in ("Z", None)
    )
    assert_array_equal(strange, missing)


def test_inputs_are_in_the_metadata(written):
    entries = {entry.key: entry.value for entry in onnx.load(written).metadata_props}
    inputs = {part["name"]: part for part in json.loads(entries["inputs"])}
    assert inputs["day"] == {
        "name": "day",
        "holds": "datetime",
        "type": "int64",
        "missing": MISSING_WHOLE,
    }
    assert inputs["length"]["missing"] == "NaN"
    assert inputs["town"]["missing"] == ""
    assert entries["missing_cells"] == "taken"


def test_latents_become_cells(autoencoder, tmp_path):
    Z = autoencoder.transform(TABLE)
    path = to_onnx(autoencoder, tmp_path / "file", Z, method="inverse_transform")
    session = onnxruntime.InferenceSession(path)
    names = [part.name for part in session.get_outputs()]
    cells = dict(zip(names, session.run(None, {"X": Z}), strict=True))
    expected = autoencoder.inverse_transform(Z)
    assert set(names) == set(TABLE.columns) - {"nothing"}
    for name in ("town", "two", "class", "is_wide", "count"):
        assert_array_equal(cells[name][:, 0], expected[name].to_numpy())
    days = cells["day"][:, 0].astype("M8[us]")
    assert np.abs(days - expected["day"].to_numpy()).max() < np.timedelta64(9, "us")


def test_cells_are_compared(autoencoder, tmp_path, monkeypatch):
    wrong = autoencoder.reconstruct(TABLE).assign(two="x")
    monkeypatch.setattr(autoencoder, "reconstruct", lambda X: wrong)
    with pytest.raises(OnnxMismatchError, match="not those of the estimator"):
        to_onnx(autoencoder, tmp_path / "file", TABLE, method="reconstruct")


def test_pipelines_take_tables(tmp_path):
    labels = np.arange(N) % 2
    pipeline = make_pipeline(
        AutoencoderTransformer(2, **QUICK), StandardScaler(), LogisticRegression()
    ).fit(TABLE, labels)
    path = to_onnx(pipeline, tmp_path / "file", TABLE)
    answer = onnxruntime.InferenceSession(path).run(None, feeds(TABLE))[0]
    assert_array_equal(answer, pipeline.predict(TABLE))


def test_arrays_of_objects_are_tables(tmp_path):
    cells = TABLE[["length", "count", "town"]].astype(object).to_numpy()
    estimator = EncoderDecoderRegressor(2, **QUICK).fit(cells, np.arange(N))
    path = to_onnx(estimator, tmp_path / "file", cells.tolist())
    inputs = onnxruntime.InferenceSession(path).get_inputs()
    assert [part.name for part in inputs] == ["column 0", "column 1", "column 2"]


def test_columns_may_have_the_names_of_a_file_s_own(tmp_path):
    frame = TABLE[["length", "town", "two", "count"]]
    frame.columns = ["X", "output", "y", "v1"]
    labels = np.array(["a", "b"])[np.arange(N) % 2]
    estimator = VAETransformer(2, conditional=True, inference="encoder", **QUICK)
    estimator.fit(frame, labels)
    path = to_onnx(estimator, tmp_path / "file", frame, y=labels)
    session = onnxruntime.InferenceSession(path)
    assert [part.name for part in session.get_inputs()] == [*frame.columns, "y_"]
    assert [part.name for part in session.get_outputs()] == ["output_"]


def test_an_empty_text_may_be_a_level(tmp_path):
    frame = pd.DataFrame({"a": ["", "b", "c", None] * 10, "b": np.arange(40.0)})
    estimator = AutoencoderTransformer(1, inference="encoder", **QUICK).fit(frame)
    path = to_onnx(estimator, tmp_path / "file", frame)
    (entry,) = [e for e in onnx.load(path).metadata_props if e.key == "inputs"]
    assert json.loads(entry.value)[0]["missing"] == "?"


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: TABLE[["length"]], "feature names should match"),
        (lambda: TABLE.to_numpy()[:, :3], "3 features"),
    ],
)
def test_other_tables_are_refused(make, match, autoencoder, tmp_path):
    with pytest.raises(ValueError, match=match):
        to_onnx(autoencoder, tmp_path / "file", make())


# Columns that are conditions ----------------------------------------------------------

METHODS = ["transform", "score_samples", "reconstruct", "inverse_transform"]
WITH_TOWNS = TABLE[["length", "count", "town", "is_wide"]].fillna({"town": "a"})


@pytest.fixture(scope="module")
def conditional():
    names = ["town", "is_wide"]
    options = {"condition_columns": names, "noise": "shared", **QUICK}
    return VAETransformer(2, **options).fit(WITH_TOWNS)


@pytest.mark.parametrize("method", METHODS)
def test_conditions_are_columns_like_others(method, conditional, tmp_path):
    is_inverse = method == "inverse_transform"
    rows = conditional.transform(WITH_TOWNS) if is_inverse else WITH_TOWNS
    y = WITH_TOWNS[["town", "is_wide"]] if is_inverse else None
    to_onnx(conditional, tmp_path / "file", rows, method=method, y=y)


def test_conditions_of_rows_to_be_are_inputs(conditional, tmp_path):
    Z = conditional.transform(WITH_TOWNS)
    path = to_onnx(
        conditional, tmp_path / "file", Z, method="inverse_transform", y=["b", True]
    )
    session = onnxruntime.InferenceSession(path)
    names = [part.name for part in session.get_inputs()]
    assert names == ["X", "town", "is_wide"]
    assert [part.name for part in session.get_outputs()] == [
        *("length", "count", "town_out", "is_wide_out")
    ]
    (entry,) = [e for e in onnx.load(path).metadata_props if e.key == "inputs"]
    assert [part["name"] for part in json.loads(entry.value)] == ["town", "is_wide"]


@pytest.fixture(scope="module")
def told():
    X = np.nan_to_num(holed())
    options = {"condition_columns": [1, 3], "noise": "shared", **QUICK}
    return X, VAETransformer(2, **options).fit(X)


@pytest.mark.parametrize("method", METHODS)
def test_conditions_among_numbers(method, told, tmp_path):
    X, estimator = told
    is_inverse = method == "inverse_transform"
    rows = estimator.transform(X) if is_inverse else X
    y = X[:, [1, 3]] if is_inverse else None
    for dtype in (np.float64, np.float32):
        to_onnx(estimator, tmp_path / "file", rows.astype(dtype), method=method, y=y)


def test_rows_without_their_condition_have_no_latents(conditional, tmp_path):
    path = to_onnx(conditional, tmp_path / "file", WITH_TOWNS)
    session = onnxruntime.InferenceSession(path)
    (Z,) = session.run(None, feeds(WITH_TOWNS.assign(town="Z")))
    assert np.isnan(Z).all()


def test_pipelines_have_conditions_in_x(tmp_path):
    X = np.nan_to_num(holed())
    model = VAETransformer(2, condition_columns=[0], **QUICK)
    pipeline = make_pipeline(StandardScaler(), model).fit(X)
    to_onnx(pipeline, tmp_path / "file", X)
    with pytest.raises(ValueError, match="needs their conditions"):
        to_onnx(pipeline, tmp_path / "file", X[:, :2], method="inverse_transform")
    model.set_params(condition_columns=None, conditional=True)
    pipeline.fit(X, np.arange(N) % 2)
    with pytest.raises(ValueError, match="hands no y on"):
        to_onnx(pipeline, tmp_path / "file", X, y=np.arange(N) % 2)


# Columns with maps --------------------------------------------------------------------


@pytest.fixture(scope="module")
def mapped():
    return VAETransformer(2, column_maps="quantile", **QUICK).fit(TABLE)


@pytest.mark.parametrize("method", METHODS)
def test_maps_of_tables(method, mapped, tmp_path):
    rows = mapped.transform(TABLE) if method == "inverse_transform" else TABLE
    to_onnx(mapped, tmp_path / "file", rows, method=method)


@pytest.fixture(scope="module")
def scored():
    X = holed()
    X[::3, 1] = 0.5  # a value that many rows share
    X[:, 2] = np.round(X[:, 2])  # values that are some steps apart
    return X, VAETransformer(2, column_maps="quantile", **QUICK).fit(X)


@pytest.mark.parametrize("method", METHODS)
def test_maps_of_numbers(method, scored, tmp_path):
    X, estimator = scored
    is_inverse = method == "inverse_transform"
    # Beyond the least and the largest too.
    rows = 9.0 * estimator.transform(X) if is_inverse else np.vstack([X, 1.5 * X])
    path = to_onnx(estimator, tmp_path / "file", rows, method=method)
    (part,) = onnxruntime.InferenceSession(path).get_inputs()
    assert part.shape[1] == rows.shape[1]


def test_maps_of_numbers_in_single_precision(tmp_path):
    X = holed()
    estimator = VAETransformer(2, column_maps="quantile", **QUICK)
    estimator.fit(X.astype(np.float32))
    to_onnx(estimator, tmp_path / "file", X, method="reconstruct")


def test_patterns_that_fit_did_not_see(mapped, tmp_path):
    rows = TABLE.assign(length=np.nan, single=np.float32(np.nan), town=None)
    to_onnx(mapped, tmp_path / "file", rows, method="score_samples")


def test_maps_go_with_conditions_apart(tmp_path):
    labels = np.arange(N) % 3
    estimator = VAETransformer(2, column_maps="quantile", conditional=True, **QUICK)
    estimator.fit(TABLE, labels)
    to_onnx(estimator, tmp_path / "file", TABLE, y=labels)


def test_maps_in_pipelines(tmp_path):
    X = np.nan_to_num(holed())
    model = VAETransformer(2, column_maps="quantile", **QUICK)
    pipeline = make_pipeline(StandardScaler(), model).fit(X)
    to_onnx(pipeline, tmp_path / "file", X)
    Z = pipeline.transform(X)
    to_onnx(pipeline, tmp_path / "file", Z, method="inverse_transform")


# Numbers ------------------------------------------------------------------------------


def holed():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 3)) @ rng.normal(size=(3, 5))
    X[rng.random(X.shape) < 0.2] = np.nan
    X[0] = np.nan
    return X


@pytest.mark.parametrize(
    ("Estimator", "loss"),
    [
        (AutoencoderTransformer, "squared_error"),
        (VAETransformer, "absolute_error"),
        (VAETransformer, "log_loss"),
    ],
)
def test_missing_numbers(Estimator, loss, tmp_path):
    X = holed()
    X = 1.0 / (1.0 + np.exp(-X)) if loss == "log_loss" else X
    estimator = Estimator(2, loss=loss, **QUICK).fit(X)
    to_onnx(estimator, tmp_path / "file", X, method="score_samples")


def test_numbers_miss_in_use_alone(tmp_path):
    X = holed()
    complete = np.nan_to_num(X, nan=0.3)
    estimator = DenoisingAutoencoderTransformer(2, inference="refined", **QUICK)
    estimator.fit(complete)
    path = to_onnx(estimator, tmp_path / "file", X.astype(np.float32))
    (entry,) = [e for e in onnx.load(path).metadata_props if e.key == "missing_cells"]
    assert entry.value == "taken"
    small = to_onnx(estimator, tmp_path / "small", complete)
    assert small.stat().st_size < path.stat().st_size
