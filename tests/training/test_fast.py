"""The fast path computes what the modules say: autograd is the oracle."""

import copy

import pytest
import torch
from torch import nn

from sklearn_ae._networks.corruptions import GaussianCorruption
from sklearn_ae._networks.losses import LOSSES
from sklearn_ae._networks.modules import (
    ACTIVATIONS,
    MLP,
    Anchored,
    Autoencoder,
)
from sklearn_ae._networks.variational import VariationalAutoencoder
from sklearn_ae._training import fast as _fast
from sklearn_ae._training.fast import FastNetwork, fast_step, flatten, unflatten

D, K = 5, 2  # columns and latents
UNITS = {"center": torch.zeros(D), "scale": torch.tensor(1.0)}

each_kind = pytest.mark.parametrize("kind", ["mlp", "anchored"])


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def network(kind, n_inputs=D, n_outputs=3, hidden=(6, 4), activation="tanh"):
    """A network in double precision, with nothing left at its start value."""
    made = MLP.of_sizes(n_inputs, hidden, n_outputs, activation)
    if kind == "anchored":
        weight, bias = torch.randn(n_outputs, n_inputs), torch.randn(n_outputs)
        made = Anchored(weight, bias, made, 0.5 + torch.rand(n_inputs))
        for parameter in made.parameters():
            nn.init.normal_(parameter)
    return made.double()


def fast(module):
    """The fast network, as the decoder has it: with the gradient of its input."""
    flatten(list(module.parameters()))
    return FastNetwork(module, is_first=False)


def rows(*shape):
    return torch.rand(*shape, dtype=torch.float64)


def gradients(module):
    return {name: p.grad.clone() for name, p in module.named_parameters()}


# The networks -------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize("hidden", [(), (6,), (6, 4)])
def test_fast_network_has_the_output_and_the_gradients_of_autograd(
    kind, activation, hidden
):
    slow = network(kind, hidden=hidden, activation=activation)
    twin = copy.deepcopy(slow)
    quick = fast(twin)
    # Outputs of both signs before each activation, and no two gradients alike.
    x = (4 * rows(7, D) - 2).requires_grad_()
    x_quick = x.detach().clone().requires_grad_()
    weight = rows(7, 3)

    output, output_quick = slow(x), quick(x_quick)
    (weight * output).sum().backward()
    (weight * output_quick).sum().backward()

    torch.testing.assert_close(output_quick, output)
    torch.testing.assert_close(x_quick.grad, x.grad)
    torch.testing.assert_close(gradients(twin), gradients(slow))


@each_kind
def test_fast_network_takes_several_draws_per_row(kind):
    module, x = network(kind), rows(3, 7, D)
    torch.testing.assert_close(fast(module)(x), module(x))


@each_kind
def test_fast_network_without_gradients(kind):
    module, x = network(kind), rows(7, D)
    with torch.no_grad():
        torch.testing.assert_close(fast(module)(x), module(x))


def test_fast_network_follows_the_weights():
    # Steps are taken in place, in memory that the fast network shares.
    module, x = network("mlp"), rows(7, D)
    quick = fast(module)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(2.0)
    torch.testing.assert_close(quick(x), module(x))


def test_second_backward_pass_overwrites_the_first():
    # The gradients are those of the last batch, whatever its length.
    module = network("anchored")
    quick = fast(module)
    quick(rows(9, D)).sum().backward()
    x = rows(4, D)
    quick(x).sum().backward()
    twin = copy.deepcopy(module)
    unflatten(twin)
    twin(x).sum().backward()
    torch.testing.assert_close(gradients(module), gradients(twin))


def test_what_the_network_gave_stays_when_it_is_called_again():
    quick = fast(network("anchored"))
    output = quick(rows(7, D))
    before = output.detach().clone()
    output.sum().backward()
    quick(rows(7, D)).sum().backward()
    assert torch.equal(output, before)


# Flat buffers -------------------------------------------------------------------------


def test_flatten_leaves_the_values():
    module = network("anchored")
    before = copy.deepcopy(module.state_dict())
    flat = flatten(list(module.parameters()))
    torch.testing.assert_close(dict(module.state_dict()), dict(before))
    assert flat.numel() == sum(p.numel() for p in module.parameters())


def test_flatten_shares_weights_and_gradients():
    module = network("mlp")
    flat = flatten(list(module.parameters()))
    with torch.no_grad():
        flat.copy_(torch.arange(flat.numel()))
        flat.grad.copy_(-torch.arange(flat.numel()))
    values = torch.cat([p.detach().flatten() for p in module.parameters()])
    slopes = torch.cat([p.grad.flatten() for p in module.parameters()])
    expected = torch.arange(flat.numel(), dtype=torch.float64)
    torch.testing.assert_close(values, expected)
    torch.testing.assert_close(slopes, -expected)


def test_unflatten_ends_the_sharing():
    module = network("mlp")
    flat = flatten(list(module.parameters()))
    before = copy.deepcopy(module.state_dict())
    unflatten(module)
    with torch.no_grad():
        flat.zero_()
    torch.testing.assert_close(dict(module.state_dict()), dict(before))
    assert all(p.grad is None for p in module.parameters())


# The step -----------------------------------------------------------------------------


def autoencoder(kind, loss, corruption=None):
    encoder, decoder = network(kind, D, K), network(kind, K, D)
    return Autoencoder(encoder, decoder, loss, corruption=corruption, **UNITS).double()


def denoising(kind, loss):
    return autoencoder(kind, loss, GaussianCorruption(0.5, torch.ones(D)))


def vae(kind, loss):
    encoder, decoder = network(kind, D, 2 * K), network(kind, K, D)
    return VariationalAutoencoder(encoder, decoder, loss, beta=0.7, **UNITS).double()


