"""What the schema of an Arrow table says beside the types of its columns."""

import json
from typing import Any


def index_columns(schema: Any) -> list[str]:
    """Return the columns that pandas wrote as the index, and which name the rows.

    Parameters
    ----------
    schema : pyarrow.Schema
        Of a Parquet or Feather file.

    Returns
    -------
    names : list of str
        An index that only counts the rows is no column, and not among them.
    """
    metadata = (schema.metadata or {}).get(b"pandas")
    if metadata is None:
        return []
    index = json.loads(metadata).get("index_columns", [])
    return [name for name in index if isinstance(name, str) and name in schema.names]
