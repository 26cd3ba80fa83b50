"""Files of every kind, from their bytes to a frame and to what is said of them."""

import datetime
import gzip
import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_files import read, said, write

from sklearn_ae.comparison._files import (
    TableError,
    is_table_path,
    names_look_like_values,
)


def read_frame(path, **options):
    return read(path, **options).frame


# Text ---------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separator_is_read_from_the_header(tmp_path, separator):
    rows = [["a", "b c", "d"], ["1", "2", "3"], ["4", "5", "6"]]
    path = write(tmp_path / "t.csv", "\n".join(separator.join(r) for r in rows))
    assert read_frame(path).to_numpy().tolist() == [[1, 2, 3], [4, 5, 6]]


def test_separator_inside_quotes_does_not_count(tmp_path):
    path = write(tmp_path / "t.csv", '"a;b;c;d",e\n1,2\n')
    assert read_frame(path).columns.tolist() == ["a;b;c;d", "e"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_encoding_is_found(tmp_path, encoding):
    path = write(tmp_path / "t.csv", "Größe,b\n1,é\n", encoding)
    frame = read_frame(path)
    assert frame.columns.tolist() == ["Größe", "b"]
    assert frame.loc[0, "b"] == "é"


def test_gzipped_csv_is_read(tmp_path):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"a;b\n1;2\n"))
    assert read_frame(path).loc[0].tolist() == [1, 2]


def test_parquet_is_read(tmp_path):
    frame = pd.DataFrame({"a": [1.5, np.nan], "b": ["x", "y"]})
    frame.to_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(read_frame(tmp_path / "t.parquet"), frame)


def test_equal_names_of_columns_are_told_apart(tmp_path):
    path = write(tmp_path / "t.csv", "a,a,b\n1,2,3\n")
    assert read_frame(path).columns.is_unique


def test_blanks_around_names_are_left_out(tmp_path):
    path = write(tmp_path / "t.csv", "a ; b;c\n1;2;3\n")
    assert read_frame(path).columns.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize("end", [",", ",,"])
def test_separators_at_the_ends_of_lines_shift_no_column(tmp_path, end):
    path = write(tmp_path / "t.csv", f"a,b,c\n1,2,x{end}\n3,4,y{end}\n")
    frame = read_frame(path)
    assert frame.columns.tolist() == ["a", "b", "c"]
    assert frame.to_numpy().tolist() == [[1, 2, "x"], [3, 4, "y"]]


def test_names_of_rows_without_a_heading_are_no_column(tmp_path):
    path = write(tmp_path / "t.csv", "a,b\nfirst,1,2\nsecond,3,4\n")  # as R writes them
    frame = read_frame(path)
    assert frame.to_dict("list") == {"a": [1, 3], "b": [2, 4]}


def test_file_without_a_header(tmp_path):
    path = write(tmp_path / "t.csv", "1;x\n3;y\n")
    frame = read_frame(path, has_header=False)
    assert frame.to_dict("list") == {"column 1": [1, 3], "column 2": ["x", "y"]}


def test_file_without_a_header_may_have_commas_in_its_numbers(tmp_path):
    path = write(tmp_path / "t.csv", "1,5;2,5;3,5\n4,5;5,5;6,5\n")
    frame = read_frame(path, has_header=False)
    assert frame.to_numpy().tolist() == [[1.5, 2.5, 3.5], [4.5, 5.5, 6.5]]


def test_commas_in_the_numbers_of_a_single_column_separate_nothing(tmp_path):
    path = write(tmp_path / "t.csv", "price\n1,5\n2,5\n")
    assert read_frame(path).to_dict("list") == {"price": [1.5, 2.5]}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["5.1", "3.5", "-1,4", "2e-3", "setosa"], True),
        (["5.1", "5.1.1", "3"], True),  # as pandas tells equal ones apart
        (["year", "2019", "2020"], True),  # only a hint comes of it
        (["a", "b1", "2"], False),
    ],
)
def test_names_that_look_like_values(names, expected):
    assert names_look_like_values(names) == expected


def test_class_none_is_not_read_as_missing(tmp_path):
    path = write(tmp_path / "t.csv", "a,b\n1,None\n2,Some\n")
    assert read_frame(path)["b"].tolist() == ["None", "Some"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "", "'t.csv' is empty"),
        ("t.csv", "a,b\n", "'t.csv' has no rows"),
        ("t.csv", 'a,b\n1,"2\n', "cannot read 't.csv'"),
        (
            "t.csv",
            "Export of May\n\na;b\n1;2\n",
            "^cannot read 't.csv': its first line, 'Export of May'",
        ),
        ("t.parquet", "no parquet", "cannot read 't.parquet'"),
        ("t.xlsx", "x", "cannot read 't.xlsx'"),
        ("t.docx", "x", r"cannot read 't.docx'.*\.csv.*\.parquet"),
    ],
)
def test_files_that_are_no_tables(tmp_path, name, content, message):
    with pytest.raises(TableError, match=message):
        read_frame(write(tmp_path / name, content))


