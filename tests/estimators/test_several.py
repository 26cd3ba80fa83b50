"""Fits of several processes: each has a part of the rows, and all end up equal."""

import contextlib
import os
import pickle
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from several_processes import (
    COPIES,
    FRACTIONS,
    batches,
    cut,
    detector,
    faces,
    fit_command,
    full_batch,
    map_of_graph,
    map_of_neighbors,
    mixed_table,
    quick,
    said,
    share_from_n_long,
    swapper,
    table,
    table_with_holes,
    with_conditions,
    with_maps,
)
from sklearn.neighbors import kneighbors_graph

from sklearn_ae import load
from sklearn_ae.__main__ import main

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("several_processes.py")
TIME_LIMIT = 240  # seconds, of a program that takes some ten
EQUAL = [
    *("trained", "full batch", "start", "short", "one has none", "trained by one"),
    *("missing", "mixed", "mixed, one has none", "vae", "conditional", "regressor"),
    *("parts", "own networks", "no seed", "detector", "streamed", "weights"),
    *("weighted batches", "copies", "map", "condition columns", "number for short"),
    *("checkpoint", "maps", "trained with maps", "maps of a mixed table", "faces"),
    *("more faces", "map of a graph"),
]


@pytest.fixture(autouse=True)
def long_tables_are_those_of_the_processes(monkeypatch):
    share_from_n_long(monkeypatch.setattr)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each of two processes says after each fit."""
    path = tmp_path_factory.mktemp("several")
    frame = pd.DataFrame(table(200), columns=["a", "b", "c", "d"])
    frame.to_csv(path / "table.csv", index=False)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, PROGRAM, path],
        env=environment,
        stderr=subprocess.PIPE,
        start_new_session=True,  # so that both can be ended together
    )
    try:
        _, errors = process.communicate(timeout=TIME_LIMIT)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert {file.name for file in path.iterdir()} >= {"0", "1"}, errors.decode()
    results = [pickle.loads((path / str(rank)).read_bytes()) for rank in range(2)]
    return *results, path


@pytest.mark.parametrize("name", EQUAL)
def test_processes_end_up_with_equal_bits(found, name):
    first, second, _ = found
    first, second = first[name], second[name]
    if isinstance(first, tuple):
        assert first[1] == second[1]
        first, second = first[0], second[0]
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, second)


def test_start_is_that_of_one_process_with_all_rows(found):
    alone = said(lambda: quick(max_iter=0).fit(table()))
    np.testing.assert_allclose(found[0]["start"], alone, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found[0]["one has none"], alone, rtol=1e-6, atol=1e-6)


def test_mean_gradient_is_that_of_all_rows(found):
    # Adam's first steps are signs of gradients, which rounding turns where they are 0.
    alone = said(lambda: full_batch().fit(table()))
    np.testing.assert_allclose(found[0]["full batch"], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["batches", "weighted batches"])
def test_batches_are_those_of_one_process(found, name):
    weights = FRACTIONS if name == "weighted batches" else None
    alone = said(lambda: batches().fit(table(), sample_weight=weights))
    np.testing.assert_allclose(found[0][name], alone, rtol=1e-4, atol=1e-5)


def test_weights_are_those_of_all_processes(found):
    alone = said(lambda: quick(max_iter=0).fit(table(), sample_weight=FRACTIONS))
    np.testing.assert_allclose(found[0]["weights"], alone, rtol=1e-6, atol=1e-6)


def test_condition_columns_have_the_units_of_all_rows(found):
    alone = said(lambda: with_conditions().fit(table()))
    np.testing.assert_allclose(found[0]["condition columns"], alone, rtol=1e-4)


def test_maps_are_of_the_values_in_all_processes(found):
    X = table()
    alone = with_maps().fit(X).transform(X[:50])
    np.testing.assert_allclose(found[0]["maps"], alone, rtol=1e-4, atol=1e-5)


def test_maps_and_patterns_of_a_mixed_table_are_of_all_processes(found):
    holes = table_with_holes()
    alone = said(lambda: with_maps(1).fit(holes).transform(holes))
    np.testing.assert_array_equal(found[0]["maps of a mixed table"], alone)


def test_steps_of_faces_are_those_of_one_process(found):
    alone = said(lambda: swapper().fit(*faces()).transform(faces()[0]))
    np.testing.assert_allclose(found[0]["faces"], alone, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "fit"),
    [
        ("copies", lambda X: quick(max_iter=0).fit(X, sample_weight=COPIES)),
        ("map", lambda X: map_of_neighbors().fit(X)),
        (
            "map of a graph",
            lambda X: map_of_graph().fit(X, graph=kneighbors_graph(X, 5)),
        ),
        ("number for short", lambda X: quick(0.9, max_iter=1).fit(X)),
        ("detector", lambda X: detector().fit(X, sample_weight=FRACTIONS[:200])),
    ],
)
def test_first_process_fits_short_tables_with_all_rows(found, name, fit):
    np.testing.assert_array_equal(found[0][name], said(lambda: fit(table()[:200])))


def test_fit_that_a_process_left_goes_on_to_the_same_bits(found):
    for rank in range(2):
        undisturbed, gone_on = found[rank]["checkpoint"]
        np.testing.assert_array_equal(gone_on, undisturbed)


def test_command_line_fits_with_all_processes_of_torchrun(found):
    *results, path = found
    assert [result["command"] for result in results] == [0, 0]
    assert main(fit_command(path, "alone")) == 0
    models = [load(path / f"{name}.model") for name in ("table", "alone")]
    X = pd.read_csv(path / "table.csv")
    np.testing.assert_array_equal(*(model.transform(X) for model in models))


def test_short_tables_are_fitted_as_by_one_process(found):
    X = table()[:200]
    alone = said(lambda: quick(max_iter=2, batch_size=50).fit(X))
    np.testing.assert_array_equal(found[0]["short"], alone)


def test_levels_are_those_of_all_processes(found):
    Z, columns = found[0]["mixed"]
    alone, columns_alone = said(lambda: quick(max_iter=0).fit(mixed_table()))
    assert columns == columns_alone
    np.testing.assert_array_equal(Z, alone)
    Z, columns = found[0]["mixed, one has none"]
    assert columns == columns_alone
    np.testing.assert_array_equal(Z, alone)


def test_alone_each_process_has_its_own_estimator(found):
    for rank in range(2):
        own = said(lambda rank=rank: quick(max_iter=0).fit(cut(table(), rank)))
        np.testing.assert_array_equal(found[rank]["alone"], own)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("diverged", "Training diverged in epoch 1"),
        ("columns", "Process 1 has 3 columns, and process 0 has 4; .*missing there: 3"),
        ("names", "only there: e; missing there: d"),
        ("order", "column 0 is b there, and a in process 0"),
        ("types", "Column 'b' is of type float32 in process 1, and of type float64"),
        ("dtypes", "of type float32 in process 1, and of type float64 in process 0"),
        ("parameters", "Process 1 has n_components = 3, and process 0 has n_comp"),
        ("seeds", "Process 1 has random_state = 1, and process 0 has random_state = 0"),
        ("generator", "random_state must be an integer or None there"),
        ("nobody", "None of the 2 processes was given any rows"),
        ("callbacks", "callbacks= is for a fit of one process"),
        ("weights in one", "Process 1 has sample_weight, and process 0 has none"),
        ("number of latents", "n_components='auto' tries several numbers of latents"),
        ("few faces in a step", "each of 2 processes takes a part: raise batch_size"),
        ("small faces", r"Process 1 has faces with the shape \(8, 16\), and process 0"),
        ("faces and callbacks", "callbacks= is for a fit of one process"),
    ],
)
def test_what_cannot_be_fitted_together_is_refused_in_all(found, name, message):
    for rank in range(2):
        assert re.search(message, found[rank][name])


@pytest.mark.parametrize(
    ("name", "message"),
    [("infinite", "Input X contains infinity"), ("wrong in one", "n_components")],
)
def test_failure_of_one_is_told_to_the_others(found, name, message):
    reason = found[1][name]
    assert message in reason
    expected = f"ProcessError: The fit failed in process 1 of 2: {reason}"
    assert found[0][name] == expected


def test_process_that_ends_is_named_to_the_others(found):
    assert "dying" not in found[1]
    assert re.search("ProcessError: .* lost rank 1: ended", found[0]["dying"])
