"""Text from outside, as it may be printed."""

import sys
import unicodedata
from typing import IO

# Control characters, marks of direction, lone halves of letters, what stands for
# nothing: a terminal obeys the first, and none of them can be seen.
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"  # parts of words in Persian and of pictures


def printable(text: str, keep: str = "") -> str:
    """Return text with what cannot be seen written out: ESC becomes ``\\\\x1b``.

    Parameters
    ----------
    text : str
        Anything: a name of a file, of a column, of a class.

    keep : str
        Characters that stay as they are, such as line breaks.

    Returns
    -------
    text : str
        Only letters that show, and blanks.

    Examples
    --------
    >>> from sklearn_ae._utils.text import printable
    >>> print(printable("red\\x1b[31m"))
    red\\x1b[31m
    """
    if text.isprintable():
        return text
    return "".join(
        letter.encode("unicode_escape").decode("ascii")
        if letter not in keep + _JOINERS and unicodedata.category(letter) in _HIDDEN
        else letter
        for letter in text
    )


def say(*lines: str, file: IO[str] | None = None) -> None:
    """Print lines, with what cannot be seen or shown there written out."""
    file = sys.stdout if file is None else file
    encoding = getattr(file, "encoding", None) or "utf-8"
    text = printable("\n".join(lines), keep="\n")
    text = text.encode(encoding, "backslashreplace").decode(encoding)
    print(text, file=file, flush=True)
