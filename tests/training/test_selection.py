"""Held-out rows say how long to train, then all rows are trained on."""

import copy
import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._testing import ignore_warnings
from skorch.callbacks import EpochTimer

from sklearn_ae import AutoencoderTransformer
from sklearn_ae._networks.losses import SquaredError
from sklearn_ae._networks.modules import MLP, Autoencoder
from sklearn_ae._training import plans as _plans
from sklearn_ae._training import recipe as _recipe
from sklearn_ae._training import selection as _selection
from sklearn_ae._training.objectives import row_losses
from sklearn_ae._training.options import TrainingOptions
from sklearn_ae._training.selection import train_on_small_table
from sklearn_ae._training.trainer import DivergenceError, Patience
from sklearn_ae._utils.device import isolated_generators

CPU = torch.device("cpu")
D, K = 4, 2  # columns and latents
N_ROWS, N_FOLDS = 43, 5


@pytest.fixture
def x():
    """A curved surface of dimension 2 in 4 columns."""
    t = torch.rand(N_ROWS, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    columns = [t[:, 0], t[:, 1], t[:, 0] * t[:, 1], t[:, 0] ** 2 - 1 / 3]
    return torch.stack(columns, dim=1)


@pytest.fixture
def start():
    """The module that every training starts from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Autoencoder(
            MLP.of_sizes(D, (6,), K, "tanh"),
            MLP.of_sizes(K, (6,), D, "tanh"),
            SquaredError(),
            center=torch.zeros(D),
            scale=torch.tensor(1.0),
        )


class Make:
    """Copies of the start, and the rows that each was made for."""

    def __init__(self, start):
        self.start = start
        self.rows = []

    def __call__(self, rows):
        self.rows.append(rows)
        return copy.deepcopy(self.start)


def make_options(**changes):
    options = {
        "learning_rate": 1e-2,
        "weight_decay": 0.0,
        "batch_size": 8,
        "n_epochs": 6,
        "n_iter_no_change": 1000,
        "tol": 0.0,
        "starts_at_optimum": False,
        "device": CPU,
    }
    return TrainingOptions(**{**options, **changes})


def select(make, x, n_folds=N_FOLDS, **changes):
    with isolated_generators(0, CPU):
        return train_on_small_table(make, x, make_options(**changes), 0, n_folds)


def sorted_rows(x):
    return sorted(map(tuple, x.tolist()))


def assert_same_weights(module, other):
    torch.testing.assert_close(
        dict(module.state_dict()), dict(other.state_dict()), rtol=0, atol=0
    )


def test_each_row_is_held_out_once(start, x):
    make = Make(start)
    select(make, x)
    *kept, everything = make.rows
    assert len(kept) == N_FOLDS
    assert torch.equal(everything, x)
    held_out = [set(sorted_rows(x)) - set(sorted_rows(rows)) for rows in kept]
    assert sorted(row for fold in held_out for row in fold) == sorted_rows(x)


@pytest.mark.parametrize("n_rows", [5, 6, 11, 43])
def test_there_are_as_many_folds_as_asked_for_of_nearly_equal_size(start, x, n_rows):
    make = Make(start)
    select(make, x[:n_rows], n_epochs=1)
    sizes = [n_rows - len(kept) for kept in make.rows[:-1]]
    assert len(sizes) == N_FOLDS
    assert max(sizes) - min(sizes) <= 1


def test_validation_curve_is_the_mean_over_all_rows(start, x):
    # Steps too small to matter: each row has the loss that it has at the start.
    _, result = select(Make(start), x, learning_rate=1e-12)
    expected = row_losses(start, x, 0).mean().item()
    assert result.validation_loss_curve == pytest.approx([expected] * 6, rel=1e-5)


def test_training_curve_is_the_mean_over_all_rows(start, x):
    _, result = select(Make(start), x, learning_rate=1e-12)
    expected = row_losses(start, x, 0).mean().item()
    assert result.loss_curve == pytest.approx([expected] * 6, rel=1e-5)


def test_best_epoch_has_the_lowest_validation_loss(start, x):
    initial = row_losses(start, x, 0).mean().item()
    for learning_rate in (1e-2, 0.5):
        _, result = select(Make(start), x, learning_rate=learning_rate)
        curve = [initial, *result.validation_loss_curve]
        assert result.best_epoch == curve.index(min(curve))


def test_last_training_is_that_of_all_rows_with_a_schedule_of_its_own(start):
    # Of noise there is little to learn: the best epoch is in mid-schedule.
    x = torch.randn(12, D, generator=torch.Generator().manual_seed(0))
    changes = {"learning_rate": 0.1, "batch_size": 4}
    module, result = select(Make(start), x, **changes, n_epochs=40)
    n_epochs = math.ceil(1.4 * result.best_epoch)
    assert 0 < n_epochs < 40
    twin = copy.deepcopy(start).train()
    train_by_hand(twin, x, n_epochs, learning_rate=0.1, n_batches=3)
    torch.testing.assert_close(
        dict(module.state_dict()), dict(twin.state_dict()), rtol=1e-4, atol=1e-5
    )


def test_the_module_has_had_the_epochs_of_the_last_training_alone(start):
    x = torch.randn(12, D, generator=torch.Generator().manual_seed(0))
    module, result = select(
        Make(start), x, learning_rate=0.1, batch_size=4, n_epochs=40
    )
    assert module.epoch == math.ceil(1.4 * result.best_epoch) < result.n_epochs


def train_by_hand(module, x, n_epochs, learning_rate, n_batches):
    """The same batches, warm-up and cosine in the loop that everybody writes."""
    optimizer = torch.optim.Adam(module.parameters())
    generator = torch.Generator().manual_seed(0)
    steps = (torch.arange(n_epochs * n_batches) + 0.5) / (n_epochs * n_batches)
    cosine = 0.5 + 0.5 * torch.cos(torch.pi * (steps - 0.1) / 0.9)
    rates = iter(learning_rate * torch.where(steps < 0.1, steps / 0.1, cosine))
    for _ in range(n_epochs):
        rows = torch.randperm(len(x), generator=generator)
        for batch in rows.tensor_split(n_batches):
            optimizer.param_groups[0]["lr"] = next(rates).item()
            optimizer.zero_grad()
            module.loss(x[batch]).mean().backward()
            optimizer.step()


def test_trials_are_shorter_and_the_last_training_is_not(start):
    x = torch.randn(12, D, generator=torch.Generator().manual_seed(0))
    changes = {"learning_rate": 0.1, "batch_size": 4, "n_epochs": 40}
    module, result = select(Make(start), x, **changes, trial_share=0.5)
    assert result.n_epochs == len(result.validation_loss_curve) == 20
    assert module.epoch == min(40, math.ceil(1.4 * result.best_epoch / 0.5)) > 0


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_weights_that_nothing_moves_decay_as_much_in_a_trial(share):
    options = make_options(n_epochs=40, weight_decay=0.1, trial_share=share)
    trial = options.of_trial
    decayed = trial.n_epochs * trial.weight_decay
    assert decayed == pytest.approx(40 * 0.1)


# Patience -----------------------------------------------------------------------------


def test_trainings_stop_together_where_nothing_is_progress(start, x):
    _, result = select(Make(start), x, n_epochs=40, n_iter_no_change=3, tol=1e9)
    assert result.n_epochs == 3
    assert len(result.loss_curve) == len(result.history) == 3
    assert len(result.validation_loss_curve) == 3


def test_trainings_stop_where_patience_with_the_mean_of_all_rows_ends(start):
    # Of noise there is little to learn: the loss of rows held out falls, then rises.
    x = torch.randn(12, D, generator=torch.Generator().manual_seed(0))
    changes = {"learning_rate": 0.1, "batch_size": 4, "n_epochs": 40}
    _, whole = select(Make(start), x, **changes)
    _, result = select(Make(start), x, **changes, n_iter_no_change=5, tol=0.01)
    patience = Patience(5, 0.01, best=row_losses(start, x, 0).mean().item())
    curve = enumerate(whole.validation_loss_curve, 1)
    last = next(epoch for epoch, loss in curve if patience.is_exhausted(epoch, loss))
    assert 5 < result.n_epochs == last < 40
    # Side by side or one after the other, trainings are the same.
    assert result.validation_loss_curve == whole.validation_loss_curve[:last]
    # Curves of other lengths are summed in another order, in float32.
    assert result.loss_curve == pytest.approx(whole.loss_curve[:last], rel=1e-6)


def test_best_epoch_is_one_that_patience_has_seen(start):
    x = torch.randn(12, D, generator=torch.Generator().manual_seed(0))
    _, result = select(Make(start), x, n_epochs=40, n_iter_no_change=2, tol=1e9)
    initial = row_losses(start, x, 0).mean().item()
    curve = [initial, *result.validation_loss_curve]
    assert result.best_epoch == curve.index(min(curve)) <= 2


def test_epochs_at_the_beginning_are_no_reason_to_stop(start, x):
    changes = {"n_iter_no_change": 3, "tol": 1e9, "n_iter_eased": 4}
    assert select(Make(start), x, n_epochs=40, **changes)[1].n_epochs == 7


def test_divergence_in_one_fold_does_not_keep_the_others_going(start, x):
    changes = {"n_epochs": 40, "n_iter_no_change": 3, "tol": 1e9}
    _, result = select(DivergesOnce(start), x, starts_at_optimum=True, **changes)
    assert (result.best_epoch, result.n_epochs) == (0, 3)


@pytest.mark.parametrize(
    ("params", "n_iter"),
    [({}, 12), ({"tol": 1e9}, 12), ({"n_iter_no_change": 2, "tol": 1e9}, 2)],
)
def test_cross_validation_stops_early_where_the_user_says_when(params, n_iter):
    params |= {"max_iter": 12, "hidden_layer_sizes": (4,)}
    with ignore_warnings(category=ConvergenceWarning):
        model = AutoencoderTransformer(1, **params).fit(table_of(40))
    assert model.n_iter_ == len(model.validation_loss_curve_) == n_iter


# Optima -------------------------------------------------------------------------------


@pytest.mark.parametrize("is_clear", [True, False])
@pytest.mark.parametrize("starts_at_optimum", [True, False])
def test_an_optimum_stays_unless_the_gain_is_clear(
    start, x, monkeypatch, is_clear, starts_at_optimum
):
    monkeypatch.setattr(_selection, "is_clear_gain", lambda gains: is_clear)
    module, result = select(Make(start), x, starts_at_optimum=starts_at_optimum)
    if is_clear or not starts_at_optimum:
        assert result.best_epoch > 0
    else:
        assert result.best_epoch == 0
        assert_same_weights(module, start)


def test_the_gain_is_that_of_each_row(start, x, monkeypatch):
    seen = []
    monkeypatch.setattr(_selection, "is_clear_gain", lambda gains: seen.append(gains))
    _, result = select(Make(start), x, starts_at_optimum=True)
    (gains,) = seen
    assert gains.shape == (N_ROWS,)
    initial = row_losses(start, x, 0).mean().item()
    best = min(result.validation_loss_curve)
    assert gains.mean().item() == pytest.approx(initial - best, rel=1e-4)


def test_history_has_the_curves_by_epoch(start, x):
    _, result = select(Make(start), x)
    history = result.history
    assert history[:, "epoch"] == [1, 2, 3, 4, 5, 6]
    assert history[:, "train_loss"] == result.loss_curve
    assert history[:, "valid_loss"] == result.validation_loss_curve


def test_same_seed_same_bits(start, x):
    (module, result), (twin, other) = (select(Make(start), x) for _ in range(2))
    assert_same_weights(module, twin)
    assert result == other


def test_module_comes_in_evaluation_mode_with_memory_of_its_own(start, x):
    module, _ = select(Make(start), x)
    assert not module.training
    for parameter in module.parameters():
        n_bytes = parameter.numel() * parameter.element_size()
        assert parameter.untyped_storage().nbytes() == n_bytes


def test_divergence_in_every_fold_says_what_to_lower(start, x):
    with pytest.raises(DivergenceError, match="Lower learning_rate_init"):
        select(Make(start), x, learning_rate=1e6)


class DivergesOnce(Make):
    """The first fold's module loses its numbers in training."""

    def __call__(self, rows):
        module = super().__call__(rows)
        if len(self.rows) == 1:
            with torch.no_grad():
                module.decoder[-1].weight.mul_(1e30)
        return module


def test_divergence_in_one_fold_leaves_the_optimum(start, x):
    module, result = select(DivergesOnce(start), x, starts_at_optimum=True)
    assert result.best_epoch == 0
    assert_same_weights(module, start)


def test_one_bar_for_all_trainings(start, x, capsys):
    select(Make(start), x, verbose=1)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "30/30" in err.rpartition("\r")[2]


# Short tables -------------------------------------------------------------------------


def table_of(n_rows):
    """A parabola with noise: easy, and with something that PCA cannot have."""
    rng = np.random.default_rng(0)
    t = rng.uniform(-1, 1, size=n_rows)
    return np.c_[t, t**2] + 0.01 * rng.normal(size=(n_rows, 2))


@pytest.mark.parametrize(
    ("changes", "is_trained_on_all_rows"),
    [
        ({}, True),
        ({"LONG_TABLE": 1200}, False),
        ({"callbacks": [EpochTimer()]}, False),
        ({"early_stopping": False}, False),
        ({"max_iter": 0}, False),
    ],
    ids=["short", "long", "callbacks", "no early stopping", "nothing to train"],
)
def test_only_short_tables_are_trained_on_as_a_whole(
    monkeypatch, changes, is_trained_on_all_rows
):
    seen = []

    def spy(make_module, x, options, seed, best_epoch, *rest):
        seen.append((len(x), best_epoch))
        return make_module(x)

    monkeypatch.setattr(_plans, "train_on_all_rows", spy)
    changes = dict(changes)
    if "LONG_TABLE" in changes:
        monkeypatch.setattr(_recipe, "LONG_TABLE", changes.pop("LONG_TABLE"))
    params = {"max_iter": 4, "hidden_layer_sizes": (8,)} | changes
    with ignore_warnings(category=ConvergenceWarning):
        model = AutoencoderTransformer(1, **params).fit(table_of(1200))
    expected = [(1200, model.best_iter_)] if is_trained_on_all_rows else []
    assert seen == expected


def test_training_on_all_rows_needs_a_gain_on_held_out_rows():
    X = np.random.default_rng(0).normal(size=(1200, 3))
    model = AutoencoderTransformer(2, hidden_layer_sizes=(8,)).fit(X)
    assert model.best_iter_ == 0
    pca = PCA(2).fit(X)
    assert_allclose(model.transform(X), pca.transform(X), atol=1e-5)


# The learning rate --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "rates"),
    [({}, [6e-3, 6e-4, 6e-5]), ({"learning_rate_init": 1e-3}, [1e-3])],
    ids=["ours", "the user's"],
)
def test_a_rate_of_our_own_is_lowered_where_training_diverges(
    monkeypatch, params, rates
):
    seen = []

    def diverge(make_module, x, options, seed, n_folds, *rest):
        seen.append(options.learning_rate)
        raise DivergenceError("diverged")

    monkeypatch.setattr(_plans, "train_on_small_table", diverge)
    X = np.random.default_rng(0).normal(size=(30, 4))
    with pytest.raises(DivergenceError):
        AutoencoderTransformer(2, **params).fit(X)
    assert seen == pytest.approx(rates)


# Futility -----------------------------------------------------------------------------


@pytest.mark.parametrize(("is_bent", "n_epochs"), [(False, 30), (True, 75)])
def test_folds_that_gain_nothing_end_early(is_bent, n_epochs):
    rng = np.random.default_rng(0)
    t = rng.uniform(-1, 1, size=(60, 1))
    X = np.hstack([t, t**2]) if is_bent else rng.normal(size=(60, 4))
    params = {"hidden_layer_sizes": (8,), "inference": "encoder", "batch_size": 30}
    model = AutoencoderTransformer(1, learning_rate_init=0.02, **params).fit(X)
    assert model.n_iter_ == n_epochs
    assert (model.best_iter_ > 0) == is_bent


def test_schedules_of_the_users_own_length_go_to_their_end():
    X = np.random.default_rng(0).normal(size=(60, 4))
    params = {"hidden_layer_sizes": (2,), "inference": "encoder", "max_iter": 10}
    with pytest.warns(ConvergenceWarning):
        model = AutoencoderTransformer(1, **params).fit(X)
    assert model.n_iter_ == 10
