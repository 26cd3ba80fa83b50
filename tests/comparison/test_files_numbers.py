"""Numbers as people write them come back as they were, or are missing and named."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from small_files import columns

from sklearn_ae.comparison._files.numbers import Convention, read_number

# Decimal mark and mark between thousands, as in English, German, French, Swiss, SI.
APOSTROPHE, BLANK = "\N{RIGHT SINGLE QUOTATION MARK}", "\N{NARROW NO-BREAK SPACE}"
CONVENTIONS = [(".", mark) for mark in ("", ",", " ", "'", APOSTROPHE)]
CONVENTIONS += [(",", mark) for mark in ("", ".", " ", BLANK, "'")]
MINUS = "\N{MINUS SIGN}"
# How a number without its sign is set off: sign, unit, brackets.
STYLES = ["{}", "{} €", "${}", "{} %", "CHF {}", "{} kr"]
NEGATIVES = ["-{}", MINUS + "{}", "({})", "{}-"]


def spell(number, n_decimals, decimal, thousands, style="{}", negative="-{}"):
    """Write a number in a convention."""
    text = f"{abs(number):,.{n_decimals}f}"
    text = text.translate({ord(","): thousands, ord("."): decimal})
    text = style.format(text)
    return negative.format(text) if number < 0 else text


numbers = st.lists(
    st.tuples(st.integers(-(10**9), 10**9), st.integers(0, 4)), min_size=1, max_size=30
)


@settings(max_examples=150)
@given(
    numbers,
    st.sampled_from(CONVENTIONS),
    st.sampled_from(STYLES),
    st.sampled_from(NEGATIVES),
    st.sampled_from([",", ";", "\t"]),
)
def test_numbers_of_every_convention_come_back(
    drawn, convention, style, negative, separator
):
    values = [mantissa / 10**n for mantissa, n in drawn]
    words = [
        spell(value, n, *convention, style, negative)
        for value, (_, n) in zip(values, drawn, strict=True)
    ]
    # Another column shows which mark is which, as nearly every file does somewhere.
    witness = [f"0{convention[0]}5"] * len(words)
    read = columns({"it": words, "witness": witness}, separator=separator)
    np.testing.assert_allclose(read.frame["it"].astype(float), values, rtol=1e-14)
    assert not any("cannot be read" in remark for remark in read.remarks)


@settings(max_examples=150)
@given(numbers, st.sampled_from(CONVENTIONS), st.sampled_from(["\t", ",", ";"]))
def test_numbers_come_back_without_help_or_it_is_said(drawn, convention, separator):
    values = np.array([mantissa / 10**n for mantissa, n in drawn])
    words = [
        spell(value, n, *convention)
        for value, (_, n) in zip(values, drawn, strict=True)
    ]
    read = columns({"it": words}, separator=separator)
    as_they_were = np.allclose(read.frame["it"].astype(float), values, rtol=1e-14)
    assert as_they_were or any("can be" in remark for remark in read.remarks)


@given(numbers, st.sampled_from(CONVENTIONS))
def test_marks_that_are_given_are_believed(drawn, convention):
    values = [mantissa / 10**n for mantissa, n in drawn]
    words = [
        spell(value, n, *convention)
        for value, (_, n) in zip(values, drawn, strict=True)
    ]
    read = columns({"it": words}, decimal=convention[0])
    np.testing.assert_allclose(read.frame["it"].astype(float), values, rtol=1e-14)
    assert not any("can be" in remark for remark in read.remarks)


@settings(max_examples=50)
@given(st.lists(st.floats(allow_nan=False), min_size=5, max_size=30))
def test_floats_as_programs_write_them_come_back_to_the_bit(values):
    assume(len({*values}) > 1)
    read = columns({"it": [*map(repr, values)]}, separator=",")
    assert read.frame["it"].astype(float).tolist() == values


@given(st.lists(st.integers(0, 999), min_size=30, max_size=40))
def test_one_comma_among_decimal_points_changes_no_other_number(thousandths):
    words = [f"{n / 1000:.3f}" for n in thousandths]
    read = columns({"it": [*words, "0,7"]}, separator=",")
    assert read.frame["it"].tolist()[:-1] == [n / 1000 for n in thousandths]
    assert math.isnan(read.frame["it"].iloc[-1])
    assert read.remarks == [
        "it: 1 cell that cannot be read so counts as missing: '0,7' (row 30)".replace(
            "row 30", f"row {len(words)}"
        )
    ]


def test_column_of_two_spellings_keeps_those_of_most():
    words = [*(f"{n}.5" for n in range(13)), "0,7", "0,25"]
    read = columns({"it": words}, separator=",")
    assert read.frame["it"].tolist()[:13] == [n + 0.5 for n in range(13)]
    assert read.frame["it"].isna().sum() == 2
    assert "it: 2 cells" in read.remarks[0]


def test_column_of_two_spellings_alike_stays_text():
    words = ["0.5", "1.5", "2.5", "0,7", "0,25", "1,75"]
    read = columns({"it": words}, separator=",")
    assert read.frame["it"].tolist() == words
    assert "left as text" in read.remarks[0]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["0,270", "1,125", "3"], [0.27, 1.125, 3]),
        (["1,234.5", "12,000", "1,000,000"], [1234.5, 12000, 1e6]),
        (["12,34,567.5", "1,23,456", "500"], [1234567.5, 123456, 500]),
        (["1,5E-03", "2,25e2", "3"], [0.0015, 225, 3]),
        (["12,-", "7,50", "1.000,-"], [12, 7.5, 1000]),
        (["1 234", "12 345", "999"], [1234, 12345, 999]),
        (["inf", "-Infinity", "2.5"], [np.inf, -np.inf, 2.5]),
    ],
)
def test_spellings(words, expected):
    assert columns({"it": words}).frame["it"].tolist() == expected


@pytest.mark.parametrize(
    ("separator", "expected"), [(",", [1234, 500]), (";", [1.234, 500])]
)
def test_numbers_that_can_be_either_are_said(separator, expected):
    read = columns({"it": ["1,234", "500"]}, separator=separator)
    assert read.frame["it"].tolist() == expected
    (remark,) = [r for r in read.remarks if "can be" in r]
    assert "'1,234' can be" in remark
    assert "--decimal" in remark


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"decimal": ","}, [1.234, 500]),
        ({"decimal": "."}, [1234, 500]),
        ({"thousands": ","}, [1234, 500]),
        ({"thousands": "."}, [1.234, 500]),
        ({"thousands": ""}, [1.234, 500]),
    ],
)
def test_given_marks_leave_no_choice(given, expected):
    read = columns({"it": ["1,234", "500"]}, **given)
    assert read.frame["it"].tolist() == expected
    assert not any("can be" in remark for remark in read.remarks)


def test_evidence_of_one_column_decides_for_the_others():
    table = {"price": ["1.234", "12.500", "999"], "share": ["0,25", "0,5", "1"]}
    read = columns(table, separator="\t")
    assert read.frame["price"].tolist() == [1234, 12500, 999]


def test_column_that_contradicts_its_file_throughout_is_read_by_itself():
    table = {"lat": ["48.137", "48.2", "49.05"], "price": ["0,5", "7,25", "1,5"]}
    read = columns(table, separator=";")
    assert read.frame["lat"].tolist() == [48.137, 48.2, 49.05]
    assert (
        "numbers with a decimal point, unlike others of this file: lat" in read.remarks
    )


def test_column_of_commas_in_a_file_of_points_is_named():
    table = {"a": ["1.5", "2.25"], "c": ["2.5", "7.5"], "b": ["1,2", "3,45"]}
    read = columns(table, separator=",")
    assert read.frame["b"].tolist() == [1.2, 3.45]
    assert read.remarks == ["numbers with a decimal comma: b (unlike others)"]


def test_words_that_are_no_numbers_are_counted_and_named():
    words = [*map(str, range(40)), "see below", "see below"]
    read = columns({"it": words})
    assert read.frame["it"].isna().sum() == 2
    (remark,) = [r for r in read.remarks if "cannot be read" in r]
    assert remark.startswith("it: 2 cells")
    assert "'see below' (row 40)" in remark


def test_frequent_word_among_many_numbers_is_missing():
    read = columns({"age": [*map(str, range(20, 60)), *["refused"] * 15]})
    assert read.frame["age"].isna().sum() == 15


def test_classes_with_a_number_in_their_names_stay_text():
    words = ["1", "2", "3", "4", "5+"] * 8
    assert columns({"it": words}).frame["it"].tolist() == words


def test_share_among_percents_is_missing():
    words = [*(f"{n}%" for n in range(1, 41)), "0.15", "0"]
    values = columns({"it": words}).frame["it"]
    assert values.isna().sum() == 1
    assert values.iloc[-1] == 0


def test_several_currencies_are_said():
    read = columns({"it": ["$5", "€7", "$6"]})
    assert "it has $ and €: the numbers are taken as they stand" in read.remarks


@pytest.mark.parametrize(
    "words",
    [
        ["01067", "80331", "20095"],
        ["1234567890123456789", "1234567890123456790", "5"],
        ["1.2.3", "1.2.4", "2.0.0"],
        ["12 Main", "14 Main", "3 Side"],
        ["0123 456", "0124 457", "0125 458"],
    ],
)
def test_digits_that_are_no_quantity_stay_text(words):
    assert columns({"it": words}).frame["it"].tolist() == words


@pytest.mark.parametrize(
    "word",
    ["(5", "5)", "--5", "-(5)", "$5€", "1,23,4", "1.234.56", "5..", "", "€", "-"],
)
def test_what_is_no_number(word):
    assert read_number(word, ".", ",") is None


def test_decimal_mark_cannot_group_thousands():
    with pytest.raises(ValueError, match="cannot group thousands too"):
        Convention(",", ",")
