"""Sizes and lengths that follow from the shape of a table."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sklearn_ae._training import recipe as _recipe

lengths = st.integers(1, 10**8)


@given(lengths, lengths)
def test_weight_decay_falls_with_the_rows_per_column(n, d):
    alpha = _recipe.alpha(True, n, d)
    assert 1.0 <= alpha <= 3.0
    assert _recipe.alpha(True, 2 * n, d) <= alpha <= _recipe.alpha(True, n, 2 * d)


@pytest.mark.parametrize(
    ("n", "d", "expected"),
    [(10_000, 50, 1.0), (10_000, 51, 1.01), (300, 6, 2.0), (100, 4, 2.83), (9, 9, 3.0)],
)
def test_weight_decay_by_hand(n, d, expected):
    assert _recipe.alpha(True, n, d) == pytest.approx(expected, abs=0.005)


def test_a_random_start_has_no_weight_decay():
    assert _recipe.alpha(False, 10, 1000) == 0.0


@pytest.mark.parametrize(
    ("is_anchored", "widest", "expected"),
    [(True, 0, 6e-3), (True, 256, 6e-3), (True, 1024, 3e-3), (False, 1024, 1e-3)],
)
def test_wide_layers_learn_at_a_lower_rate(is_anchored, widest, expected):
    assert _recipe.learning_rate(is_anchored, widest) == pytest.approx(expected)


@given(lengths)
def test_batches_hold_no_more_rows_than_there_are(n):
    assert 1 <= _recipe.batch_size(n) <= n


@given(st.integers(10_000, 10**6))
def test_long_tables_take_about_as_many_steps_as_one_of_10000_rows(n):
    def n_steps(n):
        return _recipe.n_epochs(n) * n / _recipe.batch_size(n)

    assert n_steps(n) == pytest.approx(n_steps(10_000), rel=0.15)


module = SimpleNamespace(center=torch.zeros(4), is_own=True, is_fast=True)


def make_recipe(**changes):
    """A recipe for rows of four columns, all of it automatic."""
    defaults = {
        **dict.fromkeys(("learning_rate", "alpha", "batch_size", "max_iter"), "auto"),
        "auto_learning_rate": 6e-3,
        "n_columns": 4,
        "is_anchored": True,
        "precision": "float32",
    }
    return _recipe.Recipe(**{**defaults, **changes})


@pytest.mark.parametrize(
    ("n_rows", "changes", "batch_size", "rate"),
    [
        (999, {}, 128, 6e-3),
        (1000, {}, 256, 6e-3 * 2**0.5),
        (40_000, {}, 512, 6e-3 * 2**0.5),
        (5000, {"slowdown": 2.0}, 256, 3e-3 * 2**0.5),
        (5000, {"learning_rate": 1e-3}, 256, 1e-3),
        (5000, {"batch_size": 32}, 32, 6e-3),
        (5000, {"has_surer_steps": False}, 128, 6e-3),
    ],
)
def test_the_rate_grows_as_the_root_of_larger_batches(
    n_rows, changes, batch_size, rate
):
    recipe = make_recipe(**{"has_surer_steps": True, **changes})
    options = recipe.options(n_rows, module)
    assert options.batch_size == batch_size
    assert options.learning_rate == pytest.approx(rate)


def test_larger_batches_do_not_lengthen_trials():
    recipe = make_recipe(has_surer_steps=True, trial_share=_recipe.TRIAL_SHARE)
    assert recipe.options(1000, module).trial_share == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("has_surer_steps", "expected"), [(True, 0.98), (False, 0.999)]
)
def test_surer_steps_forget_sooner(has_surer_steps, expected):
    recipe = make_recipe(has_surer_steps=has_surer_steps)
    assert recipe.options(100, module).beta_2 == expected


def test_passes_over_streams_are_not_changed_by_what_schedules_allow():
    plain, surer = (make_recipe(has_surer_steps=surer) for surer in (False, True))
    expected = plain.options_of_pass(5000, module)
    assert surer.options_of_pass(5000, module) == replace(
        expected, checkpoints=surer.checkpoints
    )


@given(st.integers(0, 75))
def test_all_rows_are_trained_on_for_a_little_longer(best_epoch):
    n_epochs = _recipe.n_epochs_on_all_rows(best_epoch)
    assert 1.4 * best_epoch <= n_epochs < 1.4 * best_epoch + 1


@pytest.mark.parametrize(("n_folds", "expected"), [(0, 25), (5, math.inf)])
def test_folds_go_to_the_end_of_their_schedule(n_folds, expected):
    assert _recipe.n_iter_no_change(n_folds) == expected


@given(st.integers(2, 10**6), st.floats(0.01, 0.99))
def test_some_rows_are_held_out_and_some_are_left(n, fraction):
    assert 1 <= _recipe.n_validation_rows(n, fraction) <= n - 1


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [(0.1, 5), (0.25, 2), (0.9, 2), (0.05, 10), (1e-6, 10)],
)
def test_folds_hold_out_twice_the_share_and_are_not_many(fraction, expected):
    assert _recipe.n_folds(fraction) == expected


@pytest.mark.parametrize(
    ("n_rows", "max_iter", "expected"),
    [
        (100, "auto", 1.0),  # a batch in each epoch: no steps to spare
        (300, "auto", 150 / 225),
        (5000, "auto", 1 / 3),
        (5000, 75, 1 / 3),
        (5000, 74, 1.0),  # cut short already
    ],
)
def test_trials_are_as_short_as_their_steps_allow(n_rows, max_iter, expected):
    recipe = make_recipe(max_iter=max_iter, trial_share=_recipe.TRIAL_SHARE)
    options = recipe.options(n_rows, module)
    assert options.trial_share == pytest.approx(expected)
