import math

import numpy as np
import pytest
import torch

from sklearn_ae._training.trainer import DivergenceError
from sklearn_ae.faces._augmentation import FaceAugmentation
from sklearn_ae.faces._modules import FaceNetwork
from sklearn_ae.faces._training import (
    LEAST_STEPS,
    WARP_FALLS,
    FaceTrainingOptions,
    _endless_order,
    make_optimizer,
    to_unit_interval,
    train_faces,
)


def make(n_identities=2):
    torch.manual_seed(0)
    return FaceNetwork((8, 8, 1), 1, 4, n_identities, FaceAugmentation(), 0.0)


def options(**changes):
    defaults = {
        "learning_rate": 1e-2,
        "batch_size": 4,
        "n_epochs": 3,
        "n_done": 0,
        "seed": 5,
        "precision": None,
    }
    return FaceTrainingOptions(**{**defaults, **changes})


def faces(n=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {i: torch.rand(n, 64, generator=generator) for i in (0, 1)}


def train(network, held_out=None, after_epoch=lambda epoch, curves: False, **changes):
    optimizer = make_optimizer(network, 1e-2)
    rates = []
    step = optimizer.step

    def noted(*args, **kwargs):
        rates.append(optimizer.param_groups[0]["lr"])
        return step(*args, **kwargs)

    optimizer.step = noted
    curves = train_faces(
        network, optimizer, faces(), held_out or {}, options(**changes), after_epoch
    )
    return curves, rates


def test_every_face_comes_as_often_as_any_other_give_or_take_one():
    torch.manual_seed(0)
    order = _endless_order(7, 40)
    counts = np.bincount(order.numpy(), minlength=7)
    assert len(order) == 40
    assert np.ptp(counts) <= 1
    assert sorted(order[:7].tolist()) == list(range(7))


def test_warp_falls_to_nothing_over_all_epochs():
    def shares(**changes):
        network, noted = make(), []
        network.augmentation.register_forward_pre_hook(
            lambda augmentation, x: noted.append(augmentation.warp_share)
        )
        train(network, n_epochs=10, **changes)
        return np.array(noted)

    share = shares()
    n = 10 * LEAST_STEPS
    start, end = (int(place * n) for place in WARP_FALLS)
    assert (share[: start + 1] == 1.0).all()
    assert (np.diff(share[start : end + 1]) < 0).all()
    assert (share[end:] == 0.0).all()
    # A training that goes on takes it up where it was; one without a schedule has all.
    np.testing.assert_array_equal(shares(n_done=6), share[6 * LEAST_STEPS :])
    assert (shares(is_scheduled=False) == 1.0).all()


def test_learning_rate_rises_and_falls_over_all_epochs():
    _, rates = train(make())
    assert len(rates) == 3 * LEAST_STEPS
    assert max(rates) == pytest.approx(1e-2, rel=0.02)
    assert rates[0] < 0.3e-2
    assert rates[-1] < 0.01e-2
    assert np.argmax(rates) in range(1, 6)
    # A training that goes on takes up the schedule where it was.
    _, later = train(make(), n_done=2)
    assert later == rates[2 * LEAST_STEPS :]
    _, constant = train(make(), is_scheduled=False)
    assert set(constant) == {1e-2}


def test_an_epochs_random_numbers_depend_on_its_number_only():
    seen = {}

    def note(epoch, curves):
        seen.setdefault(epoch, []).append(torch.rand(1).item())
        return False

    train(make(), after_epoch=note)
    train(make(), after_epoch=note, n_done=2)
    assert len(seen[3]) == 2
    assert seen[3][0] == seen[3][1]
    assert len({values[0] for values in seen.values()}) == 3


def test_curves_are_of_each_identity():
    network = make()
    curves, _ = train(network, learning_rate=1e-12, n_epochs=1)
    assert len(curves.by_identity) == 1
    assert len(curves.by_identity[0]) == 2
    assert not curves.held_out
    assert not network.training


def test_best_weights_on_held_out_faces_come_back():
    network = make()
    held_out = {i: x[:3] for i, x in faces(seed=1).items()}
    errors = []

    def spoil_the_last(epoch, curves):
        errors.append(curves.held_out[-1])
        return False

    curves, _ = train(network, held_out, spoil_the_last, n_epochs=6, learning_rate=0.1)
    assert curves.held_out == errors
    best = int(np.argmin(errors))
    assert curves.best_epoch == best + 1
    now = np.mean([network.error(x, i).mean().item() for i, x in held_out.items()])
    assert now == pytest.approx(errors[best], abs=1e-6)


def test_losses_that_are_not_finite_end_the_training():
    network = make()
    with torch.no_grad():
        network.encoder[0].weight.fill_(math.nan)
    with pytest.raises(DivergenceError, match=r"epoch 1.*Lower learning_rate_init"):
        train(network)


def test_frozen_parameters_have_no_moments():
    network = make()
    network.requires_grad_(False)
    network.decoders[1].requires_grad_(True)
    (group,) = make_optimizer(network, 1e-3).param_groups
    assert len(group["params"]) == len(list(network.decoders[1].parameters()))


def test_whole_numbers_count_to_255():
    whole = torch.tensor([0, 51, 255], dtype=torch.uint8)
    torch.testing.assert_close(to_unit_interval(whole), torch.tensor([0, 0.2, 1.0]))
    floats = torch.tensor([0.0, 0.5])
    assert to_unit_interval(floats) is floats
