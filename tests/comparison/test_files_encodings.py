"""Which encoding a file has, and what is said where that is a guess."""

import pytest
from small_files import read, write

from sklearn_ae.comparison._files import TableError
from sklearn_ae.comparison._files.encodings import find_encoding

TEXTS = {
    "cp1252": "Größe;Straße;x\nklein;Müllerstraße;1\ngroß;Café;2\n",
    "cp1250": "Město;Cena\nPříbram;1\nŽďár;2\n",
    "cp1251": "Город;Цена\nМосква;1\nКазань;2\n",
    "koi8_r": "Город;Цена\nМосква;1\nКазань;2\n",
    "cp1253": "Πόλη;Τιμή\nΑθήνα;1\nΠάτρα;2\n",
    "shift_jis": "都市;価格;種類\n東京;1;家\n大阪;2;部屋\n",
    "gbk": "城市;价格;类型\n北京;1;房子\n上海;2;公寓\n",
    "big5": "城市;價格;類型\n臺北;1;房子\n高雄;2;公寓\n",
    "euc_kr": "도시;가격\n서울;1\n부산;2\n",
}


@pytest.mark.parametrize("encoding", TEXTS)
def test_guess_reads_as_the_encoding_does(tmp_path, encoding):
    path = write(tmp_path / "t.csv", TEXTS[encoding], encoding)
    found = find_encoding(path)
    assert path.read_bytes().decode(found.name) == TEXTS[encoding]
    assert found.example in TEXTS[encoding]
    assert found.example


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"],
)
def test_unicode_needs_no_guess(tmp_path, encoding):
    # Without a mark, UTF-16 is known by its zeros.
    text = "ab\tcd\n12\t34\n" if "16-" in encoding else "a\tб\n1\t日本\n2\t本\n"
    path = write(tmp_path / "t.csv", text, encoding)
    found = find_encoding(path)
    assert path.read_bytes().decode(found.name) == text
    assert found.example == ""


@pytest.mark.parametrize("text", ["Temp (°C);x\n1;2\n", "p;x\n5 €;1\n", "a;b\n“x”;–\n"])
def test_signs_alone_are_those_of_windows(tmp_path, text):
    path = write(tmp_path / "t.csv", text, "cp1252")
    assert find_encoding(path).name == "cp1252"


def test_one_letter_late_in_the_file_counts(tmp_path):
    text = "a;b\n" + "1;2\n" * 300_000 + "3;ü\n"
    path = write(tmp_path / "t.csv", text, "cp1252")
    assert path.read_bytes().decode(find_encoding(path).name) == text


def test_encoding_that_is_given_is_used(tmp_path):
    frame = read(tmp_path / "t.csv", TEXTS["cp1251"], "cp1251", encoding="cp1251").frame
    assert frame.columns.tolist() == ["Город", "Цена"]


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8"])
def test_mark_of_unicode_is_no_letter(tmp_path, encoding):
    path = write(tmp_path / "t.csv", "a;b\n1;2\n", "utf-8-sig")
    assert read(path, encoding=encoding).frame.columns.tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        ("latin-99", "no encoding 'latin-99'"),
        ("rot13", "no encoding"),
        ("ascii", "as ascii.*another --encoding"),
    ],
)
def test_encodings_that_do_not_fit(tmp_path, encoding, message):
    with pytest.raises(TableError, match=message):
        read(tmp_path / "t.csv", TEXTS["cp1252"], "cp1252", encoding=encoding)


def test_broken_unicode_is_refused(tmp_path):
    text = TEXTS["cp1251"].encode() + b"\xff;3\n"
    with pytest.raises(TableError, match="most of it is UTF-8, but not all"):
        read(tmp_path / "t.csv", text)
