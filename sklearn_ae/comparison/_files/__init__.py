"""Tables as people have them in files.

Bytes become text (`encodings`), text becomes records of cells (`lines`), records become
columns of cells (`layout`, `odd_rows`), cells become numbers, dates, truth values or
text (`columns`, `numbers`, `dates`, `words`), and these are written as they were
(`spelling`); `files` goes through all of it, for each kind of file. What `compare` then
makes of the columns is no matter of these files.
"""

from .errors import TableError
from .files import ReadOptions, ReadTable, is_table_path, is_text_path, read_table
from .layout import names_look_like_values
from .numbers import Convention
from .spelling import spelled_again

__all__ = [
    "Convention",
    "ReadOptions",
    "ReadTable",
    "TableError",
    "is_table_path",
    "is_text_path",
    "names_look_like_values",
    "read_table",
    "spelled_again",
]
