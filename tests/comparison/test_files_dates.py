"""Dates, times of day and durations as people write them."""

import datetime

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_files import columns

FORMATS = ["%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y/%m/%d", "%Y%m%d"]
FORMATS += ["%d.%m.%Y", "%d-%b-%Y", "%b %d, %Y", "%d %B %Y", "%d %b %Y %H:%M"]
FORMATS += ["%B %d, %Y", "%d-%b-%y"]
BY_ORDER = ["%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y %I:%M %p", "%d/%m/%y %H:%M"]

moments = st.lists(
    st.datetimes(datetime.datetime(1970, 1, 1), datetime.datetime(2068, 12, 31)),
    min_size=1,
    max_size=15,
)


def spelled(times, style):
    """Return moments as text, and as far as the text tells them."""
    words = [time.strftime(style) for time in times]
    return words, [datetime.datetime.strptime(w, style) for w in words]


@settings(max_examples=25)
@given(moments, st.sampled_from(FORMATS))
def test_dates_come_back(times, style):
    words, expected = spelled(times, style)
    read = pd.to_datetime(columns({"it": words}).frame["it"]).dt.tz_localize(None)
    assert read.tolist() == expected


@settings(max_examples=25)
@given(moments, st.sampled_from(BY_ORDER))
def test_dates_come_back_in_the_order_that_is_given(times, style):
    words, expected = spelled(times, style)
    order = "dmy" if style.startswith("%d") else "mdy"
    assert columns({"it": words}, date_order=order).frame["it"].tolist() == expected


@settings(max_examples=25)
@given(moments, st.sampled_from(BY_ORDER))
def test_one_day_above_twelve_tells_the_order_for_all_columns(times, style):
    words, expected = spelled(times, style)
    known, _ = spelled([datetime.datetime(2020, 2, 25)] * len(words), style)
    read = columns({"it": words, "known": known})
    assert read.frame["it"].tolist() == expected
    assert not any("--date-order" in remark for remark in read.remarks)


def test_order_that_the_file_does_not_tell_is_said():
    read = columns({"it": ["01/02/2020", "03/04/2020"]})
    assert read.frame["it"].dt.day.tolist() == [1, 3]
    (remark,) = read.remarks
    assert "the day first" in remark
    assert "--date-order mdy" in remark


@pytest.mark.parametrize(
    "words", [["2020-01", "2020-03"], ["01/2020", "03/2020"], ["Jan 2020", "Mar 2020"]]
)
def test_months_are_their_first_days(words):
    assert columns({"it": words}).frame["it"].dt.month.tolist() == [1, 3]


@pytest.mark.parametrize(
    ("words", "minutes"),
    [
        (["06:30", "19:45"], [390, 1185]),
        (["6:30 AM", "12:15 pm"], [390, 735]),
        (["36:15", "00:00:30"], [2175, 0.5]),
    ],
)
def test_times_are_durations(words, minutes):
    times = columns({"it": words}).frame["it"]
    assert (times.dt.total_seconds() / 60).tolist() == minutes


@pytest.mark.parametrize("none", ["", "n.a.", "-", "\N{EM DASH}", "unknown", "#VALUE!"])
def test_dates_may_be_missing(none):
    read = columns({"it": ["05-Jan-2020", none, "06-Feb-2020"]})
    assert read.frame["it"].isna().tolist() == [False, True, False]
    assert read.remarks == []


def test_words_that_are_no_dates_are_named():
    words = [f"2020-01-{day:02}" for day in range(1, 29)]
    read = columns({"it": [*words, "soon"]})
    assert "it: 1 cell" in read.remarks[0]
    assert "'soon' (row 28)" in read.remarks[0]


@pytest.mark.parametrize(
    "words", [["12345678", "99999999"], ["2020", "2021"], ["Mai 5x", "Jun 6y"]]
)
def test_what_is_no_date(words):
    assert columns({"it": words}).frame["it"].dtype.kind != "M"
