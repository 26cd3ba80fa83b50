"""What the tests of files share: text in a file, and what is made of it."""

from sklearn_ae.comparison._files import Convention, ReadOptions, read_table
from sklearn_ae.comparison._files.cells import cells_of
from sklearn_ae.comparison._files.columns import make_columns


def write(path, text, encoding="utf-8"):
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


def read(path, text=None, written="utf-8", **options):
    """Return what is made of a file that holds this text."""
    if text is not None:
        write(path, text, written)
    return read_table(path, ReadOptions(**options))


def said(table, *words):
    """Return the one remark that holds all of these words."""
    (found,) = [r for r in table.remarks if all(word in r for word in words)]
    return found


def columns(table, decimal=None, thousands=None, **options):
    """Return what is made of columns given as lists of words."""
    cells = {name: cells_of(words) for name, words in table.items()}
    return make_columns(cells, Convention(decimal, thousands), **options)