def vae_with(**options):
    """Another objective, in the middle of its warm-up, or another model."""

    def make(kind, loss):
        m = options.get("n_conditions", 0)
        encoder, decoder = network(kind, D, 2 * K), network(kind, K + m, D - m)
        module = VariationalAutoencoder(
            encoder,
            decoder,
            loss,
            center=torch.zeros(D - m),
            scale=torch.tensor(1.0),
            **options,
        )
        module.epoch = 1
        return module.double()

    return make


def own(kind, loss):
    module = autoencoder("mlp", loss)
    module.encoder = nn.Sequential(*module.encoder)
    return module


MODULES = {
    "AE": autoencoder,
    "DAE": denoising,
    "VAE": vae,
    "VAE, warm-up and free bits": vae_with(kl_warmup=3, free_bits=1.0),
    "VAE, importance weighted": vae_with(n_importance_samples=3, kl_warmup=3),
    "VAE, path gradient": vae_with(n_importance_samples=3, path_gradient=True),
    "VAE, noise of each column": vae_with(noise_per_column=True),
    "VAE, conditional": vae_with(n_conditions=2),
    "own": own,
}
each_module = pytest.mark.parametrize("make", MODULES.values(), ids=MODULES)


@each_module
@each_kind
@pytest.mark.parametrize("loss", list(LOSSES))
def test_step_has_the_loss_and_the_gradients_of_autograd(make, kind, loss):
    slow = make(kind, LOSSES[loss]()).train()
    quick, x = copy.deepcopy(slow), rows(7, D)
    flatten(list(quick.parameters()))
    torch.manual_seed(1)
    expected = slow.loss(x).mean()
    expected.backward()
    with fast_step(quick) as step:
        torch.manual_seed(1)
        torch.testing.assert_close(step(x), expected.detach())
    torch.testing.assert_close(gradients(quick), gradients(slow))


@each_module
def test_step_leaves_the_rows_alone(make):
    module, x = make("anchored", LOSSES["squared_error"]()).train(), rows(7, D)
    before = x.clone()
    flatten(list(module.parameters()))
    with fast_step(module) as step:
        step(x)
    assert torch.equal(x, before)


@each_module
def test_module_is_its_own_again_after_the_steps(make):
    module = make("mlp", LOSSES["squared_error"]()).train()
    flatten(list(module.parameters()))
    with pytest.raises(RuntimeError, match="stop"), fast_step(module):
        raise RuntimeError("stop")
    assert "forward" not in vars(module.encoder)
    assert "forward" not in vars(module.decoder)


@pytest.mark.parametrize("make", [autoencoder, vae], ids=["AE", "VAE"])
def test_steps_on_batches_of_several_sizes(make):
    slow = make("anchored", LOSSES["squared_error"]()).train()
    quick = copy.deepcopy(slow)
    flatten(list(quick.parameters()))
    with fast_step(quick) as step:
        for n in (7, 4, 7, 1):
            x = rows(n, D)
            slow.zero_grad()
            torch.manual_seed(n)
            slow.loss(x).mean().backward()
            torch.manual_seed(n)
            step(x)
            torch.testing.assert_close(gradients(quick), gradients(slow))


def test_memory_of_batches_of_many_sizes_is_bounded(monkeypatch):
    monkeypatch.setattr(_fast, "_MOST_SIZES", 3)
    quick = fast(network("mlp"))
    for n in range(1, 9):
        quick(rows(n, D)).sum().backward()
    assert len(quick.free) <= 3


class TwiceTheLoss(Autoencoder):
    """A module with a loss of its own, which the step must respect."""

    def loss(self, x, generator=None):
        return 2 * super().loss(x, generator)


def test_step_of_another_module_is_that_of_its_loss():
    plain = autoencoder("mlp", LOSSES["squared_error"]())
    module = TwiceTheLoss(
        plain.encoder, plain.decoder, LOSSES["squared_error"](), **UNITS
    ).double()
    x = rows(7, D)
    expected = module.loss(x).mean().detach()
    flatten(list(module.parameters()))
    with fast_step(module) as step:
        torch.testing.assert_close(step(x), expected)


# Lower precision ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [autoencoder, denoising, vae], ids=["AE", "DAE", "VAE"]
)
@each_kind
def test_bfloat16_has_about_the_gradients_of_float32(make, kind):
    slow = make(kind, LOSSES["squared_error"]()).float().train()
    quick, x = copy.deepcopy(slow), rows(7, D).float()
    flatten(list(quick.parameters()))
    torch.manual_seed(1)
    slow.loss(x).mean().backward()
    with fast_step(quick, precision=torch.bfloat16) as step:
        torch.manual_seed(1)
        step(x)
    for name, expected in gradients(slow).items():
        error = (gradients(quick)[name] - expected).norm()
        assert error < 0.05 * max(expected.norm(), 0.1)


def test_bfloat16_follows_the_parameters():
    module = autoencoder("anchored", LOSSES["squared_error"]()).float().train()
    x = rows(7, D).float()
    flatten(list(module.parameters()))
    with fast_step(module, precision=torch.bfloat16) as step:
        before = step(x)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.zero_()
        after = step(x)
    torch.testing.assert_close(after, module.loss(x).mean().detach())
    assert before != after


def test_the_users_own_networks_are_cast_by_torch():
    module, x = (
        own("mlp", LOSSES["squared_error"]()).float().train(),
        rows(7, D).float(),
    )
    seen = []
    module.encoder[0].register_forward_hook(lambda *args: seen.append(args[2].dtype))
    with fast_step(module, precision=torch.bfloat16) as step:
        loss = step(x)
    assert seen == [torch.bfloat16]
    assert loss.dtype == torch.float32
    assert all(p.grad.dtype == torch.float32 for p in module.parameters())
