"""The one error of a file that cannot be read as a table."""


class TableError(ValueError):
    """A table that cannot be used; the message is for the one who brought it."""
