"""Maps of columns in a graph: the same as `ColumnMap`, one by one."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm

from sklearn_ae._tables.table_kinds import TableKinds

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from sklearn_ae.export._column_likelihoods import _log_interval  # noqa: E402
from sklearn_ae.export._column_maps import Maps, searched  # noqa: E402
from sklearn_ae.export._graph import Graph  # noqa: E402
from sklearn_ae.export._layers import log_normal_share  # noqa: E402


def computed(function, *arrays):
    """What a graph gives for arrays."""
    graph = Graph(np.dtype(np.float64))
    helper, double = onnx.helper, onnx.TensorProto.DOUBLE
    names = [f"input{i}" for i in range(len(arrays))]
    graph.name_output(
        graph.cast(function(*map(graph.value, names)), np.dtype(float)), "output"
    )
    made = helper.make_graph(
        graph.nodes,
        "test",
        [helper.make_tensor_value_info(name, double, None) for name in names],
        [helper.make_tensor_value_info("output", double, None)],
        graph.constants,
    )
    opsets = [helper.make_opsetid("", 19)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, dict(zip(names, arrays, strict=True)))[0]


@pytest.fixture(scope="module")
def table():
    """Columns of many shapes: tails, spikes, few values, large and small units."""
    rng = np.random.RandomState(0)
    z = rng.normal(size=(300, 7))
    X = np.column_stack(
        [
            z[:, 0],
            1e12 * np.exp(3.0 * z[:, 1]),
            np.where(z[:, 2] < 0, 0.0, 1e-30 * np.exp(z[:, 2])),
            rng.poisson(4, 300),
            np.round(z[:, 4], 1),
            np.full(300, 2.0),
            1e308 * np.tanh(z[:, 6]),
        ]
    )
    X[::5, 0] = np.nan
    return X


@pytest.fixture(scope="module")
def kinds(table):
    return TableKinds(table, column_maps="quantile")


def test_scores_are_those_of_the_map(table, kinds):
    between = np.sort(table, axis=0)
    between = between[:-1] / 2 + between[1:] / 2
    values = np.vstack([table, between, 3.0 * table[:, :6].max() * np.ones((1, 7))])
    values[-1, 6] = 1.7e308
    expected = np.column_stack(
        [k.map.encode(v) for k, v in zip(kinds.kinds, values.T, strict=True)]
    )
    assert_allclose(computed(Maps(kinds).encode, values), expected, atol=1e-12)


def test_values_are_those_of_the_map(kinds):
    scores = np.linspace(-40.0, 40.0, 1601)[:, None] + np.zeros(7)
    for i, kind in enumerate(kinds.kinds):  # at the knots' own edges too
        edges = kind.map.edges
        scores[: len(edges), i] = edges[: len(scores)]
    expected = np.column_stack(
        [
            k.map.rounded(k.map.decode(y))
            for k, y in zip(kinds.kinds, scores.T, strict=True)
        ]
    )
    answer = computed(Maps(kinds).decode, scores)
    assert_allclose(answer, expected, rtol=1e-9, atol=1e-42)


@pytest.mark.parametrize("side", ["left", "right"])
def test_search_is_numpy_s(side):
    edges = np.array([[0, 1, 2, 3, 5, 5, 7], [4] * 7, [-3, 0, 0, 0, 1, 9, 9]], float)
    x = np.arange(-5.0, 12.0, 0.5)[:, None] + np.zeros(3)
    expected = [
        np.searchsorted(e, column, side=side)
        for e, column in zip(edges, x.T, strict=True)
    ]
    answer = computed(lambda value: searched(value, edges, side == "right"), x)
    np.testing.assert_array_equal(answer, np.transpose(expected))


def test_log_of_the_normal_distribution_function():
    x = np.concatenate([np.linspace(-40.0, 40.0, 401), [-1e4, 1e4]])
    assert_allclose(
        computed(log_normal_share, x), norm.logcdf(x), rtol=1e-12, atol=1e-15
    )


def test_log_of_an_interval_s_probability():
    lower = np.linspace(-30.0, 30.0, 241)
    upper = lower + 0.03
    # By the density at its middle, which is that of so narrow an interval.
    middle = norm.logpdf(0.5 * (lower + upper)) + np.log(0.03)
    rough = computed(_log_interval, lower, upper)
    assert_allclose(rough, middle, atol=0.05)
    wide = computed(_log_interval, np.array([-1.0, -9.0]), np.array([2.0, 9.0]))
    assert_allclose(np.exp(wide), norm.cdf([2.0, 9.0]) - norm.cdf([-1.0, -9.0]))
