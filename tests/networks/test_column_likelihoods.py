"""The likelihood of columns of several kinds, against scipy and sums to one."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from sklearn_ae._networks.column_likelihoods import ColumnLikelihoods, log_interval
from sklearn_ae._networks.losses import of_observed
from sklearn_ae._networks.starts import LinkedStart, ProbabilisticPCAStart
from sklearn_ae._tables.column_maps import ColumnMap
from sklearn_ae._tables.columns import Columns

# A score, three levels, a truth, and a score with an atom.
COLUMN = np.exp(np.random.RandomState(0).normal(size=300))
SPIKED = np.where(COLUMN < 0.6, 0.0, COLUMN)
MAPS = {0: ColumnMap.of(COLUMN), 5: ColumnMap.of(SPIKED)}
LOSS = ColumnLikelihoods.of(6, MAPS, [slice(1, 4)])
LOG_SIGMA = torch.full((6,), np.log(0.7), dtype=torch.float64)
OUTPUT = torch.tensor([[0.3, 0.5, -1.0, 0.2, 0.8, -0.4]], dtype=torch.float64)


def row(value, level, truth, spiked):
    x = torch.zeros(1, 6, dtype=torch.float64)
    x[0, 0] = MAPS[0].encode(np.array([value]))[0]
    x[0, 1 + level] = 1.0
    x[0, 4] = truth
    x[0, 5] = MAPS[5].encode(np.array([spiked]))[0]
    return x


def only(x, *known):
    hidden = torch.full_like(x, torch.nan)
    hidden[:, list(known)] = x[:, list(known)]
    return hidden


def log_p(x):
    return LOSS.log_likelihood(OUTPUT, x, LOG_SIGMA).item()


@pytest.mark.parametrize("bounds", [(-1.0, 2.0), (5.0, 6.0), (-9.0, -8.0), (-40, 0.1)])
def test_log_of_an_interval_is_that_of_scipy(bounds):
    lower, upper = bounds
    side = np.sign(lower + upper)  # scipy keeps its digits in the lower tail
    low, high = sorted([-side * lower, -side * upper])
    expected = norm.logcdf(high) + np.log1p(
        -np.exp(norm.logcdf(low) - norm.logcdf(high))
    )
    found = log_interval(*(torch.tensor(b, dtype=torch.float64) for b in bounds))
    assert found.item() == pytest.approx(expected, rel=1e-9)


def test_densities_and_atoms_of_a_number_add_up_to_one():
    values = np.append(np.linspace(-20.0, 120.0, 400_000), 0.0)
    x = torch.full((len(values), 6), torch.nan, dtype=torch.float64)
    x[:, 5] = torch.from_numpy(MAPS[5].encode(values))
    p = LOSS.log_likelihood(OUTPUT.expand_as(x), x, LOG_SIGMA).exp().numpy()
    assert MAPS[5].is_atom.sum() == 1
    atom = p[-1] * np.exp(MAPS[5].log_widths[MAPS[5].is_atom][0])
    assert np.trapezoid(p[:-1], values[:-1]) + atom == pytest.approx(1.0, abs=2e-3)


def test_density_of_rounded_values_is_that_of_the_rows_per_unit():
    rounded = np.random.RandomState(1).normal(size=4000).round(1)
    known = ColumnMap.of(rounded)
    loss = ColumnLikelihoods.of(1, {0: known}, [])
    x = torch.from_numpy(known.encode(np.array([0.3, -1.0])))[:, None]
    p = loss.log_likelihood(torch.zeros_like(x), x, torch.zeros(1).double())
    np.testing.assert_allclose(p, norm.logpdf([0.3, -1.0]), atol=0.15)


def test_density_of_atoms_is_in_the_units_of_the_values():
    x = torch.tensor([[0.0]], dtype=torch.float64)
    p = []
    for unit in (1.0, 1e-3, 1e250):
        known = ColumnMap.of(unit * np.tile([0.0, 1.0, 3.0], 30))
        x[0, 0] = known.encode(unit * np.array([1.0]))[0]
        loss = ColumnLikelihoods.of(1, {0: known}, [])
        p.append(loss.log_likelihood(0.0 * x, x, torch.zeros(1).double()).item())
    assert p[0] == pytest.approx(np.log(1.0 / 3.0 / 1.5), abs=0.02)
    np.testing.assert_allclose(np.array(p[1:]) - p[0], np.log([1e3, 1e-250]), rtol=1e-9)


def test_density_of_a_number_is_that_of_its_score_times_the_slope():
    score = MAPS[0].encode(np.array([1.7]))
    expected = norm.logpdf(score, 0.3, 0.7) + MAPS[0].log_slope(score)
    assert log_p(only(row(1.7, 0, 1, 0.0), 0)) == pytest.approx(expected[0], rel=1e-6)


def test_levels_have_the_softmax_and_truths_the_sigmoid():
    x = row(1.0, 2, 1, 0.0)
    p = torch.softmax(OUTPUT[0, 1:4], 0)
    assert log_p(only(x, 1, 2, 3)) == pytest.approx(p[2].log().item())
    assert log_p(only(x, 4)) == pytest.approx(torch.sigmoid(OUTPUT[0, 4]).log().item())


def test_cells_add_up_and_missing_ones_have_no_part():
    x = row(1.7, 1, 0, 0.0)
    parts = [log_p(only(x, *i)) for i in ([0], [1, 2, 3], [4], [5])]
    assert log_p(x) == pytest.approx(sum(parts))
    nothing = torch.full_like(x, torch.nan)
    assert log_p(nothing) == 0.0
    assert of_observed(LOSS, nothing) is LOSS


def test_gradients_are_those_of_finite_differences_and_finite_far_out():
    x = torch.cat([row(1.7, 1, 0, 0.0), row(9.0, 0, 1, 3.0)])
    output = OUTPUT.repeat(2, 1).requires_grad_()
    sigma = LOG_SIGMA.clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda o, s: LOSS.log_likelihood(o, x, s), (output, sigma)
    )
    far = (1000.0 * OUTPUT).float().requires_grad_()
    LOSS.log_likelihood(far, x[:1].float(), LOG_SIGMA.float()).sum().backward()
    assert far.grad.isfinite().all()


def test_draws_of_latents_stand_against_the_same_rows():
    x = torch.cat([row(1.7, 1, 0, 0.0), row(9.0, 0, 1, 3.0)])
    outputs = torch.randn(5, 2, 6, dtype=torch.float64)
    both = LOSS.log_likelihood(outputs, x, LOG_SIGMA)
    one = LOSS.log_likelihood(outputs[3], x, LOG_SIGMA)
    assert both.shape == (5, 2)
    torch.testing.assert_close(both[3], one)


def test_link_and_its_inverse():
    linked = LOSS.link(OUTPUT)
    assert linked[0, 1:4].sum().item() == pytest.approx(1.0)
    torch.testing.assert_close(LOSS.link(LOSS.inverse_link(linked[0])), linked[0])


def test_start_gives_the_mean_row_at_the_origin_of_the_latents():
    rng = np.random.RandomState(0)
    x = torch.zeros(200, 6)
    x[:, [0, 5]] = torch.from_numpy(rng.normal(size=(200, 2))).float()
    x[torch.arange(200), torch.from_numpy(rng.randint(1, 4, 200))] = 1.0
    x[:, 4] = x[:, 1]
    columns = Columns(torch.zeros(6), torch.tensor(1.0))
    start = LinkedStart(ProbabilisticPCAStart(2), LOSS)
    paths = start.find(x, columns, np.random.RandomState(0))
    weight, bias = (part.double() for part in paths.decoder)
    torch.testing.assert_close(LOSS.link(bias), x.double().mean(0), atol=1e-5, rtol=0)
    # The tangent, at the mean, is what PPCA makes of a number.
    ppca = ProbabilisticPCAStart(2)
    units = LOSS.link_slopes(x.mean(0)).rsqrt()
    plain = ppca.find(x * units, columns, np.random.RandomState(0))
    torch.testing.assert_close(weight[0], plain.decoder[0].double()[0])
