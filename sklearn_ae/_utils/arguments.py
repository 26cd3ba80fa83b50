"""Arguments of the command line: what their text stands for."""

import argparse


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


def _whole(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None
