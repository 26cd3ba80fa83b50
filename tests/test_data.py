"""Parquet files as tables, and copies that can be mapped into memory."""

import pickle
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from sklearn_ae import AutoencoderTransformer, VAETransformer
from sklearn_ae._tables import rows as _rows
from sklearn_ae.data import ParquetTable, to_npy

N_ROWS = 250


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame(rng.normal(size=(N_ROWS, 3)), columns=["a", "b", "c"])


@pytest.fixture
def folder(tmp_path, frame):
    """Two files, the first with row groups of 60, 60 and 30 rows."""
    frame[:150].to_parquet(tmp_path / "1.parquet", row_group_size=60)
    frame[150:].to_parquet(tmp_path / "2.parquet", row_group_size=100)
    return tmp_path


def test_shape_is_that_of_all_files(folder):
    table = ParquetTable(folder)
    assert table.shape == (N_ROWS, 3)
    assert len(table) == N_ROWS


@pytest.mark.parametrize(
    "rows",
    [slice(0, 1), slice(50, 70), slice(None), slice(120, 180), slice(10, 10)]
    + [slice(-5, None), slice(0, 240, 7)],
    ids=str,
)
def test_slices_are_those_of_the_frame(folder, frame, rows):
    assert_array_equal(ParquetTable(folder)[rows], frame.to_numpy()[rows])


def test_row_numbers_pick_rows_in_their_order(folder, frame):
    numbers = np.random.default_rng(1).integers(-N_ROWS, N_ROWS, size=99)
    assert_array_equal(ParquetTable(folder)[numbers], frame.to_numpy()[numbers])


def test_a_mask_picks_rows(folder, frame):
    mask = frame["a"].to_numpy() > 0
    assert_array_equal(ParquetTable(folder)[mask], frame.to_numpy()[mask])


def test_columns_come_in_the_order_asked_for(folder, frame):
    table = ParquetTable(folder, columns=["c", "a"])
    assert table.columns == ["c", "a"]
    assert_array_equal(table[:], frame[["c", "a"]])


def test_files_come_in_the_order_of_a_list(folder, frame):
    table = ParquetTable([folder / "2.parquet", folder / "1.parquet"])
    assert_array_equal(table[:100], frame[150:])


def test_chunks_are_as_long_as_the_largest_row_group(folder):
    assert ParquetTable(folder).chunk_rows == 100


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("f4", "f4"), ("f8", "f8"), ("i2", "f4"), ("u1", "f4"), ("?", "f4"), ("i8", "f8")],
)
def test_dtype_holds_every_column(tmp_path, dtype, expected):
    frame = pd.DataFrame({"a": np.arange(3).astype(dtype), "b": np.ones(3, "f4")})
    frame.to_parquet(tmp_path / "x.parquet")
    table = ParquetTable(tmp_path / "x.parquet")
    assert table.dtype == expected
    assert table[:].dtype == expected


def test_columns_that_no_estimator_takes_are_named(tmp_path):
    table = pa.table({"n": [1.0], "parts": [[1, 2]], "raw": [b"x"]})
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"not so parts \(list.*\), raw \(binary"):
        ParquetTable(tmp_path)
    assert ParquetTable(tmp_path, columns=["n"]).shape == (1, 1)


def test_a_column_that_is_missing_is_named(folder):
    with pytest.raises(ValueError, match=r"no columns \['z'\]"):
        ParquetTable(folder, columns=["a", "z"])


@pytest.mark.parametrize("name", [None, "key"])
def test_the_index_of_pandas_is_no_column(tmp_path, frame, name):
    shuffled = frame.sample(frac=1.0, random_state=0).rename_axis(name)
    shuffled.to_parquet(tmp_path / "x.parquet")
    table = ParquetTable(tmp_path)
    assert table.columns == ["a", "b", "c"]
    assert table.index_columns == [name or "__index_level_0__"]
    assert_array_equal(table[:], shuffled)


