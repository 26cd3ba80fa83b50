"""Which lines are rows: more values than names, fewer, units, totals, notes."""

import pytest
from small_files import read, said

from sklearn_ae.comparison._files import TableError


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a,b\n1,100\n2,1,200\n3,300\n", 3),  # a comma between thousands
        ("a,b\n1,0,5\n2,1,5\n2,2,5\n", 2),  # decimal commas throughout
        ("id,a\n1,1,100\n2,1,200\n3,1,300\n", 2),
        ("name,a,b\nu,1,100,5\nv,2,200,6\nw,3,250,7\n", 2),
        ('a,b\n1,2\n3,"x" ,y\n', 3),
        ("a,b\n1,2 # checked, twice\n3,4\n", 2),
        ("a;b\n1;2\n\n3;4;5;6\n", 4),
        ('a,b\n"x\ny",2\n3,4,5\n', 4),  # the cell of two lines counts
    ],
)
def test_line_of_more_values_than_names_is_refused(tmp_path, text, line):
    with pytest.raises(TableError, match=rf"^line {line} has \d values"):
        read(tmp_path / "t.csv", text)


def test_first_line_counts_where_there_are_no_names(tmp_path):
    with pytest.raises(TableError, match=r"line 2 has 3 values.*2 in the first line"):
        read(tmp_path / "t.csv", "1,2\n3,4,5\n", has_header=False)


def test_comma_in_quotes_after_a_blank_separates_nothing(tmp_path):
    table = read(tmp_path / "t.csv", 'a,b\n1, "a b, c"\n2, d\n')
    assert table.frame["b"].tolist() == ["a b, c", "d"]


@pytest.mark.parametrize(
    "text",
    [
        "a,b\nfirst,1,2\nsecond,3,4\n",  # as R writes them
        '"a","b"\n"1",1,2\n"2",3,4\n',
        '"a" "b"\n"Mazda RX4" 1 2\n"Fiat 128" 3 4\n',
        "a;b\n7;1;2\n2;3;4\n",
        ",a,b\n17,1,2\n3,3,4\n",  # as pandas writes them
        '"","a","b"\n"u",1,2\n"v",3,4\n',
        "Unnamed: 0\ta\tb\nu\t1\t2\nv\t3\t4\n",
    ],
)
def test_names_of_rows_are_left_out_and_said(tmp_path, text):
    table = read(tmp_path / "t.csv", text)
    assert table.frame.to_dict("list") == {"a": [1, 3], "b": [2, 4]}
    assert said(table, "left out as", "name")


@pytest.mark.parametrize(
    "text", [",a\n0.5,1\n0.7,2\n", ",a\nu,1\nu,2\n", ",a\nu,1\n,2\n"]
)
def test_first_column_without_a_name_is_kept_where_it_names_no_rows(tmp_path, text):
    assert read(tmp_path / "t.csv", text).frame.columns.tolist() == ["column 1", "a"]


def test_line_of_fewer_values_is_said(tmp_path):
    table = read(tmp_path / "t.csv", "a,b,c\n1,2,3\n4,5\n6,7,8\n")
    assert table.frame["c"].isna().tolist() == [False, True, False]
    assert said(table, "fewer values than names in line 3")


def test_lines_without_values_are_counted(tmp_path):
    table = read(tmp_path / "t.csv", "a,b\n1,2\n,,\n\n3,4\n , \n")
    assert len(table.frame) == 2
    assert said(table, "2 lines without any value")


def test_names_that_stand_again_among_the_rows_are_no_row(tmp_path):
    table = read(tmp_path / "t.csv", "a,b\n1,2\na,b\n3,4\n")
    assert table.frame["a"].tolist() == [1, 3]
    assert said(table, "stand again in line 3")


def test_line_of_one_value_is_no_row(tmp_path):
    table = read(tmp_path / "t.csv", "a,b,c\n1,2,3\nNorth\n4,5,6\n")
    assert table.frame["a"].tolist() == [1, 4]
    assert said(table, "line 3 is one value, 'North'")


@pytest.mark.parametrize(
    "heading", ["kg,cm,", "kg,cm,-", "float,int,str", "Gewicht,Länge,Art"]
)
def test_row_of_units_or_of_second_names_is_left_out(tmp_path, heading):
    table = read(tmp_path / "t.csv", f"a,b,c\n{heading}\n1,2,u\n4,5,v\n7,8,w\n")
    assert table.frame["a"].tolist() == [1, 4, 7]
    assert said(table, "line 2", "of units or names")


def test_two_rows_of_second_names_are_left_out(tmp_path):
    text = "a,b\nHow old?,Income?\nQID1,QID2\n1,2\n4,5\n7,8\n"
    assert read(tmp_path / "t.csv", text).frame["a"].tolist() == [1, 4, 7]


@pytest.mark.parametrize(
    "rows", ["x,1\ny,2\nz,3\nu,5\n", "1,x\n2,y\n4,z\n", "NA,x\n3,y\n4,z\n5,u\n"]
)
def test_first_row_like_the_others_is_kept(tmp_path, rows):
    assert len(read(tmp_path / "t.csv", "a,b\n" + rows).frame) == rows.count("\n")


@pytest.mark.parametrize("label", ["Total", "Summe:", "TOTAL", "合计", "Mean"])
def test_totals_are_left_out(tmp_path, label):
    text = f"g;x\nu;1,5\nv;2\nw;3\n{label};6,5\n"
    table = read(tmp_path / "t.csv", text)
    assert table.frame["x"].tolist() == [1.5, 2, 3]
    assert said(table, "line 5", "a total")


def test_class_that_is_called_total_is_kept(tmp_path):
    table = read(tmp_path / "t.csv", "g,x\nTotal,1\nv,2\nw,3\nTotal,9\n")
    assert len(table.frame) == 4


def test_notes_below_the_table_are_left_out(tmp_path):
    text = "g,x\nu,1\nv,2\nw,3\nz,7\n\nNote: in USD\nSource: World Bank, 2020\n"
    table = read(tmp_path / "t.csv", text)
    assert table.frame["x"].tolist() == [1, 2, 3, 7]
    assert said(table, "line 8", "a note below the table")


def test_separator_at_the_end_of_the_names_is_no_column(tmp_path):
    table = read(tmp_path / "t.csv", "a,b,\n1,2,\n3,4,\n")
    assert table.frame.columns.tolist() == ["a", "b"]
