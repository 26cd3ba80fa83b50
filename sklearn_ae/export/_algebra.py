"""Small systems of equations in a graph: ONNX has no solver among its operators."""

import numpy as np

from ._graph import END, Value


def products(left: Value, right: Value, size: int) -> Value:
    """Those of all rows of stacks (n, k, d) and (n, size, d): (n, k, size).

    ONNX Runtime joins a transposition and the product after it to one operator, which
    older releases have in single precision alone: a column more stands between them.
    """
    first = right.slice(0, 1, axis=1).squeeze(1)  # (n, d)
    turned = [right.transpose(0, 2, 1), first.unsqueeze(2)]
    return (left @ right.graph.concat(turned, axis=2)).slice(0, size, axis=2)


def solved(matrix: Value, right: Value, k: int) -> Value:
    """Solutions of systems (n, k, k) with right sides (n, k, r).

    By elimination without pivots, which positive definite and triangular matrices need
    none of.
    """
    return eliminated(matrix.graph.concat([matrix, right], axis=2), k)


def eliminated(whole: Value, k: int) -> Value:
    """The same where matrices and right sides are side by side: (n, k, k + r)."""
    for j in range(k):
        row = whole.slice(j, j + 1, axis=1)  # (n, 1, k + r)
        row = row / row.slice(j, j + 1, axis=2)
        column = whole.slice(j, j + 1, axis=2) - np.eye(k)[:, j : j + 1]
        whole = whole - column * row
    return whole.slice(k, END, axis=2)


def cholesky(matrix: Value, k: int) -> Value:
    """Lower factors of positive definite matrices (n, k, k)."""
    columns, rest = [], matrix
    for j in range(k):
        pivot = rest.slice(j, j + 1, axis=1).slice(j, j + 1, axis=2)
        column = rest.slice(j, j + 1, axis=2) / pivot.of("Sqrt")
        column = column * (np.arange(k) >= j).astype(float)[:, None]
        columns.append(column)
        rest = rest - column * column.transpose(0, 2, 1)
    return matrix.graph.concat(columns, axis=2)
