"""The benchmarks: what they read, how they measure, what they say."""

import gzip
import json
import os
import warnings

import numpy as np
import pytest
import torch
from scipy.io import savemat
from sklearn.datasets import load_breast_cancer, load_digits, load_iris
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss, mean_absolute_error, mean_squared_error
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from benchmarks import _figure, datasets, likelihood, reconstruction
from benchmarks._alternatives import LectureAutoencoder
from benchmarks._cells import split_rows
from benchmarks._command import describe_run, make_parser
from benchmarks._measuring import reconstruct
from benchmarks._results import Results
from benchmarks._text import format_failures
from benchmarks.datasets import Table, find_tables, load_tables, select_names
from sklearn_ae import AutoencoderTransformer, VAETransformer

DATA_HOME = os.environ.get(datasets.ENVIRONMENT_VARIABLE)


@pytest.fixture(autouse=True)
def no_folder(monkeypatch):
    monkeypatch.delenv(datasets.ENVIRONMENT_VARIABLE, raising=False)


# Tables -------------------------------------------------------------------------------


def idx(array):
    """The bytes of an IDX file, by its definition."""
    lengths = b"".join(length.to_bytes(4, "big") for length in array.shape)
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + lengths + array.tobytes())


PIXELS = np.arange(5 * 2 * 3, dtype=np.uint8).reshape(5, 2, 3)
LABELS = np.array([0, 1, 2, 1, 0], dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    """A folder of one small data set of every kind."""
    entries = []

    def add(name, files, **more):
        (tmp_path / name).mkdir()
        entries.append({"name": name, "files": [{"file": f} for f in files], **more})
        return tmp_path / name

    path = add(
        "cars",
        ["part1.csv", "part2.csv.gz"],
        target="class",
        categorical=["color"],
        drop=["id"],
    )
    heading = "id,power,color,same,width,class,note,empty"
    first = [heading, "1,10,red,7,1.5,a,x,", "2,,NA,7,2.5,b,y,", "3,30,red,7,,a,x,"]
    second = [heading, "4,90,blue,7,3.5,b,x,", "5,20,blue,7,0.5,,x,"]
    (path / "part1.csv").write_text("\n".join(first))
    (path / "part2.csv.gz").write_bytes(gzip.compress("\n".join(second).encode()))

    path = add("only_words", ["a.csv"], target="y", categorical=["x"], drop=[])
    (path / "a.csv").write_text("x,y\na,1\nb,2\n")
    path = add("prices", ["a.csv"], target="y", categorical=[], drop=[])
    (path / "a.csv").write_text("x,z,y\n1,2,0.5\n3,5,1.5\n4,4,2\n")
    path = add("voices", ["voices.mat"])
    savemat(path / "voices.mat", {"X": PIXELS.reshape(5, 6), "Y": LABELS[:, None]})
    path = add("words", ["words.mat"], task="5 x 6 counts")
    savemat(path / "words.mat", {"X": PIXELS.reshape(5, 6), "Y": LABELS[:, None]})
    path = add("usps", ["usps.npz", "usps.h5"])
    np.savez(
        path / "usps.npz",
        X_train=PIXELS.reshape(5, 6)[:3],
        X_test=PIXELS.reshape(5, 6)[3:],
        y_train=LABELS[:3],
        y_test=LABELS[3:],
    )
    path = add("faults", ["1_a.npz", "2_b.npz"])
    np.savez(path / "1_a.npz", X=PIXELS.reshape(5, 6), y=LABELS)
    np.savez(path / "2_b.npz", X=-PIXELS.reshape(5, 6).astype(float), y=LABELS)
    parts = {"train": slice(None, 3), "t10k": slice(3, None)}
    files = [f"{p}-{w}-ubyte.gz" for p in parts for w in ("images-idx3", "labels-idx1")]
    path = add("mnist", files)
    for part, rows in parts.items():
        (path / f"{part}-images-idx3-ubyte.gz").write_bytes(idx(PIXELS[rows]))
        (path / f"{part}-labels-idx1-ubyte.gz").write_bytes(idx(LABELS[rows]))
    (tmp_path / "MANIFEST.json").write_text(json.dumps(entries))
    return tmp_path


def one(data_home, name):
    (table,) = load_tables(data_home, [name])
    return table


def test_bundled_tables_are_always_there():
    names = [table.name for table in load_tables()]
    assert names == ["iris", "wine", "diabetes", "breast_cancer", "digits"]
    X, y = load_breast_cancer(return_X_y=True)
    table = one(None, "breast_cancer")
    np.testing.assert_array_equal(table.X, X)
    np.testing.assert_array_equal(table.y, y)
    assert table.X.dtype == np.float64


def test_constant_columns_are_left_out():
    X = load_digits().data
    np.testing.assert_array_equal(one(None, "digits").X, X[:, X.std(axis=0) > 0])


def test_classes_are_told_from_quantities(folder):
    discrete = {table.name for table in load_tables(folder) if table.is_discrete}
    quantities = {"diabetes", "prices"}
    assert discrete == set(find_tables(folder)) - quantities


def test_numeric_columns_of_a_mixed_table(folder):
    _, X, y, is_discrete = one(folder, "cars")
    # Medians of 10, 30, 90 and of 1.5, 2.5, 3.5; the row without a class is left out.
    np.testing.assert_array_equal(X, [[10, 1.5], [30, 2.5], [30, 2.5], [90, 3.5]])
    assert list(y) == ["a", "b", "a", "b"]
    assert is_discrete


@pytest.mark.parametrize("name", ["voices", "usps", "mnist", "faults/1_a"])
def test_arrays_and_images_are_rows(folder, name):
    table = one(folder, name)
    np.testing.assert_array_equal(table.X, PIXELS.reshape(5, 6))
    np.testing.assert_array_equal(table.y, LABELS)
    assert table.X.dtype == np.float64
    assert table.X.flags.c_contiguous


def test_groups(folder, monkeypatch):
    sources = find_tables(folder)
    assert select_names(sources, ["images"]) == ["usps", "mnist"]
    assert select_names(sources, ["anomaly"]) == ["faults/1_a", "faults/2_b"]
    assert select_names(sources, ["mnist", "tables"]) == [
        "cars",
        "prices",
        "voices",
        "mnist",
    ]
    assert select_names(sources) == list(sources)
    monkeypatch.setenv(datasets.ENVIRONMENT_VARIABLE, str(folder))
    assert set(find_tables()) == set(sources)


def test_errors_of_the_folder(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        find_tables(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"has no MANIFEST\.json"):
        find_tables(folder / "cars")
    with pytest.raises(ValueError, match=r"called nothing.*Tables: iris.*cars"):
        select_names(find_tables(folder), ["iris", "nothing"])
    with pytest.raises(ValueError, match=r"called images.*SKLEARN_AE_DATA_HOME"):
        select_names(find_tables(), ["bundled", "images"])
    (folder / "cars" / "part1.csv").unlink()
    (folder / "voices" / "voices.mat").unlink()
    for name in ("cars", "voices"):
        with pytest.raises(FileNotFoundError, match=f"{name}.*is missing"):
            one(folder, name)
    assert one(folder, "prices").X.shape == (3, 2)  # the others are unharmed
    (folder / "MANIFEST.json").write_text('[{"name": "cars"}]')
    with pytest.raises(ValueError, match="'name' and 'files'"):
        find_tables(folder)
    entries = [{"name": "iris", "files": [{"file": "iris.mat"}]}]
    (folder / "MANIFEST.json").write_text(json.dumps(entries))
    with pytest.raises(ValueError, match="Two tables are called 'iris'"):
        find_tables(folder)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\x08",
        b"\0\0\x08\x02\0\0",  # ends within the lengths
        b"\0\0\x08\x01\0\0\0\x03\x05\x05",  # two bytes of three
        b"\0\0\x0d\x01\0\0\0\x01\x05\x05\x05\x05",  # floats
    ],
)
def test_broken_images(folder, content):
    path = folder / "mnist" / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(content))
    with pytest.raises(ValueError, match="not a whole IDX file"):
        one(folder, "mnist")


