"""Bytes of a file -> text: which encoding, and how it was found."""

import bz2
import codecs
import gzip
import lzma
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..._utils.extras import import_extra
from .errors import TableError

# UTF-32 first: its mark begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_COMPRESSED: dict[bytes, Any] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
# What other files begin with, however they are called.
_OTHER_KINDS = {
    b"PK\x03\x04": "a .zip or .xlsx file",
    b"PAR1": "a Parquet file",
    b"ARROW1": "a Feather file",
    b"\xd0\xcf\x11\xe0": "an old .xls file: save it as .xlsx or CSV",
}
_NO_TEXT = frozenset(range(32)) - frozenset(b"\t\n\v\f\r\x1a\x1b")
_MAX_NO_TEXT = 0.005
# What spreadsheets and statistics programs write where they write no Unicode.
_CANDIDATES = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256"),
    *("cp932", "gb18030", "big5", "cp949", "euc_jp", "koi8_r"),
)
# Signs that cp1252 has where other encodings have letters: euro, dashes, quotes,
# pound, paragraph, degree, plus-minus, powers, micro, fractions. A file with no other
# letters tells no language that it could be guessed by.
_SIGNS = frozenset(b"\x80\x85\x91\x92\x93\x94\x95\x96\x97\x99\xa0\xa3\xa7\xa9\xae")
_SIGNS |= frozenset(b"\xb0\xb1\xb2\xb3\xb4\xb5\xb7\xbc\xbd\xbe\xd7")
_BLOCK = 2**20
_SAMPLE = 2**16


@dataclass(frozen=True)
class Encoding:
    """An encoding, and for one that was guessed a word that shows how it reads."""

    name: str
    example: str = ""


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file, decompressed where its first bytes say that it is compressed."""
    with open(path, "rb") as file:
        start = file.read(6)
    for mark, opener in _COMPRESSED.items():
        if start.startswith(mark):
            return opener(path, "rb")
    return open(path, "rb")


def find_encoding(path: Path, asked: str | None = None) -> Encoding:
    """Return the encoding that the whole file can be decoded with.

    A mark at the start of the file decides, then whether it is UTF-8; what is left is a
    guess, which the caller must tell.
    """
    if asked is not None:
        try:
            codec = codecs.lookup(asked)
            if not getattr(codec, "_is_text_encoding", True):  # rot13, zip
                raise LookupError
            if codec.name == "utf-8":
                asked = "utf-8-sig"  # which takes files without a mark too
        except LookupError:
            raise TableError(
                f"there is no encoding {asked!r}; common ones are utf-8, utf-16, "
                + ", ".join(_CANDIDATES)
            ) from None
        _check_decodes(path, asked)
        return Encoding(asked)
    with open_bytes(path) as file:
        start = file.read(_SAMPLE)
    for mark, name in _MARKS.items():
        if start.startswith(mark):
            _check_decodes(path, name)
            return Encoding(name)
    # UTF-16 without a mark: every other byte of Latin letters and digits is zero.
    n_even, n_odd = start[::2].count(0), start[1::2].count(0)
    if n_even + n_odd > len(start) // 4 and min(n_even, n_odd) <= len(start) // 50:
        name = "utf-16-le" if n_odd > n_even else "utf-16-be"
        _check_decodes(path, name)
        return Encoding(name)
    for mark, kind in _OTHER_KINDS.items():
        if start.startswith(mark):
            raise TableError(f"cannot read {path.name!r} as text: it is {kind}")
    if sum(map(_NO_TEXT.__contains__, start)) > max(3, _MAX_NO_TEXT * len(start)):
        raise TableError(f"cannot read {path.name!r}: it is no text")
    error = _decodes(path, "utf-8")
    if error is None:
        return Encoding("utf-8")
    odd = _odd_lines(path)
    replaced = odd.decode("utf-8", "replace")
    n_bad = replaced.count("\ufffd")
    if sum(not letter.isascii() for letter in replaced) > 2 * n_bad:
        raise TableError(
            f"cannot read {path.name!r}: most of it is UTF-8, but not all ({error}). "
            "Mend it, or give an --encoding that has a letter for every byte: latin-1"
        )
    name = _guess(odd)
    for fallback in (name, "cp1252", "latin-1"):
        if _decodes(path, fallback) is None:
            return Encoding(fallback, _first_word(odd.decode(fallback, "replace")))
    raise AssertionError("latin-1 has a letter for every byte")


def _guess(odd: bytes) -> str:
    """Return the likeliest encoding of lines that are no UTF-8."""
    if _SIGNS.issuperset(byte for byte in odd if byte > 127):
        return "cp1252"
    matches = import_extra("charset_normalizer").from_bytes(
        odd, cp_isolation=list(_CANDIDATES), preemptive_behaviour=False
    )
    best = matches.best()
    if best is None:
        return "cp1252"
    try:  # the commonest of those that read the same
        return "cp1252" if odd.decode("cp1252") == str(best) else best.encoding
    except UnicodeDecodeError:
        return best.encoding


def _decodes(path: Path, encoding: str) -> UnicodeError | None:
    """Return what stands against decoding the file, or None."""
    try:
        decoder = codecs.getincrementaldecoder(encoding)()
        with open_bytes(path) as file:
            while block := file.read(_BLOCK):
                decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeError as error:
        return error
    return None


def _check_decodes(path: Path, encoding: str) -> None:
    error = _decodes(path, encoding)
    if error is not None:
        raise TableError(
            f"cannot read {path.name!r} as {encoding}: {error}; give another --encoding"
        )


def _odd_lines(path: Path) -> bytes:
    """Return the lines that hold more than ASCII, as many as a guess needs."""
    lines, size = [], 0
    with open_bytes(path) as file:
        for line in file:
            if not line.isascii():
                lines.append(line)
                size += len(line)
                if size > _SAMPLE:
                    break
    return b"".join(lines)


def _first_word(text: str) -> str:
    words = text.replace(",", " ").replace(";", " ").replace('"', " ").split()
    return next((word[:30] for word in words if not word.isascii()), "")
