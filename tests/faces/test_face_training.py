import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from sklearn_ae._training.trainer import DivergenceError
from sklearn_ae._utils.device import _GENERATOR_LOCK
from sklearn_ae.faces._augmentation import FaceAugmentation
from sklearn_ae.faces._modules import (
    FaceNetwork,
    mean_discrepancy,
    to_unit_interval,
)
from sklearn_ae.faces._training import (
    LEAST_STEPS,
    WARP_FALLS,
    FaceBatches,
    FaceCurves,
    FaceObjective,
    FaceTraining,
    FaceTrainingOptions,
    make_optimizer,
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


def train(network, held_out=None, after_epoch=lambda epoch: False, **changes):
    optimizer = make_optimizer(network, 1e-2)
    rates = []
    step = optimizer.step

    def noted(*args, **kwargs):
        rates.append(optimizer.param_groups[0]["lr"])
        return step(*args, **kwargs)

    optimizer.step = noted
    curves = FaceCurves()
    training = FaceTraining(
        network, optimizer, faces(), held_out or {}, options(**changes), curves
    )
    training.run(after_epoch)
    return curves, rates


def seen_faces(network, after_epoch=lambda epoch: False, **changes):
    """What the encoder is given in training, batch by batch, in each epoch."""
    seen, now = {}, []

    def note(encoder, inputs):
        if network.training:
            now.append(inputs[0].clone())

    def finish(epoch):
        seen[epoch] = torch.stack(now)
        now.clear()
        return after_epoch(epoch)

    network.encoder.register_forward_pre_hook(note)
    train(network, after_epoch=finish, **changes)
    return seen


def test_every_face_comes_as_often_as_any_other_give_or_take_one():
    # 7 faces of one identity and 40 of another, each of which can be told by its value.
    x = {3: torch.arange(7.0)[:, None], 1: torch.arange(40.0)[:, None]}
    batches = FaceBatches(x, 4, torch.device("cpu"))
    batches.generator.manual_seed(0)
    epoch = list(batches)
    assert len(epoch) == len(batches) == 10
    assert [len(batch) for batch in epoch] == [8] * 10
    assert batches.n_rows == 80
    for place, (identity, n) in enumerate({3: 7, 1: 40}.items()):
        parts = [batch.parts[place] for batch in epoch]
        assert {number for number, _ in parts} == {identity}
        order = torch.cat([faces for _, faces in parts])[:, 0].int()
        counts = np.bincount(order.numpy(), minlength=n)
        assert np.ptp(counts) <= 1
        assert sorted(order[:n].tolist()) == list(range(n))


def test_a_step_goes_down_from_the_mean_of_identities_and_their_discrepancy():
    network = make().eval()
    batch = next(iter(FaceBatches(faces(), 4, torch.device("cpu"))))
    loss, losses = FaceObjective(0.7).step_loss(network, batch, None)
    errors = [network.error(x, identity).mean() for identity, x in batch.parts]
    torch.testing.assert_close(losses, torch.stack(errors).detach())
    z = [network.encode(x) for _, x in batch.parts]
    expected = sum(errors) / 2 + 0.7 * mean_discrepancy(z)
    torch.testing.assert_close(loss, expected)
    assert loss.requires_grad
    assert not losses.requires_grad


def test_faces_are_judged_by_the_error_under_their_own_decoder():
    network, x = make().train(), faces(n=70)  # more than a block
    judged = FaceObjective().judge(network, x)
    for identity in (0, 1):
        with torch.no_grad():
            expected = network.error(x[identity], identity)
        torch.testing.assert_close(judged[identity], expected)


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
    at_once, later = seen_faces(make()), seen_faces(make(), n_done=2)
    assert later.keys() == {3}
    assert torch.equal(later[3], at_once[3])
    assert not torch.allclose(at_once[1], at_once[2])
    other = seen_faces(make(), n_epochs=1, seed=6)
    assert not torch.allclose(at_once[1], other[1])


def test_training_holds_no_lock_and_leaves_global_generators_alone():
    def finish(epoch):
        # Another thread builds networks meanwhile.
        with ThreadPoolExecutor(1) as pool:
            is_free = pool.submit(_GENERATOR_LOCK.acquire, blocking=False).result()
            assert is_free
            pool.submit(_GENERATOR_LOCK.release).result()
        return False

    network = make()
    state = torch.get_rng_state()
    train(network, after_epoch=finish)
    assert torch.equal(torch.get_rng_state(), state)


def test_curves_are_of_each_identity():
    network = make()
    curves, _ = train(network, learning_rate=1e-12, n_epochs=1)
    assert {i: len(losses) for i, losses in curves.by_identity.items()} == {0: 1, 1: 1}
    (mean,) = curves.loss
    assert mean == pytest.approx(np.mean([curves.by_identity[i][0] for i in (0, 1)]))
    assert curves.n_epochs == curves.best_epoch == 1
    assert not curves.held_out
    assert not network.training


def test_best_weights_on_held_out_faces_come_back():
    network = make()
    held_out = {i: x[:3] for i, x in faces(seed=1).items()}
    errors = []

    def note(epoch):
        with torch.no_grad():
            of = [network.error(x, i).mean().item() for i, x in held_out.items()]
        errors.append(np.mean(of))
        return False

    curves, _ = train(network, held_out, note, n_epochs=6, learning_rate=0.1)
    assert curves.held_out == pytest.approx(errors)
    best = int(np.argmin(errors))
    assert curves.best_epoch == best + 1
    now = np.mean([network.error(x, i).mean().item() for i, x in held_out.items()])
    assert now == pytest.approx(errors[best], abs=1e-6)


def test_progress_is_relative_to_the_best_error_so_far():
    held_out = faces(seed=1)

    def n_epochs(**changes):
        curves, _ = train(make(), held_out, n_epochs=8, **changes)
        return len(curves.held_out)

    # No error falls by all of itself: only the first epoch is progress.
    assert n_epochs(n_iter_no_change=3, tol=1.0) == 4
    assert n_epochs(n_iter_no_change=3, tol=1.0, n_done=3) == 4
    assert n_epochs() == 8


def test_losses_that_are_not_finite_end_the_training():
    network = make()

    def spoil(epoch):
        with torch.no_grad():
            network.encoder[0].weight.fill_(math.nan)
        return False

    with pytest.raises(DivergenceError, match=r"epoch 2.*Lower learning_rate_init"):
        train(network, after_epoch=spoil)
    with pytest.raises(DivergenceError, match="epoch 0, before the first step"):
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