def test_the_index_is_a_column_where_it_is_named(tmp_path, frame):
    shuffled = frame.sample(frac=1.0, random_state=0).rename_axis("key")
    shuffled.to_parquet(tmp_path / "x.parquet")
    table = ParquetTable(tmp_path, columns=["key", "a"])
    assert_array_equal(table[:], shuffled.reset_index()[["key", "a"]])


def test_one_row_is_a_vector(folder, frame):
    table = ParquetTable(folder)
    assert_array_equal(table[3], frame.to_numpy()[3])
    assert_array_equal(table[-1], frame.to_numpy()[-1])


def test_an_array_can_be_made_of_it(folder, frame):
    table = ParquetTable(folder)
    assert_array_equal(np.asarray(table), frame)
    assert np.array(table, dtype="f4").dtype == "f4"
    with pytest.raises(ValueError, match="always a copy"):
        np.array(table, copy=False)


def test_a_pickled_table_reads_the_same_files(folder, frame):
    table = ParquetTable(folder, columns=["c", "a"])
    copy = pickle.loads(pickle.dumps(table))
    assert_array_equal(copy[50:70], frame[["c", "a"]][50:70])


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([1.5, 2.5, 1.5]).dictionary_encode(), [1.5, 2.5, 1.5]),
        (pa.array([True, None, False]), [1.0, np.nan, 0.0]),
        (pa.array([1, None, 3]), [1.0, np.nan, 3.0]),
        (pa.array([Decimal("1.25"), None]), [1.25, np.nan]),
    ],
    ids=["dictionary", "booleans", "integers", "decimals"],
)
def test_numbers_of_any_type(tmp_path, column, expected):
    pq.write_table(pa.table({"it": column}), tmp_path / "x.parquet")
    assert_array_equal(ParquetTable(tmp_path)[:].ravel(), expected)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([{"x": 1}, {"x": 2}]),
        pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32(), 2)),
    ],
    ids=["structs", "lists"],
)
def test_what_is_no_number_is_named_with_its_type(tmp_path, column):
    pq.write_table(pa.table({"it": column}), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"not so it \("):
        ParquetTable(tmp_path)


def test_columns_of_one_name_are_refused(tmp_path):
    columns = [pa.array([1]), pa.array([2])]
    pq.write_table(pa.table(columns, names=["a", "a"]), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"twice there are \['a'\]"):
        ParquetTable(tmp_path)


def test_dtype_is_that_of_all_files(tmp_path):
    for number, dtype in enumerate(["f4", "f8"]):
        frame = pd.DataFrame({"a": np.ones(3, dtype)})
        frame.to_parquet(tmp_path / f"{number}.parquet")
    assert ParquetTable(tmp_path).dtype == "f8"


def test_a_table_without_rows_is_refused_by_fit(tmp_path):
    pd.DataFrame({"a": np.ones(0)}).to_parquet(tmp_path / "x.parquet")
    table = ParquetTable(tmp_path)
    assert table.shape == (0, 1)
    with pytest.raises(ValueError, match="0 sample"):
        AutoencoderTransformer(1).fit(table)


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (N_ROWS, IndexError, f"no row {N_ROWS}; there are {N_ROWS}"),
        ([0, -N_ROWS - 1], IndexError, "no row -251"),
        ([True, False], IndexError, "mask has 2 values for 250 rows"),
        ((slice(None), 0), TypeError, "by rows alone"),
        ("a", TypeError, "got 'a'"),
        (1.5, TypeError, r"got 1\.5"),
    ],
    ids=str,
)
def test_rows_that_there_are_not(folder, rows, error, message):
    with pytest.raises(error, match=message):
        ParquetTable(folder)[rows]


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ("a", TypeError, "list of names"),
        ([], ValueError, "no columns to take"),
        (["a", "a"], ValueError, "twice"),
    ],
)
def test_columns_that_cannot_be_taken(folder, columns, error, message):
    with pytest.raises(error, match=message):
        ParquetTable(folder, columns=columns)


