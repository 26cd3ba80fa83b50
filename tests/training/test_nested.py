import pytest
import torch
from small_networks import D, K, network

from sklearn_ae._networks.losses import SquaredError
from sklearn_ae._networks.modules import Autoencoder
from sklearn_ae._training.fast import fast_step, flatten
from sklearn_ae._training.nested import NestedObjective


def module_of(k):
    torch.manual_seed(0)
    return Autoencoder(
        network(D, k),
        network(k, D),
        SquaredError(),
        center=torch.zeros(D),
        scale=torch.tensor(1.0),
    )


@pytest.fixture
def x():
    return torch.randn(7, D, generator=torch.Generator().manual_seed(1))


def expected(module, x, decoders):
    z = module.encode(x)
    outputs = [module.decode(z), *(decode(z[:, :k]) for k, decode in decoders.items())]
    return torch.stack([module.error(output, x) for output in outputs])


def test_each_cut_has_a_decoder_of_its_own(x):
    module, objective = module_of(5), NestedObjective(5)
    objective.prepare(module)
    assert list(module.cut_decoders) == [1, 2, 3, 4]
    losses = expected(module, x, module.cut_decoders)
    torch.testing.assert_close(objective.step_loss(module, x, None), losses.mean())
    torch.testing.assert_close(objective.judge(module, x, None), losses.mean(dim=0))


def test_decoders_of_cuts_start_as_cuts(x):
    module = module_of(K)
    NestedObjective(K).prepare(module)
    z = module.encode(x)
    first = torch.cat([z[:, :1], torch.zeros_like(z[:, 1:])], dim=1)
    torch.testing.assert_close(module.cut_decoders[1](z[:, :1]), module.decode(first))


def test_a_module_that_goes_on_keeps_its_decoders():
    module, objective = module_of(K), NestedObjective(K)
    objective.prepare(module)
    known = module.cut_decoders[1]
    objective.prepare(module)
    assert module.cut_decoders[1] is known


def test_fast_networks_have_the_gradients_of_autograd(x):
    module, objective = module_of(3), NestedObjective(3)
    objective.prepare(module)
    parameters = list(module.parameters())
    wanted = torch.autograd.grad(objective.step_loss(module, x, None), parameters)
    flatten(parameters)
    with fast_step(module, objective=objective) as step:
        step(x)
    for parameter, gradient in zip(parameters, wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_a_decoder_of_the_user_s_is_one_for_all_cuts(x):
    module = module_of(K)
    module.decoder = torch.nn.Linear(K, D)
    objective = NestedObjective(K)
    objective.prepare(module)
    assert not module.cut_decoders
    weight, bias = module.decoder.weight, module.decoder.bias
    losses = expected(module, x, {1: lambda z: z @ weight[:, :1].T + bias})
    torch.testing.assert_close(objective.step_loss(module, x, None), losses.mean())
