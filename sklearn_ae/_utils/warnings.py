"""Warnings that point at the line of the user's that called."""

import os
import sys
import warnings

# Not its namesakes' folders.
_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line outside the package, however deep inside it one is."""
    level = 1
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
        level += 1
    warnings.warn(message, category, stacklevel=level)