def test_more_images_than_labels(folder):
    path = folder / "mnist" / "train-labels-idx1-ubyte.gz"
    path.write_bytes(idx(LABELS[:2]))
    with pytest.raises(ValueError, match="5 images, but 4 labels"):
        one(folder, "mnist")


@pytest.mark.data
@pytest.mark.skipif(not DATA_HOME, reason="SKLEARN_AE_DATA_HOME is not set")
def test_tables_of_the_real_folder():
    names = ["titanic", "letter", "usps"]
    assert {*names, "mnist", "gas_turbine"} <= set(find_tables(DATA_HOME))
    for table in load_tables(DATA_HOME, names):
        assert np.isfinite(table.X).all()
        assert (np.ptp(table.X, axis=0) > 0).all()
        assert len(table.X) == len(table.y)
        assert table.is_discrete


# Splits and results -------------------------------------------------------------------


def numbered(n_rows, n_columns=3, is_discrete=True):
    """A table whose every row tells its number."""
    X = np.arange(n_rows)[:, None] * np.ones(n_columns)
    return Table("numbered", X, np.arange(n_rows) % 2, is_discrete)


class Nothing:
    """A scaler that leaves rows as they are."""

    def fit_transform(self, X):
        return X

    transform = fit_transform


@pytest.mark.parametrize("max_rows", [999, 30])
def test_split(max_rows):
    n_train, n_test = min(75, max_rows), min(25, max_rows // 3)
    split = split_rows(numbered(100), 0, max_rows, Nothing())
    assert split.X_train.shape == (n_train, 3)
    assert split.X_test.shape == (n_test, 3)
    numbers = np.concatenate([split.X_train, split.X_test])[:, 0]
    assert len(set(numbers)) == n_train + n_test
    np.testing.assert_array_equal(split.y_train, split.X_train[:, 0] % 2)
    np.testing.assert_array_equal(split.y_test, split.X_test[:, 0] % 2)
    again, other = (
        split_rows(numbered(100), seed, max_rows, Nothing()) for seed in (0, 1)
    )
    np.testing.assert_array_equal(again.X_train, split.X_train)
    assert (other.X_train != split.X_train).any()


def test_split_is_scaled_by_its_training_rows():
    table = Table("iris", *load_iris(return_X_y=True), False)
    raw = split_rows(table, 3, 1000, Nothing())
    split = split_rows(table, 3, 1000, StandardScaler())
    mean, spread = raw.X_train.mean(axis=0), raw.X_train.std(axis=0)
    np.testing.assert_allclose(split.X_train, (raw.X_train - mean) / spread)
    np.testing.assert_allclose(split.X_test, (raw.X_test - mean) / spread)
    assert split.y_train is None  # y is a quantity here


def test_columns_without_spread_in_the_training_rows_are_left_out():
    X = np.random.default_rng(0).normal(size=(100, 3))
    test = np.random.RandomState(0).permutation(100)[75:]
    X[:, 1] = 0.0
    X[test[0], 1] = 1e6
    split = split_rows(Table("X", X, None, False), 0, 1000, Nothing())
    np.testing.assert_array_equal(split.X_test, X[test][:, [0, 2]])


def results_at(path, *options, settings=None):
    parser = make_parser("test", "Test.", ["a", "b"])
    args = parser.parse_args(["--output", str(path), *options])
    return Results.open(args, settings or {"max_rows": 5})


ROW = {"set": "iris", "k": 2, "seed": 0, "method": "a", "n_columns": 4, "error": 0.5}


def test_results_are_written_and_read(tmp_path):
    path = tmp_path / "new" / "results.json"
    results = results_at(path)
    results.runs.append({"command": "python"})
    for row in (ROW, ROW | {"method": "b"}, ROW | {"seed": 1, "failure": "no"}):
        results.add(row)
        results.save()
        assert json.loads(path.read_text())["results"] == results.rows
    assert list(path.parent.iterdir()) == [path]

    with pytest.raises(FileExistsError, match=r"--resume.*--overwrite.*--output"):
        results_at(path)
    with pytest.raises(ValueError, match=r"other settings.*'max_rows': 5"):
        results_at(path, "--resume", settings={"max_rows": 6})
    assert results_at(path, "--overwrite").rows == []
    resumed = results_at(path, "--resume")
    assert resumed.rows == results.rows[:2]  # what failed is tried again
    assert resumed.runs == results.runs
    assert results_at(path, "--resume", "--redo", "a").rows == results.rows[1:2]


def test_results_know_what_is_left(tmp_path):
    results = results_at(tmp_path / "results.json")
    assert not results.has_all("iris", [2], 1, ["a"])
    results = Results(results.path, {}, [], [ROW])
    assert results.has_all("iris", [2, 4, 8], 1, ["a"])  # 4 columns: k=2 only
    assert not results.has_all("iris", [2, 3], 1, ["a"])
    assert not results.has_all("iris", [2], 2, ["a"])
    assert not results.has_all("iris", [2], 1, ["a", "b"])


def test_the_run_names_no_folder_of_the_machine(tmp_path):
    argv = ["--data-home", str(tmp_path / "data"), "--k", "2"]
    run = describe_run("benchmarks.test", argv)
    assert run["command"] == "python -m benchmarks.test --data-home data --k 2"
    assert str(tmp_path) not in json.dumps(run)
    assert run["versions"]["torch"] == torch.__version__


# Reconstruction: methods --------------------------------------------------------------


@pytest.fixture(scope="module")
def split():
    table = Table("iris", *load_iris(return_X_y=True), True)
    return split_rows(table, 0, 1000, StandardScaler())


def test_pca_by_hand(split):
    row = reconstruction.measure("pca", 2, 0, split, {})
    axes = np.linalg.svd(split.X_train, full_matrices=False)[2]
    lost = split.X_test @ axes[2:].T  # the training rows have mean 0
    assert row["error"] == pytest.approx((lost**2).sum() / split.X_test.size)
    Z_train, Z_test = split.X_train @ axes[:2].T, split.X_test @ axes[:2].T
    knn = KNeighborsClassifier(5).fit(Z_train, split.y_train)
    assert row["knn_accuracy"] == knn.score(Z_test, split.y_test)


def test_ours_is_the_default_estimator(split, monkeypatch):
    made = []

    class Untrained(AutoencoderTransformer):
        def fit(self, X, y=None):
            made.append(self.get_params())
            self.max_iter = 0
            return super().fit(X)

    monkeypatch.setattr(reconstruction, "AutoencoderTransformer", Untrained)
    ours = reconstruction.measure("ours", 2, 7, split, {})
    pca = reconstruction.measure("pca", 2, 7, split, {})
    assert made == [AutoencoderTransformer(2, random_state=7).get_params()]
    assert ours["error"] == pytest.approx(pca["error"], rel=1e-5)  # float32
    assert ours["knn_accuracy"] == pca["knn_accuracy"]
    assert ours["layers"][len(ours["layers"]) // 2] == 2


@pytest.mark.parametrize("init", ["pca", "random"])
def test_layers_of_a_fitted_autoencoder(split, init):
    model = AutoencoderTransformer(
        2, hidden_layer_sizes=(7, 5), init=init, max_iter=0
    ).fit(split.X_train)
    assert reconstruction.layers_of(model) == [7, 5, 2, 5, 7]


def test_mlp_has_our_layers(split):
    ours = {"ours": {"layers": [7, 2, 7]}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        row = reconstruction.measure("mlp", 2, 0, split, ours)
    assert row["layers"] == [7, 2, 7]
    model = reconstruction.make_model("mlp", 2, 0, "squared_error", [7, 2, 7])
    assert model.hidden_layer_sizes == (7, 2, 7)
    assert model.early_stopping
    assert "knn_accuracy" not in row


def test_kernel_pca_takes_the_first_rows(split, monkeypatch):
    monkeypatch.setattr(reconstruction, "KERNEL_PCA_ROWS", 50)
    row = reconstruction.measure("kernel_pca", 2, 0, split, {})
    model = reconstruction.make_model("kernel_pca", 2, 0, "squared_error")
    model.fit(split.X_train[:50])
    assert model.gamma_ == 1 / 4
    back = model.inverse_transform(model.transform(split.X_test))
    assert row["error"] == mean_squared_error(split.X_test, back)


def test_lecture_autoencoder(split):
    lecture = LectureAutoencoder
    state = torch.random.get_rng_state()
    models = [
        lecture(2, n_epochs=n, batch_size=32, random_state=seed).fit(split.X_train)
        for n, seed in ((0, 0), (20, 0), (20, 0), (20, 1))
    ]
    assert torch.equal(torch.random.get_rng_state(), state)
    errors = [
        mean_squared_error(split.X_test, reconstruct(m, split.X_test)) for m in models
    ]
    assert errors[1] < 0.5 * errors[0]  # it learns
    assert errors[1] == errors[2] != errors[3]  # the seed decides
    model = lecture(2)
    assert (model.hidden_width, model.n_epochs, model.batch_size) == (300, 50, 128)
    widths = [
        [layer.out_features for layer in network if isinstance(layer, torch.nn.Linear)]
        for network in (models[0].encoder, models[0].decoder)
    ]
    assert widths == [[300, 300, 2], [300, 300, 4]]


def test_losses():
    rng = np.random.default_rng(0)
    X, back = rng.uniform(size=(2, 20, 3))
    error = reconstruction.held_out_error
    assert error("squared_error", X, back) == pytest.approx(mean_squared_error(X, back))
    assert error("absolute_error", X, back) == pytest.approx(
        mean_absolute_error(X, back)
    )
    # scikit-learn's log loss takes 0 and 1 only; it is linear in the truth.
    truth = X.round().ravel()
    p = back.clip(1 / 512, 1 - 1 / 512).ravel()
    assert error("log_loss", X.round(), back) == pytest.approx(log_loss(truth, p))
    ones, zeros = np.ones((1, 3)), np.zeros((1, 3))
    half = 0.5 * error("log_loss", ones, back[:1]) + 0.5 * error(
        "log_loss", zeros, back[:1]
    )
    assert error("log_loss", ones / 2, back[:1]) == pytest.approx(half)
    # What leaves [0, 1] is put inside it, probabilities stay as they are.
    assert error("log_loss", ones, 2 * ones) == pytest.approx(-np.log(511 / 512))
    assert error("log_loss", ones, ones, knows_limits=True) < 1e-11
    assert reconstruction.lowest_log_loss(X) <= error("log_loss", X, back)
    assert reconstruction.lowest_log_loss(ones / 2) == pytest.approx(np.log(2))


@pytest.mark.parametrize("loss", reconstruction.LOSSES)
def test_our_error_is_what_the_estimator_minimises(quick, monkeypatch, loss):
    def make(k, loss, random_state):
        return quick(AutoencoderTransformer, n_components=k, loss=loss, max_iter=2)

    # What keeps the others inside [0, 1] does not touch our probabilities.
    monkeypatch.setattr(reconstruction, "MARGIN", 0.4)
    monkeypatch.setattr(reconstruction, "AutoencoderTransformer", make)
    table = Table("iris", *load_iris(return_X_y=True), True)
    scaler = MinMaxScaler(clip=True) if loss == "log_loss" else StandardScaler()
    split = split_rows(table, 0, 1000, scaler)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        row = reconstruction.measure("ours", 2, 0, split, {}, loss=loss)
        model = make(2, loss, 0).fit(split.X_train)
    assert row["error"] == pytest.approx(-model.score(split.X_test))
    assert ("floor" in row) == (loss == "log_loss")


# Reconstruction: the report -----------------------------------------------------------


def result(name, k, seed, method, error=None, **more):
    row = {"set": name, "k": k, "seed": seed, "method": method, "n_columns": 9}
    row |= {"n_train": 900, "n_test": 300, "fit_seconds": 1.0}
    row |= {"failure": "Error: no"} if error is None else {"error": error}
    return row | more


def frame_of(tmp_path, rows):
    results = Results(tmp_path / "r.json", {}, [], rows)
    return results.frame("error", "fit_seconds")


@pytest.fixture
def small_frame(tmp_path):
    """Ratios to PCA, by hand: a 0.5 and 0.7 (k=2), a 1.2 (k=4), b 0.9, c 1.0004."""
    short = {"n_train": 90, "n_test": 30}
    rows = [
        result("a", 2, 0, "pca", 2.0, knn_accuracy=0.7),
        result("a", 2, 0, "ours", 1.0, knn_accuracy=0.8),
        result("a", 2, 0, "lecture", 1.2, knn_accuracy=0.1),
        result("a", 2, 1, "pca", 1.0, knn_accuracy=0.7),
        result("a", 2, 1, "ours", 0.7, knn_accuracy=0.7),
        result("a", 2, 1, "lecture"),
        result("a", 4, 0, "pca", 1.0, knn_accuracy=0.9),
        result("a", 4, 0, "ours", 1.2, knn_accuracy=0.8),
        result("a", 4, 0, "lecture", 5.0, knn_accuracy=0.1),
        result("b", 2, 0, "pca", 1.0, **short),
        result("b", 2, 0, "ours", 0.9, **short, fit_seconds=3.0),
        result("b", 2, 0, "lecture", 0.8, **short),
        result("c", 2, 0, "pca", 1.0, **short),
        result("c", 2, 0, "ours", 1.0004, **short),
        result("c", 2, 0, "lecture", 2.0, **short),
    ]
    return frame_of(tmp_path, rows)


def test_summary_by_hand(small_frame):
    summary = reconstruction.summarize(small_frame)
    assert summary["n_tables"] == 3
    assert (summary["n_cells"], summary["n_runs"]) == (4, 5)
    assert summary["worst_run"] == summary["worst_run_from_1000_rows_on"]
    assert summary["worst_run"] == ["a", 4, 0, 1.2]
    assert summary["worst_cell"] == ["a", 4, 1.2]
    assert summary["median_of_cells"] == pytest.approx((0.9 + 1.0004) / 2)
    assert summary["share_of_cells_at_most_1"] == 0.75
    assert summary["share_of_runs_at_most_1"] == 0.8
    assert summary["runs_above_1"] == [["a", 4, 0, 1.2]]
    # Best others: a, 2: PCA, as the lecture's failed once; a, 4: PCA; b: 0.8; c: PCA.
    assert summary["share_of_cells_as_good_as_best"] == 0.5
    # The run in which a method failed is not counted.
    assert summary["fit_seconds"] == {"ours": 6.0, "pca": 4.0, "lecture": 4.0}
    knn = summary["accuracy"]["knn_accuracy"]
    assert knn["means"][4] == {"ours": 0.8, "pca": 0.9, "lecture": 0.1}
    assert knn["cells_below_pca"] == [["a", 4, 0.8, 0.9]]
    short = reconstruction.summarize(small_frame[small_frame["n_train"] < 900])
    assert short["worst_run"] == ["c", 2, 0, 1.0004]
    assert short["worst_run_from_1000_rows_on"] is None


def test_report(small_frame):
    summary = reconstruction.summarize(small_frame)
    lines = reconstruction.report(small_frame, summary).splitlines()
    (a,) = (line for line in lines if line.startswith("a "))
    assert a.split() == ["a", "900", "9", "0.600", "(1.000)", "1.200", "(1.000)!"]
    (b,) = (line for line in lines if line.startswith("b "))
    assert b.split()[-2:] == ["0.900", "(0.800)-"]
    assert "Worst run: 1.2000 (a, k=4, seed 0)" in lines
    assert "  0.8000, PCA 0.9000 (a, k=4)" in lines


def test_failures_of_ours_are_infinitely_bad(tmp_path):
    rows = [
        result("a", 2, 0, "pca", 2.0),
        result("a", 2, 0, "ours"),
        result("b", 2, 0, "pca", 2.0),
        result("b", 2, 0, "ours", 1.0),
        result("c", 2, 0, "pca"),
        result("c", 2, 0, "ours", 1.0),
    ]
    frame = frame_of(tmp_path, rows)
    summary = reconstruction.summarize(frame)
    assert summary["n_runs"] == 2  # without an error of PCA there is no ratio
    assert summary["worst_run"] == ["a", 2, 0, None]
    assert summary["share_of_runs_at_most_1"] == 0.5
    json.dumps(summary, allow_nan=False)
    assert "Worst run: failed (a, k=2, seed 0)" in reconstruction.report(frame, summary)
    assert "ours on a, k=2, seed 0: Error: no" in format_failures(rows)
    _figure.ratio_figure(frame, "ours")


def test_errors_of_rounding_count_as_equal(tmp_path):
    rows = [result("a", 2, 0, "pca", 1e-30), result("a", 2, 0, "ours", 1e-14)]
    summary = reconstruction.summarize(frame_of(tmp_path, rows))
    assert summary["worst_run"] == ["a", 2, 0, 1.0]


def test_figure_shows_every_ratio(small_frame):
    figure = _figure.ratio_figure(small_frame, "ours")
    panels = figure.axes
    assert [ax.get_title("left") for ax in panels] == ["2 latents", "4 latents"]
    names = [label.get_text() for label in panels[0].get_yticklabels()]
    assert set(names) == {"a", "b", "c"}
    colors = {
        _figure.OURS_COLOR: {("a", 0.6), ("b", 0.9), ("c", 1.0004)},
        # a of the lecture's autoencoder failed once and lies beyond the axis.
        _figure.PEER_COLOR: {("b", 0.8)},
    }
    for color, points in colors.items():
        shown = {
            (names[round(y)], round(float(x), 6))
            for line in panels[0].lines
            if line.get_color() == color and line.get_marker() == "o"
            for x, y in zip(*line.get_data(), strict=True)
        }
        assert shown == points


# The commands -------------------------------------------------------------------------


@pytest.fixture
def untrained(monkeypatch):
    """Let both networks stay what they are before the first step."""

    def autoencoder(k, loss="squared_error", random_state=0, max_iter=0):
        return AutoencoderTransformer(k, random_state=random_state, max_iter=0)

    def vae(k, random_state, **params):
        return VAETransformer(k, random_state=random_state, max_iter=0, **params)

    monkeypatch.setattr(reconstruction, "AutoencoderTransformer", autoencoder)
    monkeypatch.setattr(likelihood, "VAETransformer", vae)


OPTIONS = [
    "--sets",
    "iris",
    "wine",
    "--k",
    "2",
    "5",
    "--seeds",
    "2",
    "--max-rows",
    "60",
]


def test_reconstruction_command(untrained, tmp_path, capsys):
    path = tmp_path / "results" / "r.json"
    options = [*OPTIONS, "--output", str(path), "--methods"]
    reconstruction.main([*options, "ours", "pca"])
    content = json.loads(path.read_text())
    cells = [("iris", 2), ("wine", 2), ("wine", 5)]  # iris has 4 columns
    assert {(row["set"], row["k"]) for row in content["results"]} == set(cells)
    assert len(content["results"]) == 3 * 2 * 2
    assert all(row["n_train"] == 60 for row in content["results"])
    # Before the first step the autoencoder is PCA.
    assert content["summary"]["worst_run"][-1] == pytest.approx(1.0, abs=1e-4)
    assert content["summary"]["share_of_cells_at_most_1"] == 1.0
    assert "Median of the cells: 1.000" in capsys.readouterr().out
    png = path.with_suffix(".png").read_bytes()
    assert png.startswith(b"\x89PNG")
    assert len(png) < 100_000

    # Only what is missing is measured, and the figure goes where it is told to.
    figure = tmp_path / "figure.png"
    more = ["pca", "kernel_pca", "--resume", "--figure", str(figure)]
    reconstruction.main([*options, *more])
    again = json.loads(path.read_text())
    assert again["results"][:12] == content["results"]
    assert {row["method"] for row in again["results"][12:]} == {"kernel_pca"}
    assert len(again["results"]) == 18
    assert len(again["runs"]) == 2
    assert figure.exists()


def test_an_interrupted_run_keeps_what_it_has(untrained, tmp_path, monkeypatch, capsys):
    path = tmp_path / "r.json"
    options = [*OPTIONS, "--output", str(path), "--methods", "ours", "pca"]
    measure = reconstruction.measure
    measured = []

    def interrupted(method, k, seed, split, *args, **kwargs):
        measured.append((method, k, seed))
        if len(measured) > 2 + 5:  # two to warm up
            raise KeyboardInterrupt
        return measure(method, k, seed, split, *args, **kwargs)

    monkeypatch.setattr(reconstruction, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        reconstruction.main(options)
    assert len(json.loads(path.read_text())["results"]) == 5
    monkeypatch.setattr(reconstruction, "measure", measure)
    reconstruction.main([*options, "--resume"])
    assert len(json.loads(path.read_text())["results"]) == 12


def test_a_failing_method_leaves_the_others(untrained, tmp_path, monkeypatch, capsys):
    def broken(method, k, seed, split, *args, measure=reconstruction.measure, **kwargs):
        if method == "pca" and k == 5:
            raise ValueError("it does not work\nat all")
        return measure(method, k, seed, split, *args, **kwargs)

    monkeypatch.setattr(reconstruction, "measure", broken)
    path = tmp_path / "r.json"
    reconstruction.main([*OPTIONS, "--output", str(path), "--methods", "ours", "pca"])
    rows = json.loads(path.read_text())["results"]
    failures = {row.get("failure") for row in rows}
    assert failures == {None, "ValueError: it does not work"}
    assert "Failed: pca on wine, k=5, seed 1: ValueError" in capsys.readouterr().out


@pytest.mark.parametrize("loss", ["absolute_error", "log_loss"])
def test_other_losses_are_compared_with_pca_alone(loss, quick, tmp_path, monkeypatch):
    def make(k, loss, random_state):
        return quick(AutoencoderTransformer, n_components=k, loss=loss, max_iter=1)

    monkeypatch.setattr(reconstruction, "AutoencoderTransformer", make)
    path = tmp_path / "r.json"
    reconstruction.main([*OPTIONS, "--output", str(path), "--loss", loss])
    content = json.loads(path.read_text())
    assert {row["method"] for row in content["results"]} == {"ours", "pca"}
    assert content["settings"] == {"loss": loss, "max_rows": 60}
    assert ("median_of_cells_above_floor" in content["summary"]) == (loss == "log_loss")


def test_mistakes_on_the_command_line(tmp_path, capsys):
    path = tmp_path / "r.json"
    for main in (reconstruction.main, likelihood.main):
        for options, message in (
            (["--sets", "nothing"], "called nothing"),
            (["--data-home", str(tmp_path)], "has no MANIFEST.json"),
            (["--k", "0"], "0 is below 1"),
            (["--methods", "magic"], "magic"),
        ):
            with pytest.raises(SystemExit) as stopped:
                main([*options, "--output", str(path)])
            assert stopped.value.code == 2
            assert message in capsys.readouterr().err
        with pytest.raises(SystemExit, match="No table has more columns"):
            main(
                [
                    "--sets",
                    "iris",
                    "--k",
                    "4",
                    "--output",
                    str(path),
                    "--methods",
                    "pca",
                ]
            )
    assert not path.exists()


def test_likelihood_command(untrained, tmp_path, capsys):
    path = tmp_path / "l.json"
    likelihood.main([*OPTIONS, "--output", str(path)])
    content = json.loads(path.read_text())
    assert len(content["results"]) == 3 * 2 * 4
    gain = content["summary"]["gain_over_pca"]
    # Before the first step the VAE is probabilistic PCA.
    assert gain["worst_run"][0][-1] == pytest.approx(0.0, abs=1e-3)
    assert gain["median_of_cells"] == pytest.approx(0.0, abs=1e-3)
    text = capsys.readouterr().out
    assert "Gain over factor analysis" in text
    assert "Gain over VAETransformer(path_gradient=True)" in text
    assert content["summary"]["gain_over_path_gradient"]["median_of_cells"] == 0
    assert "Gain over probabilistic PCA" not in path.read_text()

    table = one(None, "wine")
    split = split_rows(table, 1, 60, StandardScaler())
    by_method = {
        row["method"]: row["log_likelihood"]
        for row in content["results"]
        if (row["set"], row["k"], row["seed"]) == ("wine", 5, 1)
    }
    for method, model in (("pca", PCA(5)), ("factor_analysis", FactorAnalysis(5))):
        expected = model.fit(split.X_train).score(split.X_test)
        assert by_method[method] == pytest.approx(expected)


def test_gains_by_hand(tmp_path):
    def row(name, k, seed, method, value):
        failed = {"failure": "Error: no"} if value is None else {}
        return result(name, k, seed, method, 0.0, log_likelihood=value, **failed)

    values = {
        ("a", 2, 0): {"vae": -1.0, "pca": -3.0, "factor_analysis": -0.5},
        ("a", 2, 1): {"vae": -1.0, "pca": -2.0, "factor_analysis": -2.0},
        ("a", 4, 0): {"vae": -1.0002, "pca": -1.0, "factor_analysis": -4.0},
        ("b", 2, 0): {"vae": None, "pca": -1.0, "factor_analysis": -1.0},
        ("b", 4, 0): {"vae": -1.0, "pca": -1.5, "factor_analysis": None},
    }
    rows = [row(*cell, m, v) for cell, by in values.items() for m, v in by.items()]
    results = Results(tmp_path / "l.json", {}, [], rows)
    frame = results.frame("log_likelihood", "fit_seconds")
    summary = likelihood.summarize(frame)
    over_pca = summary["gain_over_pca"]
    assert (over_pca["n_cells"], over_pca["n_runs"]) == (4, 5)
    assert over_pca["worst_run"] == [["b", 2, 0, None]]
    assert over_pca["median_of_cells"] == pytest.approx((-0.0002 + 0.5) / 2)
    assert over_pca["share_of_cells_at_least_0"] == 0.75  # -0.0002 is 0 here
    assert over_pca["runs_below_0"] == [["b", 2, 0, None]]
    over_fa = summary["gain_over_factor_analysis"]
    assert over_fa["n_runs"] == 4
    assert over_fa["share_of_runs_at_least_0"] == 0.5
    assert over_fa["runs_below_0"] == [["a", 2, 0, -0.5], ["b", 2, 0, None]]
    lines = likelihood.report(frame, summary).splitlines()
    (a,) = (line for line in lines if line.startswith("a "))
    assert a.split() == ["a", "900", "9", "1.50", "(0.25)", "0.00", "(3.00)"]
    json.dumps(summary, allow_nan=False)