def test_a_file_of_another_kind_is_named(tmp_path):
    (tmp_path / "x.parquet").write_text("no such thing")
    with pytest.raises(ValueError, match=r"x\.parquet is no Parquet file"):
        ParquetTable(tmp_path)


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"ends in \.parquet"):
        ParquetTable(tmp_path)


def test_large_row_groups_are_warned_of(folder, monkeypatch):
    monkeypatch.setattr("sklearn_ae.data._LARGE_GROUP_BYTES", 1000)
    with pytest.warns(UserWarning, match="row_group_size"):
        ParquetTable(folder)


def test_without_pyarrow_the_extra_is_named(monkeypatch, folder):
    monkeypatch.setattr("sklearn_ae._utils.extras.has_extra", lambda package: False)
    with pytest.raises(ImportError, match=r"sklearn_ae\[parquet\]"):
        ParquetTable(folder)


# Fitting ------------------------------------------------------------------------------


@pytest.fixture(params=["in memory", "streamed"])
def estimator(request, monkeypatch):
    if request.param == "streamed":
        monkeypatch.setattr(_rows, "RESIDENT_SIZE", 100)
        monkeypatch.setattr(_rows, "_SAMPLE_SIZE", 100)
    return AutoencoderTransformer(2, hidden_layer_sizes=(8,), max_iter=3)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_an_estimator_knows_the_columns_names(folder, estimator):
    estimator.fit(ParquetTable(folder))
    assert_array_equal(estimator.feature_names_in_, ["a", "b", "c"])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_other_columns_are_refused(folder, estimator):
    estimator.fit(ParquetTable(folder))
    with pytest.raises(ValueError, match=r"\['c', 'b', 'a'\]"):
        estimator.transform(ParquetTable(folder, columns=["c", "b", "a"]))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_latents_are_those_of_the_frame(folder, frame, estimator):
    estimator.fit(ParquetTable(folder))
    Z = estimator.transform(ParquetTable(folder))
    assert_array_equal(Z, estimator.transform(frame))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_nulls_are_missing_cells(tmp_path, frame, estimator):
    frame.iloc[200, 1] = None
    frame.to_parquet(tmp_path / "x.parquet", row_group_size=50)
    Z = estimator.fit(ParquetTable(tmp_path)).transform(frame.iloc[[200]])
    assert np.isfinite(Z).all()


# Text, categories, truth values, dates and missing cells -----------------------------

unfinished = pytest.mark.filterwarnings(
    "ignore:Training ended:sklearn.exceptions.ConvergenceWarning"
)


@pytest.fixture(scope="module")
def mixed():
    rng = np.random.RandomState(0)
    size = rng.normal(size=120)
    frame = pd.DataFrame(
        {
            "price": 10 + 2 * size + rng.normal(scale=0.1, size=120),
            "pieces": pd.array(rng.poisson(5, 120), dtype="Int64"),
            "color": np.where(size > 0, "red", "green"),
            "sold": pd.array(size > 0.5, dtype="boolean"),
            "day": pd.Timestamp("2020-01-01")
            + pd.to_timedelta(np.round(30 * size).astype(int), unit="D"),
            "grade": pd.Categorical(rng.choice(list("abc"), 120)),
        }
    )
    frame.loc[119, "color"] = "violet"  # of the last row group alone
    return frame.mask(rng.uniform(size=frame.shape) < 0.1)


