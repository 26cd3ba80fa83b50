"""What separates values, what is a comment, what quotes mean."""

import csv

import pytest
from small_files import read, said

from sklearn_ae.comparison._files import TableError
from sklearn_ae.comparison._files.lines import find_dialect


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b\n1,5;2,5\n", ";"),
        ("a\tb, c\n1\t2,5\n", "\t"),
        ("a|b|c\n1|x,y|2\n2|z|3\n", "|"),
        ("a b c\n1 2 3\n4   5 6\n", " "),
        ("name      age\nAnna       12\nBob         3\n", " "),
        ("x y\n1,5 2,5\n3,5 4,5\n", " "),
        ("price\n1,5\n2,25\n", ""),
        ("first name\nAnna\nBert\n", ""),
        ("a,b\n1,2\n3\n4,5\n", ","),
        ("sep=;\na,1;b\n1;2\n", ";"),
    ],
)
def test_separators(text, separator):
    assert find_dialect(text.splitlines(keepends=True)).separator == separator


@pytest.mark.parametrize("mark", ["#", "%", "//"])
def test_comments_are_left_out_and_said(tmp_path, mark):
    text = f"{mark} made by, x\n{mark} on Monday\na,b\n1,2\n{mark} more\n3,4\n"
    table = read(tmp_path / "t.csv", text)
    assert table.frame.to_dict("list") == {"a": [1, 3], "b": [2, 4]}
    assert said(table, f"lines beginning with '{mark}'")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("# x y\n1.0 2\n3 4\n", ["x", "y"]),  # numpy.savetxt(header="x y")
        ("##fileformat=VCF\n#CHROM\tPOS\n1\t2\n3\t4\n", ["CHROM", "POS"]),
        ("#,name\n1,u\n2,v\n", ["#", "name"]),
    ],
)
def test_last_comment_may_name_the_columns(tmp_path, text, names):
    table = read(tmp_path / "t.txt", text)
    assert table.frame.columns.tolist() == names
    assert len(table.frame) == 2


def test_hint_for_spreadsheets_is_no_row(tmp_path):
    table = read(tmp_path / "t.csv", "sep=;\na;b\n1;2\n")
    assert table.frame.to_dict("list") == {"a": [1], "b": [2]}


def test_names_may_hold_line_breaks(tmp_path):
    table = read(tmp_path / "t.csv", '"How old,\nare you?",b\n1,2\n3,4\n')
    assert table.frame.columns.tolist() == ["How old, are you?", "b"]


def test_values_may_be_of_any_length(tmp_path):
    limit = csv.field_size_limit()
    long = "x" * (limit + 1)
    table = read(tmp_path / "t.csv", f"a,b\n{long},1\ny,2\n")
    assert table.frame["a"].tolist() == [long, "y"]
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize(
    ("name", "cell", "expected"),
    [
        ("t.csv", '"say ""hi"""', 'say "hi"'),
        ("t.csv", r'"say \"hi\""', 'say "hi"'),
        ("t.csv", '5" pipe', '5" pipe'),
        ("t.tsv", '"Big" Jim', '"Big" Jim'),
    ],
)
def test_quotes(tmp_path, name, cell, expected):
    separator = "\t" if name.endswith(".tsv") else ","
    text = f"a{separator}b\n{cell}{separator}1\nx{separator}2\n"
    table = read(tmp_path / name, text)
    assert table.frame["a"].tolist() == [expected, "x"]


def test_quote_that_does_not_end_is_refused_with_its_line(tmp_path):
    with pytest.raises(TableError, match="line 3: unexpected end of data"):
        read(tmp_path / "t.csv", 'a,b\n1,2\n1,"2\n3,4\n')


def test_blanks_between_values_of_which_some_are_missing(tmp_path):
    text = "name   age  size\nAnna    12   1.5\nBob          2.5\n"
    with pytest.raises(TableError, match="blanks seem to separate"):
        read(tmp_path / "t.txt", text)


def test_quote_in_the_middle_of_text_swallows_no_lines(tmp_path):
    text = 'a,b\n1,"x\n2,y\n3,"z\n4,u\n'
    with pytest.raises(TableError, match="line 2: "):
        read(tmp_path / "t.csv", text)


def test_row_of_many_lines_is_said(tmp_path):
    lines = "\n".join(f"{i},x" for i in range(20))
    table = read(tmp_path / "t.csv", f'a,b\n1,"y\n{lines}"\n3,z\n')
    assert said(table, "the row of line 2 goes on for 21 lines")


def test_mark_of_the_end_of_a_file_is_no_row(tmp_path):
    table = read(tmp_path / "t.csv", "a,b\n1,2\n3,4\n\x1a")
    assert table.frame.to_dict("list") == {"a": [1, 3], "b": [2, 4]}