def test_missing_file(tmp_path):
    with pytest.raises(TableError, match="there is no file"):
        read_frame(tmp_path / "t.csv")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_ends_of_lines_may_be_of_any_kind(tmp_path, end):
    frame = read_frame(write(tmp_path / "t.csv", end.join(["a,b", "1,2", "3,4", ""])))
    assert frame.to_dict("list") == {"a": [1, 3], "b": [2, 4]}


def test_file_that_is_compressed_may_be_called_anything(tmp_path):
    path = write(tmp_path / "t.csv", gzip.compress(b"a;b\n1;2\n"))
    assert read_frame(path).to_dict("list") == {"a": [1], "b": [2]}


def test_columns_have_the_types_of_their_values(tmp_path):
    text = "n,x,s,d,t,b\n1,0.5,u,2020-01-31,06:30,true\n2,,v,2020-02-01,07:00,\n"
    frame = read_frame(write(tmp_path / "t.csv", text))
    kinds = [dtype.kind for dtype in frame.dtypes]
    assert kinds[:2] == ["i", "f"]
    assert kinds[3:] == ["M", "m", "b"]
    assert frame["s"].tolist() == ["u", "v"]
    assert frame["b"].isna().tolist() == [False, True]


def test_whole_numbers_stay_whole_beside_missing_ones(tmp_path):
    frame = read_frame(write(tmp_path / "t.csv", "a,b\n1,5\n,6\n3,7\n"))
    assert frame["a"].dtype == "Int64"


def test_what_was_made_of_a_file_is_said(tmp_path):
    table = read(tmp_path / "t.csv", "a;b\n0,5;1\n1,5;2\n")
    assert table.remarks == [
        "read as UTF-8, values separated by semicolons",
        "numbers with a decimal comma: a",
    ]


def test_guessed_encoding_is_said_with_a_word(tmp_path):
    table = read(tmp_path / "t.csv", "Город;x\nМосква;1\nКазань;2\n", "cp1251")
    assert table.frame.columns.tolist() == ["Город", "x"]
    assert said(table, "cp1251", "a guess", "'Город'", "--encoding")


def test_line_of_a_cell_that_cannot_be_read_is_named(tmp_path):
    rows = [f"{i / 8},x" for i in range(30)]
    rows[7] = '"0,7",x'
    table = read(tmp_path / "t.csv", "\n".join(["# a comment", "a,b", *rows]))
    assert said(table, "a: 1 cell", "'0,7' (line 10)")
    assert table.frame["a"].isna().sum() == 1


def test_last_row_of_sums_without_a_label_is_left_out(tmp_path):
    rows = [f"{i},{i / 4}" for i in (3, 1, 4, 1, 5, 9)]
    table = read(tmp_path / "t.csv", "\n".join(["a,b", *rows, "23,5.75"]))
    assert len(table.frame) == 6
    assert said(table, "the last row holds the sums")


# Typed files --------------------------------------------------------------------------


@pytest.fixture
def frame():
    return pd.DataFrame({"x": [0.5, 1.5, 2.5], "s": ["u", "v", "u"]})


@pytest.mark.parametrize("kind", ["parquet", "feather"])
@pytest.mark.parametrize("name", [None, "day"])
def test_index_of_pandas_is_left_out_and_said(tmp_path, frame, kind, name):
    path = tmp_path / f"t.{kind}"
    frame.index = pd.Index([7, 3, 5], name=name)
    (frame.to_parquet if kind == "parquet" else frame.to_feather)(path)
    table = read(path)
    assert table.frame.columns.tolist() == ["x", "s"]
    assert said(table, name or "__index_level_0__", "wrote it as the index")


def test_column_of_the_index_that_is_asked_for_is_taken(tmp_path, frame):
    frame.index = pd.Index([7, 3, 5], name="day")
    frame.to_parquet(tmp_path / "t.parquet")
    table = read(tmp_path / "t.parquet", index_columns=["day"])
    assert table.frame["day"].tolist() == [7, 3, 5]
    assert table.remarks == []


def test_types_of_parquet_stay(tmp_path):
    frame = pd.DataFrame(
        {
            "i": pd.array([1, None], dtype="Int64"),
            "c": pd.Categorical(["u", "v"]),
            "t": pd.to_datetime(["2020-01-01", None]),
            "b": [True, False],
        }
    )
    frame.to_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(
        read(tmp_path / "t.parquet").frame, frame, check_dtype=False
    )


def test_numbers_in_text_columns_of_parquet_are_read(tmp_path):
    pd.DataFrame({"p": ["$1,200", "$950"]}).to_parquet(tmp_path / "t.parquet")
    table = read(tmp_path / "t.parquet")
    assert table.frame["p"].tolist() == [1200, 950]
    assert table.spelled == {"p"}