@pytest.fixture(scope="module")
def mixed_folder(mixed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed")
    mixed[:70].to_parquet(folder / "1.parquet", row_group_size=25)
    mixed[70:].to_parquet(folder / "2.parquet", row_group_size=30)
    return folder


def make_quick(cls=AutoencoderTransformer, **options):
    settings = {"max_iter": 2, "early_stopping": False, "hidden_layer_sizes": (8,)}
    return cls(2, **settings, **options)


def stream(monkeypatch):
    monkeypatch.setattr(_rows, "RESIDENT_SIZE", 100)
    monkeypatch.setattr(_rows, "_SAMPLE_SIZE", 1000)
    monkeypatch.setattr(_rows, "_BLOCK_SIZE", 300)


@pytest.fixture(scope="module")
def of_frame(mixed):
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        return make_quick().fit(mixed)


@pytest.mark.parametrize(
    "rows", [slice(20, 80), slice(0, 0), [71, 3, -1], slice(0, 9, 2)]
)
def test_rows_of_several_kinds_are_frames(mixed_folder, mixed, rows):
    table = ParquetTable(mixed_folder)
    assert table.dtype == object
    expected = pa.Table.from_pandas(mixed.iloc[rows], preserve_index=False)
    assert table[rows].to_pylist() == expected.to_pylist()


@unfinished
def test_a_fit_in_memory_has_the_bits_of_that_of_the_frame(
    mixed_folder, mixed, of_frame
):
    table = ParquetTable(mixed_folder)
    model = make_quick().fit(table)
    assert model.columns_ == of_frame.columns_
    assert_array_equal(model.transform(table), of_frame.transform(mixed))
    assert_array_equal(model.score_samples(table), of_frame.score_samples(mixed))


@unfinished
def test_a_streamed_fit_knows_the_levels_of_all_row_groups(
    mixed_folder, mixed, of_frame, monkeypatch
):
    stream(monkeypatch)
    table = ParquetTable(mixed_folder)
    model = make_quick().fit(table)
    assert model._kinds.number_names == of_frame._kinds.number_names
    # In other batches, the same rows lead to about the same place.
    together = np.corrcoef(model.transform(table).T, of_frame.transform(mixed).T)
    assert np.abs(np.diag(together[:2, 2:])).min() > 0.9
    assert_array_equal(model.transform(table), model.transform(mixed))


def test_a_streamed_start_is_that_of_the_frame(mixed_folder, mixed, monkeypatch):
    complete = ParquetTable(mixed_folder, columns=["pieces", "color"])
    start = AutoencoderTransformer(2, max_iter=0)
    with_holes = mixed[complete.columns]
    expected = start.fit(with_holes).score(with_holes)
    stream(monkeypatch)
    found = start.fit(complete).score(complete)
    assert found == pytest.approx(expected, rel=0.05)


def test_chunks_of_kinds_go_on(mixed_folder, mixed, monkeypatch):
    stream(monkeypatch)
    table = ParquetTable(mixed_folder)
    model = make_quick().partial_fit(table).partial_fit(table)
    assert model.n_iter_ == 2
    assert np.isfinite(model.transform(mixed)).all()


@unfinished
@pytest.mark.parametrize("method", ["reconstruct", "impute"])
def test_what_comes_back_is_a_table_of_arrow(mixed_folder, mixed, method):
    table = ParquetTable(mixed_folder)
    model = make_quick().fit(table)
    back = getattr(model, method)(table)
    assert back.schema == table.to_arrow().schema
    if method == "impute":
        filled, known = back.to_pydict(), table.to_arrow().to_pydict()
        for name, cells in known.items():
            assert None not in filled[name]
            pairs = zip(filled[name], cells, strict=True)
            assert all(cell in (made, None) for made, cell in pairs)


@unfinished
@pytest.mark.parametrize("weights", ["copies", "fractions"])
def test_rows_of_several_kinds_have_weights(mixed_folder, mixed, weights):
    rng = np.random.RandomState(0)
    w = rng.randint(0, 3, 120) if weights == "copies" else rng.gamma(2.0, size=120)
    Z = make_quick().fit(ParquetTable(mixed_folder), sample_weight=w).transform(mixed)
    assert_array_equal(Z, make_quick().fit(mixed, sample_weight=w).transform(mixed))


@unfinished
def test_numbers_of_a_file_can_be_categories(frame, tmp_path):
    levels = frame.assign(d=np.arange(N_ROWS) % 3)
    levels.to_parquet(tmp_path / "3.parquet")
    table = ParquetTable(tmp_path / "3.parquet")
    model = make_quick(categorical_features=["d"]).fit(table)
    assert dict(model.columns_)["d"] == "3 levels"
    assert_array_equal(
        model.transform(table),
        make_quick(categorical_features=["d"]).fit(levels).transform(levels),
    )


def test_an_infinite_cell_is_named_with_its_row_in_the_table(
    mixed_folder, mixed, tmp_path
):
    wrong = mixed.astype({"pieces": float})
    wrong.loc[101, "price"] = np.inf
    wrong.to_parquet(tmp_path / "x.parquet", row_group_size=40)
    with pytest.raises(ValueError, match="'price' has an infinite value in row 101"):
        make_quick().fit(ParquetTable(tmp_path))


def test_a_model_of_numbers_takes_no_other_columns(mixed_folder, mixed):
    model = AutoencoderTransformer(1, max_iter=0).fit(mixed[["price"]].dropna())
    with pytest.raises(ValueError, match="'color' holds text; in fit it held numbers"):
        model.transform(ParquetTable(mixed_folder, columns=["color"]))


def test_column_maps_are_of_rows_in_memory(mixed_folder, monkeypatch):
    monkeypatch.setattr(_rows, "RESIDENT_SIZE", 100)
    with pytest.raises(ValueError, match="column_maps takes rows in memory"):
        make_quick(VAETransformer, column_maps="quantile").fit(
            ParquetTable(mixed_folder)
        )


def test_types_of_all_files_are_one(tmp_path):
    pa_tables = [
        pa.table({"n": pa.array([1, 2], "int8"), "c": pa.array(["a", "b"])}),
        pa.table({"n": [0.5, None], "c": pa.array(["c", None]).dictionary_encode()}),
        pa.table({"n": pa.nulls(1), "c": pa.nulls(1)}),
    ]
    for i, table in enumerate(pa_tables):
        pq.write_table(table, tmp_path / f"{i}.parquet")
    rows = ParquetTable(tmp_path)[:]
    assert rows["n"].to_pylist() == [1.0, 2.0, 0.5, None, None]
    assert rows["c"].to_pylist() == ["a", "b", "c", None, None]


def test_types_that_do_not_go_together_are_named(tmp_path):
    for i, cells in enumerate([["a"], [1.5]]):
        pq.write_table(pa.table({"c": cells}), tmp_path / f"{i}.parquet")
    with pytest.raises(
        ValueError, match=r"Column 'c' is of types .* double and string"
    ):
        ParquetTable(tmp_path)


def test_objects_are_not_copied(mixed_folder, tmp_path):
    with pytest.raises(TypeError, match="to_npy copies numbers"):
        to_npy(ParquetTable(mixed_folder), tmp_path / "x.npy")


def test_cells_of_several_kinds_in_an_array(mixed_folder, mixed):
    cells = np.asarray(ParquetTable(mixed_folder, columns=["color", "pieces"]))
    assert cells.dtype == object
    assert cells[:, 0].tolist() == [
        None if pd.isna(color) else color for color in mixed["color"]
    ]


# Copies -------------------------------------------------------------------------------


def test_a_copy_holds_what_the_table_holds(folder, frame, tmp_path):
    path = to_npy(ParquetTable(folder), tmp_path / "x.npy")
    assert_array_equal(np.load(path, mmap_mode="r"), frame)


def test_a_failed_copy_leaves_the_file_as_it_was(tmp_path, frame):
    path = to_npy(frame.to_numpy(), tmp_path / "x.npy")

    class Broken:
        shape, dtype = (10, 3), np.dtype("f8")

        def __getitem__(self, rows):
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        to_npy(Broken(), path)
    assert_array_equal(np.load(path), frame)
    assert [file.name for file in tmp_path.iterdir()] == ["x.npy"]
