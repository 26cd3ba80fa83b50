import pickle

import pytest
import torch
from torch.nn import functional as F

from sklearn_ae.faces._augmentation import FaceAugmentation
from sklearn_ae.faces._critic import FaceCritic, _BoundedConv, critic_losses
from sklearn_ae.faces._modules import FaceNetwork
from sklearn_ae.faces._training import WATCHED_FROM, FaceObjective


@pytest.fixture
def critic():
    torch.manual_seed(0)
    return FaceCritic(3, 2)


def faces(n, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 3, 32, 32, generator=generator)


def test_largest_singular_value_of_weights_is_one():
    torch.manual_seed(0)
    conv = _BoundedConv(3, 8, 4, 2)
    x = torch.rand(1, 3, 8, 8)
    for _ in range(60):
        y = conv(x)
    weight = conv.weight / torch.linalg.svdvals(conv.weight.flatten(1))[0]
    expected = F.conv2d(x, weight, conv.bias, stride=2, padding=1)
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-5)
    conv.eval()
    before = conv.left.clone()
    conv(x)
    assert torch.equal(conv.left, before)


def test_each_identity_has_a_head_and_parts_are_as_alone(critic):
    critic.eval()
    a, b = faces(2, 0), faces(3, 1)
    of_a, of_b = critic([(1, a), (0, b)])
    assert of_a.shape == (2, 1, 4, 4)
    torch.testing.assert_close(of_b, critic([(0, b)])[0])
    assert not torch.allclose(of_a, critic([(0, a)])[0])
    critic.add_identity(1)
    torch.testing.assert_close(critic([(2, a)])[0], of_a)
    copied = pickle.loads(pickle.dumps(critic))
    torch.testing.assert_close(copied([(2, a)])[0], of_a)


def test_losses_are_hinges_and_reach_only_whom_they_should(critic):
    critic.eval()
    real, made = faces(4, 0), faces(4, 1).requires_grad_()
    of_critic, of_decoders = critic_losses(critic, [(0, real)], [(0, made)])
    (looks_real,), (looks_made,) = critic([(0, real)]), critic([(0, made)])
    expected = F.relu(1 - looks_real).mean() + F.relu(1 + looks_made).mean()
    torch.testing.assert_close(of_critic, expected)
    torch.testing.assert_close(of_decoders, -looks_made.mean())
    of_decoders.backward()
    assert made.grad.abs().sum() > 0
    assert all(p.grad is None for p in critic.parameters())
    made.grad = None
    of_critic.backward()
    assert made.grad is None
    assert any(p.grad is not None for p in critic.parameters())


def test_critic_looks_in_the_last_part_of_a_schedule():
    network = FaceNetwork(
        (16, 16, 3), 2, 4, 2, FaceAugmentation(), 0.0, n_blocks=1, has_critic=True
    ).train()
    objective = FaceObjective(adversarial_weight=0.1)

    class Batch:
        parts = ((0, torch.rand(4, 768)), (1, torch.rand(4, 768)))

    for progress, looks in ((WATCHED_FROM - 0.01, False), (WATCHED_FROM, True)):
        objective.follow(network, progress)
        network.zero_grad()
        objective.step_loss(network, Batch, None)[0].backward()
        grads = [p.grad is not None for p in network.critic.parameters()]
        assert all(grads) == any(grads) == looks


def test_small_faces_have_no_critic():
    network = FaceNetwork(
        (8, 8, 1), 1, 2, 2, FaceAugmentation(), 0.0, n_blocks=1, has_critic=True
    )
    assert network.critic is None
