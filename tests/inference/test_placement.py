"""Places on a map: where new rows are put."""

import torch

from sklearn_ae._inference.placement import place


def test_a_row_without_distance_to_another_lies_where_that_does():
    z = torch.randn(3, 5, 2, dtype=torch.float64)
    distances = torch.rand(3, 5, dtype=torch.float64)
    distances[:, 2] = 0.0
    torch.testing.assert_close(place(z, distances), z[:, 2])


def test_a_place_is_a_minimum():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(50, 5, 2, dtype=torch.float64, generator=generator)
    distances = 1 + torch.rand(50, 5, dtype=torch.float64, generator=generator)
    best = place(z, distances).requires_grad_()

    def objective(places):
        pulls = (z - places[:, None]).square().sum(dim=2).log1p()
        return (pulls / distances.square()).sum(dim=1)

    (slope,) = torch.autograd.grad(objective(best).sum(), best)
    assert slope.abs().median() < 1e-4
    for i in range(5):
        assert (objective(best) <= objective(z[:, i]) + 1e-9).all()


def test_most_neighbours_decide():
    z = torch.tensor([[[0.0, 0.0], [0.1, 0.0], [0.0, 0.1], [50.0, 50.0], [60.0, 0.0]]])
    assert place(z, torch.ones(1, 5)).norm() < 1.0
