"""Steps from projected latents, with autograd as the oracle."""

import copy

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._testing import ignore_warnings
from small_networks import D, K, network, rows, unit_rows

from sklearn_ae import AutoencoderTransformer
from sklearn_ae._inference import projection
from sklearn_ae._networks.losses import LOSSES
from sklearn_ae._networks.modules import Autoencoder
from sklearn_ae._training import projecting
from sklearn_ae._training.fast import fast_step, flatten
from sklearn_ae._training.objectives import Objective
from sklearn_ae._training.projecting import ProjectingObjective, step_on

each_loss = pytest.mark.parametrize("loss", LOSSES)


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def module_and_rows(loss, n_missing=0):
    loss = LOSSES[loss]()
    module = Autoencoder(
        network(D, K, "anchored"),
        network(K, D, "anchored"),
        loss,
        center=torch.zeros(D),
        scale=torch.tensor(1.0),
    )
    x = unit_rows() if loss.needs_unit_interval else rows()
    x[:n_missing, 0] = torch.nan
    module.has_missing = n_missing > 0
    return module.double().train(), x


def at(progress):
    objective = ProjectingObjective(K)
    objective.follow(None, progress)
    return objective


def gradients(module, loss):
    return torch.autograd.grad(loss, list(module.parameters()))


@each_loss
@pytest.mark.parametrize("n_missing", [0, 3])
def test_the_encoder_goes_on_and_the_decoder_learns_from_nearer_latents(
    loss, n_missing
):
    module, x = module_and_rows(loss, n_missing)
    x_seen = torch.nan_to_num(x)
    module.encode = lambda _: module.encoder(x_seen)  # without a filling
    found = gradients(module, at(1.0).step_loss(module, x, None))
    z = module.encode(x)
    guess = module.error(module.decode(z), x).mean()
    of_guess = torch.autograd.grad(
        guess, list(module.encoder.parameters()), retain_graph=True
    )
    nearer = step_on(module, x, z.detach())[0]
    stays = (nearer == z).all(dim=1)
    assert stays[:n_missing].all()
    assert not stays[n_missing:].all()
    reached = module.error(module.decode(nearer), x).mean()
    of_reached = torch.autograd.grad(reached, list(module.decoder.parameters()))
    torch.testing.assert_close(found, (*of_guess, *of_reached))
    assert reached < guess


@each_loss
@pytest.mark.parametrize("progress", [0.0, 1.0])
def test_fast_steps_are_those_of_autograd(loss, progress):
    slow, x = module_and_rows(loss)
    quick, objective = copy.deepcopy(slow), at(progress)
    flatten(list(quick.parameters()))
    expected = objective.step_loss(slow, x, None)
    expected.backward()
    with fast_step(quick, objective=objective) as step:
        torch.testing.assert_close(step(x), expected.detach())
    for a, b in zip(quick.parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_blocks_of_rows_are_steps_of_all(monkeypatch):
    module, x = module_and_rows("squared_error")
    with torch.no_grad():
        z = module.encode(x)
    whole = step_on(module, x, z)
    monkeypatch.setattr(projection, "_JACOBIAN_SIZE", 3 * K * 6)  # three rows
    torch.testing.assert_close(step_on(module, x, z), whole)


def test_the_first_part_of_a_schedule_is_as_ever():
    module, x = module_and_rows("squared_error")
    plain = Objective().step_loss(module, x, None)
    early, late = (at(progress).step_loss(module, x, None) for progress in (0.3, 0.9))
    assert torch.equal(early, plain)
    assert late < plain


def test_the_part_is_the_shorter_the_longer_a_jacobian_takes():
    shares = [ProjectingObjective(k).share for k in (1, 2, 8, 64)]
    assert shares == sorted(shares, reverse=True)
    assert 0.0 < shares[-1] < shares[0] < 1.0


@pytest.mark.parametrize(
    ("params", "does"),
    [
        ({}, True),
        ({"loss": "absolute_error"}, True),
        ({"inference": "encoder"}, False),
        ({"nested": True}, False),
    ],
)
def test_fits_whose_rows_are_projected_are_trained_for_it(params, does, monkeypatch):
    seen = []

    def spy(module, x, z):
        seen.append(len(x))
        return step_on(module, x, z)

    monkeypatch.setattr(projecting, "step_on", spy)
    X = np.random.default_rng(0).normal(size=(20, 3))
    model = AutoencoderTransformer(
        2, hidden_layer_sizes=(4,), max_iter=4, early_stopping=False, **params
    )
    with ignore_warnings(category=ConvergenceWarning):
        model.fit(X)
    assert seen == ([20, 20] if does else [])
