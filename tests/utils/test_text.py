import io

import pytest

from sklearn_ae._utils.text import printable, say


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Größe 東京 नमस्ते", "Größe 東京 नमस्ते"),
        ("a\x1b[31mred", r"a\x1b[31mred"),
        ("two\nlines\t", r"two\nlines\t"),
        ("\x9b2J", r"\x9b2J"),  # an escape sequence in one character
        ("abc\u202edcb", r"abc\u202edcb"),  # which would turn the text around
        ("\ud800", r"\ud800"),
    ],
)
def test_what_cannot_be_seen_is_written_out(text, expected):
    assert printable(text) == expected


def test_joiners_are_parts_of_words():
    assert printable("می\u200cخواهم") == "می\u200cخواهم"


def test_some_may_be_kept():
    assert printable("a\nb\x07", keep="\n") == "a\nb\\x07"


def test_lines_are_printed(capsys):
    say("one", "two\x1b")
    assert capsys.readouterr().out == "one\ntwo\\x1b\n"


def test_letters_that_a_stream_lacks_are_written_out():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="cp1252")
    say("Größe 東", file=stream)
    assert raw.getvalue().decode("cp1252").split() == ["Größe", r"\u6771"]
