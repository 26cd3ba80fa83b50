"""Coordinates of the rows of a wide table in their span."""

import numpy as np
import pytest
import torch

from sklearn_ae._tables.columns import Columns
from sklearn_ae._tables.span import Span, is_wide


@pytest.fixture(scope="module")
def x():
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(6, 40)))
    return x - x.mean(dim=0)


def test_centred_rows_have_one_coordinate_less_than_rows(x):
    assert Span.of(x).n_coordinates == 5


def test_axes_are_orthonormal(x):
    axes = Span.of(x).axes
    torch.testing.assert_close(axes.T @ axes, torch.eye(5, dtype=x.dtype))


def test_mean_squares_of_coordinates_are_those_of_columns(x):
    coordinates = Span.of(x).coordinates(x)
    differences = coordinates[:, None] - coordinates
    wanted = (x[:, None] - x).square().mean(dim=-1)
    torch.testing.assert_close(differences.square().mean(dim=-1), wanted)


def test_rotated_columns_have_the_same_coordinates(x):
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(40, 40)))[0]
    turned = x @ torch.from_numpy(rotation)
    torch.testing.assert_close(
        Span.of(turned).coordinates(turned), Span.of(x).coordinates(x)
    )


def test_what_stands_behind_the_rows_stays(x):
    behind = torch.arange(12.0, dtype=x.dtype).view(6, 2)
    both = torch.cat([x, behind], dim=1)
    torch.testing.assert_close(Span.of(x).coordinates(both)[:, -2:], behind)


def test_layers_of_coordinates_become_layers_of_columns(x):
    span = Span.of(x)
    weight = torch.ones(3, 5, dtype=x.dtype)
    torch.testing.assert_close(
        x @ span.to_inputs(weight).T, span.coordinates(x) @ weight.T
    )
    torch.testing.assert_close(span.to_outputs(span.coordinates(x).T).T, x)


def test_rows_that_are_all_the_same_span_nothing():
    assert Span.of(torch.zeros(3, 20)) is None


def test_columns_of_pairs_keep_those_of_targets(x):
    columns = Columns(
        torch.arange(42.0), torch.arange(1.0, 43.0, dtype=torch.float64), n_seen=40
    )
    of_span = Span.of(x).columns(columns)
    assert of_span.n_seen == 5
    assert of_span.center.tolist() == [0.0] * 5 + [40.0, 41.0]
    assert of_span.scale.tolist() == [1.0] * 5 + [41.0, 42.0]


@pytest.mark.parametrize(
    ("n_rows", "n_columns", "wide"),
    [(50, 200, True), (50, 199, False), (2, 8, True), (1, 100, False)],
)
def test_a_table_is_wide_from_four_columns_a_row_on(n_rows, n_columns, wide):
    assert is_wide(n_rows, n_columns) == wide
