"""Arguments of the command line: what their text stands for."""

import argparse
import ast
from typing import Any

_WORDS = {"true": True, "false": False, "none": None}


def positive_integer(text: str) -> int:
    """Return a whole number above 0, for ``add_argument(type=...)``."""
    number = _whole(text)
    if number is None or number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return number


def seed(text: str) -> int:
    """Return a seed of numpy's generators, for ``add_argument(type=...)``."""
    number = _whole(text)
    if number is None or not 0 <= number < 2**32:
        raise argparse.ArgumentTypeError(
            f"{text} is not a whole number between 0 and 2**32 - 1"
        )
    return number


def add_random_state(parser: argparse.ArgumentParser, what_it_does: str) -> None:
    parser.add_argument(
        "--random-state",
        metavar="SEED",
        type=seed,
        default=0,
        help=f"{what_it_does} (default: %(default)s)",
    )


def parameter_value(name: str, text: str) -> Any:
    """What the text of a parameter stands for, in whatever case it is written."""
    names_columns = name in ("categorical_features", "condition_columns")
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        # A word, or the names of columns.
        is_word = not names_columns or text == "from_dtype"
        return text if is_word else text.split(",")
    is_lone = names_columns and isinstance(value, int | str)
    return [value] if is_lone else value


def _whole(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None