def test_names_that_stand_twice_in_parquet_are_told_apart(tmp_path):
    columns = [pa.array([1, 2]), pa.array([3, 4])]
    pq.write_table(pa.table(columns, names=["a", "a"]), tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet").frame.columns.tolist() == ["a", "a.1"]


def test_folder_of_parquet_files_is_one_table(tmp_path, frame):
    for year in (2019, 2020):
        folder = tmp_path / "t" / f"year={year}"
        folder.mkdir(parents=True)
        frame.to_parquet(folder / "part-0.parquet")
    (tmp_path / "t" / "_SUCCESS").touch()
    table = read(tmp_path / "t")
    assert table.frame["x"].tolist() == [0.5, 1.5, 2.5] * 2
    assert table.frame["year"].tolist() == [2019] * 3 + [2020] * 3
    assert said(table, "read 2 files")


def test_folder_without_parquet_files(tmp_path):
    with pytest.raises(TableError, match=r"no file that ends in \.parquet"):
        read(tmp_path)


def test_json_lines_are_rows(tmp_path):
    rows = [
        {"x": 1, "s": "u", "of": {"y": 2.5}, "t": "2020-01-01"},
        {"x": None, "s": "v", "of": {"y": 3}, "t": "2020-01-02"},
    ]
    table = read(tmp_path / "t.jsonl", "\n".join(map(json.dumps, rows)))
    assert table.frame[["s", "of.y"]].to_dict("list") == {
        "s": ["u", "v"],
        "of.y": [2.5, 3],
    }
    assert table.frame["x"].isna().tolist() == [False, True]
    assert table.frame["t"].dtype.kind == "M"


def test_texts_of_digits_in_json_keep_their_zeros(tmp_path):
    table = read(tmp_path / "t.json", '[{"zip": "01067"}, {"zip": "80331"}]')
    assert table.frame["zip"].tolist() == ["01067", "80331"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}\n{"a":\n', "line 2 is no JSON"),
        ("[1, 2]", "each row must be an object"),
        ("", "'t.jsonl' is empty"),
    ],
)
def test_json_that_is_no_table(tmp_path, text, message):
    with pytest.raises(TableError, match=message):
        read(tmp_path / "t.jsonl", text)


@pytest.fixture
def workbook():
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    yield book
    book.close()


def test_sheet_of_excel_is_a_table(tmp_path, workbook):
    sheet = workbook.active
    sheet.append([])
    sheet.append([None, "n", "day", "s", "price", None])
    sheet.append([None, 1.234, datetime.datetime(2020, 1, 31), "u", "1,5 €"])
    sheet.append([None, "n.a.", datetime.datetime(2020, 2, 1), "v", "0,25 €"])
    sheet.append([None, 5, datetime.datetime(2020, 2, 2), "u", "#DIV/0!"])
    workbook.create_sheet("notes")
    workbook.save(tmp_path / "t.xlsx")
    table = read(tmp_path / "t.xlsx")
    assert table.frame.columns.tolist() == ["n", "day", "s", "price"]
    np.testing.assert_array_equal(table.frame["n"], [1.234, np.nan, 5])
    np.testing.assert_array_equal(table.frame["price"], [1.5, 0.25, np.nan])
    assert table.frame["day"].dtype.kind == "M"
    assert said(table, "the first of 2 sheets")


def test_index_that_pandas_wrote_to_a_sheet_is_left_out(tmp_path, frame):
    pytest.importorskip("openpyxl")
    frame.index = [7, 3, 5]
    frame.to_excel(tmp_path / "t.xlsx")
    table = read(tmp_path / "t.xlsx")
    pd.testing.assert_frame_equal(table.frame, frame.reset_index(drop=True))
    assert said(table, "tells the rows apart")


def test_title_above_the_names_of_a_sheet(tmp_path, workbook):
    for row in (["Report"], ["a", "b"], [1, 2]):
        workbook.active.append(row)
    workbook.save(tmp_path / "t.xlsx")
    with pytest.raises(TableError, match="its first line, 'Report', names one column"):
        read(tmp_path / "t.xlsx")


def test_without_openpyxl_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "sklearn_ae._utils.extras.has_extra", lambda name: name != "openpyxl"
    )
    with pytest.raises(ImportError, match=r"sklearn_ae\[excel\]"):
        read(tmp_path / "t.xlsx", b"x")


@pytest.mark.parametrize(
    ("start", "kind"),
    [(b"PK\x03\x04", "xlsx"), (b"PAR1", "Parquet"), (b"\0\1\2", "no text")],
)
def test_files_of_another_kind_than_their_name_says(tmp_path, start, kind):
    with pytest.raises(TableError, match=kind):
        read(tmp_path / "t.csv", start + bytes(range(256)))


@pytest.mark.parametrize("name", ["a.CSV", "b.tsv.gz", "c.pq", "d.xlsx", "e.ndjson"])
def test_names_of_tables(name):
    assert is_table_path(name)


def test_dates_and_decimals_that_pandas_has_no_type_for(tmp_path):
    table = pa.table(
        {
            "day": pa.array([datetime.date(2020, 1, 31), None]),
            "price": pa.array([Decimal("1.25"), Decimal(2)]),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    frame = read(tmp_path / "t.parquet").frame
    assert [dtype.kind for dtype in frame.dtypes] == ["M", "f"]
    assert frame["price"].tolist() == [1.25, 2]
